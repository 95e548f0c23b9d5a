package catalog

import (
	"iter"
	"slices"
	"strings"
)

// Kind is a relation's kind, spelled as in pg_class.relkind.
type Kind byte

// The kinds of relation that a statement can name.
const (
	Table            Kind = 'r'
	PartitionedTable Kind = 'p'
	View             Kind = 'v'
	MaterializedView Kind = 'm'
	ForeignTable     Kind = 'f'
	Sequence         Kind = 'S'
)

// String returns the kind in words, as a reason spells it.
func (k Kind) String() string {
	switch k {
	case Table, PartitionedTable:
		return "table"
	case View:
		return "view"
	case MaterializedView:
		return "materialized view"
	case ForeignTable:
		return "foreign table"
	case Sequence:
		return "sequence"
	default:
		return "relation"
	}
}

// Relation is one relation of a [Snapshot]. It is immutable.
type Relation struct {
	Schema, Name string
	Kind         Kind
	// Temporary is set for a temporary relation. The loader leaves them out; a hand-built snapshot may hold one.
	Temporary bool
	// Unlogged is set for a relation whose changes are not written to the WAL.
	Unlogged bool
	// RowSecurity is set where row security is enabled, whoever it applies to.
	RowSecurity bool
	// Rules is set where a rewrite rule may exist besides the one that a view is made of.
	Rules bool
	// Triggers is set where a user-defined trigger exists, enabled or not.
	Triggers bool
	// SideEffects is set where a write may run code whose effect is not known: a default, a check, a generated column,
	// an index expression or a domain that calls a function which is neither built in nor immutable.
	SideEffects bool
	// ClockTyped is set where a column's type reads its input by today's date (time with time zone), directly or inside.
	ClockTyped bool
	// EffectsTyped is set where a column's type is, or holds, a domain whose checks call a function that is neither built in nor
	// immutable: a text that is compared with the column may become one, and no word says so.
	EffectsTyped bool
	// PolicyEffects is set where a row security policy calls a function that is neither built in nor immutable, or one
	// that is volatile.
	PolicyEffects bool
	// Rows is the planner's estimate of the number of rows, -1 where it is not known.
	Rows int64
	// Body is the query of a view or materialized view, nil for any other relation and where it is not known.
	Body *Body

	parents, children []*Relation
	// referencing are the tables with a foreign key to this one; cascading those of them that a change here changes too.
	referencing, cascading []*Relation
}

// String returns the relation's name as "schema.name".
func (r *Relation) String() string { return r.Schema + "." + r.Name }

// System reports whether the relation belongs to PostgreSQL itself.
func (r *Relation) System() bool { return SystemSchema(r.Schema) }

// SystemSchema reports whether a schema belongs to PostgreSQL itself: pg_catalog, information_schema and all that
// begin with pg_, which nobody else may create.
func SystemSchema(name string) bool {
	return name == "information_schema" || strings.HasPrefix(name, "pg_")
}

// Volatility is spelled as in pg_proc.provolatile.
type Volatility byte

// The volatilities, from the tamest to the wildest.
const (
	Immutable Volatility = 'i'
	Stable    Volatility = 's'
	Volatile  Volatility = 'v'
)

// String returns the volatility in words.
func (v Volatility) String() string {
	switch v {
	case Immutable:
		return "immutable"
	case Stable:
		return "stable"
	default:
		return "volatile"
	}
}

// Function is one candidate for a call by name. Overloads that are alike in every field are kept once.
type Function struct {
	Schema string
	// Builtin is set for what PostgreSQL itself brought: in pg_catalog, and made by initdb.
	Builtin bool
	// Volatility is the worst of the function, of the functions that an aggregate is made of where it is not built in,
	// and of its arguments' defaults; and of the checks of domains among its arguments and results.
	Volatility Volatility
	// RowArgument is set where the function can be called with a single row, so that "row.name" may mean "name(row)".
	RowArgument bool
	// ClockTyped is set where an argument or result is of a type that reads its input by today's date.
	ClockTyped bool
	// Arguments are the types of the arguments, "text,timestamptz". Only for built-in functions that are not immutable.
	Arguments string
	// MinArguments and MaxArguments bound how many arguments a call of it has; MaxArguments is -1 where any number may be.
	MinArguments, MaxArguments int
	// Module says which function of a module of PostgreSQL's own it is, "pg_trgm.similarity_op", where that does nothing but
	// compute a value; else empty.
	Module string
	// Body is the code of an SQL function that keeps it as a node tree (BEGIN ATOMIC, RETURN), else nil.
	Body *Body
}

// Takes reports whether a call with n arguments may be one of the function.
func (f *Function) Takes(n int) bool {
	return n >= f.MinArguments && (f.MaxArguments < 0 || n <= f.MaxArguments)
}

// Operator is one candidate for an operator's name. Candidates that are alike in every field are kept once.
type Operator struct {
	Schema     string
	Builtin    bool
	Volatility Volatility
	// Operands are the types of the operands, "date,timestamptz". Only for built-in operators that are not immutable.
	Operands string
	// Module is that of the function behind it.
	Module string
}

