//go:build cgo

package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// orphans are transactions that may commit when nobody is left to read their outcome: Postgres goes on with a statement
// whose client is gone, be it a session's connection that was lost with a write in flight, or a home before this one that
// died. What such a transaction writes is in no log. So whatever runs when that may have happened is watched, and voids what
// is cached once it has ended (R9).
type orphans struct {
	mu sync.Mutex
	// look are the databases in which there may be new ones; an empty name stands for all.
	look map[string]struct{}
	// watched are the databases that a transaction may write to, by the transaction. Only the loop touches it.
	watched map[string]string
}

// suspect notes that transactions which run now may be orphans; an empty name stands for every database.
func (o *orphans) suspect(database string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.look == nil {
		o.look = map[string]struct{}{}
	}
	o.look[database] = struct{}{}
}

// take takes the databases in which there may be new ones.
func (o *orphans) take() map[string]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	look := o.look
	o.look = nil
	return look
}

// heed looks for orphans and for the end of those that are known, and adds events for what they may have written. Whatever
// they committed before it was called is in the log when it returns. Its error is of the control connection.
func (o *orphans) heed(ctx context.Context, conn control, append func(database string, relations []string) invalidation.Version) error {
	look := o.take()
	if len(look) == 0 && len(o.watched) == 0 {
		return nil
	}
	asking, stop := context.WithTimeout(ctx, pulseTimeout)
	running, err := conn.running(asking)
	stop()
	if err != nil {
		for database := range look {
			o.suspect(database)
		}
		return fmt.Errorf("ask Postgres what runs: %w", err)
	}
	now := make(map[string]struct{}, len(running))
	for _, transaction := range running {
		now[transaction] = struct{}{}
	}
	// What ended before anybody looked is void with the look.
	void := look
	for transaction, database := range o.watched {
		if _, ok := now[transaction]; !ok {
			delete(o.watched, transaction)
			if void == nil {
				void = map[string]struct{}{}
			}
			void[database] = struct{}{}
		}
	}
	for database := range look {
		for transaction := range now {
			if o.watched == nil {
				o.watched = map[string]string{}
			}
			if known, ok := o.watched[transaction]; ok && known != database {
				o.watched[transaction] = "" // of which of the two is not known
			} else {
				o.watched[transaction] = database
			}
		}
	}
	if _, all := void[""]; all {
		append("", nil)
		return nil
	}
	for database := range void {
		append(database, nil)
	}
	return nil
}

// none reports whether none is watched, so that nothing has to be done before the usual time.
func (o *orphans) none() bool { return len(o.watched) == 0 }

// orphanInterval is how often known orphans are looked at.
const orphanInterval = 200 * time.Millisecond
