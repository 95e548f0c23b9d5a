package config

import (
	"strconv"
	"strings"
)

// Problem is one thing that is wrong in a configuration.
type Problem struct {
	// Key is the key with its section, or the name of an unknown variable; empty where the whole file is meant.
	Key string
	// Value is the value, quoted, cut where it is long, and without secrets; empty where there is none to show.
	Value string
	// Source is where it came from: a file and line, a variable, a flag, "default"; empty where nothing is set.
	Source string
	// Wrong says what is wrong with it; it reads on after key and value.
	Wrong string
	// Allowed says what is allowed, or what to do.
	Allowed string
}

// String returns the problem in one line, without what is allowed.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" && p.Source != p.Key {
		b.WriteString(p.Source)
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteByte(' ')
	}
	if p.Value != "" {
		b.WriteString(p.Value)
		b.WriteByte(' ')
	}
	b.WriteString(p.Wrong)
	return b.String()
}

// Error is what [Load] returns: all problems of a configuration, at least one.
type Error struct {
	Problems []Problem
}

// Error returns one line per problem, with what is allowed.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
		if p.Allowed != "" {
			lines[i] += " (" + p.Allowed + ")"
		}
	}
	return "configuration: " + strings.Join(lines, "\n")
}

// quote returns a value for a message: printable, and cut where it is long.
func quote(values []string) string {
	const longest = 120
	text := strings.Join(values, ", ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return strconv.Quote(text)
}
