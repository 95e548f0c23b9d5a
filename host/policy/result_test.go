package policy

import (
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// judges returns a module that asks to see each result, and says code of it.
func judges(code ...[]byte) []byte {
	m := w.Decide(w.Code(w.Const(int32(abi.DecisionAskOnResult)), w.Const64(1), w.Call(w.SetInt))...)
	m.Funcs = append(m.Funcs, w.Func{Export: abi.HookOnResult, Results: []byte{w.I32}, Code: w.Code(code...)})
	return m.Bytes()
}

// field states a decision that is the value of a field.
func field(decision int64, of abi.Field) []byte {
	return w.Code(w.Const(int32(decision)), w.Const(int32(of)), w.Const(0), w.Call(w.GetInt), w.Call(w.SetInt))
}

func TestOnResultHasTheLastWordOnEachResult(t *testing.T) {
	const kept = time.Minute
	for _, test := range []struct {
		name string
		code []byte
		ttl  time.Duration // 0: it is not kept
	}{
		{"says nothing", w.Const(0), kept},
		{"as many milliseconds as rows", field(ttl, abi.FieldRows), 7 * time.Millisecond},
		{"as bytes", field(ttl, abi.FieldBytes), 900 * time.Millisecond},
		{"as microseconds", field(ttl, abi.FieldLatencyUS), 3 * time.Second},
		{"keeps it not", w.Code(w.Const(int32(cache)), w.Const64(0), w.Call(w.SetInt)), 0},
		{"traps", w.Unreachable, 0},
		{"never ends", w.Code(w.Forever, w.Const(0)), 0},
		{"decides on the statement", w.Code(w.Const(int32(level)), w.Const64(3), w.Call(w.SetInt)), 0},
		{"states a tag", w.Code(w.Const(int32(abi.DecisionTag)), w.Const(0), w.Const(1), w.Call(w.SetBytes)), 0},
		{"a TTL of nothing", w.Code(w.Const(int32(ttl)), w.Const64(0), w.Call(w.SetInt)), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := open(t, nil, map[string][]byte{"p.wasm": judges(test.code)})
			d := r.set.Decide(t.Context(), query())
			if !d.Cache || !d.Ask {
				t.Fatalf("decision = %+v, want one that asks", d)
			}
			got := r.set.OnResult(t.Context(), query(), d, Result{Rows: 7, Bytes: 900, Latency: 3 * time.Millisecond})
			if got.Cache != (test.ttl > 0) || got.Cache && got.TTL != test.ttl {
				t.Errorf("got %+v, want a TTL of %v", got, test.ttl)
			}
			if again := r.set.Decide(t.Context(), query()); again != d {
				t.Errorf("the decision is %+v now, want %+v", again, d)
			}
		})
	}
}

func TestOnResultOfAnotherGenerationIsNotKept(t *testing.T) {
	r := open(t, nil, map[string][]byte{"p.wasm": judges(w.Const(0))})
	d := r.set.Decide(t.Context(), query())
	r.write("q.wasm", says(1000))
	r.awaitSwap()
	if got := r.set.OnResult(t.Context(), query(), d, Result{}); got.Cache {
		t.Errorf("got %+v, want that it is not kept", got)
	}
	if d = r.set.Decide(t.Context(), query()); !d.Cache || !d.Ask {
		t.Fatalf("decision = %+v, want one that asks", d)
	}
	if got := r.set.OnResult(t.Context(), query(), d, Result{}); !got.Cache || got.TTL != time.Second {
		t.Errorf("got %+v, want it kept for a second", got)
	}
}

func TestDecideKnowsTheRegionAndNoResult(t *testing.T) {
	region := w.Decide(w.Code(
		w.Const(int32(ttl)), w.Const(int32(abi.FieldRegion)), w.Const(0), w.Const(64), w.Const(16), w.Call(w.GetBytes), []byte{0xac}, w.Call(w.SetInt))...)
	r := open(t, func(o *Options) { o.Region = "berlin" }, map[string][]byte{"p.wasm": region.Bytes()})
	if got := r.set.Decide(t.Context(), query()); got.TTL != 6*time.Millisecond {
		t.Errorf("got %+v, want a millisecond for each letter of the region", got)
	}
	none := open(t, nil, map[string][]byte{"p.wasm": w.Decide(field(ttl, abi.FieldRows)...).Bytes()})
	if got := none.set.Decide(t.Context(), query()); got.Cache {
		t.Errorf("got %+v for a TTL that is not known", got)
	}
}

func TestWhatAPolicyCountsGoesOnWithItsNextVersion(t *testing.T) {
	counts := func(more ...byte) []byte {
		m := w.Decide(w.Code(more, w.Const(0), w.Const(4), w.Const64(3), w.Call(w.MetricAdd))...)
		m.Data = "seen"
		return m.Bytes()
	}
	r := open(t, nil, map[string][]byte{"p.wasm": counts(), "q.wasm": says(1000)})
	r.set.Decide(t.Context(), query())
	r.write("p.wasm", counts(0x01)) // nop
	r.awaitSwap()
	r.set.Decide(t.Context(), query())
	got := r.set.Counters()
	if len(got) != 1 || got[0].Policy != "p" || got[0].Name != "seen" || got[0].Value < 6 {
		t.Errorf("counters = %+v, want at least 3 for each of two decisions", got)
	}
}
