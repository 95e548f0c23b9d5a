package session

import (
	"context"
	"fmt"
	"slices"

	"github.com/perihelion-proxy/perihelion/host/changes"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// holding is what a home's session keeps out of every node's memory, in a database that is strong: from before a message
// is sent that may make a write visible until its outcome is known and published (R11).
type holding struct {
	// ctx ends with the session.
	ctx context.Context

	// Guarded by Session.mu. demanded is what has to be held before anything more is sent, and described the generation of
	// the catalog by which the first write since the session was last idle was described; 0: there was none. mayEnd is set
	// while a message is in flight that may end the block at hand.
	demanded  statement.Closure
	described uint64
	mayEnd    bool
	// held is what the holds in force cover, and ids are theirs; forGood is one that stays until the session ends.
	held    statement.Closure
	ids     []uint64
	forGood uint64
}

// demandLocked looks at a message that is about to be sent, and demands a hold where it may make something visible. A
// write in a block waits for its COMMIT.
func (h *home) demandLocked(e expected) {
	d := e.d
	if d == nil {
		return
	}
	if h.described == 0 && !d.Writes.Empty() {
		h.described = d.Generation
	}
	inBlock := h.s.mu.status == wire.InBlock && !h.mayEnd
	switch d.Control {
	case statement.ControlBegin, statement.ControlSavepoint, statement.ControlRollbackTo, statement.ControlRelease:
		return
	case statement.ControlRollback:
		h.mayEnd = true
		return
	case statement.ControlNone:
		if d.Writes.Empty() || inBlock && !d.Many && !changes.Immediate(d) {
			return
		}
		h.demanded = h.demanded.Union(d.Writes)
	case statement.ControlCommit, statement.ControlPrepare, statement.ControlCommitPrepared, statement.ControlRollbackPrepared, statement.ControlMany:
		h.mayEnd = true
		h.demanded = h.demanded.Union(d.Writes).Union(h.inFlight).Union(h.tx.Pending())
	}
}

// outdated reports whether the catalog has changed since the writes at hand were described: what they may change is not
// known any more. The caller holds Session.mu.
func (h *home) outdatedLocked() bool {
	return h.described != 0 && h.described != h.s.Analysis.Generation(h.s.who.Database)
}

// secure puts the holds in force that are demanded. It is called before anything is sent; its error ends the session.
func (h *home) secure() error {
	if h.level != statement.Strong {
		return nil
	}
	s := h.s
	for {
		s.mu.Lock()
		demanded, forGood := h.demanded, s.confused.Load() && h.forGood == 0
		if !demanded.Empty() && h.outdatedLocked() {
			demanded.Anything = true
		}
		if covers(h.held, demanded) {
			h.demanded, demanded = statement.Closure{}, statement.Closure{}
		}
		s.mu.Unlock()
		if forGood {
			demanded = statement.Closure{Anything: true} // what is sent from now on is not known, nor when it ends
		}
		if demanded.Empty() {
			return nil
		}
		id, err := s.Holds.Hold(h.ctx, s.who.Database, demanded)
		if err != nil {
			return fmt.Errorf("hold what a write may change: %w", err)
		}
		// Once more: the catalog may have changed before the hold began. A change that begins later has to wait for its own.
		s.mu.Lock()
		if forGood {
			h.forGood = id
		} else {
			h.held = h.held.Union(demanded)
			h.ids = append(h.ids, id)
		}
		s.mu.Unlock()
	}
}

// covers reports whether all that the second closure may change the first may too.
func covers(all, of statement.Closure) bool {
	switch {
	case of.Anything:
		return all.Anything && (all.Cluster || !of.Cluster)
	case all.Anything:
		return true
	}
	for _, name := range of.Relations {
		if _, ok := slices.BinarySearch(all.Relations, name); !ok {
			return false
		}
	}
	return true
}

// release ends the holds of what is known by now; ended says that the session has, and with it all of them.
func (h *home) release(ended bool) {
	if h.level != statement.Strong {
		return
	}
	s := h.s
	s.mu.Lock()
	ids := h.ids
	h.ids, h.held = nil, statement.Closure{}
	if ended && h.forGood != 0 {
		ids = append(ids, h.forGood)
		h.forGood = 0
	}
	s.mu.Unlock()
	s.Holds.Release(ids...)
}
