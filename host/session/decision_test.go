package session

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// TestStaleResultIsAnsweredWhileOneAsksAnew lets the time to live end, and then keeps the answer of the one that asks.
func TestStaleResultIsAnsweredWhileOneAsksAnew(t *testing.T) {
	a, _, backends := decidedRig(t, &Decision{Cache: true, TTL: time.Millisecond, Stale: time.Hour})
	b := connect(t, a.shared, backends, false)
	a.through(query("select a"), rows("old"))
	expire(t, a, "select a")
	a.send(query("select a"))
	a.expectBackend(query("select a"))
	for range 3 {
		b.hit(query("select a"), rows("old"))
	}
	if s := a.shared.Cache.Stats(); s.Stale != 3 {
		t.Errorf("counted %d stale answers, want 3", s.Stale)
	}
	a.reply(rows("new"))
	a.expect(rows("new"))
	expire(t, a, "select a")
	// Nobody asks: the first that comes does.
	b.send(query("select a"))
	b.expectBackend(query("select a"))
	a.hit(query("select a"), rows("new"))
	// Never past an event.
	a.shared.Floors.Raise(invalidation.Event{Version: 1 << 62, Database: "db", Tables: []string{"public.a"}})
	b.reply(rows("late"))
	b.expect(rows("late"))
	a.send(query("select a"))
	a.expectBackend(query("select a"))
	a.reply(rows("later"))
	a.expect(rows("later"))
}

// expire waits until the entry of a simple query has outlived its time to live: a millisecond.
func expire(t *testing.T, r *rig, text string) {
	t.Helper()
	r.session.mu.Lock()
	key := appendQueryKey(nil, &r.session.mu.state.prefix, []byte(text))
	r.session.mu.Unlock()
	for end := time.Now().Add(10 * time.Second); ; {
		if e, took := r.shared.Cache.Find(r.shared.Cache.Hash(key), key, invalidation.Now()); e == nil {
			if took == 0 {
				t.Fatal("the entry is gone")
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("the entry does not expire")
		}
	}
}

func TestEventualResultOutlivesWritesAndTheLease(t *testing.T) {
	for _, text := range []string{"select a", "select t"} {
		t.Run(text, func(t *testing.T) {
			r, j, _ := decidedRig(t, &Decision{Cache: true, TTL: time.Hour, Eventual: true})
			r.through(query(text), rows("1"))
			r.hit(query(text), rows("1"))
			r.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('I')))
			r.hit(query(text), rows("1"))
			r.shared.Lease.End()
			r.hit(query(text), rows("1"))
			if got := r.shared.Counters.Totals().Unleased; got != 1 {
				t.Errorf("counted %d hits without a lease, want 1", got)
			}
			j.Append("db", nil) // a change of the schema
			r.through(query(text), rows("2"))
		})
	}
}

// TestTagVoidsWhatHasItWhateverItsLevel voids by a tag that the result has, and by one that it has not.
func TestTagVoidsWhatHasItWhateverItsLevel(t *testing.T) {
	for _, eventual := range []bool{false, true} {
		mine, other := invalidation.TagName("mine"), invalidation.TagName("other")
		r, j, _ := decidedRig(t, &Decision{Cache: true, TTL: time.Hour, Eventual: eventual, Tags: []string{mine}})
		r.through(query("select a"), rows("1"))
		j.Append("db", []string{other})
		j.Append("another", []string{mine})
		r.hit(query("select a"), rows("1"))
		j.Append("db", []string{mine})
		r.through(query("select a"), rows("2"))
		r.hit(query("select a"), rows("2"))
	}
}

func TestUnstableResultIsKeptAtNoOtherLevel(t *testing.T) {
	r, _, _ := decidedRig(t, &Decision{Cache: true, TTL: time.Hour})
	r.through(query("select t"), rows("1"))
	r.through(query("select t"), rows("1"))
}

// TestBoundedResultNeedsALeaseBesideOneThatDoesNot has both in memory.
func TestBoundedResultNeedsALeaseBesideOneThatDoesNot(t *testing.T) {
	r, _, backends := decidedRig(t, nil)
	r.through(query("select a"), rows("1"))
	r.hit(query("select a"), rows("1"))
	r.shared.Lease.End()
	r.through(query("select a"), rows("1"))
	again := connect(t, r.shared, backends, false)
	again.through(query("begin"), slices.Concat(complete("BEGIN"), ready('T')))
}

