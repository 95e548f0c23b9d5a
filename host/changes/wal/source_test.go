package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// follows names a variable that makes the test program follow the database of a URL, until it is killed.
const follows = "PERIHELION_TEST_FOLLOW"

func TestMain(m *testing.M) {
	if url := os.Getenv(follows); url != "" {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			panic(err)
		}
		New(Options{Config: config, Database: config.Database, Sink: &recorder{told: make(chan struct{}, 1)}}).Run(context.Background())
	}
	os.Exit(pgtest.Main(m))
}

// patience bounds every wait of a test. Nothing waits as long unless it is broken.
const patience = 30 * time.Second

// recorder is a Sink that keeps what it is told.
type recorder struct {
	sync.Mutex
	change union
	gaps   []bool
	told   chan struct{} // gets a value after each call, as long as there is room
}

func (r *recorder) Gap(following bool) {
	r.Lock()
	r.gaps = append(r.gaps, following)
	r.Unlock()
	signal(r.told)
}

func (r *recorder) Changed(c Change) {
	r.Lock()
	r.change.add(&c)
	r.Unlock()
	signal(r.told)
}

// take returns what has changed since the last call: relations, and what else in words. Empty transactions are left
// out: other tests of the server cause them as well.
func (r *recorder) take() string {
	r.Lock()
	defer r.Unlock()
	c := r.change.result()
	r.change = union{}
	var all []string
	for _, one := range c.Relations {
		all = append(all, one.Schema+"."+one.Name)
	}
	slices.Sort(all)
	if c.Anything {
		all = append(all, "anything")
	}
	if c.Schema {
		all = append(all, "schema")
	}
	return strings.Join(all, " ")
}

// await waits until a condition on the recorder holds; it looks whenever the recorder is told something.
func (r *recorder) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.Lock()
		ok := holds()
		r.Unlock()
		if ok {
			return
		}
		select {
		case <-r.told:
		case <-timeout:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// testLog writes to the test's log, and keeps what was written.
type testLog struct {
	t *testing.T
	sync.Mutex
	text  strings.Builder
	wrote chan struct{} // gets a value after each line, as long as there is room
}

// await waits until a text was written.
func (l *testLog) await(text string) {
	l.t.Helper()
	timeout := time.After(patience)
	for l.count(text) == 0 {
		select {
		case <-l.wrote:
		case <-timeout:
			l.t.Fatalf("%q is not in the log within %v", text, patience)
		}
	}
}

func (l *testLog) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	l.text.Write(line)
	l.t.Log(strings.TrimSpace(string(line)))
	signal(l.wrote)
	return len(line), nil
}

func (l *testLog) count(text string) int {
	l.Lock()
	defer l.Unlock()
	return strings.Count(l.text.String(), text)
}

// rig is a source that runs, and what it has found.
type rig struct {
	*Source
	*recorder
	t    *testing.T
	log  *testLog
	stop func() // ends the source and waits for its end
}

func run(t *testing.T, url string, change ...func(*Options)) *rig {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, recorder: &recorder{told: make(chan struct{}, 1)}, log: &testLog{t: t, wrote: make(chan struct{}, 1)}}
	options := Options{Config: config, Database: config.Database, Sink: r.recorder, Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	for _, f := range change {
		f(&options)
	}
	r.Source = New(options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(r.stop)
	return r
}

// awaitState waits until the source is in a state.
func (r *rig) awaitState(want State) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		state, changed := r.State()
		if state == want {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("the source is %s (%s), want %s", state, r.Status().Reason, want)
		}
	}
}

// certain waits until all that is visible by now is known.
func (r *rig) certain() {
	r.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := r.Certain(ctx); err != nil {
		r.t.Fatalf("Certain: %v", err)
	}
}

// follow runs a source on a database until it follows.
func follow(t *testing.T, url string, change ...func(*Options)) *rig {
	t.Helper()
	r := run(t, url, change...)
	r.awaitState(Following)
	r.certain()
	return r
}

