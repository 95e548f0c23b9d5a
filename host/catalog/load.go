package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// applicationName is what pg_stat_activity shows of the home's own connections.
const applicationName = "perihelion catalog"

// assembly is a snapshot while it is put together.
type assembly struct {
	snapshot *Snapshot
	before   *Snapshot // the picture of before, or nil: what has not changed is taken over
	objects
	bodies map[uint32]*Body  // of functions
	names  map[string]string // one string for each distinct name: most occur often
	clock  []uint32          // types that are, or hold, time with time zone; sorted
	// Types that are, or hold, domains whose checks have side effects, or can come out otherwise without a write.
	effects, unsteady map[uint32]bool
	size, most        int // of what is kept, roughly, in bytes
}

// kept is what a picture keeps for the next one of its database.
type kept struct {
	functions         map[uint32]*Callee[Function]
	operators         map[uint32]*Callee[Operator]
	types             map[uint32]*Type
	effects, unsteady map[uint32]bool
	clock             []uint32
	bodies            bool // whether a function has one: it points into the picture
}

// errTooLarge is the error of a load that would keep more than it may.
var errTooLarge = errors.New("the catalogs are larger than what may be kept of them")

// load reads one picture through conn, in one transaction, and leaves the connection usable. What has not changed since
// the picture of before, which may be nil, is shared with it: by far the most is what PostgreSQL itself brought. The
// picture takes most bytes at most, roughly.
func load(ctx context.Context, conn *pgx.Conn, before *Snapshot, most int) (*Snapshot, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	// The transaction has read only. Where the rollback fails the connection is broken, and its owner closes it.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	a := &assembly{
		snapshot: &Snapshot{
			relations: map[named]*Relation{},
			byName:    map[string][]*Relation{},
			functions: map[string][]Function{},
			operators: map[string][]Operator{},
			types:     map[string][]*Type{},
			dates:     map[string]struct{}{},
		},
		objects: objects{
			relations: map[uint32]*Relation{},
			functions: map[uint32]*Callee[Function]{},
			operators: map[uint32]*Callee[Operator]{},
			types:     map[uint32]*Type{},
		},
		before:   before,
		bodies:   map[uint32]*Body{},
		names:    map[string]string{},
		effects:  map[uint32]bool{},
		unsteady: map[uint32]bool{},
		most:     most,
	}
	s := a.snapshot
	// In the transaction's snapshot, as all that follows: the picture is what the digest says.
	if s.digest, err = readDigest(ctx, tx); err != nil {
		return nil, fmt.Errorf("take the digest: %w", err)
	}
	s.digest.files = map[uint32]file{}
	if err := tx.QueryRow(ctx, queryServer).Scan(&s.ServerVersion, &s.UTF8, &s.UnsafeCasts, &s.UnsafeComparisons, &s.EventTriggers); err != nil {
		return nil, fmt.Errorf("read the server's version: %w", err)
	}
	for _, step := range []struct {
		what string
		read func(context.Context, pgx.Tx) error
	}{
		{"relations", a.readRelations},
		{"columns", a.readDateColumns},
		{"inheritance", a.readInheritance},
		{"foreign keys", a.readForeignKeys},
		{"triggers", a.readTriggers},
		{"side effects", a.readSideEffects},
		{"policies", a.readPolicies},
		{"types' flags", a.readTypeFlags},
		{"types", a.readTypes},
		{"functions", a.readFunctions},
		{"operators", a.readOperators},
		{"bodies", a.readBodies},
	} {
		if err := step.read(ctx, tx); err != nil {
			return nil, fmt.Errorf("read %s: %w", step.what, err)
		}
	}
	s.kept = kept{functions: a.functions, operators: a.operators, types: a.types, effects: a.effects, unsteady: a.unsteady, clock: a.clock}
	for oid := range a.bodies {
		s.kept.bodies = s.kept.bodies || oid >= 16384 // those of what PostgreSQL brought are not read
	}
	s.bytes = a.size
	return s, nil
}

// unchanged reports whether the named parts of the catalogs are those of the picture before.
func (a *assembly) unchanged(parts ...string) bool {
	return a.before != nil && a.snapshot.digest.same(a.before.digest, parts...)
}

// sameDomains reports whether the domains that run code are those of the picture before.
func (a *assembly) sameDomains() bool {
	return maps.Equal(a.effects, a.before.kept.effects) && maps.Equal(a.unsteady, a.before.kept.unsteady)
}

// keeps counts n bytes that the picture keeps. A load that would keep too much ends with its next row.
func (a *assembly) keeps(n int) error {
	if a.size += n; a.size > a.most {
		return errTooLarge
	}
	return nil
}

// forEach runs a query and calls keep after each row was scanned into to. A row that is kept takes about so many bytes.
func (a *assembly) forEach(ctx context.Context, tx pgx.Tx, query string, args, to []any, bytes int, keep func()) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, to, func() error {
		keep()
		return a.keeps(bytes)
	})
	return err
}

