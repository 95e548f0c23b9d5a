package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// hostile is a module that means harm, and what comes of it.
type hostile struct {
	name   string
	module []byte
	// refused is what Load says; failed what a call says. Both empty: the module harms nobody and its calls succeed.
	refused, failed string
}

// with returns the module of a decide, changed.
func with(code []byte, change func(*w.Module)) []byte {
	m := w.Decide(code...)
	if change != nil {
		change(&m)
	}
	return m.Bytes()
}

// hooked returns a module with one more export.
func hooked(name string, results []byte, code ...[]byte) []byte {
	return with(w.Const(0), func(m *w.Module) {
		m.Funcs = append(m.Funcs, w.Func{Export: name, Results: results, Code: w.Code(code...)})
	})
}

// forEver runs code in a loop without end.
func forEver(code ...[]byte) []byte {
	return w.Code([]byte{0x03, 0x40}, w.Code(code...), []byte{0x0c, 0, 0x0b}, w.Const(0))
}

// zoo returns every hostile module that there is.
func zoo() []hostile {
	const spent, spentTenfold = "spent its fuel of 500000", "spent its fuel of 5000000"
	i32 := []byte{w.I32}
	wasi := func(name string, params int, code ...[]byte) []byte {
		m := w.Module{
			Imports: []w.Import{{Module: "wasi_snapshot_preview1", Name: name, Params: bytes.Repeat(i32, params), Results: i32}}, Pages: 1,
			Funcs: []w.Func{{Export: "decide", Results: i32, Code: w.Code(code...)}},
		}
		return m.Bytes()
	}
	exit := w.Module{
		Imports: []w.Import{{Module: "wasi_snapshot_preview1", Name: "proc_exit", Params: i32}}, Pages: 1,
		Funcs: []w.Func{{Export: "decide", Results: i32, Code: w.Const(0)}, {Code: w.Code(w.Const(0), w.Call(0))}}, Start: 2,
	}
	many := func(n int) []byte {
		return with(w.Const(0), func(m *w.Module) { m.Funcs = append(m.Funcs, make([]w.Func, n)...) })
	}
	all := []hostile{
		// Time.
		{"a loop without end", with(forEver(), nil), "", spent},
		{"a loop without end in configure", hooked(abi.HookConfigure, i32, forEver()), "configure: " + spentTenfold, ""},
		{"a loop without end in _initialize", hooked(abi.HookInitialize, nil, w.Forever), "_initialize: " + spentTenfold, ""},
		{"a start function that never ends", with(w.Const(0), func(m *w.Module) { m.Funcs, m.Start = append(m.Funcs, w.Func{Code: w.Forever}), w.Self+1 }), "spent its fuel of 5000000", ""},
		{"a start function that calls the host for ever", with(w.Const(0), func(m *w.Module) {
			m.Funcs, m.Start = append(m.Funcs, w.Func{Code: w.Code([]byte{0x03, 0x40}, w.Call(w.NowMS), w.Drop, []byte{0x0c, 0, 0x0b})}), w.Self+1
		}), "start: " + spentTenfold, ""},
		{"a recursion without end", with(w.Call(w.Self), nil), "", spent},
		{"a recursion with large frames", with(w.Call(w.Self), func(m *w.Module) { m.Funcs[0].Locals = 1000 }), "", spent},
		{"a storm of host calls", with(forEver(w.Const(7), w.Call(w.Count), w.Drop), nil), "", spent},
		{"a storm of large reads", with(forEver(w.Const(0), w.Const(1<<16), w.Call(w.Config), w.Drop), nil), "", spent},
		{"a storm of randomness", wasi("random_get", 2, forEver(w.Const(0), w.Const(1<<16), w.Call(0), w.Drop)), "", spent},
		// Memory.
		{"a memory that starts over its cap", with(w.Const(0), func(m *w.Module) { m.Pages = 257 }), "does not compile", ""},
		{"a memory that grows over its cap", with(w.Code(w.Const(256), w.Grow), nil), "", "returned -1"},
		{"a memory that grows for ever", with(forEver(w.Const(1), w.Grow, w.Drop), nil), "", spent},
		{"a table of a gigabyte", with(w.Const(0), func(m *w.Module) { m.Tables = []byte{1, 0x70, 0, 0x80, 0x80, 0x80, 0x40} }), "table of 134217728 items", ""},
		{"four billion locals", with(w.Const(0), func(m *w.Module) { m.Funcs[0].Locals = 1<<32 - 1 }), "locals", ""},
		{"four billion elements", with(w.Const(0), func(m *w.Module) {
			m.Elements = []byte{1, 0, 0x41, 0, 0x0b, 0xff, 0xff, 0xff, 0xff, 0x0f}
		}), "at most 262144", ""},
		{"a module over its bound", make([]byte, abi.MaxModule+1), "at most 16777216", ""},
		// Compilation.
		{"100,000 functions", many(100_000), "", ""},
		{"more functions than that", many(200_000), "at most 131072", ""},
		{"a thousand loops in each other", with(w.Code(bytes.Repeat([]byte{0x03, 0x40}, 1000), bytes.Repeat(w.End, 1000), w.Const(0)), nil), "more than 512 loops", ""},
		{"ten thousand blocks in each other", with(w.Code(bytes.Repeat([]byte{0x02, 0x40}, 10_000), bytes.Repeat(w.End, 10_000), w.Const(0)), nil), "nests deeper", ""},
		{"a branch table of a hundred thousand targets", with(w.Code([]byte{0x02, 0x40}, w.Const(0), []byte{0x0e, 0xa0, 0x8d, 0x06}, make([]byte, 100_001), w.End, w.Const(0)), nil), "branch tables", ""},
		// Ends.
		{"a trap", with(w.Unreachable, nil), "", "unreachable"},
		{"an exit in the start function", exit.Bytes(), "exited with 0", ""},
		{"a division by zero", with(w.Code(w.Const(1), w.Const(0), []byte{0x6d}), nil), "", "integer divide by zero"},
		{"a read outside the memory", with(w.Code(w.Const(-1), w.Load), nil), "", "out of bounds"},
		// Shapes.
		{"a decide that takes an argument", with(w.Const(0), func(m *w.Module) { m.Funcs[0].Params = i32 }), "another type than () -> (i32)", ""},
		{"an on_tick without a result", hooked(abi.HookOnTick, nil), "on_tick with another type", ""},
		{"an _initialize with a result", hooked(abi.HookInitialize, i32, w.Const(0)), "_initialize with another type", ""},
		{"an import of the host's with another type", with(w.Const(0), func(m *w.Module) { m.Imports[0].Results = nil }), "get_int", ""},
		{"the fuel's name", hooked("perihelion.fuel", nil), "perihelion.fuel", ""},
		{"no module", []byte("#!/bin/sh\n"), "does not compile", ""},
		// Floods.
		{"a log line of a megabyte, for ever", with(forEver(w.Const(0), w.Const(0), w.Const(1<<20), w.Call(w.Log)), nil), "", spent},
		{"a flood of the store", with(flood(w.Code(w.Const(0), w.Const(4), w.Const(0), w.Const(1<<16-1), w.Const64(0), w.Call(w.KVSet))), nil), "", spent},
		{"a flood of counters", with(flood(w.Code(w.Const(0), w.Const(4), w.Const64(1), w.Call(w.MetricAdd))), nil), "", spent},
		{"prints from outside the memory", wasi("fd_write", 4, w.Const(1), w.Const(-8), w.Const(1), w.Const(0), w.Call(0)), "", "returned 21"},
		{"prints of a million parts", wasi("fd_write", 4, w.Const(1), w.Const(0), w.Const(1_000_000), w.Const(0), w.Call(0)), "", "returned 28"},
		{"waits for events outside the memory", wasi("poll_oneoff", 4, w.Const(-1), w.Const(-1), w.Const(1), w.Const(-1), w.Call(0)), "", "returned 21"},
		{"randomness to outside the memory", wasi("random_get", 2, w.Const(65_530), w.Const(64), w.Call(0)), "", "returned 21"},
	}
	return append(all, pointers()...)
}

