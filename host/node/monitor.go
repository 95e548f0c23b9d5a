//go:build cgo

package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// watchInterval is how often a home looks at its Postgres, watchTimeout how long a look may take.
	watchInterval = time.Second
	watchTimeout  = 5 * time.Second
)

// server is what tells one life of a Postgres from another: crash recovery and a promoted standby may both have lost
// commits that were answered before (R12).
type server struct {
	system, timeline int64
	started          time.Time
}

// watchPostgres keeps a connection to Postgres open. When it was lost, or shows another server than before, all that
// is cached is void from the moment that Postgres answers again: what was committed before may be gone.
func (h *home) watchPostgres(ctx context.Context) {
	var known server
	lost := false
	for ctx.Err() == nil {
		err := h.watch(ctx, func(now server) {
			switch {
			case known == (server{}):
			case lost || now != known:
				h.node.logger.Warn("Postgres was away: all that is cached is void", "restarted", now.started != known.started)
				h.catalog.RefreshAll()
				h.log.Append("", nil)
			}
			known, lost = now, false
			h.noteCatalog(nil)
		})
		if ctx.Err() != nil {
			return
		}
		if !lost {
			h.node.logger.Warn("home's own connection to Postgres failed: nothing is cached until it works; it is tried again and again",
				"error", strings.Join(strings.Fields(err.Error()), " "), "hint", "upstream names its role: postgres://ROLE@HOST:PORT, and PGPASSWORD or a password file its password")
		}
		lost = true
		h.noteCatalog(err)
		select {
		case <-ctx.Done():
		case <-time.After(watchInterval):
		}
	}
}

// watch connects, and asks again and again until that fails.
func (h *home) watch(ctx context.Context, seen func(server)) error {
	config := h.postgres.Control()
	config.RuntimeParams["application_name"] = "perihelion watch"
	if config.Database == "" {
		config.Database = "postgres"
	}
	connecting, stop := context.WithTimeout(ctx, watchTimeout)
	conn, err := pgx.ConnectConfig(connecting, config)
	stop()
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = conn.Close(closing) // the connection is given up either way
	}()
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		asking, stop := context.WithTimeout(ctx, watchTimeout)
		var now server
		err := conn.QueryRow(asking, `select (select system_identifier from pg_control_system()), (select timeline_id from pg_control_checkpoint()), pg_postmaster_start_time()`).Scan(&now.system, &now.timeline, &now.started)
		stop()
		if err != nil {
			return fmt.Errorf("ask Postgres who it is: %w", err)
		}
		seen(now)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
