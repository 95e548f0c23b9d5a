package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

const (
	// clientWindow is the largest client message that is looked into, in bytes; larger ones stream through.
	clientWindow = 256 << 10
	// upstreamWindow is the largest upstream message that is looked into, in bytes.
	upstreamWindow = 1 << 20
	// maxHeld is how much of an extended query is held back until its Sync or Flush, in bytes.
	maxHeld = 64 << 10
	// maxTeed bounds what the unfinished fills of a session hold together, in bytes, as a multiple of one entry's.
	maxTeed = 4
)

// Session is one client and its upstream connection.
type Session struct {
	*Shared
	// tunnel is set where the client is an edge: facts go before each ReadyForQuery.
	tunnel   bool
	from     string
	who      Identity
	log      *slog.Logger
	client   net.Conn
	upstream net.Conn
	count    *cell
	// unwatch ends what closes the connections with the node.
	unwatch []func() bool
	// home is what only a home does for a session; nil at an edge.
	home *home

	// secured is set where the client's leg is TLS. binding is the tls-server-end-point of what the client was shown, by
	// this node or by the edge that it came through.
	secured bool
	binding []byte
	// confused is set once the upstream's replies are no longer understood: from then on bytes just pass.
	confused atomic.Bool
	// lost is set once the client is gone while the outcome of a write is still to be read.
	lost     atomic.Bool
	draining atomic.Bool

	// cancels counts the cancel requests under way that mean the session; cancelKey is what its client was given for one.
	cancels   atomic.Int32
	cancelKey string

	// write guards the bytes to the client: whole messages only.
	write sync.Mutex

	mu struct {
		sync.Mutex
		queue queue
		// unsettled is set while a message is under way after which a setting may be another. A home's only.
		unsettled bool
		state     state
		// status is the transaction status of the last ReadyForQuery; 0 before the first.
		status byte
		// skipping is set between an error in the extended protocol and the Sync that ends it.
		skipping bool
		// open is set while the upstream is in an extended query whose Sync has not been sent: its transaction is open too.
		// executed is set once that has executed something.
		open, executed bool
		// copying is set while the backend reads copy data whose end the client has not sent, copyingOut while it sends some.
		copying, copyingOut bool
		// promised is set inside a block of which the upstream knows nothing yet: see block.go. readable is set inside one
		// that is READ COMMITTED and has only read, committed where one that begins now would be READ COMMITTED.
		// answered is set once memory has answered a query of the block.
		promised, readable, committed, answered bool
		// last is what became of the last statement.
		last last
		// foreign is the session's last write that this node's floors could not take in: see edge.go.
		foreign *foreign
		// flight is the miss that the session leads: others may wait for it.
		flight *cache.Flight
		// level is how coherent the session's answers have to be, and after what they have to know of.
		level statement.Level
		after token
		// orphaned is set once the session has no upstream any more: at level eventual only.
		orphaned bool
		// written is the last event of the session's own writes, as the home told this edge.
		written token
		// room wakes the client's loop where the queue was full.
		room *sync.Cond
		// named and unnamed are the prepared statements as the client has them, portals the bound portals. namesKnown is
		// set while named holds every name that is taken.
		named        map[string]*prepared
		namedBytes   int
		namesKnown   bool
		unnamed      prepared
		unnamedKnown bool
		portals      map[string]*portal
		// staleUnnamed and stalePortal are set while the upstream may have an unnamed statement or portal that the client
		// no longer has, because what ended it was answered from memory.
		staleUnnamed, stalePortal bool
		// closed is set once one of the loops has ended, or is taken to have; ended is why the first did.
		closed bool
		ended  error
	}

	// The client's loop owns these.
	in               *wire.Reader
	held             int
	key, describeKey []byte
	// missed is set where a plan failed because memory did not have key; took is what an earlier result of it took, 0 where
	// none is known.
	missed bool
	took   time.Duration
	// unleased is set while the message at hand finds that the lease has ended, eventualOnly where it may all the same be
	// answered by what is eventual.
	unleased, eventualOnly bool
	out                    []byte
	plan                   plan
	pending                prepared
	// promise begins the block that was promised; promising is the one that a plan would make.
	promise, promising promise
	// ahead is what the upstream must get before the next message. sentLast is when it last got something.
	ahead    []byte
	sentLast invalidation.Instant

	// The upstream's loop owns these. broken is set once the upstream has refused to begin a block that the client was
	// promised.
	back   *wire.Reader
	reply  reply
	broken bool
}

// New returns the session of a client. It takes ownership of conn. tunnel says that the client came through an edge.
func New(shared *Shared, conn net.Conn, client Peer, tunnel bool) *Session {
	s := &Session{Shared: shared, client: conn, from: client.Addr, binding: client.Binding, tunnel: tunnel, count: shared.Counters.cell()}
	s.log = shared.Logger.With("client", client.Addr)
	s.mu.room = sync.NewCond(&s.mu)
	s.in = wire.NewReader(conn, clientWindow)
	return s
}

// errDone ends a session that has nothing wrong with it.
var errDone = errors.New("session ended")

// Run serves the session until it ends, and closes its connections. It returns what ended it, nil where that was the
// client's wish.
func (s *Session) Run(ctx context.Context) error {
	ended := make(chan struct{})
	if s.start(ctx, ended) {
		// The client's loop needs no goroutine of its own. What is below it on the stack is small: a session that is idle
		// for long keeps no more of it than a page.
		s.loop(ctx, s.serveClient)
		<-ended
	}
	return s.release()
}

