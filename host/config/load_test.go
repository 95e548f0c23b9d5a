package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	longToken  = "tCq8vJ2mX0aPz5Lr"
	longToken2 = "W7eUk3sNd9bGy1Hf"
)

// write returns the path of a file with a configuration.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perihelion.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// setting returns what a configuration says of a key.
func setting(t *testing.T, c *Config, key string) Setting {
	t.Helper()
	for _, s := range c.Settings() {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("no key %q among the settings", key)
	return Setting{}
}

// asYAML writes one key of a file.
func asYAML(key, value string) string {
	if section, rest, ok := strings.Cut(key, "."); ok {
		return section + ":\n  " + rest + ": " + value + "\n"
	}
	return key + ": " + value + "\n"
}

// roleFor returns the flags that make a valid node of the role that reads a key.
func roleFor(key string) []Flag {
	for _, row := range table() {
		if row.name == key && row.onlyFor == Edge {
			return edgeFlags()
		}
	}
	return homeFlags()
}

// partner is the flag of the key that one of a pair needs.
func partner(key string) []Flag {
	for _, pair := range [][2]string{{keyTLSCert, keyTLSKey}, {keyHTTPTLSCert, keyHTTPTLSKey}} {
		for i := range pair {
			if pair[i] == key {
				return []Flag{{Key: pair[1-i], Name: "--the-other", Values: []string{"other.pem"}}}
			}
		}
	}
	return nil
}

func homeFlags() []Flag {
	return []Flag{{Key: keyUpstream, Name: "--upstream", Values: []string{"postgres://127.0.0.1:5432"}}}
}

func edgeFlags() []Flag {
	return []Flag{
		{Key: keyRole, Name: "perihelion edge", Values: []string{"edge"}},
		{Key: keyHomeURL, Name: "--home-url", Values: []string{"http://127.0.0.1:6433"}},
		{Key: keyAuthToken, Name: "--auth-token", Values: []string{longToken}},
	}
}

// without returns flags without those of a key.
func without(flags []Flag, key string) []Flag {
	var kept []Flag
	for _, f := range flags {
		if f.Key != key {
			kept = append(kept, f)
		}
	}
	return kept
}

// samples has for every key two values and how they print.
func samples() map[string][2][2]string {
	same := func(a, b string) [2][2]string { return [2][2]string{{a, a}, {b, b}} }
	return map[string][2][2]string{
		"edge.home_url":         {{"https://a.example/", "https://a.example"}, {"http://b.example:6433", "http://b.example:6433"}},
		"edge.auth_token":       {{longToken, redacted}, {longToken2, redacted}},
		"edge.default_ttl":      {{"1m30s", "90s"}, {"500ms", "500ms"}},
		"edge.max_entries":      same("1", "100000000"),
		"edge.max_edges":        same("1", "10000"),
		"edge.id":               same("edge-1", "paris.2_b"),
		"listen":                same("127.0.0.1:0", "[::1]:6432"),
		"http":                  same(":6433", "db.example:65535"),
		"upstream":              {{"postgres://u:pw@h:5432/d", "postgres://u:redacted@h:5432/d"}, {"postgresql://h", "postgresql://h"}},
		"admin_token":           {{longToken, redacted}, {longToken2, redacted}},
		"region":                same("eu-west-3", "fra1"),
		"max_staleness":         {{"10s", "10s"}, {"1h0m0s", "1h"}},
		"renew_interval":        same("10ms", "2s"),
		"catalog_check":         same("10ms", "2s"),
		"consistency.default":   same("strong", "off"),
		"consistency.strong":    same("shop", "Bank"),
		"consistency.bounded":   same("shop", "Bank"),
		"consistency.off":       same("shop", "Bank"),
		"cache.max_bytes":       {{"1073741824", "1GiB"}, {"16MiB", "16MiB"}},
		"cache.max_entry_bytes": {{"1KiB", "1KiB"}, {"1500B", "1500B"}},
		"policies.folder":       same("policies", "/srv/policies"),
		"policies.max_failures": same("1", "7"),
		"policies.cache_dir":    same("compiled", "/var/cache/perihelion"),
		"edge.home_ca":          same("ca.pem", "/etc/ca.pem"),
		"tls.cert":              same("c.pem", "/etc/c.pem"),
		"tls.key":               same("k.pem", "/etc/k.pem"),
		"http_tls.cert":         same("c.pem", "/etc/c.pem"),
		"http_tls.key":          same("k.pem", "/etc/k.pem"),
		"sessions.max":          same("1", "5000"),
		"sessions.keep_alive":   same("0s", "30s"),
		"lazy_begin":            same("off", "on"),
		"source":                same("wal", "wire"),
		"wal.max_slots":         same("1", "9"),
		"statistics_poll":       same("0s", "10s"),
		"auth":                  same("scram", "pass"),
		"auth_query":            same("select verifier from v where role = $1", "select f($1)"),
		"drain_timeout":         same("0s", "90s"),
		"log.level":             same("debug", "error"),
		"log.format":            same("json", "text"),
	}
}

func TestEveryKeyIsReadFromFileEnvironmentAndFlagInThatOrder(t *testing.T) {
	all := samples()
	for _, k := range Keys() {
		if k.Name == keyRole {
			continue // TestTheRoleIsReadFromFileEnvironmentAndFlag
		}
		t.Run(k.Name, func(t *testing.T) {
			values, ok := all[k.Name]
			if !ok {
				t.Fatalf("no sample for %s", k.Name)
			}
			first, second := values[0], values[1]
			base := roleFor(k.Name)
			if k.Name == keyHTTP {
				base = edgeFlags() // a home would need a token as well
			}
			base = append(base, partner(k.Name)...)
			base = without(base, k.Name)
			file := write(t, asYAML(k.Name, first[0]))
			env := []string{"HOME=/", k.Env + "=" + second[0]}
			flag := append(base, Flag{Key: k.Name, Name: "--" + k.Flag, Values: []string{first[0]}})

			c := mustLoad(t, Sources{File: file, Flags: base})
			line := "1"
			if strings.Contains(k.Name, ".") {
				line = "2"
			}
			checkSetting(t, setting(t, c, k.Name), Setting{k.Name, first[1], file + ":" + line})

			c = mustLoad(t, Sources{File: file, Environ: env, Flags: base})
			checkSetting(t, setting(t, c, k.Name), Setting{k.Name, second[1], k.Env})

			c = mustLoad(t, Sources{File: file, Environ: env, Flags: flag})
			checkSetting(t, setting(t, c, k.Name), Setting{k.Name, first[1], "--" + k.Flag})
		})
	}
}

func TestTheRoleIsReadFromFileEnvironmentAndFlag(t *testing.T) {
	base := without(edgeFlags(), keyRole)
	file := write(t, "edge: {role: edge}\n")
	c := mustLoad(t, Sources{File: file, Flags: base})
	checkSetting(t, setting(t, c, keyRole), Setting{keyRole, "edge", file + ":1"})

	c = mustLoad(t, Sources{Environ: []string{"PERIHELION_EDGE_ROLE=edge"}, Flags: base})
	checkSetting(t, setting(t, c, keyRole), Setting{keyRole, "edge", "PERIHELION_EDGE_ROLE"})

	c = mustLoad(t, Sources{Environ: []string{"PERIHELION_EDGE_ROLE=home"}, Flags: edgeFlags()})
	checkSetting(t, setting(t, c, keyRole), Setting{keyRole, "edge", "perihelion edge"})
}

func mustLoad(t *testing.T, s Sources) *Config {
	t.Helper()
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkSetting(t *testing.T, got, want Setting) {
	t.Helper()
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	want := map[string]string{
		"edge.role": "home", "edge.home_url": "", "edge.auth_token": "", "edge.default_ttl": "60s", "edge.max_entries": "10000",
		"edge.max_edges": "32", "edge.id": "", "listen": "127.0.0.1:6432", "http": "", "upstream": "postgres://127.0.0.1:5432",
		"admin_token": "", "region": "", "max_staleness": "5s", "renew_interval": "1s", "catalog_check": "1s", "consistency.default": "bounded", "consistency.strong": "", "consistency.bounded": "", "consistency.off": "", "cache.max_bytes": "256MiB",
		"cache.max_entry_bytes": "1MiB", "policies.folder": "", "policies.max_failures": "5", "policies.cache_dir": "",
		"source": "auto", "wal.max_slots": "4", "statistics_poll": "2s", "auth": "pass", "auth_query": "", "edge.home_ca": "", "tls.cert": "", "tls.key": "", "http_tls.cert": "", "http_tls.key": "", "lazy_begin": "on", "sessions.max": "1000", "sessions.keep_alive": "2s", "drain_timeout": "30s", "log.level": "info", "log.format": "auto",
	}
	c := mustLoad(t, Sources{Flags: homeFlags()})
	for _, s := range c.Settings() {
		if got := s.Value; got != want[s.Key] {
			t.Errorf("%s: got %q, want %q", s.Key, got, want[s.Key])
		}
		if s.Key != keyUpstream && s.Source != "default" {
			t.Errorf("%s: got source %q, want default", s.Key, s.Source)
		}
	}
	if len(c.Settings()) != len(want) {
		t.Errorf("got %d settings, want %d", len(c.Settings()), len(want))
	}
	if len(c.Warnings) > 0 {
		t.Errorf("got warnings %q, want none", c.Warnings)
	}
}

func TestAnEdgeListensElsewhereThanAHome(t *testing.T) {
	c := mustLoad(t, Sources{Flags: edgeFlags()})
	if got, want := c.Listen, "127.0.0.1:7432"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheAdminTokenIsTheAuthTokenWhereItIsNotSet(t *testing.T) {
	c := mustLoad(t, Sources{Flags: edgeFlags()})
	if got := c.AdminToken.Reveal(); got != longToken {
		t.Errorf("got %q, want the auth token", got)
	}
	checkSetting(t, setting(t, c, keyAdminToken), Setting{keyAdminToken, redacted, keyAuthToken})
}

func TestARenewIntervalThatIsNotSetFollowsTheStaleness(t *testing.T) {
	c := mustLoad(t, Sources{Environ: []string{"PERIHELION_MAX_STALENESS=500ms"}, Flags: edgeFlags()})
	checkSetting(t, setting(t, c, keyRenewInterval), Setting{keyRenewInterval, "100ms", "default"})
}

func TestSeveralHomesComeFromAListOrFromCommas(t *testing.T) {
	const want = "http://a.example, http://b.example"
	base := without(edgeFlags(), keyHomeURL)
	for name, s := range map[string]Sources{
		"a list in a file":         {File: write(t, "edge:\n  home_url:\n    - http://a.example\n    - http://b.example\n"), Flags: base},
		"a flow list in a file":    {File: write(t, "edge: {home_url: [http://a.example/, 'http://b.example']}\n"), Flags: base},
		"commas in a variable":     {Environ: []string{"PERIHELION_EDGE_HOME_URL=http://a.example,http://b.example"}, Flags: base},
		"commas in a flag":         {Flags: append(base, Flag{keyHomeURL, "--home-url", []string{"http://a.example,http://b.example"}})},
		"a flag that comes twice":  {Flags: append(base, Flag{keyHomeURL, "--home-url", []string{"http://a.example", "http://b.example"}})},
		"spaces behind the commas": {Environ: []string{"PERIHELION_EDGE_HOME_URL=http://a.example, http://b.example"}, Flags: base},
	} {
		t.Run(name, func(t *testing.T) {
			if got := setting(t, mustLoad(t, s), keyHomeURL).Value; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestFilesThatAreReadAsTheyLook(t *testing.T) {
	for _, c := range []struct{ name, file, key, want string }{
		{"a section whose keys are commented out", "cache:\n#  max_bytes: 1MiB\nregion: x\n", "region", "x"},
		{"a file of comments", "# nothing\n", "region", ""},
		{"an empty file", "", "region", ""},
		{"a document start", "---\nregion: x\n", "region", "x"},
		{"a number that is text", "region: 0123\n", "region", "0123"},
		{"a float that is text", "region: 1e3\n", "region", "1e3"},
		{"a word that is a truth value elsewhere", "region: true\n", "region", "true"},
		{"a quoted value", "region: \"e\\u0075\"\n", "region", "eu"},
		{"windows line ends", "region: x\r\nlisten: 127.0.0.1:1\r\n", "listen", "127.0.0.1:1"},
		{"an empty text", "region: ''\n", "region", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := setting(t, mustLoad(t, Sources{File: write(t, c.file), Flags: homeFlags()}), c.key).Value
			if got != c.want {
				t.Errorf("%q: got %q, want %q", c.file, got, c.want)
			}
		})
	}
}

func TestVariablesOfTheTestsAreLeftAlone(t *testing.T) {
	mustLoad(t, Sources{Environ: []string{"PERIHELION_TEST_POSTGRES=/x", "PERIHELIONS=1"}, Flags: homeFlags()})
}

func TestAnEmptyVariableIsAValue(t *testing.T) {
	file := write(t, "region: x\n")
	c := mustLoad(t, Sources{File: file, Environ: []string{"PERIHELION_REGION="}, Flags: homeFlags()})
	checkSetting(t, setting(t, c, "region"), Setting{"region", "", "PERIHELION_REGION"})
}

func TestEveryKeyHasADistinctVariableAndFlag(t *testing.T) {
	seen := map[string]string{}
	for _, k := range Keys() {
		for _, name := range []string{k.Env, "--" + k.Flag} {
			if other := seen[name]; other != "" {
				t.Errorf("%s belongs to %s and %s", name, other, k.Name)
			}
			seen[name] = k.Name
		}
		if k.Help == "" || k.Allowed == "" || strings.HasSuffix(k.Help, ".") {
			t.Errorf("%s: help %q, allowed %q", k.Name, k.Help, k.Allowed)
		}
	}
}

func TestAllProblemsAreReportedAtOnceInTheOrderOfTheSources(t *testing.T) {
	file := write(t, "region: x y\nlog:\n  level: loud\n  fromat: text\n")
	_, err := Load(Sources{
		File:    file,
		Environ: []string{"PERIHELION_SESSIONS_MAX=many", "PERIHELION_UPSTREEM=x"},
		Flags:   []Flag{{keyMaxStaleness, "--max-staleness", []string{"5"}}, {keyHTTP, "--http", []string{":1"}}},
	})
	want := []string{
		file + `:1: region "x y" has characters that are not allowed`,
		file + `:3: log.level "loud" is not one of the choices`,
		file + `:4: log.fromat is not a known key`,
		`PERIHELION_SESSIONS_MAX: sessions.max "many" is not a whole number`,
		`environment: PERIHELION_UPSTREEM is not a known variable`,
		`--max-staleness: max_staleness "5" is not a duration`,
		// The upstream is not missing: it was mistyped, as is said above.
		`edge.auth_token is not set: a home with an http address needs the token that edges show`,
	}
	got := problems(t, err)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// problems returns the lines of an error of Load.
func problems(t *testing.T, err error) []string {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want an *Error", err)
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
		if p.Allowed == "" {
			t.Errorf("%s: says nothing of what is allowed", p)
		}
	}
	return lines
}
