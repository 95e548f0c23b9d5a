package cache

import (
	"bytes"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// Floors say whether an entry's version is still above what its relations were written at. Valid is called on every
// hit under no lock: it must not block or allocate.
type Floors interface {
	Valid(invalidation.Version) bool
}

// Entry is one cached result. It is immutable once it was given to [Cache.Store].
type Entry struct {
	// Key is the whole key; equality is on all of it.
	Key []byte
	// Version is the stamp that the result was read with (R1).
	Version invalidation.Version
	// Floors are what the entry depends on.
	Floors Floors
	// Stored is when the entry was made, Expires the end of its time to live.
	Stored, Expires invalidation.Instant
	// Stale is how long after its end the entry may still be answered while somebody asks for it anew.
	Stale time.Duration
	// Took is how long the upstream took for the result.
	Took time.Duration
	// Eventual is set where the time to live alone says how long the entry may be answered, Local where no edge may keep it.
	Eventual, Local bool
	// RowDescription is the reply to a Describe of the portal, RowDescription or NoData; empty where none was seen.
	RowDescription []byte
	// Body is the stored reply. Its last bytes are a ReadyForQuery outside a block.
	Body []byte
	// Relations and Fingerprint are the descriptor's, Tags the decision's, for those who pass the result on.
	Relations, Tags []string
	Fingerprint     uint64
}

// overhead is what an entry costs beyond its bytes: itself, its list element and map slot, its floors. Measured
// roughly and rounded up, in bytes.
const overhead = 400

func (e *Entry) size() int64 {
	size := overhead + len(e.Key) + len(e.RowDescription) + len(e.Body)
	for _, r := range e.Relations {
		size += len(r)
	}
	for _, t := range e.Tags {
		size += len(t)
	}
	return int64(size)
}

// Options are the bounds of a cache.
type Options struct {
	// MaxEntries and MaxBytes bound what is kept; the least recently used go first. Both must be positive.
	MaxEntries int
	MaxBytes   int64
	// MaxEntryBytes bounds one entry.
	MaxEntryBytes int
}

// Stats are a cache's figures. Counters grow from the start of the process.
type Stats struct {
	Fills, Evictions, Voided uint64
	// Stale counts answers behind the end of their time to live, while they were asked for anew.
	Stale uint64
	// Refused counts fills whose version was not above their floors (R4).
	Refused uint64
	Entries int
	Bytes   int64
}

// Cache is safe for concurrent use.
type Cache struct {
	seed   maphash.Seed
	shards []shard
	mask   uint64
	limit  int
}

type shard struct {
	mu struct {
		sync.Mutex
		lru        *simplelru.LRU[uint64, *Entry]
		bytes      int64
		maxBytes   int64
		maxEntries int
		stats      Stats
		flights    map[uint64]*Flight // at most one per session
	}
	_ [64]byte // shards do not share a cache line
}

// New returns an empty cache.
func New(o Options) *Cache {
	shards := 1
	for shards < 64 && o.MaxEntries/(2*shards) >= 64 && o.MaxBytes/int64(2*shards) >= 4*int64(o.MaxEntryBytes) {
		shards *= 2
	}
	c := &Cache{seed: maphash.MakeSeed(), shards: make([]shard, shards), mask: uint64(shards - 1), limit: o.MaxEntryBytes}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.maxBytes = max(o.MaxBytes/int64(shards), 1)
		// The bound on entries is kept exactly: the remainder goes to the first shards.
		size := o.MaxEntries / shards
		if i < o.MaxEntries%shards {
			size++
		}
		// NewLRU fails only for a size that is not positive.
		s.mu.maxEntries = max(size, 1)
		s.mu.lru, _ = simplelru.NewLRU[uint64, *Entry](s.mu.maxEntries, nil)
	}
	return c
}

// MaxEntryBytes returns the largest size of an entry's bytes that is kept.
func (c *Cache) MaxEntryBytes() int { return c.limit }

// Hash returns the hash of a key in this cache.
func (c *Cache) Hash(key []byte) uint64 { return maphash.Bytes(c.seed, key) }

func (c *Cache) shard(hash uint64) *shard { return &c.shards[(hash>>32)&c.mask] }

// Get returns the valid entry of a key, or nil. What it finds void or expired it removes. It does not count hits:
// whether an entry is one is known when all of the client's messages could be answered. It allocates nothing.
func (c *Cache) Get(hash uint64, key []byte, now invalidation.Instant) *Entry {
	e, _ := c.Find(hash, key, now)
	return e
}

