package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/perihelion-proxy/perihelion/host/config"
)

func main() {
	// Two signals may come before anybody listens: the first drains, the second ends at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], world{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), signals: signals, exit: os.Exit, newNode: newNode,
	}))
}

// world is what a command sees of the process that it runs in.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	signals        <-chan os.Signal
	// exit ends the process after a help text. It does not return.
	exit    func(int)
	newNode nodeFactory
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run runs one command and returns its exit code.
func run(args []string, w world) int {
	if err := dispatch(args, w); err != nil {
		return report(w.stderr, err)
	}
	return exitOK
}

// hintedError is an error that comes with what to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// report prints an error, with a hint where there is one, and returns the exit code.
func report(stderr io.Writer, err error) int {
	say := func(kind, text string) { fmt.Fprintf(stderr, "perihelion: %s: %s\n", kind, text) }
	var wrong *config.Error
	var usage *kong.ParseError
	var hinted *hintedError
	var unusable *usageError
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			say("error", p.String())
			say("hint", p.Allowed)
		}
		return exitUsage
	case errors.As(err, &usage):
		say("error", usage.Error())
		say("hint", fmt.Sprintf("run %q", usageCommand(usage)+" --help"))
		return exitUsage
	case errors.As(err, &unusable):
		say("error", err.Error())
		say("hint", unusable.hint)
		return exitUsage
	case errors.As(err, &hinted):
		say("error", err.Error())
		say("hint", hinted.hint)
	default:
		say("error", err.Error())
	}
	return exitFailure
}

// usageCommand is the command whose help tells more of a wrong command line.
func usageCommand(err *kong.ParseError) string {
	if err.Context == nil || err.Context.Selected() == nil {
		return "perihelion"
	}
	return "perihelion " + strings.TrimSpace(err.Context.Selected().Path())
}
