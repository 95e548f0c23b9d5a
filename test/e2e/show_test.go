package e2e

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// asker runs a query and returns its one row by column.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func lastOf(t *testing.T, conn asker) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	rows, err := conn.Query(ctx, "SHOW perihelion.last")
	if err != nil {
		t.Fatal(err)
	}
	return oneRow(t, rows)
}

func oneRow(t *testing.T, rows pgx.Rows) map[string]string {
	t.Helper()
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("SHOW perihelion.last: %v", err)
	}
	all := map[string]string{}
	for name, value := range row {
		all[name] = value.(string)
	}
	return all
}

// wantLast asserts columns of SHOW perihelion.last; a reason that it holds a text.
func wantLast(t *testing.T, conn asker, want ...string) map[string]string {
	t.Helper()
	got := lastOf(t, conn)
	for i := 0; i < len(want); i += 2 {
		column, value := want[i], want[i+1]
		if column == "reason" && strings.Contains(got[column], value) {
			continue
		}
		if got[column] != value {
			t.Errorf("%s is %q, want %q, in %v", column, got[column], value, got)
		}
	}
	return got
}

func TestShowLastTellsWhatBecameOfTheStatementBefore(t *testing.T) {
	c := cluster.New(t, 1, nil)
	for _, node := range []struct {
		name string
		*cluster.Node
	}{{"edge", c.Edges[0]}, {"home", c.Home}} {
		for name, mode := range map[string]pgx.QueryExecMode{
			"simple": pgx.QueryExecModeSimpleProtocol, "prepared": pgx.QueryExecModeCacheStatement, "unnamed": pgx.QueryExecModeExec,
		} {
			t.Run(node.name+", "+name, func(t *testing.T) {
				conn := cluster.Connect(t, c.URL(node.Node), func(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = mode })
				wantLast(t, conn, "outcome", "none")
				sql := "select name, '" + node.name + name + "' from products where id = 1"
				cluster.Exec(t, conn, sql)
				got := wantLast(t, conn, "outcome", "miss", "answered_by", "postgres", "verdict", "read", "relations", "public.products", "reason", "is kept from now on")
				if got["ttl"] == "" || got["age"] != "" || got["level"] != "bounded" {
					t.Errorf("ttl, age and level of a miss: %v", got)
				}
				cluster.Exec(t, conn, sql)
				fingerprint := got["fingerprint"]
				got = wantLast(t, conn, "outcome", "hit", "answered_by", node.name, "verdict", "read", "relations", "public.products", "reason", "from memory")
				if got["ttl"] == "" || got["age"] == "" || got["fingerprint"] != fingerprint || len(fingerprint) != 16 {
					t.Errorf("ttl, age and fingerprint of a hit: %v, of the miss: %s", got, fingerprint)
				}
				wantLast(t, conn, "outcome", "hit") // asking changes nothing
				cluster.Exec(t, conn, "select now()")
				wantLast(t, conn, "outcome", "bypass", "answered_by", "postgres", "verdict", "unstable", "reason", "now")
				cluster.Exec(t, conn, "update orders set note = note where id = 2")
				wantLast(t, conn, "outcome", "write", "verdict", "write", "relations", "public.orders", "reason", "writes to public.orders")
				cluster.Exec(t, conn, "set application_name = 'x'")
				wantLast(t, conn, "outcome", "bypass", "verdict", "session")
				if _, err := conn.Exec(t.Context(), "select 1/0"); err == nil {
					t.Error("1/0 is no error")
				}
				wantLast(t, conn, "outcome", "error", "reason", "answered with an error (22012)")
				if _, err := conn.Exec(t.Context(), "select nothing from nowhere"); err == nil {
					t.Error("a table that is not there is no error")
				}
				wantLast(t, conn, "outcome", "error")
				version := cluster.Get(t, conn, "show Perihelion.Version;")
				epoch, number, _ := strings.Cut(version, "/")
				if n, err := strconv.ParseUint(number, 10, 64); err != nil || n == 0 || epoch != c.Home.Stats().Epoch {
					t.Errorf("perihelion.version is %q, want a version of the epoch %s", version, c.Home.Stats().Epoch)
				}
			})
		}
	}
}

