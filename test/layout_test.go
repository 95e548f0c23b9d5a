// Package test holds the suites that look at the project as a whole.
package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/perihelion-proxy/perihelion/"
	parser = "github.com/pganalyze/pg_query_go/v6"
)

// order lists the rooms of the program: a package imports from rooms below its own only. A room is its folder and all
// folders below it.
var order = []string{
	"cmd/perihelion",
	"host/demo",
	"host/node",
	"host/api",
	"host/console",
	"host/session",
	"host/registry",
	"host/link",
	"host/changes",
	"host/policy",
	"host/analyze",
	"host/catalog",
	"host/upstream",
	"host/cache",
	"host/invalidation",
	"host/statement",
	"host/scram",
	"host/wire",
	"host/certificate",
	"host/config",
	"host/telemetry",
	"runtime/engine",
	"runtime/abi",
}

// anyone lists the rooms that are measured by what they check, not by their place.
var anyone = []string{"test", "guest-sdk", "bench", "policies", "examples"}

// onlyImporter says which single room may import what lies under a path.
var onlyImporter = map[string]string{
	"github.com/labstack/echo":         "host/api",
	"github.com/pganalyze/pg_query_go": "host/analyze",
	"github.com/tetratelabs/wazero":    "runtime/engine",
	"github.com/alecthomas/kong":       "cmd/perihelion",
	"github.com/fsnotify/fsnotify":     "host/policy",
	module + "test/postgres":           "host/demo",
	module + "test/pgtest":             "",
	"testing":                          "",
}

// refused says what a room must not know although the order would let it, and why.
var refused = []struct{ room, path, reason string }{
	{"host/session", module + "host/analyze", "the session declares what it needs of analysis as an interface"},
	{"host/session", module + "host/policy", "the session declares what it needs of decisions as an interface"},
	{"host/registry", "net/http", "the registry knows no HTTP"},
	{"host/cache", module + "host/policy", "the cache keeps what it is told to keep"},
	{"runtime", module + "host", "the runtime knows nothing of the host"},
	{"runtime", "github.com/jackc", "the runtime knows no Postgres"},
	{"host/wire", "database/sql", "the wire knows no SQL"},
}

// standardOnly lists the rooms that import nothing but the standard library.
var standardOnly = []string{"host/invalidation", "runtime/abi"}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportsGoDownTheLayout(t *testing.T) {
	for _, violation := range violations(list(t, nil, "./...")) {
		t.Error(violation)
	}
}

// TestTheEdgeBuildsWithoutC keeps the SQL parser, which is C, out of everything that an edge consists of.
func TestTheEdgeBuildsWithoutC(t *testing.T) {
	var roots []string
	for _, root := range []string{"cmd/perihelion", "host/node", "host/session", "host/link", "host/cache", "host/api"} {
		if sources, err := filepath.Glob(filepath.Join("..", root, "*.go")); err == nil && len(sources) > 0 {
			roots = append(roots, "./"+root)
		}
	}
	if len(roots) == 0 {
		t.Fatal("none of the edge's packages exists")
	}
	for _, found := range list(t, []string{"CGO_ENABLED=0"}, append([]string{"-deps"}, roots...)...) {
		if within(found.ImportPath, parser) || found.ImportPath == module+"host/analyze" {
			t.Errorf("an edge contains %s", found.ImportPath)
		}
	}
}

// list runs `go list` on packages of the module and answers what it says, without tests.
func list(t *testing.T, env []string, args ...string) []listed {
	t.Helper()
	rememberSources(t)
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var found []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var one listed
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, one)
	}
}

// rememberSources looks at every source file, so that `go test`, which keeps the result of a test until a file that it
// looked at changes, runs this one again after a change anywhere.
func rememberSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".go":
			_, err := os.Stat(path)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// violations returns what is wrong with the imports of packages, in words.
