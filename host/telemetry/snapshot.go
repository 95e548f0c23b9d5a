package telemetry

import "github.com/prometheus/client_golang/prometheus"

// snapshotCollector turns one [Snapshot] per scrape into metrics, so that they fit together.
type snapshotCollector struct {
	read    func() Snapshot
	metrics []snapshotMetric
}

type snapshotMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Snapshot) float64
}

func newSnapshotCollector(role string, read func() Snapshot) *snapshotCollector {
	c := &snapshotCollector{read: read}
	add := func(kind prometheus.ValueType, name, help string, labels prometheus.Labels, value func(Snapshot) float64) {
		desc := prometheus.NewDesc(name, help, nil, labels)
		c.metrics = append(c.metrics, snapshotMetric{desc, kind, value})
	}
	gauge := func(name, help string, value func(Snapshot) float64) {
		add(prometheus.GaugeValue, name, help, nil, value)
	}
	counter := func(name, help string, value func(Snapshot) uint64) {
		add(prometheus.CounterValue, name, help, nil, func(s Snapshot) float64 { return float64(value(s)) })
	}
	add(prometheus.GaugeValue, "perihelion_sessions", "Client sessions that are open.",
		prometheus.Labels{KeyRole: role}, func(s Snapshot) float64 { return float64(s.Sessions) })
	gauge("perihelion_edges_connected", "Edges that are connected to this home.", func(s Snapshot) float64 { return float64(s.Edges) })
	counter("perihelion_cache_hits_total", "Statements answered from memory.", func(s Snapshot) uint64 { return s.Hits })
	counter("perihelion_cache_misses_total", "Statements that memory could have answered and did not hold.", func(s Snapshot) uint64 { return s.Misses })
	counter("perihelion_cache_bypasses_total", "Statements that memory may not answer.", func(s Snapshot) uint64 { return s.Bypasses })
	counter("perihelion_cache_fills_total", "Results that were stored.", func(s Snapshot) uint64 { return s.Fills })
	counter("perihelion_cache_fills_refused_total", "Results that were not stored because a write had overtaken them.", func(s Snapshot) uint64 { return s.Refused })
	counter("perihelion_cache_evictions_total", "Entries that made room for others.", func(s Snapshot) uint64 { return s.Evictions })
	counter("perihelion_cache_voided_total", "Entries that a write had voided.", func(s Snapshot) uint64 { return s.Voided })
	gauge("perihelion_cache_entries", "Entries in the cache.", func(s Snapshot) float64 { return float64(s.Entries) })
	gauge("perihelion_cache_bytes", "Memory of the entries in the cache.", func(s Snapshot) float64 { return float64(s.Bytes) })
	return c
}

// Describe implements [prometheus.Collector].
func (c *snapshotCollector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *snapshotCollector) Collect(to chan<- prometheus.Metric) {
	s := c.read()
	for _, m := range c.metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}
