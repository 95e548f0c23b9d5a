package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// digested are the catalogs that verdicts, the resolution of names, privileges and row security depend on, each with what
// of it counts. A row is told from its other versions by xmin: every change but one in place writes another.
//
// Left out is what changes only together with a row that counts: pg_depend, pg_aggregate, pg_range, pg_partitioned_table,
// pg_opfamily, pg_extension, a relation's row type and the arrays of types. Temporary objects are left out everywhere, and
// of indexes all but those that run code: they come and go without changing any answer.
var digested = []struct {
	catalog string
	key     string // an oid and what else identifies a row; what must not move the digest is not in it
	seed    string // tells the versions of a row apart
	where   string
}{
	// By columns: TRUNCATE, REFRESH and VACUUM FULL write another row for relfilenode alone, see queryFiles. ANALYZE and
	// VACUUM write in place, and reset relhasrules and relhastriggers; pg_rewrite and pg_trigger stand for those.
	{"pg_class", "", `hash_record_extended(row(oid, relname, relnamespace, reltype, relowner, relkind, relpersistence, relnatts,
		relrowsecurity, relforcerowsecurity, relispartition, relacl, reloptions), 0)`, relations},
	{versions, "oid", "", relations},
	// Names of relations that were changed and changed back; and composite types.
	{"row types", "oid", "", "typtype = 'c' AND typnamespace NOT IN (SELECT oid FROM temporary_schema)"},
	{composites, "oid", "", "relkind = 'c' AND relnamespace NOT IN (SELECT oid FROM temporary_schema)"},
	// Names, types, order and privileges of columns: SELECT *, and casts that nobody sees.
	{"pg_attribute", "attrelid", "(xmin::text::int8 << 16) | attnum", "attnum > 0 AND attrelid NOT IN (SELECT oid FROM ignored)"},
	// Defaults and generated columns run code.
	{"pg_attrdef", "oid", "", "adrelid NOT IN (SELECT oid FROM ignored)"},
	// Foreign keys cascade; checks, of domains as well, run code.
	{"pg_constraint", "oid", "", "conrelid NOT IN (SELECT oid FROM ignored)"},
	// Volatility, bodies, SECURITY DEFINER and privileges of functions, and who wins among overloads.
	{"pg_proc", "oid", "", "pronamespace NOT IN (SELECT oid FROM temporary_schema)"},
	{"pg_operator", "oid", "", "oprnamespace NOT IN (SELECT oid FROM temporary_schema)"},
	{"pg_cast", "oid", "", ""},
	// Which operators order and compare.
	{"pg_opclass", "oid", "", ""},
	{"pg_amop", "oid", "", ""},
	{"pg_amproc", "oid", "", ""},
	{"pg_type", "oid", "", "typtype <> 'c' AND (typcategory <> 'A' OR oid < 16384) AND typnamespace NOT IN (SELECT oid FROM temporary_schema)"},
	{"pg_enum", "oid", "", ""},
	{"pg_collation", "oid", "", ""},
	{"pg_conversion", "oid", "", ""},
	{"pg_language", "oid", "", ""},
	// What a view reads, and what a write to a relation with rules does.
	{"pg_rewrite", "oid", "", "ev_class NOT IN (SELECT oid FROM ignored)"},
	{"pg_trigger", "oid", "", "tgrelid NOT IN (SELECT oid FROM ignored)"},
	{"pg_event_trigger", "oid", "", ""},
	{"pg_index", "indexrelid", "", "(indexprs IS NOT NULL OR indpred IS NOT NULL) AND indrelid NOT IN (SELECT oid FROM ignored)"},
	{"pg_policy", "oid", "", "polrelid NOT IN (SELECT oid FROM ignored)"},
	{"pg_inherits", "inhrelid", "(xmin::text::int8 << 16) # inhparent::int8", "inhrelid NOT IN (SELECT oid FROM ignored)"},
	{"pg_namespace", "oid", "", "oid NOT IN (SELECT oid FROM temporary_schema)"},
	{"pg_ts_config", "oid", "", ""},
	{"pg_ts_config_map", "mapcfg", "(xmin::text::int8 << 16) # (maptokentype * 256 + mapseqno)", ""},
	{"pg_ts_dict", "oid", "", ""},
	{"pg_ts_parser", "oid", "", ""},
	{"pg_ts_template", "oid", "", ""},
	// Who may do what. pg_authid is for superusers only; pg_roles has no xmin, and a password must not count.
	{"pg_roles", "", "hash_record_extended(row(oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls), 0)", ""},
	{"pg_auth_members", "member", "(xmin::text::int8 << 16) # roleid::int8", ""},
	// What a role or the database sets counts where a session begins, and in functions that begin another one.
	{"pg_db_role_setting", "setrole", "(xmin::text::int8 << 16) # setdatabase::int8", "setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"},
	{"pg_database", "oid", "", "datname = current_database()"},
}

