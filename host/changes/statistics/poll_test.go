package statistics

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// poll looks once.
func poll(t *testing.T, p *Poll, conn *pgx.Conn) string {
	t.Helper()
	moved, err := p.look(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range moved {
		names = append(names, r.Schema+"."+r.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestCountersOfWhatWasWrittenMove(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			db := pgtest.NewOf(t, version)
			db.Exec(`create table a (x int)`, `create table b (x int)`, `create table p (k int) partition by list (k)`,
				`create table p1 partition of p for values in (1)`, `create unlogged table u (x int)`, `insert into a values (1)`)
			conn, writer := db.Connect(), db.Connect()
			p := New(Options{Config: conn.Config()})
			if got := poll(t, p, conn); got != "" {
				t.Errorf("the first look found %s", got)
			}
			for _, test := range []struct{ sql, want string }{
				{`insert into a values (1)`, "public.a"},
				{`update a set x = 2`, "public.a"},
				{`insert into p values (1)`, "public.p1"},
				{`insert into u values (1)`, "public.u"},
				{`delete from a; insert into b values (1)`, "public.a public.b"},
				{`create table fresh (x int); insert into fresh values (1)`, "public.fresh"},
				{`create temporary table temp (x int); insert into temp values (1)`, ""},
				{`select * from a, b`, ""},
				{`analyze`, ""},
				{`select pg_stat_reset()`, "public.a public.b public.fresh public.p1 public.u"},
			} {
				// PostgreSQL adds a session's counts some time later, unless it is told to.
				for _, sql := range []string{test.sql, `select pg_stat_force_next_flush()`} {
					if _, err := writer.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Fatal(err)
					}
				}
				if got := poll(t, p, conn); got != test.want {
					t.Errorf("%s: got %q, want %q", test.sql, got, test.want)
				}
			}
		})
	}
}

func TestAPollGoesOnAfterItsConnectionWasLost(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`create table a (x int)`)
	killer, writer := db.Connect(), db.Connect()
	moved := make(chan []Relation, 100)
	p := New(Options{Config: killer.Config(), Interval: 10 * time.Millisecond, Moved: func(r []Relation) { moved <- r }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	const wait = 30 * time.Second
	await := func(sql string) {
		t.Helper()
		for end := time.Now().Add(wait); ; {
			var yes bool
			if err := killer.QueryRow(t.Context(), sql).Scan(&yes); err != nil {
				t.Fatal(err)
			}
			if yes {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: not within %v", sql, wait)
			}
		}
	}
	const mine = `application_name = 'perihelion statistics' and datname = current_database()`
	await(`select exists (select from pg_stat_activity where ` + mine + ` and state = 'idle' and query like '%n_tup_ins%')`)
	await(`select bool_and(pg_terminate_backend(pid, 10000)) from pg_stat_activity where ` + mine)
	for _, sql := range []string{`insert into a values (1)`, `select pg_stat_force_next_flush()`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case got := <-moved:
		if want := []Relation{{"public", "a"}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	case <-time.After(wait):
		t.Error("the write was not found")
	}
}
