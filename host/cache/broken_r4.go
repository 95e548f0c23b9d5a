//go:build perihelion_break_r4

package cache

// keepsVoid breaks R4, for test/chaos.
const keepsVoid = true
