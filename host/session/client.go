package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// fromClient frames what the client sends until it leaves. An extended query is held back until its Sync, so that it
// can be answered whole; the backend owes nothing before a Sync or Flush (PostgreSQL 18, "Extended Query").
func (s *Session) fromClient(ctx context.Context) error {
	for {
		window := s.in.Window()
		kind, size, ok, err := wire.Header(window[s.held:])
		if err != nil {
			s.fatal(&wire.Error{Code: wire.CodeProtocolViolation, Message: "invalid message length", Detail: err.Error()})
			return fmt.Errorf("read from client: %w", err)
		}
		switch {
		case ok && len(window)-s.held >= size:
			err = s.message(ctx, kind, window[s.held:s.held+size])
		case ok && (s.held > 0 && s.held+size > maxHeld):
			// What is held and this message together are too much to hold: what is held goes first.
			err = s.forwardHeld(ctx)
		case ok && (size > clientWindow || kind == wire.CopyData && size > maxHeld):
			err = s.stream(ctx, kind, size)
		default:
			err = s.in.More()
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, errDone) {
				return errDone
			}
			return fmt.Errorf("read from client: %w", err)
		}
	}
}

// message handles one whole message, which stands in the window behind what is held.
func (s *Session) message(ctx context.Context, kind byte, m []byte) error {
	switch kind {
	case wire.Parse, wire.Bind, wire.Describe, wire.Execute, wire.Close:
		s.held += len(m)
		if s.held > maxHeld || s.confused.Load() {
			return s.forwardHeld(ctx)
		}
		return nil
	case wire.Sync:
		s.held += len(m)
		return s.segment(ctx)
	case wire.Flush:
		s.held += len(m)
		return s.forwardHeld(ctx)
	}
	if s.held > 0 {
		return s.forwardHeld(ctx) // the message comes again
	}
	switch kind {
	case wire.Query:
		return s.query(ctx, m)
	case wire.Terminate:
		if err := s.send(m); err != nil {
			return err
		}
		return errDone
	}
	s.control(kind)
	return s.sendAndAdvance(m)
}

// control notes a message that is neither a query nor part of an extended one.
func (s *Session) control(kind byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind {
	case wire.CopyData, wire.Password:
	case wire.CopyDone, wire.CopyFail:
		if s.mu.copying {
			s.mu.copying = false
			return
		}
		s.pushLocked(expected{kind: copyEnd})
	case wire.FunctionCall:
		s.pushLocked(expected{kind: kind, d: unknown, sent: invalidation.Now()})
	default:
		s.confuse("unexpected message from the client")
	}
}

// unknown describes a statement of which nothing is known.
var unknown = &statement.Descriptor{Verdict: statement.Opaque, Reason: "not analysed", Writes: statement.Closure{Anything: true}, Untracked: true, Many: true}

// confuse gives up following the replies: from now on bytes pass and nothing is answered from memory or kept.
func (s *Session) confuse(why string) {
	if !s.confused.Swap(true) {
		s.log.Warn("session is no longer followed: its statements pass, none is answered from memory", "reason", why)
	}
}

// pushLocked queues an expected reply, and waits for room.
func (s *Session) pushLocked(e expected) {
	for s.mu.queue.len() >= maxQueue && !s.mu.closed {
		s.mu.room.Wait()
	}
	if s.confused.Load() {
		return
	}
	if s.mu.skipping && e.kind != wire.Sync {
		return // the backend skips it as well
	}
	if s.mu.copying && !e.injected {
		// Only Sync and Flush are ignored while the backend reads copy data; all else ends copying with an error.
		if e.kind != wire.Sync {
			s.confuse("message while copying in")
		}
		return
	}
	if e.kind == wire.Sync {
		s.mu.skipping = false
	}
	s.mu.queue.push(e)
	if s.home != nil {
		s.home.sentLocked(e)
	}
}

// query handles a simple query.
func (s *Session) query(ctx context.Context, m []byte) error {
	body := m[wire.HeaderSize:]
	text, rest, ok := wire.CutString(body)
	if !ok || len(rest) != 0 {
		s.confuse("malformed query")
		return s.sendAndAdvance(m)
	}
	now := invalidation.Now()
	s.mu.Lock()
	s.mu.unnamedKnown = false // a simple query ends the unnamed statement
	reads := s.mu.state.reads(text)
	if reads && s.obstacleLocked(now) == none {
		s.key = appendQueryKey(s.key[:0], &s.mu.state.prefix, text)
		if e := s.Cache.Get(s.Cache.Hash(s.key), s.key, now); e != nil {
			s.mu.Unlock()
			s.plan = append(s.plan[:0], step{kind: wire.Query, entry: e})
			err := s.answer(now)
			s.in.Advance(len(m))
			return err
		}
	}
	s.mu.Unlock()

	e := expected{kind: wire.Query, sent: now}
	f := &fill{}
	if s.Analysis != nil {
		s.judge(ctx, f, string(text), reads)
		e.d = f.d
	}
	s.mu.Lock()
	if reads && s.fillableLocked(f) {
		f.key = appendQueryKey(nil, &s.mu.state.prefix, text)
		f.serial = s.mu.state.serial
		e.fill = f
	}
	s.pushLocked(e)
	s.mu.Unlock()
	return s.sendAndAdvance(m)
}

