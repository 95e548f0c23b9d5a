package history

import (
	"fmt"
	"maps"
)

// blocks keeps what the open transaction block of each session has written.
type blocks map[string]*block

type block struct {
	number int
	wrote  map[string]*Op
}

// follow takes in the next operation of a session.
func (b blocks) follow(o *Op) {
	own := b[o.Session]
	if own == nil || own.number != o.Block {
		own = &block{number: o.Block}
		b[o.Session] = own
	}
	if o.Kind != Write || o.Block == 0 {
		return
	}
	if own.wrote == nil {
		own.wrote = map[string]*Op{}
	}
	for _, v := range o.Values {
		own.wrote[v.Key] = o
	}
}

// wrote returns the write to a key that the operation's own block has made before it, or nil.
func (b blocks) wrote(o *Op, key string) *Op {
	if own := b[o.Session]; own != nil && o.Block != 0 && own.number == o.Block {
		return own.wrote[key]
	}
	return nil
}

// knowledge is what a session has to see of each key: a write, or one behind it.
type knowledge struct {
	latest map[string]*Op
	// undone are writes that the database has lost since; they count until then.
	undone map[string][]*Op
}

func (k *knowledge) learn(key string, o *Op) {
	if o.Undone != (Span{}) {
		if k.undone == nil {
			k.undone = map[string][]*Op{}
		}
		k.undone[key] = append(k.undone[key], o)
		return
	}
	if k.latest == nil {
		k.latest = map[string]*Op{}
	}
	if old := k.latest[key]; old == nil || old.visible().Earliest < o.visible().Earliest {
		k.latest[key] = o
	}
}

func (k *knowledge) clone() *knowledge {
	c := &knowledge{latest: maps.Clone(k.latest)}
	for key, all := range k.undone {
		for _, o := range all {
			c.learn(key, o)
		}
	}
	return c
}

func (k *knowledge) merge(other *knowledge) {
	for key, o := range other.latest {
		k.learn(key, o)
	}
	for key, all := range other.undone {
		for _, o := range all {
			k.learn(key, o)
		}
	}
}

// missed returns a write that a session has to see and that a value is surely older than, or nil.
func (k *knowledge) missed(at Span, key string, o *Op) *Op {
	if w := k.latest[key]; w != nil && at.Latest < w.visible().Earliest {
		return w
	}
	for _, w := range k.undone[key] {
		if at.Latest < w.visible().Earliest && w.Undone.Earliest > o.Returned {
			return w
		}
	}
	return nil
}

// OwnWrites returns the answers that are older than what the same session had written before, and those inside a block
// that are not what the block itself wrote last.
func OwnWrites(ops []Op) []Violation {
	var own []Violation
	for _, v := range sessions(index(ops), ops) {
		if v.Invariant == ownWrites {
			own = append(own, v)
		}
	}
	return own
}

// Tokens returns the answers that are older than what a token that the session had used stands for, and the tokens that
// went back within a session.
func Tokens(ops []Op) []Violation {
	var tokens []Violation
	for _, v := range sessions(index(ops), ops) {
		if v.Invariant == causality {
			tokens = append(tokens, v)
		}
	}
	return tokens
}

const (
	ownWrites = "own writes"
	causality = "causality"
)

// sessions follows what each session has to see.
func sessions(r *registers, ops []Op) []Violation {
	var found []Violation
	own := blocks{}
	wrote, used := map[string]*knowledge{}, map[string]*knowledge{}
	tokens := map[uint64]*knowledge{}
	last := map[string]*Op{} // the last token that a session has taken
	of := func(all map[string]*knowledge, session string) *knowledge {
		if all[session] == nil {
			all[session] = &knowledge{}
		}
		return all[session]
	}
	for i := range ops {
		o := &ops[i]
		switch o.Kind {
		case Write:
			if o.Outcome == Committed {
				for _, v := range o.Values {
					of(wrote, o.Session).learn(v.Key, o)
				}
			}
		case Take:
			if o.Returned == Never {
				break // nobody has it
			}
			if before := last[o.Session]; before != nil && o.Token < before.Token {
				found = append(found, Violation{Invariant: causality, Op: *o, Because: []Op{*before}, Text: "a later token is lower"})
			}
			last[o.Session] = o
			known := of(wrote, o.Session).clone()
			known.merge(of(used, o.Session))
			if tokens[o.Token] != nil {
				known.merge(tokens[o.Token]) // nothing lay between the two
			}
			tokens[o.Token] = known
		case Use:
			if known := tokens[o.Token]; known != nil {
				of(used, o.Session).merge(known)
			}
		case Read:
			if o.Returned == Never {
				break
			}
			found = append(found, r.seen(o, own, of(wrote, o.Session), of(used, o.Session))...)
		}
		own.follow(o)
	}
	return found
}

// seen returns what an answer misses of what its session has to see.
func (r *registers) seen(o *Op, own blocks, wrote, used *knowledge) []Violation {
	var found []Violation
	for _, v := range o.Values {
		if w := own.wrote(o, v.Key); w != nil {
			if !holds(w, v) {
				found = append(found, Violation{Invariant: ownWrites, Op: *o, Because: []Op{*w}, Text: fmt.Sprintf("%s=%d is not what the block has written", v.Key, v.Value)})
			}
			continue
		}
		_, at, ok := r.visible(v)
		if !ok {
			continue // see Truth
		}
		if w := wrote.missed(at, v.Key, o); w != nil {
			found = append(found, Violation{Invariant: ownWrites, Op: *o, Because: []Op{*w}, Text: fmt.Sprintf("%s=%d is older than what the session wrote", v.Key, v.Value)})
		}
		if w := used.missed(at, v.Key, o); w != nil {
			found = append(found, Violation{Invariant: causality, Op: *o, Because: []Op{*w}, Text: fmt.Sprintf("%s=%d is older than the token that the session waits for", v.Key, v.Value)})
		}
	}
	return found
}

// holds reports whether a write wrote the value.
func holds(w *Op, v Value) bool {
	for _, one := range w.Values {
		if one == v {
			return true
		}
	}
	return false
}
