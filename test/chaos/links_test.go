package chaos

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// link is a way to a server that can be frozen, slowed down and cut. What is frozen or slow is late, not lost.
type link struct {
	l      net.Listener
	target string
	all    sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while bytes pass
	delay time.Duration
	conns map[net.Conn]struct{}
	ended bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{l: l, target: target, open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(k.open)
	k.all.Go(k.accept)
	t.Cleanup(k.end)
	return k
}

func (k *link) addr() string { return k.l.Addr().String() }

func (k *link) accept() {
	for {
		near, err := k.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", k.target)
		if err != nil {
			near.Close()
			continue
		}
		if !k.keep(near, far) {
			return
		}
		k.all.Go(func() { k.pass(near, far) })
		k.all.Go(func() { k.pass(far, near) })
	}
}

func (k *link) keep(conns ...net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range conns {
		if k.ended {
			c.Close()
			continue
		}
		k.conns[c] = struct{}{}
	}
	return !k.ended
}

// pass copies one direction. A copy that waits holds back what comes behind it, as a slow way does.
func (k *link) pass(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.conns, from)
	}()
	_, _ = io.Copy(late{k, to}, from)
}

type late struct {
	k  *link
	to net.Conn
}

func (w late) Write(b []byte) (int, error) {
	w.k.mu.Lock()
	open, delay := w.k.open, w.k.delay
	w.k.mu.Unlock()
	<-open
	if delay > 0 {
		timer := time.NewTimer(delay)
		<-timer.C
	}
	return w.to.Write(b)
}

func (k *link) freeze() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = make(chan struct{})
}

func (k *link) thaw() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.thawLocked()
}

func (k *link) thawLocked() {
	select {
	case <-k.open:
	default:
		close(k.open)
	}
}

func (k *link) slow(delay time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.delay = delay
}

// cut ends every connection.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		c.Close()
	}
}

func (k *link) end() {
	k.l.Close()
	k.mu.Lock()
	k.ended = true
	k.thawLocked()
	for c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.all.Wait()
}

// metric returns a node's metric, 0 where it cannot be had.
func (p *process) metric(ctx context.Context, name string) float64 {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
	if err != nil {
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v
		}
	}
	return 0
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) { return pgx.Connect(ctx, url) }
