package analyze

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perihelion-proxy/perihelion/host/catalog"
)

// typeName judges a type that a cast or a column definition names, and returns the class of what it is or is an array
// of: momentType if any candidate is one, then textType.
func (w *walk) typeName(t *pg.TypeName) castClass {
	schema, name, ok := qualified(t.Names)
	if !ok || t.Setof || t.PctType || t.TypeOid != 0 || !w.snapshot.UTF8 && !isASCII(name) {
		w.unknownCode("names a type in a way that is not understood")
		return momentType
	}
	if !w.rowTypes(schema, name) {
		return momentType
	}
	any, class := w.typesNamed(schema, name)
	if !any {
		w.unknownCode("names the type " + name + ", which is not known")
		return momentType
	}
	return class
}

// rowTypes judges the row types of relations of the name, which a type's name may stand for as well, and reports
// whether there are none.
func (w *walk) rowTypes(schema, name string) bool {
	for _, r := range w.snapshot.RelationsNamed(name) {
		if w.sees(schema, r.Schema) && (schema != "" || r.Schema != "information_schema") && r.Kind != catalog.Sequence {
			w.unknownCode("names the type " + name + ", which may be the row type of " + r.String())
			return false
		}
	}
	return true
}

func (w *walk) typesNamed(schema, name string) (any bool, class castClass) {
	class = plainType
	for _, t := range w.snapshot.TypesNamed(name) {
		if !w.sees(schema, t.Schema) {
			continue
		}
		any = true
		class = max(class, w.judgeType(name, t))
	}
	return any, class
}

func (w *walk) judgeType(name string, t *catalog.Type) castClass {
	if t.Builtin {
		element := name
		if t.Element != "" && strings.HasPrefix(name, "_") {
			element = t.Element
		}
		if class := castTypes[element]; class != 0 {
			return class
		}
		w.unstable("names the type " + name)
		return textType
	}
	uses := "names the type " + name + ", which is not built in"
	switch {
	case t.Class == 'e':
		return plainType
	case t.Class == 'c', t.SideEffects, t.Input == catalog.Volatile:
		w.unknownCode(uses)
	case (t.Class == 'd' || t.Class == 'r' || t.Class == 'm') && t.Base != nil:
		if t.Unsteady {
			w.unstable("names the type " + name + ", whose checks can come out otherwise without a write")
		}
		return w.judgeType(t.Base.Name, t.Base)
	case t.Class == 'b' && t.Input == catalog.Immutable:
		return textType // an extension's; what it means by a text, it alone knows
	default:
		w.opaque(uses)
	}
	return momentType
}

// cast judges a cast. A text that spells a moment, cast to a date or time, is read by the clock; a constant is looked
// at where it stands, a parameter where it is bound, and everything else that may be a text must not be cast so.
func (w *walk) cast(c *pg.TypeCast) {
	if c.TypeName == nil {
		w.unknownCode("has a cast that is not understood")
		return
	}
	if w.typeName(c.TypeName) == momentType {
		w.momentCast(c.Arg)
	}
}

func (w *walk) momentCast(arg *pg.Node) {
	if !w.neverSpellsMoment(arg) {
		w.unstable("casts to a date or time what may be a text like 'now'")
	}
}

