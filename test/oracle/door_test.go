package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// twin is a session through an edge and a home, and one straight to PostgreSQL that has said the same.
type twin struct{ via, straight *pgconn.PgConn }

// door is an edge, and two sessions through it: one that writes, and one in another state.
type door struct {
	*server
	edge     *cluster.Node
	sessions [2]twin
}

// TestTheDoorAnswersAsPostgreSQLDoes runs the schemas and statements through an edge and a home. Whatever was written by
// then, and whatever a session has set, what is judged a read is answered there as it is straight.
func TestTheDoorAnswersAsPostgreSQLDoes(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, version)
			role := s.db.CreateUser("reader", pgtest.Trust, "")
			c := cluster.On(t, s.db, 1, nil)
			d := &door{server: s, edge: c.Edges[0]}
			for i := range d.sessions {
				d.sessions[i] = twin{cluster.Connect(t, c.URL(d.edge)).PgConn(), s.db.Connect().PgConn()}
			}
			count := tally{}
			hits, misses, _ := d.edge.Counted(func() {
				check(t, func(rt *rapid.T, c trial) *violation { return d.walkThrough(rt, c, role, count) })
			})
			count["from memory"], count["forwarded"] = int(hits), int(misses)
			t.Logf("%v", count)
			count.want(t, map[string]int{"compared": 150 * *schemasWanted, "changed since asked last": 8 * *schemasWanted, "from memory": 60 * *schemasWanted, "writes done": 3 * *schemasWanted})
		})
	}
}

// writesThroughDoor is how many writes of a trial are committed through the door.
const writesThroughDoor = 14

func (d *door) walkThrough(t *rapid.T, c trial, role string, count tally) *violation {
	for _, s := range d.sessions {
		for _, conn := range []*pgconn.PgConn{s.via, s.straight} {
			d.say(conn, "DISCARD ALL") // of the schema that was
		}
	}
	d.build(c.path, append(slices.Clone(c.ddl), "GRANT USAGE ON SCHEMA a, b, c TO "+role, "GRANT SELECT ON ALL TABLES IN SCHEMA a, b, c TO "+role))
	// The schema was made behind the home's back; one change of it before its eyes makes it look again.
	d.say(d.sessions[0].via, "COMMENT ON SCHEMA a IS 'made'")
	moved := drawMoves(t, role)[0]
	for i, s := range d.sessions {
		said := []string{"SET search_path = " + c.path}
		if i == 1 {
			said = append(said, moved...)
		}
		for _, sql := range said {
			d.say(s.via, sql)
			d.say(s.straight, sql)
		}
	}
	reads := slices.DeleteFunc(slices.Clone(c.reads), func(read string) bool { return d.describe(d.path, read).Verdict != statement.Read })
	history := []string{fmt.Sprintf("the second session said %q", moved)}
	last := [2]map[string]answer{{}, {}}
	for range 2 {
		if v := d.compare(c, reads, last, history, count); v != nil {
			return v
		}
	}
	writes := c.writes[:min(len(c.writes), writesThroughDoor)]
	// What is temporary makes a session private, and comes last.
	slices.SortStableFunc(writes, func(a, b write) int { return strings.Compare(temporaryLast(a), temporaryLast(b)) })
	for _, w := range writes {
		s := d.sessions[0]
		if w.temporary() {
			d.say(s.straight, w.sql)
		}
		if d.write(s.via, w) {
			count["writes done"]++
		}
		history = append(history, w.sql)
		if v := d.compare(c, reads, last, history, count); v != nil {
			return v
		}
	}
	return nil
}

func temporaryLast(w write) string {
	if w.temporary() {
		return "last"
	}
	return ""
}

// compare asks each read in both sessions, through the door and straight.
func (d *door) compare(c trial, reads []string, last [2]map[string]answer, history []string, count tally) *violation {
	for i, s := range d.sessions {
		for _, read := range reads {
			got, want := d.say(s.via, read), d.say(s.straight, read)
			if got.timedOut() || want.timedOut() {
				continue
			}
			count["compared"]++
			if got != want {
				what := fmt.Sprintf("session %d through the door (after) is not answered as straight (before)%s\nbehind:\n  %s", i, difference(want, got), strings.Join(history, "\n  "))
				return &violation{what: what, read: read, path: c.path, ddl: c.ddl}
			}
			if before, ok := last[i][read]; ok && before != got {
				count["changed since asked last"]++
			}
			last[i][read] = got
		}
	}
	return nil
}

// say runs one text in a session, whatever comes of it, and returns the last answer.
func (d *door) say(conn *pgconn.PgConn, sql string) answer {
	results, err := conn.Exec(d.ctx, sql).ReadAll()
	switch {
	case err != nil:
		return errorAnswer(err)
	case len(results) == 0:
		return ""
	}
	return answerOf(results[len(results)-1])
}

// write runs a write in a session and reports whether it was done.
func (d *door) write(conn *pgconn.PgConn, w write) bool {
	if w.rows != "" {
		_, err := conn.CopyFrom(d.ctx, strings.NewReader(w.rows), w.sql)
		return err == nil
	}
	return !d.say(conn, w.sql).failed()
}