// What a row of each kind takes in a picture, with its share of maps and names, as measured.
const (
	relationBytes = 450
	functionBytes = 160
	operatorBytes = 80
	typeBytes     = 200
	linkBytes     = 16
	nameBytes     = 48
)

// intern returns the one copy of a name that the snapshot keeps.
func (a *assembly) intern(name string) string {
	if kept, ok := a.names[name]; ok {
		return kept
	}
	a.names[name] = name
	return name
}

func (a *assembly) readRelations(ctx context.Context, tx pgx.Tx) error {
	var (
		oid                uint32
		schema, name, kind string
		rowSecurity, rules bool
		rows               float64
		unlogged           bool
		f                  file
	)
	to := []any{&oid, &schema, &name, &kind, &rowSecurity, &rules, &rows, &unlogged, &f.version, &f.node}
	return a.forEach(ctx, tx, queryRelations, nil, to, relationBytes, func() {
		r := &Relation{
			Schema: a.intern(schema), Name: a.intern(name), Kind: Kind(kind[0]),
			Unlogged: unlogged, RowSecurity: rowSecurity, Rules: rules, Rows: int64(rows),
		}
		a.relations[oid] = r
		a.snapshot.add(r)
		f.named = named{r.Schema, r.Name}
		a.snapshot.digest.files[oid] = f
	})
}

func (a *assembly) readDateColumns(ctx context.Context, tx pgx.Tx) error {
	if a.unchanged("pg_attribute") {
		a.snapshot.dates = a.before.dates
		return a.keeps(nameBytes * len(a.before.dates))
	}
	var name string
	return a.forEach(ctx, tx, queryDateColumns, nil, []any{&name}, nameBytes, func() { a.snapshot.dates[a.intern(name)] = struct{}{} })
}

func (a *assembly) readInheritance(ctx context.Context, tx pgx.Tx) error {
	var parent, child uint32
	return a.forEach(ctx, tx, queryInheritance, nil, []any{&parent, &child}, linkBytes, func() {
		p, c := a.relations[parent], a.relations[child]
		if p != nil && c != nil { // indexes inherit as well
			inherit(p, c)
		}
	})
}

func (a *assembly) readForeignKeys(ctx context.Context, tx pgx.Tx) error {
	var (
		referenced, referencing uint32
		cascades                bool
	)
	return a.forEach(ctx, tx, queryForeignKeys, nil, []any{&referenced, &referencing, &cascades}, linkBytes, func() {
		to, from := a.relations[referenced], a.relations[referencing]
		if to != nil && from != nil { // temporary tables may reference each other
			refer(from, to, cascades)
		}
	})
}

func (a *assembly) readTriggers(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return a.forEach(ctx, tx, queryTriggers, nil, []any{&oid}, 0, func() {
		if r := a.relations[oid]; r != nil {
			r.Triggers = true
		}
	})
}

func (a *assembly) readSideEffects(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return a.forEach(ctx, tx, querySideEffects, nil, []any{&oid}, 0, func() {
		if r := a.relations[oid]; r != nil {
			r.SideEffects = true
		}
	})
}

func (a *assembly) readPolicies(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return a.forEach(ctx, tx, queryPolicies, nil, []any{&oid}, 0, func() {
		if r := a.relations[oid]; r != nil {
			r.PolicyEffects = true
		}
	})
}

func (a *assembly) readTypeFlags(ctx context.Context, tx pgx.Tx) error {
	defer func() {
		slices.Sort(a.clock)
		a.clock = slices.Compact(a.clock)
	}()
	var (
		flag          string
		typ, relation uint32
	)
	return a.forEach(ctx, tx, queryTypeFlags, nil, []any{&flag, &typ, &relation}, linkBytes, func() {
		r := a.relations[relation]
		switch flag {
		case "clock":
			a.clock = append(a.clock, typ)
			if r != nil {
				r.ClockTyped = true
			}
		case "effects":
			a.effects[typ] = true
			if r != nil {
				r.SideEffects, r.EffectsTyped = true, true
			}
		case "unsteady":
			a.unsteady[typ] = true
		}
	})
}

func (a *assembly) readTypes(ctx context.Context, tx pgx.Tx) error {
	if a.unchanged("pg_type", composites, "pg_namespace", "pg_proc") && a.sameDomains() {
		a.snapshot.types, a.types = a.before.types, a.before.kept.types
		return a.keeps(typeBytes * len(a.types))
	}
	var (
		oid, base                           uint32
		name, schema, class, element, input string
		builtin                             bool
	)
	bases := map[uint32]uint32{}
	to := []any{&oid, &name, &schema, &builtin, &class, &element, &input, &base}
	err := a.forEach(ctx, tx, queryTypes, nil, to, typeBytes, func() {
		t := &Type{
			Schema: a.intern(schema), Name: a.intern(name), Builtin: builtin, Class: class[0], Element: a.intern(element),
			Input: Volatility(input[0]), SideEffects: a.effects[oid], Unsteady: a.unsteady[oid],
		}
		a.types[oid] = t
		a.snapshot.types[t.Name] = append(a.snapshot.types[t.Name], t)
		if base != 0 {
			bases[oid] = base
		}
	})
	for oid, base := range bases {
		a.types[oid].Base = a.types[base]
	}
	return err
}