// neverSpellsMoment reports whether an expression's value is certain to be no text that the clock reads: it is of another
// type, or a constant or parameter, which are looked at where they stand.
func (w *walk) neverSpellsMoment(arg *pg.Node) bool {
	switch n := arg.GetNode().(type) {
	case *pg.Node_AConst, *pg.Node_ParamRef:
		return true
	case *pg.Node_TypeCast:
		_, name, ok := qualified(n.TypeCast.GetTypeName().GetNames())
		if !ok {
			return false
		}
		// What the inner cast yields is of its type; what goes into it is judged there.
		for _, t := range w.snapshot.TypesNamed(name) {
			if class := castTypes[name]; !t.Builtin || class != plainType && class != momentType {
				return false
			}
		}
		return true
	case *pg.Node_FuncCall:
		_, name, ok := qualified(n.FuncCall.Funcname)
		if !ok || !neverText[name] && !sameType[name] {
			return false
		}
		for _, c := range w.snapshot.FunctionsNamed(name) {
			if !c.Builtin {
				return false
			}
		}
		if args := n.FuncCall.Args; !neverText[name] && len(args) > 1 {
			// The second is a number; the third, of lag and lead, is what they return in place of the first.
			return w.neverSpellsMoment(args[0]) && w.noneSpellsMoment(args[2:])
		}
		return neverText[name] || len(n.FuncCall.Args) > 0 && w.neverSpellsMoment(n.FuncCall.Args[0])
	case *pg.Node_AExpr:
		_, name, ok := qualified(n.AExpr.Name)
		if !ok || n.AExpr.Kind != pg.A_Expr_Kind_AEXPR_OP || name != "+" && name != "-" {
			return false
		}
		for _, o := range w.snapshot.OperatorsNamed(name) {
			if !o.Builtin {
				return false
			}
		}
		return true
	case *pg.Node_ColumnRef:
		fields := n.ColumnRef.Fields
		if len(fields) == 0 {
			return false
		}
		name := fields[len(fields)-1].GetString_().GetSval()
		if _, ok := w.series[name]; ok && len(fields) == 1 {
			return true
		}
		return w.snapshot.DateColumn(name) && w.names().neverText(w, name)
	case *pg.Node_AArrayExpr:
		return w.noneSpellsMoment(n.AArrayExpr.Elements)
	case *pg.Node_CoalesceExpr:
		return w.noneSpellsMoment(n.CoalesceExpr.Args)
	case *pg.Node_MinMaxExpr:
		return w.noneSpellsMoment(n.MinMaxExpr.Args)
	case *pg.Node_SubLink:
		q := n.SubLink.GetSubselect().GetSelectStmt()
		if n.SubLink.SubLinkType != pg.SubLinkType_EXPR_SUBLINK || q.GetOp() != pg.SetOperation_SETOP_NONE || len(q.GetTargetList()) != 1 {
			return false
		}
		series := w.series
		defer func() { w.series = series }()
		w.series = w.seriesOf(q.FromClause)
		return w.neverSpellsMoment(q.TargetList[0].GetResTarget().GetVal())
	case *pg.Node_CaseExpr:
		for _, when := range n.CaseExpr.Args {
			if !w.neverSpellsMoment(when.GetCaseWhen().GetResult()) {
				return false
			}
		}
		return n.CaseExpr.Defresult == nil || w.neverSpellsMoment(n.CaseExpr.Defresult)
	}
	return false
}

// jsonType judges a type that is made of JSON, which can spell any text.
func (w *walk) jsonType(t *pg.TypeName) {
	if t != nil && w.typeName(t) == momentType {
		w.unstable("casts to a date or time what may be a text like 'now'")
	}
}

// seriesOf returns the names of the columns that generate_series yields in a FROM clause. Outside of the clause, such a name
// alone stands for this column: a second one of the name is an error.
func (w *walk) seriesOf(from []*pg.Node) map[string]struct{} {
	var names map[string]struct{}
	for _, item := range from {
		for item.GetJoinExpr() != nil && !item.GetJoinExpr().IsNatural && len(item.GetJoinExpr().UsingClause) == 0 && item.GetJoinExpr().Alias == nil {
			for name := range w.seriesOf([]*pg.Node{item.GetJoinExpr().Rarg}) {
				names = with(names, name)
			}
			item = item.GetJoinExpr().Larg
		}
		f := item.GetRangeFunction()
		if f == nil || len(f.Functions) != 1 || len(f.Coldeflist) > 0 || f.Alias == nil || len(f.Alias.Colnames) > 1 {
			continue
		}
		items := f.Functions[0].GetList().GetItems()
		if len(items) == 0 {
			continue
		}
		call := items[0].GetFuncCall()
		schema, name, ok := qualified(call.GetFuncname())
		if !ok || name != "generate_series" || !allBuiltin(w.functionsNamed(schema, name, len(call.Args))) {
			continue
		}
		column := f.Alias.Aliasname
		if len(f.Alias.Colnames) == 1 {
			column = f.Alias.Colnames[0].GetString_().GetSval()
		}
		names = with(names, column)
	}
	return names
}

func with(names map[string]struct{}, name string) map[string]struct{} {
	if names == nil {
		names = map[string]struct{}{}
	}
	names[name] = struct{}{}
	return names
}

func (w *walk) noneSpellsMoment(all []*pg.Node) bool {
	for _, n := range all {
		if !w.neverSpellsMoment(n) {
			return false
		}
	}
	return true
}

// columnNames are the names that a statement itself gives to columns, which hide what the catalogs say of a name.
type columnNames struct {
	// given are the expressions that have a name in some list of targets, or could have it without being given one.
	given map[string][]*pg.Node
	// other names stand for anything; all is set where any name may.
	other map[string]struct{}
	all   bool
	// asking are the names under examination.
	asking map[string]struct{}
}

