package policy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

// TestShippedPolicyDecides loads policies/ttl-by-table as it is built and with the YAML that comes with it.
func TestShippedPolicyDecides(t *testing.T) {
	source, folder := filepath.Join("..", "..", "policies", "ttl-by-table"), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(folder, "ttl-by-table.wasm"), ".")
	build.Dir = source
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the policy: %v\n%s", err, out)
	}
	manifest, err := os.ReadFile(filepath.Join(source, "ttl-by-table.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "ttl-by-table.yaml"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	set := New(Options{Folder: folder, DefaultTTL: time.Minute})
	defer func() {
		if err := set.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	if err := set.Open(context.Background()); err != nil {
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
			got := set.Decide(context.Background(), query(func(q *Query) {
				q.Statement = &statement.Descriptor{Verdict: statement.Read, Command: "SELECT", Normalized: "SELECT 1", Relations: test.relations}
			}))
			want := Decision{Cache: test.cache, TTL: test.ttl, Reason: test.reason, Policy: test.policy, Generation: set.Generation()}
			if got != want {
				t.Errorf("relations %v: got %+v, want %+v", test.relations, got, want)
			}
		})
	}
}
