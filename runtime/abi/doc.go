// Package abi names what a policy (a WebAssembly module) and the host say to each other: the functions that a guest
// imports, the hooks that it exports, the fields that it may ask for, the decisions that it may state, the results of
// a call that failed, and the limits.
//
// It has constants and tables and no logic. It must never know PostgreSQL, the cache or the WebAssembly engine. All of
// abi_gen.go comes from guest-sdk/abi.yaml, which the SDKs are generated from as well, so host and guests cannot
// differ. An id is never reused.
package abi

//go:generate go run -C ../.. ./guest-sdk/gen
