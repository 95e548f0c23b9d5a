package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/wire"
)

// cancelTimeout bounds a cancel request on its way, and so how long it holds its session's next statement up.
const cancelTimeout = 10 * time.Second

// Cancels find the session that a cancel request means by the key that its client was given. The zero value is ready
// to use, and safe for concurrent use. Sessions touch it at their start and end only.
type Cancels struct {
	mu struct {
		sync.Mutex
		sessions map[string]*Session
	}
}

func (c *Cancels) add(key string, s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.sessions == nil {
		c.mu.sessions = map[string]*Session{}
	}
	c.mu.sessions[key] = s
}

func (c *Cancels) remove(key string, s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.sessions[key] == s {
		delete(c.mu.sessions, key)
	}
}

func (c *Cancels) find(key []byte) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.sessions[string(key)]
}

// cancel passes a cancel request on, and ends when the upstream has taken it: PostgreSQL closes the connection once it
// has sent the signal. Where this node serves the session that is meant, the request goes on only while the client waits
// for a reply from upstream, and until it has ended nothing new is sent there. So a signal meets the statement that was
// under way, or an idle backend, which ignores it, and never the next statement. Sessions of other nodes are theirs to
// find.
func (s *Session) cancel(ctx context.Context, start *wire.Startup) error {
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	if target := s.Cancels.find(start.CancelKey()); target != nil {
		if !target.holdForCancel() {
			return nil // it has just ended, or was answered from memory
		}
		defer target.releaseFromCancel()
	}
	if err := s.dial(ctx); err != nil {
		return err
	}
	defer s.upstream.Close()
	if err := s.upstream.SetDeadline(time.Now().Add(cancelTimeout)); err != nil {
		return fmt.Errorf("set deadline on upstream: %w", err)
	}
	if _, err := s.upstream.Write(start.Packet); err != nil {
		return fmt.Errorf("forward cancel request: %w", err)
	}
	// The backend closes without a word once it has looked for the session. One byte is more than it ever sends.
	var nothing [1]byte
	if _, err := s.upstream.Read(nothing[:]); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait for the end of a cancel request: %w", err)
	}
	return nil
}

// holdForCancel keeps the session from sending anything upstream until releaseFromCancel. It reports false, and does
// nothing, where the client waits for no reply from there. Of a session whose replies are no longer followed nobody knows
// what it waits for: its requests all go on.
func (s *Session) holdForCancel() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.mu.queue.owed() == 0 && !s.confused.Load() {
		return false
	}
	s.cancels.Add(1)
	return true
}

func (s *Session) releaseFromCancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels.Add(-1)
	s.mu.room.Broadcast()
}

// awaitCancels waits until no cancel request for the session is under way.
func (s *Session) awaitCancels() {
	if s.cancels.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.cancels.Load() > 0 && !s.mu.closed {
		s.mu.room.Wait()
	}
}
