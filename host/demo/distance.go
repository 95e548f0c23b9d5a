//go:build cgo

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// inFlight bounds how many chunks are under way in one direction of a connection.
const inFlight = 256

// distance is a relay that delays every byte by half a round trip, in both directions, as a long line would.
type distance struct {
	listener net.Listener
	to       string
	oneWay   time.Duration
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

// newDistance listens on a free port of the loopback interface and relays to an address.
func newDistance(to string, roundTrip time.Duration) (*distance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated line: %w", err)
	}
	d := &distance{listener: l, to: to, oneWay: roundTrip / 2}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.wg.Go(d.accept)
	return d, nil
}

func (d *distance) addr() string { return d.listener.Addr().String() }

// close cuts every connection and returns when all is over.
func (d *distance) close() {
	d.stop()
	d.listener.Close()
	d.wg.Wait()
}

func (d *distance) accept() {
	for {
		near, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.wg.Go(func() { d.relay(near) })
	}
}

func (d *distance) relay(near net.Conn) {
	defer near.Close()
	// A new connection costs a round trip of its own.
	if !sleep(d.ctx, 2*d.oneWay) {
		return
	}
	far, err := (&net.Dialer{}).DialContext(d.ctx, "tcp", d.to)
	if err != nil {
		return
	}
	defer far.Close()
	cut := context.AfterFunc(d.ctx, func() { near.Close(); far.Close() })
	defer cut()
	var wg sync.WaitGroup
	wg.Go(func() { d.pass(far, near) })
	wg.Go(func() { d.pass(near, far) })
	wg.Wait()
}

// chunk is what was read at once, and when it arrives.
type chunk struct {
	bytes []byte
	at    time.Time
}

// pass sends what it reads on, each chunk half a round trip after it came.
func (d *distance) pass(to, from net.Conn) {
	line := make(chan chunk, inFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(line)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				line <- chunk{buffer[:n], time.Now().Add(d.oneWay)}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range line {
		if !sleep(d.ctx, time.Until(c.at)) {
			continue // drain, so that the reader ends
		}
		if _, err := to.Write(c.bytes); err != nil {
			from.Close()
		}
	}
	if half, ok := to.(*net.TCPConn); ok {
		if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			to.Close()
		}
	}
	wg.Wait()
}

// sleep waits, and reports false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
