package analyze

import (
	"maps"
	"slices"

	"github.com/perihelion-proxy/perihelion/host/catalog"
)

// rank orders what was found in a statement, from the tamest to the wildest.
type rank uint8

const (
	tame     rank = iota // its value changes only with a write to a relation
	unstable             // its value can change without one
	opaque               // it must never be answered from memory, but it changes no relation
	doubtful             // it may change any relation
)

// judgement is what was found in a statement so far. The wildest finding counts, and among equals the first.
type judgement struct {
	rank   rank
	reason string
	// untracked is set where the session's state may change in a way that is not followed.
	untracked bool

	reads     map[*catalog.Relation]struct{}
	functions map[string]struct{}
}

func (j *judgement) find(r rank, reason string) {
	if r > j.rank {
		j.rank, j.reason = r, reason
	}
}

func (j *judgement) unstable(reason string) { j.find(unstable, reason) }
func (j *judgement) opaque(reason string)   { j.find(opaque, reason) }
func (j *judgement) doubt(reason string)    { j.find(doubtful, reason) }

// unknownCode is a doubt about code that may do anything, also to its session.
func (j *judgement) unknownCode(reason string) {
	j.doubt(reason)
	j.untracked = true
}

func (j *judgement) read(relations []*catalog.Relation) {
	if j.reads == nil {
		j.reads = make(map[*catalog.Relation]struct{}, len(relations))
	}
	for _, r := range relations {
		j.reads[r] = struct{}{}
	}
}

func (j *judgement) function(name string) {
	if j.functions == nil {
		j.functions = map[string]struct{}{}
	}
	j.functions[name] = struct{}{}
}

// readRelations returns the names and row estimates of what is read, sorted by name.
func readRelations(reads map[*catalog.Relation]struct{}) (names []string, rows []int64) {
	if len(reads) == 0 {
		return nil, nil
	}
	estimates := make(map[string]int64, len(reads))
	for r := range reads {
		estimates[r.String()] = max(r.Rows, -1)
	}
	names = slices.Sorted(maps.Keys(estimates))
	rows = make([]int64, len(names))
	for i, name := range names {
		rows[i] = estimates[name]
	}
	return names, rows
}
