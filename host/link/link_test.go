package link

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// entry returns a function that says whether an entry of this version, made now, is valid.
func entry(t *testing.T, floors *invalidation.Floors, epoch, database, table string, version int) func() bool {
	t.Helper()
	d, ok := floors.Depend(epoch, database, []string{table})
	if !ok {
		t.Fatalf("Depend: the floors are in epoch %q, want %q", floors.Epoch(), epoch)
	}
	return func() bool { return d.Valid(invalidation.Version(version)) }
}

func expect(t *testing.T, what string, valid func() bool, want bool) {
	t.Helper()
	if got := valid(); got != want {
		t.Errorf("%s: valid is %t, want %t", what, got, want)
	}
}

func TestR5EventsAreAppliedInOrder(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		users := entry(t, r.floors, "e1", "shop", "public.users", 11)
		orders := entry(t, r.floors, "e1", "shop", "public.orders", 11)
		other := entry(t, r.floors, "e1", "crm", "public.users", 11)
		expect(t, "a new entry", users, true)
		r.invalidate(12, 10, 12, "shop", "public.users")
		expect(t, "an entry of the named relation", users, false)
		expect(t, "an entry of another relation", orders, true)
		expect(t, "an entry of another database", other, true)
		r.invalidate(14, 12, 14, "crm")
		expect(t, "an entry of a voided database", other, false)
		r.invalidate(16, 14, 16, "")
		expect(t, "any entry once the node is voided", orders, false)
		if got := r.link.Status(); !got.Connected || got.Epoch != "e1" || got.Position != 16 || got.LastError != nil {
			t.Errorf("status: got %+v", got)
		}
		if len(r.seen) != 3 || r.seen[0].Version != 12 {
			t.Errorf("OnInvalidate: got %+v, want three events", r.seen)
		}
	})
}

func TestR5GapVoidsEverythingUpToIt(t *testing.T) {
	tests := []struct {
		name               string
		version, after, id int
	}{
		{"the event before it is missing", 16, 14, 16},
		{"it follows one from before the stream", 16, 8, 16},
		{"it leads further than it says", 16, 12, 18},
		{"it is older than what it follows", 10, 12, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, r *rig) {
				r.registered("e1", 10, false, staleness)
				r.invalidate(12, 10, 12, "other")
				before := entry(t, r.floors, "e1", "shop", "public.users", max(tt.version, tt.after, tt.id, 12)-1)
				after := entry(t, r.floors, "e1", "shop", "public.users", max(tt.version, tt.after, tt.id, 12)+1)
				r.invalidate(tt.version, tt.after, tt.id, "other", "public.t")
				expect(t, "an entry that the missing event may have been about", before, false)
				expect(t, "an entry behind the gap", after, true)
				if got := r.link.Status(); !got.Connected {
					t.Errorf("status: got %+v, want the stream to go on", got)
				}
			})
		})
	}
}

func TestR5ResumeKeepsEntriesAndAsksFromThePosition(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		r.invalidate(14, 10, 10, "shop", "public.t") // the first half of a batch: the position stays
		kept := entry(t, r.floors, "e1", "shop", "public.users", 15)
		r.hangUp()
		r.stream()
		got := r.registrations()
		if len(got) != 2 {
			t.Fatalf("registrations: got %d, want 2", len(got))
		}
		if got[0].Get(HeaderLastEventID) != "" || got[1].Get(HeaderLastEventID) != "10" || got[1].Get(HeaderEpoch) != "e1" {
			t.Errorf("headers: got %v, then %v; want the position 10 of e1 in the second only", got[0], got[1])
		}
		r.registered("e1", 10, true, staleness)
		expect(t, "an entry after a gapless resume", kept, true)
		r.invalidate(14, 10, 14, "shop", "public.users")
		r.invalidate(16, 14, 16, "shop", "public.users")
		expect(t, "an entry after what was missed", kept, false)
	})
}

func TestR5WhatIsNotResumedIsVoid(t *testing.T) {
	tests := []struct {
		name    string
		epoch   string
		version int
		resumed bool
		valid   bool
	}{
		{"a gapless resume keeps it", "e1", 10, true, true},
		{"the home could not resume", "e1", 16, false, false},
		{"the home says it resumed from elsewhere", "e1", 16, true, false},
		{"the epoch is a new one", "e2", 2, false, false},
		{"the epoch is a new one and the home says it resumed", "e2", 10, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, r *rig) {
				r.registered("e1", 10, false, staleness)
				old := entry(t, r.floors, "e1", "shop", "public.users", 15)
				r.hangUp()
				r.stream()
				expect(t, "while there is no stream", old, true)
				r.registered(tt.epoch, tt.version, tt.resumed, staleness)
				expect(t, "after the registration", old, tt.valid)
				if got := r.floors.Epoch(); got != tt.epoch {
					t.Errorf("epoch: got %q, want %q", got, tt.epoch)
				}
			})
		})
	}
}

func TestR5ResetVoidsEverything(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		old := entry(t, r.floors, "e1", "shop", "public.users", 11)
		r.speak("event: reset\ndata: {\"epoch\":\"e1\",\"version\":20,\"reason\":\"why\"}\n\n")
		expect(t, "after the reset", old, false)
		fresh := entry(t, r.floors, "e1", "shop", "public.users", 21)
		r.invalidate(22, 20, 22, "crm")
		expect(t, "the next event follows the reset", fresh, true)
	})
}

