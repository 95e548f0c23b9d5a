package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// analysis is an Analysis that knows a few texts.
type analysis struct {
	mu         sync.Mutex
	generation uint64
	texts      map[string]*statement.Descriptor
	initial    InitialSettings
	decision   *Decision // nil: a minute
}

func (a *analysis) Describe(_ context.Context, _, _, sql string) *statement.Descriptor {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := a.texts[sql]; d != nil {
		copied := *d
		copied.Generation = a.generation
		return &copied
	}
	return unknown
}

func (a *analysis) Generation(string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.generation
}

func (a *analysis) Decide(context.Context, Identity, *statement.Descriptor) Decision {
	if a.decision != nil {
		return *a.decision
	}
	return Decision{Cache: true, TTL: time.Minute}
}

func (a *analysis) InitialState(context.Context, string, string) (InitialSettings, error) {
	return a.initial, nil
}

// journal is a Journal over a real log.
type journal struct {
	*invalidation.Log
	published chan statement.Closure
}

func (j *journal) Publish(database string, c statement.Closure, _ bool) invalidation.Version {
	v := j.Append(database, tables(c))
	select {
	case j.published <- c:
	default:
	}
	return v
}

func newAnalysis() *analysis {
	return &analysis{generation: 1, texts: map[string]*statement.Descriptor{
		"select a":  {Verdict: statement.Read, Relations: []string{"public.a"}, Command: "SELECT"},
		"select b":  {Verdict: statement.Read, Relations: []string{"public.b"}, Command: "SELECT"},
		"update a":  {Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.a"}}, Command: "UPDATE"},
		"select t":  {Verdict: statement.Unstable, Relations: []string{"public.a"}, Command: "SELECT"},
		"begin":     {Verdict: statement.Session, Control: statement.ControlBegin},
		"commit":    {Verdict: statement.Session, Control: statement.ControlCommit},
		"rollback":  {Verdict: statement.Session, Control: statement.ControlRollback},
		"set x = 1": {Verdict: statement.Session, Settings: []statement.Setting{{Name: "x", Value: "1"}}},
		"copy a":    {Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.a"}}, Command: "COPY"},
	}}
}

// node returns what the sessions of a home, or with no analysis of an edge, share; its upstream is what the backends
// channel hands out the other ends of.
func node(a *analysis, j *journal, backends chan net.Conn) *Shared {
	s := &Shared{
		Cache: cache.New(cache.Options{MaxEntries: 100, MaxBytes: 1 << 20, MaxEntryBytes: 1 << 16}),
		Lease: &invalidation.Lease{}, Tenant: func(string, string, string) string { return "default" },
		MaxStaleness: 5 * time.Second, StartTimeout: 10 * time.Second, Counters: &Counters{}, Cancels: &Cancels{},
		Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, Peer) (net.Conn, error) {
			ours, theirs := tcpPair()
			backends <- theirs
			return ours, nil
		},
	}
	s.Lease.Forever()
	if a != nil {
		s.Analysis, s.Journal, s.Floors = a, j, j.Floors()
	} else {
		s.Floors = invalidation.NewFloors(j.Epoch())
	}
	return s
}

func tcpPair() (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	b, err = l.Accept()
	if err != nil {
		panic(err)
	}
	return a, b
}

// rig is a client, a session and a scripted backend.
type rig struct {
	t               *testing.T
	shared          *Shared
	client, backend net.Conn
	session         *Session
	done            chan error
}

// connect starts a session through shared and brings it to its first ReadyForQuery.
func connect(t *testing.T, shared *Shared, backends chan net.Conn, tunnel bool, facts ...statement.Fact) *rig {
	t.Helper()
	client, accepted := tcpPair()
	r := &rig{t: t, shared: shared, client: client, session: New(shared, accepted, Peer{Addr: "test"}, tunnel), done: make(chan error, 1)}
	go func() { r.done <- r.session.Run(context.Background()) }()
	deadline := time.Now().Add(20 * time.Second)
	client.SetDeadline(deadline)
	startup := encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "u", "database": "db"}})
	r.send(startup)
	r.backend = <-backends
	r.backend.SetDeadline(deadline)
	r.expectBackend(startup)
	hello := encode(&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"}, &pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: 2})
	r.reply(append(append(slices.Clone(hello), factsMessage(facts)...), ready('I')...))
	want := append(hello, ready('I')...)
	if tunnel {
		r.skipFacts(hello)
		want = ready('I')
	}
	r.expect(want)
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	r.client.Close()
	r.backend.Close()
	<-r.done
}