func violations(packages []listed) []string {
	var wrong []string
	for _, one := range packages {
		from, ours := strings.CutPrefix(one.ImportPath, module)
		if !ours || roomOf(from, anyone) >= 0 {
			continue
		}
		place := roomOf(from, order)
		if place < 0 {
			wrong = append(wrong, from+" has no place in the layout: give it one in STYLE's list and in test/layout_test.go")
			continue
		}
		for _, path := range one.Imports {
			if reason := refusal(from, place, path); reason != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", from, strings.TrimPrefix(path, module), reason))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// refusal says why the package at a place in the order may not import path, or "".
func refusal(from string, place int, path string) string {
	for what, room := range onlyImporter {
		if within(path, what) && order[place] != room {
			if room == "" {
				return "only tests may"
			}
			return "only " + room + " may"
		}
	}
	for _, rule := range refused {
		if within(from, rule.room) && within(path, rule.path) {
			return rule.reason
		}
	}
	if slices.Contains(standardOnly, order[place]) && strings.Contains(strings.Split(path, "/")[0], ".") && !within(path, module+order[place]) {
		return "only the standard library is allowed here"
	}
	to, ours := strings.CutPrefix(path, module)
	if !ours || within(to, "test") {
		return ""
	}
	below := roomOf(to, order)
	switch {
	case below < 0:
		return "it is no part of the program"
	case below < place:
		return "imports go down the list only"
	}
	return ""
}

// roomOf returns the index of the room that a package lies in, or -1.
func roomOf(path string, rooms []string) int {
	return slices.IndexFunc(rooms, func(room string) bool { return within(path, room) })
}

// within reports whether path is the folder or below it, at whatever major version.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestViolationsOfTheLayoutAreFound(t *testing.T) {
	tests := map[string]struct {
		from    string
		imports []string
		want    string // in the message; "" for none
	}{
		"down the list":                          {"host/node", []string{module + "host/wire", "fmt"}, ""},
		"to the room's own folder below":         {"host/wire", []string{module + "host/wire/frame"}, ""},
		"up the list":                            {"host/wire", []string{module + "host/session"}, "down the list"},
		"up the list from a folder below":        {"host/wire/frame", []string{module + "host/cache"}, "down the list"},
		"everything logs":                        {"host/wire", []string{module + "host/telemetry"}, ""},
		"the logger knows nobody":                {"host/telemetry", []string{module + "host/config"}, "down the list"},
		"the log of events logs nothing":         {"host/invalidation", []string{module + "host/telemetry"}, "standard library"},
		"the log of events with a library":       {"host/invalidation", []string{"golang.org/x/sync/errgroup"}, "standard library"},
		"the log of events with a standard one":  {"host/invalidation", []string{"container/heap"}, ""},
		"a policy runs":                          {"host/policy", []string{module + "runtime/engine"}, ""},
		"the engine knows its identifiers":       {"runtime/engine", []string{module + "runtime/abi", "github.com/tetratelabs/wazero/api"}, ""},
		"the engine knows the host":              {"runtime/engine", []string{module + "host/telemetry"}, "nothing of the host"},
		"the engine knows Postgres":              {"runtime/engine", []string{"github.com/jackc/pgx/v5"}, "no Postgres"},
		"Echo in the API":                        {"host/api", []string{"github.com/labstack/echo/v4"}, ""},
		"Echo elsewhere":                         {"host/node", []string{"github.com/labstack/echo/v4/middleware"}, "only host/api"},
		"the parser in the session":              {"host/session", []string{parser}, "only host/analyze"},
		"the session knows analysis":             {"host/session", []string{module + "host/analyze"}, "interface"},
		"the registry knows HTTP":                {"host/registry", []string{"net/http"}, "no HTTP"},
		"a package without a place":              {"host/util", nil, "no place"},
		"a room whose name only begins the same": {"host/wires", nil, "no place"},
		"the program needs a policy's source":    {"host/node", []string{module + "policies/ttl"}, "no part"},
		"the demo starts a server":               {"host/demo", []string{module + "test/postgres"}, ""},
		"another package starts a server":        {"host/node", []string{module + "test/postgres"}, "only host/demo"},
		"the program imports test code":          {"cmd/perihelion", []string{module + "test/pgtest"}, "only tests"},
		"a test may import anything":             {"test/pgtest", []string{"testing", module + "host/node"}, ""},
		"a package of somebody else's":           {"", []string{"testing"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := module + test.from
			if test.from == "" {
				path = "example.com/other"
			}
			got := strings.Join(violations([]listed{{ImportPath: path, Imports: test.imports}}), "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
