// Package api is the node's HTTP interface, on Echo: what edges use at a home (register, renew, wire), what people
// and their tools use at either (invalidate, explain, figures, health), and who may use which.
//
// Every answer that is an error has one shape, {"error", "hint"}. Every request is bounded: its header, its body, the
// time to send it and the time to take the answer; a stream that is not read ends, and nothing else does. It keeps
// R5 and R6 on the wire: messages leave in the order in which the registry gives them, each under the position that a
// reader may resume from.
//
// It is the only importer of Echo. It must never know SQL, the protocol of PostgreSQL or the cache's insides: what it
// shows comes through the functions in [Options]. It logs no token, and never the text of a statement.
package api
