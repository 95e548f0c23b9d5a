package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// State is what a source is at the moment.
type State string

// The states of a source.
const (
	// Starting: no slot was there yet, for PostgreSQL makes one only once the transactions that are running have ended.
	Starting State = "starting"
	// Following: all that is committed is decoded.
	Following State = "wal"
	// Lost: the slot was lost and its successor is not there yet. What is committed meanwhile is not known.
	Lost State = "lost"
	// Refused: PostgreSQL does not allow it, or makes no new slot in time. Only what passes the home is known.
	Refused State = "wire"
)

// Sink takes what a source finds. Its methods are called one at a time, must not block for long, and must not call the
// source.
type Sink interface {
	// Gap says that anything may have been committed unseen until now. following says whether the source sees all
	// that becomes visible from now on.
	Gap(following bool)
	// Changed says that transactions have become visible.
	Changed(change Change)
}

// ErrUncertain is returned by [Source.Certain] where transactions may have become visible that are not known.
var ErrUncertain = errors.New("the WAL is not being followed")

// Options configure a [Source]. Config and Sink are required; the zero value of any other stands for its default.
type Options struct {
	// Config says how the home's role connects. The Source keeps a copy.
	Config *pgx.ConnConfig
	// Database is the one that is followed.
	Database string
	Sink     Sink
	// Logger gets what an operator must know. Nil discards it.
	Logger *slog.Logger
	// Inactivity is how long PostgreSQL may be silent before the connection counts as dead. Default: 30 s.
	Inactivity time.Duration
	// SlowStart is how long the first slot may take before the log says what it waits for. Default: 15 s.
	SlowStart time.Duration
	// MaxLost is how long, after a slot was lost, a new one may take before the source counts as refused. 0: for ever.
	MaxLost time.Duration
}

const (
	defaultInactivity = 30 * time.Second
	defaultSlowStart  = 15 * time.Second // longer than connecting may take
	// statusInterval is how often PostgreSQL hears how far decoding is, and at least a snapshot is looked at.
	statusInterval = time.Second
	connectTimeout = 10 * time.Second
	closeTimeout   = time.Second
	firstBackoff   = 50 * time.Millisecond
	maxBackoff     = 5 * time.Second
	// refusedRetry is how often a source that was refused asks again.
	refusedRetry = 30 * time.Second
)

// Source follows the WAL of one database. It is safe for concurrent use.
type Source struct {
	options Options
	logger  *slog.Logger

	counted    counters
	reconnects atomic.Uint64

	mu struct {
		sync.Mutex
		state    State
		reason   string
		lostAt   time.Time
		follower *follower
		changed  chan struct{} // closed when state changes
	}
}

// counters count what was handed on.
type counters struct{ transactions, whole atomic.Uint64 }

// New makes a source. It does no I/O.
func New(options Options) *Source {
	options.Config = options.Config.Copy()
	options.Config.Database = options.Database
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Inactivity <= 0 {
		options.Inactivity = defaultInactivity
	}
	if options.SlowStart <= 0 {
		options.SlowStart = defaultSlowStart
	}
	s := &Source{options: options, logger: options.Logger.With(slog.String("database", options.Database))}
	s.options.Logger = s.logger
	s.mu.state, s.mu.changed = Starting, make(chan struct{})
	return s
}

// Status is how a source is doing.
type Status struct {
	State State
	// Reason says why the state is not [Following].
	Reason string
	// Slot is the name of the slot; empty: there is none.
	Slot string
	// Behind is how much of the WAL was not decoded yet when last looked at, in bytes, and Age how long ago all of it
	// had been.
	Behind uint64
	Age    time.Duration
	// Transactions have become visible; Whole of them may have changed anything. Reconnects counts the attempts but the first.
	Transactions, Whole, Reconnects uint64
}

// Status returns how the source is doing.
func (s *Source) Status() Status {
	s.mu.Lock()
	status := Status{State: s.mu.state, Reason: s.mu.reason}
	f := s.mu.follower
	s.mu.Unlock()
	status.Transactions, status.Whole, status.Reconnects = s.counted.transactions.Load(), s.counted.whole.Load(), s.reconnects.Load()
	if f != nil {
		status.Slot = f.slot
		status.Behind, status.Age = f.behind()
	}
	return status
}

// State returns what the source is at the moment, and a channel that is closed when that changes.
func (s *Source) State() (State, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state, s.mu.changed
}

// Certain returns nil once every transaction that was visible when it was called has gone through the Sink. It returns
// [ErrUncertain] where that cannot be known; then only the Gap that follows makes up for it. A source that is
// [Starting] or [Refused] promises nothing and says so as well.
func (s *Source) Certain(ctx context.Context) error {
	s.mu.Lock()
	f := s.mu.follower
	s.mu.Unlock()
	if f == nil {
		return ErrUncertain
	}
	return f.certain(ctx)
}

