package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

const priceOf = "select price::text from products where id = "

func TestRepeatReadIsAHitInEveryProtocolOfTheDriver(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	for name, mode := range map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "prepared": pgx.QueryExecModeCacheStatement, "described": pgx.QueryExecModeCacheDescribe, "unnamed": pgx.QueryExecModeExec,
	} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), func(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = mode })
			sql := priceOf + "$1 -- " + name
			if name == "simple" {
				sql = "select '" + name + "', price::text from products where id = $1"
			}
			read := func() string {
				var price string
				to := []any{&price}
				if name == "simple" {
					var label string
					to = []any{&label, &price}
				}
				if err := conn.QueryRow(context.Background(), sql, 7).Scan(to...); err != nil {
					t.Fatal(err)
				}
				return price
			}
			first := read()
			hits, misses, bypasses := edge.Counted(func() {
				for range 3 {
					if again := read(); again != first || first != "7.00" {
						t.Errorf("got %s, then %s, want 7.00", first, again)
					}
				}
			})
			if hits != 3 || misses != 0 || bypasses != 0 {
				t.Errorf("three repeats: %d hits, %d misses, %d bypasses; want 3, 0, 0", hits, misses, bypasses)
			}
		})
	}
}

// TestHitDoesNotReachPostgres asks PostgreSQL itself: the backend of a session that lives on hits has run nothing.
func TestHitDoesNotReachPostgres(t *testing.T) {
	c := cluster.New(t, 1, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]), func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["application_name"] = "under test" })
	direct := c.DB.Connect()
	last := func() string {
		return cluster.Get(t, direct, "select query_start::text || state_change::text || query from pg_stat_activity where application_name = 'under test'")
	}
	cluster.Get(t, conn, priceOf+"$1", 3)
	before := last()
	for range 5 {
		c.Edges[0].WantHit(conn, "3.00", priceOf+"$1", 3)
	}
	if after := last(); after != before {
		t.Errorf("the backend's last statement went from %q to %q", before, after)
	}
}

// TestBytesOfAHitEqualThoseOfAMiss compares what plain PostgreSQL sends with what the edge does, cold and warm.
func TestBytesOfAHitEqualThoseOfAMiss(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	c.DB.Exec(`create table kinds (a int, b text, c timestamptz, d jsonb, e bytea, f numeric, g bool, h int[])`,
		`insert into kinds values (1, 'x', '2024-01-01 00:00:00Z', '{"a": [1]}', '\xdeadbeef', 1.50, true, '{1,2}'), (null, null, null, null, null, null, null, null), (2, repeat('y', 100000), '1999-12-31Z', '[]', '', 0, false, '{}')`)
	for _, text := range []string{
		"select * from products where id = 5",
		"select * from products where id = -5",
		"select * from kinds",
		"select p.name, count(*), sum(p.price) from products p join orders o on o.product = p.id group by p.name order by p.name",
		"select name from products order by id limit 3 offset 2",
		"values (1), (2)",
	} {
		for _, request := range []struct {
			name string
			raw  []byte
		}{{"simple", simpleQuery(text)}, {"extended, text", extendedQuery(text, 0)}, {"extended, binary", extendedQuery(text, 1)}} {
			t.Run(request.name+": "+text, func(t *testing.T) {
				want := dial(t, c.DB.Addr(), c.DB.Name).ask(request.raw)
				client := dial(t, edge.Addr().String(), c.DB.Name)
				cold := client.ask(request.raw)
				var warm []byte
				hits, _, _ := edge.Counted(func() { warm = client.ask(request.raw) })
				if string(cold) != string(want) {
					t.Errorf("cold: %.200q, want %.200q", cold, want)
				}
				if string(warm) != string(want) {
					t.Errorf("warm: %.200q, want %.200q", warm, want)
				}
				if hits != 1 {
					t.Errorf("the second was no hit")
				}
			})
		}
	}
}

func TestTwoUsersNeverShareAnEntry(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	ann, bob := c.DB.CreateUser("ann", pgtestTrust, ""), c.DB.CreateUser("bob", pgtestTrust, "")
	c.DB.Exec(`create schema ann authorization `+ann, `create schema bob authorization `+bob,
		fmt.Sprintf(`create table ann.notes as select 'of ann' as note; grant select on ann.notes to %s`, ann),
		fmt.Sprintf(`create table bob.notes as select 'of bob' as note; grant select on bob.notes to %s`, bob),
		fmt.Sprintf(`alter role %s set search_path = ann; alter role %s set search_path = bob`, ann, bob))
	a, b := cluster.Connect(t, c.UserURL(edge, ann, "")), cluster.Connect(t, c.UserURL(edge, bob, ""))
	for range 2 {
		if got := cluster.Get(t, a, "select note from notes"); got != "of ann" {
			t.Errorf("ann got %q", got)
		}
		if got := cluster.Get(t, b, "select note from notes"); got != "of bob" {
			t.Errorf("bob got %q", got)
		}
	}
	edge.WantHit(a, "of ann", "select note from notes")
	// The same statement on the same table, which bob may not read.
	if got := cluster.Get(t, a, "select note from ann.notes"); got != "of ann" {
		t.Errorf("ann got %q", got)
	}
	var note string
	if err := b.QueryRow(context.Background(), "select note from ann.notes").Scan(&note); err == nil {
		t.Errorf("bob got %q from a table that he may not read", note)
	}
}

