package engine

import (
	"sync"
	"time"
)

const (
	// logBurst lines may come at once, and logRate lines a second after that.
	logBurst = 20
	logRate  = 5
)

// limiter bounds how many lines a module may log.
type limiter struct {
	mu sync.Mutex
	// tokens are what may be logged now, as of at. dropped counts what was not since the last line that was.
	tokens  float64
	at      time.Time
	dropped int
}

// allow reports whether a line may be logged at now, and how many were dropped before it.
func (l *limiter) allow(now time.Time) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() {
		l.tokens = logBurst
	} else if passed := now.Sub(l.at).Seconds(); passed > 0 {
		l.tokens = min(l.tokens+passed*logRate, logBurst)
	}
	l.at = now
	if l.tokens < 1 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}