func TestShowLastInsideBlocks(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "prepared": pgx.QueryExecModeCacheStatement} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), func(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = mode })
			sql := "select name, '" + name + "' from products where id = 3"
			cluster.Exec(t, conn, sql)
			cluster.Exec(t, conn, "begin")
			wantLast(t, conn, "outcome", "block", "answered_by", "edge", "verdict", "session")
			cluster.Exec(t, conn, sql)
			wantLast(t, conn, "outcome", "hit")
			cluster.Exec(t, conn, "update products set price = price where id = 4")
			wantLast(t, conn, "outcome", "write")
			cluster.Exec(t, conn, sql)
			wantLast(t, conn, "outcome", "bypass", "verdict", "read", "reason", "has not only read")
			if _, err := conn.Exec(t.Context(), "select 1/0"); err == nil {
				t.Fatal("1/0 is no error")
			}
			for range 2 {
				if _, err := conn.Exec(t.Context(), "SHOW perihelion.last"); !isCode(err, "25P02") {
					t.Errorf("in a failed block: %v, want 25P02", err)
				}
			}
			cluster.Exec(t, conn, "rollback")
			wantLast(t, conn, "outcome", "bypass", "verdict", "session")
			cluster.Exec(t, conn, "select count(*) from orders")
			wantLast(t, conn, "verdict", "read")
		})
	}
}

