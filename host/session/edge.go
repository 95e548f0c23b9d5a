package session

import (
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// parameter takes in a ParameterStatus. It reports whether it is not the client's.
func (s *Session) parameter(body []byte) (swallow bool) {
	name, rest, ok := wire.CutString(body)
	value, rest, ok2 := wire.CutString(rest)
	if !ok || !ok2 || len(rest) != 0 {
		s.confuse("malformed parameter")
		return false
	}
	if string(name) == statement.FactsParameter {
		if s.Analysis == nil {
			s.hear(value)
		}
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state.report(string(name), string(value)) {
		s.mu.state.update()
	}
	return false
}

// hear takes in the facts that the home put before the end of a cycle. What was written counts at once: the client
// has not seen its ReadyForQuery yet (R7).
func (s *Session) hear(text []byte) {
	facts, err := statement.ParseFacts(text)
	if err != nil {
		// A home that cannot be understood is not followed: nothing of this session is kept or answered any more.
		s.confuse("facts that do not parse")
		return
	}
	s.reply.facts = facts
	for _, f := range facts {
		if w := f.Write; w != nil {
			e := invalidation.Event{Version: invalidation.Version(w.Version), Database: s.who.Database, Tables: w.Tables}
			if w.Node {
				e.Database, e.Tables = "", nil
			}
			if !s.Floors.RaiseIn(w.Epoch, e) {
				s.wroteAhead(w.Epoch, e.Version)
			}
			s.mu.Lock()
			s.mu.written = token{w.Epoch, e.Version}
			s.mu.Unlock()
		}
	}
}

// foreign is a write of the session's in an epoch that the node's floors are not in.
type foreign struct {
	epoch   string
	version invalidation.Version
}

// wroteAhead notes a write through a home that this node has not registered with yet: what the node holds is of another
// epoch, and the write cannot void it. For others it is good as long as the lease holds; for the writer it is too old.
func (s *Session) wroteAhead(epoch string, version invalidation.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.foreign = &foreign{epoch, version}
}

// aheadLocked reports whether the session has written what its node cannot account for yet. Once the node is in the
// write's epoch, everything up to the write is void there.
func (s *Session) aheadLocked() bool {
	w := s.mu.foreign
	if w == nil {
		return false
	}
	if s.Floors.RaiseIn(w.epoch, invalidation.Event{Version: w.version}) {
		s.mu.foreign = nil
	}
	return s.mu.foreign != nil
}

// learn takes in the end of a cycle at an edge: what the home said of it. It reports whether a result that may be
// kept was among the cycle's. speaks is not set for a cycle of the session's own.
func (s *Session) learn(status byte, following, speaks bool) (cacheable bool) {
	r := &s.reply
	facts := make(map[int]statement.Fact, len(r.facts))
	for _, f := range r.facts {
		if f.Index >= 0 || f.Write != nil {
			facts[f.Index] = f
		}
	}
	var l last
	known := false
	for i, result := range r.results {
		fact, told := facts[i]
		read := fact.Read
		if !result.describe && !result.injected {
			l, known = last{outcome: bypassed(fact.Verdict), verdict: fact.Verdict, reason: fact.Reason, fingerprint: fact.Fingerprint, byHome: fact.Memory}, true
			if !told {
				l.reason = "the home has said nothing about it"
			}
			if w := facts[-1].Write; w != nil && l.outcome == wrote {
				l.relations = w.Tables
			}
		}
		if read == nil || !following || !s.keepable(status) {
			if !result.describe {
				s.count.bypasses.Add(1)
			}
			continue
		}
		if !result.describe {
			cacheable = true
			s.count.misses.Add(1)
		}
		s.mu.Lock()
		keep := s.keepLocked(result.fill)
		s.mu.Unlock()
		ttl := time.Duration(read.TTLMillis) * time.Millisecond
		if keep {
			s.store(result.fill, read, fact.Fingerprint, false)
		}
		if !result.describe {
			l.outcome, l.reason, l.relations, l.ttl = miss, missed(result.fill), read.Relations, ttl
		}
	}
	if speaks {
		s.mu.Lock()
		s.noteLocked(l, known)
		s.mu.Unlock()
	}
	for _, f := range r.facts {
		if f.Session != nil {
			s.adapt(f.Session)
		}
	}
	return cacheable
}

// adapt takes in what the home says of the session.
func (s *Session) adapt(f *statement.SessionFact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if private := f.Private || f.State == ""; private != s.mu.state.private || f.State != s.mu.state.token {
		s.mu.state.token, s.mu.state.private = f.State, private
		s.mu.state.update()
	}
	s.mu.committed, s.mu.readable = f.Begin, f.Block
	s.demandLocked(f.Level, f.After)
	if f.Forget || f.None {
		s.forgetAllLocked(f.None)
	}
	if len(f.Names) > 0 {
		s.doubtNamesLocked()
	}
	for _, n := range f.Names {
		if n.Dropped {
			s.setNamedLocked(n.Name, nil)
		} else {
			s.foreignLocked(n.Name, "")
		}
	}
}
