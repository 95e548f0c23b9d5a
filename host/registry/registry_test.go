package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const staleness = 5 * time.Second

func newTest(t *testing.T, maxEdges int) (*Registry, *invalidation.Log) {
	t.Helper()
	log := invalidation.NewLog()
	r := New(Options{Log: log, MaxEdges: maxEdges, MaxStaleness: staleness})
	t.Cleanup(r.Close)
	return r, log
}

func join(t *testing.T, r *Registry, hello Hello) (*Member, Registered) {
	t.Helper()
	m, err := r.Join(hello)
	if err != nil {
		t.Fatalf("Join(%+v): %v", hello, err)
	}
	t.Cleanup(m.Close)
	return m, next[Registered](t, m)
}

func next[M Message](t *testing.T, m *Member) M {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	msg, err := m.Next(ctx)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	as, ok := msg.(M)
	if !ok {
		t.Fatalf("Next: got %T %+v, want %T", msg, msg, as)
	}
	return as
}

// silent fails the test if the stream has another message at once.
func silent(t *testing.T, m *Member) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if msg, err := m.Next(ctx); err == nil {
		t.Fatalf("Next: got %T %+v, want no message", msg, msg)
	}
}

func TestR5RegistrationStatesWhereTheStreamBegins(t *testing.T) {
	r, log := newTest(t, 4)
	first := log.Append("shop", []string{"public.users"})
	second := log.Append("shop", []string{"public.orders"})
	tests := []struct {
		name    string
		hello   Hello
		resumed bool
		version invalidation.Version
		reset   bool
		events  int
	}{
		{"a new edge begins at the present", Hello{ID: "a"}, false, second, false, 0},
		{"an edge of this epoch resumes and gets what it missed", Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: first}, true, first, false, 1},
		{"an edge that missed nothing resumes with nothing", Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: second}, true, second, false, 0},
		{"an edge of another epoch is reset", Hello{ID: "a", Resume: true, Epoch: "other", After: first}, false, second, true, 0},
		{"an edge ahead of the log is reset", Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: second + 2}, false, second, true, 0},
		{"a position without an epoch is this epoch's where it can be", Hello{ID: "a", Resume: true, After: first}, true, first, false, 1},
		{"a position without an epoch from before the log is reset", Hello{ID: "a", Resume: true, After: 4}, false, second, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, got := join(t, r, tt.hello)
			want := Registered{Epoch: log.Epoch(), Version: tt.version, Resumed: tt.resumed, MaxStaleness: staleness}
			if got != want {
				t.Errorf("registered: got %+v, want %+v", got, want)
			}
			if tt.reset {
				if got := next[Reset](t, m); got.Epoch != log.Epoch() || got.Version != second || got.Reason == "" {
					t.Errorf("reset: got %+v, want epoch, version %d and a reason", got, second)
				}
			}
			for range tt.events {
				next[Invalidation](t, m)
			}
			silent(t, m)
		})
	}
}

