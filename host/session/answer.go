package session

import (
	"bytes"
	"fmt"
	"net"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// obstacle is why a message may not be answered from memory now.
type obstacle uint8

// The obstacles, in the order in which they are asked for.
const (
	none obstacle = iota
	notReady
	notFollowed
	pipelined
	inBlock
	privateState
	leaseEnded
)

var obstacleNames = [...]string{
	none:         "nothing stands against it",
	notReady:     "the session is still starting",
	notFollowed:  "the session is no longer followed",
	pipelined:    "an earlier message has not been answered yet",
	inBlock:      "the session is in a transaction block",
	privateState: "the session's state is not known",
	leaseEnded:   "the node has not heard from its home for too long",
}

func (o obstacle) String() string { return obstacleNames[o] }

// obstacleLocked says whether a message that arrives now may be answered from memory: the one place that decides.
func (s *Session) obstacleLocked(now invalidation.Instant) obstacle {
	switch {
	case s.confused.Load():
		return notFollowed
	case s.mu.status == 0:
		return notReady
	case s.mu.queue.len() > 0 || s.mu.skipping || s.mu.copying:
		return pipelined
	case s.mu.status != wire.Idle:
		return inBlock
	case s.mu.state.private:
		return privateState
	case !s.Lease.Valid(now):
		return leaseEnded
	}
	return none
}

const (
	parseComplete = wire.ParseComplete
	bindComplete  = wire.BindComplete
)

// planLocked finds the answers to a whole extended query in memory. It reports false where one of them is not there,
// or a message is of a kind that is not answered from memory. It changes nothing but the plan.
func (s *Session) planLocked(all []byte, now invalidation.Instant) bool {
	s.plan = s.plan[:0]
	var bound bindMessage
	var statement *prepared
	haveBind, executed, parsed, proven := false, false, false, false
	for at := 0; at < len(all); {
		kind, size, _, _ := wire.Header(all[at:])
		raw := all[at : at+size]
		body := raw[wire.HeaderSize:]
		at += size
		switch kind {
		case wire.Parse:
			m, ok := readParse(body)
			if !ok || len(m.name) != 0 || parsed {
				return false
			}
			// Answering it from memory is right only if a Bind to it is a hit: an entry under this text and these types
			// proves that the backend took the Parse, and any change of the schema voids the entry.
			parsed = true
			s.pending.set(m, raw, false)
			statement = &s.pending
			haveBind = false
			s.plan = append(s.plan, step{kind: parseComplete})
		case wire.Bind:
			m, ok := readBind(body)
			if !ok || len(m.portal) != 0 {
				return false
			}
			if len(m.statement) != 0 || !parsed {
				statement = s.statementLocked(m.statement)
			} else {
				statement = &s.pending
			}
			if statement == nil || !s.mu.state.reads(statement.text) {
				return false
			}
			bound, haveBind, executed = m, true, false
			s.key = appendBindKey(s.key[:0], &s.mu.state.prefix, statement.part, bound.rest)
			s.plan = append(s.plan, step{kind: bindComplete})
		case wire.Describe:
			d, ok := readDescribe(body)
			if !ok || d.kind != 'P' || len(d.name) != 0 || !haveBind || executed {
				return false
			}
			s.plan = append(s.plan, step{kind: wire.RowDescription})
		case wire.Execute:
			name, maxRows, ok := readExecute(body)
			if !ok || len(name) != 0 || maxRows != 0 || !haveBind || executed {
				return false
			}
			e := s.Cache.Get(s.Cache.Hash(s.key), s.key, now)
			if e == nil {
				return false
			}
			executed = true
			proven = proven || statement == &s.pending
			for i := len(s.plan) - 1; i >= 0 && s.plan[i].kind == wire.RowDescription && s.plan[i].entry == nil; i-- {
				if len(e.RowDescription) == 0 {
					return false
				}
				s.plan[i].entry = e
			}
			s.plan = append(s.plan, step{kind: wire.Execute, entry: e})
		case wire.Sync:
			if at != len(all) || haveBind && !executed || parsed && !proven {
				return false
			}
			if parsed {
				s.adoptLocked()
			}
			return len(s.plan) > 0
		default:
			return false
		}
	}
	return false
}

// adoptLocked makes the statement of a Parse that is answered from memory the unnamed one. The upstream gets its Parse
// only when a message that needs it goes there.
func (s *Session) adoptLocked() {
	if s.mu.unnamedKnown && s.mu.unnamed.upstream && bytes.Equal(s.mu.unnamed.text, s.pending.text) && bytes.Equal(s.mu.unnamed.part, s.pending.part) {
		return
	}
	s.mu.unnamed, s.pending = s.pending, s.mu.unnamed
	s.mu.unnamedKnown = true
}

// vectored is the size from which a stored body is written from where it lies, in bytes.
const vectored = 32 << 10

// answer writes the planned answers to the client, in one write where they are small.
func (s *Session) answer(now invalidation.Instant) error {
	s.write.Lock()
	defer s.write.Unlock()
	if len(s.plan) == 1 && s.plan[0].kind == wire.Query && !s.tunnel {
		s.count.hits.Add(1)
		return s.toClient(s.plan[0].entry.Body)
	}
	out := s.out[:0]
	var hits uint64
	var facts []statement.Fact
	for i := range s.plan {
		step := &s.plan[i]
		switch step.kind {
		case parseComplete, bindComplete:
			out = append(out, step.kind, 0, 0, 0, 4)
		case wire.RowDescription:
			out = append(out, step.entry.RowDescription...)
		case wire.Query, wire.Execute:
			body := step.entry.Body
			body = body[:len(body)-len(readyForQuery)]
			if s.tunnel {
				facts = append(facts, statement.Fact{
					Index: int(hits), Fingerprint: step.entry.Fingerprint, Verdict: statement.Read,
					Read: s.readFact(step.entry.Version, step.entry.Relations, step.entry.TTL(now)),
				})
			}
			hits++
			if len(body) < vectored {
				out = append(out, body...)
				continue
			}
			if _, err := (&net.Buffers{out, body}).WriteTo(s.client); err != nil {
				return fmt.Errorf("write to client: %w", err)
			}
			out = out[:0]
		}
	}
	if s.tunnel {
		out = appendFacts(out, facts)
	}
	out = append(out, readyForQuery...)
	s.count.hits.Add(hits) // before the client can look
	err := s.toClient(out)
	if cap(out) <= maxHeld {
		s.out = out
	}
	return err
}

var readyForQuery = wire.AppendReadyIdle(nil)

// toClient writes whole messages; the caller holds s.write.
func (s *Session) toClient(b []byte) error {
	if _, err := s.client.Write(b); err != nil {
		return fmt.Errorf("write to client: %w", err)
	}
	return nil
}

// appendFacts appends facts as the message that carries them.
func appendFacts(out []byte, facts []statement.Fact) []byte {
	if len(facts) == 0 {
		return out
	}
	text, err := statement.AppendFacts(nil, facts)
	if err != nil || len(text) > maxHeld || bytes.IndexByte(text, 0) >= 0 {
		return out // an edge that gets no facts keeps nothing
	}
	return wire.AppendParameterStatus(out, statement.FactsParameter, text)
}
