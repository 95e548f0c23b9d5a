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

	"github.com/perihelion-proxy/perihelion/bench/nodes"
	"github.com/perihelion-proxy/perihelion/bench/record"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	user     = "postgres"
	database = "postgres"

	kibibyte = 1 << 10
	mebibyte = 1 << 20
)

type options struct {
	sessions   int
	settle     time.Duration
	bytes      int64
	value      int64
	perSession int64
	streaming  int64
	folder     string
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
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	flags.IntVar(&o.sessions, "sessions", 5000, "idle sessions of each kind; 0: leave them out")
	flags.DurationVar(&o.settle, "settle", 150*time.Second, "how long the nodes are left alone before their memory is read")
	flags.Int64Var(&o.bytes, "bytes", 2<<30, "size of each large result in bytes; 0: leave them out")
	flags.Int64Var(&o.value, "value", 900<<20, "size of the one huge value in bytes")
	flags.Int64Var(&o.perSession, "session-target", 24*kibibyte, "most that an idle session may cost the edge, in bytes")
	flags.Int64Var(&o.streaming, "stream-target", 32*mebibyte, "most that a large result may cost a node, in bytes")
	flags.StringVar(&o.folder, "results", "results", "folder for the results; empty for none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	err := o.check(flags.Args())
	if err != nil {
		fmt.Fprintln(flags.Output(), "memory:", err)
	}
	return o, err
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.sessions < 0 || o.bytes < 0 || o.settle < 0 || o.perSession < 0 || o.streaming < 0:
		return errors.New("nothing may be less than 0")
	case o.sessions == 0 && o.bytes == 0:
		return errors.New("nothing to measure: sessions and bytes are 0")
	case o.value < 1 || o.value > 1000<<20:
		return fmt.Errorf("value must be 1 to %d, as PostgreSQL knows none larger", 1000<<20)
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
	folder, err := os.MkdirTemp("", "perihelion-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	server, err := postgres.Start(ctx, postgres.Options{Settings: map[string]string{"autovacuum": "off", "fsync": "off", "max_wal_size": "8GB"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	programs, err := nodes.Build(ctx, folder)
	if err != nil {
		return err
	}
	result := &report{
		Date: record.Today(), Command: strings.Join(append([]string{"just bench memory"}, os.Args[1:]...), " "),
		Machine: record.ThisMachine(), Postgres: server.Version(), Revision: record.Revision(),
		SessionTarget: o.perSession, StreamTarget: o.streaming, Settle: o.settle.String(),
	}
	if o.sessions > 0 {
		if result.Idle, err = measureIdle(ctx, o, programs, server); err != nil {
			return err
		}
	}
	if o.bytes > 0 {
		if result.Large, err = measureLarge(ctx, o, programs, server); err != nil {
			return err
		}
	}
	result.print(os.Stdout)
	if o.folder != "" {
		if err := record.Keep(o.folder, "memory", result, func(to io.Writer) { result.print(to) }); err != nil {
			return err
		}
	}
	return result.verdict()
}

// pause waits, and returns early with the cause where ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
