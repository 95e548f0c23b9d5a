package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/perihelion-proxy/perihelion/bench/record"
)

// report is the result of a run as it is kept.
type report struct {
	Date        string                        `json:"date"`
	Command     string                        `json:"command"`
	Machine     record.Machine                `json:"machine"`
	Postgres    string                        `json:"postgres"`
	Revision    string                        `json:"revision"`
	Connections int                           `json:"connections"`
	Keys        int                           `json:"keys"`
	Rounds      map[string]map[string][]slice `json:"rounds"` // by protocol and rival
}

// spread is the median of some figures, their least and their greatest.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}

// ratios divides the throughput of a rival by that of the first one, round by round.
func ratios(of, first []slice) []float64 {
	var values []float64
	for i := range min(len(of), len(first)) {
		values = append(values, of[i].PerSecond/first[i].PerSecond)
	}
	return values
}

// hitShare is the part of a rival's queries that it counted as hits.
func hitShare(of []slice) (share float64, counted bool) {
	var hits, queries uint64
	for _, s := range of {
		queries += s.Queries
		if s.Hits != nil {
			hits += *s.Hits
			counted = true
		}
	}
	return float64(hits) / float64(queries), counted
}

// print writes the report as Markdown, which is a table to read at a terminal, too.
func (r *report) print(to io.Writer, rivals []string) {
	fmt.Fprintf(to, "# Point select, all hits\n\n%d connections, %d keys, every answer checked. Each round asks the servers one after the other; a ratio is of one round. Median (least to most).\n\n",
		r.Connections, r.Keys)
	fmt.Fprintf(to, "%s · %s, %d cores · %s · PostgreSQL %s · revision %s\n\n    %s\n\n",
		r.Date, r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Postgres, r.Revision, r.Command)
	fmt.Fprintln(to, "| protocol | server | queries/s | × "+rivals[0]+" | hits | CPU µs a query: client | servers |")
	fmt.Fprintln(to, "|---|---|---:|---:|---:|---:|---|")
	for _, protocol := range slices.Sorted(maps.Keys(r.Rounds)) {
		rounds := r.Rounds[protocol]
		for _, name := range rivals {
			throughput := spreadOf(collect(rounds[name], func(s slice) float64 { return s.PerSecond }))
			ratio := spreadOf(ratios(rounds[name], rounds[rivals[0]]))
			hits := ""
			if share, counted := hitShare(rounds[name]); counted {
				hits = fmt.Sprintf("%.2f %%", share*100)
			}
			var servers []string
			for _, process := range slices.Sorted(maps.Keys(rounds[name][0].CPU)) {
				cpu := spreadOf(collect(rounds[name], func(s slice) float64 { return s.CPU[process] }))
				servers = append(servers, fmt.Sprintf("%s %.1f", process, cpu.median))
			}
			fmt.Fprintf(to, "| %s | %s | %.0f (%.0f to %.0f) | %.2f (%.2f to %.2f) | %s | %.1f | %s |\n", protocol, name,
				throughput.median, throughput.least, throughput.most, ratio.median, ratio.least, ratio.most, hits,
				spreadOf(collect(rounds[name], func(s slice) float64 { return s.ClientCPU })).median, strings.Join(servers, ", "))
		}
	}
}

func collect(from []slice, what func(slice) float64) []float64 {
	var values []float64
	for _, s := range from {
		values = append(values, what(s))
	}
	return values
}
