package telemetry

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
)

func newMetrics(t *testing.T, read func() Snapshot) (*prometheus.Registry, *Metrics) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(r, MetricsOptions{Role: "home", Build: "v1.2.3", Snapshot: read})
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// text returns what a scrape prints of the families with a prefix.
func text(t *testing.T, g prometheus.Gatherer, prefix string) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	encoder := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestTheFiguresOfANodeAreReadOncePerScrape(t *testing.T) {
	reads := 0
	r, _ := newMetrics(t, func() Snapshot {
		reads++
		return Snapshot{
			Sessions: 3, Edges: 2, Hits: 10, Misses: 4, Bypasses: 5, Coalesced: 12, Unleased: 13, Fills: 6, Refused: 1, Evictions: 7, Voided: 8, Entries: 9, Bytes: 1 << 20, Wire: 2,
			PolicyCounters: []PolicyCounter{{"ttl", "kept", 5}, {"other", "kept", 1}},
			Sources:        []Source{{Database: "shop", Following: true, BehindBytes: 512, Behind: 1500 * time.Millisecond, Transactions: 11, Whole: 2, Reconnects: 1}, {Database: "other"}},
		}
	})
	const want = `# HELP perihelion_build_info Always 1; the labels say what runs.
# TYPE perihelion_build_info gauge
perihelion_build_info{build="v1.2.3",go="GO",role="home"} 1
# HELP perihelion_cache_bypasses_total Statements that memory may not answer.
# TYPE perihelion_cache_bypasses_total counter
perihelion_cache_bypasses_total 5
# HELP perihelion_cache_bytes Memory of the entries in the cache.
# TYPE perihelion_cache_bytes gauge
perihelion_cache_bytes 1.048576e+06
# HELP perihelion_cache_coalesced_total Statements that waited for a result which another session had asked for.
# TYPE perihelion_cache_coalesced_total counter
perihelion_cache_coalesced_total 12
# HELP perihelion_cache_entries Entries in the cache.
# TYPE perihelion_cache_entries gauge
perihelion_cache_entries 9
# HELP perihelion_cache_evictions_total Entries that made room for others.
# TYPE perihelion_cache_evictions_total counter
perihelion_cache_evictions_total 7
# HELP perihelion_cache_fills_refused_total Results that were not stored because a write had overtaken them.
# TYPE perihelion_cache_fills_refused_total counter
perihelion_cache_fills_refused_total 1
# HELP perihelion_cache_fills_total Results that were stored.
# TYPE perihelion_cache_fills_total counter
perihelion_cache_fills_total 6
# HELP perihelion_cache_hits_total Statements answered from memory.
# TYPE perihelion_cache_hits_total counter
perihelion_cache_hits_total 10
# HELP perihelion_cache_misses_total Statements that memory could have answered and did not hold.
# TYPE perihelion_cache_misses_total counter
perihelion_cache_misses_total 4
# HELP perihelion_cache_unleased_hits_total Statements at level eventual answered from memory while the home was not heard of.
# TYPE perihelion_cache_unleased_hits_total counter
perihelion_cache_unleased_hits_total 13
# HELP perihelion_cache_voided_total Entries that a write had voided.
# TYPE perihelion_cache_voided_total counter
perihelion_cache_voided_total 8
# HELP perihelion_databases_on_wire Databases with sessions whose writes are seen only where they pass the home.
# TYPE perihelion_databases_on_wire gauge
perihelion_databases_on_wire 2
# HELP perihelion_edges_connected Edges that are connected to this home.
# TYPE perihelion_edges_connected gauge
perihelion_edges_connected 2
# HELP perihelion_sessions Client sessions that are open.
# TYPE perihelion_sessions gauge
perihelion_sessions{role="home"} 3
# HELP perihelion_policy_counter_total What policies count themselves, by metric_add.
# TYPE perihelion_policy_counter_total counter
perihelion_policy_counter_total{name="kept",policy="other"} 1
perihelion_policy_counter_total{name="kept",policy="ttl"} 5
# HELP perihelion_wal_behind_bytes WAL that was not decoded at the last look.
# TYPE perihelion_wal_behind_bytes gauge
perihelion_wal_behind_bytes{database="other"} 0
perihelion_wal_behind_bytes{database="shop"} 512
# HELP perihelion_wal_behind_seconds Time since all WAL was known to be decoded.
# TYPE perihelion_wal_behind_seconds gauge
perihelion_wal_behind_seconds{database="other"} 0
perihelion_wal_behind_seconds{database="shop"} 1.5
# HELP perihelion_wal_following 1 where all that is committed is decoded, 0 while there is no slot.
# TYPE perihelion_wal_following gauge
perihelion_wal_following{database="other"} 0
perihelion_wal_following{database="shop"} 1
# HELP perihelion_wal_reconnects_total Attempts to follow the WAL but the first.
# TYPE perihelion_wal_reconnects_total counter
perihelion_wal_reconnects_total{database="other"} 0
perihelion_wal_reconnects_total{database="shop"} 1
# HELP perihelion_wal_transactions_total Transactions that were decoded and have become visible.
# TYPE perihelion_wal_transactions_total counter
perihelion_wal_transactions_total{database="other"} 0
perihelion_wal_transactions_total{database="shop"} 11
# HELP perihelion_wal_transactions_whole_total Of those, the ones that may have changed any relation.
# TYPE perihelion_wal_transactions_whole_total counter
perihelion_wal_transactions_whole_total{database="other"} 0
perihelion_wal_transactions_whole_total{database="shop"} 2
`
	got := text(t, r, "perihelion_")
	for _, family := range strings.SplitAfter(strings.ReplaceAll(want, "GO", runtime.Version()), "# HELP ")[1:] {
		family = strings.TrimSuffix(family, "# HELP ")
		if !strings.Contains(got, family) {
			t.Errorf("got\n%s\nwithout\n%s", got, family)
		}
	}
	if reads != 1 {
		t.Errorf("got %d reads, want 1", reads)
	}
}

