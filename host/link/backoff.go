package link

import (
	"context"
	"time"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	// slowRetry is how long a home that refused is left alone where it does not say how long itself.
	slowRetry    = 5 * time.Second
	maxSlowRetry = 30 * time.Second
)

// backoff is exponential with full jitter. Its ceiling is below half of max_staleness, so that a home that was away
// for a moment is found again before the lease has ended.
type backoff struct {
	ceiling time.Duration
	chance  func(bound time.Duration) time.Duration
	attempt int
}

func newBackoff(maxStaleness time.Duration, chance func(time.Duration) time.Duration) *backoff {
	return &backoff{ceiling: max(min(maxBackoff, maxStaleness/2), time.Millisecond), chance: chance}
}

func (b *backoff) reset() { b.attempt = 0 }

func (b *backoff) next() time.Duration {
	bound := min(firstBackoff<<min(b.attempt, 10), b.ceiling)
	b.attempt++
	return b.chance(bound) + 1
}

// slow returns how long to wait for a home that refused: what it asked for, or slowRetry, and up to half more.
func slow(asked time.Duration, chance func(time.Duration) time.Duration) time.Duration {
	if asked <= 0 {
		asked = slowRetry
	}
	asked = min(asked, maxSlowRetry)
	return asked + chance(asked/2+1)
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
