package analyze

import (
	"hash/maphash"
	"math"
	"sync"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

const memoShards = 16

// memoKey is what a descriptor is a function of.
type memoKey struct {
	database   string
	generation uint64
	path       string
	text       string
}

// memo remembers descriptors, bounded by their number and bytes. It is safe for concurrent use.
type memo struct {
	seed       maphash.Seed
	shards     [memoShards]memoShard
	maxEntries int // per shard
	maxBytes   int // per shard
}

type memoShard struct {
	mu struct {
		sync.Mutex
		entries *simplelru.LRU[memoKey, *statement.Descriptor]
		bytes   int
	}
}

func newMemo(maxEntries, maxBytes int) *memo {
	m := &memo{
		seed:       maphash.MakeSeed(),
		maxEntries: max(1, maxEntries/memoShards),
		maxBytes:   max(1, maxBytes/memoShards),
	}
	for i := range m.shards {
		s := &m.shards[i]
		// The shard keeps to its limits itself. The only error is a size below one.
		s.mu.entries, _ = simplelru.NewLRU(math.MaxInt, func(k memoKey, d *statement.Descriptor) {
			s.mu.bytes -= memoSize(k, d)
		})
	}
	return m
}

func (m *memo) shard(k memoKey) *memoShard {
	return &m.shards[maphash.String(m.seed, k.text)%memoShards]
}

func (m *memo) get(k memoKey) *statement.Descriptor {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	d, _ := s.mu.entries.Get(k)
	return d
}

// add remembers a descriptor, unless it alone is too large. The key's strings are kept.
func (m *memo) add(k memoKey, d *statement.Descriptor) {
	size := memoSize(k, d)
	if size > m.maxBytes {
		return
	}
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.entries.Remove(k) // another goroutine may have been as fast
	s.mu.entries.Add(k, d)
	s.mu.bytes += size
	for s.mu.entries.Len() > m.maxEntries || s.mu.bytes > m.maxBytes {
		s.mu.entries.RemoveOldest()
	}
}

// len returns how many descriptors are kept, and their bytes.
func (m *memo) len() (entries, bytes int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		entries += s.mu.entries.Len()
		bytes += s.mu.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

// memoSize estimates the bytes that an entry holds, with the list's and the map's share.
func memoSize(k memoKey, d *statement.Descriptor) int {
	const overhead = 256
	return overhead + len(k.text) + descriptorSize(d)
}

func descriptorSize(d *statement.Descriptor) int {
	const header = int(unsafe.Sizeof(""))
	n := int(unsafe.Sizeof(*d)) + len(d.Reason) + len(d.Normalized) + 8*len(d.RelationRows) +
		len(d.Savepoint) + len(d.Executes) + len(d.Deallocates)
	for _, list := range [][]string{d.Comments, d.Relations, d.Functions, d.Writes.Relations} {
		for _, s := range list {
			n += header + len(s)
		}
	}
	for _, s := range d.Settings {
		n += int(unsafe.Sizeof(s)) + len(s.Name) + len(s.Value)
	}
	if p := d.Prepares; p != nil {
		n += int(unsafe.Sizeof(*p)) + len(p.Name) + len(p.Text)
	}
	for _, part := range d.Parts {
		n += int(unsafe.Sizeof(part)) + descriptorSize(part)
	}
	return n
}
