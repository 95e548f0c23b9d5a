package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/test/history"
)

const (
	// maxStaleness is the promise; it and the interval of the renewals are the program's own defaults.
	maxStaleness  = 5 * time.Second
	renewInterval = time.Second
)

// Result is what came of one history.
type Result struct {
	Seed uint64
	// Ops is what the clients saw, and Violations what is wrong with it.
	Ops        []history.Op
	Violations []history.Violation
	// Hits counts the answers from memory, of homes and edges.
	Hits uint64
	// Simulated is how long the history was, on its own clock.
	Simulated time.Duration
	// Trace is what happened, a line each, where it was asked for.
	Trace string
}

// Setup says what kind of history it is.
type Setup struct {
	// Broken is the rule that is not kept.
	Broken Broken
	// Strong is set where the database is of level strong, so that the history has to be linearisable.
	Strong bool
	// Traced is set where somebody will read what happens.
	Traced bool
}

// linearTime bounds the search for an order of one key's operations.
const linearTime = 10 * time.Second

// Run runs the history that follows from a seed.
func Run(t *testing.T, seed uint64, setup Setup) Result {
	t.Helper()
	result := Result{Seed: seed}
	var bound time.Duration
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.Context(), seed, setup)
		w.run()
		result.Ops = w.record.ops()
		result.Simulated = w.now()
		result.Hits = w.hits
		result.Trace = w.record.trace()
		bound = maxStaleness
	})
	if setup.Strong {
		result.Violations = history.Linearizable(result.Ops, linearTime)
		bound = 0
	}
	result.Violations = append(result.Violations, history.Check(result.Ops, bound)...)
	return result
}

// world is one history while it happens.
type world struct {
	ctx    context.Context
	seed   uint64
	begun  time.Time
	broken Broken
	strong bool
	traced bool
	plan   plan

	net    *network
	record *record
	store  *store
	home   *home
	edges  []*edge
	hits   uint64
	// striker is the adversary's own client.
	striker *client
	strikes sync.WaitGroup

	mu struct {
		sync.Mutex
		// steps are how far the wall clocks of nodes have been set off.
		steps map[string]time.Duration
	}
}

func newWorld(ctx context.Context, seed uint64, setup Setup) *world {
	w := &world{ctx: ctx, seed: seed, begun: time.Now(), broken: setup.Broken, strong: setup.Strong, traced: setup.Traced}
	w.mu.steps = map[string]time.Duration{}
	w.plan = newPlan(w.chance("plan"), setup.Strong)
	w.net, w.record = newNetwork(w), newRecord(w)
	w.store = newStore(w)
	w.home = newHome(w)
	for i := range w.plan.edges {
		w.edges = append(w.edges, newEdge(w, fmt.Sprintf("edge%d", i+1)))
	}
	w.striker = newClient(w, "client0")
	return w
}

// chance returns the source that a part of the world draws from.
func (w *world) chance(part string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(part)) // a hash does not fail
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// now is the moment in the history.
func (w *world) now() time.Duration { return time.Since(w.begun) }

// wall returns a node's wall clock.
func (w *world) wall(node string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Round(0).Add(w.mu.steps[node])
}

// step sets a node's wall clock.
func (w *world) step(node string, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.steps[node] += by
}

// run lets the history happen, and ends everything.
func (w *world) run() {
	w.store.open()
	w.home.start()
	for _, e := range w.edges {
		e.start()
	}
	ctx, stop := context.WithCancel(w.ctx)
	var adversary, clients sync.WaitGroup
	adversary.Go(func() { w.plan.happen(ctx, w) })
	for i := range w.plan.clients {
		c := newClient(w, fmt.Sprintf("client%d", i+1))
		clients.Go(func() { c.run(ctx) })
	}
	clients.Wait()
	stop()
	adversary.Wait()
	w.strikes.Wait()
	for _, e := range w.edges {
		e.crash()
	}
	w.home.crash()
	w.store.crash()
}

// strike writes every register through the home. It does not wait for it.
func (w *world) strike(ctx context.Context) {
	c := w.striker
	c.sessions++
	id := fmt.Sprintf("%s/%d", c.name, c.sessions)
	w.strikes.Go(func() {
		if err := c.strike(ctx, id); err != nil {
			w.trace(c.name, "could not write everything: %v", err)
		}
	})
}

// trace notes an event. Its arguments are not looked at where nobody reads the trace.
func (w *world) trace(node, format string, args ...any) {
	if w.traced {
		w.record.add(node, fmt.Sprintf(format, args...))
	}
}

// logger returns the logger of a node, which writes to the trace.
func (w *world) logger(node string) *slog.Logger {
	if !w.traced {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(traceWriter{w, node}, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type traceWriter struct {
	w    *world
	node string
}

func (t traceWriter) Write(p []byte) (int, error) {
	t.w.trace(t.node, "%s", strings.TrimSpace(string(p)))
	return len(p), nil
}
