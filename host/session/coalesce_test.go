package session

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// crowd returns sessions of one home whose misses take as long as pace says.
func crowd(t *testing.T, n int, pace time.Duration) ([]*rig, *journal) {
	t.Helper()
	j := &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 16)}
	backends := make(chan net.Conn, 1)
	shared := node(newAnalysis(), j, backends)
	shared.Counters.pace.note(pace)
	all := make([]*rig, n)
	for i := range all {
		all[i] = connect(t, shared, backends, false)
	}
	return all, j
}

// follow sends the same from every session but the first, which leads.
func follow(t *testing.T, all []*rig, request []byte) {
	t.Helper()
	for _, r := range all[1:] {
		r.send(request)
	}
}

func TestManyThatMissAtOnceAskOnce(t *testing.T) {
	extended := slices.Concat(encode(&pgproto3.Parse{Query: "select a"}), bind("", "1"), execute, syncMsg)
	for _, test := range []struct {
		name            string
		request, answer []byte
	}{
		{"simple", query("select a"), rows("1")},
		{"extended", extended, slices.Concat(parsed, bound, row("1"), complete("SELECT 1"), ready('I'))},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, j := crowd(t, 5, time.Minute)
			for range 2 { // cold, and behind an event
				all[0].send(test.request)
				all[0].expectBackend(test.request)
				follow(t, all, test.request)
				all[0].reply(test.answer)
				for _, r := range all {
					r.expect(test.answer)
				}
				j.Append("db", []string{"public.a"})
			}
			// Nothing of it has reached another backend: what is sent next is the first that it sees.
			for _, r := range all[1:] {
				r.through(query("select unknown"), rows("9"))
			}
			if totals := all[0].shared.Counters.Totals(); totals.Misses != 2 || totals.Hits != 8 {
				t.Errorf("counted %+v, want 2 misses and 8 hits", totals)
			}
		})
	}
}

// TestNobodyWaitsLongerThanForItsOwnQuery has a leader whose backend never answers.
func TestNobodyWaitsLongerThanForItsOwnQuery(t *testing.T) {
	all, _ := crowd(t, 3, time.Millisecond)
	all[0].send(query("select a"))
	all[0].expectBackend(query("select a"))
	follow(t, all, query("select a"))
	for _, r := range all[1:] {
		r.expectBackend(query("select a"))
		r.reply(rows("1"))
		r.expect(rows("1"))
	}
}

func TestALeaderThatFailsHoldsNobodyBack(t *testing.T) {
	failure := encode(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014"})
	for _, test := range []struct {
		name string
		fail func(leader *rig)
	}{
		{"with an error", func(leader *rig) {
			leader.reply(slices.Concat(failure, ready('I')))
			leader.expect(slices.Concat(failure, ready('I')))
		}},
		{"with its connection", func(leader *rig) { leader.backend.Close() }},
		{"with its client", func(leader *rig) {
			leader.client.Close()
			leader.backend.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, _ := crowd(t, 2, time.Minute)
			all[0].send(query("select a"))
			all[0].expectBackend(query("select a"))
			follow(t, all, query("select a"))
			test.fail(all[0])
			all[1].expectBackend(query("select a"))
			all[1].reply(rows("1"))
			all[1].expect(rows("1"))
		})
	}
}

// TestAnEdgeCoalescesWhatItHasKeptBefore: it does not know of a text that it has never seen whether it can be kept.
func TestAnEdgeCoalescesWhatItHasKeptBefore(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(nil, j, backends)
	shared.Counters.pace.note(time.Minute)
	state := statement.Fact{Index: -1, Session: &statement.SessionFact{State: "s", Begin: true}}
	a, b := connect(t, shared, backends, false, state), connect(t, shared, backends, false, state)
	answer := rows("1")
	a.session.mu.Lock()
	key := appendQueryKey(nil, &a.session.mu.state.prefix, []byte("select a"))
	a.session.mu.Unlock()
	floors, _ := shared.Floors.Depend(j.Epoch(), "db", []string{"public.a"})
	shared.Cache.Store(shared.Cache.Hash(key), &cache.Entry{
		Key: key, Version: j.Stamp(), Floors: &floors, Expires: invalidation.Now().Add(time.Minute), Took: time.Minute, Body: answer,
	})
	a.hit(query("select a"), answer)
	shared.Floors.RaiseIn(j.Epoch(), invalidation.Event{Version: j.Append("db", []string{"public.a"}), Database: "db", Tables: []string{"public.a"}})

	a.send(query("select a"))
	a.expectBackend(query("select a"))
	b.send(query("select a"))
	read := factsMessage([]statement.Fact{{Verdict: statement.Read, Read: &statement.ReadFact{Epoch: j.Epoch(), Version: uint64(j.Stamp()), Relations: []string{"public.a"}, TTLMillis: 60_000}}})
	a.reply(slices.Concat(answer[:len(answer)-6], read, ready('I')))
	a.expect(answer)
	b.expect(answer)
	b.through(query("select unknown"), rows("9"))
}