// flood calls the host for ever with another name at address 0 each time.
func flood(call []byte) []byte {
	return forEver(call, w.Drop, w.Const(0), w.Const(0), w.Load, w.Const(1), []byte{0x6a}, w.Store)
}

// pointers calls each function of the ABI with addresses and lengths from anywhere: what comes back may be an error, or
// the length that was asked for, and nothing else happens.
func pointers() []hostile {
	var all []hostile
	for number, f := range w.Host() {
		for _, value := range []int32{-1, -1 << 31, 1<<31 - 1, 65_535, 65_536} {
			var code []byte
			for _, p := range f.Params {
				if p == w.I64 {
					code = append(code, w.Const64(int64(value))...)
				} else {
					code = append(code, w.Const(value)...)
				}
			}
			code = append(code, w.Call(number)...)
			if len(f.Results) > 0 {
				code = append(code, w.Drop...)
			}
			all = append(all, hostile{fmt.Sprintf("%s with %d everywhere", f.Name, value), with(w.Code(code, w.Const(0)), nil), "", ""})
		}
	}
	return all
}

// TestZoo loads and calls every hostile module, with an engine and a neighbour that must not notice.
func TestZoo(t *testing.T) {
	ctx := context.Background()
	e := newEngine(t, Options{})
	lines := 0
	o := ModuleOptions{Config: bytes.Repeat([]byte("x"), abi.MaxConfig), Log: func(_ int, line string, _ int) {
		if lines++; len(line) > abi.MaxLogLine {
			t.Errorf("a log line of %d bytes", len(line))
		}
	}}
	neighbour := load(t, e, marks(w.Const(0)), ModuleOptions{})
	for i, h := range zoo() {
		t.Run(h.name, func(t *testing.T) {
			lines = 0
			before := resident()
			m, err := e.Load(ctx, h.module, o)
			if h.refused != "" || err != nil {
				var r *RefusedError
				if !errors.As(err, &r) || h.refused == "" || !strings.Contains(r.Reason, h.refused) || len(r.Reason) > maxReason {
					t.Errorf("load: %v, want a refusal that says %q", err, h.refused)
				}
				if err == nil {
					_ = m.Close(ctx)
				}
				return
			}
			for range 3 { // each time alike
				err := m.Decide(ctx, "hostile", &question{relations: []string{"public.a"}})
				var f *Failure
				switch {
				case h.failed == "" && err != nil:
					t.Errorf("got %v, want success", err)
				case h.failed != "" && (!errors.As(err, &f) || !strings.Contains(f.Reason, h.failed) || len(f.Reason) > maxReason || strings.Contains(f.Reason, "\n")):
					t.Errorf("got %v, want a failure that says %q", err, h.failed)
				}
			}
			if lines > logBurst+1 {
				t.Errorf("it logged %d lines, want at most %d", lines, logBurst)
			}
			if n := len(m.options.Counters.All()); n > abi.MaxMetrics {
				t.Errorf("it has %d counters", n)
			}
			if n := m.options.Store.mu.bytes; n > abi.MaxKVBytes+abi.MaxKVKeys*entryBytes {
				t.Errorf("it keeps %d bytes", n)
			}
			if err := m.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
			if grown := resident() - before; grown > 256<<20 {
				t.Errorf("the process has grown by %d MiB", grown>>20)
			}
		})
		// The neighbour's instance is its own: it marks it in one call, and finds the mark in the next.
		err := neighbour.Decide(ctx, "a", &question{})
		if used := i%2 == 1; used != (errorText(err) == "decide: returned 7") || !used && err != nil {
			t.Fatalf("after %q a neighbour got %v", h.name, err)
		}
	}
}

// TestCompilationHasATime refuses a module whose functions are within their bounds, and too many.
func TestCompilationHasATime(t *testing.T) {
	e := newEngine(t, Options{CompileTimeout: time.Millisecond})
	long := w.Func{Code: bytes.Repeat(w.Code(w.Const(4), w.Load, w.Drop), 20_000)}
	_, err := e.Load(context.Background(), with(w.Const(0), func(m *w.Module) { m.Funcs = append(m.Funcs, long, long, long, long, long, long, long, long) }), ModuleOptions{})
	var r *RefusedError
	if !errors.As(err, &r) || !strings.Contains(r.Reason, "longer than 1ms") {
		t.Errorf("got %v, want a refusal that names the time", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newEngine(t, Options{}).Load(ctx, with(w.Const(0), nil), ModuleOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a load that nobody waits for: %v, want %v", err, context.Canceled)
	}
}
