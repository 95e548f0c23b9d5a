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

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/bench/record"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

type options struct {
	rounds int
	slice  time.Duration
	tables int
	folder string
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
		fmt.Fprintln(os.Stderr, "analyze:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("analyze", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each text is measured")
	flags.DurationVar(&o.slice, "slice", 200*time.Millisecond, "how long each text is measured in a round")
	flags.IntVar(&o.tables, "tables", 10_000, "number of tables of the largest database")
	flags.StringVar(&o.folder, "results", "results", "folder for the results; empty for none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1 || o.slice <= 0 || o.tables < 1:
		err = errors.New("-rounds, -slice and -tables must be more than 0")
	}
	if err != nil {
		fmt.Fprintln(flags.Output(), "analyze:", err)
	}
	return o, err
}

// report is the result of a run as it is kept.
type report struct {
	Date     string         `json:"date"`
	Command  string         `json:"command"`
	Machine  record.Machine `json:"machine"`
	Postgres string         `json:"postgres"`
	Revision string         `json:"revision"`
	Texts    []text         `json:"texts"`
	Pictures []picture      `json:"pictures"`
}

func run(ctx context.Context, o options) error {
	server, err := postgres.Start(ctx, postgres.Options{Settings: map[string]string{"max_locks_per_transaction": "1000"}})
	if err != nil {
		return err
	}
	defer server.Close()
	r := &report{
		Date: record.Today(), Command: strings.Join(append([]string{"just bench analyze"}, os.Args[1:]...), " "),
		Machine: record.ThisMachine(), Postgres: server.Version(), Revision: record.Revision(),
	}
	config, err := pgx.ParseConfig(server.URL("postgres", "postgres"))
	if err != nil {
		return err
	}
	if r.Texts, err = measureTexts(ctx, config, o); err != nil {
		return fmt.Errorf("measure texts: %w", err)
	}
	for tables := 10; tables <= o.tables; tables *= 10 {
		if tables == 100 {
			continue
		}
		p, err := measurePicture(ctx, config, tables)
		if err != nil {
			return fmt.Errorf("measure the picture of %d tables: %w", tables, err)
		}
		r.Pictures = append(r.Pictures, p)
	}
	r.print(os.Stdout)
	if o.folder == "" {
		return nil
	}
	return record.Keep(o.folder, "analyze", r, r.print)
}

// print writes the report as Markdown, which is a table to read at a terminal, too.
func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "# What it costs to know what a statement is\n\n%s · %s, %d cores · %s · PostgreSQL %s · revision %s\n\n    %s\n\n",
		r.Date, r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Postgres, r.Revision, r.Command)
	fmt.Fprintln(to, "Texts: µs for one, median of the rounds (least to most); memory of what is remembered of a new text. A known text with literals is found by its shape, one without them by itself.")
	fmt.Fprintln(to, "\n| statement | bytes | new | known shape | known | new ÷ known shape | allocations, known shape | remembered, bytes |")
	fmt.Fprintln(to, "|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, t := range r.Texts {
		fmt.Fprintf(to, "| %s | %d | %s | %s | %s | %.0f | %.1f | %.0f |\n", t.Name, t.Bytes, spread(t.New), spread(t.Shape), spread(t.Known), median(t.ratios()), t.ShapeAllocations, t.Remembered)
	}
	fmt.Fprintln(to, "\nPictures: ms, median of ten changes each; the longest wait is of statements that were described meanwhile, again and again.")
	fmt.Fprintln(to, "\n| tables × columns | first load | behind CREATE TABLE | behind GRANT | behind CREATE FUNCTION | longest wait | digest | kept, KiB |")
	fmt.Fprintln(to, "|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, p := range r.Pictures {
		fmt.Fprintf(to, "| %d × %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %d |\n", p.Tables, columns, p.FirstLoad, median(p.Table), median(p.Grant), median(p.Function), p.LongestWait, median(p.Digest), p.Bytes>>10)
	}
}
