package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Linearizable returns the keys whose history no order explains in which each operation takes place at one moment
// between its request and its reply: the promise of level strong. It looks at the requests and replies alone, never at
// when a write is known to have become true. An answer with several values counts as one of each. limit bounds the time
// spent on one key; a key that takes longer is a violation of its own, as nothing is known of it.
func Linearizable(ops []Op, limit time.Duration) []Violation {
	histories := map[string][]porcupine.Operation{}
	sessions := map[string]int{}
	own := blocks{}
	for i := range ops {
		o := &ops[i]
		own.follow(o)
		if o.Kind != Read && o.Kind != Write || o.Outcome == RolledBack || o.Kind == Read && o.Returned == Never {
			continue
		}
		if _, ok := sessions[o.Session]; !ok {
			sessions[o.Session] = len(sessions)
		}
		for _, v := range o.Values {
			if o.Kind == Read && own.wrote(o, v.Key) != nil {
				continue
			}
			op := porcupine.Operation{ClientId: sessions[o.Session], Input: input{o, v.Value}, Output: v.Value, Call: int64(o.Invoked), Return: int64(o.Returned)}
			if o.Outcome == Unknown {
				op.Return = math.MaxInt64
			}
			histories[v.Key] = append(histories[v.Key], op)
		}
	}
	var found []Violation
	for _, key := range slices.Sorted(maps.Keys(histories)) {
		result, info := porcupine.CheckOperationsVerbose(model, histories[key], limit)
		switch result {
		case porcupine.Ok:
		case porcupine.Illegal:
			found = append(found, Violation{Invariant: "linearisability", Op: stuck(histories[key], info), Text: "no order explains what was answered for " + key + " up to here"})
		case porcupine.Unknown:
			found = append(found, Violation{Invariant: "linearisability", Text: fmt.Sprintf("no order was found for %s within %v, and no proof that there is none", key, limit)})
		}
	}
	return found
}

type input struct {
	op    *Op
	value int64
}

// model is a register that holds 0 at first.
var model = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, in, out any) (bool, any) {
		if in := in.(input); in.op.Kind == Write {
			return true, in.value
		}
		return out == state, state
	},
}

// stuck returns the first operation that the longest order found leaves out.
func stuck(history []porcupine.Operation, info porcupine.LinearizationInfo) Op {
	ordered := map[int]bool{}
	for _, partial := range info.PartialLinearizations() {
		longest := []int{}
		for _, one := range partial {
			if len(one) > len(longest) {
				longest = one
			}
		}
		for _, id := range longest {
			ordered[id] = true
		}
	}
	var first *Op
	for id, one := range history {
		if o := one.Input.(input).op; !ordered[id] && (first == nil || o.Returned < first.Returned) {
			first = o
		}
	}
	if first == nil {
		return Op{}
	}
	return *first
}
