//go:build cgo

package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/changes"
	"github.com/perihelion-proxy/perihelion/host/changes/wal"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/policy"
	"github.com/perihelion-proxy/perihelion/host/registry"
	"github.com/perihelion-proxy/perihelion/host/scram"
	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
	"github.com/perihelion-proxy/perihelion/host/upstream"
)

// catalogWait is how long a statement waits for the first picture of its database. Without one it may have done
// anything, to the database and to its session, so waiting costs less.
const catalogWait = 10 * time.Second

const (
	// brokenWait is how long a statement waits instead while the home's own connection fails.
	brokenWait = 50 * time.Millisecond
	// settingsWait is how long the start of a session waits for its initial settings; without them it shares nothing.
	settingsWait = 3 * time.Second
)

// home is the role of a node next to Postgres. It is its sessions' analysis and journal.
type home struct {
	node     *Node
	postgres *upstream.Postgres
	log      *invalidation.Log
	registry *registry.Registry
	catalog  *catalog.Catalog
	// tenant says who a session belongs to, as the sessions are told.
	tenant   func(database, user, application string) string
	analyzer *analyze.Analyzer
	policies *policy.Set
	rates    changes.Rates
	// verifiers are what the passwords of clients are checked with; nil: Postgres checks them.
	verifiers *upstream.Verifiers

	// catalogError is why the last look at the catalog failed; nil: it did not.
	catalogError atomic.Pointer[error]
	sources      *sources
	databases    *databases
	certainty    *certainty
	undecided    session.Undecided
}

func newHome(n *Node) (role, error) {
	cfg := n.config
	postgres, err := upstream.Open(cfg.Upstream.Reveal())
	if err != nil {
		return nil, fmt.Errorf("reach Postgres (upstream): %w", err)
	}
	h := &home{node: n, postgres: postgres, log: invalidation.NewLog()}
	h.catalog = catalog.New(catalog.Options{Config: postgres.Control(), Logger: n.logger})
	h.sources = newSources(h)
	h.databases = newDatabases()
	h.certainty = &certainty{
		logger: n.logger, maxStaleness: cfg.MaxStaleness, catalogCheck: cfg.CatalogCheck, catalog: h.catalog, pokes: make(chan struct{}, 1),
		connect: func(ctx context.Context) (control, error) { return dialControl(ctx, postgres.Control()) },
		tidy:    h.databases.tidy, databases: h.databases.inUse, append: h.log.Append, returned: h.postgresReturned, certified: h.certified, reached: h.noteCatalog,
		witnesses: []witness{h.sources},
	}
	h.databases.keep, h.databases.rest, h.databases.forget, h.databases.idle = h.catalog.Keep, h.catalog.Rest, h.forget, h.certainty.poke
	h.registry = registry.New(registry.Options{Log: h.log, MaxEdges: cfg.Edge.MaxEdges, MaxStaleness: cfg.MaxStaleness, Succeeds: cfg.Consistency.AnyStrong(), Asked: h.certainty.poke, Logger: n.logger})
	h.analyzer = analyze.New(analyze.Options{Catalog: h.catalog, Logger: n.logger, Wait: catalogWait, Logged: h.sources.following})
	h.policies = policy.New(policy.Options{
		Folder: cfg.Policies.Folder, DefaultTTL: cfg.Edge.DefaultTTL, MaxEntryBytes: int64(cfg.Cache.MaxEntryBytes), Region: cfg.Region, CompilationCache: cfg.Policies.CacheDir,
		MaxFailures: cfg.Policies.MaxFailures, Logger: n.logger, OnVoid: h.voidDecided, OnCall: n.metrics.PolicyCalled,
		WriteRate: func(database, relation string) int64 { return h.rates.PerHour(database, relation, time.Now()) },
	})
	n.policyCounters = h.policyCounters
	return h, nil
}

func (h *home) fill(s *session.Shared) {
	s.Floors, s.Analysis, s.Journal = h.log.Floors(), h, h
	s.Level, s.Holds, s.Undecided = h.level, holds{h}, &h.undecided
	h.tenant = s.Tenant
	s.Dial = func(ctx context.Context, _ session.Peer) (net.Conn, error) { return h.postgres.Dial(ctx) }
	s.Enter = func(database string) func() {
		follow, look := h.sources.enter(database), h.databases.enter(database)
		return func() {
			follow()
			look()
		}
	}
	if h.node.config.Auth == config.AuthSCRAM {
		s.Verifier = func(ctx context.Context, user string) (scram.Verifier, error, error) {
			return h.verifiers.Verifier(ctx, user)
		}
	}
}

