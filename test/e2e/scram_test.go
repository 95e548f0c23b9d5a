package e2e

import (
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// passwords is a server with TLS whose home checks passwords, and an edge before it; every leg shows a certificate of
// its own, so that a login that was bound to another's could not succeed.
type passwords struct {
	a          *authority
	db         *pgtest.Database
	home, edge *cluster.Node
}

func newPasswords(t *testing.T, query string, changes ...func(*config.Config)) passwords {
	t.Helper()
	p := passwords{a: newAuthority(t)}
	cert, key := p.a.issue("server", "localhost")
	server := pgtest.NewServer(t, postgres.Options{Files: []string{cert, key}, Settings: map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}})
	p.db = pgtest.NewOn(t, server)
	p.db.Exec("create table t (i int)", "insert into t values (1)", "grant select on t to public")
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if query == "" {
		query = "sslmode=verify-full&sslrootcert=" + p.a.file
	}
	cfg := cluster.HomeConfig("postgres://postgres@localhost:" + port + "/" + p.db.Name + "?" + query)
	cfg.Auth = config.AuthSCRAM
	cfg.TLS.Cert, cfg.TLS.Key = p.a.issue("home", "127.0.0.1")
	for _, change := range changes {
		change(cfg)
	}
	p.home = cluster.Start(t, cfg)
	p.home.AwaitReady()
	edge := cluster.EdgeConfig(p.home, "edge-0")
	edge.TLS.Cert, edge.TLS.Key = p.a.issue("edge", "127.0.0.1")
	p.edge = cluster.Start(t, edge)
	p.edge.AwaitReady()
	return p
}

// url is how a role connects to a node.
func (p passwords) url(n *cluster.Node, user, password, query string) string {
	return "postgres://" + user + ":" + password + "@" + n.Addr().String() + "/" + p.db.Name + "?" + query
}

func TestPasswordsOverTwoLegsOfTLS(t *testing.T) {
	p := newPasswords(t, "")
	name := p.db.CreateUser("somebody", pgtest.SCRAM, "secret")
	secured := "sslmode=verify-full&sslrootcert=" + p.a.file + "&channel_binding="
	for _, n := range []*cluster.Node{p.home, p.edge} {
		for _, query := range []string{"sslmode=disable", secured + "disable", secured + "prefer", secured + "require"} {
			t.Run(string(n.Config.Edge.Role)+" "+query[strings.LastIndex(query, "&")+1:], func(t *testing.T) {
				conn := cluster.Connect(t, p.url(n, name, "secret", query))
				if got := cluster.Get(t, conn, "select current_user::text || ' ' || ssl from pg_stat_ssl where pid = pg_backend_pid()"); got != name+" true" {
					t.Errorf("PostgreSQL sees %s, want %s true", got, name)
				}
				cluster.Get(t, conn, "select i::text from t")
				n.WantHit(conn, "1", "select i::text from t")
			})
		}
		t.Run(string(n.Config.Edge.Role)+" wrong password", func(t *testing.T) {
			for _, query := range []string{"sslmode=disable", secured + "require"} {
				if _, err := cluster.TryConnect(t, p.url(n, name, "wrong", query)); code(err) != "28P01" {
					t.Errorf("connected with %v, want SQLSTATE 28P01", err)
				}
			}
		})
	}
	t.Run("binding cannot be required of a leg in the clear", func(t *testing.T) {
		if _, err := cluster.TryConnect(t, p.url(p.edge, name, "secret", "sslmode=disable&channel_binding=require")); err == nil || !strings.Contains(err.Error(), "channel binding") {
			t.Errorf("connected with %v, want a complaint about channel binding", err)
		}
	})
	t.Run("a password that was changed counts at once", func(t *testing.T) {
		p.db.Exec("alter role " + name + " password 'another'")
		if _, err := cluster.TryConnect(t, p.url(p.edge, name, "secret", "sslmode=disable")); code(err) != "28P01" {
			t.Errorf("connected with the old password: %v", err)
		}
		cluster.Connect(t, p.url(p.edge, name, "another", secured+"require"))
	})
	t.Run("an expired one does not", func(t *testing.T) {
		p.db.Exec("alter role " + name + " valid until '2020-01-01'")
		if _, err := cluster.TryConnect(t, p.url(p.edge, name, "another", "sslmode=disable")); code(err) != "28P01" {
			t.Errorf("connected with %v, want SQLSTATE 28P01", err)
		}
	})
}

