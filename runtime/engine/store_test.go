package engine

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// TestStoreCountsWhatItKeeps does random things and compares with a map, and the books with what is there.
func TestStoreCountsWhatItKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(1)
		s := NewStore(func() time.Time { return now })
		type place struct{ tenant, key string }
		want := map[place]stored{}
		tenants, keys := rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"k", "long", "m", strings.Repeat("x", abi.MaxKVKey)})
		at := func() place { return place{tenants.Draw(t, "tenant"), keys.Draw(t, "key")} }
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				p, value, ttl := at(), rapid.StringN(0, 40, 40).Draw(t, "value"), time.Duration(rapid.IntRange(0, 3).Draw(t, "ttl"))
				if r := s.Set(p.tenant, p.key, value, ttl); r != 0 {
					t.Fatalf("set: %v", r)
				}
				v := stored{value: value}
				if ttl > 0 {
					v.expires = now.Add(ttl)
				}
				want[p] = v
			},
			"delete": func(*rapid.T) {
				p := at()
				_, had := want[p]
				if got := s.Delete(p.tenant, p.key); got != had {
					t.Fatalf("delete said %v, want %v", got, had)
				}
				delete(want, p)
			},
			"wait": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "time"))) },
			"": func(t *rapid.T) {
				for p, v := range want {
					if v.gone(now) {
						delete(want, p)
					}
				}
				p := at()
				value, ok := s.Get(p.tenant, p.key)
				if v, had := want[p]; ok != had || value != v.value {
					t.Fatalf("get %v: %q, %v; want %q, %v", p, value, ok, v.value, had)
				}
				n := 0
				for p := range want {
					if p.tenant == "a" {
						n++
					}
				}
				if got := s.Keys("a"); len(got) != n {
					t.Fatalf("keys of a: %q, want %d", got, n)
				}
				total := 0
				for name, space := range s.mu.tenants {
					bytes := 0
					for key, v := range space.values {
						bytes += len(key) + len(v.value)
						total += len(key) + len(v.value) + entryBytes
					}
					if bytes != space.bytes || len(space.values) == 0 {
						t.Fatalf("tenant %s keeps %d bytes in %d values, the books say %d", name, bytes, len(space.values), space.bytes)
					}
				}
				if total != s.mu.bytes {
					t.Fatalf("all tenants keep %d bytes, the books say %d", total, s.mu.bytes)
				}
			},
		})
	})
}

// TestOneTenantLeavesRoomForOthers fills the quota of one, and then as many as fit.
func TestOneTenantLeavesRoomForOthers(t *testing.T) {
	s := NewStore(nil)
	value := strings.Repeat("v", abi.MaxKVValue)
	fill := func(tenant string) (kept int) {
		for i := range 100 {
			if s.Set(tenant, fmt.Sprint(i), value, 0) == 0 {
				kept++
			}
		}
		return kept
	}
	if n := fill("greedy"); n != abi.MaxKVBytes/abi.MaxKVValue-1 {
		t.Errorf("the greedy tenant keeps %d values, want its quota", n)
	}
	if r := s.Set("modest", "k", "v", 0); r != 0 {
		t.Errorf("another tenant: %v, want room", r)
	}
	for i := range 20 {
		fill(fmt.Sprint("tenant ", i))
	}
	if s.mu.bytes > storeBytes {
		t.Errorf("all keep %d bytes, at most %d are allowed", s.mu.bytes, storeBytes)
	}
	if r := s.Set("last", "k", value, 0); r != abi.ResultQuota {
		t.Errorf("a tenant when all is full: %v, want %v", r, abi.ResultQuota)
	}
	if !s.Delete("greedy", "0") || s.Set("last", "k", value, 0) != 0 {
		t.Error("what was removed made no room")
	}
}

func TestCountersStayAtTheirEnd(t *testing.T) {
	var c Counters
	if r := c.Add("n", math.MaxInt64); r != 0 {
		t.Fatal(r)
	}
	if r := c.Add("n", 1); r != abi.ResultQuota || c.All()["n"] != math.MaxInt64 {
		t.Errorf("one more: %v, %d; want %v and the same", r, c.All()["n"], abi.ResultQuota)
	}
}

func TestStoreAndCountersUnderLoad(t *testing.T) {
	s, c := NewStore(nil), &Counters{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			tenant := fmt.Sprint(i % 2)
			for n := range 500 {
				s.Set(tenant, fmt.Sprint(n%7), "v", time.Duration(n%3))
				s.Get(tenant, fmt.Sprint(n%5))
				s.Keys(tenant)
				s.Delete(tenant, fmt.Sprint(n%3))
				c.Add("n", 1)
				c.All()
			}
		})
	}
	wg.Wait()
	if got := c.All()["n"]; got != 8*500 {
		t.Errorf("counted %d, want %d", got, 8*500)
	}
}
