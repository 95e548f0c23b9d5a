package telemetry

import (
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Snapshot is what a node counts itself, read when somebody scrapes. Counters grow from the start of the node.
type Snapshot struct {
	// Sessions are the client sessions that are open.
	Sessions int
	// Edges are the edges that are connected. Zero on an edge.
	Edges int
	// Hits were answered from memory, Misses could have been, Bypasses could not.
	Hits, Misses, Bypasses uint64
	// Coalesced waited for another session's miss, Unleased are hits while the home was not heard of.
	Coalesced, Unleased uint64
	// Fills were stored, Refused were not because their version was not above their floors. Evictions made room, Voided
	// lay below a floor when they were looked at.
	Fills, Refused, Evictions, Voided uint64
	// Entries and Bytes are what the cache holds.
	Entries int
	Bytes   int64
	// Sources are the databases that are followed in the WAL, as many as are allowed at most.
	Sources []Source
	// PolicyCounters are what the policies count themselves. How many there are, and what their names may be, is bounded
	// by the ABI.
	PolicyCounters []PolicyCounter
	// Wire are how many databases are not, though sessions use them.
	Wire int
}

// Source is a database that is followed in the WAL.
type Source struct {
	Database string
	// Following is not set while there is no slot.
	Following bool
	// BehindBytes is how much of the WAL is not decoded, Behind how long ago all of it was.
	BehindBytes uint64
	Behind      time.Duration
	// Transactions were decoded, Whole of them may have changed anything. Reconnects counts the attempts but the first.
	Transactions, Whole, Reconnects uint64
}

// PolicyCounter is a counter of a policy's own.
type PolicyCounter struct {
	Policy, Name string
	Value        int64
}

// Metrics are the metrics of one node. They are safe for concurrent use.
type Metrics struct {
	missSeconds         prometheus.Histogram
	invalidationSeconds prometheus.Histogram
	holdSeconds         prometheus.Histogram
	policyCalls         *prometheus.CounterVec
	policyFailures      *prometheus.CounterVec
	policySeconds       *prometheus.HistogramVec
}

// MetricsOptions say whose metrics they are.
type MetricsOptions struct {
	// Role is the node's role. It becomes a label of the number of sessions and of the build.
	Role string
	// Build is the version of the program.
	Build string
	// Snapshot reads the node's counters. It is called once per scrape, perhaps by several goroutines at a time, and
	// must not block.
	Snapshot func() Snapshot
}

// NewRegistry returns a registry that has the figures of the Go runtime and of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// NewMetrics makes a node's metrics and registers them. It fails where they are registered already; what it had
// registered until then is taken out again.
func NewMetrics(r prometheus.Registerer, o MetricsOptions) (*Metrics, error) {
	m := &Metrics{
		missSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "perihelion_miss_duration_seconds",
			Help:    "Time from a statement that memory could not answer to the end of its reply.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 18), // 100 µs to 13 s
		}),
		invalidationSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "perihelion_invalidation_delay_seconds",
			Help:    "Time from an event's entry in the log to its floors being raised here.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 18),
		}),
		holdSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "perihelion_hold_wait_seconds",
			Help:    "Time that a write to a strong database waited for the edges to hold its relations.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 18),
		}),
		policyCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "perihelion_policy_calls_total", Help: "Calls of policies.",
		}, []string{KeyPolicy, KeyHook}),
		policyFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "perihelion_policy_failures_total", Help: "Calls of policies that trapped, overran or answered nonsense.",
		}, []string{KeyPolicy, KeyHook}),
		policySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "perihelion_policy_call_duration_seconds",
			Help:    "Time of a call of a policy.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 4, 10), // 1 µs to 0.26 s
		}, []string{KeyHook}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "perihelion_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"build": o.Build, "go": runtime.Version(), KeyRole: o.Role},
	})
	build.Set(1)
	all := []prometheus.Collector{
		m.missSeconds, m.invalidationSeconds, m.holdSeconds, m.policyCalls, m.policyFailures, m.policySeconds, build,
		newSnapshotCollector(o.Role, o.Snapshot),
	}
	for i, c := range all {
		if err := r.Register(c); err != nil {
			for _, done := range all[:i] {
				r.Unregister(done)
			}
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Missed counts a statement that memory could not answer and how long its reply took.
func (m *Metrics) Missed(d time.Duration) { m.missSeconds.Observe(d.Seconds()) }

// Invalidated counts an event that was applied and how old it was. Clocks of two machines differ: an age below
// nothing counts as nothing.
func (m *Metrics) Invalidated(age time.Duration) {
	m.invalidationSeconds.Observe(max(age, 0).Seconds())
}

// Held counts a write that waited for its holds, and how long.
func (m *Metrics) Held(d time.Duration) { m.holdSeconds.Observe(d.Seconds()) }

// PolicyCalled counts a call of a policy's hook, how long it took, and whether it failed. The policy's name comes from
// a folder that an operator fills, so it is a label; nothing from a client may be.
func (m *Metrics) PolicyCalled(policy, hook string, d time.Duration, failed bool) {
	m.policyCalls.WithLabelValues(policy, hook).Inc()
	m.policySeconds.WithLabelValues(hook).Observe(d.Seconds())
	failures := m.policyFailures.WithLabelValues(policy, hook) // exists, at 0, from the first call
	if failed {
		failures.Inc()
	}
}

// PolicyRemoved drops the figures of a policy that was unloaded.
func (m *Metrics) PolicyRemoved(policy string) {
	labels := prometheus.Labels{KeyPolicy: policy}
	m.policyCalls.DeletePartialMatch(labels)
	m.policyFailures.DeletePartialMatch(labels)
}
