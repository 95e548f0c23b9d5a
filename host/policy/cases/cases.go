// Package cases runs the test cases of a policy: a file in YAML of statements and what is to be decided of them. Each
// case is decided by the code that decides at a node, without one, at a clock that stands still.
package cases

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/perihelion-proxy/perihelion/host/policy"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

const (
	// MaxFile is the size of the largest file of cases, in bytes.
	MaxFile = 1 << 20

	defaultTTL           = time.Minute
	defaultMaxEntryBytes = 1 << 20
)

// Case is one statement, and what the policy is to make of it.
type Case struct {
	Name      string    `yaml:"name"`
	Statement Statement `yaml:"statement"`
	Context   Context   `yaml:"context"`
	// Config replaces that of NAME.yaml where it is not nil.
	Config any `yaml:"config"`
	// Now is what the clock shows; zero: what it shows for the whole file.
	Now    time.Time `yaml:"now"`
	Expect Expect    `yaml:"expect"`
}

// Statement is what the analysis of a home would have found.
type Statement struct {
	SQL string `yaml:"sql"`
	// Command is SELECT where it is empty, and Verdict, read or unstable, read.
	Command    string   `yaml:"command"`
	Verdict    string   `yaml:"verdict"`
	Reason     string   `yaml:"reason"`
	Relations  []string `yaml:"relations"`
	Rows       []int64  `yaml:"rows"`
	Functions  []string `yaml:"functions"`
	Comments   []string `yaml:"comments"`
	Parameters int      `yaml:"parameters"`
}

// Context is whose statement it is, and where it is decided.
type Context struct {
	// Tenant is default where it is empty.
	Tenant      string          `yaml:"tenant"`
	Database    string          `yaml:"database"`
	User        string          `yaml:"user"`
	Application string          `yaml:"application"`
	Level       statement.Level `yaml:"level"`
	// DefaultTTL is a minute where it is nil.
	DefaultTTL *time.Duration `yaml:"default_ttl"`
	// Writes is how often an hour a relation is written.
	Writes map[string]int64 `yaml:"writes"`
}

// Expect is the decision. What it does not name may be anything.
type Expect struct {
	Cache          *bool            `yaml:"cache"`
	TTL            *time.Duration   `yaml:"ttl"`
	Stale          *time.Duration   `yaml:"stale"`
	Level          *statement.Level `yaml:"level"`
	MaxResultBytes *int64           `yaml:"max_result_bytes"`
	Edges          *bool            `yaml:"edges"`
	Reason         *string          `yaml:"reason"`
	// Refused is a part of why the module is not loaded with the case's configuration, or of what it logs about that, and
	// Fails of why decide fails.
	Refused string `yaml:"refused"`
	Fails   string `yaml:"fails"`
}

