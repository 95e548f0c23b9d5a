package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// settingsIdle is how long the connection for settings is kept after its last use.
const settingsIdle = 10 * time.Second

// settingsReader keeps one connection for SettingsDigest: each new session asks, and a connection costs far more than
// the query. Its fields are guarded by slot, which a goroutine holds by having put a value in.
type settingsReader struct {
	slot   chan struct{}
	dial   func(ctx context.Context, database string) (*pgx.Conn, error)
	memory time.Duration

	conn     *pgx.Conn
	idle     *time.Timer
	timers   sync.WaitGroup // armed timers whose function has not returned
	uses     uint64         // so that a timer whose stop came too late does nothing
	closed   bool
	failure  error
	failedAt time.Time
}

// SettingsDigest digests what ALTER ROLE … SET and ALTER DATABASE … SET give a new session of the user in the database.
// Equal digests mean equal initial settings, and a digest is read anew with each call. It says what a session that
// begins now gets: whoever needs to know what a session got asks before the session's startup and again when it is
// ready, and trusts the digest where both are the same.
func (c *Catalog) SettingsDigest(ctx context.Context, database, user string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.LoadTimeout)
	defer cancel()
	defer context.AfterFunc(c.running, cancel)()
	digest, err := c.settings.read(ctx, database, user)
	if err != nil {
		return "", fmt.Errorf("read the settings of role and database: %w", err)
	}
	return digest, nil
}

func (r *settingsReader) read(ctx context.Context, database, user string) (string, error) {
	select {
	case r.slot <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-r.slot }()
	if r.closed {
		return "", ErrClosed
	}
	r.uses++
	r.disarm()
	if r.failure != nil && time.Since(r.failedAt) < r.memory {
		return "", r.failure
	}
	r.failure = nil

	kept := r.conn != nil
	digest, err := r.query(ctx, database, user)
	if err != nil && kept && ctx.Err() == nil {
		// The connection may have died while it was idle: that is no failure of the server.
		digest, err = r.query(ctx, database, user)
	}
	if err != nil {
		// A caller that gave up says nothing of the server.
		if ctx.Err() == nil {
			r.failure, r.failedAt = err, time.Now()
		}
		return "", err
	}
	uses := r.uses
	r.timers.Add(1)
	r.idle = time.AfterFunc(settingsIdle, func() {
		defer r.timers.Done()
		r.closeIdle(uses)
	})
	return digest, nil
}

func (r *settingsReader) disarm() {
	if r.idle != nil && r.idle.Stop() {
		r.timers.Done()
	}
	r.idle = nil
}

// query asks through the kept connection or a new one, which it keeps. After an error none is kept.
func (r *settingsReader) query(ctx context.Context, database, user string) (string, error) {
	if r.conn == nil {
		conn, err := r.dial(ctx, "")
		if err != nil {
			return "", err
		}
		r.conn = conn
	}
	digest, err := digestSettings(ctx, r.conn, database, user)
	if err != nil {
		hangUp(r.conn)
		r.conn = nil
	}
	return digest, err
}

func digestSettings(ctx context.Context, conn *pgx.Conn, database, user string) (string, error) {
	rows, err := conn.Query(ctx, querySettings, database, user)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	var (
		inDatabase, ofRole uint32
		version, settings  string
	)
	_, err = pgx.ForEachRow(rows, []any{&inDatabase, &ofRole, &version, &settings}, func() error {
		// A hash does not fail. The lengths keep neighbours apart.
		_, _ = fmt.Fprintf(hash, "%d %d %s %d %s\n", inDatabase, ofRole, version, len(settings), settings)
		return nil
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:16]), nil
}

// closeIdle closes the connection if it was not used since.
func (r *settingsReader) closeIdle(uses uint64) {
	r.slot <- struct{}{}
	defer func() { <-r.slot }()
	if r.uses == uses && r.conn != nil {
		hangUp(r.conn)
		r.conn = nil
	}
}

// close waits for the call that is under way and for the last timer.
func (r *settingsReader) close() {
	r.slot <- struct{}{}
	r.closed = true
	r.disarm()
	if r.conn != nil {
		hangUp(r.conn)
		r.conn = nil
	}
	<-r.slot
	r.timers.Wait()
}
