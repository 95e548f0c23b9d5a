package session

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// repeating is a client that sends the same request for ever and takes every answer.
type repeating struct {
	net.Conn
	request []byte
	answers int
	bytes   int
}

func (c *repeating) Read(b []byte) (int, error) { return copy(b, c.request), nil }

func (c *repeating) Write(b []byte) (int, error) {
	c.answers++
	c.bytes += len(b)
	return len(b), nil
}

// hitting returns a session whose client sends a request that is in memory, and a function that answers one.
func hitting(t testing.TB, request []byte, key func(*Session) []byte, rowDescription []byte) (*repeating, func()) {
	t.Helper()
	j := &journal{Log: invalidation.NewLog()}
	shared := node(nil, j, nil)
	client := &repeating{request: request}
	s := New(shared, client, Peer{Addr: "test"}, false)
	s.mu.status = wire.Idle
	s.mu.state.reported = map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"}
	s.mu.state.update()
	s.mu.named = map[string]*prepared{"s": {text: []byte("select a"), part: []byte("select a\x00\x00\x00"), upstream: true}}
	floors, ok := shared.Floors.Depend(j.Epoch(), "db", []string{"public.a"})
	if !ok {
		t.Fatal("no floors")
	}
	k := key(s)
	reply := rows("1")
	if rowDescription != nil {
		reply = reply[len(columns):]
	}
	if !shared.Cache.Store(shared.Cache.Hash(k), &cache.Entry{Key: k, Version: 1, Floors: &floors, Expires: invalidation.Now().Add(time.Hour), RowDescription: rowDescription, Body: reply}) {
		t.Fatal("entry was refused")
	}
	ctx := context.Background()
	one := func() {
		if err := s.in.More(); err != nil {
			t.Fatal(err)
		}
		for {
			window := s.in.Window()
			kind, size, ok, err := wire.Header(window[s.held:])
			if err != nil || !ok {
				break
			}
			if err := s.message(ctx, kind, window[s.held:s.held+size]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return client, one
}

var requests = []struct {
	name    string
	request []byte
	key     func(*Session) []byte
	columns []byte
}{
	{"simple", query("select a"), func(s *Session) []byte { return appendQueryKey(nil, &s.mu.state.prefix, []byte("select a")) }, nil},
	{"prepared", slices.Concat(bind("s", "1"), portalD, execute, syncMsg), func(s *Session) []byte {
		m, _ := readBind(bind("s", "1")[wire.HeaderSize:])
		return appendBindKey(nil, &s.mu.state.prefix, []byte("select a\x00\x00\x00"), m.rest)
	}, columns},
	{"unnamed", slices.Concat(encode(&pgproto3.Parse{Query: "select a"}), bind("", "1"), portalD, execute, syncMsg), func(s *Session) []byte {
		m, _ := readBind(bind("", "1")[wire.HeaderSize:])
		return appendBindKey(nil, &s.mu.state.prefix, []byte("select a\x00\x00\x00"), m.rest)
	}, columns},
}

func TestHitAllocatesNothingAndWritesOnce(t *testing.T) {
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			client, one := hitting(t, r.request, r.key, r.columns)
			one()
			client.answers = 0
			if n := testing.AllocsPerRun(100, one); n != 0 {
				t.Errorf("a hit allocates %v times, want 0", n)
			}
			if client.answers != 101 {
				t.Errorf("%d writes for 101 hits", client.answers)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	for _, r := range requests {
		b.Run(r.name, func(b *testing.B) {
			_, one := hitting(b, r.request, r.key, r.columns)
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
		})
	}
}
