package catalog

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Body is what the stored code of a view, a materialized view or an SQL function (BEGIN ATOMIC) is made of, as
// PostgreSQL's own analysis left it: names are resolved, overloads are decided, casts that no text shows are there. It is
// immutable. Each list is free of duplicates.
type Body struct {
	// Relations are the relations that the code names; another view among them has a Body of its own.
	Relations []*Relation
	// Functions and Operators are what the code calls, Types what it converts a text to, or checks as a domain.
	Functions []Callee[Function]
	Operators []Callee[Operator]
	Types     []*Type
	// Nodes are the kinds of node among the code that are more than structure, as PostgreSQL labels them
	// (SQLVALUEFUNCTION for CURRENT_DATE), and [SystemColumn].
	Nodes []string
	// Writes is set where a statement of the code is no SELECT, Locks where one locks rows.
	Writes, Locks bool
	// Unknown says what of the code is not understood; empty: nothing.
	Unknown string
}

// SystemColumn stands among the nodes of a [Body] for a column that no table declares and that changes without a write: ctid,
// xmin and the like.
const SystemColumn = "system column"

// Callee is a function or an operator with its name.
type Callee[T Function | Operator] struct {
	Name string
	Is   T
}

// structure are the labels of nodes that only hold others together, or whose meaning is wholly in their fields.
var structure = set(`ALIAS ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASEEXPR CASETESTEXPR CASEWHEN COALESCEEXPR
	COLLATEEXPR COMMONTABLEEXPR CONST CONVERTROWTYPEEXPR CTECYCLECLAUSE CTESEARCHCLAUSE FIELDSELECT FIELDSTORE FROMEXPR
	GROUPINGFUNC GROUPINGSET JOINEXPR JSONCONSTRUCTOREXPR JSONFORMAT JSONISPREDICATE JSONRETURNING JSONVALUEEXPR MINMAXEXPR
	NAMEDARGEXPR NULLTEST PARAM RANGETBLFUNCTION RANGETBLREF RELABELTYPE ROWEXPR RTEPERMISSIONINFO SETOPERATIONSTMT
	SETTODEFAULT SUBLINK SUBSCRIPTINGREF TARGETENTRY VAR`)

// judged are the labels that whoever judges the code gets to see.
var judged = set(`SQLVALUEFUNCTION NEXTVALUEEXPR XMLEXPR TABLEFUNC TABLESAMPLECLAUSE JSONEXPR JSONBEHAVIOR JSONTABLEPATH
	JSONTABLEPATHSCAN JSONTABLESIBLINGJOIN CURRENTOFEXPR`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		m[word] = true
	}
	return m
}

// objects finds what a number in a node tree stands for. Functions and operators that are built in and immutable are nil:
// there are many of them, and nothing can be said of them.
type objects struct {
	relations map[uint32]*Relation
	functions map[uint32]*Callee[Function]
	operators map[uint32]*Callee[Operator]
	types     map[uint32]*Type
}

// fill reads a stored node tree into the body. self is the view that the tree belongs to, or 0: before PostgreSQL 16 a
// view's own rule names it.
func (b *Body) fill(tree string, self uint32, known *objects) {
	nodes := map[string]bool{}
	err := readTree(tree, func(label, field, value string) {
		if field == "" {
			b.node(label, nodes)
			return
		}
		b.field(label, field, value, self, known)
	})
	if err != nil {
		b.doubt(err.Error())
	}
	slices.Sort(b.Nodes)
}

func (b *Body) doubt(why string) {
	if b.Unknown == "" {
		b.Unknown = why
	}
}

func (b *Body) node(label string, seen map[string]bool) {
	if seen[label] {
		return
	}
	seen[label] = true
	switch {
	case structure[label]:
	case judged[label]:
		b.Nodes = append(b.Nodes, label)
	case label == "ROWMARKCLAUSE":
		b.Locks = true
	case !fielded[label]:
		b.doubt("a node of the kind " + label)
	}
}

// fielded are the labels whose fields say what matters.
var fielded = set(`QUERY RANGETBLENTRY FUNCEXPR AGGREF WINDOWFUNC WINDOWCLAUSE OPEXPR DISTINCTEXPR NULLIFEXPR
	SCALARARRAYOPEXPR ROWCOMPAREEXPR SORTGROUPCLAUSE COERCEVIAIO COERCETODOMAIN`)

