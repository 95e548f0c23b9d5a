package node

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

// metrics are the node's figures for Prometheus.
type metrics struct {
	*telemetry.Metrics
	registry *prometheus.Registry
}

func newMetrics(n *Node) (*metrics, error) {
	m := &metrics{registry: telemetry.NewRegistry()}
	var err error
	m.Metrics, err = telemetry.NewMetrics(m.registry, telemetry.MetricsOptions{Role: string(n.config.Edge.Role), Build: n.options.Version, Snapshot: n.snapshot})
	return m, err
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Timeout: 10 * time.Second})
}

// snapshot reads the node's counters for one scrape.
func (n *Node) snapshot() telemetry.Snapshot {
	s, c := n.Stats(), n.cache.Stats()
	edges := 0
	if s.Edges != nil {
		edges = *s.Edges
	}
	var sources []telemetry.Source
	wire := 0
	for _, one := range s.Sources {
		if !one.Followed {
			wire++
			continue
		}
		sources = append(sources, telemetry.Source{
			Database: one.Database, Following: one.Source == api.SourceWAL, BehindBytes: one.BehindBytes,
			Behind: time.Duration(one.BehindMS) * time.Millisecond, Transactions: one.Transactions, Whole: one.Whole, Reconnects: one.Reconnects,
		})
	}
	var counted []telemetry.PolicyCounter
	if n.policyCounters != nil {
		counted = n.policyCounters()
	}
	return telemetry.Snapshot{
		Sources: sources, Wire: wire, PolicyCounters: counted,
		Sessions: int(s.Sessions), Edges: edges,
		Hits: s.Cache.Hits, Misses: s.Cache.Misses, Bypasses: s.Cache.Bypasses, Coalesced: s.Cache.Coalesced, Unleased: s.Cache.Unleased,
		Fills: c.Fills, Refused: c.Refused, Evictions: c.Evictions, Voided: c.Voided,
		Entries: c.Entries, Bytes: c.Bytes,
	}
}

// invalidated notes an event that an edge has applied.
func (n *Node) invalidated(event invalidation.Event, sentAt time.Time) {
	n.metrics.Invalidated(time.Since(sentAt))
	if n.options.OnInvalidate != nil {
		n.options.OnInvalidate(event, sentAt)
	}
}
