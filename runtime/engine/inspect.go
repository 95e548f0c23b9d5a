package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// Inspection is what can be told of a module without running it.
type Inspection struct {
	// Size is the module's, in bytes.
	Size int `json:"size"`
	// Imports are written as module.function, and Exports are the functions; Hooks are those of the ABI among them. All
	// are sorted.
	Imports []string `json:"imports"`
	Exports []string `json:"exports"`
	Hooks   []string `json:"hooks"`
	// MemoryBytes is how large an instance's memory is at first, and MaxMemoryBytes how large the module lets it grow; 0: it
	// does not say.
	MemoryBytes    int64 `json:"memory_bytes"`
	MaxMemoryBytes int64 `json:"max_memory_bytes,omitempty"`
	// Refused is why the module cannot be loaded; empty: it can be.
	Refused string `json:"refused,omitempty"`
}

// Inspect describes a module. Of one that is no valid WebAssembly, only the size and the reason are known. It sets
// Refused for no other reason: what [Engine.Load] has against a module, only Load can tell.
func (e *Engine) Inspect(ctx context.Context, wasm []byte) (_ Inspection, err error) {
	about := Inspection{Size: len(wasm), Imports: []string{}, Exports: []string{}, Hooks: []string{}}
	if len(wasm) > abi.MaxModule {
		about.Refused = refused("module has %d bytes, at most %d are allowed", len(wasm), abi.MaxModule).Error()
		return about, nil
	}
	// The interpreter makes no machine code, so this takes a fraction of what Load does.
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer func() {
		if failed := runtime.Close(ctx); failed != nil && err == nil {
			err = fmt.Errorf("close the runtime: %w", failed)
		}
	}()
	compiled, failed := runtime.CompileModule(ctx, wasm)
	if failed != nil {
		about.Refused = refused("module does not compile: %v", failed).Error()
		return about, ctx.Err()
	}
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		about.Imports = append(about.Imports, module+"."+name)
	}
	slices.Sort(about.Imports)
	about.Imports = slices.Compact(about.Imports)
	about.Exports = slices.AppendSeq(about.Exports, maps.Keys(compiled.ExportedFunctions()))
	slices.Sort(about.Exports)
	for _, name := range about.Exports {
		if _, ok := abi.Hooks[name]; ok {
			about.Hooks = append(about.Hooks, name)
		}
	}
	if memory, ok := compiled.ExportedMemories()["memory"]; ok {
		about.MemoryBytes = int64(memory.Min()) * pageSize
		if most, ok := memory.Max(); ok {
			about.MaxMemoryBytes = int64(most) * pageSize
		}
	}
	return about, nil
}