func TestR5EventBetweenRegistrationAndFirstReadIsNotLost(t *testing.T) {
	r, log := newTest(t, 1)
	m, err := r.Join(Hello{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	v := log.Append("shop", []string{"public.users"})
	registered := next[Registered](t, m)
	got := next[Invalidation](t, m)
	if got.Event.Version != v || got.After != registered.Version || got.Position != v {
		t.Errorf("got %+v, want version %d after %d", got, v, registered.Version)
	}
}

func TestR5BatchCutInTheMiddleIsNotTakenForGapless(t *testing.T) {
	r, log := newTest(t, 1)
	m, start := join(t, r, Hello{ID: "a"})
	a := log.Append("a", []string{"public.t"})
	log.Append("b", []string{"public.t"})
	last := log.Append("a", []string{"public.u"})

	part := next[Invalidation](t, m)
	if part.Position != start.Version {
		t.Fatalf("position within a batch: got %d, want %d, where it began (first event %d)", part.Position, start.Version, a)
	}
	again, registered := join(t, r, Hello{ID: "a", Resume: true, Epoch: log.Epoch(), After: part.Position})
	if !registered.Resumed {
		t.Fatalf("got %+v, want resumed", registered)
	}
	named := map[string][]string{}
	after := registered.Version
	for i := range 2 {
		got := next[Invalidation](t, again)
		if got.After != after {
			t.Errorf("message %d follows %d, want %d", i, got.After, after)
		}
		after = got.Event.Version
		named[got.Event.Database] = got.Event.Tables
		if want := []invalidation.Version{start.Version, last}[i]; got.Position != want {
			t.Errorf("message %d leads to %d, want %d", i, got.Position, want)
		}
	}
	if got, want := fmt.Sprint(named), "map[a:[public.t public.u] b:[public.t]]"; got != want {
		t.Errorf("after the resume: got %s, want %s", got, want)
	}
	silent(t, again)
}

func TestR6GrantStandsBehindEveryEarlierEvent(t *testing.T) {
	r, log := newTest(t, 1)
	m, _ := join(t, r, Hello{ID: "a"})

	log.Append("a", []string{"public.t"})
	last := log.Append("b", nil)
	renew(t, r, "one")
	next[Invalidation](t, m)
	renew(t, r, "two") // comes while a batch is on its way
	third := log.Append("c", nil)
	renew(t, r, "three")
	if got := next[Invalidation](t, m); got.Position != last {
		t.Fatalf("got %+v, want the rest of the batch, which leads to %d", got, last)
	}
	if got := next[Grant](t, m); got.Nonce != "one" || got.Position != last {
		t.Fatalf("got %+v, want the grant taken with the batch", got)
	}
	if got := next[Invalidation](t, m); got.Event.Version != third {
		t.Fatalf("got %+v, want the event %d before the grant asked for behind it", got, third)
	}
	if got := next[Grant](t, m); got.Nonce != "three" || got.Position != third {
		t.Errorf("got %+v, want the newest nonce only, at %d", got, third)
	}
	silent(t, m)
}

// TestR6GrantNeverOvertakes appends and renews while the stream is read: a grant must never come before the event
// that was appended before it was asked for.
func TestR6GrantNeverOvertakes(t *testing.T) {
	r, log := newTest(t, 1)
	m, _ := join(t, r, Hello{ID: "a"})
	var writer sync.WaitGroup
	var last invalidation.Version
	const rounds = 5000
	writer.Go(func() {
		for range rounds {
			last = log.Append("shop", []string{"public.t"})
			if err := r.Renew("a", fmt.Sprint(uint64(last)), 0); err != nil {
				t.Errorf("renew: %v", err)
				return
			}
		}
		log.Append("end", nil)
	})
	defer writer.Wait()
	applied := invalidation.Version(0)
	for {
		msg, err := m.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		switch msg := msg.(type) {
		case Invalidation:
			applied = msg.Position
		case Grant:
			var before uint64
			if _, err := fmt.Sscan(msg.Nonce, &before); err != nil {
				t.Fatal(err)
			}
			if uint64(applied) < before || applied != msg.Position {
				t.Fatalf("grant asked for behind %d came at %d (it says %d)", before, applied, msg.Position)
			}
		}
		if e, ok := msg.(Invalidation); ok && e.Event.Database == "end" {
			break
		}
	}
}

func TestR6LeaseEndIsCountedFromTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTest(t, 1)
		m, _ := join(t, r, Hello{ID: "a"})
		renew(t, r, "n")
		asked := time.Now()
		if got := r.List()[0].LeaseUntil; !got.IsZero() {
			t.Errorf("lease before the grant was sent: got %v, want none", got)
		}
		time.Sleep(time.Second) // the fake clock of the bubble
		next[Grant](t, m)
		if got, want := r.List()[0].LeaseUntil, asked.Add(staleness); !got.Equal(want) {
			t.Errorf("lease until: got %v, want %v", got, want)
		}
	})
}

