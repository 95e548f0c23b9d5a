package engine

import (
	"context"
	"math"

	"github.com/tetratelabs/wazero/api"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// Call is one call of a hook as its caller sees it: it answers what the guest asks, and takes what it decides. Its
// methods are called from the goroutine that made the call, and must be quick: nothing interrupts them.
type Call interface {
	// Int returns an integer field. ok is false where it is not known, also of a field that does not exist.
	Int(field abi.Field, index int) (value int64, ok bool)
	// Bytes returns a field of bytes; a result other than 0 says why it does not.
	Bytes(field abi.Field, index int) (string, abi.Result)
	// Count returns how many items a list has, or a negative result.
	Count(field abi.Field) int32
	// Decided returns what has been decided so far.
	Decided(decision abi.Decision) (value int64, ok bool)
	// SetInt and SetBytes take a part of the decision.
	SetInt(decision abi.Decision, value int64) abi.Result
	SetBytes(decision abi.Decision, value string) abi.Result
}

// maxSetBytes bounds what set_bytes reads of a guest's memory, before the decision's own bound is asked.
const maxSetBytes = 4 << 10

type instanceKey struct{}

func caller(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// function is one function of the host.
type function struct {
	params, results []api.ValueType
	call            func(ctx context.Context, guest api.Module, stack []uint64)
}

// functions are those of the module perihelion_v1.
func functions() map[string]function {
	return map[string]function{
		"get_int":   {[]api.ValueType{i32, i32}, []api.ValueType{i64}, getInt},
		"get_bytes": {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, getBytes},
		"count":     {[]api.ValueType{i32}, []api.ValueType{i32}, count},
		"set_int":   {[]api.ValueType{i32, i64}, []api.ValueType{i32}, setInt},
		"set_bytes": {[]api.ValueType{i32, i32, i32}, []api.ValueType{i32}, setBytes},
		"config":    {[]api.ValueType{i32, i32}, []api.ValueType{i32}, config},
		"now_ms":    {nil, []api.ValueType{i64}, nowMillis},
		"log":       {[]api.ValueType{i32, i32, i32}, nil, logLine},
	}
}

// provide makes the host's functions known to the module's runtime.
func (m *Module) provide(ctx context.Context) error {
	for module, all := range map[string]map[string]function{
		abi.ModuleName: functions(), wasiModule: wasi(), abortModule: {abortName: {[]api.ValueType{i32, i32, i32, i32}, nil, abort}},
	} {
		builder := m.runtime.NewHostModuleBuilder(module)
		for name, f := range all {
			builder = builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(f.call), f.params, f.results).Export(name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// known reports whether the host provides a function.
func known(module, name string) bool {
	var ok bool
	switch module {
	case abi.ModuleName:
		_, ok = functions()[name]
	case wasiModule:
		_, ok = wasi()[name]
	case abortModule:
		ok = name == abortName
	}
	return ok
}

func result(stack []uint64, r abi.Result) { stack[0] = api.EncodeI32(int32(r)) }

func getInt(ctx context.Context, _ api.Module, stack []uint64) {
	one := caller(ctx)
	field, index := int32(stack[0]), int32(stack[1])
	value, ok := int64(0), false
	switch {
	case one.current == nil:
	case field >= abi.ReadBack:
		if index == 0 {
			value, ok = one.current.Decided(abi.Decision(field - abi.ReadBack))
		}
	case index >= 0:
		value, ok = one.current.Int(abi.Field(field), int(index))
	}
	if !ok {
		value = math.MinInt64
	}
	stack[0] = api.EncodeI64(value)
}

func getBytes(ctx context.Context, guest api.Module, stack []uint64) {
	one := caller(ctx)
	field, index, buffer, capacity := int32(stack[0]), int32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	if index < 0 {
		result(stack, abi.ResultNoIndex)
		return
	}
	text, r := one.current.Bytes(abi.Field(field), int(index))
	if r != 0 {
		result(stack, r)
		return
	}
	write(guest, stack, text, buffer, capacity)
}

// write puts text where the guest has room for it, and its length on the stack.
func write(guest api.Module, stack []uint64, text string, buffer, capacity uint32) {
	if uint64(len(text)) <= uint64(capacity) && !guest.Memory().WriteString(buffer, text) {
		result(stack, abi.ResultBounds)
		return
	}
	stack[0] = api.EncodeI32(int32(len(text)))
}

func count(ctx context.Context, _ api.Module, stack []uint64) {
	one := caller(ctx)
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	stack[0] = api.EncodeI32(one.current.Count(abi.Field(int32(stack[0]))))
}

func setInt(ctx context.Context, _ api.Module, stack []uint64) {
	one := caller(ctx)
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	result(stack, one.current.SetInt(abi.Decision(int32(stack[0])), int64(stack[1])))
}

func setBytes(ctx context.Context, guest api.Module, stack []uint64) {
	one := caller(ctx)
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	decision, buffer, length := abi.Decision(int32(stack[0])), uint32(stack[1]), uint32(stack[2])
	if length > maxSetBytes {
		result(stack, abi.ResultRefused)
		return
	}
	text, ok := guest.Memory().Read(buffer, length)
	if !ok {
		result(stack, abi.ResultBounds)
		return
	}
	result(stack, one.current.SetBytes(decision, string(text)))
}

func config(ctx context.Context, guest api.Module, stack []uint64) {
	write(guest, stack, string(caller(ctx).module.options.Config), uint32(stack[0]), uint32(stack[1]))
}

func nowMillis(ctx context.Context, _ api.Module, stack []uint64) {
	stack[0] = api.EncodeI64(caller(ctx).module.engine.options.Now().UnixMilli())
}

func logLine(ctx context.Context, guest api.Module, stack []uint64) {
	level, buffer, length := int32(stack[0]), uint32(stack[1]), uint32(stack[2])
	text, ok := guest.Memory().Read(buffer, min(length, abi.MaxLogLine))
	if ok {
		caller(ctx).module.log(int(level), string(text))
	}
}

// log passes a line on, where the module has not logged too much already.
func (m *Module) log(level int, text string) {
	if m.options.Log == nil {
		return
	}
	if ok, dropped := m.limiter.allow(m.engine.options.Now()); ok {
		m.options.Log(level, printable(text, abi.MaxLogLine), dropped)
	}
}
