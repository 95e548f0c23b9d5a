//go:build cgo

package node

import (
	"context"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// level returns the level of a database.
func (h *home) level(database string) statement.Level {
	switch h.node.config.Consistency.Of(database) {
	case config.Strong:
		return statement.Strong
	case config.LevelOff:
		return statement.Off
	case config.Bounded:
	}
	return statement.Bounded
}

// holds are the home's half of R11.
type holds struct{ *home }

// Hold implements [session.Holds].
func (h holds) Hold(ctx context.Context, database string, changing statement.Closure) (uint64, error) {
	tables := changing.Relations
	if !changing.Anything && h.schemaHeld(database) {
		// What the write changes beside its own relations is about to be another: a trigger, a cascade.
		changing.Anything = true
	}
	if changing.Anything {
		tables = nil
	}
	if changing.Cluster {
		database = ""
	}
	began := time.Now()
	id, at := h.log.Hold(database, tables)
	err := h.registry.Await(ctx, at)
	h.node.metrics.Held(time.Since(began))
	if err != nil {
		h.log.Release(id)
		return 0, err
	}
	return id, nil
}

// schemaHeld reports whether the whole of a database is held.
func (h holds) schemaHeld(database string) bool {
	for _, hold := range h.log.Floors().Holds() {
		if len(hold.Tables) == 0 && (hold.Database == "" || hold.Database == database) {
			return true
		}
	}
	return false
}

// Holds returns how many holds are in force at a node.
func (n *Node) Holds() int { return len(n.sessions.shared.Floors.Holds()) }

// Release implements [session.Holds].
func (h holds) Release(ids ...uint64) { h.log.Release(ids...) }
