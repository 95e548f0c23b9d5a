package wal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

// ledger is a Sink that notes when each relation was last told of.
type ledger struct {
	sync.Mutex
	told map[string]time.Time
	all  time.Time
}

func (l *ledger) Gap(bool) {
	l.Lock()
	defer l.Unlock()
	l.all = time.Now()
}

func (l *ledger) Changed(c Change) {
	l.Lock()
	defer l.Unlock()
	if c.Anything {
		l.all = time.Now()
	}
	for _, r := range c.Relations {
		l.told[r.Name] = time.Now()
	}
}

// since reports whether a relation was told of at or after a moment.
func (l *ledger) since(name string, moment time.Time) bool {
	l.Lock()
	defer l.Unlock()
	return !l.told[name].Before(moment) || !l.all.Before(moment)
}

// TestR6WhatIsReadIsToldOnceCertain reads registers again and again while they are written to in every way, some of it
// not flushed, and while slots are lost. A register that has changed between two readings was told of after the first,
// once the home is certain of the moment of the second.
func TestR6WhatIsReadIsToldOnceCertain(t *testing.T) {
	const registers, writers, readings = 8, 6, 400
	db := pgtest.New(t)
	for i := range registers {
		db.Exec(fmt.Sprintf(`create table r%d (v bigint)`, i), fmt.Sprintf(`insert into r%d values (0)`, i))
	}
	l := &ledger{told: map[string]time.Time{}}
	r := follow(t, db.URL(), func(o *Options) { o.Sink = l })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		conn := db.Connect()
		random := rand.New(rand.NewPCG(1, uint64(w)))
		wg.Go(func() { writeRegisters(ctx, t, conn, random, registers, w) })
	}
	defer wg.Wait()
	defer stop()

	reader, killer := db.Connect(), db.Connect()
	query := "select array["
	for i := range registers {
		query += fmt.Sprintf("(select v from r%d),", i)
	}
	query = query[:len(query)-1] + "]"
	var before []int64
	var read time.Time
	changes, uncertain := 0, 0
	for i := range readings {
		if i%150 == 149 {
			statements(t, killer, `select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()`)
		}
		began := time.Now()
		var now []int64
		if err := reader.QueryRow(t.Context(), query).Scan(&now); err != nil {
			t.Fatal(err)
		}
		asking, done := context.WithTimeout(t.Context(), patience)
		err := r.Certain(asking)
		done()
		if err != nil {
			uncertain++ // then nothing is promised, and what was read before counts on
			continue
		}
		for register := range before {
			if now[register] == before[register] {
				continue
			}
			changes++
			if name := fmt.Sprint("r", register); !l.since(name, read) {
				t.Fatalf("reading %d: %s went from %d to %d, and nobody was told", i, name, before[register], now[register])
			}
		}
		before, read = now, began
	}
	if age := r.Status().Age; age > 3*statusInterval {
		t.Errorf("decoding is said to be %v behind", age)
	}
	if changes < readings/4 {
		t.Errorf("%d changes in %d readings, of which %d were in doubt: nothing was tested", changes, readings, uncertain)
	}
}

// writeRegisters writes to registers until ctx ends.
func writeRegisters(ctx context.Context, t *testing.T, conn *pgx.Conn, random *rand.Rand, registers, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		one, two := random.IntN(registers), random.IntN(registers)
		sql := fmt.Sprintf("update r%d set v = v + 1", one)
		switch random.IntN(6) {
		case 0:
			sql = "begin; set local synchronous_commit = off; " + sql + "; commit"
		case 1:
			sql = fmt.Sprintf("begin; savepoint s; %s; release s; savepoint s; update r%d set v = v + 1000; rollback to s; commit", sql, one)
		case 2:
			sql = fmt.Sprintf("begin; %s; rollback", sql)
		case 3:
			sql = fmt.Sprintf("begin; %s; prepare transaction 'w%d_%d'", sql, writer, i)
		case 4:
			if two > one { // in one order, against deadlocks
				sql = fmt.Sprintf("begin; %s; update r%d set v = v + 1; commit", sql, two)
			}
		}
		_, err := conn.Exec(context.WithoutCancel(ctx), sql, pgx.QueryExecModeSimpleProtocol)
		if err == nil && len(sql) > 19 && sql[len(sql)-1] == '\'' {
			_, err = conn.Exec(context.WithoutCancel(ctx), fmt.Sprintf("commit prepared 'w%d_%d'", writer, i))
		}
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
	}
}
