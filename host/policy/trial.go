package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// Files are a policy as it lies in a folder.
type Files struct {
	Name string
	// Module is NAME.wasm, and Configuration NAME.yaml, empty where there is none.
	Module, Configuration []byte
}

// ReadFiles reads NAME.wasm and the NAME.yaml beside it, within the bounds that a node's folder has.
func ReadFiles(module string) (Files, error) {
	name, ok := strings.CutSuffix(filepath.Base(module), ".wasm")
	if !ok || name == "" {
		return Files{}, fmt.Errorf("%s is not called NAME.wasm", module)
	}
	f := Files{Name: name}
	var err error
	if f.Module, err = readCapped(module, abi.MaxModule); err != nil {
		return f, fmt.Errorf("read module: %w", err)
	}
	configuration := strings.TrimSuffix(module, ".wasm") + ".yaml"
	if f.Configuration, err = readCapped(configuration, abi.MaxConfig); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("read configuration: %w", err)
	}
	return f, nil
}

// TrialOptions are what a policy is tried with in place of a node.
type TrialOptions struct {
	DefaultTTL    time.Duration
	MaxEntryBytes int64
	// Config replaces the section config of NAME.yaml, as JSON; nil: it stays.
	Config []byte
	// WriteRate is that of [Options]. It may be nil.
	WriteRate func(database, relation string) int64
	// Logger gets what the policy says; nil: nobody does.
	Logger *slog.Logger
}

// Trial is one policy without a node, a folder or a Postgres: what its author asks it is decided as a node would, and
// nothing is remembered between two questions. One goroutine uses it.
type Trial struct {
	set    *Set
	policy *policy
}

// OpenTrial loads a policy into an engine, which must outlive the trial and whose clock is the one that it sees.
func OpenTrial(ctx context.Context, e *engine.Engine, f Files, o TrialOptions) (*Trial, error) {
	set := New(Options{DefaultTTL: o.DefaultTTL, MaxEntryBytes: o.MaxEntryBytes, MaxFailures: math.MaxInt, WriteRate: o.WriteRate, Logger: o.Logger})
	set.engine = e
	digest := sha256.Sum256(f.Module)
	m, err := readManifest(f.Configuration)
	if err != nil {
		return nil, err
	}
	if o.Config != nil {
		m.config = o.Config
	}
	p, err := set.compileWith(ctx, source{name: f.Name, wasm: f.Module, digest: hex.EncodeToString(digest[:])}, m)
	if err != nil {
		return nil, err
	}
	return &Trial{set: set, policy: p}, nil
}

// Decide returns what the policy makes of a statement. An error is a failure of the policy, which at a node makes the
// statement bypass the cache.
func (t *Trial) Decide(ctx context.Context, q Query) (Decision, error) {
	g := &generation{number: 1, policies: []*policy{t.policy}, memo: newMemo(), remembered: newRemembered()}
	return t.set.decideIn(ctx, g, q)
}

// Close ends the policy.
func (t *Trial) Close(ctx context.Context) error { return t.policy.module.Close(ctx) }

// Inspect says what a policy is, and whether a node would refuse it. An error is none of the policy's.
func Inspect(ctx context.Context, e *engine.Engine, f Files) (engine.Inspection, error) {
	about, err := e.Inspect(ctx, f.Module)
	if err != nil {
		return about, err
	}
	t, err := OpenTrial(ctx, e, f, TrialOptions{})
	if err != nil {
		about.Refused = err.Error()
		return about, ctx.Err()
	}
	return about, t.Close(ctx)
}
