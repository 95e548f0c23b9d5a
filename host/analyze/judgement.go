package analyze

import (
	"maps"
	"slices"
	"strings"

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

	// at is where in the text the node at hand begins, in bytes, -1 where that is not known. via is the way from the
	// statement into stored code, each step in words that "which" can follow.
	at  int
	via []string
	// account collects everything for an explanation; nil: nobody asked.
	account *account
}

func (j *judgement) find(r rank, reason string) {
	if r <= j.rank && j.account == nil {
		return
	}
	if len(j.via) > 0 {
		reason = strings.Join(j.via, ", which ") + ", which " + reason
	}
	if r > j.rank {
		j.rank, j.reason = r, reason
	}
	j.account.find(r, reason, j.at)
}

// inside judges stored code; step says in words how the statement, or the code around it, comes to it.
func (j *judgement) inside(step string, judge func()) {
	j.via = append(j.via, step)
	judge()
	j.via = j.via[:len(j.via)-1]
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
