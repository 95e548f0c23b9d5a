package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/changes"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// home is what a home does for a session: it follows what was written and set, publishes it, and tells an edge.
type home struct {
	s *Session
	// initial is what InitialState said before the session was dialled.
	initial InitialSettings

	// Guarded by Session.mu: the union of what the statements in the queue may change, and since when one of them
	// may have become visible without our knowing.
	inFlight statement.Closure
	schema   bool
	timer    *time.Timer
	armed    bool
	closed   bool
	timers   sync.WaitGroup

	// The upstream's loop owns these.
	tx       changes.Transaction
	settings *settings
	// generation is the catalog's when the first write of the transaction was described; 0: none was.
	generation uint64
	txSchema   bool
	// told is the state that an edge was last told.
	told statement.SessionFact
}

func newHome(ctx context.Context, s *Session, start *wire.Startup) *home {
	h := &home{s: s}
	initial, err := s.Analysis.InitialState(ctx, s.who.Database, s.who.User)
	h.settings = newSettings(s.who, start, initial)
	h.initial = initial
	if err != nil {
		// Without knowing what the role and the database bring, the session shares nothing; it works all the same.
		s.log.Warn("session's initial settings are not known: none of its statements is cached", "error", err.Error())
		h.settings.unknownStart()
	}
	return h
}

// sentLocked notes a message that is about to be sent.
func (h *home) sentLocked(e expected) {
	if e.d != nil && !e.d.Writes.Empty() {
		h.inFlight = h.inFlight.Union(e.d.Writes)
		h.schema = h.schema || changesSchema(e.d)
	}
	switch e.kind {
	case wire.Query, wire.Sync, wire.FunctionCall:
	default:
		return
	}
	if h.armed || h.closed || h.inFlight.Empty() && h.tx.Pending().Empty() {
		return
	}
	h.armed = true
	h.timers.Add(1)
	h.timer = time.AfterFunc(h.s.MaxStaleness/2, h.overdue)
}

// overdue publishes what may have become visible while its outcome is still unread: a long statement, or a client
// that takes its result slowly (R2). Entries that were read before the commit live at most this much longer.
func (h *home) overdue() {
	defer h.timers.Done()
	h.s.mu.Lock()
	if h.closed || !h.armed {
		h.s.mu.Unlock()
		return
	}
	changed := h.inFlight.Union(h.tx.Pending())
	schema := h.schema || changed.Anything
	h.timers.Add(1)
	h.timer = time.AfterFunc(h.s.MaxStaleness/2, h.overdue)
	h.s.mu.Unlock()
	h.s.Journal.Publish(h.s.who.Database, changed, schema)
}

// disarmLocked stops the timer once nothing is in flight.
func (h *home) disarmLocked() {
	h.inFlight, h.schema = statement.Closure{}, false
	if h.armed {
		h.armed = false
		if h.timer.Stop() {
			h.timers.Done()
		}
	}
}

// undecided reports whether something that was sent may become visible whose outcome has not been read. The caller
// holds Session.mu.
func (h *home) undecided(q *queue) bool {
	return q.len() > 0 && (!h.inFlight.Empty() || !h.tx.Pending().Empty() || h.s.confused.Load())
}

// close ends the session's part of the home: what is in flight counts as written (R9).
func (h *home) close() {
	s := h.s
	s.mu.Lock()
	h.closed = true
	var changed statement.Closure
	schema := h.schema || h.txSchema
	switch {
	case s.confused.Load():
		changed, schema = statement.Closure{Anything: true}, true
	case s.mu.queue.len() > 0:
		changed = h.tx.Lose(h.inFlight)
	}
	h.disarmLocked()
	s.mu.Unlock()
	h.timers.Wait()
	if !changed.Empty() {
		s.Journal.Publish(s.who.Database, changed, schema)
	}
}

// changesSchema reports whether a statement may change the catalog.
func changesSchema(d *statement.Descriptor) bool {
	if d.Verdict != statement.Opaque || !d.Writes.Anything {
		return d.Verdict == statement.Schema
	}
	// Without a picture of the catalog most statements are opaque. Were each a reason to read it anew, a catalog that
	// takes long to read would never be read.
	return d.Generation != 0 || d.Command == "" || d.Command == "CALL" || d.Command == "DO"
}

