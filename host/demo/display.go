//go:build cgo

package demo

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// display prints the state of the demonstration: over itself on a terminal, as plain lines elsewhere.
type display struct {
	out      io.Writer
	terminal bool
	mu       struct {
		sync.Mutex
		lines int // what the last frame takes on the terminal
	}
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if f, ok := out.(*os.File); ok {
		d.terminal = term.IsTerminal(int(f.Fd()))
	}
	return d
}

// say prints a line that stays.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eraseLocked()
	fmt.Fprintf(d.out, format+"\n", args...)
}

// frame replaces the last frame on a terminal; elsewhere it is one more line or more.
func (d *display) frame(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eraseLocked()
	fmt.Fprint(d.out, text)
	if d.terminal {
		d.mu.lines = strings.Count(text, "\n")
	}
}

func (d *display) eraseLocked() {
	if d.mu.lines > 0 {
		fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", d.mu.lines)
		d.mu.lines = 0
	}
}

// row is one line of the table of edges.
type row struct {
	name         string
	hits, misses []time.Duration
	arrivals     []time.Duration
}

func (r row) cells() []string {
	answers := len(r.hits) + len(r.misses)
	return []string{
		r.name, fmt.Sprint(answers), percent(len(r.hits), answers),
		quantile(r.hits, 0.5), quantile(r.hits, 0.99), quantile(r.misses, 0.5), quantile(r.misses, 0.99),
		fmt.Sprint(len(r.arrivals)), quantile(r.arrivals, 0.5), quantile(r.arrivals, 0.99),
	}
}

var header = []string{"edge", "reads", "hit rate", "hit p50", "hit p99", "miss p50", "miss p99", "invalidations", "arrive p50", "arrive p99"}

// table lays cells out in columns.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, cell := range r {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("  " + cell + pad)
				continue
			}
			b.WriteString("  " + pad + cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// quantile returns the q-quantile of unsorted durations, "-" of none.
func quantile(all []time.Duration, q float64) string {
	if len(all) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(all))
	d := sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}
