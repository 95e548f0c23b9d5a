package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine/fuel"
)

const (
	// DefaultMemory is the memory cap of an instance, in bytes.
	DefaultMemory = 16 << 20
	// MaxMemory is the largest cap that can be set, in bytes.
	MaxMemory = 256 << 20
	pageSize  = 64 << 10

	// DefaultFuel is what one call of decide may spend: a flat decision in Go spends dozens of it, and a million stops a
	// busy loop within milliseconds.
	DefaultFuel = 500_000
	// MaxFuel is the most that can be set.
	MaxFuel = 20_000_000
	// manyTimes is how many times as much a call may spend that is rare: the start of an instance, configure, on_tick.
	manyTimes = 10
)

// Options configure an [Engine]. The zero value of each stands for its default.
type Options struct {
	// CacheDir keeps compiled modules between processes. It is made with mode 0700, and refused where others may write
	// to it: it holds native code. Empty: they are kept in memory.
	CacheDir string
	// CompileTimeout bounds how long a module is compiled; 0: a minute, of which a large program in Go takes a second. It
	// ends between two functions, whose own size package fuel bounds.
	CompileTimeout time.Duration
	// Now is the clock that guests see; nil: the wall clock.
	Now func() time.Time
}

// Engine compiles modules. It is safe for concurrent use.
type Engine struct {
	options  Options
	cache    wazero.CompilationCache
	provided map[string]map[string]function
}

// New returns an engine. Its cache folder is made where it is not there.
func New(o Options) (*Engine, error) {
	if o.CompileTimeout <= 0 {
		o.CompileTimeout = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Engine{options: o, provided: provided()}
	if o.CacheDir == "" {
		e.cache = wazero.NewCompilationCache()
		return e, nil
	}
	if err := ownFolder(o.CacheDir); err != nil {
		return nil, err
	}
	var err error
	if e.cache, err = wazero.NewCompilationCacheWithDir(o.CacheDir); err != nil {
		return nil, fmt.Errorf("open the folder for compiled modules: %w", err)
	}
	return e, nil
}

// ownFolder makes a folder that nobody else may write to, or checks that it is one.
func ownFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for compiled modules: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the folder for compiled modules: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("folder for compiled modules %s may be written to by others (mode %o): it holds native code; chmod 700 it", dir, info.Mode().Perm())
	}
	return nil
}

// Close gives back what the engine holds. Its modules must be closed before.
func (e *Engine) Close(ctx context.Context) error {
	if err := e.cache.Close(ctx); err != nil {
		return fmt.Errorf("close the compilation cache: %w", err)
	}
	return nil
}

// features are the WebAssembly that a guest may use, all of which is metered.
const features = api.CoreFeaturesV2 &^ api.CoreFeatureSIMD

// ModuleOptions are what one module is loaded with.
type ModuleOptions struct {
	// Config is handed to the module by the function config; at most 64 KiB.
	Config []byte
	// Memory caps an instance's memory, in bytes; 0: [DefaultMemory]. It is rounded down to whole pages of 64 KiB.
	Memory int
	// Fuel bounds what one call of decide or on_result may do, see package fuel; 0: [DefaultFuel]. The start of an
	// instance, its configure and on_tick may do ten times as much, and so may a call for which those before it saved.
	Fuel int64
	// Seed makes the randomness that the guest gets; with the tenant's name it is the same for each run.
	Seed uint64
	// Log gets the guest's log lines, at most 1 KiB each and a few a second. level is the guest's, see [abi.Level]; it may
	// be any number. dropped is how many lines were dropped before this one. Nil: nobody does.
	Log func(level int, message string, dropped int)
	// Store is what kv_get and kv_set work on, and Counters what metric_add does; nil: new ones, which end with the
	// module.
	Store    *Store
	Counters *Counters
}

