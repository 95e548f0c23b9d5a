package invalidation

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// depend returns the dependencies of an entry on tables of the database "db".
func depend(t testing.TB, f *Floors, epoch string, tables ...string) Dependencies {
	t.Helper()
	d, ok := f.Depend(epoch, "db", tables)
	if !ok {
		t.Fatalf("floors are not in epoch %q", epoch)
	}
	return d
}

func TestR1StampLiesBehindTheLastEventAndBeforeTheNext(t *testing.T) {
	l := NewLogAt("e", func() time.Time { return time.UnixMilli(1000) })
	for range 3 {
		stamp := l.Stamp()
		if stamp <= l.Last() {
			t.Errorf("stamp %d is not behind the last event %d", stamp, l.Last())
		}
		if v := l.Append("db", []string{"public.t"}); v <= stamp {
			t.Errorf("event %d is not behind the stamp %d that came before it", v, stamp)
		}
	}
}

func TestVersionsIncreaseWhenTheClockStepsBack(t *testing.T) {
	now := time.UnixMilli(1 << 20)
	l := NewLogAt("e", func() time.Time { return now })
	last := l.Last()
	for _, step := range []time.Duration{0, time.Second, -time.Hour, 0, 2 * time.Hour} {
		now = now.Add(step)
		v := l.Append("db", nil)
		if v <= last || v%2 != 0 {
			t.Errorf("after a step of %v: version %d, want an even one above %d", step, v, last)
		}
		last = v
	}
}

func TestR3EventVoidsWhatItNamesAndNothingElse(t *testing.T) {
	for _, test := range []struct {
		name  string
		event Event
		want  map[string]bool // entry by its tables: still valid
	}{
		{"a table", Event{10, "db", []string{"public.a"}}, map[string]bool{"public.a": false, "public.b": true, "none": true}},
		{"several tables", Event{10, "db", []string{"public.a", "public.b"}}, map[string]bool{"public.a": false, "public.b": false, "none": true}},
		{"the whole database", Event{10, "db", nil}, map[string]bool{"public.a": false, "public.b": false, "none": false}},
		{"another database", Event{10, "other", nil}, map[string]bool{"public.a": true, "public.b": true, "none": true}},
		{"the node", Event{10, "", nil}, map[string]bool{"public.a": false, "public.b": false, "none": false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := NewFloors("e")
			entries := map[string]Dependencies{"public.a": depend(t, f, "e", "public.a"), "public.b": depend(t, f, "e", "public.b"), "none": depend(t, f, "e")}
			f.Raise(test.event)
			for name, d := range entries {
				if got := d.Valid(9); got != test.want[name] {
					t.Errorf("entry on %s with version 9 after %+v: valid = %v, want %v", name, test.event, got, test.want[name])
				}
				if !d.Valid(11) {
					t.Errorf("entry on %s with version 11 after %+v is void", name, test.event)
				}
			}
		})
	}
}

func TestR5NewEpochVoidsEverything(t *testing.T) {
	f := NewFloors("one")
	d := depend(t, f, "one", "public.a")
	f.Begin("two", 1)
	if d.Valid(1 << 60) {
		t.Error("an entry of the old epoch is valid in the new one")
	}
	if _, ok := f.Depend("one", "db", nil); ok {
		t.Error("a fill of the old epoch finds floors")
	}
	if f.RaiseIn("one", Event{Version: 1 << 60}) {
		t.Error("an event of the old epoch was applied in the new one")
	}
	if d := depend(t, f, "two", "public.a"); !d.Valid(3) {
		t.Error("an entry of the new epoch is void")
	}
}

func TestR5BeginningTheSameEpochRaisesTheNodeFloor(t *testing.T) {
	f := NewFloors("e")
	d := depend(t, f, "e", "public.a")
	f.Begin("e", 10)
	if d.Valid(9) || !d.Valid(11) {
		t.Errorf("after Begin at 10: version 9 valid = %v, 11 valid = %v; want false, true", d.Valid(9), d.Valid(11))
	}
}

func TestFloorsWithoutAnEpochKeepNothing(t *testing.T) {
	if _, ok := NewFloors("").Depend("", "db", nil); ok {
		t.Error("floors that never heard of an epoch took a fill")
	}
	var zero Dependencies
	if zero.Valid(1 << 60) {
		t.Error("zero dependencies are valid")
	}
}

