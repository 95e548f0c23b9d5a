package changes

import (
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// Transaction follows what one session has written and not yet made visible, statement by statement as Postgres
// confirms them. The zero value is a session outside a transaction block that has written nothing. It is used by one
// goroutine at a time.
type Transaction struct {
	// pending was written and is not visible; visible has become so since the last End.
	pending, visible statement.Closure
	// block is set inside a transaction block, as the statements tell; other once the transaction has done something
	// else than read.
	block, other bool
}

// Completed takes in a statement that Postgres has completed with a command tag. It is never one of a text of several
// whose parts are not known: see Unfollowed.
func (t *Transaction) Completed(d *statement.Descriptor, tag string) {
	t.note(d)
	switch d.Control {
	case statement.ControlBegin:
		if !t.block {
			// What the implicit transaction wrote before joins the block in a text, and may have been committed in a
			// pipeline.
			t.visible = t.visible.Union(t.pending)
			t.block = true
		}
	case statement.ControlCommit, statement.ControlRollback:
		// COMMIT of a failed transaction answers ROLLBACK.
		if tag != "ROLLBACK" {
			t.visible = t.visible.Union(t.pending)
		}
		t.pending = statement.Closure{}
		t.block, t.other = d.Chain, false
	case statement.ControlPrepare:
		// Visible at COMMIT PREPARED, which may change anything. One that failed has rolled back.
		if tag != "PREPARE TRANSACTION" && tag != "ROLLBACK" {
			t.visible = t.visible.Union(t.pending)
		}
		t.pending = statement.Closure{}
		t.block, t.other = false, false
	default:
		t.pending = t.pending.Union(d.Writes)
		if Immediate(d) {
			t.visible = t.visible.Union(d.Writes)
		}
	}
}

// Failed takes in a statement that Postgres answered with an error: it undid it, but for what did not wait.
func (t *Transaction) Failed(d *statement.Descriptor) {
	t.note(d)
	if Immediate(d) {
		t.pending = t.pending.Union(d.Writes)
		t.visible = t.visible.Union(d.Writes)
	}
}

// Unfollowed takes in statements of which some were completed and some may not have been, or which controlled the
// transaction in an order that is not known: all they may change counts as visible, and may still become so again.
func (t *Transaction) Unfollowed(writes statement.Closure) {
	t.other = true
	t.pending = t.pending.Union(writes)
	t.visible = t.visible.Union(t.pending)
}

// End takes in a ReadyForQuery with its transaction status, and returns what has become visible since the last one.
func (t *Transaction) End(status byte) statement.Closure {
	if status == wire.Idle || !t.block {
		// An implicit transaction has ended. Where it failed, Postgres undid what its statements wrote, but not what
		// one committed that does so on its own: that is not told apart here. Any other way out of or into a block was not
		// seen among the statements.
		t.visible = t.visible.Union(t.pending)
	}
	t.block = status != wire.Idle
	if !t.block {
		t.pending, t.other = statement.Closure{}, false
	}
	visible := t.visible
	t.visible = statement.Closure{}
	return visible
}

// note keeps in mind whether the transaction has only read.
func (t *Transaction) note(d *statement.Descriptor) {
	switch {
	case d.Many:
		t.other = true
	case d.Verdict == statement.Read || d.Verdict == statement.Unstable:
	case d.Verdict == statement.Session && d.Writes.Empty() && !d.Untracked && (d.Control != statement.ControlNone || len(d.Settings) > 0):
	default:
		t.other = true
	}
}

// OnlyRead reports whether the transaction at hand has done nothing but read, and set settings that are followed.
func (t *Transaction) OnlyRead() bool { return !t.other && t.pending.Empty() && t.visible.Empty() }

// Immediate reports whether a statement may have effects that do not wait for the end of its transaction, or that its
// own failure does not undo. A text that the parser did not understand, and that failed, was most likely not understood
// by Postgres either: it counts only where it begins like one that may commit on its own.
func Immediate(d *statement.Descriptor) bool {
	if d.Verdict != statement.Opaque || !d.Writes.Anything {
		return false
	}
	return d.Fingerprint != 0 || d.Command == "" || d.Command == "CALL" || d.Command == "DO"
}

// Lose ends the transaction of a session whose connection was lost with cycles in flight, and returns what may have
// become visible: the outcome is not known, so all of it counts (R9).
func (t *Transaction) Lose(inFlight statement.Closure) statement.Closure {
	// What was sent in a block and not committed is rolled back by Postgres, unless a commit was in flight too.
	all := t.pending.Union(t.visible).Union(inFlight)
	*t = Transaction{}
	return all
}

// Pending returns what has been written and not yet been made visible.
func (t *Transaction) Pending() statement.Closure { return t.pending }
