package session

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// step is one message of a segment and how it is answered from memory. Its kind is that of the message.
type step struct {
	kind byte
	// entry is what answers a Query, an Execute or a Describe; nil where block does.
	entry *cache.Entry
	block statement.Block
	// ofStatement is set for the Describe of a statement.
	ofStatement bool
}

// plan is how a whole extended query is answered from memory. Owned by the client's loop, which reuses it.
type plan struct {
	steps []step
	// status and promised are the client's block behind the segment.
	status   byte
	promised bool

	// The statement and the values that are bound to the unnamed portal.
	statement     *prepared
	statementName []byte
	bound         bindMessage
	bind          []byte
	// haveBind is set behind a Bind, executed behind its Execute, ended behind the portal's Close.
	haveBind, executed, ended bool
	// parse is the segment's Parse, and name its statement's; proven once an entry shows that the backend takes it.
	parse, name    []byte
	parsed, proven bool
	// read is set where the segment answers a query in the block that it leaves.
	read bool
	// last is what answers the last Execute; nil where that begins or ends a block.
	last *cache.Entry
	// begun is set where the segment leaves a block that it has promised.
	begun bool
}

// planLocked finds the answers to a whole extended query in memory. It reports false where one of them is not there,
// or a message is of a kind that is not answered from memory. It changes nothing but the plan, the pending statement
// and a promise that is not made yet.
func (s *Session) planLocked(all []byte, now invalidation.Instant) bool {
	p := &s.plan
	*p = plan{steps: p.steps[:0], status: s.mu.status, promised: s.mu.promised}
	for at := 0; at < len(all); {
		kind, size, _, _ := wire.Header(all[at:])
		raw := all[at : at+size]
		at += size
		ok := false
		switch kind {
		case wire.Parse:
			ok = s.planParseLocked(raw)
		case wire.Bind:
			ok = s.planBindLocked(raw)
		case wire.Describe:
			ok = s.planDescribeLocked(raw[wire.HeaderSize:], now)
		case wire.Execute:
			ok = s.planExecuteLocked(raw, now)
		case wire.Close:
			d, valid := readDescribe(raw[wire.HeaderSize:])
			ok = valid && d.kind == 'P' && len(d.name) == 0 && p.executed && !p.ended
			p.ended = true
			p.steps = append(p.steps, step{kind: kind})
		case wire.Sync:
			return at == len(all) && len(p.steps) > 0 && (!p.haveBind || p.executed) && (!p.parsed || p.proven)
		}
		if !ok {
			return false
		}
	}
	return false
}

// planParseLocked answers a Parse. That is right only where an entry under its text and types shows that the backend
// takes it; any change of the schema voids the entry.
func (s *Session) planParseLocked(raw []byte) bool {
	p := &s.plan
	m, ok := readParse(raw[wire.HeaderSize:])
	if !ok || p.parsed {
		return false
	}
	if len(m.name) > 0 {
		// The upstream gets it right behind the answer, so it must be certain to take it: the name is free, and no block
		// of the upstream's is there to fail.
		known := s.mu.named[string(m.name)] != nil
		if known || s.mu.orphaned || !s.mu.namesKnown || !s.roomLocked(m) || s.mu.status != wire.Idle && !s.mu.promised {
			return false
		}
	}
	p.parsed, p.parse, p.name = true, raw, m.name
	s.pending.set(m, raw, false)
	p.proven = s.pending.block != statement.NoBlock
	if len(m.name) == 0 {
		p.haveBind = false
	}
	p.steps = append(p.steps, step{kind: wire.Parse})
	return true
}

// plannedLocked returns what is known of a statement behind the messages planned so far, or nil.
func (s *Session) plannedLocked(name []byte) *prepared {
	if s.plan.parsed && bytes.Equal(name, s.plan.name) {
		return &s.pending
	}
	p := s.statementLocked(name)
	if p == nil || p.foreign {
		return nil
	}
	return p
}

func (s *Session) planBindLocked(raw []byte) bool {
	p := &s.plan
	m, ok := readBind(raw[wire.HeaderSize:])
	if !ok || len(m.portal) != 0 {
		return false
	}
	if p.haveBind && !p.executed {
		return false
	}
	p.statement, p.statementName = s.plannedLocked(m.statement), m.statement
	if p.statement == nil || !s.mu.state.reads(p.statement.text) {
		return false
	}
	p.bound, p.bind, p.haveBind, p.executed, p.ended = m, raw, true, false, false
	if p.statement.block == statement.NoBlock {
		s.key = appendBindKey(s.key[:0], &s.mu.state.prefix, p.statement.part, m.rest)
	}
	p.steps = append(p.steps, step{kind: wire.Bind})
	return true
}

