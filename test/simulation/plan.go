package simulation

import (
	"cmp"
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
	// writes is how often, in a thousand, a client writes.
	writes int
	// habits is how often, in a thousand, a client that reads asks what it always asks: who asks for something else while
	// nothing passes has to wait, and sees nothing more.
	habits int
	// slowStatements is how often, in a thousand, a statement waits up to slowStatement, before its snapshot and behind
	// it each.
	slowStatements int
	slowStatement  time.Duration
	// storeStalls and edgeStalls are how often, in a thousand, a message to or from the store and between an edge and its
	// home takes up to so much longer.
	storeStalls, edgeStalls int
	storeStall, edgeStall   time.Duration
	// lostReplies is how often, in a thousand, the store's connection is lost between a commit and its reply.
	lostReplies int
	faults      []fault
}

// fault is what goes wrong at one moment.
type fault struct {
	at   time.Duration
	name string
	do   func(ctx context.Context, w *world)
	// forgets is set where a write may become visible that no home hears of, or cease to be, or where a home forgets.
	forgets bool
}

func newPlan(r *rand.Rand, strong bool) plan {
	p := plan{
		edges: 1 + r.IntN(3), clients: 2 + r.IntN(4), length: 10*time.Second + draw(r, 15*time.Second), lazyBegin: r.IntN(2) == 0,
		pause: 50*time.Millisecond + draw(r, time.Second), pauses: r.IntN(100), reconnects: r.IntN(30),
	}
	// Where little is written, what is wrong stays so long enough to be seen; where much is, more can go wrong.
	p.writes = []int{10, 30, 60, 120, 250}[r.IntN(5)]
	p.habits = []int{0, 500, 950, 1000}[r.IntN(4)]
	if r.IntN(2) == 0 {
		p.slowStatements, p.slowStatement = r.IntN(300), draw(r, time.Second/2)
	}
	if r.IntN(2) == 0 {
		p.storeStalls, p.storeStall = r.IntN(100), draw(r, time.Second/2)
	}
	if r.IntN(2) == 0 {
		p.edgeStalls, p.edgeStall = r.IntN(200), draw(r, 4*time.Second)
	}
	if r.IntN(4) == 0 {
		p.lostReplies = r.IntN(200)
	}
	switch r.IntN(8) {
	case 0, 1:
		p.lags(r)
	case 7:
		p.waits(r)
	case 2:
		p.races(r)
	case 3:
		p.losses(r)
	default:
		for range r.IntN(8) {
			p.faults = append(p.faults, p.fault(r))
		}
	}
	if strong {
		// A database that loses what it has answered, or commits what nobody is left to hear of (its home has
		// crashed), is not linearisable by itself.
		p.faults = slices.DeleteFunc(p.faults, func(f fault) bool { return f.forgets })
	}
	slices.SortFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return p
}

// lags makes the home's words old when they arrive at an edge, and then takes the edge away, while clients ask for the
// same again and again.
func (p *plan) lags(r *rand.Rand) {
	p.length, p.habits, p.pauses, p.writes, p.reconnects = 22*time.Second, 1000, 0, 10, 0
	p.pause = 50*time.Millisecond + draw(r, 200*time.Millisecond)
	how := p.lag
	if r.IntN(2) == 0 {
		how = p.stall
	}
	p.faults = append(p.faults, how(r, 3*time.Second+draw(r, 2*time.Second), 6*time.Second+draw(r, 3*time.Second)))
}

// waits lets the replies to writes take their time while edges go away, so that the home hears of a write long behind its
// commit.
func (p *plan) waits(r *rand.Rand) {
	p.length, p.habits, p.pauses, p.writes, p.reconnects = 22*time.Second, 1000, 0, 30+r.IntN(60), 0
	p.pause = 50*time.Millisecond + draw(r, 200*time.Millisecond)
	p.slowStatements, p.slowStatement = 300, maxStaleness/2
	name := fmt.Sprintf("edge%d", r.IntN(p.edges)+1)
	at, blocked := 6*time.Second+draw(r, 6*time.Second), 2*maxStaleness
	p.faults = append(p.faults, fault{at: at, name: fmt.Sprintf("nothing passes between %s and the home for %v", name, blocked), do: func(_ context.Context, w *world) {
		w.net.block(route{name, "home"}, blocked)
		w.net.block(route{"home", name}, blocked)
	}})
}

// races lets many ask for and write the same while statements and their replies take their time.
func (p *plan) races(r *rand.Rand) {
	p.length, p.pauses, p.writes = 12*time.Second, 0, 100+r.IntN(200)
	p.pause = 30*time.Millisecond + draw(r, 200*time.Millisecond)
	p.slowStatements, p.slowStatement = 100+r.IntN(400), draw(r, time.Second/2)
	if r.IntN(3) == 0 {
		p.faults = append(p.faults, p.fault(r))
	}
}

// losses lets the store crash and lose what it had committed, and replies to writes get lost.
func (p *plan) losses(r *rand.Rand) {
	p.length, p.habits, p.pauses = 20*time.Second, 950, 0
	p.pause = 50*time.Millisecond + draw(r, 300*time.Millisecond)
	p.lostReplies, p.writes = r.IntN(1000), 10+r.IntN(50)
	for range r.IntN(3) {
		p.faults = append(p.faults, p.crash(r))
	}
}

