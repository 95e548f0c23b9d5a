package policy

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/statement"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// gate is a log that stops at the line of a guest until it is told to go on: what loads that guest stands still.
type gate struct {
	slog.Handler
	entered, release chan struct{}
}

func (g *gate) Enabled(context.Context, slog.Level) bool { return true }

func (g *gate) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "policy says" {
		g.entered <- struct{}{}
		<-g.release
	}
	return nil
}

// slow returns a module that logs a line when it starts.
func slow(ttl int64) []byte {
	m := w.Decide(w.Code(w.Const(2), w.Const64(ttl), w.Call(w.SetInt))...)
	m.Data = "x"
	m.Funcs = append(m.Funcs, w.Func{Export: "configure", Results: []byte{w.I32}, Code: w.Code(w.Const(0), w.Const(0), w.Const(1), w.Call(w.Log), w.Const(0))})
	return m.Bytes()
}

// TestLoadingDelaysNobody lists, decides and switches a policy off while another one is loaded, which may take seconds.
func TestLoadingDelaysNobody(t *testing.T) {
	g := &gate{entered: make(chan struct{}), release: make(chan struct{})}
	r := open(t, func(o *Options) { o.Logger, o.MaxFailures = slog.New(g), 1 }, map[string][]byte{"a.wasm": w.Decide(w.Unreachable...).Bytes()})
	r.write("b.wasm", slow(5000))
	r.await(g.entered)
	done := make(chan struct{})
	var listed []Status
	go func() {
		defer close(done)
		r.set.Decide(context.Background(), query()) // the failure that switches a off
		listed = r.set.List()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("who decides or lists waits for a module to be loaded")
	}
	close(g.release)
	r.await(done)
	if len(listed) != 1 || listed[0].State != "off" || listed[0].Failures != 1 || !strings.Contains(listed[0].LastFailure, "unreachable") {
		t.Errorf("list = %+v, want a off after one failure", listed)
	}
	r.awaitSwap() // a is off
	r.awaitSwap() // b is there
	if all := r.set.List(); len(all) != 2 || all[0].State != "off" || all[1].State != "active" {
		t.Errorf("list = %+v, want that a is still off beside b", all)
	}
}

// roll is a log that counts the policies that are about to be switched off.
type roll struct {
	slog.Handler
	called sync.WaitGroup
}

func (r *roll) Enabled(context.Context, slog.Level) bool { return true }

func (r *roll) Handle(_ context.Context, record slog.Record) error {
	if strings.HasPrefix(record.Message, "policy is switched off") {
		r.called.Done()
	}
	return nil
}

// TestSwapsAreToldInTheirOrder switches many policies off at once: the first of them is told when all are on their way.
func TestSwapsAreToldInTheirOrder(t *testing.T) {
	const policies = 8
	var last atomic.Uint64
	var inside atomic.Int64
	var all roll
	all.called.Add(policies)
	files := map[string][]byte{}
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		files[name+".wasm"] = w.Decide(w.Unreachable...).Bytes()
		files[name+".yaml"] = fmt.Appendf(nil, "match: {databases: [d%d]}", i)
	}
	r := open(t, func(o *Options) {
		o.MaxFailures, o.Logger = 1, slog.New(&all)
		tell := o.OnSwap
		o.OnSwap = func(n uint64) {
			if inside.Add(1) > 1 {
				t.Error("told from two goroutines at a time")
			}
			if before := last.Swap(n); before > 0 {
				all.called.Wait()
				if n <= before {
					t.Errorf("told of generation %d after %d", n, before)
				}
			}
			inside.Add(-1)
			tell(n)
		}
	}, files)
	var wg sync.WaitGroup
	for i := range policies {
		wg.Go(func() {
			r.set.Decide(context.Background(), query(func(q *Query) { q.Database = fmt.Sprintf("d%d", i) }))
			r.set.List()
		})
	}
	for range policies {
		r.awaitSwap()
	}
	wg.Wait()
	if got := r.set.Generation(); got != last.Load() {
		t.Errorf("generation is %d, the last that was told %d", got, last.Load())
	}
}

