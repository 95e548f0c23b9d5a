package wal

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// lines makes the parser read one message after the other and returns the last transaction.
func lines(t *testing.T, messages ...string) Change {
	t.Helper()
	var p parser
	var last *transaction
	for _, m := range messages {
		got, err := p.message([]byte(m))
		if err != nil {
			t.Fatalf("%q: %v", m, err)
		}
		if got != nil {
			last = got
		}
	}
	if last == nil {
		t.Fatalf("no transaction in %q", messages)
	}
	return *last.commitless()
}

func (t *transaction) commitless() *Change { return &t.change }

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name     string
		messages []string
		want     Change
	}{
		{"an insert", []string{`table public.t: INSERT: id[integer]:1`}, Change{Relations: []Relation{{"public", "t"}}}},
		{"an update with a new key", []string{`table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2`}, Change{Relations: []Relation{{"public", "t"}}}},
		{"a deletion without a key", []string{`table public.t: DELETE: (no-tuple-data)`}, Change{Relations: []Relation{{"public", "t"}}}},
		{"rows of several relations, each named once", []string{
			`table public.t: INSERT: a[text]:'x'`, `table public.t: INSERT: a[text]:'y'`, `table s.u: DELETE: a[text]:'x'`, `table public.t: INSERT: a[text]:'z'`,
		}, Change{Relations: []Relation{{"public", "t"}, {"s", "u"}}}},
		{"a relation whose name goes on where another's ends", []string{`table public.t: INSERT: `, `table public.t2: INSERT: `}, Change{Relations: []Relation{{"public", "t"}, {"public", "t2"}}}},
		{"quoted names with everything in them", []string{`table "a.b: INSERT:"."c""d, e": UPDATE: x[text]:'table public.t: INSERT: '`}, Change{Relations: []Relation{{`a.b: INSERT:`, `c"d, e`}}}},
		{"names with a line break", []string{"table \"a\nb\".\"COMMIT 1\": INSERT: x[text]:''"}, Change{Relations: []Relation{{"a\nb", "COMMIT 1"}}}},
		{"a truncation of many", []string{`table public.a, s."B": TRUNCATE: restart_seqs cascade`}, Change{Relations: []Relation{{"public", "a"}, {"s", "B"}}}},
		{"no rows", nil, Change{Empty: true}},
		{"a message of somebody else", []string{`message: transactional: 1 prefix: other, sz: 2 content:hi`}, Change{Empty: true}},
		{"a message of the event trigger", []string{`message: transactional: 1 prefix: perihelion, sz: 2 content:hi`}, Change{Schema: true}},
		{"a message of the home itself", []string{`message: transactional: 1 prefix: perihelion.flush, sz: 0 content:`}, Change{}},
		{"a message that waits for no commit", []string{`message: transactional: 0 prefix: perihelion, sz: 2 content:hi`}, Change{Empty: true}},
		{"what is not understood", []string{`sequence public.s: transactional: 1`}, Change{Anything: true}},
		{"a change that is not understood", []string{`table public.t: INSERT: `, `table public.t MERGE`}, Change{Relations: []Relation{{"public", "t"}}, Anything: true}},
		{"several relations in what is no truncation", []string{`table a.b, c.d: INSERT: `}, Change{Anything: true}},
		{"a name that was cut off", []string{`table public."abc`}, Change{Anything: true}},
		{"a truncation that was cut off", []string{`table public.a, public.b`}, Change{Anything: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages := append(append([]string{"BEGIN 7"}, test.messages...), "COMMIT 7")
			got := lines(t, messages...)
			if test.want.Anything {
				test.want.Relations = nil
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%q: got %+v, want %+v", messages, got, test.want)
			}
		})
	}
}

func TestParseRefusesWhatIsNotAStream(t *testing.T) {
	for _, test := range [][]string{
		{"COMMIT 1"},
		{"BEGIN 1", "BEGIN 2"},
		{"BEGIN 1", "COMMIT 2"},
		{"BEGIN 4294967296"},
		{"BEGIN"},
		{"table public.t: INSERT: "},
		{"opening a streamed block for transaction"},
	} {
		var p parser
		var err error
		for _, m := range test {
			if _, err = p.message([]byte(m)); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%q is taken for a stream", test)
		}
	}
}

func TestParseRemembersABoundedNumberOfRelations(t *testing.T) {
	messages := []string{"BEGIN 1"}
	for i := range maxRelations {
		messages = append(messages, fmt.Sprintf("table public.t%d: INSERT: ", i))
	}
	if got := lines(t, append(messages, "COMMIT 1")...); got.Anything || len(got.Relations) != maxRelations {
		t.Errorf("%d relations: got %d, anything %v", maxRelations, len(got.Relations), got.Anything)
	}
	if got := lines(t, append(messages, "table public.one_more: INSERT: ", "COMMIT 1")...); !got.Anything || got.Relations != nil {
		t.Errorf("one more: got %+v, want anything", got)
	}
}

