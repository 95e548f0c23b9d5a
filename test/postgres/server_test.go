package postgres

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// roleVariable makes the test program play an owner that comes to a bad end, see TestNothingOutlivesItsOwner.
const roleVariable = "PERIHELION_TEST_OWNER_ENDS_BY"

func TestMain(m *testing.M) {
	if end := os.Getenv(roleVariable); end != "" {
		ownAndEnd(end)
	}
	goleak.VerifyTestMain(m)
}

func startServer(t *testing.T, options Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// query runs SQL that returns one text on a connection of its own.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	answer, err := tryQuery(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func tryQuery(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return "", nil
	}
	return string(last.Rows[0][0]), nil
}

func TestAServerIsFitForPerihelion(t *testing.T) {
	s := startServer(t, Options{Settings: map[string]string{"work_mem": "5MB"}})
	url := s.URL("postgres", "postgres")
	settings := map[string]string{
		"wal_level":        "logical",
		"max_connections":  "200",
		"listen_addresses": "127.0.0.1",
		"fsync":            "off",
		"timezone":         "UTC",
		"server_encoding":  "UTF8",
		"work_mem":         "5MB",
	}
	for name, want := range settings {
		if got := query(t, url, "SHOW "+name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := query(t, url, "SHOW server_version"); !strings.HasPrefix(got, s.Version()) {
		t.Errorf("server_version: got %s, want %s", got, s.Version())
	}
	if got := query(t, url, "SELECT slot_name FROM pg_create_logical_replication_slot('s', 'test_decoding', true)"); got != "s" {
		t.Errorf("logical slot: got %s", got)
	}
	socket := "host=" + s.SocketDir() + " port=" + strings.TrimPrefix(s.Addr(), "127.0.0.1:") + " user=postgres dbname=postgres"
	if got := query(t, socket, "SELECT 1"); got != "1" {
		t.Errorf("over the Unix socket: got %s", got)
	}
}

func TestADurableServerFlushes(t *testing.T) {
	s := startServer(t, Options{Durable: true})
	for _, name := range []string{"fsync", "full_page_writes"} {
		if got := query(t, s.URL("postgres", "postgres"), "SHOW "+name); got != "on" {
			t.Errorf("%s: got %s, want on", name, got)
		}
	}
}

func TestARestartKeepsPortAndData(t *testing.T) {
	s := startServer(t, Options{})
	url := s.URL("postgres", "postgres")
	query(t, url, "CREATE TABLE kept (n int)")
	for _, mode := range []Mode{Fast, Immediate} {
		addr, pid := s.Addr(), s.PID()
		query(t, url, "INSERT INTO kept VALUES (1)")
		if err := s.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		if s.Addr() != addr || s.PID() == pid || s.PID() == 0 {
			t.Errorf("mode %d: got %s and process %d, want %s and not %d", mode, s.Addr(), s.PID(), addr, pid)
		}
	}
	if got := query(t, url, "SELECT count(*) FROM kept"); got != "2" {
		t.Errorf("rows after two restarts: got %s, want 2", got)
	}
}

func TestAnImmediateStopLosesWhatWasNotFlushed(t *testing.T) {
	// A writer that flushes once in ten seconds leaves the commit in memory for long enough.
	s := startServer(t, Options{Settings: map[string]string{"wal_writer_delay": "10s", "autovacuum": "off"}})
	url := s.URL("postgres", "postgres")
	query(t, url, "CREATE TABLE lost (n int); CHECKPOINT")
	query(t, url, "SET synchronous_commit = off; INSERT INTO lost VALUES (1)")
	if err := s.Restart(t.Context(), Immediate); err != nil {
		t.Fatal(err)
	}
	if got := query(t, url, "SELECT count(*) FROM lost"); got != "0" {
		t.Errorf("rows after the crash: got %s, want 0", got)
	}
}

func TestAStoppedServerRefusesUntilItIsStarted(t *testing.T) {
	s := startServer(t, Options{})
	if err := s.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	for range 2 {
		if err := s.Stop(Fast); err != nil {
			t.Fatal(err)
		}
	}
	if pid := s.PID(); pid != 0 {
		t.Errorf("process while stopped: got %d, want 0", pid)
	}
	if _, err := tryQuery(t.Context(), s.URL("postgres", "postgres"), "SELECT 1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting while stopped: got %v, want %v", err, syscall.ECONNREFUSED)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	query(t, s.URL("postgres", "postgres"), "SELECT 1")
}

func TestServersShareNothing(t *testing.T) {
	const identity = "SELECT system_identifier FROM pg_control_system()"
	one, two, fresh := startServer(t, Options{}), startServer(t, Options{}), startServer(t, Options{FreshCluster: true})
	if one.Addr() == two.Addr() || one.DataDir() == two.DataDir() {
		t.Errorf("two servers share %s or %s", one.Addr(), one.DataDir())
	}
	query(t, one.URL("postgres", "postgres"), "CREATE DATABASE mine")
	if _, err := tryQuery(t.Context(), two.URL("postgres", "mine"), "SELECT 1"); err == nil {
		t.Error("a database of one server is in the other")
	}
	kept := query(t, one.URL("postgres", "postgres"), identity)
	if own := query(t, fresh.URL("postgres", "postgres"), identity); own == kept {
		t.Errorf("a fresh cluster has the kept one's identity %s", own)
	}
}

func TestMembersOfAGroupNeedAPassword(t *testing.T) {
	s := startServer(t, Options{HBA: []string{"host all barred 127.0.0.1/32 reject"}})
	url := s.URL("postgres", "postgres")
	query(t, url, "CREATE ROLE barred LOGIN")
	for _, group := range []string{GroupSCRAM, GroupMD5, GroupCleartext} {
		encryption := "scram-sha-256"
		if group == GroupMD5 {
			encryption = "md5"
		}
		query(t, url, "CREATE ROLE "+group+"; SET password_encryption = '"+encryption+"'; CREATE ROLE by_"+group+" LOGIN PASSWORD 'right' IN ROLE "+group)
		for password, want := range map[string]bool{"right": true, "wrong": false} {
			_, err := tryQuery(t.Context(), strings.Replace(s.URL("by_"+group, "postgres"), "@", ":"+password+"@", 1), "SELECT 1")
			if (err == nil) != want {
				t.Errorf("%s with the %s password: got %v", group, password, err)
			}
		}
	}
	if _, err := tryQuery(t.Context(), s.URL("barred", "postgres"), "SELECT 1"); err == nil {
		t.Error("the caller's own line of pg_hba.conf was not in front")
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	s := startServer(t, Options{})
	pid := s.PID()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder after Close: got %v, want %v", err, fs.ErrNotExist)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process after Close: got %v, want %v", err, syscall.ESRCH)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("a closed server started")
	}
}

func TestAServerThatCannotStartShowsItsLogAndLeavesNothingBehind(t *testing.T) {
	temp := ownTemporaryFolder(t)
	_, err := Start(t.Context(), Options{Settings: map[string]string{"shared_buffers": "plenty"}})
	var early *earlyEndError
	if !errors.As(err, &early) || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("got %v, want an error that names shared_buffers", err)
	}
	left, err := filepath.Glob(filepath.Join(temp, serverPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAPortThatSomebodyTookIsSeen(t *testing.T) {
	ready, err := prepare(t.Context(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), ready, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.port = taken.Addr().(*net.TCPAddr).Port
	var early *earlyEndError
	if err := s.start(t.Context()); !errors.As(err, &early) {
		t.Errorf("got %v, want the server's early end", err)
	}
	if !portTaken(s.port) {
		t.Errorf("port %d counts as free", s.port)
	}
	s.port = freePort()
	if err := s.start(t.Context()); err != nil {
		t.Errorf("on another port: %v", err)
	}
}

// ownAndEnd starts a server, tells where it is, and ends without closing it once its standard input says so.
func ownAndEnd(end string) {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.WriteString(s.folder + "\n" + strconv.Itoa(s.PID()) + "\n"); err != nil {
		panic(err)
	}
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(err)
	}
	switch end {
	case "panic":
		panic("the owner's end")
	case "exit":
		os.Exit(3)
	case "stopped server":
		if err := s.Stop(Fast); err != nil {
			panic(err)
		}
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "interrupt the terminal's group":
		_ = syscall.Kill(0, syscall.SIGINT)
	}
	select {}
}

func TestNothingOutlivesItsOwner(t *testing.T) {
	for _, end := range []string{"panic", "exit", "stopped server", "kill", "interrupt the terminal's group"} {
		t.Run(end, func(t *testing.T) {
			owner := exec.CommandContext(t.Context(), os.Args[0])
			owner.Env = append(os.Environ(), roleVariable+"="+end)
			owner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			stdin, err := owner.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := owner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			var told []string
			for len(told) < 2 && lines.Scan() {
				told = append(told, lines.Text())
			}
			if len(told) < 2 {
				t.Fatalf("the owner said %q: %v", told, owner.Wait())
			}
			folder := told[0]
			pid, err := strconv.Atoi(told[1])
			if err != nil {
				t.Fatal(err)
			}
			// Opened before the end, as the folder goes.
			held, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			if _, err := stdin.Write([]byte("end\n")); err != nil {
				t.Fatal(err)
			}
			if err := owner.Wait(); err == nil {
				t.Error("the owner ended well")
			}
			// The watchdog is the last to hold the lock.
			if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder: got %v, want %v", err, fs.ErrNotExist)
			}
			if alive(pid) {
				t.Errorf("the server's process %d is alive", pid)
			}
		})
	}
}

// alive reports whether a process runs; one that ended and that nobody waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
