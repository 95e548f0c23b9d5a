package e2e

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// TestWriteMakesTheNextReadFresh writes by every way there is, and reads at an edge that has the old answer.
func TestWriteMakesTheNextReadFresh(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		writer func(c *cluster.Cluster) *cluster.Node
		write  func(t *testing.T, conn *pgx.Conn)
		want   string
	}{
		{"through the other edge", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "update products set price = 500 where id = 5")
		}, "500.00"},
		{"through the home", home, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "update products set price = 500 where id = 5")
		}, "500.00"},
		{"by a statement with parameters", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "update products set price = $1 where id = $2", 500, 5)
		}, "500.00"},
		{"in a transaction that commits", other, func(t *testing.T, conn *pgx.Conn) {
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			cluster.Exec(t, tx.Conn(), "update products set price = 500 where id = 5")
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}, "500.00"},
		{"in several statements of one text", other, func(t *testing.T, conn *pgx.Conn) {
			if _, err := conn.PgConn().Exec(ctx, "select 1; begin; update products set price = 500 where id = 5; commit; select 2").ReadAll(); err != nil {
				t.Fatal(err)
			}
		}, "500.00"},
		{"in a batch", other, func(t *testing.T, conn *pgx.Conn) {
			b := &pgx.Batch{}
			b.Queue("select count(*) from orders")
			b.Queue("update products set price = 500 where id = $1", 5)
			if err := conn.SendBatch(ctx, b).Close(); err != nil {
				t.Fatal(err)
			}
		}, "500.00"},
		{"by COPY", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "delete from products where id = 5")
			if _, err := conn.CopyFrom(ctx, pgx.Identifier{"products"}, []string{"id", "name", "price"}, pgx.CopyFromRows([][]any{{5, "new", 500}})); err != nil {
				t.Fatal(err)
			}
		}, "500.00"},
		{"by a data-modifying CTE", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Get(t, conn, "with w as (update products set price = 500 where id = 5 returning id) select id from w")
		}, "500.00"},
		{"by a function", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "create function reprice() returns void language sql as 'update products set price = 500 where id = 5'")
			cluster.Exec(t, conn, "select reprice()")
		}, "500.00"},
		{"by DO", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "do $$ begin update products set price = 500 where id = 5; end $$")
		}, "500.00"},
		{"by a change of the schema", other, func(t *testing.T, conn *pgx.Conn) {
			cluster.Exec(t, conn, "alter table products alter column price type numeric(10,1)")
		}, "5.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cluster.New(t, 2, nil)
			reader, writer := c.Edges[0], test.writer(c)
			conn := cluster.Connect(t, c.URL(reader), cluster.Simple)
			cluster.Get(t, conn, priceOf+"5")
			reader.WantHit(conn, "5.00", priceOf+"5")
			test.write(t, cluster.Connect(t, c.URL(writer)))
			reader.AwaitInvalidation("public.products", c.Home.Stats().Version)
			reader.WantMiss(conn, test.want, priceOf+"5")
			reader.WantHit(conn, test.want, priceOf+"5")
		})
	}
}

func other(c *cluster.Cluster) *cluster.Node { return c.Edges[1] }
func home(c *cluster.Cluster) *cluster.Node  { return c.Home }

func TestR9RollbackVoidsNothing(t *testing.T) {
	c := cluster.New(t, 2, nil)
	conn, writer := cluster.Connect(t, c.URL(c.Edges[0])), cluster.Connect(t, c.URL(c.Edges[1]))
	cluster.Get(t, conn, priceOf+"$1", 5)
	before := c.Home.Stats().Version
	tx, err := writer.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cluster.Exec(t, writer, "update products set price = 500 where id = 5")
	c.Edges[0].WantHit(conn, "5.00", priceOf+"$1", 5)
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := c.Home.Stats().Version; after != before {
		t.Errorf("the log moved from %d to %d", before, after)
	}
	c.Edges[0].WantHit(conn, "5.00", priceOf+"$1", 5)
}

