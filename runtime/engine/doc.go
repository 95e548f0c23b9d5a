// Package engine runs policies: WebAssembly modules that speak the ABI of package abi, in wazero, without files,
// network, clock or randomness but what the ABI gives them.
//
// A module is validated and tried once when it is loaded. Its instances are used by one caller at a time, are never
// shared between tenants, and are thrown away after any failure: a trap leaves them in a state that nobody knows. What
// a module held is given back when it is closed and its last call has ended, by counting.
//
// Fuel bounds what a call may do: package fuel rewrites each module before it is compiled, and the host's functions
// charge for what they do. Tables, which the memory cap does not cover, are given a maximum. So no call needs a clock,
// a goroutine or a context that interrupts it, and a call that fails does so after the same number of steps each time.
//
// The package knows nothing of PostgreSQL and may be used without the rest of Perihelion.
package engine
