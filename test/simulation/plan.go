package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what the adversary has in mind for a history.
type plan struct {
	edges, clients int
	length         time.Duration
	lazyBegin      bool
	// pause is how long a client thinks between two statements, on average; pauses is how often, in a thousand, it thinks
	// for seconds, and reconnects how often it takes another connection.
	pause              time.Duration
	pauses, reconnects int
	// slowStatements is how often, in a thousand, a statement waits up to slowStatement, before its snapshot and behind
	// it each.
	slowStatements int
	slowStatement  time.Duration
	// storeStalls and edgeStalls are how often, in a thousand, a message to or from the store and between an edge and its
	// home takes up to so much longer.
	storeStalls, edgeStalls int
	storeStall, edgeStall   time.Duration
	faults                  []fault
}

// fault is what goes wrong at one moment.
type fault struct {
	at   time.Duration
	name string
	do   func(ctx context.Context, w *world)
}

func newPlan(r *rand.Rand) plan {
	p := plan{
		edges: 1 + r.IntN(3), clients: 2 + r.IntN(4), length: 10*time.Second + draw(r, 15*time.Second), lazyBegin: r.IntN(2) == 0,
		pause: 50*time.Millisecond + draw(r, time.Second), pauses: r.IntN(100), reconnects: r.IntN(30),
	}
	if r.IntN(2) == 0 {
		p.slowStatements, p.slowStatement = r.IntN(300), draw(r, replyDelay/4)
	}
	if r.IntN(2) == 0 {
		p.storeStalls, p.storeStall = r.IntN(100), draw(r, replyDelay/4)
	}
	if r.IntN(2) == 0 {
		p.edgeStalls, p.edgeStall = r.IntN(200), draw(r, 4*time.Second)
	}
	for range r.IntN(8) {
		p.faults = append(p.faults, p.fault(r))
	}
	slices.SortFunc(p.faults, func(a, b fault) int { return int(a.at - b.at) })
	return p
}

// draw returns a duration of at least a nanosecond and at most d.
func draw(r *rand.Rand, d time.Duration) time.Duration { return 1 + time.Duration(r.Int64N(int64(d))) }

// think returns how long a client waits before its next statement.
func (p *plan) think(r *rand.Rand) time.Duration {
	d := time.Duration(r.ExpFloat64() * float64(p.pause))
	if r.IntN(1000) < p.pauses {
		d += draw(r, 8*time.Second)
	}
	return d + 1
}

// fault draws one of the things that go wrong.
func (p *plan) fault(r *rand.Rand) fault {
	at := draw(r, p.length)
	edge := r.IntN(p.edges)
	name := fmt.Sprintf("edge%d", edge+1)
	long := draw(r, 10*time.Second)
	short := draw(r, time.Second)
	switch r.IntN(12) {
	case 0, 1, 2:
		return fault{at, fmt.Sprintf("partition of %s for %v", name, long), func(_ context.Context, w *world) {
			w.net.block(route{name, "home"}, long)
			w.net.block(route{"home", name}, long)
		}}
	case 3, 4:
		return fault{at, fmt.Sprintf("nothing from the home reaches %s for %v", name, long), func(_ context.Context, w *world) {
			w.net.block(route{"home", name}, long)
		}}
	case 5:
		return fault{at, "cut of all between " + name + " and the home", func(_ context.Context, w *world) {
			w.net.cut(func(from, to string) bool { return from == name && to == "home" })
		}}
	case 6:
		return fault{at, fmt.Sprintf("%s crashes for %v", name, short), func(ctx context.Context, w *world) {
			w.edges[edge].crash()
			sleep(ctx, short)
			w.edges[edge].start()
		}}
	case 7:
		return fault{at, fmt.Sprintf("home crashes for %v", short), func(ctx context.Context, w *world) {
			w.home.crash()
			sleep(ctx, short)
			w.home.start()
		}}
	case 8:
		back := draw(r, 2*time.Second)
		if r.IntN(2) == 0 {
			back = 0
		}
		return fault{at, fmt.Sprintf("the store crashes for %v and loses its last %v", short, back), func(ctx context.Context, w *world) {
			w.store.crash()
			sleep(ctx, short)
			w.store.lose(back + short)
			w.store.open()
		}}
	case 9:
		return fault{at, "cut of all between home and store", func(_ context.Context, w *world) {
			w.net.cut(func(from, to string) bool { return from == "home" && to == "store" })
		}}
	case 10:
		by := time.Duration(r.NormFloat64() * float64(time.Hour))
		of := name
		if r.IntN(2) == 0 {
			of = "home"
		}
		return fault{at, fmt.Sprintf("the wall clock of %s steps by %v", of, by), func(_ context.Context, w *world) { w.step(of, by) }}
	}
	return fault{at, "an administrator removes " + name, func(_ context.Context, w *world) { w.home.registry.Remove(name) }}
}

// happen lets go wrong what the plan says.
func (p *plan) happen(ctx context.Context, w *world) {
	for _, f := range p.faults {
		if !sleep(ctx, max(f.at-w.now(), 1)) {
			return
		}
		w.trace("", "-- %s", f.name)
		f.do(ctx, w)
	}
}
