package engine

import (
	"context"
	"math"
	"time"

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
	// SetInt and SetBytes take a part of the decision, which exists and is within the bounds of the ABI. What is read of
	// a guest is no text yet: it may hold any byte.
	SetInt(decision abi.Decision, value int64) abi.Result
	SetBytes(decision abi.Decision, value string) abi.Result
}

type instanceKey struct{}

// caller returns the instance that calls a function of the host, charged for the call.
func caller(ctx context.Context, guest api.Module) *instance {
	one := ctx.Value(instanceKey{}).(*instance)
	if one.fuel == nil { // in the start function
		one.fuel = meterOf(guest)
	}
	one.charge(callSteps)
	return one
}

const (
	// callSteps is what a call of the host costs in fuel, and stepBytes how many bytes that are copied cost one more: a
	// guest that calls in a loop would else keep the host busy for what costs the guest nothing.
	callSteps = 10
	stepBytes = 64
	// logSteps is what a log line costs beyond that: most are dropped, but it is read first.
	logSteps = 30
	// storeSteps is what a look into the store or at a counter costs beyond that.
	storeSteps = 20
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// hostFunc is called for an instance, which was charged for the call. guest is that instance's, also where it is being
// made and has none yet.
type hostFunc func(one *instance, guest api.Module, stack []uint64)

// function is one function of the host.
type function struct {
	params, results []api.ValueType
	call            hostFunc
}

// functions are those of the module perihelion_v1, typed as the ABI has them.
func functions() map[string]function {
	all := map[string]function{}
	for name, f := range map[string]hostFunc{
		abi.FunctionGetInt: getInt, abi.FunctionGetBytes: getBytes, abi.FunctionCount: count, abi.FunctionSelect: selects,
		abi.FunctionSetInt: setInt, abi.FunctionSetBytes: setBytes, abi.FunctionConfig: config, abi.FunctionNowMS: nowMillis,
		abi.FunctionKVGet: kvGet, abi.FunctionKVSet: kvSet, abi.FunctionMetricAdd: metricAdd, abi.FunctionLog: logLine,
	} {
		all[name] = function{types(abi.Functions[name].Params), types(abi.Functions[name].Results), f}
	}
	return all
}

// provided returns all that a guest may import, by module and name.
func provided() map[string]map[string]function {
	return map[string]map[string]function{
		abi.ModuleName: functions(), wasiModule: wasi(), abortModule: {abortName: {[]api.ValueType{i32, i32, i32, i32}, nil, abort}},
	}
}

// provide makes known to the module's runtime what it imports of the host's functions, and no more: each takes code of
// its own.
func (m *Module) provide(ctx context.Context) error {
	needed := map[string]map[string]function{}
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if needed[module] == nil {
			needed[module] = map[string]function{}
		}
		needed[module][name] = m.engine.provided[module][name]
	}
	for module, all := range needed {
		builder := m.runtime.NewHostModuleBuilder(module)
		for name, f := range all {
			builder = builder.NewFunctionBuilder().WithGoModuleFunction(called(f.call), f.params, f.results).Export(name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// called makes a function of the host one that wazero can call.
func called(f hostFunc) api.GoModuleFunc {
	return func(ctx context.Context, guest api.Module, stack []uint64) { f(caller(ctx, guest), guest, stack) }
}

func result(stack []uint64, r abi.Result) { stack[0] = api.EncodeI32(int32(r)) }

func getInt(one *instance, guest api.Module, stack []uint64) {
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

func getBytes(one *instance, guest api.Module, stack []uint64) {
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
	one.write(guest, stack, text, buffer, capacity)
}

// write puts text where the guest has room for it, and its length on the stack.
func (i *instance) write(guest api.Module, stack []uint64, text string, buffer, capacity uint32) {
	if uint64(len(text)) <= uint64(capacity) {
		i.charge(len(text) / stepBytes)
		if !guest.Memory().WriteString(buffer, text) {
			result(stack, abi.ResultBounds)
			return
		}
	}
	stack[0] = api.EncodeI32(int32(len(text)))
}

func count(one *instance, guest api.Module, stack []uint64) {
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	stack[0] = api.EncodeI32(one.current.Count(abi.Field(int32(stack[0]))))
}

func setInt(one *instance, guest api.Module, stack []uint64) {
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	decision, value := abi.Decision(int32(stack[0])), int64(stack[1])
	least, most := decision.Bounds()
	switch {
	case decision.Kind() != abi.KindInt:
		result(stack, abi.ResultUnknown)
	case value < least || value > most:
		result(stack, abi.ResultRefused)
	default:
		result(stack, one.current.SetInt(decision, value))
	}
}

func setBytes(one *instance, guest api.Module, stack []uint64) {
	if one.current == nil {
		result(stack, abi.ResultWrongHook)
		return
	}
	decision, length := abi.Decision(int32(stack[0])), uint32(stack[2])
	if kind := decision.Kind(); kind != abi.KindBytes && kind != abi.KindBytesList {
		result(stack, abi.ResultUnknown)
		return
	}
	if _, most := decision.Bounds(); int64(length) > most {
		result(stack, abi.ResultRefused)
		return
	}
	if text, ok := one.read(guest, stack, uint32(stack[1]), length); ok {
		result(stack, one.current.SetBytes(decision, text))
	}
}

// read returns a copy of what lies in a guest's memory; where it lies outside, that is on the stack. The length has been
// checked against its cap.
func (i *instance) read(guest api.Module, stack []uint64, buffer, length uint32) (string, bool) {
	i.charge(int(length) / stepBytes)
	text, ok := guest.Memory().Read(buffer, length)
	if !ok {
		result(stack, abi.ResultBounds)
	}
	return string(text), ok
}

// selects is the function select, whose name Go has taken.
func selects(one *instance, _ api.Module, stack []uint64) {
	index := int32(stack[0])
	switch {
	case one.hook != abi.HookOnTick:
		result(stack, abi.ResultWrongHook)
	case index < 0 || int(index) >= len(one.hot):
		result(stack, abi.ResultNoIndex)
	default:
		one.current = one.hot[index]
		result(stack, 0)
	}
}

func kvGet(one *instance, guest api.Module, stack []uint64) {
	buffer, capacity := uint32(stack[2]), uint32(stack[3])
	key, ok := one.key(guest, stack)
	if !ok {
		return
	}
	value, ok := one.store.Get(one.tenant, key)
	if !ok {
		result(stack, abi.ResultNoIndex)
		return
	}
	one.write(guest, stack, value, buffer, capacity)
}

// key reads a key of the store from where the first two arguments say; where there is none, why is on the stack.
func (i *instance) key(guest api.Module, stack []uint64) (string, bool) {
	length := uint32(stack[1])
	if length == 0 || length > abi.MaxKVKey {
		result(stack, abi.ResultRefused)
		return "", false
	}
	i.charge(storeSteps)
	return i.read(guest, stack, uint32(stack[0]), length)
}

func kvSet(one *instance, guest api.Module, stack []uint64) {
	buffer, length, ttl := uint32(stack[2]), uint32(stack[3]), int64(stack[4])
	if length > abi.MaxKVValue || ttl < 0 {
		result(stack, abi.ResultRefused)
		return
	}
	key, ok := one.key(guest, stack)
	if !ok {
		return
	}
	if value, ok := one.read(guest, stack, buffer, length); ok {
		// A longer time than a Duration holds is as good as for ever, within the life of a process.
		result(stack, one.store.Set(one.tenant, key, value, time.Duration(min(ttl, math.MaxInt64/int64(time.Millisecond)))*time.Millisecond))
	}
}

func metricAdd(one *instance, guest api.Module, stack []uint64) {
	length, delta := uint32(stack[1]), int64(stack[2])
	if length > abi.MaxMetricName {
		result(stack, abi.ResultRefused)
		return
	}
	one.charge(storeSteps)
	if name, ok := one.read(guest, stack, uint32(stack[0]), length); ok {
		result(stack, one.counters.Add(name, delta))
	}
}

func config(one *instance, guest api.Module, stack []uint64) {
	one.write(guest, stack, one.module.config, uint32(stack[0]), uint32(stack[1]))
}

func nowMillis(one *instance, guest api.Module, stack []uint64) {
	stack[0] = api.EncodeI64(one.module.engine.options.Now().UnixMilli())
}

func logLine(one *instance, guest api.Module, stack []uint64) {
	level, buffer, length := int32(stack[0]), uint32(stack[1]), uint32(stack[2])
	one.charge(logSteps)
	text, ok := guest.Memory().Read(buffer, min(length, abi.MaxLogLine))
	if ok {
		one.module.log(int(level), string(text))
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
