package fuel

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"pgregory.net/rapid"

	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// writer writes random functions that are valid and end: values are i32, a loop counts down, and a function calls only
// those behind it.
type writer struct {
	t     *rapid.T
	index int // of the function at hand
	count int
	// free is the first local that no loop counts in.
	free int
	left int // statements
}

const locals = 12

// expression leaves one i32.
func (p *writer) expression(depth int) []byte {
	kinds := 9
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds-1).Draw(p.t, "expression") {
	case 0:
		return w.Const(rapid.Int32().Draw(p.t, "constant"))
	case 1:
		return get(byte(rapid.IntRange(0, locals-1).Draw(p.t, "local")))
	case 2:
		return []byte{0x23, byte(rapid.IntRange(0, 1).Draw(p.t, "global"))}
	case 3:
		operators := []byte{0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x46, 0x48, 0x4b, 0x6d, 0x70} // the last two can trap
		return w.Code(p.expression(depth-1), p.expression(depth-1), []byte{rapid.SampledFrom(operators).Draw(p.t, "operator")})
	case 4:
		return w.Code(p.address(depth-1), w.Load)
	case 5:
		return w.Code([]byte{0x02, w.I32}, p.statements(depth-1), p.expression(depth-1), w.End)
	case 6:
		return w.Code(p.expression(depth-1), []byte{0x04, w.I32}, p.expression(depth-1), []byte{0x05}, p.expression(depth-1), w.End)
	case 7:
		if p.index+1 < p.count {
			return w.Call(rapid.IntRange(p.index+1, p.count-1).Draw(p.t, "callee"))
		}
		return w.Const(1)
	default: // a block that a branch table leaves with a value
		return w.Code([]byte{0x02, w.I32, 0x02, w.I32}, p.expression(depth-1), p.expression(depth-1), []byte{0x0e, 1, 0, 1}, w.End, w.End)
	}
}

func (p *writer) address(depth int) []byte {
	return w.Code(p.expression(depth), w.Const(0xfff8), []byte{0x71})
}

func (p *writer) statements(depth int) []byte {
	var code []byte
	for range rapid.IntRange(0, 3).Draw(p.t, "statements") {
		if p.left--; p.left < 0 {
			break
		}
		code = append(code, p.statement(max(depth, 0))...)
	}
	return code
}

func (p *writer) statement(depth int) []byte {
	kinds := 8
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds-1).Draw(p.t, "statement") {
	case 0:
		return w.Code(p.expression(depth), set(byte(rapid.IntRange(p.free, locals-1).Draw(p.t, "local"))))
	case 1:
		return w.Code(p.expression(depth), []byte{0x24, byte(rapid.IntRange(0, 1).Draw(p.t, "global"))})
	case 2:
		return w.Code(p.address(depth), p.expression(depth), w.Store)
	case 3:
		if p.free == locals-2 {
			return nil
		}
		counter := byte(p.free)
		p.free++
		code := w.Code(w.Const(rapid.Int32Range(1, 4).Draw(p.t, "turns")), set(counter), loop, p.statements(depth-1), get(counter), w.Const(1), sub, tee(counter), brIf0, w.End)
		p.free--
		return code
	case 4:
		return w.Code(p.expression(depth-1), w.If, p.statements(depth-1), w.End)
	case 5: // what works on ranges, whose length may lie outside
		length := w.Code(p.expression(depth-1), w.Const(0x3fff), []byte{0x71})
		return w.Code(p.address(depth-1), p.address(depth-1), length, rapid.SampledFrom([][]byte{fill, copies}).Draw(p.t, "range"))
	case 6:
		return w.Code(blocked, p.statements(depth-1), p.expression(depth-1), brIf0, p.statements(depth-1), w.End)
	default: // what no one reaches is validated and metered as well
		return w.Code(blocked, br0, p.statements(depth-1), w.End)
	}
}

