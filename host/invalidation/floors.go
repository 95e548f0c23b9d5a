package invalidation

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// maxTables bounds the floors that are kept per database. A database with more written or cached relations starts
// over with its own floor raised: entries are lost, correctness is not.
const maxTables = 1 << 17

// Floors are the versions at or below which an entry is void: one per relation, one per database, one for the node.
// Raising costs the number of relations named, whatever the number of entries; checking reads a few atomics and
// takes no lock. It is safe for concurrent use.
type Floors struct {
	mu struct {
		sync.RWMutex
		era *era
	}
}

// era is the life of the floors under one epoch. A new epoch has versions that cannot be compared with the old
// one's, so it begins with an era of its own, and everything that depends on the old era is void.
type era struct {
	epoch     string
	over      atomic.Bool
	applied   Version // guarded by Floors.mu
	node      floor
	databases map[string]*database // guarded by Floors.mu
	holds     map[uint64]Hold      // guarded by Floors.mu
}

type database struct {
	floor  floor
	tables map[string]*floor // guarded by Floors.mu
}

// floor is one floor. While it is held, what entries are checked against lies above every version.
type floor struct {
	level   atomic.Uint64
	version Version // guarded by Floors.mu
	holds   int     // guarded by Floors.mu
}

const held = ^uint64(0)

func (f *floor) raise(to Version) {
	f.version = max(f.version, to)
	f.settle()
}

func (f *floor) hold(by int) {
	f.holds += by
	f.settle()
}

func (f *floor) settle() {
	if f.holds > 0 {
		f.level.Store(held)
	} else {
		f.level.Store(uint64(f.version))
	}
}

// NewFloors returns floors at zero under the given epoch. An empty epoch is one that no fill can name: until
// [Floors.Begin] nothing is valid.
func NewFloors(epoch string) *Floors {
	f := &Floors{}
	f.mu.era = newEra(epoch)
	return f
}

func newEra(epoch string) *era {
	return &era{epoch: epoch, databases: map[string]*database{}, holds: map[uint64]Hold{}}
}

// Epoch returns the epoch that the floors are in.
func (f *Floors) Epoch() string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.mu.era.epoch
}

// Begin starts a new epoch: all that was valid under the old one is void at once. Beginning the epoch that the
// floors are already in raises the node floor to version instead.
func (f *Floors) Begin(epoch string, version Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.era.epoch != epoch {
		f.mu.era.over.Store(true)
		f.mu.era = newEra(epoch)
	}
	f.mu.era.node.raise(version)
	f.mu.era.applied = max(f.mu.era.applied, version)
}

// Advance notes that all events of an epoch up to a version have been applied.
func (f *Floors) Advance(epoch string, to Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.era.epoch == epoch {
		f.mu.era.applied = max(f.mu.era.applied, to)
	}
}

// Applied returns the epoch, and up to which version all events of it have been applied.
func (f *Floors) Applied() (epoch string, v Version) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.mu.era.epoch, f.mu.era.applied
}

// Reached reports whether all events of an epoch up to a version have been applied. Of another epoch nothing is known.
func (f *Floors) Reached(epoch string, v Version) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.mu.era.epoch == epoch && f.mu.era.applied >= v
}

// Raise applies an event: every entry that depends on what it names and whose version is not above its own is void
// when Raise returns. Raising to a version below the floor does nothing.
func (f *Floors) Raise(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raiseLocked(e)
}

// RaiseIn is [Floors.Raise] for an event of a given epoch. It reports false, and does nothing, where the floors are
// in another one.
func (f *Floors) RaiseIn(epoch string, e Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.era.epoch != epoch {
		return false
	}
	f.raiseLocked(e)
	return true
}

func (f *Floors) raiseLocked(e Event) {
	era := f.mu.era
	if e.Database == "" {
		era.node.raise(e.Version)
		return
	}
	db := era.databaseLocked(e.Database)
	if len(e.Tables) == 0 {
		db.floor.raise(e.Version)
		return
	}
	for _, t := range e.Tables {
		db.tableLocked(t, e.Version).raise(e.Version)
	}
}

// HoldIn puts a hold in force, under a given epoch: nothing that depends on what it names is valid, and no fill of it is
// kept, until it is released. It reports false, and does nothing, where the floors are in another epoch. A hold that is in
// force already changes nothing. It keeps h.Tables, which must not be changed afterwards.
func (f *Floors) HoldIn(epoch string, h Hold) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	era := f.mu.era
	if era.epoch != epoch {
		return false
	}
	if _, ok := era.holds[h.ID]; !ok {
		era.holds[h.ID] = h
		era.holdLocked(h, 1)
	}
	return true
}

