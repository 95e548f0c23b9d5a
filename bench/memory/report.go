package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/perihelion-proxy/perihelion/bench/record"
)

// report is the result of a run as it is kept.
type report struct {
	Date          string         `json:"date"`
	Command       string         `json:"command"`
	Machine       record.Machine `json:"machine"`
	Postgres      string         `json:"postgres"`
	Revision      string         `json:"revision"`
	SessionTarget int64          `json:"session_target_bytes"`
	StreamTarget  int64          `json:"stream_target_bytes"`
	Settle        string         `json:"settle"`
	Idle          []idle         `json:"idle,omitempty"`
	Large         []large        `json:"large,omitempty"`
}

// idle is what a number of idle sessions cost, in bytes of resident memory each.
type idle struct {
	Kind     string `json:"kind"`
	Sessions int    `json:"sessions"`
	Edge     cost   `json:"edge"`
	Home     cost   `json:"home"`
}

// cost is what one session costs a node right after its last statement, and once the node was left alone.
type cost struct {
	AtOnce  int64 `json:"at_once_bytes"`
	Settled int64 `json:"settled_bytes"`
}

// large is what one large transfer cost, in bytes of resident memory above that before.
type large struct {
	Kind    string  `json:"kind"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Edge    int64   `json:"edge_bytes"`
	Home    int64   `json:"home_bytes"`
}

func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "# Resident memory\n\n%s · %s, %d cores · %s · PostgreSQL %s · revision %s\n\n    %s\n\n",
		r.Date, r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Postgres, r.Revision, r.Command)
	if len(r.Idle) > 0 {
		fmt.Fprintf(to, "KiB for each idle session, at once and after %s; at most %.0f at the edge then.\n\n", r.Settle, float64(r.SessionTarget)/kibibyte)
		fmt.Fprintln(to, "| sessions | number | edge: at once | settled | home: at once | settled | |\n|---|---:|---:|---:|---:|---:|---|")
		for _, i := range r.Idle {
			fmt.Fprintf(to, "| %s | %d | %.1f | %.1f | %.1f | %.1f | %s |\n", i.Kind, i.Sessions,
				float64(i.Edge.AtOnce)/kibibyte, float64(i.Edge.Settled)/kibibyte, float64(i.Home.AtOnce)/kibibyte, float64(i.Home.Settled)/kibibyte,
				verdict(i.Edge.Settled <= r.SessionTarget))
		}
		fmt.Fprintln(to)
	}
	if len(r.Large) > 0 {
		fmt.Fprintf(to, "MiB at the most above what the node had before; at most %.0f each.\n\n", float64(r.StreamTarget)/mebibyte)
		fmt.Fprintln(to, "| transfer | MiB | MiB/s | edge | home | |\n|---|---:|---:|---:|---:|---|")
		for _, l := range r.Large {
			fmt.Fprintf(to, "| %s | %.0f | %.0f | %.1f | %.1f | %s |\n", l.Kind, float64(l.Bytes)/mebibyte, float64(l.Bytes)/mebibyte/l.Seconds,
				float64(l.Edge)/mebibyte, float64(l.Home)/mebibyte, verdict(max(l.Edge, l.Home) <= r.StreamTarget))
		}
	}
}

func verdict(pass bool) string {
	if pass {
		return "pass"
	}
	return "FAIL"
}

// verdict returns an error where anything cost too much.
func (r *report) verdict() error {
	var failed []error
	for _, i := range r.Idle {
		if i.Edge.Settled > r.SessionTarget {
			failed = append(failed, fmt.Errorf("a session that %s costs the edge %d bytes, more than %d", i.Kind, i.Edge.Settled, r.SessionTarget))
		}
	}
	for _, l := range r.Large {
		if cost := max(l.Edge, l.Home); cost > r.StreamTarget {
			failed = append(failed, fmt.Errorf("%s costs a node %d bytes, more than %d", l.Kind, cost, r.StreamTarget))
		}
	}
	return errors.Join(failed...)
}
