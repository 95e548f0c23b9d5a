package e2e

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

func isCode(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

func TestAPI(t *testing.T) {
	c := cluster.New(t, 2, nil)
	conn := cluster.Connect(t, c.URL(c.Edges[0]), cluster.Simple)
	cluster.Get(t, conn, priceOf+"5")
	c.Edges[0].WantHit(conn, "5.00", priceOf+"5")

	t.Run("lists the edges", func(t *testing.T) {
		var edges []struct {
			ID             string `json:"id"`
			Region         string
			Version        invalidation.Version `json:"version"`
			ConnectedSince string               `json:"connected_since"`
			EventsSent     *uint64              `json:"events_sent"`
		}
		if status := c.Home.Call("GET", "/api/edge", cluster.AdminToken, nil, &edges); status != 200 {
			t.Fatalf("status %d", status)
		}
		if len(edges) != 2 || edges[0].ID != "edge-0" || edges[0].ConnectedSince == "" || edges[0].EventsSent == nil {
			t.Errorf("edges = %+v", edges)
		}
	})
	t.Run("tells figures", func(t *testing.T) {
		var stats struct {
			Role, Epoch string
			Version     uint64
			Sessions    int
			Cache       struct{ Hits, Misses, Bypasses, Fills, Entries, Bytes, Evictions, Voided uint64 }
		}
		if status := c.Edges[0].Call("GET", "/api/stats", cluster.AdminToken, nil, &stats); status != 200 {
			t.Fatalf("status %d", status)
		}
		if stats.Role != "edge" || stats.Epoch != c.Home.Stats().Epoch || stats.Sessions != 1 || stats.Cache.Hits != 1 || stats.Cache.Fills != 1 || stats.Cache.Entries != 1 || stats.Cache.Bytes == 0 {
			t.Errorf("stats = %+v", stats)
		}
	})
	t.Run("explains", func(t *testing.T) {
		var answer struct {
			Fingerprint, Verdict, Reason string
			Relations                    []string
			Decision                     struct {
				Cache         bool
				TTL           int64 `json:"ttl_ms"`
				Level, Reason string
			}
		}
		ask := map[string]string{"database": c.DB.Name, "user": "postgres", "sql": priceOf + "5"}
		if status := c.Home.Call("POST", "/api/explain", cluster.AdminToken, ask, &answer); status != 200 {
			t.Fatalf("status %d", status)
		}
		if answer.Verdict != "read" || !slices.Equal(answer.Relations, []string{"public.products"}) || !answer.Decision.Cache || answer.Decision.TTL != 60000 || answer.Decision.Level != "bounded" || len(answer.Fingerprint) != 16 {
			t.Errorf("answer = %+v", answer)
		}
		ask["sql"] = "select now()"
		c.Home.Call("POST", "/api/explain", cluster.AdminToken, ask, &answer)
		if answer.Verdict != "unstable" || answer.Decision.Cache || !strings.Contains(answer.Reason, "now") {
			t.Errorf("answer for now() = %+v", answer)
		}
	})
	t.Run("invalidates a table at every edge", func(t *testing.T) {
		var answer struct {
			Version  invalidation.Version
			Tables   []string
			Notified int `json:"edges_notified"`
		}
		if status := c.Home.Call("POST", "/api/edge/invalidate", cluster.AdminToken, `{"tables":["public.products"]}`, &answer); status != 200 {
			t.Fatalf("status %d", status)
		}
		if answer.Version == 0 || answer.Notified != 2 || !slices.Equal(answer.Tables, []string{"public.products"}) {
			t.Errorf("answer = %+v", answer)
		}
		c.Edges[0].AwaitInvalidation("public.products", answer.Version)
		c.Edges[0].WantMiss(conn, "5.00", priceOf+"5")
		c.Edges[0].WantHit(conn, "5.00", priceOf+"5")
		if status := c.Home.Call("POST", "/api/edge/invalidate", cluster.AdminToken, `{"tables":[]}`, &answer); status != 200 {
			t.Fatalf("status %d", status)
		}
		c.Edges[0].AwaitInvalidation("", answer.Version)
		c.Edges[0].WantMiss(conn, "5.00", priceOf+"5")
	})
	t.Run("asks for a token but for health", func(t *testing.T) {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/api/stats": 401, "/api/edge": 401, "/metrics": 401} {
			if got := c.Home.Call("GET", path, "", nil, nil); got != want {
				t.Errorf("GET %s without a token: %d, want %d", path, got, want)
			}
		}
		if got := c.Home.Call("GET", "/api/edge", cluster.EdgeToken, nil, nil); got != http.StatusForbidden {
			t.Errorf("GET /api/edge with an edge's token: %d, want 403", got)
		}
		if got := c.Home.Call("POST", "/api/edge/register", "wrong", `{"edge_id":"x","region":"y"}`, nil); got != 401 {
			t.Errorf("register with a wrong token: %d, want 401", got)
		}
		if got := c.Home.Call("POST", "/api/edge/register", cluster.EdgeToken, `{"edge":1}`, nil); got != 400 {
			t.Errorf("register with a wrong body: %d, want 400", got)
		}
	})
	t.Run("removes an edge, which registers again", func(t *testing.T) {
		if got := c.Home.Call("DELETE", "/api/edge/edge-1", cluster.AdminToken, nil, nil); got/100 != 2 {
			t.Errorf("DELETE: %d", got)
		}
		if got := c.Home.Call("DELETE", "/api/edge/nobody", cluster.AdminToken, nil, nil); got != 404 {
			t.Errorf("DELETE of an unknown edge: %d, want 404", got)
		}
	})
	t.Run("ends the lease of an edge that was removed, whose sessions go on", func(t *testing.T) {
		cluster.Get(t, conn, priceOf+"5")
		c.Edges[0].WantHit(conn, "5.00", priceOf+"5")
		if got := c.Home.Call("DELETE", "/api/edge/edge-0", cluster.AdminToken, nil, nil); got/100 != 2 {
			t.Fatalf("DELETE: %d", got)
		}
		deadline := time.After(cluster.Patience)
		for {
			hits, _, _ := c.Edges[0].Counted(func() {
				if got := cluster.Get(t, conn, priceOf+"5"); got != "5.00" {
					t.Errorf("price = %s", got)
				}
			})
			if hits == 0 {
				break
			}
			select {
			case <-deadline:
				t.Fatal("an edge that was removed still answers from memory")
			default:
			}
		}
	})
	t.Run("exports metrics", func(t *testing.T) {
		if got := c.Home.Call("GET", "/metrics", cluster.AdminToken, nil, nil); got != 200 {
			t.Errorf("GET /metrics: %d", got)
		}
	})
}
