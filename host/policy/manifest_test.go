package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestManifestIsRead(t *testing.T) {
	m, err := readManifest([]byte(`
match:
  tenants: [acme, "eu-*"]
  databases: [shop]
priority: 7
memory: 8MiB
fuel: 1000
sha256: ` + strings.Repeat("Ab", 32) + `
config: {ttl: {"public.a": 10m, "public.b": 0}, many: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33]}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%v %d %d %d %s", m.match, m.priority, m.memory, m.fuel, m.sha256)
	if want := fmt.Sprintf("{[acme eu-*] [shop]} 7 %d 1000 %s", 8<<20, strings.Repeat("ab", 32)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := `"ttl":{"public.a":"10m","public.b":0}}`; !strings.HasSuffix(string(m.config), want) {
		t.Errorf("config = %s, want it to end with %s", m.config, want)
	}
	for _, test := range []struct {
		tenant, database string
		want             bool
	}{{"acme", "shop", true}, {"eu-west", "shop", true}, {"us", "shop", false}, {"acme", "bank", false}} {
		if got := m.match.matches(test.tenant, test.database); got != test.want {
			t.Errorf("matches(%s, %s) = %v, want %v", test.tenant, test.database, got, test.want)
		}
	}
}

func TestManifestOfNothingIsForEverySession(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "match:\n  # all of it\n", "match: {}\n"} {
		m, err := readManifest([]byte(text))
		if err != nil || !m.match.matches("any", "thing") || m.priority != defaultPriority || m.config != nil {
			t.Errorf("%q: got %+v, %v", text, m, err)
		}
	}
}

// TestManifestRefuses holds a secret in each text: no error may show it.
func TestManifestRefuses(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"a key that is misspelt", "prioritty: 3", []string{`"prioritty": unknown key`, "nearest known key is priority"}},
		{"a key of a section that is misspelt", "match: {tenant: [a]}", []string{`"match.tenant": unknown key`, "nearest known key is match.tenants"}},
		{"a key of another section", "tenants: [a]", []string{`"tenants": unknown key`}},
		{"every wrong key at once", "prio: 1\nmemroy: 2\nmatch: {database: [x]}", []string{"is priority", "is memory", "is match.databases"}},
		{"no fuel", "fuel: 0", []string{"fuel: 0 is not a number of steps"}},
		{"too much fuel", "fuel: 20000001", []string{"from 1 to 20000000"}},
		{"tick, which is for later", "tick: 10s", []string{"tick: not supported by this version"}},
		{"a key that is a number", "1: 2", []string{"not plain text", "priority"}},
		{"a value where a section is", "match: " + secret, []string{"match: takes no value; its keys are tenants, databases"}},
		{"a list for a root", "- " + secret, []string{"no keys"}},
		{"a key twice", "priority: 1\npriority: 2", []string{"already defined"}},
		{"a second document", "priority: 1\n---\npriority: 2", []string{"second document"}},
		{"what is no YAML", "config: {password: " + secret + ", a: [}", []string{"[1:"}},
		{"a number that is none", "priority: " + secret, []string{"[1:11]"}},
		{"aliases, which make much of little", "config: [&a " + secret + ", *a]", []string{"line 1", "aliases"}},
		{"a merge key", "config:\n  <<: {password: " + secret + "}", []string{"line 2", "merge keys"}},
		{"deep nesting in brackets", "config: " + strings.Repeat("[", 30000), []string{"deeper"}},
		{"deep nesting by dashes", "config:\n  " + strings.Repeat("- ", 30000), []string{"deeper"}},
		{"what JSON cannot say", "config: .nan", []string{"config: cannot be given"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readManifest([]byte(test.text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error shows a value: %v", err)
			}
			if i := slices.IndexFunc(test.want, func(want string) bool { return !strings.Contains(err.Error(), want) }); i >= 0 {
				t.Errorf("got %v, want %q in it", err, test.want[i])
			}
		})
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte("match: {tenants: [acme, \"eu-*\"]}\npriority: 100\nmemory: 16MiB\nconfig:\n  ttl: {\"public.a\": 10m}\n"))
	f.Add([]byte("config: [&a x, *a]"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = readManifest(text)
	})
}
