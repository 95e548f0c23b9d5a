package session

import (
	"crypto/sha256"
	"maps"
	"slices"
)

// prefixSize is the size of the part of a key that stands for the session, in bytes.
const prefixSize = 16

// state is what changes answers beyond a statement's text: who asks, and every setting. Guarded by Session.mu.
type state struct {
	// token stands for all that the home follows; an edge takes it from facts.
	token string
	// private is set while the state is not known: nothing is shared.
	private bool
	// reported are the parameters that the upstream reports, as both nodes of a session see them.
	reported map[string]string
	// path is the search_path as statement.SearchPath spells it, "" where it is not known. A home's only.
	path string
	// serial changes with the state. A result is kept under a key only if the serial is still the key's.
	serial uint64
	prefix [prefixSize]byte
	// conforming and utf8 are what the reported parameters say of how the backend reads a text.
	conforming, utf8 bool
}

// update recomputes what is derived after token, private or reported changed.
func (s *state) update() {
	s.serial++
	s.conforming = s.reported["standard_conforming_strings"] == "on"
	s.utf8 = s.reported["client_encoding"] == "UTF8"
	h := sha256.New()
	for _, part := range append([]string{s.token}, pairs(s.reported)...) {
		writePart(h, part)
	}
	var sum [sha256.Size]byte
	copy(s.prefix[:], h.Sum(sum[:0]))
}

// report takes in a ParameterStatus. It reports whether something changed.
func (s *state) report(name, value string) bool {
	if old, ok := s.reported[name]; ok && old == value {
		return false
	}
	if s.reported == nil {
		s.reported = map[string]string{}
	}
	if len(s.reported) >= maxSettings {
		s.private = true
		return true
	}
	s.reported[name] = value
	return true
}

// reads reports whether this node's scanners read a text as the session's backend does: string literals as the standard
// has them, and no byte of a longer character that looks like something else.
func (s *state) reads(text []byte) bool {
	return s.conforming && (s.utf8 || isASCII(text))
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func pairs(m map[string]string) []string {
	flat := make([]string, 0, 2*len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		flat = append(flat, name, m[name])
	}
	return flat
}

// writePart writes a part so that no two lists of parts look alike.
func writePart(h interface{ Write([]byte) (int, error) }, part string) {
	n := len(part)
	_, _ = h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) // a hash does not fail
	_, _ = h.Write([]byte(part))
}
