package simulation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// window is how much a connection holds on its way before its writer has to wait, in bytes.
const window = 64 << 10

// route is one direction between two nodes.
type route struct{ from, to string }

// latency is how long what is sent on a route takes.
type latency struct {
	least, spread time.Duration
	// stalls is how often, in a thousand, a message takes up to stall longer: a packet that had to be sent again.
	stalls int
	stall  time.Duration
}

// network connects the nodes of a world. Nothing is lost on a connection and nothing overtakes, as with TCP; connections
// overtake each other.
type network struct {
	w  *world
	mu struct {
		sync.Mutex
		listeners map[string]*listener
		conns     []*conn
		dialled   map[string]int
		// blocked is until when nothing passes on a route.
		blocked map[route]time.Time
		// stalled is the same for an edge's stream alone.
		stalled map[route]time.Time
		// slow is until when a route takes longer, and by how much.
		slow map[route]slowness
	}
}

type slowness struct {
	until time.Time
	by    time.Duration
}

func newNetwork(w *world) *network {
	n := &network{w: w}
	n.mu.listeners, n.mu.dialled, n.mu.blocked = map[string]*listener{}, map[string]int{}, map[route]time.Time{}
	n.mu.slow, n.mu.stalled = map[route]slowness{}, map[route]time.Time{}
	return n
}

// kindOf returns what sort of node a name is of: "edge" of "edge2".
func kindOf(node string) string { return strings.TrimRight(node, "0123456789") }

func (n *network) latency(r route) latency {
	one, other := kindOf(r.from), kindOf(r.to)
	switch {
	case one == "client" || other == "client":
		return latency{least: 20 * time.Microsecond, spread: 200 * time.Microsecond}
	case one == "store" || other == "store":
		return latency{least: 50 * time.Microsecond, spread: time.Millisecond, stalls: n.w.plan.storeStalls, stall: n.w.plan.storeStall}
	}
	return latency{least: time.Millisecond, spread: 20 * time.Millisecond, stalls: n.w.plan.edgeStalls, stall: n.w.plan.edgeStall}
}

// draw returns how long the next message takes.
func (l latency) draw(r *rand.Rand) time.Duration {
	d := l.least + time.Duration(r.Int64N(int64(l.spread)))
	if l.stalls > 0 && r.IntN(1000) < l.stalls {
		d += time.Duration(r.Int64N(int64(l.stall)))
	}
	return d
}

// block lets nothing pass on a route for a while.
func (n *network) block(r route, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if until := time.Now().Add(d); until.After(n.mu.blocked[r]) {
		n.mu.blocked[r] = until
	}
}

// slowDown makes a route take longer for a while, as a full queue on the way does.
func (n *network) slowDown(r route, by, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.slow[r] = slowness{time.Now().Add(d), by}
}

// takes returns how long what is sent now is on its way. It follows from the moment: whether what is sent at one moment is
// sent in one write or in two must make no difference to what is sent later.
func (n *network) takes(r route, half string) time.Duration {
	d := n.latency(r).draw(n.w.chance(half + " " + n.w.now().String()))
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.mu.slow[r]; time.Now().Before(s.until) {
		d += s.by
	}
	return d
}

// stall lets nothing pass for a while of what a home tells an edge in its stream.
func (n *network) stall(r route, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.stalled[r] = time.Now().Add(d)
}

func (n *network) blockedUntil(r route, stream bool) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if stream && n.mu.stalled[r].After(n.mu.blocked[r]) {
		return n.mu.stalled[r]
	}
	return n.mu.blocked[r]
}

// cut resets the connections that match at both ends: what was on its way on them is lost.
func (n *network) cut(match func(from, to string) bool) {
	n.mu.Lock()
	conns := slices.Clone(n.mu.conns)
	n.mu.Unlock()
	for _, c := range conns {
		if match(c.out.route.from, c.out.route.to) || match(c.out.route.to, c.out.route.from) {
			c.reset()
		}
	}
}

