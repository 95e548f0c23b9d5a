package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// marks is a decide that answers 7 in an instance that it has run in before, and else leaves its mark and goes on.
func marks(then ...[]byte) w.Module {
	return returns(w.Const(0), w.Load, w.If, w.Const(7), w.Return, w.End, w.Const(0), w.Const(1), w.Store, w.Code(then...))
}

func TestInstanceIsUsedAgainAfterASuccessAndNeverAfterAFailure(t *testing.T) {
	m := load(t, newEngine(t, Options{}), marks(w.Const(0)), ModuleOptions{})
	for i := range 6 {
		err := m.Decide(context.Background(), "", &question{})
		if used := i%2 == 1; used != (errorText(err) == "decide: returned 7") || !used && err != nil {
			t.Errorf("call %d: %v, want success in a new instance and 7 in the same one, by turns", i+1, err)
		}
	}
	if err := m.Decide(context.Background(), "a", &question{}); err != nil {
		t.Errorf("first call of another tenant: %v, want an instance of its own", err)
	}
}

// boom is a [Call] of which a method is broken.
type boom struct{ question }

func (*boom) Count(abi.Field) int32 { panic("count is broken") }

func TestInstanceIsThrownAwayAfterEveryKindOfFailure(t *testing.T) {
	exit := marks(w.Const(0), w.Call(0), w.Const(0))
	exit.Imports[0] = w.Import{Module: "wasi_snapshot_preview1", Name: "proc_exit", Params: []byte{w.I32}}
	for _, test := range []struct {
		name   string
		module w.Module
		want   string
	}{
		{"a trap", marks(w.Unreachable), "unreachable"},
		{"a result", marks(w.Const(3)), "returned 3"},
		{"fuel that is spent", marks(w.Forever, w.Const(0)), "spent its fuel of 500000"},
		{"an exit", exit, "exited with 0"},
		{"a panic of the host", marks(w.Const(7), w.Call(w.Count), w.Drop, w.Const(0)), "count is broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(t, newEngine(t, Options{}), test.module, ModuleOptions{})
			for i := range 3 {
				err := m.Decide(context.Background(), "", &boom{})
				var f *Failure
				if !errors.As(err, &f) || !strings.Contains(f.Reason, test.want) {
					t.Errorf("call %d: got %v, want a failure that says %q", i+1, err, test.want)
				}
			}
		})
	}
}

