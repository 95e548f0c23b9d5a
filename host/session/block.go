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
	// quiet messages are behind it that leave the unnamed statement and portal as a simple query does.
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
	return s.LazyBegin && !s.tunnel && status == wire.Idle && (b.Committed() || s.mu.committed)
}

// promiseSimple keeps the promise of a block that began with a simple query. The messages have its effect on the
// unnamed statement and portal, too: both are gone (PostgreSQL 18, "Extended Query").
func (p *promise) promiseSimple(text []byte) {
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
	p.text = append(p.text[:0], text...)
	p.messages = p.messages[:0]
	for _, m := range messages {
		p.messages = append(p.messages, m...)
	}
}

// keepPromise puts the messages that begin a promised block ahead of what is about to be sent.
func (s *Session) keepPromise(ctx context.Context) {
	s.mu.Lock()
	promised := s.mu.promised
	s.mu.Unlock()
	if !promised {
		return
	}
	var d *statement.Descriptor
	if s.Analysis != nil {
		d = s.Analysis.Describe(ctx, s.who.Database, string(s.promise.text))
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
}

// takesSnapshot is what makes a block one that has run a query: it reads nothing, and leaves no unnamed statement or
// portal.
var takesSnapshot = func() []byte {
	var p promise
	p.promiseSimple([]byte("select where false"))
	return p.messages
}()

// snapshotLocked puts a query ahead of a statement that PostgreSQL refuses behind the first query of a block (SET
// TRANSACTION ISOLATION LEVEL), where memory has answered a query of the block and the upstream has perhaps run none.
// The statement is one that replaces the unnamed statement and portal itself.
func (s *Session) snapshotLocked(text []byte) {
	if !s.mu.answered || !mentionsTransaction(text) {
		return
	}
	s.mu.answered = false
	for all := takesSnapshot; len(all) > 0; {
		kind, size, _, _ := wire.Header(all)
		s.pushLocked(expected{kind: kind, injected: true, begins: true})
		all = all[size:]
	}
	s.ahead = append(s.ahead, takesSnapshot...)
}

// mentionsTransaction reports whether the word stands anywhere in a text, in letters of either case.
func mentionsTransaction(text []byte) bool {
	const word = "transaction"
	for len(text) >= len(word) {
		i := bytes.IndexAny(text, "tT")
		if i < 0 || len(text)-i < len(word) {
			return false
		}
		if bytes.EqualFold(text[i:i+len(word)], []byte(word)) {
			return true
		}
		text = text[i+1:]
	}
	return false
}
