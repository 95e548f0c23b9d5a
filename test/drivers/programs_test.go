package drivers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// clientPrograms are those of PostgreSQL that the tests run. npm's PostgreSQL has none of them.
var clientPrograms = []string{"psql", "pg_dump", "pg_restore", "pgbench", "postgres", "initdb"}

// installed returns the newest folder of a distribution that holds the client programs and a server that fits them; empty:
// there is none on this machine.
func installed(t *testing.T) string {
	t.Helper()
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	folders = append(folders, os.Getenv(postgres.BinariesVariable))
	slices.Reverse(folders)
	for _, folder := range folders {
		missing := slices.ContainsFunc(clientPrograms, func(name string) bool {
			_, err := os.Stat(filepath.Join(folder, name))
			return err != nil
		})
		if folder != "" && !missing {
			return folder
		}
	}
	return ""
}

// processID is what psql shows of a backend that has sent a notification.
var processID = regexp.MustCompile(`process with PID \d+`)

// tools are the programs of PostgreSQL at one address.
type tools struct {
	t         *testing.T
	bin, addr string
	database  string
}

func (p tools) run(name string, args ...string) string {
	p.t.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*cluster.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER=postgres", "PGDATABASE="+p.database, "PGSSLMODE=disable", "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return processID.ReplaceAllString(string(out), "process")
}

// dropSubscriptions makes a database one that can be dropped.
func (p tools) dropSubscriptions() {
	conn, err := pgx.Connect(context.Background(), "postgres://postgres@"+p.addr+"/"+p.database+"?sslmode=disable")
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "drop subscription if exists stories"); err != nil {
		p.t.Error(err)
	}
}

// dump returns the dump of the database without the lines that are made anew for each: \restrict and \unrestrict.
func (p tools) dump(args ...string) string {
	p.t.Helper()
	var kept []string
	for line := range strings.Lines(p.run("pg_dump", args...)) {
		if !strings.Contains(line, "restrict ") || !strings.HasPrefix(line, `\`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// TestClientPrograms runs PostgreSQL's own programs through an edge where a distribution has installed them: what they print
// and what they leave behind is what it is straight.
func TestClientPrograms(t *testing.T) {
	bin := installed(t)
	if bin == "" {
		t.Logf("no distribution's PostgreSQL with %s: there is nothing to run", strings.Join(clientPrograms, ", "))
		return
	}
	server := pgtest.NewServer(t, postgres.Options{Bin: bin})
	db := pgtest.NewOn(t, server)
	c := cluster.On(t, db, 1, nil)
	straight := tools{t, bin, db.Addr(), db.Name}
	through := tools{t, bin, c.Edges[0].Addr().String(), db.Name}
	objects, err := filepath.Abs("testdata/objects.sql")
	if err != nil {
		t.Fatal(err)
	}
	through.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", objects)

	t.Cleanup(func() { straight.dropSubscriptions() })

	t.Run("psql", func(t *testing.T) {
		tour, err := filepath.Abs("testdata/tour.psql")
		if err != nil {
			t.Fatal(err)
		}
		through := through
		straight.t, through.t = t, t
		want := straight.run("psql", "-X", "-f", tour)
		for _, run := range []string{"cold", "warm"} {
			var got string
			hits, _, _ := c.Edges[0].Counted(func() { got = through.run("psql", "-X", "-f", tour) })
			if line, a, b := differ(want, got); line > 0 {
				t.Fatalf("%s, line %d:\nstraight %s\nthrough  %s", run, line, a, b)
			}
			if run == "warm" && hits < 2 {
				t.Errorf("%d hits, want 2 at least", hits)
			}
		}
	})
	t.Run("pg_dump and pg_restore", func(t *testing.T) {
		through := through
		straight.t, through.t = t, t
		want := straight.dump("--create")
		if !strings.Contains(want, "CREATE SUBSCRIPTION") || !strings.Contains(want, "lo_create") {
			t.Fatal("the dump lacks what the objects should have put into it")
		}
		for range 2 {
			if line, a, b := differ(want, through.dump("--create")); line > 0 {
				t.Fatalf("line %d:\nstraight %s\nthrough  %s", line, a, b)
			}
		}
		for _, args := range [][]string{{"--format=custom"}, {"--format=directory", "--jobs=2"}} {
			archive := filepath.Join(t.TempDir(), "archive")
			through.run("pg_dump", append(args, "--file="+archive)...)
			// Into a database of its own, so that only its name differs.
			other := pgtest.NewOn(t, server)
			restored := through
			restored.database = other.Name
			t.Cleanup(func() { tools{t, bin, db.Addr(), other.Name}.dropSubscriptions() })
			jobs := args[len(args)-1]
			if !strings.HasPrefix(jobs, "--jobs") {
				jobs = "--single-transaction"
			}
			restored.run("pg_restore", jobs, "--exit-on-error", "--dbname="+other.Name, archive)
			again := straight
			again.database = other.Name
			if line, a, b := differ(straight.dump(), again.dump()); line > 0 {
				t.Fatalf("restored from %s, line %d:\nwas      %s\nrestored %s", args[0], line, a, b)
			}
		}
	})
	t.Run("pgbench", func(t *testing.T) {
		through := through
		straight.t, through.t = t, t
		through.run("pgbench", "--initialize", "--quiet", "--scale=1")
		transactions := 0
		for _, mode := range []string{"simple", "extended", "prepared"} {
			through.run("pgbench", "--protocol="+mode, "--client=4", "--transactions=50", "--no-vacuum")
			transactions += 4 * 50
			through.run("pgbench", "--protocol="+mode, "--client=4", "--transactions=200", "--no-vacuum", "--select-only")
		}
		sums := "select (select sum(abalance) from pgbench_accounts) = sum(delta), (select sum(tbalance) from pgbench_tellers) = sum(delta), count(*) from pgbench_history"
		if got, want := straight.run("psql", "-XAtc", sums), fmt.Sprintf("t|t|%d\n", transactions); got != want {
			t.Errorf("after pgbench: %q, want %q", got, want)
		}
	})
}
