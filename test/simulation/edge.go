package simulation

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/session"
)

// edge is a node next to clients.
type edge struct {
	node
	link *link.Link
	// drops is what a broken home draws from.
	drops *rand.Rand
}

func newEdge(w *world, name string) *edge {
	return &edge{node: node{w: w, name: name}, drops: w.chance("drops of " + name)}
}

func (e *edge) address() string { return e.name + ":7432" }

// start starts the edge's process.
func (e *edge) start() {
	e.begin()
	e.shared.Floors = invalidation.NewFloors("")
	chance := e.w.chance("retries of " + e.name)
	var err error
	e.link, err = link.New(link.Options{
		HomeURLs: []string{"http://" + homeHTTP}, Token: token, EdgeID: e.name, Floors: e.shared.Floors, Lease: e.shared.Lease,
		MaxStaleness: maxStaleness, RenewInterval: renewInterval, Logger: e.w.logger(e.name),
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return e.w.net.dial(ctx, e.name, address, e.w.broken.tap(e))
		},
		Clocks: func() (time.Time, time.Duration) { return e.w.wall(e.name), e.w.now() },
		Chance: func(bound time.Duration) time.Duration { return time.Duration(chance.Int64N(int64(bound))) },
		OnInvalidate: func(event invalidation.Event, _ time.Time) {
			e.w.trace(e.name, "applies %d: %s %v", event.Version, event.Database, event.Tables)
		},
	})
	if err != nil {
		panic(err) // the options are the same in each history
	}
	e.shared.Dial = func(ctx context.Context, client session.Peer) (net.Conn, error) {
		return e.link.Dial(ctx, link.WireInfo{ClientAddr: client.Addr})
	}
	e.wg.Go(func() { _ = e.link.Run(e.ctx) }) // it returns nil
	e.accept(e.address(), func() *session.Shared { return &e.shared })
}

// crash ends the edge's process.
func (e *edge) crash() { e.end() }
