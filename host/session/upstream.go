package session

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// streamed is the size from which rows and copy data pass in parts, in bytes.
const streamed = 32 << 10

// reply is what the upstream's loop knows of the cycle it is in.
type reply struct {
	// status is the transaction status before the cycle.
	status byte
	// failed and noticed are set by an ErrorResponse and a NoticeResponse.
	failed, noticed bool
	// code is the SQLSTATE of the last ErrorResponse.
	code string
	// results are the statements that were answered, in their order. inQuery is set once the last of them is the
	// simple query that ends the cycle.
	results []result
	inQuery bool
	// teed is how much the cycle's fills hold, in bytes.
	teed int
	// rest is what is still to come of a message that passes in parts, and restFill what collects it.
	rest     int
	restFill *fill
	// facts are what the home said of the cycle, at an edge.
	facts []statement.Fact
}

// result is one statement that was answered: a Query, an Execute, a FunctionCall or the Describe of a statement.
type result struct {
	d    *statement.Descriptor
	fill *fill
	// tag is the command tag; more are those of the further statements of a text, as far as they are followed.
	tag  string
	more []string
	// failed is set where an error ended it.
	failed bool
	// refused is set where the error came before anything was executed.
	refused bool
	// describe is set for the Describe of a statement, which executes nothing; injected for a statement of ours.
	describe, injected bool
	// why is why it was not to be kept, as far as was known before it was sent.
	why string
}

// statements calls completed with each statement that the result completed and its tag, and failed with the one that
// failed. It reports false where they are not known one by one.
func (r *result) statements(d *statement.Descriptor, completed func(*statement.Descriptor, string), failed func(*statement.Descriptor)) bool {
	if !d.Many {
		if r.failed && r.tag == "" {
			failed(d)
		} else {
			completed(d, r.tag)
		}
		return true
	}
	n := len(r.more)
	if r.tag != "" || !r.failed {
		n++
	}
	if n > len(d.Parts) || r.failed && n == len(d.Parts) || !r.failed && n < len(d.Parts) {
		return false
	}
	for i := range n {
		tag := r.tag
		if i > 0 {
			tag = r.more[i-1]
		}
		completed(d.Parts[i], tag)
	}
	if r.failed {
		failed(d.Parts[n])
	}
	return true
}

// fromUpstream passes on what the upstream sends until it closes.
func (s *Session) fromUpstream(ctx context.Context) error {
	announced := false
	for read := len(s.back.Window()) > 0; ; read = false {
		var err error
		if !read {
			err = s.back.More()
		}
		if err != nil && !errors.Is(err, wire.ErrWindowFull) {
			return s.upstreamEnded(err)
		}
		if errors.Is(err, wire.ErrWindowFull) {
			// A message that should be short is larger than what is looked into.
			s.confuse("oversized message from the upstream")
		}
		switch err := s.pass(ctx); {
		case errors.Is(err, errDraining):
			s.shutdown()
			return errDone
		case errors.Is(err, errPromise):
			s.fatal(&wire.Error{
				Code: wire.CodeConnectionFailure, Message: "perihelion could not begin the transaction that it had promised",
				Detail: "The upstream refused BEGIN; nothing of the transaction was executed.", Hint: "Connect again and repeat the transaction.",
			})
			s.client.Close()
			return err
		case err != nil:
			return err
		}
		if !announced {
			announced = s.announce()
		}
	}
}

// announce logs which backend belongs to which client, once the session has started. It reports false until then.
func (s *Session) announce() bool {
	s.mu.Lock()
	started := s.mu.status != 0
	s.mu.Unlock()
	if !started {
		return false
	}
	var pid uint32
	if len(s.cancelKey) >= 4 {
		pid = binary.BigEndian.Uint32([]byte(s.cancelKey[:4]))
	}
	s.log.Info("session started", "application", s.who.Application, "backend_pid", pid)
	return true
}

