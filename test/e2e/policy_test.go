package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// TestPolicyChangesWhatIsCachedWhileTrafficRuns drops policies into the folder of a running home, and reads at an edge.
func TestPolicyChangesWhatIsCachedWhileTrafficRuns(t *testing.T) {
	folder := t.TempDir()
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	drop := func(code ...[]byte) {
		t.Helper()
		before := c.Home.Stats().Version
		if err := os.WriteFile(filepath.Join(folder, "p.wasm"), w.Decide(w.Code(code...)...).Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		// What was decided before is void everywhere.
		edge.AwaitInvalidation("", before+1)
	}
	explained := func() (cache bool, ttl int64, policy string) {
		t.Helper()
		var answer struct {
			Decision struct {
				Cache  bool
				TTL    int64 `json:"ttl_ms"`
				Policy string
			}
		}
		if status := c.Home.Call("POST", "/api/explain", cluster.AdminToken, map[string]string{"database": c.DB.Name, "user": "postgres", "sql": priceOf + "$1"}, &answer); status != 200 {
			t.Fatalf("explain: %d", status)
		}
		return answer.Decision.Cache, answer.Decision.TTL, answer.Decision.Policy
	}

	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	if cache, ttl, policy := explained(); !cache || ttl != 60000 || policy != "" {
		t.Errorf("without a policy: cache %v, TTL %d by %q", cache, ttl, policy)
	}

	drop(w.Const(1), w.Const64(0), w.Call(w.SetInt)) // CACHE = 0
	for range 3 {
		edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
	}
	if cache, _, policy := explained(); cache || policy != "p" {
		t.Errorf("with a policy that forbids: cache %v by %q", cache, policy)
	}

	drop(w.Const(2), w.Const64(200), w.Call(w.SetInt)) // TTL_MS = 200
	if cache, ttl, _ := explained(); !cache || ttl != 200 {
		t.Errorf("with a policy of 200 ms: cache %v, TTL %d", cache, ttl)
	}
	cluster.Get(t, conn, priceOf+"$1", 5)
	filled := invalidation.Now()
	for {
		hits, _, _ := edge.Counted(func() { cluster.Get(t, conn, priceOf+"$1", 5) })
		if hits == 0 {
			break
		}
		if age := time.Duration(invalidation.Now() - filled); age > 5*time.Second {
			t.Fatalf("an entry of 200 ms is answered after %v", age)
		}
	}

	before := c.Home.Stats().Version
	if err := os.Remove(filepath.Join(folder, "p.wasm")); err != nil {
		t.Fatal(err)
	}
	edge.AwaitInvalidation("", before+1)
	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	if _, ttl, policy := explained(); ttl != 60000 || policy != "" {
		t.Errorf("after the policy went: TTL %d by %q", ttl, policy)
	}
}
