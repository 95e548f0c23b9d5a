// Package statement holds what analysis knows of a SQL statement and how two nodes tell each other: the
// [Descriptor] with its [Verdict], the [Closure] of what a write may change, the in-band [Facts], and the
// comment scanner that cache keys are made with.
//
// It is pure Go and imports nothing of Perihelion: an edge, which has neither a parser nor a catalog, needs it as
// much as a home. It must never know the wire protocol, the cache or how a verdict is reached.
package statement
