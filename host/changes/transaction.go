package changes

import (
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// Transaction follows what one session has written and not yet made visible. The zero value is a session outside a
// transaction block that has written nothing. It is used by one goroutine at a time.
type Transaction struct{ pending statement.Closure }

// Cycle is what lies between two ReadyForQuery: a simple query, or the messages up to a Sync.
type Cycle struct {
	// Writes is the union of what the statements that were sent may change, whether or not each was reached.
	Writes statement.Closure
	// Texts is how many texts were sent, and Many is set where one of them holds several statements.
	Texts int
	Many  bool
	// Control is what the only statement does to the block; ControlMany where several statements were sent and one
	// of them controls the transaction.
	Control statement.Control
	// Immediate is set where a statement may have effects that do not wait for the end of the transaction, or that
	// a rollback does not undo (CALL, DO, a function that nobody knows).
	Immediate bool
	// Failed is set where an ErrorResponse was read, Completed where the end of a statement was.
	Failed, Completed bool
	// Tag is the last command tag read.
	Tag string
	// Before and After are the transaction statuses around the cycle, as ReadyForQuery spells them.
	Before, After byte
}

// Add counts a text into the cycle.
func (c *Cycle) Add(d *statement.Descriptor) {
	c.Writes = c.Writes.Union(d.Writes)
	c.Texts++
	c.Many = c.Many || d.Many
	c.Immediate = c.Immediate || Immediate(d)
	switch {
	case d.Chain:
		c.Control = statement.ControlMany // it ends one transaction and begins the next
	case c.Texts == 1:
		c.Control = d.Control
	case d.Control != statement.ControlNone || c.Control != statement.ControlNone:
		c.Control = statement.ControlMany
	}
}

// Immediate reports whether a statement may have effects that do not wait for the end of its transaction, or that its
// own failure does not undo. A text that the parser did not understand, and that failed, was most likely not understood
// by Postgres either: it counts only where it begins like one that may commit on its own.
func Immediate(d *statement.Descriptor) bool {
	if d.Verdict != statement.Opaque || !d.Writes.Anything {
		return false
	}
	return d.Fingerprint != 0 || d.Command == "" || d.Command == "CALL" || d.Command == "DO"
}

// Finish takes in a cycle whose ReadyForQuery was read and returns what has become visible with it. An empty closure
// means that nothing has.
func (t *Transaction) Finish(c Cycle) statement.Closure {
	single := c.Texts <= 1 && !c.Many && c.Control != statement.ControlMany
	outside := c.Before == wire.Idle
	if c.Failed && !c.Completed && c.Texts <= 1 && outside && !c.Immediate {
		// The first statement of an implicit transaction failed: Postgres undid it, and ran no other.
		c.Writes = statement.Closure{}
	}
	t.pending = t.pending.Union(c.Writes)
	if c.After == wire.Idle {
		visible := t.pending
		t.pending = statement.Closure{}
		if single && !outside && !c.Immediate && undone(c) {
			return statement.Closure{}
		}
		return visible
	}
	// Still, or again, in a block. What the cycle itself may have committed on the way is visible.
	if c.Control == statement.ControlMany || c.Control == statement.ControlCommit {
		visible := t.pending
		t.pending = c.Writes
		return visible
	}
	if c.Immediate {
		return c.Writes
	}
	return statement.Closure{}
}

// undone reports whether the cycle, a single statement inside a block that has ended, ended it without a commit.
func undone(c Cycle) bool {
	switch c.Control {
	case statement.ControlRollback, statement.ControlCommit:
		// COMMIT of a failed transaction answers ROLLBACK.
		return c.Tag == "ROLLBACK"
	case statement.ControlPrepare:
		// Visible at COMMIT PREPARED, which may change anything; a PREPARE that failed has rolled back.
		return c.Tag == "PREPARE TRANSACTION" || c.Tag == "ROLLBACK"
	default:
		return false
	}
}

// Lose ends the transaction of a session whose connection was lost with cycles in flight, and returns what may have
// become visible: the outcome is not known, so all of it counts (R9).
func (t *Transaction) Lose(inFlight statement.Closure) statement.Closure {
	// What was sent in a block and not committed is rolled back by Postgres, unless a commit was in flight too.
	all := t.pending.Union(inFlight)
	t.pending = statement.Closure{}
	return all
}

// Pending returns what has been written and not yet been made visible.
func (t *Transaction) Pending() statement.Closure { return t.pending }
