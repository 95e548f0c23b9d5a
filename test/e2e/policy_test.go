package e2e

import (
	"os"
	"path/filepath"
	"strings"
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
		if err := os.WriteFile(filepath.Join(folder, "p.wasm"), w.Decide(w.Code(code...)...).Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
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

	before := c.Home.Stats().Version
	drop(w.Const(1), w.Const64(0), w.Call(w.SetInt)) // CACHE = 0
	edge.AwaitInvalidation("", before+1)             // what was let in without a policy
	for range 3 {
		edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
	}
	if cache, _, policy := explained(); cache || policy != "p" {
		t.Errorf("with a policy that forbids: cache %v by %q", cache, policy)
	}

	drop(w.Const(2), w.Const64(200), w.Call(w.SetInt)) // TTL_MS = 200
	await := func(want int64) {
		t.Helper()
		for end := time.Now().Add(cluster.Patience); ; {
			cache, ttl, _ := explained()
			if cache && ttl == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("cache %v, TTL %d, want %d", cache, ttl, want)
			}
		}
	}
	await(200)
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

	// A new generation judges what is cached: a longer TTL leaves it, a shorter one does not, here nor at the edge.
	drop(w.Const(2), w.Const64(60000), w.Call(w.SetInt))
	await(60000)
	var answer struct{ Version invalidation.Version }
	if status := c.Home.Call("POST", "/api/edge/invalidate", cluster.AdminToken, `{"tables":[]}`, &answer); status != 200 {
		t.Fatalf("invalidate: %d", status)
	}
	edge.AwaitInvalidation("", answer.Version)
	edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
	drop(w.Const(2), w.Const64(70000), w.Call(w.SetInt))
	await(70000)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	drop(w.Const(2), w.Const64(50000), w.Call(w.SetInt))
	await(50000)
	for end := time.Now().Add(cluster.Patience); ; {
		if hits, _, _ := edge.Counted(func() { cluster.Get(t, conn, priceOf+"$1", 5) }); hits == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("an entry of 60 s is answered under a policy of 50 s")
		}
	}
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)

	if err := os.Remove(filepath.Join(folder, "p.wasm")); err != nil {
		t.Fatal(err)
	}
	await(60000)
	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	if _, ttl, policy := explained(); ttl != 60000 || policy != "" {
		t.Errorf("after the policy went: TTL %d by %q", ttl, policy)
	}
}

// put writes a policy that states integer decisions, pairs of a decision and its value, into a new folder.
func put(t *testing.T, pairs ...int64) (folder string) {
	t.Helper()
	var code []byte
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			code = append(code, 0x1a) // drop
		}
		code = append(code, w.Code(w.Const(int32(pairs[i])), w.Const64(pairs[i+1]), w.Call(w.SetInt))...)
	}
	folder = t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "p.wasm"), w.Decide(code...).Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestTagVoidsAtEveryEdge gives every result a tag, and voids by it and by another through the API.
func TestTagVoidsAtEveryEdge(t *testing.T) {
	for _, level := range []int64{1, 3} { // bounded, eventual
		folder := t.TempDir()
		tagged := w.Decide(w.Code(w.Const(4), w.Const64(level), w.Call(w.SetInt), w.Drop, w.Const(65), w.Const(0), w.Const(6), w.Call(w.SetBytes))...) // LEVEL, TAG
		tagged.Data = "prices"
		if err := os.WriteFile(filepath.Join(folder, "p.wasm"), tagged.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
		edge := c.Edges[0]
		conn := cluster.Connect(t, c.URL(edge))
		void := func(tag string) {
			t.Helper()
			var answer struct{ Version invalidation.Version }
			if status := c.Home.Call("POST", "/api/edge/invalidate", cluster.AdminToken, `{"tags":["`+tag+`"]}`, &answer); status != 200 {
				t.Fatalf("invalidate: %d", status)
			}
			edge.AwaitInvalidation(invalidation.TagName(tag), answer.Version)
		}
		cluster.Get(t, conn, priceOf+"5")
		edge.WantHit(conn, "5.00", priceOf+"5")
		void("names")
		edge.WantHit(conn, "5.00", priceOf+"5")
		void("prices")
		edge.WantMiss(conn, "5.00", priceOf+"5")
		edge.WantHit(conn, "5.00", priceOf+"5")
	}
}

// TestPolicyKeepsADashboardForAWhile caches what changes by itself, at level eventual.
func TestPolicyKeepsADashboardForAWhile(t *testing.T) {
	folder := put(t, 1, 1, 4, 3) // CACHE = 1, LEVEL = eventual
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	const dashboard = "select now()::text || ' ' || sum(price) from products"
	first := cluster.Get(t, conn, dashboard)
	edge.WantHit(conn, first, dashboard)
	cluster.Exec(t, conn, "update products set price = price + 1")
	edge.WantHit(conn, first, dashboard)
	c.DB.Exec("create table something ()") // a change of the schema, which the home finds by itself
	edge.AwaitInvalidation("public.products", 0)
	for cluster.Get(t, conn, dashboard) == first {
		edge.AwaitInvalidation("public.products", 0)
	}
}

// TestPolicyKeepsResultsAtTheHome is residency: no edge keeps anything of it.
func TestPolicyKeepsResultsAtTheHome(t *testing.T) {
	folder := put(t, 8, 0) // EDGES = 0
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"$1", 5)
	hits, _, _ := c.Home.Counted(func() {
		for range 3 {
			edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
		}
	})
	if hits != 3 {
		t.Errorf("the home answered %d of 3 from memory", hits)
	}
	if entries := edge.Stats().Cache.Entries; entries != 0 {
		t.Errorf("the edge keeps %d entries", entries)
	}
}

// TestPolicyCountersAreExported lets a policy count its decisions.
func TestPolicyCountersAreExported(t *testing.T) {
	folder := t.TempDir()
	m := w.Decide(w.Code(w.Const(0), w.Const(4), w.Const64(3), w.Call(w.MetricAdd))...)
	m.Data = "seen"
	if err := os.WriteFile(filepath.Join(folder, "p.wasm"), m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
	conn := cluster.Connect(t, c.URL(c.Edges[0]))
	cluster.Get(t, conn, priceOf+"5")
	const want = `perihelion_policy_counter_total{name="seen",policy="p"} 3`
	var got string
	if c.Home.Call("GET", "/metrics", cluster.AdminToken, nil, &got); !strings.Contains(got, want) {
		t.Errorf("the home's metrics lack %s", want)
	}
}

// TestResultIsJudgedBeforeAnEdgeKeepsIt keeps results of one row, and no empty ones.
func TestResultIsJudgedBeforeAnEdgeKeepsIt(t *testing.T) {
	folder := t.TempDir()
	m := w.Decide(w.Code(w.Const(7), w.Const64(1), w.Call(w.SetInt))...) // ASK_ON_RESULT = 1
	m.Funcs = append(m.Funcs, w.Func{
		Export: "on_result", Results: []byte{w.I32},
		Code: w.Code(w.Const(1), w.Const(48), w.Const(0), w.Call(w.GetInt), w.Call(w.SetInt)), // CACHE = ROWS
	})
	if err := os.WriteFile(filepath.Join(folder, "p.wasm"), m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.New(t, 1, func(cfg *config.Config) { cfg.Policies.Folder = folder })
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"5")
	edge.WantHit(conn, "5.00", priceOf+"5")
	for range 3 {
		if hits, _, _ := edge.Counted(func() { cluster.Exec(t, conn, priceOf+"-1") }); hits != 0 {
			t.Error("an empty result was answered from memory")
		}
	}
}
