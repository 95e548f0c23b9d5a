package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	writers = 8
	// tablesPerWriter is how many tables each writer goes around: one is written again after a second, at the rate of a
	// thousand writes.
	tablesPerWriter = 125
)

// makeTables creates a database with so many tables of one row, named "public.w<writer>_<table>".
func makeTables(ctx context.Context, server *postgres.Server, database string, writers, each int) error {
	admin, err := pgx.Connect(ctx, server.URL("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "create database "+database); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL("postgres", database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var sql strings.Builder
	for w := range writers {
		for i := range each {
			fmt.Fprintf(&sql, "create table w%d_%d (v int); insert into w%d_%d values (0);", w, i, w, i)
		}
	}
	_, err = conn.Exec(ctx, sql.String())
	return err
}

// fanOutResult is how long after a write's acknowledgement the floors were raised.
type fanOutResult struct {
	PerSecond  float64
	Each, Last spread
}

// raises are the moments at which an edge has raised the floor of a table, by table.
type raises struct {
	mu  sync.Mutex
	all map[string][]time.Time
}

type write struct {
	table       string
	sent, acked time.Time
}

func measureFanOut(ctx context.Context, server *postgres.Server, o options) (result fanOutResult, err error) {
	const database = "fanout"
	if err := makeTables(ctx, server, database, writers, tablesPerWriter); err != nil {
		return result, err
	}
	heard := make([]raises, o.edges)
	for i := range heard {
		heard[i].all = map[string][]time.Time{}
	}
	f, err := newFleet(ctx, server, database, config.Bounded, o.edges, 0, func(edge int, e invalidation.Event) {
		now, r := time.Now(), &heard[edge]
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, t := range e.Tables {
			r.all[t] = append(r.all[t], now)
		}
	})
	defer f.close()
	if err != nil {
		return result, err
	}
	writes := make([][]write, writers)
	failures := make([]error, writers)
	began := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() { writes[w], failures[w] = f.write(ctx, database, w, o, began) })
	}
	all.Wait()
	took := time.Since(began)
	for _, err := range failures {
		if err != nil {
			return result, err
		}
	}
	var each, last []time.Duration
	for _, some := range writes {
		for _, one := range some[:max(len(some)-20, 0)] { // the last may still be under way
			latest := time.Duration(0)
			for i := range heard {
				d, ok := heard[i].after(one)
				if !ok {
					return result, fmt.Errorf("edge %d has not heard of a write to %s", i, one.table)
				}
				each = append(each, d)
				latest = max(latest, d)
			}
			last = append(last, latest)
		}
	}
	result.PerSecond = float64(len(last)+20*writers) / took.Seconds()
	result.Each, result.Last = spreadOf(each), spreadOf(last)
	return result, nil
}

// after returns how long after a write's acknowledgement its floor was raised.
func (r *raises) after(w write) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.all[w.table] {
		if !at.Before(w.sent) {
			return max(at.Sub(w.acked), 0), true
		}
	}
	return 0, false
}

// write writes through the first edge at its share of the rate.
func (f *fleet) write(ctx context.Context, database string, writer int, o options, began time.Time) (all []write, err error) {
	conn, err := connect(ctx, f.edges[0], database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	between := time.Second * writers / time.Duration(o.rate)
	tick := time.NewTicker(between)
	defer tick.Stop()
	for i := 0; time.Since(began) < o.slice; i++ {
		<-tick.C
		table := fmt.Sprintf("w%d_%d", writer, i%tablesPerWriter)
		w := write{table: "public." + table, sent: time.Now()}
		if _, err := conn.Exec(ctx, "update "+table+" set v = v + 1"); err != nil {
			return nil, err
		}
		w.acked = time.Now()
		all = append(all, w)
	}
	return all, nil
}

// strongResult compares an update at the home at two levels.
type strongResult struct {
	Edges, DelayMS  int
	Bounded, Strong spread
}

func measureStrong(ctx context.Context, server *postgres.Server, o options) ([]strongResult, error) {
	const database = "strong"
	if err := makeTables(ctx, server, database, 1, 1); err != nil {
		return nil, err
	}
	var all []strongResult
	for _, c := range []struct {
		edges int
		delay time.Duration
	}{{1, 0}, {8, 0}, {o.edges, 0}, {8, 10 * time.Millisecond}} {
		one := strongResult{Edges: c.edges, DelayMS: int(c.delay.Milliseconds())}
		var both [2][]time.Duration
		var fleets [2]*fleet
		var conns [2]*pgx.Conn
		for i, level := range []config.Level{config.Bounded, config.Strong} {
			f, err := newFleet(ctx, server, database, level, c.edges, c.delay, nil)
			defer f.close()
			if err != nil {
				return nil, err
			}
			fleets[i] = f
			if conns[i], err = connect(ctx, f.home, database); err != nil {
				return nil, err
			}
			if _, err := conns[i].Exec(ctx, "update w0_0 set v = 0"); err != nil { // waits for leases of before
				return nil, err
			}
		}
		for began := time.Now(); time.Since(began) < o.slice/2; {
			for i, conn := range conns {
				sent := time.Now()
				if _, err := conn.Exec(ctx, "update w0_0 set v = v + 1"); err != nil {
					return nil, err
				}
				both[i] = append(both[i], time.Since(sent))
			}
		}
		one.Bounded, one.Strong = spreadOf(both[0]), spreadOf(both[1])
		all = append(all, one)
		for i, f := range fleets {
			conns[i].Close(ctx)
			f.close()
		}
	}
	return all, nil
}