// Load compiles a module, checks what it imports and exports, and makes one instance, whose configure it calls. What
// fails of this is a [*RefusedError]. It takes as long as it takes: up to seconds for a module of a few megabytes.
func (e *Engine) Load(ctx context.Context, wasm []byte, o ModuleOptions) (_ *Module, err error) {
	switch {
	case len(wasm) > abi.MaxModule:
		return nil, refused("module has %d bytes, at most %d are allowed", len(wasm), abi.MaxModule)
	case len(o.Config) > abi.MaxConfig:
		return nil, refused("configuration has %d bytes as JSON, at most %d are allowed", len(o.Config), abi.MaxConfig)
	case o.Memory < 0 || o.Memory > MaxMemory:
		return nil, refused("memory of %d bytes is asked for, at most %d are allowed", o.Memory, MaxMemory)
	case o.Fuel < 0 || o.Fuel > MaxFuel:
		return nil, refused("fuel of %d is asked for, at most %d is allowed", o.Fuel, MaxFuel)
	}
	o.Memory, o.Fuel = cmp.Or(o.Memory, DefaultMemory), cmp.Or(o.Fuel, DefaultFuel)
	pages := uint32(o.Memory / pageSize)
	if pages == 0 {
		return nil, refused("memory of %d bytes is less than a page of %d", o.Memory, pageSize)
	}
	config := wazero.NewRuntimeConfig().WithCompilationCache(e.cache).WithMemoryLimitPages(pages).WithCoreFeatures(features)
	m := &Module{engine: e, options: o, config: string(o.Config), runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	m.mu.pools = map[string]*pool{}
	if m.options.Store == nil {
		m.options.Store = NewStore(e.options.Now)
	}
	if m.options.Counters == nil {
		m.options.Counters = &Counters{}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close(context.WithoutCancel(ctx)))
		}
	}()
	var r *RefusedError
	switch wasm, err = limitTables(wasm); {
	case errors.As(err, &r):
		return nil, r
	case err != nil:
		return nil, refused("module does not compile: %v", err)
	}
	if wasm, err = fuel.Meter(wasm, o.Fuel*manyTimes); err != nil {
		return nil, refused("module cannot be metered: %v", err)
	}
	if m.compiled, err = m.compile(ctx, wasm); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := m.provide(ctx); err != nil {
		return nil, fmt.Errorf("provide the host's functions: %w", err)
	}
	// The trial is no tenant's, so nobody could use this instance afterwards, and what it keeps or counts is dropped.
	one, err := m.instantiate(ctx, "", NewStore(e.options.Now), &Counters{})
	if err != nil {
		var f *Failure
		if errors.As(err, &f) {
			return nil, refused("module does not start: %v", f)
		}
		return nil, err
	}
	one.close(ctx)
	return m, nil
}

// compileWorkers is how many functions are compiled at a time. Two halve the time; and wazero looks at a context only
// where there is more than one.
const compileWorkers = 2

// compile turns a metered module into machine code, within its time.
func (m *Module) compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, error) {
	limit := m.engine.options.CompileTimeout
	within, stop := context.WithTimeout(experimental.WithCompilationWorkers(ctx, compileWorkers), limit)
	defer stop()
	compiled, err := m.runtime.CompileModule(within, wasm)
	switch {
	case err == nil:
		return compiled, nil
	case ctx.Err() != nil: // says nothing about the module
		return nil, context.Cause(ctx)
	case within.Err() != nil:
		return nil, refused("module takes longer than %s to compile", limit)
	}
	return nil, refused("module does not compile: %v", err)
}

// check looks at what a module imports and exports.
func (m *Module) check() error {
	var foreign []string
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if _, ok := m.engine.provided[module][name]; !ok {
			foreign = append(foreign, module+"."+name)
		}
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		return refused("module imports what no policy may: %s", strings.Join(slices.Compact(foreign), ", "))
	}
	if _, ok := m.compiled.ExportedMemories()["memory"]; !ok {
		return refused("module does not export its memory as \"memory\"")
	}
	exports := m.compiled.ExportedFunctions()
	for _, name := range slices.Sorted(maps.Keys(abi.Hooks)) {
		f, ok := exports[name]
		if !ok {
			if abi.Hooks[name].Required {
				return refused("module does not export the function %s", name)
			}
			continue
		}
		results := types(abi.Hooks[name].Results)
		if len(f.ParamTypes()) != 0 || !slices.Equal(f.ResultTypes(), results) {
			return refused("module exports %s with another type than () -> %s", name, valueTypes(results))
		}
	}
	return nil
}

// Has reports whether the module exports a hook. One that is not required and not there has nothing to say.
func (m *Module) Has(hook string) bool {
	_, ok := m.compiled.ExportedFunctions()[hook]
	return ok
}

// Counters are what the module counts with metric_add.
func (m *Module) Counters() *Counters { return m.options.Counters }

// types turns the value types of the ABI's tables into wazero's.
func types(names []string) []api.ValueType {
	var all []api.ValueType
	for _, name := range names {
		if name == "i64" {
			all = append(all, i64)
		} else {
			all = append(all, i32)
		}
	}
	return all
}

func valueTypes(types []api.ValueType) string {
	var names []string
	for _, t := range types {
		names = append(names, api.ValueTypeName(t))
	}
	return "(" + strings.Join(names, " ") + ")"
}