// judge completes a fill with what the home knows of its statement: stamped first, so that whatever changes while
// the statement is looked at lies behind the stamp (R1). It runs policies, for at most their deadline, where the
// statement has no decision yet.
func (s *Session) judge(ctx context.Context, f *fill, text string, reads bool) {
	f.stamp = s.Journal.Stamp()
	if !reads {
		f.d = unknown
		return
	}
	f.d = s.Analysis.Describe(ctx, s.who.Database, text)
	if f.d.Verdict == statement.Read && !f.d.Many {
		f.decision = s.Analysis.Decide(ctx, s.who, f.d)
	}
}

// fillableLocked reports whether the result of a statement may be kept as far as is known before it is sent.
func (s *Session) fillableLocked(f *fill) bool {
	if s.mu.state.private || s.confused.Load() {
		return false
	}
	return s.Analysis == nil || f.decision.Cache
}

// segment handles a held extended query that is whole: all up to its Sync.
func (s *Session) segment(ctx context.Context) error {
	m := s.in.Window()[:s.held]
	now := invalidation.Now()
	s.mu.Lock()
	hit := s.obstacleLocked(now) == none && s.planLocked(m, now)
	s.mu.Unlock()
	if !hit {
		return s.forwardHeld(ctx)
	}
	err := s.answer(now)
	s.in.Advance(s.held)
	s.held = 0
	return err
}

// forwardHeld sends what is held upstream.
func (s *Session) forwardHeld(ctx context.Context) error {
	all := s.in.Window()[:s.held]
	sent := 0 // all before it is sent
	for at := 0; at < len(all); {
		kind, size, _, _ := wire.Header(all[at:])
		m := all[at : at+size]
		if missing := s.extended(ctx, kind, m); missing != nil {
			// The backend does not know the unnamed statement: its Parse was answered from memory.
			if err := s.send(all[sent:at]); err != nil {
				return err
			}
			if err := s.send(missing); err != nil {
				return err
			}
			sent = at
		}
		at += size
	}
	s.held = 0
	if err := s.send(all[sent:]); err != nil {
		return err
	}
	s.in.Advance(len(all))
	return nil
}

// extended queues the reply to one message of an extended query. Where the upstream must get a Parse before it, that
// is returned.
func (s *Session) extended(ctx context.Context, kind byte, m []byte) (missing []byte) {
	body := m[wire.HeaderSize:]
	switch kind {
	case wire.Parse:
		s.parse(body)
	case wire.Bind:
		return s.bind(ctx, body, true)
	case wire.Describe:
		d, ok := readDescribe(body)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok {
			s.confuse("malformed message")
			return nil
		}
		if d.kind == 'S' {
			missing = s.injectLocked(d.name)
			s.pushLocked(expected{kind: kind, ofStatement: true})
			return missing
		}
		s.pushLocked(expected{kind: kind, fill: s.mu.portals[string(d.name)].fill})
	case wire.Execute:
		s.execute(body)
	case wire.Close:
		d, ok := readDescribe(body)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok {
			s.confuse("malformed message")
			return nil
		}
		if d.kind == 'S' {
			s.forgetLocked(string(d.name))
		} else {
			delete(s.mu.portals, string(d.name))
		}
		s.pushLocked(expected{kind: kind})
	case wire.Sync:
		s.mu.Lock()
		s.pushLocked(expected{kind: kind, sent: invalidation.Now()})
		s.mu.Unlock()
	case wire.Flush:
	}
	return nil
}

func (s *Session) parse(body []byte) {
	m, ok := readParse(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.confuse("malformed message")
		return
	}
	name := string(m.name)
	s.forgetLocked(name)
	switch {
	case name == "":
		s.mu.unnamed.set(m, nil, true)
		s.mu.unnamedKnown = true
	case len(s.mu.named) < maxPrepared && s.mu.namedBytes < maxPreparedBytes:
		p := &prepared{}
		p.set(m, nil, true)
		s.mu.named[name] = p
		s.mu.namedBytes += p.size()
	}
	s.pushLocked(expected{kind: wire.Parse, name: name})
}

