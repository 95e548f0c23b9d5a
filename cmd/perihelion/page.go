package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// page is an explanation in words, for somebody who has little time.
type page struct {
	strings.Builder
	coloured bool
}

// The colours, as terminals know them.
const (
	red   = "\x1b[1;31m"
	green = "\x1b[1;32m"
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

func (p *page) in(colour, text string) string {
	if !p.coloured {
		return text
	}
	return colour + text + reset
}

// printable returns a text as it may be written to a terminal: what is no letter, sign or space cannot do anything there.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '?'
	}, text)
}

// maxFindings bounds the findings that are shown of one statement, and maxCalls the calls.
const maxFindings, maxCalls = 8, 20

// renderExplanation returns the page of an explanation of a statement.
func renderExplanation(sql string, e *api.Explanation, coloured bool) string {
	p := &page{coloured: coloured}
	if e.Cached {
		ttl := time.Duration(e.Decision.TTLMS) * time.Millisecond
		p.line(p.in(green, "CACHED") + " for " + ttl.String() + " at most, level " + printable(e.Decision.Level) + ": " + printable(e.Why))
	} else {
		p.line(p.in(red, "NOT CACHED") + ": " + printable(e.Why))
	}
	if len(e.Statements) == 0 {
		p.findings(sql, 1, e.Findings)
	} else {
		for i := range e.Statements {
			one := &e.Statements[i]
			p.line("")
			p.line(p.in(bold, fmt.Sprintf("Statement %d", i+1)) + ": " + one.Verdict.String() + ", it " + printable(one.Reason))
			p.findings(sql, one.Position, one.Findings)
		}
		for _, f := range e.Findings {
			p.line("")
			p.advice(f)
		}
	}
	p.line("")
	verdict := e.Verdict.String()
	if e.Fingerprint != 0 {
		text, _ := e.Fingerprint.MarshalText() // does not fail
		verdict += ", fingerprint " + string(text)
	}
	p.section("Verdict", []string{verdict})
	path := "not certain, so names are looked for in all schemas: " + e.PathNote
	if e.SearchPath != nil {
		path = strings.Join(e.SearchPath, ", ")
	}
	p.section("Session", []string{"database " + e.Database + ", user " + e.User + ", search_path " + path})
	p.section("Reads", tree(e.Uses))
	p.section("Writes", writes(e.Writes))
	p.section("Calls", columns(calls(e.Calls)))
	p.section("Policy", []string{cmp.Or(e.Decision.Policy, "none") + ": " + e.Decision.Reason})
	if e.Verdict == statement.Read {
		p.section("Key", columns(keys(e.Key)))
	}
	return p.String()
}

func (p *page) line(text string) {
	p.WriteString(strings.TrimRight(text, " "))
	p.WriteByte('\n')
}

// section writes lines beside a title; nothing where there are none.
func (p *page) section(title string, lines []string) {
	for i, line := range lines {
		if i > 0 {
			title = ""
		}
		p.line(p.in(bold, fmt.Sprintf("%-9s", title)) + printable(line))
	}
}

// findings shows each finding with its line of the statement, a caret below the word. position is where the statement
// begins in sql.
func (p *page) findings(sql string, position int, findings []api.Finding) {
	for i, f := range findings {
		p.line("")
		if i == maxFindings {
			p.line(fmt.Sprintf("and %d more, which --json shows", len(findings)-i))
			return
		}
		if f.Position > 0 {
			p.excerpt(sql, position+f.Position-1)
		}
		p.advice(f)
	}
}

func (p *page) advice(f api.Finding) {
	why := f.Reason
	if f.Position == 0 && f.Word != "" {
		why = f.Word + ": " + why
	}
	p.line("  " + p.in(bold, "why") + "   " + printable(why))
	p.line("  " + p.in(bold, "help") + "  " + printable(cmp.Or(f.Remedy, "none: this is what such a statement is for")))
}

// What an excerpt shows at most, and how much of that stands before the word, in characters.
const excerptWidth, excerptBefore = 76, 50

