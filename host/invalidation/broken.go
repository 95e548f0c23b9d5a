//go:build !perihelion_break_r6

package invalidation

// overtime is how much longer than granted a lease lasts: not at all. A build in which it lasts longer shows that
// test/chaos notices.
const overtime = 0
