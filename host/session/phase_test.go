package session

import (
	"net"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// TestWhatStandsAgainstAnAnswerFromMemory is the session's state table: every phase, and every reason not to answer.
func TestWhatStandsAgainstAnAnswerFromMemory(t *testing.T) {
	now, covered := invalidation.Now(), map[obstacle]bool{}
	for _, test := range []struct {
		name  string
		state func(*Session)
		phase phase
		want  obstacle
	}{
		{"idle", func(*Session) {}, idle, none},
		{"before the first ReadyForQuery", func(s *Session) { s.mu.status = 0; s.mu.queue.push(expected{kind: startup}) }, starting, notReady},
		{"a reply is outstanding", func(s *Session) { s.mu.queue.push(expected{kind: wire.Query}) }, inPipeline, pipelined},
		{"a reply of the session's own is outstanding", func(s *Session) { s.mu.queue.push(expected{kind: wire.Sync, injected: true}) }, idle, none},
		{"a pipeline that has executed something is open", func(s *Session) { s.mu.open, s.mu.executed = true, true }, inPipeline, pipelined},
		{"a pipeline that has executed nothing is open", func(s *Session) { s.mu.open = true }, idle, none},
		{"behind an error, before the Sync", func(s *Session) { s.mu.skipping = true }, skipping, skipped},
		{"copy in", func(s *Session) { s.mu.copying = true; s.mu.queue.push(expected{kind: wire.Query}) }, copyingIn, copying},
		{"copy out", func(s *Session) { s.mu.copyingOut = true; s.mu.queue.push(expected{kind: wire.Query}) }, copyingOut, copying},
		{"in a block that has only read", func(s *Session) { s.mu.status, s.mu.readable = wire.InBlock, true }, inBlock, none},
		{"in a block that has written, or is stricter", func(s *Session) { s.mu.status = wire.InBlock }, inBlock, otherBlock},
		{"in a promised block", func(s *Session) { s.mu.status, s.mu.promised = wire.InBlock, true }, inPromisedBlock, none},
		{"in a failed block", func(s *Session) { s.mu.status, s.mu.readable = wire.Failed, true }, inFailedBlock, failedBlock},
		{"the state is not known", func(s *Session) { s.mu.state.private = true }, idle, privateState},
		{"the session asks for nothing from memory", func(s *Session) { s.mu.level = statement.Off }, idle, switchedOff},
		{"the session's token is of another log", func(s *Session) { s.mu.after = parseToken("another/2") }, idle, notReached},
		{"the session's token is none", func(s *Session) { s.mu.after = parseToken("yesterday") }, idle, notReached},
		{"the session's token lies ahead", func(s *Session) { s.mu.after = token{s.Floors.Epoch(), ^invalidation.Version(1)} }, idle, notReached},
		{"the session's token is reached", func(s *Session) { s.mu.after = token{s.Floors.Epoch(), 2} }, idle, none},
		{"the lease has ended", func(s *Session) { s.Lease = &invalidation.Lease{} }, idle, leaseEnded},
		{"a write is of another epoch", func(s *Session) { s.wroteAhead("another", 2) }, idle, wroteElsewhere},
		{"the lease has ended, and time to live is enough", func(s *Session) { s.Lease, s.mu.level = &invalidation.Lease{}, statement.Eventual }, idle, none},
		{"there is no upstream any more", func(s *Session) { s.mu.orphaned = true }, orphaned, none},
		{"the replies are not followed", func(s *Session) { s.confused.Store(true) }, relaying, notFollowed},
		{"the session ends", func(s *Session) { s.mu.closed = true }, closing, ending},
	} {
		t.Run(test.name, func(t *testing.T) {
			backends := make(chan net.Conn, 1)
			far, near := tcpPair()
			defer far.Close()
			defer near.Close()
			s := New(node(newAnalysis(), &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 1)}, backends), near, Peer{}, false)
			s.mu.status = wire.Idle
			test.state(s)
			s.mu.Lock()
			defer s.mu.Unlock()
			if got := s.phaseLocked(); got != test.phase {
				t.Errorf("phase %d, want %d", got, test.phase)
			}
			if got := s.obstacleLocked(now); got != test.want {
				t.Errorf("%q stands against it, want %q", got, test.want)
			}
			covered[test.want] = true
		})
	}
	for o := range obstacleNames {
		if !covered[obstacle(o)] {
			t.Errorf("no row for %q", obstacle(o))
		}
	}
}
