package statistics

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Relation names a relation as the catalogs spell it, without quotes.
type Relation struct{ Schema, Name string }

// Options configure a [Poll]. All but Logger are required.
type Options struct {
	// Config says how the home's role connects, and to which database. The Poll keeps a copy.
	Config *pgx.ConnConfig
	// Interval is the time between two looks. It is longer where one takes long.
	Interval time.Duration
	// Moved gets the relations that were written to between two looks, by whomever. It must not block for long.
	Moved func(relations []Relation)
	// Logger gets what an operator must know. Nil discards it.
	Logger *slog.Logger
}

const (
	connectTimeout = 10 * time.Second
	lookTimeout    = 30 * time.Second
	closeTimeout   = time.Second
	// share is how much longer than a look the time to the next one is at least.
	share = 20
)

// Poll looks at the counters of one database.
type Poll struct {
	options Options
	logger  *slog.Logger
	// counts are the rows that were written to each relation as of the last look; nil: there was none.
	counts map[uint32]int64
}

// New makes a poll. It does no I/O.
func New(options Options) *Poll {
	options.Config = options.Config.Copy()
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Poll{options: options, logger: options.Logger}
}

// Run looks until ctx ends.
func (p *Poll) Run(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		err := p.follow(ctx, func() { failed = false })
		if ctx.Err() != nil {
			return
		}
		if !failed {
			p.logger.Warn("statistics of relations cannot be read: writes that bypass the home are not seen", "error", strings.Join(strings.Fields(err.Error()), " "))
		}
		failed = true
		sleep(ctx, p.options.Interval)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// follow connects, and looks until that fails.
func (p *Poll) follow(ctx context.Context, works func()) error {
	config := p.options.Config.Copy()
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["application_name"] = "perihelion statistics"
	config.RuntimeParams["default_transaction_read_only"] = "on"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // a pooler in between does no harm
	connecting, stop := context.WithTimeout(ctx, connectTimeout)
	conn, err := pgx.ConnectConfig(connecting, config)
	stop()
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer stop()
		_ = conn.Close(closing) // the connection is given up either way
	}()
	for {
		began := time.Now()
		moved, err := p.look(ctx, conn)
		if err != nil {
			return err
		}
		works()
		if len(moved) > 0 {
			p.options.Moved(moved)
		}
		if sleep(ctx, max(p.options.Interval, share*time.Since(began))); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// queryCounts leaves out what is PostgreSQL's own, and temporary relations.
const queryCounts = `SELECT relid, schemaname::text, relname::text, n_tup_ins + n_tup_upd + n_tup_del FROM pg_catalog.pg_stat_user_tables
WHERE NOT pg_catalog.starts_with(schemaname::text, 'pg_temp_')`

// look returns the relations whose counters have moved since the last look. Counters that went back were reset, and what
// they had counted is not known.
func (p *Poll) look(ctx context.Context, conn *pgx.Conn) (moved []Relation, err error) {
	ctx, stop := context.WithTimeout(ctx, lookTimeout)
	defer stop()
	rows, err := conn.Query(ctx, queryCounts)
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	counts := make(map[uint32]int64, len(p.counts))
	var relid uint32
	var schema, name string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&relid, &schema, &name, &count}, func() error {
		counts[relid] = count
		if p.counts != nil && count != p.counts[relid] {
			moved = append(moved, Relation{schema, name})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	p.counts = counts
	return moved, nil
}