func (r *rig) send(b []byte) {
	r.t.Helper()
	if _, err := r.client.Write(b); err != nil {
		r.t.Fatalf("client cannot send: %v", err)
	}
}

func (r *rig) reply(b []byte) {
	r.t.Helper()
	if _, err := r.backend.Write(b); err != nil {
		r.t.Fatalf("backend cannot send: %v", err)
	}
}

func (r *rig) expect(want []byte) {
	r.t.Helper()
	r.expectAt("client", r.client, want)
}

func (r *rig) expectBackend(want []byte) {
	r.t.Helper()
	r.expectAt("backend", r.backend, want)
}

func (r *rig) expectAt(who string, conn net.Conn, want []byte) {
	r.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(conn, got)
	if err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("%s got %q (%v), want %q", who, got[:n], err, want)
	}
}

// skipFacts reads prefix and a message of facts at the client's side of a tunnel, and returns the facts.
func (r *rig) skipFacts(prefix []byte) []statement.Fact {
	r.t.Helper()
	r.expect(prefix)
	var head [5]byte
	if _, err := io.ReadFull(r.client, head[:]); err != nil || head[0] != 'S' {
		r.t.Fatalf("got %q, %v; want facts", head, err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(r.client, body); err != nil {
		r.t.Fatal(err)
	}
	var status pgproto3.ParameterStatus
	if err := status.Decode(body); err != nil || status.Name != statement.FactsParameter {
		r.t.Fatalf("got parameter %q, %v; want facts", status.Name, err)
	}
	facts, err := statement.ParseFacts([]byte(status.Value))
	if err != nil {
		r.t.Fatal(err)
	}
	return facts
}

// quiet asserts that nothing reached the backend: what is sent next is the first thing that it sees.
func (r *rig) roundTrip(request, toBackend, response, toClient []byte) {
	r.t.Helper()
	r.send(request)
	r.expectBackend(toBackend)
	r.reply(response)
	r.expect(toClient)
}

func (r *rig) through(request, response []byte) {
	r.t.Helper()
	r.roundTrip(request, request, response, response)
}

// hit asserts that a request is answered from memory.
func (r *rig) hit(request, response []byte) {
	r.t.Helper()
	before := r.shared.Counters.Totals()
	r.send(request)
	r.expect(response)
	if after := r.shared.Counters.Totals(); after.Hits <= before.Hits || after.Misses != before.Misses || after.Bypasses != before.Bypasses {
		r.t.Fatalf("counters went from %+v to %+v, want hits only", before, after)
	}
}

type encoder interface{ Encode([]byte) ([]byte, error) }

func encode(messages ...encoder) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			panic(err)
		}
	}
	return b
}

func query(text string) []byte   { return encode(&pgproto3.Query{String: text}) }
func ready(status byte) []byte   { return encode(&pgproto3.ReadyForQuery{TxStatus: status}) }
func complete(tag string) []byte { return encode(&pgproto3.CommandComplete{CommandTag: []byte(tag)}) }

func factsMessage(facts []statement.Fact) []byte {
	if facts == nil {
		return nil
	}
	text, _ := json.Marshal(facts)
	return encode(&pgproto3.ParameterStatus{Name: statement.FactsParameter, Value: string(text)})
}

var columns = encode(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("x"), DataTypeOID: 25}}})

func row(value string) []byte { return encode(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}}) }

// rows is the reply to a simple query of one row.
func rows(value string) []byte {
	return slices.Concat(columns, row(value), complete("SELECT 1"), ready('I'))
}

var (
	parseA  = encode(&pgproto3.Parse{Name: "s", Query: "select a"})
	parsed  = encode(&pgproto3.ParseComplete{})
	bound   = encode(&pgproto3.BindComplete{})
	execute = encode(&pgproto3.Execute{})
	syncMsg = encode(&pgproto3.Sync{})
	portalD = encode(&pgproto3.Describe{ObjectType: 'P'})
)

func bind(statement, value string) []byte {
	return encode(&pgproto3.Bind{PreparedStatement: statement, Parameters: [][]byte{[]byte(value)}})
}

func newRig(t *testing.T) (*rig, *journal, chan net.Conn) {
	t.Helper()
	return decidedRig(t, nil)
}