// statements runs statements of one session of simple queries, each in a transaction of its own.
func statements(t *testing.T, conn *pgx.Conn, all ...string) {
	t.Helper()
	for _, sql := range all {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestEverythingThatWritesRowsIsSeen(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			db := pgtest.NewOf(t, version)
			db.Exec(
				`create table a (id int primary key, n int)`,
				`create table b (id int primary key references a on delete cascade on update set null)`,
				`create table plain (x text)`, // without a key
				`create table audit (x text)`,
				`create table p (id int, k int) partition by list (k)`,
				`create table p1 partition of p for values in (1)`,
				`create table p2 partition of p for values in (2)`,
				`create unlogged table u (x int)`,
				`create function note() returns trigger language plpgsql as 'begin insert into audit values (''x''); return null; end'`,
				`create trigger note after update on a execute function note()`,
				`create function f() returns int language sql as 'insert into plain values (''f'') returning 1'`,
				`create procedure twice() language plpgsql as 'begin insert into plain values (''1''); commit; insert into audit values (''2''); rollback; end'`,
				`create view v as select * from plain`,
				`create materialized view m as select 1 as one`,
				`create unique index on m (one)`,
				`create schema "S.x"`,
				`create table "S.x"."T"", ä: INSERT:" (x int)`,
				`insert into a select i from generate_series(1, 9) i`,
				`insert into b select i from generate_series(1, 9) i`,
			)
			r := follow(t, db.URL())
			r.take()
			conn := db.Connect()
			for _, test := range []struct {
				name, sql, want string
			}{
				{"an insert", `insert into plain values ('x')`, "public.plain"},
				{"an update of a table without a key", `update plain set x = 'y'`, "public.plain"},
				{"a deletion in a table without a key", `delete from plain`, "public.plain"},
				{"a deletion that cascades", `delete from a where id = 1`, "public.a public.b"},
				{"a trigger", `update a set n = 1 where id = 2`, "public.a public.audit"},
				{"a trigger where no row is touched", `update a set n = 1 where id = -2`, "public.audit"},
				{"a function in a SELECT", `select f()`, "public.plain"},
				{"a view that can be written to", `insert into v values ('x')`, "public.plain"},
				{"a CTE that writes", `with w as (insert into plain values ('w') returning 1) select * from w`, "public.plain"},
				{"a DO block", `do $$ begin execute 'insert into audit values (1)'; end $$`, "public.audit"},
				{"a procedure that commits and rolls back", `call twice()`, "public.plain"},
				{"a row of a partition", `insert into p values (1, 1)`, "public.p1"},
				{"a row that moves between partitions", `update p set k = 2`, "public.p1 public.p2"},
				{"COPY", `copy plain from program 'echo x'`, "public.plain"},
				{"TRUNCATE", `truncate audit`, "public.audit"},
				{"TRUNCATE that cascades", `truncate a cascade`, "public.a public.b"},
				{"names with everything in them", `insert into "S.x"."T"", ä: INSERT:" values (1)`, `S.x.T", ä: INSERT:`},
				{"a block", `begin; insert into plain values ('x'); update audit set x = 'y'; insert into audit values ('z'); commit`, "public.audit public.plain"},
				{"a block that is rolled back", `begin; insert into plain values ('x'); rollback`, ""},
				{"a block with a savepoint that is undone", `begin; insert into plain values ('x'); savepoint s; insert into audit values ('y'); rollback to s; commit`, "public.plain"},
				{"a block that writes in a subtransaction alone", `begin; savepoint s; insert into audit values ('y'); release s; commit`, "public.audit"},
				{"a prepared transaction", `begin; insert into plain values ('x'); prepare transaction 'one'`, ""},
				{"its commit", `commit prepared 'one'`, "public.plain"},
				{"another prepared transaction", `begin; insert into plain values ('x'); prepare transaction 'two'`, ""},
				{"its rollback", `rollback prepared 'two'`, ""},
				{"an asynchronous commit", `begin; set local synchronous_commit = off; insert into plain values ('x'); commit`, "public.plain"},
				{"a temporary table", `create temporary table temp (x int); insert into temp values (1); truncate temp; drop table temp`, ""},
				{"an unlogged table", `insert into u values (1)`, ""},
				{"ANALYZE", `analyze`, ""},
				{"VACUUM", `vacuum plain`, ""},
				{"VACUUM FULL", `vacuum full plain`, ""},
				{"a table that is rewritten", `alter table audit alter x type varchar(10)`, ""},
				{"a migration that changes the schema and rows", `begin; create table new (x int); insert into new values (1); commit`, "public.new"},
				{"a table that is made of a query", `create table made as select 1 as x`, "public.made"},
				{"REFRESH … CONCURRENTLY", `drop table made; refresh materialized view concurrently m`, ""},
				{"a message of the event trigger", `select pg_logical_emit_message(true, 'perihelion', 'x')`, "schema"},
				{"a message of somebody else", `select pg_logical_emit_message(true, 'somebody', 'x')`, ""},
			} {
				statements(t, conn, test.sql)
				r.certain()
				if got := r.take(); got != test.want {
					t.Errorf("%s (%s): got %q, want %q", test.name, test.sql, got, test.want)
				}
			}
			if gaps := r.gaps; len(gaps) != 1 || !gaps[0] {
				t.Errorf("gaps: %v, want one at the start", gaps)
			}
		})
	}
}

