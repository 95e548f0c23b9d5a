package oracle

import (
	"fmt"
	"strings"
)

// write is a statement that may change something.
type write struct {
	kind string
	sql  string
	// rows go to COPY FROM STDIN.
	rows string
}

// GoString is a write as a failure's log shows it.
func (w write) GoString() string { return w.kind + ": " + w.sql }

// hidden are the places where a call that writes can stand.
var hidden = []string{
	"SELECT id FROM {t} ORDER BY {f}(id)", "SELECT id FROM {t} LIMIT {f}(3)", "SELECT count(*) FILTER (WHERE {f}(id) > 0) FROM {t}", "SELECT 1 FROM {t} GROUP BY {f}(id)", "VALUES (1), ({f}(2))",
	"SELECT sum(id) OVER w FROM {t} WINDOW w AS (PARTITION BY {f}(id))", "SELECT DISTINCT ON ({f}(id)) id FROM {t}", "SELECT * FROM {t} l JOIN {t} r ON {f}(l.id) = r.id", "SELECT (ARRAY[1, 2])[{f}(1)]", "SELECT ROW({f}(1))",
	"SELECT * FROM generate_series(1, {f}(2))", "SELECT * FROM ROWS FROM ({f}(1), generate_series(1, 2))", "SELECT id FROM {t} TABLESAMPLE bernoulli ({f}(50))", "SELECT CASE WHEN {f}(1) > 0 THEN 1 END", "SELECT coalesce(NULL, {f}(1))",
	"SELECT id FROM {t} GROUP BY GROUPING SETS ((id), ({f}(1)))", "WITH x AS (SELECT {f}(1)) SELECT * FROM x", "SELECT EXISTS (SELECT {f}(1))", "SELECT 5::a.wild", "SELECT id::a.wild FROM {t}", "SELECT '{1,2}'::a.wild[]",
	"DECLARE cur CURSOR FOR SELECT {f}(1); FETCH ALL FROM cur; CLOSE cur", "CREATE TEMP TABLE kept AS SELECT {f}(1)", "EXPLAIN (ANALYZE) SELECT {f}(1)", "COPY (SELECT {f}(1)) TO STDOUT", "SELECT query_to_xml('SELECT a.wr(1)', true, true, '')",
	"UPDATE {t} SET n = n WHERE {f}(id) > 0", "INSERT INTO {t} (id, n) VALUES (33, 1) RETURNING {f}(id)", "DELETE FROM {t} WHERE id = {f}(1)", "INSERT INTO {t} (id, n) SELECT {f}(34), 1", "SELECT a.ag(id) FROM {t}",
	"SELECT (SELECT {f}(z.id)) FROM {t} z", "SELECT id FROM {t} FETCH FIRST {f}(2) ROWS ONLY", "SELECT NOT ({f}(1) = ANY (ARRAY[1]))", "SELECT id = {f}(1) IS TRUE FROM {t}", "SELECT {f}(1) UNION SELECT 2", "SELECT json_build_object('a', {f}(1))",
	"MERGE INTO {t} u USING (SELECT {f}(1) AS k) o ON o.k = u.id WHEN MATCHED THEN UPDATE SET n = u.n", "PREPARE wr AS SELECT {f}(1); EXECUTE wr; DEALLOCATE wr", "CREATE TEMP VIEW seen AS SELECT 1; SELECT {f}(1)",
}

// shadowWrites are as shadows: a common table expression never stands for what is written to.
var shadowWrites = []string{
	"WITH %[1]s AS (SELECT 61 AS id, 1 AS n) INSERT INTO %[1]s (id, n) SELECT id, n FROM %[1]s",
	"WITH %[1]s AS (SELECT id FROM %[2]s) DELETE FROM %[3]s u USING %[1]s WHERE u.id = %[1]s.id",
	"WITH %[1]s AS (SELECT 2 AS id) UPDATE %[1]s SET n = 4 WHERE id IN (SELECT id FROM %[1]s)",
	"WITH x AS (WITH %[1]s AS (SELECT 1) DELETE FROM %[1]s WHERE id = 3 RETURNING id) SELECT * FROM x",
	"WITH x AS (DELETE FROM %[1]s RETURNING id), %[1]s AS (SELECT id FROM x) SELECT count(*) FROM %[1]s",
	"WITH %[1]s AS (UPDATE %[3]s SET n = 2 RETURNING id) SELECT * FROM %[1]s",
}

