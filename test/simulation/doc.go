// Package simulation runs a home, its edges, their clients and a database in one process, on the simulated time of
// testing/synctest and a simulated network, against an adversary that delays, cuts, partitions, crashes, restarts and
// steps clocks. What runs is the program's own code: the log, the registry, the API's server, the link, the cache and
// the sessions. Simulated are the network, the clocks, the database, which speaks the wire protocol for a small grammar,
// and what the home knows of that grammar.
//
// Everything that happens in a history follows from its seed: each part draws from a source of its own, so that what one
// draws does not depend on when another does, and the network lets hardly two things happen at one moment. What the clients
// saw is judged by package history.
package simulation
