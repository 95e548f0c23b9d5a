// Package wal follows what is committed in one database by logical decoding: whoever wrote it, by whatever way. It turns
// the text that PostgreSQL's output plugin test_decoding prints into the names of the relations that a transaction
// has touched, and hands them on once a fresh snapshot shows the transaction (R10).
//
// It keeps no row and no value: of a message it keeps the first kilobytes, of a transaction a bounded set of names. Its
// slot is temporary and ends with the connection that owns it, however that ends. What was missed between two slots is
// a gap, and the Sink is told so (R5). [Source.Certain] is what a lease rests on (R6).
//
// It must never know what a relation means: catalogs, the log and the cache are the Sink's.
//
// Lock order: Source.mu and follower.mu are never held together, and no call leaves the package under either.
package wal
