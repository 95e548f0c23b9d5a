package statement

// ReadShow returns what a text asks for that shows one of a node's own settings: NAME of SHOW perihelion.NAME, in letters
// of either case; nil where it is another statement. It allocates nothing.
func ReadShow(text []byte) []byte {
	word, rest := nextWord(text)
	if !is(word, "SHOW") {
		return nil
	}
	if word, rest = nextWord(rest); !is(word, "PERIHELION") {
		return nil
	}
	if rest = skipBlank(rest); len(rest) == 0 || rest[0] != '.' {
		return nil
	}
	word, rest = nextWord(rest[1:])
	if len(word) == 0 || atEnd(rest, BlockBegin) == NoBlock {
		return nil
	}
	return word
}
