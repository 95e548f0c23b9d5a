package e2e

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// TestR6SchemaChangesPastTheHomeAreSeen changes what an answer depends on straight on Postgres: in the database at hand,
// and among the server's roles.
func TestR6SchemaChangesPastTheHomeAreSeen(t *testing.T) {
	c := cluster.On(t, pgtest.NewOn(t, pgtest.NewServer(t, postgres.Options{})), 1, func(cfg *config.Config) { cfg.CatalogCheck = 50 * time.Millisecond })
	c.DB.Exec("create view cheap as select id from products where price < 10", "create materialized view total as select count(*) as n from products",
		"create role reader login", "create role team", "grant team to reader", "create table board (note text)", "insert into board values ('hello')",
		"create table private (note text, owner text)", "insert into private values ('a', 'x')", "alter table private enable row level security",
		"revoke all on board from public", "grant select on board to team", "revoke all on private from public", "grant select on cheap, total to public")
	edge := c.Edges[0]
	conn, reader := cluster.Connect(t, c.URL(edge)), cluster.Connect(t, c.UserURL(edge, "reader", ""))
	for _, step := range []struct {
		change string
		conn   *pgx.Conn
		sql    string
		before string
		after  string // a part of the error where it begins with !
		table  string
	}{
		{"create or replace view cheap as select id from products where price < 20", conn, "select count(*)::text from cheap", "9", "19", "public.products"},
		{"begin; create or replace view cheap as select id from products where price < 30; insert into products values (1001, 'new', 1); commit", conn, "select count(*)::text from cheap", "19", "30", "public.products"},
		{"alter table board rename column note to text; alter table board add column note text default 'none'", conn, "select note from board", "hello", "none", "public.board"},
		{"refresh materialized view total", conn, "select n::text from total", "100", "101", "public.total"},
		{"revoke team from reader", reader, "select text from board", "hello", "!permission denied", "public.board"},
		{"grant select on board to reader", reader, "select 'x' || text from board", "!permission denied", "xhello", "public.board"},
		{"revoke select on board from reader", reader, "select 'x' || text from board", "xhello", "!permission denied", "public.board"},
	} {
		ask := func(when, want string) {
			var got string
			err := step.conn.QueryRow(t.Context(), step.sql).Scan(&got)
			if refused, ok := strings.CutPrefix(want, "!"); ok && (err == nil || !strings.Contains(err.Error(), refused)) || !ok && (err != nil || got != want) {
				t.Fatalf("%s %s %s: got %q, %v, want %s", step.sql, when, step.change, got, err, want)
			}
		}
		ask("before", step.before)
		if !strings.HasPrefix(step.before, "!") {
			edge.WantHit(step.conn, step.before, step.sql)
		}
		version := c.Home.Stats().Version
		c.DB.Exec(step.change)
		edge.AwaitInvalidation(step.table, version+1)
		ask("after", step.after)
	}
}

// TestOwnSchemaChangesVoidOnce has a schema change pass the home: its event is the only one.
func TestOwnSchemaChangesVoidOnce(t *testing.T) {
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.CatalogCheck = 10 * time.Millisecond })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"$1", 5)
	for _, ddl := range []string{"create table one (id int)", "alter table products add column more int", "drop table one"} {
		cluster.Exec(t, conn, ddl)
		version := c.Home.Stats().Version
		edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
		// Many digests later: each renewal of the edge, every 100 ms, asks for certainty.
		until := time.Now().Add(500 * time.Millisecond)
		for time.Now().Before(until) {
			edge.WantHit(conn, "5.00", priceOf+"$1", 5)
		}
		if now := c.Home.Stats().Version; now != version {
			t.Errorf("%s: the log went from %d to %d", ddl, version, now)
		}
	}
}

// TestR12WhatACrashLoses has Postgres lose commits that were answered, read and cached.
func TestR12WhatACrashLoses(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{Settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}})
	c := cluster.On(t, pgtest.NewOn(t, server), 1, nil)
	c.DB.Exec("checkpoint")
	edge := c.Edges[0]
	conn, atHome := cluster.Connect(t, c.URL(edge)), cluster.Connect(t, c.URL(c.Home))
	cluster.Exec(t, conn, "update products set price = 500 where id = 5")
	for _, node := range []struct {
		*cluster.Node
		conn *pgx.Conn
	}{{edge, conn}, {c.Home, atHome}} {
		cluster.Get(t, node.conn, priceOf+"$1", 5)
		node.WantHit(node.conn, "500.00", priceOf+"$1", 5)
	}
	version := c.Home.Stats().Version
	if err := server.Restart(t.Context(), postgres.Immediate); err != nil {
		t.Fatal(err)
	}
	truth := cluster.Get(t, cluster.Connect(t, c.DB.URL()), priceOf+"5")
	if truth != "5.00" {
		t.Fatalf("price = %s after the crash, want the commit to be lost", truth)
	}
	edge.AwaitInvalidation("public.products", version+1)
	for _, node := range []*cluster.Node{c.Home, edge} { // what an edge asks, its home keeps too
		again := cluster.Connect(t, c.URL(node))
		node.WantMiss(again, truth, priceOf+"$1", 5)
		node.WantHit(again, truth, priceOf+"$1", 5)
	}
}

