package fuel

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// run calls main of a metered module with so much fuel, and returns what it answered and what was left.
func run(t *testing.T, module []byte, fuel int64) (result uint64, left int64, err error) {
	t.Helper()
	metered, err := Meter(module, fuel)
	if err != nil {
		t.Fatalf("meter: %v", err)
	}
	guest := start(t, metered)
	counter, ok := guest.ExportedGlobal(Export).(api.MutableGlobal)
	if !ok {
		t.Fatal("the metered module has no fuel")
	}
	counter.Set(uint64(fuel))
	results, err := guest.ExportedFunction("main").Call(context.Background())
	if len(results) == 1 {
		result = results[0]
	}
	return result, int64(counter.Get()), err
}

func start(t *testing.T, module []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config())
	t.Cleanup(func() { _ = r.Close(ctx) })
	guest, err := r.Instantiate(ctx, module)
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	return guest
}

func config() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithMemoryLimitPages(16).WithCoreFeatures(api.CoreFeaturesV2 &^ api.CoreFeatureSIMD)
}

// main is a module of one function that returns an i32.
func main(locals int, code ...[]byte) w.Module {
	return w.Module{Pages: 1, Funcs: []w.Func{{Export: "main", Results: []byte{w.I32}, Locals: locals, Code: w.Code(code...)}}}
}

// Instructions that only these tests need.
var (
	nop      = []byte{0x01}
	loop     = []byte{0x03, 0x40}
	blocked  = []byte{0x02, 0x40}
	brIf0    = []byte{0x0d, 0x00}
	br0      = []byte{0x0c, 0x00}
	add      = []byte{0x6a}
	sub      = []byte{0x6b}
	fill     = []byte{0xfc, 11, 0}
	copies   = []byte{0xfc, 10, 0, 0}
	fillFunc = []byte{0xfc, 17, 0}
)

func get(n byte) []byte { return []byte{0x20, n} }
func set(n byte) []byte { return []byte{0x21, n} }
func tee(n byte) []byte { return []byte{0x22, n} }

// times runs code in a loop, counting down local 0.
func times(n int32, code ...[]byte) []byte {
	return w.Code(w.Const(n), set(0), loop, w.Code(code...), get(0), w.Const(1), sub, tee(0), brIf0, w.End)
}

func TestStepsAreCounted(t *testing.T) {
	twice := main(0, w.Call(1), w.Call(1), add)
	twice.Funcs = append(twice.Funcs, w.Func{Results: []byte{w.I32}, Code: w.Const(4)})
	for _, test := range []struct {
		name   string
		module w.Module
		result uint64
		spent  int64
	}{
		{"a function", main(0, w.Const(7)), 7, 1},
		{"a long function costs its length", main(0, bytes.Repeat(nop, 1024), w.Const(7)), 7, 5},
		{"each call", twice, 8, 3},
		{"each turn of a loop", main(1, times(10), w.Const(7)), 7, 1 + 10},
		{"a long loop costs its own length each time", main(1, times(10, bytes.Repeat(nop, 512)), w.Const(7)), 7, 1 + 2 + 10*3},
		{"a short loop in a long function costs its own length", main(1, bytes.Repeat(nop, 1024), times(10), w.Const(7)), 7, 5 + 10},
		{"loops in loops", main(2, times(3, get(0), set(1), times(5), get(1), set(0)), w.Const(7)), 7, 1 + 3 + 15},
		{"memory.fill by its length", main(0, w.Const(0), w.Const(0), w.Const(6400), fill, w.Const(7)), 7, 1 + 8 + 100},
		{"memory.copy by its length", main(0, w.Const(0), w.Const(0), w.Const(640), copies, w.Const(7)), 7, 1 + 8 + 10},
		{"division counts as more than a byte", main(0, w.Code(w.Const(1), bytes.Repeat(w.Code(w.Const(1), []byte{0x6d}), 100))), 1, 1 + 2300/256},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, left, err := run(t, test.module.Bytes(), 1_000_000)
			if err != nil || result != test.result || 1_000_000-left != test.spent {
				t.Errorf("answered %d and spent %d, %v; want %d and %d", result, 1_000_000-left, err, test.result, test.spent)
			}
			// One step less than it needs is not enough.
			if _, left, err := run(t, test.module.Bytes(), test.spent-1); err == nil || left >= 0 {
				t.Errorf("with one step less: %d left, %v; want a trap below zero", left, err)
			}
		})
	}
}

