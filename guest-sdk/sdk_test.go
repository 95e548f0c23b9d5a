package sdk_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/guest-sdk/tck"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// compiler is one that committed modules were built with. Others give other bytes.
type compiler struct {
	program, version string
	// variable is the one that names the program for the recipes, and for this test where it is set.
	variable string
	modules  []string
}

func compilers() []compiler {
	all := []compiler{
		{"clang", "clang version 14.", "CC", []string{"tck/c/guest.wasm", "c/example/policy.wasm"}},
		{"asc", "Version 0.28.20", "ASC", []string{"tck/assemblyscript/guest.wasm", "assemblyscript/example/policy.wasm"}},
		// Debian's, which may not be the first in the path.
		{"/usr/bin/rustc", "rustc 1.63.0", "RUSTC", []string{"tck/rust/guest.wasm", "rust/example/policy.wasm"}},
	}
	for i := range all {
		if named := os.Getenv(all[i].variable); named != "" {
			all[i].program = named
		}
	}
	return all
}

// TestCommittedModulesAreWhatTheirSourcesGive builds them again where their compiler is there.
func TestCommittedModulesAreWhatTheirSourcesGive(t *testing.T) {
	for _, c := range compilers() {
		found, err := exec.CommandContext(t.Context(), c.program, "--version").Output()
		same := err == nil && strings.Contains(string(found), c.version)
		for _, module := range c.modules {
			committed, err := os.ReadFile(module)
			if err != nil || !bytes.HasPrefix(committed, []byte("\x00asm\x01\x00\x00\x00")) {
				t.Errorf("%s: %v, %d bytes; want a module", module, err, len(committed))
			}
			if !same {
				t.Logf("no %s of %s here: %s is not built again", c.program, c.version, module)
				continue
			}
			built := filepath.Join(t.TempDir(), "built.wasm")
			recipe := filepath.Join(filepath.Dir(module), "build.sh")
			cmd := exec.CommandContext(t.Context(), recipe, built)
			cmd.Env = append(os.Environ(), c.variable+"="+c.program)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", recipe, err, out)
				continue
			}
			if again, err := os.ReadFile(built); err != nil || !bytes.Equal(again, committed) {
				t.Errorf("%s is not what its source gives (%v): run %s", module, err, recipe)
			}
		}
	}
}

// call is a statement as the engine sees it.
type call struct{ *tck.Statement }

func (c call) Bytes(f abi.Field, index int) (string, abi.Result) { return c.Item(f, index) }
func (c call) SetInt(d abi.Decision, v int64) abi.Result         { return c.Set(d, v) }
func (c call) SetBytes(d abi.Decision, v string) abi.Result      { return c.SetText(d, v) }

func (c call) Decided(d abi.Decision) (int64, bool) {
	v, ok := c.Statement.Decided[d]
	return v, ok
}

func statement(application string, relations ...string) call {
	s := tck.NewStatement("select $1")
	s.Bytes[abi.FieldApplication], s.Bytes[abi.FieldRelation] = []string{application}, relations
	return call{s}
}

// TestExamples runs the same policy in each language that has a committed one.
func TestExamples(t *testing.T) {
	for _, language := range []string{"c", "assemblyscript", "rust"} {
		t.Run(language, func(t *testing.T) { example(t, filepath.Join(language, "example", "policy.wasm")) })
	}
}

func example(t *testing.T, path string) {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	m, err := e.Load(context.Background(), wasm, engine.ModuleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.Background())
	for _, test := range []struct {
		name   string
		s      call
		cache  int64
		ttl    int64
		reason string
	}{
		{"sessions", statement("reports", "public.orders", "public.sessions"), 0, 60_000, "public.sessions is never cached"},
		{"reports", statement("reports", "public.orders"), 1, 3_600_000, "reports live an hour"},
		{"another application", statement("report", "public.orders"), 1, 60_000, ""},
		{"names that do not fit", statement(strings.Repeat("reports", 100), strings.Repeat("public.sessions", 100)), 1, 60_000, ""},
	} {
		test.s.Statement.Decided[abi.DecisionCache], test.s.Statement.Decided[abi.DecisionTTLMS] = 1, 60_000
		if err := m.Decide(t.Context(), "", test.s); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		d, reason := test.s.Statement.Decided, strings.Join(test.s.Text[abi.DecisionReason], " ")
		if d[abi.DecisionCache] != test.cache || d[abi.DecisionTTLMS] != test.ttl || reason != test.reason {
			t.Errorf("%s: cached %d for %d ms because %q, want %d, %d, %q", test.name, d[abi.DecisionCache], d[abi.DecisionTTLMS], reason, test.cache, test.ttl, test.reason)
		}
	}
	hot := func(hits, voided int64) call {
		s := statement("")
		s.Ints[abi.FieldHits], s.Ints[abi.FieldInvalidations], s.Statement.Decided[abi.DecisionTTLMS] = []int64{hits}, []int64{voided}, 60_000
		return s
	}
	useful, useless := hot(10, 2), hot(1, 5)
	if err := m.OnTick(t.Context(), "", []engine.Call{useful, useless}); err != nil {
		t.Fatal(err)
	}
	if a, b := useful.Statement.Decided[abi.DecisionTTLMS], useless.Statement.Decided[abi.DecisionTTLMS]; a != 60_000 || b != 30_000 || m.Counters().All()["shortened"] != 1 {
		t.Errorf("after on_tick %d and %d ms, shortened %d; want 60000, 30000 and 1", a, b, m.Counters().All()["shortened"])
	}
}

// TestAPolicyInGoDecidesOnAndOn runs one past the collections of its garbage, each of which takes more steps than a call
// has.
func TestAPolicyInGoDecidesOnAndOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, ".")
	build.Dir = filepath.Join("..", "policies", "ttl-by-table")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the policy: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	m, err := e.Load(context.Background(), wasm, engine.ModuleOptions{Config: []byte(`{"ttl":{"public.c":"10m"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.Background())
	s := statement("reports", "public.a", "public.b", "public.c", "public.d", "public.e", "public.f")
	s.Statement.Decided[abi.DecisionCache] = 1
	for n := range 50_000 {
		if err := m.Decide(t.Context(), "", s); err != nil {
			t.Fatalf("call %d: %v", n+1, err)
		}
	}
}

// BenchmarkTenHostCalls decides about a statement of six relations: a count, seven reads and two parts of a decision.
func BenchmarkTenHostCalls(b *testing.B) {
	for _, language := range []string{"c", "assemblyscript", "rust"} {
		b.Run(language, func(b *testing.B) {
			wasm, err := os.ReadFile(filepath.Join(language, "example", "policy.wasm"))
			if err != nil {
				b.Fatal(err)
			}
			e, err := engine.New(engine.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close(context.Background())
			m, err := e.Load(context.Background(), wasm, engine.ModuleOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close(context.Background())
			s := statement("reports", "public.a", "public.b", "public.c", "public.d", "public.e", "public.f")
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Decide(b.Context(), "", s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
