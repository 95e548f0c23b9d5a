package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/registry"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// explainer serves the API of a home whose analysis knows the statements of testdata/explain.txtar, and of an edge of it.
// What a real home says is tested end to end.
func explainer(t *testing.T) (home, edge string) {
	t.Helper()
	log := invalidation.NewLog()
	options := api.Options{
		AuthToken: "edge-token", AdminToken: "admin-token", Stats: func() api.Stats { return api.Stats{} }, Metrics: http.NotFoundHandler(),
		Home: &api.Home{
			Edges: registry.New(registry.Options{Log: log, MaxStaleness: time.Second}), Append: log.Append, Explain: explainForTest,
		},
	}
	serve := func(o api.Options) string {
		s := httptest.NewServer(api.New(o))
		t.Cleanup(s.Close)
		return s.URL
	}
	home = serve(options)
	options.Home, options.HomeURL = nil, func() string { return "https://home.example:6433" }
	return home, serve(options)
}

func explainForTest(_ context.Context, r api.ExplainRequest) (api.Explanation, error) {
	e := api.Explanation{Database: r.Database, User: r.User, SearchPath: []string{"public", "pg_catalog"}}
	e.Decision = api.Decision{Reason: "only reads are cached", Level: "bounded"}
	switch r.Database {
	case "nowhere":
		return e, &api.Error{Status: http.StatusNotFound, Message: "there is no such database", Hint: "look\x1b[2Jagain"}
	case "asked":
		text, err := json.Marshal(r)
		if err != nil {
			return e, err
		}
		e.Why = string(text)
		return e, nil
	}
	switch r.SQL {
	case "select name from dear":
		e.Cached, e.Why, e.Verdict, e.Reason, e.Fingerprint = true, "it reads tables only", statement.Read, "reads tables only", 0xabc
		e.Uses = []api.RelationUse{
			{Relation: "public.dear", Kind: "view", Rows: -1},
			{Relation: "public.products", Kind: "table", Rows: 1234567, Path: []string{"reads the view public.dear"}},
			{Relation: "public.products_2024", Kind: "table", Rows: 12, Path: []string{"reads the view public.dear", "reads public.products"}},
			{Relation: "public.rates", Kind: "table", Rows: 3, Path: []string{"reads the view public.dear", "calls the function public.rate"}},
		}
		e.Calls = []api.Call{
			{Name: "pg_catalog.lower", Volatility: "immutable", Allowed: "its value depends on its arguments alone"},
			{Name: "pg_catalog.>(date,timestamptz)", Operator: true, Volatility: "stable", Allowed: "reviewed: TimeZone"},
			{Name: "pg_catalog.>(timestamp,timestamptz)", Operator: true, Volatility: "stable", Allowed: "reviewed: TimeZone"},
		}
		e.Key = []api.KeyPart{{Part: "user", Value: "app"}, {Part: "result formats", Note: "text or binary"}, {Part: "text", Value: r.SQL, Note: "without comments"}}
		e.Decision = api.Decision{Cache: true, TTL: 90 * time.Second, Level: "bounded", Reason: "a product page", Policy: "ttl-by-table"}
	case "select *\nfrom products -- 価格\n where '価格' = note and at > now()":
		e.Why, e.Verdict, e.SearchPath, e.PathNote = "it calls the stable function now", statement.Unstable, nil, "say it"
		e.Findings = []api.Finding{
			{Reason: "calls the stable function now", Word: "now", Position: 58, Remedy: "hand it over as a parameter"},
			{Reason: "writes", Word: "", Position: 0},
		}
	case "select 1; delete from products":
		e.Why, e.Verdict = "it writes to public.products", statement.Write
		e.Writes.Relations = []string{"public.orders", "public.products"}
		e.Statements = []api.StatementExplanation{
			{SQL: "select 1", Position: 1, Verdict: statement.Read, Reason: "reads nothing that can change"},
			{SQL: "delete from products", Position: 11, Verdict: statement.Write, Reason: "writes to public.products", Findings: []api.Finding{{Reason: "writes to public.products", Word: "delete", Position: 1}}},
		}
	default:
		return e, errors.New("a statement that this test does not know")
	}
	return e, nil
}

func TestExcerptOfALongLineShowsTheWord(t *testing.T) {
	long := ""
	for i := range 30 {
		long += fmt.Sprintf("column_%02d, ", i)
	}
	p := &page{}
	p.excerpt("select 1,\n\t"+long+"now()", 10+2+len(long))
	const want = "LINE 2: ...n_25, column_26, column_27, column_28, column_29, now()\n" +
		"                                                             ^\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	p = &page{}
	p.excerpt(long, 1)
	if got, want := p.String(), "LINE 1: "+long[:excerptWidth]+"...\n        ^\n"; got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	p = &page{}
	p.excerpt("short", 99) // what no home says
	if got, want := p.String(), "LINE 1: short\n             ^\n"; got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestColoursOnATerminalOnly(t *testing.T) {
	e := &api.Explanation{Why: "it \x1b[31mpaints"}
	if got := renderExplanation("select 1", e, false); got[:26] != "NOT CACHED: it ?[31mpaints" {
		t.Errorf("plain: %q", got)
	}
	if got := renderExplanation("select 1", e, true); got[:len(red)] != red {
		t.Errorf("coloured: %q", got)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if coloured(world{stdout: file}) {
		t.Error("a file is no terminal")
	}
}
