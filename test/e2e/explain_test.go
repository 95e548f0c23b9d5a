package e2e

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// explanation is what POST /api/explain answers, as a client of the API reads it.
type explanation struct {
	Error, Hint          string
	Database, User, Why  string
	SearchPath           []string `json:"search_path"`
	Cached               bool
	Verdict, Fingerprint string
	Relations            []string
	Uses                 []api.RelationUse
	Calls                []api.Call
	Findings             []api.Finding
	Writes               api.Writes
	Key                  []api.KeyPart
	Decision             struct {
		Cache  bool
		TTL    int64 `json:"ttl_ms"`
		Level  string
		Policy string
	}
	Statements []struct {
		SQL, Verdict string
		Position     int
		Findings     []api.Finding
	}
}

func (e explanation) part(name string) string {
	for _, p := range e.Key {
		if p.Part == name {
			return p.Value
		}
	}
	return "no such part"
}

func TestExplainSaysWhyAndWhatWouldHelp(t *testing.T) {
	c := cluster.New(t, 1, nil)
	user := c.DB.CreateUser("ann", pgtestTrust, "")
	c.DB.Exec(
		`create schema ann; create table ann.products (id int)`,
		`create view dear as select p.* from products p where price > 50`,
		`create view dear_orders as select o.id, d.name from orders o join dear d on d.id = o.product`,
		fmt.Sprintf(`alter role %s set search_path = ann, public`, user),
	)
	ask := func(t *testing.T, request map[string]any) explanation {
		t.Helper()
		request["database"] = c.DB.Name
		var e explanation
		if status := c.Home.Call("POST", "/api/explain", cluster.AdminToken, request, &e); status != 200 {
			t.Fatalf("status %d: %+v", status, e)
		}
		return e
	}

	t.Run("views down to their tables", func(t *testing.T) {
		e := ask(t, map[string]any{"sql": "select name, lower(name) from dear_orders -- of whom?", "application_name": "shop"})
		if !e.Cached || e.Verdict != "read" || e.User != "postgres" || !slices.Equal(e.Relations, []string{"public.orders", "public.products"}) {
			t.Errorf("got %+v", e)
		}
		paths := map[string]string{}
		for _, u := range e.Uses {
			paths[u.Relation] = u.Kind + ": " + strings.Join(u.Path, ", ")
		}
		want := map[string]string{
			"public.dear_orders": "view: ", "public.orders": "table: reads the view public.dear_orders",
			"public.dear": "view: reads the view public.dear_orders", "public.products": "table: reads the view public.dear_orders, reads the view public.dear",
		}
		if !reflect.DeepEqual(paths, want) {
			t.Errorf("uses: got %v, want %v", paths, want)
		}
		if i := slices.IndexFunc(e.Calls, func(c api.Call) bool { return c.Name == "pg_catalog.lower" }); i < 0 || e.Calls[i].Volatility != "immutable" || e.Calls[i].Allowed == "" {
			t.Errorf("calls: got %+v, want lower(), which is allowed", e.Calls)
		}
		if e.part("text") != "select name, lower(name) from dear_orders" || e.part("user") != "postgres" || e.part("tenant") != "default" || e.part("startup parameters") != "application_name=shop" {
			t.Errorf("key: got %+v", e.Key)
		}
		if e.Decision.TTL != 60000 || e.Decision.Level != "bounded" {
			t.Errorf("decision: got %+v", e.Decision)
		}
	})
	t.Run("the word that is the reason, and what would help", func(t *testing.T) {
		e := ask(t, map[string]any{"sql": "select 'ä' from orders where id > 1 and note = now()::text"})
		if e.Cached || e.Verdict != "unstable" || len(e.Findings) == 0 || e.Findings[0].Word != "now" || e.Findings[0].Position != 48 || !strings.Contains(e.Findings[0].Remedy, "parameter") {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("the search_path of such a user, unless the request says another", func(t *testing.T) {
		// Every schema of the path counts: which of them the user may look into is not asked.
		sql := "select * from products"
		if e := ask(t, map[string]any{"sql": sql, "user": user}); !slices.Equal(e.Relations, []string{"ann.products", "public.products"}) || !slices.Equal(e.SearchPath, []string{"ann", "public", "pg_catalog"}) {
			t.Errorf("of its role: got %+v", e)
		}
		if e := ask(t, map[string]any{"sql": sql, "user": user, "search_path": "public"}); !slices.Equal(e.Relations, []string{"public.products"}) || e.part("session settings") != "search_path=public" {
			t.Errorf("by the request: got %+v", e)
		}
		if e := ask(t, map[string]any{"sql": sql, "settings": map[string]string{"Search_Path": "ann"}}); !slices.Equal(e.Relations, []string{"ann.products"}) {
			t.Errorf("by the settings: got %+v", e)
		}
		if e := ask(t, map[string]any{"sql": sql, "search_path": "pg_temp"}); e.SearchPath != nil || len(e.Relations) != 2 {
			t.Errorf("a path that only the session knows: got %+v, want every relation of the name", e)
		}
	})
	t.Run("what a write may change", func(t *testing.T) {
		if e := ask(t, map[string]any{"sql": "delete from products"}); e.Cached || e.Verdict != "write" || !slices.Equal(e.Writes.Relations, []string{"public.orders", "public.products"}) {
			t.Errorf("got %+v, want the cascade in it", e)
		}
		if e := ask(t, map[string]any{"sql": "do $$ begin end $$"}); !e.Writes.Anything {
			t.Errorf("got %+v, want anything", e)
		}
	})
	t.Run("each of several statements", func(t *testing.T) {
		e := ask(t, map[string]any{"sql": "select name from products;\n  select now()"})
		if e.Cached || len(e.Statements) != 2 || e.Statements[0].Verdict != "read" || e.Statements[1].Verdict != "unstable" || e.Statements[1].SQL != "select now()" ||
			e.Statements[1].Position != 30 || e.Statements[1].Findings[0].Position != 8 {
			t.Errorf("got %+v", e)
		}
		if e = ask(t, map[string]any{"sql": "select name from products; select id from orders"}); e.Cached || !strings.Contains(e.Why, "several statements") || e.Decision.Cache {
			t.Errorf("two reads: got %+v", e)
		}
	})
	t.Run("a parameter that spells a moment", func(t *testing.T) {
		sql := "select * from products where name = $1"
		if e := ask(t, map[string]any{"sql": sql, "parameters": []any{"x", nil}}); !e.Cached || e.part("parameter values") != "'x', NULL" {
			t.Errorf("got %+v", e)
		}
		if e := ask(t, map[string]any{"sql": sql, "parameters": []any{"today"}}); e.Cached || e.Findings[0].Word != "$1" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("what explain says is what a session finds", func(t *testing.T) {
		conn := cluster.Connect(t, c.UserURL(c.Edges[0], user, ""), cluster.Simple)
		c.DB.Exec(fmt.Sprintf("grant usage on schema ann to %s; grant select on ann.products to %[1]s", user))
		sql := "select count(*) from products"
		e := ask(t, map[string]any{"sql": sql, "user": user})
		cluster.Exec(t, conn, sql)
		wantLast(t, conn, "outcome", "miss", "relations", strings.Join(e.Relations, ", "), "fingerprint", e.Fingerprint, "verdict", e.Verdict)
	})
	t.Run("a database that there is not", func(t *testing.T) {
		var e explanation
		status := c.Home.Call("POST", "/api/explain", cluster.AdminToken, map[string]string{"database": "nothing_here", "sql": "select 1"}, &e)
		if status != 404 || !strings.Contains(e.Error, "no such database") {
			t.Errorf("got %d %+v, want 404", status, e)
		}
	})
	t.Run("an edge says who knows", func(t *testing.T) {
		var e explanation
		status := c.Edges[0].Call("POST", "/api/explain", cluster.AdminToken, map[string]string{"database": c.DB.Name, "sql": "select 1"}, &e)
		if want := "ask the home: POST http://" + c.Home.HTTPAddr().String() + "/api/explain"; status != 404 || e.Hint != want {
			t.Errorf("got %d %q, want %q", status, e.Hint, want)
		}
	})
}
