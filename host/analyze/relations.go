package analyze

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/perihelion-proxy/perihelion/host/catalog"
)

// maxCandidates bounds how many relations one unqualified name may stand for.
const maxCandidates = 64

// candidates returns every relation that the name may stand for, whatever the session's search_path. Without one it
// says why in words that go behind the name.
func (w *walk) candidates(v *pg.RangeVar) (found []*catalog.Relation, why string) {
	switch {
	case v == nil:
		return nil, "is not understood"
	case v.Catalogname != "":
		return nil, "is a name with a database in it"
	case !w.snapshot.UTF8 && !isASCII(v.Schemaname+v.Relname):
		return nil, "is not in ASCII, in a database that is not in UTF-8"
	case v.Schemaname != "":
		if r := w.snapshot.Relation(v.Schemaname, v.Relname); r != nil {
			return []*catalog.Relation{r}, ""
		}
		return nil, "is not known"
	}
	all := w.snapshot.RelationsNamed(v.Relname)
	// information_schema is in no search_path unless put there, and what it shows changes with DDL only, which voids all.
	for _, r := range all {
		if w.sees("", r.Schema) && (r.Schema != "information_schema" || w.path != nil || len(all) == 1) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 0 && len(all) > 0:
		return nil, "is not in the search path"
	case len(found) == 0:
		return nil, "is not known"
	case len(found) > maxCandidates:
		return nil, fmt.Sprintf("may be any of %d relations", len(found))
	}
	return found, ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func spelled(v *pg.RangeVar) string {
	if v.GetSchemaname() != "" {
		return v.Schemaname + "." + v.Relname
	}
	return v.GetRelname()
}

// readFrom judges a relation that is named where rows are read.
func (w *walk) readFrom(v *pg.RangeVar) {
	if v.Schemaname == "" && v.Catalogname == "" && w.isCTE(v.Relname) {
		return
	}
	if v.Catalogname == "" && catalog.SystemSchema(v.Schemaname) && !strings.HasPrefix(v.Schemaname, "pg_temp") {
		w.opaque("reads the system relation " + spelled(v))
		return
	}
	found, why := w.candidates(v)
	if found == nil {
		w.doubt("reads " + spelled(v) + ", which " + why)
		return
	}
	for _, r := range found {
		w.readRelation(r)
	}
}

// readRelation judges a relation whose rows are read, and all that they come from.
func (w *walk) readRelation(r *catalog.Relation) {
	if r.System() {
		w.opaque("reads the system relation " + r.String())
		return
	}
	w.account.relation(r, w.via)
	if r.Kind == catalog.View && !r.Temporary {
		if r.Body == nil {
			w.unknownCode("reads the view " + r.String() + ", whose query is not known")
			return
		}
		w.inside("reads the view "+r.String(), func() { w.body(r.Body) })
		return
	}
	family := catalog.Close([]*catalog.Relation{r}, catalog.Ancestors|catalog.Descendants)
	w.read(family)
	w.judgeRead(r)
	for _, of := range family {
		if of != r {
			w.account.relation(of, append(slices.Clone(w.via), "reads "+r.String()))
		}
		if of.Unlogged && w.logged {
			w.opaque("reads the unlogged " + of.Kind.String() + " " + of.String() + ", whose changes are not in the WAL")
		}
		if of.Kind == catalog.ForeignTable {
			w.doubt("reads the foreign table " + of.String())
		}
	}
}

func (w *walk) judgeRead(r *catalog.Relation) {
	name := r.String()
	switch r.Kind {
	case catalog.Table, catalog.PartitionedTable, catalog.ForeignTable:
	case catalog.MaterializedView:
		// It depends on itself: reading one runs no code, and only a REFRESH changes it.
	case catalog.Sequence:
		w.unstable("reads the state of the sequence " + name)
	default:
		w.doubt("reads the " + r.Kind.String() + " " + name)
	}
	if r.Temporary {
		w.opaque("reads the temporary table " + name)
	}
	if r.RowSecurity {
		if r.PolicyEffects {
			w.unknownCode("reads " + name + ", whose row security calls a function that may do anything")
		}
		w.opaque("reads " + name + ", which has row security")
	}
	if r.EffectsTyped {
		w.unknownCode("reads " + name + ", which has a column of a domain whose checks call a function that may do anything")
	}
	if r.ClockTyped {
		w.unstable("reads " + name + ", which has a column of time with time zone")
	}
}

// change says how a statement changes a relation.
type change uint8

const (
	inserts  change = iota // adds rows only
	changes                // deletes or updates, so that foreign keys cascade
	empties                // TRUNCATE
	cascades               // TRUNCATE … CASCADE
)

// writeTo adds what changing the named relation may change to the closure.
func (w *walk) writeTo(v *pg.RangeVar, how change) {
	found, why := w.candidates(v)
	if found == nil {
		w.doubt("writes to " + spelled(v) + ", which " + why)
		return
	}
	along := catalog.Ancestors | catalog.Descendants
	switch how {
	case inserts, empties:
	case changes:
		along |= catalog.Cascades
	case cascades:
		along |= catalog.References
	}
	var tables []*catalog.Relation
	for _, r := range found {
		tables = w.behind(tables, r)
	}
	for _, r := range catalog.Close(tables, along) {
		w.writes[r.String()] = struct{}{}
		w.judgeWrite(r)
	}
	for _, r := range found {
		w.targets = append(w.targets, r.String())
	}
}

// behind appends the relations that a write to r may go to: of a view all that its query names, and what its rules,
// triggers and defaults of its own do is not known.
func (w *walk) behind(tables []*catalog.Relation, r *catalog.Relation) []*catalog.Relation {
	if r.Kind != catalog.View || r.Body == nil || r.Rules || r.Triggers || r.SideEffects || r.System() || r.Temporary {
		return append(tables, r)
	}
	w.inside("writes to the view "+r.String(), func() { w.body(r.Body) })
	for _, of := range r.Body.Relations {
		tables = w.behind(tables, of)
	}
	return tables
}

func (w *walk) judgeWrite(r *catalog.Relation) {
	name := r.String()
	switch {
	case r.System():
		w.unknownCode("writes to the system relation " + name)
	case r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable:
		w.unknownCode("writes to the " + r.Kind.String() + " " + name)
	case r.Rules:
		w.unknownCode("may write to " + name + ", which has rules")
	case r.Triggers:
		w.unknownCode("may write to " + name + ", which has triggers")
	case r.SideEffects:
		w.unknownCode("may write to " + name + ", whose defaults, checks or indexes call a function that may do anything")
	case r.RowSecurity && r.PolicyEffects:
		w.unknownCode("may write to " + name + ", whose row security calls a function that may do anything")
	}
}
