package statement

// SpellsMoment reports whether a value, read as a date or time, could stand for a moment of the clock: whether one of
// its words is now, today, tomorrow or yesterday (PostgreSQL 18, table "Special Date/Time Inputs"). The answer to such a
// value changes though no row does.
//
// Within arrays, ranges and rows backslashes and quotes go away before the element is read ({n\ow}), so that words count with
// them as gaps and without.
func SpellsMoment[T string | []byte](value T) bool {
	found, quoted := spellsMoment(value, false)
	if !found && quoted {
		found, _ = spellsMoment(value, true)
	}
	return found
}

// spellsMoment looks for a moment, with backslashes and quotes as gaps or, joining, as nothing, and reports whether there are any.
func spellsMoment[T string | []byte](value T, joining bool) (found, quoted bool) {
	var word [len("yesterday")]byte
	n := 0
	for i := range len(value) {
		c := value[i]
		if isLetter(c) {
			if n < len(word) {
				word[n] = c | 0x20
			}
			n++
			continue
		}
		if c == '\\' || c == '"' {
			if quoted = true; joining {
				continue
			}
		}
		if n > 0 && isMoment(word[:min(n, len(word))], n) {
			return true, quoted
		}
		n = 0
	}
	return isMoment(word[:min(n, len(word))], n), quoted
}

// isMoment reports whether a word in lower case is a moment; n is its length before it was cut.
func isMoment(word []byte, n int) bool {
	if n != len(word) {
		return false
	}
	switch string(word) {
	case "now", "today", "tomorrow", "yesterday":
		return true
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
