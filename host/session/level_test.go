package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// TestTokenKeepsAnEdgeFromAnsweringBeforeItHasAppliedIt carries a token to an edge that is behind.
func TestTokenKeepsAnEdgeFromAnsweringBeforeItHasAppliedIt(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(nil, j, backends)
	state := statement.SessionFact{State: "s", Begin: true}
	r := connect(t, shared, backends, false, statement.Fact{Index: -1, Session: &state})
	read := factsMessage([]statement.Fact{{Index: 0, Verdict: statement.Read, Read: &statement.ReadFact{Epoch: j.Epoch(), Version: uint64(j.Stamp()), TTLMillis: 60_000}}})
	answer := rows("1")
	body := answer[:len(answer)-6]
	r.roundTrip(query("select a"), query("select a"), slices.Concat(body, read, ready('I')), answer)
	r.hit(query("select a"), answer)

	v := j.Append("db", []string{"public.b"}) // which the edge has not heard of
	after := state
	after.After = token{j.Epoch(), v}.String()
	told := factsMessage([]statement.Fact{{Index: -1, Session: &after}})
	r.roundTrip(query("set x"), query("set x"), slices.Concat(complete("SET"), told, ready('I')), slices.Concat(complete("SET"), ready('I')))
	r.roundTrip(query("select a"), query("select a"), slices.Concat(body, read, ready('I')), answer)
	shared.Floors.Advance(j.Epoch(), v-2)
	r.roundTrip(query("select a"), query("select a"), slices.Concat(body, read, ready('I')), answer)
	shared.Floors.Advance(j.Epoch(), v)
	r.hit(query("select a"), answer)
}

func TestTokens(t *testing.T) {
	want := token{"e", 12}
	if got := parseToken(want.String()); got != want {
		t.Errorf("%q reads as %+v, want %+v", want.String(), got, want)
	}
	if got := parseToken(""); got != (token{}) {
		t.Errorf("nothing reads as %+v", got)
	}
	for _, text := range []string{"12", "/12", "e/", "e/x", "e/-1", "e/0", "e/99999999999999999999", "e/1/2", "?", string(make([]byte, maxToken))} {
		if got := parseToken(text); got != never {
			t.Errorf("%q reads as %+v, want a token that is never reached", text, got)
		}
	}
}

// holdRecorder notes holds and releases; a test may keep a hold from being granted.
type holdRecorder struct {
	mu    sync.Mutex
	next  uint64
	held  map[uint64]statement.Closure
	all   []statement.Closure
	grant func(context.Context) error
}

func (h *holdRecorder) Hold(ctx context.Context, _ string, c statement.Closure) (uint64, error) {
	if h.grant != nil {
		if err := h.grant(ctx); err != nil {
			return 0, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.held[h.next] = c
	h.all = append(h.all, c)
	return h.next, nil
}

func (h *holdRecorder) Release(ids ...uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.held, id)
	}
}

// now returns what is held, in words.
func (h *holdRecorder) now() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var c statement.Closure
	for _, one := range h.held {
		c = c.Union(one)
	}
	if c.Anything {
		return "anything"
	}
	return fmt.Sprint(c.Relations)
}

func strongRig(t *testing.T) (*rig, *journal, *holdRecorder) {
	t.Helper()
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 64)}
	a := newAnalysis()
	for _, name := range []string{"savepoint s", "rollback to s"} {
		a.texts[name] = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlSavepoint, Savepoint: "s"}
	}
	a.texts["rollback to s"].Control = statement.ControlRollbackTo
	a.texts["update b"] = &statement.Descriptor{Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.b"}}, Command: "UPDATE"}
	a.texts["both"] = &statement.Descriptor{Verdict: statement.Write, Many: true, Writes: statement.Closure{Relations: []string{"public.a"}}, Control: statement.ControlMany, Parts: []*statement.Descriptor{a.texts["begin"], a.texts["update a"], a.texts["commit"]}}
	backends := make(chan net.Conn, 1)
	shared := node(a, j, backends)
	h := &holdRecorder{held: map[uint64]statement.Closure{}}
	shared.Level, shared.Holds = func(string) statement.Level { return statement.Strong }, h
	return connect(t, shared, backends, false), j, h
}

