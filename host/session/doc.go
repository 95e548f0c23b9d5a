// Package session is one client: its connection, the upstream connection that belongs to it, and what passes between
// them. It answers from memory what it may, forwards the rest untouched, tees results into the cache, and follows the
// client's transaction, prepared statements and state.
//
// A session has two loops. The client's loop frames what the client sends, answers hits, and queues what it forwards;
// the upstream's loop matches replies with the queue and passes them on. What both need lies behind Session.mu; bytes
// to the client are written under Session.write, so that no reply cuts into another.
//
// The package keeps R1 (stamps at the query, or at the Bind), R2 and R7 (what became visible is published before the
// ReadyForQuery leaves), R4 through the cache, and R9 through package changes. It declares what it needs of analysis
// and of the log as interfaces, and must never know SQL itself, HTTP, or the kind of connection that its upstream is.
//
// Lock order: Session.write before Session.mu; neither is held while the upstream is read or written.
package session
