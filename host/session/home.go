package session

import (
	"context"
	"slices"
	"strconv"
	"strings"
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
	// told is the state that an edge was last told; names is what it must still be told of prepared statements.
	told, names statement.SessionFact
	started     bool
	leave       func() // of the database, nil before the login

	// level is the database's. after is the token that the session's settings named last.
	level statement.Level
	after string
	holding
}

func newHome(ctx context.Context, s *Session, start *wire.Startup) *home {
	h := &home{s: s, holding: holding{ctx: ctx}}
	if s.Level != nil {
		h.level = s.Level(s.who.Database)
	}
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
	if h.level == statement.Strong {
		h.demandLocked(e)
	}
	switch e.kind {
	case wire.Query, wire.Sync, wire.FunctionCall:
	default:
		return
	}
	if h.armed || h.closed || h.inFlight.Empty() && h.tx.Pending().Empty() {
		return
	}
	h.s.Undecided.begin(h, invalidation.Now(), false)
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
	at := invalidation.Now()
	h.s.Journal.Publish(h.s.who.Database, changed, schema)
	h.s.Undecided.begin(h, at, true)
}

// disarmLocked stops the timer once nothing is in flight.
func (h *home) disarmLocked() {
	h.inFlight, h.schema, h.mayEnd, h.described = statement.Closure{}, false, false, 0
	if h.armed {
		h.armed = false
		if h.timer.Stop() {
			h.timers.Done()
		}
	}
}

// nothing describes a statement of which nothing was executed.
var nothing = &statement.Descriptor{Reason: "was refused"}

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
	if h.leave != nil {
		h.leave()
	}
	h.release(true)
	s.Undecided.end(h)
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
// an edge and whether a result that may be kept was among the cycle's. speak is not set for a cycle that the edge did
// not ask for: it is told with the next.
func (h *home) finish(ctx context.Context, status byte, following, speak bool) (message []byte, cacheable bool) {
	s, r := h.s, &h.s.reply
	h.start(ctx)
	if !following {
		h.settings.untrack()
	}
	var facts []statement.Fact
	if write := h.publish(status, following); write != nil {
		facts = append(facts, statement.Fact{Index: -1, Write: write})
	}
	h.settings.endCycle(status, r.failed)
	reads := following && s.keepable(status) && h.onlyReads(status)
	var l last
	known := false
	for i, result := range r.results {
		fact, ok := h.keep(ctx, &r.results[i], reads)
		why := ""
		if !ok && !result.describe {
			why = h.why(&r.results[i], status, reads)
		}
		if d := result.d; d != nil && !result.describe && !result.injected {
			l, known = last{outcome: bypassed(d.Verdict), verdict: d.Verdict, reason: why, relations: d.Relations, fingerprint: d.Fingerprint}, true
			switch {
			case ok:
				l.outcome, l.reason, l.ttl = miss, missed(result.fill), result.fill.decision.TTL
			case l.outcome == wrote:
				l.relations = d.Writes.Relations
			}
		}
		switch {
		case result.describe:
		case ok:
			cacheable = true
			s.count.misses.Add(1)
		default:
			s.count.bypasses.Add(1)
		}
		if !s.tunnel {
			continue
		}
		if result.d != nil {
			fact.Fingerprint, fact.Verdict, fact.Reason = result.d.Fingerprint, result.d.Verdict, result.d.Reason
			if why != "" {
				fact.Reason = why
			}
		}
		if fact.Index = i; ok || result.d != nil {
			facts = append(facts, fact)
		}
	}
	if speak {
		s.mu.Lock()
		s.noteLocked(l, known)
		s.mu.Unlock()
	}
	now := h.follow(status)
	if !s.tunnel || !speak {
		return nil, cacheable
	}
	if now.Forget || now.None || len(now.Names) > 0 || !now.Equal(h.told) {
		h.told = now
		h.told.Forget, h.told.None, h.told.Names = false, false, nil
		facts = append(facts, statement.Fact{Index: -1, Session: &now})
	}
	h.names = statement.SessionFact{}
	if message = appendFacts(nil, facts); message == nil {
		// Too many statements for one message. What the edge must know of the session and of its writes fits always.
		message = appendFacts(nil, slices.DeleteFunc(facts, func(f statement.Fact) bool { return f.Index >= 0 }))
	}
	return message, cacheable
}

// start looks again at what the session started with, once Postgres has said that it is ready.
func (h *home) start(ctx context.Context) {
	if h.started {
		return
	}
	h.started = true
	s := h.s
	if s.Enter != nil {
		h.leave = s.Enter(s.who.Database)
	}
	again, err := s.Analysis.InitialState(ctx, s.who.Database, s.who.User)
	if err != nil || again != h.initial {
		// ALTER ROLE or ALTER DATABASE … SET ran while the session started: which of the two it got is not known.
		s.log.Warn("session's initial settings changed while it started: none of its statements is cached", "error", err)
		h.settings.unknownStart()
	}
}