// TestPasswordsWithoutTLSToPostgres logs in by the mechanism without channel binding.
func TestPasswordsWithoutTLSToPostgres(t *testing.T) {
	p := newPasswords(t, "sslmode=disable")
	name := p.db.CreateUser("somebody", pgtest.SCRAM, "secret")
	conn := cluster.Connect(t, p.url(p.edge, name, "secret", "sslmode=require&channel_binding=require"))
	if got := cluster.Get(t, conn, "select current_user::text"); got != name {
		t.Errorf("PostgreSQL sees %s, want %s", got, name)
	}
}

// TestFailedLoginsLookTheSame compares every byte of the failed logins of roles that exist, exist without a verifier, and do not
// exist.
func TestFailedLoginsLookTheSame(t *testing.T) {
	p := newPasswords(t, "sslmode=disable")
	roles := map[string]string{
		"with a verifier":    p.db.CreateUser("somebody", pgtest.SCRAM, "secret"),
		"with an MD5":        p.db.CreateUser("elder", pgtest.SCRAM, "secret"),
		"without a password": p.db.CreateUser("open", pgtest.Trust, ""),
		"that is not there":  strings.Replace(p.db.CreateUser("other", pgtest.SCRAM, "secret"), "other", "nobod", 1),
	}
	elder := roles["with an MD5"]
	p.db.Exec(fmt.Sprintf("alter role %s password 'md5%x'", elder, md5.Sum([]byte("secret"+elder))))
	log := map[string]string{}
	for kind, role := range roles {
		first, salt := failedLogin(t, p, role)
		_, again := failedLogin(t, p, role)
		if salt != again {
			t.Errorf("a role %s has the salt %s and then %s", kind, salt, again)
		}
		log[strings.ReplaceAll(first, role, "ROLE")] += " " + kind
	}
	if len(log) != 1 {
		t.Errorf("failed logins differ: %q", log)
	}
}