func TestPolicyFigures(t *testing.T) {
	r, m := newMetrics(t, func() Snapshot { return Snapshot{} })
	m.PolicyCalled("ttl", "decide", time.Millisecond, false)
	m.PolicyCalled("ttl", "decide", time.Millisecond, true)
	m.PolicyCalled("old", "decide", time.Millisecond, true)
	m.PolicyCalled("calm", "decide", time.Millisecond, false)
	m.PolicyRemoved("old")
	const calls = `# HELP perihelion_policy_calls_total Calls of policies.
# TYPE perihelion_policy_calls_total counter
perihelion_policy_calls_total{hook="decide",policy="calm"} 1
perihelion_policy_calls_total{hook="decide",policy="ttl"} 2
`
	const failures = `# HELP perihelion_policy_failures_total Calls of policies that trapped, overran or answered nonsense.
# TYPE perihelion_policy_failures_total counter
perihelion_policy_failures_total{hook="decide",policy="calm"} 0
perihelion_policy_failures_total{hook="decide",policy="ttl"} 1
`
	if got := text(t, r, "perihelion_policy_calls_total"); got != calls {
		t.Errorf("got\n%s\nwant\n%s", got, calls)
	}
	if got := text(t, r, "perihelion_policy_failures_total"); got != failures {
		t.Errorf("got\n%s\nwant\n%s", got, failures)
	}
}

func TestDelaysAreSummedUpAndNeverNegative(t *testing.T) {
	r, m := newMetrics(t, func() Snapshot { return Snapshot{} })
	m.Missed(250 * time.Millisecond)
	m.Missed(time.Second)
	m.Invalidated(-time.Second)
	m.Invalidated(500 * time.Millisecond)
	m.Held(time.Second)
	m.Held(time.Second)
	got := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if h := f.GetMetric()[0].GetHistogram(); h != nil {
			got[f.GetName()] = h.GetSampleSum()
			if h.GetSampleCount() != 2 {
				t.Errorf("%s: got %d samples, want 2", f.GetName(), h.GetSampleCount())
			}
		}
	}
	for name, want := range map[string]float64{"perihelion_miss_duration_seconds": 1.25, "perihelion_invalidation_delay_seconds": 0.5, "perihelion_hold_wait_seconds": 2} {
		if got[name] != want {
			t.Errorf("%s: got a sum of %v, want %v", name, got[name], want)
		}
	}
}

func TestTheNamesKeepTheConventions(t *testing.T) {
	r, m := newMetrics(t, func() Snapshot { return Snapshot{} })
	m.PolicyCalled("ttl", "decide", time.Millisecond, true)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestASecondNodeInOneRegistryIsRefusedAndLeavesTheFirst(t *testing.T) {
	r, m := newMetrics(t, func() Snapshot { return Snapshot{Sessions: 1} })
	_, err := NewMetrics(r, MetricsOptions{Role: "edge", Build: "x", Snapshot: func() Snapshot { return Snapshot{} }})
	var already prometheus.AlreadyRegisteredError
	if !errors.As(err, &already) {
		t.Errorf("got %v, want an AlreadyRegisteredError", err)
	}
	m.Missed(time.Second)
	for _, want := range []string{`perihelion_sessions{role="home"} 1`, "perihelion_miss_duration_seconds_count 1"} {
		if got := text(t, r, "perihelion_"); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %s", got, want)
		}
	}
}

func TestTheRegistryHasTheRuntimesFigures(t *testing.T) {
	for _, name := range []string{"go_goroutines", "process_"} {
		if text(t, NewRegistry(), name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestMetricsAreScrapedWhileTheyAreWritten(t *testing.T) {
	r, m := newMetrics(t, func() Snapshot { return Snapshot{} })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				m.PolicyCalled("ttl", "decide", time.Millisecond, true)
				m.PolicyRemoved("ttl")
				m.Missed(time.Millisecond)
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := r.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
