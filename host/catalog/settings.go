package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// settingsIdle is how long the connection for settings is kept after its last use.
const settingsIdle = 10 * time.Second

// settingsReader keeps one connection for InitialSettings: each new session asks, and a connection costs far more than
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

// InitialSettings are what Postgres gives a new session of a user in a database.
type InitialSettings struct {
	// Digest digests what ALTER ROLE … SET and ALTER DATABASE … SET give: equal digests mean equal settings.
	Digest string
	// Isolation is default_transaction_isolation in lower case, from them or from the server's configuration; empty
	// where the home's own role has one of its own, which hides the server's.
	Isolation string
	// SearchPath is search_path, from them or from the server's configuration, and PathKnown whether it is certain: the
	// home's own role may have one of its own, which hides the server's.
	SearchPath string
	PathKnown  bool
	// Role is set where they set a role, so that a new session's current_user is not who logged in.
	Role bool
	// Consistency is perihelion.consistency.
	Consistency string
}

// InitialSettings reads the settings anew with each call. It says what a session that begins now gets: whoever needs to
// know what a session got asks before the session's startup and again when it is ready, and trusts the answer where both
// are the same.
func (c *Catalog) InitialSettings(ctx context.Context, database, user string) (InitialSettings, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.LoadTimeout)
	defer cancel()
	defer context.AfterFunc(c.running, cancel)()
	initial, err := c.settings.read(ctx, database, user)
	if err != nil {
		return InitialSettings{}, fmt.Errorf("read the settings of role and database: %w", err)
	}
	return initial, nil
}

func (r *settingsReader) read(ctx context.Context, database, user string) (initial InitialSettings, err error) {
	select {
	case r.slot <- struct{}{}:
	case <-ctx.Done():
		return initial, context.Cause(ctx)
	}
	defer func() { <-r.slot }()
	if r.closed {
		return initial, ErrClosed
	}
	r.uses++
	r.disarm()
	if r.failure != nil && time.Since(r.failedAt) < r.memory {
		return initial, r.failure
	}
	r.failure = nil

	kept := r.conn != nil
	initial, err = r.query(ctx, database, user)
	if err != nil && kept && ctx.Err() == nil {
		// The connection may have died while it was idle: that is no failure of the server.
		initial, err = r.query(ctx, database, user)
	}
	if err != nil {
		// A caller that gave up says nothing of the server.
		if ctx.Err() == nil {
			r.failure, r.failedAt = err, time.Now()
		}
		return InitialSettings{}, err
	}
	uses := r.uses
	r.timers.Add(1)
	r.idle = time.AfterFunc(settingsIdle, func() {
		defer r.timers.Done()
		r.closeIdle(uses)
	})
	return initial, nil
}

func (r *settingsReader) disarm() {
	if r.idle != nil && r.idle.Stop() {
		r.timers.Done()
	}
	r.idle = nil
}

// query asks through the kept connection or a new one, which it keeps. After an error none is kept.
func (r *settingsReader) query(ctx context.Context, database, user string) (InitialSettings, error) {
	if r.conn == nil {
		conn, err := r.dial(ctx, "")
		if err != nil {
			return InitialSettings{}, err
		}
		r.conn = conn
	}
	initial, err := initialSettings(ctx, r.conn, database, user)
	if err != nil {
		hangUp(r.conn)
		r.conn = nil
	}
	return initial, err
}

func initialSettings(ctx context.Context, conn *pgx.Conn, database, user string) (InitialSettings, error) {
	rows, err := conn.Query(ctx, querySettings, database, user)
	if err != nil {
		return InitialSettings{}, err
	}
	hash := sha256.New()
	var (
		inDatabase, ofRole uint32
		version, settings  string
		isolation, path    *string
		consistency        *string
		role               bool
		s                  InitialSettings
	)
	// From the widest to the narrowest: the last that says something counts.
	_, err = pgx.ForEachRow(rows, []any{&inDatabase, &ofRole, &version, &settings, &isolation, &path, &consistency, &role, nil}, func() error {
		// A hash does not fail. The lengths keep neighbours apart.
		_, _ = fmt.Fprintf(hash, "%d %d %s %d %s\n", inDatabase, ofRole, version, len(settings), settings)
		if isolation != nil {
			s.Isolation = strings.ToLower(*isolation)
		}
		if path != nil {
			s.SearchPath, s.PathKnown = *path, true
		}
		if consistency != nil {
			s.Consistency = *consistency
		}
		s.Role = s.Role || role
		return nil
	})
	if err != nil {
		return InitialSettings{}, err
	}
	s.Digest = hex.EncodeToString(hash.Sum(nil)[:16])
	return s, nil
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
