package e2e_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/node"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

func auto(cfg *config.Config) { cfg.Source = config.SourceAuto }

// followed returns a connection through the first edge, once the home follows the WAL.
func followed(t *testing.T, c *cluster.Cluster) *pgx.Conn {
	t.Helper()
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	// The gap before a slot's beginning is void.
	c.Edges[0].AwaitInvalidation("", 0)
	if s := sources(t, c.Home); len(s) != 1 || s[0].Source != api.SourceWAL || s[0].Database != c.DB.Name || s[0].Slot == "" {
		t.Fatalf("the sources are %+v, want the WAL", s)
	}
	return conn
}

func sources(t *testing.T, home *cluster.Node) []api.Source {
	t.Helper()
	var stats api.Stats
	if status := home.Call("GET", "/api/stats", cluster.AdminToken, nil, &stats); status != 200 {
		t.Fatalf("GET /api/stats: %d", status)
	}
	return stats.Sources
}

func TestWritesPastTheHomeAreSeen(t *testing.T) {
	c := cluster.New(t, 1, auto)
	c.DB.Exec(
		`create table parts (id int, k int) partition by list (k)`, `create table parts_1 partition of parts for values in (1)`,
		`create table parts_2 partition of parts for values in (2)`, `insert into parts values (1, 1), (2, 2)`,
		`create function bump() returns trigger language plpgsql as 'begin update parts set id = id + 100; return null; end'`,
		`create trigger bump after update on orders execute function bump()`,
	)
	conn := followed(t, c)
	edge := c.Edges[0]
	for _, test := range []struct {
		name, query, before string
		write, table, after string
	}{
		{"an update", `select name from products where id = 1`, "product 1", `update products set name = 'new' where id = 1`, "public.products", "new"},
		{"a partition", `select sum(id)::int from parts`, "3", `insert into parts_1 values (10, 1)`, "public.parts", "13"},
		{"a cascade", `select count(*)::int from orders`, "10", `delete from products where id = 2`, "public.orders", "9"},
		{"a trigger", `select max(id)::int from parts`, "10", `update orders set note = '' where id = 1`, "public.parts", "110"},
		{"a truncation", `select count(*)::int from orders`, "9", `truncate orders`, "public.orders", "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			edge.WantMiss(conn, test.before, test.query)
			edge.WantHit(conn, test.before, test.query)
			c.DB.Exec(test.write)
			edge.AwaitInvalidation(test.table, 0)
			edge.WantMiss(conn, test.after, test.query)
			edge.WantHit(conn, test.after, test.query)
		})
	}
	if s := sources(t, c.Home); s[0].Transactions == 0 || s[0].Whole != 0 {
		t.Errorf("the figures are %+v", s)
	}
}

func TestALostSlotVoidsTheDatabaseAtEveryEdge(t *testing.T) {
	c := cluster.New(t, 1, auto)
	conn := followed(t, c)
	edge := c.Edges[0]
	edge.WantMiss(conn, "product 1", `select name from products where id = 1`)
	edge.WantHit(conn, "product 1", `select name from products where id = 1`)
	c.DB.Exec(`select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()`)
	edge.AwaitInvalidation("", 0)
	edge.WantMiss(conn, "product 1", `select name from products where id = 1`)
}

func TestUnloggedTablesAreNotReadFromMemoryUnderTheWAL(t *testing.T) {
	const query = `select count(*)::int from counters`
	for source, want := range map[config.Source]bool{config.SourceAuto: false, config.SourceWire: true} {
		t.Run(string(source), func(t *testing.T) {
			c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Source = source })
			c.DB.Exec(`create unlogged table counters (n int)`)
			conn := cluster.Connect(t, c.URL(c.Edges[0]))
			if source == config.SourceAuto {
				c.Edges[0].AwaitInvalidation("", 0)
			}
			c.Edges[0].WantMiss(conn, "0", query)
			if want {
				c.Edges[0].WantHit(conn, "0", query)
				return
			}
			c.Edges[0].WantMiss(conn, "0", query)
			var explained struct{ Reason string }
			c.Home.Call("POST", "/api/explain", cluster.AdminToken, api.ExplainRequest{Database: c.DB.Name, User: "postgres", SQL: query}, &explained)
			if !strings.Contains(explained.Reason, "not in the WAL") {
				t.Errorf("the reason is %q", explained.Reason)
			}
		})
	}
}

func TestNoMoreSlotsThanAreAllowedAndNoneIsLeft(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	first, second := pgtest.NewOn(t, server), pgtest.NewOn(t, server)
	c := cluster.On(t, first, 1, func(cfg *config.Config) { cfg.Source, cfg.WAL.MaxSlots = config.SourceAuto, 1 })
	followed(t, c)
	other := cluster.Connect(t, strings.Replace(c.URL(c.Home), first.Name, second.Name, 1))
	if got := cluster.Get(t, other, "select current_database()::text"); got != second.Name {
		t.Fatalf("connected to %s", got)
	}
	for _, s := range sources(t, c.Home) {
		if want := map[string]string{first.Name: "wal", second.Name: "wire"}[s.Database]; s.Source != want || (want == "wire") != strings.Contains(s.Reason, "wal.max_slots") {
			t.Errorf("got %+v, want %s", s, want)
		}
	}
	straight := first.Connect()
	if n := cluster.Get(t, straight, `select count(*)::int from pg_replication_slots`); n != "1" {
		t.Errorf("%s slots, want 1", n)
	}
	c.Home.Stop()
	if n := cluster.Get(t, straight, `select count(*)::int from pg_replication_slots`); n != "0" {
		t.Errorf("%s slots after the end, want none", n)
	}
}

