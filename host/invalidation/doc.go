// Package invalidation keeps what is known of writes: the home's [Log] of events with its versions and epoch, the
// [Floors] that an event raises and an entry is checked against, and the [Lease] that says how long an edge may
// trust its floors without hearing from its home.
//
// It keeps R1 (a read's stamp lies behind the last applied event), R3 (an event raises floors and scans nothing),
// R5 (a reader of the log misses nothing, or is told so) and the arithmetic of R6 (a lease ends at the asker's own
// monotonic clock). It imports the standard library only, does no I/O, and must never know SQL, HTTP or the cache.
//
// Lock order: Log.mu before Floors.mu. No callback runs under either.
package invalidation