func TestSchemaChangesAreTransactionsWithoutRows(t *testing.T) {
	// A server of its own: what other tests do to catalogs that all databases share is seen in each.
	db := pgtest.NewOn(t, pgtest.NewServer(t, postgres.Options{}))
	db.Exec(`create table a (id int primary key)`, `create materialized view m as select 1 as one`)
	r := follow(t, db.URL())
	conn := db.Connect()
	for _, sql := range []string{
		`create table b (id int)`, `alter table b add column n int`, `grant select on b to public`, `create index on b (n)`,
		`create view v as select * from a`, `create or replace view v as select id from a`, `refresh materialized view m`,
		`create function f() returns int language sql as 'select 1'`, `alter role postgres set work_mem = '5MB'`, `drop table b`,
	} {
		r.Lock()
		r.change = union{}
		r.Unlock()
		statements(t, conn, sql)
		r.certain()
		r.Lock()
		if c := r.change.result(); !c.Empty || c.Anything || len(c.Relations) > 0 {
			t.Errorf("%s: got %+v, want an empty transaction", sql, c)
		}
		r.Unlock()
	}
}

func TestR10NothingIsToldBeforeItIsVisible(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	db := pgtest.NewOn(t, server)
	db.Exec(`create table a (x int)`)
	r := follow(t, db.URL())
	r.take()
	// A commit waits for a standby that never comes: it is in the WAL, and nobody sees it.
	statements(t, db.Connect(), `alter system set synchronous_standby_names = 'nobody'`, `select pg_reload_conf()`)
	writer, watcher := db.Connect(), db.Connect()
	awaitSetting(t, writer, "synchronous_standby_names", "nobody")
	wrote := make(chan error, 1)
	go func() {
		_, err := writer.Exec(context.Background(), `insert into a values (1)`)
		wrote <- err
	}()
	awaitTrue(t, watcher, `select exists (select from pg_stat_activity where wait_event = 'SyncRep')`)
	before := r.Status().Transactions
	r.certain() // of all that is visible
	if got := r.take(); got != "" {
		t.Errorf("a commit that nobody sees was told: %s", got)
	}
	if after := r.Status().Transactions; after != before || r.pendingCount() != 1 {
		t.Errorf("the commit was not decoded, so nothing was tested")
	}
	statements(t, watcher, `alter system reset synchronous_standby_names`, `select pg_reload_conf()`)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	r.certain()
	if got := r.take(); got != "public.a" {
		t.Errorf("once it is visible: got %q, want public.a", got)
	}
}

// pendingCount returns how many transactions were decoded and are not visible.
func (r *rig) pendingCount() int {
	r.mu.Lock()
	f := r.mu.follower
	r.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.pending)
}

// TestR10StraddlersOfTheSlotAreNotForgotten makes a commit that lies in the WAL before the slot's beginning, and that
// becomes visible after the Gap.
func TestR10StraddlersOfTheSlotAreNotForgotten(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	db := pgtest.NewOn(t, server)
	db.Exec(`create table a (x int)`)
	first, second, writer, watcher := db.Connect(), db.Connect(), db.Connect(), db.Connect()
	statements(t, watcher, `alter system set synchronous_standby_names = 'nobody'`, `select pg_reload_conf()`)
	awaitSetting(t, writer, "synchronous_standby_names", "nobody")
	// PostgreSQL waits twice for the transactions that are running, before it has a consistent point.
	statements(t, first, `begin`, `select pg_current_xact_id()`)
	r := run(t, db.URL())
	waitsFor := func(conn *pgx.Conn) {
		t.Helper()
		var xid string
		if err := conn.QueryRow(t.Context(), `select pg_current_xact_id()::text`).Scan(&xid); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, watcher, `select exists (select from pg_locks where locktype = 'transactionid' and not granted and transactionid::text = '`+xid+`')`)
	}
	waitsFor(first)
	statements(t, second, `begin`, `select pg_current_xact_id()`)
	statements(t, first, `rollback`)
	waitsFor(second)
	wrote := make(chan error, 1)
	go func() {
		_, err := writer.Exec(context.Background(), `insert into a values (1)`)
		wrote <- err
	}()
	awaitTrue(t, watcher, `select exists (select from pg_stat_activity where wait_event = 'SyncRep')`)
	statements(t, second, `rollback`)
	r.awaitState(Following)
	r.certain()
	if got := r.take(); got != "" {
		t.Errorf("a commit that nobody sees was told: %s", got)
	}
	statements(t, watcher, `alter system reset synchronous_standby_names`, `select pg_reload_conf()`)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	r.certain()
	if got := r.take(); got != "anything" {
		t.Errorf("once it is visible: got %q, want anything", got)
	}
}

