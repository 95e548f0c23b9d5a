package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// strong makes every database strong.
func strong(cfg *config.Config) { cfg.Consistency.Default = config.Strong }

// TestR11WriteIsSeenEverywhereOnceItIsAcknowledged writes at one edge and reads at another at once: no answer from memory
// may be older than the acknowledgement, by whatever way the write goes.
func TestR11WriteIsSeenEverywhereOnceItIsAcknowledged(t *testing.T) {
	c := cluster.New(t, 2, strong)
	writer, reader := cluster.Connect(t, c.URL(c.Edges[0])), cluster.Connect(t, c.URL(c.Edges[1]))
	simple := cluster.Connect(t, c.URL(c.Edges[0]), cluster.Simple)
	ways := []struct {
		name  string
		write func(price int)
	}{
		{"extended", func(p int) { cluster.Exec(t, writer, "update products set price = $1 where id = 5", p) }},
		{"simple", func(p int) { cluster.Exec(t, simple, "update products set price = $1 where id = 5", p) }},
		{"block", func(p int) {
			tx, err := writer.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "update products set price = $1 where id = 5", p); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"several", func(p int) {
			cluster.Exec(t, simple, fmt.Sprintf("begin; update products set price = %d where id = 5; commit", p))
		}},
		{"function", func(p int) {
			cluster.Exec(t, simple, fmt.Sprintf("do $$ begin update products set price = %d where id = 5; end $$", p))
		}},
		{"batch", func(p int) {
			b := &pgx.Batch{}
			b.Queue("select 1")
			b.Queue("update products set price = $1 where id = 5", p)
			if err := writer.SendBatch(t.Context(), b).Close(); err != nil {
				t.Fatal(err)
			}
		}},
		{"at the home", func(p int) {}},
	}
	home := cluster.Connect(t, c.URL(c.Home))
	ways[len(ways)-1].write = func(p int) { cluster.Exec(t, home, "update products set price = $1 where id = 5", p) }
	price := 1000
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			for range 20 {
				cluster.Get(t, reader, priceOf+"$1", 5) // so that there is something to be wrong from
				price++
				way.write(price)
				if got, want := cluster.Get(t, reader, priceOf+"$1", 5), fmt.Sprintf("%d.00", price); got != want {
					t.Fatalf("the other edge says %s after the write of %s was acknowledged", got, want)
				}
			}
			c.Edges[1].WantHit(reader, fmt.Sprintf("%d.00", price), priceOf+"$1", 5)
		})
	}
	if held := c.Home.Holds(); held != 0 {
		t.Errorf("%d holds are left", held)
	}
}

// TestR11AnswersNeverGoBack reads at two edges in turn while others write: an answer is never older than one before it,
// wherever that was given.
func TestR11AnswersNeverGoBack(t *testing.T) {
	c := cluster.New(t, 2, strong)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers, readers sync.WaitGroup
	writing := cluster.Connect(t, c.URL(c.Edges[0]))
	var writes atomic.Int64
	writers.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			if _, err := writing.Exec(t.Context(), "update products set price = $1 where id = 7", 1000+i); err != nil {
				t.Error(err)
				return
			}
			writes.Add(1)
		}
	})
	a, b := cluster.Connect(t, c.URL(c.Edges[0])), cluster.Connect(t, c.URL(c.Edges[1]))
	readers.Go(func() {
		last := 0.0
		for i := 0; writes.Load() < 300; i++ {
			conn, edge := a, "first"
			if i%2 == 1 {
				conn, edge = b, "second"
			}
			var now float64
			if err := conn.QueryRow(t.Context(), "select price::float8 from products where id = $1", 7).Scan(&now); err != nil {
				t.Error(err)
				return
			}
			if now < last {
				t.Errorf("read %d, at the %s edge: %v after %v", i, edge, now, last)
				return
			}
			last = now
		}
	})
	readers.Wait()
	stop()
	writers.Wait()
	if hits := c.Edges[0].Stats().Cache.Hits + c.Edges[1].Stats().Cache.Hits; hits == 0 {
		t.Error("nothing was answered from memory: the test proves nothing")
	}
}

