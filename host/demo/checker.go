//go:build cgo

package demo

import (
	"sync"
	"time"
)

// checker holds every answer against the contract. Each row that is written carries a revision that its writer
// raises by one, and each row has one writer: so an answer says which moment it shows.
type checker struct {
	bound time.Duration
	mu    struct {
		sync.Mutex
		rows map[int]*history
		// checked counts the answers, stale those that the contract forbids, behind those that it allows and that
		// were not the newest; oldest is the oldest of the latter.
		checked, stale, behind int
		oldest                 time.Duration
	}
}

// history is what is known of one row. written[i] is when revision i+1 was acknowledged.
type history struct {
	sent    int
	written []time.Time
}

func newChecker(bound time.Duration) *checker {
	c := &checker{bound: bound}
	c.mu.rows = map[int]*history{}
	return c
}

func (c *checker) rowLocked(id int) *history {
	h := c.mu.rows[id]
	if h == nil {
		h = &history{}
		c.mu.rows[id] = h
	}
	return h
}

// next returns the revision that the row's one writer is about to write.
func (c *checker) next(id int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.rowLocked(id)
	h.sent = len(h.written) + 1
	return h.sent
}

// acknowledged notes that the revision from next was written.
func (c *checker) acknowledged(id int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.rowLocked(id)
	h.written = append(h.written, at)
}

// read checks an answer: the row's revision as it was answered to a question that was asked at asked. own is the
// newest revision that the asking session itself has written, 0 for none.
func (c *checker) read(id, revision, own int, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.rowLocked(id)
	c.mu.checked++
	if revision > h.sent || revision < own {
		c.mu.stale++ // never written, or older than what the session itself wrote
		return
	}
	if revision >= len(h.written) {
		return
	}
	// The answer was overtaken when the next revision was acknowledged.
	age := asked.Sub(h.written[revision])
	switch {
	case age > c.bound:
		c.mu.stale++
	case age > 0:
		c.mu.behind++
		c.mu.oldest = max(c.mu.oldest, age)
	}
}

// verdict is the checker's summary.
type verdict struct {
	checked, stale, behind int
	oldest                 time.Duration
}

func (c *checker) verdict() verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return verdict{c.mu.checked, c.mu.stale, c.mu.behind, c.mu.oldest}
}