func awaitSetting(t *testing.T, conn *pgx.Conn, name, want string) {
	t.Helper()
	awaitTrue(t, conn, fmt.Sprintf(`select current_setting('%s') = '%s'`, name, want))
}

// awaitTrue asks until PostgreSQL says yes: what it waits for tells nobody when it happens.
func awaitTrue(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	end := time.Now().Add(patience)
	for yes := false; !yes; {
		if err := conn.QueryRow(t.Context(), sql).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", sql, patience)
		}
	}
}

func TestCertainDoesNotWaitForWhatIsNotFlushed(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{Settings: map[string]string{"wal_writer_delay": "10s", "bgwriter_delay": "10s"}})
	db := pgtest.NewOn(t, server)
	db.Exec(`create table a (x int)`)
	r := follow(t, db.URL())
	r.take()
	conn := db.Connect()
	// Nothing flushes this before the walwriter wakes up, or the transaction ends.
	statements(t, conn, `set synchronous_commit = off`, `begin`, `insert into a values (1)`)
	began := time.Now()
	r.certain()
	statements(t, conn, `commit`)
	r.certain()
	if got := r.take(); got != "public.a" {
		t.Errorf("got %q, want public.a", got)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it took %v, as long as PostgreSQL takes to flush on its own", took)
	}
}

func TestCertainNeedsNoFlushAtTheBeginningOfASegment(t *testing.T) {
	db := pgtest.NewOn(t, pgtest.NewServer(t, postgres.Options{Settings: map[string]string{"autovacuum": "off"}}))
	r := follow(t, db.URL())
	conn := db.Connect()
	before := r.Status().Transactions
	for range 3 {
		statements(t, conn, `select pg_switch_wal()`)
		r.certain()
	}
	if after := r.Status().Transactions; after != before {
		t.Errorf("WAL was written to be certain of a server that does nothing")
	}
}

func TestATransactionOfAMillionRowsCostsNoMemory(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`create table a (x int)`, `create table big (x text)`, `alter table big alter x set storage external`)
	r := follow(t, db.URL())
	r.take()
	conn := db.Connect()
	grown := growth(t, func() {
		statements(t, conn, `insert into a select i from generate_series(1, 1000000) i`)
		statements(t, conn, `insert into big select repeat('x', 100 << 20)`)
		r.certain()
	})
	if got := r.take(); got != "public.a public.big" {
		t.Errorf("got %q, want public.a public.big", got)
	}
	if limit := uint64(8 << 20); grown > limit {
		t.Errorf("the heap grew by %d MiB, want less than %d", grown>>20, limit>>20)
	}
}

func TestR5ALostSlotIsAGap(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`create table a (x int)`)
	r := follow(t, db.URL())
	conn := db.Connect()
	for _, victim := range []string{"walsender", "client backend"} {
		r.Lock()
		gaps := len(r.gaps)
		r.Unlock()
		slot := r.Status().Slot
		awaitTrue(t, conn, `select coalesce(bool_and(pg_terminate_backend(pid)), false) from pg_stat_activity
			where datname = current_database() and application_name = 'perihelion wal' and backend_type = '`+victim+`'`)
		r.await(t, "a gap", func() bool { return len(r.gaps) == gaps+1 && r.gaps[gaps] })
		if now := r.Status().Slot; now == slot {
			t.Errorf("the slot is still %s", now)
		}
		r.take()
		statements(t, conn, `insert into a values (1)`)
		r.certain()
		if got := r.take(); got != "public.a" {
			t.Errorf("with the new slot: got %q, want public.a", got)
		}
		if left := slots(t, conn); left != 1 {
			t.Errorf("%d slots, want 1", left)
		}
	}
}

func TestNothingIsCertainWithoutASlot(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	db := pgtest.NewOn(t, server)
	r := follow(t, db.URL())
	asked := make(chan error, 1)
	if err := server.Stop(postgres.Immediate); err != nil {
		t.Fatal(err)
	}
	go func() { asked <- r.Certain(context.Background()) }()
	if err := <-asked; !errors.Is(err, ErrUncertain) {
		t.Errorf("Certain without a server: %v, want ErrUncertain", err)
	}
	r.awaitState(Lost)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.await(t, "a gap", func() bool { return len(r.gaps) == 2 })
	r.certain()
}

