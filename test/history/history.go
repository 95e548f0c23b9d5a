package history

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Forever and Never bound a [Span] that has no bound: Forever ago, and Never.
const (
	Forever = time.Duration(math.MinInt64)
	Never   = time.Duration(math.MaxInt64)
)

// Span is between which two moments something happened. Moments are counted from where the history began.
type Span struct{ Earliest, Latest time.Duration }

// At is the span of what happened at one known moment.
func At(moment time.Duration) Span { return Span{moment, moment} }

// Kind is what an operation does.
type Kind uint8

// The kinds.
const (
	Read Kind = iota
	Write
	// Take asks for a causality token, Use makes a session wait for one.
	Take
	Use
)

// Outcome is what became of a write.
type Outcome uint8

// The outcomes. The zero value is for operations that are no writes, and for writes that were answered.
const (
	Committed Outcome = iota
	// Unknown is a write whose reply never came: it may have become true at any moment behind its request, or never.
	Unknown
	// RolledBack is a write that never became true for anybody else.
	RolledBack
)

// Value is what a register holds. Each write to a key writes a value of its own; 0 is what a key holds at first.
type Value struct {
	Key   string
	Value int64
}

// Op is one operation of a session. A session's operations are in the history in the order in which it sent them.
type Op struct {
	Kind    Kind
	Session string
	// Block tells apart the transaction blocks of a session; 0 outside of one.
	Block int
	// Invoked and Returned are when the operation was sent and when its reply was there; Never where none came.
	Invoked, Returned time.Duration
	// Values are what was written, or read at one moment.
	Values []Value
	// Outcome is what became of a write.
	Outcome Outcome
	// Visible is when a write became true for others. The zero value: between Invoked and Returned.
	Visible Span
	// Undone is when a committed write ceased to be true because the database lost it. The zero value: never.
	Undone Span
	// Token is what was taken or used.
	Token uint64
	// Via says who answered, for a person who reads of a violation.
	Via string
}

// String returns the operation in one line.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", o.Session, [...]string{"read", "write", "take token", "use token"}[o.Kind])
	for _, v := range o.Values {
		fmt.Fprintf(&b, " %s=%d", v.Key, v.Value)
	}
	if o.Kind == Take || o.Kind == Use {
		fmt.Fprintf(&b, " %d", o.Token)
	}
	fmt.Fprintf(&b, " [%s, %s]", moment(o.Invoked), moment(o.Returned))
	if o.Block != 0 {
		fmt.Fprintf(&b, " in block %d", o.Block)
	}
	if o.Kind == Write {
		fmt.Fprintf(&b, " %s, visible %s", [...]string{"committed", "unknown", "rolled back"}[o.Outcome], o.visible())
		if o.Undone != (Span{}) {
			fmt.Fprintf(&b, ", undone %s", o.Undone)
		}
	}
	if o.Via != "" {
		fmt.Fprintf(&b, " via %s", o.Via)
	}
	return b.String()
}

// String returns the span as one moment where it is one.
func (s Span) String() string {
	if s.Earliest == s.Latest {
		return "at " + moment(s.Earliest)
	}
	return "between " + moment(s.Earliest) + " and " + moment(s.Latest)
}

func moment(d time.Duration) string {
	if d == Forever {
		return "the beginning"
	}
	if d == Never {
		return "never"
	}
	return fmt.Sprintf("%.6fs", d.Seconds())
}

// visible returns when a write became true for others.
func (o *Op) visible() Span {
	switch {
	case o.Outcome == RolledBack:
		return Span{Never, Never}
	case o.Visible != (Span{}):
		return o.Visible
	case o.Outcome == Unknown:
		return Span{o.Invoked, Never}
	}
	return Span{o.Invoked, o.Returned}
}

// Violation is an observation that an invariant forbids.
type Violation struct {
	// Invariant is the name of the invariant.
	Invariant string
	// Op is the operation that should not have been.
	Op Op
	// Because are the operations that forbid it.
	Because []Op
	// Text says what is wrong, in words.
	Text string
}

// String returns the violation in several lines.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  %s", v.Invariant, v.Text, v.Op)
	for _, o := range v.Because {
		fmt.Fprintf(&b, "\n  although %s", o)
	}
	return b.String()
}

// Check returns what a history violates of the promises of level bounded: [Truth] within bound, [OwnWrites], [Tokens].
func Check(ops []Op, bound time.Duration) []Violation {
	r := index(ops)
	all := r.ambiguous
	all = append(all, truth(r, ops, bound)...)
	return append(all, sessions(r, ops)...)
}
