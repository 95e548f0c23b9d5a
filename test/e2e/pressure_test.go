package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/test/cluster"
)

// await calls ask until it says yes.
func await(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), cluster.Patience)
	defer stop()
	for !ask() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, cluster.Patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestAClientThatStopsReadingHarmsOnlyItself lets one client ask for large results, from upstream and from memory, and
// read none of them. The others go on, their writes are seen, and the client gets every byte once it reads.
func TestAClientThatStopsReadingHarmsOnlyItself(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	c.DB.Exec("create table wide (i int primary key, v text)", "insert into wide select i, repeat('x', 1000) from generate_series(1, 800) i")
	other := cluster.Connect(t, c.URL(edge))
	const stored = "select v from wide order by i"
	reference := dial(t, edge.Addr().String(), c.DB.Name)
	want := reference.ask(simpleQuery(stored))
	if again := reference.ask(simpleQuery(stored)); !bytes.Equal(again, want) {
		t.Fatal("the stored answer is another one")
	}
	streamed := "select repeat('y', 1000) from generate_series(1, 60000)"

	const repeats = 40 // far more than the buffers on the way hold
	fromMemory, fromUpstream := dial(t, edge.Addr().String(), c.DB.Name), dial(t, edge.Addr().String(), c.DB.Name)
	fromMemory.send(bytes.Repeat(simpleQuery(stored), repeats))
	fromUpstream.send(simpleQuery(streamed))
	for i := range 20 {
		price := fmt.Sprintf("%d.00", 700+i)
		cluster.Exec(t, other, "update products set price = $1::numeric where id = 7", price)
		if got := cluster.Get(t, other, priceOf+"$1", 7); got != price {
			t.Fatalf("got %s, want %s", got, price)
		}
		edge.WantHit(other, price, priceOf+"$1", 7)
		cluster.Get(t, cluster.Connect(t, c.URL(edge)), "select 1::text")
	}
	for i := range repeats {
		if got := fromMemory.answer(); !bytes.Equal(got, want) {
			t.Fatalf("answer %d from memory: %d bytes, want %d", i, len(got), len(want))
		}
	}
	if rows := bytes.Count(fromUpstream.answer(), bytes.Repeat([]byte("y"), 1000)); rows != 60000 {
		t.Errorf("%d rows from upstream, want 60000", rows)
	}
}

// TestClientsThatVanish end without a word where that is hardest: in the middle of a COPY either way, of a result, of a
// pipeline and of a block. Their backends end, and nothing of theirs stays.
func TestClientsThatVanish(t *testing.T) {
	c := cluster.New(t, 1, nil)
	edge := c.Edges[0]
	c.DB.Exec("create table taken (i int)")
	watcher := c.DB.Connect()
	count := func(sql string) string { return cluster.Get(t, watcher, sql) }
	large := "select repeat('y', 1000) from generate_series(1, 100000)"
	for _, test := range []struct {
		name    string
		request []byte
		// until is what is read before the client vanishes.
		until byte
	}{
		{"copy in", append(simpleQuery("copy taken from stdin"), encode(&pgproto3.CopyData{Data: []byte(strings.Repeat("1\n", 5000))})...), 'G'},
		{"copy in, within a row", append(simpleQuery("copy taken from stdin"), 'd', 0, 0, 1, 0, '1'), 'G'},
		{"copy out", simpleQuery("copy (" + large + ") to stdout"), 'd'},
		{"a result", simpleQuery(large), 'D'},
		{"a pipeline without its Sync", encode(&pgproto3.Parse{Query: "insert into taken values (1)"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{}), 'C'},
		{"a block", simpleQuery("begin; insert into taken values (1)"), 'Z'},
		{"a message that is not whole", append(simpleQuery("begin"), 'Q', 0, 0, 1, 0, 's'), 'Z'},
		{"a statement that runs", simpleQuery("select 1; select pg_sleep(60)"), 0},
	} {
		for _, how := range []string{"closes", "resets"} {
			t.Run(test.name+" "+how, func(t *testing.T) {
				conn := dial(t, edge.Addr().String(), c.DB.Name)
				pid := valueOf(t, conn.ask(simpleQuery("select pg_backend_pid()::text")))
				conn.send(test.request)
				for test.until != 0 && conn.message()[0] != test.until {
				}
				if how == "resets" {
					if err := conn.conn.(*net.TCPConn).SetLinger(0); err != nil {
						t.Fatal(err)
					}
				}
				conn.conn.Close()
				if test.until == 0 {
					// PostgreSQL notices only when it is about to write: what matters is that the nodes let go.
					await(t, "the end of the session", func() bool { return edge.Stats().Sessions == 0 })
					cluster.Get(t, watcher, "select pg_terminate_backend("+pid+")::text")
				}
				await(t, "the end of the backend", func() bool {
					return count("select count(*)::text from pg_stat_activity where pid = "+pid) == "0"
				})
				if got := count("select count(*)::text from taken"); got != "0" {
					t.Errorf("%s rows of what was not ended", got)
				}
				await(t, "the end of the sessions", func() bool { return edge.Stats().Sessions == 0 && c.Home.Stats().Sessions == 0 })
			})
		}
	}
}

// valueOf returns the one value of the one row of an answer.
func valueOf(t *testing.T, answer []byte) string {
	t.Helper()
	for len(answer) > 0 {
		size := 1 + int(binary.BigEndian.Uint32(answer[1:]))
		if answer[0] == 'D' {
			return string(answer[11:size]) // behind the header, the number of values, and the value's length
		}
		answer = answer[size:]
	}
	t.Fatal("an answer without a row")
	return ""
}
