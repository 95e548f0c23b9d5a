//go:build cgo

package node

import (
	"slices"
	"sync"
	"time"
)

// databases are those that something may be cached of: those that have sessions, and those that had some lately.
type databases struct {
	// keep has the catalogs of a database at hand, rest lets go of it: then it can be dropped and renamed. forget is
	// called for one that is looked at no longer. idle is called when a database has lost its last session.
	keep, rest, forget func(database string)
	idle               func()

	mu struct {
		sync.Mutex
		used map[string]*use
	}
}

// use is how one database is used.
type use struct {
	sessions int
	kept     bool
	since    time.Time // when it lost its last session
}

func newDatabases() *databases {
	d := &databases{}
	d.mu.used = map[string]*use{}
	return d
}

// enter notes a session, or whatever else asks for the catalogs of a database, until leave is called, once.
func (d *databases) enter(database string) (leave func()) {
	d.mu.Lock()
	u := d.mu.used[database]
	if u == nil {
		u = &use{}
		d.mu.used[database] = u
	}
	u.sessions++
	first := !u.kept
	u.kept = true
	d.mu.Unlock()
	if first {
		d.keep(database)
	}
	return func() {
		d.mu.Lock()
		u.sessions--
		last := u.sessions == 0
		if last {
			u.since = time.Now()
		}
		d.mu.Unlock()
		if last {
			d.idle()
		}
	}
}

// tidy lets go of the databases without sessions, and forgets those that have had none for long.
func (d *databases) tidy() {
	var rest, forget []string
	d.mu.Lock()
	for name, u := range d.mu.used {
		if u.sessions > 0 {
			continue
		}
		if u.kept {
			u.kept = false
			rest = append(rest, name)
		}
		if time.Since(u.since) >= linger {
			delete(d.mu.used, name)
			forget = append(forget, name)
		}
	}
	d.mu.Unlock()
	for _, name := range rest {
		d.rest(name)
	}
	for _, name := range forget {
		d.forget(name)
	}
}

// inUse returns the databases that something may be cached of, sorted.
func (d *databases) inUse() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, 0, len(d.mu.used))
	for name := range d.mu.used {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
