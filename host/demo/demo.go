//go:build cgo

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/node"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// Options say how the demonstration runs.
type Options struct {
	// Duration is how long the workload runs.
	Duration time.Duration
	// RoundTrip is the simulated distance between each edge and the home.
	RoundTrip time.Duration
	// Policy is the module that is dropped into the folder halfway: ttl-by-table.wasm.
	Policy string
	// Keep leaves everything running, without the workload, until ctx ends.
	Keep bool
	// Out gets what the demonstration shows.
	Out io.Writer
	// Version is the program's.
	Version string
}

// ErrFailed is returned where a check of the demonstration did not hold.
var ErrFailed = errors.New("demonstration failed")

const (
	token        = "demo-token"
	startTimeout = 2 * time.Minute
)

// policyConfig makes what reads reviews uncacheable.
const policyConfig = `# Dropped in by the demonstration.
config:
  ttl: { "public.reviews": 0 }
`

// stage is everything that runs.
type stage struct {
	options Options
	display *display
	folder  string
	server  *postgres.Server
	home    *running
	edges   []*edge
	checker *checker
	log     serialBuffer
}

// edge is one of the two edges, with the line between it and the home.
type edge struct {
	*running
	name    string
	line    *distance
	figures *figures
}

// running is a node that serves.
type running struct {
	*node.Node
	cancel context.CancelFunc
	served chan error
}

// Run shows the demonstration and returns nil where every check held. It leaves nothing behind.
func Run(ctx context.Context, o Options) (err error) {
	module, err := os.ReadFile(o.Policy)
	if err != nil {
		return fmt.Errorf("read the policy that the demonstration drops in: %w", err)
	}
	s := &stage{options: o, display: newDisplay(o.Out), checker: newChecker(config.Default().MaxStaleness)}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.set(ctx); err != nil {
		return err
	}
	failures, err := s.play(ctx, module)
	if err != nil {
		return err
	}
	if o.Keep && ctx.Err() == nil {
		s.tell()
		<-ctx.Done()
	}
	if len(failures) > 0 {
		return fmt.Errorf("%w: %s", ErrFailed, strings.Join(failures, "; "))
	}
	return nil
}

// set starts Postgres, the home and the edges.
func (s *stage) set(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	began := time.Now()
	s.display.say("Starting PostgreSQL …")
	var err error
	if s.folder, err = os.MkdirTemp("", "perihelion-demo-"); err != nil {
		return fmt.Errorf("make a folder for the policies: %w", err)
	}
	if s.server, err = postgres.Start(ctx, postgres.Options{}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.server.URL("postgres", "postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if _, err := conn.Exec(ctx, "create database shop"); err != nil {
		return errors.Join(fmt.Errorf("make the shop's database: %w", err), conn.Close(ctx))
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close a connection: %w", err)
	}
	s.display.say("PostgreSQL %s runs on %s (%s). Loading the shop: %d products, %d reviews …", s.server.Version(), s.server.Addr(), time.Since(began).Round(time.Millisecond), products, reviews)
	if conn, err = pgx.Connect(ctx, s.server.URL("postgres", "shop")); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	for _, statement := range shop() {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("load the shop: %w", err), conn.Close(ctx))
		}
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close a connection: %w", err)
	}

	cfg := s.config(config.Home)
	cfg.Upstream, cfg.Policies.Folder = config.Upstream(s.server.URL("postgres", "shop")), s.folder
	if s.home, err = s.start(ctx, cfg, nil); err != nil {
		return err
	}
	for _, region := range []string{"frankfurt", "singapore"} {
		e := &edge{name: region, figures: &figures{horizon: s.options.RoundTrip}}
		s.edges = append(s.edges, e)
		if e.line, err = newDistance(s.home.HTTPAddr().String(), s.options.RoundTrip); err != nil {
			return err
		}
		cfg := s.config(config.Edge)
		cfg.Edge.HomeURL, cfg.Edge.ID, cfg.Region = []string{"http://" + e.line.addr()}, region, region
		arrived := func(_ invalidation.Event, sent time.Time) { e.figures.arrived(time.Since(sent)) }
		if e.running, err = s.start(ctx, cfg, arrived); err != nil {
			return err
		}
	}
	s.display.say("Home on %s, edges on %s and %s, %s away from it.\n", s.home.Addr(), s.edges[0].Addr(), s.edges[1].Addr(), s.options.RoundTrip)
	return nil
}

