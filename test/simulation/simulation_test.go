package simulation

import (
	"flag"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed      = flag.Uint64("sim.seed", 0, "run the history of this `seed` alone, and print what happens in it")
	first     = flag.Uint64("sim.first", 1, "the `seed` of the first history")
	histories = flag.Int("sim.histories", 200, "how many `histories` to run, with seeds that count from the first")
)

// figures are what came of many histories.
type figures struct {
	sync.Mutex
	histories, ops int
	hits           uint64
	simulated      time.Duration
	failed         []Result
}

// explore runs histories on all processors until n have been run, or one has failed where that is enough.
func explore(t *testing.T, setup Setup, from uint64, n int, enough bool) *figures {
	t.Helper()
	f := &figures{}
	var taken atomic.Uint64
	var over atomic.Bool
	t.Run(setup.Broken.String(), func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprintf("worker %d", i), func(t *testing.T) {
				t.Parallel()
				for i := taken.Add(1) - 1; i < uint64(n) && !over.Load(); i = taken.Add(1) - 1 {
					if failed := f.add(Run(t, from+i, setup)); failed && enough {
						over.Store(true)
					}
				}
			})
		}
	})
	return f
}

// add counts a history, and reports whether it has failed.
func (f *figures) add(r Result) bool {
	f.Lock()
	defer f.Unlock()
	f.histories++
	f.ops += len(r.Ops)
	f.hits += r.Hits
	f.simulated += r.Simulated
	if len(r.Violations) == 0 {
		return false
	}
	f.failed = append(f.failed, r)
	return true
}

func (f *figures) String() string {
	return fmt.Sprintf("%d histories of %v in all, %d operations, %d answers from memory", f.histories, f.simulated.Round(time.Second), f.ops, f.hits)
}

// TestHistoriesKeepThePromise lets the adversary look for an answer that is too old.
func TestHistoriesKeepThePromise(t *testing.T) { keep(t, Setup{}) }

// TestStrongHistoriesAreLinearisable lets it look for an answer that no order explains.
func TestStrongHistoriesAreLinearisable(t *testing.T) { keep(t, Setup{Strong: true}) }

func keep(t *testing.T, setup Setup) {
	t.Helper()
	traced := setup
	traced.Traced = true
	if *seed != 0 {
		r := Run(t, *seed, traced)
		t.Log("\n" + r.Trace)
		for _, v := range r.Violations {
			t.Error(v)
		}
		return
	}
	began := time.Now()
	f := explore(t, setup, *first, *histories, false)
	t.Logf("%v, in %v", f, time.Since(began).Round(time.Millisecond))
	for i, r := range f.failed {
		t.Errorf("-run '^%s$' -sim.seed=%d: %d violations, the first:\n%v", t.Name(), r.Seed, len(r.Violations), r.Violations[0])
		if i == 0 {
			t.Log("\n" + Run(t, r.Seed, traced).Trace)
		}
	}
	if f.hits == 0 {
		t.Error("nothing was answered from memory")
	}
}

// enoughSeeds is within how many histories a broken rule has to be noticed.
const enoughSeeds = 2000

// TestEachRuleBrokenIsNoticed breaks one rule after the other. A rule whose breakage nobody notices is not tested.
func TestEachRuleBrokenIsNoticed(t *testing.T) {
	for broken := None + 1; broken < brokens; broken++ {
		f := explore(t, Setup{Broken: broken, Strong: broken == R11DoesNotWait}, *first, enoughSeeds, true)
		if len(f.failed) == 0 {
			t.Errorf("%v: nothing was noticed in %v", broken, f)
			continue
		}
		r := f.failed[0]
		t.Logf("%v: noticed in one of %d histories, with seed %d: %v", broken, f.histories, r.Seed, r.Violations[0])
	}
}

// TestASeedReplays runs histories twice: whatever fails has to fail again, at the same moments. What happens at one moment
// has no order where the machine is busy, and now and then (one history in some hundreds) a client then sees another thing.
func TestASeedReplays(t *testing.T) {
	const n = 20
	replayed := 0
	for i := range uint64(n) {
		once, again := Run(t, *first+i, Setup{Traced: true}), Run(t, *first+i, Setup{Traced: true})
		if len(once.Ops) > 0 && reflect.DeepEqual(once.Ops, again.Ops) && slices.Equal(shown(once.Trace), shown(again.Trace)) {
			replayed++
		}
	}
	if replayed < n-2 {
		t.Errorf("%d of %d histories were the same again", replayed, n)
	}
}

// shown returns what the store shows and loses.
func shown(trace string) []string {
	return slices.DeleteFunc(strings.Split(trace, "\n"), func(line string) bool { return !strings.Contains(line, "s  store ") })
}
