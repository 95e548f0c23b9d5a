package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// digestSchema makes anew what the changes of the tests change.
const digestSchema = `
DROP EVENT TRIGGER IF EXISTS e;
DROP SCHEMA IF EXISTS work, s2 CASCADE;
DO $$ DECLARE r text; BEGIN
	FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'digest_%' LOOP
		EXECUTE 'DROP OWNED BY ' || r; EXECUTE 'DROP ROLE ' || r;
	END LOOP; END $$;
CREATE SCHEMA work;
DISCARD TEMP;
SET search_path = work;
CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz DEFAULT now());
INSERT INTO t SELECT i, 'x' FROM generate_series(1, 500) i;
CREATE TABLE other (id int PRIMARY KEY, t int);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part_1 (id int);
CREATE VIEW v AS SELECT id FROM t;
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
CREATE SEQUENCE s;
CREATE TYPE mood AS ENUM ('sad');
CREATE TYPE pair AS (a int, b int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION f() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE POLICY p ON t USING (true);
CREATE ROLE digest_role; CREATE ROLE digest_member;
GRANT SELECT ON t TO digest_role;
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)`

// moves are changes that the digest must show.
var moves = []string{
	"CREATE TABLE made (id int)",
	"DROP TABLE other",
	"ALTER TABLE t ADD COLUMN more int",
	"ALTER TABLE t RENAME COLUMN name TO called",
	"ALTER TABLE t DROP COLUMN name",
	"ALTER TABLE t ALTER COLUMN at SET DEFAULT 'yesterday'",
	"ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t",
	"CREATE SCHEMA s2; ALTER TABLE t SET SCHEMA s2",
	"ALTER TABLE t ENABLE ROW LEVEL SECURITY",
	"ALTER TABLE t FORCE ROW LEVEL SECURITY",
	"GRANT INSERT ON t TO digest_role",
	"REVOKE SELECT ON t FROM digest_role",
	"GRANT SELECT (id) ON t TO digest_member",
	"ALTER TABLE t OWNER TO digest_role",
	"CREATE OR REPLACE VIEW v AS SELECT id + 1 AS id FROM t",
	"ALTER VIEW v SET (security_invoker = on)",
	"CREATE OR REPLACE FUNCTION f() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 2'",
	"REVOKE EXECUTE ON FUNCTION f() FROM public",
	"CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trig()",
	"ALTER TABLE t DISABLE TRIGGER ALL; CREATE TRIGGER tg2 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trig()",
	"CREATE RULE r AS ON INSERT TO other DO ALSO NOTIFY x",
	"ALTER TABLE other ADD FOREIGN KEY (t) REFERENCES t ON DELETE CASCADE",
	"ALTER TABLE other ADD CHECK (id > 0)",
	"CREATE INDEX ON t (f(), id)",
	"ALTER TABLE parts ATTACH PARTITION part_1 FOR VALUES FROM (1) TO (100)",
	"CREATE TABLE child () INHERITS (other)",
	"ALTER POLICY p ON t USING (id > 1)",
	"CREATE POLICY q ON t USING (true)",
	"ALTER TYPE mood ADD VALUE 'glad'",
	"ALTER TYPE mood RENAME VALUE 'sad' TO 'low'",
	"ALTER TYPE pair ADD ATTRIBUTE c int",
	"ALTER DOMAIN positive ADD CHECK (VALUE < 10)",
	"CREATE CAST (pair AS text) WITH INOUT AS IMPLICIT",
	"CREATE OPERATOR <<< (leftarg = int, rightarg = int, function = int4eq)",
	"CREATE SCHEMA s2",
	"ALTER SCHEMA work OWNER TO digest_role",
	"GRANT CREATE ON SCHEMA work TO digest_role",
	"CREATE COLLATION folded (provider = icu, locale = 'und', deterministic = false)",
	"ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR word WITH english_stem",
	"ALTER ROLE digest_role SET statement_timeout = 1000",
	"ALTER ROLE digest_role BYPASSRLS",
	"ALTER ROLE digest_role RENAME TO digest_role_2; ALTER ROLE digest_role_2 SUPERUSER; ALTER ROLE digest_role_2 RENAME TO digest_role",
	"GRANT digest_role TO digest_member",
	"DROP ROLE digest_member",
	"ALTER TABLE t DISABLE ROW LEVEL SECURITY; ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t DISABLE ROW LEVEL SECURITY",
	"GRANT DELETE ON t TO digest_member; REVOKE DELETE ON t FROM digest_member",
	"BEGIN; ALTER TABLE t ADD COLUMN again int; UPDATE t SET id = id + 1000; INSERT INTO t (id) VALUES (-1); COMMIT",
	"CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION et()",
}

