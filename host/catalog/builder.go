package catalog

import (
	"slices"
	"strings"
)

// Builder puts a [Snapshot] together by hand, for tests that have no PostgreSQL. It begins with a part of what is
// built in: enough functions, operators and types for ordinary statements. A name is "schema.name", or "name" for one
// in public.
type Builder struct{ snapshot *Snapshot }

// NewBuilder begins a snapshot of a server of the given version, as server_version_num spells it.
func NewBuilder(serverVersion int) *Builder {
	b := &Builder{&Snapshot{
		ServerVersion: serverVersion,
		UTF8:          true,
		relations:     map[named]*Relation{},
		byName:        map[string][]*Relation{},
		functions:     map[string][]Function{},
		operators:     map[string][]Operator{},
		types:         map[string][]*Type{},
		dates:         map[string]struct{}{},
	}}
	for name := range strings.FieldsSeq(builtinImmutable) {
		b.builtin(name, Immutable)
	}
	for signature := range strings.FieldsSeq(builtinStable) {
		b.builtin(signature, Stable)
	}
	for signature := range strings.FieldsSeq(builtinVolatile) {
		b.builtin(signature, Volatile)
	}
	for name := range strings.FieldsSeq(builtinOperators) {
		b.operator(name, Operator{Schema: "pg_catalog", Builtin: true, Volatility: Immutable})
	}
	for _, operands := range []string{"date,timestamptz", "timestamp,timestamptz", "timestamptz,date", "timestamptz,timestamp"} {
		for _, name := range []string{"=", "<>", "<", "<=", ">", ">="} {
			b.operator(name, Operator{Schema: "pg_catalog", Builtin: true, Volatility: Stable, Operands: operands})
		}
	}
	for name := range strings.FieldsSeq(builtinTypes) {
		b.typ(name, Type{Schema: "pg_catalog", Builtin: true, Class: 'b', Input: Immutable})
	}
	for _, view := range []string{"pg_catalog.pg_settings", "pg_catalog.pg_stat_activity", "information_schema.tables", "information_schema.domains"} {
		b.Relation(view, View)
	}
	for _, table := range []string{"pg_catalog.pg_class", "pg_catalog.pg_namespace"} {
		b.Relation(table, Table)
	}
	return b
}

// What PostgreSQL brings, in part. A signature gives the arguments of what is not immutable.
const (
	builtinImmutable = `count sum avg min max array_agg string_agg bool_and bool_or row_number rank dense_rank lag lead
		first_value last_value ntile percentile_cont mode lower upper abs ceil floor round sqrt power mod substring
		substr trim btrim ltrim rtrim replace position strpos left right lpad rpad split_part regexp_replace md5 length
		char_length unnest generate_series generate_subscripts array_length cardinality array_position
		jsonb_array_elements jsonb_each jsonb_extract_path jsonb_path_query jsonb_typeof date_trunc date_part extract timezone
		overlaps like_escape similar_to_escape to_hex encode decode int4 text timestamp timestamptz date timetz_cmp time
		is_normalized normalize xmlexists int8 numeric overlay`
	builtinStable = `now() transaction_timestamp() statement_timestamp() current_setting(text) current_setting(text,bool)
		version() length(bytea,name) date_trunc(text,timestamptz) date_part(text,timestamptz) extract(text,timestamptz)
		timezone(text,timetz) timezone(timestamptz) timezone(timestamp) timezone(timetz) to_char(timestamptz,text)
		concat(any) concat_ws(text,any) json_agg(anyelement) jsonb_agg(anyelement) row_to_json(record) to_json(anyelement)
		json_build_object(any) jsonb_build_object(any) table_to_xml(regclass,bool,bool,text) current_user() session_user()
		current_schema() pg_get_viewdef(oid) pg_table_is_visible(oid) timestamptz(date) date(timestamptz)
		generate_series(timestamptz,timestamptz,interval) current_database() pg_backend_pid() age(timestamptz)
		json_populate_record(anyelement,json,bool)`
	builtinVolatile = `random() random(int4,int4) clock_timestamp() timeofday() gen_random_uuid() nextval(regclass)
		setval(regclass,int8) setval(regclass,int8,bool) currval(regclass) lastval() set_config(text,text,bool) pg_sleep(float8)
		pg_advisory_lock(int8) pg_try_advisory_lock(int8) pg_advisory_xact_lock(int8) pg_advisory_unlock(int8)
		pg_terminate_backend(int4,int8) pg_notify(text,text) lo_creat(int4) lo_get(oid) lo_put(oid,int8,bytea)
		query_to_xml(text,bool,bool,text) setseed(float8) pg_reload_conf()`
	builtinOperators = `= <> < <= > >= + - * / % ^ || | & # ~ << >> ~~ !~~ ~~* !~~* ~* !~ !~* -> ->> #> #>> @> <@ ? ?| ?& && @@ @?
		|/ @ -|- ^@ #-`
	builtinTypes = `bool int2 int4 int8 float4 float8 numeric money text varchar bpchar char name bytea uuid json jsonb
		jsonpath xml date time timetz timestamp timestamptz interval inet cidr macaddr bit varbit oid regclass regproc
		regtype tsvector tsquery point box int4range tstzrange unknown record`
)