// decidedRig is newRig with a decision for every statement.
func decidedRig(t *testing.T, d *Decision) (*rig, *journal, chan net.Conn) {
	t.Helper()
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	a := newAnalysis()
	a.decision = d
	shared := node(a, j, backends)
	return connect(t, shared, backends, false), j, backends
}

func TestRepeatReadIsAnsweredFromMemory(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	r.hit(query("select a"), rows("1"))
	r.hit(query("select a -- another comment"), rows("1"))
}

func TestExtendedQueryIsAnsweredFromMemory(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(slices.Concat(parseA, syncMsg), slices.Concat(parsed, ready('I')))
	ask := slices.Concat(bind("s", "1"), portalD, execute, syncMsg)
	answer := slices.Concat(bound, rows("1"))
	r.through(ask, answer)
	r.hit(ask, answer)
	// Without the Describe, the same entry serves.
	r.hit(slices.Concat(bind("s", "1"), execute, syncMsg), slices.Concat(bound, row("1"), complete("SELECT 1"), ready('I')))
	// Another parameter is another entry.
	other := slices.Concat(bind("s", "2"), portalD, execute, syncMsg)
	r.through(other, slices.Concat(bound, rows("2")))
	r.hit(slices.Concat(bind("s", "1"), execute, bind("s", "2"), portalD, execute, syncMsg),
		slices.Concat(bound, row("1"), complete("SELECT 1"), bound, rows("2")))
}

func TestParseAnsweredFromMemoryReachesTheBackendBeforeItIsNeeded(t *testing.T) {
	r, _, _ := newRig(t)
	parse := encode(&pgproto3.Parse{Query: "select a"})
	ask := slices.Concat(parse, bind("", "1"), execute, syncMsg)
	answer := slices.Concat(parsed, bound, row("1"), complete("SELECT 1"), ready('I'))
	r.through(ask, answer)
	// The backend now has another unnamed statement.
	b := slices.Concat(encode(&pgproto3.Parse{Query: "select b"}), bind("", "1"), execute, syncMsg)
	r.through(b, answer)
	r.hit(ask, answer)
	// A Bind alone, with a parameter that is not in memory: the backend needs the Parse that it has not seen.
	miss := slices.Concat(bind("", "9"), execute, syncMsg)
	reply := slices.Concat(bound, row("9"), complete("SELECT 1"), ready('I'))
	r.roundTrip(miss, slices.Concat(parse, miss), slices.Concat(parsed, reply), reply)
	r.hit(miss, reply)
}

func TestHitNeverOvertakesAnUnfinishedStatement(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	both := slices.Concat(query("select b"), query("select a"))
	r.send(both)
	r.expectBackend(both)
	r.reply(slices.Concat(rows("2"), rows("1")))
	r.expect(slices.Concat(rows("2"), rows("1")))
}

