package analyze

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	pgparser "github.com/pganalyze/pg_query_go/v6/parser"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// Explanation is all that led to a descriptor.
type Explanation struct {
	*statement.Descriptor
	// Path are the schemas that an unqualified name was looked for in, nil where it was in all.
	Path []string
	// Findings are what keeps the statement from being a [statement.Read], the gravest first; none for a Read.
	Findings []Finding
	// Uses are the relations that rows are read from, views and partitions included, in the order they were found.
	Uses []RelationUse
	// Calls are the functions and operators that the statement, or code behind it, may call, sorted by name. Built-in
	// operators that are immutable are left out.
	Calls []Call
}

// Finding is one thing in a statement that keeps its answer from being kept.
type Finding struct {
	// Reason says what it is, in words that go behind "the statement". It holds no literal of the text.
	Reason string
	// Word is the word of the text that it is about, and Position where it begins, in characters from 1, as PostgreSQL
	// counts them; "" and 0 where it is about no single word.
	Word     string
	Position int
	// Remedy says what would make such a statement one whose answer can be kept; empty: nothing would.
	Remedy string

	rank rank
}

// RelationUse is one relation behind a statement.
type RelationUse struct {
	Name, Kind string
	// Rows is the planner's estimate, -1 where it is not known.
	Rows int64
	// Via are the steps from the statement to the relation, empty where the statement names it.
	Via []string
}

// Call is one function or operator that a statement may call.
type Call struct {
	// Name is "schema.name(arguments)", with the arguments where several candidates differ in them.
	Name       string
	Operator   bool
	Volatility string
	// Builtin is set for what PostgreSQL brings.
	Builtin bool
	// Reviewed says why a stable one is allowed all the same: what its value depends on is in the key; else empty.
	Reviewed string
}

// Explain describes a text and says why. It parses the text each time.
func (a *Analyzer) Explain(ctx context.Context, database, path, sql string) *Explanation {
	snapshot := a.catalog.Peek(database)
	if snapshot == nil {
		snapshot = a.await(ctx, database)
	}
	in := a.scene(snapshot, database, path)
	in.account = &account{text: sql}
	d := a.describe(sql, in)
	e := &Explanation{Descriptor: d.Descriptor, Path: in.path, Findings: in.account.findings, Uses: in.account.uses, Calls: in.account.calls}
	if d.Verdict != statement.Read && len(e.Findings) == 0 {
		// It is not a query: what it is says it all.
		e.Findings = []Finding{{Reason: d.Reason, Remedy: remedy(d.Reason)}}
		e.Findings[0].Word, e.Findings[0].Position = wordAt(sql, 0)
		if f := in.account.parse; f != nil {
			e.Findings[0].Word, e.Findings[0].Position = wordAt(sql, f.Cursorpos-1)
		}
	}
	slices.SortStableFunc(e.Findings, func(a, b Finding) int { return cmp.Compare(b.rank, a.rank) })
	slices.SortFunc(e.Calls, func(a, b Call) int { return cmp.Compare(a.Name, b.Name) })
	return e
}

// maxAccount bounds each list of an explanation.
const maxAccount = 200

// account collects what an explanation says. All methods do nothing on nil.
type account struct {
	text     string
	findings []Finding
	uses     []RelationUse
	calls    []Call
	parse    *pgparser.Error
}

func (a *account) find(r rank, reason string, at int) {
	if a == nil || len(a.findings) >= maxAccount {
		return
	}
	f := Finding{Reason: reason, Remedy: remedy(reason), rank: r}
	if strings.Contains(reason, "locks rows") {
		at = lockingClause(a.text)
	}
	f.Word, f.Position = wordAt(a.text, at)
	for _, g := range a.findings {
		if g.Reason == f.Reason && g.Position == f.Position {
			return
		}
	}
	a.findings = append(a.findings, f)
}

func (a *account) fail(err error) {
	if a != nil {
		errors.As(err, &a.parse)
	}
}

func (a *account) relation(r *catalog.Relation, via []string) {
	if a == nil || len(a.uses) >= maxAccount || slices.ContainsFunc(a.uses, func(u RelationUse) bool { return u.Name == r.String() }) {
		return
	}
	a.uses = append(a.uses, RelationUse{Name: r.String(), Kind: r.Kind.String(), Rows: max(r.Rows, -1), Via: slices.Clone(via)})
}

func (a *account) function(name string, f catalog.Function) {
	a.call(name, f.Arguments, Call{
		Name: f.Schema + "." + name, Volatility: f.Volatility.String(), Builtin: f.Builtin,
		Reviewed: spellOut(reviewedFunctions[name+"("+f.Arguments+")"], reviewedFunctions) + spellOut(reviewedModules[f.Module], reviewedModules),
	})
}

func (a *account) operator(name string, o catalog.Operator) {
	if o.Builtin && o.Volatility == catalog.Immutable {
		return
	}
	a.call(name, o.Operands, Call{
		Name: o.Schema + "." + name, Operator: true, Volatility: o.Volatility.String(), Builtin: o.Builtin,
		Reviewed: spellOut(reviewedOperators[name+"("+o.Operands+")"], reviewedOperators) + spellOut(reviewedModules[o.Module], reviewedModules),
	})
}

