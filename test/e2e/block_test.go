package e2e

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// blockOf sends the statements one by one and returns all that came back.
func blockOf(c *client, texts ...string) (all []byte) {
	for _, text := range texts {
		all = append(all, c.ask(simpleQuery(text))...)
	}
	return all
}

// TestReadInABlockIsAnsweredFromMemory compares a block with what Postgres says, and counts what went upstream.
func TestReadInABlockIsAnsweredFromMemory(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	straight := dial(t, c.DB.Addr(), c.DB.Name)
	through := dial(t, edge.Addr().String(), c.DB.Name)
	read := "select name, price from products where id = 7"
	for _, block := range [][]string{
		{"BEGIN", read, "COMMIT"},
		{"begin;", read, read, "rollback"},
		{"START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", read, "end"},
		{"begin /* of: the app */ work", read, "abort;"},
		{"begin", "commit"},
	} {
		want := blockOf(straight, block...)
		if got := blockOf(through, block...); !bytes.Equal(got, want) { // cold, but for the first
			t.Fatalf("%q: got %q, want %q", block, got, want)
		}
		_, misses, bypasses := edge.Counted(func() {
			if got := blockOf(through, block...); !bytes.Equal(got, want) {
				t.Errorf("warm %q: got %q, want %q", block, got, want)
			}
		})
		if misses+bypasses != 0 {
			t.Errorf("warm %q: %d misses and %d bypasses, want none: three round trips are none", block, misses, bypasses)
		}
	}
}

