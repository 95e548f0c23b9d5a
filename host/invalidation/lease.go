package invalidation

import (
	"math"
	"sync/atomic"
	"time"
)

// Instant is a reading of this process' monotonic clock, in nanoseconds since an arbitrary start. It costs one
// clock read and no allocation, and does not move when the wall clock is set.
type Instant int64

var origin = time.Now()

// Now returns the present instant.
func Now() Instant { return Instant(time.Since(origin)) }

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Until returns the time from now to i; negative where i has passed.
func (i Instant) Until(now Instant) time.Duration { return time.Duration(i - now) }

// Lease is until when a node may answer from memory. The zero value has ended. It is safe for concurrent use, and
// reading it takes no lock.
type Lease struct{ until atomic.Int64 }

// Extend sets the end of the lease to d after asked, the holder's own clock when it asked for the grant (R6). A
// grant that would end sooner than what is held changes nothing.
func (l *Lease) Extend(asked Instant, d time.Duration) {
	to := int64(asked.Add(d + overtime))
	for {
		now := l.until.Load()
		if (now != 0 && now >= to) || l.until.CompareAndSwap(now, to) {
			return
		}
	}
}

// Forever makes the lease one that does not run out: the home's own, whose floors are the log's.
func (l *Lease) Forever() { l.until.Store(math.MaxInt64) }

// End ends the lease at once.
func (l *Lease) End() { l.until.Store(0) }

// Valid reports whether the lease holds at now.
func (l *Lease) Valid(now Instant) bool {
	until := l.until.Load()
	return until != 0 && int64(now) < until
}

// Until returns the instant at which the lease ends.
func (l *Lease) Until() Instant { return Instant(l.until.Load()) }
