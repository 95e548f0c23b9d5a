package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/history"
)

// keys are the registers; those of one table are voided together.
var keys = []string{"a.1", "a.2", "b.1", "b.2"}

// recorder collects what the clients see, on one clock.
type recorder struct {
	begun time.Time
	// written counts the values: each write has its own.
	written atomic.Int64
	// gate is held by whoever needs that no operation is under way.
	gate sync.RWMutex

	mu  sync.Mutex
	ops []history.Op
}

func (r *recorder) now() time.Duration { return time.Since(r.begun) }

// add notes an operation that has ended.
func (r *recorder) add(o history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

// forget notes that a database came back between two moments without what was written behind the values that it has.
func (r *recorder) forget(has map[string]int64, from, to time.Duration) (forgotten int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, value := range has {
		last := history.Forever // when the write was sent that is still there
		for _, o := range r.ops {
			if o.Kind == history.Write && o.Values[0] == (history.Value{Key: key, Value: value}) {
				last = o.Invoked
			}
		}
		for i := range r.ops {
			o := &r.ops[i]
			if o.Kind == history.Write && o.Values[0].Key == key && o.Values[0].Value != value && o.Invoked > last && o.Undone == (history.Span{}) {
				o.Undone = history.Span{Earliest: from, Latest: to}
				if o.Outcome == history.Committed {
					forgotten++
				}
			}
		}
	}
	return forgotten
}

// client works at one node, with one connection at a time, until ctx ends.
type client struct {
	*recorder
	name string
	url  string
	// writes is how many of a hundred operations are writes.
	writes int
	think  time.Duration
	chance *rand.Rand
	simple bool

	sessions int
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.session(ctx)
		pause(ctx, 20*time.Millisecond)
	}
}

// pause waits, or returns as soon as ctx is over.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// longest is how long a client waits for an answer before it takes its connection for dead.
const longest = 4 * time.Second

// session works with one connection until it breaks.
func (c *client) session(ctx context.Context) {
	config, err := pgx.ParseConfig(c.url)
	if err != nil {
		panic(err) // the test made it
	}
	if c.simple {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	connecting, stop := context.WithTimeout(ctx, longest)
	conn, err := pgx.ConnectConfig(connecting, config)
	stop()
	if err != nil {
		return
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), 100*time.Millisecond)
		defer stop()
		_ = conn.Close(closing)
	}()
	c.sessions++
	id := fmt.Sprintf("%s/%d", c.name, c.sessions)
	for ctx.Err() == nil {
		if err := c.step(ctx, conn, id); err != nil {
			return
		}
		pause(ctx, c.think/2+time.Duration(c.chance.Int64N(int64(c.think))))
	}
}

func (c *client) step(ctx context.Context, conn *pgx.Conn, id string) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	key := keys[c.chance.IntN(len(keys))]
	table, row := "reg_"+key[:1], key[2:]
	asking, stop := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer stop()
	o := history.Op{Session: id, Via: c.name, Invoked: c.now(), Returned: history.Never}
	if c.chance.IntN(100) >= c.writes {
		var v int64
		if err := conn.QueryRow(asking, "select v from "+table+" where k = $1", row).Scan(&v); err != nil {
			return err
		}
		o.Kind, o.Returned, o.Values = history.Read, c.now(), []history.Value{{Key: key, Value: v}}
		c.add(o)
		return nil
	}
	v := c.written.Add(1)
	o.Kind, o.Values = history.Write, []history.Value{{Key: key, Value: v}}
	err := c.write(asking, conn, "update "+table+" set v = $1 where k = $2", v, row)
	if err != nil {
		o.Outcome = history.Unknown
	} else {
		o.Returned = c.now()
	}
	c.add(o)
	return err
}

// write updates by itself, or in a block.
func (c *client) write(ctx context.Context, conn *pgx.Conn, sql string, arguments ...any) error {
	if c.chance.IntN(3) > 0 {
		_, err := conn.Exec(ctx, sql, arguments...)
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sql, arguments...); err != nil {
		return err // the connection is given up
	}
	return tx.Commit(ctx)
}
