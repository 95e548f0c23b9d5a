//go:build !wasip1

package main

import (
	"context"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// host serves the functions of the ABI that the policy uses, for one statement at a time.
type host struct {
	config     string
	relations  []string
	countsAs   int32 // where not 0, what count answers
	defaultTTL int64
	ints       map[int32]int64
	reason     string
	logged     []string
}

// begin makes ready for the next statement.
func (h *host) begin(relations []string, cached int64) {
	h.relations, h.reason = relations, ""
	h.ints = map[int32]int64{int32(abi.DecisionCache): cached, int32(abi.DecisionTTLMS): h.defaultTTL}
}

func write(guest api.Module, text string, buf, size uint32) int32 {
	if len(text) <= int(size) && !guest.Memory().WriteString(buf, text) {
		return int32(abi.ResultBounds)
	}
	return int32(len(text))
}

func read(guest api.Module, buf, size uint32) string {
	text, ok := guest.Memory().Read(buf, size)
	if !ok {
		return "<outside the guest's memory>"
	}
	return string(text)
}

// built is a policy as it was built, and what was compiled of it.
type built struct {
	wasm  []byte
	cache wazero.CompilationCache
}

// instance starts a built policy on the host, within the memory that a policy has by default.
func (h *host) instance(ctx context.Context, t *testing.T, b built) api.Module {
	t.Helper()
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(256).WithCompilationCache(b.cache)
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() {
		if err := runtime.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close the runtime: %v", err)
		}
	})
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	module := runtime.NewHostModuleBuilder(abi.ModuleName)
	for name, function := range map[string]any{
		abi.FunctionGetInt: func(_ context.Context, field, _ int32) int64 {
			if value, ok := h.ints[field-abi.ReadBack]; ok {
				return value
			}
			return math.MinInt64
		},
		abi.FunctionGetBytes: func(_ context.Context, guest api.Module, field, index int32, buf, size uint32) int32 {
			if abi.Field(field) != abi.FieldRelation {
				return int32(abi.ResultUnknown)
			}
			if int(index) >= len(h.relations) {
				return int32(abi.ResultNoIndex)
			}
			return write(guest, h.relations[index], buf, size)
		},
		abi.FunctionCount: func(context.Context, int32) int32 {
			if h.countsAs != 0 {
				return h.countsAs
			}
			return int32(len(h.relations))
		},
		abi.FunctionSetInt: func(_ context.Context, decision int32, value int64) int32 { h.ints[decision] = value; return 0 },
		abi.FunctionSetBytes: func(_ context.Context, guest api.Module, _ int32, buf, size uint32) int32 {
			h.reason = read(guest, buf, size)
			return 0
		},
		abi.FunctionConfig: func(_ context.Context, guest api.Module, buf, size uint32) int32 {
			return write(guest, h.config, buf, size)
		},
		abi.FunctionNowMS: func(context.Context) int64 { return 0 },
		abi.FunctionLog: func(_ context.Context, guest api.Module, _ int32, buf, size uint32) {
			h.logged = append(h.logged, read(guest, buf, size))
		},
	} {
		module = module.NewFunctionBuilder().WithFunc(function).Export(name)
	}
	if _, err := module.Instantiate(ctx); err != nil {
		t.Fatalf("provide the host's functions: %v", err)
	}
	guest, err := runtime.InstantiateWithConfig(ctx, b.wasm, wazero.NewModuleConfig().WithStartFunctions(abi.HookInitialize))
	if err != nil {
		t.Fatalf("start the policy: %v", err)
	}
	return guest
}
