//go:build wasip1

package policy

import (
	"runtime/debug"
	"unsafe"
)

// memoryLimit is where Go's collector begins to work hard, half of the memory that the host gives by default: without
// it the heap grows to the host's cap, and the policy ends there.
const memoryLimit = 8 << 20

// imports is the host that the ABI's import module stands for.
type imports struct{}

func newHost() host {
	debug.SetMemoryLimit(memoryLimit)
	return imports{}
}

//go:wasmexport configure
func configure() int32 { return module.configure() }

//go:wasmexport decide
func decide() int32 { return module.decide() }

//go:wasmexport on_result
func onResult() int32 { return module.onResult() }

//go:wasmexport on_tick
func onTick() int32 { return module.onTick() }

//go:wasmimport perihelion_v1 get_int
func importGetInt(field, index int32) int64

//go:wasmimport perihelion_v1 get_bytes
func importGetBytes(field, index int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport perihelion_v1 count
func importCount(field int32) int32

//go:wasmimport perihelion_v1 set_int
func importSetInt(decision int32, value int64) int32

//go:wasmimport perihelion_v1 set_bytes
func importSetBytes(decision int32, text string) int32

//go:wasmimport perihelion_v1 select
func importSelect(i int32) int32

//go:wasmimport perihelion_v1 kv_get
func importKVGet(key string, buf unsafe.Pointer, size uint32) int32

//go:wasmimport perihelion_v1 kv_set
func importKVSet(key, value string, ttlMS int64) int32

//go:wasmimport perihelion_v1 metric_add
func importMetricAdd(name string, delta int64) int32

//go:wasmimport perihelion_v1 config
func importConfig(buf unsafe.Pointer, size uint32) int32

//go:wasmimport perihelion_v1 now_ms
func importNowMS() int64

//go:wasmimport perihelion_v1 log
func importLog(level int32, line string)

func (imports) getInt(field, index int32) int64 { return importGetInt(field, index) }

func (imports) getBytes(field, index int32, buf []byte) int32 {
	return importGetBytes(field, index, unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

func (imports) count(field int32) int32 { return importCount(field) }

func (imports) setInt(decision int32, value int64) int32 { return importSetInt(decision, value) }

func (imports) setBytes(decision int32, text string) int32 { return importSetBytes(decision, text) }

func (imports) selects(i int32) int32 { return importSelect(i) }

func (imports) kvGet(key string, buf []byte) int32 {
	return importKVGet(key, unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

func (imports) kvSet(key, value string, ttlMS int64) int32 { return importKVSet(key, value, ttlMS) }

func (imports) metricAdd(name string, delta int64) int32 { return importMetricAdd(name, delta) }

func (imports) config(buf []byte) int32 {
	return importConfig(unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

func (imports) nowMillis() int64 { return importNowMS() }

func (imports) log(level int32, line string) { importLog(level, line) }