func TestNothingIsKeptOf(t *testing.T) {
	for _, test := range []struct {
		name    string
		request []byte
		reply   []byte
	}{
		{"a reply with a notice", query("select a"), slices.Concat(encode(&pgproto3.NoticeResponse{Severity: "NOTICE"}), rows("1"))},
		{"a reply with an error", query("select a"), slices.Concat(columns, encode(&pgproto3.ErrorResponse{Severity: "ERROR"}), ready('I'))},
		{"a statement nobody knows", query("select unknown"), rows("1")},
		{
			"a suspended portal", slices.Concat(encode(&pgproto3.Parse{Query: "select a"}), bind("", "1"), encode(&pgproto3.Execute{MaxRows: 1}), syncMsg),
			slices.Concat(parsed, bound, row("1"), encode(&pgproto3.PortalSuspended{}), ready('I')),
		},
		{
			"a parameter that spells a moment", slices.Concat(encode(&pgproto3.Parse{Query: "select a"}), bind("", "Today"), execute, syncMsg),
			slices.Concat(parsed, bound, row("1"), complete("SELECT 1"), ready('I')),
		},
		{
			"a text that spells one in the binary format", slices.Concat(encode(&pgproto3.Parse{Query: "select a", ParameterOIDs: []uint32{25}}),
				encode(&pgproto3.Bind{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{[]byte("now")}}), execute, syncMsg),
			slices.Concat(parsed, bound, row("1"), complete("SELECT 1"), ready('I')),
		},
		{
			"a segment that also writes", slices.Concat(encode(&pgproto3.Parse{Query: "update a"}), bind("", "1"), execute, encode(&pgproto3.Parse{Query: "select a"}), bind("", "1"), execute, syncMsg),
			slices.Concat(parsed, bound, complete("UPDATE 1"), parsed, bound, row("1"), complete("SELECT 1"), ready('I')),
		},
		{"a result larger than an entry may be", query("select a"), slices.Concat(columns, row(string(make([]byte, 1<<16))), complete("SELECT 1"), ready('I'))},
		{"two results of one text", query("select a"), slices.Concat(columns, row("1"), complete("SELECT 1"), rows("1"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _, _ := newRig(t)
			r.through(test.request, test.reply)
			r.through(test.request, test.reply)
			if s := r.shared.Cache.Stats(); s.Fills != 0 {
				t.Errorf("cache has %d fills, want none", s.Fills)
			}
		})
	}
}

func TestNothingIsAnsweredInsideABlock(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	r.through(query("begin"), slices.Concat(complete("BEGIN"), ready('T')))
	r.through(query("select a"), slices.Concat(columns, row("1"), complete("SELECT 1"), ready('T')))
	r.through(query("commit"), slices.Concat(complete("COMMIT"), ready('I')))
	r.hit(query("select a"), rows("1"))
}

func TestR4SlowReadDoesNotBringBackWhatAWriteVoided(t *testing.T) {
	r, _, backends := newRig(t)
	writer := connect(t, r.shared, backends, false)
	r.send(query("select a"))
	r.expectBackend(query("select a"))
	writer.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('I')))
	r.reply(rows("old"))
	r.expect(rows("old"))
	if s := r.shared.Cache.Stats(); s.Refused != 1 || s.Fills != 0 {
		t.Errorf("cache stats = %+v, want the fill refused", s)
	}
	r.through(query("select a"), rows("new"))
	r.hit(query("select a"), rows("new"))
}

func TestR2WriteIsPublishedBeforeItsClientHears(t *testing.T) {
	r, j, _ := newRig(t)
	before := j.Last()
	r.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('I')))
	if j.Last() == before {
		t.Error("the client has its ReadyForQuery, and the log no event")
	}
}

func TestR9RollbackPublishesNothing(t *testing.T) {
	r, j, _ := newRig(t)
	before := j.Last()
	r.through(query("begin"), slices.Concat(complete("BEGIN"), ready('T')))
	r.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('T')))
	r.through(query("rollback"), slices.Concat(complete("ROLLBACK"), ready('I')))
	if j.Last() != before {
		t.Error("a rollback was published")
	}
}

func TestR9ConnectionLostWithAWriteInFlightCounts(t *testing.T) {
	r, j, _ := newRig(t)
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	r.backend.Close()
	if got := <-j.published; !slices.Equal(got.Relations, []string{"public.a"}) {
		t.Errorf("published %+v, want public.a", got)
	}
}

func TestR9OutcomeIsReadAfterTheClientHasGone(t *testing.T) {
	r, j, _ := newRig(t)
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	r.client.Close()
	// The backend hears that nobody listens, and commits all the same.
	if n, err := r.backend.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("backend read %d bytes, %v; want the end", n, err)
	}
	select {
	case c := <-j.published:
		t.Fatalf("%+v was published before the outcome was known", c)
	default:
	}
	r.reply(slices.Concat(complete("UPDATE 1"), ready('I')))
	if got := <-j.published; !slices.Equal(got.Relations, []string{"public.a"}) {
		t.Errorf("published %+v, want public.a", got)
	}
}

func TestR2OverdueWriteIsPublishedAhead(t *testing.T) {
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	shared := node(newAnalysis(), j, backends)
	shared.MaxStaleness = 2 * time.Millisecond
	r := connect(t, shared, backends, false)
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	for range 3 { // again and again, until the outcome is known
		if got := <-j.published; !slices.Equal(got.Relations, []string{"public.a"}) {
			t.Errorf("published %+v, want public.a", got)
		}
	}
	r.reply(slices.Concat(complete("UPDATE 1"), ready('I')))
	r.expect(slices.Concat(complete("UPDATE 1"), ready('I')))
}

func TestChangedCatalogMakesAWriteVoidEverything(t *testing.T) {
	r, j, _ := newRig(t)
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	a := r.shared.Analysis.(*analysis)
	a.mu.Lock()
	a.generation++
	a.mu.Unlock()
	r.reply(slices.Concat(complete("UPDATE 1"), ready('I')))
	if got := <-j.published; !got.Anything {
		t.Errorf("published %+v, want anything", got)
	}
}