func (s *stage) config(role config.Role) *config.Config {
	cfg := config.Default()
	cfg.Edge.Role, cfg.Edge.AuthToken, cfg.AdminToken = role, token, token
	cfg.Listen, cfg.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// start makes a node serve and waits until it is ready.
func (s *stage) start(ctx context.Context, cfg *config.Config, arrived func(invalidation.Event, time.Time)) (*running, error) {
	logger := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.New(cfg, node.Options{Logger: logger, Version: s.options.Version, OnInvalidate: arrived})
	if err != nil {
		return nil, fmt.Errorf("make a node: %w", err)
	}
	if err := n.Listen(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	serving, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, cancel: cancel, served: make(chan error, 1)}
	go func() { r.served <- n.Serve(serving) }() // r.close waits for it
	if err := n.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// serialBuffer keeps what several loggers write.
type serialBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *serialBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *serialBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (r *running) close() error {
	r.cancel()
	return errors.Join(<-r.served, r.Close())
}

// close ends everything, in the order opposite to set.
func (s *stage) close() error {
	var errs []error
	for _, e := range slices.Backward(s.edges) {
		if e.running != nil {
			errs = append(errs, e.close())
		}
		if e.line != nil {
			e.line.close()
		}
	}
	if s.home != nil {
		errs = append(errs, s.home.close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if s.folder != "" {
		errs = append(errs, os.RemoveAll(s.folder))
	}
	return errors.Join(errs...)
}

// play runs the workload with the policy dropped in halfway, and returns which checks did not hold.
func (s *stage) play(ctx context.Context, module []byte) (failures []string, err error) {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	g, loading := errgroup.WithContext(loading)
	for i, e := range s.edges {
		url := fmt.Sprintf("postgres://postgres@%s/shop?sslmode=disable", e.Addr())
		for j := range readers + writers {
			c, err := newClient(loading, url, e.figures, s.checker, uint64(100*i+j))
			if err != nil {
				stop()
				return nil, errors.Join(err, g.Wait())
			}
			g.Go(func() error {
				defer c.close()
				if j < readers {
					return c.read(loading)
				}
				return c.change(loading, i, len(s.edges))
			})
		}
	}
	began := time.Now()
	half := s.options.Duration / 2
	s.watch(loading, began, half)
	before := s.asked()
	if loading.Err() == nil {
		s.display.say("\n%s: dropping ttl-by-table.wasm into the policies folder; it says: never cache what reads public.reviews", time.Since(began).Round(time.Second))
		if err := s.drop(module); err != nil {
			stop()
			return nil, errors.Join(err, g.Wait())
		}
		generation, err := s.awaitPolicy(loading)
		if err != nil {
			stop()
			return nil, errors.Join(err, g.Wait())
		}
		before = s.asked()
		s.display.say("%s: generation %d is in charge; what was decided before it is void\n", time.Since(began).Round(100*time.Millisecond), generation)
		// However long the module took to compile, its effect is shown for as long as what was before it.
		s.watch(loading, began, time.Since(began)+half)
	}
	stop()
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return nil, errors.Join(err, s.nodesSay())
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.summary(before), nil
}

// nodesSay returns what the nodes logged, for a demonstration that went wrong.
func (s *stage) nodesSay() error {
	text := s.log.String()
	if text == "" {
		return nil
	}
	return fmt.Errorf("the nodes say:\n%s", text)
}

// drop puts the policy into the folder as a user would: the configuration first, then the module.
func (s *stage) drop(module []byte) error {
	if err := os.WriteFile(filepath.Join(s.folder, "ttl-by-table.yaml"), []byte(policyConfig), 0o600); err != nil {
		return fmt.Errorf("drop in the policy's configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.folder, "ttl-by-table.wasm"), module, 0o600); err != nil {
		return fmt.Errorf("drop in the policy: %w", err)
	}
	return nil
}

// awaitPolicy waits until the home has the policy in charge.
func (s *stage) awaitPolicy(ctx context.Context) (uint64, error) {
	for range 600 {
		for _, p := range s.home.Policies() {
			if p.State == "active" {
				return p.Generation, nil
			}
			if p.Error != "" {
				return 0, fmt.Errorf("policy was refused: %s", p.Error)
			}
		}
		if !sleep(ctx, 50*time.Millisecond) {
			break
		}
	}
	return 0, errors.Join(errors.New("policy was not loaded"), s.nodesSay())
}

// watch shows figures until the workload is at the given time.
func (s *stage) watch(ctx context.Context, began time.Time, until time.Duration) {
	every := 2 * time.Second
	if s.display.terminal {
		every = 250 * time.Millisecond
	}
	for time.Since(began) < until && sleep(ctx, min(every, until-time.Since(began))) {
		v := s.checker.verdict()
		s.display.frame(fmt.Sprintf("%5.1f s\n%s  stale answers seen: %d of %d checked\n", time.Since(began).Seconds(), table(s.rows()), v.stale, v.checked))
	}
}

func (s *stage) rows() [][]string {
	rows := [][]string{header}
	for _, e := range s.edges {
		rows = append(rows, e.figures.row(e.name).cells())
	}
	return rows
}

func (f *figures) row(name string) row {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := row{name: name, arrivals: slices.Clone(f.mu.arrivals)}
	for q := range questions {
		r.hits = append(r.hits, f.mu.near[q]...)
		r.misses = append(r.misses, f.mu.far[q]...)
	}
	return r
}

// asked returns, for each question, how often it was answered from memory and how often it was asked.
func (s *stage) asked() (counts [questions][2]int) {
	for _, e := range s.edges {
		e.figures.mu.Lock()
		for q := range questions {
			near, far := len(e.figures.mu.near[q]), len(e.figures.mu.far[q])
			counts[q][0] += near
			counts[q][1] += near + far
		}
		e.figures.mu.Unlock()
	}
	return counts
}

// summary prints the last tables and returns which checks did not hold.
func (s *stage) summary(before [questions][2]int) (failures []string) {
	s.display.say("\nSummary")
	s.display.say("%s", strings.TrimRight(table(s.rows()), "\n"))
	after := s.asked()
	rows := [][]string{{"statement", "hit rate before the policy", "after"}}
	for q := range questions {
		rows = append(rows, []string{questionNames[q], percent(before[q][0], before[q][1]), percent(after[q][0]-before[q][0], after[q][1]-before[q][1])})
	}
	s.display.say("\n%s", strings.TrimRight(table(rows), "\n"))
	v := s.checker.verdict()
	s.display.say("\n  answers checked against the contract: %d", v.checked)
	s.display.say("  stale answers (older than %s, or than the session's own write): %d", s.checker.bound, v.stale)
	s.display.say("  answers that were overtaken while an invalidation was on its way: %d, by at most %s", v.behind, v.oldest.Round(time.Microsecond))

	check := func(holds bool, format string, args ...any) {
		if !holds {
			failures = append(failures, fmt.Sprintf(format, args...))
		}
	}
	check(v.stale == 0, "%d stale answers", v.stale)
	check(v.checked > 0, "nothing was checked")
	for _, e := range s.edges {
		hits, misses := e.Stats().Cache.Hits, e.Stats().Cache.Misses
		check(hits > 0 && misses > 0, "edge %s counted %d hits and %d misses", e.name, hits, misses)
		e.figures.mu.Lock()
		check(len(e.figures.mu.arrivals) > 0, "edge %s got no invalidation", e.name)
		e.figures.mu.Unlock()
	}
	check(before[stars][0] > 0, "no hit on %q before the policy", questionNames[stars])
	check(after[byID][0] > before[byID][0], "no hit on %q after the policy", questionNames[byID])
	// A session may have had its answer on its way while the policies were swapped.
	late := after[stars][0] - before[stars][0]
	check(late*20 <= after[stars][1]-before[stars][1], "%d hits on %q after the policy forbade them", late, questionNames[stars])
	if len(failures) == 0 {
		s.display.say("  every check held\n")
	}
	return failures
}

// tell says how to try what is left running.
func (s *stage) tell() {
	s.display.say("Everything is still running; Ctrl-C ends it. Try:\n")
	for _, e := range s.edges {
		s.display.say("  psql 'postgres://postgres@%s/shop?sslmode=disable'   # through the edge %s", e.Addr(), e.name)
	}
	s.display.say("  psql 'postgres://postgres@%s/shop?sslmode=disable'   # through the home", s.home.Addr())
	s.display.say("  curl -H 'Authorization: Bearer %s' http://%s/api/stats", token, s.edges[0].HTTPAddr())
	s.display.say("  curl -H 'Authorization: Bearer %s' http://%s/api/edge", token, s.home.HTTPAddr())
	s.display.say("  curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{\"tables\":[\"public.products\"]}' http://%s/api/edge/invalidate", token, s.home.HTTPAddr())
	s.display.say("  curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{\"database\":\"shop\",\"user\":\"postgres\",\"sql\":\"select * from products where id = 1\"}' http://%s/api/explain", token, s.home.HTTPAddr())
	s.display.say("  policies folder: %s\n", s.folder)
}
