package statement

import "bytes"

// SpellsMoment reports whether a value, read as a date or time, could stand for a moment of the clock: whether one of
// its words is now, today, tomorrow or yesterday (PostgreSQL 18, table "Special Date/Time Inputs"). The answer to such a
// value changes though no row does.
func SpellsMoment[T string | []byte](value T) bool {
	const longest, shortest = len("yesterday"), len("now")
	for i := 0; i < len(value); {
		if !isLetter(value[i]) {
			i++
			continue
		}
		start := i
		for i < len(value) && isLetter(value[i]) {
			i++
		}
		if n := i - start; n < shortest || n > longest {
			continue
		}
		word := []byte(value[start:i])
		for _, special := range [...]string{"now", "today", "tomorrow", "yesterday"} {
			if len(word) == len(special) && bytes.EqualFold(word, []byte(special)) {
				return true
			}
		}
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