// absence is how long the home may take to find out that the store has been away.
func (p *plan) absence() time.Duration { return watchInterval + 20*time.Millisecond + 2*p.storeStall }

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
		return fault{at: at, name: fmt.Sprintf("partition of %s for %v", name, long), do: func(ctx context.Context, w *world) {
			w.net.block(route{name, "home"}, long)
			w.net.block(route{"home", name}, long)
			w.strike(ctx)
		}}
	case 3:
		return p.lag(r, at/2, long)
	case 4:
		return fault{at: at, name: fmt.Sprintf("nothing from the home reaches %s for %v", name, long), do: func(_ context.Context, w *world) {
			w.net.block(route{"home", name}, long)
		}}
	case 5:
		return fault{at: at, name: "cut of all between " + name + " and the home", do: func(ctx context.Context, w *world) {
			w.net.cut(func(from, to string) bool { return from == name && to == "home" })
			w.strike(ctx)
		}}
	case 6:
		return fault{at: at, name: fmt.Sprintf("%s crashes for %v", name, short), do: func(ctx context.Context, w *world) {
			w.edges[edge].crash()
			sleep(ctx, short)
			w.edges[edge].start()
		}}
	case 7:
		return fault{at: at, forgets: true, name: fmt.Sprintf("home crashes for %v", short), do: func(ctx context.Context, w *world) {
			w.home.crash()
			sleep(ctx, short)
			w.home.start()
		}}
	case 8:
		return p.crash(r)
	case 9:
		return fault{at: at, forgets: true, name: "cut of all between home and store", do: func(_ context.Context, w *world) {
			w.net.cut(func(from, to string) bool { return from == "home" && to == "store" })
		}}
	case 10:
		by := time.Duration(r.NormFloat64() * float64(time.Hour))
		of := name
		if r.IntN(2) == 0 {
			of = "home"
		}
		return fault{at: at, name: fmt.Sprintf("the wall clock of %s steps by %v", of, by), do: func(_ context.Context, w *world) { w.step(of, by) }}
	}
	return fault{at: at, name: "an administrator removes " + name, do: func(_ context.Context, w *world) { w.home.registry.Remove(name) }}
}

// lag is a link that gets slow from at, and where nothing passes any more some time after. Everything is written so late
// that the edge never hears of it.
func (p *plan) lag(r *rand.Rand, at, blocked time.Duration) fault {
	name := fmt.Sprintf("edge%d", r.IntN(p.edges)+1)
	by := time.Second + draw(r, 2*time.Second)
	until := by + draw(r, 3*time.Second)
	before := draw(r, by)
	return fault{at: at, name: fmt.Sprintf("all between %s and the home takes %v longer for %v, and then nothing passes for %v", name, by, until, blocked), do: func(ctx context.Context, w *world) {
		w.net.slowDown(route{name, "home"}, by, until)
		w.net.slowDown(route{"home", name}, by, until)
		sleep(ctx, until-before)
		w.strike(ctx)
		if sleep(ctx, before) {
			w.net.block(route{name, "home"}, blocked)
			w.net.block(route{"home", name}, blocked)
		}
	}}
}

// stall is a stream that stops while all else passes, and a link where nothing passes before the edge has taken offence.
func (p *plan) stall(r *rand.Rand, at, blocked time.Duration) fault {
	name := fmt.Sprintf("edge%d", r.IntN(p.edges)+1)
	before, stalled := draw(r, time.Second), 3*time.Second+draw(r, 1500*time.Millisecond)
	return fault{at: at, name: fmt.Sprintf("the stream to %s stalls for %v, and then nothing passes for %v", name, stalled, blocked), do: func(ctx context.Context, w *world) {
		w.net.stall(route{"home", name}, stalled+blocked)
		sleep(ctx, before)
		w.strike(ctx)
		if sleep(ctx, stalled-before) {
			w.net.block(route{name, "home"}, blocked)
			w.net.block(route{"home", name}, blocked)
		}
	}}
}

// crash is a database that goes away, and may come back without what it had committed last.
func (p *plan) crash(r *rand.Rand) fault {
	at, down, back := draw(r, p.length*2/3), draw(r, time.Second), time.Second+draw(r, 3*time.Second)
	if r.IntN(3) == 0 {
		back = 0
	}
	before := draw(r, time.Second)
	return fault{at: at, forgets: true, name: fmt.Sprintf("the store crashes for %v and loses its last %v", down, back), do: func(ctx context.Context, w *world) {
		w.strike(ctx)
		sleep(ctx, before) // so that it has been read
		w.store.crash()
		sleep(ctx, down)
		w.store.lose(back + down)
		w.store.open()
	}}
}

// happen lets go wrong what the plan says, one after the other.
func (p *plan) happen(ctx context.Context, w *world) {
	for _, f := range p.faults {
		if !sleep(ctx, max(f.at-w.now(), 1)) {
			return
		}
		w.trace("", "-- %s", f.name)
		f.do(ctx, w)
	}
}