// TestR11WriteIsHeldFromBeforeItIsSentUntilItIsPublished goes through the ways in which a write becomes visible.
func TestR11WriteIsHeldFromBeforeItIsSentUntilItIsPublished(t *testing.T) {
	const nothing, a, b, ab, anything = "[]", "[public.a]", "[public.b]", "[public.a public.b]", "anything"
	type exchange struct {
		send, answer []byte
		held         string // while the backend has the message and has not answered
	}
	begin := exchange{query("begin"), slices.Concat(complete("BEGIN"), ready('T')), nothing}
	failure := encode(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "23505"})
	extendedA := slices.Concat(encode(&pgproto3.Parse{Query: "update a"}), bind("", "1"), execute)
	extendedDone := slices.Concat(parsed, bound, complete("UPDATE 1"))
	inBlock := slices.Concat(complete("UPDATE 1"), ready('T'))
	for _, test := range []struct {
		name string
		all  []exchange
	}{
		{"a read", []exchange{{query("select a"), rows("1"), nothing}}},
		{"a write of its own", []exchange{{query("update a"), slices.Concat(complete("UPDATE 1"), ready('I')), a}}},
		{"one that fails", []exchange{{query("update a"), slices.Concat(failure, ready('I')), a}}},
		{"an extended one", []exchange{{slices.Concat(extendedA, syncMsg), slices.Concat(extendedDone, ready('I')), a}}},
		{"two in one pipeline", []exchange{{
			slices.Concat(extendedA, encode(&pgproto3.Parse{Query: "update b"}), bind("", "1"), execute, syncMsg),
			slices.Concat(extendedDone, extendedDone, ready('I')), ab,
		}}},
		{"a block", []exchange{
			begin,
			{query("update a"), inBlock, nothing},
			{query("update b"), inBlock, nothing},
			{query("savepoint s"), slices.Concat(complete("SAVEPOINT"), ready('T')), nothing},
			{query("commit"), slices.Concat(complete("COMMIT"), ready('I')), ab},
		}},
		{"a block that is taken back", []exchange{
			begin,
			{query("update a"), inBlock, nothing},
			{query("rollback"), slices.Concat(complete("ROLLBACK"), ready('I')), nothing},
			{query("update b"), slices.Concat(complete("UPDATE 1"), ready('I')), b},
		}},
		{"a block in one text", []exchange{{query("both"), slices.Concat(complete("BEGIN"), complete("UPDATE 1"), complete("COMMIT"), ready('I')), a}}},
		{"a statement that nobody knows", []exchange{{query("select unknown"), rows("1"), anything}}},
		{"copy", []exchange{{query("copy a"), encode(&pgproto3.CopyInResponse{}), a}, {
			slices.Concat(encode(&pgproto3.CopyData{Data: []byte("1\n")}), encode(&pgproto3.CopyDone{})), slices.Concat(complete("COPY 1"), ready('I')), a,
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _, h := strongRig(t)
			for i, x := range test.all {
				r.send(x.send)
				r.expectBackend(x.send)
				if got := h.now(); got != x.held {
					t.Errorf("exchange %d: held %s while the backend has it, want %s", i, got, x.held)
				}
				r.reply(x.answer)
				r.expect(x.answer)
			}
			if got := h.now(); got != nothing {
				t.Errorf("still held: %s", got)
			}
		})
	}
}

// TestR11CommitWaitsBehindPipelinedWork sends a whole block without waiting for any answer.
func TestR11CommitWaitsBehindPipelinedWork(t *testing.T) {
	r, _, h := strongRig(t)
	all := slices.Concat(query("begin"), query("update a"), query("commit"), query("update b"))
	r.send(all)
	r.expectBackend(all)
	if got := h.now(); got != "[public.a public.b]" {
		t.Errorf("held %s, want both", got)
	}
	first := slices.Concat(complete("BEGIN"), ready('T'), complete("UPDATE 1"), ready('T'), complete("COMMIT"), ready('I'))
	r.reply(first)
	r.expect(first)
	if got := h.now(); got != "[public.a public.b]" {
		t.Errorf("held %s while a write is in flight, want both", got)
	}
	last := slices.Concat(complete("UPDATE 1"), ready('I'))
	r.reply(last)
	r.expect(last)
	if got := h.now(); got != "[]" {
		t.Errorf("still held: %s", got)
	}
}

// TestR11NothingIsSentWithoutItsHold ends the session where a hold cannot be had, and holds nothing behind it.
func TestR11NothingIsSentWithoutItsHold(t *testing.T) {
	r, _, h := strongRig(t)
	h.grant = func(context.Context) error { return errors.New("no") }
	r.send(query("update a"))
	var one [1]byte
	if n, err := r.backend.Read(one[:]); n != 0 || err == nil {
		t.Errorf("the backend got %q", one[:n])
	}
	r.backend.Close()
	<-r.done
	r.done <- nil
	if got := h.now(); got != "[]" {
		t.Errorf("still held: %s", got)
	}
}

// TestR11LostConnectionIsPublishedBeforeItIsReleased loses the backend with a write in flight.
func TestR11LostConnectionIsPublishedBeforeItIsReleased(t *testing.T) {
	r, j, h := strongRig(t)
	before := j.Last()
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	r.backend.Close()
	<-r.done
	r.done <- nil
	if got := h.now(); got != "[]" || j.Last() == before {
		t.Errorf("held %s, and the log went from %d to %d", got, before, j.Last())
	}
}

