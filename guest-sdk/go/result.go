package policy

import (
	"iter"
	"time"
)

// Result is what the upstream answered. It holds until the function given to [OnResult] returns.
type Result struct{ guest *guest }

// Rows returns how many rows the result has.
func (r Result) Rows() (rows int64, ok bool) { return r.guest.int(fieldRows, 0) }

// Bytes returns how large the result is.
func (r Result) Bytes() (bytes int64, ok bool) { return r.guest.int(fieldBytes, 0) }

// Latency returns what the upstream took.
func (r Result) Latency() (latency time.Duration, ok bool) {
	n, ok := r.guest.int(fieldLatencyUS, 0)
	return time.Duration(n) * time.Microsecond, ok
}

// Tick is a look at a tenant's hottest statements. It holds until the function given to [OnTick] returns.
type Tick struct{ guest *guest }

// Statements goes through the statements, the hottest first. Each holds until the next: what is asked of it later is
// answered for that one.
func (t Tick) Statements() iter.Seq2[Hot, *Decision] {
	return func(yield func(Hot, *Decision) bool) {
		for i := int32(0); t.guest.host.selects(i) >= 0; i++ {
			if !yield(Hot{Statement(t), Result(t)}, &Decision{t.guest}) {
				return
			}
		}
	}
}

// Hot is a hot statement. Of the result, Rows, Bytes and Latency are the mean.
type Hot struct {
	Statement
	Mean Result
}

// Hits returns how many answers came from memory since the last tick.
func (h Hot) Hits() (hits int64, ok bool) { return h.guest.int(fieldHits, 0) }

// Misses returns how many answers did not come from memory since the last tick.
func (h Hot) Misses() (misses int64, ok bool) { return h.guest.int(fieldMisses, 0) }

// Invalidations returns how many entries were found void since the last tick.
func (h Hot) Invalidations() (n int64, ok bool) { return h.guest.int(fieldInvalidations, 0) }

// Age returns how old entries were when they were found void, on average since the last tick.
func (h Hot) Age() (age time.Duration, ok bool) { return h.guest.duration(fieldAgeMS) }
