package e2e

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// greet is answered from the table that the search path finds.
const greet = "select word from greetings"

// newStates starts a cluster with the table of [greet] in several schemas.
func newStates(t *testing.T) (*cluster.Cluster, *cluster.Node) {
	t.Helper()
	c := cluster.New(t, 1, nil)
	c.DB.Exec(`create schema en; create table en.greetings as select 'hello' as word`,
		`create schema fr; create table fr.greetings as select 'bonjour' as word`,
		`create table public.greetings as select 'hm' as word`,
		`grant usage on schema en, fr to public; grant select on all tables in schema en, fr, public to public`)
	return c, c.Edges[0]
}

// wantShared asserts that a session shares what the edge knows from a fresh one.
func wantShared(t *testing.T, c *cluster.Cluster, edge *cluster.Node, conn *pgx.Conn) {
	t.Helper()
	if got := cluster.Get(t, cluster.Connect(t, c.URL(edge), cluster.Simple), greet); got != "hm" {
		t.Errorf("a fresh session gets %q", got)
	}
	edge.WantHit(conn, "hm", greet)
}

func TestStatesOfOneUserNeverShareAnEntry(t *testing.T) {
	c, edge := newStates(t)
	en, fr := cluster.Connect(t, c.URL(edge), cluster.Simple), cluster.Connect(t, c.URL(edge), cluster.Simple)
	cluster.Exec(t, en, "set search_path = en")
	cluster.Exec(t, fr, "set search_path = fr")
	for _, want := range []struct {
		conn *pgx.Conn
		word string
	}{{en, "hello"}, {fr, "bonjour"}} {
		edge.WantMiss(want.conn, want.word, greet)
		edge.WantHit(want.conn, want.word, greet)
	}
	// However it got there, a session in the same state has the same answers.
	for name, sql := range map[string]string{
		"SET": "set search_path to 'fr'", "set_config": "select set_config('search_path', 'fr', false)", "SET SCHEMA": "set schema 'fr'",
		"a committed block": "begin; set search_path = en; savepoint a; set local search_path = en; rollback to a; set search_path = fr; commit",
	} {
		conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
		if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if name != "a committed block" {
			edge.WantHit(conn, "bonjour", greet)
		} else if got := cluster.Get(t, conn, greet); got != "bonjour" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	started := cluster.Connect(t, c.URL(edge), cluster.Simple, func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["options"] = "-c search_path=en" })
	if got := cluster.Get(t, started, greet); got != "hello" {
		t.Errorf("by a startup option: got %s", got)
	}
}

func TestASessionThatIsResetSharesAgain(t *testing.T) {
	c, edge := newStates(t)
	for name, ways := range map[string][]string{
		"RESET":                               {"set search_path = en", "reset search_path"},
		"SET TO DEFAULT":                      {"set search_path = en", "set search_path to default"},
		"RESET ALL":                           {"set search_path = en", "set a.b = 'c'", "select set_config('work_mem', '5MB', false)", "reset all"},
		"DISCARD ALL":                         {"set search_path = en", "set session authorization pg_monitor", "set role pg_monitor", "discard all"},
		"DISCARD ALL after a temporary table": {"create temporary table greetings as select 'tmp'::text as word", "discard all"},
		"set_config of NULL":                  {"select set_config('search_path', 'en', false)", "select set_config('search_path', null, false)"},
		"RESET ROLE":                          {"set role pg_monitor", "reset role"},
		"RESET SESSION AUTHORIZATION":         {"set session authorization pg_monitor", "reset session authorization"},
		"a SQL PREPARE":                       {"prepare p as select 1", "deallocate p"},
		"a block that rolls back":             {"begin", "set search_path = en", "rollback"},
		"a block that fails":                  {"begin", "set search_path = en", "!select 1/0", "commit"},
		"SET LOCAL":                           {"begin", "set local search_path = en", "commit"},
		"SET LOCAL outside a block":           {"set local search_path = en"},
		"a savepoint that is rolled back to":  {"begin", "savepoint a", "set search_path = en", "rollback to a", "commit"},
		"a savepoint after a failure":         {"begin", "savepoint a", "set search_path = en", "!select 1/0", "rollback to a", "release a", "commit"},
		"a chain that rolls back":             {"begin", "set search_path = en", "rollback and chain", "rollback"},
		"a refused SET":                       {"!set search_path_ = en", "!set role nobody_there"},
		"a refused SET in a text":             {"!set search_path = en; select 1/0"},
		"what a transaction may do":           {"begin isolation level serializable, read only", "commit"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
			wantShared(t, c, edge, conn)
			for _, sql := range ways {
				refused := sql[0] == '!'
				if refused {
					sql = sql[1:]
				}
				if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); (err != nil) != refused {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			wantShared(t, c, edge, conn)
		})
	}
}

