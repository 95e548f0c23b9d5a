package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/perihelion-proxy/perihelion/host/policy"
	"github.com/perihelion-proxy/perihelion/host/policy/cases"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

type policyCommand struct {
	Inspect policyInspectCommand `cmd:"" help:"Say what a module imports and exports, and whether a node would refuse it."`
	Test    policyTestCommand    `cmd:"" help:"Run a policy's test cases."`
}

type policyInspectCommand struct {
	File string `arg:"" help:"The module, NAME.wasm; the NAME.yaml beside it is its configuration."`
	JSON bool   `name:"json" help:"Print it as JSON."`
}

// Help implements [kong.HelpProvider].
func (policyInspectCommand) Help() string {
	return `The module is loaded as a node would, with its configuration, and then let go. The exit code is 1 where it is refused.

Examples:

    perihelion policy inspect build/policies/ttl-by-table.wasm
    perihelion policy inspect residency.wasm --json`
}

type policyTestCommand struct {
	Path  string `arg:"" help:"The module, NAME.wasm, or a folder with one; the NAME.yaml beside it is its configuration."`
	Cases string `placeholder:"FILE" help:"The cases (default: cases.yaml beside the module)."`
}

// Help implements [kong.HelpProvider].
func (policyTestCommand) Help() string {
	return `Each case names a statement, whose it is, and the decision that is expected. It is run twice, at a clock that stands
still. No node and no Postgres are needed. The exit code is 1 where a case fails.

Examples:

    perihelion policy test policies/residency
    perihelion policy test build/policies/ttl-by-table.wasm --cases policies/ttl-by-table/cases.yaml`
}

// withEngine runs what needs an engine, until a signal ends it.
func withEngine(do func(ctx context.Context, e *engine.Engine) error) (err error) {
	ctx, ignore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer ignore()
	e, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()
	return do(ctx, e)
}

// inspectPolicy prints what a module is.
func inspectPolicy(c policyInspectCommand, w world) error {
	f, err := policy.ReadFiles(c.File)
	if err != nil {
		return err
	}
	return withEngine(func(ctx context.Context, e *engine.Engine) error {
		about, err := policy.Inspect(ctx, e, f)
		if err != nil {
			return err
		}
		// The names are the module's choice, so no terminal may see them as they are.
		list := func(names []string) string { return printable(strings.Join(names, " ")) }
		if c.JSON {
			out := json.NewEncoder(w.stdout)
			out.SetIndent("", "  ")
			err = out.Encode(about)
		} else {
			p := &page{}
			fmt.Fprintf(p, "%s: %d bytes\n", printable(f.Name), about.Size)
			fmt.Fprintf(p, "memory:  %d KiB at first", about.MemoryBytes>>10)
			if about.MaxMemoryBytes > 0 {
				fmt.Fprintf(p, ", %d KiB at most", about.MaxMemoryBytes>>10)
			}
			fmt.Fprintf(p, "\nhooks:   %s\nexports: %s\nimports: %s\n", list(about.Hooks), list(about.Exports), list(about.Imports))
			_, err = io.WriteString(w.stdout, p.String())
		}
		if err == nil && about.Refused != "" {
			err = fmt.Errorf("a node would refuse it: %s", about.Refused)
		}
		return err
	})
}

// testPolicy runs the cases of a policy.
func testPolicy(c policyTestCommand, w world) (err error) {
	module := c.Path
	if info, err := os.Stat(c.Path); err == nil && info.IsDir() {
		found, err := filepath.Glob(filepath.Join(c.Path, "*.wasm"))
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return &usageError{fmt.Errorf("%s holds %d modules", c.Path, len(found)), "name the module, NAME.wasm"}
		}
		module = found[0]
	}
	f, err := policy.ReadFiles(module)
	if err != nil {
		return err
	}
	if c.Cases == "" {
		c.Cases = filepath.Join(filepath.Dir(module), "cases.yaml")
	}
	text, err := os.ReadFile(c.Cases)
	if err != nil {
		return err
	}
	all, err := cases.Read(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Cases, err)
	}
	ctx, ignore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer ignore()
	runner, err := cases.NewRunner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runner.Close(context.WithoutCancel(ctx))) }()
	failed := 0
	for _, one := range all {
		wrong, err := runner.Run(ctx, f, one)
		if err != nil {
			return err
		}
		if len(wrong) == 0 {
			fmt.Fprintf(w.stdout, "ok    %s\n", printable(one.Name))
			continue
		}
		failed++
		fmt.Fprintf(w.stdout, "FAIL  %s\n", printable(one.Name))
		for _, line := range wrong {
			fmt.Fprintf(w.stdout, "      %s\n", printable(line))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(all))
	}
	return nil
}