func (b *Body) field(label, field, value string, self uint32, known *objects) {
	switch label + "." + field {
	case "QUERY.commandType":
		b.Writes = b.Writes || value != "1"
	case "QUERY.hasModifyingCTE":
		b.Writes = b.Writes || value == "true"
	case "QUERY.hasForUpdate":
		b.Locks = b.Locks || value == "true"
	case "RANGETBLENTRY.rtekind":
		// A relation, subquery, join, function, TABLE function, VALUES, WITH; from 18 on 9 is GROUP BY.
		if n, err := strconv.Atoi(value); err != nil || n > 6 && n != 9 {
			b.doubt("a range table entry of the kind " + value)
		}
	case "RANGETBLENTRY.relid":
		if oid := b.number(value); oid != 0 && oid != self {
			b.relation(oid, known)
		}
	case "FUNCEXPR.funcid", "AGGREF.aggfnoid", "WINDOWFUNC.winfnoid", "WINDOWCLAUSE.startInRangeFunc", "WINDOWCLAUSE.endInRangeFunc":
		if oid := b.number(value); oid != 0 {
			b.function(oid, known)
		}
	case "OPEXPR.opno", "DISTINCTEXPR.opno", "NULLIFEXPR.opno", "SCALARARRAYOPEXPR.opno", "SORTGROUPCLAUSE.eqop",
		"SORTGROUPCLAUSE.sortop", "CTECYCLECLAUSE.cycle_mark_neop":
		if oid := b.number(value); oid != 0 {
			b.operator(oid, known)
		}
	case "ROWCOMPAREEXPR.opnos": // (o 97 98)
		if value != "o" {
			b.operator(b.number(value), known)
		}
	case "VAR.varattno":
		// A column of PostgreSQL's own, but for tableoid, which is as lasting as the table.
		if value[0] == '-' && value != "-6" && !slices.Contains(b.Nodes, SystemColumn) {
			b.Nodes = append(b.Nodes, SystemColumn)
		}
	case "COERCEVIAIO.resulttype", "COERCETODOMAIN.resulttype":
		oid := b.number(value)
		switch t := known.types[oid]; {
		case t == nil:
			b.doubt("a type that is not known")
		case !slices.Contains(b.Types, t):
			b.Types = append(b.Types, t)
		}
	}
}

func (b *Body) number(value string) uint32 {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		b.doubt("a number that is none")
	}
	return uint32(n)
}

func (b *Body) relation(oid uint32, known *objects) {
	r := known.relations[oid]
	switch {
	case r == nil:
		b.doubt("a relation that is not known")
	case !slices.Contains(b.Relations, r):
		b.Relations = append(b.Relations, r)
	}
}

func (b *Body) function(oid uint32, known *objects) {
	f, ok := known.functions[oid]
	switch {
	case !ok:
		b.doubt("a function that is not known")
	case f != nil && !slices.Contains(b.Functions, *f):
		b.Functions = append(b.Functions, *f)
	}
}

func (b *Body) operator(oid uint32, known *objects) {
	o, ok := known.operators[oid]
	switch {
	case !ok:
		b.doubt("an operator that is not known")
	case o != nil && !slices.Contains(b.Operators, *o):
		b.Operators = append(b.Operators, *o)
	}
}

// maxTreeDepth bounds how deep the nodes of a tree may lie in each other.
const maxTreeDepth = 10_000

var errTree = errors.New("a node tree that is not understood")

// readTree reads PostgreSQL's text form of a node tree (nodeToString: "{LABEL :field value …}", lists in brackets) and
// calls see with each node's label and an empty field, and for every plain value with the field that it stands in and the
// label of the node around it.
func readTree(text string, see func(label, field, value string)) error {
	type open struct{ label, field string }
	var stack []open
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case ' ', '\n', '\t', '(', ')':
			i++
		case '{':
			end := treeToken(text, i+1)
			label := text[i+1 : end]
			if label == "" || len(stack) >= maxTreeDepth {
				return errTree
			}
			stack = append(stack, open{label: label})
			see(label, "", "")
			i = end
		case '}':
			if len(stack) == 0 {
				return errTree
			}
			stack = stack[:len(stack)-1]
			i++
		default:
			end := treeToken(text, i)
			if end == i {
				return errTree
			}
			switch value := text[i:end]; {
			case len(stack) == 0:
				if value != "<>" {
					return errTree
				}
			case value[0] == ':' && len(value) > 1:
				stack[len(stack)-1].field = value[1:]
			default:
				top := stack[len(stack)-1]
				see(top.label, top.field, value)
			}
			i = end
		}
	}
	if len(stack) > 0 {
		return errTree
	}
	return nil
}

// treeToken returns the end of the token that begins at i. What has a meaning stands behind a backslash where it is text.
func treeToken(text string, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ' ', '\n', '\t', '(', ')', '{', '}':
			return i
		}
	}
	return min(i, len(text))
}
