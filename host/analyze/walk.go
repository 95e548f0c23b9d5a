package analyze

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// walk goes through one statement's parse tree and judges all of it. Whatever message it has no rule for is a doubt, and
// a rule that does not say otherwise goes on to every message below, so that no field can be forgotten.
type walk struct {
	judgement

	snapshot *catalog.Snapshot
	logged   bool // see scene
	// path is the session's search_path, nil where it is not known.
	path []string
	// root is the statement, columns the names that it gives to columns.
	root    protoreflect.Message
	columns *columnNames
	// toRecord is a call in FROM that makes a record of JSON by columns that the statement defines.
	toRecord *pg.FuncCall
	// series are the columns of generate_series in the FROM clause of the query at hand, where nothing else can have the name.
	series map[string]struct{}
	// entered is the stored code that was judged already.
	entered map[*catalog.Body]struct{}
	// scopes are the names of the common table expressions that can be seen, the innermost last.
	scopes []map[string]struct{}

	// writes is the closure of what the statement changes itself, targets the relations that it names for that.
	writes  map[string]struct{}
	targets []string
	// into is set by SELECT INTO; temporary with it where the relation is.
	into, temporary bool
}

func newWalk(in *scene) *walk {
	w := &walk{judgement: judgement{at: -1, account: in.account}, snapshot: in.snapshot, logged: in.logged, path: in.path, writes: map[string]struct{}{}}
	if w.snapshot.UnsafeCasts {
		w.unknownCode("may use a cast of the database's own by a function that is not immutable")
	}
	if w.snapshot.UnsafeComparisons {
		w.unknownCode("may compare by an operator class of the database's own whose functions are not immutable")
	}
	return w
}

// node walks a node of the parse tree. Nil is nothing.
func (w *walk) node(n *pg.Node) {
	if n != nil {
		w.message(n.ProtoReflect())
	}
}

