package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/nodes"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	// rowBytes is the size of the values of which large results consist.
	rowBytes = 64 * kibibyte
	// slowChunk is how much the client reads before it rests for slowRest: 128 MiB/s at the most.
	slowChunk = 256 * kibibyte
	slowRest  = 2 * time.Millisecond
	// stall is how long the client reads nothing at all in the middle of a result.
	stall = 2 * time.Second
)

// transfer is one kind of large transfer.
type transfer struct {
	name  string
	bytes int64
	run   func(s *stream) error
}

func transfers(o options) []transfer {
	rows := max(o.bytes/rowBytes, 1)
	wide := fmt.Sprintf("SELECT repeat('x', %d) FROM generate_series(1, %d)", rowBytes, rows)
	return []transfer{
		{"rows", rows * rowBytes, func(s *stream) error { return s.read(wide) }},
		{"COPY out", rows * rowBytes, func(s *stream) error { return s.read("COPY (" + wide + ") TO STDOUT") }},
		{"COPY in", rows * rowBytes, func(s *stream) error { return s.copyIn(rows) }},
		{"one value", o.value, func(s *stream) error { return s.read(fmt.Sprintf("SELECT repeat('x', %d)", o.value)) }},
		{"one parameter", o.value, func(s *stream) error { return s.parameter(o.value) }},
	}
}

func measureLarge(ctx context.Context, o options, programs nodes.Programs, server *postgres.Server) ([]large, error) {
	var started nodes.Children
	defer started.End()
	pair, err := started.Pair(ctx, programs, server.URL(user, database))
	if err != nil {
		return nil, err
	}
	var all []large
	for _, t := range transfers(o) {
		one, err := measureTransfer(ctx, pair, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		all = append(all, one)
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", t.name, one.Seconds)
	}
	return all, nil
}

func measureTransfer(ctx context.Context, pair nodes.Pair, t transfer) (large, error) {
	s, err := openStream(ctx, pair.Edge.Addr)
	if err != nil {
		return large{}, err
	}
	defer s.close()
	before, err := readPair(pair, fieldResident)
	if err != nil {
		return large{}, err
	}
	for _, pid := range []int{pair.Edge.PID, pair.Home.PID} {
		if err := forgetPeak(pid); err != nil {
			return large{}, err
		}
	}
	began := time.Now()
	if err := t.run(s); err != nil {
		return large{}, errors.Join(err, context.Cause(ctx))
	}
	took := time.Since(began)
	if s.passed < t.bytes {
		return large{}, fmt.Errorf("%d bytes passed, want %d", s.passed, t.bytes)
	}
	peak, err := readPair(pair, fieldPeak)
	if err != nil {
		return large{}, err
	}
	return large{
		Kind: t.name, Bytes: t.bytes, Seconds: took.Seconds(),
		Edge: max(peak.edge-before.edge, 0), Home: max(peak.home-before.home, 0),
	}, nil
}

// stream is a session that keeps nothing of what it reads.
type stream struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
	// passed counts the bytes of rows and copy data, parameter included.
	passed int64
	unread int64 // since the last rest
	rested bool  // whether the long rest is over
}

func openStream(ctx context.Context, addr string) (*stream, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, in: bufio.NewReaderSize(conn, slowChunk), stop: context.AfterFunc(ctx, func() { conn.Close() })}
	body := "user\x00" + user + "\x00database\x00" + database + "\x00\x00"
	packet := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	packet = append(binary.BigEndian.AppendUint32(packet, 3<<16), body...)
	if err := s.ask(packet); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stream) close() {
	s.stop()
	s.conn.Close()
}

// ask sends a request and reads its answer to the end.
func (s *stream) ask(request []byte) error {
	if _, err := s.conn.Write(request); err != nil {
		return err
	}
	return s.until('Z')
}

func (s *stream) read(sql string) error { return s.ask(appendMessage(nil, 'Q', sql+"\x00")) }

// until reads messages up to one of a kind. An error of the server's is returned once the session is ready again.
func (s *stream) until(last byte) error {
	var failed error
	for {
		var head [5]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			return errors.Join(failed, err)
		}
		size := int64(binary.BigEndian.Uint32(head[1:])) - 4
		switch head[0] {
		case 'E':
			body := make([]byte, min(size, maxRequest))
			if _, err := io.ReadFull(s.in, body); err != nil {
				return err
			}
			failed = fmt.Errorf("the server says %q", body)
			continue
		case 'D', 'd':
			s.passed += size
		}
		if err := s.discard(size); err != nil {
			return errors.Join(failed, err)
		}
		if head[0] == last || head[0] == 'Z' {
			return failed
		}
	}
}

// discard reads slowly.
func (s *stream) discard(size int64) error {
	for size > 0 {
		n, err := s.in.Discard(int(min(size, slowChunk)))
		size -= int64(n)
		if err != nil {
			return err
		}
		if s.unread += int64(n); s.unread < slowChunk {
			continue
		}
		s.unread = 0
		<-time.After(slowRest)
		if !s.rested && s.passed > 128*mebibyte {
			s.rested = true
			<-time.After(stall)
		}
	}
	return nil
}

// copyIn sends rows as fast as they are taken.
func (s *stream) copyIn(rows int64) error {
	for _, sql := range []string{"CREATE UNLOGGED TABLE copied (wide text)", "ALTER TABLE copied ALTER wide SET STORAGE MAIN"} {
		if err := s.read(sql); err != nil {
			return err
		}
	}
	if _, err := s.conn.Write(appendMessage(nil, 'Q', "COPY copied FROM STDIN\x00")); err != nil {
		return err
	}
	if err := s.until('G'); err != nil {
		return err
	}
	row := appendMessage(nil, 'd', strings.Repeat("x", rowBytes-1)+"\n")
	for range rows {
		if _, err := s.conn.Write(row); err != nil {
			return err
		}
		s.passed += rowBytes
	}
	return errors.Join(s.ask(appendMessage(nil, 'c', "")), s.read("DROP TABLE copied"))
}

// parameter sends one huge parameter in an extended query.
func (s *stream) parameter(size int64) error {
	request := appendMessage(nil, 'P', "\x00SELECT length($1)\x00\x00\x01\x00\x00\x00\x19")
	head := "\x00\x00\x00\x00\x00\x01" + string(binary.BigEndian.AppendUint32(nil, uint32(size)))
	tail := "\x00\x00"
	request = binary.BigEndian.AppendUint32(append(request, 'B'), uint32(4+int64(len(head))+size+int64(len(tail))))
	if _, err := s.conn.Write(append(request, head...)); err != nil {
		return err
	}
	part := []byte(strings.Repeat("x", slowChunk))
	for size > 0 {
		n, err := s.conn.Write(part[:min(size, slowChunk)])
		if err != nil {
			return err
		}
		size -= int64(n)
		s.passed += int64(n)
	}
	request = appendMessage([]byte(tail), 'E', "\x00\x00\x00\x00\x00")
	return s.ask(appendMessage(request, 'S', ""))
}
