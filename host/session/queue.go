package session

import (
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// maxQueue bounds the replies that a session waits for; the client's loop stops reading at it until some have come.
const maxQueue = 1 << 14

// spareQueue is how much of it is free before a message of the client's is looked at: what goes with it has its place then.
const spareQueue = 16

// startup is the kind of the item that the first ReadyForQuery answers; copyEnd that of a CopyDone or CopyFail, which
// has no reply of its own.
const (
	startup = 0
	copyEnd = wire.CopyDone
)

// expected is one message that was sent upstream and whose reply has not come.
type expected struct {
	// kind is the message's type, or startup.
	kind byte
	// injected is set for a message of ours: its reply is not the client's.
	injected bool
	// begins is set for an injected message that begins the block which the client was promised.
	begins bool
	// behind is the statement that an injected Parse makes, whose ParseComplete the client already has.
	behind *prepared
	// resent is the statement that an injected Parse makes, which the client has had for long.
	resent *prepared
	// tolerated is set for an injected message that is refused where the block has failed already.
	tolerated bool
	// old is the statement whose name a Parse or Close takes; it stays where the backend skips or refuses the message.
	old *prepared
	// stale is set for a Bind that replaces a portal of which the client knows nothing.
	stale bool
	// ofStatement is set for the Describe or Close of a statement.
	ofStatement bool
	// portal is what a Bind makes and an Execute runs; nil where it is not known.
	portal *portal
	// name is the statement's name, for a Parse or Close.
	name string
	// fill collects the reply of a Query, an Execute or the Describe of a portal; nil: it is not kept.
	fill *fill
	// d is the descriptor of a Query or an Execute, at a home.
	d *statement.Descriptor
	// why is why the result of a Query or an Execute will not be kept; empty where it may be.
	why string
	// sent is when a Query or Sync was sent.
	sent invalidation.Instant
}

// names reports whether the message is one of the client's that changes what a statement's name stands for.
func (e *expected) names() bool {
	return !e.injected && (e.kind == wire.Parse || e.kind == wire.Close && e.ofStatement)
}

// unsettles reports whether a setting may be another once the message was answered.
func (e *expected) unsettles() bool {
	switch e.kind {
	case wire.Query, wire.Execute:
	case wire.FunctionCall:
		return true
	default:
		return false
	}
	d := e.d
	if d == nil {
		return !e.begins
	}
	return len(d.Settings) > 0 || d.Untracked || d.Discard || d.Executes != "" || d.Many && d.Parts == nil ||
		d.Control != statement.ControlNone && d.Control != statement.ControlBegin && d.Control != statement.ControlSavepoint
}

// queue is the expected replies in their order. Guarded by Session.mu.
type queue struct {
	items []expected
	head  int
	// injected counts the items that are.
	injected int
}

func (q *queue) len() int { return len(q.items) - q.head }

// owed is how many replies the client waits for.
func (q *queue) owed() int { return q.len() - q.injected }

func (q *queue) push(e expected) {
	if e.injected {
		q.injected++
	}
	q.items = append(q.items, e)
}

func (q *queue) first() *expected {
	if q.head == len(q.items) {
		return nil
	}
	return &q.items[q.head]
}

func (q *queue) pop() {
	if q.items[q.head].injected {
		q.injected--
	}
	q.items[q.head] = expected{}
	q.head++
	if q.head == len(q.items) {
		if cap(q.items) > maxKeptItems {
			q.items = nil
		}
		q.items, q.head = q.items[:0], 0
		return
	}
	if q.head >= 1024 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}

// skipToSync drops what the backend skips after an error in the extended protocol, calling dropped for each.
func (q *queue) skipToSync(dropped func(*expected)) {
	for e := q.first(); e != nil && e.kind != wire.Sync; e = q.first() {
		dropped(e)
		q.pop()
	}
}

// mayBeSkipped reports whether a message that is pushed now stands behind others that an error may make the backend skip.
func (q *queue) mayBeSkipped() bool {
	if q.len() == 0 {
		return false
	}
	last := &q.items[len(q.items)-1]
	return last.kind != wire.Sync && last.kind != startup
}

// renames reports whether one of the messages changes what a statement's name stands for. It returns the first that
// names it; nil where that is a simple query, which ends the unnamed statement.
func (q *queue) renames(name string) (by *expected, renames bool) {
	for i := q.head; i < len(q.items); i++ {
		switch e := &q.items[i]; {
		case e.names() && e.name == name:
			return e, true
		case name == "" && e.kind == wire.Query:
			return nil, true
		}
	}
	return nil, false
}

// enterCopy takes out of the queue the Syncs that the backend ignores while it reads copy data, for the statement at
// its head. It reports whether the end of the data is still to come, and false for ok where the queue holds what
// ends copying with an error, whose effect on the replies is not followed.
func (q *queue) enterCopy() (open, ok bool) {
	kept := q.items[:q.head+1]
	rest := q.items[q.head+1:]
	for i, e := range rest {
		if e.kind == copyEnd {
			q.items = append(kept, rest[i:]...)
			return false, true
		}
		if e.kind != wire.Sync {
			return false, false
		}
	}
	clear(rest)
	q.items = kept
	return true, true
}