// finish takes in the end of a cycle. It publishes what has become visible, keeps results, and returns the facts for
// an edge and whether a result that may be kept was among the cycle's.
func (h *home) finish(ctx context.Context, status byte, following bool) (message []byte, cacheable bool) {
	s, r := h.s, &h.s.reply
	var facts []statement.Fact
	if write := h.publish(status, following); write != nil {
		facts = append(facts, statement.Fact{Index: -1, Write: write})
	}
	reads := following && s.keepable(status)
	for _, result := range r.results {
		reads = reads && result.d != nil && result.d.Verdict == statement.Read
	}
	for i, result := range r.results {
		fact, ok := h.keep(result, reads)
		if ok {
			cacheable = true
			s.count.misses.Add(1)
		} else {
			s.count.bypasses.Add(1)
		}
		if s.tunnel && result.d != nil {
			fact.Index, fact.Fingerprint, fact.Verdict, fact.Reason = i, result.d.Fingerprint, result.d.Verdict, result.d.Reason
			facts = append(facts, fact)
		}
	}
	forget := h.follow(ctx, status, following)
	if !s.tunnel {
		return nil, cacheable
	}
	s.mu.Lock()
	now := statement.SessionFact{State: s.mu.state.token, Private: s.mu.state.private}
	s.mu.Unlock()
	if forget || now != h.told {
		h.told = now
		now.Forget = forget
		facts = append(facts, statement.Fact{Index: -1, Session: &now})
	}
	if message = appendFacts(nil, facts); message == nil {
		// Too many statements for one message. What the edge must know of the session and of its writes fits always.
		message = appendFacts(nil, slices.DeleteFunc(facts, func(f statement.Fact) bool { return f.Index >= 0 }))
	}
	return message, cacheable
}

// publish makes known what has become visible with the cycle; nil: nothing has.
func (h *home) publish(status byte, following bool) *statement.WriteFact {
	s, r := h.s, &h.s.reply
	cycle := changes.Cycle{Failed: r.failed, Completed: r.completed, Before: r.status, After: status}
	for _, result := range r.results {
		d := result.d
		if d == nil {
			d = unknown
		}
		cycle.Add(d)
		cycle.Tag = result.tag
		h.txSchema = h.txSchema || changesSchema(d)
		if !d.Writes.Empty() && h.generation == 0 {
			h.generation = d.Generation
		}
	}
	if !following {
		cycle = changes.Cycle{Writes: statement.Closure{Anything: true}, Texts: 1, Many: true, Completed: true, Control: statement.ControlMany, Immediate: true, Before: r.status, After: status}
		h.txSchema = true
	}
	s.mu.Lock()
	visible := h.tx.Finish(cycle)
	idle := s.mu.queue.len() <= 1 // this cycle's own end is still in it
	if idle {
		h.disarmLocked()
	}
	s.mu.Unlock()
	schema, generation := h.txSchema, h.generation
	if h.tx.Pending().Empty() {
		h.txSchema, h.generation = false, 0
	}
	if visible.Empty() {
		return nil
	}
	if !visible.Anything && generation != s.Analysis.Generation(s.who.Database) {
		// The catalog has changed since the write was described: what it may change is not known any more.
		visible = statement.Closure{Anything: true}
	}
	version := s.Journal.Publish(s.who.Database, visible, schema)
	fact := &statement.WriteFact{Epoch: s.Journal.Epoch(), Version: uint64(version), Node: visible.Cluster, Tables: tables(visible)}
	if len(fact.Tables) > maxFactTables {
		fact.Tables = nil // the whole database
	}
	return fact
}

// maxFactTables bounds the relations that a write's fact names; it says the whole database instead of more.
const maxFactTables = 256

func tables(c statement.Closure) []string {
	if c.Anything {
		return nil
	}
	return c.Relations
}

