package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/wire"
)

// Answers from memory leave the upstream behind its client: it may lack the block that the client is in, the unnamed
// statement that the client has, or the snapshot that a query of the client has taken; or still have an unnamed statement
// or portal that the client has no more. Whatever is missing is put ahead of the first message that is forwarded after
// them, and only there: anything further back could be skipped after an error of the client's.

// lack is what the upstream lacks for the messages that are about to be forwarded.
type lack struct {
	// snapshot is set where a statement may be refused behind the first query of a block.
	snapshot bool
	// unnamed and portal are set where the unnamed statement or portal is used, or may be left as it is; replaced where the
	// unnamed statement is certain to be replaced.
	unnamed, portal, replaced bool
}

// lead puts ahead of the messages that are about to be forwarded what brings the upstream to where its client is. all is
// nil where they are not looked into. simple says that they are a simple query or a function call.
func (s *Session) lead(ctx context.Context, all []byte, simple bool) {
	kept := s.keepPromise(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.open || s.mu.skipping || s.mu.copying || s.confused.Load() {
		return
	}
	var need lack
	ends := true
	switch {
	case simple:
		need.snapshot = all == nil || s.mu.answered && mentionsTransaction(all)
		need.unnamed = len(all) > 0 && all[0] == wire.FunctionCall && s.mu.status != wire.Idle
	default:
		need, ends = s.lackLocked(all)
	}
	s.mu.open, s.mu.executed = !ends, false
	if need.snapshot && s.mu.answered {
		s.snapshotLocked(kept)
	}
	if !simple && !need.unnamed && !need.replaced && !kept {
		s.settleUnnamedLocked()
	}
	if need.unnamed {
		switch p := s.statementLocked(nil); {
		case p != nil:
			s.resendLocked(p)
		case s.mu.staleUnnamed:
			s.mu.staleUnnamed = false
			s.pushLocked(expected{kind: wire.Close, injected: true})
			s.ahead = append(s.ahead, closeStatement...)
		}
	}
	if need.portal && s.mu.stalePortal {
		s.mu.stalePortal = false
		s.pushLocked(expected{kind: wire.Close, injected: true})
		s.ahead = append(s.ahead, closePortal...)
	}
}

// lackLocked looks for what the upstream must have for the messages of an extended query, and reports whether they end in
// a Sync. Of what comes behind them nothing is known where they do not.
func (s *Session) lackLocked(all []byte) (need lack, ends bool) {
	// replaced is set where the first message, which cannot be skipped, replaces the unnamed statement; bound once
	// the unnamed portal is replaced.
	var replaced, bound bool
	for at := 0; at < len(all); {
		kind, size, _, _ := wire.Header(all[at:])
		body, first := all[at+wire.HeaderSize:at+size], at == 0
		at += size
		ends = kind == wire.Sync
		switch kind {
		case wire.Parse:
			if m, ok := readParse(body); ok && len(m.name) == 0 {
				replaced, need.unnamed = replaced || first, need.unnamed || !first
			}
		case wire.Close:
			switch d, ok := readDescribe(body); {
			case !ok || len(d.name) > 0:
			case d.kind == 'S':
				replaced, need.unnamed = replaced || first, need.unnamed || !first
			default:
				bound = true
			}
		case wire.Bind:
			m, _ := readBind(body)
			if len(m.statement) == 0 {
				need.unnamed = true
			} else if p := s.statementLocked(m.statement); p == nil || p.foreign || mentionsTransaction(p.text) {
				need.snapshot = true
			}
			bound = bound || len(m.portal) == 0
		case wire.Describe:
			if d, ok := readDescribe(body); ok && len(d.name) == 0 {
				need.unnamed, need.portal = need.unnamed || d.kind == 'S', need.portal || d.kind == 'P' && !bound
			}
		case wire.Execute:
			name, _, ok := readExecute(body)
			need.portal = need.portal || ok && len(name) == 0 && !bound
		}
	}
	if !ends {
		need = lack{snapshot: true, unnamed: true, portal: need.portal || !bound}
	}
	// In a block the first chance is the only one: once it has failed, a Parse is refused.
	need.unnamed, need.replaced = (need.unnamed || s.mu.status != wire.Idle) && !replaced, replaced
	need.snapshot = need.snapshot || s.mu.answered && mentionsTransaction(all)
	return need, ends
}

var (
	closeStatement = []byte{wire.Close, 0, 0, 0, 6, 'S', 0}
	closePortal    = []byte{wire.Close, 0, 0, 0, 6, 'P', 0}
)

// takesSnapshot makes a block one that has run a query. It reads nothing, and leaves the unnamed statement and portal
// alone.
var takesSnapshot = func() (b []byte) {
	const name = "perihelion takes a snapshot\x00"
	message := func(kind byte, parts ...string) {
		at := len(b) + 1
		b = append(b, kind, 0, 0, 0, 0)
		for _, part := range parts {
			b = append(b, part...)
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	}
	message(wire.Parse, name, "select where false\x00", "\x00\x00")
	message(wire.Bind, name, name, "\x00\x00", "\x00\x00", "\x00\x00")
	message(wire.Execute, name, "\x00\x00\x00\x00")
	message(wire.Close, "P", name)
	message(wire.Close, "S", name)
	return b
}()

// snapshotLocked puts a query ahead of what PostgreSQL may refuse behind the first query of a block (SET TRANSACTION
// ISOLATION LEVEL), where memory has answered a query of the block and the upstream has perhaps run none. begun says that
// the block begins just before. Where it may have failed already the query ends in a Sync of its own, for then it is
// refused, and nothing of the client's may be skipped for it.
func (s *Session) snapshotLocked(begun bool) {
	if !begun && s.mu.queue.owed() == 0 && s.mu.status != wire.InBlock {
		return
	}
	s.mu.answered = false
	for all := takesSnapshot; len(all) > 0; {
		kind, size, _, _ := wire.Header(all)
		s.pushLocked(expected{kind: kind, injected: true, begins: begun, tolerated: !begun})
		all = all[size:]
	}
	s.ahead = append(s.ahead, takesSnapshot...)
	if !begun {
		s.pushLocked(expected{kind: wire.Sync, injected: true})
		s.ahead = append(s.ahead, wire.Sync, 0, 0, 0, 4)
	}
}

// settleUnnamedLocked puts ahead the Parse of the unnamed statement where memory has answered it, though the messages at
// hand do not use it: what they set, the search_path say, must not change what it means. It has a cycle of its own, so that
// nothing of the client's is skipped should it be refused.
func (s *Session) settleUnnamedLocked() {
	p := s.statementLocked(nil)
	if p == nil || p.upstream || len(p.raw) == 0 || s.mu.status != wire.Idle || s.mu.promised {
		return
	}
	p.upstream, s.mu.staleUnnamed = true, false
	s.pushLocked(expected{kind: wire.Parse, injected: true, behind: p})
	s.pushLocked(expected{kind: wire.Sync, injected: true})
	s.ahead = append(append(s.ahead, p.raw...), bareSync...)
}

// resendLocked puts ahead the Parse of a statement that the upstream has not seen, or has refused.
func (s *Session) resendLocked(p *prepared) {
	if p == nil || p.upstream || len(p.raw) == 0 || s.mu.skipping {
		return
	}
	p.upstream = true
	if p == &s.mu.unnamed {
		s.mu.staleUnnamed = false
	}
	s.pushLocked(expected{kind: wire.Parse, injected: true, resent: p})
	s.ahead = append(s.ahead, p.raw...)
}

// endUnnamedLocked notes a simple query: it ends the unnamed statement and portal (PostgreSQL 18, "Extended Query"), and a
// pipeline without a Sync. After an error in one it is skipped.
func (s *Session) endUnnamedLocked() {
	if s.mu.skipping {
		return
	}
	s.mu.unnamedKnown, s.mu.staleUnnamed, s.mu.stalePortal = false, false, false
	s.mu.open = false
}

// mentionsTransaction reports whether BEGIN or TRANSACTION stands anywhere in a text, in letters of either case: without
// one of them no statement of SQL touches the characteristics of a transaction.
func mentionsTransaction(text []byte) bool {
	return mentions(text, "transaction") || mentions(text, "begin")
}

func mentions(text []byte, word string) bool {
	either := word[:1] + strings.ToUpper(word[:1])
	for len(text) >= len(word) {
		i := bytes.IndexAny(text, either)
		if i < 0 || len(text)-i < len(word) {
			return false
		}
		if strings.EqualFold(string(text[i:i+len(word)]), word) {
			return true
		}
		text = text[i+1:]
	}
	return false
}
