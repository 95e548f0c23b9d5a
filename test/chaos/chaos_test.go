package chaos

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/test/history"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

var (
	duration = flag.Duration("chaos.duration", 30*time.Second, "how `long` to run each history")
	seed     = flag.Uint64("chaos.seed", 1, "the `seed` of the faults")
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// maxStaleness is short, so that many leases run out in a run.
const maxStaleness = time.Second

// world is one run.
type world struct {
	t        *testing.T
	recorder *recorder
	server   *postgres.Server
	db       *pgtest.Database
	home     *process
	edges    []*process
	// links are the ways from each edge to the home, and from the home to Postgres.
	links    []*link
	postgres *link
	chance   *rand.Rand
	// happened counts the faults by name.
	happened map[string]int
}

type setup struct {
	tags        string
	consistency string
	// settings are the server's.
	settings map[string]string
	// straight says whether clients write straight at Postgres as well.
	straight bool
	// faults are what may go wrong.
	faults []fault
	every  time.Duration
}

// fault is something that goes wrong for a while. It returns once it is over.
type fault struct {
	name string
	do   func(ctx context.Context, w *world) error
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, recorder: &recorder{}, chance: rand.New(rand.NewPCG(*seed, 0)), happened: map[string]int{}}
	settings := map[string]string{"wal_level": "logical"}
	maps.Copy(settings, s.settings)
	w.server = pgtest.NewServer(t, postgres.Options{Settings: settings})
	w.db = pgtest.NewOn(t, w.server)
	for _, table := range []string{"reg_a", "reg_b"} {
		w.db.Exec("create table "+table+" (k text primary key, v bigint not null)", "insert into "+table+" values ('1', 0), ('2', 0)")
	}
	binary := build(t, s.tags)
	staleness := []string{"--max-staleness", maxStaleness.String()}
	w.postgres = newLink(t, w.server.Addr())
	w.home = newProcess(t, "home", binary, append([]string{
		"home", "--upstream", "postgres://postgres@" + w.postgres.addr() + "/postgres?sslmode=disable", "--consistency", s.consistency,
		"--catalog-check", "200ms",
	}, staleness...)...)
	if err := w.home.start(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		l := newLink(t, w.home.http)
		e := newProcess(t, fmt.Sprint("edge-", i+1), binary, append([]string{
			"edge", "--home-url", "http://" + l.addr(), "--edge-id", fmt.Sprint("edge-", i+1), "--renew-interval", "200ms",
		}, staleness...)...)
		w.links, w.edges = append(w.links, l), append(w.edges, e)
		if err := e.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range append([]*process{w.home}, w.edges...) {
		if err := p.awaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// run has the clients work while things go wrong, until ctx ends, and returns what they saw.
func (w *world) run(ctx context.Context, s setup) []history.Op {
	w.recorder.begun = time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	url := func(at string) string { return "postgres://postgres@" + at + "/" + w.db.Name + "?sslmode=disable" }
	add := func(name, at string, writes int, think time.Duration) {
		c := &client{
			recorder: w.recorder, name: name, url: url(at), writes: writes, think: think,
			chance: rand.New(rand.NewPCG(*seed, uint64(len(name))<<32|uint64(w.chance.Uint32()))), simple: w.chance.IntN(2) == 0,
		}
		all.Go(func() { c.run(ctx) })
	}
	for i, e := range w.edges {
		for j := range 3 {
			add(fmt.Sprintf("edge-%d-%d", i+1, j), e.listen, []int{0, 0, 20}[j], 15*time.Millisecond)
		}
	}
	add("home-1", w.home.listen, 20, 30*time.Millisecond)
	if s.straight {
		add("straight-1", w.server.Addr(), 50, 60*time.Millisecond)
	}
	for ctx.Err() == nil {
		pause(ctx, s.every/2+time.Duration(w.chance.Int64N(int64(s.every))))
		if ctx.Err() != nil || len(s.faults) == 0 {
			continue
		}
		f := s.faults[w.chance.IntN(len(s.faults))]
		w.t.Logf("%8.3fs %s", w.recorder.now().Seconds(), f.name)
		if err := f.do(ctx, w); err != nil {
			w.t.Errorf("%s: %v", f.name, err)
			return nil
		}
		w.happened[f.name]++
	}
	all.Wait()
	return w.recorder.ops
}

// report says what the run was, and fails the test for what should not be.
func (w *world) report(ops []history.Op, violations []history.Violation) {
	w.t.Helper()
	counts := map[string]int{}
	for _, o := range ops {
		switch {
		case o.Kind == history.Read:
			counts["reads"]++
		case o.Outcome == history.Unknown:
			counts["writes whose outcome is not known"]++
		default:
			counts["writes"]++
		}
	}
	w.t.Logf("%v; faults: %v; seed %d", counts, w.happened, *seed)
	for _, v := range violations[:min(len(violations), 5)] {
		w.t.Errorf("%v", v)
		w.trace(ops, v)
	}
	if len(violations) > 5 {
		w.t.Errorf("and %d more violations", len(violations)-5)
	}
}

// trace prints what happened to the key of a violation around it.
func (w *world) trace(ops []history.Op, v history.Violation) {
	if len(v.Op.Values) == 0 {
		return
	}
	key := v.Op.Values[0].Key
	var lines []string
	for _, o := range ops {
		if o.Values[0].Key == key && o.Invoked > v.Op.Invoked-2*time.Second && o.Invoked < v.Op.Invoked+100*time.Millisecond && o.Kind == history.Write {
			lines = append(lines, o.String())
		}
	}
	w.t.Logf("writes to %s before:\n%s", key, strings.Join(lines, "\n"))
}

// hits returns how many statements the edges have answered from memory, since they were started.
func (w *world) hits(ctx context.Context) (sum float64) {
	for _, e := range w.edges {
		sum += e.metric(ctx, "perihelion_cache_hits_total")
	}
	return sum
}

// edge and link pick one.
func (w *world) edge() (*process, *link) {
	i := w.chance.IntN(len(w.edges))
	return w.edges[i], w.links[i]
}

func again(ctx context.Context, p *process, after time.Duration) error {
	p.kill()
	pause(ctx, after)
	if err := p.start(); err != nil {
		return err
	}
	if err := p.awaitReady(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

var faults = []fault{
	{"an edge is killed", func(ctx context.Context, w *world) error {
		e, _ := w.edge()
		return again(ctx, e, 200*time.Millisecond)
	}},
	{"the home is killed", func(ctx context.Context, w *world) error { return again(ctx, w.home, 200*time.Millisecond) }},
	{"an edge stands still beyond its lease", func(ctx context.Context, w *world) error {
		e, _ := w.edge()
		e.signal(syscall.SIGSTOP)
		pause(ctx, maxStaleness+time.Duration(w.chance.Int64N(int64(maxStaleness))))
		e.signal(syscall.SIGCONT)
		return nil
	}},
	{"the home stands still beyond the leases", func(ctx context.Context, w *world) error {
		w.home.signal(syscall.SIGSTOP)
		pause(ctx, maxStaleness+time.Duration(w.chance.Int64N(int64(maxStaleness))))
		w.home.signal(syscall.SIGCONT)
		return nil
	}},
	{"nothing passes between an edge and the home", func(ctx context.Context, w *world) error {
		_, l := w.edge()
		l.freeze()
		pause(ctx, 2*maxStaleness)
		l.thaw()
		return nil
	}},
	{"the connections between an edge and the home are cut", func(_ context.Context, w *world) error {
		_, l := w.edge()
		l.cut()
		return nil
	}},
	{"all between an edge and the home takes longer", func(ctx context.Context, w *world) error {
		_, l := w.edge()
		l.slow(time.Duration(w.chance.Int64N(int64(maxStaleness / 2))))
		pause(ctx, 2*maxStaleness)
		l.slow(0)
		return nil
	}},
	{"nothing passes between the home and Postgres", func(ctx context.Context, w *world) error {
		w.postgres.freeze()
		pause(ctx, maxStaleness)
		w.postgres.thaw()
		return nil
	}},
	{"Postgres crashes", func(ctx context.Context, w *world) error {
		return w.server.Restart(context.WithoutCancel(ctx), postgres.Immediate)
	}},
	{"the slots are lost", func(ctx context.Context, w *world) error {
		conn, err := connect(ctx, w.db.URL())
		if err != nil {
			return nil // Postgres is away: so are the slots
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_, _ = conn.Exec(ctx, "select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null")
		return nil
	}},
}

// TestPromisesHoldWhileThingsGoWrong is bounded staleness and reading one's own writes, with the WAL as source.
func TestPromisesHoldWhileThingsGoWrong(t *testing.T) {
	s := setup{consistency: "bounded", straight: true, faults: faults, every: time.Second}
	w := newWorld(t, s)
	ctx, stop := context.WithTimeout(t.Context(), *duration)
	defer stop()
	ops := w.run(ctx, s)
	w.report(ops, history.Check(ops, maxStaleness))
	if hits := w.hits(t.Context()); hits == 0 {
		t.Error("nothing was answered from memory: the run proves nothing")
	} else {
		t.Logf("%v answers from the memory of the edges since each was started last", hits)
	}
}

// TestStrongHoldsWhileEdgesFail is linearisability. A home that is killed, or a Postgres that is, leaves writes that commit
// when nobody is left to hear of it, so both stay up.
func TestStrongHoldsWhileEdgesFail(t *testing.T) {
	calm := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return strings.Contains(f.name, "home is killed") || strings.Contains(f.name, "Postgres") || strings.Contains(f.name, "slots")
	})
	s := setup{consistency: "strong", faults: calm, every: time.Second}
	w := newWorld(t, s)
	ctx, stop := context.WithTimeout(t.Context(), *duration/2)
	defer stop()
	ops := w.run(ctx, s)
	w.report(ops, history.Linearizable(ops, 10*time.Second))
	if w.hits(t.Context()) == 0 {
		t.Error("nothing was answered from memory: the run proves nothing")
	}
}

// TestR12WhatPostgresHasForgottenIsNotAnswered crashes a PostgreSQL that has answered commits before they were on disk.
func TestR12WhatPostgresHasForgottenIsNotAnswered(t *testing.T) {
	forgotten := 0
	s := setup{
		consistency: "bounded", straight: true, every: 2 * time.Second,
		settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s"},
		faults: []fault{{"Postgres crashes and forgets", func(ctx context.Context, w *world) error {
			w.recorder.gate.Lock()
			defer w.recorder.gate.Unlock()
			from := w.recorder.now()
			if err := w.server.Restart(context.WithoutCancel(ctx), postgres.Immediate); err != nil {
				return err
			}
			has, err := w.values()
			if err != nil {
				return err
			}
			forgotten += w.recorder.forget(has, from, w.recorder.now())
			return nil
		}}},
	}
	w := newWorld(t, s)
	ctx, stop := context.WithTimeout(t.Context(), *duration/2)
	defer stop()
	ops := w.run(ctx, s)
	w.report(ops, history.Check(ops, maxStaleness))
	if forgotten == 0 {
		t.Error("PostgreSQL has forgotten nothing: the run proves nothing")
	}
	t.Logf("%d commits were forgotten", forgotten)
}

// values reads every register straight from PostgreSQL.
func (w *world) values() (map[string]int64, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	conn, err := connect(ctx, w.db.URL())
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	has := map[string]int64{}
	for _, key := range keys {
		var v int64
		if err := conn.QueryRow(ctx, "select v from reg_"+key[:1]+" where k = $1", key[2:]).Scan(&v); err != nil {
			return nil, err
		}
		has[key] = v
	}
	return has, nil
}

// TestBrokenRulesAreNoticed runs builds in which a rule does not hold.
func TestBrokenRulesAreNoticed(t *testing.T) {
	for tags, only := range map[string]string{
		"perihelion_break_r4": "all between an edge and the home takes longer",
		"perihelion_break_r6": "nothing passes between an edge and the home",
	} {
		t.Run(tags, func(t *testing.T) {
			s := setup{tags: tags, consistency: "bounded", straight: true, every: 500 * time.Millisecond}
			for _, f := range faults {
				if f.name == only {
					s.faults = append(s.faults, f)
				}
			}
			w := newWorld(t, s)
			for range 6 {
				ctx, stop := context.WithTimeout(t.Context(), *duration/5)
				ops := w.run(ctx, s)
				stop()
				if violations := history.Check(ops, maxStaleness); len(violations) > 0 {
					t.Logf("noticed: %v", violations[0])
					return
				}
				w.recorder.ops = nil
				w.db.Exec("update reg_a set v = 0", "update reg_b set v = 0")
			}
			t.Error("nobody has noticed")
		})
	}
}
