package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// moves are what another session may have said before it asks; {role} is a role that may read. Most change what answers
// look like, in many spellings; some change nothing that an answer depends on.
var moves = []string{
	"SET TimeZone = 'Asia/Tokyo'", "SET TIME ZONE INTERVAL '-03:30' HOUR TO MINUTE", "SET TIME ZONE -7", "SELECT set_config('timezone', 'America/New_York', true)", "SET LOCAL timezone TO 'Australia/Sydney'", "SET TIME ZONE LOCAL",
	"SET DateStyle = 'German'", "SET datestyle TO SQL, DMY", "SELECT pg_catalog.set_config('DateStyle', 'Postgres, MDY', false), 1", "SET SESSION IntervalStyle = 'iso_8601'", "SET intervalstyle = sql_standard",
	"SET LOCAL extra_float_digits = -5", "SET extra_float_digits TO 0", "SET bytea_output = 'escape'", "SET lc_monetary = 'C'", "SET lc_monetary = 'en_US.UTF-8'", "SET lc_numeric = 'de_DE.UTF-8'", "SET lc_time = 'de_DE.UTF-8'",
	"SET default_text_search_config = 'pg_catalog.german'", "SET default_text_search_config = simple", "SET my.custom = 'x'", "SELECT set_config('my.other', 'y', false)", "SET ROLE {role}", "SET LOCAL ROLE {role}", "SET SESSION AUTHORIZATION {role}",
	"SELECT set_config('role', '{role}', false)", "SET search_path = b, c", "SET search_path TO a", "SET SCHEMA 'c'", "SET LOCAL search_path = b, a, \"$user\"", "SELECT set_config('search_path', 'c, b', true)",
	"SET array_nulls = off", "SET quote_all_identifiers = on", "SET transform_null_equals = on", "SET timezone_abbreviations = 'Australia'", "SET xmlbinary = hex", "SET row_security = off", "SET NAMES 'LATIN1'",
	"SET enable_hashjoin = off", "SET enable_hashagg = off; SET enable_seqscan = off", "SET work_mem = '64kB'", "SET plan_cache_mode = force_generic_plan", "SET seed = 0.5", "RESET search_path", "SET timezone TO DEFAULT", "RESET ALL",
	"SET timezone = 'Asia/Tokyo'; RESET timezone", "SET bytea_output = escape; SET bytea_output TO DEFAULT", "SET LOCAL datestyle = 'German'; SET LOCAL datestyle = DEFAULT",
	"SET default_transaction_read_only = on", "SET default_transaction_deferrable = on", "SET TRANSACTION READ ONLY", "LISTEN x", "UNLISTEN *", "NOTIFY y", "PREPARE p AS SELECT 1", "DECLARE cur CURSOR FOR SELECT 1", "SELECT 1", "SHOW timezone",
	"SET CONSTRAINTS ALL DEFERRED", "LOCK TABLE a.trace IN ACCESS SHARE MODE", "DISCARD PLANS", "DISCARD SEQUENCES", "EXPLAIN SELECT count(*) FROM a.trace", "SELECT pg_advisory_xact_lock_shared(4)", "TABLE a.trace", "SELECT now()", "SELECT random()",
}

// session is what the statements of a session come to, as the descriptors tell it: a model of the state in the key, plain
// because each session here is one transaction. host/session is held to its own model against PostgreSQL elsewhere.
type session struct {
	values  map[string]string
	private bool
}

// reported are the parameters that PostgreSQL reports; they are in the key as well.
var reported = []string{"TimeZone", "DateStyle", "IntervalStyle", "client_encoding", "standard_conforming_strings", "is_superuser", "session_authorization", "search_path"}

func (s *session) take(d *statement.Descriptor) {
	s.private = s.private || d.Untracked
	for _, c := range d.Settings {
		switch {
		case c.Name == "":
			maps.DeleteFunc(s.values, func(name, _ string) bool { return name != "role" && name != "session_authorization" })
		case c.Reset:
			delete(s.values, c.Name)
		case strings.HasPrefix(c.Name, "transaction_"), strings.HasPrefix(c.Name, "default_transaction_"):
		default:
			s.values[c.Name] = c.Value
		}
	}
}

