// Package engine runs policies: WebAssembly modules that speak the ABI of package abi, in wazero, without files,
// network, clock or randomness but what the ABI gives them.
//
// A module is validated and tried once when it is loaded. Its instances are used by one caller at a time, are never
// shared between tenants, and are thrown away after any failure: a trap leaves them in a state that nobody knows. What
// a module held is given back when it is closed and its last call has ended, by counting.
//
// In this version wazero's own interruption ends a call that takes too long. It is checked at loops and not at calls:
// a recursion without a loop ends only with its stack. Metered fuel, which covers both, is planned. Tables, which the
// memory cap does not cover, are given a maximum before a module is compiled.
//
// The package knows nothing of PostgreSQL and may be used without the rest of Perihelion.
package engine
