package analyze

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

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
		if !ok || !neverText[name] {
			return false
		}
		for _, c := range w.snapshot.FunctionsNamed(name) {
			if !c.Builtin {
				return false
			}
		}
		return true
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
	case *pg.Node_AArrayExpr:
		for _, e := range n.AArrayExpr.Elements {
			if !w.neverSpellsMoment(e) {
				return false
			}
		}
		return true
	}
	return false
}

// functionalCast judges "name(argument)" as a cast to a type of the name, and reports whether there is one.
func (w *walk) functionalCast(schema, name string, arg *pg.Node) bool {
	any, class := w.typesNamed(schema, name)
	if any && class == momentType {
		w.momentCast(arg)
	}
	return any
}