func randomModule(t *rapid.T) []byte {
	m := w.Module{Pages: 1, Globals: []byte{2, w.I32, 1, 0x41, 5, 0x0b, w.I32, 1, 0x41, 7, 0x0b}, Data: "data"}
	count := rapid.IntRange(1, 4).Draw(t, "functions")
	for i := range count {
		p := &writer{t: t, index: i, count: count, left: 20}
		f := w.Func{Results: []byte{w.I32}, Locals: locals, Code: w.Code(p.statements(3), p.expression(3))}
		if i == 0 {
			f.Export = "main"
		}
		m.Funcs = append(m.Funcs, f)
	}
	return m.Bytes()
}

// TestAMeteredModuleDoesWhatTheOriginalDoes compares results, traps, memory and globals of random modules, and that a
// second run spends the same.
func TestAMeteredModuleDoesWhatTheOriginalDoes(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config())
	defer r.Close(ctx)
	rapid.Check(t, func(t *rapid.T) {
		original := randomModule(t)
		metered, err := Meter(original, 1)
		if err != nil {
			t.Fatalf("meter: %v", err)
		}
		outcome := func(module []byte) (result uint64, trapped bool, memory []byte, spent int64) {
			guest, err := r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName(""))
			if err != nil {
				t.Fatalf("instantiate: %v\n%x", err, module)
			}
			defer guest.Close(ctx)
			counter, ok := guest.ExportedGlobal(Export).(api.MutableGlobal)
			if ok {
				counter.Set(math.MaxInt64)
			}
			results, err := guest.ExportedFunction("main").Call(ctx)
			if err == nil {
				result = results[0]
			}
			all, _ := guest.Memory().Read(0, guest.Memory().Size())
			if ok {
				spent = math.MaxInt64 - int64(counter.Get())
			}
			return result, err != nil, bytes.Clone(all), spent
		}
		result, trapped, memory, _ := outcome(original)
		result2, trapped2, memory2, spent := outcome(metered)
		if result != result2 || trapped != trapped2 || !bytes.Equal(memory, memory2) {
			t.Fatalf("original answers %d, trapped %v; metered %d, %v; same memory %v\n%x", int32(result), trapped, int32(result2), trapped2, bytes.Equal(memory, memory2), original)
		}
		if _, _, _, again := outcome(metered); again != spent || spent < 1 {
			t.Fatalf("it spent %d, and %d in a second run", spent, again)
		}
	})
}

// FuzzMeter feeds anything. What is metered must be valid exactly if the original is, must not be metered again, and
// must leave no instruction that could reach the fuel.
func FuzzMeter(f *testing.F) {
	f.Add(main(1, times(10), w.Const(7)).Bytes())
	many := main(0, w.Call(0))
	many.Tables, many.Elements, many.Globals, many.Start = []byte{1, 0x70, 0, 1}, []byte{1, 0, 0x41, 0, 0x0b, 1, 0}, []byte{1, typeI64, 1, 0x42, 0, 0x0b}, 1
	many.Funcs, many.Data = append(many.Funcs, w.Func{Code: w.Forever}), "data"
	f.Add(many.Bytes())
	f.Add(rapid.Custom(randomModule).Example(1))
	f.Add(w.Decide(w.Const(0)...).Bytes())
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(16).WithCoreFeatures(api.CoreFeaturesV2&^api.CoreFeatureSIMD))
	compiles := func(module []byte) error {
		compiled, err := r.CompileModule(ctx, module)
		if err == nil {
			err = compiled.Close(ctx)
		}
		return err
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		metered, err := Meter(module, 1)
		if err != nil {
			return
		}
		if len(metered) > 64+32*len(module) {
			t.Errorf("%d bytes became %d", len(module), len(metered))
		}
		if _, err := Meter(metered, 1); err == nil {
			t.Errorf("%x was metered twice", module)
		}
		before, after := compiles(module), compiles(metered)
		if (before == nil) != (after == nil) && !knownDifference(module, before) {
			t.Errorf("%x: the original: %v; metered: %v", module, before, after)
		}
	})
}

// knownDifference is what the original may be refused for and the metered module not: custom sections are left out.
func knownDifference(module []byte, before error) bool {
	if before == nil {
		return false
	}
	for rest := module[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if rest[0] == sectionCustom {
			return true
		}
		rest = rest[1+n+int(size):]
	}
	return false
}