// TestR6NoGrantBeyondWhatIsCertain asks again and again while the home is slow to be certain.
func TestR6NoGrantBeyondWhatIsCertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, asked := invalidation.NewLog(), 0
		r := New(Options{Log: log, MaxEdges: 1, MaxStaleness: staleness, Asked: func() { asked++ }})
		defer r.Close()
		m, _ := join(t, r, Hello{ID: "a"})
		moments := map[string]invalidation.Instant{}
		ask := func(nonce string) {
			time.Sleep(time.Second)
			moments[nonce] = invalidation.Now()
			renew(t, r, nonce)
		}
		granted := func(nonce string) {
			t.Helper()
			if got := next[Grant](t, m); got.Nonce != nonce {
				t.Fatalf("granted %s, want %s", got.Nonce, nonce)
			}
			silent(t, m)
		}
		ask("one")
		ask("two")
		silent(t, m)
		if asked != 2 {
			t.Errorf("told of %d requests, want 2", asked)
		}
		r.Certify(moments["two"] - 1) // begun before the second request
		granted("one")
		r.Certify(moments["one"]) // late
		silent(t, m)
		v := log.Append("shop", nil)
		r.Certify(moments["two"])
		if got := next[Invalidation](t, m); got.Position != v {
			t.Errorf("got %+v, want the event before the grant", got)
		}
		granted("two")
		// However many are waiting, the oldest is never put off.
		for i := range 3 * maxPending {
			ask(fmt.Sprint(i))
		}
		r.Certify(moments["0"])
		granted("0")
		r.Certify(invalidation.Now())
		granted(fmt.Sprint(3*maxPending - 1))
	})
}

func TestR8SlowReaderGetsTheUnion(t *testing.T) {
	r, log := newTest(t, 1)
	m, start := join(t, r, Hello{ID: "slow"})
	var last invalidation.Version
	for i := range 20000 { // far more than the log keeps one by one
		log.Append("shop", []string{fmt.Sprintf("public.t%d", i%3)})
	}
	last = log.Append("crm", nil)
	first := next[Invalidation](t, m)
	if want := []string{"public.t0", "public.t1", "public.t2"}; first.Event.Database != "shop" || !slices.Equal(first.Event.Tables, want) {
		t.Errorf("got %+v, want one message with %v of shop", first, want)
	}
	if first.After != start.Version || first.Position != start.Version {
		t.Errorf("got after %d, position %d, want both %d", first.After, first.Position, start.Version)
	}
	second := next[Invalidation](t, m)
	if second.Event.Database != "crm" || len(second.Event.Tables) != 0 || second.Event.Version != last || second.Position != last {
		t.Errorf("got %+v, want all of crm at %d", second, last)
	}
	if second.After != first.Event.Version {
		t.Errorf("the second follows %d, want %d", second.After, first.Event.Version)
	}
	silent(t, m)
}

func TestR8NoMessageNamesMoreThanItsBound(t *testing.T) {
	r, log := newTest(t, 1)
	m, start := join(t, r, Hello{ID: "a"})
	want := map[string]bool{}
	var last invalidation.Version
	for i := range 3000 {
		name := fmt.Sprintf("public.%s%d", strings.Repeat("t", 100), i)
		want[name] = true
		last = log.Append("shop", []string{name})
	}
	messages := 0
	position, after := start.Version, start.Version
	for position != last {
		got := next[Invalidation](t, m)
		messages++
		bytes := 0
		for _, table := range got.Event.Tables {
			bytes += len(table)
			delete(want, table)
		}
		if bytes > maxNameBytes {
			t.Errorf("message %d names %d bytes, want at most %d", messages, bytes, maxNameBytes)
		}
		if got.After != after {
			t.Errorf("message %d follows %d, want %d", messages, got.After, after)
		}
		position, after = got.Position, got.Event.Version
	}
	if len(want) != 0 || messages < 3 {
		t.Errorf("%d relations were not named in %d messages", len(want), messages)
	}
}

