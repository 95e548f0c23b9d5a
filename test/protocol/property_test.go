package protocol

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// simple are the texts of simple queries, by how often they are drawn.
var simple = []struct {
	weight int
	texts  []string
}{
	{12, []string{
		"select * from t order by id", "select v from t where id = 1", "select v from t where id = 2 -- a comment", "select v from u", "select count(*) from w",
	}},
	{3, []string{"insert into w values (1) on conflict do nothing", "insert into w select max(i) + 1 from w", "update w set i = i + 100", "delete from w where i > 3"}},
	{8, []string{
		"begin", "BEGIN;", "start transaction", "begin read only", "begin isolation level read committed", "begin isolation level repeatable read", "commit", "end work", "rollback", "abort",
		"commit and chain", "rollback and chain", "savepoint a", "savepoint b", "rollback to a", "rollback to b", "release a", "set transaction isolation level serializable", "set transaction read only",
	}},
	{4, []string{
		"set search_path = a", "set search_path = b, public", "reset search_path", "set local search_path = a", "select set_config('search_path', 'b', false)", "select set_config('search_path', 'a', true)",
		"reset all", "discard all", "set datestyle = 'German'", "set default_transaction_isolation = 'serializable'", "reset default_transaction_isolation",
	}},
	{2, []string{"select 1/0", "selec", "select * from nowhere", "", "-- nothing"}},
	{2, []string{
		"select 1; select v from t where id = 2", "begin; select count(*) from w", "insert into w values (2) on conflict do nothing; commit", "set search_path = a; select v from u",
		"select 1; select 1/0; select 2", "begin; set local search_path = b; commit", "savepoint a; set search_path = a; rollback to a",
	}},
	{2, []string{
		"prepare p1 as select v from t where id = 1", "prepare p2 as insert into w values (7) on conflict do nothing", "execute p1", "execute p2", "deallocate p1", "deallocate p2", "deallocate s1", "deallocate all",
		"select name from pg_prepared_statements order by 1",
	}},
}

// texts are those of prepared statements, with how many parameters they have.
var texts = []struct {
	text       string
	parameters int
}{
	{"select v from t where id = $1", 1},
	{"select v from t where id = $1", 1},
	{"select id, v from t order by id", 0},
	{"select v from u", 0},
	{"select count(*) from w", 0},
	{"insert into w values ($1) on conflict do nothing", 1},
	{"begin", 0},
	{"commit", 0},
	{"rollback", 0},
	{"savepoint a", 0},
	{"set search_path = b", 0},
	{"select 1/($1::int - 1)", 1},
	{"", 0},
	{"selec", 0},
}

// conversation draws a script: rounds of segments that are sent at once, each of which owes one ReadyForQuery.
func conversation(t *rapid.T) *script {
	s := &script{hits: -1}
	parameters := map[string]int{}
	names := []string{"", "", "s1", "s2", "p1"}
	for range rapid.IntRange(1, 9).Draw(t, "rounds") {
		var send []byte
		// owed is what is waited for at the end of the step, and replies how many the segment's messages have so far.
		owed, replies := "", 0
		segments := rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "segments")
		line := func(name, format string, args ...any) {
			replies++
			var err error
			if send, err = appendMessage(send, name, fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		bind := func(portal, name string) {
			values := ""
			for range parameters[name] {
				values += " " + rapid.SampledFrom([]string{`"1"`, `"2"`, `"9"`, `x"00000002"`, "null", `"x"`}).Draw(t, "value")
			}
			format := rapid.SampledFrom([]string{"", "", " -> 0", " -> 1"}).Draw(t, "formats")
			line("Bind", "%q %q%s%s", portal, name, values, format)
		}
		parse := func(name string) {
			one := rapid.SampledFrom(texts).Draw(t, "text")
			parameters[name] = one.parameters
			line("Parse", "%q %q", name, one.text)
		}
		execute := func(portal string) {
			if rapid.Bool().Draw(t, "described") {
				line("Describe", "P %q", portal)
			}
			line("Execute", "%q %d", portal, rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "rows"))
		}
		end := func() {
			s.steps = append(s.steps, step{line: len(s.steps) + 1, send: send, wait: owed})
			send, owed = nil, ""
		}
		for range segments {
			if rapid.Bool().Draw(t, "simple") {
				weights := 0
				for _, one := range simple {
					weights += one.weight
				}
				n := rapid.IntRange(0, weights-1).Draw(t, "kind")
				for _, one := range simple {
					if n -= one.weight; n < 0 {
						line("Query", "%q", rapid.SampledFrom(one.texts).Draw(t, "text"))
						owed += "Z"
						break
					}
				}
				continue
			}
			replies = 0
			paused := false // once is enough: behind an error nothing more would come
			for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "parts") {
				if replies > 0 && !paused && rapid.IntRange(0, 3).Draw(t, "pause") == 0 {
					owed += strings.Repeat("*", replies)
					line("Flush", "")
					end()
					paused = true
				}
				name := rapid.SampledFrom(names).Draw(t, "name")
				switch rapid.IntRange(0, 9).Draw(t, "part") {
				case 0, 1, 2:
					parse(name)
					if rapid.Bool().Draw(t, "described statement") {
						line("Describe", "S %q", name)
					}
					bind("", name)
					execute("")
				case 3, 4, 5, 6:
					bind("", name)
					execute("")
				case 7:
					parse(name)
					line("Describe", "S %q", name)
				case 8:
					line("Close", "S %q", name)
				case 9:
					bind("q", name)
					execute("q")
					if rapid.Bool().Draw(t, "closed") {
						line("Close", "P %q", "q")
					}
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				line("Flush", "")
			}
			line("Sync", "")
			owed += "Z"
		}
		end()
	}
	return s
}

// TestConversations draws conversations and holds them to PostgreSQL: every byte, cold, warm and sent byte by byte. For
// longer: go test ./test/protocol -run Conversations -rapid.checks=100000.
func TestConversations(t *testing.T) {
	c, routes := twoRoutes(t)
	for _, r := range routes {
		for _, sql := range []string{
			"create schema a", "create schema b", "create table u (v text)", "insert into u values ('public')", "create table a.u (v text)", "insert into a.u values ('a')",
			"create table b.u (v text)", "insert into b.u values ('b')", "create table w (i int primary key)",
		} {
			cluster.Exec(t, r.setup, sql)
		}
	}
	before := c.Edges[0].Stats().Cache
	rapid.Check(t, func(rt *rapid.T) {
		s := conversation(rt)
		for _, r := range routes {
			if _, err := r.setup.Exec(t.Context(), "delete from w"); err != nil {
				t.Fatal(err)
			}
		}
		compare(t, rt, c, routes, s)
	})
	after := c.Edges[0].Stats().Cache
	t.Logf("%d hits, %d misses, %d bypasses", after.Hits-before.Hits, after.Misses-before.Misses, after.Bypasses-before.Bypasses)
	if !t.Failed() && after.Hits-before.Hits < 100 {
		t.Errorf("%d hits: the conversations show little", after.Hits-before.Hits)
	}
}
