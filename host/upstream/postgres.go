package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is one PostgreSQL server. It is immutable and safe for concurrent use.
type Postgres struct {
	control          *pgx.ConnConfig
	network, address string
	// attempts are the ways to connect, in their order; nil: without TLS.
	attempts []*tls.Config
	direct   bool
	dialer   net.Dialer
}

// Open reads a connection URL as libpq has it (PostgreSQL 18, section 34.1.1.2), with the PG… environment variables
// for what it does not say. It does not connect. An error never holds the password.
//
// sslmode, sslrootcert, sslcert, sslkey and sslnegotiation hold for sessions as for the home's own connections. With
// sslmode=allow a session is not encrypted: whether PostgreSQL lets it in is found out by its client.
func Open(raw string) (*Postgres, error) {
	parsed, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(raw, "postgres://") && !strings.HasPrefix(raw, "postgresql://") {
		return nil, errors.New("upstream is not a URL of the form postgres://user@host:port/database")
	}
	control, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("read upstream URL: %s", reason(err, parsed))
	}
	p := &Postgres{control: control, network: "tcp", address: net.JoinHostPort(control.Host, strconv.Itoa(int(control.Port)))}
	p.direct = control.SSLNegotiation == "direct"
	p.attempts = []*tls.Config{control.TLSConfig}
	for _, f := range control.Fallbacks {
		if f.Host != control.Host || f.Port != control.Port {
			return nil, errors.New("upstream names several hosts, only one is supported")
		}
		p.attempts = append(p.attempts, f.TLSConfig)
	}
	if strings.HasPrefix(control.Host, "/") {
		p.network, p.address = "unix", filepath.Join(control.Host, ".s.PGSQL."+strconv.Itoa(int(control.Port)))
		p.attempts = []*tls.Config{nil}
	}
	return p, nil
}

// reason says why a URL is none, without any part of it that may be a password.
func reason(err error, from *url.URL) string {
	text := err.Error()
	text = text[strings.LastIndexByte(text, '`')+1:]
	text = strings.TrimPrefix(text, ": ")
	if first, last := strings.IndexByte(text, '"'), strings.LastIndexByte(text, '"'); first < last {
		text = text[:first] + "…" + text[last+1:] // parts of the URL
	}
	secrets := from.Query()["password"]
	if password, ok := from.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		for _, spelling := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if spelling != "" {
				text = strings.ReplaceAll(text, spelling, "redacted")
			}
		}
	}
	return text
}

// Address returns where sessions are dialled: host:port, or the path of a socket.
func (p *Postgres) Address() string { return p.address }

// Dial opens the connection of one session, and secures it as sslmode says. The caller owns it.
func (p *Postgres) Dial(ctx context.Context) (net.Conn, error) {
	var failures []error
	for i, config := range p.attempts {
		plain := i+1 < len(p.attempts) && p.attempts[i+1] == nil // sslmode=prefer
		conn, err := p.dialOnce(ctx, config, plain)
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// dialOnce makes one attempt. plain says that a server without TLS will do.
func (p *Postgres) dialOnce(ctx context.Context, config *tls.Config, plain bool) (net.Conn, error) {
	conn, err := p.dialer.DialContext(ctx, p.network, p.address)
	if err != nil {
		return nil, fmt.Errorf("dial Postgres: %w", err)
	}
	if config == nil {
		return conn, nil
	}
	secured, err := p.secure(ctx, conn, config)
	if plain && errors.Is(err, errRefused) {
		return conn, nil
	}
	if err != nil {
		_ = conn.Close() // the error that matters is the one at hand
		return nil, fmt.Errorf("TLS with Postgres: %w", err)
	}
	return secured, nil
}

// errRefused is returned where Postgres has no TLS.
var errRefused = errors.New("the server does not support TLS, but sslmode asks for it")

// secure asks for TLS, unless it begins at once, and makes the handshake.
func (p *Postgres) secure(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	// A context that ends unblocks every read and write from here on.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if p.direct {
		config = config.Clone()
		config.NextProtos = []string{"postgresql"}
	} else {
		if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
			return nil, fmt.Errorf("ask for it: %w", err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil {
			return nil, fmt.Errorf("read whether the server has it: %w", err)
		}
		if answer[0] != 'S' {
			return nil, errRefused
		}
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return secured, nil
}

// Control returns the configuration of the home's own connections: its role, and the database of the URL.
func (p *Postgres) Control() *pgx.ConnConfig { return p.control.Copy() }
