// Package registry is the home's list of edges: who is registered, how far each has been told of the log, and
// which leases were granted. A [Member] turns the log into the messages of one edge's stream, in their order.
//
// There is no queue per edge. A member holds a position in the log and, when its stream is ready for more, asks the
// log for what lies behind it: a slow or stuck edge costs the home nothing, and gets the union of what it missed.
//
// It keeps R5 (no gap: a registration subscribes to the log before it reads its position, every message names the
// one that it follows, and the position to resume from moves only with the last message of a batch), R6 (a grant
// stands behind every event that was appended before it was asked for, and waits until the log is certain up to then),
// R8 (no edge makes the home grow, none is dropped for being slow), and its part of R11 (a hold waits for the edges that
// may not know of it: [Registry.Await]). It must never know HTTP, JSON, SQL or the cache.
//
// Lock order: Registry.mu before Member.mu; neither is held with the log's own lock, and nothing is logged under them.
package registry