// state is what the key would hold of the session.
func (s *session) state(conn *pgconn.PgConn) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		fmt.Fprintf(&b, "%s=%q ", name, s.values[name])
	}
	for _, name := range reported {
		fmt.Fprintf(&b, "%s=%q ", name, conn.ParameterStatus(name))
	}
	return b.String()
}

// path is the session's search_path as descriptors are asked for with it.
func (s *session) path() string {
	user := "postgres"
	if to, ok := s.values["session_authorization"]; ok {
		user = to
	}
	if to, ok := s.values["role"]; ok && to != "none" {
		user = to
	}
	path, ok := s.values["search_path"]
	if !ok {
		path = `"$user", public`
	}
	return statement.SearchPath(path, user)
}

func TestAReadAsksTheSameOfEverySessionWithItsState(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, version)
			role := s.db.CreateUser("reader", pgtest.Trust, "")
			count := tally{}
			check(t, func(rt *rapid.T, c trial) *violation { return s.sessions(rt, c, role, count) })
			t.Logf("%v", count)
			count.want(t, map[string]int{
				"asked later": 6 * *schemasWanted, "asked in the same state": 10 * *schemasWanted, "asked in another state": 30 * *schemasWanted, "answers that another state changes": 3 * *schemasWanted,
			})
		})
	}
}

const sessionsPerSchema = 12

// sessions is the property: who asks later gets the same answer, and so does every session whose state is the same.
func (s *server) sessions(t *rapid.T, c trial, role string, count tally) *violation {
	grants := "GRANT USAGE ON SCHEMA a, b, c TO " + role + "; GRANT SELECT ON ALL TABLES IN SCHEMA a, b, c TO " + role
	c.ddl = append(c.ddl, grants)
	s.build(c.path, c.ddl)
	for _, list := range append([][]string{nil}, drawMoves(t, role)...) {
		for i, what := range s.compare(c, list, count) {
			if what != "" {
				read := c.reads[i]
				one := c
				one.reads = []string{read}
				return s.violation(c, what, read, write{}, func() bool { return s.compare(one, list, tally{})[0] != "" })
			}
		}
	}
	return nil
}

func drawMoves(t *rapid.T, role string) [][]string {
	var lists [][]string
	for range sessionsPerSchema {
		var list []string
		for range 1 + rapid.IntRange(0, 2).Draw(t, "statements") {
			list = append(list, strings.ReplaceAll(rapid.SampledFrom(moves).Draw(t, "move"), "{role}", role))
		}
		lists = append(lists, list)
	}
	return lists
}

// compare asks all reads in a session that has the path alone, and again in one that has said more. For each it says
// what is wrong, or "".
func (s *server) compare(c trial, moves []string, count tally) []string {
	plain, plainAnswers := s.session(c, nil)
	moved, movedAnswers := s.session(c, moves)
	wrong := make([]string, len(c.reads))
	for i, read := range c.reads {
		before, after := plainAnswers[i], movedAnswers[i]
		// In the same state a statement has one descriptor.
		if s.describe(plain.path, read).Verdict != statement.Read || before.timedOut() || after.timedOut() {
			continue
		}
		same := !moved.private && plain.state == moved.state
		switch {
		case len(moves) == 0:
			count["asked later"]++
		case same:
			count["asked in the same state"]++
		default:
			count["asked in another state"]++
		}
		switch {
		case before == after:
		case same:
			wrong[i] = fmt.Sprintf("two sessions of one state get two answers; the second has said %q%s", moves, difference(before, after))
		default:
			count["answers that another state changes"]++
		}
	}
	return wrong
}

type place struct {
	state, path string
	private     bool
}

// session asks all reads in a transaction of its own, behind other statements, of which some may fail.
func (s *server) session(c trial, said []string) (place, []answer) {
	s.must("RESET SESSION AUTHORIZATION; RESET ALL; DEALLOCATE ALL; SET statement_timeout = '2s'; BEGIN")
	defer s.must("ROLLBACK")
	of := session{values: map[string]string{}}
	for _, sql := range append([]string{"SET search_path = " + c.path}, said...) {
		s.must("SAVEPOINT said")
		if _, err := s.exec(sql); err != nil {
			s.must("ROLLBACK TO said")
			continue
		}
		of.take(s.describe(of.path(), sql))
	}
	answers := s.ask(c.reads)
	return place{state: of.state(s.conn), path: of.path(), private: of.private}, answers
}
