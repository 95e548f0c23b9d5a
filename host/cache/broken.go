//go:build !perihelion_break_r4

package cache

// keepsVoid says whether a fill is kept that a write has voided: never. A build in which it is shows that test/chaos
// notices.
const keepsVoid = false