func (h *home) open(ctx context.Context) error {
	if err := h.policies.Open(ctx); err != nil {
		return fmt.Errorf("open policies (policies.folder): %w", err)
	}
	if h.node.config.Source == config.SourceWAL {
		// A server that cannot be reached may be one that allows it: the home is not ready before it can be.
		refusal, err := wal.Probe(ctx, h.postgres.Control())
		switch {
		case refusal != "":
			return fmt.Errorf("follow the WAL (source: wal): %s", refusal)
		case err != nil && ctx.Err() == nil:
			h.node.logger.Warn("whether the WAL can be followed is not known yet", "error", err.Error())
		}
	}
	if cfg := h.node.config; cfg.Auth == config.AuthSCRAM {
		// What nobody else knows, and what stays over restarts: the tokens.
		secret := cfg.Edge.AuthToken.Reveal() + cfg.AdminToken.Reveal()
		var err error
		if h.verifiers, err = h.postgres.OpenVerifiers(cfg.AuthQuery, []byte(secret)); err != nil {
			return err
		}
	}
	return nil
}

func (h *home) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { h.certainty.run(ctx) })
	wg.Go(func() { h.sources.run(ctx) })
	defer wg.Wait()
	if err := h.policies.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch policies: %w", err)
	}
	<-ctx.Done()
	return nil
}

func (h *home) disconnect() { h.registry.Close() }

func (h *home) close() error {
	h.registry.Close()
	h.sources.close()
	h.catalog.Close()
	if h.verifiers != nil {
		h.verifiers.Close()
	}
	return h.policies.Close()
}

// certified grants the leases that were asked for until a moment, and the home's own (R6).
func (h *home) certified(at invalidation.Instant) {
	at = h.undecided.Before(at)
	h.node.lease.Extend(at, h.node.config.MaxStaleness)
	h.registry.Certify(at)
}

// postgresReturned voids everything: what was committed before may be gone (R12).
func (h *home) postgresReturned() {
	h.catalog.RefreshAll()
	h.log.Append("", nil)
	h.catalog.Announced("")
}

// forget gives up a database that nobody uses. Nobody looks at its schema from now on, so nothing of it stays.
func (h *home) forget(database string) {
	h.catalog.Forget(database)
	h.log.Append(database, nil)
}

// voidDecided voids what policies decided on that are not in charge any more, here and at every edge.
func (h *home) voidDecided(database string, fingerprints []uint64) {
	var names []string
	for _, fingerprint := range fingerprints {
		names = append(names, decidedName(fingerprint))
	}
	slices.Sort(names)
	h.log.Append(database, slices.Compact(names))
}

// decidedName returns the tag by which a new generation voids what was decided on a statement. No policy can state it.
func decidedName(fingerprint uint64) string {
	return invalidation.TagName("\n" + strconv.FormatUint(fingerprint, 16))
}

// Describe implements [session.Analysis]. While the home's own connection is known to fail, no statement waits for it.
func (h *home) Describe(ctx context.Context, database, path, sql string) *statement.Descriptor {
	if h.catalogError.Load() != nil && h.catalog.Peek(database) == nil {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, brokenWait)
		defer stop()
	}
	return h.analyzer.Describe(ctx, database, path, sql)
}

// Generation implements [session.Analysis].
func (h *home) Generation(database string) uint64 {
	if snapshot := h.catalog.Peek(database); snapshot != nil {
		return snapshot.Generation
	}
	return 0
}

// Decide implements [session.Analysis].
func (h *home) Decide(ctx context.Context, who session.Identity, d *statement.Descriptor) session.Decision {
	decision := h.decide(ctx, who, d)
	if h.node.config.Source == config.SourceWAL && !h.sources.following(who.Database) {
		return session.Decision{Reason: "the database is not followed in the WAL, as source says it has to be"}
	}
	kept := session.Decision{
		Cache: decision.Cache, TTL: decision.TTL, Stale: decision.Stale, Eventual: decision.Level == statement.Eventual,
		MaxBytes: decision.MaxResultBytes, Local: decision.Local, Tags: invalidation.TagNames(decision.TagList()), Reason: decision.Reason,
	}
	if h.node.config.Policies.Folder != "" {
		kept.Tags = append(kept.Tags, decidedName(d.Fingerprint))
	}
	if decision.Ask {
		kept.OnResult = func(ctx context.Context, r session.Result) (bool, time.Duration, string) {
			judged := h.policies.OnResult(ctx, h.query(who, d), decision, policy.Result(r))
			return judged.Cache, judged.TTL, judged.Reason
		}
	}
	return kept
}

