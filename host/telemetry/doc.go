// Package telemetry is how a node speaks about itself: structured logs with one set of keys, a limit on how often a
// message repeats, and metrics for Prometheus.
//
// It is imported by every other package and imports none of them, so it must never know a configuration, a session
// or a cache: who uses it passes names, numbers and snapshot functions. It has no globals: a logger, a limit and a
// set of metrics belong to the node that made them, so that several nodes live in one process.
//
// What is counted on the path of a hit is not counted here. [NewMetrics] takes a function that reads the node's own
// counters when somebody scrapes them, so a hit pays nothing for being measured.
//
// Lock order: Limit.mu is the only lock; nothing is logged under it.
package telemetry