// TestDecisionIsNotAnothersWithTheSameText asks about statements whose normalised text and fingerprint are the same and
// of which a guest can tell the difference.
func TestDecisionIsNotAnothersWithTheSameText(t *testing.T) {
	var calls atomic.Int64
	r := open(t, func(o *Options) { o.OnCall = func(string, string, time.Duration, bool) { calls.Add(1) } }, map[string][]byte{"a.wasm": says(5000)})
	r.want(true, 5*time.Second)
	for name, change := range map[string]func(*statement.Descriptor){
		"a parameter where the other has a literal": func(d *statement.Descriptor) { d.Parameters = 1 },
		"another relation":                          func(d *statement.Descriptor) { d.Relations = []string{"secret.a"} },
		"one relation of two":                       func(d *statement.Descriptor) { d.Relations = []string{"public.", "a"} },
		"a function":                                func(d *statement.Descriptor) { d.Functions = []string{"public.a"} },
		"a function in place of the relation":       func(d *statement.Descriptor) { d.Relations, d.Functions = nil, d.Relations },
		"another command":                           func(d *statement.Descriptor) { d.Command = "VALUES" },
	} {
		before := calls.Load()
		r.want(true, 5*time.Second, func(q *Query) {
			copied := *q.Statement
			change(&copied)
			q.Statement = &copied
		})
		if calls.Load() == before {
			t.Errorf("%s: got the decision of the first", name)
		}
	}
}

func TestDifferentListsAreNeverTheSameKey(t *testing.T) {
	seen := map[string][][]string{}
	for _, lists := range [][][]string{
		{}, {nil}, {nil, nil}, {{""}}, {{}, {""}}, {{"", ""}}, {{"a", "bc"}}, {{"ab", "c"}}, {{"a"}, {"bc"}}, {{"abc"}}, {{"1:a"}}, {{"a", "1:b"}}, {{"a1:b"}}, {{"a", "b"}},
	} {
		key := joined(lists...)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q are both %q", lists, other, key)
		}
		seen[key] = lists
	}
}

func TestUnstableReadIsNeverCachedWhateverAPolicySays(t *testing.T) {
	r := open(t, nil, map[string][]byte{"a.wasm": w.Decide(w.Code(w.Const(1), w.Const64(1), w.Call(w.SetInt))...).Bytes()})
	r.want(true, time.Minute) // as a read, whose text it shares
	for range 2 {
		d := r.want(false, 0, func(q *Query) {
			copied := *q.Statement
			copied.Verdict = statement.Unstable
			q.Statement = &copied
		})
		if !strings.Contains(d.Reason, "without a write") {
			t.Errorf("reason = %q, want why it is not cached", d.Reason)
		}
	}
}

func TestMemoIsBoundedInBytes(t *testing.T) {
	m := newMemo()
	long := strings.Repeat("x", 64<<10)
	for i := range uint64(4 * memoShards * memoBytes / len(long)) {
		k := memoKey{normalized: long, fingerprint: i}
		m.put(k, Decision{})
		m.put(k, Decision{}) // again, as two who ask at once do
	}
	m.put(memoKey{normalized: strings.Repeat("x", memoBytes)}, Decision{}) // alone too large
	for i := range m.shards {
		s := &m.shards[i]
		sum := 0
		for _, k := range s.mu.lru.Keys() {
			sum += k.bytes()
		}
		if sum != s.mu.bytes || sum > memoBytes || s.mu.lru.Len() == 0 {
			t.Errorf("shard %d holds %d keys of %d bytes and counts %d, want at most %d", i, s.mu.lru.Len(), sum, s.mu.bytes, memoBytes)
		}
	}
}

func BenchmarkRememberedDecision(b *testing.B) {
	folder := b.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.wasm"), says(1000), 0o600); err != nil {
		b.Fatal(err)
	}
	s := New(Options{Folder: folder, DefaultTTL: time.Minute})
	if err := s.Open(context.Background()); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q := query()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if d := s.Decide(context.Background(), q); !d.Cache {
				b.Error(d)
			}
		}
	})
}
