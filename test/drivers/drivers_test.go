package drivers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// program is a driver's program. It returns what it saw, line by line.
type program struct {
	name string
	run  func(ctx context.Context, url string) (string, error)
	// hits is how many statements are answered from memory at least when the program is warm.
	hits uint64
}

var programs = []program{
	{"pgx, each mode", runPgx, 40},
	{"lib/pq", func(ctx context.Context, url string) (string, error) { return runPq(ctx, url) }, 14},
	{"lib/pq with binary parameters", func(ctx context.Context, url string) (string, error) {
		return runPq(ctx, url+"&binary_parameters=yes")
	}, 14},
	{"pg", node("pg.mjs"), 38},
	{"postgres", node("postgres.mjs"), 38},
}

// pythons are programs of drivers that only a distribution installs, with the modules that they import.
var pythons = []struct {
	program
	modules string
}{
	{program{"psycopg", python("psycopg_program.py"), 30}, "psycopg"},
	{program{"SQLAlchemy", python("sqlalchemy_program.py"), 15}, "sqlalchemy, psycopg2"},
}

// distributionsPython is the interpreter that finds the distribution's modules.
const distributionsPython = "/usr/bin/python3"

func python(script string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, url string) (string, error) {
		out, err := exec.CommandContext(ctx, distributionsPython, script, url).Output() // what it logs depends on time
		if err != nil {
			var failed *exec.ExitError
			if !errors.As(err, &failed) {
				return "", fmt.Errorf("python %s: %w", script, err)
			}
			return "", fmt.Errorf("python %s: %w\n%s%s", script, err, out, failed.Stderr)
		}
		return string(out), nil
	}
}

func node(script string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, url string) (string, error) {
		cmd := exec.CommandContext(ctx, "node", "--no-warnings", script, strings.Replace(url, "?sslmode=disable", "", 1))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("node %s (npm ci installs what it needs): %w\n%s", script, err, out)
		}
		return string(out), nil
	}
}

func TestDrivers(t *testing.T) {
	straight := pgtest.New(t)
	c := cluster.On(t, pgtest.New(t), 1, nil)
	edge := c.Edges[0]
	urls := map[string]string{"straight": straight.UserURL("postgres", ""), "through": c.URL(edge)}
	reset := []string{
		`drop table if exists t`, `create table t (id int primary key, v text)`, `insert into t values (1, 'one'), (2, 'two'), (3, null)`,
		`drop table if exists w`, `create table w (id int primary key, v text)`,
	}
	homeConn, straightConn := cluster.Connect(t, c.URL(c.Home)), straight.Connect()
	all := slices.Clone(programs)
	for _, p := range pythons {
		if exec.CommandContext(t.Context(), distributionsPython, "-c", "import "+p.modules).Run() == nil {
			all = append(all, p.program)
		} else {
			t.Logf("no distribution's Python with %s: there is nothing to run", p.modules)
		}
	}
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			for _, sql := range reset {
				cluster.Exec(t, straightConn, sql)
				cluster.Exec(t, homeConn, sql)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*cluster.Patience)
			defer cancel()
			want, err := p.run(ctx, urls["straight"])
			if err != nil {
				t.Fatalf("straight: %v", err)
			}
			if len(want) == 0 {
				t.Fatal("the program saw nothing")
			}
			for _, run := range []string{"cold", "warm"} {
				var got string
				hits, misses, bypasses := edge.Counted(func() { got, err = p.run(ctx, urls["through"]) })
				if err != nil {
					t.Fatalf("%s: %v", run, err)
				}
				t.Logf("%s: %d hits, %d misses, %d bypasses", run, hits, misses, bypasses)
				if line, a, b := differ(want, got); line > 0 {
					t.Fatalf("%s, line %d:\nstraight %s\nthrough  %s", run, line, a, b)
				}
				if run == "warm" && hits < p.hits {
					t.Errorf("%d hits, want %d at least", hits, p.hits)
				}
			}
		})
	}
}

// differ returns the first line in which two texts differ, and what stands there; 0: none.
func differ(want, got string) (line int, a, b string) {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wants), len(gots)) {
		a, b = "nothing", "nothing"
		if i < len(wants) {
			a = wants[i]
		}
		if i < len(gots) {
			b = gots[i]
		}
		if a != b {
			return i + 1, a[:min(len(a), 500)], b[:min(len(b), 500)]
		}
	}
	return 0, "", ""
}

// transcript is what a Go program saw.
type transcript struct{ strings.Builder }

func (w *transcript) say(what string, values ...any) { fmt.Fprintf(w, "%s: %v\n", what, values) }

func runPgx(ctx context.Context, url string) (string, error) {
	w := &transcript{}
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		if err := runPgxMode(ctx, url, mode, w); err != nil {
			return "", fmt.Errorf("%v: %w", mode, err)
		}
	}
	return w.String(), nil
}