func TestTableFloorsAreBounded(t *testing.T) {
	f := NewFloors("e")
	first := depend(t, f, "e", "t0")
	f.Raise(Event{20, "db", []string{"t1"}})
	for i := range maxTables + 1 {
		depend(t, f, "e", fmt.Sprint("t", i))
	}
	if first.Valid(1 << 60) {
		t.Error("an entry on a dropped floor is valid: later events could not void it")
	}
	if d := depend(t, f, "e", "t1"); d.Valid(19) {
		t.Error("what was void before the floors were dropped is valid again")
	}
}

func TestSinceReplaysTheRingThenTheUnion(t *testing.T) {
	l := NewLog()
	start := l.Last()
	l.Append("db", []string{"public.a"})
	middle := l.Last()
	l.Append("db", []string{"public.b"})
	events, last := l.Since(middle)
	if len(events) != 1 || events[0].Tables[0] != "public.b" || last != l.Last() {
		t.Errorf("Since(middle) = %+v, %d; want the event on public.b, %d", events, last, l.Last())
	}
	for range ringSize {
		l.Append("db", []string{"public.c"})
	}
	events, last = l.Since(start)
	if len(events) != 1 || last != l.Last() {
		t.Fatalf("Since(start) = %+v, %d; want one event for the database, %d", events, last, l.Last())
	}
	slices.Sort(events[0].Tables)
	if want := []string{"public.a", "public.b", "public.c"}; !slices.Equal(events[0].Tables, want) || events[0].Version != l.Last() {
		t.Errorf("union = %+v, want %v at %d", events[0], want, l.Last())
	}
}

// TestR5ReaderEndsWithTheFloorsOfTheHome applies what random readers get to floors of their own: whatever was void at
// the home when a reader caught up is void there too.
func TestR5ReaderEndsWithTheFloorsOfTheHome(t *testing.T) {
	names := []string{"public.a", "public.b", "public.c"}
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog()
		edge := NewFloors(l.Epoch())
		at := l.Last()
		edge.Begin(l.Epoch(), at)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.IntRange(0, 400).Draw(t, "burst") == 0 {
				for range ringSize + 1 {
					l.Append("db", names[:1])
				}
			}
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				l.Append("", nil)
			case 1:
				l.Append("db", nil)
			default:
				l.Append("db", []string{rapid.SampledFrom(names).Draw(t, "table")})
			}
			if rapid.Bool().Draw(t, "reads") {
				var events []Event
				events, at = l.Since(at)
				for _, e := range Merge(events) {
					edge.RaiseIn(l.Epoch(), e)
				}
			}
		}
		events, _ := l.Since(at)
		for _, e := range Merge(events) {
			edge.RaiseIn(l.Epoch(), e)
		}
		for _, name := range names {
			home, _ := l.Floors().Depend(l.Epoch(), "db", []string{name})
			there, _ := edge.Depend(l.Epoch(), "db", []string{name})
			for _, v := range []Version{l.Last() - 1, l.Last().Stamp()} {
				if there.Valid(v) && !home.Valid(v) {
					t.Fatalf("an entry on %s with version %d is valid at the edge and void at the home", name, v)
				}
			}
			if !there.Valid(l.Stamp()) {
				t.Fatalf("a read on %s stamped after everything is void", name)
			}
		}
	})
}

func TestSubscriptionWakesAndEnds(t *testing.T) {
	l := NewLog()
	wake, stop := l.Subscribe()
	l.Append("db", nil)
	l.Append("db", nil)
	<-wake
	select {
	case <-wake:
		t.Error("two events made two wake-ups in a slot of one")
	default:
	}
	stop()
	stop()
	l.Append("db", nil)
	select {
	case <-wake:
		t.Error("a subscription that ended was woken")
	default:
	}
}

func TestMergeUnitesPerDatabase(t *testing.T) {
	got := Merge([]Event{{2, "a", []string{"x"}}, {4, "b", []string{"z"}}, {6, "a", []string{"y", "x"}}, {8, "b", nil}, {10, "", nil}})
	want := []Event{{6, "a", []string{"x", "y"}}, {8, "b", nil}, {10, "", nil}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Merge = %v, want %v", got, want)
	}
}

