//go:build cgo

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	// pulseInterval is how often a home makes sure of its Postgres where nobody asks for a lease, pulseTimeout how long
	// Postgres may take to answer, and pulseSpacing how many moments go by at least between two times.
	pulseInterval = time.Second
	pulseTimeout  = 5 * time.Second
	pulseSpacing  = 10 * time.Millisecond
	// digestShare is how much longer than a digest the time between two of them is at least.
	digestShare = 20
	// suspectSpacing is how much time lies at least between two digests where a schema may have changed.
	suspectSpacing = 50 * time.Millisecond
	// maxChecks is how many databases are looked at at once.
	maxChecks = 4
	// linger is how long a database is looked at after its last session. Then all that is cached of it is void.
	linger = 30 * time.Second
)

// server is what tells one life of a Postgres from another: crash recovery and a promoted standby may both have lost
// commits that were answered before (R12).
type server struct {
	system, timeline int64
	started          time.Time
}

// pulse is what Postgres says of itself at a moment.
type pulse struct {
	server
	// snapshot is the text of pg_current_snapshot(): two that are equal see the same. Empty where that does not hold.
	snapshot string
}

// control is the home's connection to Postgres that tells whether it is there.
type control interface {
	// pulse asks; after an error the connection is of no use.
	pulse(ctx context.Context) (pulse, error)
	// idle returns once ctx is over, with nil, or the connection has ended, with why.
	idle(ctx context.Context) error
	close()
}

// witness is what the home hears of writes from, beside the sessions that pass it.
type witness interface {
	// Certain returns nil once every transaction that was visible when it was called is in the log. An error says why
	// that is not so; then no lease is granted.
	Certain(ctx context.Context) error
}

// schemas is the part of [catalog.Catalog] that tells which databases have changed past the home.
type schemas interface {
	Check(ctx context.Context, database string) (catalog.Change, error)
	Doubt(database string, why error)
	Forget(database string)
}

// certainty finds out again and again up to which moment the home's log is certain: Postgres is the one that it was, its
// catalogs are what the pictures say or an event says otherwise, and all witnesses have told what was visible. Leases are
// granted up to that moment, the home's own among them (R6, R12).
type certainty struct {
	logger       *slog.Logger
	maxStaleness time.Duration
	catalogCheck time.Duration
	connect      func(ctx context.Context) (control, error)
	catalog      schemas
	witnesses    []witness
	// databases returns those that something may be cached of; tidy lets go of what nobody uses, before each round.
	databases func() []string
	tidy      func()
	// append adds an event to the log; no relations: the whole database; no database: everything.
	append func(database string, relations []string) invalidation.Version
	// returned is called when Postgres is back, or another: everything that was known before may be wrong.
	returned func()
	// certified is called with each later moment.
	certified func(at invalidation.Instant)
	// reached is told whether Postgres can be: nil, or why not.
	reached func(error)

	pokes chan struct{} // one slot
	// suspected is set where a schema may have changed since the last digests.
	suspected atomic.Bool
	doubt     atomic.Pointer[string]
	// doubted is how many databases have nothing cached because their digests failed.
	doubted atomic.Int64

	// What only Run touches.
	rounds   int // that Postgres has answered
	known    server
	lost     bool
	snapshot string               // read before the last digests; empty: they were not all taken
	checked  invalidation.Instant // the moment before the last digests, 0: none
	cost     time.Duration        // of the dearest of them
	doubts   map[string]bool      // databases whose digest failed
	uneasy   map[string]bool      // what was complained of and has not ended
}

// poke has the home make sure at once: somebody asked for a lease. It does not block.
func (c *certainty) poke() {
	select {
	case c.pokes <- struct{}{}:
	default:
	}
}

// suspect has the home take digests as soon as it may: something was committed that may have changed a schema.
func (c *certainty) suspect() {
	c.suspected.Store(true)
	c.poke()
}

// why says what keeps leases from being granted; empty: nothing does.
func (c *certainty) why() string {
	if why := c.doubt.Load(); why != nil {
		return *why
	}
	return ""
}