func TestR5StreamThatIsNotUnderstoodIsAGap(t *testing.T) {
	tests := []struct{ name, text string }{
		{"data that is not JSON", "event: invalidate\nid: 12\ndata: {\n\n"},
		{"an id that is no position", "event: invalidate\nid: x\ndata: {\"version\":12,\"after\":10}\n\n"},
		{"a second registration", "event: registered\nid: 12\ndata: {\"epoch\":\"e1\",\"version\":12,\"max_staleness_ms\":5}\n\n"},
		{"an event larger than allowed", "data: " + strings.Repeat("x", maxEventBytes+1) + "\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, r *rig) {
				r.registered("e1", 10, false, staleness)
				r.speak("%s", tt.text)
				pass(time.Second)
				got := r.registrations()
				if len(got) != 2 || got[1].Get(HeaderLastEventID) != "" {
					t.Errorf("registrations: got %v, want a second one that resumes nothing", got)
				}
			})
		})
	}
}

func TestR5EventBeforeTheRegistrationIsRefused(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.invalidate(12, 10, 12, "shop")
		if got := r.link.Status(); got.Connected || got.LastError == nil {
			t.Errorf("status: got %+v, want the stream refused", got)
		}
	})
}

func TestR6LeaseIsCountedFromBeforeTheRequest(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		t0 := invalidation.Now() // the bubble's clock stood still since the renewal
		asked := r.renewals()
		if len(asked) != 1 || asked[0].EdgeID != "a" || asked[0].Version != 10 {
			t.Fatalf("renewals: got %+v, want one at once, with the position", asked)
		}
		if r.lease.Valid(t0) {
			t.Error("the lease holds before any grant")
		}
		pass(700 * time.Millisecond)
		r.grant("of another process")
		if r.lease.Valid(invalidation.Now()) {
			t.Error("a grant that nobody asked for extends the lease")
		}
		r.grant(asked[0].Nonce)
		if got, want := r.lease.Until(), t0.Add(staleness); got != want {
			t.Errorf("lease until: got %d, want %d, which is max_staleness after the request", got, want)
		}
		pass(400 * time.Millisecond) // the next renewal, a second after the first
		asked = r.renewals()
		if len(asked) != 2 || asked[1].Nonce == asked[0].Nonce {
			t.Fatalf("renewals: got %+v, want a second one with a nonce of its own", asked)
		}
		r.grant(asked[1].Nonce)
		if got, want := r.lease.Until(), t0.Add(time.Second+staleness); got != want {
			t.Errorf("lease until: got %d, want %d", got, want)
		}
		r.grant(asked[0].Nonce)
		if got, want := r.lease.Until(), t0.Add(time.Second+staleness); got != want {
			t.Errorf("lease until after an old grant: got %d, want %d", got, want)
		}
	})
}

func TestR6ShorterStalenessOfBothIsInForce(t *testing.T) {
	tests := []struct {
		name             string
		home, want, next time.Duration
	}{
		{"the home's is shorter", time.Second, time.Second, 200 * time.Millisecond},
		{"the edge's is shorter", time.Minute, staleness, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, r *rig) {
				r.registered("e1", 10, false, tt.home)
				t0 := invalidation.Now()
				r.grant(r.nonce())
				if got, want := r.lease.Until(), t0.Add(tt.want); got != want {
					t.Errorf("lease until: got %d, want %d", got, want)
				}
				pass(tt.next - 1)
				synctest.Wait()
				if asked := r.renewals(); len(asked) != 1 {
					t.Errorf("renewals before %v: got %d, want 1", tt.next, len(asked))
				}
				pass(1)
				synctest.Wait()
				if asked := r.renewals(); len(asked) != 2 {
					t.Errorf("renewals after %v: got %d, want 2", tt.next, len(asked))
				}
			})
		})
	}
}

func TestR6LeaseEndsWithoutAHome(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		r.grant(r.nonce())
		kept := entry(t, r.floors, "e1", "shop", "public.users", 11)
		r.answers(func() (int, string, map[string]string) { return http.StatusBadGateway, "", nil })
		r.hangUp()
		pass(staleness - 1)
		if !r.lease.Valid(invalidation.Now()) {
			t.Error("the lease ended before max_staleness")
		}
		pass(1)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("the lease holds after max_staleness without a home")
		}
		expect(t, "what is held", kept, true)

		pass(time.Minute)
		r.answers(nil)
		r.stream()
		r.registered("e1", 10, true, staleness)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("the lease holds before a new grant")
		}
		r.grant(r.nonce())
		if !r.lease.Valid(invalidation.Now()) {
			t.Error("no lease after a gapless resume and a grant")
		}
		expect(t, "what is held, after a gapless resume", kept, true)
	})
}

func TestR6GrantOfAnEarlierStreamIsIgnored(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		nonce := r.nonce()
		r.hangUp()
		r.stream()
		r.registered("e1", 10, true, staleness)
		r.grant(nonce)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("a grant asked for under the stream before extends the lease")
		}
	})
}

func TestR6UnseenTimeEndsTheLease(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		r.grant(r.nonce())
		nonce := r.nonce()
		r.slept.Store(int64(time.Hour))
		pass(staleness / clockChecks)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("the lease holds after time that nobody saw")
		}
		r.grant(nonce)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("a grant asked for before that time extends the lease")
		}
	})
}

func TestR6ClocksShowATimeThatTheMachineSlept(t *testing.T) {
	wall, mono := time.Unix(1000, 0), time.Hour
	c := newClocks(func() (time.Time, time.Duration) { return wall, mono })
	wall, mono = wall.Add(time.Second), mono+time.Second
	if got := c.ahead(); got != 0 {
		t.Errorf("both moved by a second: got %v, want 0", got)
	}
	wall, mono = wall.Add(time.Hour), mono+time.Second
	if got, want := c.ahead(), time.Hour-time.Second; got != want {
		t.Errorf("an hour passed unseen: got %v, want %v", got, want)
	}
	if got := c.ahead(); got != 0 {
		t.Errorf("nothing since: got %v, want 0", got)
	}
}
