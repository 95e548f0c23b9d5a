package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

// The reasons for which a registration is refused or ends.
var (
	// ErrFull refuses an edge because as many as are allowed are registered.
	ErrFull = errors.New("the home has as many edges as max_edges allows")
	// ErrReplaced ends a stream because its edge id registered again.
	ErrReplaced = errors.New("another registration took over this edge id")
	// ErrRemoved ends a stream because an administrator removed the edge. It may register again.
	ErrRemoved = errors.New("an administrator removed this edge")
	// ErrClosed ends every stream, and refuses new ones: the home shuts down, or the stream itself was closed.
	ErrClosed = errors.New("the registration is closed")
	// ErrUnknown means that no edge of that id is registered.
	ErrUnknown = errors.New("no such edge is registered")
)

// Options is what a [Registry] is made from. All but Logger are required.
type Options struct {
	Log *invalidation.Log
	// MaxEdges bounds how many edges may be registered at once.
	MaxEdges int
	// MaxStaleness is how long a lease lasts from the moment that the edge asked for it.
	MaxStaleness time.Duration
	// Asked is called after each request for a lease, outside every lock; it must not block. Where it is set, a lease is
	// granted once [Registry.Certify] covers the moment that it was asked for. Nil: the log is all there is to know, and a
	// lease is granted at once.
	Asked func()
	// Succeeds is set where leases of a home before this one may still be in force: holds wait until they have ended.
	Succeeds bool
	// Logger gets registrations and their ends. Nil: nothing is logged.
	Logger *slog.Logger
}

// Registry is the set of registered edges. It is safe for concurrent use and starts no goroutine.
type Registry struct {
	log          *invalidation.Log
	maxEdges     int
	maxStaleness time.Duration
	asked        func()
	logger       *slog.Logger
	// certified is the moment up to which the log is certain, an [invalidation.Instant].
	certified atomic.Int64
	// first is where the log stood when the registry was made: positions below it may be another epoch's.
	first invalidation.Version

	mu struct {
		sync.Mutex
		members map[string]*Member
		closed  bool
		// departed are the leases of processes that left while they may still hold one, by instance, and crowd is when the
		// last of those has ended for which there was no room.
		departed map[string]time.Time
		crowd    time.Time
		// moved is closed when a registration begins or ends, or a lease is given up; nil: nobody waits.
		moved chan struct{}
	}
}

// New returns a registry without edges.
func New(opts Options) *Registry {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registry{
		log: opts.Log, maxEdges: opts.MaxEdges, maxStaleness: opts.MaxStaleness, asked: opts.Asked, logger: opts.Logger,
		first: opts.Log.Last(),
	}
	r.certified.Store(math.MinInt64)
	if r.asked == nil {
		r.certified.Store(math.MaxInt64)
	}
	r.mu.members = map[string]*Member{}
	r.mu.departed = map[string]time.Time{}
	if opts.Succeeds {
		r.mu.crowd = r.until(time.Now())
	}
	return r
}

// Hello is what an edge says of itself when it registers.
type Hello struct {
	// ID names the edge; there is one registration per id.
	ID string
	// Instance is random per process of the edge: what it was granted goes over to its next registration. It may be empty.
	Instance string
	// Region is where the edge says it is. It may be empty.
	Region string
	// Remote is the address that the registration came from.
	Remote string
	// Resume is set where the edge wants to go on from After.
	Resume bool
	// Epoch is the epoch of After. Empty, with Resume: the position is taken for the present epoch's where that is
	// possible, and the edge has to compare the epoch in [Registered] with the one that it remembers.
	Epoch string
	// After is the position that the edge has applied.
	After invalidation.Version
}

// Join registers an edge, and replaces the registration that has the same id. The error is [ErrFull] or
// [ErrClosed]. The caller closes the member when its stream ends.
func (r *Registry) Join(hello Hello) (*Member, error) {
	// Subscribe first, read the position then: so nothing falls between (R5).
	wake, stop := r.log.Subscribe()
	m := newMember(r, hello, wake, stop)
	old, err := r.admit(m)
	if err != nil {
		stop()
		return nil, err
	}
	if old != nil {
		old.end(ErrReplaced)
	}
	r.logger.Info("edge registered", telemetry.KeyEdge, hello.ID, telemetry.KeyRegion, hello.Region, "remote", hello.Remote,
		"resumed", m.resumed, "replaced", old != nil)
	return m, nil
}

