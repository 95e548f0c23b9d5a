package analyze

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// spelledSettings writes settings as name=value, with ! for a reset and a leading + for SET LOCAL.
func spelledSettings(settings []statement.Setting) string {
	var all []string
	for _, s := range settings {
		one := s.Name + "=" + s.Value
		if s.Reset {
			one = s.Name + "!"
		}
		if s.Local {
			one = "+" + one
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

func TestSettingsAreFollowed(t *testing.T) {
	for sql, want := range map[string]string{
		"SET search_path TO a, 'b, c'":                    `search_path=a, "b, c"`,
		`SET search_path = a, "B", "a"`:                   `search_path=a, "B", a`,
		`SET search_path = "select", "name", "1a", 'a"b'`: `search_path="select", name, "1a", "a""b"`,
		"SET search_path = ''":                            `search_path=""`,
		"SET Search_Path = a":                             "search_path=a",
		"SET DateStyle = iso, 'dmy'":                      "datestyle=iso, dmy",
		`SET "TimeZone" TO 'Europe/Paris'`:                "timezone=Europe/Paris",
		"SET TIME ZONE 'UTC'":                             "timezone=UTC",
		"SET TIME ZONE utc":                               "timezone=utc",
		"SET TIME ZONE -7":                                "timezone=-7",
		"SET TIME ZONE -7.5":                              "timezone=-7.5",
		"SET TIME ZONE LOCAL":                             "timezone!",
		"SET LOCAL TIME ZONE DEFAULT":                     "+timezone!",
		"RESET TIME ZONE":                                 "timezone!",
		"SET SESSION a.b = 'it''s'":                       "a.b=it's",
		"SET a.b = 1.50":                                  "a.b=1.50",
		"SET a.b = -3":                                    "a.b=-3",
		"SET a.b = 10000000000":                           "a.b=10000000000",
		"SET a.b TO on":                                   "a.b=on",
		"SET a.b TO true":                                 "a.b=true",
		"SET a.b TO DEFAULT":                              "a.b!",
		`SET "A"."b" = 1`:                                 "a.b=1",
		"SET sort_mem = 64":                               "work_mem=64",
		"RESET a.b":                                       "a.b!",
		"RESET ALL":                                       "!",
		"SET LOCAL a.b = x":                               "+a.b=x",
		"SET ROLE x":                                      "role=x",
		`SET LOCAL ROLE "X"`:                              "+role=X",
		"SET ROLE NONE":                                   "role=none",
		"RESET ROLE":                                      "role!",
		"SET SESSION AUTHORIZATION x":                     "session_authorization=x role=none",
		"RESET SESSION AUTHORIZATION":                     "session_authorization! role!",
		"SET SESSION AUTHORIZATION DEFAULT":               "session_authorization! role!",
		"SET LOCAL SESSION AUTHORIZATION DEFAULT":         "+session_authorization! +role!",
		"SET NAMES 'UTF8'":                                "client_encoding=UTF8",
		"SET NAMES DEFAULT":                               "client_encoding!",
		"SET SCHEMA 'x'":                                  "search_path=x",
		"SET XML OPTION DOCUMENT":                         "xmloption=DOCUMENT",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY":                 "+transaction_isolation=serializable +transaction_read_only=1",
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED":                  "+transaction_isolation=read committed",
		"RESET TRANSACTION ISOLATION LEVEL":                                       "transaction_isolation!",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE":                   "default_transaction_read_only=0",
		"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE": "default_transaction_isolation=serializable",
		"SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ WRITE":             "+default_transaction_read_only=0",
		"SET TRANSACTION SNAPSHOT 'x'":                                            "+transaction_snapshot=x",
		"BEGIN ISOLATION LEVEL REPEATABLE READ DEFERRABLE":                        "+transaction_isolation=repeatable read +transaction_deferrable=1",
		"SET a.b = 1; SET c.d = 2":                                                "a.b=1 c.d=2",
		"SET perihelion.consistency = off":                                        "perihelion.consistency=off",

		"SELECT set_config('search_path', '', false)":                                       "search_path=",
		"SELECT pg_catalog.set_config('Search_Path', 'a, \"B\"', true)":                     `+search_path=a, "B"`,
		"select set_config('a.b', 'c', false) as x, 1, set_config('TimeZone', 'UTC', true)": "a.b=c +timezone=UTC",
		"select set_config('a.b', NULL, false)":                                             "a.b!",
		"select set_config('a.b', 'c', NULL)":                                               "a.b=c",
		"select set_config('role', 'x', false)":                                             "role=x",
		"select set_config('session_authorization', 'x', true)":                             "+session_authorization=x +role=none",
		"select set_config('session_authorization', null, true)":                            "+session_authorization! +role!",
	} {
		d := describe(t, shop(), sql)
		if got := spelledSettings(d.Settings); got != want || d.Verdict != statement.Session || d.Untracked || !d.Writes.Empty() {
			t.Errorf("%s: got %s, %s; want %s", sql, got, judged(d), want)
		}
	}
}

func TestSettingsThatCannotBeFollowedMakeTheSessionUntracked(t *testing.T) {
	for _, sql := range []string{
		"SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "SET search_path TO pg_temp, public", "SET search_path FROM CURRENT",
		"SELECT set_config('search_path', 'a, PG_TEMP', false)",
		"SELECT set_config($1, $2, $3)",
		"SELECT set_config('a.b', $1, true)",
		"SELECT set_config('a.b', note, false) FROM orders",
		"SELECT set_config('a.b', 'c', false) FROM orders",
		"SELECT set_config('a.b', 'c', false) WHERE false",
		"SELECT set_config('a.b', 'c', false) LIMIT 0",
		"SELECT 1 WHERE set_config('a.b', 'c', false) = 'c'",
		"SELECT (SELECT set_config('a.b', 'c', false))",
		"SELECT lower(set_config('a.b', 'c', false))",
		"SELECT set_config('a.b', 'c', false), generate_series(1, 0)",
		"SELECT set_config('a.b', 'c', false) UNION SELECT 'x'",
		"SELECT set_config('a.b', 'c', is_local => false)",
		"WITH x AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM x",
		"VALUES (set_config('a.b', 'c', false))",
		"EXPLAIN ANALYZE SELECT set_config('a.b', 'c', false)",
		"CREATE TABLE x AS SELECT set_config('a.b', 'c', false)",
		"COPY (SELECT set_config('a.b', 'c', false)) TO STDOUT",
		"DECLARE c CURSOR FOR SELECT set_config('a.b', 'c', false)",
	} {
		if d := describe(t, shop(), sql); !d.Untracked || len(d.Settings) > 0 && d.Verdict != statement.Session {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
}

func TestSetConfigOfTheDatabasesOwnIsNotFollowed(t *testing.T) {
	s := catalog.NewBuilder(180000).Function("set_config", catalog.Function{Volatility: catalog.Volatile}).Snapshot(1)
	if d := describe(t, s, "SELECT set_config('a.b', 'c', false)"); !d.Untracked || !d.Writes.Anything {
		t.Errorf("got %s", judged(d))
	}
	if d := describe(t, s, "SELECT pg_catalog.set_config('a.b', 'c', false)"); d.Untracked || len(d.Settings) != 1 {
		t.Errorf("qualified: got %s", judged(d))
	}
}

func TestTransactionsAreFollowed(t *testing.T) {
	for sql, want := range map[string]statement.Control{
		"BEGIN": statement.ControlBegin, "START TRANSACTION": statement.ControlBegin, "COMMIT": statement.ControlCommit,
		"END WORK": statement.ControlCommit, "ROLLBACK": statement.ControlRollback, "ABORT": statement.ControlRollback,
		"SAVEPOINT a": statement.ControlSavepoint, "RELEASE a": statement.ControlRelease,
		"ROLLBACK TO SAVEPOINT a": statement.ControlRollbackTo, "PREPARE TRANSACTION 'a'": statement.ControlPrepare,
		"COMMIT PREPARED 'a'": statement.ControlCommitPrepared, "ROLLBACK PREPARED 'a'": statement.ControlRollbackPrepared,
		"COMMIT AND CHAIN": statement.ControlCommit, "ABORT AND CHAIN": statement.ControlRollback,
		"BEGIN; SELECT 1; COMMIT": statement.ControlMany, "SELECT 1; COMMIT AND CHAIN": statement.ControlMany,
		"SELECT 1; SELECT 2": statement.ControlNone, "SELECT 'BEGIN'": statement.ControlNone,
	} {
		d := describe(t, shop(), sql)
		if d.Control != want || d.Chain != (strings.Contains(sql, "CHAIN") && !d.Many) {
			t.Errorf("%s: got control %d, chain %t; want %d", sql, d.Control, d.Chain, want)
		}
		if prepared := want == statement.ControlCommitPrepared; d.Writes.Anything != prepared {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
	for sql, want := range map[string]string{
		"SAVEPOINT Ab": "ab", `SAVEPOINT "Ab"`: "Ab", "RELEASE SAVEPOINT ab": "ab", "ROLLBACK TO AB": "ab", "BEGIN": "", "ROLLBACK": "",
	} {
		if got := describe(t, shop(), sql).Savepoint; got != want {
			t.Errorf("%s: got savepoint %q, want %q", sql, got, want)
		}
	}
}

func TestPreparedStatementsOfSQLAreFollowed(t *testing.T) {
	for sql, want := range map[string]statement.Prepared{
		"PREPARE x AS SELECT 1": {Name: "x", Text: "SELECT 1"},
		"prepare \"As\" (int, numeric(1, 2)) aS\n select $1 AS as1 ;":         {Name: "As", Text: "select $1 AS as1"},
		"/* as */ PREPARE X AS /* é */ INSERT INTO orders VALUES ($1) -- end": {Name: "x", Text: "/* é */ INSERT INTO orders VALUES ($1) -- end"},
	} {
		d := describe(t, shop(), sql)
		if d.Prepares == nil || *d.Prepares != want || judged(d) != "session" {
			t.Errorf("%s: got %+v, %s; want %+v", sql, d.Prepares, judged(d), want)
		}
	}
	for sql, want := range map[string][2]string{
		"EXECUTE x (1)": {"x", ""}, `EXECUTE "X"`: {"X", ""}, "DEALLOCATE x": {"", "x"}, "DEALLOCATE PREPARE ALL": {"", "*"}, "DISCARD ALL": {"", "*"},
		"DISCARD PLANS": {}, "EXPLAIN ANALYZE EXECUTE x": {}, "CREATE TABLE y AS EXECUTE x": {}, "SELECT 1": {},
	} {
		d := describe(t, shop(), sql)
		got := [2]string{d.Executes, d.Deallocates}
		if d.DeallocatesAll {
			got[1] += "*"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	for _, sql := range []string{"EXECUTE x", "EXPLAIN ANALYZE EXECUTE x", "CREATE TABLE y AS EXECUTE x"} {
		if d := describe(t, shop(), sql); !d.Writes.Anything || !d.Untracked {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
}

func TestATextOfSeveralStatementsIsDescribedInItsParts(t *testing.T) {
	d := describe(t, shop(), "/* é */ BEGIN; SAVEPOINT a; SET x.y = 'é';; SELECT * FROM orders WHERE id = $2; PREPARE p AS SELECT 1; EXECUTE p; DELETE FROM lines; COMMIT AND CHAIN;")
	type part struct {
		command, judged, settings, savepoint string
		control                              statement.Control
		chain                                bool
	}
	want := []part{
		{command: "BEGIN", judged: "session", control: statement.ControlBegin},
		{command: "SAVEPOINT", judged: "session", control: statement.ControlSavepoint, savepoint: "a"},
		{command: "SET", judged: "session", settings: "x.y=é"},
		{command: "SELECT", judged: "read public.orders"},
		{command: "PREPARE", judged: "session"},
		{command: "EXECUTE", judged: "opaque writes anything untracked"},
		{command: "DELETE", judged: "write writes public.lines"},
		{command: "COMMIT", judged: "session", control: statement.ControlCommit, chain: true},
	}
	if len(d.Parts) != len(want) {
		t.Fatalf("got %d parts, want %d", len(d.Parts), len(want))
	}
	for i, p := range d.Parts {
		got := part{p.Command, judged(p), spelledSettings(p.Settings), p.Savepoint, p.Control, p.Chain}
		if got != want[i] || p.Reason == "" || p.Fingerprint == 0 || p.Generation != d.Generation || len(p.Relations) != len(p.RelationRows) {
			t.Errorf("part %d: got %+v (%+v), want %+v", i, got, p, want[i])
		}
	}
	if p := d.Parts[3]; p.Parameters != 2 || p.Fingerprint != describe(t, shop(), "SELECT * FROM orders WHERE id = $1").Fingerprint {
		t.Errorf("the query: got %d parameters and the fingerprint %x", p.Parameters, p.Fingerprint)
	}
	if d.Parts[4].Prepares.Text != "SELECT 1" || d.Parts[5].Executes != "p" {
		t.Errorf("got %+v, %+v", d.Parts[4], d.Parts[5])
	}
	if !d.Many || d.Control != statement.ControlMany || d.Chain || d.Savepoint != "" || d.Prepares != nil || d.Executes != "" || !d.Untracked || !d.Writes.Anything {
		t.Errorf("the whole: got %+v", d)
	}
	if d := describe(t, shop(), "SELECT 1"); d.Parts != nil {
		t.Errorf("a single statement has parts: %+v", d.Parts)
	}
}

func TestATextOfManyStatementsIsNotDescribedInParts(t *testing.T) {
	for sql, untracked := range map[string]bool{
		"INSERT INTO notes VALUES (1);": false, "SAVEPOINT a;": true, "SET a.b = 1;": true, "PREPARE x AS SELECT 1;": true, "DEALLOCATE ALL;": true,
	} {
		if d := describe(t, shop(), strings.Repeat(sql, maxParts)); len(d.Parts) != maxParts || d.Untracked {
			t.Errorf("%d times %s: got %d parts, %s", maxParts, sql, len(d.Parts), judged(d))
		}
		if d := describe(t, shop(), strings.Repeat(sql, maxParts+1)); d.Parts != nil || d.Untracked != untracked {
			t.Errorf("%d times %s: got %d parts, %s", maxParts+1, sql, len(d.Parts), judged(d))
		}
	}
}

func TestMomentsAreFoundInStrings(t *testing.T) {
	for s, want := range map[string]bool{
		"now": true, "NOW": true, "today 10:00": true, "[yesterday,tomorrow)": true, "{now}": true, "now1": true,
		"": false, "snow": false, "nows": false, "todaynow": false, "2024-01-01": false, "infinity": false, "epoch": false,
	} {
		if got := statement.SpellsMoment(s); got != want {
			t.Errorf("%q: got %t, want %t", s, got, want)
		}
	}
}

func TestCommentsOfSQLCommenter(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1 /*a='b',c='d%20e'*/":       "[a=b c=d e]",
		"/* a = b */ SELECT 1":               "[]",
		"/* to be done, maybe=later */":      "[maybe=later]",
		"SELECT '/*a=b*/'":                   "[]",
		"SELECT $x$ --a=b\n $x$ --c='d,e'\n": "[c=d,e]",
		"/*a='1'/*b='2'*/*/ SELECT 1":        "[a=1'/*b='2'*/]",
		"/*%='%zz'*/":                        "[%=%zz]",
		"/*a='":                              "[a=]",
	} {
		if got := fmt.Sprint(commentPairs(text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