func (a *account) call(_, arguments string, c Call) {
	if a == nil || len(a.calls) >= maxAccount {
		return
	}
	if c.Volatility == catalog.Immutable.String() {
		c.Reviewed = ""
	} else if c.Builtin {
		c.Name += "(" + arguments + ")"
	}
	if !slices.Contains(a.calls, c) {
		a.calls = append(a.calls, c)
	}
}

// lockingClause returns where FOR UPDATE or another locking clause begins, which the parse tree does not say.
func lockingClause(text string) int {
	at, found := -1, -1
	for t := range tokens(text) {
		if t.kind != word {
			continue
		}
		switch w := strings.ToLower(text[t.start:t.end]); {
		case w == "for":
			at = t.start
		case at >= 0 && (w == "update" || w == "share" || w == "no" || w == "key"):
			found, at = at, -1
		default:
			at = -1
		}
	}
	return found
}

// wordAt returns the token that begins at a byte of the text, and where it begins in characters from 1. A literal is
// not told: what stands in it is the client's.
func wordAt(text string, at int) (string, int) {
	if at < 0 || at >= len(text) {
		return "", 0
	}
	for t := range tokens(text) {
		if t.end <= at || t.kind == comment {
			continue
		}
		position := utf8.RuneCountInString(text[:t.start]) + 1
		switch t.kind {
		case literal:
			return "a text", position
		case word:
			return dotted(text, t), position
		default:
			return text[t.start:t.end], position
		}
	}
	return "", 0
}

// dotted returns the name that begins with a word: a.b.c.
func dotted(text string, first token) string {
	end, expect := first.end, byte('.')
	for t := range tokens(text) {
		if t.start < first.end {
			continue
		}
		if t.start != end || expect == '.' && text[t.start] != '.' || expect == 'w' && t.kind != word {
			break
		}
		if end = t.end; expect == '.' {
			expect = 'w'
		} else {
			expect = '.'
		}
	}
	return strings.TrimSuffix(text[first.start:end], ".")
}

// remedies are what helps against a finding, by words that its reason holds; the first that fits counts.
var remedies = []struct{ words, remedy string }{
	{"not in the WAL", "ALTER TABLE … SET LOGGED, or let the home's source be wire"},
	{"locks rows", "leave out FOR UPDATE or FOR SHARE where the rows are only looked at"},
	{"means a moment of the clock", "compare with a value that the application computes, as a parameter: '2024-01-31' and not 'today'"},
	{"what may be a text like 'now'", "cast in the application, or compare with a parameter of the type"},
	{"CURRENT_", "hand the value over as a parameter, rounded to what the answer needs (the day, the hour)"},
	{"LOCALTIME", "hand the value over as a parameter, rounded to what the answer needs (the day, the hour)"},
	{"SESSION_USER", "hand the value over as a parameter"},
	{"calls USER", "hand the value over as a parameter"},
	{"which is stable", "cast one side, so that both are of one type"},
	{"time with time zone", "use timestamptz, or time without time zone"},
	{"samples a table", "select by a key instead of TABLESAMPLE"},
	{"handles XML", "build the XML in the application"},
	{"queries JSON by a function of the grammar", "use jsonb operators or jsonb_path_query instead"},
	{"system column", "leave the system column out; a version column of your own can be kept"},
	{"system relation", "nothing to change: catalogs change without a trace, and what asks them is rarely asked often"},
	{"state of the sequence", "nothing to change: a sequence's state changes without a trace"},
	{"has row security", "drop the row security of the table, or ask for the rows through a table without"},
	{"whose row security calls", "drop the row security of the table, or ask for the rows through a table without"},
	{"foreign table", "keep the rows in a materialized view: REFRESH voids what was kept"},
	{"temporary table", "nothing to change: only its session sees it"},
	{"which is not known", "check the name; what was created past the home is known once the home reads the catalogs anew"},
	{"is not in the search path", "qualify the name with its schema"},
	{"may be any of", "qualify the name with its schema"},
	{"row type of", "name the columns"},
	{"names the type", "cast to the type that it is made from"},
	{"may use a cast of the database's own", "drop the cast, or make it explicit: AS ASSIGNMENT and AS IMPLICIT leave no trace in a statement"},
	{"operator class of the database's own", "declare the class's functions IMMUTABLE if they depend on their arguments alone"},
	{"which is not built in", "if its value depends on its arguments alone, declare it IMMUTABLE; if it reads tables, write it in SQL with BEGIN ATOMIC, so that they are seen"},
	{"the volatile function", "compute the value in the application, and hand it over as a parameter"},
	{"the stable function", "compute the value in the application, and hand it over as a parameter, rounded to what the answer needs"},
	{"whose query is not known", "write it as a plain view over tables"},
	{"holds several statements", "send one statement at a time"},
	{"too long to be analysed", "send the values as parameters: an array and = ANY ($1)"},
	{"nested too deeply", "send the values as parameters: an array and = ANY ($1)"},
	{"not understood by the parser", "check the syntax; syntax that is newer than PostgreSQL 17 is not understood yet"},
}

func remedy(reason string) string {
	for _, r := range remedies {
		if strings.Contains(reason, r.words) {
			return r.remedy
		}
	}
	return ""
}
