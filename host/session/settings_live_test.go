//go:build cgo

package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/wire"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// emptyCatalog is a picture of a database with nothing in it but what every PostgreSQL has.
type emptyCatalog struct{ picture *catalog.Snapshot }

func (c emptyCatalog) Peek(string) *catalog.Snapshot { return c.picture }

func (c emptyCatalog) Snapshot(context.Context, string) (*catalog.Snapshot, error) {
	return c.picture, nil
}

// shown are the settings that are compared with the model. Each is shown as it was set.
var shown = []string{"search_path", "x.a", "x.b", "extra_float_digits", "bytea_output", "timezone", "work_mem", "role", "session_authorization"}

// live is a session of PostgreSQL and the model that follows it.
type live struct {
	t       *rapid.T
	conn    *pgconn.PgConn
	analyze *analyze.Analyzer
	model   *settings
	// initial is what the session started with.
	initial map[string]string
	log     []string
}

// statements of which the sequences consist; a and b are roles.
func statements(a, b string) []string {
	return []string{
		"SET search_path = public, \"S\"", "SET search_path TO ''", "SET search_path TO 'public', 'select'", "SET LOCAL search_path = x",
		"SELECT set_config('search_path', '', false)", "SELECT set_config('search_path', 'x', false), set_config('x.a', 'from config', true)",
		"SET x.a = 1", "SET x.a TO 'it''s'", "SET LOCAL x.a = local", "SET LOCAL x.a TO DEFAULT", "RESET x.a", "SET x.b = " + strings.Repeat("v", 100),
		"SELECT set_config('X.B', 'b', false)", "SELECT set_config('x.b', 'b', true)", "SELECT set_config('x.b', NULL, false)", "SELECT set_config('x.b', NULL, true)",
		"SET extra_float_digits = 3", "SET LOCAL extra_float_digits TO -1", "SET bytea_output = escape", "SET LOCAL bytea_output = hex",
		"SET TIME ZONE 'Asia/Tokyo'", "SET LOCAL TIME ZONE 'UTC'", "SET TIME ZONE LOCAL", "RESET TIME ZONE", "SET work_mem = '64MB'", "SET LOCAL work_mem TO '1MB'",
		"SET sort_mem = '2MB'", "RESET work_mem",
		"SET ROLE " + a, "SET ROLE " + b, "SET LOCAL ROLE " + a, "SET ROLE NONE", "RESET ROLE", "SELECT set_config('role', '" + b + "', true)",
		"SET bytea_output = nonsense", "SELECT 1/0", "SELECT 1",
		"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET default_transaction_isolation = 'Read Committed'",
		"SET LOCAL default_transaction_isolation = 'serializable'", "RESET default_transaction_isolation",
		"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET transaction_isolation = 'serializable'",
		"SET TRANSACTION READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE", "BEGIN ISOLATION LEVEL READ COMMITTED",
		"DISCARD PLANS", "DISCARD SEQUENCES",
	}
}

// controls are the statements that make sequences out of them.
func controls() []string {
	return []string{
		"BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT a", "SAVEPOINT \"B\"", "ROLLBACK TO a", "ROLLBACK TO a", "ROLLBACK TO \"B\"",
		"RELEASE a", "RELEASE a", "RELEASE \"B\"", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "RESET ALL", "DISCARD ALL",
	}
}

// doubtful are statements that may make a session untracked.
func doubtful(a, b string) []string {
	return []string{
		"PREPARE TRANSACTION 'it'", "DO $$ BEGIN PERFORM set_config('x.a', 'done', false); END $$",
		"SET SESSION AUTHORIZATION " + b, "SET LOCAL SESSION AUTHORIZATION " + a, "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION",
		"SELECT set_config('session_authorization', '" + a + "', false)", "DISCARD ALL",
	}
}

// cycle runs statements in one text or one pipeline, and has the model follow.
func (l *live) cycle(pipeline bool, all []string) {
	l.log = append(l.log, fmt.Sprintf("%t: %s", pipeline, strings.Join(all, "; ")))
	var tags []string
	var failed bool
	if pipeline {
		tags, failed = l.pipeline(all)
	} else {
		tags, failed = l.simple(strings.Join(all, "; "))
	}
	whole := l.analyze.Describe(l.t.Context(), "db", "", strings.Join(all, "; "))
	for i, tag := range tags {
		d := whole
		switch {
		case pipeline:
			d = l.analyze.Describe(l.t.Context(), "db", "", all[i])
		case whole.Many:
			d = whole.Parts[i]
		}
		l.model.completed(d, tag)
	}
	l.model.endCycle(l.conn.TxStatus(), failed)
}

func (l *live) simple(text string) (tags []string, failed bool) {
	results := l.conn.Exec(l.t.Context(), text)
	for results.NextResult() {
		tag, err := results.ResultReader().Close()
		if err != nil {
			break
		}
		tags = append(tags, tag.String())
	}
	return tags, l.refused(results.Close())
}

