package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is the result of a run as it is kept.
type report struct {
	Date        string                        `json:"date"`
	Command     string                        `json:"command"`
	Machine     machine                       `json:"machine"`
	Postgres    string                        `json:"postgres"`
	Revision    string                        `json:"revision"`
	Connections int                           `json:"connections"`
	Keys        int                           `json:"keys"`
	Rounds      map[string]map[string][]slice `json:"rounds"` // by protocol and rival
}

type machine struct {
	OS    string `json:"os"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

func thisMachine() machine {
	m := machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(text))
	}
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// revision is the commit that was measured, marked where the checkout differs from it.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
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

// keep writes the report into the folder, once for programs and once for people.
func (r *report) keep(folder string, rivals []string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hit.json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	var markdown strings.Builder
	r.print(&markdown, rivals)
	if err := os.WriteFile(filepath.Join(folder, "hit.md"), []byte(markdown.String()), 0o600); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	return nil
}

func now() string { return time.Now().UTC().Format(time.DateOnly) }