// TestShowLastKeepsTheOrderOfAPipeline sends statements and SHOW without waiting in between, in one segment and in several.
func TestShowLastKeepsTheOrderOfAPipeline(t *testing.T) {
	c := cluster.New(t, 1, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	batch := &pgx.Batch{}
	const show = "show perihelion.last"
	batch.Queue("select 'first' from products where id = 1")
	batch.Queue(show)
	batch.Queue("select 'second' from pg_sleep(0.01)")
	batch.Queue(show)
	results := conn.SendBatch(t.Context(), batch)
	for _, want := range []string{"first", "forwarded", "second", "forwarded"} {
		rows, err := results.Query()
		if err != nil {
			t.Fatal(err)
		}
		if want != "forwarded" {
			if got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		} else if got := oneRow(t, rows); got["outcome"] != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}

	raw := dial(t, c.Edges[0].Addr().String(), c.DB.Name)
	slow, ask := "select 1 from pg_sleep(0.02)", simpleQuery("show perihelion.version")
	for name, request := range map[string][]byte{
		"simple":         append(append(simpleQuery(slow), ask...), simpleQuery("select 2")...),
		"extended":       append(append(extendedQuery(slow, 0), extendedQuery("show perihelion.version", 1)...), extendedQuery("select 2", 0)...),
		"behind a Flush": append(encode(&pgproto3.Parse{Query: slow}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{}, &pgproto3.Sync{}), append(ask, simpleQuery("select 2")...)...),
	} {
		raw.send(request)
		got := string(raw.answer()) + "|" + string(raw.answer()) + "|" + string(raw.answer())
		one, version, two := strings.Index(got, "SELECT 1"), strings.Index(got, "SHOW"), strings.LastIndex(got, "SELECT 1")
		if one < 0 || version < one || two < version || strings.Count(got[:version], "|") != 1 {
			t.Errorf("%s: replies out of order: %q", name, got)
		}
	}

	// An error before it skips it, as PostgreSQL would.
	raw.send(encode(&pgproto3.Parse{Query: "select 1/0"}, &pgproto3.Bind{}, &pgproto3.Execute{},
		&pgproto3.Parse{Query: show}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{}))
	if got := string(raw.answer()); strings.Contains(got, "SHOW") || !strings.Contains(got, "22012") {
		t.Errorf("behind an error: %q, want it skipped", got)
	}
	// A limit of rows suspends its portal; what it prepared is there for SQL; and the unnamed statement is replaced.
	got := string(raw.ask(encode(&pgproto3.Parse{Name: "s", Query: show}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{MaxRows: 1}, &pgproto3.Execute{}, &pgproto3.Sync{})))
	if at := strings.Index(got, "s\x00\x00\x00\x04C"); at < 0 || strings.Count(got, "D\x00\x00") != 1 {
		t.Errorf("with a limit: %q, want a row, a suspended portal and the end", got)
	}
	if got := string(raw.ask(simpleQuery("deallocate s"))); !strings.Contains(got, "DEALLOCATE") {
		t.Errorf("DEALLOCATE of it: %q", got)
	}
	// A portal ends with its transaction, also where that ends while the node waits.
	raw.ask(simpleQuery("begin isolation level repeatable read"))
	raw.ask(encode(&pgproto3.Parse{Name: "s", Query: show}, &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"}, &pgproto3.Sync{}))
	raw.send(append(simpleQuery("commit"), encode(&pgproto3.Execute{Portal: "p"}, &pgproto3.Sync{})...))
	if got := string(raw.answer()) + string(raw.answer()); !strings.Contains(got, "COMMIT") || !strings.Contains(got, "34000") {
		t.Errorf("a portal behind its transaction: %q, want COMMIT and 34000", got)
	}
	if got := string(raw.ask(simpleQuery("show perihelion.other"))); !strings.Contains(got, "42704") {
		t.Errorf("another name: %q, want PostgreSQL's own answer", got)
	}
}

// TestShowLastNamesTheReasonOfADecision asks at the edge for a decision that only the home has made.
func TestShowLastNamesTheReasonOfADecision(t *testing.T) {
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Edge.DefaultTTL = 0 })
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	cluster.Exec(t, conn, "select count(*) from products")
	wantLast(t, conn, "outcome", "bypass", "verdict", "read", "reason", "default_ttl is 0")
	cluster.Exec(t, conn, "select count(*) from products where name = $1", "today")
	wantLast(t, conn, "outcome", "bypass", "verdict", "read", "reason", "default_ttl is 0")
}

func TestShowLastTellsWhatTheHomeAnswered(t *testing.T) {
	c := cluster.New(t, 2, nil)
	const sql = "select count(*) from products"
	cluster.Exec(t, cluster.Connect(t, c.URL(c.Edges[0])), sql)
	conn := cluster.Connect(t, c.URL(c.Edges[1]))
	cluster.Exec(t, conn, sql)
	wantLast(t, conn, "outcome", "miss", "answered_by", "home", "relations", "public.products")
	cluster.Exec(t, conn, "select * from products where name = $1", "today")
	wantLast(t, conn, "outcome", "bypass", "verdict", "read", "reason", "a moment of the clock")
	big := dial(t, c.Edges[1].Addr().String(), c.DB.Name)
	big.ask(encode(&pgproto3.Parse{Query: "select id from products"}, &pgproto3.Bind{}, &pgproto3.Execute{MaxRows: 3}, &pgproto3.Sync{}))
	if got := string(big.ask(simpleQuery("show perihelion.last"))); !strings.Contains(got, "a limit of rows") {
		t.Errorf("behind a row limit: %q", got)
	}
}

// TestShowLastOutlivesWhatIsNotFollowed asks by a statement that was prepared before the session's names were in doubt.
func TestShowLastOutlivesWhatIsNotFollowed(t *testing.T) {
	c := cluster.New(t, 1, nil)
	c.DB.Exec(`create function wild() returns int volatile language plpgsql as 'begin return 1; end'`)
	for _, node := range []*cluster.Node{c.Edges[0], c.Home} {
		conn := cluster.Connect(t, c.URL(node))
		wantLast(t, conn, "outcome", "none")
		cluster.Exec(t, conn, "select wild()")
		wantLast(t, conn, "outcome", "bypass", "verdict", "opaque", "reason", "calls the volatile function wild")
		cluster.Exec(t, conn, "select count(*) from products")
		wantLast(t, conn, "outcome", "bypass", "verdict", "read", "reason", "the session's state is not known")
		cluster.Exec(t, conn, "discard all")
		if err := conn.DeallocateAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		cluster.Exec(t, conn, "select count(*) from products")
		wantLast(t, conn, "verdict", "read", "relations", "public.products")
	}
}
