// Package client is a PostgreSQL client that costs as little as a client can, so that a benchmark measures the server.
//
// Requests are bytes made beforehand, an answer is read up to its ReadyForQuery and compared with the bytes expected,
// and nothing is allocated in between. It knows protocol 3.0 over TCP, users without a password, and nothing of what it
// talks to: PostgreSQL, a proxy, a program that answers canned bytes.
package client