// listen takes what is dialled to an address, which is node:port.
func (n *network) listen(at string) *listener {
	l := &listener{network: n, address: at, backlog: make(chan net.Conn, 64), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.listeners[at] = l
	return l
}

// dial connects a node with an address. tap changes what comes in at the dialler's end; nil: it stays as it is.
func (n *network) dial(ctx context.Context, from, at string, tap func([]byte) []byte) (net.Conn, error) {
	to, _, _ := strings.Cut(at, ":")
	there, back := route{from, to}, route{to, from}
	n.mu.Lock()
	name := fmt.Sprintf("%s>%s@%v", from, at, n.w.now())
	if n.mu.dialled[name]++; n.mu.dialled[name] > 1 {
		name += fmt.Sprintf("#%d", n.mu.dialled[name])
	}
	n.mu.Unlock()
	ours := newConn(n, name, there, back)
	theirs := &conn{network: n, name: name, out: ours.in, in: ours.out}
	ours.in.tap = tap
	for {
		// There and back again: a connection that is asked for while nothing passes waits until it does.
		wait := n.takes(there, ours.out.name) + n.takes(back, ours.in.name)
		if !sleep(ctx, wait) {
			return nil, context.Cause(ctx)
		}
		until := n.blockedUntil(there, false)
		if other := n.blockedUntil(back, false); other.After(until) {
			until = other
		}
		blocked := time.Until(until)
		if blocked <= 0 {
			break
		}
		if !sleep(ctx, blocked) {
			return nil, context.Cause(ctx)
		}
	}
	n.mu.Lock()
	l := n.mu.listeners[at]
	if l != nil {
		n.mu.conns = append(n.mu.conns, ours)
	}
	n.mu.Unlock()
	if l == nil || !l.offer(theirs) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(at), Err: syscall.ECONNREFUSED}
	}
	return ours, nil
}

// forget drops a connection that both ends are done with.
func (n *network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.conns = slices.DeleteFunc(n.mu.conns, func(one *conn) bool { return one.out == c.out || one.out == c.in })
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

type listener struct {
	network *network
	address string
	backlog chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (l *listener) offer(c net.Conn) bool {
	select {
	case <-l.done:
		return false
	default:
	}
	select {
	case l.backlog <- c:
		return true
	default:
		return false
	}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		if l.network.mu.listeners[l.address] == l {
			delete(l.network.mu.listeners, l.address)
		}
		close(l.done)
	})
	for {
		select {
		case c := <-l.backlog:
			c.(*conn).reset()
		default:
			return nil
		}
	}
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return address(l.address) }

// conn is one end of a connection.
type conn struct {
	network *network
	name    string
	in, out *half
}