// keep stores a result where it may be kept, and says under which conditions an edge may keep it too.
func (h *home) keep(result result, reads bool) (statement.Fact, bool) {
	s, f := h.s, result.fill
	if !reads || f == nil || !f.decision.Cache {
		return statement.Fact{}, false
	}
	s.mu.Lock()
	keep := f.d == result.d && f.serial == s.mu.state.serial && !s.mu.state.private
	whole := keep && s.keepLocked(f)
	s.mu.Unlock()
	if !keep {
		return statement.Fact{}, false
	}
	if whole {
		s.store(f, s.Journal.Epoch(), f.stamp, f.d.Relations, f.d.Fingerprint, f.decision.TTL)
	}
	// An edge may have room for what the home had not.
	return statement.Fact{Read: s.readFact(f.stamp, f.d.Relations, f.decision.TTL)}, true
}

// readFact returns the conditions under which a result may be kept.
func (s *Session) readFact(stamp invalidation.Version, relations []string, ttl time.Duration) *statement.ReadFact {
	return &statement.ReadFact{Epoch: s.Journal.Epoch(), Version: uint64(stamp), Relations: relations, TTLMillis: max(ttl.Milliseconds(), 0)}
}

// store keeps a whole result. What does not belong to the present epoch, or is not above its floors, is not kept (R4).
func (s *Session) store(f *fill, epoch string, stamp invalidation.Version, relations []string, fingerprint uint64, ttl time.Duration) {
	floors, ok := s.Floors.Depend(epoch, s.who.Database, relations)
	if !ok || ttl <= 0 {
		return
	}
	body := wire.AppendReadyIdle(f.body)
	hash := s.Cache.Hash(f.key)
	s.Cache.Store(hash, &cache.Entry{
		Key: f.key, Version: stamp, Floors: &floors, Expires: invalidation.Now().Add(ttl),
		RowDescription: f.rowDescription, Body: body[:len(body):len(body)], Relations: relations, Fingerprint: fingerprint,
	})
	f.dead = true
}

// follow takes in what the cycle changed of the session's state. It reports whether prepared statements may have
// changed other than by the protocol.
func (h *home) follow(ctx context.Context, status byte, following bool) (forget bool) {
	s, r := h.s, &h.s.reply
	s.mu.Lock()
	first := s.mu.status == 0
	s.mu.Unlock()
	if first {
		again, err := s.Analysis.InitialState(ctx, s.who.Database, s.who.User)
		if err != nil || again != h.initial {
			// ALTER ROLE or ALTER DATABASE … SET ran while the session started: which of the two it got is not known.
			s.log.Warn("session's initial settings changed while it started: none of its statements is cached", "error", err)
			h.settings.unknownStart()
		}
	}
	if !following {
		h.settings.untrack()
	}
	for i, result := range r.results {
		d := result.d
		if d == nil {
			d = unknown
		}
		// A failed statement, always the last, was undone by Postgres, unless it commits on its own.
		failed := r.failed && i == len(r.results)-1 && (result.tag == "" || d.Many)
		if failed && !r.completed && !changes.Immediate(d) {
			continue
		}
		forget = forget || d.Untracked || d.Discard || d.Prepares != nil || d.Deallocates != "" || d.DeallocatesAll
		switch {
		case d.Parts != nil:
			forget = slices.ContainsFunc(d.Parts, func(part *statement.Descriptor) bool {
				return part.Prepares != nil || part.Deallocates != "" || part.DeallocatesAll
			}) || forget
			h.followParts(d, result.tag, failed)
		case !failed || d.Untracked && changes.Immediate(d):
			h.settings.completed(d, result.tag)
		}
	}
	h.settings.endCycle(status, r.failed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if forget {
		s.forgetAllLocked()
	}
	if token, private := h.settings.token(), h.settings.private(); first || token != s.mu.state.token || private != s.mu.state.private {
		s.mu.state.token, s.mu.state.private = token, private
		s.mu.state.update()
	}
	return forget
}

// followParts takes in a text of several statements. Of their tags only the last is known, and of one that failed not
// even how many statements were completed.
func (h *home) followParts(d *statement.Descriptor, tag string, failed bool) {
	for i, part := range d.Parts {
		switch {
		case failed && (part.Control != statement.ControlNone || part.Untracked):
			h.settings.untrack()
			return
		case failed: // all of it was undone
		case i == len(d.Parts)-1:
			h.settings.completed(part, tag)
		default:
			h.settings.completed(part, "")
		}
	}
}
