// Package changes turns what a session did on the wire into what became visible to others: it follows the
// transaction of one session and says which relations to void, and when (R2, R9).
//
// It knows descriptors and transaction statuses, and nothing of connections, caches or the log. In doubt a write
// counts as committed: voiding too much costs hits, voiding too little costs the contract.
package changes
