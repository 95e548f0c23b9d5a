package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// awaited runs Await for a hold that begins now, and tells when it has returned.
func awaited(t *testing.T, r *Registry, log *invalidation.Log) (id uint64, at invalidation.Version, done chan error) {
	t.Helper()
	id, at = log.Hold("shop", []string{"public.t"})
	done = make(chan error, 1)
	go func() { done <- r.Await(t.Context(), at) }()
	synctest.Wait()
	return id, at, done
}

func waits(t *testing.T, done chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("the write went ahead: %v", err)
	default:
	}
}

func goes(t *testing.T, done chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("the write waits")
	}
}

func granted(t *testing.T, r *Registry, m *Member) {
	t.Helper()
	if err := r.Renew(m.hello.ID, "n", 0); err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := m.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := msg.(Grant); ok {
			return
		}
	}
}

func TestR11HoldWaitsForEachEdgeThatHasALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := newTest(t, 3)
		a, _ := join(t, r, Hello{ID: "a", Instance: "1"})
		b, _ := join(t, r, Hello{ID: "b", Instance: "2"})
		join(t, r, Hello{ID: "never granted", Instance: "3"})
		granted(t, r, a)
		granted(t, r, b)
		_, at, done := awaited(t, r, log)
		waits(t, done)
		if err := r.Renew("a", "", at); err != nil {
			t.Fatal(err)
		}
		waits(t, done)
		if err := r.Renew("b", "", at-2); err != nil { // not far enough
			t.Fatal(err)
		}
		waits(t, done)
		if err := r.Renew("b", "later", at); err != nil {
			t.Fatal(err)
		}
		goes(t, done)
	})
}

func TestR11HoldWaitsNoLongerThanTheLeasesOfBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := newTest(t, 1)
		m, _ := join(t, r, Hello{ID: "a", Instance: "1"})
		granted(t, r, m)
		time.Sleep(staleness / 2) // on the bubble's clock
		_, _, done := awaited(t, r, log)
		granted(t, r, m) // follows the hold in the stream: it is not waited for
		time.Sleep(staleness / 2)
		waits(t, done) // clocks differ a little
		time.Sleep(staleness / drift)
		goes(t, done)
	})
}

// TestR11LeaseThatIsAboutToBeGrantedCounts takes the request for a lease before the hold, and gives the grant after it.
func TestR11LeaseThatIsAboutToBeGrantedCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := newTest(t, 1)
		m, _ := join(t, r, Hello{ID: "a", Instance: "1"})
		log.Append("shop", nil)
		if err := r.Renew("a", "n", 0); err != nil {
			t.Fatal(err)
		}
		next[Invalidation](t, m) // the batch that the grant ends
		_, at, done := awaited(t, r, log)
		waits(t, done)
		next[Grant](t, m)
		waits(t, done)
		if err := r.Renew("a", "", at); err != nil {
			t.Fatal(err)
		}
		goes(t, done)
	})
}

func TestR11EdgeThatLeftIsWaitedForUntilItIsBack(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(t *testing.T, r *Registry, at invalidation.Version)
		goes bool
	}{
		{"it stays away", func(*testing.T, *Registry, invalidation.Version) {}, false},
		{"it comes back and has applied the hold", func(t *testing.T, r *Registry, at invalidation.Version) {
			join(t, r, Hello{ID: "a", Instance: "1"})
			if err := r.Renew("a", "", at); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"it comes back and has applied nothing", func(t *testing.T, r *Registry, _ invalidation.Version) {
			join(t, r, Hello{ID: "a", Instance: "1"})
		}, false},
		{"another process takes its name", func(t *testing.T, r *Registry, at invalidation.Version) {
			join(t, r, Hello{ID: "a", Instance: "2"})
			if err := r.Renew("a", "", at); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"it says farewell", func(_ *testing.T, r *Registry, _ invalidation.Version) { r.Farewell("a", "1") }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, log := newTest(t, 1)
				m, _ := join(t, r, Hello{ID: "a", Instance: "1"})
				granted(t, r, m)
				m.Close()
				_, at, done := awaited(t, r, log)
				waits(t, done)
				test.then(t, r, at)
				if test.goes {
					goes(t, done)
					return
				}
				waits(t, done)
				time.Sleep(staleness + staleness/drift)
				goes(t, done)
			})
		})
	}
}

