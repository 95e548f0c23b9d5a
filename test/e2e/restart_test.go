package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

func TestEdgeRestart(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	cluster.Get(t, cluster.Connect(t, c.URL(edge)), priceOf+"$1", 5)
	edge.Restart()
	edge.AwaitReady()
	conn := cluster.Connect(t, c.URL(edge))
	edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
}

// TestR5HomeRestart writes while the home is away: a new epoch voids what the edge held.
func TestR5HomeRestart(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	c.Home.Config.Listen, c.Home.Config.HTTP = c.Home.Addr().String(), c.Home.HTTPAddr().String()
	epoch := c.Home.Stats().Epoch
	c.Home.Stop()
	c.DB.Exec("update products set price = 500 where id = 5")
	c.Home.Launch()
	c.Home.AwaitReady()
	if now := c.Home.Stats().Epoch; now == epoch {
		t.Fatal("the home has its old epoch")
	}
	deadline, cancel := context.WithTimeout(context.Background(), cluster.Patience)
	defer cancel()
	for edge.Stats().Epoch != c.Home.Stats().Epoch {
		if deadline.Err() != nil {
			t.Fatal("the edge does not come back to its home")
		}
		if err := edge.WaitReady(deadline); err != nil {
			t.Fatal(err)
		}
	}
	edge.AwaitReady()
	// Its session went with the home; a new one finds nothing of the old epoch.
	again := cluster.Connect(t, c.URL(edge))
	edge.WantMiss(again, "500.00", priceOf+"$1", 5)
	edge.WantHit(again, "500.00", priceOf+"$1", 5)
}

func TestPostgresRestart(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	c := cluster.On(t, pgtest.NewOn(t, server), 1, nil)
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	version := c.Home.Stats().Version
	if err := server.Restart(t.Context(), postgres.Fast); err != nil {
		t.Fatal(err)
	}
	// The session ends with its backend, also one that lives on hits.
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session outlived its backend")
	}
	// What was committed may be lost after a crash: a home that saw its Postgres go voids all (R12).
	edge.AwaitInvalidation("public.products", version+1)
	again := cluster.Connect(t, c.URL(edge))
	edge.WantMiss(again, "5.00", priceOf+"$1", 5)
	edge.WantHit(again, "5.00", priceOf+"$1", 5)
	cluster.Exec(t, again, "update products set price = 6 where id = 5")
	edge.WantMiss(again, "6.00", priceOf+"$1", 5)
}

// TestR6EdgeWithoutAHomeAnswersNothing cuts the edge off: when its lease has run out, it forwards, and fails.
func TestR6EdgeWithoutAHomeAnswersNothing(t *testing.T) {
	c := cluster.New(t, 0, func(cfg *config.Config) { cfg.MaxStaleness = time.Second; cfg.RenewInterval = 100 * time.Millisecond })
	edge := cluster.Start(t, cluster.EdgeConfig(c.Home, "edge"))
	edge.AwaitReady()
	conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
	cluster.Get(t, conn, priceOf+"5")
	edge.WantHit(conn, "5.00", priceOf+"5")
	if lease := edge.Stats().Link.LeaseMS; lease <= 0 || lease > 1000 {
		t.Errorf("the lease holds for another %d ms, want at most the home's second", lease)
	}
	cut := invalidation.Now()
	c.Home.Stop()
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
	if _, err := cluster.TryConnect(t, c.URL(edge)); err == nil {
		t.Error("an edge without a home took a session")
	}
}

func TestDrainLetsRunningStatementsEnd(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	idle, busy := cluster.Connect(t, c.URL(edge)), cluster.Connect(t, c.URL(edge))
	tx, err := busy.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster.Exec(t, busy, "update products set price = 500 where id = 5")
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- edge.Drain(ctx) }()
	if err := idle.PgConn().WaitForNotification(ctx); err == nil || !isCode(err, "57P01") {
		t.Errorf("the idle session got %v, want SQLSTATE 57P01", err)
	}
	cluster.Exec(t, busy, "update products set price = 600 where id = 5")
	if err := tx.Commit(ctx); err != nil {
		t.Errorf("commit while draining: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	if _, err := cluster.TryConnect(t, c.URL(edge)); err == nil {
		t.Error("a draining edge took a session")
	}
	if got := cluster.Get(t, cluster.Connect(t, c.DB.URL()), priceOf+"5"); got != "600.00" {
		t.Errorf("price = %s, want the committed 600.00", got)
	}
}
