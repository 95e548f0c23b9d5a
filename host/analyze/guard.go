package analyze

import "strings"

const (
	// maxTextBytes is the longest text that is parsed.
	maxTextBytes = 256 << 10
	// maxDepth bounds how deep a text's parse tree can be. The parser's library walks trees recursively in C without a
	// guard of its own, at up to quadratic cost in the depth, and an overflow of the stack would take the node down. Measured:
	// 400 levels of any kind fit a stack of 512 KiB (which musl gives a thread only when told to).
	maxDepth = 400
	// maxLinks bounds the tokens that could each add a level if the estimate of the depth were wrong. Measured: a stack of
	// 8 MiB, what a thread has by default, overflows between 20,000 and 32,000 levels, one of 2 MiB beyond 2,000.
	maxLinks = 8_000
)

// level is what is known of the depth between one opening bracket, or CASE, and its end.
type level struct {
	opening byte // '(' for every bracket, 'c' for CASE, 0 for the whole text
	outside int  // the depth in which the level lies
	chain   int  // links of the expression at hand
	joins   int  // links of the FROM item at hand
	sets    int  // links of the set operation
	between int  // BETWEENs whose AND has not come
}

func (l *level) depth() int { return l.outside + l.chain + l.joins + l.sets }

// tooDeep reports whether a text's parse tree could be deeper than the parser is trusted with. It estimates from above:
// brackets and CASE nest; in between every token that is no comma, literal or name may be a link of a chain (1+1+1, NOT
// NOT, x::int::text). Commas, AND and OR, whose lists are flat, begin a new chain, but for the AND of a BETWEEN; chains
// of joins go past AND and OR, those of set operations past commas as well.
func tooDeep(text string) bool {
	links := 0
	stack := []level{{}}
	previous := token{kind: punctuation}
	for t := range tokens(text) {
		if t.kind == comment {
			continue
		}
		top := &stack[len(stack)-1]
		name := previous.kind == punctuation && previous.end > 0 && text[previous.start] == '.' // behind a dot
		previous = t
		opening, link := byte(0), false
		switch t.kind {
		case operator:
			link = true
		case word:
			if name || text[t.start] == '"' {
				continue
			}
			link = true
			switch chainWord(text[t.start:t.end]) {
			case "":
				link = false
			case "and":
				if link = top.between > 0; link {
					top.between--
				} else {
					top.chain = 0
				}
			case "or", "when", "then", "else":
				top.chain, top.between, link = 0, 0, false
			case "between":
				top.between++
			case "union", "intersect", "except":
				top.sets++
				top.chain, top.joins, top.between = 0, 0, 0
			case "join":
				top.joins++
				top.chain, top.between = 0, 0
			case "case":
				opening = 'c'
			case "end":
				if top.opening == 'c' {
					stack = stack[:len(stack)-1]
				}
				link = false
			default:
				top.chain++
			}
		case punctuation:
			switch text[t.start] {
			case '(', '[':
				opening = '('
			case ')', ']':
				stack = closeBracket(stack)
			case ',':
				top.chain, top.joins, top.between = 0, 0, 0
			case ':':
				link = true
			case ';':
				if len(stack) == 1 {
					*top = level{}
				}
			}
		default:
		}
		if link {
			links++
			if t.kind != word {
				top.chain++
			}
		}
		if opening != 0 {
			stack = append(stack, level{opening: opening, outside: top.depth() + 1})
			top = &stack[len(stack)-1]
		}
		if links > maxLinks || len(stack) > maxDepth || (link || opening != 0) && top.depth() > maxDepth {
			return true
		}
	}
	return false
}

// closeBracket drops the innermost bracket, with each CASE in it that did not end.
func closeBracket(stack []level) []level {
	for i := len(stack) - 1; i > 0; i-- {
		if stack[i].opening == '(' {
			return stack[:i]
		}
	}
	return stack
}

// chainWord returns the word in lower case where it can be a link of a chain, and "" where it can only be a name or
// begins a clause.
func chainWord(s string) string {
	if len(s) < 2 || len(s) > len("intersect") {
		return ""
	}
	switch lower := strings.ToLower(s); lower {
	case "not", "is", "isnull", "notnull", "in", "like", "ilike", "similar", "between", "collate", "at", "case", "when",
		"then", "else", "end", "join", "union", "intersect", "except", "and", "or", "any", "all", "some", "overlaps",
		"operator", "distinct", "natural", "cross", "escape", "array", "row", "exists", "document", "normalized", "json":
		return lower
	}
	return ""
}
