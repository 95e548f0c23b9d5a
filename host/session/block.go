package session

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// promise is a block that the client was told has begun, and of which the upstream knows nothing yet: lazy BEGIN.
// It is kept in the block's first statement's place: sent just before the first message that has to go upstream, or
// never. Owned by the client's loop.
type promise struct {
	// messages begin the block as the client did: a Bind and an Execute, with their Parse where the upstream has not seen
	// it. They end in no Sync, so that an error skips what follows instead of running it outside a block.
	messages []byte
	// text is the statement, for the home's analysis.
	text []byte
	// simple is set where the block began with a simple query: the messages leave no unnamed statement or portal.
	simple bool
}

// maxPromise bounds the messages that are kept for later, in bytes.
const maxPromise = 4 << 10

// makesBlockLocked reports whether a statement that begins or ends a block is answered from memory. The block is the
// client's as it is planned: promised says that the upstream knows nothing of it.
func (s *Session) makesBlockLocked(b statement.Block, status byte, promised bool) bool {
	if b.Ends() {
		return promised
	}
	// An edge of ours has promised its client before it asks here: nothing is gained by a second promise.
	return s.LazyBegin && !s.tunnel && !s.eventualOnly && status == wire.Idle && (b.Committed() || s.mu.committed)
}

// promiseSimple keeps the promise of a block that began with a simple query. The messages have its effect on the
// unnamed statement and portal, too: both are gone (PostgreSQL 18, "Extended Query").
func (p *promise) promiseSimple(text []byte) {
	p.simple = true
	p.text = append(p.text[:0], text...)
	b := p.messages[:0]
	b = append(b, wire.Parse)
	b = binary.BigEndian.AppendUint32(b, uint32(4+1+len(text)+1+2))
	b = append(b, 0)
	b = append(b, text...)
	b = append(b, 0, 0, 0)
	b = append(b, wire.Bind, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, wire.Execute, 0, 0, 0, 9, 0, 0, 0, 0, 0)
	b = append(b, wire.Close, 0, 0, 0, 6, 'P', 0)
	p.messages = append(b, wire.Close, 0, 0, 0, 6, 'S', 0)
}

// promiseExtended keeps the promise of a block that began with the given messages of the client.
func (p *promise) promiseExtended(text []byte, messages ...[]byte) {
	p.simple = false
	p.text = append(p.text[:0], text...)
	p.messages = p.messages[:0]
	for _, m := range messages {
		p.messages = append(p.messages, m...)
	}
}

// keepPromise puts the messages that begin a promised block ahead of what is about to be sent. It reports whether there
// was such a block.
func (s *Session) keepPromise(ctx context.Context) bool {
	s.mu.Lock()
	promised := s.mu.promised
	s.mu.Unlock()
	if !promised {
		return false
	}
	var d *statement.Descriptor
	if s.Analysis != nil {
		d = s.Analysis.Describe(ctx, s.who.Database, "", string(s.promise.text))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.promised = false
	for all := s.promise.messages; len(all) > 0; {
		kind, size, _, _ := wire.Header(all)
		e := expected{kind: kind, injected: true, begins: true}
		if kind == wire.Execute {
			e.d = d
		}
		s.pushLocked(e)
		all = all[size:]
	}
	s.ahead = append(s.ahead, s.promise.messages...)
	if s.promise.simple {
		s.mu.staleUnnamed, s.mu.stalePortal = false, false
	}
	if p := &s.mu.unnamed; s.mu.unnamedKnown && len(p.raw) > 0 && bytes.HasPrefix(s.promise.messages, p.raw) {
		p.upstream = true // it is the statement that begins the block
	}
	return true
}