func TestWhatHoldsAfterABlockIsWhatPostgresSays(t *testing.T) {
	c, edge := newStates(t)
	for name, ways := range map[string][]string{
		"SET in a block that commits":      {"begin", "set search_path = en", "commit"},
		"SET under SET LOCAL":              {"begin", "set search_path = en", "set local search_path = fr", "commit"},
		"a savepoint that is released":     {"begin", "savepoint a", "set search_path = en", "release a", "commit"},
		"a savepoint rolled back to":       {"begin", "set search_path = en", "savepoint a", "set search_path = fr", "rollback to a", "commit"},
		"a chain that commits":             {"begin", "set search_path = en", "commit and chain", "set search_path = fr", "rollback"},
		"RESET that is rolled back":        {"set search_path = en", "begin", "reset all", "rollback"},
		"a role that reads no public":      {"set search_path = en, public", "set role pg_monitor"},
		"after DISCARD ALL":                {"set search_path = fr", "discard all", "set search_path = en"},
		"a block in the extended protocol": {"begin", "select set_config('search_path', 'en', false)", "commit"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
			for _, sql := range ways {
				cluster.Exec(t, conn, sql)
			}
			for range 2 {
				if got := cluster.Get(t, conn, greet); got != "hello" {
					t.Errorf("got %q, want hello", got)
				}
			}
			edge.WantHit(conn, "hello", greet)
		})
	}
}

func TestRolesOfOneSessionNeverShareRows(t *testing.T) {
	c, edge := newStates(t)
	ann, bob := c.DB.CreateUser("ann", pgtestTrust, ""), c.DB.CreateUser("bob", pgtestTrust, "")
	c.DB.Exec(`create table secrets (owner text, word text)`, `insert into secrets values ('`+ann+`', 'of ann'), ('`+bob+`', 'of bob')`,
		`alter table secrets enable row level security`, `create policy own on secrets using (owner = current_user)`, `grant select on secrets to public`,
		`create schema authorization `+ann, `create schema authorization `+bob,
		`create table `+ann+`.greetings as select 'ann'::text as word`, `create table `+bob+`.greetings as select 'bob'::text as word`,
		`grant select on `+ann+`.greetings to `+ann+`; grant select on `+bob+`.greetings to `+bob)
	conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
	for range 3 {
		for role, word := range map[string]string{ann: "ann", bob: "bob"} {
			cluster.Exec(t, conn, "set role "+role)
			if got := cluster.Get(t, conn, "select word from secrets"); got != "of "+word {
				t.Errorf("%s reads the row %q", role, got)
			}
			if got := cluster.Get(t, conn, greet); got != word { // "$user" in the search path
				t.Errorf("%s reads the table of %q", role, got)
			}
		}
	}
	edge.WantHit(conn, map[string]string{ann: "ann", bob: "bob"}[cluster.Get(t, conn, "select current_user::text")], greet)
	cluster.Exec(t, conn, "reset role")
	if got := cluster.Get(t, conn, "select count(*) from secrets"); got != "2" {
		t.Errorf("the superuser reads %s rows", got)
	}
}