func (s *Session) planDescribeLocked(body []byte, now invalidation.Instant) bool {
	p := &s.plan
	d, ok := readDescribe(body)
	if !ok {
		return false
	}
	if d.kind == 'P' {
		if len(d.name) != 0 || !p.haveBind || p.executed {
			return false
		}
		p.steps = append(p.steps, step{kind: wire.Describe, block: p.statement.block})
		return true
	}
	of := s.plannedLocked(d.name)
	if of == nil || !s.mu.state.reads(of.text) {
		return false
	}
	one := step{kind: wire.Describe, ofStatement: true, block: of.block}
	if of.block == statement.NoBlock {
		s.describeKey = appendStatementKey(s.describeKey[:0], &s.mu.state.prefix, of.part)
		if one.entry = s.Cache.Get(s.Cache.Hash(s.describeKey), s.describeKey, now); one.entry == nil || s.eventualOnly && !one.entry.Eventual {
			return false
		}
		p.proven = p.proven || of == &s.pending
	}
	p.steps = append(p.steps, one)
	return true
}

func (s *Session) planExecuteLocked(raw []byte, now invalidation.Instant) bool {
	p := &s.plan
	name, maxRows, ok := readExecute(raw[wire.HeaderSize:])
	if !ok || len(name) != 0 || maxRows != 0 || !p.haveBind || p.executed {
		return false
	}
	p.executed, p.last = true, nil
	if b := p.statement.block; b != statement.NoBlock {
		return s.planBlockLocked(b, raw)
	}
	e, took := s.Cache.Find(s.Cache.Hash(s.key), s.key, now)
	if e == nil {
		s.missed, s.took = !p.read && !s.eventualOnly, took
		return false
	}
	if s.eventualOnly && !e.Eventual {
		return false
	}
	p.proven = p.proven || p.statement == &s.pending
	// The Describes between the Bind and here.
	for i := len(p.steps) - 1; i >= 0 && p.steps[i].kind == wire.Describe; i-- {
		if one := &p.steps[i]; !one.ofStatement && one.entry == nil {
			if len(e.RowDescription) == 0 {
				return false
			}
			one.entry = e
		}
	}
	p.read, p.last = true, e
	p.steps = append(p.steps, step{kind: wire.Execute, entry: e})
	return true
}

// planBlockLocked answers the Execute of a statement that begins or ends a block.
func (s *Session) planBlockLocked(b statement.Block, raw []byte) bool {
	p := &s.plan
	if !p.bound.plain() || !s.makesBlockLocked(b, p.status, p.promised) {
		return false
	}
	p.steps = append(p.steps, step{kind: wire.Execute, block: b})
	if b.Ends() {
		p.status, p.promised, p.begun = wire.Idle, false, false
		return true
	}
	var parse []byte
	if !p.statement.upstream && len(p.statementName) == 0 {
		parse = p.statement.raw // a named one goes upstream right behind the answer
	}
	if len(parse)+len(p.bind)+len(raw) > maxPromise {
		return false
	}
	p.status, p.promised, p.begun, p.read = wire.InBlock, true, true, false
	s.promising.promiseExtended(p.statement.text, parse, p.bind, raw)
	return true
}

// adoptLocked makes true what the plan answers: the Parse, the block, and what became of the unnamed portal. The
// upstream gets an unnamed statement's Parse only when a message that needs it goes there; that of a named statement is
// returned, to be sent behind the answer, so that SQL finds the statement where the client thinks it is.
func (s *Session) adoptLocked() (behind []byte) {
	p := &s.plan
	if p.begun {
		s.promise, s.promising = s.promising, s.promise
	}
	s.mu.status, s.mu.promised = p.status, p.promised
	s.mu.answered = p.status != wire.Idle && (p.read || s.mu.answered && !p.begun)
	s.mu.stalePortal = p.status != wire.Idle && (p.haveBind || s.mu.stalePortal)
	if p.last != nil {
		s.mu.last.entry = p.last
	} else if p.haveBind {
		s.mu.last = last{outcome: inMemory}
	}
	if !p.parsed {
		return nil
	}
	if len(p.name) > 0 {
		one := &prepared{}
		one.text, one.part = bytes.Clone(s.pending.text), bytes.Clone(s.pending.part)
		one.block, one.raw, one.upstream = s.pending.block, bytes.Clone(p.parse), true
		s.setNamedLocked(string(p.name), one)
		s.pushLocked(expected{kind: wire.Parse, injected: true, behind: one})
		s.pushLocked(expected{kind: wire.Sync, injected: true})
		return append(bytes.Clone(p.parse), wire.Sync, 0, 0, 0, 4)
	}
	if s.mu.unnamedKnown && s.mu.unnamed.upstream && bytes.Equal(s.mu.unnamed.text, s.pending.text) && bytes.Equal(s.mu.unnamed.part, s.pending.part) {
		return nil
	}
	s.mu.unnamed, s.pending = s.pending, s.mu.unnamed
	s.mu.unnamedKnown = true
	return nil
}