func TestR11ProcessesWithoutANameAreWaitedForTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := newTest(t, 1)
		for i := range 3 {
			m, _ := join(t, r, Hello{ID: fmt.Sprint(i)})
			granted(t, r, m)
			m.Close()
		}
		_, _, done := awaited(t, r, log)
		waits(t, done)
		time.Sleep(staleness + staleness/drift)
		goes(t, done)
	})
}

// TestR11LeasesOfAHomeBeforeAreWaitedFor starts a home in the place of one whose edges are not known.
func TestR11LeasesOfAHomeBeforeAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := invalidation.NewLog()
		r := New(Options{Log: log, MaxEdges: 1, MaxStaleness: staleness, Succeeds: true})
		time.Sleep(staleness)
		_, _, done := awaited(t, r, log)
		waits(t, done)
		time.Sleep(staleness / drift)
		goes(t, done)
		_, _, done = awaited(t, r, log)
		goes(t, done)
	})
}

func TestR11WaitEndsWithItsContext(t *testing.T) {
	r, log := newTest(t, 1)
	m, _ := join(t, r, Hello{ID: "a", Instance: "1"})
	granted(t, r, m)
	_, at := log.Hold("shop", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the session has ended")
	cancel(why)
	if err := r.Await(ctx, at); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

// TestR11StreamHoldsBeforeItVoidsAndReleasesAfter reads one batch that has everything.
func TestR11StreamHoldsBeforeItVoidsAndReleasesAfter(t *testing.T) {
	r, log := newTest(t, 1)
	first, _ := log.Hold("shop", []string{"public.a"})
	m, start := join(t, r, Hello{ID: "a"})
	hold := next[Holds](t, m) // what is in force when the stream begins
	if len(hold.Begun) != 1 || hold.Begun[0].ID != first || hold.All {
		t.Fatalf("got %+v, want the hold %d", hold, first)
	}
	if all := next[Holds](t, m); !all.All || len(all.Begun)+len(all.Ended) != 0 || all.Position != start.Version {
		t.Fatalf("got %+v, want the end of the holds in force at %d", all, start.Version)
	}
	second, _ := log.Hold("shop", []string{"public.b"})
	gone, _ := log.Hold("shop", []string{"public.c"})
	event := log.Append("shop", []string{"public.a"})
	log.Release(first, gone)
	last := log.Last()
	if got := next[Holds](t, m); len(got.Begun) != 1 || got.Begun[0].ID != second || len(got.Ended) != 0 || got.Position != start.Version {
		t.Fatalf("got %+v, want the hold %d at first", got, second)
	}
	if got := next[Invalidation](t, m); got.Event.Version != event || got.Position != start.Version {
		t.Fatalf("got %+v, want the event %d, and to resume from where the batch began", got, event)
	}
	if got := next[Holds](t, m); !slices.Equal(got.Ended, []uint64{first}) || len(got.Begun) != 0 || got.Position != last {
		t.Fatalf("got %+v, want the end of %d at %d", got, first, last)
	}
	silent(t, m)
	log.Release(second)
	if got := next[Holds](t, m); !slices.Equal(got.Ended, []uint64{second}) {
		t.Fatalf("got %+v, want the end of %d", got, second)
	}
}

func TestR11ResumedStreamIsToldWhatIsInForce(t *testing.T) {
	r, log := newTest(t, 1)
	id, at := log.Hold("shop", nil)
	log.Append("shop", []string{"public.a"})
	after := log.Last()
	m, _ := join(t, r, Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: after})
	if got := next[Holds](t, m); len(got.Begun) != 1 || got.Begun[0].ID != id {
		t.Fatalf("got %+v, want the hold %d of %d, behind which it resumes", got, id, at)
	}
	if got := next[Holds](t, m); !got.All || got.Position != after {
		t.Fatalf("got %+v, want all at %d", got, after)
	}
	m.Close()
	log.Release(id)
	again, _ := join(t, r, Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: log.Last()})
	if got := next[Holds](t, again); !got.All || len(got.Begun) != 0 {
		t.Fatalf("got %+v, want that there is none", got)
	}
}
