package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/registry"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	authToken  = "edge-token"
	adminToken = "admin-token"
	staleness  = 5 * time.Second
)

// home is a home's half with a real log and registry, and a server.
type home struct {
	log      *invalidation.Log
	registry *registry.Registry
	server   *Server
	logs     *strings.Builder // one writer at a time: slog's handler locks
	draining bool
	wired    chan wired
}

type wired struct {
	conn net.Conn
	info WireInfo
}

// newHome returns a home. change may change its options first.
func newHome(t *testing.T, maxEdges int, change func(*Options)) *home {
	t.Helper()
	h := &home{log: invalidation.NewLog(), logs: &strings.Builder{}, wired: make(chan wired, 1)}
	h.registry = registry.New(registry.Options{Log: h.log, MaxEdges: maxEdges, MaxStaleness: staleness})
	opts := Options{
		AuthToken: authToken, AdminToken: adminToken,
		Home: &Home{
			Edges:     h.registry,
			Wire:      func(_ context.Context, conn net.Conn, info WireInfo) { h.wired <- wired{conn, info} },
			Draining:  func() bool { return h.draining },
			Append:    h.log.Append,
			Databases: func() []string { return []string{"shop", "crm"} },
			Explain:   explainForTest,
			Policies: func() []Policy {
				return []Policy{{Name: "ttl", State: "active", Generation: 2, Digest: "00", LoadedAt: time.Unix(0, 0).UTC()}}
			},
		},
		Stats:   func() Stats { return Stats{Role: "home", Epoch: h.log.Epoch(), Version: h.log.Last()} },
		Ready:   func() []Check { return []Check{{Name: "upstream", OK: true}} },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a_metric 1") }),
		Logger:  slog.New(slog.NewTextHandler(h.logs, nil)),
	}
	if change != nil {
		change(&opts)
	}
	h.server = New(opts)
	return h
}

func explainForTest(_ context.Context, r ExplainRequest) (Explanation, error) {
	switch r.Database {
	case "panics":
		panic("a broken invariant")
	case "fails":
		return Explanation{}, errors.New("the password is hunter2")
	case "unknown":
		return Explanation{}, &Error{Status: http.StatusNotFound, Message: "no such database", Hint: "look again"}
	}
	return Explanation{
		Database: r.Database, User: r.User, Cached: true, Why: "it reads only",
		StatementExplanation: StatementExplanation{
			Fingerprint: 0xabc, Verdict: statement.Read, Reason: "reads only", Uses: []RelationUse{{Relation: "public.t", Kind: "table", Rows: -1}},
			Findings: []Finding{{Reason: fmt.Sprint(r.Settings, len(r.Parameters))}},
		},
		Statements: []StatementExplanation{{SQL: "select 1", Position: 1, Command: "SELECT"}},
		Decision:   Decision{Cache: true, TTL: 1500 * time.Millisecond, Level: "bounded", Reason: "the default"},
	}, nil
}

// network is a set of listeners in memory, so that a test can run on a fake clock.
type network struct {
	mu struct {
		sync.Mutex
		listeners map[string]*pipeListener
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.mu.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve serves a home under an address until stop, or the end of the test's bubble.
func (n *network) serve(t *testing.T, address string, h *home) (stop func()) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	if n.mu.listeners == nil {
		n.mu.listeners = map[string]*pipeListener{}
	}
	n.mu.listeners[address] = l
	n.mu.Unlock()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := h.server.Serve(l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() {
		if err := h.server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		h.registry.Close()
		serving.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// bubble runs test on a fake clock.
func bubble(t *testing.T, test func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &network{}) })
}

// pass lets time pass on the bubble's clock, and waits until all that follows from it has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// edgeOf is an edge's link with what it moves.
type edgeOf struct {
	link   *link.Link
	floors *invalidation.Floors
	lease  *invalidation.Lease
	stop   func()

	mu struct {
		sync.Mutex
		seen []invalidation.Event
	}
}

func (e *edgeOf) events() []invalidation.Event {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]invalidation.Event{}, e.mu.seen...)
}

// startEdge runs an edge's link until stop, or the end of the test's bubble.
func (n *network) startEdge(t *testing.T, id string, change func(*link.Options)) *edgeOf {
	t.Helper()
	e := &edgeOf{floors: invalidation.NewFloors(""), lease: &invalidation.Lease{}}
	opts := link.Options{
		HomeURLs: []string{"http://home"}, Token: authToken, EdgeID: id, Region: "syd", Floors: e.floors, Lease: e.lease,
		MaxStaleness: staleness, DialContext: n.dial,
		OnInvalidate: func(event invalidation.Event, _ time.Time) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.mu.seen = append(e.mu.seen, event)
		},
	}
	if change != nil {
		change(&opts)
	}
	l, err := link.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	e.link = l
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	e.stop = func() { cancel(); running.Wait() }
	t.Cleanup(e.stop)
	synctest.Wait()
	return e
}

// call sends one request to a home's handler and returns status, body and header.
func (n *network) call(t *testing.T, method, path, token, body string) (int, string, http.Header) {
	t.Helper()
	transport := &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://home"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, string(text), res.Header
}

// reader reads a register stream by hand.
type reader struct {
	conn net.Conn
	r    *bufio.Reader
}

type event struct{ name, id, data string }

// open registers by hand. What the home writes after its first write blocks until it is read.
func (n *network) open(t *testing.T, id string, header ...string) *reader {
	t.Helper()
	conn, err := n.dial(t.Context(), "tcp", "home:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	body := fmt.Sprintf(`{"edge_id":%q,"region":"syd"}`, id)
	text := "POST /api/edge/register HTTP/1.1\r\nHost: home\r\nAuthorization: Bearer " + authToken +
		"\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" + strings.Join(append(header, ""), "\r\n") + "\r\n" + body
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("register: got %d %q, want 200 text/event-stream", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return &reader{conn: conn, r: bufio.NewReader(res.Body)}
}

// next returns the next event, without comments; io.EOF or another error where the stream ends.
func (r *reader) next() (event, error) {
	var e event
	if err := r.conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		return e, err
	}
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, nil
			}
		}
	}
}

// want reads the next event, which must be of this name, into data.
func (r *reader) want(t *testing.T, name string, data any) event {
	t.Helper()
	e, err := r.next()
	if err != nil || e.name != name {
		t.Fatalf("stream: got %+v, %v; want %s", e, err, name)
	}
	if err := json.Unmarshal([]byte(e.data), data); err != nil {
		t.Fatalf("event %+v: %v", e, err)
	}
	return e
}