func TestMaxEdgesCountsEachIDOnce(t *testing.T) {
	r, _ := newTest(t, 2)
	first, _ := join(t, r, Hello{ID: "a", Region: "old"})
	join(t, r, Hello{ID: "b"})
	if _, err := r.Join(Hello{ID: "c"}); !errors.Is(err, ErrFull) {
		t.Errorf("third edge: got %v, want ErrFull", err)
	}
	second, _ := join(t, r, Hello{ID: "a", Region: "new"})
	if _, err := first.Next(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("the replaced stream: got %v, want ErrReplaced", err)
	}
	first.Close() // what its handler does: it must not take the new one out
	if got := r.List(); len(got) != 2 || got[0].Region != "new" {
		t.Errorf("got %+v, want a (new) and b", got)
	}
	second.Close()
	join(t, r, Hello{ID: "c"})
}

func TestRemovedEdgeIsToldAndMayRegisterAgain(t *testing.T) {
	r, _ := newTest(t, 2)
	m, _ := join(t, r, Hello{ID: "a"})
	if r.Remove("nobody") {
		t.Error("Remove of an unknown edge: got true")
	}
	if !r.Remove("a") || r.Len() != 0 {
		t.Errorf("Remove: got false or %d edges left", r.Len())
	}
	if _, err := m.Next(t.Context()); !errors.Is(err, ErrRemoved) {
		t.Errorf("Next: got %v, want ErrRemoved", err)
	}
	if err := r.Renew("a", "n", 0); !errors.Is(err, ErrUnknown) {
		t.Errorf("Renew: got %v, want ErrUnknown", err)
	}
	join(t, r, Hello{ID: "a"})
}

func TestCloseEndsWaitingStreamsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTest(t, 2)
		m, _ := join(t, r, Hello{ID: "a"})
		ended := make(chan error, 1)
		go func() {
			_, err := m.Next(t.Context())
			ended <- err
		}()
		synctest.Wait()
		r.Close()
		r.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Next: got %v, want ErrClosed", err)
		}
		if _, err := r.Join(Hello{ID: "b"}); !errors.Is(err, ErrClosed) {
			t.Errorf("Join: got %v, want ErrClosed", err)
		}
	})
}

func TestListShowsWhatEachEdgeHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := newTest(t, 2)
		connected := time.Now()
		m, _ := join(t, r, Hello{ID: "a", Region: "syd", Remote: "192.0.2.1:5"})
		v := log.Append("shop", nil)
		next[Invalidation](t, m)
		if err := r.Renew("a", "n", v); err != nil {
			t.Fatal(err)
		}
		if err := r.Renew("a", "n", v-2); err != nil { // a late request of before
			t.Fatal(err)
		}
		got := r.List()[0]
		want := Info{ID: "a", Region: "syd", Remote: "192.0.2.1:5", Version: v, Sent: v, Connected: connected, Events: 1}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestHammer registers, replaces, removes, renews and reads at once: for the race detector.
func TestHammer(t *testing.T) {
	r, log := newTest(t, 4)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 200 {
				id := fmt.Sprint((w + i) % 5)
				m, err := r.Join(Hello{ID: id})
				if errors.Is(err, ErrFull) {
					r.Remove(fmt.Sprint(i % 5))
					continue
				}
				v := log.Append("shop", []string{"public.t"})
				_ = r.Renew(id, "n", v) // another worker may have removed it
				for range 2 {
					if _, err := m.Next(t.Context()); err != nil {
						break
					}
				}
				r.List()
				m.Close()
			}
		})
	}
	all.Wait()
	if got := r.Len(); got != 0 {
		t.Errorf("edges left: %d, want 0", got)
	}
}

func renew(t *testing.T, r *Registry, nonce string) {
	t.Helper()
	if err := r.Renew("a", nonce, 0); err != nil {
		t.Fatalf("Renew: %v", err)
	}
}