func (w *walk) message(m protoreflect.Message) {
	if w.root == nil {
		w.root = m
	}
	node := m.Interface()
	if located, ok := node.(interface{ GetLocation() int32 }); ok {
		w.at = int(located.GetLocation())
	}
	switch n := node.(type) {
	case *pg.Node:
		if set := m.WhichOneof(m.Descriptor().Oneofs().Get(0)); set != nil {
			w.message(m.Get(set).Message())
		}

	case *pg.SelectStmt:
		w.withScope(n.WithClause, func() { w.query(n, m) })
	case *pg.InsertStmt:
		w.withScope(n.WithClause, func() {
			w.target(n.Relation, insertEffect(n))
			w.children(m, "with_clause", "relation")
		})
	case *pg.UpdateStmt:
		w.withScope(n.WithClause, func() {
			w.target(n.Relation, changes)
			w.children(m, "with_clause", "relation")
		})
	case *pg.DeleteStmt:
		w.withScope(n.WithClause, func() {
			w.target(n.Relation, changes)
			w.children(m, "with_clause", "relation")
		})
	case *pg.MergeStmt:
		w.withScope(n.WithClause, func() {
			w.target(n.Relation, changes)
			w.children(m, "with_clause", "relation")
		})

	case *pg.RangeVar:
		w.readFrom(n)
	case *pg.IntoClause:
		w.into = true
		w.temporary = w.temporary || temporary(n.Rel)
	case *pg.LockingClause:
		w.opaque("locks rows by " + lockStrength(n.Strength))
	case *pg.RangeTableSample:
		w.sample(n, m)
	case *pg.JoinExpr:
		if n.IsNatural || len(n.UsingClause) > 0 {
			w.operatorNamed("", "=")
		}
		w.children(m)
	case *pg.RangeFunction:
		w.definedRecord(n)
		w.children(m)
	case *pg.ColumnDef: // of a function in FROM
		if n.RawDefault != nil || len(n.Constraints) > 0 {
			w.unknownCode("defines a column in a way that is not understood")
		}
		w.children(m)

	case *pg.FuncCall:
		w.call(n)
		w.children(m, "funcname")
	case *pg.A_Expr:
		w.expression(n)
		w.children(m, "name")
	case *pg.SubLink:
		if len(n.OperName) > 0 {
			w.operator(n.OperName)
		} else if n.SubLinkType == pg.SubLinkType_ANY_SUBLINK || n.SubLinkType == pg.SubLinkType_ALL_SUBLINK {
			w.operatorNamed("", "=")
		}
		w.children(m, "oper_name")
	case *pg.CaseExpr:
		if n.Arg != nil {
			w.operatorNamed("", "=")
		}
		w.children(m)
	case *pg.CTECycleClause:
		w.operatorNamed("", "=")
		w.children(m)
	case *pg.SortBy:
		if len(n.UseOp) > 0 {
			w.operator(n.UseOp)
		}
		w.children(m, "use_op")
	case *pg.TypeCast:
		w.cast(n)
		w.children(m, "type_name")
		w.typmods(n.TypeName)
	case *pg.TypeName:
		w.typeName(n)
		w.typmods(n)
	case *pg.ColumnRef:
		w.columnRef(n)
	case *pg.A_Indirection:
		for _, step := range n.Indirection {
			if s := step.GetString_(); s != nil {
				w.field(s.Sval)
			}
		}
		w.children(m)
	case *pg.A_Const:
		if statement.SpellsMoment(n.GetSval().GetSval()) {
			w.unstable("holds a text that, read as a date or time, means a moment of the clock")
		}
	case *pg.SQLValueFunction:
		w.unstable("calls " + valueFunction(n.Op))
	case *pg.CurrentOfExpr:
		w.opaque("names the row of a cursor")

	case *pg.XmlExpr, *pg.XmlSerialize, *pg.RangeTableFunc, *pg.RangeTableFuncCol:
		w.unstable("handles XML")
		w.children(m)
	case *pg.JsonOutput:
		w.since(160000, "JSON")
		w.jsonType(n.TypeName)
		w.children(m)
	case *pg.JsonIsPredicate, *pg.JsonFormat, *pg.JsonReturning, *pg.JsonValueExpr, *pg.JsonKeyValue:
		w.since(160000, "JSON")
		w.children(m)
	case *pg.JsonObjectConstructor, *pg.JsonArrayConstructor, *pg.JsonArrayQueryConstructor, *pg.JsonAggConstructor,
		*pg.JsonObjectAgg, *pg.JsonArrayAgg:
		// As json_build_object and json_agg, which are reviewed.
		w.since(160000, "JSON")
		w.children(m)
	case *pg.JsonParseExpr, *pg.JsonScalarExpr, *pg.JsonSerializeExpr, *pg.JsonFuncExpr, *pg.JsonBehavior,
		*pg.JsonArgument, *pg.JsonTable, *pg.JsonTablePathSpec:
		// As the JSON operators and jsonb_path_query_tz, which are reviewed; paths read dates by formats, never by the clock.
		w.since(170000, "JSON")
		w.children(m)
	case *pg.JsonTableColumn:
		w.since(170000, "JSON")
		w.jsonType(n.TypeName)
		w.children(m)
	case *pg.MergeSupportFunc:
		w.since(170000, "MERGE")
		w.children(m)

	// What only holds other messages together, and has no meaning of its own that could matter.
	case *pg.A_ArrayExpr, *pg.A_Indices, *pg.A_Star, *pg.Alias, *pg.BitString, *pg.BoolExpr, *pg.Boolean, *pg.BooleanTest,
		*pg.CTESearchClause, *pg.CaseWhen, *pg.CoalesceExpr, *pg.CollateClause, *pg.Float, *pg.GroupingFunc,
		*pg.GroupingSet, *pg.InferClause, *pg.IndexElem, *pg.Integer, *pg.List, *pg.MergeWhenClause, *pg.MinMaxExpr,
		*pg.MultiAssignRef, *pg.NamedArgExpr, *pg.NullTest, *pg.OnConflictClause, *pg.ParamRef,
		*pg.RangeSubselect, *pg.ResTarget, *pg.RowExpr, *pg.SetToDefault, *pg.String, *pg.WindowDef:
		w.children(m)

	default:
		w.unknownCode("uses a construct that is not understood: " + string(m.Descriptor().Name()))
	}
}

// query walks a SELECT without its WITH clause.
func (w *walk) query(n *pg.SelectStmt, m protoreflect.Message) {
	outer := w.series
	defer func() { w.series = outer }()
	// In a join's condition the name may stand for the column of another table.
	w.series = nil
	for _, from := range n.FromClause {
		w.node(from)
	}
	w.series = w.seriesOf(n.FromClause)
	w.children(m, "with_clause", "from_clause", "larg", "rarg")
	w.series = nil
	for _, side := range []*pg.SelectStmt{n.Larg, n.Rarg} {
		if side != nil {
			w.message(side.ProtoReflect())
		}
	}
}

// children walks every message directly below m but those in the named fields.
func (w *walk) children(m protoreflect.Message, except ...protoreflect.Name) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || !m.Has(f) || contains(except, f.Name()) {
			continue
		}
		if !f.IsList() {
			w.message(m.Get(f).Message())
			continue
		}
		list := m.Get(f).List()
		for j := range list.Len() {
			w.message(list.Get(j).Message())
		}
	}
}

