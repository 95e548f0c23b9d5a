package policy

import (
	"hash/maphash"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	memoShards = 16
	// memoSize bounds the decisions that a shard remembers.
	memoSize = 4096
)

// memoKey is all that a policy can read of a query.
type memoKey struct {
	tenant, database, user, application string
	normalized, comments                string
	fingerprint, catalog                uint64
}

func keyOf(q Query) memoKey {
	d := q.Statement
	return memoKey{
		tenant: q.Tenant, database: q.Database, user: q.User, application: q.Application,
		normalized: d.Normalized, comments: strings.Join(d.Comments, "\x00"), fingerprint: d.Fingerprint, catalog: d.Generation,
	}
}

// memo remembers decisions. It is safe for concurrent use.
type memo struct {
	seed   maphash.Seed
	shards [memoShards]struct {
		sync.Mutex
		lru *simplelru.LRU[memoKey, Decision]
	}
}

func newMemo() *memo {
	m := &memo{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].lru, _ = simplelru.NewLRU[memoKey, Decision](memoSize, nil) // fails for no positive size
	}
	return m
}

func (m *memo) get(k memoKey) (Decision, bool) {
	s := &m.shards[maphash.Comparable(m.seed, k)%memoShards]
	s.Lock()
	defer s.Unlock()
	return s.lru.Get(k)
}

func (m *memo) put(k memoKey, d Decision) {
	s := &m.shards[maphash.Comparable(m.seed, k)%memoShards]
	s.Lock()
	defer s.Unlock()
	s.lru.Add(k, d)
}

// clean makes a guest's text fit for a log, a terminal and a page.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