// Read reads a file of cases. One that could not fail is an error.
func Read(text []byte) ([]Case, error) {
	var file struct {
		Now   time.Time `yaml:"now"`
		Cases []Case    `yaml:"cases"`
	}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("cases have %d bytes, at most %d are allowed", len(text), MaxFile)
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if len(file.Cases) == 0 {
		return nil, errors.New("there are no cases")
	}
	names := map[string]bool{}
	for i := range file.Cases {
		c := &file.Cases[i]
		if c.Now.IsZero() {
			c.Now = file.Now
		}
		if c.Now.IsZero() {
			c.Now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		v := c.Statement.Verdict
		switch {
		case c.Name == "" || names[c.Name]:
			return nil, fmt.Errorf("case %d: needs a name that no other case has", i+1)
		case v != "" && v != "read" && v != "unstable":
			return nil, fmt.Errorf("case %q: verdict %q is neither read nor unstable: a policy sees nothing else", c.Name, v)
		case c.Expect == Expect{}:
			return nil, fmt.Errorf("case %q: expects nothing", c.Name)
		}
		names[c.Name] = true
	}
	return file.Cases, nil
}

// Runner runs cases, and compiles a module once for all of them. One goroutine uses it.
type Runner struct {
	engine *engine.Engine
	now    time.Time
}

// NewRunner returns a runner, which is to be closed.
func NewRunner() (*Runner, error) {
	r := &Runner{}
	var err error
	r.engine, err = engine.New(engine.Options{Now: func() time.Time { return r.now }})
	return r, err
}

// Close gives back what the runner holds.
func (r *Runner) Close(ctx context.Context) error { return r.engine.Close(ctx) }

// Run runs a case twice, since a decision must not hang on the order of a map, and returns what differs from what is
// expected, a line each, and then what the policy logged. An error is none of the policy's.
func (r *Runner) Run(ctx context.Context, f policy.Files, c Case) ([]string, error) {
	r.now = c.Now
	said := &strings.Builder{}
	wrong, err := r.run(ctx, f, c, said)
	if len(wrong) > 0 && said.Len() > 0 {
		wrong = append(wrong, strings.Split(strings.TrimSpace(said.String()), "\n")...)
	}
	return wrong, err
}

func (r *Runner) run(ctx context.Context, f policy.Files, c Case, said *strings.Builder) ([]string, error) {
	o := policy.TrialOptions{
		DefaultTTL: defaultTTL, MaxEntryBytes: defaultMaxEntryBytes,
		WriteRate: func(_, relation string) int64 { return c.Context.Writes[relation] },
		Logger:    slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime})),
	}
	if c.Context.DefaultTTL != nil {
		o.DefaultTTL = *c.Context.DefaultTTL
	}
	if c.Config != nil {
		var err error
		if o.Config, err = json.Marshal(c.Config); err != nil {
			return nil, fmt.Errorf("case %q: config: %w", c.Name, err)
		}
	}
	trial, err := policy.OpenTrial(ctx, r.engine, f, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return difference("refused", c.Expect.Refused, err.Error()+said.String()), nil
	}
	if c.Expect.Refused != "" {
		return []string{fmt.Sprintf("refused: got a module that loads, want %q", c.Expect.Refused)}, trial.Close(ctx)
	}
	first, failure := trial.Decide(ctx, c.query())
	second, again := trial.Decide(ctx, c.query())
	var wrong []string
	switch {
	case failure != nil:
		wrong = difference("fails", c.Expect.Fails, failure.Error()+said.String())
	case c.Expect.Fails != "":
		wrong = []string{fmt.Sprintf("fails: got a decision, want %q", c.Expect.Fails)}
	default:
		wrong = c.Expect.differences(first)
	}
	if first != second || (failure == nil) != (again == nil) {
		wrong = append(wrong, fmt.Sprintf("the second run decides otherwise: %+v (error %v), after %+v (error %v)", second, again, first, failure))
	}
	return wrong, trial.Close(ctx)
}

// withoutTime leaves out when a line was logged.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// difference is what is wrong with an error, or what the policy said of it, of which a part is expected; empty: none is.
func difference(what, want, got string) []string {
	if want != "" && strings.Contains(got, want) {
		return nil
	}
	if want == "" {
		return []string{fmt.Sprintf("%s: got %q, want a decision", what, got)}
	}
	return []string{fmt.Sprintf("%s: got %q, want %q in it", what, got, want)}
}

func (c Case) query() policy.Query {
	s := c.Statement
	d := &statement.Descriptor{
		Verdict: statement.Read, Reason: s.Reason, Command: s.Command, Normalized: s.SQL, Comments: s.Comments,
		Parameters: s.Parameters, Relations: s.Relations, RelationRows: s.Rows, Functions: s.Functions,
	}
	if s.Verdict == "unstable" {
		d.Verdict = statement.Unstable
	}
	d.Command = cmp.Or(d.Command, "SELECT")
	return policy.Query{
		Tenant: cmp.Or(c.Context.Tenant, "default"), Database: c.Context.Database, User: c.Context.User, Application: c.Context.Application,
		Statement: d, Level: c.Context.Level,
	}
}

func (e Expect) differences(d policy.Decision) []string {
	var wrong []string
	wrong = differs(wrong, "cache", d.Cache, e.Cache)
	wrong = differs(wrong, "ttl", d.TTL, e.TTL)
	wrong = differs(wrong, "stale", d.Stale, e.Stale)
	wrong = differs(wrong, "level", d.Level, e.Level)
	wrong = differs(wrong, "max_result_bytes", d.MaxResultBytes, e.MaxResultBytes)
	wrong = differs(wrong, "edges", !d.Local, e.Edges)
	return differs(wrong, "reason", d.Reason, e.Reason)
}

func differs[T comparable](wrong []string, what string, got T, want *T) []string {
	if want == nil || got == *want {
		return wrong
	}
	return append(wrong, fmt.Sprintf("%s: got %v, want %v", what, got, *want))
}
