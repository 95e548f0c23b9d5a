package link

import (
	"context"
	"time"
)

// clockChecks is how often per max_staleness the clocks are compared: unseen time ends the lease within this part
// of it.
const clockChecks = 50

// clocks compares the wall clock with the monotonic one. The monotonic clock stands still while the machine is
// suspended, so a lease counted on it would outlive its promise (R6).
type clocks struct {
	// read returns both clocks at one moment.
	read func() (wall time.Time, mono time.Duration)

	wall time.Time
	mono time.Duration
}

func newClocks(read func() (wall time.Time, mono time.Duration)) *clocks {
	c := &clocks{read: read}
	c.wall, c.mono = read()
	return c
}

// systemClocks returns a reading of the system's clocks. It takes both from one call, so that a goroutine that has
// to wait between two of them is not taken for a machine that slept.
func systemClocks() func() (time.Time, time.Duration) {
	origin := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(origin) // Round strips the monotonic reading, which Sub goes by
	}
}

// ahead returns by how much more the wall clock has moved than the monotonic one since the last call.
func (c *clocks) ahead() time.Duration {
	wall, mono := c.read()
	ahead := wall.Sub(c.wall) - (mono - c.mono)
	c.wall, c.mono = wall, mono
	return ahead
}

func watchClocks(ctx context.Context, c *clocks, every time.Duration, unseen func(time.Duration)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if ahead := c.ahead(); ahead > every {
				unseen(ahead)
			}
		}
	}
}
