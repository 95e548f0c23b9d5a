//go:build cgo

// Package demo shows Perihelion at work on one machine: a real PostgreSQL, a home, two edges with a simulated distance
// to it, a small shop's traffic, and a policy that is dropped into the folder halfway. It checks every answer against
// the contract and fails where one was older than that allows.
//
// It must know no more of a node than any user does: configuration, the wire protocol, and the statistics.
package demo