func TestAServerThatAllowsNoReplicationIsOnTheWire(t *testing.T) {
	db := pgtest.New(t)
	role := db.CreateUser("home", pgtest.Trust, "")
	c := cluster.On(t, db, 0, func(cfg *config.Config) {
		cfg.Source, cfg.Upstream = config.SourceAuto, config.Upstream(db.UserURL(role, ""))
	})
	conn := cluster.Connect(t, c.URL(c.Home))
	var s []api.Source
	for len(s) == 0 || s[0].Source == "starting" { // the first attempt is under way
		s = sources(t, c.Home)
	}
	if s[0].Source != "wire" || !strings.Contains(s[0].Reason, "ALTER ROLE") {
		t.Errorf("the source is %+v", s[0])
	}
	c.Home.WantMiss(conn, "product 1", `select name from products where id = 1`)
	c.Home.WantHit(conn, "product 1", `select name from products where id = 1`)
	var ready struct{ Checks []api.Check }
	if status := c.Home.Call("GET", "/readyz", "", nil, &ready); status != 200 {
		t.Errorf("GET /readyz: %d", status)
	}
	if said := ready.Checks[len(ready.Checks)-1]; said.Name != "source" || !said.OK || !strings.Contains(said.Reason, "not every database") || strings.Contains(said.Reason, db.Name) {
		t.Errorf("readyz says %+v", said)
	}
}

func TestSourceWALRefusesToStartWithoutReplication(t *testing.T) {
	db := pgtest.New(t)
	cfg := cluster.HomeConfig(db.UserURL(db.CreateUser("home", pgtest.Trust, ""), ""))
	cfg.Source = config.SourceWAL
	n, err := node.New(cfg, node.Options{Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Listen(); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "ALTER ROLE") {
		t.Errorf("Serve: %v, want what to do", err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestSourceWALCachesNothingThatIsNotFollowed(t *testing.T) {
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Source = config.SourceWAL })
	// Postgres makes no slot while this transaction runs.
	holder := c.DB.Connect()
	cluster.Exec(t, holder, `begin`)
	cluster.Get(t, holder, `select pg_current_xact_id()::text`)
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	const query = `select name from products where id = 1`
	edge.WantMiss(conn, "product 1", query)
	edge.WantMiss(conn, "product 1", query)
	var ready struct{ Ready bool }
	if status := c.Home.Call("GET", "/readyz", "", nil, &ready); status != 503 || ready.Ready {
		t.Errorf("GET /readyz: %d", status)
	}
	cluster.Exec(t, holder, `rollback`)
	edge.AwaitInvalidation("", 0)
	edge.WantMiss(conn, "product 1", query)
	edge.WantHit(conn, "product 1", query)
	c.Home.AwaitReady()
}

func TestOnTheWireTheStatisticsShowWritesPastTheHome(t *testing.T) {
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.StatisticsPoll = 20 * time.Millisecond })
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	straight := c.DB.Connect()
	const query = `select name from products where id = 1`
	c.Edges[0].WantMiss(conn, "product 1", query)
	// The first look is what later ones are compared with.
	for cluster.Get(t, straight, `select exists (select from pg_stat_activity where application_name = 'perihelion statistics' and datname = current_database() and state = 'idle' and query like '%n_tup_ins%')`) != "true" {
	}
	cluster.Exec(t, straight, `update products set name = 'new' where id = 1`)
	cluster.Exec(t, straight, `select pg_stat_force_next_flush()`) // PostgreSQL takes seconds otherwise
	c.Edges[0].AwaitInvalidation("public.products", 0)
	c.Edges[0].WantMiss(conn, "new", query)
}

// BenchmarkOwnWrites says what it costs in hits that a write which passes the home is void twice, at its reply and when
// it is decoded: each iteration writes one row, and reads it and another of the table ten times each.
func BenchmarkOwnWrites(b *testing.B) {
	for _, source := range []config.Source{config.SourceWire, config.SourceAuto} {
		b.Run(string(source), func(b *testing.B) {
			c := cluster.New(b, 1, func(cfg *config.Config) { cfg.Source = source })
			edge := c.Edges[0]
			conn := cluster.Connect(b, c.URL(edge))
			if source == config.SourceAuto {
				edge.AwaitInvalidation("", 0)
			}
			before := edge.Stats().Cache
			for i := 0; b.Loop(); i++ {
				cluster.Exec(b, conn, `update products set price = $1 where id = 1`, i)
				for range 10 {
					cluster.Get(b, conn, `select price::text from products where id = 1`)
					cluster.Get(b, conn, `select price::text from products where id = 2`)
				}
			}
			after := edge.Stats().Cache
			hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
			b.ReportMetric(100*float64(hits)/float64(hits+misses), "%hits")
			b.ReportMetric(float64(misses)/float64(b.N), "misses/write")
		})
	}
}

// BenchmarkWritePastTheHome measures from the answer to a write straight on Postgres to the floor at an edge. A write that
// passes the home is void there before its answer.
func BenchmarkWritePastTheHome(b *testing.B) {
	c := cluster.New(b, 1, auto)
	edge, straight := c.Edges[0], c.DB.Connect()
	cluster.Connect(b, c.URL(edge))
	edge.AwaitInvalidation("", 0)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		cluster.Exec(b, straight, `update products set price = $1 where id = 1`, i)
		began := time.Now()
		edge.AwaitInvalidation("public.products", 0)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
