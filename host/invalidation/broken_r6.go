//go:build perihelion_break_r6

package invalidation

import "time"

// overtime breaks R6, for test/chaos.
const overtime = time.Hour
