// Package node puts a home or an edge together: it makes each part from the configuration, gives the parts to each
// other, and owns their goroutines from Listen to Close. It is the only room that sees both roles.
//
// A home needs cgo, for PostgreSQL's own parser; an edge builds without.
package node