func TestR6LeaseEndsByTheClockOfWhoAsked(t *testing.T) {
	var l Lease
	asked := Now()
	if l.Valid(asked) || l.Valid(asked-1<<40) {
		t.Error("a lease that was never granted is valid")
	}
	l.Extend(asked, time.Second)
	if end := asked.Add(time.Second); !l.Valid(end-1) || l.Valid(end) {
		t.Errorf("lease of a second: valid just before its end = %v, at its end = %v; want true, false", l.Valid(end-1), l.Valid(end))
	}
	l.Extend(asked-100, time.Second)
	if !l.Valid(asked.Add(time.Second) - 1) {
		t.Error("a grant that was asked for earlier shortened the lease")
	}
	l.End()
	if l.Valid(asked) {
		t.Error("a lease that was ended is valid")
	}
	l.Forever()
	if !l.Valid(asked.Add(1000 * time.Hour)) {
		t.Error("the home's own lease ran out")
	}
}

// TestHammer is for the race detector: readers, fills and events at once. A fill made under a stamp taken after an
// event must not be void by that event alone.
func TestHammer(t *testing.T) {
	l := NewLog()
	var wg sync.WaitGroup
	for i := range 4 {
		table := fmt.Sprint("public.t", i)
		wg.Go(func() {
			for range 500 {
				stamp := l.Append("db", []string{table}).Stamp()
				d, ok := l.Floors().Depend(l.Epoch(), "db", []string{table})
				if !ok || !d.Valid(stamp) {
					t.Errorf("a stamp right behind the last event on its only table is void")
					return
				}
			}
		})
		wg.Go(func() {
			at := Version(0)
			for range 200 {
				_, at = l.Since(at)
			}
		})
	}
	wg.Wait()
}

func BenchmarkValid(b *testing.B) {
	f := NewFloors("e")
	d := depend(b, f, "e", "public.a", "public.b", "public.c")
	b.ReportAllocs()
	for b.Loop() {
		if !d.Valid(3) {
			b.Fatal("void")
		}
	}
}

func TestR11HeldRelationIsValidForNobody(t *testing.T) {
	l := NewLog()
	f := l.Floors()
	a, b := depend(t, f, l.Epoch(), "public.a"), depend(t, f, l.Epoch(), "public.b")
	before := l.Stamp()
	first, at := l.Hold("db", []string{"public.a"})
	second, _ := l.Hold("db", []string{"public.a"})
	if a.Valid(before) || a.Valid(1<<60) || !b.Valid(before) {
		t.Errorf("while a is held: a valid = %v, b valid = %v; want false, true", a.Valid(before), b.Valid(before))
	}
	if got := l.Batch(at - 2); !got.HoldsChanged || len(got.Holds) != 2 || len(got.Events) != 0 || got.Last != l.Last() {
		t.Errorf("batch = %+v, want two holds and no event", got)
	}
	l.Release(first)
	if a.Valid(before) {
		t.Error("one of two holds has ended, and a is valid")
	}
	l.Release(second, 77)
	if !a.Valid(before) {
		t.Error("nothing has changed, and a is void")
	}
	whole, _ := l.Hold("db", nil)
	v := l.Append("db", []string{"public.b"})
	if a.Valid(l.Stamp()) || b.Valid(l.Stamp()) {
		t.Error("the database is held, and something of it is valid")
	}
	l.Release(whole)
	if !a.Valid(before) || b.Valid(before) || !b.Valid(v.Stamp()) {
		t.Errorf("behind a write to b: a valid = %v, b of before = %v, b of behind = %v; want true, false, true", a.Valid(before), b.Valid(before), b.Valid(v.Stamp()))
	}
	if got := l.Batch(l.Last()); got.HoldsChanged || got.Holds != nil {
		t.Errorf("batch at the end = %+v, want nothing", got)
	}
}

func TestR11HeldFloorsAreKeptWhereOthersAreDropped(t *testing.T) {
	f := NewFloors("e")
	d := depend(t, f, "e", "held")
	f.HoldIn("e", Hold{ID: 1, Database: "db", Tables: []string{"held"}})
	for i := range maxTables {
		depend(t, f, "e", fmt.Sprint("t", i))
	}
	if d.Valid(1 << 60) {
		t.Error("a held relation is valid")
	}
	f.ReleaseIn("e", 1)
	if !d.Valid(1 << 60) {
		t.Error("a relation that is no longer held is void for ever")
	}
	f.Raise(Event{10, "db", []string{"held"}})
	if d.Valid(9) || !d.Valid(11) {
		t.Error("its entry no longer hears of events")
	}
}
