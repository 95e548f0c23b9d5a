package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// cancel sends a cancel request to a node, and returns when the node has closed on it.
func cancel(t *testing.T, node *cluster.Node, pid uint32, secret []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", node.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(cluster.Patience)); err != nil {
		t.Error(err)
		return
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	packet = binary.BigEndian.AppendUint32(packet, 80877102)
	packet = binary.BigEndian.AppendUint32(packet, pid)
	if _, err := conn.Write(append(packet, secret...)); err != nil {
		t.Error(err)
		return
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("a cancel request was answered with %q, %v", rest, err)
	}
}

func canceled(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57014"
}

// TestCancelReachesTheRunningStatement cancels a statement at an edge, and one that has just ended.
func TestCancelReachesTheRunningStatement(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	conn := cluster.Connect(t, c.URL(edge), cluster.Simple, func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["application_name"] = "sleeper" })
	pid, secret := conn.PgConn().PID(), conn.PgConn().SecretKey()
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "select pg_sleep(30)")
		ended <- err
	}()
	watch := c.DB.Connect()
	deadline := time.Now().Add(cluster.Patience)
	for cluster.Get(t, watch, "select count(*)::text from pg_stat_activity where application_name = 'sleeper' and state = 'active'") != "1" {
		if time.Now().After(deadline) {
			t.Fatal("the statement does not begin")
		}
	}
	cancel(t, edge, pid, secret)
	if err := <-ended; !canceled(err) {
		t.Fatalf("the statement ended with %v, want SQLSTATE 57014", err)
	}
	for i := range 20 {
		cancel(t, edge, pid, secret)
		if got := cluster.Get(t, conn, fmt.Sprintf("select '%d'", i)); got != fmt.Sprint(i) {
			t.Fatalf("got %s after a cancel of nothing", got)
		}
	}
}

// TestCancelStormCrossesNoReply cancels at random while sessions read from memory, from upstream, and slowly. Each row
// carries its session, its number and its parameter. A statement that was sent after the cancel request had been closed
// on is never canceled by it.
func TestCancelStormCrossesNoReply(t *testing.T) {
	const sessions, statements = 8, 60
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	before := edge.Stats().Cache
	var canceledCount, cancels atomic.Int64
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			ctx, stop := context.WithTimeout(context.Background(), 2*cluster.Patience)
			defer stop()
			conn, err := cluster.TryConnect(t, c.URL(edge))
			if err != nil {
				t.Error(err)
				return
			}
			pid, secret := conn.PgConn().PID(), conn.PgConn().SecretKey()
			storm, quiet := context.WithCancel(ctx)
			var firing sync.WaitGroup
			var gate sync.RWMutex // held for reading while a cancel request is under way
			firing.Go(func() {
				random := rand.New(rand.NewPCG(uint64(n), 1))
				for storm.Err() == nil {
					gate.RLock()
					switch random.IntN(4) {
					case 0:
						cancel(t, edge, pid, []byte{1, 2, 3, 4}) // a wrong secret
					default:
						cancels.Add(1)
						cancel(t, edge, pid, secret)
					}
					gate.RUnlock()
					select {
					case <-storm.Done():
					case <-time.After(time.Duration(random.IntN(3000)) * time.Microsecond):
					}
				}
			})
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for i := range statements {
				calm := i%3 == 0
				if calm {
					gate.Lock() // what was fired has been closed on: from here on it harms nobody
				}
				id := 1 + random.IntN(5)
				sql, tag := "select $1::text || '/' || id::text || '/' || name from products where id = $2", fmt.Sprintf("s%d-%d", n, i%4)
				if i%5 == 4 {
					sql = "select $1::text || '/' || id::text || '/' || name from products, pg_sleep(0.005) where id = $2"
				}
				var got string
				err := conn.QueryRow(ctx, sql, tag, id).Scan(&got)
				if calm {
					gate.Unlock()
				}
				switch want := fmt.Sprintf("%s/%d/product %d", tag, id, id); {
				case canceled(err) && calm:
					t.Errorf("session %d: statement %d was canceled by an old request", n, i)
				case canceled(err):
					canceledCount.Add(1)
				case err != nil:
					t.Errorf("session %d: statement %d failed: %v", n, i, err)
				case got != want:
					t.Errorf("session %d: statement %d got %q, want %q", n, i, got, want)
				}
			}
			quiet()
			firing.Wait()
		})
	}
	wg.Wait()
	after := edge.Stats().Cache
	t.Logf("%d cancel requests canceled %d statements, %d hits", cancels.Load(), canceledCount.Load(), after.Hits-before.Hits)
	if after.Hits == before.Hits {
		t.Error("no statement was answered from memory")
	}
}
