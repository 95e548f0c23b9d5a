package analyze

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// shopSchema makes in PostgreSQL what shop builds by hand.
const shopSchema = `
CREATE SCHEMA crm; CREATE SCHEMA audit;
CREATE FUNCTION calm(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION lookup(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION wild() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION opens() RETURNS timetz IMMUTABLE LANGUAGE sql AS $$ SELECT timetz '12:00+00' $$;
CREATE FUNCTION audit.lower(text) RETURNS text VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE crm.contacts SET n = n + 1; RETURN NEW; END';
CREATE FUNCTION wild_operator(int, int) RETURNS bool VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
CREATE OPERATOR <~> (leftarg = int, rightarg = int, function = wild_operator);
CREATE TYPE mood AS ENUM ('x', 'y'); CREATE DOMAIN email AS text; CREATE TYPE pair AS (a int, b int);
CREATE DOMAIN checked AS text CHECK (length(VALUE) > wild());
CREATE TABLE users (id int PRIMARY KEY, name text);
CREATE FUNCTION full_name(users) RETURNS text VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE TABLE orders (id int PRIMARY KEY, u int REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE, at timestamptz DEFAULT now(), note text, data jsonb);
CREATE TABLE lines (id int PRIMARY KEY, o int REFERENCES orders ON DELETE SET NULL, price numeric(10, 2));
CREATE TABLE notes (id int PRIMARY KEY, o int REFERENCES orders);
CREATE TABLE crm.users (id int, name text);
CREATE TABLE crm.contacts (id int, n int);
CREATE TABLE domains (id int);
CREATE TABLE events (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20);
CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int) SERVER elsewhere;
CREATE TABLE mixed (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE mixed_remote PARTITION OF mixed FOR VALUES FROM (0) TO (10) SERVER elsewhere;
CREATE VIEW big_orders AS SELECT * FROM orders WHERE id > 10;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
CREATE SEQUENCE ticket;
CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE TABLE secret_by_code (id int); ALTER TABLE secret_by_code ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret_by_code USING (id = wild());
CREATE TABLE triggered (id int); CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION trig();
CREATE TABLE parent_of_watched (id int PRIMARY KEY);
CREATE TABLE watched (id int REFERENCES parent_of_watched ON DELETE CASCADE);
CREATE TRIGGER t AFTER DELETE ON watched FOR EACH ROW EXECUTE FUNCTION trig();
CREATE TABLE ruled (id int); CREATE RULE r AS ON UPDATE TO ruled DO ALSO DELETE FROM notes;
CREATE TABLE noisy (id int DEFAULT wild());
CREATE TABLE hours (id int, h timetz);
INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO crm.users SELECT * FROM users; INSERT INTO crm.contacts VALUES (1, 1);
INSERT INTO orders SELECT i, 1 + i % 2, '2024-01-01', 'n', '{"a": {"b": 1}}' FROM generate_series(1, 6) i;
INSERT INTO lines SELECT i, 1 + i % 6, i FROM generate_series(1, 6) i;
INSERT INTO notes VALUES (1, 1), (2, 1);
INSERT INTO events SELECT i, '2024-01-01' FROM generate_series(0, 19) i;
INSERT INTO domains VALUES (1); INSERT INTO parent_of_watched VALUES (1), (2); INSERT INTO watched VALUES (1);
INSERT INTO ruled VALUES (1); INSERT INTO noisy VALUES (1);
ANALYZE orders;
`

func liveShop(t testing.TB) (*pgtest.Database, *catalog.Snapshot) {
	t.Helper()
	db := pgtest.New(t)
	if _, err := db.Connect().Exec(t.Context(), shopSchema); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Options{Config: config})
	t.Cleanup(c.Close)
	s, err := c.Snapshot(t.Context(), db.Name)
	if err != nil {
		t.Fatal(err)
	}
	return db, s
}

func TestStatementsAgainstAPictureOfPostgreSQL(t *testing.T) {
	_, s := liveShop(t)
	for group, cases := range allCases() {
		t.Run(group, func(t *testing.T) { runCases(t, s, cases) })
	}
}

func TestEstimatesComeFromThePlanner(t *testing.T) {
	_, s := liveShop(t)
	if d := describe(t, s, "SELECT * FROM orders"); fmt.Sprint(d.RelationRows) != "[6]" {
		t.Errorf("got %d", d.RelationRows)
	}
}

