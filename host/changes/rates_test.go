package changes

import (
	"fmt"
	"testing"
	"time"
)

func TestRatesDecayOverAnHour(t *testing.T) {
	var r Rates
	start := time.Unix(1_700_000_000, 0)
	for i := range 100 {
		r.Count("db", []string{"public.a"}, start.Add(time.Duration(i)*time.Millisecond))
	}
	for _, test := range []struct {
		after time.Duration
		want  int64
	}{{time.Second, 100}, {time.Hour, 37}, {3 * time.Hour, 5}, {24 * time.Hour, 0}} {
		if got := r.PerHour("db", "public.a", start.Add(test.after)); got != test.want {
			t.Errorf("after %v: %d an hour, want %d", test.after, got, test.want)
		}
	}
	if got := r.PerHour("other", "public.a", start); got != 0 {
		t.Errorf("a relation of another database has %d, want 0", got)
	}
}

func TestRatesAreBounded(t *testing.T) {
	var r Rates
	now := time.Unix(1_700_000_000, 0)
	for range 100 {
		r.Count("db", []string{"hot"}, now)
	}
	for i := range 3 * maxRates {
		r.Count("db", []string{fmt.Sprint("t", i)}, now)
	}
	r.mu.Lock()
	n := len(r.mu.relations)
	r.mu.Unlock()
	if n > maxRates {
		t.Errorf("%d relations are counted, at most %d are allowed", n, maxRates)
	}
	if got := r.PerHour("db", "hot", now); got != 100 {
		t.Errorf("the relation that is written most has %d, want 100", got)
	}
}