// vectored is the size from which a stored body is written from where it lies, in bytes.
const vectored = 32 << 10

var (
	readyForQuery = wire.AppendReadyIdle(nil)
	// noParameters is the ParameterDescription of a statement without parameters, noData that of no result.
	noParameters = []byte{wire.ParameterDescription, 0, 0, 0, 6, 0, 0}
	noData       = []byte{wire.NoData, 0, 0, 0, 4}
)

// answer writes the planned answers to the client, in one write where they are small.
func (s *Session) answer(now invalidation.Instant) error {
	s.write.Lock()
	defer s.write.Unlock()
	p := &s.plan
	if len(p.steps) == 1 && p.steps[0].kind == wire.Query && p.steps[0].entry != nil && p.status == wire.Idle && !s.tunnel {
		s.hits(1)
		return s.toClient(p.steps[0].entry.Body)
	}
	out := s.out[:0]
	if p.size() > maxKept {
		scratch := takeScratch()
		defer giveBack(scratch)
		out = *scratch
	}
	var hits uint64
	var facts []statement.Fact
	statements := 0
	for i := range p.steps {
		step := &p.steps[i]
		switch {
		case step.kind == wire.Parse:
			out = append(out, wire.ParseComplete, 0, 0, 0, 4)
		case step.kind == wire.Bind:
			out = append(out, wire.BindComplete, 0, 0, 0, 4)
		case step.kind == wire.Close:
			out = append(out, wire.CloseComplete, 0, 0, 0, 4)
		case step.kind == wire.Describe:
			out = step.describe(out)
		case step.entry == nil:
			out = appendComplete(out, step.block.Tag())
		default:
			body := step.entry.Body
			body = body[:len(body)-len(readyForQuery)]
			hits++
			if len(body) < vectored {
				out = append(out, body...)
				break
			}
			if _, err := (&net.Buffers{out, body}).WriteTo(s.client); err != nil {
				return fmt.Errorf("write to client: %w", err)
			}
			out = out[:0]
		}
		if s.tunnel && (step.kind == wire.Query || step.kind == wire.Execute || step.ofStatement) {
			if e := step.entry; e != nil {
				facts = append(facts, statement.Fact{Index: statements, Fingerprint: e.Fingerprint, Verdict: statement.Read, Memory: true, Read: s.entryFact(e, now)})
			}
			statements++
		}
	}
	if s.tunnel {
		out = appendFacts(out, facts)
	}
	out = append(out, wire.ReadyForQuery, 0, 0, 0, 5, p.status)
	s.hits(hits) // before the client can look
	if cap(out) <= maxKept {
		s.out = out
	}
	return s.toClient(out)
}

// hits counts answers from memory.
func (s *Session) hits(n uint64) {
	s.count.hits.Add(n)
	if s.unleased {
		s.count.unleased.Add(n)
	}
}

// size is roughly how much the answers come to that are put together before they are written, in bytes.
func (p *plan) size() int {
	n := 0
	for i := range p.steps {
		n += 32
		switch e := p.steps[i].entry; {
		case e == nil:
		case p.steps[i].kind == wire.Describe:
			n += len(e.RowDescription)
		case len(e.Body) < vectored:
			n += len(e.Body)
		}
	}
	return n
}

// describe appends the answer to a Describe.
func (step *step) describe(out []byte) []byte {
	switch {
	case step.block == statement.NoBlock:
		return append(out, step.entry.RowDescription...)
	case step.ofStatement:
		out = append(out, noParameters...)
	}
	return append(out, noData...)
}

func appendComplete(out []byte, tag string) []byte {
	out = append(out, wire.CommandComplete)
	out = binary.BigEndian.AppendUint32(out, uint32(4+len(tag)+1))
	out = append(out, tag...)
	return append(out, 0)
}

// toClient writes whole messages; the caller holds s.write.
func (s *Session) toClient(b []byte) error {
	if _, err := s.client.Write(b); err != nil {
		return fmt.Errorf("write to client: %w", err)
	}
	return nil
}

// appendFacts appends facts as the message that carries them.
func appendFacts(out []byte, facts []statement.Fact) []byte {
	if len(facts) == 0 {
		return out
	}
	text, err := statement.AppendFacts(nil, facts)
	if err != nil || len(text) > maxHeld || bytes.IndexByte(text, 0) >= 0 {
		return out // an edge that gets no facts keeps nothing
	}
	return wire.AppendParameterStatus(out, statement.FactsParameter, text)
}
