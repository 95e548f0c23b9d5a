package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/certificate"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/session"
)

// edge is the role of a node next to an application.
type edge struct {
	node   *Node
	floors *invalidation.Floors
	link   *link.Link
}

func newEdge(n *Node) (role, error) {
	e := &edge{node: n, floors: invalidation.NewFloors("")}
	var secured *tls.Config
	if file := n.config.Edge.HomeCA; file != "" {
		roots, err := certificate.Roots(file)
		if err != nil {
			return nil, fmt.Errorf("trust the home (edge.home_ca): %w", err)
		}
		secured = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	l, err := link.New(link.Options{
		TLS:      secured,
		HomeURLs: n.config.Edge.HomeURL, Token: n.config.Edge.AuthToken.Reveal(),
		EdgeID: edgeID(n.config), Region: n.config.Region, Floors: e.floors, Lease: n.lease,
		MaxStaleness: n.config.MaxStaleness, RenewInterval: n.config.RenewInterval,
		Logger: n.logger, OnInvalidate: n.invalidated,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the home (edge.home_url): %w", err)
	}
	e.link = l
	return e, nil
}

func (e *edge) fill(s *session.Shared) {
	s.Floors = e.floors
	s.Dial = func(ctx context.Context, client session.Peer) (net.Conn, error) {
		return e.link.Dial(ctx, link.WireInfo{ClientAddr: client.Addr, Binding: client.Binding})
	}
}

func (e *edge) home() *api.Home { return nil }

func (e *edge) homeURL() string { return e.link.Status().Home }

func (e *edge) stats(s *api.Stats) {
	status := e.link.Status()
	s.Epoch, s.Version = status.Epoch, status.Position
	s.Link = &api.LinkStats{Connected: status.Connected, Home: status.Home}
	if left := e.node.lease.Until().Until(invalidation.Now()); left > 0 {
		s.Link.LeaseMS = left.Milliseconds()
	}
	if status.LastError != nil && !status.Connected {
		s.Link.LastError = status.LastError.Error()
	}
}

func (e *edge) ready() []api.Check {
	checks := []api.Check{{Name: "home", OK: e.link.Status().Connected}, {Name: "lease", OK: e.node.lease.Valid(invalidation.Now())}}
	if !checks[0].OK {
		checks[0].Reason = "the home is not connected; GET /api/stats says why"
	}
	if !checks[1].OK {
		checks[1].Reason = "no lease is held: nothing is answered from memory"
	}
	return checks
}

func (e *edge) open(context.Context) error { return nil }

func (e *edge) run(ctx context.Context) error { return e.link.Run(ctx) }

func (e *edge) disconnect() {}

func (e *edge) close() error { return nil }