func (l *live) pipeline(all []string) (tags []string, failed bool) {
	p := l.conn.StartPipeline(l.t.Context())
	for _, sql := range all {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	if err := p.Sync(); err != nil {
		l.t.Fatal(err)
	}
	for range len(all) + 1 {
		result, err := p.GetResults()
		if l.refused(err) {
			failed = true
			break
		}
		if reader, ok := result.(*pgconn.ResultReader); ok {
			tag, err := reader.Close()
			if l.refused(err) {
				failed = true
				break
			}
			tags = append(tags, tag.String())
		}
	}
	return tags, l.refused(p.Close()) || failed
}

// refused reports whether PostgreSQL refused something. Any other error ends the test.
func (l *live) refused(err error) bool {
	var refusal *pgconn.PgError
	if err != nil && !errors.As(err, &refusal) {
		l.t.Fatalf("%v after %s", err, strings.Join(l.log, "\n"))
	}
	return err != nil
}

// show returns what PostgreSQL has, without the snapshot that a query would take.
func (l *live) show(names ...string) map[string]string {
	results, err := l.conn.Exec(l.t.Context(), "SHOW "+strings.Join(names, "; SHOW ")).ReadAll()
	if err != nil || len(results) != len(names) {
		l.t.Fatalf("SHOW: %v after %s", err, strings.Join(l.log, "\n"))
	}
	values := map[string]string{}
	for i, name := range names {
		values[name] = string(results[i].Rows[0][0])
	}
	return values
}

// TestSettingsAgainstPostgreSQL runs random sequences, and compares what PostgreSQL shows with what the model says.
func TestSettingsAgainstPostgreSQL(t *testing.T) {
	db := pgtest.New(t)
	a, b := db.CreateUser("ann", pgtest.Trust, ""), db.CreateUser("bob", pgtest.Trust, "")
	db.Exec("GRANT " + a + " TO " + b)
	tame, wild := statements(a, b), append(statements(a, b), doubtful(a, b)...)
	control := db.Connect()
	analyzer := analyze.New(analyze.Options{Catalog: emptyCatalog{catalog.NewBuilder(150000).Snapshot(1)}})
	options := "-c x.a=initial -c x.b= -c default_transaction_isolation=read\\ committed"
	startup := &wire.Startup{Parameters: []wire.Parameter{{Name: "options", Value: options}}}
	config, err := pgconn.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["options"] = options
	seen := map[string]map[string]string{} // what held at each token, in every session
	checked, private, committed := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := conn.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		l := &live{t: t, conn: conn, analyze: analyzer, model: newSettings(Identity{User: "postgres"}, startup, InitialSettings{})}
		l.model.endCycle(wire.Idle, false)
		l.initial = l.show(shown...)
		initial := l.model.token()
		before := "" // the token before the block, where a lone BEGIN began it and nothing has ended it since
		all, mayBePrivate := tame, rapid.Bool().Draw(t, "wild")
		if mayBePrivate {
			all = wild
		}
		one := rapid.OneOf(rapid.SampledFrom(controls()), rapid.SampledFrom(all))
		for range rapid.IntRange(1, 40).Draw(t, "cycles") {
			some := rapid.SliceOfN(one, 1, 4).Draw(t, "statements")
			if conn.TxStatus() == wire.Failed && rapid.Bool().Draw(t, "recovers") {
				some = some[:1]
				some[0] = rapid.SampledFrom([]string{"ROLLBACK", "ROLLBACK TO a", "COMMIT", "ROLLBACK AND CHAIN", "COMMIT AND CHAIN"}).Draw(t, "recovery")
			} else if rapid.Bool().Draw(t, "single") {
				some = some[:1]
			}
			wasIn := conn.TxStatus() != wire.Idle
			l.cycle(rapid.Bool().Draw(t, "pipeline"), some)
			if slices.Contains(some, "PREPARE TRANSACTION 'it'") {
				_, _ = control.Exec(t.Context(), "ROLLBACK PREPARED 'it'") // fails where it was not prepared
			}
			story := func() string { return strings.Join(l.log, "\n") }
			m := l.model
			switch {
			case m.private() && !mayBePrivate:
				t.Fatalf("the session is private:\n%s", story())
			case m.private():
				private++
				continue
			case len(some) == 1 && some[0] == "DISCARD ALL" && conn.TxStatus() == wire.Idle && !wasIn && m.token() != initial:
				t.Fatalf("DISCARD ALL leaves another token than the first:\n%s", story())
			case len(some) == 1 && some[0] == "ROLLBACK" && before != "" && m.token() != before:
				t.Fatalf("ROLLBACK leaves another token than before the block:\n%s", story())
			}
			switch {
			case !wasIn && len(some) == 1 && strings.HasPrefix(some[0], "BEGIN"):
				before = m.token()
			case len(some) > 1 || conn.TxStatus() == wire.Idle || strings.HasSuffix(some[0], "CHAIN"):
				before = ""
			}
			if conn.TxStatus() == wire.Failed {
				continue // nothing can be asked
			}
			checked++
			now := l.show(shown...)
			if other, ok := seen[m.token()]; ok && !maps.Equal(now, other) {
				t.Fatalf("one token for %v\nand %v:\n%s", now, other, story())
			}
			seen[m.token()] = now
			for _, name := range shown {
				want := value{text: l.initial[name], set: true}
				if v := m.get(name); v.set {
					want = v
				}
				if got := short("", now[name]); got != short("", want.text) && got != want.text {
					t.Fatalf("%s is %q, and %q is followed:\n%s", name, got, want.text, story())
				}
			}
			isolation, known := "default_transaction_isolation", true
			if conn.TxStatus() == wire.InBlock {
				isolation, known = "transaction_isolation", m.current != ""
			}
			if got, want := m.readCommitted(), l.show(isolation)[isolation] == "read committed"; got != want && (got || known) {
				t.Fatalf("READ COMMITTED is %t, and %t is followed:\n%s", want, got, story())
			} else if got && conn.TxStatus() == wire.InBlock {
				committed++
			}
		}
	})
	t.Logf("%d cycles checked, %d of them in a block that is READ COMMITTED, %d private", checked, committed, private)
}