// ReleaseIn ends holds, under a given epoch. What is not in force is left out.
func (f *Floors) ReleaseIn(epoch string, ids ...uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.era.epoch == epoch {
		f.mu.era.releaseLocked(ids)
	}
}

// KeepIn ends every hold but those named, under a given epoch.
func (f *Floors) KeepIn(epoch string, ids map[uint64]struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	era := f.mu.era
	if era.epoch != epoch {
		return
	}
	var over []uint64
	for id := range era.holds {
		if _, ok := ids[id]; !ok {
			over = append(over, id)
		}
	}
	era.releaseLocked(over)
}

// Holds returns the holds in force, in the order of their ids.
func (f *Floors) Holds() []Hold {
	f.mu.RLock()
	defer f.mu.RUnlock()
	holds := make([]Hold, 0, len(f.mu.era.holds))
	for _, h := range f.mu.era.holds {
		holds = append(holds, h)
	}
	slices.SortFunc(holds, func(a, b Hold) int { return cmp.Compare(a.ID, b.ID) })
	return holds
}

func (e *era) releaseLocked(ids []uint64) {
	for _, id := range ids {
		if h, ok := e.holds[id]; ok {
			delete(e.holds, id)
			e.holdLocked(h, -1)
		}
	}
}

func (e *era) holdLocked(h Hold, by int) {
	if h.Database == "" {
		e.node.hold(by)
		return
	}
	db := e.databaseLocked(h.Database)
	if len(h.Tables) == 0 {
		db.floor.hold(by)
		return
	}
	for _, t := range h.Tables {
		db.tableLocked(t, 0).hold(by)
	}
}

func (e *era) databaseLocked(name string) *database {
	db := e.databases[name]
	if db == nil {
		db = &database{tables: map[string]*floor{}}
		e.databases[name] = db
	}
	return db
}

// tableLocked returns the floor of one relation. Where the bound is reached, the database floor takes over all
// table floors so far (their highest, and at least version), so that what depends on the dropped ones is void. Those that
// are held stay.
func (db *database) tableLocked(name string, version Version) *floor {
	if f := db.tables[name]; f != nil {
		return f
	}
	if len(db.tables) >= maxTables {
		highest := version
		kept := map[string]*floor{}
		for of, f := range db.tables {
			highest = max(highest, f.version)
			if f.holds > 0 {
				kept[of] = f
			} else {
				f.level.Store(held) // for ever: nothing raises it any more
			}
		}
		db.floor.raise(highest)
		db.tables = kept
	}
	f := &floor{}
	db.tables[name] = f
	return f
}

// Dependencies are the floors that one entry is checked against. The zero value is never valid.
type Dependencies struct {
	era    *era
	db     *database
	tables []*floor
}

// Depend returns the floors of the named relations of a database. It reports false where the floors are not in
// epoch: what was read under another one must not be kept.
func (f *Floors) Depend(epoch, database string, tables []string) (Dependencies, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	era := f.mu.era
	if epoch == "" || era.epoch != epoch {
		return Dependencies{}, false
	}
	db := era.databaseLocked(database)
	d := Dependencies{era: era, db: db, tables: make([]*floor, len(tables))}
	for i, t := range tables {
		d.tables[i] = db.tableLocked(t, 0)
	}
	return d, true
}

// Valid reports whether an entry with this version is above all of its floors. It allocates nothing and takes no
// lock; an event is seen as soon as its Raise has returned.
func (d *Dependencies) Valid(v Version) bool {
	if d.era == nil || d.era.over.Load() || uint64(v) <= d.era.node.level.Load() || uint64(v) <= d.db.floor.level.Load() {
		return false
	}
	for _, t := range d.tables {
		if uint64(v) <= t.level.Load() {
			return false
		}
	}
	return true
}

// since returns the floors above after, one event per database with its highest version first by node, then by
// database: the union of all events above after. The order is unspecified beyond that.
func (f *Floors) since(after Version) []Event {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var events []Event
	if node := f.mu.era.node.version; node > after {
		events = append(events, Event{Version: node})
	}
	for name, db := range f.mu.era.databases {
		if floor := db.floor.version; floor > after {
			events = append(events, Event{Version: floor, Database: name})
		}
		union := Event{Database: name}
		for table, floor := range db.tables {
			if v := floor.version; v > after {
				union.Tables = append(union.Tables, table)
				union.Version = max(union.Version, v)
			}
		}
		if len(union.Tables) > 0 {
			events = append(events, union)
		}
	}
	return events
}
