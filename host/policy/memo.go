package policy

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

const (
	memoShards = 16
	// memoSize and memoBytes bound the decisions that a shard remembers, by number and by the bytes of their keys.
	memoSize  = 4096
	memoBytes = 4 << 20
)

// memoKey is all that a policy can read of a query. Statements of one normalised text may differ in the rest: a literal
// is $n there as a parameter is, and what a text stands for may hang on its literals.
type memoKey struct {
	tenant, database, user, application string
	normalized, command, reason, lists  string
	fingerprint, catalog                uint64
	parameters                          int
	verdict                             statement.Verdict
}

func keyOf(q Query) memoKey {
	d := q.Statement
	return memoKey{
		tenant: q.Tenant, database: q.Database, user: q.User, application: q.Application,
		normalized: d.Normalized, command: d.Command, reason: d.Reason, lists: joined(d.Relations, d.Functions, d.Comments),
		fingerprint: d.Fingerprint, catalog: d.Generation, parameters: d.Parameters, verdict: d.Verdict,
	}
}

// joined makes one string of lists, a different one of different lists.
func joined(lists ...[]string) string {
	size := 0
	for _, list := range lists {
		for _, item := range list {
			size += len(item) + 4
		}
		size += 4
	}
	out := make([]byte, 0, size)
	for _, list := range lists {
		out = append(strconv.AppendInt(out, int64(len(list)), 10), ':')
		for _, item := range list {
			out = append(strconv.AppendInt(out, int64(len(item)), 10), ':')
			out = append(out, item...)
		}
	}
	return string(out)
}

func (k memoKey) bytes() int {
	const fixed = 512 // the key's and the decision's own bytes, a reason, and the list's links
	return fixed + len(k.tenant) + len(k.database) + len(k.user) + len(k.application) + len(k.normalized) + len(k.command) + len(k.reason) + len(k.lists)
}

// memo remembers decisions, bounded in number and bytes. It is safe for concurrent use.
type memo struct {
	seed   maphash.Seed
	shards [memoShards]memoShard
}

type memoShard struct {
	mu struct {
		sync.Mutex
		lru   *simplelru.LRU[memoKey, Decision]
		bytes int
	}
}

func newMemo() *memo {
	m := &memo{seed: maphash.MakeSeed()}
	for i := range m.shards {
		s := &m.shards[i]
		// It fails for no positive size.
		s.mu.lru, _ = simplelru.NewLRU(memoSize, func(k memoKey, _ Decision) { s.mu.bytes -= k.bytes() })
	}
	return m
}

func (m *memo) shard(k memoKey) *memoShard {
	return &m.shards[maphash.Comparable(m.seed, k)%memoShards]
}

func (m *memo) get(k memoKey) (Decision, bool) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.lru.Get(k)
}

// put remembers a decision, unless its key alone is too large.
func (m *memo) put(k memoKey, d Decision) {
	size := k.bytes()
	if size > memoBytes {
		return
	}
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.lru.Contains(k) {
		s.mu.bytes += size
	}
	s.mu.lru.Add(k, d)
	for s.mu.bytes > memoBytes {
		s.mu.lru.RemoveOldest()
	}
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
