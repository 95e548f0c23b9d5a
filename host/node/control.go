//go:build cgo

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// controlConn is the [control] of a Postgres.
type controlConn struct{ conn *pgx.Conn }

func dialControl(ctx context.Context, config *pgx.ConnConfig) (control, error) {
	config.RuntimeParams["application_name"] = "perihelion watch"
	if config.Database == "" {
		config.Database = "postgres"
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return controlConn{conn}, nil
}

func (c controlConn) pulse(ctx context.Context) (p pulse, err error) {
	// A standby does not say which transactions run.
	err = c.conn.QueryRow(ctx, `select (select system_identifier from pg_control_system()), (select timeline_id from pg_control_checkpoint()),
		pg_postmaster_start_time(), case when pg_is_in_recovery() then '' else pg_current_snapshot()::text end`).
		Scan(&p.system, &p.timeline, &p.started, &p.snapshot)
	return p, err
}

// idle reads, so that the end of Postgres is seen when it comes.
func (c controlConn) idle(ctx context.Context) error {
	for {
		_, err := c.conn.WaitForNotification(ctx)
		switch {
		case err == nil: // nobody listens, so nothing comes
		case c.conn.IsClosed():
			return fmt.Errorf("the connection has ended: %w", err)
		case pgconn.Timeout(err) || ctx.Err() != nil:
			return nil //nolint:nilerr // waiting is over
		default:
			return err
		}
	}
}

func (c controlConn) close() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = c.conn.Close(ctx) // the connection is given up either way
}
