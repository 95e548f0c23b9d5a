package analyze

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// catalogueFile is one file of testdata/catalogue; see the README there.
type catalogueFile struct {
	name, setup string
	cases       []catalogueCase
}

type catalogueCase struct {
	name, sql, path string
	verdict         string
	reads, writes   []string
	reason          string
	untracked       bool
	unrun           bool
	since           int
	line            int
}

func readCatalogue(t testing.TB) []catalogueFile {
	t.Helper()
	names, err := filepath.Glob("testdata/catalogue/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("no catalogue: %v", err)
	}
	var files []catalogueFile
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parseCatalogue(t, filepath.Base(name), string(text)))
	}
	return files
}

func parseCatalogue(t testing.TB, name, text string) catalogueFile {
	t.Helper()
	f := catalogueFile{name: strings.TrimSuffix(name, ".sql")}
	to := (*string)(nil) // what plain lines are added to
	for i, line := range strings.Split(text, "\n") {
		directive, ok := strings.CutPrefix(line, "--- ")
		if !ok {
			if to != nil {
				*to += line + "\n"
			}
			continue
		}
		key, value, _ := strings.Cut(directive, ":")
		value = strings.TrimSpace(value)
		if key == "setup" {
			to = &f.setup
			continue
		}
		if key == "case" {
			f.cases = append(f.cases, catalogueCase{name: value, line: i + 1})
			to = &f.cases[len(f.cases)-1].sql
			continue
		}
		if len(f.cases) == 0 {
			t.Fatalf("%s:%d: %s before any case", name, i+1, key)
		}
		c := &f.cases[len(f.cases)-1]
		switch key {
		case "verdict":
			c.verdict = value
		case "reads":
			c.reads = strings.Fields(value)
		case "writes":
			c.writes = strings.Fields(value)
		case "reason":
			c.reason = value
		case "path":
			c.path = statement.SearchPath(value, "postgres")
		case "session":
			c.untracked = value == "untracked"
		case "unrun":
			c.unrun = value != ""
		case "since":
			major, err := strconv.Atoi(value)
			if err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			c.since = major * 10_000
		default:
			t.Fatalf("%s:%d: no directive %s", name, i+1, key)
		}
	}
	for i := range f.cases {
		c := &f.cases[i]
		c.sql = strings.TrimSpace(c.sql)
		if c.name == "" || c.verdict == "" || c.sql == "" || c.reason == "" && c.verdict != statement.Read.String() {
			t.Fatalf("%s:%d: a case lacks its name, verdict, reason or statement", name, c.line)
		}
		slices.Sort(c.reads)
		slices.Sort(c.writes)
	}
	return f
}

func TestCatalogue(t *testing.T) {
	files := readCatalogue(t)
	count := 0
	for _, f := range files {
		count += len(f.cases)
	}
	if count < 600 {
		t.Errorf("the catalogue holds %d statements, want at least 600", count)
	}
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			for _, f := range files {
				t.Run(f.name, func(t *testing.T) { f.check(t, version) })
			}
		})
	}
}

func (f *catalogueFile) check(t *testing.T, version pgtest.Version) {
	db := pgtest.NewOf(t, version)
	db.Exec(f.setup, "ANALYZE")
	s := pictureOf(t, db)
	a := analyzer(s)
	conn := db.Connect()
	for _, c := range f.cases {
		if s.ServerVersion < c.since {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d := a.Describe(t.Context(), db.Name, c.path, c.sql)
			c.check(t, d)
			e := a.Explain(t.Context(), db.Name, c.path, c.sql)
			if d.Verdict != e.Verdict || d.Reason != e.Reason || d.Verdict != statement.Read && len(e.Findings) == 0 {
				t.Errorf("explained as %s: %s, %v", e.Verdict, e.Reason, e.Findings)
			}
			if observable(d) && !c.unrun {
				observe(t, conn, d, s, c.sql, c.path)
			}
		})
	}
}

func (c *catalogueCase) check(t *testing.T, d *statement.Descriptor) {
	t.Helper()
	writes := d.Writes.Relations
	if d.Writes.Anything {
		writes = []string{"anything"}
	}
	if d.Verdict.String() != c.verdict || !slices.Equal(writes, c.writes) {
		t.Errorf("line %d: got %s, writes %v; want %s, writes %v\nwhy: %s\n%s", c.line, d.Verdict, writes, c.verdict, c.writes, d.Reason, c.sql)
	}
	if (d.Verdict == statement.Read || d.Verdict == statement.Unstable) && !slices.Equal(d.Relations, c.reads) {
		t.Errorf("line %d: reads %v, want %v\n%s", c.line, d.Relations, c.reads, c.sql)
	}
	if !strings.Contains(strings.ToLower(d.Reason), strings.ToLower(c.reason)) {
		t.Errorf("line %d: the reason is %q, want %q in it\n%s", c.line, d.Reason, c.reason, c.sql)
	}
	if c.untracked && !d.Untracked {
		t.Errorf("line %d: the session stays tracked\n%s", c.line, c.sql)
	}
}

// pictureOf loads the picture of a database.
func pictureOf(t testing.TB, db *pgtest.Database) *catalog.Snapshot {
	t.Helper()
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Options{Config: config})
	t.Cleanup(c.Close)
	s, err := c.Snapshot(t.Context(), db.Name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