func TestParseOfARowAllocatesNothing(t *testing.T) {
	var p parser
	row := []byte("table public.t: INSERT: id[integer]:1")
	for _, m := range [][]byte{[]byte("BEGIN 1"), row} {
		if _, err := p.message(m); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = p.message(row) }); n != 0 {
		t.Errorf("%v allocations for a row of the same relation, want 0", n)
	}
}

// quoted is what PostgreSQL's quote_identifier prints where a name needs quotes.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// FuzzParse reads any message in a transaction: it must never be forgotten, and whatever the names, they must come out.
func FuzzParse(f *testing.F) {
	f.Add("public", "t", ": INSERT: id[integer]:1", []byte("table public.t: INSERT: id[integer]:1"))
	f.Add(`a"b`, "c.d, e", ": TRUNCATE: (no-flags)", []byte(`table "a""b"."c.d, e", x.y: TRUNCATE: cascade`))
	f.Add("ä", "\x00\xff", ": DELETE: (no-tuple-data)", []byte("message: transactional: 1 prefix: perihelion, sz: 1 content:x"))
	f.Fuzz(func(t *testing.T, schema, name, what string, raw []byte) {
		var p parser
		if _, err := p.message([]byte("BEGIN 1")); err != nil {
			t.Fatal(err)
		}
		end, err := p.message(raw)
		if end == nil && err == nil {
			end, err = p.message([]byte("COMMIT 1"))
		}
		if (end == nil) == (err == nil) {
			t.Fatalf("%q: a transaction %v and the error %v", raw, end, err)
		}
		if end != nil && strings.HasPrefix(string(raw), "table ") && end.change.Empty {
			t.Errorf("%q is forgotten", raw)
		}
		if schema == "" || name == "" || !strings.HasPrefix(what, ": INSERT:") {
			return
		}
		p = parser{}
		for _, m := range []string{"BEGIN 1", "table " + quoted(schema) + "." + quoted(name) + what} {
			if _, err := p.message([]byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		end, err = p.message([]byte("COMMIT 1"))
		if want := []Relation{{schema, name}}; err != nil || !reflect.DeepEqual(end.change.Relations, want) {
			t.Errorf("got %+v (%v), want %q", end.change, err, want)
		}
	})
}

func TestSnapshot(t *testing.T) {
	s, err := parseSnapshot("4294967290:4294967300:4294967292,4294967299")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		xid  uint32
		full uint64
		over bool
	}{
		{4294967289, 4294967289, true},
		{4294967292, 4294967292, false},
		{4294967295, 4294967295, true},
		{0, 4294967296, true},
		{3, 4294967299, false},
		{4, 4294967300, false},   // xmax itself has not ended
		{900, 4294968196, false}, // given out after the snapshot
	} {
		if full := s.full(test.xid); full != test.full || s.over(full) != test.over {
			t.Errorf("%d is %d and over %v, want %d and %v", test.xid, full, s.over(full), test.full, test.over)
		}
	}
	for _, text := range []string{"", "1", "1:2", "2:1:", "1:2:x", "-1:2:", "1:2:1,"} {
		if _, err := parseSnapshot(text); err == nil {
			t.Errorf("%q is taken for a snapshot", text)
		}
	}
}

func TestEndOfTheWALAtThePageBoundary(t *testing.T) {
	g := geometry{block: 8192, segment: 16 << 20}
	for at, want := range map[uint64]uint64{
		16<<20 + 8192 + 24: 16<<20 + 8192,      // behind the header of a page
		16<<20 + 40:        16 << 20,           // behind that of a segment
		16<<20 + 8192 + 40: 16<<20 + 8192 + 40, // the end of a record that began on the page before
		16<<20 + 24:        16 << 20,
		16<<20 + 8192 + 64: 16<<20 + 8192 + 64,
	} {
		if got := uint64(g.end(lsn(at))); got != want {
			t.Errorf("%x: got %x, want %x", at, got, want)
		}
	}
}

func TestDecodingThatNeverGetsToTheEndIsNotTakenToStandStill(t *testing.T) {
	f := newFollower(&Options{}, nil)
	start := time.Now()
	for i, look := range []struct {
		end, passed uint64
		wantBehind  uint64
		wantMoment  int // the look up to whose beginning decoding has got; 0: none
	}{{100, 100, 0, 1}, {200, 150, 50, 1}, {300, 160, 140, 1}, {400, 250, 150, 2}, {500, 460, 40, 4}, {500, 500, 0, 6}} {
		f.mu.passed = lsn(look.passed)
		f.measureLocked(&view{began: start.Add(time.Duration(i+1) * time.Hour), end: lsn(look.end)})
		if want := start.Add(time.Duration(look.wantMoment) * time.Hour); f.mu.behind != look.wantBehind || !f.mu.caughtUp.Equal(want) {
			t.Errorf("look %d: %d bytes behind, up to %v, want %d and %v", i+1, f.mu.behind, f.mu.caughtUp.Sub(start), look.wantBehind, want.Sub(start))
		}
	}
}
