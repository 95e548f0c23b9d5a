package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// question is a [Call] over a few values.
type question struct {
	relations []string
	cache     int64
	reason    string
	block     chan struct{} // where set, Count waits for it
	entered   chan struct{}
}

func (q *question) Int(f abi.Field, index int) (int64, bool) {
	if f == abi.FieldFingerprint && index == 0 {
		return 42, true
	}
	return 0, false
}

func (q *question) Bytes(f abi.Field, index int) (string, abi.Result) {
	if f != abi.FieldRelation {
		return "", abi.ResultUnknown
	}
	if index >= len(q.relations) {
		return "", abi.ResultNoIndex
	}
	return q.relations[index], 0
}

func (q *question) Count(f abi.Field) int32 {
	if q.block != nil {
		q.entered <- struct{}{}
		<-q.block
	}
	if f != abi.FieldRelation {
		return int32(abi.ResultUnknown)
	}
	return int32(len(q.relations))
}

func (q *question) Decided(d abi.Decision) (int64, bool) { return q.cache, d == abi.DecisionCache }

func (q *question) SetInt(d abi.Decision, v int64) abi.Result {
	if d != abi.DecisionCache {
		return abi.ResultUnknown
	}
	q.cache = v
	return 0
}

func (q *question) SetBytes(d abi.Decision, v string) abi.Result {
	q.reason = v
	return 0
}

func newEngine(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	return e
}

