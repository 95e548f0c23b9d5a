// Package pgtest gives a test a database of its own on a real PostgreSQL server.
//
// One server per test program serves all its tests; it starts when the first test asks for a database. A test that
// restarts or breaks its server asks for a private one. A package that uses it ends its TestMain with
//
//	os.Exit(pgtest.Main(m))
//
// so that the server ends with the tests and a goroutine that outlives them is a failure. A test program that is killed,
// panics or runs out of time leaves nothing behind either: see package postgres.
//
// The package must never know Perihelion's own packages: it is what they are measured against.
package pgtest
