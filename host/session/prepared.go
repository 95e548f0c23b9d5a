package session

import (
	"encoding/binary"
	"slices"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

const (
	// maxPrepared bounds the prepared statements and portals that are followed per session, maxPreparedBytes their texts.
	maxPrepared      = 4096
	maxPreparedBytes = 4 << 20
)

// prepared is a prepared statement as the client knows it.
type prepared struct {
	// text is the statement as the client sent it.
	text []byte
	// part is what the statement contributes to a key: its text without comments, and its parameter types.
	part []byte
	// raw is the whole Parse message, kept only where the upstream has not seen it.
	raw []byte
	// upstream is set where the upstream has the statement, or will have it before anything that is sent from now on.
	upstream bool
	// foreign is set for a statement that SQL prepared: its name is taken, its types are not known, and nothing that is
	// bound to it is answered from memory. At a home, text is what it executes.
	foreign bool
	// show is what the node itself answers the statement with; the upstream has another text under the name then, and the
	// statement is foreign. Nil for any other.
	show *show
	// block is what the statement does to the transaction block.
	block statement.Block
	// counted is what the statement counts in Session.mu.namedBytes.
	counted int
}

// set makes p the statement of a Parse, reusing its memory.
func (p *prepared) set(m parseMessage, raw []byte, upstream bool) {
	p.text = append(p.text[:0], m.text...)
	p.part = m.appendPart(slices.Grow(p.part[:0], len(m.text)+1+len(m.types)))
	p.raw = append(p.raw[:0], raw...)
	p.upstream = upstream
	p.foreign, p.show = false, nil
	p.block = statement.NoBlock
	if len(m.types) == 2 { // without parameter types
		p.block = statement.ReadBlock(m.text)
	}
}

// portal is a bound portal.
type portal struct {
	d    *statement.Descriptor
	fill *fill
	// statement is the name of the statement that it was bound to.
	statement string
	// executed is set behind the first Execute: a portal that is executed again goes on where it was.
	executed bool
	// why is why its result will not be kept; empty where it may be.
	why string
	// show is what the node itself answers it with, in these formats; nil: PostgreSQL has the portal.
	show    *show
	formats []byte
}

// parseMessage is the body of a Parse. Its slices point into the message.
type parseMessage struct{ name, text, types []byte }

func readParse(body []byte) (m parseMessage, ok bool) {
	if m.name, body, ok = wire.CutString(body); !ok {
		return m, false
	}
	if m.text, body, ok = wire.CutString(body); !ok || len(body) < 2 {
		return m, false
	}
	m.types = body
	return m, len(body) == 2+4*int(binary.BigEndian.Uint16(body))
}

// appendPart appends what the statement contributes to a key.
func (m parseMessage) appendPart(dst []byte) []byte {
	dst = statement.StripComments(dst, m.text)
	dst = append(dst, 0)
	return append(dst, m.types...)
}

// bindMessage is the head of a Bind, and all behind it: formats, values and result formats.
type bindMessage struct{ portal, statement, rest []byte }

func readBind(body []byte) (m bindMessage, ok bool) {
	if m.portal, body, ok = wire.CutString(body); !ok {
		return m, false
	}
	m.statement, m.rest, ok = wire.CutString(body)
	return m, ok
}

// plain reports whether the Bind has no parameters, and at most one format for all columns.
func (m bindMessage) plain() bool {
	switch len(m.rest) {
	case 6:
		return [6]byte(m.rest) == [6]byte{}
	case 8:
		return [6]byte(m.rest[:6]) == [6]byte{5: 1}
	}
	return false
}

// describeMessage is the body of a Describe or a Close.
type describeMessage struct {
	kind byte // 'S' for a statement, 'P' for a portal
	name []byte
}

func readDescribe(body []byte) (m describeMessage, ok bool) {
	if len(body) < 2 {
		return m, false
	}
	m.kind = body[0]
	name, rest, ok := wire.CutString(body[1:])
	m.name = name
	return m, ok && len(rest) == 0 && (m.kind == 'S' || m.kind == 'P')
}

// readExecute returns the portal and row limit of an Execute.
func readExecute(body []byte) (name []byte, maxRows uint32, ok bool) {
	name, rest, ok := wire.CutString(body)
	if !ok || len(rest) != 4 {
		return nil, 0, false
	}
	return name, binary.BigEndian.Uint32(rest), true
}

// spellsMoment reports whether a parameter of the Bind may spell a moment, whose meaning changes with the clock though the text
// does not. In the binary format a text is the same bytes, and nothing here tells its type. A Bind that does not parse may.
func (m bindMessage) spellsMoment() bool {
	rest := m.rest
	_, rest, ok := cutList(rest, 2)
	if !ok || len(rest) < 2 {
		return true
	}
	count := int(binary.BigEndian.Uint16(rest))
	rest = rest[2:]
	for range count {
		if len(rest) < 4 {
			return true
		}
		n := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if n < 0 {
			continue
		}
		if int(n) > len(rest) {
			return true
		}
		value := rest[:n]
		rest = rest[n:]
		if statement.SpellsMoment(value) {
			return true
		}
	}
	return false
}

// cutList cuts a 16-bit count and that many elements of the given size.
func cutList(body []byte, size int) (list, rest []byte, ok bool) {
	if len(body) < 2 {
		return nil, body, false
	}
	n := size * int(binary.BigEndian.Uint16(body))
	if len(body) < 2+n {
		return nil, body, false
	}
	return body[2 : 2+n], body[2+n:], true
}

// statementLocked returns what is known of a prepared statement, or nil.
func (s *Session) statementLocked(name []byte) *prepared {
	if len(name) == 0 {
		if !s.mu.unnamedKnown {
			return nil
		}
		return &s.mu.unnamed
	}
	return s.mu.named[string(name)]
}

// roomLocked reports whether one more statement can be followed.
func (s *Session) roomLocked(m parseMessage) bool {
	return len(s.mu.named) < maxPrepared && s.mu.namedBytes+2*(len(m.text)+len(m.types)) < maxPreparedBytes
}

// setNamedLocked makes p the statement of a name; nil: the name is free.
func (s *Session) setNamedLocked(name string, p *prepared) {
	if old := s.mu.named[name]; old != nil {
		s.mu.namedBytes -= old.counted
	}
	if p == nil {
		delete(s.mu.named, name)
		return
	}
	if s.mu.named == nil {
		s.mu.named = map[string]*prepared{}
	}
	p.counted = len(p.text) + len(p.part) + len(p.raw)
	s.mu.namedBytes += p.counted
	s.mu.named[name] = p
}

// foreignLocked notes that a name is taken by a statement that cannot be answered from memory.
func (s *Session) foreignLocked(name, text string) {
	if name == "" {
		s.mu.unnamedKnown = false
		return
	}
	if len(s.mu.named) >= maxPrepared || s.mu.namedBytes+len(text) >= maxPreparedBytes {
		s.setNamedLocked(name, nil)
		s.mu.namesKnown = false
		return
	}
	s.setNamedLocked(name, &prepared{foreign: true, upstream: true, text: []byte(text)})
}

// forgetLocked drops what is known of a prepared statement.
func (s *Session) forgetLocked(name string) {
	if name == "" {
		s.mu.unnamedKnown = false
		return
	}
	s.setNamedLocked(name, nil)
}

// replacedLocked returns the statement whose name a message is about to take, to be restored should the backend skip or
// refuse the message; nil: the name is free. The unnamed one is only kept where the message may be skipped: a Parse
// ends it even where it is refused.
func (s *Session) replacedLocked(name string) *prepared {
	if name != "" {
		return s.mu.named[name]
	}
	if !s.mu.unnamedKnown || !s.mu.queue.mayBeSkipped() {
		return nil
	}
	old := s.mu.unnamed
	s.mu.unnamed = prepared{}
	return &old
}

// restoreLocked makes old what a name stands for again; nil: the name is free.
func (s *Session) restoreLocked(name string, old *prepared) {
	switch {
	case old == nil:
		s.forgetLocked(name)
	case name == "":
		s.mu.unnamed, s.mu.unnamedKnown = *old, true
	default:
		s.setNamedLocked(name, old)
	}
}

// doubtNamesLocked is called when SQL has changed which statement a name stands for: what was bound to a name and is
// still to be answered may be another statement than was thought when it was sent.
func (s *Session) doubtNamesLocked() {
	s.mu.state.serial++ // nothing that is in flight is kept
	for i := range s.mu.queue.items[s.mu.queue.head:] {
		if e := &s.mu.queue.items[s.mu.queue.head+i]; e.kind == wire.Execute && e.portal != nil && e.portal.statement != "" {
			e.d = unknown
		}
	}
	for _, b := range s.mu.portals {
		if b.statement != "" {
			b.d, b.fill = unknown, nil
		}
	}
}

// doubtSkippedLocked is called when messages that change what the given names stand for were skipped: what is still to
// be answered and was bound to one of them runs another statement than was thought when it was sent.
func (s *Session) doubtSkippedLocked(names map[string]*prepared) {
	s.mu.state.serial++ // nothing that is in flight is kept
	for i := range s.mu.queue.items[s.mu.queue.head:] {
		e := &s.mu.queue.items[s.mu.queue.head+i]
		switch {
		case e.names():
			delete(names, e.name) // from here on it stands for what was thought
		case e.portal == nil:
		case e.kind == wire.Bind:
			if _, doubted := names[e.portal.statement]; doubted {
				e.portal.d, e.portal.fill = unknown, nil
				if s.home != nil {
					s.home.inFlight.Anything = true
				}
			}
		case e.portal.d == unknown:
			e.d = unknown
		}
	}
}

// forgetAllLocked drops what is known of all prepared statements. none says that no named one is left.
func (s *Session) forgetAllLocked(none bool) {
	s.doubtNamesLocked()
	for name, p := range s.mu.named {
		if none || p.show == nil {
			s.setNamedLocked(name, nil) // what the node shows it shows under any name, as far as the client knows
		}
	}
	s.mu.namesKnown = none
	if s.mu.unnamed.upstream && !none {
		s.mu.unnamedKnown = false
	}
}
