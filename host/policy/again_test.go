package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// hears returns an option that says what is voided, and where.
func hears() (voided chan string, option func(*Options)) {
	voided = make(chan string, 64)
	return voided, func(o *Options) {
		o.OnVoid = func(database string, fingerprints []uint64) { voided <- fmt.Sprint(database, fingerprints) }
	}
}

func (r *rig) wantVoided(voided chan string, want ...string) {
	r.t.Helper()
	var got []string
	for len(voided) > 0 {
		got = append(got, <-voided)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("voided %q, want %q", got, want)
	}
}

// judged waits until a generation is in charge and has judged what is cached.
func (r *rig) judged(generation uint64) {
	r.t.Helper()
	r.awaitScan(func() bool { return r.set.Generation() == generation })
	for len(r.scanned) > 0 {
		<-r.scanned
	}
	r.write("nothing.txt", nil) // the look that put it in charge may be over, or not
	r.await(r.scanned)
}

func TestNewGenerationJudgesWhatIsCached(t *testing.T) {
	statementOf := func(n uint64) func(*Query) {
		return func(q *Query) {
			q.Statement = &statement.Descriptor{Verdict: statement.Read, Fingerprint: n, Normalized: fmt.Sprint("select ", n)}
		}
	}
	ttl2s := []int64{ttl, 2000}
	for _, test := range []struct {
		name     string
		old, new []byte
		voided   bool
	}{
		{"a bypass", states(ttl2s...), states(cache, 0), true},
		{"a shorter TTL", states(ttl2s...), states(ttl, 1999), true},
		{"the same TTL", states(ttl2s...), w.Decide(w.Code([]byte{0x01}, w.Const(int32(ttl)), w.Const64(2000), w.Call(w.SetInt))...).Bytes(), false},
		{"a longer TTL", states(ttl2s...), states(ttl, 2001), false},
		{"what was not cached", states(cache, 0), states(cache, 0, ttl, 1), false},
		{"a shorter STALE", states(ttl, 2000, stale, 2), states(ttl, 2000, stale, 1), true},
		{"a longer STALE", states(ttl, 2000, stale, 2), states(ttl, 2000, stale, 3), false},
		{"another level", states(level, 3), states(level, 1), true},
		{"no edges", states(ttl2s...), states(ttl, 2000, edges, 0), true},
		{"edges again", states(ttl, 2000, edges, 0), states(ttl2s...), false},
		{"a smaller result", states(size, 100), states(size, 99), true},
		{"a larger result", states(size, 99), states(size, 100), false},
		{"a tag", states(ttl, 60000), tagged("a", 0, 1), true},
		{"on_result", judges(w.Const(0)), states(ttl, 60000), true},
		{"a trap", states(ttl2s...), w.Decide(w.Unreachable...).Bytes(), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			voided, option := hears()
			r := open(t, option, map[string][]byte{"p.wasm": test.old})
			r.wantVoided(voided, "[]") // what was let in without policies
			r.set.Decide(t.Context(), query(statementOf(7)))
			r.set.Decide(t.Context(), query(statementOf(8)))
			r.write("p.wasm", test.new)
			r.judged(3)
			if test.voided {
				r.wantVoided(voided, "shop[7 8]")
			} else {
				r.wantVoided(voided)
			}
		})
	}
}

// TestWhatIsLeftIsJudgedByTheNext lets results stay in one generation, and shortens them in the one after.
func TestWhatIsLeftIsJudgedByTheNext(t *testing.T) {
	voided, option := hears()
	r := open(t, option, map[string][]byte{"p.wasm": says(2000)})
	r.set.Decide(t.Context(), query())
	fingerprint := query().Statement.Fingerprint
	for i, ms := range []int64{3000, 4000, 3999} {
		r.wantVoided(voided, []string{"[]"}[min(i, 1):]...)
		r.write("p.wasm", says(ms))
		r.judged(uint64(i + 3))
	}
	r.wantVoided(voided, fmt.Sprintf("shop[%d]", fingerprint))
	r.write("q.wasm", w.Decide(w.Unreachable...).Bytes())
	r.judged(6)
	r.wantVoided(voided, fmt.Sprintf("shop[%d]", fingerprint))
}

func TestMoreThanCanBeJudgedIsVoidedTogether(t *testing.T) {
	voided, option := hears()
	r := open(t, option, map[string][]byte{"p.wasm": says(2000)})
	r.wantVoided(voided, "[]")
	for i := range maxRemembered + 1 {
		r.set.Decide(t.Context(), query(func(q *Query) {
			q.Statement = &statement.Descriptor{Verdict: statement.Read, Fingerprint: uint64(i), Normalized: fmt.Sprint(i)}
		}))
	}
	r.write("p.wasm", says(3000))
	r.judged(3)
	r.wantVoided(voided, "[]")
}

// TestSwitchedOffPolicyVoidsEverything lets one fail as often as it may.
func TestSwitchedOffPolicyVoidsEverything(t *testing.T) {
	voided, option := hears()
	r := open(t, func(o *Options) { option(o); o.MaxFailures = 1 }, map[string][]byte{"p.wasm": judges(w.Unreachable)})
	d := r.set.Decide(t.Context(), query())
	r.wantVoided(voided, "[]")
	r.set.OnResult(t.Context(), query(), d, Result{})
	r.wantVoided(voided, "[]")
}

// TestWhatVariesIsNotTrusted decides the same twice, by how often a relation was written.
func TestWhatVariesIsNotTrusted(t *testing.T) {
	voided, option := hears()
	rate := int64(5000)
	r := open(t, func(o *Options) { option(o); o.WriteRate = func(string, string) int64 { return rate } }, map[string][]byte{"p.wasm": w.Decide(field(ttl, abi.FieldRelationWrites)...).Bytes()})
	r.wantVoided(voided, "[]")
	q := query(func(q *Query) {
		q.Statement = &statement.Descriptor{Verdict: statement.Read, Fingerprint: 9, Normalized: "select", Relations: []string{"public.a"}}
	})
	g := r.set.current.Load()
	for _, rate = range []int64{5000, 1000} {
		if d := r.set.Decide(t.Context(), q); d.TTL != time.Duration(rate)*time.Millisecond {
			t.Fatalf("decision = %+v", d)
		}
		g.memo = newMemo() // it forgets what is old
	}
	r.write("p.wasm", says(2000))
	r.judged(3)
	r.wantVoided(voided, "shop[9]")
}