// TestR11WriteWaitsForAnEdgeThatIsCutOffAndNoLonger cuts an edge off without its home knowing: the write is acknowledged
// once the edge's lease has ended, and the edge answers nothing from memory by then.
func TestR11WriteWaitsForAnEdgeThatIsCutOffAndNoLonger(t *testing.T) {
	const staleness = time.Second
	c := cluster.New(t, 1, func(cfg *config.Config) { strong(cfg); cfg.MaxStaleness = staleness })
	link := newCut(t, c.Home.HTTPAddr().String())
	cfg := cluster.EdgeConfig(c.Home, "cut")
	cfg.Edge.HomeURL = []string{"http://" + link.addr()}
	cfg.MaxStaleness = staleness
	cut := cluster.Start(t, cfg)
	cut.AwaitReady()
	conn := cluster.Connect(t, c.URL(cut))
	cluster.Get(t, conn, priceOf+"$1", 5)
	cut.WantHit(conn, "5.00", priceOf+"$1", 5)

	link.freeze()
	writer := cluster.Connect(t, c.URL(c.Edges[0]))
	began := time.Now()
	cluster.Exec(t, writer, "update products set price = 6 where id = 5")
	if took := time.Since(began); took < staleness/4 || took > 10*staleness {
		t.Errorf("the write took %v, want about as long as a lease of %v", took, staleness)
	}
	// Whatever the cut edge could still say is not the old price: it has to ask, and cannot.
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	var price float64
	if err := conn.QueryRow(ctx, priceOf+"$1", 5).Scan(&price); err == nil {
		t.Errorf("the edge that was cut off answers %v", price)
	}
}

// TestR11EdgeThatLeavesIsNotWaitedFor stops an edge in good order: its lease goes with it.
func TestR11EdgeThatLeavesIsNotWaitedFor(t *testing.T) {
	const staleness = 4 * time.Second
	c := cluster.New(t, 2, func(cfg *config.Config) { strong(cfg); cfg.MaxStaleness = staleness })
	writer := cluster.Connect(t, c.URL(c.Edges[0]))
	cluster.Exec(t, writer, "update products set price = 6 where id = 5") // behind the leases of a home before this one
	c.Edges[1].AwaitReady()                                               // it has a new lease
	c.Edges[1].Stop()
	began := time.Now()
	cluster.Exec(t, writer, "update products set price = 7 where id = 5")
	if took := time.Since(began); took > staleness/2 {
		t.Errorf("the write took %v: it has waited for an edge that has left", took)
	}
}

func TestOffKeepsASessionFromMemory(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge))
	cluster.Get(t, conn, priceOf+"$1", 5)
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	for _, level := range []string{"off", "strong", "nonsense"} {
		cluster.Exec(t, conn, "set perihelion.consistency = '"+level+"'")
		edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
		cluster.Exec(t, conn, "reset perihelion.consistency")
		edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	}
	// In a block it ends with it.
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster.Exec(t, conn, "set local perihelion.consistency = off")
	edge.WantMiss(conn, "5.00", priceOf+"$1", 5)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge.WantHit(conn, "5.00", priceOf+"$1", 5)
	// As a startup option, and as a setting of the role.
	option := cluster.Connect(t, c.URL(edge), func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["options"] = "-c perihelion.consistency=off" })
	cluster.Get(t, option, priceOf+"$1", 5)
	edge.WantMiss(option, "5.00", priceOf+"$1", 5)
	c.DB.Exec("create role careful login", "alter role careful set perihelion.consistency = off")
	careful := cluster.Connect(t, c.UserURL(edge, "careful", ""))
	cluster.Get(t, careful, priceOf+"$1", 5)
	edge.WantMiss(careful, "5.00", priceOf+"$1", 5)
	c.DB.Exec("drop role careful")
	off := cluster.New(t, 1, func(cfg *config.Config) { cfg.Consistency.Default = config.LevelOff })
	plain := cluster.Connect(t, off.URL(off.Edges[0]))
	cluster.Get(t, plain, priceOf+"$1", 5)
	off.Edges[0].WantMiss(plain, "5.00", priceOf+"$1", 5)
	cluster.Exec(t, plain, "set perihelion.consistency = bounded")
	cluster.Get(t, plain, priceOf+"$1", 5)
	off.Edges[0].WantHit(plain, "5.00", priceOf+"$1", 5)
}
