package statement

import "testing"

func TestSpellsMoment(t *testing.T) {
	for value, want := range map[string]bool{
		"now": true, "NOW": true, " today 12:00": true, "tomorrow": true, "yesterday": true, "2024-01-01 now": true,
		"snow": false, "nowhere": false, "": false, "2024-01-01": false, "know-how": false, `{n\ow}`: true, `[to"day",)`: true,
		`{"a":"now"}`: true, `("x""now")`: true, `"n" "ow"`: false, "yesterdays": false, "now\x00": true, "\x00\x00\x00\x03now": true,
	} {
		if got := SpellsMoment(value); got != want {
			t.Errorf("SpellsMoment(%q) = %v, want %v", value, got, want)
		}
	}
}
