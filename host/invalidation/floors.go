package invalidation

import (
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
	node      atomic.Uint64
	databases map[string]*database // guarded by Floors.mu
}

type database struct {
	floor  atomic.Uint64
	tables map[string]*atomic.Uint64 // guarded by Floors.mu
}

// NewFloors returns floors at zero under the given epoch. An empty epoch is one that no fill can name: until
// [Floors.Begin] nothing is valid.
func NewFloors(epoch string) *Floors {
	f := &Floors{}
	f.mu.era = newEra(epoch)
	return f
}

func newEra(epoch string) *era { return &era{epoch: epoch, databases: map[string]*database{}} }

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
	raise(&f.mu.era.node, version)
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
		raise(&era.node, e.Version)
		return
	}
	db := era.databaseLocked(e.Database)
	if len(e.Tables) == 0 {
		raise(&db.floor, e.Version)
		return
	}
	for _, t := range e.Tables {
		raise(db.tableLocked(t, e.Version), e.Version)
	}
}

func (e *era) databaseLocked(name string) *database {
	db := e.databases[name]
	if db == nil {
		db = &database{tables: map[string]*atomic.Uint64{}}
		e.databases[name] = db
	}
	return db
}

// tableLocked returns the floor of one relation. Where the bound is reached, the database floor takes over all
// table floors so far (their highest, and at least version), so that what depends on the dropped ones is void.
func (db *database) tableLocked(name string, version Version) *atomic.Uint64 {
	if floor := db.tables[name]; floor != nil {
		return floor
	}
	if len(db.tables) >= maxTables {
		highest := uint64(version)
		for _, floor := range db.tables {
			highest = max(highest, floor.Load())
			floor.Store(^uint64(0))
		}
		raise(&db.floor, Version(highest))
		db.tables = map[string]*atomic.Uint64{}
	}
	floor := &atomic.Uint64{}
	db.tables[name] = floor
	return floor
}

func raise(floor *atomic.Uint64, to Version) {
	for {
		now := floor.Load()
		if now >= uint64(to) || floor.CompareAndSwap(now, uint64(to)) {
			return
		}
	}
}

// Dependencies are the floors that one entry is checked against. The zero value is never valid.
type Dependencies struct {
	era    *era
	db     *database
	tables []*atomic.Uint64
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
	d := Dependencies{era: era, db: db, tables: make([]*atomic.Uint64, len(tables))}
	for i, t := range tables {
		d.tables[i] = db.tableLocked(t, 0)
	}
	return d, true
}

// Valid reports whether an entry with this version is above all of its floors. It allocates nothing and takes no
// lock; an event is seen as soon as its Raise has returned.
func (d *Dependencies) Valid(v Version) bool {
	if d.era == nil || d.era.over.Load() || uint64(v) <= d.era.node.Load() || uint64(v) <= d.db.floor.Load() {
		return false
	}
	for _, t := range d.tables {
		if uint64(v) <= t.Load() {
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
	if node := Version(f.mu.era.node.Load()); node > after {
		events = append(events, Event{Version: node})
	}
	for name, db := range f.mu.era.databases {
		if floor := Version(db.floor.Load()); floor > after {
			events = append(events, Event{Version: floor, Database: name})
		}
		union := Event{Database: name}
		for table, floor := range db.tables {
			if v := Version(floor.Load()); v > after {
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
