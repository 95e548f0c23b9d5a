package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Postgres is one PostgreSQL server. It is immutable and safe for concurrent use.
type Postgres struct {
	control          *pgx.ConnConfig
	network, address string
	dialer           net.Dialer
}

// Open reads a connection URL as libpq has it (PostgreSQL 18, section 34.1.1.2), with the PG… environment variables
// for what it does not say. It does not connect. An error never holds the password.
func Open(raw string) (*Postgres, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("upstream is not a URL of the form postgres://user@host:port/database")
	}
	control, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("read upstream URL: %w", err)
	}
	if control.Fallbacks != nil && distinctHosts(control) {
		return nil, errors.New("upstream names several hosts, only one is supported")
	}
	switch mode := u.Query().Get("sslmode"); mode {
	case "", "disable", "allow", "prefer":
	default:
		return nil, fmt.Errorf("upstream asks for sslmode=%s: sessions to Postgres are not encrypted in this version; use sslmode=disable on a trusted network, or leave it out", mode)
	}
	p := &Postgres{control: control, network: "tcp", address: net.JoinHostPort(control.Host, strconv.Itoa(int(control.Port)))}
	if strings.HasPrefix(control.Host, "/") {
		p.network, p.address = "unix", filepath.Join(control.Host, ".s.PGSQL."+strconv.Itoa(int(control.Port)))
	}
	return p, nil
}

func distinctHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// Address returns where sessions are dialled: host:port, or the path of a socket.
func (p *Postgres) Address() string { return p.address }

// Dial opens the connection of one session.
func (p *Postgres) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.dialer.DialContext(ctx, p.network, p.address)
	if err != nil {
		return nil, fmt.Errorf("dial Postgres: %w", err)
	}
	return conn, nil
}

// Control returns the configuration of the home's own connections: its role, and the database of the URL.
func (p *Postgres) Control() *pgx.ConnConfig { return p.control.Copy() }
