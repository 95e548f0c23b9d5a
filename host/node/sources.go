//go:build cgo

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/changes/wal"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	// idleAfter is how long a database is followed after its last session: a slot stands in the way of DROP DATABASE.
	idleAfter    = time.Minute
	idleInterval = 5 * time.Second
	// bypassInterval is how often the log says that writes bypass the home.
	bypassInterval = time.Minute
	// maxLost is how long a database whose slot was lost waits for another before it is on the wire, in doubt meanwhile.
	maxLost = 30 * time.Second
)

// sources are where a home learns of what did not pass it: for each database that has sessions a slot, as long as
// there are some left.
type sources struct {
	home *home
	// running ends with close, and with it every source.
	running context.Context
	stop    context.CancelCauseFunc
	// bypassed says that writes bypass the home. polls has a slot for each database that is polled.
	bypassed *telemetry.Limit
	polls    chan struct{}

	mu struct {
		sync.Mutex
		closed    bool
		databases map[string]*source
	}
}

// source is one database. It is the Sink of what follows its WAL.
type source struct {
	home     *home
	database string
	// following is set from the first Gap that says so to the first that does not.
	following atomic.Bool

	// follower is nil where the database is not followed; followed is closed once it is set.
	follower atomic.Pointer[wal.Source]
	followed chan struct{}
	passage  passage
	// running ends with cancel, and with it what runs for the database; wg waits for that.
	running context.Context
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup

	// Guarded by sources.mu.
	sessions  int
	idleSince time.Time
}

var errNodeClosed = errors.New("the node is closing")

func newSources(h *home) *sources {
	s := &sources{home: h}
	// The sources belong to the node, not to the session that happened to be the first.
	s.running, s.stop = context.WithCancelCause(context.Background())
	s.mu.databases = map[string]*source{}
	s.bypassed, s.polls = telemetry.NewLimit(h.node.logger, bypassInterval), make(chan struct{}, maxPolls)
	return s
}

// enter notes a session of a database, and follows the database where it is not followed yet, until leave is called.
func (s *sources) enter(database string) (leave func()) {
	if database == "" { // a session for physical replication
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return func() {}
	}
	one := s.mu.databases[database]
	if one == nil {
		one = &source{home: s.home, database: database, followed: make(chan struct{})}
		one.running, one.cancel = context.WithCancelCause(s.running)
		s.mu.databases[database] = one
		s.followLocked(one)
		one.wg.Go(func() { s.poll(one) })
	}
	one.sessions++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.sessions--; one.sessions == 0 {
			one.idleSince = time.Now()
		}
	})
}

// followLocked begins to follow a database where a slot is left.
func (s *sources) followLocked(one *source) {
	cfg := s.home.node.config
	if cfg.Source == config.SourceWire || s.mu.closed {
		return
	}
	slots := 0
	for _, other := range s.mu.databases {
		if other.follower.Load() != nil {
			slots++
		}
	}
	if slots >= cfg.WAL.MaxSlots {
		s.home.node.logger.Warn("database is not followed in the WAL: as many others are as wal.max_slots allows", telemetry.KeyDatabase, one.database)
		return
	}
	limit := maxLost
	if cfg.Source == config.SourceWAL {
		limit = 0
	}
	follower := wal.New(wal.Options{Config: s.home.postgres.Control(), Database: one.database, Sink: one, Logger: s.home.node.logger, MaxLost: limit})
	one.follower.Store(follower)
	close(one.followed)
	one.wg.Go(func() { follower.Run(one.running) })
}

// run lets go of databases that have had no session for long, until ctx ends.
func (s *sources) run(ctx context.Context) {
	ticker := time.NewTicker(idleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.release(now.Add(-idleAfter))
		}
	}
}

// release lets go of databases that have had no session since a moment, and gives their slots to others.
func (s *sources) release(since time.Time) {
	s.mu.Lock()
	var idle []*source
	for name, one := range s.mu.databases {
		if one.sessions == 0 && one.idleSince.Before(since) {
			idle = append(idle, one)
			delete(s.mu.databases, name)
		}
	}
	s.mu.Unlock()
	for _, one := range idle {
		one.stop()
		// Nobody looks at it from now on, so nothing of it stays.
		one.Gap(false)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.mu.databases {
		if one.follower.Load() == nil && one.sessions > 0 && len(idle) > 0 {
			s.followLocked(one)
		}
	}
}

// close ends every source and returns after the last.
func (s *sources) close() {
	s.mu.Lock()
	s.mu.closed = true
	all := slices.Collect(maps.Values(s.mu.databases))
	s.mu.Unlock()
	s.stop(errNodeClosed)
	for _, one := range all {
		one.stop()
	}
	s.bypassed.Close()
}

// passed notes what a session has published.
func (s *sources) passed(database string, changed statement.Closure) {
	s.mu.Lock()
	var concerned []*source
	for name, one := range s.mu.databases {
		if name == database || changed.Cluster {
			concerned = append(concerned, one)
		}
	}
	s.mu.Unlock()
	now := time.Now()
	for _, one := range concerned {
		one.passage.note(changed, now)
	}
}

// stop ends what runs for the database, and returns after it.
func (s *source) stop() {
	s.cancel(errNodeClosed)
	s.wg.Wait()
}

// state returns where the home learns of the database's writes, and a channel that is closed when that changes.
func (s *source) state() (wal.State, <-chan struct{}) {
	if follower := s.follower.Load(); follower != nil {
		return follower.State()
	}
	return wal.Refused, s.followed
}

// all returns the databases, sorted by name.
func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*source, 0, len(s.mu.databases))
	for _, one := range s.mu.databases {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *source) int { return strings.Compare(a.database, b.database) })
	return all
}