func runPgxMode(ctx context.Context, url string, mode pgx.QueryExecMode, w *transcript) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	cfg.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	read := func(q interface {
		Query(context.Context, string, ...any) (pgx.Rows, error)
	}, text string, args ...any,
	) error {
		for range 2 {
			rows, err := q.Query(ctx, text, args...)
			if err != nil {
				return err
			}
			values, err := pgx.CollectRows(rows, pgx.RowToMap)
			w.say(text, values, err, rows.CommandTag())
		}
		return nil
	}
	failing := func(text string, args ...any) {
		_, err := conn.Exec(ctx, text, args...)
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			w.say(text, pg.Code, pg.Message, pg.Position)
		} else {
			w.say(text, err)
		}
	}
	if err := errors.Join(read(conn, "select * from t order by id"), read(conn, "select v from t where id = $1", 2),
		read(conn, "select id, v from t where id = $1", 99)); err != nil {
		return err
	}
	failing("selec")
	failing("insert into t values (1, 'again')")
	failing("select 1/(id-1) from t where id = $1", 1)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := read(tx, "select v from t where id = $1", 1); err != nil {
		return err
	}
	nested, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = nested.Exec(ctx, "insert into w values (300, 'x')")
	w.say("nested", err)
	if err := errors.Join(read(tx, "select v from w where id = $1", 300), nested.Rollback(ctx), read(tx, "select v from w where id = $1", 300), tx.Commit(ctx)); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for i := range 6 {
		batch.Queue("select $1::int4 as i, v from t where id = $2", i, 1+i%3)
	}
	results := conn.SendBatch(ctx, batch)
	for range 6 {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		values, err := pgx.CollectRows(rows, pgx.RowToMap)
		w.say("batch", values, err)
	}
	if err := results.Close(); err != nil {
		return err
	}
	if mode != pgx.QueryExecModeSimpleProtocol {
		n, err := conn.CopyFrom(ctx, pgx.Identifier{"w"}, []string{"id", "v"}, pgx.CopyFromRows([][]any{{400, "c"}, {401, nil}}))
		w.say("copied in", n, err)
	}
	var out strings.Builder
	tag, err := conn.PgConn().CopyTo(ctx, &out, "copy (select * from w where id >= 400 order by id) to stdout")
	w.say("copied out", out.String(), tag, err)
	if _, err := conn.Exec(ctx, "delete from w where id >= 300"); err != nil {
		return err
	}
	size := 1 << 20
	if mode == pgx.QueryExecModeSimpleProtocol {
		size = 1 << 16 // a longer text is not analysed, and counts as one that may have changed anything
	}
	large := strings.Repeat("x", size)
	var back string
	var raw []byte
	err = conn.QueryRow(ctx, "select $1::text, decode(repeat('07', 2000000), 'hex')", large).Scan(&back, &raw)
	w.say("large", back == large, len(raw), err)
	if _, err := conn.Exec(ctx, "listen pgx"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "notify pgx, 'hi'"); err != nil {
		return err
	}
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return err
	}
	w.say("heard", n.Channel, n.Payload)
	// A context that ends cancels, and closes the connection.
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	_, err = conn.Exec(short, "select pg_sleep(30)")
	w.say("canceled", err != nil, conn.IsClosed())
	return nil
}

func runPq(ctx context.Context, url string) (string, error) {
	w := &transcript{}
	db, err := sql.Open("postgres", url)
	if err != nil {
		return "", err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	read := func(q interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}, text string, args ...any,
	) {
		for range 2 {
			rows, err := q.QueryContext(ctx, text, args...)
			if err != nil {
				w.say(text, err)
				return
			}
			columns, _ := rows.Columns()
			for rows.Next() {
				values := make([]any, len(columns))
				for i := range values {
					values[i] = new(sql.NullString)
				}
				err := rows.Scan(values...)
				for _, v := range values {
					w.say(text, *v.(*sql.NullString), err)
				}
			}
			w.say(text, columns, rows.Err(), rows.Close())
		}
	}
	failing := func(text string, args ...any) {
		_, err := db.ExecContext(ctx, text, args...)
		var e *pq.Error
		if errors.As(err, &e) {
			w.say(text, e.Code, e.Message, e.Position)
		} else {
			w.say(text, err)
		}
	}
	read(db, "select * from t order by id")
	read(db, "select v from t where id = $1", 2)
	statement, err := db.PrepareContext(ctx, "select id, v from t where id = $1")
	if err != nil {
		return "", err
	}
	for range 2 {
		var id int
		var v string
		err := statement.QueryRowContext(ctx, 1).Scan(&id, &v)
		w.say("prepared", id, v, err)
	}
	if err := statement.Close(); err != nil {
		return "", err
	}
	failing("selec")
	failing("insert into t values (1, 'again')")
	failing("select 1/(id-1) from t where id = $1", 1)
	for _, commit := range []bool{true, false} {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		read(tx, "select v from t where id = $1", 1)
		_, err = tx.ExecContext(ctx, "insert into w values (500, 'tx')")
		w.say("insert", err)
		read(tx, "select v from w where id = $1", 500)
		if commit {
			in, err := tx.Prepare(pq.CopyIn("w", "id", "v")) //nolint:staticcheck // SA1019: what applications have in them
			if err != nil {
				return "", err
			}
			for i := range 3 {
				if _, err := in.Exec(600+i, fmt.Sprint("copied ", i)); err != nil {
					return "", err
				}
			}
			_, err = in.Exec()
			w.say("copied", err, in.Close(), tx.Commit())
		} else {
			w.say("rollback", tx.Rollback())
		}
		read(db, "select id, v from w where id >= 500 order by id")
		if _, err := db.ExecContext(ctx, "delete from w where id >= 500"); err != nil {
			return "", err
		}
	}
	readonly, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return "", err
	}
	read(readonly, "select v from t where id = $1", 1)
	w.say("read only", readonly.Commit())
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	_, err = db.ExecContext(short, "select pg_sleep(30)")
	w.say("canceled", err != nil)
	read(db, "select v from t where id = $1", 3)
	listener := pq.NewListener(url, time.Second, time.Minute, nil)
	defer listener.Close()
	if err := listener.Listen("pq"); err != nil {
		return "", err
	}
	if _, err := db.ExecContext(ctx, "notify pq, 'hi'"); err != nil {
		return "", err
	}
	select {
	case n := <-listener.Notify:
		w.say("heard", n.Channel, n.Extra)
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return w.String(), nil
}
