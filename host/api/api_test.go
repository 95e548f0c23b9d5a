package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/runtime/abi"

	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/registry"
)

// ask sends one request to a server without a network.
func ask(s *Server, method, path, token, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res := httptest.NewRecorder()
	s.ServeHTTP(res, req)
	return res
}

// failure fails the test unless the answer is an error of the one shape.
func failure(t *testing.T, res *httptest.ResponseRecorder) link.Failure {
	t.Helper()
	var f link.Failure
	decoder := json.NewDecoder(strings.NewReader(res.Body.String()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || f.Error == "" || !strings.HasPrefix(res.Header().Get("Content-Type"), "application/json") {
		t.Errorf("body: got %q (%s), want {error, hint}", res.Body, res.Header().Get("Content-Type"))
	}
	return f
}

func TestEveryEndpointSaysWhatIsWrong(t *testing.T) {
	upgrade := []string{"Connection: Upgrade", "Upgrade: perihelion-wire/1"}
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, method, path, token, body string
		header                          []string
		status                          int
		says                            string
	}{
		{"register: not JSON", "POST", "/api/edge/register", authToken, `edge_id=a`, nil, 400, "JSON object"},
		{"register: nothing", "POST", "/api/edge/register", authToken, ``, nil, 400, "JSON object"},
		{"register: null", "POST", "/api/edge/register", authToken, `null`, nil, 400, "JSON object"},
		{"register: cut", "POST", "/api/edge/register", authToken, `{"edge_id":`, nil, 400, "not what"},
		{"register: two objects", "POST", "/api/edge/register", authToken, `{"edge_id":"a"}{}`, nil, 400, "goes on"},
		{"register: an unknown field", "POST", "/api/edge/register", authToken, `{"edge_id":"a","zone":"x"}`, nil, 400, "zone"},
		{"register: a wrong type", "POST", "/api/edge/register", authToken, `{"edge_id":1}`, nil, 400, "edge_id"},
		{"register: no id", "POST", "/api/edge/register", authToken, `{"region":"x"}`, nil, 400, "edge_id"},
		{"register: an id with a slash", "POST", "/api/edge/register", authToken, `{"edge_id":"a/b"}`, nil, 400, "letters"},
		{"register: a long id", "POST", "/api/edge/register", authToken, `{"edge_id":"` + long + `"}`, nil, 400, "edge_id"},
		{"register: a region with a line end", "POST", "/api/edge/register", authToken, `{"edge_id":"a","region":"x\ny"}`, nil, 400, "region"},
		{"register: a large body", "POST", "/api/edge/register", authToken, `{"edge_id":"` + strings.Repeat("x", maxEdgeBodyBytes) + `"}`, nil, 413, "larger"},
		{"register: a position that is none", "POST", "/api/edge/register", authToken, `{"edge_id":"a"}`, []string{"Last-Event-ID: -1"}, 400, "Last-Event-ID"},
		{"register: a long epoch", "POST", "/api/edge/register", authToken, `{"edge_id":"a"}`, []string{"Last-Event-ID: 1", "Perihelion-Epoch: " + long}, 400, "Perihelion-Epoch"},
		{"register: over max_edges", "POST", "/api/edge/register", authToken, `{"edge_id":"a"}`, nil, 503, "max_edges"},
		{"register: by GET", "GET", "/api/edge/register", authToken, ``, nil, 405, "POST"},
		{"renew: no nonce", "POST", "/api/edge/renew", authToken, `{"edge_id":"a"}`, nil, 400, "nonce"},
		{"renew: a long nonce", "POST", "/api/edge/renew", authToken, `{"edge_id":"a","nonce":"` + long + `"}`, nil, 400, "nonce"},
		{"renew: no id", "POST", "/api/edge/renew", authToken, `{"nonce":"n"}`, nil, 400, "edge_id"},
		{"renew: a version that is none", "POST", "/api/edge/renew", authToken, `{"edge_id":"a","nonce":"n","version":-1}`, nil, 400, "version"},
		{"renew: an unknown edge", "POST", "/api/edge/renew", authToken, `{"edge_id":"a","nonce":"n","version":2}`, nil, 404, "register first"},
		{"wire: no upgrade", "GET", "/api/edge/wire", authToken, ``, []string{"Perihelion-Edge: a"}, 426, "perihelion-wire/1"},
		{"wire: another protocol", "GET", "/api/edge/wire", authToken, ``, []string{"Connection: Upgrade", "Upgrade: websocket"}, 426, "perihelion-wire/1"},
		{"wire: no edge", "GET", "/api/edge/wire", authToken, ``, upgrade, 400, "Perihelion-Edge"},
		{"wire: a client that is no label", "GET", "/api/edge/wire", authToken, ``, append([]string{"Perihelion-Edge: a", "Perihelion-Client: " + long}, upgrade...), 400, "Perihelion-Client"},
		{"wire: a body", "GET", "/api/edge/wire", authToken, `x`, append([]string{"Perihelion-Edge: a"}, upgrade...), 400, "body"},
		{"remove: an unknown edge", "DELETE", "/api/edge/nobody", adminToken, ``, nil, 404, "GET /api/edge"},
		{"invalidate: nothing", "POST", "/api/edge/invalidate", adminToken, ``, nil, 400, "JSON object"},
		{"invalidate: a table without a schema", "POST", "/api/edge/invalidate", adminToken, `{"tables":["users"]}`, nil, 400, "schema.table"},
		{"invalidate: a schema without a table", "POST", "/api/edge/invalidate", adminToken, `{"tables":["public."]}`, nil, 400, "schema.table"},
		{"invalidate: an empty name", "POST", "/api/edge/invalidate", adminToken, `{"tables":[""]}`, nil, 400, "schema.table"},
		{"invalidate: a long name", "POST", "/api/edge/invalidate", adminToken, `{"tables":["public.` + long + `"]}`, nil, 400, "longer"},
		{"invalidate: a name with a NUL", "POST", "/api/edge/invalidate", adminToken, `{"tables":["public.a\u0000"]}`, nil, 400, "printable"},
		{"invalidate: too many", "POST", "/api/edge/invalidate", adminToken, `{"tables":["a.b"` + strings.Repeat(`,"a.b"`, maxTables) + `]}`, nil, 400, "at most"},
		{"invalidate: an empty tag", "POST", "/api/edge/invalidate", adminToken, `{"tags":[""]}`, nil, 400, "tag"},
		{"invalidate: a long tag", "POST", "/api/edge/invalidate", adminToken, `{"tags":["` + strings.Repeat("x", abi.MaxTag+1) + `"]}`, nil, 400, "tag"},
		{"invalidate: too many tags", "POST", "/api/edge/invalidate", adminToken, `{"tags":["a"` + strings.Repeat(`,"a"`, maxTables) + `]}`, nil, 400, "at most"},
		{"invalidate: tables that are no list", "POST", "/api/edge/invalidate", adminToken, `{"tables":"public.users"}`, nil, 400, "tables"},
		{"invalidate: a misspelt field", "POST", "/api/edge/invalidate", adminToken, `{"table":["public.users"]}`, nil, 400, "table"},
		{"invalidate: a long database", "POST", "/api/edge/invalidate", adminToken, `{"database":"` + long + `"}`, nil, 400, "database"},
		{"invalidate: a large body", "POST", "/api/edge/invalidate", adminToken, `{"database":"` + strings.Repeat("x", maxBodyBytes) + `"}`, nil, 413, "larger"},
		{"explain: no statement", "POST", "/api/explain", adminToken, `{"database":"shop","user":"u"}`, nil, 400, "sql"},
		{"explain: a user with a line end", "POST", "/api/explain", adminToken, `{"database":"shop","user":"a\nb","sql":"select 1"}`, nil, 400, "user"},
		{"explain: a long database", "POST", "/api/explain", adminToken, `{"database":"` + long + `","sql":"select 1"}`, nil, 400, "database"},
		{"explain: a long search_path", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","search_path":"` + strings.Repeat("x", maxSettingBytes+1) + `"}`, nil, 400, "search_path"},
		{"explain: a search_path twice", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","search_path":"a","settings":{"Search_Path":"b"}}`, nil, 400, "search_path"},
		{"explain: a setting twice", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","settings":{"TimeZone":"a","timezone":"b"}}`, nil, 400, "twice"},
		{"explain: a setting without a name", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","settings":{"":"b"}}`, nil, 400, "name"},
		{"explain: a long setting", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","settings":{"a":"` + strings.Repeat("x", maxSettingBytes+1) + `"}}`, nil, 400, "longer"},
		{"explain: too many parameters", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","parameters":[null` + strings.Repeat(",null", maxExplainParameters) + `]}`, nil, 400, "parameters"},
		{"explain: a parameter that is no text", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","parameters":[1]}`, nil, 400, "parameters"},
		{"explain: a misspelt field", "POST", "/api/explain", adminToken, `{"database":"shop","sql":"select 1","searchpath":"a"}`, nil, 400, "searchpath"},
		{"explain: no database", "POST", "/api/explain", adminToken, `{"user":"u","sql":"select 1"}`, nil, 400, "database"},
		{"explain: an unknown database", "POST", "/api/explain", adminToken, `{"database":"unknown","user":"u","sql":"select 1"}`, nil, 404, "look again"},
		{"explain: the node fails", "POST", "/api/explain", adminToken, `{"database":"fails","user":"u","sql":"select 1"}`, nil, 500, "log"},
		{"explain: the node panics", "POST", "/api/explain", adminToken, `{"database":"panics","user":"u","sql":"select 1"}`, nil, 500, "log"},
		{"an unknown path", "GET", "/api/nothing", adminToken, ``, nil, 404, "no such endpoint"},
		{"a wrong method", "PUT", "/api/stats", adminToken, ``, nil, 405, "GET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t, 0, nil)
			before := h.log.Last()
			res := ask(h.server, tt.method, tt.path, tt.token, tt.body, tt.header...)
			if res.Code != tt.status {
				t.Errorf("status: got %d %s, want %d", res.Code, res.Body, tt.status)
			}
			f := failure(t, res)
			if text := f.Error + " " + f.Hint; !strings.Contains(text, tt.says) || strings.Contains(text, "hunter2") {
				t.Errorf("got %q, want it to say %q, and nothing of the node's insides", text, tt.says)
			}
			if tt.status == 503 && res.Header().Get("Retry-After") != "5" {
				t.Errorf("Retry-After: got %q, want 5", res.Header().Get("Retry-After"))
			}
			if h.log.Last() != before {
				t.Error("a refused request has appended an event")
			}
		})
	}
}

func TestPanicIsLoggedWithItsStackAndFailuresWithTheirCause(t *testing.T) {
	h := newHome(t, 1, nil)
	ask(h.server, "POST", "/api/explain", adminToken, `{"database":"panics","user":"u","sql":"select 'private'"}`)
	if logs := h.logs.String(); !strings.Contains(logs, "a broken invariant") || !strings.Contains(logs, "explainForTest") {
		t.Errorf("log: got %q, want the panic and its stack", logs)
	}
	ask(h.server, "POST", "/api/explain", adminToken, `{"database":"fails","user":"u","sql":"select 'private'"}`)
	logs := h.logs.String()
	if !strings.Contains(logs, "hunter2") {
		t.Errorf("log: got %q, want the cause", logs)
	}
	for _, secret := range []string{adminToken, "private"} {
		if strings.Contains(logs, secret) {
			t.Errorf("log: got %q, which holds %q", logs, secret)
		}
	}
}

var endpoints = []struct {
	method, path string
	forEdges     bool
	homeOnly     bool
}{
	{"POST", "/api/edge/register", true, true},
	{"POST", "/api/edge/renew", true, true},
	{"GET", "/api/edge/wire", true, true},
	{"GET", "/api/edge", false, true},
	{"DELETE", "/api/edge/a", false, true},
	{"POST", "/api/edge/invalidate", false, true},
	{"POST", "/api/explain", false, true},
	{"GET", "/api/policies", false, true},
	{"GET", "/api/stats", false, false},
	{"GET", "/metrics", false, false},
}

func TestEachTokenOpensItsEndpointsOnly(t *testing.T) {
	two := newHome(t, 0, nil)
	one := newHome(t, 0, func(o *Options) { o.AdminToken = "" })
	none := newHome(t, 0, func(o *Options) { o.AuthToken, o.AdminToken = "", "" })
	adminOnly := newHome(t, 0, func(o *Options) { o.AuthToken = "" })
	for _, e := range endpoints {
		edge, admin := 403, 0 // 0: through
		if e.forEdges {
			edge, admin = 0, 403
		}
		adminAtAdminOnly := 0
		if e.forEdges {
			adminAtAdminOnly = 403
		}
		tests := []struct {
			name   string
			server *Server
			header string
			status int
		}{
			{"no token", two.server, "", 401},
			{"no token where there is none", none.server, "", 401},
			{"an empty token where there is none", none.server, "Bearer ", 401},
			{"an empty token where edges have none", adminOnly.server, "Bearer ", 401},
			{"another scheme", two.server, "Basic " + authToken, 401},
			{"a token without a scheme", two.server, adminToken, 401},
			{"a wrong token", two.server, "Bearer " + authToken + "x", 401},
			{"a part of a token", two.server, "Bearer " + adminToken[:5], 401},
			{"auth_token", two.server, "Bearer " + authToken, edge},
			{"admin_token", two.server, "bearer " + adminToken, admin},
			{"the one token", one.server, "Bearer " + authToken, 0},
			{"admin_token where edges have none", adminOnly.server, "Bearer " + adminToken, adminAtAdminOnly},
		}
		for _, tt := range tests {
			t.Run(e.method+" "+e.path+": "+tt.name, func(t *testing.T) {
				var header []string
				if tt.header != "" {
					header = []string{"Authorization: " + tt.header}
				}
				res := ask(tt.server, e.method, e.path, "", "", header...)
				if tt.status == 0 {
					if res.Code == 401 || res.Code == 403 {
						t.Errorf("got %d %s, want to come in", res.Code, res.Body)
					}
					return
				}
				if res.Code != tt.status {
					t.Fatalf("got %d %s, want %d", res.Code, res.Body, tt.status)
				}
				if f := failure(t, res); f.Hint == "" {
					t.Errorf("got %+v, want a hint", f)
				}
				if got := res.Header().Get("WWW-Authenticate"); (got == "Bearer") != (tt.status == 401) {
					t.Errorf("WWW-Authenticate: got %q", got)
				}
			})
		}
	}
}

func TestEdgeSendsPeopleToItsHome(t *testing.T) {
	edge := newHome(t, 0, func(o *Options) { o.Home, o.HomeURL = nil, func() string { return "https://home.example:6433/" } })
	for _, e := range endpoints {
		token := adminToken
		if e.forEdges {
			token = authToken
		}
		res := ask(edge.server, e.method, e.path, token, "")
		if !e.homeOnly {
			if res.Code != 200 {
				t.Errorf("%s %s: got %d, want 200", e.method, e.path, res.Code)
			}
			continue
		}
		if f := failure(t, res); res.Code != 404 || f.Hint != "ask the home: "+e.method+" https://home.example:6433"+e.path {
			t.Errorf("%s %s: got %d %+v, want 404 and a hint to ask the home", e.method, e.path, res.Code, f)
		}
		if res := ask(edge.server, e.method, e.path, "", ""); res.Code != 401 {
			t.Errorf("%s %s without a token: got %d, want 401", e.method, e.path, res.Code)
		}
	}
}

func TestAnswersHaveTheirShape(t *testing.T) {
	h := newHome(t, 4, nil)
	m, err := h.registry.Join(registryHello("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const zeroCache = `{"hits":0,"misses":0,"bypasses":0,"coalesced":0,"unleased":0,"fills":0,"entries":0,"bytes":0,"evictions":0,"voided":0}`
	tests := []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"health needs no token", "GET", "/healthz", "", "", 200, `{"status":"ok"}`},
		{"health by HEAD", "HEAD", "/healthz", "", "", 200, `{"status":"ok"}`},
		{"readiness needs no token", "GET", "/readyz", "", "", 200, `{"ready":true,"checks":[{"name":"upstream","ok":true}]}`},
		{"figures", "GET", "/api/stats", adminToken, "", 200, fmt.Sprintf(`{"role":"home","epoch":%q,"version":%d,"sessions":0,"cache":%s}`, h.log.Epoch(), h.log.Last(), zeroCache)},
		{"metrics", "GET", "/metrics", adminToken, "", 200, "a_metric 1"},
		{
			"explain", "POST", "/api/explain", adminToken, `{"database":"shop","user":"u","sql":"select 1","settings":{"TimeZone":"UTC"},"parameters":["a",null]}`, 200,
			`{"database":"shop","user":"u","search_path":null,"cached":true,"why":"it reads only","fingerprint":"0000000000000abc","verdict":"read","reason":"reads only",` +
				`"command":"","normalized":"","relations":[],"uses":[{"relation":"public.t","kind":"table","rows":-1,"path":[]}],"calls":[],` +
				`"findings":[{"reason":"map[timezone:UTC] 2","word":"","position":0,"remedy":""}],"writes":{"anything":false,"cluster":false,"relations":[]},` +
				`"decision":{"cache":true,"ttl_ms":1500,"level":"bounded","reason":"the default","policy":""},"key":[],"statements":[{"sql":"select 1","position":1,` +
				`"fingerprint":"0000000000000000","verdict":"opaque","reason":"","command":"SELECT","normalized":"","relations":[],"uses":[],"calls":[],"findings":[],` +
				`"writes":{"anything":false,"cluster":false,"relations":[]}}]}`,
		},
		{
			"policies", "GET", "/api/policies", adminToken, "", 200,
			`[{"name":"ttl","state":"active","generation":2,"digest":"00","loaded_at":"1970-01-01T00:00:00Z","priority":0,"failures":0}]`,
		},
		{"renewal", "POST", "/api/edge/renew", authToken, `{"edge_id":"a","nonce":"n","version":0}`, 202, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := ask(h.server, tt.method, tt.path, tt.token, tt.body)
			if got := strings.TrimSpace(res.Body.String()); res.Code != tt.status || got != tt.want {
				t.Errorf("got %d %s, want %d %s", res.Code, got, tt.status, tt.want)
			}
		})
	}
	var list []map[string]any
	if err := json.Unmarshal(ask(h.server, "GET", "/api/edge", adminToken, "").Body.Bytes(), &list); err != nil || len(list) != 1 {
		t.Fatalf("list: got %v, %v", list, err)
	}
	for _, field := range []string{"id", "region", "remote", "version", "version_sent", "connected_since", "events_sent", "lease_until"} {
		if _, ok := list[0][field]; !ok {
			t.Errorf("list: got %v, want %q in it", list[0], field)
		}
	}
	m.Close()
	if got := strings.TrimSpace(ask(h.server, "GET", "/api/edge", adminToken, "").Body.String()); got != "[]" {
		t.Errorf("list of none: got %s, want []", got)
	}
}

func registryHello(id string) registry.Hello { return registry.Hello{ID: id, Region: "syd"} }

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	h := newHome(t, 1, func(o *Options) {
		o.Ready = func() []Check {
			return []Check{{Name: "upstream", OK: true}, {Name: "catalog", Reason: "not read yet"}}
		}
	})
	res := ask(h.server, "GET", "/readyz", "", "")
	want := `{"ready":false,"checks":[{"name":"upstream","ok":true},{"name":"catalog","ok":false,"reason":"not read yet"}]}`
	if got := strings.TrimSpace(res.Body.String()); res.Code != 503 || got != want {
		t.Errorf("got %d %s, want 503 %s", res.Code, got, want)
	}
}

func TestInvalidateAppendsWhatWasAskedFor(t *testing.T) {
	tag := invalidation.TagName("b")
	tests := []struct {
		name, body string
		databases  []string
		want       []string // database: tables
		tables     string
	}{
		{"a table in every database", `{"tables":["public.b","public.a","public.b"]}`, []string{"shop", "crm"}, []string{"shop: [public.a public.b]", "crm: [public.a public.b]"}, `["public.a","public.b"]`},
		{"a table in one", `{"tables":["public.a"],"database":"shop"}`, []string{"shop", "crm"}, []string{"shop: [public.a]"}, `["public.a"]`},
		{"a name with dots", `{"tables":["public.a.b"],"database":"shop"}`, nil, []string{"shop: [public.a.b]"}, `["public.a.b"]`},
		{"a whole database", `{"tables":[],"database":"shop"}`, []string{"shop", "crm"}, []string{"shop: []"}, `[]`},
		{"everything, by an empty list", `{"tables":[]}`, []string{"shop", "crm"}, []string{": []"}, `[]`},
		{"everything, by no list", ` {} `, []string{"shop", "crm"}, []string{": []"}, `[]`},
		{"a tag in every database", `{"tags":["b"]}`, []string{"shop", "crm"}, []string{"shop: [" + tag + "]", "crm: [" + tag + "]"}, `[],"tags":["b"]`},
		{"a tag and a table", `{"tags":["b","b"],"tables":["public.a"],"database":"shop"}`, nil, []string{"shop: [" + tag + " public.a]"}, `["public.a"],"tags":["b","b"]`},
		{"a table where no database is known", `{"tables":["public.a"]}`, nil, []string{": [public.a]"}, `["public.a"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t, 1, func(o *Options) { o.Home.Databases = func() []string { return tt.databases } })
			before := h.log.Last()
			res := ask(h.server, "POST", "/api/edge/invalidate", adminToken, tt.body)
			events, last := h.log.Since(before)
			var got []string
			for _, e := range events {
				got = append(got, fmt.Sprintf("%s: %v", e.Database, e.Tables))
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("events: got %q, want %q", got, tt.want)
			}
			if want := fmt.Sprintf(`{"version":%d,"tables":%s,"edges_notified":0}`, last, tt.tables); res.Code != 200 || strings.TrimSpace(res.Body.String()) != want {
				t.Errorf("got %d %s, want %s", res.Code, res.Body, want)
			}
		})
	}
}

func TestServerOverTCP(t *testing.T) {
	h := newHome(t, 1, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := h.server.Serve(listener); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	res, err := http.Get("http://" + listener.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err != nil || strings.TrimSpace(string(body)) != `{"status":"ok"}` {
		t.Errorf("got %s, %v", body, err)
	}
	for range 2 {
		if err := h.server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	serving.Wait()
	if res := ask(h.server, "GET", "/healthz", "", ""); res.Code != 503 {
		t.Errorf("after Close: got %d, want 503", res.Code)
	}
}

func TestCloseBeforeServe(t *testing.T) {
	h := newHome(t, 1, nil)
	if err := h.server.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.server.Serve(listener); err != nil {
		t.Errorf("Serve after Close: got %v, want nil", err)
	}
}

func TestBodyThatNeverEndsIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		n.serve(t, "home:80", h)
		conn, err := n.dial(t.Context(), "tcp", "home:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		text := "POST /api/edge/register HTTP/1.1\r\nHost: home\r\nAuthorization: Bearer " + authToken + "\r\nContent-Length: 100\r\n\r\n{"
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		answer := make([]byte, len("HTTP/1.1 400"))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 400" {
			t.Errorf("got %q, %v; want 400", answer, err)
		}
		if got := time.Since(began); got != bodyTimeout {
			t.Errorf("after %v, want %v", got, bodyTimeout)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		pass(time.Minute)
	})
}

func TestLongExplanationOutlivesTheBodysDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		explain := h.server.home.Explain
		h.server.home.Explain = func(ctx context.Context, r ExplainRequest) (Explanation, error) {
			time.Sleep(3 * bodyTimeout) // the fake clock of the bubble
			if err := ctx.Err(); err != nil {
				return Explanation{}, err
			}
			return explain(ctx, r)
		}
		n.serve(t, "home:80", h)
		if status, text, _ := n.call(t, "POST", "/api/explain", adminToken, `{"database":"shop","user":"u","sql":"select 1"}`); status != 200 {
			t.Errorf("got %d %s, want 200", status, text)
		}
	})
}