func TestCopyInThroughTheExtendedProtocolKeepsTheQueue(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select b"), rows("2"))
	in := encode(&pgproto3.CopyInResponse{})
	// The first Sync reaches the backend while it reads copy data, and is ignored.
	start := slices.Concat(encode(&pgproto3.Parse{Query: "copy a"}), bind("", "1"), execute, syncMsg)
	r.through(start, slices.Concat(parsed, bound, in))
	data := slices.Concat(encode(&pgproto3.CopyData{Data: []byte("x\n")}), encode(&pgproto3.CopyDone{}), syncMsg)
	r.through(data, slices.Concat(complete("COPY 1"), ready('I')))
	r.hit(query("select b"), rows("2"))
	// All at once, without waiting for the backend.
	all := slices.Concat(start[:len(start)-len(syncMsg)], data)
	r.through(all, slices.Concat(parsed, bound, in, complete("COPY 1"), ready('I')))
	r.hit(query("select b"), rows("2"))
}

func TestErrorInAPipelineSkipsToSync(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select b"), rows("2"))
	fail := slices.Concat(encode(&pgproto3.Parse{Name: "bad", Query: "select unknown"}), bind("bad", "1"), execute, syncMsg)
	failure := slices.Concat(encode(&pgproto3.ErrorResponse{Severity: "ERROR"}), ready('I'))
	r.through(fail, failure)
	r.hit(query("select b"), rows("2"))
	// With a Flush the error is read before the Sync is sent; what comes between is skipped.
	flush := encode(&pgproto3.Flush{})
	// Nothing is known of what comes behind the Flush, so the unnamed statement that the answer has ended goes first.
	parse := slices.Concat(encode(&pgproto3.Parse{Name: "bad", Query: "select unknown"}), flush)
	failure = failure[:len(failure)-len(ready('I'))]
	r.roundTrip(parse, slices.Concat(closeStatement, parse), slices.Concat(encode(&pgproto3.CloseComplete{}), failure), failure)
	r.through(slices.Concat(bind("bad", "1"), execute, syncMsg), ready('I'))
	r.hit(query("select b"), rows("2"))
}

func TestUnexpectedReplyEndsFollowingButNotTheSession(t *testing.T) {
	r, j, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	r.through(query("select b"), slices.Concat(bound, rows("2")))
	r.through(query("select a"), rows("1"))
	if got := <-j.published; !got.Anything {
		t.Errorf("published %+v, want anything: the session is not followed", got)
	}
}

func TestSettingsPartSessions(t *testing.T) {
	r, _, backends := newRig(t)
	other := connect(t, r.shared, backends, false)
	r.through(query("select a"), rows("1"))
	other.hit(query("select a"), rows("1"))
	other.through(query("set x = 1"), slices.Concat(complete("SET"), ready('I')))
	other.through(query("select a"), rows("x"))
	r.hit(query("select a"), rows("1"))
	other.hit(query("select a"), rows("x"))
}

func TestReportedParameterPartsSessions(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	// Postgres reports on its own accord, as after a reload.
	report := encode(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "Asia/Tokyo"})
	r.reply(report)
	r.expect(report)
	r.through(query("select a"), rows("2"))
	report = encode(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "off"})
	r.reply(report)
	r.expect(report)
	r.through(query("select a"), rows("3"))
	r.through(query("select a"), rows("3"))
}

func TestClientSendsBytewise(t *testing.T) {
	r, _, _ := newRig(t)
	r.through(query("select a"), rows("1"))
	for _, b := range query("select a") {
		r.send([]byte{b})
	}
	r.expect(rows("1"))
}

func TestInvalidLengthIsRefused(t *testing.T) {
	r, _, _ := newRig(t)
	r.send([]byte{'Q', 0, 0, 0, 1})
	r.expect([]byte{'E'})
}

func TestLargeResultStreams(t *testing.T) {
	r, _, _ := newRig(t)
	big := slices.Concat(columns, row(string(make([]byte, 3<<20))), complete("SELECT 1"), ready('I'))
	r.send(query("select b"))
	r.expectBackend(query("select b"))
	replied := make(chan error, 1)
	go func() { _, err := r.backend.Write(big); replied <- err }()
	r.expect(big)
	if err := <-replied; err != nil {
		t.Fatal(err)
	}
	r.through(query("select a"), rows("1"))
	r.hit(query("select a"), rows("1"))
}