// temporary reports whether what the statement makes is seen by its own session alone.
func (w write) temporary() bool { return w.kind == "temporary" }

// writeKinds are how often each is drawn.
var writeKinds = strings.Fields(strings.Repeat("insert update delete merge truncate cte refresh ", 3) +
	strings.Repeat("conflict copy call select function hidden shadow ddl ddl ddl ", 2) + "temporary several explain execute harmless wild wild default")

func (w *world) write() write {
	g := w.g
	kind := pick(g, writeKinds)
	if kind == "refresh" && len(w.only("m")) == 0 {
		kind = "delete"
	}
	t := pick(g, w.only("rpv"))
	if len(w.only("v")) > 0 && g.percent(15) {
		t = pick(g, w.only("v"))
	}
	return w.writeOf(kind, t)
}

func (w *world) writeOf(kind string, t *relation) write {
	g := w.g
	name := w.spelled(t)
	made := write{kind: kind}
	switch kind {
	case "insert":
		made.sql = g.one(fmt.Sprintf("INSERT INTO %s (id, n) VALUES (%d, %d)", name, pick(g, []int{21, 22, 9, 3}), 1+g.n(6)), fmt.Sprintf("INSERT INTO %s (id, n) SELECT DISTINCT id + 40, 1 + id %% 6 FROM %s", name, w.spelled(pick(g, w.relations))),
			fmt.Sprintf("INSERT INTO %s (id) VALUES (77) RETURNING id", name))
	case "default":
		made.sql = "INSERT INTO " + name + " DEFAULT VALUES"
	case "conflict":
		made.sql = fmt.Sprintf("INSERT INTO %s (id, n) VALUES (%d, 2) ON CONFLICT %s", name, 1+g.n(9), g.one("DO NOTHING", "(id) DO UPDATE SET txt = 'conflict', id = "+g.one("excluded.id", "90")))
	case "update":
		only := g.one("", "", "", "ONLY ")
		made.sql = "UPDATE " + only + name + " AS u SET " + g.one("txt = 'upd'", "id = u.id + 100", "n = 3", "n = NULL", "id = u.id + 30, n = 1", "w = '2024-07-07'", "n = (SELECT max(id) FROM "+w.spelled(pick(g, w.relations))+")") +
			g.one("", " WHERE u.id = 2", " WHERE u.n > 3", " FROM "+w.spelled(pick(g, w.relations))+" o WHERE o.id = u.id")
	case "delete":
		made.sql = "DELETE FROM " + g.one("", "", "ONLY ") + name + " AS u" + g.one("", " WHERE u.id = 1", " WHERE u.n < 4", " USING "+w.spelled(pick(g, w.relations))+" o WHERE o.n = u.id")
	case "merge":
		made.sql = fmt.Sprintf("MERGE INTO %s u USING %s o ON o.n = u.id %s", name, "(SELECT DISTINCT n FROM "+w.spelled(pick(g, w.relations))+")",
			g.one("WHEN MATCHED THEN DELETE", "WHEN MATCHED THEN UPDATE SET txt = 'merged'", "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (o.n + 60, 1)", "WHEN MATCHED AND u.id > 3 THEN UPDATE SET id = u.id + 200"))
	case "truncate":
		made.sql = "TRUNCATE " + g.one("", "ONLY ") + name + g.one("", ", a.trace") + g.one(" CASCADE", " CASCADE", "", " RESTART IDENTITY CASCADE")
	case "copy":
		made.sql, made.rows = "COPY "+name+" (id, n, txt) FROM STDIN", "80\t1\tcopied\n81\t2\tcopied\n"
	case "cte":
		inner := w.writeOf(g.one("delete", "update", "insert"), t).sql
		if !strings.Contains(inner, "RETURNING") {
			inner += " RETURNING " + g.one("1 AS id", "*")
		}
		made.sql = "WITH x AS (" + inner + ") " + g.one("SELECT count(*) FROM x", fmt.Sprintf("INSERT INTO %s (id, n) SELECT 95, 1 FROM x LIMIT 1", w.spelled(pick(g, w.only("rp")))),
			fmt.Sprintf("DELETE FROM %s WHERE id IN (SELECT id FROM x)", w.spelled(pick(g, w.only("rp")))))
	case "refresh":
		made.sql = "REFRESH MATERIALIZED VIEW " + w.spelled(pick(g, w.only("m"))) + g.one("", " WITH NO DATA")
	case "call":
		made.sql = fmt.Sprintf("DO 'BEGIN DELETE FROM %s; END'", t)
		if w.procedure != "" && g.percent(50) {
			made.sql = "CALL " + w.procedure + "()"
		}
	case "select", "wild":
		// Whatever a read is made of, where it does more than that.
		made.sql = w.read()
		if g.percent(20) {
			made.sql = "COPY (" + strings.TrimSuffix(strings.TrimPrefix(made.sql, "/* a comment */ "), " -- the end") + ") TO STDOUT"
		}
		if g.percent(10) {
			made.sql = fmt.Sprintf("SELECT id FROM %s ORDER BY id FOR UPDATE", name)
		}
	case "function":
		if len(w.functions) == 0 {
			return w.writeOf("update", t)
		}
		f := pick(g, w.functions)
		called := f.schema + "." + f.name
		switch f.result {
		case "int":
			made.sql = g.one("SELECT "+called+"(2)", fmt.Sprintf("SELECT %s(u.id) FROM %s u", called, name), fmt.Sprintf("SELECT id FROM %s WHERE %s(id) > 0", name, called), "SELECT "+called+"()")
		case "row":
			made.sql = fmt.Sprintf("SELECT * FROM %s(1)", called)
		default:
			made.sql = fmt.Sprintf("SELECT u.%s FROM %s u", f.name, f.of)
		}
	case "hidden":
		made.sql = strings.ReplaceAll(strings.ReplaceAll(pick(g, hidden), "{t}", name), "{f}", g.one("a.wr", "a.wr", "a.ag"))
		if strings.Contains(made.sql, "a.ag(") && strings.Contains(made.sql, "VALUES") {
			made.sql = "SELECT a.ag(id) OVER (ORDER BY id) FROM " + name
		}
	case "shadow":
		made.sql = fmt.Sprintf(pick(g, shadowWrites), t.name, w.spelled(pick(g, w.relations)), t.String())
	case "explain":
		made.sql = "EXPLAIN ANALYZE " + w.writeOf(g.one("update", "delete", "insert", "select"), t).sql
	case "execute":
		made.sql = "PREPARE prep AS " + w.writeOf(g.one("update", "delete", "insert"), t).sql + "; EXECUTE prep; DEALLOCATE prep"
	case "several":
		made.sql = w.writeOf("update", t).sql + "; " + w.writeOf("delete", pick(g, w.only("rp"))).sql
	case "temporary":
		n := pick(g, w.relations).name
		made.sql = g.one("CREATE TEMP TABLE "+n+" AS SELECT 1 AS id, 2 AS n", "CREATE TEMP TABLE "+n+" (id int, n int, txt text)", "SELECT id, n INTO TEMP "+n+" FROM "+name, "CREATE TEMP VIEW "+n+" AS SELECT 5 AS id, 6 AS n",
			"CREATE TABLE pg_temp."+n+" (id int, n int)", "CREATE TEMP TABLE child () INHERITS ("+t.String()+"); INSERT INTO child (id) VALUES (1)", "CREATE OR REPLACE TEMP VIEW "+n+" AS TABLE "+name)
	case "harmless":
		made.sql = g.one("LOCK TABLE "+name+" IN ACCESS EXCLUSIVE MODE", "ANALYZE "+name, "SET CONSTRAINTS ALL IMMEDIATE", "NOTIFY x", "SELECT nextval('b.seq')", "SELECT setval('b.seq', 9)", "SET LOCAL work_mem = '1MB'",
			"DECLARE cur CURSOR FOR SELECT id FROM "+name, "EXPLAIN DELETE FROM "+name, "SELECT pg_advisory_xact_lock(1)", "SAVEPOINT inner_one; RELEASE inner_one", "SELECT lo_create(0)")
	default:
		return w.change(t)
	}
	return made
}

