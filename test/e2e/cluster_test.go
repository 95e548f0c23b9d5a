package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
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

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	edgeToken  = "token-of-the-edges"
	adminToken = "token-of-the-people"
	// patience bounds every wait of a test. Nothing waits as long unless it is broken.
	patience = 30 * time.Second
)

// running is a node that serves.
type running struct {
	*node.Node
	t       *testing.T
	config  *config.Config
	options node.Options
	// invalidated gets every event that an edge has applied.
	invalidated chan invalidation.Event
	stop        func()
}

// start makes a node serve until the test ends or stop is called.
func start(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	r := &running{t: t, config: cfg, invalidated: make(chan invalidation.Event, 4096)}
	r.options = node.Options{Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", cfg.Edge.Role, "id", cfg.Edge.ID), Version: "test"}
	r.options.OnInvalidate = func(e invalidation.Event, _ time.Time) { r.invalidated <- e }
	r.launch()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) launch() {
	r.t.Helper()
	n, err := node.New(r.config, r.options)
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
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
		if err := n.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
}

// restart ends the node and starts it again on the same addresses.
func (r *running) restart() {
	r.t.Helper()
	r.config.Listen, r.config.HTTP = r.Addr().String(), r.HTTPAddr().String()
	r.stop()
	r.launch()
}

func (r *running) awaitReady() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.WaitReady(ctx); err != nil {
		r.t.Fatalf("node does not get ready: %v", err)
	}
}

// awaitInvalidation waits until the edge has applied an event that names table, or everything, at version or later.
func (r *running) awaitInvalidation(table string, version invalidation.Version) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-r.invalidated:
			if e.Version >= version && (len(e.Tables) == 0 || slices.Contains(e.Tables, table)) {
				return
			}
		case <-timeout:
			r.t.Fatalf("no invalidation of %s at %d", table, version)
		}
	}
}

// testWriter writes log lines to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// cluster is a database, a home before it, and edges before that.
type cluster struct {
	t     *testing.T
	db    *pgtest.Database
	home  *running
	edges []*running
}

func homeConfig(upstream string) *config.Config {
	cfg := config.Default()
	cfg.Edge.Role, cfg.Edge.AuthToken, cfg.AdminToken = config.Home, edgeToken, adminToken
	cfg.Listen, cfg.HTTP, cfg.Upstream = "127.0.0.1:0", "127.0.0.1:0", config.Upstream(upstream)
	return cfg
}

func edgeConfig(home *running, id string) *config.Config {
	cfg := config.Default()
	cfg.Edge.Role, cfg.Edge.AuthToken, cfg.AdminToken, cfg.Edge.ID = config.Edge, edgeToken, adminToken, id
	cfg.Listen, cfg.HTTP, cfg.Edge.HomeURL = "127.0.0.1:0", "127.0.0.1:0", []string{"http://" + home.HTTPAddr().String()}
	cfg.RenewInterval = 100 * time.Millisecond
	return cfg
}

// newCluster starts a home and edges on a new database that holds a small shop. change may alter the home's
// configuration; it may be nil.
func newCluster(t *testing.T, edges int, change func(*config.Config)) *cluster {
	t.Helper()
	db := pgtest.New(t)
	return clusterOn(t, db, edges, change)
}

func clusterOn(t *testing.T, db *pgtest.Database, edges int, change func(*config.Config)) *cluster {
	t.Helper()
	db.Exec(
		`create table products (id int primary key, name text not null, price numeric(10,2) not null)`,
		`insert into products select i, 'product ' || i, i from generate_series(1, 100) i`,
		`create table orders (id int primary key, product int not null references products on delete cascade, note text)`,
		`insert into orders select i, i, 'order ' || i from generate_series(1, 10) i`,
		`grant select, insert, update, delete on all tables in schema public to public`,
	)
	c := &cluster{t: t, db: db}
	cfg := homeConfig(db.URL())
	if change != nil {
		change(cfg)
	}
	c.home = start(t, cfg)
	c.home.awaitReady()
	for i := range edges {
		e := start(t, edgeConfig(c.home, fmt.Sprint("edge-", i)))
		e.awaitReady()
		c.edges = append(c.edges, e)
	}
	return c
}

// url returns the URL of the cluster's database through a node.
func (c *cluster) url(n *running) string { return c.userURL(n, "postgres", "") }

func (c *cluster) userURL(n *running, user, password string) string {
	if password != "" {
		user += ":" + password
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, n.Addr(), c.db.Name)
}

// connect opens a connection that is closed when the test ends.
func connect(t *testing.T, url string, change ...func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	conn, err := tryConnect(t, url, change...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return conn
}

func tryConnect(t *testing.T, url string, change ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = conn.Close(ctx) // many a test ends what it is connected to
	})
	return conn, nil
}

func simple(cfg *pgx.ConnConfig) { cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol }

// get returns the one value that a query answers, as text.
func get(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var value any
	if err := conn.QueryRow(ctx, sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(value)
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// counted returns how many hits, misses and bypasses a node counted while f ran.
func (r *running) counted(f func()) (hits, misses, bypasses uint64) {
	before := r.Stats().Cache
	f()
	after := r.Stats().Cache
	return after.Hits - before.Hits, after.Misses - before.Misses, after.Bypasses - before.Bypasses
}

// wantHit asserts that a query is answered from the node's memory, with the given value.
func (r *running) wantHit(conn *pgx.Conn, want, sql string, args ...any) {
	r.t.Helper()
	var got string
	if hits, misses, _ := r.counted(func() { got = get(r.t, conn, sql, args...) }); hits != 1 || misses != 0 || got != want {
		r.t.Fatalf("%s at %s: %q with %d hits and %d misses, want %q from memory", sql, r.config.Edge.Role, got, hits, misses, want)
	}
}

// wantMiss asserts that a query is forwarded by the node, with the given value.
func (r *running) wantMiss(conn *pgx.Conn, want, sql string, args ...any) {
	r.t.Helper()
	var got string
	if hits, _, _ := r.counted(func() { got = get(r.t, conn, sql, args...) }); hits != 0 || got != want {
		r.t.Fatalf("%s at %s: %q with %d hits, want %q from upstream", sql, r.config.Edge.Role, got, hits, want)
	}
}

// call makes a request of the API and decodes its answer into result, which may be nil.
func (r *running) call(method, path, token string, body any, result any) int {
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
	if result != nil {
		if err := json.Unmarshal(text, result); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return response.StatusCode
}