func TestStatementTooLargeToAnalyseStreamsAndCountsAsAnything(t *testing.T) {
	r, j, _ := newRig(t)
	text := "select '" + string(bytes.Repeat([]byte("x"), 2*clientWindow)) + "'"
	sent := make(chan error, 1)
	go func() { _, err := r.client.Write(query(text)); sent <- err }()
	r.expectBackend(query(text))
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	r.reply(rows("1"))
	r.expect(rows("1"))
	if got := <-j.published; !got.Anything {
		t.Errorf("published %+v, want anything", got)
	}
	// It may have changed the session's state too: the session shares nothing from here on.
	r.through(query("select a"), rows("1"))
	r.through(query("select a"), rows("1"))
}

func TestEdgeLearnsFromFacts(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(nil, j, backends)
	state := statement.Fact{Index: -1, Session: &statement.SessionFact{State: "s"}}
	r := connect(t, shared, backends, false, state)
	version := j.Last().Stamp()
	read := statement.Fact{Verdict: statement.Read, Read: &statement.ReadFact{Epoch: j.Epoch(), Version: uint64(version), Relations: []string{"public.a"}, TTLMillis: 60000}}
	reply := rows("1")
	withFacts := slices.Concat(reply[:len(reply)-6], factsMessage([]statement.Fact{read}), ready('I'))
	r.roundTrip(query("select a"), query("select a"), withFacts, reply)
	r.hit(query("select a"), reply)

	t.Run("R7: its own write counts before its client hears", func(t *testing.T) {
		wrote := statement.Fact{Index: -1, Write: &statement.WriteFact{Epoch: j.Epoch(), Version: uint64(version + 1), Tables: []string{"public.a"}}}
		done := slices.Concat(complete("UPDATE 1"), ready('I'))
		r.roundTrip(query("update a"), query("update a"), slices.Concat(complete("UPDATE 1"), factsMessage([]statement.Fact{wrote}), ready('I')), done)
		// R4: the old stamp is not kept any more.
		r.roundTrip(query("select a"), query("select a"), withFacts, reply)
		if s := shared.Cache.Stats(); s.Refused != 1 {
			t.Errorf("stats = %+v, want the fill with the old stamp refused", s)
		}
	})
	t.Run("nothing is kept without facts", func(t *testing.T) {
		r.through(query("select b"), rows("2"))
		r.through(query("select b"), rows("2"))
	})
	t.Run("nothing is kept of another epoch", func(t *testing.T) {
		stray := read
		stray.Read = &statement.ReadFact{Epoch: "other", Version: 1 << 62, Relations: []string{"public.a"}, TTLMillis: 60000}
		r.roundTrip(query("select b"), query("select b"), slices.Concat(reply[:len(reply)-6], factsMessage([]statement.Fact{stray}), ready('I')), reply)
		r.through(query("select b"), rows("2"))
	})
	t.Run("R6: nothing is answered without a lease", func(t *testing.T) {
		fresh := read
		fresh.Read = &statement.ReadFact{Epoch: j.Epoch(), Version: uint64(version + 2), Relations: []string{"public.a"}, TTLMillis: 60000}
		r.roundTrip(query("select a"), query("select a"), slices.Concat(reply[:len(reply)-6], factsMessage([]statement.Fact{fresh}), ready('I')), reply)
		r.hit(query("select a"), reply)
		shared.Lease.End()
		r.through(query("select a"), reply)
		shared.Lease.Forever()
		r.hit(query("select a"), reply)
	})
	t.Run("R7: its own write counts although the home has started anew, and the edge has not heard of it", func(t *testing.T) {
		other := connect(t, shared, backends, false, state)
		wrote := statement.Fact{Index: -1, Write: &statement.WriteFact{Epoch: "next", Version: 10, Tables: []string{"public.a"}}}
		done := slices.Concat(complete("UPDATE 1"), ready('I'))
		r.roundTrip(query("update a"), query("update a"), slices.Concat(complete("UPDATE 1"), factsMessage([]statement.Fact{wrote}), ready('I')), done)
		r.through(query("select a"), rows("2"))
		other.hit(query("select a"), reply) // within its lease it is good for those who have not written

		shared.Floors.Begin("next", 8)
		slow, fresh := read, read
		slow.Read = &statement.ReadFact{Epoch: "next", Version: 9, Relations: []string{"public.a"}, TTLMillis: 60000}
		other.roundTrip(query("select a"), query("select a"), slices.Concat(reply[:len(reply)-6], factsMessage([]statement.Fact{slow}), ready('I')), reply)
		fresh.Read = &statement.ReadFact{Epoch: "next", Version: 11, Relations: []string{"public.a"}, TTLMillis: 60000}
		reply := rows("2")
		r.roundTrip(query("select a"), query("select a"), slices.Concat(reply[:len(reply)-6], factsMessage([]statement.Fact{fresh}), ready('I')), reply)
		r.hit(query("select a"), reply)
	})
}

