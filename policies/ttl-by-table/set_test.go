//go:build !wasip1

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/policy"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// testInSet loads the policy as a node does, from a folder with the YAML that is shipped, into the closed sandbox.
func testInSet(t *testing.T, b built) {
	folder := t.TempDir()
	manifest, err := os.ReadFile("ttl-by-table.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"ttl-by-table.wasm": b.wasm, "ttl-by-table.yaml": manifest} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := policy.New(policy.Options{Folder: folder, DefaultTTL: time.Minute})
	defer func() {
		if err := set.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	if err := set.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		relations []string
		cache     bool
		ttl       time.Duration
		policy    string
		reason    string
	}{
		{"a relation that is named", []string{"public.products"}, true, 10 * time.Minute, "ttl-by-table", "public.products: 10m0s"},
		{"a relation that is never cached", []string{"public.products", "public.sessions"}, false, time.Minute, "ttl-by-table", "public.sessions: never cached"},
		{"a relation that is not named", []string{"public.orders"}, true, time.Minute, "", "no policy says otherwise"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := set.Decide(t.Context(), policy.Query{Tenant: "default", Database: "shop", User: "app", Statement: &statement.Descriptor{
				Verdict: statement.Read, Command: "SELECT", Normalized: "SELECT 1", Relations: test.relations, RelationRows: make([]int64, len(test.relations)),
			}})
			want := policy.Decision{Cache: test.cache, TTL: test.ttl, Reason: test.reason, Policy: test.policy, Level: policy.LevelBounded, Generation: set.Generation()}
			if got != want {
				t.Errorf("relations %v: got %+v, want %+v", test.relations, got, want)
			}
		})
	}
}
