package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// Options are what a [Set] is made from.
type Options struct {
	// Folder holds NAME.wasm and NAME.yaml. Empty: there are no policies, and every read is kept for DefaultTTL.
	Folder string
	// DefaultTTL is how long a result is kept where no policy says so.
	DefaultTTL time.Duration
	// MaxEntryBytes is the size of the largest result that the node keeps, in bytes; 0: policies cannot see it.
	MaxEntryBytes int64
	// CompilationCache keeps compiled modules between starts; empty: they are compiled at each.
	CompilationCache string
	// MaxFailures is how many failures in a row switch a policy off; 0: 5.
	MaxFailures int
	Logger      *slog.Logger
	// Region is where the node stands.
	Region string
	// WriteRate returns how often an hour a relation of a database is written, a moving average. It may be nil.
	WriteRate func(database, relation string) int64
	// OnVoid is called where what was let in by earlier generations may not stay: all of a database that was decided on
	// with one of the fingerprints or, without a database, everything. It must be quick, since a Decide may wait for it,
	// and may not call Decide. Several goroutines may call it at once. It may be nil.
	OnVoid func(database string, fingerprints []uint64)
	// OnSwap is called after each change of what is in charge, in their order and from one goroutine at a time, for tests.
	// It may call List and Generation, but not Decide.
	OnSwap func(generation uint64)
	// OnCall is told of each call of a policy. It may be nil.
	OnCall func(policy, hook string, took time.Duration, failed bool)
	// OnScan is called after each look at the folder, for tests. It may be nil.
	OnScan func()
}

// Set is the policies of a node. Decide, List and Generation are safe for concurrent use at any time after Open. Open,
// Run and Close are called one after the other.
//
// The lock swapping comes before mu. Neither is held while a file is read or a module compiled, which takes seconds:
// only the goroutine of Open and then of Run does that.
type Set struct {
	options Options
	logger  *slog.Logger
	engine  *engine.Engine
	current atomic.Pointer[generation]
	// seen is what the files looked like. It belongs to the goroutine that looks.
	seen   map[string]signature
	closed bool

	// swapping makes one of a change of what is in charge and its OnSwap: whoever writes current holds it.
	swapping sync.Mutex

	mu struct {
		sync.Mutex
		refusals map[string]refusal
	}
}

// generation is the policies that are in charge together, in the order in which they run.
type generation struct {
	number   uint64
	policies []*policy
	memo     *memo
	// remembered are the decisions that the next generation judges again.
	remembered *remembered
}

// policy is a loaded module. It belongs to every generation that it was in charge in.
type policy struct {
	name     string
	digest   string // of the module, and with the configuration's it is the policy's identity
	identity string
	manifest manifest
	module   *engine.Module
	loadedAt time.Time
	// loadedIn is the generation that it came with.
	loadedIn uint64
	// failures are those in a row; failed are all since it was loaded, and lastFailure is why the last one failed.
	failures    atomic.Int64
	failed      atomic.Uint64
	lastFailure atomic.Pointer[string]
	off         atomic.Bool
}

// refusal is a file that could not be loaded.
type refusal struct {
	identity string
	reason   string
	at       time.Time
}

// Status describes one policy of the folder.
type Status struct {
	Name string
	// State is "active", "off" for one that failed too often, or "refused" for a file of which no version is in charge.
	State      string
	Generation uint64
	// Digest is the SHA-256 of the module in charge, in hexadecimal.
	Digest   string
	LoadedAt time.Time
	Priority int
	// Tenants and Databases are the globs of whose statements it sees; none: of all.
	Tenants, Databases []string
	// Failures counts the calls that failed since it was loaded, and LastFailure says why the last one did.
	Failures    uint64
	LastFailure string
	// Error says why the newest version of the file is not in charge, or why the policy is off.
	Error string
}

