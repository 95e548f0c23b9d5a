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

	"golang.org/x/sync/errgroup"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
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
	// home is what only a home does for a session; nil at an edge.
	home *home

	// secured is set where the client's leg is TLS.
	secured bool
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
		state state
		// status is the transaction status of the last ReadyForQuery; 0 before the first.
		status byte
		// skipping is set between an error in the extended protocol and the Sync that ends it.
		skipping bool
		// open is set while the upstream is in an extended query whose Sync has not been sent: its transaction is open too.
		open bool
		// copying is set while the backend reads copy data whose end the client has not sent, copyingOut while it sends some.
		copying, copyingOut bool
		// promised is set inside a block of which the upstream knows nothing yet: see block.go. readable is set inside one
		// that is READ COMMITTED and has only read, committed where one that begins now would be READ COMMITTED.
		// answered is set once memory has answered a query of the block.
		promised, readable, committed, answered bool
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
		closed                    bool
	}

	// The client's loop owns these.
	in               *wire.Reader
	held             int
	key, describeKey []byte
	out              []byte
	plan             plan
	pending          prepared
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

// New returns the session of a client that has connected from the given address. It takes ownership of client. tunnel
// says that the client is an edge.
func New(shared *Shared, client net.Conn, from string, tunnel bool) *Session {
	s := &Session{Shared: shared, client: client, from: from, tunnel: tunnel, count: shared.Counters.cell()}
	s.log = shared.Logger.With("client", from)
	s.mu.room = sync.NewCond(&s.mu)
	s.in = wire.NewReader(client, clientWindow)
	return s
}

// errDone ends a session that has nothing wrong with it.
var errDone = errors.New("session ended")

// Run serves the session until it ends, and closes its connections. It returns what ended it, nil where that was the
// client's wish.
func (s *Session) Run(ctx context.Context) (err error) {
	defer s.client.Close()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("session panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("session panicked: %v", p)
		}
	}()
	raw := s.client
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()

	start, err := s.accept(ctx)
	if err != nil || start == nil {
		return err
	}
	defer s.upstream.Close()
	stopUpstream := context.AfterFunc(ctx, func() { s.upstream.Close() })
	defer stopUpstream()
	if start.Get("replication") != "" {
		return s.relay(start)
	}
	return s.serve(ctx, start)
}

// serve runs the two loops of a session that has an upstream.
func (s *Session) serve(ctx context.Context, start *wire.Startup) error {
	s.who = Identity{Database: start.Database(), User: start.User(), Application: start.Get("application_name")}
	s.who.Tenant = s.Tenant(s.who.Database, s.who.User, s.who.Application)
	s.log = s.log.With("database", s.who.Database, "user", s.who.User)
	s.back = wire.NewReader(s.upstream, upstreamWindow)
	s.mu.namesKnown = true
	s.mu.state.private = true // until the home says otherwise
	s.mu.state.update()
	s.mu.queue.push(expected{kind: startup})
	if s.Analysis != nil {
		s.home = newHome(ctx, s, start)
		defer s.home.close()
	}
	if _, err := s.upstream.Write(start.Packet); err != nil {
		return fmt.Errorf("forward startup packet: %w", err)
	}
	s.reply.status = wire.Idle

	g := errgroup.Group{}
	g.Go(func() (err error) {
		defer s.end(&err)
		defer s.client.Close()
		return s.fromUpstream(ctx)
	})
	g.Go(func() (err error) {
		defer s.end(&err)
		err = s.fromClient(ctx)
		s.leave()
		return err
	})
	err := g.Wait()
	s.Cancels.remove(s.cancelKey, s)
	s.in.Release()
	s.back.Release()
	if errors.Is(err, errDone) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// end makes a panic of a loop the end of its session only, and wakes whoever waits for the other loop.
func (s *Session) end(err *error) {
	if p := recover(); p != nil {
		s.log.Error("session panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = fmt.Errorf("session panicked: %v", p)
		s.client.Close()
		s.upstream.Close()
	}
	s.mu.Lock()
	s.mu.closed = true
	s.mu.room.Broadcast()
	s.mu.Unlock()
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
