package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

func TestEdgeRestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	edge := c.edges[0]
	get(t, connect(t, c.url(edge)), priceOf+"$1", 5)
	edge.restart()
	edge.awaitReady()
	conn := connect(t, c.url(edge))
	edge.wantMiss(conn, "5.00", priceOf+"$1", 5)
	edge.wantHit(conn, "5.00", priceOf+"$1", 5)
}

// TestR5HomeRestart writes while the home is away: a new epoch voids what the edge held.
func TestR5HomeRestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	edge := c.edges[0]
	conn := connect(t, c.url(edge))
	get(t, conn, priceOf+"$1", 5)
	edge.wantHit(conn, "5.00", priceOf+"$1", 5)
	c.home.config.Listen, c.home.config.HTTP = c.home.Addr().String(), c.home.HTTPAddr().String()
	epoch := c.home.Stats().Epoch
	c.home.stop()
	c.db.Exec("update products set price = 500 where id = 5")
	c.home.launch()
	c.home.awaitReady()
	if now := c.home.Stats().Epoch; now == epoch {
		t.Fatal("the home has its old epoch")
	}
	deadline, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for edge.Stats().Epoch != c.home.Stats().Epoch {
		if deadline.Err() != nil {
			t.Fatal("the edge does not come back to its home")
		}
		if err := edge.WaitReady(deadline); err != nil {
			t.Fatal(err)
		}
	}
	edge.awaitReady()
	// Its session went with the home; a new one finds nothing of the old epoch.
	again := connect(t, c.url(edge))
	edge.wantMiss(again, "500.00", priceOf+"$1", 5)
	edge.wantHit(again, "500.00", priceOf+"$1", 5)
}

func TestPostgresRestart(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	c := clusterOn(t, pgtest.NewOn(t, server), 1, nil)
	edge := c.edges[0]
	conn := connect(t, c.url(edge))
	get(t, conn, priceOf+"$1", 5)
	edge.wantHit(conn, "5.00", priceOf+"$1", 5)
	version := c.home.Stats().Version
	if err := server.Restart(t.Context(), postgres.Fast); err != nil {
		t.Fatal(err)
	}
	// The session ends with its backend, also one that lives on hits.
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session outlived its backend")
	}
	// What was committed may be lost after a crash: a home that saw its Postgres go voids all (R12).
	edge.awaitInvalidation("public.products", version+1)
	again := connect(t, c.url(edge))
	edge.wantMiss(again, "5.00", priceOf+"$1", 5)
	edge.wantHit(again, "5.00", priceOf+"$1", 5)
	exec(t, again, "update products set price = 6 where id = 5")
	edge.wantMiss(again, "6.00", priceOf+"$1", 5)
}

// TestR6EdgeWithoutAHomeAnswersNothing cuts the edge off: when its lease has run out, it forwards, and fails.
func TestR6EdgeWithoutAHomeAnswersNothing(t *testing.T) {
	c := newCluster(t, 0, func(cfg *config.Config) { cfg.MaxStaleness = time.Second; cfg.RenewInterval = 100 * time.Millisecond })
	edge := start(t, edgeConfig(c.home, "edge"))
	edge.awaitReady()
	conn := connect(t, c.url(edge), simple)
	get(t, conn, priceOf+"5")
	edge.wantHit(conn, "5.00", priceOf+"5")
	if lease := edge.Stats().Link.LeaseMS; lease <= 0 || lease > 1000 {
		t.Errorf("the lease holds for another %d ms, want at most the home's second", lease)
	}
	cut := invalidation.Now()
	c.home.stop()
	for {
		var price string
		before := edge.Stats().Cache.Hits
		err := conn.QueryRow(context.Background(), priceOf+"5").Scan(&price)
		now := invalidation.Now()
		if err != nil {
			break // its upstream is gone with the home, and nothing is made up
		}
		if edge.Stats().Cache.Hits > before && now > cut.Add(2*time.Second) {
			t.Fatalf("answered from memory %v after the home went, its lease is a second", time.Duration(now-cut))
		}
	}
	if _, err := tryConnect(t, c.url(edge)); err == nil {
		t.Error("an edge without a home took a session")
	}
}

func TestDrainLetsRunningStatementsEnd(t *testing.T) {
	c := newCluster(t, 1, nil)
	edge := c.edges[0]
	idle, busy := connect(t, c.url(edge)), connect(t, c.url(edge))
	tx, err := busy.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, busy, "update products set price = 500 where id = 5")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- edge.Drain(ctx) }()
	if err := idle.PgConn().WaitForNotification(ctx); err == nil || !isCode(err, "57P01") {
		t.Errorf("the idle session got %v, want SQLSTATE 57P01", err)
	}
	exec(t, busy, "update products set price = 600 where id = 5")
	if err := tx.Commit(ctx); err != nil {
		t.Errorf("commit while draining: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	if _, err := tryConnect(t, c.url(edge)); err == nil {
		t.Error("a draining edge took a session")
	}
	if got := get(t, connect(t, c.db.URL()), priceOf+"5"); got != "600.00" {
		t.Errorf("price = %s, want the committed 600.00", got)
	}
}
