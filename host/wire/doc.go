// Package wire frames the PostgreSQL frontend/backend protocol (PostgreSQL 18, chapter "Frontend/Backend Protocol"):
// message boundaries under size caps, the startup packets, and the error responses that a node makes itself.
//
// It knows no SQL and no cache. Bytes from outside are hostile: a length is checked before anything is allocated
// for it, and memory grows as bytes arrive.
package wire