// following reports whether a database's writes are learned of from its WAL.
func (s *sources) following(database string) bool {
	s.mu.Lock()
	one := s.mu.databases[database]
	s.mu.Unlock()
	return one != nil && one.following.Load()
}

// Certain implements [witness]: everything that was visible in a database that is followed is in the log. A database that is
// not followed, or not yet, has nothing to tell.
func (s *sources) Certain(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, one := range s.all() {
		follower := one.follower.Load()
		if follower == nil || !one.following.Load() {
			continue
		}
		g.Go(func() error {
			// One that has stopped to be followed meanwhile, and said so, has voided everything.
			if err := follower.Certain(ctx); err != nil && one.following.Load() {
				return fmt.Errorf("database %s: %w", one.database, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Gap implements [wal.Sink]. Descriptors go before the floor: whoever reads a stamp behind it judges unlogged relations
// anew.
func (s *source) Gap(following bool) {
	s.following.Store(following)
	s.home.catalog.Refresh(s.database)
	s.home.log.Append(s.database, nil)
	s.home.catalog.Announced(s.database)
}

// Changed implements [wal.Sink].
func (s *source) Changed(change wal.Change) {
	h := s.home
	if change.Schema {
		h.catalog.Refresh(s.database)
		h.log.Append(s.database, nil)
		h.catalog.Announced(s.database)
		return
	}
	if change.Anything {
		h.log.Append(s.database, nil)
		return
	}
	if change.Empty {
		h.certainty.suspect()
	}
	if len(change.Relations) == 0 {
		return
	}
	names, known := ancestry(h.catalog.Peek(s.database), change.Relations)
	if !known {
		h.log.Append(s.database, nil)
		return
	}
	h.rates.Count(s.database, names, time.Now())
	h.log.Append(s.database, names)
}

// ancestry returns the names of relations and of all that they are partitions or children of, sorted. It reports false
// where one is not known, or may be another than it seems.
func ancestry(snapshot *catalog.Snapshot, changed []wal.Relation) (names []string, known bool) {
	if snapshot == nil {
		return nil, false
	}
	relations := make([]*catalog.Relation, 0, len(changed))
	for _, c := range changed {
		// Names come in the encoding of the database, and the catalogs' in UTF-8.
		r := snapshot.Relation(c.Schema, c.Name)
		if r == nil || !snapshot.UTF8 && !ascii(c.Schema+c.Name) {
			return nil, false
		}
		relations = append(relations, r)
	}
	for _, r := range catalog.Close(relations, catalog.Ancestors) {
		names = append(names, r.String())
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// status returns the figures of a database.
func (s *source) status() api.Source {
	follower := s.follower.Load()
	if follower == nil {
		reason := "source is wire"
		if s.home.node.config.Source != config.SourceWire {
			reason = "as many databases are followed as wal.max_slots allows"
		}
		return api.Source{Database: s.database, Source: string(wal.Refused), Reason: reason}
	}
	status := follower.Status()
	return api.Source{
		Database: s.database, Source: string(status.State), Reason: status.Reason, Slot: status.Slot, Followed: true, BehindBytes: status.Behind,
		BehindMS: status.Age.Milliseconds(), Transactions: status.Transactions, Whole: status.Whole, Reconnects: status.Reconnects,
	}
}

// check is the readiness of all sources together. Its text is public, so it names no database.
func (s *sources) check() api.Check {
	all, missing := s.all(), 0
	for _, one := range all {
		if one.status().Source != api.SourceWAL {
			missing++
		}
	}
	check := api.Check{Name: "source", OK: true}
	switch mode := s.home.node.config.Source; {
	case mode == config.SourceWire:
		check.Reason = "writes that bypass this home are not seen: source is wire"
	case missing > 0:
		check.OK = mode != config.SourceWAL
		check.Reason = "not every database that has sessions is followed in the WAL; GET /api/stats says why"
	}
	return check
}
