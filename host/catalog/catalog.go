package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Defaults of [Options].
const (
	DefaultMaxDatabases     = 64
	DefaultLoadTimeout      = 30 * time.Second
	DefaultStatementTimeout = 20 * time.Second
	DefaultFailureMemory    = time.Second
	DefaultMaxBytes         = 256 << 20
)

// closeTimeout bounds how long the goodbye to PostgreSQL may take.
const closeTimeout = time.Second

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the catalog is closed")
	// ErrTooManyDatabases is returned where a picture cannot be kept because too many others are being loaded.
	ErrTooManyDatabases = errors.New("too many databases are being loaded at once")
)

// Options configure a [Catalog]. The zero value of each but Config stands for its default.
type Options struct {
	// Config says how the home's own role connects. Database is replaced per picture; it stays for InitialSettings, where
	// an empty one stands for "postgres". The Catalog keeps a copy.
	Config *pgx.ConnConfig
	// Logger gets what an operator must know. Nil discards it.
	Logger *slog.Logger
	// MaxDatabases bounds how many pictures are kept; the one that was used longest ago makes room.
	MaxDatabases int
	// MaxBytes bounds one picture, roughly. Nothing is cached of a database whose catalogs are larger.
	MaxBytes int
	// LoadTimeout bounds one load, with its connection.
	LoadTimeout time.Duration
	// StatementTimeout is given to PostgreSQL for each query of a load.
	StatementTimeout time.Duration
	// FailureMemory is how long a failed load is answered with its error before the next attempt.
	FailureMemory time.Duration
}

// Catalog keeps the pictures of the databases of one PostgreSQL server. It is safe for concurrent use.
type Catalog struct {
	options  Options
	logger   *slog.Logger
	settings settingsReader
	// read makes one picture, take one digest; a test puts its own in place.
	read func(ctx context.Context, database string, before *Snapshot) (*Snapshot, error)
	take func(ctx context.Context, database string, before *digest) (*digest, error)

	// running ends with Close, and with it every load.
	running context.Context
	stop    context.CancelCauseFunc
	loads   sync.WaitGroup

	mu struct {
		sync.Mutex
		closed     bool
		generation uint64
		clock      uint64 // counts uses, for picking the picture that was used longest ago
		pictures   map[string]*picture
		baselines  map[string]*baseline
		doubts     map[string]error // why no picture of the database is loaded
		kept       map[string]*connection
	}
}

// picture is what is known of one database. Guarded by Catalog.mu.
type picture struct {
	current   *Snapshot // nil where there is none that may be used
	last      *Snapshot // the last that was read; the next one takes over what has not changed
	refreshes uint64    // how often Refresh was called
	flight    *flight   // the load under way, or nil
	usedAt    uint64
	failure   error
	failedAt  time.Time
}

// flight is one load. Its fields are written before done is closed and read after.
type flight struct {
	done     chan struct{}
	snapshot *Snapshot // nil where the load failed or a Refresh overtook it
	err      error     // nil where a Refresh overtook the load
}

// New makes a Catalog. It does no I/O.
func New(options Options) *Catalog {
	setDefault(&options.MaxDatabases, DefaultMaxDatabases)
	setDefault(&options.MaxBytes, DefaultMaxBytes)
	setDefault(&options.LoadTimeout, DefaultLoadTimeout)
	setDefault(&options.StatementTimeout, DefaultStatementTimeout)
	setDefault(&options.FailureMemory, DefaultFailureMemory)
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Config != nil {
		options.Config = options.Config.Copy()
	}
	c := &Catalog{options: options, logger: options.Logger}
	c.read, c.take = c.readFromPostgres, c.takeFromPostgres
	// The loads belong to the Catalog, not to the caller whose statement happened to need one first.
	c.running, c.stop = context.WithCancelCause(context.Background())
	c.settings = settingsReader{slot: make(chan struct{}, 1), dial: c.dial, memory: options.FailureMemory}
	c.mu.pictures = map[string]*picture{}
	c.mu.baselines = map[string]*baseline{}
	c.mu.doubts = map[string]error{}
	c.mu.kept = map[string]*connection{}
	return c
}

func setDefault[T int | time.Duration](value *T, standard T) {
	if *value <= 0 {
		*value = standard
	}
}

// Peek returns the current picture of the database, or nil where none is loaded. It never waits for a load.
func (c *Catalog) Peek(database string) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.mu.pictures[database]
	if p == nil {
		return nil
	}
	c.useLocked(p)
	return p.current
}

// Snapshot returns the current picture of the database and loads it where there is none. Callers that need the same
// picture wait for one load. The load goes on where ctx ends first. After an error, calls within the failure memory
// get the same error at once.
func (c *Catalog) Snapshot(ctx context.Context, database string) (*Snapshot, error) {
	for {
		snapshot, f, err := c.current(database)
		if snapshot != nil || err != nil {
			return snapshot, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the catalogs of the database: %w", context.Cause(ctx))
		}
		if f.snapshot != nil || f.err != nil {
			return f.snapshot, f.err
		}
		// A Refresh overtook the load: what it read may be older than the change.
	}
}

// current returns the picture, or the load to wait for, which it starts where none is under way.
func (c *Catalog) current(database string) (*Snapshot, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, nil, ErrClosed
	}
	if why := c.mu.doubts[database]; why != nil {
		return nil, nil, why
	}
	p := c.mu.pictures[database]
	if p == nil {
		if !c.makeRoomLocked() {
			return nil, nil, ErrTooManyDatabases
		}
		p = &picture{}
		c.mu.pictures[database] = p
	}
	c.useLocked(p)
	switch {
	case p.current != nil:
		return p.current, nil, nil
	case p.flight != nil:
		return nil, p.flight, nil
	case p.failure != nil && time.Since(p.failedAt) < c.options.FailureMemory:
		return nil, nil, p.failure
	}
	f := &flight{done: make(chan struct{})}
	p.flight = f
	refreshes := p.refreshes
	c.loads.Go(func() { c.load(database, p, f, refreshes) })
	return nil, f, nil
}