// change draws DDL.
func (w *world) change(t *relation) write {
	g := w.g
	table := pick(g, w.only("rp"))
	schema, name := g.schema(), pick(g, w.relations).name
	sql := g.one(
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN added int DEFAULT 4", table),
		fmt.Sprintf("ALTER TABLE %s DROP COLUMN txt CASCADE", table),
		fmt.Sprintf("ALTER TABLE %s RENAME COLUMN n TO nn", table),
		fmt.Sprintf("ALTER TABLE %s ALTER COLUMN x TYPE numeric USING x + 1", table),
		fmt.Sprintf("ALTER TABLE %s RENAME TO renamed", table),
		fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", table, schema),
		fmt.Sprintf("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", table),
		fmt.Sprintf("DROP TABLE %s CASCADE", table),
		fmt.Sprintf("ALTER TABLE %s %s", table, g.one("NO INHERIT "+pick(g, w.only("r")).String(), "INHERIT "+pick(g, w.only("r")).String(), "DETACH PARTITION "+pick(g, w.only("r")).String())),
		fmt.Sprintf("CREATE TABLE %s.%s AS SELECT 1 AS id, 1 AS n, 'new' AS txt", schema, name),
		fmt.Sprintf("CREATE TABLE %s.%s (id int, n int, txt text)", schema, name),
		fmt.Sprintf("SELECT id, n INTO %s.%s FROM %s", schema, name, t),
		fmt.Sprintf("CREATE TABLE %s.child (CHECK (true)) INHERITS (%s); INSERT INTO %s.child (id, n) VALUES (55, 5)", schema, table, schema),
		"ALTER TYPE a.mood ADD VALUE 'new' BEFORE 'sad'", "ALTER TYPE a.mood RENAME VALUE 'sad' TO 'blue'",
		"CREATE OR REPLACE FUNCTION "+schema+"."+g.one("f0", "f1", "f2", "f3")+"(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -5'",
		"CREATE FUNCTION "+schema+".abs(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -7'",
		"CREATE OR REPLACE FUNCTION a.wr(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
		"ALTER DOMAIN a.pos ADD CHECK (VALUE > 0) NOT VALID", "DROP SCHEMA "+schema+" CASCADE", "ALTER SCHEMA "+schema+" RENAME TO other",
		"COMMENT ON TABLE "+table.String()+" IS 'x'", "CREATE INDEX ON "+table.String()+" (n)", "GRANT SELECT ON ALL TABLES IN SCHEMA a TO public",
		"ALTER TABLE "+table.String()+" ADD COLUMN many int DEFAULT a.wr(1)",
		"CREATE RULE odd AS ON INSERT TO "+table.String()+" DO ALSO DELETE FROM a.trace",
	)
	if views := w.only("v"); len(views) > 0 && g.percent(25) {
		v := pick(g, views)
		sql = g.one("CREATE OR REPLACE VIEW "+v.String()+" AS SELECT * FROM "+v.String()+" LIMIT 0", "DROP VIEW "+v.String()+" CASCADE", "ALTER VIEW "+v.String()+" RENAME COLUMN id TO idd",
			"ALTER VIEW "+v.String()+" ALTER COLUMN id SET DEFAULT 3")
	}
	return write{kind: "ddl", sql: sql}
}
