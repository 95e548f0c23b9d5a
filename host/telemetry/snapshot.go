package telemetry

import "github.com/prometheus/client_golang/prometheus"

// snapshotCollector turns one [Snapshot] per scrape into metrics, so that they fit together.
type snapshotCollector struct {
	read    func() Snapshot
	metrics []snapshotMetric
	sources []sourceMetric
	policy  *prometheus.Desc
}

type snapshotMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Snapshot) float64
}

func newSnapshotCollector(role string, read func() Snapshot) *snapshotCollector {
	c := &snapshotCollector{read: read, policy: prometheus.NewDesc(
		"perihelion_policy_counter_total", "What policies count themselves, by metric_add.", []string{KeyPolicy, KeyName}, nil,
	)}
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
	counter("perihelion_cache_coalesced_total", "Statements that waited for a result which another session had asked for.", func(s Snapshot) uint64 { return s.Coalesced })
	counter("perihelion_cache_unleased_hits_total", "Statements at level eventual answered from memory while the home was not heard of.", func(s Snapshot) uint64 { return s.Unleased })
	counter("perihelion_cache_fills_total", "Results that were stored.", func(s Snapshot) uint64 { return s.Fills })
	counter("perihelion_cache_fills_refused_total", "Results that were not stored because a write had overtaken them.", func(s Snapshot) uint64 { return s.Refused })
	counter("perihelion_cache_evictions_total", "Entries that made room for others.", func(s Snapshot) uint64 { return s.Evictions })
	counter("perihelion_cache_voided_total", "Entries that a write had voided.", func(s Snapshot) uint64 { return s.Voided })
	gauge("perihelion_cache_entries", "Entries in the cache.", func(s Snapshot) float64 { return float64(s.Entries) })
	gauge("perihelion_cache_bytes", "Memory of the entries in the cache.", func(s Snapshot) float64 { return float64(s.Bytes) })
	gauge("perihelion_databases_on_wire", "Databases with sessions whose writes are seen only where they pass the home.", func(s Snapshot) float64 { return float64(s.Wire) })
	c.addSources()
	return c
}

// addSources adds the metrics that there are one of for each database that is followed.
func (c *snapshotCollector) addSources() {
	add := func(kind prometheus.ValueType, name, help string, value func(Source) float64) {
		c.sources = append(c.sources, sourceMetric{prometheus.NewDesc(name, help, []string{KeyDatabase}, nil), kind, value})
	}
	add(prometheus.GaugeValue, "perihelion_wal_following", "1 where all that is committed is decoded, 0 while there is no slot.", func(s Source) float64 {
		if s.Following {
			return 1
		}
		return 0
	})
	add(prometheus.GaugeValue, "perihelion_wal_behind_bytes", "WAL that was not decoded at the last look.", func(s Source) float64 { return float64(s.BehindBytes) })
	add(prometheus.GaugeValue, "perihelion_wal_behind_seconds", "Time since all WAL was known to be decoded.", func(s Source) float64 { return s.Behind.Seconds() })
	add(prometheus.CounterValue, "perihelion_wal_transactions_total", "Transactions that were decoded and have become visible.", func(s Source) float64 { return float64(s.Transactions) })
	add(prometheus.CounterValue, "perihelion_wal_transactions_whole_total", "Of those, the ones that may have changed any relation.", func(s Source) float64 { return float64(s.Whole) })
	add(prometheus.CounterValue, "perihelion_wal_reconnects_total", "Attempts to follow the WAL but the first.", func(s Source) float64 { return float64(s.Reconnects) })
}

// sourceMetric is a metric of each [Source].
type sourceMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Source) float64
}

// Describe implements [prometheus.Collector].
func (c *snapshotCollector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
	for _, m := range c.sources {
		to <- m.desc
	}
	to <- c.policy
}

// Collect implements [prometheus.Collector].
func (c *snapshotCollector) Collect(to chan<- prometheus.Metric) {
	s := c.read()
	for _, m := range c.metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
	for _, one := range s.PolicyCounters {
		to <- prometheus.MustNewConstMetric(c.policy, prometheus.CounterValue, float64(one.Value), one.Policy, one.Name)
	}
	for _, source := range s.Sources {
		for _, m := range c.sources {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(source), source.Database)
		}
	}
}