// executable are reads of the shop that PostgreSQL can run as they are.
var executable = []string{
	"SELECT * FROM public.users ORDER BY id",
	"SELECT u.name, count(*), sum(l.price) FROM public.users u JOIN orders o ON o.u = u.id LEFT JOIN lines l ON l.o = o.id GROUP BY u.name ORDER BY 1",
	"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r JOIN lines l ON l.id = r.n ORDER BY 1",
	"WITH orders AS (SELECT * FROM notes) SELECT * FROM orders ORDER BY id",
	"SELECT * FROM events ORDER BY id",
	"SELECT * FROM events_1 ORDER BY id",
	"SELECT id, o, rank() OVER (PARTITION BY o ORDER BY id) FROM notes ORDER BY id",
	"SELECT * FROM orders WHERE data #>> '{a,b}' = '1' AND data @> '{}' AND note LIKE 'n%' ORDER BY id",
	"SELECT * FROM orders WHERE at >= '2024-01-01' AND at < '2024-01-02'::date AND date_trunc('day', at)::date = '2024-01-01' ORDER BY id",
	"SELECT extract(year FROM at), at AT TIME ZONE 'UTC', at + interval '1 day' FROM orders ORDER BY id",
	"SELECT json_agg(o ORDER BY o.id), string_agg(note, ',') FROM orders o",
	"SELECT id FROM orders UNION ALL SELECT id FROM lines EXCEPT SELECT id FROM notes ORDER BY 1",
	"SELECT o.id, l.m FROM orders o, LATERAL (SELECT max(price) AS m FROM lines WHERE o = o.id) l ORDER BY 1",
	"SELECT CASE id WHEN 1 THEN 'x' ELSE name END, name || id, concat(name, id), length(name) FROM public.users ORDER BY id",
	"SELECT * FROM domains",
	"SELECT * FROM parent_of_watched ORDER BY id",
	"SELECT * FROM watched ORDER BY id",
	"SELECT * FROM crm.contacts",
	"SELECT * FROM lines WHERE id = ANY (ARRAY[1, 2]) AND (id, o) IN (SELECT id, o FROM lines) ORDER BY id",
	"SELECT * FROM noisy ORDER BY id",
	"SELECT * FROM ruled",
	"VALUES (1, 'x'::mood), (2, 'y')",
	"TABLE notes ORDER BY id",
}

