package analyze

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/perihelion-proxy/perihelion/host/catalog"
)

// nameOf returns the strings of a list of String nodes; ok is false where the list holds anything else.
func nameOf(list []*pg.Node) (names []string, ok bool) {
	names = make([]string, 0, len(list))
	for _, n := range list {
		s := n.GetString_()
		if s == nil {
			return nil, false
		}
		names = append(names, s.Sval)
	}
	return names, len(names) > 0
}

// qualified splits a name into schema and name. A name of more than two parts has no meaning here.
func qualified(list []*pg.Node) (schema, name string, ok bool) {
	names, ok := nameOf(list)
	switch {
	case !ok || len(names) > 2:
		return "", strings.Join(names, "."), false
	case len(names) == 2:
		return names[0], names[1], true
	default:
		return "", names[0], true
	}
}

// call judges a function that is called by name, with all its candidates.
func (w *walk) call(f *pg.FuncCall) {
	schema, name, ok := qualified(f.Funcname)
	if !ok || !w.snapshot.UTF8 && !isASCII(name) {
		w.unknownCode("calls " + name + ", which is not understood")
		return
	}
	// A call with one argument may be a cast in disguise.
	isCast := false
	if len(f.Args) == 1 {
		isCast = w.functionalCast(schema, name, f.Args[0])
	}
	count := len(f.Args)
	if f.AggWithinGroup {
		count += len(f.AggOrder)
	}
	candidates := w.functionsNamed(schema, name, count)
	if name == "unnest" && count > 1 {
		// In FROM, unnest(a, b) means ROWS FROM (unnest(a), unnest(b)).
		candidates = append(candidates, w.functionsNamed(schema, name, 1)...)
	}
	for _, c := range candidates {
		w.function(c.Schema + "." + name)
	}
	switch {
	case f == w.toRecord && allBuiltin(candidates):
	case len(candidates) > 0:
		w.judgeCall(name, candidates)
	case isCast:
	case len(w.snapshot.FunctionsNamed(name)) > 0:
		w.unknownCode("calls the function " + name + ", which does not take so many arguments, or is not in the search path")
	default:
		w.unknownCode("calls the function " + name + ", which is not known")
	}
}

// definedRecord judges "json_to_recordset(…) AS x (a int, b text)": the function reads each field as its column's type would
// read a text, and does nothing else.
func (w *walk) definedRecord(n *pg.RangeFunction) {
	if len(n.Coldeflist) == 0 || len(n.Functions) != 1 {
		return
	}
	items := n.Functions[0].GetList().GetItems()
	if len(items) == 0 {
		return
	}
	f := items[0].GetFuncCall()
	if _, name, ok := qualified(f.GetFuncname()); !ok || !jsonToRecord[name] || len(f.Args) != 1 {
		return
	}
	w.toRecord = f
	for _, column := range n.Coldeflist {
		if t := column.GetColumnDef().GetTypeName(); t == nil || w.typeName(t) == momentType {
			w.unstable("casts to a date or time what may be a text like 'now'") // which JSON can spell in escapes
		}
	}
}

func allBuiltin(candidates []catalog.Function) bool {
	return len(candidates) > 0 && !slices.ContainsFunc(candidates, func(c catalog.Function) bool { return !c.Builtin })
}

// sees reports whether a name with or without a schema can stand for an object of the given schema.
func (w *walk) sees(schema, of string) bool {
	if schema != "" {
		return schema == of
	}
	return w.path == nil || of == "pg_catalog" || slices.Contains(w.path, of)
}

// functionsNamed returns the functions that a call of the name with that many arguments can mean.
func (w *walk) functionsNamed(schema, name string, arguments int) []catalog.Function {
	var candidates []catalog.Function
	for _, c := range w.snapshot.FunctionsNamed(name) {
		if w.sees(schema, c.Schema) && c.Takes(arguments) {
			candidates = append(candidates, c)
		}
	}
	return candidates
}

// judgeCall judges all candidates for a call: which of them it is, types would tell.
func (w *walk) judgeCall(name string, candidates []catalog.Function) {
	clock, all := false, true
	for _, c := range candidates {
		clock = clock || c.ClockTyped && !c.Builtin
		all = all && c.ClockTyped
		w.judgeCandidate(name, c)
	}
	if clock || all {
		// A string handed to such an argument would be read by today's date.
		w.unstable("calls the function " + name + ", which takes or returns a time with time zone")
	}
}

