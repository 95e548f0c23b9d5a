package oracle

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

var schemasWanted = flag.Int("oracle.cases", 12, "how many random schemas are made for each version of PostgreSQL")

func TestMain(m *testing.M) {
	flag.Parse()
	// One case runs hundreds of statements; rapid's own counts are for functions.
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(*schemasWanted), "rapid.shrinktime": "20s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(pgtest.Main(m))
}

const readsPerSchema, writesPerSchema = 40, 50

// trial is one schema with its statements.
type trial struct {
	*world
	reads  []string
	writes []write
}

var trials = rapid.Custom(func(t *rapid.T) trial {
	c := trial{world: generateWorld(t)}
	for _, r := range c.relations {
		c.reads = append(c.reads, "SELECT * FROM "+c.spelled(r)) // so that no change to it goes unseen
	}
	for range rapid.IntRange(readsPerSchema/2, readsPerSchema).Draw(t, "reads") {
		c.reads = append(c.reads, c.read())
	}
	for range rapid.IntRange(writesPerSchema/2, writesPerSchema).Draw(t, "writes") {
		c.writes = append(c.writes, c.write())
	}
	return c
})

// tally counts what happened, so that a test that proves nothing is noticed.
type tally map[string]int

// violation is what must not be.
type violation struct {
	what        string
	read, write string
	path        string
	ddl         []string
	// again tells whether it is still so with other statements making the schema.
	again func(ddl []string) bool
}

func (v *violation) String() string {
	return fmt.Sprintf("%s\nread:  %s\nwrite: %s\nsearch_path: %s\nschema:\n%s;", v.what, v.read, v.write, v.path, strings.Join(v.ddl, ";\n"))
}

// reduce drops whatever of the schema the violation does not need.
func (v *violation) reduce() {
	for size := len(v.ddl) / 2; size > 0 && v.again != nil; size /= 2 {
		for end := len(v.ddl); end > 0; end -= size {
			less := slices.Delete(slices.Clone(v.ddl), max(0, end-size), end)
			if v.again(less) {
				v.ddl = less
			}
			end = min(end, len(v.ddl)+size)
		}
	}
}

// check runs a property on random schemas and shows a violation as small as it can be made.
func check(t *testing.T, property func(*rapid.T, trial) *violation) {
	t.Helper()
	var found *violation
	defer func() {
		if found != nil {
			found.reduce()
			t.Logf("as small as it gets:\n%s", found)
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		if v := property(rt, trials.Draw(rt, "trial")); v != nil {
			found = v
			rt.Fatalf("%s", v)
		}
	})
}

func TestAWriteThatChangesAnAnswerMeetsWhatItReads(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, version)
			count := tally{}
			check(t, func(_ *rapid.T, c trial) *violation { return s.changes(c, count) })
			t.Logf("%v", count)
			count.want(t, map[string]int{
				"schemas": *schemasWanted, "pairs": 100 * *schemasWanted, "answers changed": 8 * *schemasWanted, "met by a relation": 4 * *schemasWanted,
				"met by anything": 2 * *schemasWanted, "reads judged read": 4 * *schemasWanted, "writes done": 6 * *schemasWanted, "closures of relations": 2 * *schemasWanted,
			})
		})
	}
}

// want asserts that things happened at least so often.
func (c tally) want(t *testing.T, least map[string]int) {
	t.Helper()
	for what, n := range least {
		if c[what] < n {
			t.Errorf("%s: %d, want %d at least: the test proves little", what, c[what], n)
		}
	}
}

// changes is the property: a write that changes the answer to what is judged a read says so.
func (s *server) changes(c trial, count tally) *violation {
	count["schemas"]++
	count["statements of schemas"] += len(c.ddl)
	count["statements of schemas refused"] += s.build(c.path, c.ddl)
	reads := slices.DeleteFunc(slices.Clone(c.reads), func(read string) bool {
		count["reads"]++
		count["reads judged "+s.describe(s.path, read).Verdict.String()]++
		return s.describe(s.path, read).Verdict != statement.Read
	})
	s.must("BEGIN")
	defer s.must("ROLLBACK")
	before := s.ask(reads)
	for i := len(reads) - 1; i >= 0; i-- {
		if before[i].failed() {
			count["reads refused"]++
			reads, before = slices.Delete(reads, i, i+1), slices.Delete(before, i, i+1)
		}
	}
	for _, w := range c.writes {
		if v := s.change(w, reads, before, c, count); v != nil {
			return v
		}
	}
	return nil
}

// change runs one write between two rounds of reads, and undoes it.
func (s *server) change(w write, reads []string, before []answer, c trial, count tally) *violation {
	count["writes"]++
	s.must("SAVEPOINT change")
	defer s.must("ROLLBACK TO change; RELEASE change; DEALLOCATE ALL")
	if err := s.run(w); err != nil {
		count["writes refused"]++
		count["refused "+w.kind]++
		return nil
	}
	count["writes done"]++
	for _, path := range s.paths() {
		d := s.describe(path, w.sql)
		if len(d.Writes.Relations) > 0 {
			count["closures of relations"]++
		}
		if what := misjudged(w, d); what != "" {
			return s.violation(c, what, "", w, func() bool { return misjudged(w, s.describe(path, w.sql)) != "" })
		}
	}
	for i, after := range s.ask(reads) {
		count["pairs"]++
		if after == before[i] || after.timedOut() {
			continue
		}
		count["answers changed"]++
		count["changed by "+w.kind]++
		for _, path := range s.paths() {
			switch met := meets(s.describe(path, w.sql), s.describe(path, reads[i])); {
			case w.temporary():
			case met == "":
				what := fmt.Sprintf("the write changes the answer, but\n%+v misses %v (path %q)%s", s.describe(path, w.sql).Writes, s.describe(path, reads[i]).Relations, path, difference(before[i], after))
				return s.violation(c, what, reads[i], w, func() bool { return s.stillChanges(path, reads[i], w) })
			default:
				count[met]++
			}
		}
	}
	return nil
}

