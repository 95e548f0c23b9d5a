package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	maxIdentifier  = 63 // bytes of a name that PostgreSQL keeps
	cleanupTimeout = 30 * time.Second
)

// numbers make the names of databases and roles unique in the test program.
var numbers atomic.Uint64

// Database is an empty database that belongs to one test.
type Database struct {
	// Name is the database's name: the test's, made fit, and a number.
	Name string

	t      testing.TB
	server *postgres.Server
}

// New makes a database on the test program's server. It is dropped with whatever still uses it when the test ends.
func New(t testing.TB) *Database {
	t.Helper()
	return NewOf(t, Newest)
}

// NewOf makes a database on the test program's server of a version, as New does.
func NewOf(t testing.TB, version Version) *Database {
	t.Helper()
	server, err := sharedServer(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	d := NewOn(t, server)
	// Runs before the database is dropped. A private server's log is shown when that server ends.
	t.Cleanup(func() { showLog(t, server) })
	return d
}

// NewOn makes a database on a private server. It is dropped when the test ends, unless the server is stopped then.
func NewOn(t testing.TB, server *postgres.Server) *Database {
	t.Helper()
	d := &Database{Name: identifier(t.Name()), t: t, server: server}
	if err := execute(t.Context(), server.URL("postgres", "postgres"), "CREATE DATABASE "+d.Name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if server.PID() == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := drop(ctx, server, d.Name); err != nil {
			t.Errorf("drop the database %s: %v", d.Name, err)
		}
	})
	return d
}

// URL connects to the database as its superuser `postgres`, who needs no password.
func (d *Database) URL() string { return d.server.URL("postgres", d.Name) }

// UserURL connects to the database as somebody else. The password may be empty.
func (d *Database) UserURL(user, password string) string {
	to := url.URL{Scheme: "postgres", User: url.User(user), Host: d.Addr(), Path: "/" + d.Name, RawQuery: "sslmode=disable"}
	if password != "" {
		to.User = url.UserPassword(user, password)
	}
	return to.String()
}

// Addr is where the server listens, as host:port.
func (d *Database) Addr() string { return d.server.Addr() }

// Server is the server that the database is on. Unless it is a private one, other tests use it at the same time.
func (d *Database) Server() *postgres.Server { return d.server }

// Exec runs statements as the superuser, past any proxy, each in a transaction of its own, and fails the test where one
// fails.
func (d *Database) Exec(statements ...string) {
	d.t.Helper()
	if err := execute(d.t.Context(), d.URL(), statements...); err != nil {
		d.t.Fatal(err)
	}
}

// Connect opens a connection as the superuser, straight to PostgreSQL. It is closed when the test ends.
func (d *Database) Connect() *pgx.Conn {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.URL())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		// A connection that the test or the server ended has nothing left to close.
		_ = conn.Close(ctx)
	})
	return conn
}

// Method is how PostgreSQL authenticates a role over TCP.
type Method string

// The methods. Every role without one is trusted.
const (
	Trust     Method = ""
	SCRAM     Method = postgres.GroupSCRAM
	MD5       Method = postgres.GroupMD5
	Cleartext Method = postgres.GroupCleartext
)

// CreateUser makes a role that may connect to the server by the method, and returns its name, which begins with the
// given one. The role may use the schema public of this database but owns nothing; it is dropped when the test ends.
func (d *Database) CreateUser(name string, method Method, password string) string {
	d.t.Helper()
	role := identifier(name)
	create := "CREATE ROLE " + role + " LOGIN"
	if method != Trust {
		create += " PASSWORD " + literal(password) + " IN ROLE " + string(method)
	}
	encryption := "scram-sha-256"
	if method == MD5 {
		encryption = "md5"
	}
	d.Exec(
		"SET password_encryption = "+literal(encryption),
		create,
		"GRANT CREATE, USAGE ON SCHEMA public TO "+role,
	)
	d.t.Cleanup(func() {
		if d.server.PID() == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := execute(ctx, d.URL(), "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role); err != nil {
			d.t.Errorf("drop the role %s: %v", role, err)
		}
	})
	return role
}

// drop drops the database, its replication slots and its sessions.
func drop(ctx context.Context, server *postgres.Server, name string) error {
	// An active logical slot forbids it even WITH (FORCE), so the process that holds it goes first. The second argument
	// waits until it is gone.
	return execute(ctx, server.URL("postgres", "postgres"),
		"SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE active AND database = "+literal(name),
		"DROP DATABASE "+name+" WITH (FORCE)",
	)
}

// createGroups makes the roles whose members need a password.
func createGroups(ctx context.Context, server *postgres.Server) error {
	err := execute(ctx, server.URL("postgres", "postgres"),
		"CREATE ROLE "+postgres.GroupSCRAM, "CREATE ROLE "+postgres.GroupMD5, "CREATE ROLE "+postgres.GroupCleartext)
	if err != nil {
		return fmt.Errorf("make the groups of users with a password: %w", err)
	}
	return nil
}

// execute runs statements on a connection of their own, each in a transaction of its own.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// identifier makes a unique name that needs no quotes from any text.
func identifier(text string) string {
	fit := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '_'
		}
	}, text)
	number := fmt.Sprintf("_%d", numbers.Add(1))
	// The letter in front keeps a name that begins with a digit from needing quotes.
	if fit == "" || fit[0] >= '0' && fit[0] <= '9' {
		fit = "t" + fit
	}
	return fit[:min(len(fit), maxIdentifier-len(number))] + number
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
