package cache

import (
	"bytes"
	"sync"
	"time"
)

// Flight is a result on its way into the cache: whoever misses the same key meanwhile may wait for it instead of asking
// for it once more. It promises nothing: the result may turn out to be one that is not kept.
type Flight struct {
	// Expected is how long the result may take to come.
	Expected time.Duration

	shard  *shard
	hash   uint64
	key    []byte
	landed chan struct{}
	once   sync.Once
}

// Landed is closed once the result was kept, or is known not to be.
func (f *Flight) Landed() <-chan struct{} { return f.landed }

// Land ends the flight and wakes who waits for it. It may be called more than once, and on nil.
func (f *Flight) Land() {
	if f == nil {
		return
	}
	f.once.Do(func() {
		f.shard.mu.Lock()
		if f.shard.mu.flights[f.hash] == f {
			delete(f.shard.mu.flights, f.hash)
		}
		f.shard.mu.Unlock()
		close(f.landed)
	})
}

// Underway returns the flight of a key, or nil.
func (c *Cache) Underway(hash uint64, key []byte) *Flight {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.mu.flights[hash]; f != nil && bytes.Equal(f.key, key) {
		return f
	}
	return nil
}

// Depart returns the flight of a key, and whether it begins with this call: then the caller lands it. It returns nil where
// another key of the same hash is under way. The key is copied.
func (c *Cache) Depart(hash uint64, key []byte, expected time.Duration) (f *Flight, begins bool) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.mu.flights[hash]; f != nil {
		if !bytes.Equal(f.key, key) {
			return nil, false
		}
		return f, false
	}
	f = &Flight{Expected: expected, shard: s, hash: hash, key: bytes.Clone(key), landed: make(chan struct{})}
	if s.mu.flights == nil {
		s.mu.flights = map[uint64]*Flight{}
	}
	s.mu.flights[hash] = f
	return f, true
}