func TestLargestResultIsThePolicys(t *testing.T) {
	small := rows("1")
	r, _, _ := decidedRig(t, &Decision{Cache: true, TTL: time.Hour, MaxBytes: int64(len(small))})
	r.through(query("select a"), small)
	r.hit(query("select a"), small)
	large := rows("a longer value")
	r.through(query("select b"), large)
	r.through(query("select b"), large)
}

func TestResultThatNoEdgeMayKeepIsNotGivenToOne(t *testing.T) {
	for _, local := range []bool{false, true} {
		j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
		backends := make(chan net.Conn, 1)
		a := newAnalysis()
		a.decision = &Decision{Cache: true, TTL: time.Hour, Stale: time.Second, Eventual: true, MaxBytes: 1000, Local: local, Tags: []string{"#1"}}
		r := connect(t, node(a, j, backends), backends, true)
		body := rows("1")[:len(rows("1"))-6]
		for i := range 2 { // from Postgres, and from the home's own memory
			r.send(query("select a"))
			if i == 0 {
				r.expectBackend(query("select a"))
				r.reply(rows("1"))
			}
			facts := r.skipFacts(body)
			r.expect(ready('I'))
			switch {
			case len(facts) != 1 || local != (facts[0].Read == nil):
				t.Errorf("local %t: facts = %+v", local, facts)
			case !local && (facts[0].Read.StaleMillis != 1000 || !facts[0].Read.Eventual || !slices.Equal(facts[0].Read.Tags, []string{"#1"})):
				t.Errorf("what the edge is told = %+v, want all of the decision", facts[0].Read)
			case !local && i == 0 && facts[0].Read.MaxBytes != 1000:
				t.Errorf("largest result = %d, want 1000", facts[0].Read.MaxBytes)
			}
		}
		if hits := r.shared.Counters.Totals().Hits; hits != 1 {
			t.Errorf("local %t: %d hits at the home, want 1", local, hits)
		}
	}
}

// TestEachResultIsJudgedWhereItIsToBe keeps results of one row for an hour, of more not at all.
func TestEachResultIsJudgedWhereItIsToBe(t *testing.T) {
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	a := newAnalysis()
	judged := make(chan Result, 8)
	a.decision = &Decision{Cache: true, TTL: time.Minute, OnResult: func(_ context.Context, r Result) (bool, time.Duration, string) {
		judged <- r
		return r.Rows == 1, time.Hour, "has too many rows"
	}}
	shared := node(a, j, backends)
	r := connect(t, shared, backends, true)
	ask := func(text string, answer []byte) statement.Fact {
		t.Helper()
		r.send(query(text))
		r.expectBackend(query(text))
		r.reply(answer)
		facts := r.skipFacts(answer[:len(answer)-6])
		r.expect(ready('I'))
		if len(facts) != 1 {
			t.Fatalf("facts = %+v", facts)
		}
		return facts[0]
	}
	one := rows("1")
	if fact := ask("select a", one); fact.Read == nil || fact.Read.TTLMillis != time.Hour.Milliseconds() {
		t.Errorf("fact of a result that is kept for an hour = %+v", fact)
	}
	if got := <-judged; got.Rows != 1 || got.Bytes != int64(len(one)-6) || got.Latency <= 0 {
		t.Errorf("a result of one row in %d bytes was shown as %+v", len(one)-6, got)
	}
	two := slices.Concat(one[:len(one)-6-len(complete("SELECT 1"))], complete("SELECT 2"), ready('I'))
	for range 2 {
		if fact := ask("select b", two); fact.Read != nil || fact.Reason != "has too many rows" {
			t.Errorf("fact of a result that is not kept = %+v", fact)
		}
	}
	large := rows(strings.Repeat("x", shared.Cache.MaxEntryBytes()))
	if fact := ask("select b", large); fact.Read != nil || !strings.Contains(fact.Reason, "too large") {
		t.Errorf("fact of a result that nobody could see whole = %+v", fact)
	}
	if got := len(judged); got != 2 {
		t.Errorf("%d more results were judged, want 2", got)
	}
}
