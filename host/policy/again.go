package policy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// maxRemembered and rememberedBytes bound what a generation can be judged again by, by number and by the bytes of the
	// keys; where there is more, all that is cached goes with it.
	maxRemembered   = 4096
	rememberedBytes = 8 << 20
	// judging is how long a new generation may take for it, with the same end.
	judging = time.Second
)

// judged is a decision by which results may have been kept.
type judged struct {
	query    Query
	decision Decision
	// varied is set where the same was decided in two ways.
	varied bool
}

// remembered is what one generation has let in: every decision by which a result may be in memory, here or at an edge,
// and may have come there in an earlier generation. It is safe for concurrent use.
type remembered struct {
	mu struct {
		sync.Mutex
		all   map[memoKey]judged
		bytes int
		// over is set where there were too many.
		over bool
	}
}

func newRemembered() *remembered {
	r := &remembered{}
	r.mu.all = map[memoKey]judged{}
	return r
}

func (r *remembered) add(k memoKey, q Query, d Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.mu.all[k]
	switch {
	case r.mu.over || !ok && !d.Cache:
	case ok:
		old.varied = old.varied || old.decision != d
		r.mu.all[k] = old
	case len(r.mu.all) >= maxRemembered || r.mu.bytes+k.bytes() > rememberedBytes:
		r.mu.over, r.mu.all = true, nil
	default:
		r.mu.all[k] = judged{query: q, decision: d}
		r.mu.bytes += k.bytes()
	}
}

// list returns what is remembered. It reports false where that is not all.
func (r *remembered) list() ([]judged, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.mu.all)), !r.mu.over
}

// judgeAgain voids what the old generation has let in and the new one would not, or for a shorter time. A fill that the
// old one decided on was stamped before this begins, so that what is voided here is not kept afterwards (R4).
func (s *Set) judgeAgain(ctx context.Context, old, g *generation) {
	if s.options.OnVoid == nil {
		return
	}
	all, whole := old.remembered.list()
	whole = whole && len(old.policies) > 0 // without policies nothing is remembered
	void := map[string][]uint64{}
	end := time.Now().Add(judging)
	for _, j := range all {
		if !whole || ctx.Err() != nil || time.Now().After(end) {
			whole = false
			break
		}
		d, err := s.decideIn(ctx, g, j.query)
		if err != nil || j.varied || d.narrows(j.decision) {
			void[j.query.Database] = append(void[j.query.Database], j.query.Statement.Fingerprint)
		}
	}
	if !whole {
		s.options.OnVoid("", nil)
		return
	}
	for database, fingerprints := range void {
		slices.Sort(fingerprints)
		s.options.OnVoid(database, slices.Compact(fingerprints))
	}
}

// narrows reports whether what was kept by an old decision may not stay by this one.
func (d Decision) narrows(old Decision) bool {
	return !d.Cache || d.TTL < old.TTL || d.Stale < old.Stale || d.Level != old.Level || d.Tags != old.Tags || d.Ask || old.Ask ||
		d.Local && !old.Local || d.MaxResultBytes != 0 && (old.MaxResultBytes == 0 || d.MaxResultBytes < old.MaxResultBytes)
}
