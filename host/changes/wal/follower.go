package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sync/errgroup"
)

const (
	// maxPending bounds the transactions that wait to become visible; more are not read before.
	maxPending = 4096
	// maxUnion bounds the relations that one Change names.
	maxUnion = 8192
	// firstRetry and maxRetry bound how often a snapshot is looked at while something waits for it.
	firstRetry = time.Millisecond
	maxRetry   = 25 * time.Millisecond
	// minInterval is the least time between two looks: many transactions a second share one.
	minInterval = time.Millisecond
	// flushAfter is how long WAL may stay unflushed before the home has it flushed: PostgreSQL itself takes up to three
	// times wal_writer_delay for an asynchronous commit, and much longer for what no commit follows.
	flushAfter   = 300 * time.Millisecond
	writeTimeout = 10 * time.Second
)

// follower is one slot, from its making to its end, and the connections that it takes.
type follower struct {
	options  *Options
	counted  *counters
	logger   *slog.Logger
	query    *pgx.Conn
	stream   *pgconn.PgConn
	slot     string
	geometry geometry

	// straddlers were running when the slot was made. The check loop owns them after dial.
	straddlers map[uint64]struct{}
	flushedAt  time.Time // when the home last had WAL flushed
	mayNot     bool      // it was not allowed to

	// Each has one slot: wake tells the check loop to look, room the read loop that there is some. answer sends a
	// status, ask one that is answered.
	wake, room, answer, ask chan struct{}
	over                    chan struct{} // closed when run ends

	mu struct {
		sync.Mutex
		// passed is the position up to which all commits were decoded.
		passed   pglogrepl.LSN
		pending  []*transaction // decoded, in the order of their commits, and not seen in a snapshot yet
		requests []*request
		stopping bool
		// behind was the distance to the end of the WAL at the last look. caughtUp is the moment whose end of the WAL decoding
		// has passed, mark a later one whose end it has not passed yet.
		behind   uint64
		caughtUp time.Time
		mark     view
	}
}

// request is one caller of certain.
type request struct {
	// position is how far decoding has to get; 0: not known yet.
	position pglogrepl.LSN
	since    time.Time
	done     chan struct{} // closed when all is known; never where the follower ends before
}

func newFollower(o *Options, counted *counters) *follower {
	f := &follower{options: o, logger: o.Logger, counted: counted}
	f.wake, f.room = make(chan struct{}, 1), make(chan struct{}, 1)
	f.answer, f.ask = make(chan struct{}, 1), make(chan struct{}, 1)
	f.over = make(chan struct{})
	f.mu.caughtUp = time.Now()
	return f
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// run decodes until something fails or ctx ends. Requests that are not done then stay so.
func (f *follower) run(ctx context.Context) error {
	defer close(f.over)
	err := pglogrepl.StartReplication(ctx, f.stream, f.slot, 0, pglogrepl.StartReplicationOptions{
		Mode:       pglogrepl.LogicalReplication,
		PluginArgs: []string{`"include-xids" '1'`, `"include-timestamp" '0'`, `"skip-empty-xacts" '0'`},
	})
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, f.interrupt)
	defer stop()
	g.Go(func() error { return f.read(ctx) })
	g.Go(func() error { return f.report(ctx) })
	g.Go(func() error { return f.check(ctx) })
	return g.Wait()
}

// interrupt unblocks the read loop, for good.
func (f *follower) interrupt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopping = true
	_ = f.stream.Conn().SetReadDeadline(time.Unix(1, 0)) // a connection that is closed unblocks as well
}

func (f *follower) extend(until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.stopping {
		return context.Canceled
	}
	return f.stream.Conn().SetReadDeadline(until)
}

// close gives everything back. PostgreSQL closes a connection after it has dropped its slot, so waiting for that means
// that the slot is gone.
func (f *follower) close() {
	switch {
	case f.stream == nil:
	case f.stream.IsClosed(): // in the middle of a command, which is being cancelled
		select {
		case <-f.stream.CleanupDone():
		case <-time.After(closeTimeout):
		}
	default:
		conn := f.stream.Conn()
		_ = conn.SetDeadline(time.Now().Add(closeTimeout))
		if _, err := conn.Write([]byte{'X', 0, 0, 0, 4}); err == nil { // Terminate
			room := make([]byte, clipBuffer)
			for err == nil {
				_, err = conn.Read(room)
			}
		}
		_ = conn.Close()
	}
	if f.query != nil {
		ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
		defer stop()
		_ = f.query.Close(ctx) // the connection is given up either way
	}
}