// run makes sure until ctx is over.
func (c *certainty) run(ctx context.Context) {
	c.doubts, c.uneasy = map[string]bool{}, map[string]bool{}
	pause := time.Duration(0)
	for ctx.Err() == nil {
		rounds := c.rounds
		err := c.follow(ctx)
		// A restarted Postgres is there again soon, and what it has lost must be void soon.
		pause = min(max(2*pause, 10*time.Millisecond), pulseInterval)
		if c.rounds != rounds {
			pause = 10 * time.Millisecond
		}
		if ctx.Err() != nil {
			return
		}
		if c.uncertain("postgres", "the home's own connection to Postgres failed: nothing is answered from memory, and nothing is cached; the log says why") {
			c.logger.Warn("home's own connection to Postgres failed: nothing is answered from memory once the leases have run out; it is tried again and again",
				"error", oneLine(err), "hint", "upstream names its role: postgres://ROLE@HOST:PORT, and PGPASSWORD or a password file its password")
		}
		c.lost = true
		c.reached(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// uncertain notes why no lease is granted, and reports whether that is new.
func (c *certainty) uncertain(of, why string) bool {
	c.doubt.Store(&why)
	known := c.uneasy[of]
	c.uneasy[of] = true
	return !known
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// interval is how often the home makes sure of itself: often enough for its own lease.
func (c *certainty) interval() time.Duration { return min(pulseInterval, c.maxStaleness/3) }

// follow connects, and makes sure until the connection fails.
func (c *certainty) follow(ctx context.Context) error {
	connecting, stop := context.WithTimeout(ctx, pulseTimeout)
	conn, err := c.connect(connecting)
	stop()
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.close()
	for {
		next, err := c.round(ctx, conn)
		if err != nil {
			return err
		}
		if err := c.rest(ctx, conn, next); err != nil {
			return err
		}
	}
}

// rest waits until somebody asks, at most for the given time. It returns an error as soon as the connection has ended.
func (c *certainty) rest(ctx context.Context, conn control, atMost time.Duration) error {
	waiting, stop := context.WithTimeout(ctx, atMost)
	defer stop()
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() {
		// Who asks meanwhile shares the next round.
		select {
		case <-time.After(pulseSpacing):
		case <-waiting.Done():
			return
		}
		select {
		case <-c.pokes:
			stop()
		case <-waiting.Done():
		}
	})
	if err := conn.idle(waiting); err != nil {
		return fmt.Errorf("wait beside Postgres: %w", err)
	}
	return context.Cause(ctx)
}

// round makes sure once, and returns when it is to be done again. Its error is of the control connection.
func (c *certainty) round(ctx context.Context, conn control) (next time.Duration, err error) {
	c.tidy()
	at := invalidation.Now()
	asking, stop := context.WithTimeout(ctx, pulseTimeout)
	now, err := conn.pulse(asking)
	stop()
	if err != nil {
		return 0, fmt.Errorf("ask Postgres who it is: %w", err)
	}
	if c.known != (server{}) && (c.lost || now.server != c.known) {
		c.logger.Warn("Postgres was away: all that is cached is void", "restarted", now.started != c.known.started)
		c.returned()
		c.checked, c.snapshot = 0, ""
	}
	c.known, c.lost = now.server, false
	c.rounds++
	c.reached(nil)
	delete(c.uneasy, "postgres")

	until, next, err := c.makeSureOfCatalogs(ctx, conn, at, now)
	if err != nil || until != at {
		return next, err
	}
	for _, w := range c.witnesses {
		asking, stop := context.WithTimeout(ctx, pulseTimeout)
		err := w.Certain(asking)
		stop()
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err != nil {
			if c.uncertain("source", "writes that bypass the home cannot be seen: nothing is answered from memory; the log says why") {
				c.logger.Warn("writes that bypass the home cannot be seen: nothing is answered from memory once the leases have run out", "error", oneLine(err))
			}
			return next, nil
		}
	}
	delete(c.uneasy, "source")
	c.doubt.Store(nil)
	c.certified(at)
	return next, nil
}

// makeSureOfCatalogs returns the moment up to which changes of any schema are in the log, and how long nothing has to be
// done about it. Where it is not the given one, a digest is due later.
func (c *certainty) makeSureOfCatalogs(ctx context.Context, conn control, at invalidation.Instant, now pulse) (until invalidation.Instant, next time.Duration, err error) {
	if c.snapshot != "" && c.snapshot == now.snapshot && len(c.doubts) == 0 {
		return at, c.interval(), nil // nothing was committed since, in whichever database
	}
	// A digest that is dear is taken less often, but often enough for the leases.
	every := min(max(c.catalogCheck, digestShare*c.cost), c.maxStaleness/3)
	if c.suspected.Load() {
		every = min(every, max(suspectSpacing, 2*c.cost))
	}
	if due := c.checked.Add(every); c.checked != 0 && at < due {
		return c.checked, due.Until(at), nil
	}
	c.suspected.Store(false)
	began := time.Now()
	if err := c.check(ctx, conn); err != nil {
		return 0, 0, err
	}
	c.cost, c.checked, c.snapshot = time.Since(began), at, now.snapshot
	return at, min(c.interval(), every), nil
}

// check takes the digests of all databases, and makes known what they say. Its error is of the control connection.
func (c *certainty) check(ctx context.Context, conn control) error {
	checking, stop := context.WithTimeout(ctx, min(c.maxStaleness/2, pulseTimeout))
	defer stop()
	databases := c.databases()
	changes, failures := make([]catalog.Change, len(databases)), make([]error, len(databases))
	var all sync.WaitGroup
	slots := make(chan struct{}, maxChecks)
	for i, database := range databases {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			changes[i], failures[i] = c.catalog.Check(checking, database)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if slices.ContainsFunc(failures, func(err error) bool { return err != nil }) {
		// Where all of Postgres is gone, that is the matter.
		asking, stop := context.WithTimeout(ctx, pulseTimeout)
		defer stop()
		if _, err := conn.pulse(asking); err != nil {
			return fmt.Errorf("ask Postgres who it is: %w", err)
		}
	}
	for i, database := range databases {
		c.make(database, changes[i], failures[i])
	}
	for database := range c.doubts {
		if !slices.Contains(databases, database) {
			delete(c.doubts, database)
		}
	}
	c.doubted.Store(int64(len(c.doubts)))
	return nil
}

// make makes known what the digest of one database says.
func (c *certainty) make(database string, change catalog.Change, err error) {
	gone, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && gone.Code == "3D000": // invalid_catalog_name
		c.catalog.Forget(database)
		c.append(database, nil)
	case err != nil:
		if !c.doubts[database] {
			c.doubts[database] = true
			c.logger.Warn("schema changes of a database cannot be seen: nothing of it is cached until they can", telemetry.KeyDatabase, database, "error", oneLine(err))
		}
		c.catalog.Doubt(database, err)
		c.append(database, nil)
	default:
		if c.doubts[database] {
			delete(c.doubts, database)
			c.logger.Info("schema changes of a database can be seen again", telemetry.KeyDatabase, database)
		}
		if change.Schema {
			c.logger.Info("schema changed past the home: what is cached of the database is void", telemetry.KeyDatabase, database, "catalogs", strings.Join(change.Parts, ", "))
			c.append(database, nil)
		} else if len(change.Written) > 0 {
			c.append(database, change.Written)
		}
	}
}