// TestNothingRunsForEver ends each kind of storm after the same number of steps, twice.
func TestNothingRunsForEver(t *testing.T) {
	mutual := main(0, w.Call(1))
	mutual.Funcs = append(mutual.Funcs, w.Func{Results: []byte{w.I32}, Code: w.Call(0)})
	indirect := main(0, w.Const(0), []byte{0x11, 0, 0})
	indirect.Tables, indirect.Elements = []byte{1, 0x70, 0, 1}, []byte{1, 0, 0x41, 0, 0x0b, 1, 0}
	tables := main(0, loop, w.Const(0), w.Null, w.Const(1<<16), fillFunc, br0, w.End, w.Const(0))
	tables.Tables = []byte{1, 0x70, 0, 0x80, 0x80, 0x04}
	for _, test := range []struct {
		name   string
		module w.Module
	}{
		{"a loop", main(0, w.Forever, w.Const(0))},
		{"a recursion", main(0, w.Call(0))},
		{"a recursion of two", mutual},
		{"a recursion through a table", indirect},
		{"a loop by br_table", main(0, loop, w.Const(5), []byte{0x0e, 2, 0, 0, 0}, w.End, w.Const(0))},
		{"a loop out of a block", main(0, loop, blocked, []byte{0x0c, 1}, w.End, w.End, w.Const(0))},
		{"a loop in code that is not reached", main(0, loop, br0, w.Forever, w.End, w.Const(0))},
		{"a storm of memory.fill", main(0, loop, w.Const(0), w.Const(0), w.Const(1<<16), fill, br0, w.End, w.Const(0))},
		{"a storm of memory.copy", main(0, loop, w.Const(0), w.Const(0), w.Const(1<<16), copies, br0, w.End, w.Const(0))},
		{"a storm of table.fill", tables},
		{"a length of four gigabytes", main(0, w.Const(0), w.Const(0), w.Const(-1), fill, w.Const(0))},
		{"a storm of memory.grow", main(0, loop, w.Const(0), w.Grow, w.Drop, br0, w.End, w.Const(0))},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, left, err := run(t, test.module.Bytes(), 100_000)
			if err == nil || !strings.Contains(err.Error(), "unreachable") || left >= 0 {
				t.Fatalf("%d left, %v; want a trap below zero", left, err)
			}
			if _, again, _ := run(t, test.module.Bytes(), 100_000); again != left {
				t.Errorf("%d left, and %d in a second run", left, again)
			}
		})
	}
}

