package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

const (
	// storeBytes bounds what the tenants of one policy keep together, in bytes: a tenant has its quota, but there may be
	// many tenants.
	storeBytes = 64 << 20
	// entryBytes is what a value takes beside its key's and its own bytes.
	entryBytes = 64
)

// Store is the small store of one policy, a space of keys for each of its tenants. It outlives the policy's instances,
// and, where the host gives it to the next version of a module, that version too. It is safe for concurrent use.
type Store struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		tenants map[string]*space
		bytes   int
	}
}

// space is what one tenant keeps.
type space struct {
	values map[string]stored
	bytes  int
	// soonest is no later than the first value expires, zero where none does.
	soonest time.Time
}

type stored struct {
	value   string
	expires time.Time // zero: never
}

func (v stored) gone(now time.Time) bool { return !v.expires.IsZero() && !v.expires.After(now) }

// NewStore returns an empty store whose values expire by a clock; nil: the wall clock.
func NewStore(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	s := &Store{now: now}
	s.mu.tenants = map[string]*space{}
	return s
}

// Get returns the value of a key.
func (s *Store) Get(tenant, key string) (value string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.tenants[tenant]
	if p == nil {
		return "", false
	}
	v, ok := p.values[key]
	if ok && v.gone(s.now()) {
		s.removeLocked(tenant, p, key)
		return "", false
	}
	return v.value, ok
}

// Set gives a key a value for some time; 0: for good. Its result is 0, [abi.ResultRefused] or, where nothing has
// changed because there is no room, [abi.ResultQuota].
func (s *Store) Set(tenant, key, value string, ttl time.Duration) abi.Result {
	if key == "" || len(key) > abi.MaxKVKey || len(value) > abi.MaxKVValue || ttl < 0 {
		return abi.ResultRefused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.tenants[tenant]
	if p == nil {
		p = &space{values: map[string]stored{}}
	}
	now := s.now()
	if !s.roomLocked(p, key, value) {
		s.sweepLocked(tenant, p, now)
		if !s.roomLocked(p, key, value) {
			return abi.ResultQuota
		}
	}
	s.removeLocked(tenant, p, key)
	v := stored{value: value}
	if ttl > 0 {
		v.expires = now.Add(ttl)
		if p.soonest.IsZero() || v.expires.Before(p.soonest) {
			p.soonest = v.expires
		}
	}
	p.values[key] = v
	s.mu.tenants[tenant] = p
	p.bytes += len(key) + len(value)
	s.mu.bytes += len(key) + len(value) + entryBytes
	return 0
}

// roomLocked reports whether a tenant may give a key a value.
func (s *Store) roomLocked(p *space, key, value string) bool {
	keys, more, total := 1, len(key)+len(value), len(key)+len(value)+entryBytes
	if old, ok := p.values[key]; ok {
		before := len(key) + len(old.value)
		keys, more, total = 0, more-before, total-before-entryBytes
	}
	return len(p.values)+keys <= abi.MaxKVKeys && p.bytes+more <= abi.MaxKVBytes && s.mu.bytes+total <= storeBytes
}

// sweepLocked removes what has expired. Where nothing can have, it looks at nothing, however often it is called.
func (s *Store) sweepLocked(tenant string, p *space, now time.Time) {
	if p.soonest.IsZero() || p.soonest.After(now) {
		return
	}
	p.soonest = time.Time{}
	for key, v := range p.values {
		if v.gone(now) {
			s.removeLocked(tenant, p, key)
		} else if !v.expires.IsZero() && (p.soonest.IsZero() || v.expires.Before(p.soonest)) {
			p.soonest = v.expires
		}
	}
}

func (s *Store) removeLocked(tenant string, p *space, key string) {
	v, ok := p.values[key]
	if !ok {
		return
	}
	delete(p.values, key)
	p.bytes -= len(key) + len(v.value)
	s.mu.bytes -= len(key) + len(v.value) + entryBytes
	if len(p.values) == 0 {
		delete(s.mu.tenants, tenant)
	}
}

// Delete removes a key, and reports whether it had a value.
func (s *Store) Delete(tenant, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.tenants[tenant]
	if p == nil {
		return false
	}
	v, ok := p.values[key]
	s.removeLocked(tenant, p, key)
	return ok && !v.gone(s.now())
}

// Keys returns the keys of a tenant that have a value, sorted.
func (s *Store) Keys(tenant string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.tenants[tenant]
	if p == nil {
		return nil
	}
	s.sweepLocked(tenant, p, s.now())
	return slices.Sorted(maps.Keys(p.values))
}

// Counters are the counters of one policy, by name. Like a [Store], they may outlive it. They are safe for concurrent
// use; the zero value is ready.
type Counters struct {
	mu struct {
		sync.Mutex
		values map[string]int64
	}
}

// Add adds to a counter, which is there from then on. Its result is 0, [abi.ResultRefused] or [abi.ResultQuota].
func (c *Counters) Add(name string, delta int64) abi.Result {
	if !isCounterName(name) || delta < 0 {
		return abi.ResultRefused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.mu.values[name]
	switch {
	case !ok && len(c.mu.values) >= abi.MaxMetrics:
		return abi.ResultQuota
	case value+delta < value: // it stays at its end instead of beginning again below 0
		return abi.ResultQuota
	case c.mu.values == nil:
		c.mu.values = map[string]int64{}
	}
	c.mu.values[name] = value + delta
	return 0
}

// All returns a copy of all counters.
func (c *Counters) All() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.mu.values)
}

func isCounterName(name string) bool {
	if name == "" || len(name) > abi.MaxMetricName {
		return false
	}
	for i := range len(name) {
		b := name[i]
		letter := b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		if !letter && (i == 0 || b < '0' || b > '9') {
			return false
		}
	}
	return true
}
