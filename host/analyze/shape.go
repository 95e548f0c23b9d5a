package analyze

import (
	"strings"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

// appendShape appends what is left of a text without its literals and comments: equal for two texts whose parse trees
// differ in the values of constants alone, in a way that no rule of the package looks at. It returns nil where a text must
// be judged by itself, and whether the text has literals at all.
//
// It keeps the type that a number has, since that decides on overloads; whether a string spells a moment; and every name
// as it is spelled. A list of constants behind IN counts as one of each kind, however long it is.
func appendShape(dst []byte, text string) (shape []byte, literals bool) {
	if len(text) > maxTextBytes || strings.IndexByte(text, 0) >= 0 {
		return nil, false
	}
	first, string_ := true, false // whether the last token was a string, which the next would go on
	in := inList{}
	for t := range tokens(text) {
		if t.kind == comment {
			continue
		}
		raw := text[t.start:t.end]
		if first && !beginsQuery(t.kind, raw) {
			return nil, false
		}
		first = false
		class := byte(0)
		switch t.kind {
		case literal:
			if string_ || !plainString(raw) {
				return nil, false
			}
			literals = true
			class = stringClass(raw)
		case number:
			if class = numberClass(raw); class == 0 {
				return nil, false
			}
			literals = true
		case punctuation:
			if raw == ";" {
				return nil, false
			}
		case comment, word, parameter, operator:
		}
		string_ = t.kind == literal
		dst = in.append(dst, t.kind, raw, class)
	}
	if first {
		return nil, false
	}
	return dst, literals
}

// Bytes of a shape that stand in no text: between tokens, and before the class of a constant.
const shapeBetween, shapeConstant = 0x00, 0x01

// inList takes the constants of "IN (…)" together.
type inList struct {
	state byte    // 'i' behind IN, '(' behind its bracket or a constant, ',' behind a comma that was not appended
	seen  [5]byte // the classes of constants in the list, each once
}

func (l *inList) append(dst []byte, k kind, raw string, class byte) []byte {
	switch {
	case k == word && len(raw) == 2 && strings.EqualFold(raw, "in"):
		l.state = 'i'
	case k == punctuation && raw == "(" && l.state == 'i':
		l.state, l.seen = '(', [5]byte{}
	case class != 0 && l.state >= '(' && l.state <= ',':
		l.state = '('
		for i, c := range l.seen {
			if c == class {
				return dst
			}
			if c == 0 {
				l.seen[i] = class
				break
			}
		}
	case k == punctuation && raw == "," && l.state == '(' && l.seen[0] != 0:
		l.state = ','
		return dst
	default:
		if l.state == ',' {
			dst = append(dst, ',', shapeBetween) // what follows is no constant
		}
		l.state = 0
	}
	if class != 0 {
		return append(dst, shapeConstant, class, shapeBetween)
	}
	dst = append(dst, raw...)
	return append(dst, shapeBetween)
}

// beginsQuery reports whether a text that begins so is a query or changes rows. Others are few, and literals matter.
func beginsQuery(k kind, raw string) bool {
	if k == punctuation {
		return raw == "("
	}
	if k != word {
		return false
	}
	switch len(raw) {
	case 4:
		return strings.EqualFold(raw, "with")
	case 5:
		return strings.EqualFold(raw, "merge")
	case 6:
		return strings.EqualFold(raw, "select") || strings.EqualFold(raw, "insert") || strings.EqualFold(raw, "update") ||
			strings.EqualFold(raw, "delete") || strings.EqualFold(raw, "values")
	}
	return false
}

// plainString reports whether a string literal says what it spells: no escapes.
func plainString(raw string) bool {
	switch raw[0] {
	case '\'', '$':
		return true
	case 'e', 'E':
		return strings.IndexByte(raw, '\\') < 0
	}
	return false
}

func stringClass(raw string) byte {
	if statement.SpellsMoment(raw) {
		return 'm'
	}
	return 's'
}

// numberClass returns what tells the types of two numbers apart, or 0 where a number is spelled in an unusual way.
func numberClass(raw string) byte {
	decimal := false
	for i := range len(raw) {
		switch c := raw[i]; {
		case isDigit(c):
		case c == '.' && !decimal:
			decimal = true
		default:
			return 0
		}
	}
	switch digits := len(raw); {
	case decimal:
		return 'd'
	case digits < len("2147483647"):
		return 'i'
	case digits < len("9223372036854775807"):
		if digits == len("2147483647") && raw <= "2147483647" {
			return 'i'
		}
		return 'l'
	default:
		return 0
	}
}
