// Package cache keeps results: immutable backend bytes under a key, valid while their version lies above the floors
// that they depend on (R3), their time to live has not passed, and their node's lease holds.
//
// It must never know SQL, the wire protocol or where floors come from: it asks [Floors], which its user brings. It
// keeps R4: a fill whose version is not above its floors is not stored, and if a floor rises while it is being
// stored, the entry is void from then on, because each Get asks the floors again.
//
// Lock order: one shard's lock at a time, and nothing else under it.
package cache
