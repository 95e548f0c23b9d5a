package analyze

import "strings"

// kind is what a token is, as far as the guard, the normaliser and the comment reader care.
type kind uint8

const (
	comment     kind = iota // -- to the end of the line, or /* … */ with its nested ones
	literal                 // a string of any spelling
	number                  //
	word                    // an identifier or keyword, quoted or not
	parameter               // $1
	operator                // a run of operator characters
	punctuation             // one of ( ) [ ] , ; : . and whatever else
)

// token is text[start:end] of a text.
type token struct {
	kind       kind
	start, end int
}

const operatorCharacters = "+-*/<>=~!@#%^&|`?"

// tokens yields the tokens of a text by the lexical rules of PostgreSQL 18, section 4.1. It never fails: what does not
// end, ends with the text. It needs no parser, so it may look at a text before the parser is trusted with it.
func tokens(text string) func(yield func(token) bool) {
	return func(yield func(token) bool) {
		escaped := false // the last token was an E'' string that may go on behind white space with a newline
		newline := false // such a newline was seen since
		for i := 0; i < len(text); {
			c := text[i]
			if isSpace(c) {
				newline = newline || c == '\n' || c == '\r'
				i++
				continue
			}
			t := token{start: i}
			continues := escaped && newline
			switch next := following(text, i); {
			case c == '-' && next == '-':
				t.kind, t.end = comment, lineEnd(text, i)
			case c == '/' && next == '*':
				t.kind, t.end = comment, blockEnd(text, i)
				escaped = false
			case c == '\'':
				t.kind, t.end = literal, quoteEnd(text, i, continues)
				escaped, newline = continues, false
			case c == '"':
				t.kind, t.end = word, quoteEnd(text, i, false)
			case (c == 'e' || c == 'E') && next == '\'':
				t.kind, t.end = literal, quoteEnd(text, i+1, true)
				escaped, newline = true, false
			case next == '\'' && strings.IndexByte("bBxXnN", c) >= 0:
				t.kind, t.end = literal, quoteEnd(text, i+1, false)
			case (c == 'u' || c == 'U') && next == '&' && following(text, i+1) == '\'':
				t.kind, t.end = literal, quoteEnd(text, i+2, false)
			case (c == 'u' || c == 'U') && next == '&' && following(text, i+1) == '"':
				t.kind, t.end = word, quoteEnd(text, i+2, false)
			case isIdentifierStart(c):
				t.kind, t.end = word, identifierEnd(text, i)
			case isDigit(c) || c == '.' && isDigit(next):
				t.kind, t.end = number, numberEnd(text, i)
			case c == '$' && isDigit(next):
				t.kind, t.end = parameter, numberEnd(text, i+1)
			case c == '$':
				t.kind, t.end = dollarEnd(text, i)
			case classes[c]&operatorByte != 0:
				t.kind, t.end = operator, operatorEnd(text, i)
			default:
				t.kind, t.end = punctuation, i+1
			}
			if t.kind != comment && t.kind != literal {
				escaped = false
			}
			if !yield(t) {
				return
			}
			i = t.end
		}
	}
}

// following returns the byte behind i, or 0 at the end.
func following(text string, i int) byte {
	if i+1 < len(text) {
		return text[i+1]
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isIdentifierStart(c byte) bool { return classes[c]&identifierStart != 0 }

// What a byte may be; a byte behind the first of an identifier may be more.
const identifierStart, identifierPart, operatorByte = 1, 2, 4

// classes says of each byte what it may be: every text is looked at byte by byte.
var classes = func() (of [256]uint8) {
	for i := range of {
		c := byte(i)
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80:
			of[i] = identifierStart | identifierPart
		case isDigit(c) || c == '$':
			of[i] = identifierPart
		case strings.IndexByte(operatorCharacters, c) >= 0:
			of[i] = operatorByte
		}
	}
	return of
}()

func identifierEnd(text string, i int) int {
	for i < len(text) && classes[text[i]]&identifierPart != 0 {
		i++
	}
	return i
}

// numberEnd takes a number with its point and exponent. What follows without a space is taken with it: it is junk.
func numberEnd(text string, i int) int {
	for i < len(text) {
		c := text[i]
		sign := (c == '+' || c == '-') && (text[i-1] == 'e' || text[i-1] == 'E') && isDigit(following(text, i))
		// ".." is what PL/pgSQL has between two numbers.
		if !isIdentifierStart(c) && !isDigit(c) && !sign && (c != '.' || following(text, i) == '.') {
			break
		}
		i++
	}
	return i
}

func lineEnd(text string, i int) int {
	if j := strings.IndexAny(text[i:], "\r\n"); j >= 0 {
		return i + j
	}
	return len(text)
}

func blockEnd(text string, i int) int {
	for depth := 0; i < len(text); {
		switch next := following(text, i); {
		case text[i] == '/' && next == '*':
			depth++
			i += 2
		case text[i] == '*' && next == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(text)
}

// quoteEnd returns the index behind the quoted token whose opening quote is at i.
func quoteEnd(text string, i int, backslash bool) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case backslash && text[i] == '\\':
			i++
		case text[i] == quote && following(text, i) == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// dollarEnd returns the kind and end of what begins with the dollar at i: a dollar-quoted string, or a lone dollar.
func dollarEnd(text string, i int) (kind, int) {
	j := i + 1
	for j < len(text) && (isIdentifierStart(text[j]) || isDigit(text[j])) {
		j++
	}
	if j == len(text) || text[j] != '$' {
		return punctuation, i + 1
	}
	tag := text[i : j+1]
	if k := strings.Index(text[j+1:], tag); k >= 0 {
		return literal, j + 1 + k + len(tag)
	}
	return literal, len(text)
}

// operatorEnd takes a run of operator characters up to a comment.
func operatorEnd(text string, i int) int {
	start := i
	for ; i < len(text) && classes[text[i]]&operatorByte != 0; i++ {
		next := following(text, i)
		if i > start && (text[i] == '-' && next == '-' || text[i] == '/' && next == '*') {
			break
		}
	}
	return i
}