// eventualEdge returns a session of an edge, at level eventual, that has the answer to "select a" in memory.
func eventualEdge(t *testing.T) (*rig, []byte) {
	t.Helper()
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(nil, j, backends)
	r := connect(t, shared, backends, false, statement.Fact{Index: -1, Session: &statement.SessionFact{State: "s", Begin: true, Level: statement.Eventual}})
	read := factsMessage([]statement.Fact{{Verdict: statement.Read, Read: &statement.ReadFact{Epoch: j.Epoch(), Version: uint64(j.Stamp()), TTLMillis: 60_000}}})
	answer := rows("1")
	r.roundTrip(query("select a"), query("select a"), slices.Concat(answer[:len(answer)-6], read, ready('I')), answer)
	return r, answer
}

func TestEventualNeedsNoLease(t *testing.T) {
	r, answer := eventualEdge(t)
	r.hit(query("select a"), answer)
	r.shared.Lease.End()
	r.hit(query("select a"), answer)
	if got := r.shared.Counters.Totals(); got.Unleased != 1 {
		t.Errorf("counted %d hits without a lease, want 1", got.Unleased)
	}
	bounded := factsMessage([]statement.Fact{{Index: -1, Session: &statement.SessionFact{State: "s", Begin: true}}})
	r.roundTrip(query("reset"), query("reset"), slices.Concat(complete("RESET"), bounded, ready('I')), slices.Concat(complete("RESET"), ready('I')))
	r.through(query("select a"), answer)
}

func TestEventualGoesOnWithoutAHome(t *testing.T) {
	r, answer := eventualEdge(t)
	r.backend.Close()
	for !r.session.orphan() {
		// The upstream's loop hears of it in its own time; until then the lease may hold as well.
		r.hit(query("select a"), answer)
	}
	r.shared.Lease.End()
	r.hit(query("select a"), answer)
	r.send(query("select b"))
	rest, err := io.ReadAll(r.client)
	if err != nil || !bytes.Contains(rest, []byte("08006")) {
		t.Errorf("what is not in memory gets %q, %v; want 08006 and the end", rest, err)
	}
}

func TestEventualEndsWithABackendThatSaysWhy(t *testing.T) {
	r, _ := eventualEdge(t)
	fatal := encode(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01"})
	r.reply(fatal)
	r.expect(fatal)
	r.backend.Close()
	if rest, err := io.ReadAll(r.client); err != nil || len(rest) > 0 {
		t.Errorf("the session goes on: %q, %v", rest, err)
	}
}

func TestEventualEndsWithABackendThatOwesAnAnswer(t *testing.T) {
	r, _ := eventualEdge(t)
	r.send(query("select b"))
	r.expectBackend(query("select b"))
	r.backend.Close()
	if rest, err := io.ReadAll(r.client); err != nil || len(rest) > 0 {
		t.Errorf("the session goes on: %q, %v", rest, err)
	}
}

// TestR6NothingIsCertainBehindAWriteWhoseOutcomeIsNotRead asks while a write is under way, and once it is not.
func TestR6NothingIsCertainBehindAWriteWhoseOutcomeIsNotRead(t *testing.T) {
	r, j, _ := newRig(t)
	u := &Undecided{}
	r.session.Undecided = u
	certain := func() bool { now := invalidation.Now(); return u.Before(now) == now }
	r.through(query("select a"), rows("1"))
	if !certain() {
		t.Error("a read keeps something from being certain")
	}
	before := invalidation.Now()
	r.send(query("update a"))
	r.expectBackend(query("update a"))
	if at := u.Before(invalidation.Now()); at < before || at >= invalidation.Now() {
		t.Errorf("certain up to %d, want the moment before the write was sent, from %d on", at, before)
	}
	last := j.Last()
	r.reply(slices.Concat(complete("UPDATE 1"), ready('I')))
	r.expect(slices.Concat(complete("UPDATE 1"), ready('I')))
	if !certain() || j.Last() == last {
		t.Error("the write is published, and something is not certain")
	}
	// In a block nothing is visible before its COMMIT.
	r.through(query("begin"), slices.Concat(complete("BEGIN"), ready('T')))
	r.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('T')))
	if !certain() {
		t.Error("a write that is not committed keeps something from being certain")
	}
	r.send(query("commit"))
	r.expectBackend(query("commit"))
	if certain() {
		t.Error("a COMMIT is under way, and all is certain")
	}
	r.backend.Close()
	<-r.done
	r.done <- nil
	if !certain() {
		t.Error("the session has ended, and something is not certain")
	}
}
