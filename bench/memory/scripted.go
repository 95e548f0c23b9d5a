package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/perihelion-proxy/perihelion/bench/client"
)

const (
	// int4 is the object identifier of a type.
	int4 = 23
	// ownName is what the names of the home's own connections begin with.
	ownName = "perihelion "
	// wideQuery is answered with more than any small buffer holds.
	wideQuery   = "SELECT wide FROM accounts"
	wideRows    = 10
	maxRequest  = 64 << 10
	sslRequest  = 80877103
	startupHead = 8
)

// scripted is a server for any number of sessions. The home's own connections go on to a real PostgreSQL, so that the
// home knows its catalog; all others get answers that are made up.
type scripted struct {
	listener net.Listener
	real     string
	serving  sync.WaitGroup
	mu       struct {
		sync.Mutex
		closed bool
		open   map[net.Conn]struct{}
	}
}

// listenScripted serves until close.
func listenScripted(real string) (*scripted, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &scripted{listener: listener, real: real}
	s.mu.open = map[net.Conn]struct{}{}
	s.serving.Go(func() {
		for number := uint32(1); ; number++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if !s.keep(conn) {
				return
			}
			s.serving.Go(func() {
				defer s.drop(conn)
				_ = s.serve(conn, number) // a client that leaves in the middle is none of our business
			})
		}
	})
	return s, nil
}

// url is what a home reaches the server by.
func (s *scripted) url() string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, s.listener.Addr(), database)
}

func (s *scripted) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		conn.Close()
		return false
	}
	s.mu.open[conn] = struct{}{}
	return true
}

func (s *scripted) drop(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.open, conn)
}

func (s *scripted) close() {
	s.listener.Close()
	s.mu.Lock()
	s.mu.closed = true
	for conn := range s.mu.open {
		conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *scripted) serve(conn net.Conn, number uint32) error {
	packet, err := readStartup(conn)
	if err != nil {
		return err
	}
	if bytes.Contains(packet, []byte("\x00application_name\x00"+ownName)) {
		return s.relay(conn, packet)
	}
	return answer(conn, number)
}

func readStartup(conn net.Conn) ([]byte, error) {
	for {
		packet := make([]byte, startupHead)
		if _, err := io.ReadFull(conn, packet); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(packet)
		if size < startupHead || size > maxRequest {
			return nil, errors.New("no startup message")
		}
		packet = slices.Grow(packet, int(size)-startupHead)[:size]
		if _, err := io.ReadFull(conn, packet[startupHead:]); err != nil {
			return nil, err
		}
		if binary.BigEndian.Uint32(packet[4:]) != sslRequest {
			return packet, nil
		}
		if _, err := conn.Write([]byte{'N'}); err != nil {
			return nil, err
		}
	}
}

// relay passes a connection on to the real server.
func (s *scripted) relay(conn net.Conn, packet []byte) error {
	server, err := net.Dial("tcp", s.real)
	if err != nil {
		return err
	}
	if !s.keep(server) {
		return net.ErrClosed
	}
	defer s.drop(server)
	if _, err := server.Write(packet); err != nil {
		return err
	}
	s.serving.Go(func() {
		_, _ = io.Copy(conn, server)
		conn.Close()
	})
	_, err = io.Copy(server, conn)
	return err
}

// scriptedRow is the one row of every narrow result.
var scriptedRow = client.Row("0")

// What the server says, whatever it is asked. One column `balance` of type int4, in text.
var (
	scriptedColumns = []byte("T\x00\x00\x00\x20\x00\x01balance\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00")
	wideRow         = client.Row(strings.Repeat("0", 4096))
)

// greeting is what PostgreSQL 18 says to a new session.
func greeting(number uint32) []byte {
	out := binary.BigEndian.AppendUint32([]byte{'R', 0, 0, 0, 8}, 0)
	for _, parameter := range []string{
		"in_hot_standby=off", "integer_datetimes=on", "TimeZone=Etc/UTC", "IntervalStyle=postgres", "search_path=\"$user\", public",
		"is_superuser=on", "application_name=", "default_transaction_read_only=off", "scram_iterations=4096", "DateStyle=ISO, MDY",
		"standard_conforming_strings=on", "session_authorization=postgres", "client_encoding=UTF8", "server_version=18.0", "server_encoding=UTF8",
	} {
		name, value, _ := strings.Cut(parameter, "=")
		out = appendMessage(out, 'S', name+"\x00"+value+"\x00")
	}
	key := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, number), ^number)
	return appendMessage(out, 'K', string(key))
}

func appendMessage(to []byte, kind byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32(append(to, kind), uint32(len(body)+4)), body...)
}

// answer serves one session.
func answer(conn net.Conn, number uint32) error {
	status := "I"
	if _, err := conn.Write(appendMessage(greeting(number), 'Z', status)); err != nil {
		return err
	}
	in, held := make([]byte, 2<<10), 0
	for {
		n, err := conn.Read(in[held:])
		if err != nil {
			return err
		}
		held += n
		used := 0
		var out []byte
		for held-used >= 5 {
			size := 1 + int(binary.BigEndian.Uint32(in[used+1:]))
			if size > maxRequest {
				return errors.New("too large a request")
			}
			if held-used < size {
				break
			}
			if in[used] == 'X' {
				return nil
			}
			out = appendReply(out, in[used], in[used+5:used+size], &status)
			used += size
		}
		held = copy(in, in[used:held])
		if held == len(in) {
			in = slices.Grow(in, held)[:2*held]
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
	}
}

// appendReply appends the reply to one message. status is the session's transaction status.
func appendReply(out []byte, kind byte, body []byte, status *string) []byte {
	switch kind {
	case 'Q':
		text := strings.TrimSuffix(string(body), "\x00")
		switch verb, _, _ := strings.Cut(text, " "); verb {
		case "BEGIN", "COMMIT":
			if *status = "I"; verb == "BEGIN" {
				*status = "T"
			}
			out = appendMessage(out, 'C', verb+"\x00")
		case "UPDATE":
			out = appendMessage(out, 'C', "UPDATE 1\x00")
		default:
			out = append(out, scriptedColumns...)
			if text != wideQuery {
				out = append(out, scriptedRow...)
			} else {
				for range wideRows {
					out = append(out, wideRow...)
				}
			}
			out = appendMessage(out, 'C', "SELECT 1\x00")
		}
		out = appendMessage(out, 'Z', *status)
	case 'P':
		out = appendMessage(out, '1', "")
	case 'B':
		out = appendMessage(out, '2', "")
	case 'D':
		out = append(out, scriptedColumns...)
	case 'E':
		out = appendMessage(append(out, scriptedRow...), 'C', "SELECT 1\x00")
	case 'C':
		out = appendMessage(out, '3', "")
	case 'S':
		out = appendMessage(out, 'Z', *status)
	}
	return out
}