// excerpt shows the line of a text that holds a character, counted from 1, and a caret below it, as psql does.
func (p *page) excerpt(sql string, position int) {
	runes := []rune(sql)
	at := min(position-1, len(runes))
	number, begin := 1, 0
	for i, r := range runes[:at] {
		if r == '\n' {
			number, begin = number+1, i+1
		}
	}
	end := begin
	for end < len(runes) && runes[end] != '\n' {
		end++
	}
	before, after := "", ""
	if end-begin > excerptWidth {
		if at-begin > excerptBefore {
			begin, before = at-excerptBefore, "..."
		}
		if end-begin > excerptWidth {
			end, after = begin+excerptWidth, "..."
		}
	}
	head := fmt.Sprintf("LINE %d: %s", number, before)
	shown := printable(string(runes[begin:at]))
	p.line(head + shown + printable(string(runes[at:end])) + after)
	p.line(strings.Repeat(" ", utf8.RuneCountInString(head)+cells(shown)) + p.in(red, "^"))
}

// cells is how many columns of a terminal a text takes.
func cells(text string) (n int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// branch is a relation, or code on the way to one.
type branch struct {
	name, about string
	below       []*branch
}

func (n *branch) child(name string) *branch {
	i := slices.IndexFunc(n.below, func(c *branch) bool { return c.name == name })
	if i < 0 {
		n.below = append(n.below, &branch{name: name})
		return n.below[len(n.below)-1]
	}
	return n.below[i]
}

// tree shows relations below what they are read through.
func tree(uses []api.RelationUse) []string {
	root := &branch{}
	for _, u := range uses {
		at := root
		for _, step := range u.Path {
			name, about := step, ""
			for _, kind := range [...]struct{ prefix, about string }{
				{"reads the view ", ""}, {"reads ", ""}, {"calls the function ", "function"}, {"writes to the view ", "view, written to"},
			} {
				if rest, ok := strings.CutPrefix(step, kind.prefix); ok {
					name, about = rest, kind.about
					break
				}
			}
			at = at.child(name)
			at.about = cmp.Or(at.about, about)
		}
		one := at.child(u.Relation)
		one.about = u.Kind
		if u.Rows >= 0 {
			one.about += ", about " + grouped(u.Rows) + " rows"
		}
	}
	var lines [][]string
	root.list(&lines, "", "")
	return columns(lines)
}

func (n *branch) list(lines *[][]string, first, rest string) {
	if n.name != "" {
		*lines = append(*lines, []string{first + n.name, n.about})
	}
	for i, c := range n.below {
		switch {
		case n.name == "":
			c.list(lines, "", "")
		case i == len(n.below)-1:
			c.list(lines, rest+"└─ ", rest+"   ")
		default:
			c.list(lines, rest+"├─ ", rest+"│  ")
		}
	}
}

func grouped(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func writes(w api.Writes) []string {
	switch {
	case w.Cluster:
		return []string{"anything, in every database"}
	case w.Anything:
		return []string{"anything in the database, as far as can be told"}
	case len(w.Relations) == 0:
		return nil
	}
	return []string{strings.Join(w.Relations, ", ")}
}

// calls shows each function and operator once where all that it may stand for is alike.
func calls(all []api.Call) (lines [][]string) {
	type group struct{ name, volatility, allowed string }
	seen := map[group]bool{}
	for _, c := range all {
		name, _, _ := strings.Cut(c.Name, "(")
		name = strings.TrimPrefix(name, "pg_catalog.")
		if !c.Operator {
			name += "()"
		}
		g := group{name, c.Volatility, cmp.Or(c.Allowed, "keeps the answer from being kept")}
		if seen[g] {
			continue
		}
		seen[g] = true
		lines = append(lines, []string{g.name, g.volatility, g.allowed})
	}
	if more := len(lines) - maxCalls; more > 0 {
		lines = append(lines[:maxCalls], []string{fmt.Sprintf("and %d more, which --json shows", more)})
	}
	return lines
}

// maxValue bounds what is shown of a part of the key, in characters.
const maxValue = 60

func keys(parts []api.KeyPart) (lines [][]string) {
	for _, part := range parts {
		value := []rune(part.Value)
		if len(value) > maxValue {
			value = append(value[:maxValue:maxValue], []rune("...")...)
		}
		about := string(value)
		switch {
		case about == "":
			about = part.Note
		case part.Note != "":
			about += " (" + part.Note + ")"
		}
		lines = append(lines, []string{part.Part, about})
	}
	return lines
}

// columns aligns the cells of lines.
func columns(lines [][]string) []string {
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(line)-1 {
				break // the last needs no room
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cells(cell))
		}
	}
	aligned := make([]string, 0, len(lines))
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-cells(cell)+2))
			}
		}
		aligned = append(aligned, b.String())
	}
	return aligned
}
