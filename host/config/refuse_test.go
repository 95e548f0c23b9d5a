package config

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestValuesThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", 65)
	for key, values := range map[string][]string{
		"edge.role":             {"", "Home", "EDGE", "primary"},
		"edge.home_url":         {"a.example", "ftp://a.example", "http://", "http://:80", "http://u:pw@a", "http://a?x=1", "http://a#x", "http://a:99999", "http://a,http://a/", "http://a,", "http:a", strings.TrimSuffix(strings.Repeat("http://a,", 17), ",")},
		"edge.auth_token":       {"two words", "line\n", "tökén", "redacted", strings.Repeat("x", 4097)},
		"edge.default_ttl":      {"", "60", "0s", "-1s", "1y", "8761h"},
		"edge.max_entries":      {"", "0", "-1", "1.5", "ten", "100000001", "99999999999999999999"},
		"edge.max_edges":        {"0", "10001"},
		"edge.id":               {"a b", "é", long},
		"listen":                {"", "6432", "127.0.0.1", "127.0.0.1:pg", "127.0.0.1:65536", "127.0.0.1:-1", "::1:6432", "a b:1"},
		"http":                  {"6433", "http://127.0.0.1:6433"},
		"upstream":              {"127.0.0.1:5432", "host=h", "mysql://h", "postgres://", "postgres:h", "postgres://h:99999", "postgres://h/#x", "postgres://u:p%zz@h", "postgres://u:redacted@h", "postgres://h?password=redacted"},
		"admin_token":           {"two words"},
		"region":                {"a b", long},
		"max_staleness":         {"5", "99ms", "61m"},
		"renew_interval":        {"9ms", "2h", "1 s"},
		"catalog_check":         {"9ms", "2h", "1 s"},
		"consistency.default":   {"", "Strong", "eventual"},
		"consistency.strong":    {"", strings.Repeat("x", 64)},
		"cache.max_bytes":       {"", "-1", "1.5GiB", "1KiB", "2TiB", "16 MiB", "16mib", "0x10MiB", "9223372036854775807KiB"},
		"cache.max_entry_bytes": {"1B", "2GiB", "MiB"},
		"policies.folder":       {"a\x00b"},
		"policies.max_failures": {"0"},
		"policies.cache_dir":    {"a\x00b"},
		"sessions.max":          {"0", "1000001"},
		"sessions.keep_alive":   {"-1s", "61m"},
		"lazy_begin":            {"ON", "true", "yes"},
		"source":                {"WAL", "logical", "on"},
		"wal.max_slots":         {"0", "1001"},
		"statistics_poll":       {"-1s", "61m"},
		"auth":                  {"SCRAM", "md5", "scram-sha-256"},
		"auth_query":            {"select 1", "select $1 \x00"},
		"drain_timeout":         {"-1s", "61m"},
		"log.level":             {"", "INFO", "trace", "0"},
		"log.format":            {"", "JSON", "logfmt"},
	} {
		row := newLoader().rows[key]
		for _, value := range values {
			t.Run(key+"="+strconv.Quote(value)[:min(len(value)+2, 40)], func(t *testing.T) {
				_, err := Load(Sources{Environ: []string{row.env() + "=" + value}, Flags: without(roleFor(key), key)})
				got := problems(t, err)
				if len(got) != 1 || !strings.HasPrefix(got[0], row.env()+": "+key+" ") {
					t.Errorf("got %q, want one problem of %s", got, key)
				}
			})
		}
	}
}

