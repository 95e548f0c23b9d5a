package session

import "sync"

// Most sessions are idle most of the time, so what one holds between two messages is what a node's memory goes into.
const (
	// maxKept is the largest buffer that a session keeps for itself, in bytes; maxKeptItems the longest list.
	maxKept      = 4 << 10
	maxKeptItems = 16
)

// scratches are the buffers in which larger answers are put together. A session has one only while it writes.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, maxHeld); return &b }}

func takeScratch() *[]byte { return scratches.Get().(*[]byte) }

// giveBack returns a scratch, which may have grown meanwhile: then a new one is cheaper than keeping it.
func giveBack(b *[]byte) {
	if cap(*b) == maxHeld {
		*b = (*b)[:0]
		scratches.Put(b)
	}
}

// shed drops the client's loop's buffers that have grown too large to be kept while the client is silent.
func (s *Session) shed() {
	for _, b := range [...]*[]byte{&s.key, &s.describeKey, &s.out, &s.ahead, &s.pending.text, &s.pending.part, &s.pending.raw} {
		if cap(*b) > maxKept {
			*b = nil
		}
	}
	if cap(s.plan.steps) > maxKeptItems {
		s.plan.steps = nil
	}
}
