// Package link is an edge's connection to its home: the register stream that brings invalidations, the renewals
// that keep the lease, and the dialler of the tunnel that sessions go through. It also defines what both ends say
// on these three endpoints, for the home's half to speak as well.
//
// It keeps R5 (an event is applied only where it follows the one before it; a gap, a new epoch, a reset and a stream
// that is not understood raise the node floor before anything else), R6 (a lease is counted from the edge's own
// clock before it asked, and is extended only by a grant in the stream; time that passed unseen ends it) and the
// edge's side of R8. It must never know SQL, the protocol of PostgreSQL or the cache, and it builds without cgo.
package link
