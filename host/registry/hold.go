package registry

import (
	"context"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

const (
	// drift is the part of a lease that is added to its end, for clocks that do not run equally fast.
	drift = 100
	// maxDeparted bounds the processes whose leases are remembered one by one after they have left.
	maxDeparted = 1024
)

// until returns when a lease that was asked for at a moment has surely ended.
func (r *Registry) until(asked time.Time) time.Time {
	return asked.Add(r.maxStaleness + r.maxStaleness/drift)
}

// departLocked remembers the lease of a registration that ends: its edge may answer from memory until then.
func (r *Registry) departLocked(m *Member) {
	defer r.movedLocked()
	_, promised, _ := m.state()
	now := time.Now()
	if !promised.After(now) {
		return
	}
	for instance, until := range r.mu.departed {
		if !until.After(now) {
			delete(r.mu.departed, instance)
		}
	}
	if m.hello.Instance == "" || len(r.mu.departed) >= maxDeparted {
		if promised.After(r.mu.crowd) {
			r.mu.crowd = promised
		}
		return
	}
	if promised.After(r.mu.departed[m.hello.Instance]) {
		r.mu.departed[m.hello.Instance] = promised
	}
}

// Farewell forgets the lease of a process of an edge that says it has ended it.
func (r *Registry) Farewell(id, instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.movedLocked()
	delete(r.mu.departed, instance)
	if m := r.mu.members[id]; m != nil && m.hello.Instance == instance && instance != "" {
		m.mu.Lock()
		m.mu.promised, m.mu.pending = time.Time{}, nil
		m.mu.Unlock()
	}
}

// movedLocked wakes whoever waits for a process to come back.
func (r *Registry) movedLocked() {
	if r.mu.moved != nil {
		close(r.mu.moved)
		r.mu.moved = nil
	}
}

// obligation is a lease that a hold has to wait for: of a process, or, where it gave no name, of one registration.
type obligation struct {
	instance string
	m        *Member // nil: the process has left
	until    time.Time
}

// Await returns once no edge answers from memory what a hold at a version covers: each has applied the hold, or had no
// lease when it began, or has none any more (R11). It returns ctx's cause where that ends first.
//
// A lease that is granted after the hold began follows it in its edge's stream, so it is not waited for.
func (r *Registry) Await(ctx context.Context, at invalidation.Version) error {
	obligations, crowd := r.obligations()
	for _, o := range obligations {
		for {
			left := time.Until(o.until)
			if left <= 0 {
				break
			}
			done, changed, moved := r.met(&o, at)
			if done {
				break
			}
			if err := await(ctx, changed, moved, left); err != nil {
				return err
			}
		}
	}
	for left := time.Until(crowd); left > 0; left = time.Until(crowd) {
		if err := await(ctx, nil, nil, left); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) obligations() (all []obligation, crowd time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = make([]obligation, 0, len(r.mu.members)+len(r.mu.departed))
	for _, m := range r.mu.members {
		_, promised, _ := m.state()
		all = append(all, obligation{m.hello.Instance, m, promised})
	}
	for instance, until := range r.mu.departed {
		all = append(all, obligation{instance, nil, until})
	}
	return all, r.mu.crowd
}

// met reports whether a lease need not be waited for any more; else what is closed when that may have changed.
func (r *Registry) met(o *obligation, at invalidation.Version) (done bool, changed, moved <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.instance != "" {
		o.m = nil
		for _, m := range r.mu.members {
			if m.hello.Instance == o.instance {
				o.m = m
			}
		}
		if _, left := r.mu.departed[o.instance]; o.m == nil && !left {
			return true, nil, nil // it has said farewell, or its lease has ended
		}
	}
	if o.m != nil {
		var applied invalidation.Version
		var promised time.Time
		applied, promised, changed = o.m.state()
		if applied >= at || promised.IsZero() {
			return true, nil, nil
		}
	}
	if r.mu.moved == nil {
		r.mu.moved = make(chan struct{})
	}
	return false, changed, r.mu.moved
}

// await waits until changed or moved is closed, d has passed, or ctx is over, which is an error.
func await(ctx context.Context, changed, moved <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-moved:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