func load(t testing.TB, e *Engine, m w.Module, o ModuleOptions) *Module {
	t.Helper()
	module, err := e.Load(context.Background(), m.Bytes(), o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	t.Cleanup(func() {
		if err := module.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return module
}

// returns is a decide that calls the host and returns what it said.
func returns(code ...[]byte) w.Module { return w.Decide(w.Code(code...)...) }

// TestGuestAsksAndDecides returns what each function says as the result of decide, which is then a failure that shows it.
func TestHostFunctions(t *testing.T) {
	e := newEngine(t, Options{})
	for _, test := range []struct {
		name string
		code []byte
		want string
	}{
		{"an integer", w.Code(w.Const(32), w.Const(0), w.Call(w.GetInt), w.Wrap), "decide: returned 42"},
		{"an integer that is not known is the least one", w.Code(w.Const(99), w.Const(0), w.Call(w.GetInt), w.Const64(math.MinInt64), []byte{0x51}), "decide: returned 1"},
		{"an integer of a negative index", w.Code(w.Const(32), w.Const(-1), w.Call(w.GetInt), w.Const64(math.MinInt64), []byte{0x51}), "decide: returned 1"},
		{"what was decided", w.Code(w.Const(1001), w.Const(0), w.Call(w.GetInt), w.Wrap), "decide: returned 7"},
		{"a count", w.Code(w.Const(7), w.Call(w.Count)), "decide: returned 2"},
		{"a count of no list", w.Code(w.Const(1), w.Call(w.Count)), "decide: returned -1"},
		{"bytes", w.Code(w.Const(7), w.Const(1), w.Const(100), w.Const(64), w.Call(w.GetBytes)), "decide: returned 8"},
		{"bytes that do not fit tell their length", w.Code(w.Const(7), w.Const(1), w.Const(100), w.Const(2), w.Call(w.GetBytes)), "decide: returned 8"},
		{"bytes of no such index", w.Code(w.Const(7), w.Const(2), w.Const(100), w.Const(64), w.Call(w.GetBytes)), "decide: returned -2"},
		{"bytes of a negative index", w.Code(w.Const(7), w.Const(-1), w.Const(100), w.Const(64), w.Call(w.GetBytes)), "decide: returned -2"},
		{"bytes of an unknown field", w.Code(w.Const(99), w.Const(0), w.Const(100), w.Const(64), w.Call(w.GetBytes)), "decide: returned -1"},
		{"bytes to outside the memory", w.Code(w.Const(7), w.Const(1), w.Const(65530), w.Const(64), w.Call(w.GetBytes)), "decide: returned -3"},
		{"bytes to the end of the address space", w.Code(w.Const(7), w.Const(1), w.Const(-1), w.Const(-1), w.Call(w.GetBytes)), "decide: returned -3"},
		{"an unknown decision", w.Code(w.Const(99), w.Const64(1), w.Call(w.SetInt)), "decide: returned -1"},
		{"a reason from outside the memory", w.Code(w.Const(64), w.Const(65530), w.Const(64), w.Call(w.SetBytes)), "decide: returned -3"},
		{"a reason of four gigabytes", w.Code(w.Const(64), w.Const(0), w.Const(-1), w.Call(w.SetBytes)), "decide: returned -4"},
		{"its configuration", w.Code(w.Const(0), w.Const(64), w.Call(w.Config)), "decide: returned 9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, e, w.Decide(test.code...), ModuleOptions{Config: []byte(`{"a": 1 }`)})
			err := m.Decide(context.Background(), "", &question{relations: []string{"public.a", "public.b"}, cache: 7})
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestDecisionReachesTheCaller(t *testing.T) {
	m := returns(w.Const(1), w.Const64(1), w.Call(w.SetInt), w.Drop, w.Const(64), w.Const(0), w.Const(3), w.Call(w.SetBytes))
	m.Data = "why"
	q := &question{}
	if err := load(t, newEngine(t, Options{}), m, ModuleOptions{}).Decide(context.Background(), "", q); err != nil {
		t.Fatal(err)
	}
	if q.cache != 1 || q.reason != "why" {
		t.Errorf("decided %d because %q, want 1 because why", q.cache, q.reason)
	}
}

func TestHostileGuestsFail(t *testing.T) {
	e := newEngine(t, Options{})
	exit := w.Module{
		Imports: []w.Import{{Module: "wasi_snapshot_preview1", Name: "proc_exit", Params: []byte{w.I32}}}, Pages: 1,
		Funcs: []w.Func{{Export: "decide", Results: []byte{w.I32}, Code: w.Code(w.Const(0), w.Call(0), w.Const(0))}},
	}
	abort := w.Module{
		Imports: []w.Import{{Module: "env", Name: "abort", Params: []byte{w.I32, w.I32, w.I32, w.I32}}}, Pages: 1,
		Funcs: []w.Func{{Export: "decide", Results: []byte{w.I32}, Code: w.Code(w.Const(0), w.Const(0), w.Const(0), w.Const(0), w.Call(0), w.Const(0))}},
	}
	for _, test := range []struct {
		name   string
		module w.Module
		want   string
	}{
		{"one that traps", returns(w.Unreachable), "unreachable"},
		{"one that never ends", returns(w.Forever, w.Const(0)), "spent its fuel of 500000"},
		{"one that returns an error", returns(w.Const(3)), "returned 3"},
		{"one that exits, even with success", exit, "exited with 0"},
		{"one that aborts", abort, "exited with 255"},
		{"one that calls itself for ever", returns(w.Call(w.Self)), "spent its fuel of 500000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, e, test.module, ModuleOptions{})
			for range 3 { // each in a new instance
				err := m.Decide(context.Background(), "", &question{})
				var f *Failure
				if !errors.As(err, &f) || !strings.Contains(f.Reason, test.want) || len(f.Reason) > maxReason || strings.Contains(f.Reason, "\n") {
					t.Errorf("got %v, want a failure that says %q", err, test.want)
				}
			}
		})
	}
}

func TestMemoryCapHolds(t *testing.T) {
	e := newEngine(t, Options{})
	// Growing beyond the cap fails inside the guest, which then returns -1.
	grow := returns(w.Const(1000), w.Grow)
	if err := load(t, e, grow, ModuleOptions{}).Decide(context.Background(), "", &question{}); err == nil || err.Error() != "decide: returned -1" {
		t.Errorf("growing over the cap: %v, want -1", err)
	}
	large := returns(w.Const(0))
	large.Pages = 300
	if _, err := e.Load(context.Background(), large.Bytes(), ModuleOptions{}); err == nil {
		t.Error("a module that starts over the cap was loaded")
	}
}

func TestRefusedModules(t *testing.T) {
	e := newEngine(t, Options{})
	plain := returns(w.Const(0))
	change := func(f func(*w.Module)) []byte {
		m := returns(w.Const(0))
		f(&m)
		return m.Bytes()
	}
	for _, test := range []struct {
		name   string
		module []byte
		o      ModuleOptions
		want   string
	}{
		{"nothing", nil, ModuleOptions{}, "no WebAssembly module"},
		{"half a module", plain.Bytes()[:len(plain.Bytes())/2], ModuleOptions{}, "does not compile"},
		{"a module over its bound", make([]byte, abi.MaxModule+1), ModuleOptions{}, "at most 16777216"},
		{"a configuration over its bound", plain.Bytes(), ModuleOptions{Config: make([]byte, abi.MaxConfig+1)}, "at most 65536"},
		{"memory over its bound", plain.Bytes(), ModuleOptions{Memory: MaxMemory + 1}, "memory"},
		{"memory below a page", plain.Bytes(), ModuleOptions{Memory: 1}, "page"},
		{"fuel over its bound", plain.Bytes(), ModuleOptions{Fuel: MaxFuel + 1}, "fuel"},
		{"a global that is the host's", change(func(m *w.Module) { m.Funcs[0].Code = w.Code(w.Const64(1), []byte{0x24, 0}, w.Const(0)) }), ModuleOptions{}, "global 0 does not exist"},
		{"no decide", change(func(m *w.Module) { m.Funcs[0].Export = "other" }), ModuleOptions{}, "does not export the function decide"},
		{"decide with parameters", change(func(m *w.Module) { m.Funcs[0].Params = []byte{w.I32} }), ModuleOptions{}, "another type than () -> (i32)"},
		{"decide without a result", change(func(m *w.Module) { m.Funcs[0].Results, m.Funcs[0].Code = nil, nil }), ModuleOptions{}, "another type"},
		{"no memory", change(func(m *w.Module) { m.Pages = -1 }), ModuleOptions{}, "memory"},
		{"a memory of another name", change(func(m *w.Module) { m.MemoryExport = "mem" }), ModuleOptions{}, "memory"},
		{"foreign imports, by name", change(func(m *w.Module) {
			m.Imports = append(m.Imports, w.Import{Module: "env", Name: "open"}, w.Import{Module: "perihelion_v1", Name: "fly"}, w.Import{Module: "wasi_snapshot_preview1", Name: "launch"})
		}), ModuleOptions{}, "env.open, perihelion_v1.fly, wasi_snapshot_preview1.launch"},
		{"an import with another type", change(func(m *w.Module) { m.Imports[0].Params = nil }), ModuleOptions{}, ""},
		{"a configure that fails", change(func(m *w.Module) {
			m.Funcs = append(m.Funcs, w.Func{Export: "configure", Results: []byte{w.I32}, Code: w.Const(1)})
		}), ModuleOptions{}, "configure: returned 1"},
		{"a configure that asks about a statement", change(func(m *w.Module) {
			m.Funcs = append(m.Funcs, w.Func{Export: "configure", Results: []byte{w.I32}, Code: w.Code(w.Const(7), w.Call(w.Count))})
		}), ModuleOptions{}, "configure: returned -6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := e.Load(context.Background(), test.module, test.o)
			if err == nil {
				m.Close(context.Background())
				t.Fatal("it was loaded")
			}
			var r *RefusedError
			if !errors.As(err, &r) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a refusal that says %q", err, test.want)
			}
		})
	}
}

func TestOneCallerPerInstanceAndTwoInstancesPerTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, newEngine(t, Options{}), returns(w.Const(7), w.Call(w.Count), w.Drop, w.Const(0)), ModuleOptions{})
		q := &question{block: make(chan struct{}), entered: make(chan struct{}, 8)}
		var wg sync.WaitGroup
		call := func(tenant string) {
			wg.Go(func() {
				if err := m.Decide(context.Background(), tenant, q); err != nil {
					t.Error(err)
				}
			})
		}
		for range 4 {
			call("a")
		}
		synctest.Wait()
		if n := len(q.entered); n != 2 {
			t.Errorf("%d calls of one tenant run at once, want 2", n)
		}
		call("b")
		synctest.Wait()
		if n := len(q.entered); n != 3 {
			t.Errorf("%d calls run with one of another tenant, which waits for nobody; want 3", n)
		}
		// A caller that goes away does not wait on.
		ctx, cancel := context.WithCancelCause(context.Background())
		gone := errors.New("gone")
		cancel(gone)
		if err := m.Decide(ctx, "a", q); !errors.Is(err, gone) {
			t.Errorf("a caller that went away got %v", err)
		}
		close(q.block)
		wg.Wait()
	})
}

