package analyze

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// fixed is a Catalog with one picture, or none.
type fixed struct{ snapshot *catalog.Snapshot }

func (f fixed) Peek(string) *catalog.Snapshot { return f.snapshot }

func (f fixed) Snapshot(context.Context, string) (*catalog.Snapshot, error) {
	if f.snapshot == nil {
		return nil, errors.New("no picture")
	}
	return f.snapshot, nil
}

func analyzer(s *catalog.Snapshot) *Analyzer { return New(Options{Catalog: fixed{s}}) }

func describe(t testing.TB, s *catalog.Snapshot, sql string) *statement.Descriptor {
	t.Helper()
	return analyzer(s).Describe(t.Context(), "shop", "", sql)
}

// shop is the picture that the tables of this package's tests are judged by.
func shop() *catalog.Snapshot {
	rows := func(n int64) func(*catalog.Relation) { return func(r *catalog.Relation) { r.Rows = n } }
	b := catalog.NewBuilder(180000).
		Relation("users", catalog.Table, rows(100)).
		Relation("orders", catalog.Table).
		Relation("lines", catalog.Table).
		Relation("notes", catalog.Table).
		Relation("crm.users", catalog.Table).
		Relation("crm.contacts", catalog.Table).
		Relation("events", catalog.PartitionedTable).
		Relation("events_1", catalog.Table).
		Relation("events_2", catalog.Table).
		Relation("mixed", catalog.PartitionedTable).
		Relation("mixed_remote", catalog.ForeignTable).
		Relation("remote", catalog.ForeignTable).
		Relation("domains", catalog.Table).
		Relation("big_orders", catalog.View).
		Relation("totals", catalog.MaterializedView).
		DateColumns("at").
		Over("big_orders", "orders").Over("totals", "orders").
		Relation("ticket", catalog.Sequence).
		Relation("secret", catalog.Table, func(r *catalog.Relation) { r.RowSecurity = true }).
		Relation("secret_by_code", catalog.Table, func(r *catalog.Relation) { r.RowSecurity, r.PolicyEffects = true, true }).
		Relation("triggered", catalog.Table, func(r *catalog.Relation) { r.Triggers = true }).
		Relation("watched", catalog.Table, func(r *catalog.Relation) { r.Triggers = true }).
		Relation("parent_of_watched", catalog.Table).
		Relation("ruled", catalog.Table, func(r *catalog.Relation) { r.Rules = true }).
		Relation("noisy", catalog.Table, func(r *catalog.Relation) { r.SideEffects = true }).
		Relation("hours", catalog.Table, func(r *catalog.Relation) { r.ClockTyped = true }).
		Inherit("events", "events_1", "events_2").
		Inherit("mixed", "mixed_remote").
		ForeignKey("orders", "users", true).
		ForeignKey("lines", "orders", true).
		ForeignKey("notes", "orders", false).
		ForeignKey("watched", "parent_of_watched", true).
		Function("calm", catalog.Function{Volatility: catalog.Immutable}).
		Function("lookup", catalog.Function{Volatility: catalog.Stable}).
		Function("wild", catalog.Function{Volatility: catalog.Volatile}).
		Function("full_name", catalog.Function{Volatility: catalog.Volatile, RowArgument: true}).
		Function("opens", catalog.Function{Volatility: catalog.Immutable, ClockTyped: true}).
		Function("audit.lower", catalog.Function{Volatility: catalog.Volatile}).
		Operator("===", catalog.Immutable).
		Operator("<~>", catalog.Volatile).
		Type("mood", catalog.Type{Class: 'e', Input: catalog.Stable}).
		Type("email", catalog.Type{Class: 'd', Input: catalog.Stable, Base: &catalog.Type{Name: "text", Builtin: true, Class: 'b'}}).
		Type("checked", catalog.Type{Class: 'd', Input: catalog.Stable, SideEffects: true}).
		Type("pair", catalog.Type{Class: 'c', Input: catalog.Stable})
	return b.Snapshot(7)
}

