package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	// connectTimeout bounds dialling, TLS and the wait for an answer's header.
	connectTimeout = 5 * time.Second
	// maxHeaderBytes bounds the header of an answer.
	maxHeaderBytes = 64 << 10
)

// Options is what a [Link] is made from. HomeURLs, EdgeID, Floors, Lease and MaxStaleness are required.
type Options struct {
	// HomeURLs are the http or https URLs of the homes, in the order in which they are tried.
	HomeURLs []string
	// Token is the bearer token, as it goes on the wire. It is never logged.
	Token string
	// EdgeID names this edge to its home; Region says where it is.
	EdgeID, Region string
	// Floors get every event. The link alone begins their epochs.
	Floors *invalidation.Floors
	// Lease is extended by the home's grants.
	Lease *invalidation.Lease
	// MaxStaleness is how long a lease lasts; where the home's own is shorter, that.
	MaxStaleness time.Duration
	// RenewInterval is how often the lease is renewed: at least three times in its length, and 0 means five times.
	RenewInterval time.Duration
	// DialContext dials the home. Nil: a [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the configuration for https URLs. Nil: the system's roots.
	TLS *tls.Config
	// Clocks reads the wall clock and the monotonic one at one moment. Nil: the system's.
	Clocks func() (wall time.Time, mono time.Duration)
	// Chance returns a duration in [0, bound), which spreads retries. Nil: at random.
	Chance func(bound time.Duration) time.Duration
	// Logger gets the link's state. Nil: nothing is logged.
	Logger *slog.Logger
	// OnInvalidate is called after each event was applied, in their order, with the home's wall clock when it sent
	// it. The next event waits until it returns. It may be nil.
	OnInvalidate func(event invalidation.Event, sentAt time.Time)
}

// Link connects an edge to its home. All methods are safe for concurrent use.
type Link struct {
	opts      Options
	homes     []*url.URL
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	transport *http.Transport
	client    *http.Client
	logger    *slog.Logger
	clocks    *clocks
	instance  string // random per process

	mu struct {
		sync.Mutex
		connected bool
		home      int // the home in use, or the one to try next
		// epoch and position are what the edge has applied.
		epoch     string
		position  invalidation.Version
		resumable bool          // the next registration may go on from there
		inForce   time.Duration // the length of a lease
		asks      []ask         // renewals without a grant yet, oldest first
		err       error
	}
}

// New returns a link that does nothing yet. It fails on a URL that is not one of a home.
func New(opts Options) (*Link, error) {
	l := &Link{opts: opts, dial: opts.DialContext, logger: opts.Logger, instance: unique()}
	if len(opts.HomeURLs) == 0 {
		return nil, errors.New("no home URL is given")
	}
	for _, text := range opts.HomeURLs {
		home, err := parseHome(text)
		if err != nil {
			return nil, err
		}
		l.homes = append(l.homes, home)
	}
	if opts.MaxStaleness <= 0 {
		return nil, fmt.Errorf("max_staleness is %v: want more than 0", opts.MaxStaleness)
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if l.dial == nil {
		l.dial = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	l.mu.inForce = opts.MaxStaleness
	if opts.Clocks == nil {
		opts.Clocks = systemClocks()
	}
	if l.opts.Chance == nil {
		l.opts.Chance = rand.N[time.Duration]
	}
	l.clocks = newClocks(opts.Clocks)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	l.transport = &http.Transport{
		DialContext:            l.dial,
		TLSClientConfig:        opts.TLS.Clone(),
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  connectTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    2 + maxAcks,
		DisableCompression:     true,
		Protocols:              protocols,
	}
	l.client = &http.Client{
		Transport: l.transport,
		// A redirect would carry the token to where nobody sent it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l, nil
}

func parseHome(text string) (*url.URL, error) {
	home, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse home URL: %w", err)
	}
	if (home.Scheme != "http" && home.Scheme != "https") || home.Hostname() == "" {
		return nil, fmt.Errorf("home URL %q: want http://HOST:PORT or https://HOST:PORT", home.Redacted())
	}
	if home.User != nil || home.RawQuery != "" || home.Fragment != "" {
		return nil, fmt.Errorf("home URL %q: want no user, query or fragment", home.Redacted())
	}
	return home, nil
}

// Status is the state of a link at one moment.
type Status struct {
	// Connected is set while the home's stream is open.
	Connected bool
	// Home is the URL of the home in use, or of the one that is tried next.
	Home string
	// Epoch and Position are what this edge has applied. Epoch is empty before the first registration.
	Epoch    string
	Position invalidation.Version
	// MaxStaleness is how long a lease lasts.
	MaxStaleness time.Duration
	// LastError says why there is no connection, or why the last one ended. It holds no secret.
	LastError error
}

// Status returns the state of the link.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Status{
		Connected: l.mu.connected, Home: l.homes[l.mu.home].String(),
		Epoch: l.mu.epoch, Position: l.mu.position, MaxStaleness: l.mu.inForce, LastError: l.mu.err,
	}
}

