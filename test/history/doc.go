// Package history holds the invariants that every history of reads and writes has to keep, as pure functions over what
// was observed: the simulation, the end-to-end suites and the tests with real processes that are killed and stopped all
// bring their observations here, so that they mean the same by a stale answer.
//
// An observation says when something was asked and answered, on one clock, and for a write in between which moments it
// became true. Who knows the moment exactly, as the simulation does, says so; who does not, gives the time from the
// request to its reply. In doubt an answer passes: a violation is one whatever the order of what overlapped.
package history