func TestExtendedReadInABlockIsAnsweredFromMemory(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	straight := dial(t, c.DB.Addr(), c.DB.Name)
	through := dial(t, edge.Addr().String(), c.DB.Name)
	named := func(name, text string) []byte {
		return encode(&pgproto3.Parse{Name: name, Query: text}, &pgproto3.Sync{})
	}
	run := func(name string) []byte {
		return encode(&pgproto3.Bind{PreparedStatement: name}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
	}
	// As a JDBC driver does it: the BEGIN in one segment with the first query.
	begin := encode(&pgproto3.Bind{PreparedStatement: "b"}, &pgproto3.Execute{})
	cycle := [][]byte{
		slices.Concat(begin, run("r")), run("r"), run("c"),
		extendedQuery("begin", 0), run("r"), extendedQuery("commit", 1),
	}
	for _, conn := range []*client{straight, through} {
		for _, m := range [][]byte{named("b", "BEGIN"), named("c", "COMMIT"), named("r", "select price::text from products where id = 9")} {
			conn.ask(m)
		}
	}
	ask := func(conn *client) (all []byte) {
		for _, m := range cycle {
			all = append(all, conn.ask(m)...)
		}
		return all
	}
	want := ask(straight)
	if got := ask(through); !bytes.Equal(got, want) {
		t.Fatalf("cold: got %q, want %q", got, want)
	}
	hits, misses, bypasses := edge.Counted(func() {
		if got := ask(through); !bytes.Equal(got, want) {
			t.Errorf("warm: got %q, want %q", got, want)
		}
	})
	if hits != 3 || misses+bypasses != 0 {
		t.Errorf("warm: %d hits, %d misses, %d bypasses; want 3 hits only", hits, misses, bypasses)
	}
}

// TestBlockThatWritesSeesItsOwnWrite reads before and after a write in one block.
func TestBlockThatWritesSeesItsOwnWrite(t *testing.T) {
	for _, lazy := range []config.Switch{config.On, config.Off} {
		t.Run("lazy_begin "+string(lazy), func(t *testing.T) {
			ctx := context.Background()
			c := cluster.New(t, 1, nil, func(cfg *config.Config) { cfg.LazyBegin = lazy })
			edge := c.Edges[0]
			conn, other := cluster.Connect(t, c.URL(edge)), cluster.Connect(t, c.URL(edge))
			price := "select price::text from products where id = 5"
			cluster.Get(t, conn, price)
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			edge.WantHit(conn, "5.00", price)
			cluster.Exec(t, conn, "update products set price = 50 where id = 5")
			edge.WantMiss(conn, "50.00", price)
			edge.WantHit(other, "5.00", price) // not committed
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			edge.WantHit(conn, "5.00", price) // a rollback voids nothing
			if tx, err = conn.Begin(ctx); err != nil {
				t.Fatal(err)
			}
			cluster.Exec(t, conn, "update products set price = 50 where id = 5")
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			edge.WantMiss(conn, "50.00", price)
			edge.WantHit(other, "50.00", price)
		})
	}
}

// TestStricterBlockIsNotAnsweredFromMemory reads twice in blocks whose snapshot is the block's.
func TestStricterBlockIsNotAnsweredFromMemory(t *testing.T) {
	ctx := context.Background()
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	price := "select price::text from products where id = 5"
	for _, test := range []struct {
		name  string
		setup []string
		begin []string
	}{
		{"BEGIN says so", nil, []string{"begin isolation level repeatable read"}},
		{"START TRANSACTION says so", nil, []string{"start transaction isolation level serializable"}},
		{"SET TRANSACTION says so", nil, []string{"begin", "set transaction isolation level repeatable read"}},
		{"the setting of the transaction says so", nil, []string{"begin", "set local transaction_isolation = 'repeatable read'"}},
		{"the session's default is stricter", []string{"set default_transaction_isolation = 'repeatable read'"}, []string{"begin"}},
		{"the session's characteristics are stricter", []string{"set session characteristics as transaction isolation level serializable"}, []string{"begin"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
			for _, sql := range test.setup {
				cluster.Exec(t, conn, sql)
			}
			cluster.Get(t, conn, price)
			for _, sql := range test.begin {
				cluster.Exec(t, conn, sql)
			}
			edge.WantMiss(conn, "5.00", price)
			edge.WantMiss(conn, "5.00", price)
			cluster.Exec(t, conn, "commit")
			edge.WantHit(conn, "5.00", price)
		})
	}
	t.Run("the role's default is stricter", func(t *testing.T) {
		c.DB.Exec("create role strict login", "grant all on products to strict", "alter role strict set default_transaction_isolation = 'serializable'")
		t.Cleanup(func() { c.DB.Exec("drop owned by strict", "drop role strict") })
		conn := cluster.Connect(t, c.UserURL(edge, "strict", ""), cluster.Simple)
		cluster.Get(t, conn, price)
		cluster.Exec(t, conn, "begin")
		edge.WantMiss(conn, "5.00", price)
		cluster.Exec(t, conn, "commit")
		edge.WantHit(conn, "5.00", price)
		if err := conn.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBlockIsFollowed walks through what a block can do, and asserts where memory answers.
func TestBlockIsFollowed(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	price := "select price::text from products where id = 5"
	hit, miss := edge.WantHit, edge.WantMiss
	conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
	exec := func(sql string) { t.Helper(); cluster.Exec(t, conn, sql) }
	fail := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql); err == nil {
			t.Fatalf("%s: no error", sql)
		}
	}
	cluster.Get(t, conn, price)

	exec("begin")
	hit(conn, "5.00", price)
	exec("savepoint a")
	hit(conn, "5.00", price)
	fail("select 1/0")
	exec("rollback to a")
	hit(conn, "5.00", price)
	exec("set local enable_seqscan = off") // another state
	miss(conn, "5.00", price)
	hit(conn, "5.00", price)
	exec("rollback to a")
	hit(conn, "5.00", price)
	exec("commit and chain")
	hit(conn, "5.00", price)
	exec("begin") // warns
	hit(conn, "5.00", price)
	exec("select pg_advisory_xact_lock(1)")
	miss(conn, "5.00", price)
	exec("commit")
	exec("commit") // warns
	exec("discard all")
	hit(conn, "5.00", price)

	exec("begin")
	exec("select id from products where id = 5 for update")
	miss(conn, "5.00", price)
	exec("rollback")
	hit(conn, "5.00", price)

	exec("begin")
	fail("syntax error")
	fail(price)
	exec("commit")
	hit(conn, "5.00", price)
	// What was read in a block serves everyone.
	exec("begin")
	exec("savepoint s")
	miss(conn, "6.00", "select price::text from products where id = 6")
	exec("commit")
	hit(cluster.Connect(t, c.URL(edge), cluster.Simple), "6.00", "select price::text from products where id = 6")
}

func state(t *testing.T, c *cluster.Cluster, sql string) string {
	t.Helper()
	return cluster.Get(t, c.DB.Connect(), sql)
}

// TestPromisedBlockCostsTheUpstreamNothing holds a lazy BEGIN's block open and looks at Postgres.
func TestPromisedBlockCostsTheUpstreamNothing(t *testing.T) {
	c := cluster.New(t, 1, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]), cluster.Simple, func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["application_name"] = "lazy" })
	cluster.Exec(t, conn, "begin")
	if got := state(t, c, "select state from pg_stat_activity where application_name = 'lazy'"); got != "idle" {
		t.Errorf("the backend is %q while nothing was sent in the block, want idle", got)
	}
	cluster.Exec(t, conn, "select set_config('perihelion_test.x', 'y', true)")
	if got := state(t, c, "select state from pg_stat_activity where application_name = 'lazy'"); got != "idle in transaction" {
		t.Errorf("the backend is %q after a statement, want idle in transaction", got)
	}
	cluster.Exec(t, conn, "rollback")
}

// TestSessionThatLivesOnHitsOutlivesAnIdleTimeout answers from memory for longer than the backend would wait.
func TestSessionThatLivesOnHitsOutlivesAnIdleTimeout(t *testing.T) {
	c := cluster.New(t, 1, nil, func(cfg *config.Config) { cfg.Sessions.KeepAlive = 50 * time.Millisecond })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
	cluster.Exec(t, conn, "set idle_session_timeout = '500ms'")
	price := "select price::text from products where id = 5"
	cluster.Get(t, conn, price)
	for end := time.Now().Add(1200 * time.Millisecond); time.Now().Before(end); {
		edge.WantHit(conn, "5.00", price)
	}
	edge.WantMiss(conn, "6.00", "select price::text from products where id = 6")
}