func TestCloseWaitsForCallsAndRefusesNewOnes(t *testing.T) {
	m := load(t, newEngine(t, Options{}), returns(w.Const(7), w.Call(w.Count), w.Drop, w.Const(0)), ModuleOptions{})
	q := &question{block: make(chan struct{}), entered: make(chan struct{}, 1)}
	called, closed := make(chan error, 1), make(chan error, 1)
	go func() { called <- m.Decide(context.Background(), "", q) }()
	<-q.entered
	go func() { closed <- m.Close(context.Background()) }()
	for {
		if err := m.Decide(context.Background(), "other", &question{}); errors.Is(err, ErrClosed) {
			break
		}
	}
	select {
	case <-closed:
		t.Error("Close returned with a call under way")
	default:
	}
	close(q.block)
	if err := <-called; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestLogIsCappedAndLimited(t *testing.T) {
	now := time.Unix(1, 0)
	var lines []string
	dropped := 0
	e := newEngine(t, Options{Now: func() time.Time { return now }})
	m := returns(w.Const(0), w.Const(0), w.Const(5000), w.Call(w.Log), w.Const(0))
	m.Data = strings.Repeat("x", 1020) + "\n\x01ab" + strings.Repeat("y", 4000)
	module := load(t, e, m, ModuleOptions{Log: func(_ int, text string, n int) { lines = append(lines, text); dropped += n }})
	for range logBurst + 10 {
		if err := module.Decide(context.Background(), "", &question{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(lines) != logBurst || len(lines[0]) > abi.MaxLogLine || strings.ContainsAny(lines[0], "\n\x01") {
		t.Errorf("%d lines, the first of %d bytes; want %d of at most %d, printable", len(lines), len(lines[0]), logBurst, abi.MaxLogLine)
	}
	now = now.Add(time.Second)
	if err := module.Decide(context.Background(), "", &question{}); err != nil {
		t.Fatal(err)
	}
	if len(lines) != logBurst+1 || dropped != 10 {
		t.Errorf("a second later: %d lines, %d said to be dropped; want %d and 10", len(lines), dropped, logBurst+1)
	}
}

// TestWhatAGuestPrintsIsLogged prints in two parts: a line is one line, whether it ends or the call does.
func TestWhatAGuestPrintsIsLogged(t *testing.T) {
	for _, test := range []struct {
		name, first, second string
		fd                  int32
		want                []string
	}{
		{"a line that ends", "hel", "lo\n", 1, []string{"0 hello"}},
		{"a line that the end of the call ends", "hel", "lo", 1, []string{"0 hello"}},
		{"errors", "hel", "lo", 2, []string{"1 hello"}},
		{"several lines", "one\ntwo\nth", "ree", 2, []string{"1 one", "1 two", "1 three"}},
		{"empty lines", "\n \n", "\n", 1, nil},
		{"a line without an end", strings.Repeat("x", 1024), "y", 1, []string{"0 " + strings.Repeat("x", 1024), "0 y"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := []byte(strings.Repeat("\x00", 64))
			binary.LittleEndian.PutUint32(data[0:], 64)
			binary.LittleEndian.PutUint32(data[4:], uint32(len(test.first)))
			binary.LittleEndian.PutUint32(data[8:], 64+uint32(len(test.first)))
			binary.LittleEndian.PutUint32(data[12:], uint32(len(test.second)))
			print := func(vector int32) []byte {
				return w.Code(w.Const(test.fd), w.Const(vector), w.Const(1), w.Const(32), w.Call(0), w.Drop)
			}
			m := w.Module{
				Imports: []w.Import{{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: []byte{w.I32, w.I32, w.I32, w.I32}, Results: []byte{w.I32}}}, Pages: 1,
				Funcs: []w.Func{{Export: "decide", Results: []byte{w.I32}, Code: w.Code(print(0), print(8), w.Const(0))}},
				Data:  string(data) + test.first + test.second,
			}
			var got []string
			module := load(t, newEngine(t, Options{}), m, ModuleOptions{Log: func(level int, text string, _ int) { got = append(got, fmt.Sprint(level, " ", text)) }})
			if err := module.Decide(context.Background(), "", &question{}); err != nil || !slices.Equal(got, test.want) {
				t.Errorf("logged %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestCompilationCacheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	e := newEngine(t, Options{CacheDir: dir})
	load(t, e, returns(w.Const(0)), ModuleOptions{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v, %v; want 0700", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		t.Errorf("folder holds %d entries, %v; want some", len(entries), err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CacheDir: open}); err == nil {
		t.Error("a folder that others may write to was taken")
	}
}

func TestRandomnessIsTheSameForTheSameTenant(t *testing.T) {
	first, again, other := make([]byte, 16), make([]byte, 16), make([]byte, 16)
	seeded(1, "a").Read(first)
	seeded(1, "a").Read(again)
	seeded(1, "b").Read(other)
	if !bytes.Equal(first, again) || bytes.Equal(first, other) {
		t.Errorf("%x, %x again, %x for another tenant", first, again, other)
	}
}

func BenchmarkDecide(b *testing.B) {
	m := load(b, newEngine(b, Options{}), returns(w.Const(7), w.Call(w.Count), w.Drop, w.Const(1), w.Const64(1), w.Call(w.SetInt)), ModuleOptions{})
	q := &question{relations: []string{"public.a"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decide(context.Background(), "", q); err != nil {
			b.Fatal(err)
		}
	}
}