// judged spells what a test cares about: the verdict, its relations, what is written, and the flags.
func judged(d *statement.Descriptor) string {
	s := d.Verdict.String()
	if len(d.Relations) > 0 {
		s += " " + strings.Join(d.Relations, ",")
	}
	switch {
	case d.Writes.Cluster:
		s += " writes cluster"
	case d.Writes.Anything:
		s += " writes anything"
	case !d.Writes.Empty():
		s += " writes " + strings.Join(d.Writes.Relations, ",")
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{d.Untracked, " untracked"}, {d.Discard, " discard"}, {d.Many, " many"}} {
		if flag.set {
			s += flag.name
		}
	}
	return s
}

func runCases(t *testing.T, s *catalog.Snapshot, cases []statementCase) {
	t.Helper()
	a := analyzer(s)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := a.Describe(t.Context(), "shop", "", c.sql)
			if got := judged(d); got != c.want {
				t.Errorf("got  %s\nwant %s\nfor  %s\nwhy  %s", got, c.want, c.sql, d.Reason)
			}
			if d.Reason == "" {
				t.Errorf("no reason for %s", c.sql)
			}
			if d.Generation != s.Generation {
				t.Errorf("got generation %d, want %d", d.Generation, s.Generation)
			}
			if (d.Verdict == statement.Read || d.Verdict == statement.Unstable) && (!d.Writes.Empty() || d.Untracked) {
				t.Errorf("a %s has effects: %s", d.Verdict, judged(d))
			}
			if len(d.Relations) != len(d.RelationRows) {
				t.Errorf("%d relations, %d estimates", len(d.Relations), len(d.RelationRows))
			}
		})
	}
}

func TestStatementsAgainstAPictureBuiltByHand(t *testing.T) {
	for group, cases := range allCases() {
		t.Run(group, func(t *testing.T) { runCases(t, shop(), cases) })
	}
}

func TestEveryStatementOfTheGrammarIsClassified(t *testing.T) {
	for _, name := range unclassified() {
		t.Errorf("%s falls to the default", name)
	}
}

