// Command hit measures what an edge is for: the same point selects, again and again, straight to PostgreSQL and through
// an edge that answers all of them from memory; and, as the limit of the machine, from a program that answers canned
// bytes. The servers take turns in short slices of one run, so that a ratio compares the same minute of the same
// machine. The table goes to standard output, and with all figures into a folder.
//
// It exits with 1 where an answer was wrong or the edge answered less than 99 % from memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/nodes"
	"github.com/perihelion-proxy/perihelion/bench/record"
)

const (
	cannedCommand = "serve-canned-bytes"
	fewestHits    = 0.99
)

type options struct {
	connections, keys, rounds int
	slice                     time.Duration
	protocols, rivals         []string
	folder                    string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == cannedCommand {
		exit(serveCanned())
	}
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
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hit:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("hit", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 16, "sessions that ask at the same time")
	flags.IntVar(&o.keys, "keys", 100, "rows that are asked for, of 10000")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each server has its turn")
	flags.DurationVar(&o.slice, "slice", 4*time.Second, "how long a turn takes")
	protocols := flags.String("protocols", "simple,prepared", "protocols to ask in")
	rivals := flags.String("rivals", "direct,edge,canned", "servers to ask; ratios are to the first")
	flags.StringVar(&o.folder, "results", "results", "folder for the results; empty for none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.protocols, o.rivals = strings.Split(*protocols, ","), strings.Split(*rivals, ",")
	err := o.check(flags.Args())
	if err != nil {
		fmt.Fprintln(flags.Output(), "hit:", err)
	}
	return o, err
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.connections < 1 || o.rounds < 1 || o.slice <= 0:
		return errors.New("connections, rounds and slice must be more than 0")
	case o.keys < 1 || o.keys > rows:
		return fmt.Errorf("keys must be 1 to %d", rows)
	}
	for _, protocol := range o.protocols {
		if !slices.Contains([]string{"simple", "prepared"}, protocol) {
			return fmt.Errorf("unknown protocol %q: simple or prepared", protocol)
		}
	}
	for _, name := range o.rivals {
		if !slices.Contains([]string{"direct", "edge", "canned"}, name) {
			return fmt.Errorf("unknown server %q: direct, edge or canned", name)
		}
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
	folder, err := os.MkdirTemp("", "perihelion-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	server, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	var programs nodes.Children
	defer programs.End()

	var rivals []rival
	for _, name := range o.rivals {
		one := rival{name: "direct", addr: server.Addr(), value: balance, processes: []process{{"postgres", server.PID()}}}
		switch name {
		case "edge":
			one, err = startEdge(ctx, &programs, server, folder)
		case "canned":
			one, err = startCanned(&programs)
		}
		if err != nil {
			return err
		}
		rivals = append(rivals, one)
	}

	result := &report{
		Date: record.Today(), Command: strings.Join(append([]string{"just bench hit"}, os.Args[1:]...), " "),
		Machine: record.ThisMachine(), Postgres: server.Version(), Revision: record.Revision(),
		Connections: o.connections, Keys: o.keys, Rounds: map[string]map[string][]slice{},
	}
	for _, protocol := range o.protocols {
		if result.Rounds[protocol], err = compete(ctx, o, protocol, rivals); err != nil {
			return err
		}
	}
	result.print(os.Stdout, o.rivals)
	for _, protocol := range o.protocols {
		for _, name := range o.rivals {
			if share, counted := hitShare(result.Rounds[protocol][name]); counted && share < fewestHits {
				return fmt.Errorf("%s, %s: %.2f %% of the queries were hits: nothing is kept of this run", name, protocol, share*100)
			}
		}
	}
	if o.folder == "" {
		return nil
	}
	return record.Keep(o.folder, "hit", result, func(to io.Writer) { result.print(to, o.rivals) })
}

// compete gives each rival its turn, round by round.
func compete(ctx context.Context, o options, protocol string, rivals []rival) (_ map[string][]slice, err error) {
	var loads []*load
	defer func() {
		for _, l := range loads {
			err = errors.Join(err, l.close())
		}
	}()
	for _, r := range rivals {
		l, err := open(ctx, r, protocol, o.connections, o.keys)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
		// The first moments of a process are unlike the rest.
		if _, err := l.run(ctx, o.slice/4); err != nil {
			return nil, err
		}
	}
	rounds := map[string][]slice{}
	for round := range o.rounds {
		for _, l := range loads {
			s, err := l.run(ctx, o.slice)
			if err != nil {
				return nil, err
			}
			rounds[l.rival.name] = append(rounds[l.rival.name], s)
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s %.0f queries/s\n", protocol, round+1, o.rounds, l.rival.name, s.PerSecond)
		}
	}
	return rounds, nil
}
