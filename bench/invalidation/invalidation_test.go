package main

import (
	"strings"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := spreadOf(all), (spread{Count: 100, P50: 51000, P99: 100000, Max: 100000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := spreadOf(nil); got != (spread{}) {
		t.Errorf("of nothing: got %+v", got)
	}
}

func TestARaiseBelongsToTheWriteBeforeIt(t *testing.T) {
	at := time.Now()
	r := raises{all: map[string][]time.Time{"t": {at, at.Add(5 * time.Millisecond)}}}
	for _, test := range []struct {
		sent, acked, want int // milliseconds
		ok                bool
	}{
		{-2, -1, 1, true},
		{-2, 1, 0, true}, // raised before the acknowledgement
		{1, 2, 3, true},
		{6, 7, 0, false},
	} {
		w := write{"t", at.Add(milliseconds(test.sent)), at.Add(milliseconds(test.acked))}
		if got, ok := r.after(w); got != milliseconds(test.want) || ok != test.ok {
			t.Errorf("sent at %d, acknowledged at %d: got %v, %t", test.sent, test.acked, got, ok)
		}
	}
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestOptions(t *testing.T) {
	for _, args := range [][]string{{"-edges", "0"}, {"more"}, {"-rate", "x"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestReportNamesItsCommand(t *testing.T) {
	var b strings.Builder
	(&report{Command: "just bench invalidation", Strong: []strongResult{{}}, Floors: []floorResult{{}}}).print(&b)
	if !strings.Contains(b.String(), "just bench invalidation") {
		t.Errorf("the report does not say how it was made:\n%s", b.String())
	}
}
