package statement

import (
	"reflect"
	"testing"
)

func TestStripComments(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"leaves a plain statement alone", "select 1", "select 1"},
		{"drops a trailing semicolon and white space", " select 1 ;\n", "select 1"},
		{"replaces a block comment by a space", "select/*x*/1", "select 1"},
		{"follows nested comments", "select /* a /* b */ c */ 1", "select   1"},
		{"ends a line comment before its newline", "select 'a' --x\n'b'", "select 'a'  \n'b'"},
		{"drops a trailing sqlcommenter comment", "select 1 /*traceparent='00-1'*/", "select 1"},
		{"keeps what looks like a comment in a literal", "select '--', '/*' --x", "select '--', '/*'"},
		{"keeps it in a quoted identifier", `select "a--b" /*x*/`, `select "a--b"`},
		{"keeps it in a dollar quote", "select $x$ -- $y$ /* $x$, $1 -- z", "select $x$ -- $y$ /* $x$, $1"},
		{"does not take a parameter for a dollar quote", "select $1/**/+$2", "select $1 +$2"},
		{"follows backslashes in an E string", `select E'\'--' --x`, `select E'\'--'`},
		{"follows backslashes into the literal that continues an E string", "E'a'\n'\\'--x' --y", "E'a'\n'\\'--x'"},
		{"does not take the next literal on the line for its continuation", "E'a' '\\' --x", "E'a' '\\'"},
		{"does not follow them in a plain string", `select '\' --'x`, `select '\'`},
		{"follows doubled quotes", "select 'it''s --' --x", "select 'it''s --'"},
		{"does not take an identifier's e for an escape string", `select name'\' --x`, `select name'\'`},
		{"copies an unfinished comment as it is", "select 1 /* x", "select 1 /* x"},
		{"copies an unfinished literal as it is", "select '-- x", "select '-- x"},
		{"makes nothing of comments alone", "/* x */ -- y", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := string(StripComments([]byte(">"), []byte(test.text))); got != ">"+test.want {
				t.Errorf("StripComments(%q) = %q, want %q", test.text, got[1:], test.want)
			}
		})
	}
}

func FuzzStripComments(f *testing.F) {
	for _, seed := range []string{"select 1", "/*/**/", "--", "E'\\", "$a$", "$", "'", "\"", "a/*b*/c--d\n;"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		once := StripComments(nil, text)
		if len(once) > len(text) {
			t.Fatalf("StripComments(%q) = %q: longer than its input", text, once)
		}
	})
}

func TestClosureUnion(t *testing.T) {
	some := Closure{Relations: []string{"public.a", "public.c"}}
	for _, test := range []struct {
		name       string
		a, b, want Closure
	}{
		{"nothing and something is something", Closure{}, some, some},
		{"something and nothing is something", some, Closure{}, some},
		{"relations are merged without duplicates", some, Closure{Relations: []string{"public.b", "public.c"}}, Closure{Relations: []string{"public.a", "public.b", "public.c"}}},
		{"anything swallows relations", some, Closure{Anything: true}, Closure{Anything: true}},
		{"the cluster stays", Closure{Anything: true, Cluster: true}, some, Closure{Anything: true, Cluster: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.a.Union(test.b); !reflect.DeepEqual(got, test.want) {
				t.Errorf("Union = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFactsRoundTrip(t *testing.T) {
	facts := []Fact{
		{Index: 0, Fingerprint: 1<<63 + 1, Verdict: Read, Reason: "reads tables only", Read: &ReadFact{Epoch: "e", Version: 1<<60 + 1, Relations: []string{"public.a"}, TTLMillis: 5}},
		{Index: -1, Session: &SessionFact{State: "s"}, Write: &WriteFact{Epoch: "e", Version: 2, Tables: []string{"public.a"}}},
	}
	text, err := AppendFacts(nil, facts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseFacts(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, facts) {
		t.Errorf("got %+v, want %+v", got, facts)
	}
	for _, bad := range []string{"", "{}", "[", `[{"verdict":"nonsense"}]`, string(make([]byte, maxFacts+1))} {
		if _, err := ParseFacts([]byte(bad)); err == nil {
			t.Errorf("ParseFacts(%.20q) did not fail", bad)
		}
	}
}

func FuzzParseFacts(f *testing.F) {
	f.Add([]byte(`[{"i":0,"verdict":"read","read":{"epoch":"e","version":1,"relations":["a"],"ttl_ms":1}}]`))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = ParseFacts(text) })
}