func TestAlterRoleSetPartsTheSessionsBeforeItFromThoseAfter(t *testing.T) {
	c, edge := newStates(t)
	user := c.DB.CreateUser("ann", pgtestTrust, "")
	admin := cluster.Connect(t, c.URL(edge), cluster.Simple)
	before := cluster.Connect(t, c.UserURL(edge, user, ""), cluster.Simple)
	edge.WantMiss(before, "hm", greet)
	for _, alter := range []string{"alter role " + user + " set search_path = en", "alter role " + user + " in database " + c.DB.Name + " set search_path = en", "alter database " + c.DB.Name + " set search_path = en"} {
		cluster.Exec(t, admin, alter)
		after := cluster.Connect(t, c.UserURL(edge, user, ""), cluster.Simple)
		for range 2 {
			if got := cluster.Get(t, after, greet); got != "hello" {
				t.Errorf("after %s: got %q, want hello", alter, got)
			}
			if got := cluster.Get(t, before, greet); got != "hm" {
				t.Errorf("before %s: got %q, want hm", alter, got)
			}
		}
		cluster.Exec(t, after, "reset all")
		edge.WantHit(after, "hello", greet)
	}
}

func TestASessionThatMayHaveChangedAnythingSharesNothing(t *testing.T) {
	c, edge := newStates(t)
	for name, sql := range map[string]string{
		"a block of code":            "do $$ begin perform set_config('search_path', 'en', false); end $$",
		"set_config with a table":    "select set_config('search_path', word, false) from (values ('en')) v (word)",
		"a prepared set_config":      "prepare p as select set_config('search_path', 'en', false); execute p",
		"an explained set_config":    "explain analyze select set_config('search_path', 'en', false)",
		"a table that hides another": "create temporary table greetings as select 'hello'::text as word",
	} {
		t.Run(name, func(t *testing.T) {
			conn := cluster.Connect(t, c.URL(edge), cluster.Simple)
			if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				edge.WantMiss(conn, "hello", greet)
			}
			cluster.Exec(t, conn, "discard all")
			wantShared(t, c, edge, conn)
		})
	}
}

// TestANameThatSQLPreparesAnewIsAnotherStatement sends all at once, so that the node sees the Bind before the replies.
func TestANameThatSQLPreparesAnewIsAnotherStatement(t *testing.T) {
	c := cluster.New(t, 1, nil)
	prepare := encode(&pgproto3.Parse{Name: "x", Query: "select name from products where id = 1"}, &pgproto3.Sync{})
	execute := encode(&pgproto3.Bind{PreparedStatement: "x"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	for _, node := range []*cluster.Node{c.Edges[0], c.Home} {
		changed, other := dial(t, node.Addr().String(), c.DB.Name), dial(t, node.Addr().String(), c.DB.Name)
		changed.ask(prepare)
		changed.send(slices.Concat(simpleQuery("deallocate x"), simpleQuery("prepare x as select name from products where id = 2"), execute))
		changed.answer()
		changed.answer()
		if got := changed.answer(); !bytes.Contains(got, []byte("product 2")) {
			t.Errorf("%s: what SQL prepared answers %q", node.Config.Edge.Role, got)
		}
		other.ask(prepare)
		for range 2 {
			if got := other.ask(execute); !bytes.Contains(got, []byte("product 1")) {
				t.Errorf("%s: another session gets %q", node.Config.Edge.Role, got)
			}
		}
	}
}

// TestAWriteUnderANameThatSQLPreparesAnewIsSeen executes a write by a name that was a read's when the message was sent.
func TestAWriteUnderANameThatSQLPreparesAnewIsSeen(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	prepare := encode(&pgproto3.Parse{Name: "x", Query: "select name from products where id = 1"}, &pgproto3.Sync{})
	execute := encode(&pgproto3.Bind{PreparedStatement: "x"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	changed, other := dial(t, edge.Addr().String(), c.DB.Name), dial(t, edge.Addr().String(), c.DB.Name)
	changed.ask(prepare)
	other.ask(prepare)
	other.ask(execute)
	changed.send(slices.Concat(simpleQuery("deallocate x"), simpleQuery("prepare x as update products set name = 'new' where id = 1"), execute))
	for range 3 {
		changed.answer()
	}
	if got := other.ask(execute); !bytes.Contains(got, []byte("new")) {
		t.Errorf("another session got %q, want the new name", got)
	}
}
