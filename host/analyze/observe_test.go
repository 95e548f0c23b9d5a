package analyze

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// observable reports whether what a statement does can be held against its description: it is one statement, and the
// description says more than that anything may happen.
func observable(d *statement.Descriptor) bool {
	switch d.Verdict {
	case statement.Read, statement.Unstable, statement.Write:
		return !d.Many && !d.Writes.Anything
	default:
		return false
	}
}

// observe executes a statement and holds what PostgreSQL did against the description: a Read took no lock but those of a
// reader, wrote nothing, and touched no table that is missing from its relations; a Write of a known closure locked
// nothing for writing that is missing from it.
func observe(t *testing.T, conn *pgx.Conn, d *statement.Descriptor, s *catalog.Snapshot, sql, path string) {
	t.Helper()
	seen, err := watch(t.Context(), conn, sql, path, parameterOf)
	if err != nil && d.Parameters > 0 {
		seen, err = watch(t.Context(), conn, sql, path, nil) // the values may not suit
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && d.Verdict == statement.Write && d.Parameters > 0 && strings.HasPrefix(refused.Code, "23") {
		return // a constraint wants other values
	}
	if err != nil {
		t.Errorf("execute: %v\n%s", err, sql)
		return
	}
	for _, complaint := range seen.against(d, s) {
		t.Errorf("%s %s\n%s", d.Verdict, complaint, sql)
	}
}

// footprint is what a statement left behind in its transaction.
type footprint struct {
	relations []string // "schema.name" of every relation that it locked in whatever way
	written   []string // of those that it locked as a writer does
	locks     []string // the locks that a reader would not take
	wrote     bool     // whether it got a transaction number
}

// against returns what of the footprint the description does not have.
func (seen *footprint) against(d *statement.Descriptor, s *catalog.Snapshot) (complaints []string) {
	// A view's tables are locked as well, and what is not in the picture is a TOAST table's or an index.
	missing := func(what string, touched, known []string) {
		for _, name := range touched {
			schema, relation, _ := strings.Cut(name, ".")
			r := s.Relation(schema, relation)
			if r != nil && r.Kind != catalog.View && !r.System() && !slices.Contains(known, name) {
				complaints = append(complaints, fmt.Sprintf("%s %s, which is missing from %v", what, name, known))
			}
		}
	}
	switch d.Verdict {
	case statement.Read:
		if len(seen.locks) > 0 || seen.wrote {
			complaints = append(complaints, fmt.Sprintf("took the locks %v, and has a transaction number: %t", seen.locks, seen.wrote))
		}
		missing("read", seen.relations, d.Relations)
	case statement.Write:
		missing("locked for writing", seen.written, d.Writes.Relations)
	default:
	}
	return complaints
}

// watch executes a statement in a transaction that it rolls back, and returns what it did. A parameter gets the
// value of its type, or null.
func watch(ctx context.Context, conn *pgx.Conn, sql, path string, values map[uint32][]byte) (seen footprint, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return seen, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if schemas := statement.Schemas(path); schemas != nil {
		for i, schema := range schemas {
			schemas[i] = pgx.Identifier{schema}.Sanitize()
		}
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+strings.Join(schemas, ", ")); err != nil {
			return seen, err
		}
	}
	if err := execute(ctx, conn.PgConn(), sql, values); err != nil {
		return seen, err
	}
	err = tx.QueryRow(ctx, `WITH held AS (
			SELECT l.locktype, l.mode, c.relkind, pg_catalog.format('%s.%s', n.nspname, c.relname) AS name FROM pg_catalog.pg_locks l
			LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
				AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
			LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = pg_catalog.pg_backend_pid())
		SELECT array(SELECT DISTINCT name FROM held WHERE relkind IN ('r', 'p', 'm', 'v', 'f')),
			array(SELECT DISTINCT name FROM held WHERE relkind IN ('r', 'p', 'm', 'v', 'f') AND mode NOT IN ('AccessShareLock', 'RowShareLock')),
			array(SELECT DISTINCT mode FROM held WHERE locktype <> 'virtualxid' AND mode <> 'AccessShareLock'),
			pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL`).Scan(&seen.relations, &seen.written, &seen.locks, &seen.wrote)
	if err != nil {
		return seen, fmt.Errorf("look at the locks: %w", err)
	}
	return seen, nil
}

