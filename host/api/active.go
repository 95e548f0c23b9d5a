package api

import (
	"context"
	"errors"
	"sync"
)

var errDraining = errors.New("the node is shutting down")

// active counts the requests that are being answered, and knows the streams among them.
type active struct {
	mu struct {
		sync.Mutex
		requests int
		draining error
		streams  map[*context.CancelCauseFunc]struct{}
		idle     chan struct{} // closed when draining and no request is left
	}
}

func (a *active) init() {
	a.mu.streams = map[*context.CancelCauseFunc]struct{}{}
	a.mu.idle = make(chan struct{})
}

// begin counts a request until done is called, which may be called twice. It reports false when draining.
func (a *active) begin() (done func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.draining != nil {
		return nil, false
	}
	a.mu.requests++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.mu.requests--
		a.settleLocked()
	}), true
}

func (a *active) settleLocked() {
	if a.mu.draining != nil && a.mu.requests == 0 {
		close(a.mu.idle)
	}
}

// stream returns a context that ends with ctx or when draining. The caller calls end.
func (a *active) stream(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.draining != nil {
		cancel(a.mu.draining)
	}
	a.mu.streams[&cancel] = struct{}{}
	return ctx, func() {
		a.mu.Lock()
		delete(a.mu.streams, &cancel)
		a.mu.Unlock()
		cancel(nil)
	}
}

// drain refuses new requests and ends the streams for the given reason.
func (a *active) drain(reason error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.draining != nil {
		return
	}
	a.mu.draining = reason
	for cancel := range a.mu.streams {
		(*cancel)(reason)
	}
	a.settleLocked()
}

// wait returns when no request is left. It is called after drain.
func (a *active) wait() { <-a.mu.idle }