func TestTheStartFunctionIsBounded(t *testing.T) {
	m := main(0, w.Const(0))
	m.Funcs = append(m.Funcs, w.Func{Code: w.Forever})
	m.Start = 1
	metered, err := Meter(m.Bytes(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(t.Context(), config())
	defer r.Close(context.Background())
	if _, err := r.Instantiate(t.Context(), metered); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("a start function without end: %v, want a trap", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	globals := []byte{1, typeI64, 1, 0x42, 0, 0x0b}
	code := func(code ...[]byte) []byte { return main(0, code...).Bytes() }
	section := func(id byte, body ...byte) []byte {
		return append(append([]byte("\x00asm\x01\x00\x00\x00"), id, byte(len(body))), body...)
	}
	change := func(f func(*w.Module)) []byte {
		m := main(0, w.Const(0))
		f(&m)
		return m.Bytes()
	}
	custom := bytes.Replace(code(w.Const(0)), []byte("\x01\x00\x00\x00"), []byte("\x01\x00\x00\x00\x00\x7f"), 1)
	for _, test := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"nothing", nil, "no WebAssembly module"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "no WebAssembly module"},
		{"the fuel read", code([]byte{0x23, 0}, w.Drop, w.Const(0)), "global 0 does not exist"},
		{"the fuel set", code(w.Const64(1), []byte{0x24, 0}, w.Const(0)), "global 0 does not exist"},
		{"the fuel set, behind a global of its own", change(func(m *w.Module) {
			m.Globals, m.Funcs[0].Code = globals, w.Code(w.Const64(1), []byte{0x24, 1}, w.Const(0))
		}), "global 1 does not exist"},
		{"the fuel set, by a number written long", code(w.Const64(1), []byte{0x24, 0x80, 0x80, 0x80, 0x80, 0x00}, w.Const(0)), "global 0 does not exist"},
		{"the fuel set in code that is not reached", code(w.Unreachable, w.Const64(1), []byte{0x24, 0}, w.Const(0)), "global 0 does not exist"},
		{"the fuel exported", section(sectionExport, 1, 1, 'x', 3, 0), "global 0 does not exist"},
		{"the fuel's name", change(func(m *w.Module) { m.Funcs[0].Export = Export }), "perihelion.fuel"},
		{"the fuel as a constant", change(func(m *w.Module) { m.Globals = []byte{1, typeI64, 0, 0x23, 1, 0x0b} }), "0x23 is no constant"},
		{"an imported global", section(sectionImport, 1, 1, 'a', 1, 'b', 3, typeI32, 1), "only functions may be imported"},
		{"an imported memory", section(sectionImport, 1, 1, 'a', 1, 'b', 2, 0, 1), "a memory"},
		{"an imported table", section(sectionImport, 1, 1, 'a', 1, 'b', 1, typeFuncref, 0, 1), "a table"},
		{"SIMD", code([]byte{0xfd, 0x0c}, bytes.Repeat([]byte{0}, 16), w.Drop, w.Const(0)), "SIMD"},
		{"a SIMD type", section(sectionType, 1, 0x60, 1, typeV128, 0), "SIMD"},
		{"atomics", code([]byte{0xfe, 0x03, 0x00}, w.Const(0)), "threads"},
		{"a shared memory", section(sectionMemory, 1, 3, 1, 1), "shared"},
		{"a tail call", code([]byte{0x12, 0}), "tail calls"},
		{"an indirect tail call", code(w.Const(0), []byte{0x13, 0, 0}), "tail calls"},
		{"an exception caught", code([]byte{0x1f, 0x40, 0, 0x0b}, w.Const(0)), "exceptions"},
		{"an exception thrown", code([]byte{0x08, 0}), "exceptions"},
		{"a tag", section(13, 1, 0, 0), "section 13"},
		{"an instruction of the future", code([]byte{0xfb, 0}), "no instruction that is supported"},
		{"a bulk instruction of the future", code([]byte{0xfc, 18}), "0xfc 18"},
		{"a block of a reference type", code([]byte{0x02, 0x63, 0x70, 0x0b}, w.Drop, w.Const(0)), "no value type"},
		{"a block of a type below zero, written long", code([]byte{0x02, 0xe3, 0x7f, 0x70, 0x0b}, w.Drop, w.Const(0)), "block of a type"},
		{"four billion locals", section(sectionCode, 0), ""},
		{"a section twice", append(section(sectionType, 0), 1, 1, 0), "not in its place"},
		{"sections out of order", append(section(sectionFunction, 0), 1, 1, 0), "not in its place"},
		{"a custom section that is cut off", custom, "cut off"},
		{"more types than fit", section(sectionType, 0xff, 0xff, 0xff, 0xff, 0x0f), "at most 16384"},
		{"a count over what is there", section(sectionData, 5, 0), "cut off"},
		{"a count over 32 bits", section(sectionType, 0xff, 0xff, 0xff, 0xff, 0x1f), "over 32 bits"},
		{"a section that is longer than its items", section(sectionType, 0, 0), "longer than what is in it"},
		{"four billion elements", section(sectionElement, 1, 0, 0x41, 0, 0x0b, 0xff, 0xff, 0xff, 0xff, 0x0f), "at most 262144"},
		{"a body that goes on", change(func(m *w.Module) { m.Funcs[0].Code = w.Code(w.Const(0), w.End, w.Const(0)) }), "behind its end"},
		{"a body that does not end", change(func(m *w.Module) { m.Funcs[0].Code = w.Code(blocked, w.Const(0)) }), "cut off"},
		{"a branch table over its bytes", code(w.Const(0), []byte{0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f}), "cut off"},
		{"a selection of two types", code([]byte{0x1c, 2, 0x7f, 0x7f}), "at most 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				m := main(0, w.Const(0))
				m.Funcs[0].Locals = math.MaxUint32
				test.module, test.want = m.Bytes(), "locals"
			}
			metered, err := Meter(test.module, 1)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d bytes, %v; want a refusal that says %q", len(metered), err, test.want)
			}
		})
	}
}

func TestCustomSectionsAreLeftOut(t *testing.T) {
	module := main(0, w.Const(7)).Bytes()
	before, err := Meter(module, 1)
	if err != nil {
		t.Fatal(err)
	}
	named := append(bytes.Clone(module), "\x00\x08\x04nameBAD"...)
	named = append(named[:8:8], append([]byte("\x00\x05\x04.dbg"), named[8:]...)...)
	original := bytes.Clone(named)
	after, err := Meter(named, 1)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("with custom sections: %x, %v; want %x", after, err, before)
	}
	if !bytes.Equal(named, original) {
		t.Error("the module that came in was changed")
	}
}

func TestManyFunctionsAreMetered(t *testing.T) {
	m := main(0, w.Const(7))
	for range 100_000 {
		m.Funcs = append(m.Funcs, w.Func{Code: w.Forever})
	}
	if _, err := Meter(m.Bytes(), 1); err != nil {
		t.Error(err)
	}
	for range 40_000 {
		m.Funcs = append(m.Funcs, w.Func{})
	}
	if _, err := Meter(m.Bytes(), 1); err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxFunctions)) {
		t.Errorf("140,000 functions: %v, want a refusal", err)
	}
}
