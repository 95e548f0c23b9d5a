// Command memory measures what sessions and large results cost a home and an edge in resident memory, and fails where
// that is more than it should be.
//
// Idle sessions: thousands are opened at the edge, before a home, before a server that is scripted, as so many real
// backends are a benchmark of their own; only the home's own connections reach a real PostgreSQL. A part of them only
// connect, the others run statements first, some answered from memory and one with a large result. The nodes are then
// left alone for longer than two minutes, which is how often the Go runtime collects the garbage of an idle program.
//
// Large results: rows, COPY out, COPY in, one huge value and one huge parameter pass through both nodes, with a client
// that reads slower than the rest sends. What counts is the highest resident memory meanwhile, above that before.
package main
