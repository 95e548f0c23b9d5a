package analyze

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

// deep makes texts whose parse trees are n levels deep, each in another way.
func deep(n int) map[string]string {
	r := strings.Repeat
	return map[string]string{
		"a chain of operators":     "SELECT 1" + r("+1", n),
		"a chain of casts":         "SELECT 1" + r("::int", n),
		"prefix operators":         "SELECT " + r("- ", n) + "1",
		"NOT":                      "SELECT " + r("NOT ", n) + "true",
		"brackets":                 "SELECT " + r("(", n) + "1" + r(")", n),
		"calls":                    "SELECT " + r("f(", n) + "1" + r(")", n),
		"array brackets":           "SELECT ARRAY" + r("[", n) + "1" + r("]", n),
		"subqueries":               r("SELECT (", n) + "SELECT 1" + r(")", n),
		"unions":                   "SELECT 1, 2" + r(" UNION SELECT 1, 2", n),
		"joins":                    "SELECT 1 FROM a" + r(" JOIN a ON b = 1 AND c = 1", n),
		"IS NULL":                  "SELECT 1" + r(" IS NULL", n),
		"BETWEEN":                  "SELECT 1" + r(" IS NULL BETWEEN 1 AND 2", n),
		"CASE in THEN":             "SELECT " + r("CASE WHEN true THEN ", n) + "1" + r(" END", n),
		"CASE in ELSE":             "SELECT " + r("CASE WHEN true THEN 1 ELSE ", n) + "1" + r(" END", n),
		"CASE with a field end":    "SELECT " + r("CASE WHEN t.end THEN ", n) + "1" + r(" END", n),
		"COLLATE":                  "SELECT ''" + r(` COLLATE "C"`, n),
		"AT TIME ZONE":             "SELECT a" + r(" AT TIME ZONE 'x'", n),
		"a chain across lists":     "SELECT f(1, 2)" + r(" + f(1, 2)", n),
		"a chain across AND":       "SELECT (a AND b)" + r(" = (a AND b)", n),
		"brackets that are broken": r("SELECT ((", n),
	}
}

func TestDeepTextsAreNotParsed(t *testing.T) {
	a := analyzer(shop())
	for name, text := range deep(2 * maxDepth) {
		if !tooDeep(text) {
			t.Errorf("%s: a text of %d levels passed the guard", name, 2*maxDepth)
		}
	}
	for name, text := range deep(10_000) {
		d := a.Describe(t.Context(), "shop", "", text)
		if d.Verdict != statement.Opaque || !d.Writes.Anything {
			t.Errorf("%s: got %s", name, judged(d))
		}
	}
	for name, text := range deep(maxDepth / 8) {
		if tooDeep(text) {
			t.Errorf("%s: a text of %d levels did not pass the guard", name, maxDepth/8)
		}
	}
}

func TestLongFlatTextsPassTheGuard(t *testing.T) {
	r := strings.Repeat
	for name, text := range map[string]string{
		"IN":                 "SELECT * FROM orders WHERE id IN (1" + r(", 2", 20_000) + ")",
		"rows":               "INSERT INTO orders VALUES (1, 'a')" + r(", (2, 'b'::text || now())", 2_000),
		"AND":                "SELECT * FROM orders WHERE a = 1" + r(" AND a = 1", 5_000),
		"OR":                 "SELECT * FROM orders WHERE a = 1 AND b = 2" + r(" OR a = 1 AND b = 2", 3_000),
		"branches of a CASE": "UPDATE orders SET a = CASE" + r(" WHEN id = 1 THEN 'x'::text", 1_500) + " END",
		"columns":            "SELECT a" + r(", a::text AS b", 3_000),
		"statements":         r("SELECT 1 + 1;", 5_000),
	} {
		if tooDeep(text) {
			t.Errorf("%s: the text did not pass the guard", name)
		}
	}
}

// depth is the number of messages on the longest way down.
func depth(m protoreflect.Message) int {
	deepest := 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				deepest = max(deepest, depth(v.List().Get(i).Message()))
			}
		default:
			deepest = max(deepest, depth(v.Message()))
		}
		return true
	})
	return deepest + 1
}

func FuzzTheGuardBoundsTheDepth(f *testing.F) {
	for _, text := range deep(20) {
		f.Add(text)
	}
	for _, text := range deep(60) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 || tooDeep(text) {
			return
		}
		tree, err := pg.Parse(text)
		if err != nil {
			return
		}
		// A level of brackets is several messages: SelectStmt, ResTarget, SubLink and their Nodes.
		if got := depth(tree.ProtoReflect()); got > 12*maxDepth {
			t.Errorf("the guard let %d levels pass", got)
		}
	})
}

func TestTokensOfHardTexts(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT 'a''b', E'c\'d', "e""f", U&'g', U&"h" , $1`: `word:SELECT literal:'a''b' punctuation:, literal:E'c\'d' punctuation:, word:"e""f" punctuation:, literal:U&'g' punctuation:, word:U&"h" punctuation:, parameter:$1`,
		"$a$ '$b$ $a$ a$b$c $$x$$":                          "literal:$a$ '$b$ $a$ word:a$b$c literal:$$x$$",
		"1/*a/*b*/c*/+--d\n-2.5e-3":                         "number:1 comment:/*a/*b*/c*/ operator:+ comment:--d operator:- number:2.5e-3",
		"E'a'\n'\\'--b'--c":                                 "literal:E'a' literal:'\\'--b' comment:--c",
		"'a'\n'\\'--b":                                      "literal:'a' literal:'\\' comment:--b",
		"a::b ->> .5 x'1F' 1..2":                            "word:a punctuation:: punctuation:: word:b operator:->> number:.5 literal:x'1F' number:1 punctuation:. number:.2",
		"'unfinished":                                       "literal:'unfinished",
		"/* unfinished":                                     "comment:/* unfinished",
	} {
		var got []string
		names := [...]string{"comment", "literal", "number", "word", "parameter", "operator", "punctuation"}
		for token := range tokens(text) {
			got = append(got, names[token.kind]+":"+text[token.start:token.end])
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, s, want)
		}
	}
}

// spans are where the parser's own scanner and ours see comments and strings: what the rest of a text hinges on.
func FuzzTokensAgreeWithTheParser(f *testing.F) {
	for _, text := range []string{
		"SELECT 'a''b' /* c /* d */ */ -- e\n", "E'a'\n'\\'b' 'c'", "$x$ ' $x$ $1 a$b$", `U&"a""b" U&'c' B'1' X'f' N'n'`,
		"1+--a\n-1", "a*/*b*/c", "'a' --x\n 'b'", "E'a' --x\n 'b\\'c'", "@-- x", "$a", "$1$2$", "1e5.e'x'",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.IndexByte(text, 0) >= 0 {
			return
		}
		scanned, err := pg.Scan(text)
		if err != nil {
			return
		}
		var want, got []string
		for _, s := range scanned.Tokens {
			switch s.Token {
			case pg.Token_SQL_COMMENT, pg.Token_C_COMMENT:
				want = append(want, fmt.Sprint("comment ", s.Start, s.End))
			default:
			}
		}
		for s := range tokens(text) {
			if s.kind == comment {
				got = append(got, fmt.Sprint("comment ", s.start, s.end))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	})
}