// Find is [Cache.Get] for a caller that would ask for the result again: where there was an entry of the key that is of no
// use any more, it returns how long its result took, else 0.
func (c *Cache) Find(hash uint64, key []byte, now invalidation.Instant) (e *Entry, took time.Duration) {
	s := c.shard(hash)
	s.mu.Lock()
	e, ok := s.mu.lru.Get(hash)
	if !ok || !bytes.Equal(e.Key, key) {
		s.mu.Unlock()
		return nil, 0
	}
	void := !e.Floors.Valid(e.Version)
	if !void && now >= e.Expires && !e.over(now) {
		// One asks for it anew; who comes meanwhile gets what is there.
		f := s.mu.flights[hash]
		refreshed := f != nil && bytes.Equal(f.key, key)
		if refreshed {
			s.mu.stats.Stale++
		}
		s.mu.Unlock()
		if refreshed {
			return e, 0
		}
		return nil, max(e.Took, 1)
	}
	if void || now >= e.Expires {
		s.removeLocked(hash, e)
		if void {
			s.mu.stats.Voided++
		}
		took = max(e.Took, 1)
		e = nil
	}
	s.mu.Unlock()
	return e, took
}

// Store keeps an entry. It reports false where the entry is too large or its version is not above its floors (R4).
func (c *Cache) Store(hash uint64, e *Entry) bool {
	size := e.size()
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(e.Body)+len(e.RowDescription) > c.limit || size > s.mu.maxBytes {
		return false
	}
	if keepsVoid && !e.Floors.Valid(e.Version) {
		e.Version = math.MaxUint64 - 1
	}
	if !e.Floors.Valid(e.Version) {
		s.mu.stats.Refused++
		return false
	}
	if old, ok := s.mu.lru.Peek(hash); ok {
		if bytes.Equal(old.Key, e.Key) && old.Version > e.Version && old.Floors.Valid(old.Version) && len(e.RowDescription) <= len(old.RowDescription) {
			// What is there was read later, and says as much.
			return true
		}
		s.removeLocked(hash, old)
	}
	for s.mu.bytes+size > s.mu.maxBytes {
		if !s.evictLocked() {
			break
		}
	}
	if s.mu.lru.Len() >= s.mu.maxEntries {
		s.evictLocked()
	}
	s.mu.lru.Add(hash, e)
	s.mu.bytes += size
	s.mu.stats.Fills++
	return true
}

func (s *shard) removeLocked(hash uint64, e *Entry) {
	s.mu.lru.Remove(hash)
	s.mu.bytes -= e.size()
}

func (s *shard) evictLocked() bool {
	_, e, ok := s.mu.lru.RemoveOldest()
	if ok {
		s.mu.bytes -= e.size()
		s.mu.stats.Evictions++
	}
	return ok
}

// Stats returns the figures of all shards, each read under its own lock.
func (c *Cache) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Fills += s.mu.stats.Fills
		sum.Evictions += s.mu.stats.Evictions
		sum.Voided += s.mu.stats.Voided
		sum.Stale += s.mu.stats.Stale
		sum.Refused += s.mu.stats.Refused
		sum.Entries += s.mu.lru.Len()
		sum.Bytes += s.mu.bytes
		s.mu.Unlock()
	}
	return sum
}

// Sweep removes what is void or has expired, a shard at a time, and returns how many entries went. It serves memory,
// not correctness.
func (c *Cache) Sweep(now invalidation.Instant) int {
	gone := 0
	for i := range c.shards {
		gone += c.shards[i].sweep(now)
	}
	return gone
}

func (s *shard) sweep(now invalidation.Instant) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := 0
	for _, hash := range s.mu.lru.Keys() {
		e, ok := s.mu.lru.Peek(hash)
		if !ok {
			continue
		}
		void := !e.Floors.Valid(e.Version)
		if void {
			s.mu.stats.Voided++
		}
		if void || e.over(now) {
			s.removeLocked(hash, e)
			gone++
		}
	}
	return gone
}

// over reports whether the entry is of no use to anybody any more.
func (e *Entry) over(now invalidation.Instant) bool { return now >= e.Expires.Add(e.Stale) }

// TTL returns how long the entry may still be kept at now.
func (e *Entry) TTL(now invalidation.Instant) time.Duration { return e.Expires.Until(now) }
