package catalog

import (
	"context"
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
	objects
	bodies map[uint32]*Body  // of functions
	names  map[string]string // one string for each distinct name: most occur often
	clock  []uint32          // types that are, or hold, time with time zone
	// Types that are, or hold, domains whose checks have side effects, or can come out otherwise without a write.
	effects, unsteady map[uint32]bool
}

// load reads one picture through conn, in one transaction, and leaves the connection usable.
func load(ctx context.Context, conn *pgx.Conn) (*Snapshot, error) {
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
			functions: map[uint32]Callee[Function]{},
			operators: map[uint32]Callee[Operator]{},
			types:     map[uint32]*Type{},
		},
		bodies:   map[uint32]*Body{},
		names:    map[string]string{},
		effects:  map[uint32]bool{},
		unsteady: map[uint32]bool{},
	}
	s := a.snapshot
	// In the transaction's snapshot, as all that follows: the picture is what the digest says.
	if s.digest, err = readDigest(ctx, tx); err != nil {
		return nil, fmt.Errorf("take the digest: %w", err)
	}
	if err := s.digest.readFiles(ctx, tx, a.intern); err != nil {
		return nil, fmt.Errorf("read files: %w", err)
	}
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
	return s, nil
}

// forEach runs a query and calls keep after each row was scanned into to.
func forEach(ctx context.Context, tx pgx.Tx, query string, args, to []any, keep func()) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, to, func() error {
		keep()
		return nil
	})
	return err
}

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
	)
	return forEach(ctx, tx, queryRelations, nil, []any{&oid, &schema, &name, &kind, &rowSecurity, &rules, &rows, &unlogged}, func() {
		r := &Relation{
			Schema: a.intern(schema), Name: a.intern(name), Kind: Kind(kind[0]),
			Unlogged: unlogged, RowSecurity: rowSecurity, Rules: rules, Rows: int64(rows),
		}
		a.relations[oid] = r
		a.snapshot.add(r)
	})
}

func (a *assembly) readDateColumns(ctx context.Context, tx pgx.Tx) error {
	var name string
	return forEach(ctx, tx, queryDateColumns, nil, []any{&name}, func() { a.snapshot.dates[a.intern(name)] = struct{}{} })
}

func (a *assembly) readInheritance(ctx context.Context, tx pgx.Tx) error {
	var parent, child uint32
	return forEach(ctx, tx, queryInheritance, nil, []any{&parent, &child}, func() {
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
	return forEach(ctx, tx, queryForeignKeys, nil, []any{&referenced, &referencing, &cascades}, func() {
		to, from := a.relations[referenced], a.relations[referencing]
		if to != nil && from != nil { // temporary tables may reference each other
			refer(from, to, cascades)
		}
	})
}

func (a *assembly) readTriggers(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return forEach(ctx, tx, queryTriggers, nil, []any{&oid}, func() {
		if r := a.relations[oid]; r != nil {
			r.Triggers = true
		}
	})
}

func (a *assembly) readSideEffects(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return forEach(ctx, tx, querySideEffects, nil, []any{&oid}, func() {
		if r := a.relations[oid]; r != nil {
			r.SideEffects = true
		}
	})
}

func (a *assembly) readPolicies(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	return forEach(ctx, tx, queryPolicies, nil, []any{&oid}, func() {
		if r := a.relations[oid]; r != nil {
			r.PolicyEffects = true
		}
	})
}

func (a *assembly) readTypeFlags(ctx context.Context, tx pgx.Tx) error {
	var (
		flag          string
		typ, relation uint32
	)
	return forEach(ctx, tx, queryTypeFlags, nil, []any{&flag, &typ, &relation}, func() {
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
	var (
		oid, base                           uint32
		name, schema, class, element, input string
		builtin                             bool
	)
	bases := map[uint32]uint32{}
	to := []any{&oid, &name, &schema, &builtin, &class, &element, &input, &base}
	err := forEach(ctx, tx, queryTypes, nil, to, func() {
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

func (a *assembly) readFunctions(ctx context.Context, tx pgx.Tx) error {
	var (
		oid                                 uint32
		name, schema, volatility, arguments string
		module                              string
		builtin, row, clock, body           bool
		least, most                         int
	)
	to := []any{&oid, &name, &schema, &builtin, &volatility, &row, &clock, &arguments, &least, &most, &body, &module}
	checked := slices.AppendSeq([]uint32{}, maps.Keys(a.effects)) // never nil, which would be a null
	checked = slices.AppendSeq(checked, maps.Keys(a.unsteady))
	return forEach(ctx, tx, queryFunctions, []any{a.clock, checked}, to, func() {
		f := Callee[Function]{Name: a.intern(name), Is: Function{
			Schema: a.intern(schema), Builtin: builtin, Volatility: Volatility(volatility[0]), RowArgument: row,
			ClockTyped: clock, Arguments: a.intern(arguments), MinArguments: least, MaxArguments: most,
			Module: a.intern(module),
		}}
		if body {
			f.Is.Body = &Body{}
			a.bodies[oid] = f.Is.Body
		}
		a.functions[oid] = f
		if alike := a.snapshot.functions[f.Name]; !slices.Contains(alike, f.Is) {
			a.snapshot.functions[f.Name] = append(alike, f.Is)
		}
	})
}

func (a *assembly) readOperators(ctx context.Context, tx pgx.Tx) error {
	var (
		oid                                uint32
		name, schema, volatility, operands string
		module                             string
		builtin                            bool
	)
	to := []any{&oid, &name, &schema, &builtin, &volatility, &operands, &module}
	return forEach(ctx, tx, queryOperators, nil, to, func() {
		o := Callee[Operator]{Name: a.intern(name), Is: Operator{
			Schema: a.intern(schema), Builtin: builtin, Volatility: Volatility(volatility[0]), Operands: a.intern(operands), Module: a.intern(module),
		}}
		a.operators[oid] = o
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
	return forEach(ctx, tx, queryBodies, nil, []any{&oid, &view, &tree}, func() {
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