func TestAReadTakesNoLockAndWritesNothing(t *testing.T) {
	db, s := liveShop(t)
	conn := db.Connect()
	for _, sql := range executable {
		if d := describe(t, s, sql); d.Verdict != statement.Read {
			t.Errorf("%s: got %s: %s", sql, judged(d), d.Reason)
			continue
		}
		tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		} else {
			var locks []string
			var wrote bool
			err := tx.QueryRow(t.Context(), `SELECT array(SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid()
				AND locktype NOT IN ('virtualxid') AND mode <> 'AccessShareLock'), pg_current_xact_id_if_assigned() IS NOT NULL`).Scan(&locks, &wrote)
			if err != nil || len(locks) > 0 || wrote {
				t.Errorf("%s: locks %v, transaction number %t, %v", sql, locks, wrote, err)
			}
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWriteThatChangesAnAnswerMeetsItsRelations(t *testing.T) {
	db, s := liveShop(t)
	conn := db.Connect()
	a := analyzer(s)
	writes := []string{
		"INSERT INTO public.users VALUES (9, 'z')",
		"UPDATE public.users SET name = name || 'x'",
		"UPDATE public.users SET id = id + 100",
		"DELETE FROM notes; DELETE FROM public.users",
		"DELETE FROM public.users WHERE id = 3",
		"TRUNCATE public.users CASCADE",
		"TRUNCATE orders, lines, notes",
		"UPDATE orders SET note = 'changed', data = '{}', at = '2025-01-01'",
		"WITH gone AS (DELETE FROM notes RETURNING o) DELETE FROM orders WHERE id IN (SELECT o FROM gone)",
		"WITH gone AS (DELETE FROM lines RETURNING *) SELECT count(*) FROM gone",
		"INSERT INTO lines VALUES (1, 1, 99) ON CONFLICT (id) DO UPDATE SET price = excluded.price",
		"MERGE INTO lines l USING orders o ON o.id = l.id WHEN MATCHED THEN UPDATE SET price = 0",
		"INSERT INTO events VALUES (5, '2024-02-02')",
		"DELETE FROM events_1",
		"UPDATE events SET id = 15 WHERE id = 5",
		"DELETE FROM parent_of_watched",
		"INSERT INTO triggered VALUES (1)",
		"UPDATE ruled SET id = 2",
		"INSERT INTO noisy VALUES (DEFAULT)",
		"INSERT INTO domains VALUES (2)",
		"SELECT * FROM orders FOR UPDATE",
		"DO $$ BEGIN DELETE FROM lines; END $$",
		"ALTER TABLE public.users ADD COLUMN extra int DEFAULT 1",
		"ALTER TYPE mood RENAME VALUE 'x' TO 'z'",
		"CREATE TABLE more PARTITION OF events FOR VALUES FROM (20) TO (30); INSERT INTO more VALUES (25, '2024-01-01')",
	}
	changed := 0
	for _, write := range writes {
		closure := a.Describe(t.Context(), "shop", "", write).Writes
		for _, read := range executable {
			relations := a.Describe(t.Context(), "shop", "", read).Relations
			before, after := around(t, conn, write, read)
			if before == after {
				continue
			}
			changed++
			meets := closure.Anything || slices.ContainsFunc(relations, func(r string) bool { return slices.Contains(closure.Relations, r) })
			if !meets {
				t.Errorf("%s\nchanges %s\nbut %v misses %v", write, read, closure, relations)
			}
		}
	}
	if changed < len(writes) {
		t.Errorf("only %d answers changed: the test proves nothing", changed)
	}
}

// around returns the answer to read before and after write, and undoes the write.
func around(t *testing.T, conn *pgx.Conn, write, read string) (before, after string) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	ask := func() string {
		results, err := tx.Conn().PgConn().Exec(t.Context(), read).ReadAll()
		if err != nil {
			return err.Error() // an answer, too: the schema may have changed
		}
		var b strings.Builder
		for _, row := range results[0].Rows {
			fmt.Fprintf(&b, "%q\n", row)
		}
		return b.String()
	}
	before = ask()
	if _, err := tx.Conn().PgConn().Exec(t.Context(), write).ReadAll(); err != nil {
		t.Fatalf("%s: %v", write, err)
	}
	return before, ask()
}

func TestReviewedLinesAreInTheLiveCatalog(t *testing.T) {
	// What each version says of the volatility of what it has.
	functions, operators, names, texts, types := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	modules := map[string]string{}
	for _, version := range pgtest.Versions() {
		db := pgtest.NewOf(t, version)
		db.Exec("CREATE EXTENSION pg_trgm", "CREATE EXTENSION unaccent")
		conn := db.Connect()
		for _, q := range []struct {
			into  map[string]string
			query string
		}{
			{functions, `SELECT p.proname || '(' || coalesce((SELECT string_agg(t.typname::text, ',' ORDER BY i)
				FROM unnest(p.proargtypes) WITH ORDINALITY u(o, i) JOIN pg_type t ON t.oid = u.o), '') || ')', p.provolatile::text
				FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace`},
			{operators, `SELECT o.oprname || '(' || concat_ws(',', l.typname, r.typname) || ')', p.provolatile::text
				FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode LEFT JOIN pg_type l ON l.oid = o.oprleft
				LEFT JOIN pg_type r ON r.oid = o.oprright WHERE o.oprnamespace = 'pg_catalog'::regnamespace`},
			{names, `SELECT proname::text, max(provolatile::text) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1`},
			{texts, `SELECT p.proname::text, max(t.typname::text) FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
				WHERE p.pronamespace = 'pg_catalog'::regnamespace AND t.typcategory IN ('S', 'P', 'X', 'U') GROUP BY 1`},
			{modules, `SELECT replace(probin, '$libdir/', '') || '.' || prosrc, max(provolatile::text) FROM pg_proc WHERE probin LIKE '$libdir/%' GROUP BY 1`},
			{types, `SELECT typname::text, typtype::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace`},
		} {
			rows, err := conn.Query(t.Context(), q.query)
			if err != nil {
				t.Fatal(err)
			}
			var name, says string
			if _, err := pgx.ForEachRow(rows, []any{&name, &says}, func() error {
				q.into[name] = max(q.into[name], says) // the worst of all versions
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hold := func(kind string, got, want string, line string) {
		if got != want {
			t.Errorf("%s %s: got %q, want %q", kind, line, got, want)
		}
	}
	for signature, reason := range reviewedFunctions {
		hold("function", functions[signature], "s", signature)
		if reason == "" {
			t.Errorf("function %s has no reason", signature)
		}
	}
	for signature, reason := range reviewedOperators {
		hold("operator", operators[signature], "s", signature)
		if reason == "" {
			t.Errorf("operator %s has no reason", signature)
		}
	}
	for symbol, reason := range reviewedModules {
		hold("module", modules[symbol], "s", symbol)
		if reason == "" {
			t.Errorf("%s has no reason", symbol)
		}
	}
	for name := range harmlessFunctions {
		hold("function", names[name], "v", name)
	}
	for name := range runsForeignCode {
		hold("function", names[name], "s", name)
	}
	for name := range neverText {
		if names[name] == "" || texts[name] != "" {
			t.Errorf("function %s: it is %q, and returns %q", name, names[name], texts[name])
		}
	}
	for name := range castTypes {
		if types[name] == "" {
			t.Errorf("no type %s", name)
		}
	}
}