// upstreamEnded says what the end of the upstream means for the client: the same end, nothing made up.
func (s *Session) upstreamEnded(err error) error {
	s.mu.Lock()
	starting := s.mu.status == 0 && s.mu.queue.len() > 0
	orphan := s.orphanLocked()
	s.mu.Unlock()
	if orphan {
		s.log.Warn("session has lost its upstream: at level eventual it goes on with what is in memory")
		return errOrphaned
	}
	if errors.Is(err, io.EOF) || starting {
		return errDone
	}
	return fmt.Errorf("read from upstream: %w", err)
}

// pass handles what stands in the upstream's window: whole messages, and the parts of large ones. It holds the write
// lock from before the queue empties until the client has the bytes, so that an answer from memory never overtakes.
func (s *Session) pass(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	window := s.back.Window()
	var scratch *[]byte // holds what goes to the client, where that is not just what came
	begin, at := 0, 0
	if s.reply.rest > 0 {
		at = min(s.reply.rest, len(window))
		s.tee(s.reply.restFill, window[:at])
		s.reply.rest -= at
	}
	for at < len(window) {
		kind, size, ok, err := wire.Header(window[at:])
		if err != nil {
			return fmt.Errorf("read from upstream: %w", err)
		}
		if !ok {
			break
		}
		if len(window)-at < size {
			if !s.passesInParts(kind, size) {
				break
			}
			s.reply.restFill = s.row(kind)
			s.tee(s.reply.restFill, window[at:])
			s.reply.rest = size - (len(window) - at)
			at = len(window)
			break
		}
		m := window[at : at+size]
		before, swallow := s.fromBackend(ctx, kind, m)
		if len(before) > 0 || swallow {
			if scratch == nil {
				scratch = takeScratch()
				defer giveBack(scratch)
			}
			*scratch = append(*scratch, window[begin:at]...)
			*scratch = append(*scratch, before...)
			begin = at
			if swallow {
				begin = at + size
			}
		}
		at += size
		if s.broken {
			break // nothing behind it is the client's to see
		}
	}
	var err error
	switch {
	case s.lost.Load():
	case scratch != nil:
		if *scratch = append(*scratch, window[begin:at]...); len(*scratch) > 0 {
			err = s.toClient(*scratch)
		}
	case at > 0:
		err = s.toClient(window[:at])
	}
	s.back.Advance(at)
	if err != nil {
		return s.clientGone(err)
	}
	if s.broken {
		return errPromise
	}
	if s.draining.Load() {
		s.mu.Lock()
		idle := s.idleLocked()
		s.mu.Unlock()
		if idle {
			return errDraining
		}
	}
	return nil
}

// errPromise ends a session whose upstream refused to begin a block that its client believes in: what the client sends
// next must not run outside of one.
var errPromise = errors.New("upstream refused to begin a promised transaction")

// errDraining ends a session whose node is shutting down, once it is idle.
var errDraining = errors.New("session drained")

// clientGone is called when the client takes no more. Where the outcome of a write is to be read, reading goes on.
func (s *Session) clientGone(err error) error {
	s.client.Close()
	s.mu.Lock()
	waiting := s.home != nil && s.home.undecided(&s.mu.queue)
	s.mu.Unlock()
	if waiting {
		s.lost.Store(true)
		return nil
	}
	return err
}

// passesInParts reports whether an unfinished message is passed on as it comes.
func (s *Session) passesInParts(kind byte, size int) bool {
	if s.confused.Load() {
		return kind != wire.ReadyForQuery && (kind != wire.ParameterStatus || size > upstreamWindow)
	}
	return (kind == wire.DataRow || kind == wire.CopyData || kind == wire.FunctionCallResponse) && size > streamed
}

// row returns the fill that a row belongs to.
func (s *Session) row(kind byte) *fill {
	if s.confused.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.headLocked()
	if head == nil || head.kind != wire.Query && head.kind != wire.Execute && head.kind != wire.FunctionCall {
		s.confuse("row that belongs to no statement")
		return nil
	}
	if kind != wire.DataRow {
		head.fill.drop()
		return nil
	}
	return head.fill
}

// tee adds bytes of a result to its fill, within the bounds of one entry and of the session.
func (s *Session) tee(f *fill, m []byte) {
	if f == nil {
		return
	}
	if s.reply.teed+len(m) > maxTeed*s.Cache.MaxEntryBytes() {
		f.drop()
		return
	}
	s.reply.teed += f.add(m, s.Cache.MaxEntryBytes())
}