// names returns the statement's names of columns. They are looked for once.
func (w *walk) names() *columnNames {
	if w.columns != nil {
		return w.columns
	}
	c := &columnNames{given: map[string][]*pg.Node{}, other: map[string]struct{}{}, asking: map[string]struct{}{}}
	w.columns = c
	visit(w.root, func(m protoreflect.Message) {
		switch n := m.Interface().(type) {
		case *pg.ResTarget:
			c.target(n)
		case *pg.Alias:
			c.hide(n.Colnames...)
			c.other[n.Aliasname] = struct{}{}
		case *pg.CommonTableExpr:
			c.hide(n.Aliascolnames...)
			c.other[n.Ctename] = struct{}{}
		case *pg.RangeVar:
			c.other[n.Relname] = struct{}{} // its whole row
		case *pg.FuncCall:
			c.hide(n.Funcname...)
		case *pg.RangeFunction:
			for _, f := range n.Functions {
				call := f.GetList().GetItems()
				if len(call) == 0 || !w.oneColumn(call[0].GetFuncCall()) {
					c.all = true // the names of its columns are its own
				}
			}
		case *pg.A_Indirection:
			for _, step := range n.Indirection {
				c.all = c.all || step.GetAStar() != nil // the columns of a function's result, by names of its own
			}
		case *pg.ColumnDef, *pg.CTESearchClause, *pg.CTECycleClause, *pg.JsonTable, *pg.RangeTableFunc:
			c.all = true
		case *pg.SelectStmt:
			// A set operation has the names of its first arm, and the values of all.
			c.all = c.all || len(n.ValuesLists) > 0 || n.Op != pg.SetOperation_SETOP_NONE
		}
	})
	return c
}

// oneColumn reports whether a function in FROM yields columns of no names but its own, or those of a row type.
func (w *walk) oneColumn(f *pg.FuncCall) bool {
	_, name, ok := qualified(f.GetFuncname())
	return ok && (name == "generate_series" || name == "generate_subscripts" || name == "unnest")
}

// constructNames are what columns are called by that are a construct of the grammar and may be a text, or hold one.
var constructNames = []string{"array", "case", "coalesce", "greatest", "least", "nullif", "row"}

func (c *columnNames) hide(names ...*pg.Node) {
	for _, n := range names {
		c.other[n.GetString_().GetSval()] = struct{}{}
	}
}

func (c *columnNames) target(n *pg.ResTarget) {
	switch {
	case n.Val == nil || n.Val.GetColumnRef() != nil && n.Name == "":
	case n.Name != "":
		c.given[n.Name] = append(c.given[n.Name], n.Val)
	default:
		// PostgreSQL takes the name from within the expression (FigureColname): that of a column in it may be it, or the
		// construct's own.
		for _, name := range constructNames {
			c.other[name] = struct{}{}
		}
		visit(n.Val.ProtoReflect(), func(m protoreflect.Message) {
			switch of := m.Interface().(type) {
			case *pg.ColumnRef:
				if len(of.Fields) > 0 {
					name := of.Fields[len(of.Fields)-1].GetString_().GetSval()
					c.given[name] = append(c.given[name], n.Val)
				}
			case *pg.A_Indirection:
				c.hide(of.Indirection...)
			case *pg.TypeName:
				c.hide(of.Names...)
			}
		})
	}
}

// neverText reports whether the name, which no column of a text has in the catalogs, is given to none in the statement.
func (c *columnNames) neverText(w *walk, name string) bool {
	if _, hidden := c.other[name]; hidden || c.all || grammarNames[name] {
		return false
	}
	for _, f := range w.snapshot.FunctionsNamed(name) {
		if f.RowArgument {
			return false // "row.name" means it where the row has no such column
		}
	}
	if _, ok := c.asking[name]; ok {
		return true // it is what is being found out; a query in a query is smaller than it
	}
	c.asking[name] = struct{}{}
	defer delete(c.asking, name)
	return w.noneSpellsMoment(c.given[name])
}

// functionalCast judges "name(argument)" as a cast to a type of the name, and reports whether there is one.
func (w *walk) functionalCast(schema, name string, arg *pg.Node) bool {
	any, class := w.typesNamed(schema, name)
	if any && class == momentType {
		w.momentCast(arg)
	}
	return any
}
