package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/guest-sdk/tck"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// checked lets the conformance kit call this engine. It is all that a host needs.
type checked struct {
	engine *Engine
	now    **int64
}

func (c checked) Load(wasm, config []byte, now *int64, log func(int, string)) (tck.Policy, error) {
	*c.now = now
	m, err := c.engine.Load(context.Background(), wasm, ModuleOptions{Config: config, Log: func(level int, line string, _ int) { log(level, line) }})
	if err != nil {
		return nil, err
	}
	return checkedPolicy{m}, nil
}

type checkedPolicy struct{ module *Module }

func (p checkedPolicy) Decide(tenant string, s *tck.Statement) error {
	return p.module.Decide(context.Background(), tenant, checkedCall{s})
}

func (p checkedPolicy) OnResult(tenant string, s *tck.Statement) error {
	return p.module.OnResult(context.Background(), tenant, checkedCall{s})
}

func (p checkedPolicy) OnTick(tenant string, hot []*tck.Statement) error {
	var calls []Call
	for _, s := range hot {
		calls = append(calls, checkedCall{s})
	}
	return p.module.OnTick(context.Background(), tenant, calls)
}

func (p checkedPolicy) Counter(name string) int64 { return p.module.Counters().All()[name] }
func (p checkedPolicy) Close() error              { return p.module.Close(context.Background()) }

// checkedCall is a statement of the kit as the engine sees it.
type checkedCall struct{ *tck.Statement }

func (c checkedCall) Bytes(f abi.Field, index int) (string, abi.Result) { return c.Item(f, index) }
func (c checkedCall) Decided(d abi.Decision) (value int64, ok bool) {
	value, ok = c.Statement.Decided[d]
	return value, ok
}
func (c checkedCall) SetInt(d abi.Decision, value int64) abi.Result    { return c.Set(d, value) }
func (c checkedCall) SetBytes(d abi.Decision, value string) abi.Result { return c.SetText(d, value) }

func TestConformance(t *testing.T) {
	if missing := tck.Uncovered(); len(missing) > 0 {
		t.Errorf("the kit has no case for %q", missing)
	}
	kit := filepath.Join("..", "..", "guest-sdk", "tck")
	guests := map[string][]byte{"Go": buildGo(t, filepath.Join(kit, "go"))}
	for _, name := range []string{"c", "assemblyscript", "rust"} {
		guest, err := os.ReadFile(filepath.Join(kit, name, "guest.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		guests[name] = guest
	}
	for name, guest := range guests {
		t.Run(name, func(t *testing.T) {
			now := new(int64)
			e := newEngine(t, Options{CacheDir: filepath.Join(t.TempDir(), "cache"), Now: func() time.Time { return time.UnixMilli(*now) }})
			tck.Run(checked{e, &now}, guest, func(name string, problems []error) {
				t.Run(name, func(t *testing.T) {
					for _, problem := range problems {
						t.Error(problem)
					}
				})
			})
		})
	}
}
