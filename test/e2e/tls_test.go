package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// authority signs certificates for the names of a test.
type authority struct {
	t           *testing.T
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// file is its own certificate.
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.file, _ = a.issue("ca", "")
	return a
}

// issue writes a certificate for a name, and its key; for the authority itself where it has none yet.
func (a *authority) issue(file, name string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: file}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.certificate == nil, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if name != "" {
		template.DNSNames = []string{name}
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, private
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.certificate == nil {
		if a.certificate, err = x509.ParseCertificate(signed); err != nil {
			a.t.Fatal(err)
		}
		a.key = private
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.folder, file+".crt"), filepath.Join(a.folder, file+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// securedCluster is a cluster whose nodes show certificates for 127.0.0.1.
func securedCluster(t *testing.T) (*cluster.Cluster, *authority) {
	t.Helper()
	a := newAuthority(t)
	cert, key := a.issue("node", "127.0.0.1")
	secure := func(cfg *config.Config) {
		cfg.TLS = config.PairSection{Cert: cert, Key: key}
		cfg.HTTPTLS = cfg.TLS
	}
	c := cluster.New(t, 1, secure, secure, func(cfg *config.Config) {
		cfg.Edge.HomeURL[0] = strings.Replace(cfg.Edge.HomeURL[0], "http:", "https:", 1)
		cfg.Edge.HomeCA = a.file
	})
	return c, a
}

func verified(url string, a *authority) string {
	return strings.Replace(url, "sslmode=disable", "sslmode=verify-full&sslrootcert="+a.file, 1)
}

func TestTLSOnEveryLegOfPerihelion(t *testing.T) {
	c, a := securedCluster(t)
	edge := c.Edges[0]
	for _, n := range []*cluster.Node{edge, c.Home} {
		conn := cluster.Connect(t, verified(c.URL(n), a))
		if _, ok := conn.PgConn().Conn().(*tls.Conn); !ok {
			t.Fatalf("the connection to the %s is a %T, want TLS", n.Config.Edge.Role, conn.PgConn().Conn())
		}
		cluster.Get(t, conn, priceOf+"$1", 5)
		n.WantHit(conn, "5.00", priceOf+"$1", 5)
		// In the clear it goes on as before.
		n.WantHit(cluster.Connect(t, c.URL(n)), "5.00", priceOf+"$1", 5)
	}
	t.Run("a write is pushed over HTTPS", func(t *testing.T) {
		conn := cluster.Connect(t, c.URL(c.Home))
		cluster.Exec(t, conn, "update products set price = 55 where id = 5")
		edge.AwaitInvalidation("public.products", 0)
		edge.WantMiss(cluster.Connect(t, verified(c.URL(edge), a)), "55.00", priceOf+"$1", 5)
	})
	t.Run("a cancel request is", func(t *testing.T) {
		conn := cluster.Connect(t, verified(c.URL(edge), a), cluster.Simple)
		ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer stop()
		if _, err := conn.Exec(ctx, "select pg_sleep(30)"); err == nil {
			t.Error("a statement that was canceled did not fail")
		}
	})
	t.Run("a client that trusts another authority refuses", func(t *testing.T) {
		if _, err := cluster.TryConnect(t, verified(c.URL(edge), newAuthority(t))); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("connected with %v, want a complaint about the certificate", err)
		}
	})
}

func TestDirectTLS(t *testing.T) {
	c, a := securedCluster(t)
	address := c.Edges[0].Addr().String()
	dialTLS := func(protocols ...string) (*tls.Conn, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(cluster.Patience))
		secured := tls.Client(conn, &tls.Config{RootCAs: a.roots(), ServerName: "127.0.0.1", NextProtos: protocols})
		return secured, secured.Handshake()
	}
	secured, err := dialTLS("postgresql")
	if err != nil {
		t.Fatal(err)
	}
	client := &client{t, secured}
	client.ask(encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "postgres", "database": c.DB.Name}}))
	client.ask(simpleQuery("select 1"))
	for name, protocols := range map[string][]string{"without ALPN": nil, "with another protocol": {"http/1.1"}} {
		t.Run(name, func(t *testing.T) {
			secured, err := dialTLS(protocols...)
			if err != nil {
				return
			}
			if n, err := secured.Read(make([]byte, 1)); err == nil {
				t.Errorf("the node goes on with %d bytes, want the end", n)
			}
		})
	}
}