// Run keeps the edge registered until ctx ends, and returns nil then. It is called once.
func (l *Link) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { watchClocks(ctx, l.clocks, max(l.opts.MaxStaleness/clockChecks, time.Millisecond), l.unseen) })
	defer l.transport.CloseIdleConnections()
	defer watch.Wait()
	defer cancel()

	retry := newBackoff(l.opts.MaxStaleness, l.opts.Chance)
	complaints := repeats{logger: l.logger}
	refused := 0 // homes in a row that refused
	for {
		began, err := l.follow(ctx, &complaints)
		if ctx.Err() != nil {
			l.lost(context.Cause(ctx), false)
			l.farewell(ctx)
			return nil
		}
		registered := !began.IsZero()
		l.lost(err, !registered)
		complaints.add("no stream from the home", err)
		if registered {
			refused = 0
			if time.Since(began) > maxBackoff {
				retry.reset()
			}
		}
		delay := retry.next()
		if wait, ok := slowed(err); ok {
			if refused++; refused >= len(l.homes) {
				delay = slow(wait, l.opts.Chance)
			}
		} else {
			refused = 0
		}
		if !sleep(ctx, delay) {
			l.lost(context.Cause(ctx), false)
			return nil
		}
	}
}

// slowed reports whether err is one that a quick retry does not help, and how long the home asked to wait.
func slowed(err error) (time.Duration, bool) {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.RetryAfter, true
	}
	closed, ok := errors.AsType[*closedError](err)
	return 0, ok && closed.Code != ClosedShutdown
}

// lost notes that there is no stream. After an attempt that did not get as far as one, another home is next.
func (l *Link) lost(err error, another bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.connected = false
	l.mu.err = err
	l.mu.asks = nil
	if another {
		l.mu.home = (l.mu.home + 1) % len(l.homes)
	}
}

// unseen ends the lease because time has passed that its clock did not count.
func (l *Link) unseen(ahead time.Duration) {
	l.mu.Lock()
	l.opts.Lease.End()
	l.mu.asks = nil
	l.mu.Unlock()
	l.logger.Warn("lease ended: the wall clock ran ahead of the monotonic one", "ahead", ahead)
}

// repeats logs the first of equal complaints, and how many followed it once they end. It has one user at a time.
type repeats struct {
	logger *slog.Logger
	last   string
	more   int
}

func (r *repeats) add(message string, err error) {
	if text := err.Error(); text != r.last {
		r.over()
		r.last = text
		attrs := []any{telemetry.KeyError, err}
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			attrs = append(attrs, "status", refusal.Status, "hint", refusal.Hint)
		}
		if closed, ok := errors.AsType[*closedError](err); ok {
			attrs = append(attrs, "hint", closed.hint())
		}
		r.logger.Warn(message, attrs...) //nolint:sloglint // its callers pass constants
		return
	}
	r.more++
}

// over says how often the last complaint was repeated, and forgets it.
func (r *repeats) over() {
	if r.more > 0 {
		r.logger.Warn("repeated", telemetry.KeyError, r.last, telemetry.KeyRepeats, r.more)
	}
	r.last, r.more = "", 0
}
