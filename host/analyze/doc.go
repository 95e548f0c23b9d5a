// Package analyze turns a SQL text into a [statement.Descriptor]: what kind of statement it is, what its answer depends
// on and what it may change, from PostgreSQL's own grammar and a picture of the catalogs.
//
// Two mistakes would be stale answers: a statement judged a read whose answer can change without a write to one of its
// relations, and a write whose closure misses a relation. So everything works by allow-lists. A construct of the grammar
// that is not listed makes a text opaque, and opaque means "may change anything". Names are resolved without the
// session's search_path: an unqualified name stands for everything of that name in every schema, and all of it must be
// harmless. A session's temporary objects are not in the picture, which is why making one makes a session untracked.
//
// The text is read as UTF-8 with standard_conforming_strings on. Whoever knows a session to differ must not ask, and uses
// [Unread] instead. Values of parameters are not seen: a text parameter that spells a moment ('now') makes the answer of
// a Read unstable, which whoever sees the value has to check with [statement.SpellsMoment].
//
// The package must never know a session, the wire or the cache. It is the home's alone: the parser is C.
package analyze
