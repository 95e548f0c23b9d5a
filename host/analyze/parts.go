package analyze

import (
	"context"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Part is the explanation of one statement of a text that holds several.
type Part struct {
	*Explanation
	// Text is the statement, and Position where it begins in the whole text, in characters from 1. The positions of its
	// findings count from there as well: 1 is its own first character.
	Text     string
	Position int
}

// ExplainParts explains each statement of a text that holds several, as it would be if it were sent alone; of any other
// text, and of one with more statements than anybody follows, nil.
func (a *Analyzer) ExplainParts(ctx context.Context, database, path, sql string) []Part {
	if len(sql) > maxTextBytes || strings.IndexByte(sql, 0) >= 0 || tooDeep(sql) {
		return nil
	}
	tree, err := pg.Parse(sql)
	if err != nil || len(tree.Stmts) < 2 || len(tree.Stmts) > maxParts {
		return nil
	}
	if in := (&scene{path: []string{path}}).several(tree); in.path == nil {
		path = "" // one of them may change it
	}
	parts := make([]Part, 0, len(tree.Stmts))
	for _, raw := range tree.Stmts {
		all := statementText(sql, raw)
		text := strings.TrimLeft(all, spaces)
		at := int(raw.StmtLocation) + len(all) - len(text)
		if at < 0 || at > len(sql) {
			at = 0
		}
		parts = append(parts, Part{
			Explanation: a.Explain(ctx, database, path, text), Text: text, Position: utf8.RuneCountInString(sql[:at]) + 1,
		})
	}
	return parts
}

const spaces = " \t\n\r\f\v"

// spellOut puts the place of "as SIGNATURE" in a reviewed reason what that line says.
func spellOut(reason string, of map[string]string) string {
	for range 4 {
		at := strings.LastIndex(reason, "as ")
		if at < 0 {
			return reason
		}
		other, ok := of[reason[at+len("as "):]]
		if !ok {
			return reason
		}
		reason = reason[:at] + other
	}
	return reason
}
