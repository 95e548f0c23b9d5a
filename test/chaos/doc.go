// Package chaos runs the program itself, one home and two edges before a real PostgreSQL, kills, stops and cuts them while
// clients read and write, at each of them and straight at PostgreSQL, and holds what the clients saw to the promises of
// docs/coherence.md by the invariants of package history.
//
//	go test ./test/chaos -chaos.duration 5m -chaos.seed 7 -v
package chaos
