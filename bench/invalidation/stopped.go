package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/registry"
)

// stoppedResult is the live heap before, and at each third of the writes.
type stoppedResult struct{ MiB [4]float64 }

const benchToken = "a-token-of-the-benchmark"

// measureStopped registers edges that read the head of their stream and nothing more.
func measureStopped(ctx context.Context, edges, writes int) (result stoppedResult, err error) {
	log := invalidation.NewLog()
	r := registry.New(registry.Options{Log: log, MaxEdges: edges, MaxStaleness: 5 * time.Second})
	defer r.Close()
	server := api.New(api.Options{
		AuthToken: benchToken, AdminToken: benchToken, Stats: func() api.Stats { return api.Stats{} }, Metrics: http.NotFoundHandler(),
		Home: &api.Home{Edges: r, Draining: func() bool { return false }, Append: log.Append, Databases: func() []string { return nil }},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return result, err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { err = errors.Join(err, server.Close(), ended(<-served)) }()
	for i := range edges {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return result, err
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			return result, err
		}
		body := fmt.Sprintf(`{"edge_id":"stopped-%d"}`, i)
		fmt.Fprintf(conn, "POST /api/edge/register HTTP/1.1\r\nHost: home\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", benchToken, len(body), body)
		if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
			return result, fmt.Errorf("register an edge: %w", err)
		}
	}
	tables := make([][]string, 1000)
	for i := range tables {
		tables[i] = []string{fmt.Sprintf("public.table_%d", i)}
	}
	result.MiB[0] = liveHeap()
	for third := range 3 {
		for i := range writes / 3 {
			log.Append("shop", tables[i%len(tables)])
		}
		result.MiB[third+1] = liveHeap()
	}
	if n := r.Len(); n != edges {
		return result, fmt.Errorf("%d of %d edges are left", n, edges)
	}
	return result, nil
}

// ended leaves out that a server was closed.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