// relations are the rows of pg_class that stand for relations. The two parts below are rows of pg_class as well.
const (
	relations  = "relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'"
	versions   = "versions of pg_class"
	composites = "composite types"
)

// queryDigest returns one row for each part: its name, how many rows count and the hash of them.
var queryDigest = func() string {
	var q strings.Builder
	q.WriteString(`
WITH temporary_schema(oid) AS MATERIALIZED (
  SELECT oid FROM pg_namespace WHERE starts_with(nspname::text, 'pg_temp_') OR starts_with(nspname::text, 'pg_toast_temp_')),
ignored(oid) AS MATERIALIZED (
  SELECT oid FROM pg_class WHERE relpersistence = 't' OR relkind IN ('i', 'I', 't') OR relnamespace IN (SELECT oid FROM temporary_schema))`)
	for i, d := range digested {
		from := map[string]string{versions: "pg_class", composites: "pg_class", "row types": "pg_type"}[d.catalog]
		if from == "" {
			from = d.catalog
		}
		hash := d.seed
		if d.key != "" {
			if hash == "" {
				hash = "xmin::text::int8"
			}
			hash = fmt.Sprintf("hashoidextended(%s, %s)", d.key, hash)
		}
		if i > 0 {
			q.WriteString("\nUNION ALL")
		}
		fmt.Fprintf(&q, "\nSELECT '%s', count(*), coalesce(bit_xor(%s), 0) FROM %s", d.catalog, hash, from)
		if d.where != "" {
			q.WriteString(" WHERE " + d.where)
		}
	}
	return q.String()
}()

// queryFiles returns the version and the file of each row of pg_class that has one.
const queryFiles = `
SELECT c.oid, c.xmin::text::int8, c.relfilenode, n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'`

// digest is what the catalogs of a database come to. It is immutable.
type digest struct {
	parts map[string]part
	// files are the versions and files of relations, nil where they were not asked for.
	files map[uint32]file
}

type part struct{ rows, hash int64 }

