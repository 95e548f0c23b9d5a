//go:build cgo

package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/changes/wal"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// newTestHome returns a home before a database that serves nobody, and follows one database at most.
func newTestHome(t *testing.T, upstream string) *home {
	t.Helper()
	cfg := config.Default()
	cfg.Upstream, cfg.WAL.MaxSlots, cfg.StatisticsPoll = config.Upstream(upstream), 1, 0
	n, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n.role.(*home)
}

func awaitFollowing(t *testing.T, s *sources, database string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		one := s.mu.databases[database]
		s.mu.Unlock()
		state, changed := one.state()
		if state == wal.Following && one.following.Load() {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond): // between the state and the Gap
		case <-timeout:
			t.Fatalf("%s is %s (%s)", database, state, one.status().Reason)
		}
	}
}

func TestADatabaseWithoutSessionsGivesItsSlotToAnother(t *testing.T) {
	first, second := pgtest.New(t), pgtest.New(t)
	h := newTestHome(t, first.URL())
	slots := func(d *pgtest.Database) int {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		conn, err := pgx.Connect(ctx, d.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		var n int
		if err := conn.QueryRow(ctx, `select count(*) from pg_replication_slots where database = current_database()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	leave, again := h.sources.enter(first.Name), h.sources.enter(first.Name)
	awaitFollowing(t, h.sources, first.Name)
	defer h.sources.enter(second.Name)()
	if h.sources.following(second.Name) || slots(second) != 0 {
		t.Error("the second database is followed, though there is one slot")
	}
	again()
	again() // a second time it is none
	h.sources.release(time.Now())
	if !h.sources.following(first.Name) {
		t.Error("a database with a session was let go")
	}
	leave()
	h.sources.release(time.Now().Add(-time.Minute))
	if !h.sources.following(first.Name) {
		t.Error("a database was let go that had a session a moment ago")
	}
	before := h.log.Last()
	h.sources.release(time.Now())
	if h.sources.following(first.Name) || slots(first) != 0 {
		t.Error("a database without sessions is still followed")
	}
	if h.log.Last() == before {
		t.Error("what is cached of a database that nobody looks at is not void")
	}
	awaitFollowing(t, h.sources, second.Name)
}
