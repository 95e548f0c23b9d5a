package oracle

import "fmt"

// function draws a function. Names repeat across schemas, with other volatilities.
func (w *world) function() {
	g := w.g
	s, name := g.schema(), g.one("f0", "f1", "f2", "f3")
	r, t := pick(g, w.relations), pick(g, w.only("rp"))
	count := fmt.Sprintf("SELECT count(*)::int + $1 FROM %s WHERE n > 2", r)
	makes := "CREATE FUNCTION " + s + "." + name + "(int) RETURNS int " + g.one("", "", "", "SECURITY DEFINER ", "SET search_path = a, b ", "SET timezone = 'Asia/Tokyo' ", "STRICT ", "PARALLEL SAFE ")
	f := function{schema: s, name: name, result: "int"}
	switch g.n(16) {
	case 0:
		w.do("%sIMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'", makes)
	case 1:
		w.do("%sIMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 * 2; END'", makes)
	case 2:
		w.do("%sIMMUTABLE LANGUAGE sql RETURN $1 * 3", makes)
	case 3, 4:
		w.do("%sSTABLE LANGUAGE sql BEGIN ATOMIC %s; END", makes, count)
	case 5:
		w.do("%sSTABLE LANGUAGE sql AS '%s'", makes, count)
	case 6:
		w.do("%sSTABLE LANGUAGE plpgsql AS 'BEGIN RETURN (%s); END'", makes, count)
	case 7:
		w.do("%sVOLATILE LANGUAGE plpgsql AS 'BEGIN UPDATE %s SET txt = ''seen'', n = n WHERE id = $1 %% 9; RETURN $1; END'", makes, t)
	case 8:
		w.do("%sVOLATILE LANGUAGE sql BEGIN ATOMIC UPDATE %s SET txt = 'atomic' WHERE id = $1 %% 9; SELECT $1; END", makes, t)
	case 9:
		w.do("%sVOLATILE LANGUAGE sql BEGIN ATOMIC %s; END", makes, count)
	case 10:
		clock := g.one("extract(epoch FROM now())::int", "(SELECT max(extract(microseconds FROM w::timestamptz))::int FROM "+t.String()+")", "extract(microseconds FROM current_timestamp)::int", "(random() * 1000000)::int")
		w.do("%sSTABLE LANGUAGE sql RETURN $1 + %s", makes, clock)
	case 11, 12:
		f.result = "row"
		body := g.one("BEGIN ATOMIC SELECT z.id, z.n, 'x'::text FROM %s z WHERE z.id <> $1; END", "AS 'SELECT z.id, z.n, ''x''::text FROM %s z'")
		w.do("CREATE FUNCTION %s.%s(int, OUT id int, OUT n int, OUT txt text) RETURNS SETOF record STABLE LANGUAGE sql "+body, s, name, r)
	case 13:
		f.result, f.of = "of", pick(g, w.only("r"))
		f.name = fmt.Sprint("row", len(w.functions))
		w.do("CREATE FUNCTION %s.%s(%s) RETURNS int STABLE LANGUAGE sql %s", s, f.name, f.of, g.one("BEGIN ATOMIC SELECT count(*)::int FROM "+r.String()+"; END", "AS 'SELECT max(n) FROM "+r.String()+"'", "RETURN ($1).id"))
	case 14:
		// Calls another one by its body.
		if len(w.functions) == 0 || w.functions[0].result != "int" {
			return
		}
		w.do("%sSTABLE LANGUAGE sql RETURN %s.%s($1) + 1", makes, w.functions[0].schema, w.functions[0].name)
	default:
		w.do("CREATE FUNCTION %s.%s(int DEFAULT a.wr(1)) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'", s, name)
	}
	w.functions = append(w.functions, f)
}

// view draws a view or a materialized view, also over others.
func (w *world) view() {
	g := w.g
	s := g.schema()
	r := pick(g, w.relations)
	v := &relation{schema: s, kind: 'v'}
	options := g.one("", "", " WITH (security_barrier)", " WITH (security_invoker)", " WITH (security_barrier, security_invoker)")
	check := ""
	var body string
	switch g.n(7) {
	case 0, 1: // one that can be written to
		v.columns = r.columns
		body = fmt.Sprintf("SELECT * FROM %s WHERE id < 100", r)
		check = g.one("", " WITH CHECK OPTION")
	case 2:
		v.columns = []column{{"id", "int"}, {"txt", "text"}, {"n", "int"}}
		body = fmt.Sprintf("SELECT id, 'of ' || n AS txt, n FROM %s WHERE n > 1 AND n = ANY (SELECT id FROM %s)", r, pick(g, w.relations))
	case 3:
		other := pick(g, w.relations)
		v.columns = []column{{"id", "int"}, {"n", "int"}, {"many", "int"}}
		body = fmt.Sprintf("SELECT l.id, max(r.n) AS n, count(*)::int AS many FROM %s l LEFT JOIN %s r ON r.n = l.id GROUP BY l.id", r, other)
	case 4:
		v.columns = []column{{"id", "int"}, {"n", "int"}}
		body = fmt.Sprintf("SELECT id, n FROM %s UNION ALL SELECT n, id FROM %s", r, pick(g, w.relations))
	default:
		q := &query{world: w, calm: g.percent(80)}
		v.columns = plainColumns
		v.columns = append([]column{{"n", "int"}}, v.columns...)
		body = "SELECT id AS n, * FROM (" + q.plain() + ") p"
	}
	if g.percent(20) {
		v.kind, v.name = 'm', w.name(s, "m")
		w.do("CREATE MATERIALIZED VIEW %s AS %s", v, body)
	} else {
		v.name = w.name(s, g.one("v", "t"))
		w.do("CREATE VIEW %s%s AS %s%s", v, options, body, check)
	}
	w.add(v)
}
