//go:build cgo

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// world is a Postgres, a catalog and a source that a test has its way with. The loop under test and the test share a
// synctest bubble; the test holds the lock but while it lets time pass.
type world struct {
	*certainty
	sync.Mutex
	up        bool
	pulseNow  pulse
	ended     chan struct{} // closed: the control connection has ended
	changes   map[string]catalog.Change
	failures  map[string]error
	slowness  time.Duration
	checks    []string
	forgotten []string
	source    error
	events    []string
	sureUntil invalidation.Instant
	lease     invalidation.Lease
}

var errDown = errors.New("down")

// inWorld runs the loop on a fake clock, with databases a and b in use.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{up: true, changes: map[string]catalog.Change{}, failures: map[string]error{}}
		w.pulseNow = pulse{server{1, 1, time.Unix(1, 0)}, "1:1:"}
		w.certainty = &certainty{
			logger: slog.New(slog.DiscardHandler), maxStaleness: 6 * time.Second, catalogCheck: time.Second, catalog: w, witnesses: []witness{w},
			pokes: make(chan struct{}, 1), databases: func() []string { return []string{"a", "b"} }, tidy: func() {}, reached: func(error) {},
			connect: func(context.Context) (control, error) {
				defer w.locked()()
				if !w.up {
					return nil, errDown
				}
				w.ended = make(chan struct{})
				return w, nil
			},
			append: func(database string, relations []string) invalidation.Version {
				defer w.locked()()
				w.events = append(w.events, fmt.Sprint(database, relations))
				return 0
			},
			returned: func() {
				defer w.locked()()
				w.events = append(w.events, "everything")
			},
		}
		w.certified = func(at invalidation.Instant) {
			defer w.locked()()
			w.sureUntil = at
			w.lease.Extend(at, w.maxStaleness)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() {
			defer close(ran)
			w.run(ctx)
		}()
		defer func() {
			stop()
			<-ran
		}()
		synctest.Wait()
		w.Lock()
		defer w.Unlock()
		f(w)
	})
}

func (w *world) locked() (unlock func()) {
	w.Lock()
	return w.Unlock
}

func (w *world) pulse(context.Context) (pulse, error) {
	defer w.locked()()
	if !w.up {
		return pulse{}, errDown
	}
	return w.pulseNow, nil
}

func (w *world) idle(ctx context.Context) error {
	w.Lock()
	ended := w.ended
	w.Unlock()
	select {
	case <-ended:
		return errDown
	case <-ctx.Done():
		return nil
	}
}

func (w *world) close() {}

func (w *world) Certain(context.Context) error {
	defer w.locked()()
	return w.source
}

func (w *world) Check(ctx context.Context, database string) (catalog.Change, error) {
	w.Lock()
	slowness := w.slowness
	w.Unlock()
	select {
	case <-time.After(slowness):
	case <-ctx.Done():
		return catalog.Change{}, ctx.Err()
	}
	defer w.locked()()
	w.checks = append(w.checks, database)
	return w.changes[database], w.failures[database]
}

func (w *world) Doubt(string, error) {}

func (w *world) Forget(database string) {
	defer w.locked()()
	w.forgotten = append(w.forgotten, database)
}

// pass lets time pass, and returns how long ago the log was certain for the last time.
func (w *world) pass(d time.Duration) time.Duration {
	w.Unlock()
	<-time.After(d) // of the bubble's clock
	synctest.Wait()
	w.Lock()
	return -w.sureUntil.Until(invalidation.Now())
}

// write commits something somewhere: the next snapshot is another.
func (w *world) write() { w.pulseNow.snapshot += "1" }

func (w *world) want(t *testing.T, events ...string) {
	t.Helper()
	if !slices.Equal(w.events, events) {
		t.Errorf("events: got %q, want %q", w.events, events)
	}
	w.events = nil
}

func TestR6CertaintyGoesOnAndIsHadAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		if age := w.pass(0); age != 0 {
			t.Errorf("certain until %v ago at the start", age)
		}
		if age := w.pass(time.Minute); age > time.Second || !w.lease.Valid(invalidation.Now()) {
			t.Errorf("certain until %v ago after a minute, with a lease: %t", age, w.lease.Valid(invalidation.Now()))
		}
		w.pass(500 * time.Millisecond)
		w.poke()
		if age := w.pass(pulseSpacing); age > pulseSpacing {
			t.Errorf("certain until %v ago when somebody asked", age)
		}
		if len(w.checks) != 2 {
			t.Errorf("%d digests while nothing was committed, want one of each database", len(w.checks))
		}
		w.want(t)
	})
}

func TestR6NoCertaintyBeyondTheLastDigest(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pass(20 * time.Millisecond)
		w.write()
		w.changes["b"] = catalog.Change{Schema: true}
		w.poke()
		if age := w.pass(100 * time.Millisecond); age < 100*time.Millisecond {
			t.Errorf("certain until %v ago without a digest of what was committed", age)
		}
		w.want(t)
		if age := w.pass(time.Second); age > 500*time.Millisecond {
			t.Errorf("certain until %v ago when a digest was due", age)
		}
		w.want(t, "b[]")
		w.changes["b"] = catalog.Change{Written: []string{"public.m"}}
		w.write()
		w.pass(time.Second)
		w.want(t, "b[public.m]")
	})
}

func TestASuspicionTakesADigestAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.checks = nil
		w.write()
		w.suspect()
		w.pass(20 * time.Millisecond)
		if len(w.checks) != 2 {
			t.Errorf("%d digests when a schema may have changed, want one of each database", len(w.checks))
		}
		for range 100 {
			w.write()
			w.suspect()
			w.pass(10 * time.Millisecond)
		}
		if n := len(w.checks) / 2; n > 22 {
			t.Errorf("%d digests in a second of suspicions", n)
		}
		w.want(t)
	})
}

func TestR6ADigestThatIsDearIsTakenLessOften(t *testing.T) {
	inWorld(t, func(w *world) {
		w.slowness = 70 * time.Millisecond
		w.write()
		w.pass(time.Second)
		w.checks = nil
		for range 14 {
			w.write()
			w.pass(time.Second)
		}
		if n := len(w.checks) / 2; n < 8 || n > 11 {
			t.Errorf("%d digests of 70 ms in 14 s, want one each 1.4 s", n)
		}
		w.slowness = time.Second
		w.checks = nil
		for range 12 {
			w.write()
			w.pass(time.Second)
			if !w.lease.Valid(invalidation.Now()) {
				t.Fatal("the lease ran out though nothing is wrong")
			}
		}
		if n := len(w.checks) / 2; n < 3 || n > 6 {
			t.Errorf("%d digests of a second in 12 s, want three per staleness", n)
		}
	})
}

func TestR6NoCertaintyWithoutASource(t *testing.T) {
	inWorld(t, func(w *world) {
		w.source = errDown
		if age := w.pass(10 * time.Second); age < 9*time.Second || w.lease.Valid(invalidation.Now()) || w.why() == "" {
			t.Errorf("certain until %v ago without the source, with a lease: %t (%q)", age, w.lease.Valid(invalidation.Now()), w.why())
		}
		w.source = nil
		if age := w.pass(time.Second); age > time.Second || w.why() != "" {
			t.Errorf("certain until %v ago with the source again (%q)", age, w.why())
		}
	})
}

func TestR12NoCertaintyWithoutPostgres(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.up = false
		close(w.ended)
		if age := w.pass(10 * time.Second); age < 10*time.Second || w.lease.Valid(invalidation.Now()) || w.why() == "" {
			t.Errorf("certain until %v ago without Postgres, with a lease: %t (%q)", age, w.lease.Valid(invalidation.Now()), w.why())
		}
		w.want(t)
		w.up = true
		w.certified = func(at invalidation.Instant) {
			defer w.locked()()
			if len(w.events) == 0 {
				t.Error("a lease was granted before everything was void")
			}
			w.sureUntil = at
		}
		if age := w.pass(2 * time.Second); age > time.Second || w.why() != "" {
			t.Errorf("certain until %v ago with Postgres again (%q)", age, w.why())
		}
		w.want(t, "everything")
	})
}

func TestR12TheEndOfPostgresIsSeenWhenItComes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.pass(100 * time.Millisecond)
		close(w.ended) // and it is there again at once
		w.pass(20 * time.Millisecond)
		w.want(t, "everything")
	})
}

func TestR12AnotherServerVoidsEverything(t *testing.T) {
	for name, other := range map[string]server{
		"system": {2, 1, time.Unix(1, 0)}, "timeline": {1, 2, time.Unix(1, 0)}, "start": {1, 1, time.Unix(2, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.pass(100 * time.Millisecond)
				w.pulseNow.server = other
				w.checks = nil
				w.pass(time.Second)
				w.want(t, "everything")
				if len(w.checks) != 2 {
					t.Errorf("%d digests of another server, want one of each database", len(w.checks))
				}
				w.pass(time.Minute)
				w.want(t)
			})
		})
	}
}

func TestADatabaseThatCannotBeLookedAtIsVoid(t *testing.T) {
	inWorld(t, func(w *world) {
		w.failures["a"] = errDown
		w.write()
		if age := w.pass(time.Second); age > time.Second {
			t.Errorf("certain until %v ago: a database of which nothing is cached keeps nobody", age)
		}
		w.want(t, "a[]")
		if w.doubted.Load() != 1 {
			t.Errorf("%d databases in doubt, want 1", w.doubted.Load())
		}
		w.failures["a"] = nil // it is asked again though nothing was committed
		w.pass(2 * time.Second)
		if w.doubted.Load() != 0 {
			t.Error("the database is in doubt for ever")
		}
		w.failures["b"] = &pgconn.PgError{Code: "3D000"}
		w.events = nil
		w.write()
		w.pass(2 * time.Second)
		if w.doubted.Load() != 0 || !slices.Contains(w.forgotten, "b") {
			t.Error("a database that was dropped is not forgotten")
		}
	})
}
