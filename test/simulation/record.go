package simulation

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/test/history"
)

// record is what was observed of a history.
type record struct {
	w  *world
	mu struct {
		sync.Mutex
		ops []*history.Op
		// writes are the operations by what they wrote; no value is written twice.
		writes map[int64]*history.Op
		lines  []line
		// token is the last that was taken.
		token string
	}
}

// line is one event of the trace.
type line struct {
	at   time.Duration
	node string
	text string
}

func newRecord(w *world) *record {
	r := &record{w: w}
	r.mu.writes = map[int64]*history.Op{}
	return r
}

// begin notes an operation that is about to be sent. It may be changed until the history is over, under change.
func (r *record) begin(op history.Op) *history.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Invoked, op.Returned = r.w.now(), history.Never
	if op.Kind == history.Write {
		op.Outcome = history.Unknown
		op.Visible = history.Span{Earliest: history.Never, Latest: history.Never} // until the store shows it
		for _, v := range op.Values {
			r.mu.writes[v.Value] = &op
		}
	}
	r.mu.ops = append(r.mu.ops, &op)
	return &op
}

// end notes what became of operations.
func (r *record) end(outcome history.Outcome, ops ...*history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range ops {
		op.Returned = r.w.now()
		if op.Kind == history.Write {
			op.Outcome = outcome
		}
	}
}

// returned notes what a read has read.
func (r *record) returned(op *history.Op, values []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Returned = r.w.now()
	for i := range op.Values {
		op.Values[i].Value = values[i]
	}
}

// tokenOf returns a token as a number that grows with the homes and their logs.
func tokenOf(text string) uint64 {
	var home, version uint64
	_, _ = fmt.Sscanf(text, "%x/%d", &home, &version) // the node made it
	return home<<57 | version
}

// took notes a token that a session has taken.
func (r *record) took(op *history.Op, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Returned, op.Token, r.mu.token = r.w.now(), tokenOf(text), text
}

// used notes a token that a session waits for from now on.
func (r *record) used(op *history.Op, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Returned, op.Token = r.w.now(), tokenOf(text)
}

// lastToken returns the last token that was taken, "" where none was.
func (r *record) lastToken() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.token
}

// visible notes that the store shows a write. Where nobody was left to hear of it, the write has bypassed the home: with
// the wire as the source of writes, no contract covers who reads what was there before.
func (r *record) visible(_ string, value int64, heard bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if op := r.mu.writes[value]; op != nil {
		op.Visible = history.At(r.w.now())
		if !heard {
			op.Visible.Latest = history.Never
		}
	}
}

// undone notes that the store has lost a write.
func (r *record) undone(_ string, value int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if op := r.mu.writes[value]; op != nil {
		op.Undone = history.Span{Earliest: r.w.now(), Latest: r.w.now() + r.w.plan.absence()}
	}
}

// ops returns what was observed.
func (r *record) ops() []history.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := make([]history.Op, len(r.mu.ops))
	for i, op := range r.mu.ops {
		ops[i] = *op
	}
	return ops
}

func (r *record) add(node, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.lines = append(r.mu.lines, line{r.w.now(), node, text})
}

// trace returns the events in order, a line each.
func (r *record) trace() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.mu.lines {
		fmt.Fprintf(&b, "%11.6fs  %-8s %s\n", l.at.Seconds(), l.node, l.text)
	}
	return b.String()
}
