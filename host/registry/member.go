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
	told    map[uint64]struct{}  // the holds that the stream has named and not ended
	begun   bool                 // the first batch was made

	mu struct {
		sync.Mutex
		reason     error     // why the registration ended
		pending    []request // in the order of their moments, at most maxPending
		applied    invalidation.Version
		changed    chan struct{} // closed and replaced when applied moves; nil: nobody waits
		sent       invalidation.Version
		events     uint64
		leaseUntil time.Time
		// promised is when the last lease surely ends that was granted or is about to be, to this registration or to an
		// earlier one of the same process.
		promised time.Time
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
		asked: make(chan struct{}, 1), done: make(chan struct{}), told: map[uint64]struct{}{},
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
	batch := m.registry.log.Batch(m.read)
	m.queue = nil
	ended, all := m.fillHolds(batch)
	for _, e := range split(invalidation.Merge(batch.Events)) {
		m.queue = append(m.queue, Invalidation{Event: e, After: m.reached, Position: m.read})
		m.reached = e.Version
	}
	if len(ended) > 0 || all {
		m.queue = append(m.queue, Holds{Ended: ended, All: all, Position: m.read})
	}
	if n := len(m.queue); n > 0 {
		// The last message of the batch stands for the position.
		switch final := m.queue[n-1].(type) {
		case Invalidation:
			final.Position = batch.Last
			m.queue[n-1] = final
		case Holds:
			final.Position = batch.Last
			m.queue[n-1] = final
		}
	}
	m.read, m.begun = batch.Last, true
	if asked != nil {
		m.queue = append(m.queue, Grant{Nonce: asked.nonce, Position: batch.Last, asked: asked.wall})
	}
}

// fillHolds queues the holds that began, and returns those that ended, and whether the stream has now named all.
func (m *Member) fillHolds(batch invalidation.Batch) (ended []uint64, all bool) {
	holds := batch.Holds
	if all = !m.begun && m.registry.log.EverHeld(); all {
		// The position may lie behind the last change of the holds, of which this stream has said nothing.
		holds = m.registry.log.Floors().Holds()
	} else if !batch.HoldsChanged {
		return nil, false
	}
	inForce := make(map[uint64]struct{}, len(holds))
	var begun []invalidation.Hold
	size := 0
	for _, h := range holds {
		inForce[h.ID] = struct{}{}
		if _, ok := m.told[h.ID]; ok {
			continue
		}
		if names := nameBytes(h); size > 0 && size+names > maxNameBytes {
			m.queue = append(m.queue, Holds{Begun: begun, Position: m.read})
			begun, size = nil, 0
		}
		begun = append(begun, clipped(h))
		size += nameBytes(h)
	}
	if len(begun) > 0 {
		m.queue = append(m.queue, Holds{Begun: begun, Position: m.read})
	}
	for id := range m.told {
		if _, ok := inForce[id]; !ok {
			ended = append(ended, id)
		}
	}
	slices.Sort(ended)
	m.told = inForce
	return ended, all
}

// holdBytes is what a hold counts beside its names.
const holdBytes = 64

func nameBytes(h invalidation.Hold) int {
	size := holdBytes
	for _, table := range h.Tables {
		size += len(table)
	}
	return size
}

// clipped returns a hold of the whole database where the relations are too many to name.
func clipped(h invalidation.Hold) invalidation.Hold {
	if nameBytes(h) > maxNameBytes {
		h.Tables = nil
	}
	return h
}

// take takes the newest lease that was asked for while the log is certain, and forgets those before it. From here on it counts as granted: a hold that begins now, behind the batch
// that the grant will follow, has to wait for it.
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
	m.promiseLocked(m.registry.until(asked.wall))
	return &asked
}

func (m *Member) promiseLocked(until time.Time) {
	if until.After(m.mu.promised) {
		m.mu.promised = until
	}
}

// given notes what the stream is about to be given.
func (m *Member) given(msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch msg := msg.(type) {
	case Invalidation:
		m.mu.events++
		m.mu.sent = msg.Position
	case Holds:
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
	if nonce != "" {
		// Read under the lock, so that the moments are in order. Where too many wait, the newest makes room: the oldest is the
		// first to be granted, and is never put off.
		asked := request{nonce: nonce, at: invalidation.Now(), wall: time.Now()}
		if n := len(m.mu.pending); n < maxPending {
			m.mu.pending = append(m.mu.pending, asked)
		} else {
			m.mu.pending[n-1] = asked
		}
	}
	if applied > m.mu.applied {
		m.mu.applied = applied
		if m.mu.changed != nil {
			close(m.mu.changed)
			m.mu.changed = nil
		}
	}
	m.mu.Unlock()
	if nonce != "" {
		m.poke()
	}
}

// poke has Next look again.
func (m *Member) poke() {
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

// state returns how far the edge says it is, when its leases have surely ended, and what is closed when it says more.
func (m *Member) state() (applied invalidation.Version, promised time.Time, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.changed == nil {
		m.mu.changed = make(chan struct{})
	}
	return m.mu.applied, m.mu.promised, m.mu.changed
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