func (r *Registry) admit(m *Member) (old *Member, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return nil, ErrClosed
	}
	old = r.mu.members[m.hello.ID]
	if old == nil && len(r.mu.members) >= r.maxEdges {
		return nil, fmt.Errorf("%w (%d)", ErrFull, r.maxEdges)
	}
	r.mu.members[m.hello.ID] = m
	r.movedLocked()
	if old != nil {
		r.departLocked(old)
	}
	if until, ok := r.mu.departed[m.hello.Instance]; ok && m.hello.Instance != "" {
		// The same process: it will say what it has applied.
		delete(r.mu.departed, m.hello.Instance)
		m.mu.Lock()
		m.promiseLocked(until)
		m.mu.Unlock()
	}
	return old, nil
}

// knows reports whether an edge that says hello can go on from the position that it names.
func (r *Registry) knows(hello Hello) bool {
	if hello.Epoch == "" {
		return hello.After >= r.first && hello.After <= r.log.Last()
	}
	return r.log.Knows(hello.Epoch, hello.After)
}

// Certify says that everything that was committed before the given moment is in the log: leases that were asked for until
// then are granted. A moment before one that is certified changes nothing.
func (r *Registry) Certify(at invalidation.Instant) {
	for {
		now := r.certified.Load()
		if now >= int64(at) {
			return
		}
		if r.certified.CompareAndSwap(now, int64(at)) {
			break
		}
	}
	r.mu.Lock()
	members := slices.Collect(maps.Values(r.mu.members))
	r.mu.Unlock()
	for _, m := range members {
		m.poke()
	}
}

// Renew asks for a lease on behalf of an edge, which gets it in its stream, and notes the version that the edge
// says it has applied. A grant stands for all requests before its own. An empty nonce asks for none. The error is
// [ErrUnknown].
func (r *Registry) Renew(id, nonce string, applied invalidation.Version) error {
	r.mu.Lock()
	m := r.mu.members[id]
	r.mu.Unlock()
	if m == nil {
		return fmt.Errorf("renew the lease of %q: %w", id, ErrUnknown)
	}
	m.renew(nonce, applied)
	if r.asked != nil && nonce != "" {
		r.asked()
	}
	return nil
}

// Info describes one registered edge.
type Info struct {
	ID, Region, Remote string
	// Version is the last position that the edge said it had applied.
	Version invalidation.Version
	// Sent is the position that its stream has been given.
	Sent invalidation.Version
	// Connected is when it registered.
	Connected time.Time
	// Events is how many invalidations its stream has been given.
	Events uint64
	// LeaseUntil is the moment, by the home's clock, after which the edge surely holds no lease. Zero: none was
	// granted to this registration.
	LeaseUntil time.Time
}

// List returns the registered edges, ordered by id.
func (r *Registry) List() []Info {
	r.mu.Lock()
	members := make([]*Member, 0, len(r.mu.members))
	for _, m := range r.mu.members {
		members = append(members, m)
	}
	r.mu.Unlock()
	infos := make([]Info, len(members))
	for i, m := range members {
		infos[i] = m.info()
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.ID, b.ID) })
	return infos
}

// Len returns how many edges are registered.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.members)
}

// Remove ends the registration of an edge, which is told so. It reports whether there was one.
func (r *Registry) Remove(id string) bool {
	r.mu.Lock()
	m := r.mu.members[id]
	delete(r.mu.members, id)
	if m != nil {
		r.departLocked(m)
	}
	r.mu.Unlock()
	if m == nil {
		return false
	}
	m.end(ErrRemoved)
	r.logger.Info("edge removed", telemetry.KeyEdge, id)
	return true
}

// Close ends every registration and refuses new ones. It may be called more than once.
func (r *Registry) Close() {
	r.mu.Lock()
	members := r.mu.members
	r.mu.members = map[string]*Member{}
	r.mu.closed = true
	r.mu.Unlock()
	for _, m := range members {
		m.end(ErrClosed)
	}
}

// leave takes m out, unless another registration has its place.
func (r *Registry) leave(m *Member) {
	r.mu.Lock()
	present := r.mu.members[m.hello.ID] == m
	if present {
		delete(r.mu.members, m.hello.ID)
		r.departLocked(m)
	}
	r.mu.Unlock()
	if present {
		r.logger.Info("edge left", telemetry.KeyEdge, m.hello.ID, telemetry.KeyRegion, m.hello.Region, "remote", m.hello.Remote)
	}
}