func (c *Catalog) useLocked(p *picture) {
	c.mu.clock++
	p.usedAt = c.mu.clock
}

// makeRoomLocked drops the picture that was used longest ago where the limit is reached. A picture that is being
// loaded stays: it counts the Refreshes that its load has to know of.
func (c *Catalog) makeRoomLocked() bool {
	if len(c.mu.pictures) < c.options.MaxDatabases {
		return true
	}
	var oldest string
	var found *picture
	for name, p := range c.mu.pictures {
		if p.flight == nil && (found == nil || p.usedAt < found.usedAt) {
			oldest, found = name, p
		}
	}
	if found == nil {
		return false
	}
	delete(c.mu.pictures, oldest)
	return true
}

// load runs one flight to its end. refreshes is the picture's count when the flight began.
func (c *Catalog) load(database string, p *picture, f *flight, refreshes uint64) {
	ctx, cancel := context.WithTimeout(c.running, c.options.LoadTimeout)
	defer cancel()
	began := time.Now()
	c.mu.Lock()
	before := p.last
	c.mu.Unlock()
	snapshot, err := c.read(ctx, database, before)

	c.mu.Lock()
	p.flight = nil
	if err == nil {
		p.last = snapshot
	}
	switch {
	case err != nil:
		f.err = err
		p.failure, p.failedAt = err, time.Now()
	case p.refreshes == refreshes:
		c.mu.generation++
		snapshot.Generation = c.mu.generation
		f.snapshot, p.current, p.failure = snapshot, snapshot, nil
		switch b := c.mu.baselines[database]; {
		case b == nil:
			c.mu.baselines[database] = &baseline{digest: snapshot.digest}
		case b.announced:
			b.digest, b.announced = snapshot.digest, false
		case b.digest.files == nil && maps.Equal(b.digest.parts, snapshot.digest.parts):
			b.digest = snapshot.digest
		}
	}
	c.mu.Unlock()
	close(f.done)

	switch {
	case err != nil && c.running.Err() == nil:
		c.logger.Warn("could not read the catalogs: nothing of the database is cached",
			slog.String("database", database), slog.Any("error", err))
	case f.snapshot != nil:
		c.logger.Debug("read the catalogs", slog.String("database", database),
			slog.Uint64("generation", f.snapshot.Generation), slog.Int("relations", len(f.snapshot.relations)),
			slog.Int("bytes", f.snapshot.bytes), slog.Duration("took", time.Since(began)))
	}
}

// Refresh says that the schema of the database has changed, and is visible to a new transaction: the next Snapshot
// reads it anew, and its generation is greater. A load that is under way is not used. Refresh does no I/O. Where the
// caller then makes known that all that was read before is void, it says so with [Catalog.Announced].
func (c *Catalog) Refresh(database string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshLocked(database)
}

func (c *Catalog) refreshLocked(database string) {
	if p := c.mu.pictures[database]; p != nil {
		p.refreshes++
		p.current = nil
	}
}

// RefreshAll is Refresh for every database: for a change that is not confined to one, or a server that was away.
func (c *Catalog) RefreshAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.mu.pictures {
		p.refreshes++
		p.current, p.last = nil, nil // of another server, perhaps
	}
}

// Warm begins to load the picture of the database where there is none, and does not wait for it.
func (c *Catalog) Warm(database string) {
	_, _, _ = c.current(database) // whoever needs the picture is told what is wrong
}

// Close ends what is under way and returns when the last load and connection are gone. Calls after it get [ErrClosed].
func (c *Catalog) Close() {
	c.mu.Lock()
	c.mu.closed = true
	clear(c.mu.pictures)
	kept := slices.Collect(maps.Values(c.mu.kept))
	clear(c.mu.kept)
	c.mu.Unlock()
	c.stop(ErrClosed)
	c.loads.Wait()
	for _, k := range kept {
		k.rest()
	}
	c.settings.close()
}

func (c *Catalog) readFromPostgres(ctx context.Context, database string, before *Snapshot) (snapshot *Snapshot, err error) {
	err = c.connected(ctx, database, func(conn *pgx.Conn) (err error) {
		snapshot, err = load(ctx, conn, before, c.options.MaxBytes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalogs: %w", err)
	}
	return snapshot, nil
}

// dial connects to a database in the way that all queries of the package rely on. An empty name is the configured one.
func (c *Catalog) dial(ctx context.Context, database string) (*pgx.Conn, error) {
	if c.options.Config == nil {
		return nil, errors.New("connect for the catalogs: no connection is configured")
	}
	config := c.options.Config.Copy()
	if database != "" {
		config.Database = database
	}
	if config.Database == "" {
		config.Database = "postgres"
	}
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["application_name"] = applicationName
	// Not as a parameter of the startup, so that the server's own can still be asked for.
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		// The queries are short, and what takes long is no work for a compiler or for several processes.
		return conn.Exec(ctx, "SET search_path = pg_catalog; SET jit = off; SET max_parallel_workers_per_gather = 0").Close()
	}
	config.RuntimeParams["statement_timeout"] = fmt.Sprint(c.options.StatementTimeout.Milliseconds())
	config.RuntimeParams["default_transaction_read_only"] = "on"
	// No prepared statement outlives its query, so a pooler in between does no harm.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect for the catalogs: %w", err)
	}
	return conn, nil
}

// hangUp closes a connection, also where the context that it was used with has ended.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// There is nobody to tell: the socket is closed in any case.
	_ = conn.Close(ctx)
}
