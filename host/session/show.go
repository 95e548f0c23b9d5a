package session

import (
	"encoding/binary"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// show is a setting that the node itself answers SHOW of. Every other perihelion.… is a custom setting to PostgreSQL.
type show struct {
	name    string
	columns []string
	// row returns the one row; the caller holds Session.mu.
	row func(*Session) []string
}

var shows = [...]show{
	{"last", lastColumns, (*Session).lastLocked},
	{"version", []string{"perihelion.version"}, func(s *Session) []string { return []string{s.tokenLocked().String()} }},
}

// shown returns what a text asks the node for, nil where that is nothing. What comes through an edge of ours is the
// edge's to answer.
func (s *Session) shown(text []byte) *show {
	name := statement.ReadShow(text)
	if name == nil || s.tunnel || !isASCII(text) {
		return nil
	}
	for i := range shows {
		if strings.EqualFold(shows[i].name, string(name)) {
			return &shows[i]
		}
	}
	return nil
}

// awaitRepliesLocked waits until all that was sent is answered, so that what the node answers itself comes in its place,
// and no end of a transaction takes its portal along. It does not where an answer depends on what the client sends next.
func (s *Session) awaitRepliesLocked() {
	for s.headLocked() != nil && s.mu.status != 0 && !s.mu.copying && !s.mu.skipping && !s.mu.closed && !s.confused.Load() {
		s.mu.room.Wait()
	}
}

// showQuery answers a simple query. It reports false where PostgreSQL has to: it refuses it, or reads something else from
// the client.
func (s *Session) showQuery(sh *show, m []byte) (answered bool, err error) {
	s.mu.Lock()
	if !s.mu.open {
		s.awaitRepliesLocked()
	}
	if obstacles[s.phaseLocked()] != none {
		s.mu.Unlock()
		return false, nil
	}
	out := sh.appendDescription(nil, nil)
	out = appendRow(out, sh.row(s))
	out = appendComplete(out, "SHOW")
	out = append(out, wire.ReadyForQuery, 0, 0, 0, 5, s.mu.status)
	// It ends what a simple query ends; the upstream may still have it.
	s.mu.unnamedKnown, s.mu.staleUnnamed = false, true
	s.mu.stalePortal = s.mu.status != wire.Idle
	behind := s.closeLocked(nil)
	s.mu.Unlock()
	if err := s.tell(out); err != nil {
		return true, err
	}
	s.in.Advance(len(m))
	return true, s.send(behind)
}

func (s *Session) tell(out []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.toClient(out)
}

// instead returns what the upstream gets in place of a Parse of a statement that the node answers; nil for any other
// message. PostgreSQL refuses to prepare a SHOW of what it does not know, but the name has to be taken, so that SQL finds
// the statement where the client thinks it is.
func (s *Session) instead(kind byte, body []byte) []byte {
	if kind != wire.Parse {
		return nil
	}
	m, ok := readParse(body)
	if !ok || len(m.types) != 2 || s.shown(m.text) == nil {
		return nil
	}
	const text = "select 'the node answers this where it is executed by the protocol, not in SQL' as \"perihelion\"\x00"
	b := append([]byte{wire.Parse, 0, 0, 0, 0}, m.name...)
	b = append(b, 0)
	b = append(b, text...)
	b = append(b, 0, 0)
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1))
	return b
}

// shownLocked returns what a message of an extended query asks the node for, and the formats of the columns; nil where
// that is nothing.
func (s *Session) shownLocked(kind byte, body []byte) (sh *show, formats []byte) {
	switch kind {
	case wire.Bind:
		m, ok := readBind(body)
		if !ok {
			return nil, nil
		}
		p := s.statementLocked(m.statement)
		if p == nil || p.show == nil || len(m.rest) < 6 || [4]byte(m.rest[:4]) != [4]byte{} {
			return nil, nil // it takes no parameters: PostgreSQL says so
		}
		sh = p.show
		formats, rest, ok := cutList(m.rest[4:], 2)
		if n := len(formats) / 2; !ok || len(rest) > 0 || n > 1 && n != len(sh.columns) {
			return nil, nil
		}
		return sh, formats
	case wire.Describe:
		d, ok := readDescribe(body)
		switch {
		case !ok:
		case d.kind == 'P':
			if b := s.mu.portals[string(d.name)]; b != nil {
				return b.show, b.formats
			}
		default:
			if p := s.statementLocked(d.name); p != nil {
				return p.show, nil
			}
		}
	case wire.Execute:
		if name, _, ok := readExecute(body); ok {
			if b := s.mu.portals[string(name)]; b != nil {
				return b.show, b.formats
			}
		}
	}
	return nil, nil
}

