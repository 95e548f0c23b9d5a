package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// query writes one SELECT. Its answer depends on nothing but rows: where the order of rows counts, all of them are
// ordered, by everything that they are.
type query struct {
	*world
	// sources are what FROM names: an alias and the columns to be had from it.
	sources []source
	aliases int
	depth   int
	// calm keeps out what the clock or chance decides, most of which makes a whole statement unstable.
	calm bool
}

type source struct {
	alias   string
	columns []column
	// row is the relation whose rows the source holds as they are, if any.
	row *relation
}

// read draws a statement that only reads, if what it calls only does.
func (w *world) read() string {
	q := &query{world: w, calm: w.g.percent(80)}
	g := w.g
	body := q.selectFrom(4)
	switch g.n(14) {
	case 7, 8:
		return q.shadowed()
	case 0:
		return "SELECT * FROM (" + body + ") q ORDER BY q::text LIMIT " + g.one("1", "3", "5 OFFSET 1")
	case 1:
		return "WITH c AS (" + body + ") SELECT count(*), (SELECT count(*) FROM c WHERE c IS NOT NULL) FROM c"
	case 2:
		return "WITH RECURSIVE r(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM r WHERE k < 4) SELECT r.k, q.* FROM r, LATERAL (" + body + ") q WHERE r.k < 3"
	case 3:
		return q.setOperation()
	case 4:
		return "SELECT json_agg(q ORDER BY q::text) FROM (" + body + ") q"
	case 5:
		r := pick(g, w.relations)
		return "/* a comment */ TABLE " + q.spelled(r) + " -- the end"
	case 6:
		return "SELECT id FROM " + q.spelled(pick(g, q.only("rpv"))) + " FOR " + g.one("UPDATE", "SHARE", "KEY SHARE", "NO KEY UPDATE")
	}
	return body
}

func (q *query) alias(prefix string) string {
	q.aliases++
	return fmt.Sprint(prefix, q.aliases)
}

// shadows are where a common table expression has the name of a relation: %[1]s is that name, %[2]s another relation, %[3]s
// a relation of the first name with its schema.
var shadows = []string{
	"WITH %[1]s AS (SELECT id, n FROM %[2]s) SELECT * FROM %[1]s",
	"WITH %[1]s AS (SELECT id, n FROM %[1]s WHERE id > 2) SELECT * FROM %[1]s",
	"WITH x AS (SELECT id FROM %[1]s), %[1]s AS (SELECT id FROM %[2]s) SELECT x.id, (SELECT count(*) FROM %[1]s) FROM x",
	"WITH %[1]s AS (SELECT id FROM %[2]s) SELECT id FROM %[3]s UNION ALL SELECT id FROM %[1]s",
	"SELECT id FROM %[1]s WHERE id IN (WITH %[1]s AS (SELECT id FROM %[2]s) SELECT id FROM %[1]s)",
	"WITH RECURSIVE %[1]s(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM %[1]s WHERE id < 3) SELECT z.id FROM %[1]s z JOIN %[2]s USING (id)",
	"SELECT (WITH %[1]s AS (SELECT 1 AS id) SELECT id FROM %[1]s), count(*) FROM %[1]s",
	"WITH a AS (WITH %[1]s AS (SELECT 5 AS id) SELECT id FROM %[1]s) SELECT * FROM a, (SELECT max(id) FROM %[1]s) z",
	"(WITH %[1]s AS (SELECT 7 AS id) TABLE %[1]s) UNION ALL SELECT id FROM %[1]s",
	"WITH %[1]s AS NOT MATERIALIZED (SELECT id FROM %[2]s) SELECT * FROM %[1]s AS l JOIN LATERAL (SELECT count(*) FROM %[1]s z WHERE z.id = l.id) AS m ON true",
}

func (q *query) shadowed() string {
	r := pick(q.g, q.relations)
	return fmt.Sprintf(pick(q.g, shadows), r.name, q.spelled(pick(q.g, q.relations)), r.String())
}

