//go:build cgo

package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/changes/statistics"
	"github.com/perihelion-proxy/perihelion/host/changes/wal"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	// passedFor is how long a write that passed the home explains counters that move: a session's counts show up to ten
	// seconds late.
	passedFor = 15 * time.Second
	// maxPassed bounds the relations that are remembered; beyond, everything has passed.
	maxPassed = 4096
	// maxPolls is how many databases are polled at a time, each over a connection of its own.
	maxPolls = 16
)

// passage remembers what has passed the home of one database. The zero value is ready to use, and safe for concurrent use.
type passage struct {
	mu struct {
		sync.Mutex
		relations map[string]time.Time
		all       time.Time
	}
}

// note notes an event that a session has published.
func (p *passage) note(changed statement.Closure, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed.Anything || changed.Cluster {
		p.mu.all = now
		return
	}
	if p.mu.relations == nil {
		p.mu.relations = map[string]time.Time{}
	}
	if len(p.mu.relations)+len(changed.Relations) > maxPassed {
		clear(p.mu.relations)
		p.mu.all = now
	}
	for _, name := range changed.Relations {
		p.mu.relations[name] = now
	}
}

// since reports whether a relation may have been written to by what has passed the home since a moment.
func (p *passage) since(name string, moment time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.all.After(moment) || p.mu.relations[name].After(moment)
}

// poll looks at the statistics of a database while its WAL is not followed, until it is stopped.
func (s *sources) poll(one *source) {
	ctx := one.running
	interval := s.home.node.config.StatisticsPoll
	if interval <= 0 {
		return
	}
	for ctx.Err() == nil {
		state, changed := one.state()
		if state == wal.Following || state == wal.Lost {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		polling, stop := context.WithCancel(ctx)
		watch := sync.WaitGroup{}
		watch.Go(func() {
			defer stop()
			select {
			case <-polling.Done():
			case <-changed:
			}
		})
		select {
		case s.polls <- struct{}{}:
			config := s.home.postgres.Control()
			config.Database = one.database
			statistics.New(statistics.Options{Config: config, Interval: interval, Moved: one.moved, Logger: s.home.node.logger.With(telemetry.KeyDatabase, one.database)}).Run(polling)
			<-s.polls
		case <-polling.Done():
		}
		stop()
		watch.Wait()
	}
}

// moved voids relations whose counters have moved although nothing that passed the home has written to them.
func (s *source) moved(relations []statistics.Relation) {
	moment := time.Now().Add(-passedFor)
	var past []wal.Relation
	for _, r := range relations {
		if !s.passage.since(r.Schema+"."+r.Name, moment) {
			past = append(past, wal.Relation(r))
		}
	}
	if len(past) == 0 {
		return
	}
	names, known := ancestry(s.home.catalog.Peek(s.database), past)
	if !known {
		names = nil
	}
	s.home.log.Append(s.database, names)
	s.home.sources.bypassed.Log(slog.LevelWarn, s.database, "writes bypass the home: what they touch is void seconds late",
		slog.String(telemetry.KeyDatabase, s.database), slog.Int("count", len(past)), slog.String(telemetry.KeyRelations, past[0].Schema+"."+past[0].Name),
		slog.String("hint", "let the home follow the WAL, or let all writes pass it"))
}