var flushMsg = []byte{wire.Flush, 0, 0, 0, 4}

// showExtended answers a message of an extended query where it asks the node for something. before is what stands before
// it and has not been sent: it is sent, and answered first. It reports whether before was sent, and whether the message
// needs no other answer.
func (s *Session) showExtended(before []byte, kind byte, body []byte) (sent, answered bool, err error) {
	s.mu.Lock()
	if sh, _ := s.shownLocked(kind, body); sh == nil || s.confused.Load() {
		s.mu.Unlock()
		return false, false, nil
	}
	s.mu.open = true // the Sync has not been sent
	outstanding := s.headLocked() != nil
	s.mu.Unlock()
	if outstanding || len(before) > 0 || len(s.ahead) > 0 {
		if err := s.sendAround(before, flushMsg); err != nil {
			return true, false, err
		}
	}
	s.mu.Lock()
	s.awaitRepliesLocked()
	switch {
	case s.mu.skipping:
		s.mu.Unlock()
		return true, true, nil // PostgreSQL would skip it
	case s.headLocked() != nil || s.mu.status != wire.Idle && s.mu.status != wire.InBlock || s.mu.closed || s.confused.Load():
		s.mu.Unlock()
		return true, false, nil
	}
	sh, formats := s.shownLocked(kind, body)
	if sh == nil {
		s.mu.Unlock()
		return true, false, nil // what ended meanwhile took its portal along
	}
	out := s.showLocked(sh, formats, kind, body)
	s.mu.Unlock()
	return true, true, s.tell(out)
}

// showLocked makes true what a message asks for, and returns the answer.
func (s *Session) showLocked(sh *show, formats []byte, kind byte, body []byte) []byte {
	switch kind {
	case wire.Bind:
		m, _ := readBind(body)
		if s.mu.portals == nil {
			s.mu.portals = map[string]*portal{}
		}
		s.mu.portals[string(m.portal)] = &portal{d: unknown, statement: string(m.statement), show: sh, formats: append([]byte(nil), formats...)}
		return []byte{wire.BindComplete, 0, 0, 0, 4}
	case wire.Describe:
		var out []byte
		if body[0] == 'S' {
			out = append(out, noParameters...)
		}
		return sh.appendDescription(out, formats)
	}
	name, maxRows, _ := readExecute(body)
	b := s.mu.portals[string(name)]
	var out []byte
	if !b.executed {
		b.executed = true
		out = appendRow(out, sh.row(s))
		if maxRows == 1 {
			return append(out, wire.PortalSuspended, 0, 0, 0, 4)
		}
	}
	return appendComplete(out, "SHOW")
}

// textType is the OID of the type text.
const textType = 25

// appendDescription appends the description of the row. formats are those that a Bind asked for.
func (sh *show) appendDescription(dst, formats []byte) []byte {
	begin := len(dst)
	dst = append(dst, wire.RowDescription, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(sh.columns)))
	for i, name := range sh.columns {
		dst = append(dst, name...)
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0) // of no table
		dst = binary.BigEndian.AppendUint32(dst, textType)
		dst = append(dst, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // of any length, unmodified
		format := []byte{0, 0}
		switch len(formats) {
		case 0:
		case 2:
			format = formats
		default:
			format = formats[2*i : 2*i+2]
		}
		dst = append(dst, format...)
	}
	binary.BigEndian.PutUint32(dst[begin+1:], uint32(len(dst)-begin-1))
	return dst
}

// appendRow appends a row of texts, whose form is the same in both formats.
func appendRow(dst []byte, values []string) []byte {
	begin := len(dst)
	dst = append(dst, wire.DataRow, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	binary.BigEndian.PutUint32(dst[begin+1:], uint32(len(dst)-begin-1))
	return dst
}
