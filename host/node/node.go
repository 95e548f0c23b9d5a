package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/certificate"
	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	// startTimeout bounds a client's way from its first byte to its authentication, as PostgreSQL's own default does.
	startTimeout = time.Minute
	// sweepInterval is how often void and expired entries give their memory back.
	sweepInterval = 10 * time.Second
)

// Options are what a node needs beside its configuration.
type Options struct {
	Logger *slog.Logger
	// Version is the program's, for metrics.
	Version string
	// OnInvalidate is called at an edge after each event was applied, with the home's clock when it was sent. Nil:
	// nobody is told.
	OnInvalidate func(event invalidation.Event, sentAt time.Time)
}

// Node is a home or an edge. Its life is New, Listen, Serve, Drain, Close.
type Node struct {
	config  *config.Config
	options Options
	logger  *slog.Logger

	cache    *cache.Cache
	lease    *invalidation.Lease
	counters session.Counters
	sessions *sessions
	metrics  *metrics
	role     role
	// policyCounters returns what the policies count; nil at an edge.
	policyCounters func() []telemetry.PolicyCounter
	api            *api.Server

	clients, http net.Listener
	httpTLS       *tls.Config
	closing       sync.Once
}

// role is what makes a node a home or an edge.
type role interface {
	// fill completes what the node's sessions share.
	fill(*session.Shared)
	// home is the home's half of the API; nil at an edge.
	home() *api.Home
	// homeURL is where an edge's home is; empty at a home.
	homeURL() string
	// stats completes the node's figures.
	stats(*api.Stats)
	ready() []api.Check
	// open gets ready to serve; run does until ctx ends; close gives everything back, after run has ended.
	open(ctx context.Context) error
	run(ctx context.Context) error
	// disconnect ends the streams of edges, so that the API can shut down.
	disconnect()
	close() error
}

// New makes a node. It opens nothing.
func New(cfg *config.Config, options Options) (*Node, error) {
	n := &Node{config: cfg, options: options, logger: options.Logger, lease: &invalidation.Lease{}}
	n.cache = cache.New(cache.Options{MaxEntries: cfg.Edge.MaxEntries, MaxBytes: int64(cfg.Cache.MaxBytes), MaxEntryBytes: int(cfg.Cache.MaxEntryBytes)})
	var err error
	if n.metrics, err = newMetrics(n); err != nil {
		return nil, err
	}
	if cfg.Edge.Role == config.Home {
		n.role, err = newHome(n)
	} else {
		n.role, err = newEdge(n)
	}
	if err != nil {
		return nil, err
	}
	shared := &session.Shared{
		Cache: n.cache, Lease: n.lease, MaxStaleness: cfg.MaxStaleness, StartTimeout: startTimeout,
		LazyBegin: cfg.LazyBegin == config.On, KeepAlive: cfg.Sessions.KeepAlive,
		Counters: &n.counters, Cancels: &session.Cancels{}, ObserveMiss: n.metrics.Missed, Logger: n.logger,
		// One tenant until tenants are configured.
		Tenant: func(string, string, string) string { return "default" },
	}
	if shared.ClientTLS, err = n.serverTLS(cfg.TLS, "postgresql"); err != nil {
		return nil, fmt.Errorf("secure clients (tls): %w", err)
	}
	if n.httpTLS, err = n.serverTLS(cfg.HTTPTLS, "http/1.1"); err != nil {
		return nil, fmt.Errorf("secure HTTP (http_tls): %w", err)
	}
	n.role.fill(shared)
	n.sessions = newSessions(shared, cfg.Sessions.Max, n.logger)
	n.api = api.New(api.Options{
		AuthToken: cfg.Edge.AuthToken.Reveal(), AdminToken: cfg.AdminToken.Reveal(), Home: n.role.home(), HomeURL: n.role.homeURL,
		// An edge takes a stream that is silent for as long as a lease for dead.
		Heartbeat: min(time.Second, cfg.MaxStaleness/4),
		Stats:     n.Stats, Ready: n.role.ready, Metrics: n.metrics.handler(), Logger: n.logger,
	})
	return n, nil
}

// serverTLS returns the configuration of a listener that shows a certificate and speaks one protocol; nil: none.
func (n *Node) serverTLS(files config.PairSection, protocol string) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil
	}
	pair, err := certificate.Open(files.Cert, files.Key, n.logger)
	if err != nil {
		return nil, err
	}
	return pair.Config(protocol), nil
}