// headLocked returns the item that the next reply belongs to.
func (s *Session) headLocked() *expected {
	for {
		head := s.mu.queue.first()
		if head == nil || head.kind != copyEnd {
			return head
		}
		s.mu.queue.pop()
	}
}

// fromBackend takes in one whole message. It returns what goes to the client before it, and whether it is swallowed.
func (s *Session) fromBackend(ctx context.Context, kind byte, m []byte) (before []byte, swallow bool) {
	body := m[wire.HeaderSize:]
	switch kind {
	case wire.DataRow, wire.CopyData:
		s.tee(s.row(kind), m)
		return nil, false
	case wire.ParameterStatus:
		return nil, s.parameter(body)
	case wire.NoticeResponse:
		s.reply.noticed = true
		return nil, false
	case wire.NotificationResponse:
		return nil, false
	case wire.ReadyForQuery:
		if len(body) == 1 {
			return s.ready(ctx, body[0])
		}
	}
	if s.confused.Load() {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.mu.room.Signal()
	head := s.headLocked()
	if kind == wire.ErrorResponse {
		return nil, s.failedLocked(head, m)
	}
	if head == nil {
		s.confuse("reply that nothing asked for")
		return nil, false
	}
	if head.kind == startup {
		if kind == wire.BackendKeyData && s.cancelKey == "" {
			s.cancelKey = string(body)
			s.Cancels.add(s.cancelKey, s)
		}
		if kind == wire.Authentication && s.Analysis != nil {
			if _, ok := s.upstream.(*tls.Conn); ok {
				if other := withoutBinding(m); len(other) != len(m) {
					return other, true
				}
			}
		}
		if kind == wire.Authentication && len(body) == 4 && body[0]|body[1]|body[2]|body[3] == 0 {
			// Authenticated: the client may take its time from here on.
			if err := s.client.SetReadDeadline(time.Time{}); err != nil {
				s.confuse("client's deadline cannot be cleared")
			}
		}
		return nil, false
	}
	injected := head.injected
	if !s.replyLocked(head, kind, m) {
		s.confuse("reply of another kind than expected")
		return nil, false
	}
	return nil, injected
}

// replyLocked matches a reply with the head of the queue. It reports false where they do not belong together.
func (s *Session) replyLocked(head *expected, kind byte, m []byte) bool {
	switch kind {
	case wire.ParseComplete:
		if head.kind != wire.Parse {
			return false
		}
		if head.behind != nil && head.behind != &s.mu.unnamed { // which may be another by now
			head.behind.raw = nil
		}
		s.mu.queue.pop()
		return true
	case wire.BindComplete, wire.CloseComplete:
		if kind == wire.BindComplete && head.kind != wire.Bind || kind == wire.CloseComplete && head.kind != wire.Close {
			return false
		}
		s.mu.queue.pop()
		return true
	case wire.ParameterDescription:
		if head.kind != wire.Describe || !head.ofStatement {
			return false
		}
		s.teeDescription(head.fill, m)
		return true
	case wire.RowDescription, wire.NoData:
		return s.describedLocked(head, kind, m)
	case wire.CommandComplete, wire.EmptyQueryResponse, wire.PortalSuspended:
		return s.completeLocked(head, kind, m)
	case wire.CopyInResponse:
		if head.kind != wire.Query && head.kind != wire.Execute {
			return false
		}
		head.fill.drop()
		open, ok := s.mu.queue.enterCopy()
		s.mu.copying = open
		s.mu.open = s.mu.open || open && head.kind == wire.Execute // the Sync that was sent is ignored
		return ok
	case wire.CopyOutResponse:
		head.fill.drop()
		s.mu.copyingOut = head.kind == wire.Query || head.kind == wire.Execute
		return s.mu.copyingOut
	case wire.CopyDone:
		return head.kind == wire.Query || head.kind == wire.Execute
	case wire.FunctionCallResponse:
		return head.kind == wire.FunctionCall
	}
	return false
}

// describedLocked takes in the description of a result, or that there is none.
func (s *Session) describedLocked(head *expected, kind byte, m []byte) bool {
	if head.kind == wire.Query && kind == wire.RowDescription {
		s.tee(head.fill, m)
		return true
	}
	if head.kind != wire.Describe {
		return false
	}
	s.teeDescription(head.fill, m)
	if head.ofStatement {
		if len(s.reply.results) >= maxQueue {
			return false
		}
		if head.fill != nil {
			head.fill.complete = true
		}
		s.reply.results = append(s.reply.results, result{d: head.d, fill: head.fill, describe: true})
	}
	s.mu.queue.pop()
	return true
}

// teeDescription adds what describes a result or a statement to a fill.
func (s *Session) teeDescription(f *fill, m []byte) {
	if f == nil || f.dead {
		return
	}
	if len(f.rowDescription)+len(m) > s.Cache.MaxEntryBytes() {
		f.drop()
		return
	}
	f.rowDescription = append(f.rowDescription, m...)
	s.reply.teed += len(m)
}

// maxTags bounds the command tags that are kept of one text of several statements.
const maxTags = 64

// completeLocked takes in the end of one statement.
func (s *Session) completeLocked(head *expected, kind byte, m []byte) bool {
	if head.kind != wire.Query && head.kind != wire.Execute {
		return false
	}
	r := result{d: head.d, fill: head.fill, injected: head.injected, why: head.why}
	if !head.injected {
		s.mu.last = last{outcome: underWay}
	}
	if kind == wire.CommandComplete {
		if tag, rest, ok := wire.CutString(m[wire.HeaderSize:]); ok && len(rest) == 0 && len(tag) <= 64 {
			r.tag = string(tag)
		}
		s.tee(r.fill, m)
		if r.fill != nil {
			r.fill.complete = true
		}
	} else {
		r.fill.drop()
	}
	s.mu.copying, s.mu.copyingOut = false, false
	switch {
	case s.reply.inQuery:
		// A text of several statements has one descriptor and no result that is kept.
		last := &s.reply.results[len(s.reply.results)-1]
		last.fill.drop()
		if len(last.more) < maxTags {
			last.more = append(last.more, r.tag)
		}
	case len(s.reply.results) >= maxQueue:
		return false // more statements without a Sync than anybody follows
	default:
		s.reply.results = append(s.reply.results, r)
		s.reply.inQuery = head.kind == wire.Query
	}
	if head.kind == wire.Execute {
		s.mu.queue.pop()
	}
	return true
}

// failedLocked takes in an ErrorResponse. head is what it answers; nil where the backend speaks of its own accord. It
// reports whether the error is not the client's.
func (s *Session) failedLocked(head *expected, m []byte) (swallow bool) {
	s.reply.failed, s.reply.code = true, errorCode(m)
	s.mu.copying, s.mu.copyingOut = false, false
	if head == nil || head.kind == startup || head.kind == wire.Sync {
		return false
	}
	switch {
	case head.tolerated && errorCode(m) == wire.CodeInFailedTransaction:
		swallow = true
	case head.begins || head.tolerated:
		s.broken, swallow = true, true
	case head.behind != nil:
		// The client has been told that the statement is there: it hears of the error when it uses it.
		head.behind.upstream, swallow = false, true
	}
	head.fill.drop()
	switch head.kind {
	case wire.Query, wire.FunctionCall:
		if s.reply.inQuery {
			s.reply.results[len(s.reply.results)-1].failed = true
		} else if head.d != nil {
			s.reply.results = append(s.reply.results, result{d: head.d, failed: true, refused: !head.d.Many && refused(m)})
		}
		return swallow
	case wire.Execute:
		if head.d != nil {
			s.reply.results = append(s.reply.results, result{d: head.d, failed: true})
		}
	}
	s.skipLocked()
	return swallow
}

// skipLocked drops what the backend skips after an error in an extended query, the message at the head included, and
// takes back what its messages would have changed.
func (s *Session) skipLocked() {
	var names map[string]*prepared // the statements that names stood for before
	s.mu.queue.skipToSync(func(e *expected) {
		e.fill.drop()
		s.mu.stalePortal = s.mu.stalePortal || e.stale
		if e.resent != nil {
			e.resent.upstream = false
		}
		if !e.names() {
			return
		}
		if names == nil {
			names = map[string]*prepared{}
		}
		if _, ok := names[e.name]; !ok {
			names[e.name] = e.old
		}
	})
	s.mu.skipping = s.mu.queue.first() == nil
	if names == nil {
		return
	}
	for name, old := range names {
		switch by, renamed := s.mu.queue.renames(name); {
		case !renamed:
			s.restoreLocked(name, old)
		case by != nil:
			by.old = old // what the name stands for now is that message's
		}
	}
	s.doubtSkippedLocked(names)
}

// errorCode returns the SQLSTATE of an ErrorResponse, or nothing.
func errorCode(m []byte) string { return errorField(m, 'C') }

// errorField returns a field of an ErrorResponse (PostgreSQL 18, section 54.8), or nothing.
func errorField(m []byte, of byte) string {
	for body := m[wire.HeaderSize:]; len(body) > 1; {
		field := body[0]
		value, rest, ok := wire.CutString(body[1:])
		if !ok {
			return ""
		}
		if field == of {
			return string(value)
		}
		body = rest
	}
	return ""
}

// refused reports whether an ErrorResponse says that the analysis of a statement of its own found a mistake in it (class
// 42, but for missing privileges), so that nothing of it was executed: it points into the text, and no function was
// running.
func refused(m []byte) bool {
	code := errorCode(m)
	return strings.HasPrefix(code, "42") && code != "42501" &&
		errorField(m, 'P') != "" && errorField(m, 'p') == "" && errorField(m, 'q') == "" && errorField(m, 'W') == ""
}

// ready takes in a ReadyForQuery: what became visible is published, results are kept, and the queue moves on. It
// returns the facts that go before it, where the client is an edge, and whether it is not the client's.
func (s *Session) ready(ctx context.Context, status byte) (before []byte, swallow bool) {
	var sent invalidation.Instant
	var call *statement.Descriptor
	s.mu.Lock()
	following := !s.confused.Load()
	if following {
		head := s.headLocked()
		switch {
		case head == nil || head.kind != wire.Query && head.kind != wire.Sync && head.kind != wire.FunctionCall && head.kind != startup:
			s.confuse("end of a cycle that nothing asked for")
			following = false
		case head.kind == wire.FunctionCall:
			call = head.d
		}
		if following {
			sent, swallow = head.sent, head.injected
		}
	}
	s.mu.Unlock()
	if call != nil && len(s.reply.results) == 0 {
		s.reply.results = append(s.reply.results, result{d: call})
	}

	var kept bool
	if s.Analysis != nil {
		before, kept = s.home.finish(ctx, status, following, !swallow)
	} else {
		kept = s.learn(status, following, !swallow)
	}
	s.land()
	if kept {
		took := time.Duration(invalidation.Now() - sent)
		s.Counters.pace.note(took)
		if s.ObserveMiss != nil {
			s.ObserveMiss(took)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if following {
		s.mu.queue.pop()
		s.mu.copying, s.mu.copyingOut = false, false
	}
	if !swallow {
		s.mu.status = status
		s.mu.answered = s.mu.answered && status != wire.Idle
	}
	if status == wire.Idle && s.mu.queue.len() == 0 {
		clear(s.mu.portals)
		s.mu.stalePortal = false
	}
	r := &s.reply
	clear(r.results)
	*r = reply{status: status, results: r.results[:0]}
	if cap(r.results) > maxKeptItems {
		r.results = nil
	}
	s.mu.room.Signal()
	return before, swallow
}

// keepable reports whether the cycle is one whose results may be kept at all. Whether a block is one that may be kept
// from is the home's to know.
func (s *Session) keepable(status byte) bool {
	return status != wire.Failed && !s.reply.failed && !s.reply.noticed
}

// keepLocked reports whether a fill is whole and its key still the session's.
func (s *Session) keepLocked(f *fill) bool {
	return f != nil && !f.dead && f.complete && !s.mu.state.private && f.serial == s.mu.state.serial
}
