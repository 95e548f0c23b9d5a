// Package catalog keeps pictures of PostgreSQL's system catalogs: which relations exist, how they hang together
// (inheritance, partitions, foreign keys), and what functions, operators and types may do. A picture is a [Snapshot],
// immutable and read in one transaction; [Catalog] loads it at first use and again after a schema change.
//
// Only the home needs it. It must never know a SQL text, a verdict or a session: it says what the catalogs say, and
// package analyze judges. It keeps one promise that R3's schema events rest on: after [Catalog.Refresh] returned, no
// caller is given a picture that was read before.
//
// A picture has the digest of the catalogs that it was read from, taken in the same transaction; [Catalog.Check] takes it
// again and says what has changed past everybody.
//
// Lock order: a connection's slot before Catalog.mu, which guards everything else; InitialSettings has a connection of its
// own behind a one-slot semaphore. No I/O, callback or log happens under Catalog.mu.
package catalog