type file struct {
	version int64
	node    uint32
	named
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readDigest(ctx context.Context, from querier) (*digest, error) {
	rows, err := from.Query(ctx, queryDigest)
	if err != nil {
		return nil, err
	}
	d := &digest{parts: make(map[string]part, len(digested))}
	var (
		name string
		p    part
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &p.rows, &p.hash}, func() error {
		d.parts[name] = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// readFiles adds the files to a digest.
func (d *digest) readFiles(ctx context.Context, from querier) error {
	rows, err := from.Query(ctx, queryFiles)
	if err != nil {
		return err
	}
	d.files = make(map[uint32]file, d.parts[versions].rows)
	var (
		oid          uint32
		f            file
		schema, name string
	)
	_, err = pgx.ForEachRow(rows, []any{&oid, &f.version, &f.node, &schema, &name}, func() error {
		f.named = named{schema, name}
		d.files[oid] = f
		return nil
	})
	return err
}

// same reports whether the named parts are what they were in another digest.
func (d *digest) same(as *digest, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return d.parts[p] != as.parts[p] })
}

// Change is what [Catalog.Check] found. The zero value is no change.
type Change struct {
	// Schema is set where anything that a descriptor may depend on is another, or may be.
	Schema bool
	// Parts names what of the catalogs differs, sorted; it is for people.
	Parts []string
	// Written are the relations that have new files, by TRUNCATE or REFRESH, with their ancestors, as "schema.name", sorted.
	Written []string
}

// since returns how the schema differs from an earlier digest's.
func (d *digest) since(before *digest) Change {
	var c Change
	for name, now := range d.parts {
		if now != before.parts[name] && name != versions {
			c.Parts = append(c.Parts, name)
		}
	}
	c.Schema = len(c.Parts) > 0
	slices.Sort(c.Parts)
	return c
}

// written returns which relations have new files, and whether the row of one was written anew for another reason: its
// rights, or whatever else counts, were changed and changed back.
func (d *digest) written(before *digest) (written []named, schema bool) {
	for oid, now := range d.files {
		switch was, known := before.files[oid]; {
		case !known || was.version == now.version:
		case was.node == now.node:
			return nil, true
		default:
			written = append(written, now.named)
		}
	}
	return written, false
}

// baseline is the digest that the next one of a database is compared with. Guarded by Catalog.mu.
type baseline struct {
	digest *digest // nil where announced
	// announced is set where an event has voided all that was read before, and no picture was loaded since: whatever the
	// next digest says is no news.
	announced bool
	// announcements counts, so that a digest that was begun before one is not taken for later.
	announcements uint64
}

// Check takes the digest of a database's catalogs and says what has changed since the one before, or since the first
// picture. Where the schema has, it has done what Refresh does, and the caller makes it known: everything that was read
// before is void. A database of which no picture was loaded has nothing that could be void, and is not asked. What becomes
// visible while Check runs is seen by it, or by the next.
func (c *Catalog) Check(ctx context.Context, database string) (Change, error) {
	c.mu.Lock()
	b, doubted := c.mu.baselines[database], c.mu.doubts[database] != nil
	if c.mu.closed {
		c.mu.Unlock()
		return Change{}, ErrClosed
	}
	if b == nil && !doubted {
		c.mu.Unlock()
		return Change{}, nil
	}
	var before *digest
	announcements := uint64(0)
	if b != nil {
		before, announcements = b.digest, b.announcements
	}
	c.loads.Add(1)
	c.mu.Unlock()
	defer c.loads.Done()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.running, cancel)()
	d, err := c.take(ctx, database, before)
	if err != nil {
		return Change{}, fmt.Errorf("take the digest of the catalogs: %w", err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if doubted {
		delete(c.mu.doubts, database)
		return Change{}, nil
	}
	if b != c.mu.baselines[database] || b.announcements != announcements {
		return Change{}, nil // the digest may be of before the event
	}
	if b.announced {
		b.digest, b.announced = d, false
		return Change{}, nil
	}
	change := d.since(b.digest)
	p := c.mu.pictures[database]
	if !change.Schema && !d.same(b.digest, versions) {
		change.Written, change.Schema = d.rewritten(b.digest, p)
		if change.Schema {
			change.Parts = []string{versions}
		}
	}
	if d.files == nil && !change.Schema {
		d.files = b.digest.files // which has every relation still
	}
	b.digest = d
	if change.Schema || p != nil && p.current != nil && d.since(p.current.digest).Schema {
		c.refreshLocked(database)
	}
	return change, nil
}

// rewritten returns the relations with new files, and their ancestors; or that the schema may have changed, where that is
// not certain.
func (d *digest) rewritten(before *digest, p *picture) (relations []string, schema bool) {
	if d.files == nil || before.files == nil || p == nil || p.current == nil {
		return nil, true
	}
	names, schema := d.written(before)
	if schema {
		return nil, true
	}
	var from []*Relation
	for _, n := range names {
		r := p.current.relations[n]
		if r == nil {
			return nil, true
		}
		from = append(from, r)
	}
	for _, r := range Close(from, Ancestors) {
		relations = append(relations, r.String())
	}
	slices.Sort(relations)
	return relations, false
}

// takeFromPostgres takes a digest, with its files where only the versions of rows differ from those before.
func (c *Catalog) takeFromPostgres(ctx context.Context, database string, before *digest) (d *digest, err error) {
	err = c.connected(ctx, database, func(conn *pgx.Conn) (err error) {
		if d, err = readDigest(ctx, conn); err != nil {
			return err
		}
		if before != nil && before.files != nil && !d.same(before, versions) && !d.since(before).Schema {
			// They may be later than the digest; what they show beyond it, the next one finds nothing of.
			return d.readFiles(ctx, conn)
		}
		return nil
	})
	return d, err
}

// Announced says that the event behind a [Catalog.Refresh] or [Catalog.RefreshAll] has been made known: it voids whatever
// was read before, so the schema that is found next is no change. An empty name stands for every database.
func (c *Catalog) Announced(database string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, b := range c.mu.baselines {
		if database != "" && database != name {
			continue
		}
		b.announcements++
		b.digest, b.announced = nil, true
		if p := c.mu.pictures[name]; p != nil && p.current != nil {
			// A picture has been loaded meanwhile. What was read by it may be later than the event.
			b.digest, b.announced = p.current.digest, false
		}
	}
}

// Doubt drops the picture of a database, and no other is loaded until a Check succeeds: nobody is certain of its
// catalogs. The caller makes known that everything that was read is void. Callers get the reason as an error.
func (c *Catalog) Doubt(database string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshLocked(database)
	delete(c.mu.baselines, database)
	c.mu.doubts[database] = why
}

// Forget drops all that is known of a database, and its connection. The caller makes known that everything that was read
// is void.
func (c *Catalog) Forget(database string) {
	c.mu.Lock()
	c.refreshLocked(database)
	if p := c.mu.pictures[database]; p != nil && p.flight == nil {
		delete(c.mu.pictures, database)
	}
	delete(c.mu.baselines, database)
	delete(c.mu.doubts, database)
	c.mu.Unlock()
	c.Rest(database)
}
