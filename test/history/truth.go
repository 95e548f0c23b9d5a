package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// register is what was written to one key.
type register struct {
	writes map[int64]*Op
	// order are the writes that became true for certain, by the earliest moment at which they can have; covered[i] is the
	// latest moment by which one of order[i:] had surely become true, so that whatever was true before them all is not.
	order   []*Op
	covered []time.Duration
	by      []*Op // the write that covered[i] is of
	// undone is set where the database has lost a write: what it replaced was true again.
	undone bool
}

type registers struct {
	keys      map[string]*register
	ambiguous []Violation
}

// index sorts what was written by key.
func index(ops []Op) *registers {
	r := &registers{keys: map[string]*register{}}
	for i := range ops {
		o := &ops[i]
		if o.Kind != Write {
			continue
		}
		for _, v := range o.Values {
			k := r.keys[v.Key]
			if k == nil {
				k = &register{writes: map[int64]*Op{}}
				r.keys[v.Key] = k
			}
			if old := k.writes[v.Value]; old != nil || v.Value == 0 {
				bad := Violation{Invariant: "unique values", Op: *o, Text: fmt.Sprintf("the value %d of %s does not tell which write it is of", v.Value, v.Key)}
				if old != nil {
					bad.Because = []Op{*old}
				}
				r.ambiguous = append(r.ambiguous, bad)
			}
			k.writes[v.Value] = o
			k.undone = k.undone || o.Undone != (Span{})
			if o.visible().Latest != Never {
				k.order = append(k.order, o)
			}
		}
	}
	for _, k := range r.keys {
		slices.SortStableFunc(k.order, func(a, b *Op) int { return cmp.Compare(a.visible().Earliest, b.visible().Earliest) })
		k.covered, k.by = make([]time.Duration, len(k.order)), make([]*Op, len(k.order))
		least, by := Never, (*Op)(nil)
		for i := len(k.order) - 1; i >= 0; i-- {
			if latest := k.order[i].visible().Latest; latest < least {
				least, by = latest, k.order[i]
			}
			k.covered[i], k.by[i] = least, by
		}
	}
	return r
}

// visible returns when a value became true; ok is not set where nobody can have seen it.
func (r *registers) visible(v Value) (of *Op, at Span, ok bool) {
	if v.Value == 0 {
		return nil, Span{Forever, Forever}, true
	}
	k := r.keys[v.Key]
	if k == nil || k.writes[v.Value] == nil {
		return nil, Span{}, false
	}
	of = k.writes[v.Value]
	return of, of.visible(), of.Outcome != RolledBack
}

// untrue is a time during which a value was surely not the register's, up to but not including Latest. by is why; nil:
// it had not been written.
type untrue struct {
	Span
	by *Op
}

// untrue returns when a value was surely not true, in no order.
func (r *registers) untrue(v Value) []untrue {
	of, at, _ := r.visible(v)
	times := []untrue{{Span: Span{Forever, at.Earliest}}}
	k := r.keys[v.Key]
	if k == nil {
		return times
	}
	if of != nil && of.Undone != (Span{}) {
		times = append(times, untrue{Span: Span{of.Undone.Latest, Never}, by: of})
	}
	// Only what is surely behind the value has surely replaced it.
	first, _ := slices.BinarySearchFunc(k.order, at.Latest, func(o *Op, than time.Duration) int {
		if o.visible().Earliest > than {
			return 1
		}
		return -1
	})
	if first == len(k.order) {
		return times
	}
	if !k.undone {
		return append(times, untrue{Span: Span{k.covered[first], Never}, by: k.by[first]})
	}
	for _, o := range k.order[first:] {
		until := Never
		if o.Undone != (Span{}) {
			until = o.Undone.Earliest
		}
		times = append(times, untrue{Span: Span{o.visible().Latest, until}, by: o})
	}
	return times
}

// Truth returns the answers that were not true at any moment from bound before they were asked for until they came. An
// answer with several values has to be true of all of them at one moment.
func Truth(ops []Op, bound time.Duration) []Violation { return truth(index(ops), ops, bound) }

func truth(r *registers, ops []Op, bound time.Duration) []Violation {
	var found []Violation
	own := blocks{}
	for i := range ops {
		o := &ops[i]
		own.follow(o)
		if o.Kind != Read || o.Returned == Never {
			continue
		}
		if v := r.judge(o, own, bound); v != nil {
			found = append(found, *v)
		}
	}
	return found
}

// judge returns what is wrong with an answer, or nil.
func (r *registers) judge(o *Op, own blocks, bound time.Duration) *Violation {
	from, to := Forever, o.Returned
	if o.Invoked > Forever+bound {
		from = o.Invoked - bound
	}
	var times []untrue
	for _, v := range o.Values {
		if own.wrote(o, v.Key) != nil {
			continue // its own block's: see OwnWrites
		}
		of, at, ok := r.visible(v)
		switch {
		case of == nil && !ok:
			return &Violation{Invariant: "truth", Op: *o, Text: fmt.Sprintf("nobody wrote %d to %s", v.Value, v.Key)}
		case !ok:
			return &Violation{Invariant: "truth", Op: *o, Because: []Op{*of}, Text: fmt.Sprintf("%s=%d was rolled back", v.Key, v.Value)}
		case at.Earliest > to:
			return &Violation{Invariant: "truth", Op: *o, Because: []Op{*of}, Text: fmt.Sprintf("%s=%d was not true yet", v.Key, v.Value)}
		}
		times = append(times, r.untrue(v)...)
	}
	slices.SortFunc(times, func(a, b untrue) int { return cmp.Compare(a.Earliest, b.Earliest) })
	var because []Op
	at := max(from, Forever+1) - 1 // the first moment at which the answer may have been true: what was replaced right at from passes
	for _, t := range times {
		if t.Earliest > at {
			return nil
		}
		if t.Latest > at {
			at = t.Latest
			if t.by != nil {
				because = append(because, *t.by)
			}
		}
		if at > to {
			return &Violation{
				Invariant: "bounded staleness", Op: *o, Because: because,
				Text: fmt.Sprintf("at no moment from %s, which is %v before it was asked for, was the answer true", moment(from), bound),
			}
		}
	}
	return nil
}