// stays are changes that the digest must not show.
var stays = []string{
	"SELECT 1",
	"ANALYZE",
	"VACUUM (ANALYZE)",
	"VACUUM FULL t",
	"INSERT INTO t (id) SELECT i FROM generate_series(1000, 2000) i",
	"UPDATE t SET name = 'y'",
	"DELETE FROM t WHERE id > 100; VACUUM t",
	"TRUNCATE t",
	"COPY (SELECT 1) TO STDOUT",
	"SELECT nextval('s')",
	"SELECT lo_create(0)",
	"CREATE INDEX ON t (name); REINDEX TABLE t; CLUSTER t USING t_pkey; ALTER INDEX t_name_idx RENAME TO renamed; DROP INDEX renamed; CREATE INDEX ON t (at)",
	"CREATE TEMP TABLE scratch (id serial PRIMARY KEY, n int CHECK (n > 0), w text); INSERT INTO scratch (n) VALUES (1); ANALYZE scratch; ALTER TABLE scratch ADD COLUMN m int",
	"CREATE TEMP VIEW tv AS SELECT 1; CREATE TEMP SEQUENCE ts; CREATE TABLE pg_temp.x AS SELECT 1 AS a",
	"CREATE FUNCTION pg_temp.tf() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE pg_temp.tt AS (a int)",
	"COMMENT ON TABLE t IS 'a table'",
	"BEGIN; CREATE TABLE never (id int); ROLLBACK",
	"BEGIN; PREPARE TRANSACTION 'digest'; ROLLBACK PREPARED 'digest'",
	"CREATE STATISTICS st ON id, name FROM t",
}

// openAs is open, with the catalog's own connection as a role that has no rights but the ones that everybody has.
func openAs(t *testing.T, db *pgtest.Database, user string) *Catalog {
	t.Helper()
	config, err := pgx.ParseConfig(db.UserURL(user, ""))
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Config: config})
	t.Cleanup(c.Close)
	return c
}