// failedLogin returns what a client with a wrong proof gets, with the parts that are random taken out, and the salt.
func failedLogin(t *testing.T, p passwords, role string) (got, salt string) {
	t.Helper()
	conn, err := net.Dial("tcp", p.edge.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frontend := pgproto3.NewFrontend(pgproto3.NewChunkReader(conn), conn)
	send := func(m pgproto3.FrontendMessage) {
		t.Helper()
		if err := frontend.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() pgproto3.BackendMessage {
		t.Helper()
		m, err := frontend.Receive()
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		return m
	}
	send(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": role, "database": p.db.Name}})
	got = strings.Join(receive().(*pgproto3.AuthenticationSASL).AuthMechanisms, " ")
	send(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=nonce")})
	parts := strings.Split(string(receive().(*pgproto3.AuthenticationSASLContinue).Data), ",")
	salt = parts[1]
	got += " " + parts[2] + " " + string(rune('0'+len(salt)))
	send(&pgproto3.SASLResponse{Data: []byte("c=biws," + parts[0] + ",p=" + strings.Repeat("A", 43) + "=")})
	m := receive().(*pgproto3.ErrorResponse)
	got += " " + m.Severity + " " + m.Code + " " + m.Message + " " + m.Detail + " " + m.Hint
	if _, err := frontend.Receive(); err == nil {
		t.Error("the node goes on after a failed login")
	}
	return got, salt
}

// TestLoginIsCheckedByTheNode sends what no honest client does.
func TestLoginIsCheckedByTheNode(t *testing.T) {
	p := newPasswords(t, "sslmode=disable")
	name := p.db.CreateUser("somebody", pgtest.SCRAM, "secret")
	for _, test := range []struct {
		name string
		m    pgproto3.FrontendMessage
		want string
	}{
		{"a mechanism that was not offered", &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256-PLUS", Data: []byte("p=tls-server-end-point,,n=,r=nonce")}, "08P01"},
		{"an unknown mechanism", &pgproto3.SASLInitialResponse{AuthMechanism: "PLAIN", Data: []byte("secret")}, "08P01"},
		{"binding without its mechanism", &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("p=tls-server-end-point,,n=,r=nonce")}, "08P01"},
		{"no SCRAM", &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n")}, "08P01"},
		{"an empty message", &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256"}, "08P01"},
		{"a message that is far too long", &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=" + strings.Repeat("x", 1<<20))}, "08P01"},
		{"a query", &pgproto3.Query{String: "select 1"}, "08P01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", p.edge.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			frontend := pgproto3.NewFrontend(pgproto3.NewChunkReader(conn), conn)
			if err := frontend.Send(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": name, "database": p.db.Name}}); err != nil {
				t.Fatal(err)
			}
			if _, err := frontend.Receive(); err != nil {
				t.Fatal(err)
			}
			if err := frontend.Send(test.m); err != nil {
				t.Fatal(err)
			}
			m, err := frontend.Receive()
			if refusal, ok := m.(*pgproto3.ErrorResponse); !ok || refusal.Code != test.want {
				t.Errorf("got %+v, %v; want SQLSTATE %s", m, err, test.want)
			}
		})
	}
}

// TestAuthQueryThatFails tells everybody the same.
func TestAuthQueryThatFails(t *testing.T) {
	p := newPasswords(t, "sslmode=disable", func(cfg *config.Config) { cfg.AuthQuery = "select verifier from no_such_table where role = $1" })
	name := p.db.CreateUser("somebody", pgtest.SCRAM, "secret")
	for _, role := range []string{name, "nobody"} {
		if _, err := cluster.TryConnect(t, p.url(p.edge, role, "secret", "sslmode=disable")); code(err) != "08006" || strings.Contains(err.Error(), "no_such_table") {
			t.Errorf("%s connected with %v, want SQLSTATE 08006 without the query", role, err)
		}
	}
}

// code returns the SQLSTATE of an error, or nothing.
func code(err error) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return ""
	}
	return refused.Code
}

// TestReplicationConnectionsPassThrough talks the replication protocol's commands, which nothing caches, where PostgreSQL
// checks the password and where the home does.
func TestReplicationConnectionsPassThrough(t *testing.T) {
	for _, auth := range []config.Auth{config.AuthPass, config.AuthSCRAM} {
		t.Run(string(auth), func(t *testing.T) {
			p := newPasswords(t, "sslmode=disable", func(cfg *config.Config) { cfg.Auth = auth })
			name := p.db.CreateUser("replicator", pgtest.SCRAM, "secret")
			p.db.Exec("alter role " + name + " replication")
			before := p.edge.Stats().Cache
			conn := cluster.Connect(t, p.url(p.edge, name, "secret", "sslmode=disable&replication=database"), cluster.Simple)
			for range 2 {
				for _, sql := range []string{"IDENTIFY_SYSTEM", "select i::text from t"} {
					if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
				}
			}
			if after := p.edge.Stats().Cache; after.Hits != before.Hits || after.Misses != before.Misses {
				t.Errorf("counters went from %+v to %+v: a replication connection is not looked into", before, after)
			}
			if _, err := cluster.TryConnect(t, p.url(p.edge, name, "wrong", "sslmode=disable&replication=database")); code(err) != "28P01" {
				t.Errorf("connected with %v, want SQLSTATE 28P01", err)
			}
		})
	}
}

// TestPasswordsPassThrough logs in by each method that PostgreSQL may ask for, and fails as it does straight.
func TestPasswordsPassThrough(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	for _, method := range []pgtest.Method{pgtest.Trust, pgtest.SCRAM, pgtest.MD5, pgtest.Cleartext} {
		t.Run(string(method), func(t *testing.T) {
			name := c.DB.CreateUser("user", method, "secret")
			conn := cluster.Connect(t, c.UserURL(edge, name, "secret"))
			if got := cluster.Get(t, conn, "select current_user::text"); got != name {
				t.Errorf("logged in as %s, want %s", got, name)
			}
			if method == pgtest.Trust {
				return
			}
			for _, role := range []string{name, "nobody"} {
				_, straight := cluster.TryConnect(t, c.DB.UserURL(role, "wrong"))
				_, through := cluster.TryConnect(t, c.UserURL(edge, role, "wrong"))
				if code(through) == "" || code(through) != code(straight) {
					t.Errorf("%s: refused with %v, straight with %v", role, through, straight)
				}
			}
		})
	}
}
