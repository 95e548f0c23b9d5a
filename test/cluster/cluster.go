// Package cluster starts a database, a home before it and edges before that, for tests, and asserts what is answered
// from memory. A package that uses it needs a TestMain with pgtest.Main.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/node"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// What every node of a test is configured with.
const (
	EdgeToken  = "token-of-the-edges"
	AdminToken = "token-of-the-people"
	// Patience bounds every wait of a test. Nothing waits as long unless it is broken.
	Patience = 30 * time.Second
)

// Node is a node that serves.
type Node struct {
	*node.Node
	t testing.TB
	// Config is what the node was made with; a restart reads it again.
	Config  *config.Config
	options node.Options
	// Invalidated gets every event that an edge has applied.
	Invalidated chan invalidation.Event
	// Stop ends the node and waits for its end. It may be called more than once.
	Stop func()
}

// Start makes a node serve until the test ends or Stop is called.
func Start(t testing.TB, cfg *config.Config) *Node {
	t.Helper()
	r := &Node{t: t, Config: cfg, Invalidated: make(chan invalidation.Event, 4096)}
	r.options = node.Options{Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", cfg.Edge.Role, "id", cfg.Edge.ID), Version: "test"}
	r.options.OnInvalidate = func(e invalidation.Event, _ time.Time) { r.Invalidated <- e }
	r.Launch()
	t.Cleanup(func() { r.Stop() })
	return r
}

// Launch makes the node serve again after Stop, with its present Config.
func (r *Node) Launch() {
	r.t.Helper()
	n, err := node.New(r.Config, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := n.Listen(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()
	r.Node = n
	r.Stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
		if err := n.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
}

// Restart ends the node and starts it again on the same addresses.
func (r *Node) Restart() {
	r.t.Helper()
	r.Config.Listen, r.Config.HTTP = r.Addr().String(), r.HTTPAddr().String()
	r.Stop()
	r.Launch()
}

// AwaitReady waits until GET /readyz would say yes.
func (r *Node) AwaitReady() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := r.WaitReady(ctx); err != nil {
		r.t.Fatalf("node does not get ready: %v", err)
	}
}

// AwaitInvalidation waits until the edge has applied an event that names table, or everything, at version or later.
func (r *Node) AwaitInvalidation(table string, version invalidation.Version) {
	r.t.Helper()
	timeout := time.After(Patience)
	for {
		select {
		case e := <-r.Invalidated:
			if e.Version >= version && (len(e.Tables) == 0 || slices.Contains(e.Tables, table)) {
				return
			}
		case <-timeout:
			r.t.Fatalf("no invalidation of %s at %d", table, version)
		}
	}
}

// testWriter writes log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// Cluster is a database, a home before it, and edges before that.
type Cluster struct {
	t     testing.TB
	DB    *pgtest.Database
	Home  *Node
	Edges []*Node
}

// HomeConfig is a home's configuration on ports of its own choice.
func HomeConfig(upstream string) *config.Config {
	cfg := config.Default()
	cfg.Edge.Role, cfg.Edge.AuthToken, cfg.AdminToken = config.Home, EdgeToken, AdminToken
	cfg.Listen, cfg.HTTP, cfg.Upstream = "127.0.0.1:0", "127.0.0.1:0", config.Upstream(upstream)
	// The WAL, and the statistics, void what a test has just written a second time, at a moment that the test does not know.
	cfg.Source, cfg.StatisticsPoll = config.SourceWire, 0
	return cfg
}

// EdgeConfig is the configuration of an edge of home.
func EdgeConfig(home *Node, id string) *config.Config {
	cfg := config.Default()
	cfg.Edge.Role, cfg.Edge.AuthToken, cfg.AdminToken, cfg.Edge.ID = config.Edge, EdgeToken, AdminToken, id
	cfg.Listen, cfg.HTTP, cfg.Edge.HomeURL = "127.0.0.1:0", "127.0.0.1:0", []string{"http://" + home.HTTPAddr().String()}
	cfg.RenewInterval = 100 * time.Millisecond
	return cfg
}

// New starts a home and edges on a new database that holds a small shop. change may alter the home's
// configuration, may be nil; edge alters each edge's.
func New(t testing.TB, edges int, change func(*config.Config), edge ...func(*config.Config)) *Cluster {
	t.Helper()
	return On(t, pgtest.New(t), edges, change, edge...)
}

// On is [New] on a given database.
func On(t testing.TB, db *pgtest.Database, edges int, change func(*config.Config), edge ...func(*config.Config)) *Cluster {
	t.Helper()
	db.Exec(
		`create table products (id int primary key, name text not null, price numeric(10,2) not null)`,
		`insert into products select i, 'product ' || i, i from generate_series(1, 100) i`,
		`create table orders (id int primary key, product int not null references products on delete cascade, note text)`,
		`insert into orders select i, i, 'order ' || i from generate_series(1, 10) i`,
		`grant select, insert, update, delete on all tables in schema public to public`,
	)
	c := &Cluster{t: t, DB: db}
	cfg := HomeConfig(db.URL())
	if change != nil {
		change(cfg)
	}
	c.Home = Start(t, cfg)
	c.Home.AwaitReady()
	for i := range edges {
		cfg := EdgeConfig(c.Home, fmt.Sprint("edge-", i))
		for _, change := range edge {
			change(cfg)
		}
		e := Start(t, cfg)
		e.AwaitReady()
		c.Edges = append(c.Edges, e)
	}
	return c
}

// URL returns the URL of the cluster's database through a node.
func (c *Cluster) URL(n *Node) string { return c.UserURL(n, "postgres", "") }

// UserURL is URL for another role than the superuser.
func (c *Cluster) UserURL(n *Node, user, password string) string {
	if password != "" {
		user += ":" + password
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, n.Addr(), c.DB.Name)
}

// Connect opens a connection that is closed when the test ends.
func Connect(t testing.TB, url string, change ...func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	conn, err := TryConnect(t, url, change...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return conn
}

// TryConnect is [Connect] for a test that looks at the failure.
func TryConnect(t testing.TB, url string, change ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		_ = conn.Close(ctx) // many a test ends what it is connected to
	})
	return conn, nil
}

// Simple makes a connection use the simple query protocol.
func Simple(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol }

// Get returns the one value that a query answers, as text.
func Get(t testing.TB, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var value any
	if err := conn.QueryRow(ctx, sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(value)
}

// Exec runs a statement that must not fail.
func Exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Counted returns how many hits, misses and bypasses a node counted while f ran.
func (r *Node) Counted(f func()) (hits, misses, bypasses uint64) {
	before := r.Stats().Cache
	f()
	after := r.Stats().Cache
	return after.Hits - before.Hits, after.Misses - before.Misses, after.Bypasses - before.Bypasses
}

// WantHit asserts that a query is answered from the node's memory, with the given value.
func (r *Node) WantHit(conn *pgx.Conn, want, sql string, args ...any) {
	r.t.Helper()
	var got string
	if hits, misses, _ := r.Counted(func() { got = Get(r.t, conn, sql, args...) }); hits != 1 || misses != 0 || got != want {
		r.t.Fatalf("%s at %s: %q with %d hits and %d misses, want %q from memory", sql, r.Config.Edge.Role, got, hits, misses, want)
	}
}

// WantMiss asserts that a query is forwarded by the node, with the given value.
func (r *Node) WantMiss(conn *pgx.Conn, want, sql string, args ...any) {
	r.t.Helper()
	var got string
	if hits, _, _ := r.Counted(func() { got = Get(r.t, conn, sql, args...) }); hits != 0 || got != want {
		r.t.Fatalf("%s at %s: %q with %d hits, want %q from upstream", sql, r.Config.Edge.Role, got, hits, want)
	}
}

// Call makes a request of the API and decodes its answer into result, which may be nil; into a string it goes as it is.
func (r *Node) Call(method, path, token string, body any, result any) int {
	r.t.Helper()
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		content = bytes.NewReader([]byte(body))
	default:
		text, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.HTTPAddr().String()+path, content)
	if err != nil {
		r.t.Fatal(err)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	if all, ok := result.(*string); ok {
		*all = string(text)
	} else if result != nil {
		if err := json.Unmarshal(text, result); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return response.StatusCode
}