func TestEncryptionRequests(t *testing.T) {
	ssl, gss := []byte{0, 0, 0, 8, 4, 210, 22, 47}, []byte{0, 0, 0, 8, 4, 210, 22, 48}
	begin := func(t *testing.T, n *cluster.Node) net.Conn {
		conn, err := net.Dial("tcp", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(cluster.Patience))
		return conn
	}
	ask := func(t *testing.T, conn net.Conn, request []byte) byte {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil {
			t.Fatal(err)
		}
		return answer[0]
	}
	t.Run("are refused without a certificate", func(t *testing.T) {
		conn := begin(t, cluster.New(t, 1, nil).Edges[0])
		if a, b := ask(t, conn, gss), ask(t, conn, ssl); a != 'N' || b != 'N' {
			t.Errorf("answers are %c and %c, want N and N", a, b)
		}
	})
	c, _ := securedCluster(t)
	t.Run("for GSS are refused, and TLS may come then", func(t *testing.T) {
		conn := begin(t, c.Edges[0])
		if a, b := ask(t, conn, gss), ask(t, conn, ssl); a != 'N' || b != 'S' {
			t.Errorf("answers are %c and %c, want N and S", a, b)
		}
	})
	t.Run("take nothing that was sent in the clear behind them", func(t *testing.T) {
		conn := begin(t, c.Edges[0])
		stuffed := encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "postgres", "database": c.DB.Name}})
		if a := ask(t, conn, append(ssl, stuffed...)); a != 'S' {
			t.Fatalf("answer is %c, want S", a)
		}
		rest, _ := io.ReadAll(conn)
		if len(rest) > 0 && rest[0] != 0x15 { // a TLS alert
			t.Errorf("the node answers %q to a startup packet in the clear", rest)
		}
	})
}

func TestCertificateIsReadAgain(t *testing.T) {
	c, a := securedCluster(t)
	serial := func() string {
		conn, err := tls.Dial("tcp", c.Edges[0].Addr().String(), &tls.Config{RootCAs: a.roots(), ServerName: "127.0.0.1", NextProtos: []string{"postgresql"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	a.issue("node", "127.0.0.1")
	deadline := time.Now().Add(cluster.Patience)
	for serial() == first {
		if time.Now().After(deadline) {
			t.Fatal("the node shows its old certificate")
		}
	}
	// A pair that does not fit leaves the one at hand.
	second := serial()
	if err := os.WriteFile(filepath.Join(a.folder, "node.crt"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if got := serial(); got != second {
			t.Fatal("a broken certificate changed the one that is shown")
		}
	}
}

func TestEdgeTrustsItsHomeOnlyByItsAuthority(t *testing.T) {
	c, _ := securedCluster(t)
	cfg := cluster.EdgeConfig(c.Home, "wary")
	cfg.Edge.HomeURL[0] = strings.Replace(cfg.Edge.HomeURL[0], "http:", "https:", 1)
	cfg.Edge.HomeCA = newAuthority(t).file
	wary := cluster.Start(t, cfg)
	_, err := cluster.TryConnect(t, c.URL(wary))
	if err == nil || !strings.Contains(err.Error(), "08006") {
		t.Errorf("connected with %v, want SQLSTATE 08006", err)
	}
}

// TestTLSToPostgres connects to a server that has TLS as each sslmode says.
func TestTLSToPostgres(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", "localhost")
	server := pgtest.NewServer(t, postgres.Options{Files: []string{cert, key}, Settings: map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}})
	db := pgtest.NewOn(t, server)
	db.Exec("create table t (i int)", "insert into t values (1)")
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	const encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()"
	for _, test := range []struct{ host, query, want string }{
		{"127.0.0.1", "sslmode=disable", "false"},
		{"127.0.0.1", "sslmode=allow", "false"},
		{"127.0.0.1", "", "true"},
		{"127.0.0.1", "sslmode=prefer", "true"},
		{"127.0.0.1", "sslmode=require", "true"},
		{"127.0.0.1", "sslmode=verify-ca&sslrootcert=" + a.file, "true"},
		{"localhost", "sslmode=verify-full&sslrootcert=" + a.file, "true"},
		{"localhost", "sslmode=require&sslnegotiation=direct", "true"},
		{"127.0.0.1", "sslmode=verify-full&sslrootcert=" + a.file, ""},
		{"localhost", "sslmode=verify-full&sslrootcert=" + newAuthority(t).file, ""},
	} {
		t.Run(test.host+" "+strings.SplitN(test.query, "sslrootcert", 2)[0], func(t *testing.T) {
			home := cluster.Start(t, cluster.HomeConfig("postgres://postgres@"+net.JoinHostPort(test.host, port)+"/"+db.Name+"?"+test.query))
			url := "postgres://postgres@" + home.Addr().String() + "/" + db.Name + "?sslmode=disable"
			conn, err := cluster.TryConnect(t, url, cluster.Simple)
			if test.want == "" {
				var refused *pgconn.PgError
				if !errors.As(err, &refused) || refused.Code != "08006" || !strings.Contains(refused.Detail, "certificate") {
					t.Errorf("connected with %+v, want a complaint about the certificate", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := cluster.Get(t, conn, encrypted); got != test.want {
				t.Errorf("ssl is %s, want %s", got, test.want)
			}
			home.AwaitReady()
			cluster.Get(t, conn, "select i::text from t")
			home.WantHit(conn, "1", "select i::text from t")
		})
	}
	t.Run("a password passes through by SCRAM without channel binding", func(t *testing.T) {
		name := db.CreateUser("somebody", pgtest.SCRAM, "secret")
		home := cluster.Start(t, cluster.HomeConfig("postgres://postgres@127.0.0.1:"+port+"/"+db.Name+"?sslmode=require"))
		url := "postgres://" + name + ":secret@" + home.Addr().String() + "/" + db.Name + "?sslmode=disable"
		if got := cluster.Get(t, cluster.Connect(t, url), encrypted); got != "true" {
			t.Errorf("ssl is %s, want true", got)
		}
	})
}