func TestR7SessionReadsItsOwnWrites(t *testing.T) {
	c := cluster.New(t, 1, nil)
	for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "prepared": pgx.QueryExecModeCacheStatement} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(c.Edges[0]), func(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = mode })
			for i := range 100 {
				cluster.Exec(t, conn, "update products set price = $1 where id = 5", i)
				var price float64
				for range 2 {
					if err := conn.QueryRow(context.Background(), "select price::float8 from products where id = 5").Scan(&price); err != nil || price != float64(i) {
						t.Fatalf("after writing %d: read %v, %v", i, price, err)
					}
				}
			}
		})
	}
	if hits := c.Edges[0].Stats().Cache.Hits; hits < 150 {
		t.Errorf("%d hits, want most of 200", hits)
	}
}

func TestCascadeVoidsTheReferencingTable(t *testing.T) {
	c := cluster.New(t, 2, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	cluster.Get(t, conn, "select count(*) from orders")
	c.Edges[0].WantHit(conn, "10", "select count(*) from orders")
	cluster.Exec(t, cluster.Connect(t, c.URL(c.Edges[1])), "delete from products where id = 3")
	c.Edges[0].AwaitInvalidation("public.orders", c.Home.Stats().Version)
	c.Edges[0].WantMiss(conn, "9", "select count(*) from orders")
}

func TestPartitionsVoidEachOther(t *testing.T) {
	c := cluster.New(t, 1, nil)
	c.DB.Exec(`create table events (id int, at int) partition by range (at)`,
		`create table events_low partition of events for values from (0) to (10)`,
		`create table events_high partition of events for values from (10) to (20)`)
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	for _, read := range []string{"select count(*) from events", "select count(*) from events_low"} {
		cluster.Get(t, conn, read)
		c.Edges[0].WantHit(conn, "0", read)
	}
	cluster.Exec(t, conn, "insert into events values (1, 5)")
	c.Edges[0].WantMiss(conn, "1", "select count(*) from events_low")
	c.Edges[0].WantMiss(conn, "1", "select count(*) from events")
	cluster.Exec(t, conn, "insert into events_low values (2, 6)")
	c.Edges[0].WantMiss(conn, "2", "select count(*) from events")
}

func TestWriteToOneTableLeavesTheOthers(t *testing.T) {
	c := cluster.New(t, 1, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	cluster.Get(t, conn, "select count(*) from products")
	cluster.Exec(t, conn, "insert into orders values (100, 1, 'x')")
	c.Edges[0].WantHit(conn, "100", "select count(*) from products")
}

// TestR4FillThatRacesAWriteIsRefused holds a read back in PostgreSQL until a write has overtaken it.
func TestR4FillThatRacesAWriteIsRefused(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	// An immutable function, as far as the catalog says, that waits for a lock that this test holds: its result does
	// not depend on a table, so that only the plain column does.
	c.DB.Exec(`create function wait_for_test(n int) returns int language plpgsql immutable as
		'begin perform pg_advisory_xact_lock_shared(4711); return n; end'`)
	direct := c.DB.Connect()
	cluster.Exec(t, direct, "select pg_advisory_lock(4711)")
	reader, writer := cluster.Connect(t, c.URL(edge), cluster.Simple), cluster.Connect(t, c.URL(edge), cluster.Simple)
	const read = "select p.price::text from products p where p.id = 5 and wait_for_test(p.id) = 5"
	got := make(chan string, 1)
	go func() {
		var price string
		if err := reader.QueryRow(context.Background(), read).Scan(&price); err != nil {
			price = err.Error()
		}
		got <- price
	}()
	for cluster.Get(t, direct, "select count(*) from pg_locks where locktype = 'advisory' and not granted") == "0" {
	}
	cluster.Exec(t, writer, "update products set price = 500 where id = 5")
	fills := edge.Stats().Cache.Fills
	cluster.Exec(t, direct, "select pg_advisory_unlock(4711)")
	if price := <-got; price != "5.00" {
		t.Fatalf("the slow read got %q, want the price before the write", price)
	}
	if now := edge.Stats().Cache.Fills; now != fills {
		t.Errorf("the fill was kept: %d fills, %d before", now, fills)
	}
	edge.WantMiss(reader, "500.00", read)
	edge.WantHit(reader, "500.00", read)
}
