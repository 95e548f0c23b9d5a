package statement

import "bytes"

// Block says what a text does to the transaction block, for the plainest spellings only: those that a node without a
// parser answers itself. Everything else is NoBlock, BEGIN with options it does not know and COMMIT AND CHAIN too.
type Block uint8

// The texts that begin and end a block.
const (
	NoBlock Block = iota
	// BlockBegin is BEGIN, at most with READ ONLY.
	BlockBegin
	// BlockBeginCommitted is BEGIN with ISOLATION LEVEL READ COMMITTED.
	BlockBeginCommitted
	// BlockStart and BlockStartCommitted are the same of START TRANSACTION, which has a tag of its own.
	BlockStart
	BlockStartCommitted
	// BlockCommit is COMMIT or END.
	BlockCommit
	// BlockRollback is ROLLBACK or ABORT, of the whole block.
	BlockRollback
)

// Begins reports whether the text begins a block.
func (b Block) Begins() bool { return b >= BlockBegin && b <= BlockStartCommitted }

// Ends reports whether the text ends a block.
func (b Block) Ends() bool { return b == BlockCommit || b == BlockRollback }

// Committed reports whether the text itself says that the block is READ COMMITTED.
func (b Block) Committed() bool { return b == BlockBeginCommitted || b == BlockStartCommitted }

// Tag returns the command tag that PostgreSQL completes the text with; of one that ends a block, where it did not fail.
func (b Block) Tag() string {
	switch b {
	case BlockBegin, BlockBeginCommitted:
		return "BEGIN"
	case BlockStart, BlockStartCommitted:
		return "START TRANSACTION"
	case BlockCommit:
		return "COMMIT"
	case BlockRollback:
		return "ROLLBACK"
	case NoBlock:
	}
	return ""
}

// ReadBlock says what a text does to the transaction block. It follows the grammar of PostgreSQL 18's BEGIN, START
// TRANSACTION, COMMIT and ROLLBACK. It allocates nothing, and a text that begins like no such statement costs one look at
// its first letter.
func ReadBlock(text []byte) Block {
	word, rest := nextWord(text)
	if len(word) < 3 || len(word) > 8 {
		return NoBlock
	}
	switch word[0] | 0x20 {
	case 'b':
		if is(word, "BEGIN") {
			return readBegin(skipNoise(rest), BlockBegin)
		}
	case 's':
		if is(word, "START") {
			if word, rest = nextWord(rest); is(word, "TRANSACTION") {
				return readBegin(rest, BlockStart)
			}
		}
	case 'c', 'e':
		if is(word, "COMMIT") || is(word, "END") {
			return atEnd(skipNoise(rest), BlockCommit)
		}
	case 'r', 'a':
		if is(word, "ROLLBACK") || is(word, "ABORT") {
			return atEnd(skipNoise(rest), BlockRollback)
		}
	}
	return NoBlock
}

// readBegin reads the options of a statement that begins a block. Those that a standby or a transaction may refuse are
// not taken, so that the statement cannot fail when it is sent later.
func readBegin(rest []byte, b Block) Block {
	for first := true; ; first = false {
		if atEnd(rest, b) != NoBlock {
			return b
		}
		if comma := skipBlank(rest); !first && len(comma) > 0 && comma[0] == ',' {
			rest = comma[1:]
		}
		var word []byte
		word, rest = nextWord(rest)
		switch {
		case is(word, "READ"):
			if word, rest = nextWord(rest); !is(word, "ONLY") {
				return NoBlock
			}
		case is(word, "ISOLATION") && !b.Committed():
			for _, want := range [...]string{"LEVEL", "READ", "COMMITTED"} {
				if word, rest = nextWord(rest); !is(word, want) {
					return NoBlock
				}
			}
			b++ // to its Committed form
		default:
			return NoBlock
		}
	}
}

// skipNoise skips the word that may stand behind BEGIN, COMMIT and ROLLBACK and means nothing.
func skipNoise(text []byte) []byte {
	if word, rest := nextWord(text); is(word, "WORK") || is(word, "TRANSACTION") {
		return rest
	}
	return text
}

// atEnd returns b where nothing is left of a text, NoBlock otherwise.
func atEnd(text []byte, b Block) Block {
	for {
		text = skipBlank(text)
		if len(text) == 0 {
			return b
		}
		if text[0] != ';' {
			return NoBlock
		}
		text = text[1:]
	}
}

// nextWord returns the word of letters that comes next, which is empty where something else does, and what follows it.
func nextWord(text []byte) (word, rest []byte) {
	text = skipBlank(text)
	n := 0
	for n < len(text) && (text[n]|0x20) >= 'a' && (text[n]|0x20) <= 'z' {
		n++
	}
	if n < len(text) && isIdentifier(text[n]) {
		return nil, text // an identifier that begins like a word
	}
	return text[:n], text[n:]
}

// skipBlank skips white space and comments. A block comment that does not end is left: it is an error.
func skipBlank(text []byte) []byte {
	for len(text) > 0 {
		switch {
		case isBlank(text[0]):
			text = text[1:]
		case len(text) > 1 && text[0] == '-' && text[1] == '-':
			text = text[lineEnd(text, 0):]
		case len(text) > 1 && text[0] == '/' && text[1] == '*':
			end := blockEnd(text, 0)
			if end <= 0 {
				return text
			}
			text = text[end:]
		default:
			return text
		}
	}
	return text
}

// is compares a word with one in upper case, letters of either case being equal.
func is(word []byte, upper string) bool {
	return len(word) == len(upper) && bytes.EqualFold(word, []byte(upper))
}