// forgetLocked drops what is known of a prepared statement.
func (s *Session) forgetLocked(name string) {
	if name == "" {
		s.mu.unnamedKnown = false
		return
	}
	if p := s.mu.named[name]; p != nil {
		s.mu.namedBytes -= p.size()
		delete(s.mu.named, name)
	}
}

// forgetAllLocked drops what is known of all prepared statements and portals.
func (s *Session) forgetAllLocked() {
	clear(s.mu.named)
	clear(s.mu.portals)
	s.mu.namedBytes = 0
	if s.mu.unnamed.upstream {
		s.mu.unnamedKnown = false
	}
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

// injectLocked returns the Parse that the upstream must get before a message that names the statement; nil: none.
func (s *Session) injectLocked(name []byte) []byte {
	if len(name) > 0 || !s.mu.unnamedKnown || s.mu.unnamed.upstream {
		return nil
	}
	s.mu.unnamed.upstream = true
	s.pushLocked(expected{kind: wire.Parse, injected: true})
	return s.mu.unnamed.raw
}

func (s *Session) bind(ctx context.Context, body []byte, whole bool) (missing []byte) {
	m, ok := readBind(body)
	if !ok {
		s.confuse("malformed message")
		return nil
	}
	f := &fill{d: unknown}
	s.mu.Lock()
	missing = s.injectLocked(m.statement)
	p := s.statementLocked(m.statement)
	var text string
	reads := false
	if p != nil {
		reads = s.mu.state.reads(p.text)
		if s.Analysis != nil {
			text = string(p.text)
		}
	}
	s.mu.Unlock()
	if p != nil && s.Analysis != nil {
		s.judge(ctx, f, text, reads)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := portal{d: f.d}
	// The upstream's loop may have dropped the statement meanwhile, after an error: then nothing is kept.
	p = s.statementLocked(m.statement)
	if whole && p != nil && reads && s.fillableLocked(f) && (s.Analysis == nil || !m.spellsMoment()) {
		f.key = appendBindKey(nil, &s.mu.state.prefix, p.part, m.rest)
		f.serial = s.mu.state.serial
		b.fill = f
	}
	if len(s.mu.portals) < maxPrepared || len(m.portal) == 0 {
		s.mu.portals[string(m.portal)] = b
	} else {
		delete(s.mu.portals, string(m.portal))
	}
	s.pushLocked(expected{kind: wire.Bind})
	return missing
}

func (s *Session) execute(body []byte) {
	name, maxRows, ok := readExecute(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.confuse("malformed message")
		return
	}
	b, known := s.mu.portals[string(name)]
	e := expected{kind: wire.Execute, d: unknown}
	if known {
		e.d = b.d
		if maxRows == 0 {
			e.fill = b.fill
		}
		// A portal that is executed again goes on where it was: that is no whole result.
		b.fill = nil
		s.mu.portals[string(name)] = b
	}
	s.pushLocked(e)
}

// stream passes on a message that is larger than what is looked into. Its head is in the window.
func (s *Session) stream(ctx context.Context, kind byte, size int) error {
	body := s.in.Window()[wire.HeaderSize:]
	switch kind {
	case wire.Query, wire.FunctionCall:
		s.mu.Lock()
		s.pushLocked(expected{kind: kind, d: unknown, sent: invalidation.Now()})
		s.mu.Unlock()
	case wire.Parse:
		name, _, ok := wire.CutString(body)
		s.mu.Lock()
		if ok {
			s.forgetLocked(string(name))
			s.pushLocked(expected{kind: kind, name: string(name)})
		} else {
			s.confuse("malformed message")
		}
		s.mu.Unlock()
	case wire.Bind:
		if err := s.send(s.bind(ctx, body, false)); err != nil {
			return err
		}
	case wire.CopyData, wire.Password:
	default:
		s.confuse("oversized message")
	}
	for {
		window := s.in.Window()
		n := min(len(window), size)
		if err := s.send(window[:n]); err != nil {
			return err
		}
		s.in.Advance(n)
		if size -= n; size == 0 {
			return nil
		}
		if err := s.in.More(); err != nil {
			return err
		}
	}
}

// send writes to the upstream.
func (s *Session) send(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := s.upstream.Write(b); err != nil {
		// The upstream's loop knows better why, and passes on what the backend said last.
		s.await(time.Second)
		return fmt.Errorf("write to upstream: %w", err)
	}
	return nil
}

// await gives the upstream's loop time to pass on the last words of a backend that has closed.
func (s *Session) await(d time.Duration) {
	timer := time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.closed = true
		s.mu.room.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.mu.closed {
		s.mu.room.Wait()
	}
}

// sendAndAdvance sends a message that stands at the start of the window, and drops it.
func (s *Session) sendAndAdvance(m []byte) error {
	if err := s.send(m); err != nil {
		return err
	}
	s.in.Advance(len(m))
	return nil
}