// onlyReads reports whether results of the cycle may be kept: outside a block, where all its statements are reads, or
// inside one that is READ COMMITTED and has only read, so that each statement took a snapshot of its own and saw nothing
// that others do not see.
func (h *home) onlyReads(status byte) bool {
	r := &h.s.reply
	statements := 0
	for _, result := range r.results {
		statements++
		switch d := result.d; {
		case result.describe:
			statements--
		case d == nil || d.Many:
			return false
		case d.Verdict == statement.Read:
		case d.Verdict == statement.Unstable && result.fill != nil && result.fill.decision.Eventual:
		case d.Control == statement.ControlBegin && status == wire.InBlock:
		default:
			return false
		}
	}
	if status == wire.Idle {
		// The statements between two Syncs are one transaction.
		return r.status == wire.Idle && (statements <= 1 || h.settings.readCommitted())
	}
	return h.readable(status)
}

// readable reports whether the block at hand is one that answers and results may come from memory in.
func (h *home) readable(status byte) bool {
	return status == wire.InBlock && h.tx.OnlyRead() && h.settings.readCommitted()
}

// publish takes in the cycle's statements, and makes known what has become visible with them; nil: nothing has.
func (h *home) publish(status byte, following bool) *statement.WriteFact {
	s, r := h.s, &h.s.reply
	s.mu.Lock()
	for i := range r.results {
		result := &r.results[i]
		if result.describe {
			continue
		}
		d := result.d
		if d == nil {
			d = unknown
		}
		if result.refused {
			h.tx.Failed(nothing)
			continue
		}
		h.txSchema = h.txSchema || changesSchema(d)
		if !d.Writes.Empty() && h.generation == 0 {
			h.generation = d.Generation
		}
		switch {
		case d.Many && result.failed && result.tag == "" && len(result.more) == 0 && !changes.Immediate(d):
			h.tx.Failed(d) // nothing of it was executed, or all of it was undone
		case !result.statements(d, h.completed, h.failed):
			h.unfollowed(d)
		}
	}
	if !following {
		h.tx.Unfollowed(statement.Closure{Anything: true})
		h.txSchema = true
	}
	visible := h.tx.End(status)
	idle := s.mu.queue.len() <= 1 // this cycle's own end is still in it
	if idle {
		h.disarmLocked()
	}
	s.mu.Unlock()
	schema, generation := h.txSchema, h.generation
	if h.tx.Pending().Empty() {
		h.txSchema, h.generation = false, 0
	}
	if idle {
		defer s.Undecided.end(h)
		defer h.release(false)
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

// completed takes in one statement that Postgres has completed. The caller holds Session.mu.
func (h *home) completed(d *statement.Descriptor, tag string) {
	h.tx.Completed(d, tag)
	h.settings.completed(d, tag)
	h.nameLocked(d)
}

// failed takes in one statement that Postgres answered with an error.
func (h *home) failed(d *statement.Descriptor) {
	h.tx.Failed(d)
	if d.Untracked && changes.Immediate(d) {
		h.settings.completed(d, "")
		h.nameLocked(d)
	}
}

// unfollowed takes in a text of which it is not known which of its statements were completed.
func (h *home) unfollowed(d *statement.Descriptor) {
	h.tx.Unfollowed(d.Writes)
	if d.Untracked || d.Discard || d.Control != statement.ControlNone || len(d.Settings) > 0 {
		h.settings.untrack()
	}
	h.forgetLocked()
}

// nameLocked notes what a statement did to the names of prepared statements.
func (h *home) nameLocked(d *statement.Descriptor) {
	s := h.s
	switch {
	case d.Discard || d.DeallocatesAll:
		s.forgetAllLocked(true)
		h.names = statement.SessionFact{None: true}
	case d.Untracked:
		h.forgetLocked()
	case d.Prepares != nil:
		s.doubtNamesLocked()
		s.foreignLocked(d.Prepares.Name, d.Prepares.Text)
		h.names.Names = append(h.names.Names, statement.NameFact{Name: d.Prepares.Name})
	case d.Deallocates != "":
		s.doubtNamesLocked()
		s.setNamedLocked(d.Deallocates, nil)
		h.names.Names = append(h.names.Names, statement.NameFact{Name: d.Deallocates, Dropped: true})
	}
	if len(h.names.Names) > maxNames {
		h.forgetLocked()
	}
}

// maxNames bounds the names that one fact tells of.
const maxNames = 256

// forgetLocked gives up following which prepared statements there are.
func (h *home) forgetLocked() {
	h.s.forgetAllLocked(false)
	h.names = statement.SessionFact{Forget: true}
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
func (h *home) keep(ctx context.Context, result *result, reads bool) (statement.Fact, bool) {
	s, f := h.s, result.fill
	if !reads || f == nil || !f.decision.Cache {
		return statement.Fact{}, false
	}
	s.mu.Lock()
	keep := (f.d == result.d || result.describe) && f.serial == s.mu.state.serial && !s.mu.state.private
	whole := keep && s.keepLocked(f)
	s.mu.Unlock()
	if !keep {
		return statement.Fact{}, false
	}
	if f.decision.OnResult != nil && !result.describe {
		if !whole {
			result.why = "a policy asks to see each result, and this one is too large"
			return statement.Fact{}, false
		}
		var ok bool
		ok, f.decision.TTL, result.why = f.decision.OnResult(ctx, Result{
			Rows: rowsOf(result.tag), Bytes: int64(len(f.body) + len(f.rowDescription)), Latency: time.Duration(invalidation.Now() - f.asked),
		})
		if !ok {
			return statement.Fact{}, false
		}
	}
	relations := f.d.Relations
	if result.describe {
		relations = nil // a description changes with the schema, not with rows
	}
	d := f.decision
	read := &statement.ReadFact{
		Epoch: s.Journal.Epoch(), Version: uint64(f.stamp), Relations: relations, TTLMillis: max(d.TTL.Milliseconds(), 0),
		StaleMillis: d.Stale.Milliseconds(), Eventual: d.Eventual, MaxBytes: d.MaxBytes, Tags: d.Tags,
	}
	if whole {
		s.store(f, read, f.d.Fingerprint, d.Local)
	}
	if d.Local {
		return statement.Fact{}, true
	}
	// An edge may have room for what the home had not.
	return statement.Fact{Read: read}, true
}

// rowsOf returns how many rows a command tag counts: SELECT 5.
func rowsOf(tag string) int64 {
	n, err := strconv.ParseInt(tag[strings.LastIndexByte(tag, ' ')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// entryFact returns the conditions under which an edge may keep what the home has in memory; nil: it may not.
func (s *Session) entryFact(e *cache.Entry, now invalidation.Instant) *statement.ReadFact {
	if e.Local {
		return nil
	}
	return &statement.ReadFact{
		Epoch: s.Journal.Epoch(), Version: uint64(e.Version), Relations: e.Relations, TTLMillis: max(e.TTL(now).Milliseconds(), 0),
		StaleMillis: e.Stale.Milliseconds(), Eventual: e.Eventual, Tags: e.Tags,
	}
}

// store keeps a whole result. What does not belong to the present epoch, or is not above its floors, is not kept (R4).
func (s *Session) store(f *fill, read *statement.ReadFact, fingerprint uint64, local bool) {
	depends := read.Tags
	if !read.Eventual { // which a write does not end; a tag, a change of the schema, or of the epoch does
		depends = slices.Concat(read.Relations, read.Tags)
	}
	ttl := time.Duration(read.TTLMillis) * time.Millisecond
	floors, ok := s.Floors.Depend(read.Epoch, s.who.Database, depends)
	if !ok || ttl <= 0 || read.MaxBytes > 0 && int64(len(f.body)+len(f.rowDescription)) > read.MaxBytes {
		return
	}
	body := wire.AppendReadyIdle(f.body)
	hash, now := s.Cache.Hash(f.key), invalidation.Now()
	f.kept = s.Cache.Store(hash, &cache.Entry{
		Key: f.key, Version: invalidation.Version(read.Version), Floors: &floors, Stored: now, Expires: now.Add(ttl), Took: time.Duration(now - f.asked),
		Stale: time.Duration(read.StaleMillis) * time.Millisecond, Eventual: read.Eventual, Local: local,
		RowDescription: f.rowDescription, Body: body[:len(body):len(body)], Relations: read.Relations, Tags: read.Tags, Fingerprint: fingerprint,
	})
	f.dead = true
}

// follow makes what the cycle changed of the session's state the session's, and returns what an edge must know of it.
func (h *home) follow(status byte) statement.SessionFact {
	s := h.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if token, private := h.settings.token(), h.settings.private(); token != s.mu.state.token || private != s.mu.state.private {
		s.mu.state.token, s.mu.state.private = token, private
		s.mu.state.update()
	}
	s.mu.state.path = h.settings.path(s.mu.state.reported["search_path"])
	s.mu.unsettled = s.mu.unsettled && s.mu.queue.len() > 1 // this cycle's own end is still in it
	s.mu.readable = h.readable(status)
	s.mu.committed = status == wire.Idle && h.settings.readCommitted()
	now := h.names
	now.Level, now.After = h.settings.level(h.level), h.settings.after()
	if s.mu.level != now.Level || h.after != now.After {
		h.after = now.After
		s.demandLocked(now.Level, now.After)
	}
	now.State, now.Private, now.Block, now.Begin = s.mu.state.token, s.mu.state.private, s.mu.readable, s.mu.committed
	return now
}
