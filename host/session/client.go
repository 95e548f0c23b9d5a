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
			return s.unframed(err)
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
			if len(window) == 0 {
				s.shed()
			}
			err = s.in.More()
		}
		if err != nil {
			return readFailed(err)
		}
	}
}

// unframed tells the client that its bytes are no messages.
func (s *Session) unframed(err error) error {
	s.fatal(&wire.Error{Code: wire.CodeProtocolViolation, Message: "invalid message length", Detail: err.Error()})
	return readFailed(err)
}

func readFailed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errDone) {
		return errDone
	}
	return fmt.Errorf("read from client: %w", err)
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
	s.awaitRoom()
	if kind == wire.FunctionCall {
		s.lead(ctx, m, true)
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

// awaitRoom waits until there is room for the replies to one more message. Nothing may be concluded from what the session
// was in before: meanwhile the upstream may have refused what stands before the message.
func (s *Session) awaitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.queue.len() >= maxQueue-spareQueue && !s.mu.closed {
		s.mu.room.Wait()
	}
}

// pushLocked queues an expected reply. Whoever pushes for a message of the client's has called awaitRoom before.
func (s *Session) pushLocked(e expected) {
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
		s.mu.open = s.mu.open && e.injected
	}
	s.mu.queue.push(e)
	if s.home != nil {
		s.mu.unsettled = s.mu.unsettled || e.unsettles()
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
	for again := false; ; again = true {
		now := invalidation.Now()
		s.mu.Lock()
		s.missed = false
		reads := s.mu.state.reads(text)
		if reads && s.mayLocked(now) && s.planQueryLocked(text, now) {
			behind := s.closeLocked(nil)
			s.mu.Unlock()
			err := s.answer(now)
			s.in.Advance(len(m))
			if err != nil {
				return err
			}
			if behind != nil {
				return s.send(behind)
			}
			return s.keepAlive(now)
		}
		follows := !again && s.missedLocked()
		s.mu.Unlock()
		if !follows || !s.coalesces() {
			return s.forwardQuery(ctx, m, text, reads, now)
		}
	}
}

// forwardQuery sends a simple query upstream, but for what the node itself is asked.
func (s *Session) forwardQuery(ctx context.Context, m, text []byte, reads bool, now invalidation.Instant) error {
	if sh := s.shown(text); sh != nil {
		if answered, err := s.showQuery(sh, m); answered || err != nil {
			return err
		}
	}

	s.awaitRoom()
	s.lead(ctx, m, true)
	e := expected{kind: wire.Query, sent: now}
	f := &fill{d: unknown, asked: now}
	if s.Analysis != nil {
		s.judge(ctx, f, string(text), reads)
		e.d = f.d
	}
	s.mu.Lock()
	s.endUnnamedLocked()
	e.why = s.unfitLocked(f, reads)
	if reads && s.fillableLocked(f) {
		f.key = appendQueryKey(nil, &s.mu.state.prefix, text)
		f.serial = s.mu.state.serial
		e.fill = f
		s.leadLocked(f.key)
	}
	s.pushLocked(e)
	s.mu.Unlock()
	return s.sendAndAdvance(m)
}

// planQueryLocked finds the answer to a simple query in memory, and makes true what it answers.
func (s *Session) planQueryLocked(text []byte, now invalidation.Instant) bool {
	p := &s.plan
	one := step{kind: wire.Query, block: statement.ReadBlock(text)}
	status, promised := s.mu.status, s.mu.promised
	if one.block == statement.NoBlock {
		s.key = appendQueryKey(s.key[:0], &s.mu.state.prefix, text)
		if one.entry, s.took = s.Cache.Find(s.Cache.Hash(s.key), s.key, now); one.entry == nil {
			s.missed = !s.eventualOnly
			return false
		}
		if s.eventualOnly && !one.entry.Eventual {
			return false
		}
		s.mu.last.entry = one.entry
	} else {
		if len(text) > maxPromise/2 || !s.makesBlockLocked(one.block, status, promised) {
			return false
		}
		if promised = one.block.Begins(); promised {
			status = wire.InBlock
			s.promise.promiseSimple(text)
		} else {
			status = wire.Idle
		}
		s.mu.last = last{outcome: inMemory}
	}
	p.steps, p.status = append(p.steps[:0], one), status
	s.mu.status, s.mu.promised = status, promised
	s.mu.answered = status != wire.Idle && (one.entry != nil || s.mu.answered && !one.block.Begins())
	// A simple query ends the unnamed statement and the unnamed portal; the upstream may still have them.
	s.mu.unnamedKnown, s.mu.staleUnnamed = false, true
	s.mu.stalePortal = status != wire.Idle
	return true
}

