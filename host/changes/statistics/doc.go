// Package statistics finds writes that nothing else shows: it looks again and again at the counters that PostgreSQL keeps
// of the rows that were written to each relation. It is what a home has where the WAL cannot be followed.
//
// It is late, by the seconds that PostgreSQL takes to add a session's counts, and it sees no TRUNCATE. A lease rests on
// nothing that it says. It must never know what a relation means.
package statistics