func (b *Builder) builtin(signature string, v Volatility) {
	name, arguments, _ := strings.Cut(strings.TrimSuffix(signature, ")"), "(")
	f := Function{Schema: "pg_catalog", Builtin: true, Volatility: v, Arguments: arguments, MaxArguments: -1}
	f.ClockTyped = strings.HasPrefix(name, "timetz") || slices.Contains(strings.Split(arguments, ","), "timetz")
	f.RowArgument = arguments == "anyelement" || arguments == "any" || arguments == "record" || name == "count"
	b.snapshot.functions[name] = append(b.snapshot.functions[name], f)
}

func (b *Builder) operator(name string, o Operator) {
	b.snapshot.operators[name] = append(b.snapshot.operators[name], o)
}

func (b *Builder) typ(name string, t Type) {
	t.Name = name
	b.snapshot.types[name] = append(b.snapshot.types[name], &t)
}

func split(name string) named {
	if schema, rest, ok := strings.Cut(name, "."); ok {
		return named{schema, rest}
	}
	return named{"public", name}
}

// Relation adds a relation, which the options may change, and returns the builder.
func (b *Builder) Relation(name string, kind Kind, options ...func(*Relation)) *Builder {
	n := split(name)
	r := &Relation{Schema: n.schema, Name: n.name, Kind: kind, Rows: -1}
	for _, option := range options {
		option(r)
	}
	b.snapshot.add(r)
	return b
}

// Inherit makes a relation the inheritance parent, or partitioned table, of others. All must have been added.
func (b *Builder) Inherit(parent string, children ...string) *Builder {
	for _, child := range children {
		inherit(b.get(parent), b.get(child))
	}
	return b
}

// DateColumns names columns that are of a date or time type in each relation that has them.
func (b *Builder) DateColumns(names ...string) *Builder {
	for _, name := range names {
		b.snapshot.dates[name] = struct{}{}
	}
	return b
}

// Over makes a view or materialized view one over other relations. All must have been added.
func (b *Builder) Over(view string, relations ...string) *Builder {
	body := &Body{}
	for _, name := range relations {
		body.Relations = append(body.Relations, b.get(name))
	}
	b.get(view).Body = body
	return b
}

// ForeignKey makes a relation reference another. Both must have been added.
func (b *Builder) ForeignKey(from, to string, cascades bool) *Builder {
	refer(b.get(from), b.get(to), cascades)
	return b
}

func (b *Builder) get(name string) *Relation {
	n := split(name)
	r := b.snapshot.Relation(n.schema, n.name)
	if r == nil {
		panic("catalog.Builder: no relation " + name)
	}
	return r
}

// Function adds a function that is not built in. Its schema is taken from the name.
func (b *Builder) Function(name string, f Function) *Builder {
	n := split(name)
	f.Schema, f.MaxArguments = n.schema, -1
	b.snapshot.functions[n.name] = append(b.snapshot.functions[n.name], f)
	return b
}

// Operator adds an operator that is not built in. Its schema is taken from the name.
func (b *Builder) Operator(name string, v Volatility) *Builder {
	n := split(name)
	b.operator(n.name, Operator{Schema: n.schema, Volatility: v})
	return b
}

// Type adds a type that is not built in. Its schema is taken from the name.
func (b *Builder) Type(name string, t Type) *Builder {
	n := split(name)
	t.Schema = n.schema
	b.typ(n.name, t)
	return b
}

// UnsafeCasts says that the database has a cast of the kind that [Snapshot.UnsafeCasts] describes.
func (b *Builder) UnsafeCasts() *Builder {
	b.snapshot.UnsafeCasts = true
	return b
}

// EventTriggers says that the database has one.
func (b *Builder) EventTriggers() *Builder {
	b.snapshot.EventTriggers = true
	return b
}

// Snapshot returns what was built, with the given generation. The builder must not be used again.
func (b *Builder) Snapshot(generation uint64) *Snapshot {
	b.snapshot.Generation = generation
	return b.snapshot
}