func contains(names []protoreflect.Name, name protoreflect.Name) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// withScope walks a WITH clause and then body, in the scope that the clause makes: each query sees those before it, of
// a recursive clause all, and the body sees them all.
func (w *walk) withScope(with *pg.WithClause, body func()) {
	if with == nil {
		body()
		return
	}
	scope := map[string]struct{}{}
	w.scopes = append(w.scopes, scope)
	defer func() { w.scopes = w.scopes[:len(w.scopes)-1] }()
	if with.Recursive {
		for _, c := range with.Ctes {
			scope[c.GetCommonTableExpr().GetCtename()] = struct{}{}
		}
	}
	for _, c := range with.Ctes {
		cte := c.GetCommonTableExpr()
		if cte == nil {
			w.unknownCode("has a WITH clause that is not understood")
			continue
		}
		w.children(cte.ProtoReflect())
		scope[cte.Ctename] = struct{}{}
	}
	body()
}

func (w *walk) isCTE(name string) bool {
	for _, scope := range w.scopes {
		if _, ok := scope[name]; ok {
			return true
		}
	}
	return false
}

// target judges a relation that rows are written to. A common table expression never stands for one.
func (w *walk) target(v *pg.RangeVar, how change) {
	if v == nil {
		w.unknownCode("writes to what is not understood")
		return
	}
	w.writeTo(v, how)
}

func insertEffect(n *pg.InsertStmt) change {
	if n.GetOnConflictClause().GetAction() == pg.OnConflictAction_ONCONFLICT_UPDATE {
		return changes
	}
	return inserts
}

// temporary reports whether a relation that is made is temporary by its own words.
func temporary(v *pg.RangeVar) bool {
	return v.GetRelpersistence() == "t" || isTempSchema(v.GetSchemaname())
}

func lockStrength(s pg.LockClauseStrength) string {
	switch s {
	case pg.LockClauseStrength_LCS_FORKEYSHARE:
		return "FOR KEY SHARE"
	case pg.LockClauseStrength_LCS_FORSHARE:
		return "FOR SHARE"
	case pg.LockClauseStrength_LCS_FORNOKEYUPDATE:
		return "FOR NO KEY UPDATE"
	default:
		return "FOR UPDATE"
	}
}

func (w *walk) sample(n *pg.RangeTableSample, m protoreflect.Message) {
	schema, method, ok := qualified(n.Method)
	if !ok || schema != "" && schema != "pg_catalog" || method != "system" && method != "bernoulli" {
		w.unknownCode("samples a table by a method that is not built in")
	}
	w.unstable("samples a table")
	w.children(m, "method")
}

// expression judges the operators of an expression, those that the grammar implies included.
func (w *walk) expression(e *pg.A_Expr) {
	switch e.Kind {
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		w.operatorNamed("", ">=")
		w.operatorNamed("", "<=")
	case pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		w.operatorNamed("", "<")
		w.operatorNamed("", ">")
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL, pg.A_Expr_Kind_AEXPR_IN,
		pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR,
		pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT, pg.A_Expr_Kind_AEXPR_NULLIF:
		w.operator(e.Name)
	default:
		w.unknownCode("uses an operator that is not understood")
	}
}

func (w *walk) typmods(t *pg.TypeName) {
	for _, mod := range t.GetTypmods() {
		w.node(mod)
	}
}

func (w *walk) columnRef(c *pg.ColumnRef) {
	if len(c.Fields) == 0 {
		return
	}
	s := c.Fields[len(c.Fields)-1].GetString_()
	switch {
	case s == nil: // *
	case len(c.Fields) > 1:
		w.field(s.Sval)
	case systemColumns[s.Sval]:
		w.unstable("reads the system column " + s.Sval)
	}
}

// since doubts a construct that an older server than the parser's reads as something else.
func (w *walk) since(version int, what string) {
	if w.snapshot.ServerVersion < version {
		w.unknownCode("uses a construct for " + what + " that the server's version does not have")
	}
}

func valueFunction(op pg.SQLValueFunctionOp) string {
	switch op {
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return "CURRENT_DATE"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		return "CURRENT_TIME"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return "CURRENT_TIMESTAMP"
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIME, pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		return "LOCALTIME"
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return "LOCALTIMESTAMP"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		return "CURRENT_ROLE"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_USER:
		return "CURRENT_USER"
	case pg.SQLValueFunctionOp_SVFOP_USER:
		return "USER"
	case pg.SQLValueFunctionOp_SVFOP_SESSION_USER:
		return "SESSION_USER"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return "CURRENT_CATALOG"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return "CURRENT_SCHEMA"
	default:
		return "a function of the grammar"
	}
}