// closeLocked ends what the upstream has begun of an extended query, where the client has been answered from memory and
// believes it ended: nothing of it was executed, but it holds locks. It returns what is to be sent behind the answer.
func (s *Session) closeLocked(behind []byte) []byte {
	if !s.mu.open {
		return behind
	}
	s.mu.open = false
	if behind != nil {
		return behind // it ends in a Sync
	}
	s.pushLocked(expected{kind: wire.Sync, injected: true})
	return bareSync
}

var bareSync = []byte{wire.Sync, 0, 0, 0, 4}

// keepAlive sends a bare Sync where the session has lived on answers from memory for a while, so that neither the
// backend nor anything on the way takes it for idle. Its answer is swallowed.
func (s *Session) keepAlive(now invalidation.Instant) error {
	if s.KeepAlive <= 0 || now < s.sentLast.Add(s.KeepAlive) {
		return nil
	}
	s.sentLast = now
	s.mu.Lock()
	busy := s.mu.queue.len() > 0 || s.mu.orphaned || s.confused.Load()
	if !busy {
		s.pushLocked(expected{kind: wire.Sync, injected: true})
	}
	s.mu.Unlock()
	if busy {
		return nil
	}
	return s.send(bareSync)
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
	f.d = s.Analysis.Describe(ctx, s.who.Database, s.searchPath(), text)
	if f.d.Executes != "" {
		f.d = s.resolve(ctx, f.d)
	}
	if (f.d.Verdict == statement.Read || f.d.Verdict == statement.Unstable) && !f.d.Many && f.d.Executes == "" {
		f.decision = s.Analysis.Decide(ctx, s.who, f.d)
	}
}

// searchPath returns the search_path that a message sent now will be read with, "" where that is not certain.
func (s *Session) searchPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.unsettled || s.confused.Load() {
		return ""
	}
	return s.mu.state.path
}

// resolve returns what an EXECUTE does, where the statement that it executes is known: what that one changes. Its result
// is not kept all the same.
func (s *Session) resolve(ctx context.Context, d *statement.Descriptor) *statement.Descriptor {
	s.mu.Lock()
	p := s.mu.named[d.Executes]
	ok := p != nil && len(p.text) > 0 && s.mu.queue.len() == 0 && s.mu.state.reads(p.text)
	text := ""
	if ok {
		text = string(p.text)
	}
	s.mu.Unlock()
	if !ok {
		return d
	}
	of := s.Analysis.Describe(ctx, s.who.Database, s.searchPath(), text)
	if of.Many || of.Executes != "" {
		return d
	}
	resolved := *of
	resolved.Command, resolved.Parameters, resolved.Executes = d.Command, d.Parameters, d.Executes
	if of.Verdict == statement.Read {
		// The text of an EXECUTE does not tell what it executes, so no key can be made of it.
		resolved.Verdict, resolved.Reason = statement.Unstable, "executes a prepared statement by its name in SQL"
	}
	return &resolved
}

// fillableLocked reports whether the result of a statement may be kept as far as is known before it is sent.
func (s *Session) fillableLocked(f *fill) bool {
	if s.mu.state.private || s.mu.level == statement.Off || s.confused.Load() {
		return false
	}
	return s.Analysis == nil || f.decision.Cache
}

// segment handles a held extended query that is whole: all up to its Sync.
func (s *Session) segment(ctx context.Context) error {
	m := s.in.Window()[:s.held]
	var now invalidation.Instant
	var behind []byte
	for again := false; ; again = true {
		now = invalidation.Now()
		s.mu.Lock()
		s.missed = false
		hit := s.mayLocked(now) && s.planLocked(m, now)
		if hit {
			behind = s.closeLocked(s.adoptLocked())
		}
		follows := !hit && !again && s.missedLocked()
		s.mu.Unlock()
		if hit {
			break
		}
		if !follows || !s.coalesces() {
			return s.forwardHeld(ctx)
		}
	}
	err := s.answer(now)
	s.in.Advance(s.held)
	s.held = 0
	if err != nil {
		return err
	}
	if behind != nil {
		return s.send(behind)
	}
	return s.keepAlive(now)
}

