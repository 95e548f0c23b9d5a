package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/perihelion-proxy/perihelion/host/scram"
)

// verifierConnections is how many logins look up their verifier at a time; further ones wait.
const verifierConnections = 4

// Verifiers reads what proves the passwords of roles, over the home's own connections. It is safe for concurrent use.
type Verifiers struct {
	pool   *pgxpool.Pool
	query  string
	secret []byte
}

// authQuery finds verifiers where no other query is given. Only superusers may read pg_authid.
const authQuery = "SELECT rolpassword FROM pg_authid WHERE rolname = $1 AND (rolvaliduntil IS NULL OR rolvaliduntil > now())"

// OpenVerifiers returns the verifiers that a query finds: its one parameter is a role's name, its only column what
// pg_authid.rolpassword has. Without a query pg_authid is read. It does not connect before the first lookup. secret decides what roles without a verifier are
// asked with; it should outlive the process, as the salts of roles do. Without one it is made up.
func (p *Postgres) OpenVerifiers(query string, secret []byte) (*Verifiers, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("open verifiers: %w", err)
	}
	config.ConnConfig = p.Control()
	config.ConnConfig.RuntimeParams["application_name"] = "perihelion auth_query"
	// A pooler between this node and PostgreSQL may not keep prepared statements.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.MaxConns, config.MinConns, config.MaxConnIdleTime = verifierConnections, 0, 30*time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("open verifiers: %w", err)
	}
	if query == "" {
		query = authQuery
	}
	if len(secret) == 0 {
		secret = []byte(rand.Text())
	}
	return &Verifiers{pool: pool, query: query, secret: secret}, nil
}

// Verifier returns the verifier of a role. For a role that has none, or does not exist, it is one that nothing satisfies, and
// why says which of them is the case; it takes the same queries. err is a query that failed.
func (v *Verifiers) Verifier(ctx context.Context, user string) (verifier scram.Verifier, why, err error) {
	conn, err := v.pool.Acquire(ctx)
	if err != nil {
		return scram.Verifier{}, nil, err
	}
	defer conn.Release()
	var password *string
	found := conn.QueryRow(ctx, v.query, user).Scan(&password)
	var text string
	if err := conn.QueryRow(ctx, "SELECT coalesce(current_setting('scram_iterations', true), '')").Scan(&text); err != nil {
		return scram.Verifier{}, nil, fmt.Errorf("read scram_iterations: %w", err)
	}
	iterations, err := strconv.Atoi(text)
	if err != nil {
		iterations = scram.DefaultIterations // PostgreSQL before 16 knows no other
	}
	switch {
	case errors.Is(found, pgx.ErrNoRows):
		why = errors.New("auth_query finds no such role, or its password has expired")
	case found != nil:
		return scram.Verifier{}, nil, found
	case password == nil:
		why = errors.New("the role has no password")
	default:
		if verifier, why = scram.ParseVerifier(*password); why != nil {
			why = fmt.Errorf("the role's password is not kept as SCRAM-SHA-256, set it again with password_encryption = 'scram-sha-256': %w", why)
		}
	}
	if why != nil {
		verifier = scram.Mock(v.secret, user, iterations)
	}
	return verifier, why, nil
}

// Close ends the connections.
func (v *Verifiers) Close() { v.pool.Close() }
