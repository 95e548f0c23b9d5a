package session

import (
	"sync"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// Undecided are the writes of a home's sessions whose outcome has not been read: Postgres may have made them visible at any
// moment since they were sent, without the log knowing. What is certain ends before the oldest (R6). The zero value is ready
// to use, and safe for concurrent use.
type Undecided struct {
	mu struct {
		sync.Mutex
		since map[*home]invalidation.Instant
	}
}

// begin notes that a session has sent a write, or has published one ahead, at a moment: from then on it may be visible. An
// earlier moment stays, unless it was published.
func (u *Undecided) begin(h *home, at invalidation.Instant, published bool) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.since == nil {
		u.mu.since = map[*home]invalidation.Instant{}
	}
	if _, ok := u.mu.since[h]; ok == published {
		u.mu.since[h] = at
	}
}

// end notes that nothing of a session's is undecided any more: what became visible has been published.
func (u *Undecided) end(h *home) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.mu.since, h)
}

// Before returns the latest moment up to at before which no write is undecided. It says so of the moment of its call.
func (u *Undecided) Before(at invalidation.Instant) invalidation.Instant {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, since := range u.mu.since {
		at = min(at, since)
	}
	return at
}
