package session

import "sync/atomic"

// Counters count what happened to statements, over all sessions of a node. Sessions write to cells of their own, so
// that counting on the hit path is one uncontended addition.
type Counters struct {
	cells [32]cell
	next  atomic.Uint32
	// pace is how long misses take of late.
	pace pace
}

type cell struct {
	hits, misses, bypasses atomic.Uint64
	coalesced, unleased    atomic.Uint64
	_                      [88]byte // to two cache lines: neighbours are prefetched in pairs
}

// Totals are the sums of all cells since the start of the node.
type Totals struct {
	// Hits were answered from memory. Misses were forwarded, and their result may be kept. Bypasses were forwarded,
	// and may not.
	Hits, Misses, Bypasses uint64
	// Coalesced waited for what another session had asked for, and are counted as what became of them as well.
	Coalesced uint64
	// Unleased were answered from memory, at level eventual, while the node had no lease.
	Unleased uint64
}

func (c *Counters) cell() *cell { return &c.cells[c.next.Add(1)%uint32(len(c.cells))] }

// Totals returns the present sums.
func (c *Counters) Totals() Totals {
	var t Totals
	for i := range c.cells {
		t.Hits += c.cells[i].hits.Load()
		t.Misses += c.cells[i].misses.Load()
		t.Bypasses += c.cells[i].bypasses.Load()
		t.Coalesced += c.cells[i].coalesced.Load()
		t.Unleased += c.cells[i].unleased.Load()
	}
	return t
}
