package wal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
)

// check looks at fresh snapshots while something waits for one, and at least every statusInterval.
func (f *follower) check(ctx context.Context) error {
	retry := firstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.wake:
			retry = firstRetry
			if early := minInterval - time.Since(last); early > 0 {
				timer.Reset(early)
				continue
			}
		case <-timer.C:
		}
		last = time.Now()
		waiting, err := f.look(ctx)
		if err != nil {
			return err
		}
		if !waiting {
			retry = firstRetry
			timer.Reset(statusInterval)
			continue
		}
		timer.Reset(retry)
		retry = min(2*retry, maxRetry)
	}
}

// view is one look at the server.
type view struct {
	began        time.Time
	snapshot     snapshot
	end, flushed pglogrepl.LSN
}

const queryView = "SELECT pg_catalog.pg_current_snapshot()::text, pg_catalog.pg_current_wal_insert_lsn()::text, pg_catalog.pg_current_wal_flush_lsn()::text"

func (f *follower) view(ctx context.Context) (v view, err error) {
	ctx, stop := context.WithTimeout(ctx, f.options.Inactivity)
	defer stop()
	v.began = time.Now()
	var visible, inserted, flushed string
	if err = f.query.QueryRow(ctx, queryView).Scan(&visible, &inserted, &flushed); err != nil {
		return v, fmt.Errorf("look at Postgres' snapshot: %w", err)
	}
	if v.snapshot, err = parseSnapshot(visible); err != nil {
		return v, err
	}
	if v.end, err = pglogrepl.ParseLSN(inserted); err != nil {
		return v, fmt.Errorf("read the end of the WAL: %w", err)
	}
	v.end = f.geometry.end(v.end)
	if v.flushed, err = pglogrepl.ParseLSN(flushed); err != nil {
		return v, fmt.Errorf("read how much of the WAL is flushed: %w", err)
	}
	return v, nil
}

// look takes a snapshot and hands on what it shows. It reports whether something still waits.
//
// A request is done once decoding has passed the end of the WAL as it was after the request came, and the transactions
// decoded until then were held against a snapshot taken after it came: one that was visible when the request came
// has its commit before that end, so it has been decoded, and every later snapshot shows it.
func (f *follower) look(ctx context.Context) (waiting bool, err error) {
	f.mu.Lock()
	asked := slices.Clone(f.mu.requests)
	f.mu.Unlock()
	v, err := f.view(ctx)
	if err != nil {
		return false, err
	}

	f.mu.Lock()
	passed := f.mu.passed
	var union union
	left := f.mu.pending[:0]
	for _, t := range f.mu.pending {
		xid := v.snapshot.full(t.xid)
		if !v.snapshot.over(xid) {
			left = append(left, t)
			continue
		}
		delete(f.straddlers, xid)
		union.add(&t.change)
		f.counted.transactions.Add(1)
		if t.change.Anything {
			f.counted.whole.Add(1)
		}
	}
	clear(f.mu.pending[len(left):])
	f.mu.pending = left
	var done []*request
	var late *request
	for _, r := range asked {
		if r.position == 0 {
			r.position = v.end
		}
		switch {
		case r.position <= passed:
			done = append(done, r)
		case late == nil:
			late = r
		}
	}
	f.measureLocked(&v)
	waiting = len(left) > 0 || late != nil
	f.mu.Unlock()
	signal(f.room)

	for xid := range f.straddlers {
		if v.snapshot.over(xid) {
			delete(f.straddlers, xid)
			union.change.Anything = true
		}
	}
	if union.any || union.change.Anything {
		f.options.Sink.Changed(union.result())
	}
	f.finish(done)
	if late != nil {
		signal(f.ask)
		f.flush(ctx, v, late)
	}
	return waiting, nil
}

// measureLocked keeps what [Status] says of how far behind decoding is. Under load it never gets to the end of the WAL, but it
// gets to where that was a moment ago.
func (f *follower) measureLocked(v *view) {
	f.mu.behind = uint64(v.end - min(f.mu.passed, v.end))
	if f.mu.passed >= f.mu.mark.end && f.mu.mark.began.After(f.mu.caughtUp) {
		f.mu.caughtUp = f.mu.mark.began
	}
	if f.mu.passed >= f.mu.mark.end {
		f.mu.mark = *v
	}
	if f.mu.behind == 0 {
		f.mu.caughtUp = v.began
	}
}

// finish tells callers that they may go on.
func (f *follower) finish(done []*request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range done {
		// One that has given up is not on the list any more.
		if i := slices.Index(f.mu.requests, r); i >= 0 {
			f.mu.requests = slices.Delete(f.mu.requests, i, i+1)
			close(r.done)
		}
	}
}

// flush has WAL flushed that somebody waits for and that nothing else flushes: decoding goes no further than that. A
// transaction that is open for long on a server where nobody else commits would otherwise hold up every lease.
func (f *follower) flush(ctx context.Context, v view, late *request) {
	if f.mayNot || v.flushed >= late.position || time.Since(late.since) < flushAfter || time.Since(f.flushedAt) < flushAfter {
		return
	}
	f.flushedAt = time.Now()
	ctx, stop := context.WithTimeout(ctx, f.options.Inactivity)
	defer stop()
	if _, err := f.query.Exec(ctx, "SELECT pg_catalog.pg_logical_emit_message(true, '"+flushPrefix+"', '')"); err != nil && ctx.Err() == nil {
		f.mayNot = true
		f.logger.Warn("could not have the WAL flushed: leases may run out while a transaction stays open", slog.String("error", oneLine(err)),
			slog.String("hint", "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) to the home's role"))
	}
}

// union puts together what several transactions have changed.
type union struct {
	any       bool
	change    Change
	relations map[Relation]struct{}
}

func (u *union) add(c *Change) {
	u.any = true
	u.change.Anything = u.change.Anything || c.Anything
	u.change.Schema = u.change.Schema || c.Schema
	u.change.Empty = u.change.Empty || c.Empty
	if u.change.Anything {
		return
	}
	if u.relations == nil {
		u.relations = make(map[Relation]struct{}, len(c.Relations))
	}
	for _, r := range c.Relations {
		u.relations[r] = struct{}{}
	}
	u.change.Anything = len(u.relations) > maxUnion
}

func (u *union) result() Change {
	c := u.change
	if !c.Anything {
		for r := range u.relations {
			c.Relations = append(c.Relations, r)
		}
	}
	return c
}