func slots(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_replication_slots where database = current_database()`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheSlotIsGoneWithItsSource(t *testing.T) {
	db := pgtest.New(t)
	r := follow(t, db.URL())
	conn := db.Connect()
	if n := slots(t, conn); n != 1 {
		t.Fatalf("%d slots, want 1", n)
	}
	r.stop()
	if n := slots(t, conn); n != 0 {
		t.Errorf("%d slots after the end, want none", n)
	}
}

func TestTheSlotIsGoneOnceItsProcessWasKilled(t *testing.T) {
	db := pgtest.New(t)
	conn := db.Connect()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program)
	child.Env = append(os.Environ(), follows+"="+db.URL())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, conn, `select exists (select from pg_replication_slots where database = current_database() and active)`)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	awaitTrue(t, conn, `select count(*) = 0 from pg_replication_slots where database = current_database()`)
	awaitTrue(t, conn, `select count(*) = 0 from pg_stat_activity where application_name = 'perihelion wal' and datname = current_database()`)
}

// TestHammer has many ask at once while there are writes and slots are lost.
func TestHammer(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`create table a (x int)`)
	r := follow(t, db.URL())
	conn, killer := db.Connect(), db.Connect()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := r.Certain(t.Context()); err != nil && !errors.Is(err, ErrUncertain) {
					t.Error(err)
				}
				r.Status()
			}
		})
	}
	for i := range 100 {
		statements(t, conn, `insert into a values (1)`)
		if i%30 == 29 {
			statements(t, killer, `select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()`)
		}
	}
	wg.Wait()
}

func TestASourceEndsWhilePostgresWaitsToMakeTheSlot(t *testing.T) {
	db := pgtest.New(t)
	holder, conn := db.Connect(), db.Connect()
	statements(t, holder, `begin`, `select pg_current_xact_id()`)
	r := run(t, db.URL(), func(o *Options) { o.SlowStart = 10 * time.Millisecond })
	awaitTrue(t, conn, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'transactionid' and not l.granted and a.datname = current_database())`)
	if state, _ := r.State(); state != Starting {
		t.Errorf("the source is %s, want %s", state, Starting)
	}
	r.log.await("have ended")
	r.stop()
	if reason := r.Status().Reason; !strings.Contains(reason, "have ended") || r.log.count("have ended") != 1 {
		t.Errorf("the reason is %q", reason)
	}
	awaitTrue(t, conn, `select count(*) = 0 from pg_replication_slots where database = current_database()`)
}

func TestALostSlotWithoutASuccessorIsGivenUp(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`create table a (x int)`)
	r := follow(t, db.URL(), func(o *Options) { o.MaxLost = 200 * time.Millisecond })
	holder, conn := db.Connect(), db.Connect()
	statements(t, holder, `begin`, `select pg_current_xact_id()`)
	statements(t, conn, `select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()`)
	r.await(t, "a gap that says so", func() bool { return len(r.gaps) == 2 && !r.gaps[1] })
	if state, _ := r.State(); state != Refused {
		t.Errorf("the source is %s, want %s", state, Refused)
	}
	statements(t, holder, `rollback`)
	r.await(t, "a gap that ends it", func() bool { return len(r.gaps) == 3 && r.gaps[2] })
	r.certain()
}

func TestWhatPostgresDoesNotAllowIsSaidOnce(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings map[string]string
		role     string
		want     string
	}{
		{"no logical WAL", map[string]string{"wal_level": "replica"}, "", "wal_level = logical"},
		{"no free slot", map[string]string{"max_replication_slots": "0"}, "", "max_replication_slots"},
		{"no sender", map[string]string{"max_wal_senders": "0"}, "", "max_wal_senders"},
		{"a role that may not replicate", nil, "reader", "ALTER ROLE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := pgtest.NewServer(t, postgres.Options{Settings: test.settings})
			db := pgtest.NewOn(t, server)
			url := db.URL()
			if test.role != "" {
				url = db.UserURL(db.CreateUser(test.role, pgtest.Trust, ""), "")
			}
			r := run(t, url)
			r.awaitState(Refused)
			if reason := r.Status().Reason; !strings.Contains(reason, test.want) {
				t.Errorf("the reason is %q, want one with %s", reason, test.want)
			}
			if err := r.Certain(t.Context()); !errors.Is(err, ErrUncertain) {
				t.Errorf("Certain: %v, want ErrUncertain", err)
			}
			r.Lock()
			if len(r.gaps) != 0 {
				t.Errorf("gaps %v of a source that never was", r.gaps)
			}
			r.Unlock()
			r.stop()
			if n := r.log.count("not followed"); n != 1 {
				t.Errorf("it was said %d times, want once", n)
			}
		})
	}
}
