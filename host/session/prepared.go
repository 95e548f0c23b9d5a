package session

import (
	"encoding/binary"

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
	// upstream is set where the upstream has the statement.
	upstream bool
}

func (p *prepared) size() int { return len(p.text) + len(p.part) + len(p.raw) }

// set makes p the statement of a Parse, reusing its memory.
func (p *prepared) set(m parseMessage, raw []byte, upstream bool) {
	p.text = append(p.text[:0], m.text...)
	p.part = m.appendPart(p.part[:0])
	p.raw = append(p.raw[:0], raw...)
	p.upstream = upstream
}

// portal is a bound portal.
type portal struct {
	d    *statement.Descriptor
	fill *fill
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

// spellsMoment reports whether a text parameter of the Bind may spell a moment, whose meaning changes with the clock
// though the text does not. A Bind that does not parse may.
func (m bindMessage) spellsMoment() bool {
	rest := m.rest
	formats, rest, ok := cutList(rest, 2)
	if !ok || len(rest) < 2 {
		return true
	}
	count := int(binary.BigEndian.Uint16(rest))
	rest = rest[2:]
	for i := range count {
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
		format := formats
		switch {
		case len(formats) == 0:
			format = nil
		case len(formats) > 2:
			if len(formats) < 2*(i+1) {
				return true
			}
			format = formats[2*i : 2*i+2]
		}
		if (format == nil || format[1] == 0) && statement.SpellsMoment(value) {
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