func TestTablesAreBounded(t *testing.T) {
	e := newEngine(t, Options{})
	table := func(limits ...byte) []byte { return append([]byte{1, 0x70}, limits...) }
	decide := func(tables []byte, code ...[]byte) []byte {
		m := returns(code...)
		m.Tables = tables
		return m.Bytes()
	}
	for _, test := range []struct {
		name   string
		tables []byte
		want   string
	}{
		{"a table of a gigabyte", table(0, 0x80, 0x80, 0x80, 0x40), "table of 134217728 items"},
		{"a table of one item too many", table(0, 0x81, 0x80, 0x08), "table of 131073 items"},
		{"a hundred tables", append([]byte{100}, strings.Repeat("\x70\x00\x01", 100)...), "100 tables"},
		{"a table that is larger than itself", table(1, 2, 1), "at least 2 and at most 1"},
		{"a table that another section could hide in", append(table(0, 1), 0), "longer than its tables"},
		{"a table of unknown kind", []byte{1, 0x7f, 0, 1}, "kind that is not supported"},
		{"a table that is shared", table(3, 1, 1), "kind that is not supported"},
		{"a table that is cut off", table(1, 1), "cut off"},
		{"a size over 32 bits", table(0, 0xff, 0xff, 0xff, 0xff, 0x7f), "over 32 bits"},
		{"a size that does not end", table(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "cut off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := e.Load(context.Background(), decide(test.tables, w.Const(0)), ModuleOptions{})
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
	for _, test := range []struct {
		name string
		old  []byte
		by   int32
		want string
	}{
		{"a table grows to its bound", table(0, 1), maxTableItems - 1, "decide: returned 1"},
		{"a table without a maximum does not grow over the bound", table(0, 1), maxTableItems, "decide: returned -1"},
		{"a table of a large maximum does not grow over the bound", table(1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f), maxTableItems, "decide: returned -1"},
		{"a table keeps a maximum that is smaller", table(1, 1, 3), 3, "decide: returned -1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := e.Load(context.Background(), decide(test.old, w.Null, w.Const(test.by), w.GrowTable), ModuleOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(context.Background())
			if err := m.Decide(context.Background(), "", &question{}); errorText(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// watched counts how often a compiled module is closed.
type watched struct {
	wazero.CompiledModule
	closed int
}

func (w *watched) Close(ctx context.Context) error {
	w.closed++
	return w.CompiledModule.Close(ctx)
}

// TestCloseGivesBackTheCode looks at the compiled module itself: a runtime with a shared cache leaves it there, and what
// it holds is machine code, which no figure of Go's heap shows.
func TestCloseGivesBackTheCode(t *testing.T) {
	m := load(t, newEngine(t, Options{}), returns(w.Const(0)), ModuleOptions{})
	if err := m.Decide(context.Background(), "", &question{}); err != nil {
		t.Fatal(err)
	}
	code := &watched{CompiledModule: m.compiled}
	m.compiled = code
	for range 2 {
		if err := m.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if code.closed != 1 {
		t.Errorf("the code was given back %d times after two calls of Close, want once", code.closed)
	}
}

func TestClosingOneOfTwoEqualModulesLeavesTheOther(t *testing.T) {
	e := newEngine(t, Options{})
	one, other := load(t, e, returns(w.Const(0)), ModuleOptions{}), load(t, e, returns(w.Const(0)), ModuleOptions{})
	if err := one.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"a", "b"} { // each in a new instance
		if err := other.Decide(context.Background(), tenant, &question{}); err != nil {
			t.Errorf("tenant %s: %v", tenant, err)
		}
	}
}

func TestUnusedInstancesAreLetGo(t *testing.T) {
	m := load(t, newEngine(t, Options{}), marks(w.Const(0)), ModuleOptions{})
	ctx := context.Background()
	decide := func(want string) {
		t.Helper()
		if err := m.Decide(ctx, "a", &question{}); errorText(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	decide("")
	m.LetGo(ctx) // it was used since the last time
	decide("decide: returned 7")
	decide("")
	m.LetGo(ctx)
	m.LetGo(ctx)
	if n := len(m.mu.pools); n != 0 {
		t.Errorf("%d tenants have instances after nobody used one, want 0", n)
	}
	decide("")
	if err := m.Close(ctx); err != nil {
		t.Fatal(err)
	}
	m.LetGo(ctx) // does nothing
}

// TestInstancesUnderLoad calls from many tenants while unused instances are let go and the module is closed.
func TestInstancesUnderLoad(t *testing.T) {
	m := load(t, newEngine(t, Options{}), returns(w.Const(0)), ModuleOptions{})
	ctx := context.Background()
	const calls = 400
	var callers, cleaner sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for n := range calls {
				if err := m.Decide(ctx, fmt.Sprintf("tenant %d", (i+n)%(2*maxPools)), &question{}); err != nil {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	cleaner.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.LetGo(ctx)
			}
		}
	})
	callers.Wait()
	closed := make(chan error, 1)
	go func() { closed <- m.Close(ctx) }()
	err := <-closed
	close(stop)
	cleaner.Wait()
	if err != nil {
		t.Error(err)
	}
	if err := m.Decide(ctx, "", &question{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, ErrClosed)
	}
}

func FuzzLimitTables(f *testing.F) {
	m := returns(w.Const(0))
	m.Tables = []byte{2, 0x70, 0, 1, 0x6f, 1, 1, 5}
	f.Add(m.Bytes())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x04\x05\x01\x70\x01\x01\x02"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		once, err := limitTables(wasm)
		if err != nil {
			return
		}
		twice, err := limitTables(once)
		if err != nil || string(once) != string(twice) {
			t.Errorf("%x gives %x, which gives %x, %v", wasm, once, twice, err)
		}
	})
}

// turns makes its guest turn its loop so often.
type turns struct {
	question
	n int64
}

func (q *turns) Int(abi.Field, int) (int64, bool) { return q.n, true }

// TestUnspentFuelIsSaved lets a call that is rare do what many together may, and a new instance no more than its budget.
func TestUnspentFuelIsSaved(t *testing.T) {
	guest := returns(w.Const(32), w.Const(0), w.Call(w.GetInt), w.Wrap, []byte{0x21, 0, 0x03, 0x40, 0x20, 0}, w.Const(1), []byte{0x6b, 0x22, 0, 0x0d, 0}, w.End, w.Const(0))
	guest.Funcs[0].Locals = 1
	m := load(t, newEngine(t, Options{}), guest, ModuleOptions{Fuel: 1000})
	decide := func(n int64, want string) {
		t.Helper()
		if err := m.Decide(context.Background(), "", &turns{n: n}); errorText(err) != want {
			t.Errorf("%d turns: got %q, want %q", n, errorText(err), want)
		}
	}
	for range 2 {
		decide(1500, "decide: spent its fuel of 1000") // each in a new instance
	}
	const others = 11 // steps of a call beside its turns: the function's, and ten of the host's
	decide(100, "")
	decide(1500, "")
	decide(1500, fmt.Sprintf("decide: spent its fuel of %d", 3*1000-100-1500-2*others))
	for range 100 {
		decide(1, "")
	}
	decide(10_000-others, "")
	for range 100 {
		decide(1, "")
	}
	decide(10_000-others+1, "decide: spent its fuel of 10000")
}
