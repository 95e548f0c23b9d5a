package cache

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// floor is a Floors of one version.
type floor struct{ v atomic.Uint64 }

func (f *floor) Valid(v invalidation.Version) bool { return uint64(v) > f.v.Load() }

func newCache(entries int, maxBytes int64) *Cache {
	return New(Options{MaxEntries: entries, MaxBytes: maxBytes, MaxEntryBytes: 1 << 10})
}

func entry(key string, version invalidation.Version, f Floors) *Entry {
	return &Entry{Key: []byte(key), Version: version, Floors: f, Expires: invalidation.Now().Add(time.Hour), Body: []byte("body of " + key)}
}

func (c *Cache) get(key string) *Entry {
	return c.Get(c.Hash([]byte(key)), []byte(key), invalidation.Now())
}
func (c *Cache) store(e *Entry) bool { return c.Store(c.Hash(e.Key), e) }

func TestGetReturnsWhatWasStored(t *testing.T) {
	c := newCache(100, 1<<20)
	if c.get("a") != nil {
		t.Error("an empty cache has an entry")
	}
	if !c.store(entry("a", 1, &floor{})) {
		t.Fatal("entry was refused")
	}
	if e := c.get("a"); e == nil || string(e.Body) != "body of a" {
		t.Errorf("got %+v, want the stored entry", e)
	}
}

func TestEqualHashIsNotEqualKey(t *testing.T) {
	c := newCache(100, 1<<20)
	c.Store(7, entry("a", 1, &floor{}))
	if e := c.Get(7, []byte("b"), invalidation.Now()); e != nil {
		t.Errorf("key b got the entry of key %s", e.Key)
	}
}

func TestR3EntryIsVoidAtItsFloor(t *testing.T) {
	c := newCache(100, 1<<20)
	f := &floor{}
	c.store(entry("a", 11, f))
	f.v.Store(12)
	if c.get("a") != nil {
		t.Error("an entry with version 11 was answered with its floor at 12")
	}
	if s := c.Stats(); s.Voided != 1 || s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("stats = %+v, want one voided and nothing left", s)
	}
}

func TestR4FillAtOrBelowItsFloorIsRefused(t *testing.T) {
	c := newCache(100, 1<<20)
	f := &floor{}
	f.v.Store(12)
	if c.store(entry("a", 11, f)) {
		t.Error("a fill stamped 11 was kept with its floor at 12")
	}
	if !c.store(entry("a", 13, f)) {
		t.Error("a fill stamped 13 was refused with its floor at 12")
	}
	if s := c.Stats(); s.Refused != 1 || s.Fills != 1 {
		t.Errorf("stats = %+v, want one refused and one fill", s)
	}
}

func TestEntryEndsWithItsTimeToLive(t *testing.T) {
	c := newCache(100, 1<<20)
	e := entry("a", 1, &floor{})
	c.store(e)
	hash := c.Hash(e.Key)
	if c.Get(hash, e.Key, e.Expires-1) == nil {
		t.Error("entry ended before its time to live")
	}
	if c.Get(hash, e.Key, e.Expires) != nil {
		t.Error("entry outlived its time to live")
	}
}

func TestOlderFillDoesNotReplaceNewer(t *testing.T) {
	c := newCache(100, 1<<20)
	f := &floor{}
	newer := entry("a", 13, f)
	c.store(newer)
	c.store(entry("a", 11, f))
	if got := c.get("a"); got != newer {
		t.Errorf("version %d replaced version 13", got.Version)
	}
}

func TestFillWithRowDescriptionCompletesOneWithout(t *testing.T) {
	c := newCache(100, 1<<20)
	c.store(entry("a", 11, &floor{}))
	e := entry("a", 11, &floor{})
	e.RowDescription = []byte("T")
	c.store(e)
	if got := c.get("a"); string(got.RowDescription) != "T" {
		t.Error("the fill that says more was dropped")
	}
}

func TestBoundsHold(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries int
		bytes   int64
	}{
		{"few entries", 3, 1 << 20},
		{"many entries in shards", 1000, 1 << 30},
		{"few bytes", 1000, 5000},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCache(test.entries, test.bytes)
			for i := range 5000 {
				c.store(entry(fmt.Sprint("key ", i), 1, &floor{}))
				if s := c.Stats(); i%97 == 0 && (s.Entries > test.entries || s.Bytes > test.bytes) {
					t.Fatalf("after %d fills: %d entries, %d bytes; bounds are %d, %d", i+1, s.Entries, s.Bytes, test.entries, test.bytes)
				}
			}
			s := c.Stats()
			if s.Entries == 0 || s.Evictions != 5000-uint64(s.Entries) {
				t.Errorf("stats = %+v, want all but the kept entries evicted", s)
			}
		})
	}
}

func TestTooLargeEntryIsRefused(t *testing.T) {
	c := newCache(100, 1<<20)
	e := entry("a", 1, &floor{})
	e.Body = bytes.Repeat([]byte{0}, 1<<10+1)
	if c.store(e) {
		t.Error("an entry over MaxEntryBytes was kept")
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := newCache(2, 1<<20)
	c.store(entry("a", 1, &floor{}))
	c.store(entry("b", 1, &floor{}))
	c.get("a")
	c.store(entry("c", 1, &floor{}))
	if c.get("a") == nil || c.get("b") != nil || c.get("c") == nil {
		t.Errorf("a kept = %v, b kept = %v, c kept = %v; want only b gone", c.get("a") != nil, c.get("b") != nil, c.get("c") != nil)
	}
}

func TestSweepRemovesVoidAndExpired(t *testing.T) {
	c := newCache(100, 1<<20)
	f := &floor{}
	c.store(entry("void", 1, f))
	expired := entry("expired", 5, f)
	expired.Expires = invalidation.Now().Add(time.Minute)
	c.store(expired)
	c.store(entry("valid", 5, f))
	f.v.Store(4)
	if gone := c.Sweep(expired.Expires); gone != 2 || c.Stats().Entries != 1 || c.get("valid") == nil {
		t.Errorf("Sweep = %d with %d entries left, want 2 gone and the valid one left", gone, c.Stats().Entries)
	}
}

func TestHammer(t *testing.T) {
	c := newCache(64, 1<<20)
	f := &floor{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint("key ", i%100)
				version := invalidation.Version(f.v.Load())
				c.store(entry(key, version|1, f))
				if e := c.get(key); e != nil && string(e.Key) != key {
					t.Errorf("key %s got the entry of %s", key, e.Key)
				}
				if w == 0 && i%50 == 0 {
					f.v.Add(2)
					c.Sweep(invalidation.Now())
				}
			}
		})
	}
	wg.Wait()
}

func TestHitAllocatesNothing(t *testing.T) {
	c := newCache(100, 1<<20)
	c.store(entry("a", 1, &floor{}))
	key := []byte("a")
	if n := testing.AllocsPerRun(100, func() { c.Get(c.Hash(key), key, invalidation.Now()) }); n != 0 {
		t.Errorf("a hit allocates %v times, want 0", n)
	}
}

func BenchmarkGet(b *testing.B) {
	c := New(Options{MaxEntries: 10000, MaxBytes: 256 << 20, MaxEntryBytes: 1 << 20})
	key := bytes.Repeat([]byte("k"), 100)
	c.Store(c.Hash(key), entry(string(key), 1, &floor{}))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c.Get(c.Hash(key), key, invalidation.Now()) == nil {
				b.Fatal("miss")
			}
		}
	})
}