func TestSettingsPartEntries(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	c.DB.Exec(`create table moments (at timestamptz)`, `insert into moments values ('2024-06-01 12:00:00Z')`)
	utc, tokyo := cluster.Connect(t, c.URL(edge), cluster.Simple), cluster.Connect(t, c.URL(edge), cluster.Simple)
	cluster.Exec(t, utc, "set timezone = 'UTC'")
	cluster.Exec(t, tokyo, "set timezone = 'Asia/Tokyo'")
	const read = "select at from moments"
	raw := func(conn *pgx.Conn) string {
		var s string
		rows, err := conn.Query(context.Background(), read)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			s += string(rows.RawValues()[0])
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
		return s
	}
	for range 2 {
		if got := raw(utc); !strings.HasPrefix(got, "2024-06-01 12:00") {
			t.Errorf("in UTC: %s", got)
		}
		if got := raw(tokyo); !strings.HasPrefix(got, "2024-06-01 21:00") {
			t.Errorf("in Tokyo: %s", got)
		}
	}
	if hits, _, _ := edge.Counted(func() { raw(utc); raw(tokyo) }); hits != 2 {
		t.Errorf("%d hits, want 2", hits)
	}
}

func TestHomeAloneAnswersFromItsOwnCache(t *testing.T) {
	c := cluster.New(t, 0, nil)
	conn := cluster.Connect(t, c.URL(c.Home))
	c.Home.WantMiss(conn, "9.00", priceOf+"$1", 9)
	c.Home.WantHit(conn, "9.00", priceOf+"$1", 9)
	cluster.Exec(t, conn, "update products set price = 10 where id = 9")
	c.Home.WantMiss(conn, "10.00", priceOf+"$1", 9)
}

func TestMissAtOneEdgeMayBeAHitAtTheHome(t *testing.T) {
	c := cluster.New(t, 2, nil)
	first, second := cluster.Connect(t, c.URL(c.Edges[0])), cluster.Connect(t, c.URL(c.Edges[1]))
	c.Edges[0].WantMiss(first, "9.00", priceOf+"$1", 9)
	cluster.Get(t, second, priceOf+"$1", 8) // prepared
	hits, _, _ := c.Home.Counted(func() { c.Edges[1].WantMiss(second, "9.00", priceOf+"$1", 9) })
	if hits != 1 {
		t.Errorf("%d hits at the home, want 1", hits)
	}
	c.Edges[1].WantHit(second, "9.00", priceOf+"$1", 9)
}

func TestWhatIsDoubtfulIsNotCached(t *testing.T) {
	c := cluster.New(t, 1, nil)
	c.DB.Exec(`create view cheap as select * from products where price < 10`,
		`create function volatile_sum() returns numeric language sql volatile as 'select sum(price) from products'`,
		`create table secret (owner text, v text)`, `insert into secret values ('x', 'y')`, `alter table secret enable row level security`)
	conn := cluster.Connect(t, c.URL(c.Edges[0]), cluster.Simple)
	for _, sql := range []string{
		"select now()::text", "select random()::text", "select count(*) from pg_class", "select volatile_sum()::text",
		"select name from products where id = 1 for update", "select count(*) from secret", "select current_user::text",
		"select 'today'::date::text", "select nextval('pg_temp.s')::text",
	} {
		t.Run(sql, func(t *testing.T) {
			for range 3 {
				hits, misses, _ := c.Edges[0].Counted(func() {
					rows, err := conn.Query(context.Background(), sql)
					if err == nil {
						rows.Close()
					}
				})
				if hits != 0 || misses != 0 {
					t.Errorf("%d hits, %d misses; want only bypasses", hits, misses)
				}
			}
		})
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	c := cluster.New(t, 2, nil)
	var wg sync.WaitGroup
	for i := range 12 {
		conn := cluster.Connect(t, c.URL(c.Edges[i%2]))
		wg.Go(func() {
			for j := range 200 {
				id := (i*7+j)%100 + 1
				var price string
				if err := conn.QueryRow(context.Background(), priceOf+"$1", id).Scan(&price); err != nil || price != fmt.Sprintf("%d.00", id) {
					t.Errorf("product %d: %q, %v", id, price, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if hits := c.Edges[0].Stats().Cache.Hits; hits == 0 {
		t.Error("no hit")
	}
}
