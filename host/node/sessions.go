package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// sessions are the clients of a node. Their goroutines end with close.
type sessions struct {
	shared *session.Shared
	max    int
	logger *slog.Logger

	running context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
	refused atomic.Uint64

	mu struct {
		sync.Mutex
		draining bool
		closed   bool
		set      map[*session.Session]struct{}
		empty    chan struct{} // closed once draining and empty
	}
}

func newSessions(shared *session.Shared, max int, logger *slog.Logger) *sessions {
	s := &sessions{shared: shared, max: max, logger: logger}
	s.running, s.stop = context.WithCancel(context.Background())
	s.mu.set = map[*session.Session]struct{}{}
	s.mu.empty = make(chan struct{})
	return s
}

// accept serves the clients of a listener until it is closed.
func (s *sessions) accept(l net.Listener) error {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = 0
			s.start(conn, session.Peer{Addr: conn.RemoteAddr().String()}, false)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		// Out of file descriptors, most likely: what is open goes on, and closing sessions make room.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.logger.Warn("client could not be accepted", "error", err.Error(), "retry_in", pause.String())
		select {
		case <-time.After(pause):
		case <-s.running.Done():
			return nil
		}
	}
}

// start serves a client in a goroutine of its own. It takes ownership of conn.
func (s *sessions) start(conn net.Conn, client session.Peer, tunnel bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		conn.Close()
		return
	}
	s.wg.Go(func() { s.serve(conn, client, tunnel) })
}

// serve runs one session to its end. It takes ownership of conn.
func (s *sessions) serve(conn net.Conn, client session.Peer, tunnel bool) {
	one := session.New(s.shared, conn, client, tunnel)
	if refusal := s.add(one); refusal != nil {
		s.refused.Add(1)
		refuse(conn, refusal)
		return
	}
	defer s.remove(one)
	if err := one.Run(s.running); err != nil && s.running.Err() == nil {
		s.logger.Info("session failed", "client", client.Addr, "error", err.Error())
	}
}

func (s *sessions) add(one *session.Session) *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.draining:
		return &wire.Error{Code: wire.CodeAdminShutdown, Message: "this perihelion node is shutting down", Hint: "Connect again; another node may take you."}
	case len(s.mu.set) >= s.max:
		return &wire.Error{Code: wire.CodeTooManyConnections, Message: "sorry, too many clients already", Hint: "Raise sessions.max of this perihelion node, or let the application pool its connections."}
	}
	s.mu.set[one] = struct{}{}
	return nil
}

func (s *sessions) remove(one *session.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.set, one)
	if s.mu.draining && len(s.mu.set) == 0 {
		close(s.mu.empty)
	}
}

// refuse tells a client why it is not served. It reads the startup packet first, as a client that is closed on
// before it has spoken never sees the reason.
func refuse(conn net.Conn, why *wire.Error) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(2*time.Second)) != nil {
		return
	}
	for range 3 {
		start, err := wire.ReadStartup(conn)
		if err != nil {
			return
		}
		if start.Kind == wire.StartupSession {
			_, _ = conn.Write(why.AppendFatal(nil)) // a client that is gone need not know
			return
		}
		if start.Kind == wire.StartupCancel {
			return
		}
		if _, err := conn.Write([]byte{'N'}); err != nil {
			return
		}
	}
}

// count returns how many sessions there are.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.set)
}

func (s *sessions) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.draining
}

// drain takes no more sessions, ends the idle ones, and waits until the others have ended or ctx is over.
func (s *sessions) drain(ctx context.Context) error {
	s.mu.Lock()
	first := !s.mu.draining
	s.mu.draining = true
	var open []*session.Session
	for one := range s.mu.set {
		open = append(open, one)
	}
	if first && len(open) == 0 {
		close(s.mu.empty)
	}
	s.mu.Unlock()
	var telling sync.WaitGroup
	defer telling.Wait()
	for _, one := range open {
		// One that cannot be told at once, because its client takes nothing, must not keep the others waiting.
		telling.Go(one.Drain)
	}
	select {
	case <-s.mu.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close ends every session and waits for the last.
func (s *sessions) close() {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}
