package protocol

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// route is a way to a database.
type route struct {
	name, address, database string
	// set up SQL runs here: straight, or through the home.
	setup *pgx.Conn
	edge  *cluster.Node
}

// twoRoutes returns a cluster, and the ways to a database of its own and to one without it.
func twoRoutes(t *testing.T) (*cluster.Cluster, []*route) {
	t.Helper()
	straight := pgtest.New(t)
	c := cluster.On(t, pgtest.New(t), 1, nil)
	if len(straight.Name) != len(c.DB.Name) {
		t.Fatalf("databases %s and %s have names of different length", straight.Name, c.DB.Name)
	}
	routes := []*route{
		{name: "straight", address: straight.Addr(), database: straight.Name, setup: straight.Connect()},
		{name: "through", address: c.Edges[0].Addr().String(), database: c.DB.Name, setup: cluster.Connect(t, c.URL(c.Home)), edge: c.Edges[0]},
	}
	for _, r := range routes {
		for _, sql := range []string{
			`create table t (id int primary key, v text)`, `insert into t values (1, 'one'), (2, 'two'), (3, null)`,
		} {
			cluster.Exec(t, r.setup, sql)
		}
	}
	return c, routes
}

func TestScripts(t *testing.T) {
	c, routes := twoRoutes(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	count := 0
	for _, file := range files {
		scripts, err := read(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scripts {
			count++
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+s.name, func(t *testing.T) { compare(t, t, c, routes, s) })
		}
	}
	t.Logf("%d scripts", count)
}

// reporter is a test, or a check of a property.
type reporter interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// compare runs a script on both routes, and reports to the reporter where they differ.
func compare(t *testing.T, report reporter, c *cluster.Cluster, routes []*route, s *script) {
	for _, r := range routes {
		for _, sql := range s.setup {
			if _, err := r.setup.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatalf("setup %s: %v", sql, err)
			}
		}
	}
	settle(t, c)
	for _, run := range []string{"cold", "warm", "byte by byte"} {
		var got [2][]exchange
		for i, r := range routes {
			hits, _, _ := c.Edges[0].Counted(func() { got[i] = play(t, r, s, run == "byte by byte") })
			if r.edge != nil && run != "cold" && s.hits >= 0 && int(hits) != s.hits {
				report.Errorf("%s: %d hits, want %d", run, hits, s.hits)
			}
		}
		for i := range got[0] {
			want, have := got[0][i], got[1][i]
			if !bytes.Equal(want.got, have.got) || want.err != have.err {
				report.Fatalf("%s, line %d: the replies differ\nsent:\n%sstraight (%s):\n%sthrough (%s):\n%s",
					run, s.steps[want.step].line, trace(s.steps[want.step].send), want.err, trace(want.got), have.err, trace(have.got))
			}
		}
		settle(t, c)
	}
}

// settle waits until the edge has applied all that the home has published.
func settle(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	deadline := time.Now().Add(cluster.Patience)
	for c.Edges[0].Stats().Version < c.Home.Stats().Version {
		if time.Now().After(deadline) {
			t.Fatal("the edge does not follow its home")
		}
		<-time.After(time.Millisecond)
	}
}

// exchange is what came back in one step.
type exchange struct {
	step int
	got  []byte
	err  string
}

// play runs a script once, and returns what came back at its start and in each step.
func play(t *testing.T, r *route, s *script, bytewise bool) []exchange {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	send := func(b []byte) {
		size := len(b)
		if bytewise && len(b) < 4096 {
			size = 1
		}
		for len(b) > 0 {
			n := min(size, len(b))
			if _, err := conn.Write(b[:n]); err != nil {
				return // what the backend said before it closed is read all the same
			}
			b = b[n:]
		}
	}
	var all []exchange
	begin := exchange{}
	if s.packet != nil {
		send(s.packet)
		begin.got, begin.err = readUntil(conn, "eof")
	} else {
		send(startup(r.database, s.startup))
		begin.got, begin.err = readUntil(conn, "Z")
	}
	all = append(all, begin)
	for i, step := range s.steps {
		if step.other != "" {
			ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
			if _, err := r.setup.Exec(ctx, step.other, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Errorf("other %s: %v", step.other, err)
			}
			cancel()
			continue
		}
		send(step.send)
		one := exchange{step: i}
		one.got, one.err = readUntil(conn, step.wait)
		all = append(all, one)
	}
	for i := range all {
		all[i].got = bytes.ReplaceAll(all[i].got, []byte(r.database), bytes.Repeat([]byte("#"), len(r.database)))
	}
	return all
}

func startup(database string, parameters []string) []byte {
	version := 3 << 16
	var pairs []byte
	for _, pair := range append([]string{"user=postgres", "database=" + database}, parameters...) {
		name, value, _ := strings.Cut(pair, "=")
		if name == "version" {
			var major, minor int
			fmt.Sscanf(value, "%d.%d", &major, &minor)
			version = major<<16 | minor
			continue
		}
		pairs = append(append(pairs, cstring(name)...), cstring(strings.ReplaceAll(value, `\_`, " "))...)
	}
	pairs = append(pairs, 0)
	return append(append(uint32s(8+len(pairs)), uint32s(version)...), pairs...)
}

// readUntil reads messages until the given types have come, in their order, or the connection has ended. A * stands for
// whatever ends the reply to a message of an extended query; an error stands for all that are left.
func readUntil(conn net.Conn, types string) (all []byte, problem string) {
	for types != "" {
		head := make([]byte, 5)
		if _, err := io.ReadFull(conn, head); err != nil {
			if err == io.EOF || strings.Contains(err.Error(), "reset") {
				return all, "closed"
			}
			return all, err.Error()
		}
		body := make([]byte, int(binary.BigEndian.Uint32(head[1:]))-4)
		if _, err := io.ReadFull(conn, body); err != nil {
			return all, err.Error()
		}
		switch head[0] {
		case 'K':
			clear(body)
		case 'A':
			clear(body[:4])
		case 'T':
			clearTables(body)
		}
		all = append(append(all, head...), body...)
		switch {
		case types == "eof":
		case types[0] == '*' && head[0] == 'E':
			types = strings.TrimLeft(types, "*")
		case types[0] == '*' && strings.IndexByte("123nTCsI", head[0]) >= 0, head[0] == types[0]:
			types = types[1:]
		}
	}
	return all, ""
}

// clearTables makes the object ids of tables in a RowDescription equal.
func clearTables(body []byte) {
	if len(body) < 2 {
		return
	}
	n := int(binary.BigEndian.Uint16(body))
	for body = body[2:]; n > 0; n-- {
		i := bytes.IndexByte(body, 0)
		if i < 0 || len(body) < i+19 {
			return
		}
		clear(body[i+1 : i+5])
		body = body[i+19:]
	}
}

// trace shows messages, one a line.
func trace(b []byte) string {
	var out strings.Builder
	for len(b) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if n < 5 || n > len(b) {
			break
		}
		body := b[5:n]
		if len(body) > 300 {
			body = body[:300]
		}
		fmt.Fprintf(&out, "  %c %q\n", b[0], body)
		b = b[n:]
	}
	if len(b) > 0 {
		fmt.Fprintf(&out, "  %x\n", b[:min(len(b), 64)])
	}
	return out.String()
}