func TestEveryKeyHasRefusedValuesInATest(t *testing.T) {
	// Each key refuses at least one value; which ones is the table above.
	for _, row := range table() {
		if err := row.set(Default(), []string{"\x00"}); err == nil {
			t.Errorf("%s allows anything", row.name)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []Flag
		file  string
		want  string
	}{
		{"a home without an upstream", nil, "", "upstream is not set: a home needs a Postgres to forward to"},
		{"an edge without anything", nil, "edge: {role: edge}", "edge.home_url is not set: an edge needs a home to forward to\n" +
			"edge.auth_token is not set: an edge needs the token that it shows to its home"},
		{"an edge with an upstream", edgeFlags(), "upstream: postgres://h", "FILE:1: upstream is set, but nobody reads it: the node's role is edge (perihelion edge)"},
		{"a home with a home", homeFlags(), "edge:\n  home_url: http://h", "FILE:2: edge.home_url is set, but nobody reads it: the node's role is home (default)"},
		{"a home with http and no token", homeFlags(), "http: :1", "edge.auth_token is not set: a home with an http address needs the token that edges show"},
		{"a renewal as slow as half the staleness", edgeFlags(), "renew_interval: 2500ms", `FILE:1: renew_interval "2.5s" is not less than half of max_staleness "5s" (default)`},
		{"an entry larger than the cache", homeFlags(), "cache:\n  max_bytes: 1MiB\n  max_entry_bytes: 2MiB", `FILE:3: cache.max_entry_bytes "2MiB" is more than cache.max_bytes "1MiB" (FILE:2)`},
		{"one address for both", homeFlags(), "listen: :1\nhttp: :1\nedge: {auth_token: " + longToken + "}", `FILE:2: http ":1" is the same as listen ":1" (FILE:1)`},
		{"an unknown key", homeFlags(), "listn: :1", "FILE:1: listn is not a known key"},
		{"a mistyped key that must be set", nil, "upstrem: postgres://h", "FILE:1: upstrem is not a known key"},
		{"a wrong value that must be set", nil, "upstream: mysql://u:hunter2@h", `FILE:1: upstream "mysql://u:redacted@h" is not a URL that begins with postgres://`},
		{"a key without its section", homeFlags(), "max_entries: 1", "FILE:1: max_entries is not a known key"},
		{"a key with its section on one line", homeFlags(), "cache.max_bytes: 1MiB", "FILE:1: cache.max_bytes is not a known key"},
		{"an unknown section", homeFlags(), "cahce:\n  max_bytes: 1MiB", "FILE:1: cahce is not a known key"},
		{"an unknown key in a section", homeFlags(), "cache:\n  maxbytes: 1MiB", "FILE:2: cache.maxbytes is not a known key"},
		{"a section with a value", homeFlags(), "cache: 16MiB", "FILE:1: cache is a section and takes no value"},
		{"a value with keys", homeFlags(), "listen: {host: a}", "FILE:1: listen takes a value and is no section"},
		{"a list where one value goes", homeFlags(), "listen: [':1', ':2']", "FILE:1: listen takes one value and no list"},
		{"a list of lists", without(edgeFlags(), keyHomeURL), "edge: {home_url: [[http://a]]}", "FILE:1: edge.home_url has a list of something else than plain text"},
		{"an empty list", without(edgeFlags(), keyHomeURL), "edge: {home_url: []}", "FILE:1: edge.home_url has an empty list"},
		{"a key without a value", homeFlags(), "region:", "FILE:1: region has no value"},
		{"an anchor", homeFlags(), "region: &a x", "FILE:1: region has a value that is not plain text (no tags, anchors and aliases)"},
		{"a merge key", homeFlags(), "log: &a\n  level: info\n<<: *a", "FILE:1: log is a section and takes no value\nFILE:3: has a key that is not plain text"},
		{"a number for a key", homeFlags(), "1: 2", "FILE:1: has a key that is not plain text"},
		{"a list for a file", homeFlags(), "- listen", "FILE:1: holds no keys"},
		{"a text for a file", homeFlags(), "listen", "FILE:1: holds no keys"},
		{"a second document", homeFlags(), "region: x\n---\nregion: y", "FILE:3: begins a second document"},
		{"no YAML", nil, "region: [", "FILE:1: is not YAML: sequence end token ']' not found"},
		{"a key that comes twice", homeFlags(), "region: x\nregion: y", `FILE:2: is not YAML: mapping key "region" already defined at [1:1]`},
		{"deep flow nesting", homeFlags(), strings.Repeat("[", 100_000), "FILE:1: nests deeper than any configuration"},
		{"deep block nesting", homeFlags(), "a:\n" + strings.Repeat("- ", 100_000), "FILE:2: nests deeper than any configuration"},
		{"a flag with two values", append(homeFlags(), Flag{keyListen, "--listen", []string{":1", ":2"}}), "", "--listen: listen takes one value"},
		{"a flag with an unknown key", append(homeFlags(), Flag{"lisen", "--lisen", []string{":1"}}), "", "--lisen: lisen is not a known key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, c.file+"\n")
			_, err := Load(Sources{File: file, Flags: c.flags})
			got := strings.ReplaceAll(strings.Join(problems(t, err), "\n"), file, "FILE")
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	folder := t.TempDir()
	large := write(t, strings.Repeat("# large\n", maxFileBytes/8)+"\n")
	for path, want := range map[string]string{
		missing: "cannot be read: no such file or directory",
		folder:  "cannot be read: is a directory",
		large:   "cannot be read: is larger than 1MiB",
	} {
		// Nothing is said of the upstream, which may well be in the file.
		_, err := Load(Sources{File: path})
		if got := problems(t, err); len(got) != 1 || got[0] != path+": "+want {
			t.Errorf("got %q, want %q", got, path+": "+want)
		}
	}
}

func TestTheLargestFileIsRead(t *testing.T) {
	mustLoad(t, Sources{File: write(t, strings.Repeat("# large\n", maxFileBytes/8)), Flags: homeFlags()})
}

func TestTheNearestKeyIsNamed(t *testing.T) {
	for written, want := range map[string]string{
		"listn:":                    "listen",
		"htpp:":                     "http",
		"upstraem:":                 "upstream",
		"home_url:":                 "edge.home_url",
		"max_entires:":              "edge.max_entries",
		"token:":                    "edge.auth_token",
		"Listen:":                   "listen",
		"cahce: {max_bytes: 1}":     "cache",
		"policy: {folder: x}":       "policies",
		"cache: {max_byte: 1}":      "cache.max_bytes",
		"sessions: {maximum: 1}":    "sessions.max",
		"edge: {max_bytes: 1}":      "cache.max_bytes",
		"max-staleness:":            "max_staleness",
		"log: {levvel: 1}":          "log.level",
		"levvel: x":                 "log.level",
		strings.Repeat("k", 500000): "",
	} {
		_, err := Load(Sources{File: write(t, written+"\n"), Flags: homeFlags()})
		e, ok := err.(*Error) //nolint:errorlint // Load says so
		if !ok || len(e.Problems) != 1 {
			t.Errorf("%.40s: got %v, want one problem", written, err)
			continue
		}
		if got := e.Problems[0].Allowed; want != "" && got != "the nearest known key is "+want {
			t.Errorf("%s: got %q, want %s", written, got, want)
		}
	}
	for written, want := range map[string]string{
		"PERIHELION_HOME_URL":      "PERIHELION_EDGE_HOME_URL",
		"PERIHELION_UPSTRAEM":      "PERIHELION_UPSTREAM",
		"PERIHELION_LISTENER":      "PERIHELION_LISTEN",
		"PERIHELION_CACHE_MAXBYTE": "PERIHELION_CACHE_MAX_BYTES",
	} {
		_, err := Load(Sources{Environ: []string{written + "=x"}, Flags: homeFlags()})
		e, ok := err.(*Error) //nolint:errorlint // Load says so
		if !ok || len(e.Problems) != 1 || e.Problems[0].Allowed != "the nearest known variable is "+want {
			t.Errorf("%s: got %v, want %s", written, err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	token := func(key, value string) Flag { return Flag{key, "--token", []string{value}} }
	for _, c := range []struct {
		name  string
		flags []Flag
		env   []string
		want  string
	}{
		{"a home without http needs no token", homeFlags(), nil, ""},
		{"two long tokens", append(edgeFlags(), token(keyAdminToken, longToken2)), []string{"PERIHELION_HTTP=:1"}, ""},
		{"a short token", append(edgeFlags(), token(keyAuthToken, "T")), nil, "edge.auth_token is shorter than 16 characters"},
		{"a short admin token", append(edgeFlags(), token(keyAdminToken, "T")), []string{"PERIHELION_HTTP=:1"}, "admin_token is shorter than 16 characters"},
		{"no admin token", edgeFlags(), []string{"PERIHELION_HTTP=:1"}, "admin_token is not set: every edge holds"},
		{"the same tokens", append(edgeFlags(), token(keyAdminToken, longToken)), []string{"PERIHELION_HTTP=:1"}, "admin_token is the same as edge.auth_token"},
		{"plain http over a network", append(edgeFlags(), token(keyHomeURL, "http://10.0.0.1")), nil, "edge.home_url http://10.0.0.1 is not encrypted"},
		{"https over a network", append(edgeFlags(), token(keyHomeURL, "https://10.0.0.1")), nil, ""},
		{"plain http to this machine", append(edgeFlags(), token(keyHomeURL, "http://localhost:1,http://[::1]:2")), nil, ""},
		{"a home that would renew", homeFlags(), []string{"PERIHELION_RENEW_INTERVAL=1s"}, "renew_interval is set (PERIHELION_RENEW_INTERVAL), but only the role edge reads it"},
		{"an edge that would have edges", edgeFlags(), []string{"PERIHELION_EDGE_MAX_EDGES=3"}, "edge.max_edges is set (PERIHELION_EDGE_MAX_EDGES), but only the role home reads it"},
		{"an edge with policies", edgeFlags(), []string{"PERIHELION_POLICIES_FOLDER=x"}, "policies.folder is set (PERIHELION_POLICIES_FOLDER), but only the role home reads it"},
		{"an edge with a policy's bound", edgeFlags(), []string{"PERIHELION_POLICIES_MAX_FAILURES=3"}, "policies.max_failures is set (PERIHELION_POLICIES_MAX_FAILURES), but only the role home reads it"},
		{"policies without a folder", homeFlags(), []string{"PERIHELION_POLICIES_MAX_FAILURES=3"}, "policies.max_failures is set (PERIHELION_POLICIES_MAX_FAILURES), but nobody reads it without policies.folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(mustLoad(t, Sources{Environ: c.env, Flags: c.flags}).Warnings, "\n")
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(got, longToken) {
				t.Errorf("got %q, which holds a secret", got)
			}
		})
	}
}
