package registry

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// maxPending bounds the requests of one edge that wait for certainty.
const maxPending = 16

// maxNameBytes bounds the relation names of one message, so that a reader can cap what it accepts as one. More
// than that is sent as several messages.
const maxNameBytes = 64 << 10

// Member is one registration. Next has one caller at a time; everything else is safe for concurrent use.
type Member struct {
	registry *Registry
	hello    Hello
	resumed  bool
	since    time.Time
	wake     <-chan struct{} // the log has grown
	stop     func()          // ends the subscription behind wake
	asked    chan struct{}   // one slot: a lease was asked for, or may be granted
	done     chan struct{}   // closed by end

	// What only the caller of Next touches.
	queue   []Message            // the rest of the batch that is being sent: at most one batch
	read    invalidation.Version // how far the log was read
	reached invalidation.Version // version of the last Invalidation made, or where the stream began

	mu struct {
		sync.Mutex
		reason     error     // why the registration ended
		pending    []request // in the order of their moments, at most maxPending
		applied    invalidation.Version
		sent       invalidation.Version
		events     uint64
		leaseUntil time.Time
	}
}

// request is a lease that was asked for and is not granted yet.
type request struct {
	nonce string
	at    invalidation.Instant
	wall  time.Time // the same moment, for people
}

func newMember(r *Registry, hello Hello, wake <-chan struct{}, stop func()) *Member {
	m := &Member{
		registry: r, hello: hello, since: time.Now(), wake: wake, stop: stop,
		asked: make(chan struct{}, 1), done: make(chan struct{}),
	}
	m.resumed = hello.Resume && r.knows(hello)
	if m.resumed {
		m.read = hello.After
		m.mu.applied = hello.After
	} else {
		m.read = r.log.Last()
	}
	m.reached = m.read
	m.mu.sent = m.read
	m.queue = append(m.queue, Registered{
		Epoch: r.log.Epoch(), Version: m.read, Resumed: m.resumed, MaxStaleness: r.maxStaleness,
	})
	if hello.Resume && !m.resumed {
		reason := "the position asked for is not one of this log"
		if hello.Epoch != "" && hello.Epoch != r.log.Epoch() {
			reason = "the epoch asked for is not this log's: the home has started anew"
		}
		m.queue = append(m.queue, Reset{Epoch: r.log.Epoch(), Version: m.read, Reason: reason})
	}
	return m
}

// Next returns the next message of the stream, and waits for one where there is none. Its error is the context's,
// or says why the registration ended: [ErrReplaced], [ErrRemoved] or [ErrClosed].
func (m *Member) Next(ctx context.Context) (Message, error) {
	for {
		select {
		case <-m.done:
			return nil, m.ended()
		default:
		}
		if len(m.queue) == 0 {
			m.fill()
		}
		if len(m.queue) > 0 {
			msg := m.queue[0]
			m.queue[0] = nil
			m.queue = m.queue[1:]
			m.given(msg)
			return msg, nil
		}
		select {
		case <-m.done:
		case <-m.wake:
		case <-m.asked:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fill reads the next batch into the empty queue: what lies behind the position, then the grant.
//
// The request is taken before the log is read. So whatever was appended before the request came, or before its moment was
// certified, is in this batch, or was in an earlier one, and stands before the grant (R6).
func (m *Member) fill() {
	asked := m.take()
	events, last := m.registry.log.Since(m.read)
	m.queue = nil
	for _, e := range split(invalidation.Merge(events)) {
		m.queue = append(m.queue, Invalidation{Event: e, After: m.reached, Position: m.read})
		m.reached = e.Version
	}
	if n := len(m.queue); n > 0 {
		// The batch is in the order of versions, so its last is the newest event: it stands for the position.
		final := m.queue[n-1].(Invalidation)
		final.Event.Version, final.Position = last, last
		m.queue[n-1] = final
		m.reached = last
	}
	m.read = last
	if asked != nil {
		m.queue = append(m.queue, Grant{Nonce: asked.nonce, Position: last, asked: asked.wall})
	}
}

// take takes the newest lease that was asked for while the log is certain, and forgets those before it.
func (m *Member) take() *request {
	certified := invalidation.Instant(m.registry.certified.Load())
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.mu.pending)
	for n > 0 && m.mu.pending[n-1].at > certified {
		n--
	}
	if n == 0 {
		return nil
	}
	asked := m.mu.pending[n-1]
	m.mu.pending = slices.Delete(m.mu.pending, 0, n)
	return &asked
}

// given notes what the stream is about to be given.
func (m *Member) given(msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch msg := msg.(type) {
	case Invalidation:
		m.mu.events++
		m.mu.sent = msg.Position
	case Grant:
		m.mu.leaseUntil = msg.asked.Add(m.registry.maxStaleness)
	}
}

// split returns events with none that names more than maxNameBytes of relations.
func split(events []invalidation.Event) []invalidation.Event {
	var parts []invalidation.Event
	for _, e := range events {
		first, bytes := 0, 0
		for i, table := range e.Tables {
			if i > first && bytes+len(table) > maxNameBytes {
				parts = append(parts, invalidation.Event{Version: e.Version, Database: e.Database, Tables: e.Tables[first:i]})
				first, bytes = i, 0
			}
			bytes += len(table)
		}
		e.Tables = e.Tables[first:]
		parts = append(parts, e)
	}
	return parts
}

func (m *Member) renew(nonce string, applied invalidation.Version) {
	m.mu.Lock()
	// Read under the lock, so that the moments are in order. Where too many wait, the newest makes room: the oldest is the
	// first to be granted, and is never put off.
	asked := request{nonce: nonce, at: invalidation.Now(), wall: time.Now()}
	if n := len(m.mu.pending); n < maxPending {
		m.mu.pending = append(m.mu.pending, asked)
	} else {
		m.mu.pending[n-1] = asked
	}
	m.mu.applied = max(m.mu.applied, applied)
	m.mu.Unlock()
	m.poke()
}

// poke has Next look again.
func (m *Member) poke() {
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

func (m *Member) info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Info{
		ID: m.hello.ID, Region: m.hello.Region, Remote: m.hello.Remote,
		Version: m.mu.applied, Sent: m.mu.sent, Connected: m.since, Events: m.mu.events, LeaseUntil: m.mu.leaseUntil,
	}
}

// Close ends the registration and takes the edge out of the registry, unless a newer registration has its place.
// It may be called more than once.
func (m *Member) Close() {
	m.end(ErrClosed)
	m.registry.leave(m)
}

func (m *Member) end(reason error) {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.reason != nil {
		return
	}
	m.mu.reason = reason
	close(m.done)
}

func (m *Member) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.reason
}
