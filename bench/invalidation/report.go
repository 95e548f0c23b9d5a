package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/record"
)

type report struct {
	Date, Command, Postgres, Revision string
	Machine                           record.Machine
	Edges, Rate, Writes, Entries      int
	Floors                            []floorResult
	Stopped                           stoppedResult
	FanOut                            fanOutResult
	Strong                            []strongResult
}

// spread are percentiles of durations, in microseconds.
type spread struct {
	Count         int
	P50, P99, Max float64
}

// spreadOf sorts all.
func spreadOf(all []time.Duration) spread {
	if len(all) == 0 {
		return spread{}
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(int(share*float64(len(all))), len(all)-1)].Nanoseconds()) / 1000
	}
	return spread{Count: len(all), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func (s spread) String() string {
	return fmt.Sprintf("%.2f | %.2f | %.2f", s.P50/1000, s.P99/1000, s.Max/1000)
}

func (r *report) print(to io.Writer) {
	p := func(format string, a ...any) { fmt.Fprintf(to, format+"\n", a...) }
	p("# What coherence costs\n")
	p("%s · %s, %d cores · %s · PostgreSQL %s · revision %s\n", r.Date, r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Postgres, r.Revision)
	p("    %s\n", r.Command)
	p("From a write's acknowledgement at one edge to the floor raised at all %d edges, which share this machine with the home, PostgreSQL and the writers; %d writes a second were asked for, %.0f were reached. What is raised before the acknowledgement counts as nothing.\n", r.Edges, r.Rate, r.FanOut.PerSecond)
	p("| | p50, ms | p99, ms | longest, ms |\n|---|---:|---:|---:|")
	p("| each edge | %v |", r.FanOut.Each)
	p("| the last of them | %v |\n", r.FanOut.Last)
	p("An update at the home, by the level of its database and the edges that hold leases.\n")
	p("| edges | one-way delay, ms | bounded p50, ms | strong p50, ms | bounded p99, ms | strong p99, ms | added at p50, ms |\n|---:|---:|---:|---:|---:|---:|---:|")
	for _, s := range r.Strong {
		p("| %d | %d | %.2f | %.2f | %.2f | %.2f | %.2f |", s.Edges, s.DelayMS, s.Bounded.P50/1000, s.Strong.P50/1000, s.Bounded.P99/1000, s.Strong.P99/1000, (s.Strong.P50-s.Bounded.P50)/1000)
	}
	p("\nMemory of a home whose %d edges have stopped reading, behind garbage collections, while %d writes to 1,000 tables go by: %.1f MiB before, %.1f, %.1f and %.1f MiB at the thirds.\n",
		r.Edges, r.Writes, r.Stopped.MiB[0], r.Stopped.MiB[1], r.Stopped.MiB[2], r.Stopped.MiB[3])
	p("| entries that the event voids | an event, ns | a check on a hit, ns |\n|---:|---:|---:|")
	for _, f := range r.Floors {
		p("| %d | %.0f | %.1f |", f.Entries, f.AppendNS, f.ValidNS)
	}
}
