// Package postgres runs a throw-away PostgreSQL server of its own: for the tests, for the benchmarks and for
// `perihelion demo`.
//
// It finds the server's binaries, makes a cluster in a temporary folder, starts it on a free port of 127.0.0.1, restarts
// it, breaks it on request, and leaves nothing behind: a small watchdog process ends the server and removes its folder
// when the owner closes it, and also when the owner is killed.
//
// PostgreSQL refuses to run as root. A root owner therefore runs it as an unprivileged account, from a copy of the
// binaries where that account cannot reach the originals.
//
// The package must never know testing.T, Perihelion's own packages, or a server that somebody cares about: what it
// starts has no durability unless asked for and trusts every local client.
package postgres