// Listen binds the node's addresses. After an error nothing is bound.
func (n *Node) Listen() error {
	clients, err := net.Listen("tcp", n.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for clients (listen): %w", err)
	}
	n.clients = clients
	if n.config.HTTP == "" {
		return nil
	}
	if n.http, err = net.Listen("tcp", n.config.HTTP); err != nil {
		clients.Close()
		return fmt.Errorf("listen for HTTP (http): %w", err)
	}
	if n.httpTLS != nil {
		n.http = tls.NewListener(n.http, n.httpTLS)
	}
	return nil
}

// Addr returns the address that clients connect to. It is nil before Listen.
func (n *Node) Addr() net.Addr {
	if n.clients == nil {
		return nil
	}
	return n.clients.Addr()
}

// HTTPAddr returns the address of the API. It is nil before Listen, and where no API is configured.
func (n *Node) HTTPAddr() net.Addr {
	if n.http == nil {
		return nil
	}
	return n.http.Addr()
}

// Serve serves until ctx ends, Drain has taken the last session, or a part fails. It returns nil but for a failure.
func (n *Node) Serve(ctx context.Context) error {
	if n.clients == nil {
		return errors.New("node does not listen")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := n.role.open(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.role.run(ctx) })
	g.Go(func() error { return n.sessions.accept(n.clients) })
	if n.http != nil {
		g.Go(func() error {
			if err := n.api.Serve(n.http); err != nil && !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve HTTP: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error {
		n.sweep(ctx)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		n.clients.Close()
		n.sessions.close()
		n.role.disconnect()
		n.api.Close()
		return nil
	})
	err := g.Wait()
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// sweep gives back the memory of entries that nobody asks for any more.
func (n *Node) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			n.cache.Sweep(invalidation.Now())
		}
	}
}

// Drain takes no more sessions and waits until the running statements and transactions have ended. Edges keep their
// streams meanwhile. It returns the cause of ctx where that ends first. Serve goes on until its own context ends.
func (n *Node) Drain(ctx context.Context) error {
	if n.clients != nil {
		n.clients.Close()
	}
	return n.sessions.drain(ctx)
}

// Close gives everything back. It may be called before Serve, and twice, but not while Serve runs.
func (n *Node) Close() error {
	var err error
	n.closing.Do(func() {
		if n.clients != nil {
			n.clients.Close()
		}
		if n.http != nil {
			n.http.Close()
		}
		n.sessions.close()
		n.role.disconnect()
		n.api.Close()
		err = n.role.close()
	})
	return err
}

// Stats returns the node's figures.
func (n *Node) Stats() api.Stats {
	totals, c := n.counters.Totals(), n.cache.Stats()
	s := api.Stats{
		Role: string(n.config.Edge.Role), Sessions: int64(n.sessions.count()),
		Cache: api.CacheStats{
			Hits: totals.Hits, Misses: totals.Misses, Bypasses: totals.Bypasses, Coalesced: totals.Coalesced, Unleased: totals.Unleased, Fills: c.Fills,
			Entries: int64(c.Entries), Bytes: c.Bytes, Evictions: c.Evictions, Voided: c.Voided,
		},
	}
	n.role.stats(&s)
	return s
}

// edgeID returns the configured id of an edge, or one made of the host's name and chance.
func edgeID(cfg *config.Config) string {
	if cfg.Edge.ID != "" {
		return cfg.Edge.ID
	}
	var id [4]byte
	rand.Read(id[:]) // never fails
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "edge"
	}
	// What a home takes for an id: a host may have another name.
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, name)
	return name[:min(len(name), 100)] + "-" + hex.EncodeToString(id[:])
}

// WaitReady returns once every check of the node's readiness holds. It returns the cause of ctx where that ends first,
// with what is missing.
func (n *Node) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := ""
		for _, check := range n.role.ready() {
			if !check.OK {
				missing = check.Name + ": " + check.Reason
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until the node is ready (%s): %w", missing, context.Cause(ctx))
		}
	}
}

func (n *Node) sessionsDraining() bool { return n.sessions.draining() }

// Policies returns the policies of a home; an edge has none.
func (n *Node) Policies() []api.Policy {
	if h := n.role.home(); h != nil {
		return h.Policies()
	}
	return nil
}