// checked returns the types that are, or hold, domains whose checks are more than a function of the value.
func (a *assembly) checked() []uint32 {
	checked := slices.AppendSeq([]uint32{}, maps.Keys(a.effects)) // never nil, which would be a null
	return slices.AppendSeq(checked, maps.Keys(a.unsteady))
}

func (a *assembly) readFunctions(ctx context.Context, tx pgx.Tx) error {
	if a.unchanged("pg_proc", "pg_namespace", "pg_type", composites, "pg_language") && a.sameDomains() && slices.Equal(a.clock, a.before.kept.clock) && !a.before.kept.bodies {
		a.snapshot.functions, a.functions = a.before.functions, a.before.kept.functions
		return a.keeps(functionBytes * len(a.functions))
	}
	var (
		oid                                 uint32
		name, schema, volatility, arguments string
		module                              string
		builtin, row, clock, body           bool
		least, most                         int
	)
	to := []any{&oid, &name, &schema, &builtin, &volatility, &row, &clock, &arguments, &least, &most, &body, &module}
	return a.forEach(ctx, tx, queryFunctions, []any{a.clock, a.checked()}, to, functionBytes, func() {
		f := Callee[Function]{Name: a.intern(name), Is: Function{
			Schema: a.intern(schema), Builtin: builtin, Volatility: Volatility(volatility[0]), RowArgument: row,
			ClockTyped: clock, Arguments: a.intern(arguments), MinArguments: least, MaxArguments: most,
			Module: a.intern(module),
		}}
		if body {
			f.Is.Body = &Body{}
			a.bodies[oid] = f.Is.Body
		}
		a.functions[oid] = nil
		if !builtin || f.Is.Volatility != Immutable {
			a.functions[oid] = &f
		}
		if alike := a.snapshot.functions[f.Name]; !slices.Contains(alike, f.Is) {
			a.snapshot.functions[f.Name] = append(alike, f.Is)
		}
	})
}

func (a *assembly) readOperators(ctx context.Context, tx pgx.Tx) error {
	if a.unchanged("pg_operator", "pg_proc", "pg_namespace", "pg_type", composites, "pg_language") && a.sameDomains() {
		a.snapshot.operators, a.operators = a.before.operators, a.before.kept.operators
		return a.keeps(operatorBytes * len(a.operators))
	}
	var (
		oid                                uint32
		name, schema, volatility, operands string
		module                             string
		builtin                            bool
	)
	to := []any{&oid, &name, &schema, &builtin, &volatility, &operands, &module}
	return a.forEach(ctx, tx, queryOperators, []any{a.checked()}, to, operatorBytes, func() {
		o := Callee[Operator]{Name: a.intern(name), Is: Operator{
			Schema: a.intern(schema), Builtin: builtin, Volatility: Volatility(volatility[0]), Operands: a.intern(operands), Module: a.intern(module),
		}}
		a.operators[oid] = nil
		if !builtin || o.Is.Volatility != Immutable {
			a.operators[oid] = &o
		}
		if alike := a.snapshot.operators[o.Name]; !slices.Contains(alike, o.Is) {
			a.snapshot.operators[o.Name] = append(alike, o.Is)
		}
	})
}

// readBodies comes last: the code names everything else.
func (a *assembly) readBodies(ctx context.Context, tx pgx.Tx) error {
	var (
		oid  uint32
		view bool
		tree string
	)
	return a.forEach(ctx, tx, queryBodies, nil, []any{&oid, &view, &tree}, 0, func() {
		if !view {
			if b := a.bodies[oid]; b != nil {
				b.fill(tree, 0, &a.objects)
			}
			return
		}
		if r := a.relations[oid]; r != nil {
			r.Body = &Body{}
			r.Body.fill(tree, oid, &a.objects)
		}
	})
}

// add enters a relation into the snapshot's indexes.
func (s *Snapshot) add(r *Relation) {
	s.relations[named{r.Schema, r.Name}] = r
	s.byName[r.Name] = append(s.byName[r.Name], r)
}

func inherit(parent, child *Relation) {
	parent.children = append(parent.children, child)
	child.parents = append(child.parents, parent)
}

func refer(from, to *Relation, cascades bool) {
	to.referencing = append(to.referencing, from)
	if cascades {
		to.cascading = append(to.cascading, from)
	}
}