// forwardHeld sends what is held upstream.
func (s *Session) forwardHeld(ctx context.Context) error {
	all := s.in.Window()[:s.held]
	s.awaitRoom()
	s.lead(ctx, all, false)
	sent := 0 // all before it is sent
	for at := 0; at < len(all); {
		kind, size, _, _ := wire.Header(all[at:])
		m := all[at : at+size]
		switch done, answered, err := s.showExtended(all[sent:at], kind, m[wire.HeaderSize:]); {
		case err != nil:
			return err
		case answered:
			at += size
			sent = at
			continue
		case done:
			sent = at
		}
		s.extended(ctx, kind, m)
		behind := at
		if other := s.instead(kind, m[wire.HeaderSize:]); other != nil {
			s.ahead = append(s.ahead, other...)
			behind += size
		}
		if len(s.ahead) > 0 {
			// The backend must get something of ours before this message, or instead of it.
			if err := s.sendAround(all[sent:at], nil); err != nil {
				return err
			}
			sent = behind
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

// extended queues the reply to one message of an extended query. What the upstream must get before it is put ahead.
func (s *Session) extended(ctx context.Context, kind byte, m []byte) {
	s.awaitRoom()
	body := m[wire.HeaderSize:]
	switch kind {
	case wire.Parse:
		s.parse(body)
	case wire.Bind:
		s.bind(ctx, body, true)
	case wire.Describe:
		s.describe(ctx, body)
	case wire.Execute:
		s.execute(body)
	case wire.Close:
		s.close(body)
	case wire.Sync:
		s.mu.Lock()
		s.pushLocked(expected{kind: kind, sent: invalidation.Now()})
		s.mu.Unlock()
	case wire.Flush:
	}
}

func (s *Session) parse(body []byte) {
	m, ok := readParse(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !ok:
		s.confuse("malformed message")
		return
	case s.mu.skipping:
		return // the backend skips it as well
	}
	e := expected{kind: wire.Parse, name: string(m.name), old: s.replacedLocked(string(m.name))}
	switch {
	case e.name == "":
		s.mu.unnamed.set(m, nil, true)
		s.mu.unnamedKnown, s.mu.staleUnnamed = true, false
	case s.roomLocked(m):
		p := &prepared{}
		p.set(m, nil, true)
		s.setNamedLocked(e.name, p)
	default:
		s.setNamedLocked(e.name, nil)
		s.mu.namesKnown = false
	}
	if p := s.statementLocked(m.name); p != nil && len(m.types) == 2 {
		p.show = s.shown(p.text)
		p.foreign = p.show != nil
	}
	s.pushLocked(e)
}

func (s *Session) bind(ctx context.Context, body []byte, whole bool) {
	m, ok := readBind(body)
	if !ok {
		s.confuse("malformed message")
		return
	}
	f := &fill{d: unknown, asked: invalidation.Now()}
	s.mu.Lock()
	p := s.statementLocked(m.statement)
	s.resendLocked(p)
	var text string
	reads := false
	if p != nil {
		reads = s.mu.state.reads(p.text)
		if s.Analysis != nil {
			text = string(p.text)
		}
	}
	s.mu.Unlock()
	if text != "" {
		s.judge(ctx, f, text, reads)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &portal{d: f.d, statement: string(m.statement)}
	e := expected{kind: wire.Bind, portal: b}
	// The upstream's loop may have dropped the statement meanwhile, after an error: then nothing is kept.
	p = s.statementLocked(m.statement)
	b.why = s.unfitLocked(f, reads)
	if s.Analysis != nil && b.why == "" && m.spellsMoment() {
		b.why = "is given a text that may spell a moment of the clock, like 'now'"
	}
	if whole && p != nil && !p.foreign && reads && b.why == "" && s.fillableLocked(f) {
		f.key = appendBindKey(nil, &s.mu.state.prefix, p.part, m.rest)
		f.serial = s.mu.state.serial
		b.fill = f
		s.leadLocked(f.key)
	}
	if len(m.portal) == 0 && !s.mu.skipping {
		e.stale, s.mu.stalePortal = s.mu.stalePortal, false
	}
	if len(s.mu.portals) < maxPrepared || len(m.portal) == 0 {
		if s.mu.portals == nil {
			s.mu.portals = map[string]*portal{}
		}
		s.mu.portals[string(m.portal)] = b
	} else {
		delete(s.mu.portals, string(m.portal))
	}
	s.pushLocked(e)
}

func (s *Session) describe(ctx context.Context, body []byte) {
	d, ok := readDescribe(body)
	if !ok {
		s.confuse("malformed message")
		return
	}
	if d.kind == 'P' {
		s.mu.Lock()
		defer s.mu.Unlock()
		e := expected{kind: wire.Describe}
		if b := s.mu.portals[string(d.name)]; b != nil {
			e.fill = b.fill
		}
		s.pushLocked(e)
		return
	}
	f := &fill{d: unknown, asked: invalidation.Now()}
	s.mu.Lock()
	p := s.statementLocked(d.name)
	s.resendLocked(p)
	fillable := p != nil && !p.foreign && s.mu.state.reads(p.text)
	text := ""
	if fillable && s.Analysis != nil {
		text = string(p.text)
	}
	s.mu.Unlock()
	if text != "" {
		s.judge(ctx, f, text, true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := expected{kind: wire.Describe, ofStatement: true}
	if p = s.statementLocked(d.name); p != nil && fillable && s.fillableLocked(f) {
		f.key = appendStatementKey(nil, &s.mu.state.prefix, p.part)
		f.serial = s.mu.state.serial
		e.fill = f
	}
	s.pushLocked(e)
}

func (s *Session) close(body []byte) {
	d, ok := readDescribe(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.confuse("malformed message")
		return
	}
	if s.mu.skipping {
		return
	}
	e := expected{kind: wire.Close}
	switch d.kind {
	case 'S':
		e.name, e.ofStatement, e.old = string(d.name), true, s.replacedLocked(string(d.name))
		s.forgetLocked(e.name)
		if len(d.name) == 0 {
			s.mu.staleUnnamed = false
		}
	default:
		delete(s.mu.portals, string(d.name))
		if len(d.name) == 0 {
			e.stale, s.mu.stalePortal = s.mu.stalePortal, false
		}
	}
	s.pushLocked(e)
}

func (s *Session) execute(body []byte) {
	name, maxRows, ok := readExecute(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.confuse("malformed message")
		return
	}
	e := expected{kind: wire.Execute, d: unknown}
	if b := s.mu.portals[string(name)]; b != nil {
		e.d, e.portal, e.why = b.d, b, b.why
		if maxRows != 0 || b.executed {
			e.why = "is fetched in parts (a limit of rows)"
		}
		switch {
		case b.executed && b.d != nil && len(b.d.Settings) > 0:
			e.d = unknown // it sets nothing anew
		case !b.executed && maxRows == 0:
			e.fill = b.fill
		}
		b.fill, b.executed = nil, true
	}
	s.mu.executed = true
	s.pushLocked(e)
}

// stream passes on a message that is larger than what is looked into. Its head is in the window.
func (s *Session) stream(ctx context.Context, kind byte, size int) error {
	body := s.in.Window()[wire.HeaderSize:]
	s.awaitRoom()
	switch kind {
	case wire.Query, wire.FunctionCall:
		s.lead(ctx, nil, true)
		s.mu.Lock()
		if kind == wire.Query {
			s.endUnnamedLocked()
		}
		s.pushLocked(expected{kind: kind, d: unknown, sent: invalidation.Now()})
		s.mu.Unlock()
	case wire.Parse:
		s.lead(ctx, nil, false)
		name, _, ok := wire.CutString(body)
		s.mu.Lock()
		if ok {
			e := expected{kind: kind, name: string(name), old: s.replacedLocked(string(name))}
			s.foreignLocked(e.name, "")
			s.pushLocked(e)
		} else {
			s.confuse("malformed message")
		}
		s.mu.Unlock()
	case wire.Bind:
		s.lead(ctx, nil, false)
		s.bind(ctx, body, false)
	case wire.CopyData, wire.Password:
	default:
		s.confuse("oversized message")
	}
	if err := s.sendAround(nil, nil); err != nil {
		return err
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

// sendAround writes before, what is put ahead, and m to the upstream, in one write where that is small.
func (s *Session) sendAround(before, m []byte) error {
	ahead := s.ahead
	s.ahead = s.ahead[:0]
	if len(ahead) == 0 || len(before)+len(m) > maxHeld {
		for _, part := range [...][]byte{before, ahead, m} {
			if err := s.send(part); err != nil {
				return err
			}
		}
		return nil
	}
	if len(before) > 0 {
		if err := s.send(before); err != nil {
			return err
		}
	}
	return s.send(append(ahead, m...))
}

// send writes to the upstream.
func (s *Session) send(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.orphan() {
		return s.homeless()
	}
	s.awaitCancels()
	if s.home != nil {
		if err := s.home.secure(); err != nil {
			return err
		}
	}
	s.sentLast = invalidation.Now()
	if _, err := s.upstream.Write(b); err != nil {
		if s.orphan() {
			return s.homeless()
		}
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

// sendAndAdvance sends what is put ahead and a message that stands at the start of the window, and drops it.
func (s *Session) sendAndAdvance(m []byte) error {
	if err := s.sendAround(nil, m); err != nil {
		return err
	}
	s.in.Advance(len(m))
	return nil
}
