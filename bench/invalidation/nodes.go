package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/node"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// fleet is a home and its edges in this process.
type fleet struct {
	home    *node.Node
	edges   []*node.Node
	running sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context
}

func (f *fleet) launch(cfg *config.Config, heard func(invalidation.Event)) (*node.Node, error) {
	n, err := node.New(cfg, node.Options{Logger: slog.New(slog.DiscardHandler), Version: "bench", OnInvalidate: func(e invalidation.Event, _ time.Time) {
		if heard != nil {
			heard(e)
		}
	}})
	if err != nil {
		return nil, err
	}
	if err := n.Listen(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	f.running.Go(func() {
		_ = n.Serve(f.ctx) // the benchmark ends it
		_ = n.Close()
	})
	waiting, stop := context.WithTimeout(f.ctx, 30*time.Second)
	defer stop()
	return n, n.WaitReady(waiting)
}

// newFleet starts a home of a level and so many edges, each behind a way that takes delay. heard is told of each event that an
// edge has applied.
func newFleet(ctx context.Context, server *postgres.Server, database string, level config.Level, edges int, delay time.Duration, heard func(edge int, e invalidation.Event)) (*fleet, error) {
	f := &fleet{}
	f.ctx, f.stop = context.WithCancel(ctx)
	home := config.Default()
	home.Edge.AuthToken, home.AdminToken, home.Edge.MaxEdges = benchToken, benchToken, 1000
	home.Listen, home.HTTP, home.Source = "127.0.0.1:0", "127.0.0.1:0", config.SourceWire
	home.Upstream, home.Consistency.Default = config.Upstream(server.URL("postgres", database)), level
	var err error
	if f.home, err = f.launch(home, nil); err != nil {
		return f, err
	}
	for i := range edges {
		at := f.home.HTTPAddr().String()
		if delay > 0 {
			l, err := slowWay(f.ctx, &f.running, at, delay)
			if err != nil {
				return f, err
			}
			at = l
		}
		edge := config.Default()
		edge.Edge.Role, edge.Edge.AuthToken, edge.AdminToken, edge.Edge.ID = config.Edge, benchToken, benchToken, fmt.Sprint("edge-", i)
		edge.Listen, edge.HTTP, edge.Edge.HomeURL = "127.0.0.1:0", "", []string{"http://" + at}
		n, err := f.launch(edge, func(e invalidation.Event) {
			if heard != nil {
				heard(i, e)
			}
		})
		if err != nil {
			return f, err
		}
		f.edges = append(f.edges, n)
	}
	return f, nil
}

func (f *fleet) close() {
	f.stop()
	f.running.Wait()
}

// connect opens a session at a node.
func connect(ctx context.Context, n *node.Node, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", n.Addr(), database))
}

// slowWay listens, and passes everything on to an address so much later.
func slowWay(ctx context.Context, running *sync.WaitGroup, to string, delay time.Duration) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			context.AfterFunc(ctx, func() { near.Close(); far.Close() })
			running.Go(func() { later(near, far, delay) })
			running.Go(func() { later(far, near, delay) })
		}
	})
	return l.Addr().String(), nil
}

type chunk struct {
	due   time.Time
	bytes []byte
}

// later passes bytes on, each so much later than it came, in their order.
func later(from, to net.Conn, delay time.Duration) {
	chunks := make(chan chunk, 1024)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer to.Close()
		for c := range chunks {
			time.Sleep(time.Until(c.due)) //nolint:forbidigo // a way of a length is what is measured
			if _, err := to.Write(c.bytes); err != nil {
				from.Close()
			}
		}
	})
	defer writing.Wait()
	defer close(chunks)
	for {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		if err != nil {
			return
		}
		chunks <- chunk{time.Now().Add(delay), b[:n]}
	}
}
