package session

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// maxSettings bounds the settings that are followed per session; one with more shares nothing.
const maxSettings = 256

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

// settings follow what a session's statements change, at a home.
type settings struct {
	base      string
	values    map[string]string
	untracked bool
	// block are the changes made in the current transaction block, which hold only once it commits.
	block []statement.Setting
}

// newSettings returns the settings of a session that just started; initial is the digest of what its role and
// database bring.
func newSettings(who Identity, start *wire.Startup, initial string) *settings {
	h := sha256.New()
	for _, part := range []string{who.Tenant, who.Database, who.User, initial} {
		writePart(h, part)
	}
	// Drivers send them in any order; where a name stands twice, the order of its values counts.
	parameters := slices.Clone(start.Parameters)
	slices.SortStableFunc(parameters, func(a, b wire.Parameter) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range parameters {
		writePart(h, p.Name)
		writePart(h, p.Value)
	}
	return &settings{base: string(h.Sum(nil)), values: map[string]string{}}
}

// token returns the digest of the present settings.
func (s *settings) token() string {
	h := sha256.New()
	for _, part := range append([]string{s.base}, pairs(s.values)...) {
		writePart(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// apply takes in one statement that Postgres has confirmed. before and after are the transaction statuses around it.
// It reports whether anything changed.
func (s *settings) apply(d *statement.Descriptor, tag string, before, after byte) bool {
	if d.Discard {
		changed := s.untracked || len(s.values) > 0
		s.values, s.untracked, s.block = map[string]string{}, false, nil
		return changed
	}
	was := s.untracked
	if d.Untracked || d.Many && (d.Control != statement.ControlNone && (len(d.Settings) > 0 || len(s.block) > 0)) {
		s.untracked = true
	}
	if before == wire.Idle && after == wire.Idle {
		return s.set(d.Settings) || s.untracked != was
	}
	switch {
	case after == wire.Idle || d.Control == statement.ControlCommit || d.Control == statement.ControlRollback:
		// The block has ended, or was followed by another (AND CHAIN).
		changed := false
		if tag == "COMMIT" {
			changed = s.set(s.block)
		}
		s.block = nil
		return changed || s.untracked != was
	case d.Control == statement.ControlRollbackTo && len(s.block) > 0:
		// Which of the block's changes are undone is not followed.
		s.untracked, s.block = true, nil
	default:
		s.block = append(s.block, d.Settings...)
		if len(s.block) > maxSettings {
			s.untracked, s.block = true, nil
		}
	}
	return s.untracked != was
}

// set applies changes that hold beyond their transaction.
func (s *settings) set(changes []statement.Setting) bool {
	changed := false
	for _, c := range changes {
		switch {
		case c.Local:
			continue
		case c.Reset && c.Name == "":
			clear(s.values)
		case c.Reset:
			delete(s.values, c.Name)
		default:
			s.values[c.Name] = c.Value
		}
		if c.Name == "session_authorization" {
			delete(s.values, "role")
		}
		if len(s.values) > maxSettings {
			s.untracked = true
			clear(s.values)
		}
		changed = true
	}
	return changed
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
