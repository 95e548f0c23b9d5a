package api

import (
	"context"
	"net"
	"sync"
)

// cutter breaks connections.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func (c *cutter) dial(inner dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := inner(ctx, network, address)
		if err == nil {
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
		}
		return conn, err
	}
}

// cut closes every connection that was dialled so far.
func (c *cutter) cut() {
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}
