package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/record"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

type options struct {
	edges, rate int
	slice       time.Duration
	writes      int
	entries     int
	folder      string
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "invalidation:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("invalidation", flag.ContinueOnError)
	flags.IntVar(&o.edges, "edges", 32, "number of edges")
	flags.IntVar(&o.rate, "rate", 1000, "writes a second")
	flags.DurationVar(&o.slice, "slice", 8*time.Second, "how long each load runs")
	flags.IntVar(&o.writes, "writes", 1_000_000, "number of writes that stopped edges miss")
	flags.IntVar(&o.entries, "entries", 1_000_000, "number of entries that one write voids")
	flags.StringVar(&o.folder, "results", "results", "folder for the results; empty for none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.edges < 1 || o.rate < 1 || o.slice <= 0 || o.writes < 1 || o.entries < 1:
		err = errors.New("-edges, -rate, -slice, -writes and -entries must be more than 0")
	}
	if err != nil {
		fmt.Fprintln(flags.Output(), "invalidation:", err)
	}
	return o, err
}

func run(ctx context.Context, o options) (err error) {
	server, err := postgres.Start(ctx, postgres.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	r := &report{
		Date: record.Today(), Command: strings.Join(append([]string{"just bench invalidation"}, os.Args[1:]...), " "),
		Machine: record.ThisMachine(), Postgres: server.Version(), Revision: record.Revision(), Edges: o.edges, Rate: o.rate,
		Writes: o.writes, Entries: o.entries,
	}
	fmt.Fprintln(os.Stderr, "floors")
	r.Floors = measureFloors(o.entries)
	fmt.Fprintln(os.Stderr, "stopped edges")
	if r.Stopped, err = measureStopped(ctx, o.edges, o.writes); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "fan-out")
	if r.FanOut, err = measureFanOut(ctx, server, o); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "strong")
	if r.Strong, err = measureStrong(ctx, server, o); err != nil {
		return err
	}
	r.print(os.Stdout)
	if o.folder == "" {
		return nil
	}
	return record.Keep(o.folder, "invalidation", r, func(to io.Writer) { r.print(to) })
}
