package invalidation

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ringSize is how many events a log replays one by one; a reader further behind gets their union.
const ringSize = 4096

// Log is the home's ordered list of invalidation events, in process. It is safe for concurrent use.
//
// It keeps no queue per reader. A reader states the position it has applied and gets what lies behind it: event by
// event from a bounded ring or, further back, the union of all of them, read off the floors. So a stalled reader
// costs nothing, none is ever dropped, and within an epoch none has to be reset (R5, R8).
type Log struct {
	epoch  string
	floors *Floors
	last   atomic.Uint64
	now    func() time.Time

	mu struct {
		sync.Mutex
		ring    [ringSize]Event
		count   uint64 // events appended so far
		evicted Version
		wakes   map[chan struct{}]struct{}
		holds   uint64  // ids of holds given so far
		heldAt  Version // when a hold began or ended last; 0: never
	}
}

// NewLog returns an empty log of a new epoch that begins at the present, with floors of its own. The epoch is a
// random identity; its versions begin at the wall clock.
func NewLog() *Log {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the process where the system has no randomness
	return NewLogAt(hex.EncodeToString(id[:]), time.Now)
}

// NewLogAt is [NewLog] for a caller that brings the identity, which must be of this log alone, and the wall clock.
func NewLogAt(epoch string, now func() time.Time) *Log {
	l := &Log{epoch: epoch, floors: NewFloors(epoch), now: now}
	l.mu.wakes = map[chan struct{}]struct{}{}
	start := next(0, now())
	l.last.Store(uint64(start))
	l.floors.Advance(epoch, start)
	l.mu.evicted = start
	return l
}

// Epoch returns the log's identity, 32 hexadecimal digits.
func (l *Log) Epoch() string { return l.epoch }

// Floors returns the floors that the log raises. They are the home's own.
func (l *Log) Floors() *Floors { return l.floors }

// Last returns the version of the last event, or where the log began.
func (l *Log) Last() Version { return Version(l.last.Load()) }

// Stamp returns what a read is stamped with before it is sent to Postgres (R1).
func (l *Log) Stamp() Version { return l.Last().Stamp() }

// Append adds an event for relations of a database; no relations: the whole database; no database: the node. The
// home's floors are raised and the event is readable when Append returns. It keeps tables, which must not be
// changed afterwards.
func (l *Log) Append(database string, tables []string) Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Event{Version: next(Version(l.last.Load()), l.now()), Database: database, Tables: tables}
	// Floors first: a stamp taken after last moved must find them raised.
	l.floors.Raise(e)
	slot := &l.mu.ring[l.mu.count%ringSize]
	if l.mu.count >= ringSize {
		l.mu.evicted = slot.Version
	}
	*slot = e
	l.mu.count++
	l.advanceLocked(e.Version)
	return e.Version
}

// advanceLocked moves the log to a version and wakes its readers.
func (l *Log) advanceLocked(to Version) {
	l.last.Store(uint64(to))
	l.floors.Advance(l.epoch, to)
	for wake := range l.mu.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Hold puts a hold on relations of a database in force here, for readers at the version that it returns; no relations:
// the whole database; no database: the node. It keeps tables, which must not be changed afterwards.
func (l *Log) Hold(database string, tables []string) (id uint64, at Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.holds++
	l.floors.HoldIn(l.epoch, Hold{ID: l.mu.holds, Database: database, Tables: tables})
	l.mu.heldAt = next(Version(l.last.Load()), l.now())
	l.advanceLocked(l.mu.heldAt)
	return l.mu.holds, l.mu.heldAt
}

// Release ends holds. What they were for is in the log already where it has changed anything.
func (l *Log) Release(ids ...uint64) {
	if len(ids) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floors.ReleaseIn(l.epoch, ids...)
	l.mu.heldAt = next(Version(l.last.Load()), l.now())
	l.advanceLocked(l.mu.heldAt)
}

// Since returns the events behind after and the position that they lead to. Where after lies before what the ring
// still holds, the events are the union per database of all behind after, not in the order of their versions;
// otherwise they are the events themselves, in order. Both void the same, or more.
func (l *Log) Since(after Version) (events []Event, last Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sinceLocked(after)
}

// Batch is what lies behind a position of the log.
type Batch struct {
	// Events are as [Log.Since] returns them, and Last is the position that the batch leads to.
	Events []Event
	Last   Version
	// HoldsChanged is set where a hold began or ended behind the position, Holds are those in force at Last.
	HoldsChanged bool
	Holds        []Hold
}

// Batch returns what lies behind after, with the holds.
func (l *Log) Batch(after Version) Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b Batch
	b.Events, b.Last = l.sinceLocked(after)
	if b.HoldsChanged = l.mu.heldAt > after; b.HoldsChanged {
		b.Holds = l.floors.Holds()
	}
	return b
}

// EverHeld reports whether there was a hold in this log.
func (l *Log) EverHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.heldAt != 0
}

func (l *Log) sinceLocked(after Version) (events []Event, last Version) {
	last = Version(l.last.Load())
	if after >= last {
		return nil, last
	}
	if after < l.mu.evicted {
		return l.floors.since(after), last
	}
	// Walk back to the first event behind after; a reader that keeps up has one or two steps.
	first := l.mu.count
	for first > l.mu.count-min(l.mu.count, ringSize) && l.mu.ring[(first-1)%ringSize].Version > after {
		first--
	}
	for ; first < l.mu.count; first++ {
		events = append(events, l.mu.ring[first%ringSize])
	}
	return events, last
}

// Knows reports whether a reader that says it applied after, under epoch, can go on from there.
func (l *Log) Knows(epoch string, after Version) bool {
	return epoch == l.epoch && after <= l.Last()
}

// Subscribe returns a channel that gets a value after each Append, one slot deep: values coalesce, and a reader
// that is late loses none of the log. The caller ends the subscription with stop, which may be called twice.
// Subscribe first, read the position then: so nothing falls between.
func (l *Log) Subscribe() (wake <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.wakes[ch] = struct{}{}
	return ch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.mu.wakes, ch)
	}
}

// Merge returns events as few as void the same, for one message per database: those of equal database are united
// under their highest version. A whole database swallows its relations.
func Merge(events []Event) []Event {
	if len(events) < 2 {
		return events
	}
	var merged []Event
	at := map[string]int{}
	whole := map[string]bool{}
	for _, e := range events {
		i, seen := at[e.Database]
		if !seen {
			i = len(merged)
			at[e.Database] = i
			merged = append(merged, Event{Database: e.Database})
		}
		m := &merged[i]
		m.Version = max(m.Version, e.Version)
		if len(e.Tables) == 0 {
			whole[e.Database] = true
		}
		m.Tables = append(m.Tables, e.Tables...)
	}
	for i := range merged {
		m := &merged[i]
		if whole[m.Database] {
			m.Tables = nil
			continue
		}
		slices.Sort(m.Tables)
		m.Tables = slices.Compact(m.Tables)
	}
	slices.SortFunc(merged, func(a, b Event) int {
		switch {
		case a.Version < b.Version:
			return -1
		case a.Version > b.Version:
			return 1
		}
		return 0
	})
	return merged
}
