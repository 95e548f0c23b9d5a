package statement

import (
	"fmt"
	"strings"
)

// Level is how coherent an answer has to be. The zero value is [Bounded].
type Level uint8

// The levels.
const (
	// Bounded answers are never older than max_staleness, and a session reads its own writes.
	Bounded Level = iota
	// Strong answers are linearisable for writes that pass a home.
	Strong
	// Eventual answers are as old as their time to live allows, also without a home.
	Eventual
	// Off is no answer from memory at all.
	Off
)

var levelNames = [...]string{"bounded", "strong", "eventual", "off"}

// String returns the level's name in lower case.
func (l Level) String() string { return levelNames[l] }

// MarshalText implements [encoding.TextMarshaler].
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. An unknown name is an error.
func (l *Level) UnmarshalText(text []byte) error {
	level, ok := ParseLevel(string(text))
	if !ok {
		return fmt.Errorf("unknown level %q", text)
	}
	*l = level
	return nil
}

// ParseLevel reads a level's name, whatever its case. An unknown one is false.
func ParseLevel(name string) (Level, bool) {
	for i, known := range levelNames {
		if strings.EqualFold(known, name) {
			return Level(i), true
		}
	}
	return Off, false
}
