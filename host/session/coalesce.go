package session

import (
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
)

// Where many sessions miss the same key at once, one asks the upstream and the others wait for what it keeps. To wait
// and then to look again is what a client that came a little later would have seen, so it needs no rule of its own. Nobody
// waits longer than its own query would have taken: a leader that fails, or is slow, costs the others at most that.

const (
	// leastWait and mostWait bound how long a session waits for another's result.
	leastWait, mostWait = time.Millisecond, 2 * time.Second
)

// pace is how long a node's misses take of late. It is safe for concurrent use.
type pace struct{ nanoseconds atomic.Int64 }

// note takes in one miss: the average moves by an eighth.
func (p *pace) note(d time.Duration) {
	old := p.nanoseconds.Load()
	if old == 0 {
		p.nanoseconds.CompareAndSwap(0, int64(d))
		return
	}
	p.nanoseconds.CompareAndSwap(old, old+(int64(d)-old)/8) // one of two at a time is enough
}

func (p *pace) get() time.Duration { return time.Duration(p.nanoseconds.Load()) }

// coalesces waits for a result that another session has asked for, and reports whether it is worth to look again. Where
// nobody has, and an entry of the key was kept before, the session leads. s.key is the key that memory did not have.
func (s *Session) coalesces() bool {
	hash := s.Cache.Hash(s.key)
	if s.took == 0 {
		return s.awaitFlight(s.Cache.Underway(hash, s.key))
	}
	f, begins := s.Cache.Depart(hash, s.key, s.took)
	if !begins {
		return s.awaitFlight(f)
	}
	s.mu.Lock()
	s.mu.flight = f
	s.mu.Unlock()
	return false
}

// awaitFlight reports whether a flight has landed in time. Nil does not.
func (s *Session) awaitFlight(f *cache.Flight) bool {
	if f == nil {
		return false
	}
	timer := time.NewTimer(min(max(f.Expected, leastWait), mostWait))
	defer timer.Stop()
	select {
	case <-f.Landed():
		s.count.coalesced.Add(1)
		return true
	case <-timer.C:
		return false
	}
}

// leadLocked makes the session the leader of a key whose result a home knows to be one that may be kept, where nobody has
// asked for it yet.
func (s *Session) leadLocked(key []byte) {
	if s.Analysis == nil || s.mu.flight != nil {
		return
	}
	if f, begins := s.Cache.Depart(s.Cache.Hash(key), key, s.Counters.pace.get()); begins {
		s.mu.flight = f
	}
}

// land ends the flight that the session leads.
func (s *Session) land() {
	s.mu.Lock()
	f := s.mu.flight
	s.mu.flight = nil
	s.mu.Unlock()
	f.Land()
}

// missedLocked reports whether all that kept a message from being answered from memory is one key that was not there, so
// that waiting for it can pay.
func (s *Session) missedLocked() bool {
	return s.missed && s.mu.queue.len() == 0 && s.mu.flight == nil
}
