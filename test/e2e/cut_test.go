package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cut is a way to a server that can be frozen: from then on no byte passes, and neither side is told.
type cut struct {
	l      net.Listener
	target string
	all    sync.WaitGroup

	mu     sync.Mutex
	frozen chan struct{} // closed while bytes pass
	conns  []net.Conn
	ended  bool
}

func newCut(t *testing.T, target string) *cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{l: l, target: target, frozen: make(chan struct{})}
	close(c.frozen)
	c.all.Go(c.accept)
	t.Cleanup(c.end)
	return c
}

func (c *cut) addr() string { return c.l.Addr().String() }

func (c *cut) accept() {
	for {
		near, err := c.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.target)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		if c.ended {
			near.Close()
			far.Close()
		}
		c.mu.Unlock()
		c.all.Go(func() { c.pass(near, far) })
		c.all.Go(func() { c.pass(far, near) })
	}
}

func (c *cut) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(writer{c, to}, from)
}

type writer struct {
	c  *cut
	to net.Conn
}

func (w writer) Write(b []byte) (int, error) {
	w.c.mu.Lock()
	open := w.c.frozen
	w.c.mu.Unlock()
	<-open
	return w.to.Write(b)
}

// freeze lets nothing pass until thaw.
func (c *cut) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = make(chan struct{})
}

func (c *cut) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.frozen:
	default:
		close(c.frozen)
	}
}

func (c *cut) end() {
	c.l.Close()
	c.thaw()
	c.mu.Lock()
	c.ended = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.all.Wait()
}
