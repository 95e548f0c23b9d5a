package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// outcome is what became of a statement.
type outcome uint8

// The outcomes.
const (
	noOutcome outcome = iota
	hit
	miss
	bypass
	wrote
	refusedByPostgres
	inMemory
	underWay
)

var outcomeNames = [...]string{
	noOutcome:         "none",
	hit:               "hit",
	miss:              "miss",
	bypass:            "bypass",
	wrote:             "write",
	refusedByPostgres: "error",
	inMemory:          "block",
	underWay:          "forwarded",
}

// last is what became of the session's last statement, as SHOW perihelion.last tells it. A hit writes its entry and leaves
// the rest as it is, so that it costs the way to memory one store; all is put into words only when asked for.
type last struct {
	// entry is what answered a hit; nil: it was none.
	entry   *cache.Entry
	outcome outcome
	// byHome is set at an edge whose home answered from its own memory.
	byHome      bool
	verdict     statement.Verdict
	reason      string
	relations   []string
	fingerprint uint64
	// ttl is how long the answer is kept from at on.
	ttl time.Duration
	at  invalidation.Instant
}

// eventual reports whether the last statement was answered by an entry whose time to live alone counts.
func (l *last) eventual() bool { return l.entry != nil && l.entry.Eventual }

var lastColumns = []string{"outcome", "answered_by", "verdict", "level", "age", "ttl", "fingerprint", "relations", "reason"}

// maxShown bounds the relations that are named.
const maxShown = 20

func (s *Session) lastLocked() []string {
	l, now := s.mu.last, invalidation.Now()
	if l.entry != nil {
		l = last{entry: l.entry, outcome: hit}
	}
	node := "home"
	if s.Analysis == nil {
		node = "edge"
	}
	by, verdict, level, age, ttl := "postgres", l.verdict.String(), "", "", ""
	switch l.outcome {
	case noOutcome:
		by, verdict, l.reason = "", "", "the session has executed no statement yet"
	case hit:
		e := l.entry
		l.relations, l.fingerprint = e.Relations, e.Fingerprint
		by, verdict, level = node, statement.Read.String(), s.mu.level.String()
		if e.Eventual {
			level = statement.Eventual.String()
		}
		age, ttl = spell(now.Until(e.Stored)), spell(e.TTL(now))
		l.reason = "answered from memory: nothing that it reads has changed since it was read"
		switch {
		case e.TTL(now) <= 0:
			l.reason = "answered from memory behind the end of its time to live: another session was asking for it anew"
		case e.Eventual:
			l.reason = "answered from memory at level eventual: what it reads may have changed since it was read"
		}
		if s.unleased && (e.Eventual || s.mu.level == statement.Eventual) {
			l.reason = "answered from memory at level eventual: the home has not been heard of for too long to know whether it has changed"
		}
	case miss:
		level = s.mu.level.String()
		if l.ttl > 0 {
			ttl = spell(l.at.Add(l.ttl).Until(now))
		}
		if l.byHome {
			by = "home"
		}
	case inMemory:
		by, verdict = node, statement.Session.String()
		l.reason = "a block's begin or end, answered from memory: PostgreSQL hears of the block with the first statement that it must see (lazy_begin)"
	case underWay:
		verdict, l.reason = "", "its pipeline has not ended: what became of it is known behind its Sync"
	case bypass, wrote, refusedByPostgres:
	}
	fingerprint := ""
	if l.fingerprint != 0 {
		fingerprint = fmt.Sprintf("%016x", l.fingerprint)
	}
	relations := strings.Join(l.relations[:min(len(l.relations), maxShown)], ", ")
	if more := len(l.relations) - maxShown; more > 0 {
		relations += fmt.Sprintf(" and %d more", more)
	}
	return []string{outcomeNames[l.outcome], by, verdict, level, age, ttl, fingerprint, relations, l.reason}
}

func spell(d time.Duration) string { return max(d, 0).Round(time.Millisecond).String() }

// noteLocked keeps what became of the last statement of a cycle that was forwarded. l is what is known of the last one that
// was answered; known says that there is one.
func (s *Session) noteLocked(l last, known bool) {
	switch {
	case s.reply.failed:
		l.outcome, l.reason = refusedByPostgres, "PostgreSQL answered with an error ("+s.reply.code+"): nothing of the cycle is kept"
	case !known:
		return
	}
	l.at = invalidation.Now()
	s.mu.last = l
}

// bypassed returns the outcome of a statement whose result is not kept.
func bypassed(v statement.Verdict) outcome {
	if v == statement.Write || v == statement.Schema {
		return wrote
	}
	return bypass
}

// missed returns why an answer that may be kept was not in memory, and what became of it.
func missed(f *fill) string {
	if f != nil && f.kept {
		return "was not in memory; its answer is kept from now on"
	}
	return "was not in memory; its answer is not kept: it is too large, or something that it reads changed meanwhile"
}

// unfitLocked says why the result of a statement will not be kept, as far as is known before it is sent; "" where it may be.
func (s *Session) unfitLocked(f *fill, reads bool) string {
	switch {
	case !reads:
		return "holds characters that PostgreSQL may read otherwise (standard_conforming_strings, client_encoding)"
	case s.Analysis == nil || f.d.Verdict != statement.Read || f.d.Many:
		return "" // the verdict says it all
	case s.mu.state.private:
		return privateState.String()
	case s.mu.level == statement.Off:
		return switchedOff.String()
	case !f.decision.Cache:
		return f.decision.Reason
	}
	return ""
}

// why says why a result that was read is not kept. reads is what onlyReads said of its cycle.
func (h *home) why(r *result, status byte, reads bool) string {
	s, d := h.s, r.d
	switch {
	case d == nil:
		return unknown.Reason
	case d.Verdict != statement.Read && (d != unknown || r.why == ""):
		return d.Reason
	case d.Many:
		return "holds several statements"
	case r.why != "":
		return r.why
	case s.reply.failed:
		return "an error came with it"
	case s.reply.noticed:
		return "a notice came with it"
	case !reads && status == wire.Idle:
		return "was sent in one pipeline with statements that do more than read"
	case !reads:
		return otherBlock.String()
	}
	return "the session's state, or a statement's name, changed while it was read"
}
