//go:build cgo

package main

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"time"

	"github.com/perihelion-proxy/perihelion/host/demo"
)

type demoCommand struct {
	Duration  time.Duration `default:"20s" placeholder:"DURATION" help:"How long the workload runs (default 20s)."`
	RoundTrip time.Duration `name:"round-trip" default:"40ms" placeholder:"DURATION" help:"Simulated distance between each edge and the home (default 40ms)."`
	Policy    string        `default:"build/policies/ttl-by-table.wasm" placeholder:"FILE" help:"Policy that is dropped in halfway (default build/policies/ttl-by-table.wasm)."`
	Keep      bool          `help:"Leave everything running afterwards, and print what to try."`
}

// Help implements [kong.HelpProvider].
func (demoCommand) Help() string {
	return `It starts a PostgreSQL of its own (from the checkout's node_modules, or PERIHELION_TEST_POSTGRES), a home and two
edges, runs a small shop's traffic through both, drops a policy into the folder halfway, and checks every answer. The exit
code is 0 where no answer was staler than the contract allows.

Examples:

    npx -y rust-just demo
    perihelion demo --duration 1m --round-trip 100ms
    perihelion demo --keep`
}

// runDemo shows the demonstration; a signal ends it.
func runDemo(c demoCommand, w world) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-w.signals:
			stop(errInterrupted)
		case <-ended:
		}
	}()
	err := demo.Run(ctx, demo.Options{Duration: c.Duration, RoundTrip: c.RoundTrip, Policy: c.Policy, Keep: c.Keep, Out: w.stdout, Version: version()})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &hintedError{err, "build the policies with `npx -y rust-just policies`, or name another with --policy"}
	case errors.Is(err, exec.ErrNotFound):
		return &hintedError{err, "`npx -y rust-just demo` installs what it needs first"}
	}
	return err
}

var errInterrupted = errors.New("interrupted")
