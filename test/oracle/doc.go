// Package oracle judges the analysis of statements by PostgreSQL alone. It makes random schemas and random statements, and
// needs no opinion on either: it runs a read, runs a write, and runs the read again, straight. Where the answer changed,
// what the analysis says that the write may touch must meet what it says that the read depends on. A read that is asked
// again when nothing but time has passed, or nothing but settings of the session that are no part of an entry's key, must
// answer the same; and what is judged to only read must take no lock and no transaction number.
//
// A schema is loaded and seen as a home sees it: by host/catalog's picture of what is committed, and host/analyze's
// descriptors. Everything runs in transactions that roll back, so one schema serves many reads and writes. Functions that
// claim to be immutable are: PostgreSQL believes them, and so does the analysis.
//
// `go test ./test/oracle -oracle.cases=500` looks longer. A failure names rapid's seed, and shows the schema cut down to
// the statements that it takes.
package oracle