// Type is one candidate for a type's name. The row types of relations are not kept: a relation of the name stands for
// them.
type Type struct {
	Schema, Name string
	Builtin      bool
	// Class is pg_type.typtype: b base, c composite, d domain, e enum, m multirange, p pseudo, r range.
	Class byte
	// Element is the name of the type's element type where the type is an array by another name (_int4), else empty.
	Element string
	// Input is the volatility of the type's input function.
	Input Volatility
	// SideEffects is set for a domain whose checks or default call a function that is neither built in nor immutable.
	SideEffects bool
	// Unsteady is set for a domain whose checks can come out otherwise without a write: they ask the clock, say.
	Unsteady bool
	// Base is the type that a domain is over, or that a range is of; nil for any other type and where it is not kept.
	Base *Type
}

// named identifies a relation of a snapshot.
type named struct{ schema, name string }

// Snapshot is one consistent picture of a database's catalogs. It is immutable and safe for concurrent use. Slices that
// it returns belong to it and must not be changed.
type Snapshot struct {
	// Generation numbers the pictures of one [Catalog]; a later picture has a greater one. 0 is no picture at all.
	Generation uint64
	// ServerVersion is the server's version as server_version_num spells it: 180004.
	ServerVersion int
	// UTF8 is set where the database's encoding is UTF-8. In others, an identifier beyond ASCII folds in ways not followed.
	UTF8 bool
	// UnsafeCasts is set where the database has a cast by a function that is neither built in nor immutable, or one that
	// needs no words and makes a text into a date or what may hold one. Implicit casts leave no trace in a statement's text.
	UnsafeCasts bool
	// UnsafeComparisons is set where an operator class compares or hashes by what is neither built in nor immutable. Nor
	// does a text tell of the class that ORDER BY, GROUP BY or DISTINCT goes by.
	UnsafeComparisons bool
	// EventTriggers is set where DDL runs code of the database's own.
	EventTriggers bool

	relations map[named]*Relation
	byName    map[string][]*Relation
	functions map[string][]Function
	operators map[string][]Operator
	types     map[string][]*Type
	dates     map[string]struct{}
	digest    *digest // of the catalogs that the picture was read from
	kept      kept
	bytes     int // that the picture takes, roughly
}

// Relation returns the relation of the schema and name, or nil.
func (s *Snapshot) Relation(schema, name string) *Relation { return s.relations[named{schema, name}] }

// RelationsNamed returns the relations of the name in every schema.
func (s *Snapshot) RelationsNamed(name string) []*Relation { return s.byName[name] }

// FunctionsNamed returns the functions, aggregates, window functions and procedures of the name in every schema.
func (s *Snapshot) FunctionsNamed(name string) []Function { return s.functions[name] }

// OperatorsNamed returns the operators of the name in every schema, prefix and infix alike.
func (s *Snapshot) OperatorsNamed(name string) []Operator { return s.operators[name] }

// TypesNamed returns the types of the name in every schema, except relations' row types.
func (s *Snapshot) TypesNamed(name string) []*Type { return s.types[name] }

// DateColumn reports whether columns have the name, and all of them, in whatever relation, are of a date or time type.
func (s *Snapshot) DateColumn(name string) bool {
	_, ok := s.dates[name]
	return ok
}

// Relations yields every relation, in no particular order.
func (s *Snapshot) Relations() iter.Seq[*Relation] {
	return func(yield func(*Relation) bool) {
		for _, r := range s.relations {
			if !yield(r) {
				return
			}
		}
	}
}

// Edges says which ways [Close] goes from a relation to others.
type Edges uint8

// The ways from a relation to others. They can be added.
const (
	// Ancestors are the inheritance parents and partitioned tables above, all the way up.
	Ancestors Edges = 1 << iota
	// Descendants are the inheritance children and partitions below, all the way down.
	Descendants
	// Cascades are the tables that a deletion, or a change of a key, changes through foreign keys.
	Cascades
	// References are all tables with a foreign key to the relation: what TRUNCATE … CASCADE empties.
	References
)

// Close returns the relations and all that can be reached from them along edges, without duplicates, sorted by name.
// From a relation that was reached upwards it goes no way down, so that a partition's siblings stay out.
func Close(from []*Relation, along Edges) []*Relation {
	const up, down = 1, 2 // a relation seen while climbing, or at any other time
	seen := make(map[*Relation]uint8, len(from))
	var visit func(r *Relation, climbing bool)
	visit = func(r *Relation, climbing bool) {
		mark := uint8(down)
		if climbing {
			mark = up
		}
		if seen[r]&(mark|down) != 0 {
			return
		}
		seen[r] |= mark
		if along&Ancestors != 0 {
			for _, p := range r.parents {
				visit(p, true)
			}
		}
		// A foreign key of an ancestor holds for its partitions as well, so cascades are followed in both directions.
		if along&Cascades != 0 {
			for _, c := range r.cascading {
				visit(c, false)
			}
		}
		if along&References != 0 {
			for _, c := range r.referencing {
				visit(c, false)
			}
		}
		if along&Descendants != 0 && !climbing {
			for _, c := range r.children {
				visit(c, false)
			}
		}
	}
	for _, r := range from {
		visit(r, false)
	}
	all := make([]*Relation, 0, len(seen))
	for r := range seen {
		all = append(all, r)
	}
	slices.SortFunc(all, compareRelations)
	return all
}

// compareRelations orders by schema and name, which is the order of "schema.name" wherever no schema's name goes on
// where another's ends; callers that need the order of the text sort the text.
func compareRelations(a, b *Relation) int {
	if c := strings.Compare(a.Schema, b.Schema); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// NewEmpty returns a snapshot of generation 0 in which nothing is known, for where no picture can be had.
func NewEmpty() *Snapshot { return &Snapshot{} }