// link forwards connections to a server, until it is cut.
type link struct {
	net.Listener
	cut sync.RWMutex // held for writing while nothing passes
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Listener: listener}
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			end := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				all.Go(func() {
					defer end()
					defer way[0].Close()
					defer way[1].Close()
					_, _ = io.Copy(way[1], gated{way[0], &l.cut}) // its end is the connection's
				})
			}
		}
	})
	return l
}

// gated holds back what was read while its gate is shut.
type gated struct {
	io.Reader
	gate *sync.RWMutex
}

func (g gated) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	g.gate.RLock()
	defer g.gate.RUnlock()
	return n, err
}

// TestR12NothingFromMemoryOnceTheLeaseRanOut cuts a home from its Postgres: neither it nor its edge answers from memory
// for longer than the staleness, and both say why. Then Postgres is there again.
func TestR12NothingFromMemoryOnceTheLeaseRanOut(t *testing.T) {
	db := pgtest.New(t)
	l := newLink(t, db.Addr())
	c := cluster.On(t, db, 1, func(cfg *config.Config) {
		cfg.Upstream = config.Upstream(strings.Replace(string(cfg.Upstream), db.Addr(), l.Addr().String(), 1))
		cfg.MaxStaleness = time.Second
	})
	edge := c.Edges[0]
	nodes := []*cluster.Node{c.Home, edge} // what an edge asks, its home keeps too
	var conns []*pgx.Conn
	for _, node := range nodes {
		conn := cluster.Connect(t, c.URL(node), cluster.Simple)
		cluster.Get(t, conn, priceOf+"5")
		node.WantHit(conn, "5.00", priceOf+"5")
		conns = append(conns, conn)
	}
	version := c.Home.Stats().Version
	l.cut.Lock()
	mend := sync.OnceFunc(l.cut.Unlock)
	t.Cleanup(mend) // before the nodes end, which wait for their connections
	cut := invalidation.Now()
	for i, node := range nodes {
		for {
			ctx, stop := context.WithTimeout(t.Context(), cluster.Patience/10)
			before := node.Stats().Cache.Hits
			var price string
			err := conns[i].QueryRow(ctx, priceOf+"5").Scan(&price)
			now := invalidation.Now()
			stop()
			if err != nil {
				break // it went upstream, where nobody answers
			}
			if node.Stats().Cache.Hits > before && now > cut.Add(2*time.Second) {
				t.Fatalf("%s answered from memory %v after the cut, the lease is a second", node.Config.Edge.Role, now.Until(cut))
			}
		}
	}
	var ready struct{ Ready bool }
	if status := c.Home.Call("GET", "/readyz", "", nil, &ready); status != 503 || ready.Ready {
		t.Errorf("readyz says %d, %t, without Postgres", status, ready.Ready)
	}
	mend()
	edge.AwaitInvalidation("public.products", version+1)
	for _, node := range nodes {
		node.AwaitReady()
		conn := cluster.Connect(t, c.URL(node))
		node.WantMiss(conn, "5.00", priceOf+"$1", 5)
		node.WantHit(conn, "5.00", priceOf+"$1", 5)
	}
}

// TestADatabaseCanBeDroppedAfterItsSessions drops one that was used through an edge, and makes another of its name.
func TestADatabaseCanBeDroppedAfterItsSessions(t *testing.T) {
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Source = config.SourceWire }) // a slot would stand in the way
	edge := c.Edges[0]
	admin := cluster.Connect(t, c.URL(edge))
	cluster.Exec(t, admin, "create database short_lived", pgx.QueryExecModeSimpleProtocol)
	url := strings.Replace(c.URL(edge), c.DB.Name, "short_lived", 1)
	for i := range 3 {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + i))
		cluster.Exec(t, conn, "create table t as select '"+name+"' as name")
		edge.WantMiss(conn, name, "select name from t")
		edge.WantHit(conn, name, "select name from t")
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		cluster.Exec(t, admin, "drop database short_lived", pgx.QueryExecModeSimpleProtocol)
		if i < 2 {
			cluster.Exec(t, admin, "create database short_lived", pgx.QueryExecModeSimpleProtocol)
		}
	}
}
