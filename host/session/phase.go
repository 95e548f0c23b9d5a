package session

import (
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// phase is where a session stands between the client and its upstream.
type phase uint8

// The phases. The replication protocol's COPY both ways is none of them: such a connection is passed through.
const (
	// starting: the startup packet was sent, and the first ReadyForQuery has not come. Authentication lies in it.
	starting phase = iota
	// idle: outside a transaction block, nothing outstanding.
	idle
	// inBlock: inside a transaction block, nothing outstanding.
	inBlock
	// inPromisedBlock: the same, and the upstream knows nothing of the block yet (lazy BEGIN).
	inPromisedBlock
	// inFailedBlock: inside a block that can only be rolled back.
	inFailedBlock
	// inPipeline: the client waits for a reply, or has not sent the Sync that ends what it has executed.
	inPipeline
	// copyingIn: the backend reads copy data whose end the client has not sent.
	copyingIn
	// copyingOut: the backend sends copy data.
	copyingOut
	// skipping: the backend skips all up to the next Sync, after an error in an extended query.
	skipping
	// relaying: the upstream's replies are no longer understood; bytes just pass.
	relaying
	// orphaned: the upstream has gone without a word, and the session goes on with what is in memory: level eventual.
	orphaned
	// closing: one of the connections has ended.
	closing
)

// phaseLocked derives the phase from what the two loops keep.
func (s *Session) phaseLocked() phase {
	switch {
	case s.mu.closed:
		return closing
	case s.confused.Load():
		return relaying
	case s.mu.orphaned:
		return orphaned
	case s.mu.status == 0:
		return starting
	case s.mu.copying:
		return copyingIn
	case s.mu.copyingOut:
		return copyingOut
	case s.mu.skipping:
		return skipping
	case s.mu.queue.owed() > 0 || s.mu.open && s.mu.executed:
		return inPipeline
	case s.mu.promised:
		return inPromisedBlock
	case s.mu.status == wire.InBlock:
		return inBlock
	case s.mu.status != wire.Idle:
		return inFailedBlock
	}
	return idle
}

// obstacle is why a message may not be answered from memory now.
type obstacle uint8

// The obstacles.
const (
	none obstacle = iota
	notReady
	notFollowed
	pipelined
	copying
	skipped
	failedBlock
	otherBlock
	privateState
	switchedOff
	notReached
	leaseEnded
	wroteElsewhere
	ending
)

var obstacleNames = [...]string{
	none:           "nothing stands against it",
	notReady:       "the session is still starting",
	notFollowed:    "the session is no longer followed",
	pipelined:      "an earlier message has not been answered yet, or not been ended by its Sync",
	copying:        "the session is copying",
	skipped:        "an error has made the upstream skip all up to the next Sync",
	failedBlock:    "the session is in a transaction block that failed",
	otherBlock:     "the session is in a transaction block that is not READ COMMITTED, or has not only read",
	privateState:   "the session's state is not known",
	switchedOff:    "perihelion.consistency keeps the session from answers from memory",
	notReached:     "the node has not yet heard of what perihelion.after names",
	leaseEnded:     "the node has not heard from its home for too long",
	wroteElsewhere: "the session has written through a home that its node has not registered with yet",
	ending:         "the session is ending",
}

func (o obstacle) String() string { return obstacleNames[o] }

// obstacles is the session's state table: what stands against an answer from memory in each phase.
var obstacles = [...]obstacle{
	starting:        notReady,
	idle:            none,
	inBlock:         none, // but see obstacleLocked
	inPromisedBlock: none,
	inFailedBlock:   failedBlock,
	inPipeline:      pipelined,
	copyingIn:       copying,
	copyingOut:      copying,
	skipping:        skipped,
	relaying:        notFollowed,
	orphaned:        none,
	closing:         ending,
}

// mayLocked reports whether a message that arrives now may be answered from memory: without a lease, by what is eventual
// only.
func (s *Session) mayLocked(now invalidation.Instant) bool {
	o := s.obstacleLocked(now)
	s.eventualOnly = o == leaseEnded
	return o == none || s.eventualOnly
}

// obstacleLocked says whether a message that arrives now may be answered from memory: the one place that decides. It is
// called by the client's loop only.
func (s *Session) obstacleLocked(now invalidation.Instant) obstacle {
	p := s.phaseLocked()
	s.unleased = false
	switch o := obstacles[p]; {
	case o != none:
		return o
	case p == inBlock && !s.mu.readable:
		return otherBlock
	case s.mu.state.private:
		return privateState
	case s.mu.level == statement.Off:
		return switchedOff
	case s.mu.after.version != 0 && !s.reachedLocked():
		return notReached
	case !s.Lease.Valid(now):
		s.unleased = true
		if s.mu.level != statement.Eventual {
			return leaseEnded
		}
	case s.aheadLocked():
		return wroteElsewhere
	}
	return none
}