func (w *walk) judgeCandidate(name string, c catalog.Function) {
	w.account.function(name, c)
	if c.Body != nil {
		// What it does counts, not what it is said to be: some call a function immutable that reads a table.
		w.inside("calls the function "+c.Schema+"."+name, func() { w.body(c.Body) })
		return
	}
	if c.Volatility == catalog.Immutable {
		return
	}
	calls := "calls the " + c.Volatility.String() + " function " + name
	if c.Module != "" {
		if _, ok := reviewedModules[c.Module]; !ok {
			w.unstable(calls)
		}
		return
	}
	if !c.Builtin {
		w.unknownCode(calls + ", which is not built in")
		return
	}
	if _, ok := reviewedFunctions[name+"("+c.Arguments+")"]; ok {
		return
	}
	if c.Volatility == catalog.Stable {
		if runsForeignCode[name] {
			w.unknownCode(calls)
		} else {
			w.unstable(calls)
		}
		return
	}
	does, ok := harmlessFunctions[name]
	switch {
	case !ok:
		w.unknownCode(calls)
	case does == onlyReads:
		w.unstable(calls)
	case does == setsState:
		w.opaque("calls the function " + name + ", which changes the session's state")
		w.untracked = true
	default:
		w.opaque("calls the function " + name + ", which does more than read")
	}
}

// field judges "row.name", which means "name(row)" where the row has no such column.
func (w *walk) field(name string) {
	if systemColumns[name] {
		w.unstable("reads the system column " + name)
	}
	for _, c := range w.functionsNamed("", name, 1) {
		if c.RowArgument {
			w.judgeCandidate(name, c)
			if c.ClockTyped {
				w.unstable("may call the function " + name + ", which takes or returns a time with time zone")
			}
		}
	}
}

// operator judges an operator that is named, or implied by the grammar.
func (w *walk) operator(list []*pg.Node) {
	schema, name, ok := qualified(list)
	if !ok {
		w.unknownCode("uses an operator that is not understood")
		return
	}
	w.operatorNamed(schema, name)
}

func (w *walk) operatorNamed(schema, name string) {
	any := false
	for _, o := range w.snapshot.OperatorsNamed(name) {
		if !w.sees(schema, o.Schema) {
			continue
		}
		any = true
		w.judgeOperator(name, o)
	}
	if !any {
		w.unknownCode("uses the operator " + name + ", which is not known")
	}
}

func (w *walk) judgeOperator(name string, o catalog.Operator) {
	w.account.operator(name, o)
	if o.Volatility == catalog.Immutable {
		return
	}
	uses := "uses the operator " + name + ", which is " + o.Volatility.String()
	if _, ok := reviewedModules[o.Module]; ok {
		return
	}
	if !o.Builtin {
		w.unknownCode(uses)
	} else if _, ok := reviewedOperators[name+"("+o.Operands+")"]; !ok {
		w.unstable(uses)
	}
}

// body judges stored code: the query of a view, or the statements of an SQL function.
func (w *walk) body(b *catalog.Body) {
	if _, ok := w.entered[b]; ok {
		return
	}
	if w.entered == nil {
		w.entered = map[*catalog.Body]struct{}{}
	}
	w.entered[b] = struct{}{}
	if b.Unknown != "" {
		w.unknownCode("holds " + b.Unknown)
	}
	if b.Writes {
		w.unknownCode("writes")
	}
	if b.Locks {
		w.opaque("locks rows")
	}
	for _, node := range b.Nodes {
		switch node {
		case "SQLVALUEFUNCTION":
			w.unstable("calls CURRENT_DATE, CURRENT_USER or the like")
		case "NEXTVALUEEXPR", "CURRENTOFEXPR":
			w.opaque("does more than read")
		case catalog.SystemColumn:
			w.unstable("reads a system column")
		case "TABLESAMPLECLAUSE":
			w.unstable("samples a table")
		case "XMLEXPR", "TABLEFUNC":
			w.unstable("handles XML")
		default:
			w.unstable("queries JSON by a function of the grammar")
		}
	}
	for _, f := range b.Functions {
		w.judgeCandidate(f.Name, f.Is)
	}
	for _, o := range b.Operators {
		w.judgeOperator(o.Name, o.Is)
	}
	for _, t := range b.Types {
		if w.judgeType(t.Name, t) == momentType {
			w.unstable("casts to a date or time what may be a text like 'now'")
		}
	}
	for _, r := range b.Relations {
		w.readRelation(r)
	}
}
