package link

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func (n *network) listen(address string) *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.listeners == nil {
		n.mu.listeners = map[string]*pipeListener{}
	}
	n.mu.listeners[address] = l
	return l
}

var errRefused = errors.New("connection refused")

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.mu.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errRefused
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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

// script is a home that says what the test tells it to.
type script struct {
	mu struct {
		sync.Mutex
		register func() (status int, body string, header map[string]string) // nil, or status 0: a stream
		status   int                                                        // of the answer to a renewal; 0: accepted
		requests []http.Header                                              // of the registrations
		streams  []chan string
		opened   chan struct{} // closed by the next stream; nil: nobody waits for it
		renewals []RenewRequest
	}
}

// answers makes the script answer registrations with what register says; nil: with a stream.
func (h *script) answers(register func() (status int, body string, header map[string]string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.register = register
}

// stream waits for the next stream, as long as that takes on the bubble's clock.
func (h *script) stream() {
	opened := make(chan struct{})
	h.mu.Lock()
	h.mu.opened = opened
	h.mu.Unlock()
	<-opened
	synctest.Wait()
}

// renewals returns the renewals that came.
func (h *script) renewals() []RenewRequest {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mu.renewals)
}

// nonce returns the nonce of the newest renewal.
func (h *script) nonce() string {
	all := h.renewals()
	return all[len(all)-1].Nonce
}

func (h *script) renewed(request RenewRequest) (status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.renewals = append(h.mu.renewals, request)
	return cmp.Or(h.mu.status, http.StatusAccepted)
}

func (h *script) answer(asked http.Header, stream chan string) (status int, body string, header map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.requests = append(h.mu.requests, asked)
	if h.mu.register != nil {
		status, body, header = h.mu.register()
	}
	if status == 0 {
		h.mu.streams = append(h.mu.streams, stream)
		if h.mu.opened != nil {
			close(h.mu.opened)
			h.mu.opened = nil
		}
	}
	return status, body, header
}

func (h *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case RenewPath:
		var request RenewRequest
		_ = json.Unmarshal(body, &request)
		w.WriteHeader(h.renewed(request))
	case RegisterPath:
		stream := make(chan string)
		status, text, header := h.answer(r.Header, stream)
		for name, value := range header {
			w.Header().Set(name, value)
		}
		if status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case text, ok := <-stream:
				if !ok {
					return
				}
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

// speak writes to the newest stream, and waits until all that follows from it has happened.
func (h *script) speak(format string, args ...any) {
	synctest.Wait()
	h.mu.Lock()
	stream := h.mu.streams[len(h.mu.streams)-1]
	h.mu.Unlock()
	select {
	case stream <- fmt.Sprintf(format, args...):
	case <-time.After(time.Hour):
		panic("the link has left the stream that the test speaks to")
	}
	synctest.Wait()
}

func (h *script) registered(epoch string, version int, resumed bool, staleness time.Duration) {
	h.speak("event: registered\nid: %d\ndata: {\"epoch\":%q,\"version\":%d,\"resumed\":%t,\"max_staleness_ms\":%d}\n\n",
		version, epoch, version, resumed, staleness.Milliseconds())
}

func (h *script) invalidate(version, after, id int, database string, tables ...string) {
	list, _ := json.Marshal(tables)
	h.speak("event: invalidate\nid: %d\ndata: {\"version\":%d,\"database\":%q,\"tables\":%s,\"after\":%d,\"sent_at\":1}\n\n",
		id, version, database, list, after)
}

func (h *script) grant(nonce string) { h.speak("event: lease\ndata: {\"nonce\":%q}\n\n", nonce) }

// hangUp ends the newest stream.
func (h *script) hangUp() {
	synctest.Wait()
	h.mu.Lock()
	stream := h.mu.streams[len(h.mu.streams)-1]
	h.mu.Unlock()
	close(stream)
	synctest.Wait()
}

func (h *script) registrations() []http.Header {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mu.requests)
}

// rig is a link, on a fake clock, to a scripted home.
type rig struct {
	*script
	net    *network
	link   *Link
	floors *invalidation.Floors
	lease  *invalidation.Lease
	logs   *records
	seen   []invalidation.Event
	stop   func()       // ends the link
	slept  atomic.Int64 // by how much the wall clock has run ahead
}

const (
	staleness = 5 * time.Second
	homeURL   = "http://home:80"
)

// run runs test in a bubble with a link that is being run. setup may change the options and the script before.
func run(t *testing.T, setup func(*Options, *script), test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{script: &script{}, net: &network{}, floors: invalidation.NewFloors(""), lease: &invalidation.Lease{}, logs: &records{}}
		opts := Options{
			HomeURLs: []string{homeURL}, Token: "t", EdgeID: "a", Region: "here", Floors: r.floors, Lease: r.lease,
			MaxStaleness: staleness, DialContext: r.net.dial, Logger: slog.New(r.logs),
			OnInvalidate: func(e invalidation.Event, _ time.Time) { r.seen = append(r.seen, e) },
		}
		if setup != nil {
			setup(&opts, r.script)
		}
		server := &http.Server{Handler: r.script}
		var all sync.WaitGroup
		listener := r.net.listen("home:80")
		all.Go(func() { _ = server.Serve(listener) })
		link, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		r.link = link
		system := systemClocks()
		link.clocks = newClocks(func() (time.Time, time.Duration) {
			wall, mono := system()
			return wall.Add(time.Duration(r.slept.Load())), mono
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer all.Wait()
		defer func() { _ = server.Close() }()
		defer cancel()
		all.Go(func() {
			if err := link.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		r.stop = func() { cancel(); synctest.Wait() }
		test(t, r)
	})
}

// records keeps the messages that were logged at warn and above.
type records struct {
	mu struct {
		sync.Mutex
		lines []string
	}
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		return nil
	}
	var line strings.Builder
	line.WriteString(record.Message)
	record.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&line, " %s=%v", a.Key, a.Value); return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.lines = append(r.mu.lines, line.String())
	return nil
}

func (r *records) warnings() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.lines)
}

// pass lets time pass on the bubble's clock, and waits until all that follows from it has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