// read takes in the stream.
func (f *follower) read(ctx context.Context) error {
	var p parser
	var due time.Time
	for {
		if now := time.Now(); now.After(due) {
			if err := f.extend(now.Add(f.options.Inactivity)); err != nil {
				return fmt.Errorf("read the WAL: %w", err)
			}
			due = now.Add(f.options.Inactivity / 8)
		}
		message, err := f.stream.Frontend().Receive()
		if err != nil {
			return fmt.Errorf("read the WAL: %w", err)
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			if err := f.take(ctx, &p, m.Data); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("read the WAL: %w", pgconn.ErrorResponseToPgError(m))
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		default:
			return errors.New("read the WAL: Postgres ended the stream")
		}
	}
}

// take takes in what one CopyData holds.
func (f *follower) take(ctx context.Context, p *parser, data []byte) error {
	if len(data) == 0 {
		return errors.New("read the WAL: an empty message")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		m, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return fmt.Errorf("read the WAL: %w", err)
		}
		f.advance(m.ServerWALEnd)
		if m.ReplyRequested {
			signal(f.answer)
		}
	case pglogrepl.XLogDataByteID:
		m, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return fmt.Errorf("read the WAL: %w", err)
		}
		t, err := p.message(m.WALData)
		if err != nil {
			return fmt.Errorf("read the WAL: %w", err)
		}
		if t != nil {
			t.commit = m.WALStart
			return f.decoded(ctx, t)
		}
	}
	return nil
}

// advance notes that all commits before a position have been decoded.
func (f *follower) advance(to pglogrepl.LSN) {
	f.mu.Lock()
	f.mu.passed = max(f.mu.passed, to)
	waiting := len(f.mu.requests) > 0
	f.mu.Unlock()
	if waiting {
		signal(f.wake)
	}
}

// decoded hands a transaction to the check loop. It waits where too many are there.
func (f *follower) decoded(ctx context.Context, t *transaction) error {
	for {
		f.mu.Lock()
		if len(f.mu.pending) < maxPending {
			f.mu.pending = append(f.mu.pending, t)
			f.mu.passed = max(f.mu.passed, t.commit)
			f.mu.Unlock()
			signal(f.wake)
			return nil
		}
		f.mu.Unlock()
		select {
		case <-f.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// report tells PostgreSQL how far decoding is, so that it gives back its WAL.
func (f *follower) report(ctx context.Context) error {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	for {
		asking := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.answer:
		case <-ticker.C:
		case <-f.ask:
			asking = true
		}
		f.mu.Lock()
		passed := f.mu.passed
		f.mu.Unlock()
		err := f.stream.Conn().SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			err = pglogrepl.SendStandbyStatusUpdate(ctx, f.stream, pglogrepl.StandbyStatusUpdate{WALWritePosition: passed, ReplyRequested: asking})
		}
		if err != nil {
			return fmt.Errorf("report to Postgres: %w", err)
		}
	}
}

// certain implements [Source.Certain].
func (f *follower) certain(ctx context.Context) error {
	r := &request{since: time.Now(), done: make(chan struct{})}
	f.mu.Lock()
	f.mu.requests = append(f.mu.requests, r)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.requests = slices.DeleteFunc(f.mu.requests, func(other *request) bool { return other == r })
	}()
	signal(f.wake)
	select {
	case <-r.done:
		return nil
	case <-f.over:
		return ErrUncertain
	case <-ctx.Done():
		return fmt.Errorf("wait until the WAL is decoded: %w", context.Cause(ctx))
	}
}

// behind returns how much of the WAL was not decoded at the last look, and how old the newest moment is that it was decoded
// up to.
func (f *follower) behind() (uint64, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.behind, time.Since(f.mu.caughtUp)
}