// Run follows the WAL until ctx ends, over as many slots as it takes. The slot and its connections are gone when it
// returns.
func (s *Source) Run(ctx context.Context) {
	attempt := 0
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			s.reconnects.Add(1)
		}
		followed, err := s.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if followed {
			attempt = 0
		}
		var refused *refusedError
		wait := min(firstBackoff<<min(attempt, 10), maxBackoff)
		wait += rand.N(wait)
		attempt++
		state, _ := s.State()
		switch is := errors.As(err, &refused); {
		case is && (state != Lost || s.overdue()):
			// A slot that was just lost may still be in the way of the next.
			s.refuse(refused.reason, refused.hint)
			wait = refusedRetry
		case s.overdue():
			s.refuse("there is no new replication slot", "the last attempt said: "+oneLine(err))
		default:
			s.failed(followed, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// follow lives through one slot. It reports whether there was one.
func (s *Source) follow(ctx context.Context) (followed bool, err error) {
	f, err := s.connect(ctx)
	if err != nil {
		return false, err
	}
	defer f.close()
	s.enter(f)
	s.options.Sink.Gap(true)
	err = f.run(ctx)
	s.leave(err)
	return true, err
}

// connect makes the connections and the slot. PostgreSQL makes a slot once all running transactions have ended, which
// may be never: a source that is overdue is refused meanwhile.
func (s *Source) connect(ctx context.Context) (*follower, error) {
	type result struct {
		f   *follower
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		f, err := dial(ctx, &s.options, &s.counted)
		done <- result{f, err}
	}()
	timer, slow := time.NewTimer(s.lostLeft()), time.NewTimer(s.options.SlowStart)
	defer timer.Stop()
	defer slow.Stop()
	for {
		select {
		case r := <-done:
			return r.f, r.err
		case <-slow.C:
			s.slow()
		case <-timer.C:
			if s.overdue() {
				s.refuse("there is no new replication slot", "end the transaction that has been running for long: pg_stat_activity.xact_start and pg_prepared_xacts show it")
			}
		}
	}
}

func (s *Source) setLocked(state State, reason string) {
	if s.mu.state != state {
		close(s.mu.changed)
		s.mu.changed = make(chan struct{})
	}
	s.mu.state, s.mu.reason = state, reason
}

func (s *Source) enter(f *follower) {
	s.mu.Lock()
	s.setLocked(Following, "")
	s.mu.follower = f
	s.mu.Unlock()
	s.logger.Info("changes are followed in the WAL", slog.String("slot", f.slot))
}

// leave notes that the slot is gone. Nothing is certain from here on.
func (s *Source) leave(err error) {
	s.mu.Lock()
	s.mu.follower = nil
	s.mu.lostAt = time.Now()
	s.setLocked(Lost, "the replication slot was lost: "+oneLine(err))
	s.mu.Unlock()
}

// overdue reports whether a lost slot has had no successor for too long.
func (s *Source) overdue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state == Lost && s.options.MaxLost > 0 && time.Since(s.mu.lostAt) >= s.options.MaxLost
}

// lostLeft returns how long a lost slot may still be without a successor, or a long time where it does not matter.
func (s *Source) lostLeft() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state != Lost || s.options.MaxLost <= 0 {
		return math.MaxInt64
	}
	return s.options.MaxLost - time.Since(s.mu.lostAt)
}

// failed logs the end of a slot, and an attempt that made none where its reason is news.
func (s *Source) failed(followed bool, err error) {
	if followed {
		s.logger.Warn("the replication slot was lost: what it missed is void once there is a new one", "error", oneLine(err))
		return
	}
	s.mu.Lock()
	why := "there is no replication slot yet: " + oneLine(err)
	news := s.mu.reason != why
	s.setLocked(s.mu.state, why)
	s.mu.Unlock()
	if news {
		s.logger.Warn("the WAL cannot be followed yet: it is tried again and again", "error", oneLine(err))
	}
}

// slow says what a source is waiting for that is not there yet.
func (s *Source) slow() {
	const why = "Postgres makes a replication slot once the transactions that are running have ended"
	s.mu.Lock()
	waits := s.mu.state == Starting
	if waits {
		s.setLocked(Starting, why)
	}
	s.mu.Unlock()
	if waits {
		s.logger.Warn("changes are not followed in the WAL yet", "reason", why, "hint", "pg_stat_activity.xact_start and pg_prepared_xacts show what has been running for long")
	}
}

// refuse says that the database is not followed. Each reason is logged once.
func (s *Source) refuse(reason, hint string) {
	s.mu.Lock()
	before, why := s.mu.state, s.mu.reason
	s.setLocked(Refused, reason+" ("+hint+")")
	news := s.mu.reason != why
	s.mu.Unlock()
	if before == Lost {
		s.options.Sink.Gap(false)
	}
	if news {
		s.logger.Warn("changes are not followed in the WAL: writes that bypass the home are seen late or not at all", "reason", reason, "hint", hint)
	}
}

// refusedError says that PostgreSQL as it is configured does not let the WAL be followed.
type refusedError struct{ reason, hint string }

func (e *refusedError) Error() string { return fmt.Sprintf("%s (%s)", e.reason, e.hint) }

func oneLine(err error) string {
	if err == nil {
		return "it ended"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
