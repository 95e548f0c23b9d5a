//go:build unix

package e2e_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// TestR6NoLeaseBeyondWhatDecodingHasPassed stops PostgreSQL's own decoding: the edge, the home and its stream live.
func TestR6NoLeaseBeyondWhatDecodingHasPassed(t *testing.T) {
	const staleness = time.Second
	db := pgtest.NewOn(t, pgtest.NewServer(t, postgres.Options{}))
	c := cluster.On(t, db, 1, func(cfg *config.Config) { auto(cfg); cfg.MaxStaleness = staleness },
		func(cfg *config.Config) { cfg.MaxStaleness = staleness })
	conn := followed(t, c)
	edge := c.Edges[0]
	const query = `select name from products where id = 1`
	edge.AwaitReady()
	edge.WantMiss(conn, "product 1", query)
	edge.WantHit(conn, "product 1", query)
	var walsender int
	if err := db.Connect().QueryRow(t.Context(), `select active_pid from pg_replication_slots`).Scan(&walsender); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(walsender, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { _ = syscall.Kill(walsender, syscall.SIGCONT) })
	defer resume()
	db.Exec(`update products set name = 'new' where id = 1`)
	written := time.Now()
	for got := ""; got != "new"; {
		old := time.Since(written)
		if got = cluster.Get(t, conn, query); got != "new" && old > staleness {
			t.Fatalf("asked %v after the write the edge answers %q", old, got)
		}
	}
	// It was read in time because the lease had run out, and not because anybody had said what was written.
	var stats api.Stats
	if edge.Call("GET", "/api/stats", cluster.AdminToken, nil, &stats); stats.Link == nil || !stats.Link.Connected || stats.Link.LeaseMS != 0 {
		t.Errorf("the edge is linked by %+v, want a stream and no lease", stats.Link)
	}
	resume()
	edge.AwaitInvalidation("public.products", 0)
	edge.AwaitReady()
	edge.WantMiss(conn, "new", query)
	edge.WantHit(conn, "new", query)
}