func TestEdgeSharesNothingBeforeTheHomeHasSpoken(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	r := connect(t, node(nil, j, backends), backends, false)
	r.through(query("select a"), rows("1"))
	r.through(query("select a"), rows("1"))
}

func TestHomeTellsItsEdge(t *testing.T) {
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	r := connect(t, node(newAnalysis(), j, backends), backends, true)
	body := rows("1")[:len(rows("1"))-6]

	stamp := j.Stamp()
	r.send(query("select a"))
	r.expectBackend(query("select a"))
	r.reply(rows("1"))
	facts := r.skipFacts(body)
	r.expect(ready('I'))
	if len(facts) != 1 || facts[0].Read == nil || facts[0].Read.Version != uint64(stamp) || !slices.Equal(facts[0].Read.Relations, []string{"public.a"}) {
		t.Fatalf("facts of a read = %+v, want version %d on public.a", facts, stamp)
	}

	r.send(query("select a")) // answered from the home's own memory, with the same facts
	facts = r.skipFacts(body)
	r.expect(ready('I'))
	if len(facts) != 1 || facts[0].Read == nil || facts[0].Read.Version != uint64(stamp) {
		t.Fatalf("facts of a hit = %+v, want version %d", facts, stamp)
	}

	r.send(query("update a"))
	r.expectBackend(query("update a"))
	r.reply(slices.Concat(complete("UPDATE 1"), ready('I')))
	facts = r.skipFacts(complete("UPDATE 1"))
	r.expect(ready('I'))
	if len(facts) == 0 || facts[0].Write == nil || facts[0].Write.Version != uint64(j.Last()) || !slices.Equal(facts[0].Write.Tables, []string{"public.a"}) {
		t.Fatalf("facts of a write = %+v, want public.a at %d", facts, j.Last())
	}
}

// TestR7FactsOfALongPipelineStillTellWhatWasWritten sends more statements between two Syncs than one message of facts
// has room for.
func TestR7FactsOfALongPipelineStillTellWhatWasWritten(t *testing.T) {
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	r := connect(t, node(newAnalysis(), j, backends), backends, true)
	const n = 2000
	request := encode(&pgproto3.Parse{Query: "update a"})
	reply := parsed
	for range n {
		request = slices.Concat(request, bind("", "1"), execute)
		reply = slices.Concat(reply, bound, complete("UPDATE 1"))
	}
	r.send(slices.Concat(request, syncMsg))
	r.expectBackend(slices.Concat(request, syncMsg))
	r.reply(slices.Concat(reply, ready('I')))
	facts := r.skipFacts(reply)
	r.expect(ready('I'))
	if len(facts) == 0 || facts[0].Write == nil || facts[0].Write.Version != uint64(j.Last()) {
		t.Errorf("%d facts, none of the write", len(facts))
	}
}

func TestDrain(t *testing.T) {
	t.Run("ends an idle session at once and says why", func(t *testing.T) {
		r, _, _ := newRig(t)
		r.session.Drain()
		rest, _ := io.ReadAll(r.client)
		if !bytes.Contains(rest, []byte("57P01")) {
			t.Errorf("client got %q, want SQLSTATE 57P01", rest)
		}
	})
	t.Run("lets a running statement end", func(t *testing.T) {
		r, _, _ := newRig(t)
		r.send(query("select a"))
		r.expectBackend(query("select a"))
		r.session.Drain()
		r.reply(rows("1"))
		r.expect(rows("1"))
		rest, _ := io.ReadAll(r.client)
		if !bytes.Contains(rest, []byte("57P01")) {
			t.Errorf("client got %q after its result, want SQLSTATE 57P01", rest)
		}
	})
}

