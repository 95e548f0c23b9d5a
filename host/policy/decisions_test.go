package policy

import (
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// states returns a module that states integer decisions, pairs of a decision and its value.
func states(pairs ...int64) []byte {
	var code []byte
	for i := 0; i < len(pairs); i += 2 {
		code = append(code, w.Code(w.Const(int32(pairs[i])), w.Const64(pairs[i+1]), w.Call(w.SetInt))...)
		if i+2 < len(pairs) {
			code = append(code, 0x1a) // drop
		}
	}
	return w.Decide(code...).Bytes()
}

// tagged returns a module that states tags, each an address and a length in the data, and returns the last result.
func tagged(data string, tags ...int32) []byte {
	var code []byte
	for i := 0; i < len(tags); i += 2 {
		if i > 0 {
			code = append(code, w.Drop...)
		}
		code = append(code, w.Code(w.Const(int32(abi.DecisionTag)), w.Const(tags[i]), w.Const(tags[i+1]), w.Call(w.SetBytes))...)
	}
	m := w.Decide(code...)
	m.Data = data
	return m.Bytes()
}

// letters returns the places of the first n letters.
func letters(n int32) (places []int32) {
	for i := range n {
		places = append(places, i, 1)
	}
	return places
}

const (
	cache  = int64(abi.DecisionCache)
	ttl    = int64(abi.DecisionTTLMS)
	stale  = int64(abi.DecisionStaleMS)
	level  = int64(abi.DecisionLevel)
	size   = int64(abi.DecisionMaxResultBytes)
	edges  = int64(abi.DecisionEdges)
	share  = int64(abi.DecisionShare)
	eighth = 128
)

func TestEachPartOfADecisionBothWays(t *testing.T) {
	for _, test := range []struct {
		name    string
		module  []byte
		change  func(*Query)
		want    Decision
		refused bool
	}{
		{"stale", states(ttl, 1000, stale, 500), nil, Decision{Cache: true, TTL: time.Second, Stale: 500 * time.Millisecond}, false},
		{"not stale", states(ttl, 1000, stale, 0), nil, Decision{Cache: true, TTL: time.Second}, false},
		{"stale for too long", states(ttl, 1000, stale, abi.MaxStaleMS+1), nil, Decision{}, true},
		{"eventual", states(level, 3), nil, Decision{Cache: true, TTL: time.Minute, Level: statement.Eventual}, false},
		{"bounded", states(level, 1), nil, Decision{Cache: true, TTL: time.Minute}, false},
		{"strong where the database is not", states(level, 2), nil, Decision{TTL: time.Minute, Level: statement.Strong}, false},
		{
			"strong where it is", states(level, 2), func(q *Query) { q.Level = statement.Strong },
			Decision{Cache: true, TTL: time.Minute, Level: statement.Strong},
			false,
		},
		{"a level that is none", states(level, 4), nil, Decision{}, true},
		{
			"unstable at its level", states(cache, 1, level, 3), func(q *Query) { q.Statement = unstable },
			Decision{Cache: true, TTL: time.Minute, Level: statement.Eventual},
			false,
		},
		{"unstable at another", states(cache, 1), func(q *Query) { q.Statement = unstable }, Decision{TTL: time.Minute}, false},
		{"a smaller result", states(size, eighth), nil, Decision{Cache: true, TTL: time.Minute, MaxResultBytes: eighth}, false},
		{"a larger result", states(size, 4096), nil, Decision{}, true},
		{"the home alone", states(edges, 0), nil, Decision{Cache: true, TTL: time.Minute, Local: true}, false},
		{"one user", states(share, 1), nil, Decision{Cache: true, TTL: time.Minute}, false},
		{"the whole tenant", states(share, 2), nil, Decision{}, true},
		{"tags, one of them twice", tagged("products|user 7", 0, 8, 9, 6, 0, 8), nil, Decision{Cache: true, TTL: time.Minute, Tags: "\nproducts\nuser 7"}, false},
		{"an empty tag", tagged("x", 0, 0), nil, Decision{}, true},
		{"a tag of two lines", tagged("a\nb", 0, 3), nil, Decision{}, true},
		{"as many tags as there may be", tagged("abcdefghijklmnop", letters(abi.MaxTags)...), nil, Decision{Cache: true, TTL: time.Minute, Tags: "\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np"}, false},
		{"one more", tagged("abcdefghijklmnopq", letters(abi.MaxTags+1)...), nil, Decision{}, true},
		{"every edge", states(edges, 0, edges, 1), nil, Decision{Cache: true, TTL: time.Minute}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := open(t, func(o *Options) { o.MaxEntryBytes = 1024 }, map[string][]byte{"p.wasm": test.module})
			var changes []func(*Query)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			got := r.set.Decide(t.Context(), query(changes...))
			if test.refused {
				// A guest that answers what the host refused has failed: the statement bypasses the cache.
				if got.Cache {
					t.Errorf("got %+v, want no caching", got)
				}
				return
			}
			got.Reason, got.Policy, got.Generation = "", "", 0
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

var unstable = &statement.Descriptor{Verdict: statement.Unstable, Fingerprint: 8, Normalized: "select now()", Command: "SELECT", Reason: "calls the stable function now"}
