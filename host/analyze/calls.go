package analyze

import (
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
	any := false
	for _, c := range w.snapshot.FunctionsNamed(name) {
		if schema == "" || c.Schema == schema {
			any = true
			w.function(c.Schema + "." + name)
		}
	}
	if any {
		w.judgeCall(schema, name, func(catalog.Function) bool { return true })
	} else if !isCast {
		w.unknownCode("calls the function " + name + ", which is not known")
	}
}

// judgeCall judges those functions of the name that are candidates.
func (w *walk) judgeCall(schema, name string, candidate func(catalog.Function) bool) {
	clock, all := false, true
	for _, c := range w.snapshot.FunctionsNamed(name) {
		if schema != "" && c.Schema != schema || !candidate(c) {
			continue
		}
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
	if c.Volatility == catalog.Immutable {
		return
	}
	calls := "calls the " + c.Volatility.String() + " function " + name
	if !c.Builtin {
		w.unknownCode(calls)
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
	for _, c := range w.snapshot.FunctionsNamed(name) {
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
		if schema != "" && o.Schema != schema {
			continue
		}
		any = true
		if o.Volatility == catalog.Immutable {
			continue
		}
		uses := "uses the operator " + name + ", which is " + o.Volatility.String()
		if !o.Builtin {
			w.unknownCode(uses)
		} else if _, ok := reviewedOperators[name+"("+o.Operands+")"]; !ok {
			w.unstable(uses)
		}
	}
	if !any {
		w.unknownCode("uses the operator " + name + ", which is not known")
	}
}