// New makes a set without policies.
func New(o Options) *Set {
	if o.MaxFailures <= 0 {
		o.MaxFailures = 5
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Set{options: o, logger: o.Logger}
	s.mu.refusals = map[string]refusal{}
	s.current.Store(&generation{number: 1, memo: newMemo(), remembered: newRemembered()})
	return s
}

// Open loads the folder. Unlike a change later on, a file that cannot be loaded is an error: nothing is there yet that
// could stay in charge, and caching what a policy may forbid is not the safe way.
func (s *Set) Open(ctx context.Context) error {
	if s.options.Folder == "" {
		return nil
	}
	var err error
	if s.engine, err = engine.New(engine.Options{CacheDir: s.options.CompilationCache}); err != nil {
		return err
	}
	if err := s.scan(ctx, true); err != nil {
		return err
	}
	var refused []error
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range s.mu.refusals {
		refused = append(refused, fmt.Errorf("policy %s: %s", name, r.reason))
	}
	slices.SortFunc(refused, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(refused...)
}

// Generation returns the number of the generation in charge.
func (s *Set) Generation() uint64 { return s.current.Load().number }

// List returns the policies in the order in which they run, then what was refused.
func (s *Set) List() []Status {
	s.mu.Lock()
	refusals := maps.Clone(s.mu.refusals)
	s.mu.Unlock()
	var all []Status
	g := s.current.Load()
	for _, p := range g.policies {
		one := Status{
			Name: p.name, State: "active", Generation: p.loadedIn, Digest: p.digest, LoadedAt: p.loadedAt, Priority: p.manifest.priority,
			Tenants: p.manifest.match.Tenants, Databases: p.manifest.match.Databases, Failures: p.failed.Load(),
		}
		if reason := p.lastFailure.Load(); reason != nil {
			one.LastFailure = *reason
		}
		if p.off.Load() {
			one.State, one.Error = "off", fmt.Sprintf("failed %d times in a row, the last time with %q; replace its file", s.options.MaxFailures, one.LastFailure)
		}
		if r, ok := refusals[p.name]; ok {
			one.Error = "the file's newest version was refused: " + r.reason
		}
		all = append(all, one)
	}
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		if !slices.ContainsFunc(g.policies, func(p *policy) bool { return p.name == name }) {
			r := refusals[name]
			all = append(all, Status{Name: name, State: "refused", Error: r.reason, LoadedAt: r.at})
		}
	}
	return all
}

// Counter is a counter of a policy's own.
type Counter struct {
	Policy, Name string
	Value        int64
}

// Counters returns what the policies in charge count by metric_add: at most abi.MaxMetrics of each.
func (s *Set) Counters() []Counter {
	var all []Counter
	for _, p := range s.current.Load().policies {
		for name, value := range p.module.Counters().All() {
			all = append(all, Counter{p.name, name, value})
		}
	}
	return all
}

// counters returns those of a policy, which its next version goes on with; nil: there is none of the name.
func (g *generation) counters(policy string) *engine.Counters {
	for _, p := range g.policies {
		if p.name == policy {
			return p.module.Counters()
		}
	}
	return nil
}

// swapLocked puts a new generation in charge and returns it. The caller holds swapping.
func (s *Set) swapLocked(policies []*policy) *generation {
	slices.SortFunc(policies, func(a, b *policy) int {
		return cmp.Or(cmp.Compare(a.manifest.priority, b.manifest.priority), strings.Compare(a.name, b.name))
	})
	g := &generation{number: s.current.Load().number + 1, policies: policies, memo: newMemo(), remembered: newRemembered()}
	for _, p := range policies {
		if p.loadedIn == 0 {
			p.loadedIn = g.number
		}
	}
	s.current.Store(g)
	if s.options.OnSwap != nil {
		s.options.OnSwap(g.number)
	}
	return g
}

// switchOff takes a policy out of use that failed too often. What it decided before is void.
func (s *Set) switchOff(p *policy) {
	if p.off.Swap(true) {
		return
	}
	s.logger.Error("policy is switched off: it failed too often in a row; its statements bypass the cache until its file is replaced", "policy", p.name, "failures", s.options.MaxFailures)
	s.swapping.Lock()
	defer s.swapping.Unlock()
	if g := s.current.Load(); slices.Contains(g.policies, p) {
		s.swapLocked(slices.Clone(g.policies))
		if s.options.OnVoid != nil {
			s.options.OnVoid("", nil)
		}
	}
}

// Close ends every policy, and returns after the last call. Decide must not be called any more, nor Run be running.
func (s *Set) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	ctx := context.Background()
	g := s.current.Load()
	s.current.Store(&generation{number: g.number + 1, memo: newMemo(), remembered: newRemembered()})
	var errs []error
	for _, p := range g.policies {
		errs = append(errs, p.module.Close(ctx))
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close(ctx))
	}
	return errors.Join(errs...)
}