func TestACastThatMayDoAnythingMakesEveryQueryDoubtful(t *testing.T) {
	s := catalog.NewBuilder(180000).Relation("orders", catalog.Table).UnsafeCasts().Snapshot(1)
	for _, sql := range []string{"SELECT * FROM orders", "INSERT INTO orders VALUES (1)"} {
		if d := describe(t, s, sql); !d.Writes.Anything || d.Verdict == statement.Read {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
	if d := describe(t, s, "BEGIN"); !d.Writes.Empty() {
		t.Errorf("BEGIN: got %s", judged(d))
	}
}

func TestAnEventTriggerMayDoAnythingToTheSession(t *testing.T) {
	s := catalog.NewBuilder(180000).EventTriggers().Snapshot(1)
	if d := describe(t, s, "CREATE TABLE x ()"); !d.Untracked {
		t.Errorf("got %s", judged(d))
	}
}

func TestAnUnloggedRelationIsReadOnlyWhereItsWritesAreSeen(t *testing.T) {
	unlogged := func(r *catalog.Relation) { r.Unlogged = true }
	s := catalog.NewBuilder(180000).Relation("orders", catalog.Table).Relation("counters", catalog.Table, unlogged).
		Relation("mixed", catalog.PartitionedTable).Relation("mixed_1", catalog.Table, unlogged).Inherit("mixed", "mixed_1").
		Relation("seen", catalog.View).Over("seen", "counters").Snapshot(1)
	logged := New(Options{Catalog: fixed{s}, Logged: func(database string) bool { return database == "followed" }})
	for sql, want := range map[string]statement.Verdict{
		"SELECT * FROM orders": statement.Read, "SELECT * FROM counters": statement.Opaque, "SELECT * FROM mixed": statement.Opaque,
		"SELECT * FROM seen": statement.Opaque, "UPDATE counters SET id = 1": statement.Write,
	} {
		d := logged.Describe(t.Context(), "followed", "", sql)
		if d.Verdict != want || want == statement.Opaque && !strings.Contains(d.Reason, "not in the WAL") {
			t.Errorf("%s: got %s, want %s", sql, judged(d), want)
		}
		if d := logged.Describe(t.Context(), "other", "", sql); d.Verdict == statement.Opaque {
			t.Errorf("%s in a database that is not followed: got %s", sql, judged(d))
		}
	}
}

func TestAnOlderServerHasNoConstructsForJSON(t *testing.T) {
	s := catalog.NewBuilder(150000).Snapshot(1)
	for _, sql := range []string{"SELECT '{}' IS JSON", "SELECT JSON_OBJECT('a': 1)", "SELECT JSON_VALUE('{}', '$.a')"} {
		if d := describe(t, s, sql); !d.Writes.Anything {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
}

func TestWithoutAPictureNothingIsCachedButSessionsAreFollowed(t *testing.T) {
	a := New(Options{Catalog: fixed{}})
	for sql, want := range map[string]string{
		"SELECT * FROM users": "opaque writes anything",
		"SELECT 1 + 1":        "opaque writes anything untracked",
		"DELETE FROM users":   "write writes anything",
		"BEGIN":               "session",
		"SET a.b = c":         "session",
		"CREATE TABLE x ()":   "schema writes anything",
	} {
		d := a.Describe(t.Context(), "shop", "", sql)
		if got := judged(d); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
		if d.Verdict == statement.Opaque && !strings.Contains(d.Reason, "catalogs") {
			t.Errorf("%s: the reason does not name the catalogs: %s", sql, d.Reason)
		}
	}
}

func TestAReasonNamesTheWordAtFaultAndNoLiteral(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT random()":                          "calls the volatile function random",
		"SELECT * FROM nowhere WHERE a = 'hidden'": "reads nowhere, which is not known",
		"SELECT now(), wild()":                     "calls the volatile function wild, which is not built in",
		"SELECT CURRENT_DATE":                      "calls CURRENT_DATE",
		"DELETE FROM lines WHERE a = 'hidden'":     "writes to public.lines",
		"SELEC 'hidden'":                           "is not understood by the parser",
	} {
		if got := describe(t, shop(), sql).Reason; got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
}

func TestADescriptorHoldsWhatPoliciesAsk(t *testing.T) {
	d := describe(t, shop(), "/* route='%2Fusers',controller='it\\'s' */ SELECT lower(a), count(*) FROM public.users WHERE id = 42 AND b = 'x' -- trace=1")
	if d.Command != "SELECT" || d.Normalized != "SELECT lower(a), count(*) FROM public.users WHERE id = $1 AND b = $2" {
		t.Errorf("got command %q, normalized %q", d.Command, d.Normalized)
	}
	if got := strings.Join(d.Comments, "|"); got != "route=/users|controller=it's|trace=1" {
		t.Errorf("got comments %q", got)
	}
	if got := strings.Join(d.Functions, ","); got != "audit.lower,pg_catalog.count,pg_catalog.lower" {
		t.Errorf("got functions %q", got)
	}
	same := describe(t, shop(), "select lower(a), count(*) from public.users where id = 7 and b = 'y'")
	if d.Fingerprint == 0 || same.Fingerprint != d.Fingerprint {
		t.Errorf("got fingerprints %x and %x, want the same", d.Fingerprint, same.Fingerprint)
	}
	if d := describe(t, shop(), "SELECT * FROM users"); fmt.Sprint(d.RelationRows) != "[-1 100]" {
		t.Errorf("got estimates %d", d.RelationRows)
	}
	for sql, want := range map[string]string{
		"CREATE ROLE x PASSWORD 'secret'": "CREATE ROLE x PASSWORD $1",
		"SET a.b = 'secret'":              "SET a.b = $1",
		"SET a.b = 5":                     "SET a.b = $1",
		"SELECT 1;":                       "SELECT $1",
	} {
		if got := describe(t, shop(), sql).Normalized; got != want {
			t.Errorf("%s: got normalized %q, want %q", sql, got, want)
		}
	}
	for sql, want := range map[string]string{
		"(VALUES (1))": "VALUES", "WITH a AS (SELECT 1) INSERT INTO notes SELECT * FROM a": "INSERT", "begin": "BEGIN", "/* x */ vacuum": "VACUUM",
	} {
		if got := describe(t, shop(), sql).Command; got != want {
			t.Errorf("%s: got command %q, want %q", sql, got, want)
		}
	}
}
