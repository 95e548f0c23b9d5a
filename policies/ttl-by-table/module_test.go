//go:build !wasip1

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// build compiles the policy as README.md says.
func build(t *testing.T) built {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ttl-by-table.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the policy: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(context.Background()); err != nil {
			t.Errorf("close the compilation cache: %v", err)
		}
	})
	return built{wasm, cache}
}

// call runs a hook and returns its result.
func call(t *testing.T, guest api.Module, hook string) int32 {
	t.Helper()
	results, err := guest.ExportedFunction(hook).Call(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", hook, err)
	}
	return api.DecodeI32(results[0])
}

// shipped returns what the policy's own YAML configures, as the host hands it over.
func shipped(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("ttl-by-table.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Config any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(file.Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

func TestTheBuiltPolicy(t *testing.T) {
	policy := build(t)

	t.Run("needs only what the ABI has", func(t *testing.T) {
		guest := (&host{}).instance(t.Context(), t, policy)
		for name, want := range abi.Hooks {
			function := guest.ExportedFunctionDefinitions()[name]
			if function == nil {
				t.Errorf("there is no export %s", name)
				continue
			}
			var results []string
			for _, result := range function.ResultTypes() {
				results = append(results, api.ValueTypeName(result))
			}
			if len(function.ParamTypes()) != 0 || !slices.Equal(results, want.Results) {
				t.Errorf("export %s has %d parameters and the results %v, want none and %v", name, len(function.ParamTypes()), results, want.Results)
			}
		}
	})
	t.Run("decides as its configuration says", func(t *testing.T) { testDecisions(t, policy) })
	t.Run("refuses a bad configuration", func(t *testing.T) { testRefusals(t, policy) })
	t.Run("runs on without a configuration", func(t *testing.T) {
		h := &host{defaultTTL: 60_000}
		guest := h.instance(t.Context(), t, policy)
		h.begin([]string{"public.products"}, 1)
		if configured, decided := call(t, guest, abi.HookConfigure), call(t, guest, abi.HookDecide); configured != 0 || decided != 0 || h.reason != "" {
			t.Errorf("configure = %d, decide = %d, reason %q, want 0, 0 and none", configured, decided, h.reason)
		}
	})
	t.Run("does not decide about relations that it cannot read", func(t *testing.T) {
		h := &host{config: shipped(t), defaultTTL: 60_000, countsAs: 1}
		guest := h.instance(t.Context(), t, policy)
		call(t, guest, abi.HookConfigure)
		h.begin(nil, 1)
		if got := call(t, guest, abi.HookDecide); got == 0 {
			t.Error("decide = 0, want a failure")
		}
	})
	t.Run("stays within its memory", func(t *testing.T) {
		h := &host{config: shipped(t), defaultTTL: 60_000}
		guest := h.instance(t.Context(), t, policy)
		call(t, guest, abi.HookConfigure)
		for i := range 1_200 { // of many sizes: a collector that lags behind runs out at 700 or so
			h.begin([]string{"public." + strings.Repeat("x", i*7919%(512<<10)), "public.products"}, 1)
			if got := call(t, guest, abi.HookDecide); got != 0 {
				t.Fatalf("decide %d = %d, logged %q", i, got, h.logged)
			}
		}
	})
}

func testDecisions(t *testing.T, policy built) {
	h := &host{config: shipped(t), defaultTTL: 60_000}
	guest := h.instance(t.Context(), t, policy)
	if got := call(t, guest, abi.HookConfigure); got != 0 {
		t.Fatalf("configure = %d, logged %q", got, h.logged)
	}
	long := "public." + strings.Repeat("long", 2_000)
	tests := []struct {
		name       string
		relations  []string
		cached     int64
		wantCache  int64
		wantTTL    int64
		wantReason string
	}{
		{"a relation that is named lives as long as it says", []string{"public.products"}, 1, 1, 600_000, "public.products: 10m0s"},
		{"a relation with 0 is never cached", []string{"public.sessions"}, 1, 0, 60_000, "public.sessions: never cached"},
		{"never wins over a duration", []string{"public.products", "public.sessions"}, 1, 0, 60_000, "public.sessions: never cached"},
		{"a relation that is not named keeps the default", []string{"public.orders"}, 1, 1, 60_000, ""},
		{"a join with one that is not named keeps a shorter default", []string{"public.products", "public.orders"}, 1, 1, 60_000, ""},
		{"a statement without relations keeps the default", nil, 1, 1, 60_000, ""},
		{"what is not cached is not made to be", []string{"public.products"}, 0, 0, 60_000, ""},
		{"a name longer than the buffer is read whole", []string{long, "public.sessions"}, 1, 0, 60_000, "public.sessions: never cached"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h.begin(test.relations, test.cached)
			if got := call(t, guest, abi.HookDecide); got != 0 {
				t.Fatalf("decide = %d, logged %q", got, h.logged)
			}
			got := fmt.Sprintf("cache %d, ttl %d ms, reason %q", h.ints[int32(abi.DecisionCache)], h.ints[int32(abi.DecisionTTLMS)], h.reason)
			if want := fmt.Sprintf("cache %d, ttl %d ms, reason %q", test.wantCache, test.wantTTL, test.wantReason); got != want {
				t.Errorf("relations %.80v: got %s, want %s", test.relations, got, want)
			}
		})
	}
}

func testRefusals(t *testing.T, policy built) {
	tests := map[string]struct{ config, key string }{
		"with an unknown key":         {`{"tll": {}}`, `"tll"`},
		"with a duration below 0":     {`{"ttl": {"public.products": "-1s"}}`, `"public.products"`},
		"with what is not a duration": {`{"ttl": {"public.products": "soon"}}`, `"public.products"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := &host{config: test.config}
			guest := h.instance(t.Context(), t, policy)
			if got := call(t, guest, abi.HookConfigure); got == 0 {
				t.Error("configure = 0, want a failure")
			}
			if len(h.logged) != 1 || !strings.Contains(h.logged[0], test.key) {
				t.Errorf("logged %q, want one line that contains %s", h.logged, test.key)
			}
		})
	}
}