func (h *home) decide(ctx context.Context, who session.Identity, d *statement.Descriptor) policy.Decision {
	return h.policies.Decide(ctx, h.query(who, d))
}

func (h *home) query(who session.Identity, d *statement.Descriptor) policy.Query {
	return policy.Query{Tenant: who.Tenant, Database: who.Database, User: who.User, Application: who.Application, Statement: d, Level: h.level(who.Database)}
}

// InitialState implements [session.Analysis].
func (h *home) InitialState(ctx context.Context, database, user string) (session.InitialSettings, error) {
	ctx, stop := context.WithTimeout(ctx, settingsWait)
	defer stop()
	initial, err := h.catalog.InitialSettings(ctx, database, user)
	h.noteCatalog(err)
	return session.InitialSettings(initial), err
}

func (h *home) noteCatalog(err error) {
	if err == nil {
		h.catalogError.Store(nil)
		return
	}
	h.catalogError.Store(&err)
}

// Epoch implements [session.Journal].
func (h *home) Epoch() string { return h.log.Epoch() }

// Stamp implements [session.Journal].
func (h *home) Stamp() invalidation.Version { return h.log.Stamp() }

// Publish implements [session.Journal]. The catalog's picture goes before the event: whoever reads a stamp behind the
// event describes with the next picture.
func (h *home) Publish(database string, changed statement.Closure, schema bool) invalidation.Version {
	if schema {
		if changed.Cluster {
			h.catalog.RefreshAll()
			defer h.catalog.Announced("")
		} else {
			h.catalog.Refresh(database)
			h.catalog.Warm(database)
			if changed.Anything {
				defer h.catalog.Announced(database)
			}
		}
	}
	h.sources.passed(database, changed)
	switch {
	case changed.Cluster:
		return h.log.Append("", nil)
	case changed.Anything:
		return h.log.Append(database, nil)
	}
	if !h.sources.following(database) { // the WAL counts what was written, and not only what may have been
		h.rates.Count(database, changed.Relations, time.Now())
	}
	return h.log.Append(database, changed.Relations)
}

func (h *home) home() *api.Home {
	return &api.Home{
		Edges: h.registry, Draining: h.node.sessionsDraining, Append: h.log.Append,
		Wire: func(_ context.Context, conn net.Conn, info api.WireInfo) {
			from := info.ClientAddr
			if from == "" {
				from = info.Remote
			}
			h.node.sessions.start(conn, session.Peer{Addr: from + " through " + info.EdgeID, Binding: info.Binding}, true)
		},
		Databases: h.databases.inUse,
		Explain:   h.explain, Policies: h.listPolicies,
	}
}

func (h *home) homeURL() string { return "" }

func (h *home) stats(s *api.Stats) {
	s.Epoch, s.Version = h.log.Epoch(), h.log.Last()
	edges := h.registry.Len()
	s.Edges = &edges
	s.Sources = []api.Source{}
	for _, one := range h.sources.all() {
		s.Sources = append(s.Sources, one.status())
	}
}

func (h *home) ready() []api.Check {
	checks := []api.Check{{Name: "catalog", OK: true}, {Name: "certainty", OK: h.node.lease.Valid(invalidation.Now())}}
	if err := h.catalogError.Load(); err != nil {
		checks[0].OK, checks[0].Reason = false, "the home's own connection to Postgres failed: statements are forwarded, none is cached; the log says why"
	} else if n := h.certainty.doubted.Load(); n > 0 {
		checks[0].Reason = fmt.Sprintf("schema changes of %d databases cannot be seen: nothing of them is cached; the log says why", n)
	}
	if !checks[1].OK {
		checks[1].Reason = "not certain of Postgres yet: nothing is answered from memory"
	}
	if why := h.certainty.why(); why != "" {
		checks[1].Reason = why
	}
	return append(checks, h.sources.check())
}

func (h *home) policyCounters() (all []telemetry.PolicyCounter) {
	for _, one := range h.policies.Counters() {
		all = append(all, telemetry.PolicyCounter(one))
	}
	return all
}

func (h *home) listPolicies() []api.Policy {
	all := []api.Policy{}
	for _, p := range h.policies.List() {
		all = append(all, api.Policy{
			Name: p.Name, State: p.State, Generation: p.Generation, Digest: p.Digest, LoadedAt: p.LoadedAt, Priority: p.Priority,
			Tenants: p.Tenants, Databases: p.Databases, Failures: p.Failures, LastFailure: p.LastFailure, Error: p.Error,
		})
	}
	return all
}
