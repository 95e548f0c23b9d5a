package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/client"
)

// int4 is the object identifier of the parameter's type.
const int4 = 23

// slice is what one rival did in one round.
type slice struct {
	Seconds   float64            `json:"seconds"`
	Queries   uint64             `json:"queries"`
	PerSecond float64            `json:"per_second"`
	Hits      *uint64            `json:"hits,omitempty"`
	ClientCPU float64            `json:"client_cpu_us_per_query"`
	CPU       map[string]float64 `json:"cpu_us_per_query,omitempty"`
}

// load is the sessions of one rival in one protocol, open for the whole run.
type load struct {
	rival    rival
	sessions []*client.Conn
	requests [][]byte
	answers  [][]byte
}

// open opens the sessions and asks for each key on each of them, so that what can be kept is.
func open(ctx context.Context, r rival, protocol string, sessions, keys int) (*load, error) {
	l := &load{rival: r}
	for key := 1; key <= keys; key++ {
		if protocol == "prepared" {
			l.requests = append(l.requests, client.Prepared("s", strconv.Itoa(key)))
		} else {
			l.requests = append(l.requests, client.Simple("SELECT abalance FROM pgbench_accounts WHERE aid = "+strconv.Itoa(key)))
		}
		l.answers = append(l.answers, client.Row(r.value(key)))
	}
	for range sessions {
		conn, err := client.Dial(ctx, r.addr, user, database)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.sessions = append(l.sessions, conn)
		if protocol == "prepared" {
			if err := conn.Prepare("s", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", int4); err != nil {
				return nil, errors.Join(err, l.close())
			}
		}
		for i := range l.requests {
			if err := conn.Query(l.requests[i], l.answers[i]); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w", r.name, err), l.close())
			}
		}
	}
	return l, nil
}

func (l *load) close() error {
	var failed error
	for _, conn := range l.sessions {
		failed = errors.Join(failed, conn.Close())
	}
	return failed
}

// run asks as fast as it can for the duration, each session one query after the other.
func (l *load) run(ctx context.Context, length time.Duration) (slice, error) {
	before, err := l.look(ctx)
	if err != nil {
		return slice{}, err
	}
	var (
		stop    atomic.Bool
		group   sync.WaitGroup
		queries = make([]uint64, len(l.sessions))
		failed  = make([]error, len(l.sessions))
	)
	timer := time.AfterFunc(length, func() { stop.Store(true) })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	began := time.Now()
	for i, conn := range l.sessions {
		group.Go(func() {
			key, done := i*len(l.requests)/len(l.sessions), uint64(0)
			for !stop.Load() {
				if err := conn.Query(l.requests[key], l.answers[key]); err != nil {
					failed[i] = err
					stop.Store(true)
					break
				}
				done++
				if key++; key == len(l.requests) {
					key = 0
				}
			}
			queries[i] = done
		})
	}
	group.Wait()
	took := time.Since(began)
	if err := errors.Join(append(failed, ctx.Err())...); err != nil {
		return slice{}, fmt.Errorf("%s: %w", l.rival.name, err)
	}
	after, err := l.look(ctx)
	if err != nil {
		return slice{}, err
	}
	s := slice{Seconds: took.Seconds(), CPU: map[string]float64{}}
	for _, done := range queries {
		s.Queries += done
	}
	s.PerSecond = float64(s.Queries) / s.Seconds
	perQuery := func(spent time.Duration) float64 { return float64(spent.Microseconds()) / float64(s.Queries) }
	s.ClientCPU = perQuery(after.client - before.client)
	for name := range after.servers {
		s.CPU[name] = perQuery(after.servers[name] - before.servers[name])
	}
	if l.rival.stats != nil {
		hits := after.hits - before.hits
		s.Hits = &hits
	}
	return s, nil
}

// sight is what the processes have used so far.
type sight struct {
	client  time.Duration
	servers map[string]time.Duration
	hits    uint64
}

func (l *load) look(ctx context.Context) (sight, error) {
	s := sight{servers: map[string]time.Duration{}}
	if l.rival.stats != nil {
		var err error
		if s.hits, err = l.rival.stats(ctx); err != nil {
			return s, err
		}
	}
	for _, p := range l.rival.processes {
		spent, err := processorTime(p.pid)
		if errors.Is(err, errNoProc) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.servers[p.name] = spent
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return s, fmt.Errorf("read our own processor time: %w", err)
	}
	s.client = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return s, nil
}