// start brings the session to where its loops begin, and begins the upstream's, which closes ended. It reports false
// where there is nothing to serve.
func (s *Session) start(ctx context.Context, ended chan<- struct{}) (serves bool) {
	s.loop(ctx, func(ctx context.Context) error {
		s.watch(ctx, s.client)
		start, err := s.accept(ctx)
		if err != nil || start == nil {
			return err
		}
		s.watch(ctx, s.upstream)
		if start.Get("replication") != "" {
			return s.relay(ctx, start)
		}
		serves = true
		return s.begin(ctx, start)
	})
	if !serves || s.mu.ended != nil {
		return false
	}
	go func() {
		defer close(ended)
		s.loop(ctx, s.serveUpstream)
	}()
	return true
}

// watch closes a connection of the session's as soon as ctx is over.
func (s *Session) watch(ctx context.Context, conn net.Conn) {
	s.unwatch = append(s.unwatch, context.AfterFunc(ctx, func() { conn.Close() }))
}

// release ends what the session holds once nothing of it runs any more, and returns what ended it.
func (s *Session) release() error {
	for _, stop := range s.unwatch {
		stop()
	}
	s.client.Close()
	if s.upstream != nil {
		s.upstream.Close()
	}
	if s.home != nil {
		s.home.close()
	}
	s.land()
	s.Cancels.remove(s.cancelKey, s)
	s.in.Release()
	if s.back != nil {
		s.back.Release()
	}
	err := s.mu.ended
	if errors.Is(err, errDone) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// begin sends the startup packet to the upstream.
func (s *Session) begin(ctx context.Context, start *wire.Startup) error {
	s.who = Identity{Database: start.Database(), User: start.User(), Application: start.Get("application_name")}
	s.who.Tenant = s.Tenant(s.who.Database, s.who.User, s.who.Application)
	s.log = s.log.With("database", s.who.Database, "user", s.who.User)
	s.back = wire.NewReader(s.upstream, upstreamWindow)
	s.mu.namesKnown = true
	s.mu.state.private = true // until the home says otherwise
	s.mu.state.update()
	s.mu.queue.push(expected{kind: startup})
	s.reply.status = wire.Idle
	if s.Analysis != nil {
		s.home = newHome(ctx, s, start)
	}
	if _, err := s.upstream.Write(start.Packet); err != nil {
		return fmt.Errorf("forward startup packet: %w", err)
	}
	if s.Verifier != nil {
		return s.authenticate(ctx, start.User())
	}
	return nil
}

func (s *Session) serveClient(ctx context.Context) error {
	err := s.fromClient(ctx)
	s.leave()
	return err
}

func (s *Session) serveUpstream(ctx context.Context) error {
	err := s.fromUpstream(ctx)
	if errors.Is(err, errOrphaned) {
		return nil // the client's loop goes on
	}
	s.client.Close()
	return err
}

// loop runs a part of the session to its end. It makes a panic the end of the session only, and hands on what ended it.
func (s *Session) loop(ctx context.Context, run func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
		}
	}()
	if err := run(ctx); err != nil {
		s.end(err)
	}
}

func (s *Session) panicked(p any) {
	s.log.Error("session panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	s.client.Close()
	if s.upstream != nil {
		s.upstream.Close()
	}
	s.lockBehindPanic(panicPatience)
	defer s.mu.Unlock()
	s.endLocked(fmt.Errorf("session panicked: %v", p))
}

// panicPatience is longer than anybody holds Session.mu: there is no I/O under it.
const panicPatience = 5 * time.Second

// lockBehindPanic takes Session.mu, which the frames that the panic ended may have left locked: then, after the longest that anybody
// else may hold it, it is this loop's.
func (s *Session) lockBehindPanic(longest time.Duration) {
	if s.mu.TryLock() {
		return
	}
	patience, tick := time.NewTimer(longest), time.NewTicker(time.Millisecond)
	defer patience.Stop()
	defer tick.Stop()
	for {
		select {
		case <-patience.C:
			return
		case <-tick.C:
			if s.mu.TryLock() {
				return
			}
		}
	}
}

// end notes what ended the session, where that is the first to do so, and wakes whoever waits for it.
func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *Session) endLocked(err error) {
	if s.mu.ended == nil {
		s.mu.ended = err
	}
	s.mu.closed = true
	s.mu.room.Broadcast()
}

// leave is called when the client is gone. Where a write of its has no known outcome, the upstream is told that no
// more comes and its loop goes on reading; otherwise the upstream is closed.
func (s *Session) leave() {
	s.mu.Lock()
	waiting := s.home != nil && s.home.undecided(&s.mu.queue)
	s.mu.Unlock()
	if waiting {
		s.lost.Store(true)
		if half, ok := s.upstream.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			return
		}
	}
	s.upstream.Close()
}

// fatal sends an error that ends the connection. The client may already be gone: then nobody is left to tell.
func (s *Session) fatal(e *wire.Error) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.client.SetWriteDeadline(time.Now().Add(5*time.Second)) == nil {
		_, _ = s.client.Write(e.AppendFatal(nil))
	}
}

// Drain asks the session to end: at once where it is idle, else as soon as its running statements and its
// transaction block have ended. The client is told why.
func (s *Session) Drain() {
	s.draining.Store(true)
	s.mu.Lock()
	idle := s.idleLocked()
	s.mu.Unlock()
	if idle {
		s.shutdown()
	}
}

func (s *Session) idleLocked() bool {
	return s.mu.queue.owed() == 0 && s.mu.status == wire.Idle && !s.mu.open
}

// shutdown tells the client that the node ends, as Postgres does, and closes.
func (s *Session) shutdown() {
	s.fatal(&wire.Error{Code: wire.CodeAdminShutdown, Message: "terminating connection due to administrator command", Detail: "This perihelion node is shutting down.", Hint: "Connect again."})
	s.client.Close()
}