// setOperation combines columns that have one spelling per value.
func (q *query) setOperation() string {
	one := func() string {
		r := pick(q.g, q.relations)
		return "SELECT id, n FROM " + q.spelled(r) + q.g.one("", " WHERE id > 2", " WHERE n = ANY (ARRAY[1, 2, 5])")
	}
	sql := one() + q.g.one(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ", " EXCEPT ALL ") + one()
	if q.g.percent(30) {
		sql = "(" + sql + ") UNION ALL VALUES (1, 2), (" + q.g.one("3, 4", "length('abc'), 1") + ")"
	}
	return sql
}

// selectFrom draws a query over up to so many sources.
func (q *query) selectFrom(most int) string {
	g := q.g
	outer := q.sources
	defer func() { q.sources = outer }()
	q.sources = nil
	from := q.from()
	for range g.n(most) / 2 {
		from = q.join(from)
	}
	where := ""
	if g.percent(60) {
		where = " WHERE " + q.condition()
	}
	switch g.n(8) {
	case 0:
		return q.say("SELECT {int} AS k, count(*), sum({int}), string_agg({text}, ',' ORDER BY {rows}) FROM ") + from + where + " GROUP BY 1" + g.one("", " HAVING count(*) > 1")
	case 1:
		return q.say("SELECT count(*) AS n, min({ts}) AS ts, max({int}) AS id, bool_or({condition}) FROM ") + from + where
	case 2:
		return "SELECT " + q.list() + ", " + q.say("rank()", "row_number()", "lag({int})", "sum({int})", "first_value({text})") +
			q.say(" OVER (ORDER BY {rows})", " OVER (PARTITION BY {int} ORDER BY {rows})") + " AS win FROM " + from + where
	case 3:
		return q.say("SELECT DISTINCT {int} AS id, {text} AS txt FROM ") + from + where
	}
	return "SELECT " + q.list() + " FROM " + from + where
}

// rowText tells all rows of the sources apart that are not the same.
func (q *query) rowText() string {
	var parts []string
	for _, s := range q.sources {
		parts = append(parts, s.alias+"::text")
	}
	return strings.Join(parts, ", ")
}

// from draws one thing to read from, and adds it to the sources.
func (q *query) from() string {
	g := q.g
	switch g.n(12) {
	case 0:
		if q.depth < 2 {
			q.depth++
			inner := (&query{world: q.world, aliases: q.aliases + 10, depth: q.depth, calm: q.calm}).plain()
			q.depth--
			a := q.alias("s")
			q.sources = append(q.sources, source{alias: a, columns: plainColumns})
			return "(" + inner + ") AS " + a
		}
	case 1:
		a := q.alias("v")
		q.sources = append(q.sources, source{alias: a, columns: []column{{"id", "int"}, {"txt", "text"}}})
		return "(VALUES (1, 'x'), (2, 'b'), (3, " + g.one("'y'", "lower('Z')") + ")) AS " + a + "(id, txt)"
	case 2:
		for _, f := range q.functions {
			if f.result == "row" && g.percent(60) {
				a := q.alias("f")
				q.sources = append(q.sources, source{alias: a, columns: []column{{"id", "int"}, {"n", "int"}, {"txt", "text"}}})
				return q.called(f) + "(" + g.one("1", "2", "5") + ") AS " + a
			}
		}
	case 4:
		if g.percent(50) {
			text := "(SELECT 1 AS id, u.ts FROM (" + q.say(disguises...) + ") u) AS "
			a := q.alias("y")
			q.sources = append(q.sources, source{alias: a, columns: []column{{"id", "int"}, {"ts", "ts"}}})
			return text + a
		}
	case 3:
		a := q.alias("g")
		q.sources = append(q.sources, source{alias: a, columns: []column{{"id", "int"}}})
		return "generate_series(1, " + g.one("2", "4") + ") AS " + a + "(id)"
	}
	r := pick(g, q.relations)
	a := q.alias("r")
	q.sources = append(q.sources, source{alias: a, columns: r.columns, row: r})
	only := ""
	if g.percent(10) {
		only = "ONLY "
	}
	return only + q.spelled(r) + " AS " + a
}

// plainColumns are those of plain.
var plainColumns = []column{{"id", "int"}, {"txt", "text"}, {"d", "date"}, {"w2", "when"}}

// plain is a subquery of known columns; d may be a text in disguise.
func (q *query) plain() string {
	from := q.from()
	d := q.value("date")
	if q.g.percent(15) {
		d = q.value("when") // a text under a date's name
	}
	return "SELECT " + q.value("int") + " AS id, " + q.value("text") + " AS txt, " + d + " AS d, " + q.value("when") + " AS w2 FROM " + from +
		q.say("", " WHERE {condition}")
}

func (q *query) join(from string) string {
	g := q.g
	left := q.sources[g.n(len(q.sources))]
	next := q.from()
	right := q.sources[len(q.sources)-1]
	switch g.n(8) {
	case 0:
		return from + ", " + next
	case 1:
		if len(q.sources) == 2 {
			return from + g.one(" JOIN ", " LEFT JOIN ", " FULL JOIN ") + next + " USING (id)"
		}
	case 2:
		return from + " CROSS JOIN LATERAL (SELECT " + left.alias + ".id AS outer_id, count(*) AS many FROM " + next + " WHERE " + right.alias + ".id = " + left.alias + ".id) AS " + q.closeLateral()
	}
	return from + g.one(" JOIN ", " LEFT JOIN ", " RIGHT JOIN ") + next + " ON " + left.alias + ".id = " + right.alias + "." + q.intOf(right)
}

// closeLateral makes a lateral subquery the source in place of what was inside it.
func (q *query) closeLateral() string {
	a := q.alias("l")
	q.sources[len(q.sources)-1] = source{alias: a, columns: []column{{"outer_id", "int"}, {"many", "int"}}}
	return a
}

func (q *query) intOf(s source) string {
	for _, c := range s.columns {
		if c.kind == "int" && q.g.percent(50) {
			return c.name
		}
	}
	return "id"
}

func (q *query) list() string {
	g := q.g
	if g.percent(15) && len(q.sources) == 1 {
		return "*"
	}
	var list []string
	for i := range 1 + g.n(4) {
		list = append(list, q.value(g.one("int", "text", "ts", "date", "num", "float", "any", "enum", "row"))+fmt.Sprint(" AS o", i))
	}
	return strings.Join(list, ", ")
}

// col returns a column of the kind, or "" where no source has one.
func (q *query) col(kind string) string {
	var all []string
	for _, s := range q.sources {
		for _, c := range s.columns {
			if c.kind == kind {
				all = append(all, s.alias+"."+c.name)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	return pick(q.g, all)
}

// called is a function's name as a call may spell it.
func (q *query) called(f function) string {
	if q.inPath(f.schema) && q.g.percent(50) {
		return f.name
	}
	return f.schema + "." + f.name
}

// say picks one of the texts and puts an expression of each kind in its place: {int}, {condition}, {relation}.
func (q *query) say(from ...string) string {
	var b strings.Builder
	text := q.phrase(from)
	for {
		before, rest, found := strings.Cut(text, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		var what string
		what, text, _ = strings.Cut(rest, "}")
		switch what {
		case "rows":
			b.WriteString(q.rowText())
		case "condition":
			b.WriteString(q.condition())
		case "relation":
			b.WriteString(q.spelled(pick(q.g, q.relations)))
		case "table":
			b.WriteString(q.spelled(pick(q.g, q.only("rp"))))
		case "=":
			b.WriteString(q.equal())
		default:
			b.WriteString(q.value(what))
		}
	}
}

// clockwise are what phrases have in them that the clock or chance decides.
var clockwise = []string{"now", "today", "tomorrow", "current_", "random", "{when})::time", "{when})::date", "{when} AS", "{when}, ','", "{when} ||"}

// phrase picks one of the texts that fit the query's mood.
func (q *query) phrase(from []string) string {
	if !q.calm {
		return pick(q.g, from)
	}
	var fit []string
	for _, text := range from {
		if !slices.ContainsFunc(clockwise, func(part string) bool { return strings.Contains(text, part) }) {
			fit = append(fit, text)
		}
	}
	return pick(q.g, fit)
}

// equal is a comparison of two ints, which may be the schema's own.
func (q *query) equal() string {
	if len(q.operators) > 0 && q.g.percent(25) {
		return pick(q.g, q.operators)
	}
	return "="
}

// value draws an expression of a kind.
func (q *query) value(kind string) string {
	g := q.g
	switch kind {
	case "any":
		kind = g.one("other", "int", "text", "when")
	case "row":
		s := pick(g, q.sources)
		return g.one("row_to_json("+s.alias+")::text", s.alias+"::text", "to_jsonb("+s.alias+")::text")
	}
	if g.percent(50) || q.depth > 3 {
		if c := q.col(kind); c != "" {
			return c
		}
		return q.phrase(constants[kind])
	}
	q.depth++
	defer func() { q.depth-- }()
	if kind == "int" && g.percent(35) {
		if call := q.call(); call != "" {
			return call
		}
	}
	return q.say(expressions[kind]...)
}

// call calls one of the schema's functions, or returns "".
func (q *query) call() string {
	if len(q.functions) == 0 {
		return ""
	}
	switch f := pick(q.g, q.functions); f.result {
	case "int":
		return q.called(f) + "(" + q.value("int") + ")"
	case "of":
		for _, s := range q.sources {
			if s.row == f.of {
				return q.g.one(s.alias+"."+f.name, q.called(f)+"("+s.alias+")")
			}
		}
	}
	return ""
}

// condition draws a boolean expression.
func (q *query) condition() string {
	q.depth++
	defer func() { q.depth-- }()
	if q.depth > 4 {
		return q.say("{int} > 2")
	}
	return q.say(conditions...)
}
