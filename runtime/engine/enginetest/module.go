// Package enginetest writes small WebAssembly modules, for tests that need guests which no compiler would make
// (WebAssembly Core Specification 2.0, chapter 5, binary format).
package enginetest

// I32 and I64 are value types.
const (
	I32 = 0x7f
	I64 = 0x7e
)

// Import is an imported function.
type Import struct {
	Module, Name    string
	Params, Results []byte
}

// Func is a function of the module. Code is its body without locals and without its end.
type Func struct {
	// Export is the name that it is exported under; empty: it is not.
	Export          string
	Params, Results []byte
	// Locals are how many locals of the type i32 it has.
	Locals int
	Code   []byte
}

// Module is a module. Functions are numbered from the imports on.
type Module struct {
	Imports []Import
	Funcs   []Func
	// Pages is the size of the memory at its start; negative: there is none.
	Pages int
	// MemoryExport is the name that the memory is exported under; empty: "memory".
	MemoryExport string
	// Tables is the body of the table section, Globals that of the globals, Elements that of the segments of tables; nil:
	// there is none.
	Tables, Globals, Elements []byte
	// Start is the number of the start function; 0: there is none.
	Start int
	// Data lies at address 0.
	Data string
}

// Decide returns a module whose decide has the given body, with the functions of the ABI as its imports, see [Host].
func Decide(code ...byte) Module {
	return Module{Imports: Host(), Pages: 1, Funcs: []Func{{Export: "decide", Results: []byte{I32}, Code: code}}}
}

// The imports of [Host] by number.
const (
	GetInt = iota
	GetBytes
	Count
	SetInt
	SetBytes
	Config
	Log
	Select
	KVGet
	KVSet
	MetricAdd
	NowMS
	// Self is the number of the first function of a module of [Decide].
	Self
)

// Host returns the functions of the ABI as imports.
func Host() []Import {
	const module = "perihelion_v1"
	return []Import{
		{module, "get_int", []byte{I32, I32}, []byte{I64}},
		{module, "get_bytes", []byte{I32, I32, I32, I32}, []byte{I32}},
		{module, "count", []byte{I32}, []byte{I32}},
		{module, "set_int", []byte{I32, I64}, []byte{I32}},
		{module, "set_bytes", []byte{I32, I32, I32}, []byte{I32}},
		{module, "config", []byte{I32, I32}, []byte{I32}},
		{module, "log", []byte{I32, I32, I32}, nil},
		{module, "select", []byte{I32}, []byte{I32}},
		{module, "kv_get", []byte{I32, I32, I32, I32}, []byte{I32}},
		{module, "kv_set", []byte{I32, I32, I32, I32, I64}, []byte{I32}},
		{module, "metric_add", []byte{I32, I32, I64}, []byte{I32}},
		{module, "now_ms", nil, []byte{I64}},
	}
}

// Code joins pieces of code.
func Code(pieces ...[]byte) []byte {
	var all []byte
	for _, p := range pieces {
		all = append(all, p...)
	}
	return all
}

// Const is i32.const.
func Const(n int32) []byte { return append([]byte{0x41}, signed(int64(n))...) }

// Const64 is i64.const.
func Const64(n int64) []byte { return append([]byte{0x42}, signed(n)...) }

// Call is a call of a function by number.
func Call(n int) []byte { return append([]byte{0x10}, unsigned(uint64(n))...) }

// Drop drops the value on top of the stack, Unreachable traps, and Forever is a loop without end.
var (
	Drop        = []byte{0x1a}
	Unreachable = []byte{0x00}
	Forever     = []byte{0x03, 0x40, 0x0c, 0x00, 0x0b}
	// Grow grows the memory by the pages on top of the stack.
	Grow = []byte{0x40, 0x00}
	// Wrap makes an i32 of the i64 on top of the stack.
	Wrap = []byte{0xa7}
	// Load reads an i32 from the address on top of the stack, and Store writes the one on top to the address below it.
	Load  = []byte{0x28, 0x02, 0x00}
	Store = []byte{0x36, 0x02, 0x00}
	// If runs what follows, up to End, where the i32 on top of the stack is not 0. Return leaves the function.
	If     = []byte{0x04, 0x40}
	Return = []byte{0x0f}
	End    = []byte{0x0b}
	// GrowTable grows table 0 by the items on top of the stack, each null.
	GrowTable = []byte{0xfc, 0x0f, 0x00}
	// Null is a reference to no function.
	Null = []byte{0xd0, 0x70}
)

// Bytes returns the module in the binary format.
func (m Module) Bytes() []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	var types, imports, funcs, exports, codes [][]byte
	numbers := map[string]uint64{}
	typeOf := func(params, results []byte) []byte {
		t := functionType(params, results)
		if _, ok := numbers[string(t)]; !ok {
			numbers[string(t)] = uint64(len(types))
			types = append(types, t)
		}
		return unsigned(numbers[string(t)])
	}
	for _, f := range m.Imports {
		imports = append(imports, Code(text(f.Module), text(f.Name), []byte{0}, typeOf(f.Params, f.Results)))
	}
	for i, f := range m.Funcs {
		n := uint64(len(m.Imports) + i)
		funcs = append(funcs, typeOf(f.Params, f.Results))
		if f.Export != "" {
			exports = append(exports, Code(text(f.Export), []byte{0}, unsigned(n)))
		}
		locals := []byte{0}
		if f.Locals > 0 {
			locals = Code([]byte{1}, unsigned(uint64(f.Locals)), []byte{I32})
		}
		body := Code(locals, f.Code, []byte{0x0b})
		codes = append(codes, Code(unsigned(uint64(len(body))), body))
	}
	out = section(out, 1, types)
	out = section(out, 2, imports)
	out = section(out, 3, funcs)
	out = raw(out, 4, m.Tables)
	if m.Pages >= 0 {
		out = section(out, 5, [][]byte{Code([]byte{0}, unsigned(uint64(m.Pages)))})
		name := m.MemoryExport
		if name == "" {
			name = "memory"
		}
		exports = append(exports, Code(text(name), []byte{2, 0}))
	}
	out = raw(out, 6, m.Globals)
	out = section(out, 7, exports)
	if m.Start > 0 {
		out = raw(out, 8, unsigned(uint64(m.Start)))
	}
	out = raw(out, 9, m.Elements)
	out = section(out, 10, codes)
	if m.Data != "" {
		out = section(out, 11, [][]byte{Code([]byte{0}, Const(0), []byte{0x0b}, text(m.Data))})
	}
	return out
}

func functionType(params, results []byte) []byte {
	return Code([]byte{0x60}, unsigned(uint64(len(params))), params, unsigned(uint64(len(results))), results)
}

func section(out []byte, id byte, items [][]byte) []byte {
	if len(items) == 0 {
		return out
	}
	body := Code(append([][]byte{unsigned(uint64(len(items)))}, items...)...)
	return append(append(append(out, id), unsigned(uint64(len(body)))...), body...)
}

// raw appends a section whose body is given.
func raw(out []byte, id byte, body []byte) []byte {
	if body == nil {
		return out
	}
	return append(append(append(out, id), unsigned(uint64(len(body)))...), body...)
}

func text(s string) []byte { return append(unsigned(uint64(len(s))), s...) }

// unsigned and signed are LEB128.
func unsigned(n uint64) []byte {
	var out []byte
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(out, byte(n))
}

func signed(n int64) []byte {
	var out []byte
	for {
		b := byte(n) & 0x7f
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