func execute(ctx context.Context, conn *pgconn.PgConn, sql string, values map[uint32][]byte) error {
	if firstWord(sql) == "COPY" { // the messages for its data are a protocol of their own
		var err error
		if strings.HasSuffix(sql, "TO STDOUT") {
			_, err = conn.CopyTo(ctx, io.Discard, sql)
		} else {
			_, err = conn.CopyFrom(ctx, strings.NewReader(""), sql)
		}
		return err
	}
	// The unnamed statement is analysed in this transaction, so its locks are seen as well.
	prepared, err := conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return err
	}
	bound := make([][]byte, len(prepared.ParamOIDs))
	for i, oid := range prepared.ParamOIDs {
		bound[i] = values[oid]
	}
	return conn.ExecPrepared(ctx, "", bound, nil, nil).Read().Err
}

// parameterOf is a value of each type that parameters of the catalogue have; of others it is null.
var parameterOf = map[uint32][]byte{
	pgtype.BoolOID: []byte("true"), pgtype.Int2OID: []byte("1"), pgtype.Int4OID: []byte("1"), pgtype.Int8OID: []byte("1"),
	pgtype.Float8OID: []byte("1"), pgtype.NumericOID: []byte("1"), pgtype.TextOID: []byte("x"), pgtype.VarcharOID: []byte("x"),
	pgtype.DateOID: []byte("2024-01-15"), pgtype.TimestampOID: []byte("2024-01-15"), pgtype.TimestamptzOID: []byte("2024-01-15"),
	pgtype.UUIDOID: []byte("7d444840-9dc0-11d1-b245-5ffdce74fad2"), pgtype.JSONBOID: []byte("{}"),
	pgtype.Int4ArrayOID: []byte("{1}"), pgtype.Int8ArrayOID: []byte("{1}"), pgtype.TextArrayOID: []byte("{x}"),
}

// TestTheObserverSees holds the observer itself against statements described as what they are not.
func TestTheObserverSees(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE);
		CREATE TABLE part (id int) PARTITION BY LIST (id); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
		CREATE VIEW shown AS SELECT id FROM parent; CREATE SEQUENCE counter;
		INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); INSERT INTO part VALUES (1)`)
	s, conn := pictureOf(t, db), db.Connect()
	for _, c := range []struct{ name, sql, want string }{
		{"a row lock", "SELECT * FROM parent FOR KEY SHARE", "took the locks"},
		{"a row lock below a view", "SELECT * FROM shown FOR UPDATE", "took the locks"},
		{"an advisory lock", "SELECT pg_advisory_xact_lock(1)", "took the locks [ExclusiveLock]"},
		{"a sequence's next value", "SELECT nextval('counter')", "took the locks"},
		{"a transaction number", "SELECT pg_current_xact_id()", "has a transaction number: true"},
		{"a table that is read", "SELECT 1 WHERE EXISTS (SELECT FROM child WHERE id = $1)", "read public.child"},
		{"a table behind a view", "SELECT * FROM shown", "read public.parent"},
		{"a partition", "SELECT * FROM part", "read public.part_1"},
		{"a table that is written", "WITH w AS (DELETE FROM child RETURNING id) SELECT * FROM w", "RowExclusiveLock"},
	} {
		seen, err := watch(t.Context(), conn, c.sql, "", parameterOf)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := seen.against(&statement.Descriptor{Verdict: statement.Read}, s); !strings.Contains(strings.Join(got, "; "), c.want) {
			t.Errorf("%s, taken for a read of nothing: got %q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ sql, want string }{
		{"DELETE FROM parent WHERE id = $1", "locked for writing public.child"},
		{"INSERT INTO part VALUES (1)", "locked for writing public.part_1"},
		{"TRUNCATE parent CASCADE", "locked for writing public.child"},
	} {
		seen, err := watch(t.Context(), conn, c.sql, "", parameterOf)
		if err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
		d := &statement.Descriptor{Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.parent", "public.part"}}}
		if got := seen.against(d, s); !strings.Contains(strings.Join(got, "; "), c.want) {
			t.Errorf("%s, taken for a write to its target alone: got %q, want %q", c.sql, got, c.want)
		}
	}
}