func TestUpstreamThatCannotBeReachedIsSaid(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	shared := node(nil, j, nil)
	shared.Dial = func(context.Context, Peer) (net.Conn, error) { return nil, errors.New("nobody there") }
	client, accepted := tcpPair()
	defer client.Close()
	done := make(chan error, 1)
	go func() { done <- New(shared, accepted, Peer{Addr: "test"}, false).Run(context.Background()) }()
	if _, err := client.Write(encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "u"}})); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(client)
	if !bytes.Contains(rest, []byte("08006")) || !bytes.Contains(rest, []byte("nobody there")) {
		t.Errorf("client got %q, want SQLSTATE 08006 and the reason", rest)
	}
	if err := <-done; err == nil {
		t.Error("Run returned nil")
	}
}

func TestCancelRequestReachesTheUpstream(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(nil, j, backends)
	client, accepted := tcpPair()
	defer client.Close()
	done := make(chan error, 1)
	go func() { done <- New(shared, accepted, Peer{Addr: "test"}, false).Run(context.Background()) }()
	packet := encode(&pgproto3.CancelRequest{ProcessID: 7, SecretKey: 8})
	if _, err := client.Write(packet); err != nil {
		t.Fatal(err)
	}
	backend := <-backends
	got := make([]byte, len(packet))
	if _, err := io.ReadFull(backend, got); err != nil || !bytes.Equal(got, packet) {
		t.Errorf("backend got %q, %v; want %q", got, err, packet)
	}
	backend.Close()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// promising returns a rig whose home says that blocks are READ COMMITTED, and that answers BEGIN from memory.
func promising(t *testing.T) *rig {
	t.Helper()
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	a := newAnalysis()
	a.initial.Isolation = "read committed"
	shared := node(a, j, backends)
	shared.LazyBegin = true
	return connect(t, shared, backends, false)
}

// beginAhead is what goes ahead of the first statement of a block that a simple BEGIN was promised for.
var beginAhead = encode(&pgproto3.Parse{Query: "begin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'P'}, &pgproto3.Close{ObjectType: 'S'})

func TestPromisedBlockBeginsWithItsFirstStatement(t *testing.T) {
	r := promising(t)
	began := slices.Concat(complete("BEGIN"), ready('T'))
	r.send(query("begin"))
	r.expect(began)
	answer := slices.Concat(complete("UPDATE 1"), ready('T'))
	swallowed := slices.Concat(parsed, bound, complete("BEGIN"), encode(&pgproto3.CloseComplete{}, &pgproto3.CloseComplete{}))
	r.roundTrip(query("update a"), slices.Concat(beginAhead, query("update a")), slices.Concat(swallowed, answer), answer)
	r.through(query("rollback"), slices.Concat(complete("ROLLBACK"), ready('I')))
}

// TestRefusedBeginEndsTheSession lets the upstream refuse the BEGIN that the client believes in: no statement of the
// block may run outside of one, and the client must not take the end of the cycle for its own.
func TestRefusedBeginEndsTheSession(t *testing.T) {
	r := promising(t)
	r.send(query("begin"))
	r.expect(slices.Concat(complete("BEGIN"), ready('T')))
	segment := slices.Concat(parseA, bind("s", "1"), execute, syncMsg)
	r.send(segment)
	r.expectBackend(slices.Concat(beginAhead, segment))
	r.reply(slices.Concat(encode(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014"}), ready('I')))
	rest, _ := io.ReadAll(r.client)
	if !bytes.Contains(rest, []byte("08006")) || bytes.Contains(rest, ready('I')) || bytes.Contains(rest, []byte("57014")) {
		t.Errorf("the client got %q, want SQLSTATE 08006 and the end", rest)
	}
}

// TestStartOfASessionIsLogged lets an operator find the client of a backend that pg_stat_activity shows.
func TestStartOfASessionIsLogged(t *testing.T) {
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	shared := node(newAnalysis(), j, backends)
	lines := make(chan string, 16)
	shared.Logger = slog.New(slog.NewTextHandler(lineWriter(lines), nil))
	connect(t, shared, backends, false)
	line := <-lines
	for _, want := range []string{"session started", "client=test", "database=db", "user=u", "backend_pid=1"} {
		if !strings.Contains(line, want) {
			t.Errorf("logged %q, want %q in it", line, want)
		}
	}
}

type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}