func newConn(n *network, name string, there, back route) *conn {
	return &conn{network: n, name: name, out: newHalf(n, name+" there", there), in: newHalf(n, name+" back", back)}
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite ends what this end sends, as TCP can.
func (c *conn) CloseWrite() error {
	c.out.end()
	return nil
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.out.end()
	if c.in.abandon() && c.out.abandoned() {
		c.network.forget(c)
	}
	return nil
}

// reset ends the connection at both ends at once.
func (c *conn) reset() {
	c.in.fail()
	c.out.fail()
	c.network.forget(c)
}

// LocalAddr implements [net.Conn].
func (c *conn) LocalAddr() net.Addr { return address(c.out.route.from + ":" + c.name) }

// RemoteAddr implements [net.Conn].
func (c *conn) RemoteAddr() net.Addr { return address(c.out.route.to + ":" + c.name) }

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

// chunk is what one Write sent, or the end of all.
type chunk struct {
	at   time.Time // when it arrives, if nothing is blocked
	data []byte
	end  bool
	// tapped is set once the tap has seen data.
	tapped bool
}

// half is one direction of a connection.
type half struct {
	network *network
	route   route
	name    string
	// apart keeps what waits for the same moment from happening at the same moment.
	apart time.Duration
	tap   func([]byte) []byte

	mu struct {
		sync.Mutex
		chunks            []chunk
		size              int
		last              time.Time
		ended, gone       bool // by its writer, by its reader
		stream            bool // of events
		broken            bool
		readBy, writeBy   time.Time
		readable, writeOK chan struct{}
	}
}

func newHalf(n *network, name string, r route) *half {
	h := &half{network: n, route: r, name: name}
	h.apart = time.Duration(n.w.chance(name).Int64N(int64(10 * time.Microsecond)))
	h.mu.readable, h.mu.writeOK = make(chan struct{}, 1), make(chan struct{}, 1)
	return h
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pushLocked sends a chunk on its way.
func (h *half) pushLocked(c chunk) {
	c.at = time.Now().Add(h.network.takes(h.route, h.name))
	if !c.at.After(h.mu.last) {
		c.at = h.mu.last.Add(1)
	}
	h.mu.last = c.at
	h.mu.size += len(c.data)
	h.mu.chunks = append(h.mu.chunks, c)
	wake(h.mu.readable)
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.mu.ended:
			return 0, net.ErrClosed
		case h.mu.broken:
			return 0, syscall.ECONNRESET
		case h.mu.gone:
			return 0, syscall.EPIPE
		case passed(h.mu.writeBy):
			return 0, os.ErrDeadlineExceeded
		case h.mu.size < window:
			if h.mu.last.IsZero() {
				h.mu.stream = bytes.Contains(p, []byte("text/event-stream"))
			}
			h.pushLocked(chunk{data: slices.Clone(p)})
			return len(p), nil
		}
		h.waitLocked(h.mu.writeOK, h.mu.writeBy)
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// waitLocked waits for a wake-up or a moment; the zero time: for the wake-up alone.
func (h *half) waitLocked(woken chan struct{}, until time.Time) {
	h.mu.Unlock()
	defer h.mu.Lock()
	if until.IsZero() {
		<-woken
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	}
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.mu.gone:
			return 0, net.ErrClosed
		case h.mu.broken:
			return 0, syscall.ECONNRESET
		case passed(h.mu.readBy):
			return 0, os.ErrDeadlineExceeded
		}
		until := h.mu.readBy
		if len(h.mu.chunks) > 0 {
			c := &h.mu.chunks[0]
			at := c.at
			if blocked := h.network.blockedUntil(h.route, h.mu.stream); blocked.After(at) {
				at = blocked.Add(h.apart)
			}
			if !time.Now().Before(at) {
				return h.takeLocked(p)
			}
			if until.IsZero() || at.Before(until) {
				until = at
			}
		}
		h.waitLocked(h.mu.readable, until)
	}
}

func (h *half) takeLocked(p []byte) (int, error) {
	c := &h.mu.chunks[0]
	if c.end {
		return 0, io.EOF
	}
	if h.tap != nil && !c.tapped {
		c.data, c.tapped = h.tap(c.data), true
	}
	n := copy(p, c.data)
	h.mu.size -= n
	if c.data = c.data[n:]; len(c.data) > 0 {
		c.at = time.Time{}
		return n, nil
	}
	h.mu.chunks = h.mu.chunks[1:]
	wake(h.mu.writeOK)
	return n, nil
}

// end says that no more is written.
func (h *half) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.mu.ended {
		h.mu.ended = true
		h.pushLocked(chunk{end: true})
		wake(h.mu.writeOK)
	}
}

// abandon says that no more is read. It reports whether that is new.
func (h *half) abandon() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	fresh := !h.mu.gone
	h.mu.gone = true
	h.mu.chunks = nil
	wake(h.mu.readable)
	wake(h.mu.writeOK)
	return fresh
}

func (h *half) abandoned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.gone
}

// dead reports whether nothing that is written can arrive any more.
func (h *half) dead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.gone || h.mu.broken
}

func (h *half) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.broken = true
	h.mu.chunks = nil
	wake(h.mu.readable)
	wake(h.mu.writeOK)
}

func (h *half) setReadDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.readBy = t
	wake(h.mu.readable)
}

func (h *half) setWriteDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.writeBy = t
	wake(h.mu.writeOK)
}

// sleep waits for d or the end of ctx, and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