// misjudged says what is wrong with the descriptor of a statement whatever it changed, or "".
func misjudged(w write, d *statement.Descriptor) string {
	switch {
	case w.kind == "ddl" && d.Verdict != statement.Schema && !d.Writes.Anything:
		return "DDL is judged " + d.Verdict.String() + ": " + d.Reason
	case w.temporary() && !d.Untracked:
		return "a temporary relation is made, and its session is not private: " + d.Reason
	case (d.Verdict == statement.Read || d.Verdict == statement.Unstable) && !d.Writes.Empty():
		return "what only reads may change " + fmt.Sprintf("%+v", d.Writes)
	}
	return ""
}

// meets says how the write's closure meets what the read depends on, or "" where it does not.
func meets(write, read *statement.Descriptor) string {
	switch {
	case write.Writes.Anything || write.Verdict == statement.Schema:
		return "met by anything"
	case slices.ContainsFunc(read.Relations, func(r string) bool { return slices.Contains(write.Writes.Relations, r) }):
		return "met by a relation"
	case read.Verdict != statement.Read:
		return "not cached" // with the path not known, say
	}
	return ""
}

// stillChanges is change for one read, in the schema as it is.
func (s *server) stillChanges(path, read string, w write) bool {
	if s.describe(path, read).Verdict != statement.Read || meets(s.describe(path, w.sql), s.describe(path, read)) != "" {
		return false
	}
	s.must("BEGIN")
	defer s.must("ROLLBACK")
	before := s.ask([]string{read})[0]
	return !before.failed() && s.run(w) == nil && s.ask([]string{read})[0] != before
}

func (s *server) violation(c trial, what, read string, w write, still func() bool) *violation {
	return &violation{what: what, read: read, write: w.sql, path: c.path, ddl: c.ddl, again: func(ddl []string) bool {
		s.build(c.path, ddl)
		return still()
	}}
}

func TestWhatOnlyReadsTakesNoLockAndWritesNothing(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, version)
			count := tally{}
			check(t, func(_ *rapid.T, c trial) *violation { return s.takesNothing(c, count) })
			t.Logf("%v", count)
			count.want(t, map[string]int{"read": 6 * *schemasWanted, "unstable": 2 * *schemasWanted, "shared": 2 * *schemasWanted})
		})
	}
}

// takesNothing is the property: what is judged to only read takes no lock but the weakest, and no transaction number.
// On the way, each text is judged as if it were the first.
func (s *server) takesNothing(c trial, count tally) *violation {
	s.build(c.path, c.ddl)
	texts := slices.Clone(c.reads)
	for _, w := range c.writes {
		texts = append(texts, w.sql)
	}
	for i, sql := range texts {
		path := s.paths()[i%2]
		for _, variant := range variants(sql) {
			if what := s.remembered(path, variant, count); what != "" {
				return s.violation(c, what, variant, write{}, func() bool { return s.rememberedAll(path, sql) })
			}
		}
		d := s.describe(s.path, sql)
		if d.Verdict != statement.Read && d.Verdict != statement.Unstable {
			continue
		}
		count[d.Verdict.String()]++
		if taken := s.taken(sql); taken != "" {
			return s.violation(c, "it is judged "+d.Verdict.String()+", and takes "+taken, sql, write{}, func() bool {
				v := s.describe(s.path, sql).Verdict
				return (v == statement.Read || v == statement.Unstable) && s.taken(sql) != ""
			})
		}
	}
	return nil
}

// taken says what a statement took besides AccessShareLock; "" where it took nothing, or fails.
func (s *server) taken(sql string) string {
	results, err := s.exec("BEGIN;\n" + sql + "\n;" + `SELECT (SELECT string_agg(DISTINCT mode || ' on ' || coalesce(relation::regclass::text, locktype), ', ') FROM pg_locks
		WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid' AND mode <> 'AccessShareLock'), pg_current_xact_id_if_assigned()`)
	s.must("ROLLBACK")
	if err != nil {
		return ""
	}
	var all []string
	for _, value := range results[len(results)-1].Rows[0] {
		if value != nil {
			all = append(all, string(value))
		}
	}
	return strings.Join(all, ", transaction ")
}

// variants are a text with other literals of the same shape, and itself last.
func variants(sql string) []string {
	all := []string{strings.ReplaceAll(sql, "'now'", "'abc'"), strings.ReplaceAll(sql, "'x'", "'today'"), sql}
	return slices.Compact(all)
}

// remembered says how the descriptor of a text differs from that of one who has never seen a text like it, or "".
func (s *server) remembered(path, sql string, count tally) string {
	got, want := *s.describe(path, sql), *s.fresh().Describe(s.ctx, s.db.Name, path, sql)
	if got.Verdict != want.Verdict || got.Untracked != want.Untracked || !reflect.DeepEqual(got.Relations, want.Relations) || !reflect.DeepEqual(got.Writes, want.Writes) {
		return fmt.Sprintf("judged behind others of its shape it is %s %v %+v, alone %s %v %+v", got.Verdict, got.Relations, got.Writes, want.Verdict, want.Relations, want.Writes)
	}
	count["shared"]++
	return ""
}

// rememberedAll reports whether any variant of the text is judged otherwise behind those before it.
func (s *server) rememberedAll(path, sql string) bool {
	return slices.ContainsFunc(variants(sql), func(variant string) bool { return s.remembered(path, variant, tally{}) != "" })
}
