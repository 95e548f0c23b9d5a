package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// server is a database, straight, and the analysis that a home would have of it.
type server struct {
	ctx     context.Context
	db      *pgtest.Database
	conn    *pgconn.PgConn
	catalog *catalog.Catalog
	// analyzer is the schema's: it remembers texts, as a home's does.
	analyzer *analyze.Analyzer
	path     string
}

func newServer(t *testing.T, version pgtest.Version) *server {
	t.Helper()
	db := pgtest.NewOf(t, version)
	// What is refused is counted here, and fills no log.
	db.Exec("ALTER DATABASE "+db.Name+" SET log_min_messages = panic", "ALTER DATABASE "+db.Name+" SET client_min_messages = error")
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ctx: t.Context(), db: db, conn: db.Connect().PgConn(), catalog: catalog.New(catalog.Options{Config: config})}
	t.Cleanup(s.catalog.Close)
	return s
}

// exec runs a text of one or several statements. What it returns holds all that did not fail.
func (s *server) exec(sql string) ([]*pgconn.Result, error) { return s.conn.Exec(s.ctx, sql).ReadAll() }

// must is for what cannot fail unless the test is wrong, or the server gone.
func (s *server) must(sql string) []*pgconn.Result {
	results, err := s.exec(sql)
	if err != nil {
		panic(fmt.Errorf("%s: %w", sql, err))
	}
	return results
}

// build makes the schema anew and takes the picture of it. It returns how many statements PostgreSQL refused.
func (s *server) build(path string, ddl []string) (refused int) {
	s.must("DISCARD ALL")
	s.must("DROP SCHEMA IF EXISTS a, b, c, other CASCADE; CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA c")
	for _, sql := range ddl {
		if _, err := s.exec(sql); err != nil {
			refused++
		}
	}
	s.must("SET statement_timeout = '2s'; SET search_path = " + path)
	s.catalog.Refresh(s.db.Name)
	if _, err := s.catalog.Snapshot(s.ctx, s.db.Name); err != nil {
		panic(err)
	}
	s.analyzer = s.fresh()
	s.path = statement.SearchPath(path, "postgres")
	return refused
}

// fresh returns an analysis that remembers nothing.
func (s *server) fresh() *analyze.Analyzer {
	return analyze.New(analyze.Options{Catalog: s.catalog, MaxEntries: 4096})
}

// paths are what may be known of a session's search_path: it, and nothing.
func (s *server) paths() []string { return []string{s.path, ""} }

func (s *server) describe(path, sql string) *statement.Descriptor {
	return s.analyzer.Describe(s.ctx, s.db.Name, path, sql)
}

// answer is what a client gets of a read: its rows in any order, with the columns' names and types, or an error.
type answer string

const cancelled = "57014"

// failed reports whether the answer is an error, timedOut whether it took too long, which says nothing.
func (a answer) failed() bool   { return strings.HasPrefix(string(a), "error ") }
func (a answer) timedOut() bool { return a == "error "+cancelled }

// difference shows what is not in both answers.
func difference(before, after answer) string {
	var b strings.Builder
	old, now := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	for i, lines := range [][]string{old, now} {
		for _, line := range lines {
			if !slices.Contains([][]string{now, old}[i], line) {
				fmt.Fprintf(&b, "\n  %s %s", []string{"before", "after "}[i], line)
			}
		}
	}
	if b.Len() == 0 {
		return fmt.Sprintf("\n  before %d rows, after %d", len(old)-1, len(now)-1)
	}
	return b.String()
}

func answerOf(r *pgconn.Result) answer {
	var b strings.Builder
	for _, f := range r.FieldDescriptions {
		fmt.Fprintf(&b, "%s %d, ", f.Name, f.DataTypeOID)
	}
	rows := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = fmt.Sprintf("\n%q", row)
	}
	slices.Sort(rows)
	return answer(b.String() + strings.Join(rows, ""))
}

// ask returns the answers to reads, inside a transaction that it leaves as it was.
func (s *server) ask(reads []string) []answer {
	answers := make([]answer, 0, len(reads))
	for len(answers) < len(reads) {
		results, err := s.exec("SAVEPOINT ask;\n" + strings.Join(reads[len(answers):], "\n;\n") + "\n; RELEASE ask")
		for _, r := range results[min(1, len(results)):] {
			if r.Err == nil && len(answers) < len(reads) {
				answers = append(answers, answerOf(r))
			}
		}
		if err != nil {
			answers = append(answers, errorAnswer(err))
			s.must("ROLLBACK TO ask; RELEASE ask")
		}
	}
	return answers
}

func errorAnswer(err error) answer {
	if e, ok := err.(*pgconn.PgError); ok { //nolint:errorlint // pgconn returns it bare
		return answer("error " + e.Code)
	}
	panic(err)
}

// run runs a write, inside a transaction.
func (s *server) run(w write) error {
	if w.rows != "" {
		_, err := s.conn.CopyFrom(s.ctx, strings.NewReader(w.rows), w.sql)
		return err
	}
	_, err := s.exec(w.sql)
	return err
}
