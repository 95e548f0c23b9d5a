package statement

import "bytes"

// StripComments appends text to dst with each comment replaced by one space, and leading and trailing white space
// and semicolons removed, and returns the extended slice. Literals, quoted identifiers and dollar-quoted strings
// are left as they are. A text without comments costs two searches and one copy.
//
// It follows the lexical rules of PostgreSQL 18, section 4.1, with standard_conforming_strings on: comments nest, a line
// comment ends before its newline (which is kept: adjacent literals need it), E” strings have backslash escapes.
// A text whose quote or comment does not end is copied from there as it is.
func StripComments(dst, text []byte) []byte {
	text = trim(text)
	if !bytes.Contains(text, []byte("--")) && !bytes.Contains(text, []byte("/*")) {
		return append(dst, text...)
	}
	begin := len(dst)
	for i := 0; i < len(text); {
		c := text[i]
		var end int
		switch {
		case c == '\'':
			end = quoteEnd(text, i, escapes(text, i))
		case c == '"':
			end = quoteEnd(text, i, false)
		case c == '$' && (i == 0 || !isIdentifier(text[i-1])):
			end = dollarEnd(text, i)
		case c == '-' && i+1 < len(text) && text[i+1] == '-':
			dst = append(dst, ' ')
			i = lineEnd(text, i)
			continue
		case c == '/' && i+1 < len(text) && text[i+1] == '*':
			end = blockEnd(text, i)
			if end > 0 {
				dst = append(dst, ' ')
				i = end
				continue
			}
			end = len(text)
		default:
			end = i + 1
		}
		dst = append(dst, text[i:end]...)
		i = end
	}
	// What stood before or behind a comment at an end is white space now.
	body := trim(dst[begin:])
	n := copy(dst[begin:], body)
	return dst[:begin+n]
}

func trim(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && (isBlank(text[len(text)-1]) || text[len(text)-1] == ';') {
		text = text[:len(text)-1]
	}
	return text
}

// isBlank is isSpace without the vertical tab, which PostgreSQL takes for white space from version 16 on only.
func isBlank(c byte) bool { return isSpace(c) && c != '\v' }

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func isIdentifier(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// escapes reports whether the quote at i opens an E” string.
func escapes(text []byte, i int) bool {
	return i > 0 && (text[i-1] == 'e' || text[i-1] == 'E') && (i == 1 || !isIdentifier(text[i-2]))
}

// quoteEnd returns the index behind the quoted token that begins at i, or the text's length where it does not end. A
// string with escapes goes on in the next literal where a newline parts the two.
func quoteEnd(text []byte, i int, backslash bool) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case backslash && text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote && backslash:
			next, ok := continuation(text, i+1)
			if !ok {
				return i + 1
			}
			i = next
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// continuation returns where the quote stands that continues the literal which ended before i: behind white space with
// a newline in it, and line comments.
func continuation(text []byte, i int) (int, bool) {
	newline := false
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			newline = true
		case isSpace(c):
		case c == '-' && i+1 < len(text) && text[i+1] == '-':
			i = lineEnd(text, i) - 1
		case c == '\'':
			return i, newline
		default:
			return 0, false
		}
	}
	return 0, false
}

// dollarEnd returns the index behind the dollar-quoted string that begins at i; i+1 where none begins there.
func dollarEnd(text []byte, i int) int {
	j := i + 1
	for j < len(text) && text[j] != '$' {
		if !isIdentifier(text[j]) || j == i+1 && text[j] >= '0' && text[j] <= '9' {
			return i + 1
		}
		j++
	}
	if j == len(text) {
		return i + 1
	}
	tag := text[i : j+1]
	if k := bytes.Index(text[j+1:], tag); k >= 0 {
		return j + 1 + k + len(tag)
	}
	return len(text)
}

func lineEnd(text []byte, i int) int {
	for i < len(text) && text[i] != '\n' && text[i] != '\r' {
		i++
	}
	return i
}

// blockEnd returns the index behind the block comment that begins at i, or 0 where it does not end.
func blockEnd(text []byte, i int) int {
	depth := 0
	for i+1 < len(text) {
		switch {
		case text[i] == '/' && text[i+1] == '*':
			depth++
			i += 2
		case text[i] == '*' && text[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return 0
}
