package simulation

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// storeAddress is where the database takes connections.
const storeAddress = "store:5432"

// store is the database: a few registers, each statement with a snapshot of its own, transactions whose writes become
// visible at one moment, and replies that leave some time after.
type store struct {
	w  *world
	mu struct {
		sync.Mutex
		values  map[string]int64
		commits []commit
	}
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// commit is what one transaction made visible.
type commit struct {
	at     time.Time
	writes map[string]int64
}

func newStore(w *world) *store {
	s := &store{w: w}
	s.mu.values = map[string]int64{}
	return s
}

// open starts the server.
func (s *store) open() {
	ctx, stop := context.WithCancel(s.w.ctx)
	s.stop = stop
	l := s.w.net.listen(storeAddress)
	s.wg.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { newBackend(s, c.(*conn)).serve(ctx) })
		}
	})
}

// crash ends the server and every connection to it. What is under way and not committed has never been.
func (s *store) crash() {
	s.stop()
	s.w.net.cut(func(_, to string) bool { return to == "store" })
	s.wg.Wait()
}

// lose takes back what was committed within a time before the crash: it never reached the disk, or the standby.
func (s *store) lose(within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := time.Now().Add(-within)
	kept := len(s.mu.commits)
	for kept > 0 && s.mu.commits[kept-1].at.After(since) {
		kept--
		lost := s.mu.commits[kept].writes
		for _, key := range slices.Sorted(maps.Keys(lost)) {
			value := lost[key]
			s.w.record.undone(key, value)
			s.w.trace("store", "has lost %s=%d", key, value)
		}
	}
	s.mu.commits = s.mu.commits[:kept]
	s.mu.values = map[string]int64{}
	for _, c := range s.mu.commits {
		maps.Copy(s.mu.values, c.writes)
	}
}

// snapshot returns what registers hold now, under what a transaction has written itself.
func (s *store) snapshot(keys []string, own map[string]int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([]int64, len(keys))
	for i, key := range keys {
		values[i] = s.mu.values[key]
		if v, ok := own[key]; ok {
			values[i] = v
		}
	}
	return values
}

// commit makes writes visible. heard is not set where whoever sent them is known to be gone.
func (s *store) commit(writes map[string]int64, heard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.mu.values, writes)
	s.mu.commits = append(s.mu.commits, commit{time.Now(), writes})
	for _, key := range slices.Sorted(maps.Keys(writes)) {
		value := writes[key]
		s.w.record.visible(key, value, heard)
		s.w.trace("store", "shows %s=%d", key, value)
	}
}

// address of the store's own side of a connection, for the trace.
func nameOf(c net.Conn) string {
	if c, ok := c.(*conn); ok {
		return c.name
	}
	return fmt.Sprint(c.RemoteAddr())
}
