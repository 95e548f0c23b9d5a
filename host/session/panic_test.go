package session

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// TestLockThatAPanicLeftIsGivenOn leaves the session's lock as code that panics between Lock and Unlock does.
func TestLockThatAPanicLeftIsGivenOn(t *testing.T) {
	s := New(&Shared{Counters: &Counters{}, Logger: slog.New(slog.DiscardHandler)}, nil, Peer{}, false)
	s.mu.Lock()
	waiting, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		close(waiting)
		s.mu.Lock() // the other loop
		defer s.mu.Unlock()
	}()
	<-waiting
	s.lockBehindPanic(10 * time.Millisecond)
	s.endLocked(io.ErrUnexpectedEOF)
	s.mu.Unlock()
	<-ended
}

func TestPanicEndsTheSession(t *testing.T) {
	far, near := net.Pipe()
	s := New(&Shared{Counters: &Counters{}, Logger: slog.New(slog.DiscardHandler)}, near, Peer{}, false)
	s.panicked("at the disco")
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client's connection: %v, want its end", err)
	}
	if s.mu.ended == nil || !s.mu.closed {
		t.Error("the session has not ended")
	}
}
