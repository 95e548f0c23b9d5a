package simulation

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/registry"
	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

const (
	homeAddress   = "home:6432" // for clients
	homeHTTP      = "home:6433" // for edges
	token         = "token"
	watchInterval = time.Second
)

// node is what a home and an edge have in common: their sessions.
type node struct {
	w      *world
	name   string
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	shared session.Shared
}

// begin starts the life of a node's process.
func (n *node) begin() {
	n.ctx, n.stop = context.WithCancel(n.w.ctx)
	n.shared = session.Shared{
		Cache: cache.New(cache.Options{MaxEntries: 100, MaxBytes: 1 << 20, MaxEntryBytes: 1 << 16}),
		Lease: &invalidation.Lease{}, Tenant: func(string, string, string) string { return "default" },
		MaxStaleness: maxStaleness, StartTimeout: time.Minute, KeepAlive: 2 * time.Second, LazyBegin: n.w.plan.lazyBegin,
		Counters: &session.Counters{}, Cancels: &session.Cancels{}, Logger: n.w.logger(n.name),
	}
}

// end is the end of the process: its connections are reset, and nothing of it says goodbye.
func (n *node) end() {
	n.w.trace(n.name, "crashes")
	n.w.net.cut(func(_, to string) bool { return to == n.name })
	n.stop()
	n.wg.Wait()
	n.w.hits += n.shared.Counters.Totals().Hits
}

// accept serves the clients of an address, whose sessions share what of says.
func (n *node) accept(address string, of func() *session.Shared) {
	l := n.w.net.listen(address)
	n.wg.Go(func() {
		<-n.ctx.Done()
		l.Close()
	})
	n.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.serve(of(), c, nameOf(c), false)
		}
	})
}

func (n *node) serve(shared *session.Shared, c net.Conn, from string, tunnel bool) {
	n.wg.Go(func() {
		// Which end of it was the first to go is nobody's to say where both are cut at one moment.
		_ = session.New(shared, c, session.Peer{Addr: from}, tunnel).Run(n.ctx)
		n.w.trace(n.name, "session of %s ends", from)
	})
}

// home is the node next to the database.
type home struct {
	node
	lives    int
	log      *invalidation.Log
	registry *registry.Registry
	api      *api.Server
}

func newHome(w *world) *home { return &home{node: node{w: w, name: "home"}} }

// start starts the home's process.
func (h *home) start() {
	h.begin()
	h.lives++
	h.log = invalidation.NewLogAt(fmt.Sprintf("%032x", h.lives), func() time.Time { return h.w.wall("home") })
	undecided := &session.Undecided{}
	h.shared.Undecided = undecided
	h.registry = registry.New(registry.Options{
		Log: h.log, MaxEdges: 32, MaxStaleness: maxStaleness, Logger: h.w.logger("home"), Succeeds: h.w.strong && h.lives > 1,
		Asked: func() {
			at := invalidation.Now()
			if h.w.broken != R6ForgetsWritesUnderWay {
				at = undecided.Before(at)
			}
			h.registry.Certify(at)
		},
	})
	h.shared.Floors, h.shared.Analysis = h.log.Floors(), analysis{h.w.broken}
	h.shared.Lease.Forever()
	if h.w.strong {
		h.shared.Level = func(string) statement.Level { return statement.Strong }
		h.shared.Holds = holds{h.w, h.log, h.registry}
	}
	h.api = api.New(api.Options{
		AuthToken: token, Stats: func() api.Stats { return api.Stats{} }, Metrics: http.NotFoundHandler(),
		Home: &api.Home{
			Edges: h.registry, Draining: func() bool { return false }, Append: h.log.Append,
			Wire: func(_ context.Context, c net.Conn, info api.WireInfo) {
				h.serve(h.sharing(), c, info.ClientAddr+" through "+info.EdgeID, true)
			},
			Databases: func() []string { return []string{"db"} },
		},
	})
	l := h.w.net.listen(homeHTTP)
	h.wg.Go(func() { _ = h.api.Serve(l) }) // it ends with the process
	h.accept(homeAddress, h.sharing)
	h.wg.Go(func() { h.watch() })
}

// crash ends the home's process.
func (h *home) crash() {
	h.w.net.cut(func(_, to string) bool { return to == "home" })
	h.api.Close()
	h.end()
	h.registry.Close()
}

// sharing returns what one session of the home's works with: a journal of its own, so that a rule can be broken for it.
func (h *home) sharing() *session.Shared {
	shared := h.shared
	j := &journal{home: h, log: h.log}
	shared.Journal = j
	shared.Dial = func(ctx context.Context, _ session.Peer) (net.Conn, error) {
		c, err := h.w.net.dial(ctx, "home", storeAddress, nil)
		if err != nil {
			return nil, err
		}
		j.upstream = c.(*conn)
		return h.w.broken.watch(j, c), nil
	}
	return &shared
}

// journal is the log as the home's sessions see it.
type journal struct {
	home     *home
	log      *invalidation.Log
	upstream *conn
}

// Epoch implements [session.Journal].
func (j *journal) Epoch() string { return j.log.Epoch() }

// Stamp implements [session.Journal].
func (j *journal) Stamp() invalidation.Version { return j.home.w.broken.stamp(j) }

// Publish implements [session.Journal].
func (j *journal) Publish(database string, changed statement.Closure, _ bool) invalidation.Version {
	return j.home.w.broken.publish(j, database, changed)
}

// append adds an event as the program's home does.
func (j *journal) append(database string, changed statement.Closure) invalidation.Version {
	tables := slices.Clone(changed.Relations)
	switch {
	case changed.Cluster:
		database, tables = "", nil
	case changed.Anything:
		tables = nil
	}
	version := j.log.Append(database, tables)
	j.home.w.trace("home", "appends %d: %s %v", version, database, tables)
	return version
}

// holds are the home's half of R11, as the program's home has it.
type holds struct {
	w        *world
	log      *invalidation.Log
	registry *registry.Registry
}

// Hold implements [session.Holds].
func (h holds) Hold(ctx context.Context, database string, changing statement.Closure) (uint64, error) {
	tables := slices.Clone(changing.Relations)
	if changing.Anything {
		tables = nil
	}
	id, at := h.log.Hold(database, tables)
	h.w.trace("home", "holds %v by %d at %d", tables, id, at)
	if h.w.broken == R11DoesNotWait {
		return id, nil
	}
	if err := h.registry.Await(ctx, at); err != nil {
		h.log.Release(id)
		return 0, err
	}
	h.w.trace("home", "has waited for hold %d", id)
	return id, nil
}

// Release implements [session.Holds].
func (h holds) Release(ids ...uint64) {
	if len(ids) > 0 {
		h.w.trace("home", "releases holds %v", ids)
		h.log.Release(ids...)
	}
}

// watch looks whether the database is the one that it was. Where it went away, all that was read from it before may be
// gone (R12).
func (h *home) watch() {
	for again := false; h.ctx.Err() == nil; sleep(h.ctx, watchInterval) {
		c, err := h.w.net.dial(h.ctx, "home", storeAddress, nil)
		if err != nil {
			continue
		}
		if again && h.w.broken != R12TrustsTheStore {
			h.w.trace("home", "appends %d: the database was away", h.log.Append("", nil))
		}
		again = true
		stop := context.AfterFunc(h.ctx, func() { c.Close() })
		_, _ = c.Read(make([]byte, 1)) // the database says nothing of its own accord: this ends with the connection
		stop()
		c.Close()
	}
}
