package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// maxKept bounds the connections that are kept. Databases beyond it are asked over a new one each time.
const maxKept = 32

// connection is the kept connection to one database. conn is guarded by slot, which a goroutine holds by having put a
// value in, and so is rested: nobody keeps a connection any more.
type connection struct {
	slot   chan struct{}
	conn   *pgx.Conn // nil before the first use and after a failure
	rested bool
}

// Keep has a connection to the database kept after its next use, until [Catalog.Rest]: its catalogs are looked at often.
// It does no I/O. PostgreSQL drops and renames no database that somebody is connected to.
func (c *Catalog) Keep(database string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closed && c.mu.kept[database] == nil && len(c.mu.kept) < maxKept {
		c.mu.kept[database] = &connection{slot: make(chan struct{}, 1)}
	}
}

// Rest closes the connection that is kept to the database, once nothing uses it.
func (c *Catalog) Rest(database string) {
	c.mu.Lock()
	k := c.mu.kept[database]
	delete(c.mu.kept, database)
	c.mu.Unlock()
	if k != nil {
		k.rest()
	}
}

func (k *connection) rest() {
	k.slot <- struct{}{}
	defer func() { <-k.slot }()
	k.rested = true
	if k.conn != nil {
		hangUp(k.conn)
		k.conn = nil
	}
}

// connected calls use with a connection to the database: the kept one, which serves one caller at a time, or a new one. A
// kept connection may have died while it was idle, so after a failure use is called once more with a new one.
func (c *Catalog) connected(ctx context.Context, database string, use func(*pgx.Conn) error) error {
	c.mu.Lock()
	k := c.mu.kept[database]
	c.mu.Unlock()
	if k == nil {
		conn, err := c.dial(ctx, database)
		if err != nil {
			return err
		}
		defer hangUp(conn)
		return use(conn)
	}
	select {
	case k.slot <- struct{}{}:
		defer func() { <-k.slot }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		old := k.conn != nil
		if !old {
			conn, err := c.dial(ctx, database)
			if err != nil {
				return err
			}
			k.conn = conn
		}
		err := use(k.conn)
		if err != nil || k.rested {
			hangUp(k.conn)
			k.conn = nil
		}
		if err == nil || !old || ctx.Err() != nil {
			return err
		}
	}
}