func changed(t *testing.T, c *Catalog, database string) Change {
	t.Helper()
	change, err := c.Check(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// TestTheDigestShowsWhatMatters makes each change straight on PostgreSQL, past everybody, and looks at it as a role that
// has no rights but those that everybody has.
func TestTheDigestShowsWhatMatters(t *testing.T) {
	for version, options := range map[string]postgres.Options{"newest": {}, "oldest": {Oldest: true}} {
		t.Run(version, func(t *testing.T) {
			db := pgtest.NewOn(t, pgtest.NewServer(t, options)) // roles are the server's
			db.Exec("CREATE ROLE watcher LOGIN")
			c := openAs(t, db, "watcher")
			c.Keep(db.Name)
			if _, err := c.Snapshot(t.Context(), db.Name); err != nil {
				t.Fatal(err)
			}
			conn := db.Connect()
			for i, sql := range slices.Concat(moves, stays) {
				t.Run(sql, func(t *testing.T) { checkOne(t, c, conn, db.Name, sql, i < len(moves)) })
			}
		})
	}
}

func checkOne(t *testing.T, c *Catalog, conn *pgx.Conn, database, sql string, moves bool) {
	if _, err := conn.Exec(t.Context(), digestSchema, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	changed(t, c, database)
	if !moves {
		// Whether a new file is a write, the picture says.
		if _, err := c.Snapshot(t.Context(), database); err != nil {
			t.Fatal(err)
		}
	}
	if change := changed(t, c, database); change.Schema || len(change.Written) > 0 {
		t.Fatalf("%+v before anything was changed", change)
	}
	for one := range strings.SplitSeq(sql, "; ") {
		if _, err := conn.Exec(t.Context(), one, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
	}
	if change := changed(t, c, database); change.Schema != moves {
		t.Errorf("got %+v, want a change: %t", change, moves)
	}
	if change := changed(t, c, database); change.Schema {
		t.Errorf("the same change is shown again: %+v", change)
	}
}

// TestAPictureTakesOverWhatHasNotChanged compares, after each change, a picture that was read with the one before at hand
// to one that was read alone.
func TestAPictureTakesOverWhatHasNotChanged(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("CREATE TABLE t (id int, at date)", "CREATE FUNCTION f(t) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
		"CREATE FUNCTION loud() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "CREATE DOMAIN d AS int")
	c := open(t, db)
	read := func(before *Snapshot) (s *Snapshot) {
		t.Helper()
		err := c.connected(t.Context(), db.Name, func(conn *pgx.Conn) (err error) {
			s, err = load(t.Context(), conn, before, 1<<30)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := read(nil)
	for _, sql := range []string{
		"SELECT 1", "CREATE TABLE u (id int, at text)", "ALTER TABLE t ADD COLUMN hours timetz", "GRANT SELECT ON t TO public", "CREATE VIEW v AS SELECT f(t) FROM t",
		"CREATE TYPE pair AS (a int, hours timetz)", "CREATE FUNCTION g(pair) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'", "ALTER FUNCTION g VOLATILE",
		"CREATE OPERATOR <<< (leftarg = int, rightarg = int, function = int4eq)", "ALTER DOMAIN d ADD CHECK (VALUE > loud())", "ALTER SCHEMA public RENAME TO private",
		"CREATE TYPE private.mood AS ENUM ('sad')", "ALTER TYPE private.pair RENAME TO couple", "ALTER TABLE private.u ALTER COLUMN at TYPE date USING at::date", "DROP TABLE private.u",
		"CREATE FUNCTION private.body() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM private.t; END", "CREATE TABLE private.w (id int)",
	} {
		db.Exec(sql)
		after := read(before)
		got, want := dump(t, after), dump(t, read(nil))
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("%s: line %d of %d is not that of %d:\n%q\n%q", sql, i, len(got), len(want), got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
			}
		}
		if sql == "CREATE TABLE u (id int, at text)" && !shares(before, after) {
			t.Error("another table costs as much as all that PostgreSQL brought")
		}
		before = after
	}
}

// shares reports whether pictures have the functions of one.
func shares(a, b *Snapshot) bool {
	return unsafe.SliceData(a.functions["lower"]) == unsafe.SliceData(b.functions["lower"])
}

// dump spells a picture, sorted, and looks whether what hangs together is of one picture.
func dump(t *testing.T, s *Snapshot) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	names := func(relations []*Relation) []string {
		var all []string
		for _, r := range relations {
			if s.Relation(r.Schema, r.Name) != r {
				t.Errorf("%s is of another picture", r)
			}
			all = append(all, r.String())
		}
		slices.Sort(all)
		return all
	}
	body := func(b *Body) string {
		if b == nil {
			return "no body"
		}
		var types []string
		for _, typ := range b.Types {
			types = append(types, typ.Name)
		}
		return fmt.Sprint(names(b.Relations), b.Functions, b.Operators, types, b.Nodes, b.Writes, b.Locks, b.Unknown)
	}
	for r := range s.Relations() {
		flat := *r
		flat.Body, flat.parents, flat.children, flat.referencing, flat.cascading = nil, nil, nil, nil, nil
		add("relation %+v %v %v %v %v %s", flat, names(r.parents), names(r.children), names(r.referencing), names(r.cascading), body(r.Body))
	}
	for name, all := range s.functions {
		for _, f := range all {
			code := body(f.Body)
			f.Body = nil
			add("function %s %+v %s", name, f, code)
		}
	}
	for name, all := range s.operators {
		for _, o := range all {
			add("operator %s %+v", name, o)
		}
	}
	for name, all := range s.types {
		for _, typ := range all {
			base := ""
			if typ.Base != nil {
				base = typ.Base.Name
			}
			flat := *typ
			flat.Base = nil
			add("type %s %+v %s", name, flat, base)
		}
	}
	for name := range s.dates {
		add("date %s", name)
	}
	for oid, f := range s.digest.files {
		add("file %d %+v", oid, f)
	}
	slices.Sort(lines)
	return lines
}

func TestNewFilesAreWrites(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE t (id int); CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t; CREATE TABLE whole (id int) PARTITION BY RANGE (id);
		CREATE TABLE part PARTITION OF whole FOR VALUES FROM (1) TO (9)`)
	c := open(t, db)
	before, err := c.Snapshot(t.Context(), db.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sql  string
		want []string
	}{
		{"REFRESH MATERIALIZED VIEW m", []string{"public.m"}},
		{"TRUNCATE part", []string{"public.part", "public.whole"}},
		{"TRUNCATE t; REFRESH MATERIALIZED VIEW m", []string{"public.m", "public.t"}},
		{"INSERT INTO t VALUES (1)", nil},
	} {
		db.Exec(test.sql)
		if change := changed(t, c, db.Name); change.Schema || !slices.Equal(change.Written, test.want) {
			t.Errorf("%s: got %+v, want %v to be written", test.sql, change, test.want)
		}
		if change := changed(t, c, db.Name); change.Schema || len(change.Written) > 0 {
			t.Errorf("%s: got %+v again", test.sql, change)
		}
	}
	if c.Peek(db.Name) != before {
		t.Error("the picture was dropped")
	}
}

func TestADigestSeesATransactionWhenItIsVisible(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("CREATE TABLE t (id int)")
	c := open(t, db)
	conn := db.Connect()
	for _, sql := range []string{"BEGIN", "ALTER TABLE t ADD COLUMN more int"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	picture, err := c.Snapshot(t.Context(), db.Name)
	if err != nil {
		t.Fatal(err)
	}
	if change := changed(t, c, db.Name); change.Schema {
		t.Errorf("%+v before the commit", change)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if change := changed(t, c, db.Name); !change.Schema || !slices.Contains(change.Parts, "pg_attribute") || c.Peek(db.Name) != nil {
		t.Errorf("%+v after the commit, and the picture is kept: %t", change, c.Peek(db.Name) == picture)
	}
}

func TestAKeptConnectionIsReplacedAndGivenBack(t *testing.T) {
	db := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), db.Server().URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(sql string) int64 {
		t.Helper()
		tag, err := conn.Exec(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return tag.RowsAffected()
	}
	c := open(t, db)
	c.Keep(db.Name)
	if _, err := c.Snapshot(t.Context(), db.Name); err != nil {
		t.Fatal(err)
	}
	if n := exec("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '" + db.Name + "'"); n != 1 {
		t.Fatalf("%d connections are kept, want 1", n)
	}
	if change := changed(t, c, db.Name); change.Schema {
		t.Errorf("got %+v", change)
	}
	c.Rest(db.Name)
	// PostgreSQL waits a little for connections that are about to end, and refuses where one stays.
	exec("ALTER DATABASE " + db.Name + " RENAME TO given_back")
	exec("ALTER DATABASE given_back RENAME TO " + db.Name)
	if change := changed(t, c, db.Name); !change.Schema {
		t.Error("a database that had another name is the same")
	}
	exec("ALTER DATABASE " + db.Name + " RENAME TO given_back")
	exec("ALTER DATABASE given_back RENAME TO " + db.Name)
	if change := changed(t, c, db.Name); !change.Schema {
		t.Error("a database that had another name is the same")
	}
}

func TestWhatAnEventHasVoidedIsNoChange(t *testing.T) {
	digests := func(xmin int64) *digest { return &digest{parts: map[string]part{"pg_class": {1, xmin}}} }
	// Each step is one of: d (a schema change on the server), r (Refresh), a (Announced), l (a load), c (a Check without a
	// change), ! (one with). Whatever is on the server when the first picture is loaded is no change.
	for _, steps := range []string{"cl c", "ld!c", "ldra c", "ldrac c", "ldral c", "ldrla c", "ldradl c", "ldradlc", "ldr!l", "ldrald!", "ldrlad!", "ldrdla c", "lrad c d!"} {
		t.Run(steps, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New(Options{})
				defer c.Close()
				now := int64(0)
				c.read = func(context.Context, string, *Snapshot) (*Snapshot, error) {
					return &Snapshot{digest: digests(now)}, nil
				}
				c.take = func(context.Context, string, *digest) (*digest, error) { return digests(now), nil }
				for i, step := range steps {
					switch step {
					case 'd':
						now++
					case 'r':
						c.Refresh("shop")
					case 'a':
						c.Announced("shop")
					case 'l':
						if _, err := c.Snapshot(t.Context(), "shop"); err != nil {
							t.Fatal(err)
						}
					case 'c', '!':
						if change := changed(t, c, "shop"); change.Schema != (step == '!') {
							t.Errorf("step %d: got %+v", i, change)
						}
						if p := c.Peek("shop"); p != nil && p.digest.parts["pg_class"].hash != now {
							t.Errorf("step %d: a picture of change %d is in use after %d", i, p.digest.parts["pg_class"].hash, now)
						}
					}
				}
			})
		})
	}
}

func TestADoubtedDatabaseHasNoPictureUntilACheckSucceeds(t *testing.T) {
	db := pgtest.New(t)
	c := open(t, db)
	if _, err := c.Snapshot(t.Context(), db.Name); err != nil {
		t.Fatal(err)
	}
	c.Doubt(db.Name, errTree)
	if s, err := c.Snapshot(t.Context(), db.Name); err != errTree || c.Peek(db.Name) != nil { //nolint:errorlint // that very error
		t.Errorf("got %v, %v in doubt", s, err)
	}
	changed(t, c, db.Name)
	if _, err := c.Snapshot(t.Context(), db.Name); err != nil {
		t.Errorf("got %v after a Check", err)
	}
}

func TestAPictureIsBounded(t *testing.T) {
	db := pgtest.New(t)
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	s := loaded(t, db)
	if s.bytes < 300_000 || s.bytes > 3_000_000 {
		t.Errorf("an empty database takes %d bytes", s.bytes)
	}
	c := New(Options{Config: config, MaxBytes: s.bytes - 1})
	defer c.Close()
	if _, err := c.Snapshot(t.Context(), db.Name); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want %v", err, errTooLarge)
	}
}
