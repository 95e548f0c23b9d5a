package pgtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// leakVariable makes the test program leave a goroutine behind, see TestAGoroutineThatOutlivesTheTestsIsAFailure.
const leakVariable = "PERIHELION_TEST_LEAKS"

func TestMain(m *testing.M) {
	if os.Getenv(leakVariable) != "" {
		go func() { select {} }()
	}
	os.Exit(pgtest.Main(m))
}

func TestAGoroutineThatOutlivesTheTestsIsAFailure(t *testing.T) {
	for leaks, want := range map[string]int{"": 0, "yes": 1} {
		program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEachTestHasAnEmptyDatabase$")
		program.Env = append(os.Environ(), leakVariable+"="+leaks)
		out, err := program.CombinedOutput()
		if got := program.ProcessState.ExitCode(); got != want {
			t.Errorf("leaks %q: got exit code %d (%v), want %d: %s", leaks, got, err, want, out)
		}
	}
}

func count(t *testing.T, conn *pgx.Conn, sql string) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestEachTestHasAnEmptyDatabase(t *testing.T) {
	for range 2 {
		d := pgtest.New(t)
		conn := d.Connect()
		if got := count(t, conn, "SELECT count(*) FROM pg_stat_user_tables"); got != 0 {
			t.Errorf("tables in a new database: got %d, want 0", got)
		}
		d.Exec("CREATE TABLE mine (n int)", "INSERT INTO mine VALUES (1)")
		if got := count(t, conn, "SELECT n FROM mine"); got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	}
}

func TestDatabasesOfParallelTests(t *testing.T) {
	var mu sync.Mutex
	servers, names := map[*postgres.Server]bool{}, map[string]bool{}
	for range 4 {
		t.Run("side by side", func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("CREATE TABLE mine (n int)")
			mu.Lock()
			defer mu.Unlock()
			servers[d.Server()], names[d.Name] = true, true
		})
	}
	t.Cleanup(func() {
		if len(servers) != 1 || len(names) != 4 {
			t.Errorf("got %d servers and %d databases, want 1 and 4", len(servers), len(names))
		}
	})
}

func TestADatabaseIsDroppedWithWhateverStillUsesIt(t *testing.T) {
	var name string
	var left *pgconn.PgConn
	t.Run("the test that leaves a session and a slot", func(t *testing.T) {
		d := pgtest.New(t)
		name = d.Name
		conn, err := pgconn.Connect(t.Context(), d.URL()+"&replication=database")
		if err != nil {
			t.Fatal(err)
		}
		left = conn
		const start = "CREATE_REPLICATION_SLOT left_behind TEMPORARY LOGICAL test_decoding"
		if _, err := conn.Exec(t.Context(), start).ReadAll(); err != nil {
			t.Fatal(err)
		}
	})
	if err := left.Exec(t.Context(), "SELECT 1").Close(); err == nil {
		t.Error("the session lives on")
	}
	left.Close(context.Background())
	conn := pgtest.New(t).Connect()
	if got := count(t, conn, "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); got != 0 {
		t.Errorf("databases called %s: got %d, want 0", name, got)
	}
}

func TestNamesNeedNoQuotes(t *testing.T) {
	for _, name := range []string{"It's \"quoted\"; DROP", "1 begins with a digit", "ÄÖÜ", strings.Repeat("long ", 40)} {
		t.Run(name, func(t *testing.T) {
			d := pgtest.New(t)
			if len(d.Name) > 63 || strings.Trim(d.Name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
				t.Errorf("got %q", d.Name)
			}
			d.Exec("SELECT 1")
		})
	}
}

func TestUsersAuthenticateByTheirMethod(t *testing.T) {
	d := pgtest.New(t)
	d.Exec("CREATE TABLE theirs (n int)")
	for _, method := range []pgtest.Method{pgtest.SCRAM, pgtest.MD5, pgtest.Cleartext, pgtest.Trust} {
		name := d.CreateUser("alice", method, "it's a secret/@:?")
		for password, right := range map[string]bool{"it's a secret/@:?": true, "wrong": method == pgtest.Trust} {
			conn, err := pgx.Connect(t.Context(), d.UserURL(name, password))
			if (err == nil) != right {
				t.Errorf("%s with password %s: got %v", method, password, err)
			}
			if err != nil {
				continue
			}
			if _, err := conn.Exec(t.Context(), "CREATE TABLE "+name+" (n int)"); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			var refused *pgconn.PgError
			if _, err := conn.Exec(t.Context(), "SELECT * FROM theirs"); !errors.As(err, &refused) || refused.Code != "42501" {
				t.Errorf("%s reads another's table: got %v, want 42501", method, err)
			}
			conn.Exec(t.Context(), "DROP TABLE "+name)
			conn.Close(t.Context())
		}
	}
}

func TestAPrivateServerMayBeRestarted(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	d := pgtest.NewOn(t, server)
	if server == pgtest.New(t).Server() {
		t.Error("the private server is the shared one")
	}
	d.Exec("CREATE TABLE kept (n int)")
	before := d.Connect()
	for _, mode := range []postgres.Mode{postgres.Fast, postgres.Immediate} {
		if err := server.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		if err := before.Ping(t.Context()); err == nil {
			t.Error("a session outlived the restart")
		}
		d.Exec("INSERT INTO kept VALUES (1)")
	}
	if got := count(t, d.Connect(), "SELECT count(*) FROM kept"); got != 2 {
		t.Errorf("rows: got %d, want 2", got)
	}
}

func TestATestMayEndWithItsServerStopped(t *testing.T) {
	server := pgtest.NewServer(t, postgres.Options{})
	d := pgtest.NewOn(t, server)
	d.CreateUser("alice", pgtest.SCRAM, "secret")
	if err := server.Stop(postgres.Fast); err != nil {
		t.Fatal(err)
	}
}
