package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

// resident returns how much memory the process holds, in bytes. Machine code is not in Go's own figures, so where the
// system tells, it is asked.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
				if kilobytes, err := strconv.Atoi(fields[1]); err == nil {
					return kilobytes << 10
				}
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.Sys)
}

// TestTenThousandReloadsLeaveMemoryFlat replaces a module under load, as a host does: the new one is put in charge, then
// the old one is closed, while calls of it are still under way. None of them may fail.
func TestTenThousandReloadsLeaveMemoryFlat(t *testing.T) {
	const (
		reloads  = 10_000
		warm     = 2_000
		mayGrow  = 16 << 20
		everyOne = 64 // reloads between two looks
	)
	ctx := context.Background()
	e := newEngine(t, Options{})
	m := returns(w.Const(7), w.Call(w.Count), w.Drop, w.Const(0))
	version := func(n int) *Module {
		m.Data = fmt.Sprint("version ", n)
		module, err := e.Load(ctx, m.Bytes(), ModuleOptions{})
		if err != nil {
			t.Fatalf("reload %d: %v", n, err)
		}
		return module
	}
	var current atomic.Pointer[Module]
	current.Store(version(0))
	turns := make(chan int, 4)
	var calls, replaced atomic.Int64
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			for n := range turns {
				module := current.Load()
				err := module.Decide(ctx, fmt.Sprint("tenant ", n%3), &question{})
				for errors.Is(err, ErrClosed) { // replaced under our hands
					replaced.Add(1)
					module = current.Load()
					err = module.Decide(ctx, fmt.Sprint("tenant ", n%3), &question{})
				}
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				calls.Add(1)
			}
		})
	}
	highest, after := 0, 0
	for n := 1; n <= reloads; n++ {
		turns <- n
		turns <- n + 1
		old := current.Swap(version(n))
		if err := old.Close(ctx); err != nil {
			t.Fatalf("close version %d: %v", n-1, err)
		}
		if n%everyOne == 0 {
			if n <= warm {
				highest = max(highest, resident())
			} else {
				after = max(after, resident())
			}
		}
	}
	close(turns)
	callers.Wait()
	if err := current.Load().Close(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%d MiB at most in the first %d reloads, %d MiB after; %d calls, %d of them a second time", highest>>20, warm, after>>20, calls.Load(), replaced.Load())
	if after > highest+mayGrow {
		t.Errorf("%d reloads hold %d MiB, the first %d of them held %d", reloads, after>>20, warm, highest>>20)
	}
}
