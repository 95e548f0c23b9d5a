package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/perihelion-proxy/perihelion/bench/client"
)

const (
	cannedValue = "0"
	maxRequest  = 64 << 10
	sslRequest  = 80877103
)

// serveCanned answers every query with the same bytes: the least that a server in Go can do, and so the limit for an
// edge. It prints its address and serves until standard input ends.
func serveCanned() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		listener.Close()
	}()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		sessions.Go(func() {
			defer conn.Close()
			// A client that leaves in the middle is none of our business.
			_ = serveSession(conn)
		})
	}
}

var (
	cannedReady  = []byte{'Z', 0, 0, 0, 5, 'I'}
	cannedLogin  = append([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 0}, cannedReady...)
	cannedParsed = []byte{'1', 0, 0, 0, 4}
	cannedBound  = []byte{'2', 0, 0, 0, 4}
	// One column `abalance` of type int4, in text.
	cannedColumns = []byte("T\x00\x00\x00\x21\x00\x01abalance\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00")
	cannedRow     = append(client.Row(cannedValue), "C\x00\x00\x00\x0dSELECT 1\x00"...)
)

// serveSession answers one client, each burst of requests with one write.
func serveSession(conn net.Conn) error {
	header := make([]byte, 8)
	for {
		if _, err := io.ReadFull(conn, header); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(header)
		if binary.BigEndian.Uint32(header[4:]) != sslRequest || size != 8 {
			if size < 8 || size > maxRequest {
				return errors.New("no startup message")
			}
			if _, err := io.CopyN(io.Discard, conn, int64(size)-8); err != nil {
				return err
			}
			break
		}
		if _, err := conn.Write([]byte{'N'}); err != nil {
			return err
		}
	}
	if _, err := conn.Write(cannedLogin); err != nil {
		return err
	}
	in, out := make([]byte, maxRequest), make([]byte, 0, maxRequest)
	for held := 0; ; {
		n, err := conn.Read(in[held:])
		if err != nil {
			return err
		}
		held += n
		used := 0
		for held-used >= 5 {
			size := 1 + int(binary.BigEndian.Uint32(in[used+1:]))
			if size > len(in) {
				return errors.New("too large a request")
			}
			if held-used < size {
				break
			}
			switch in[used] {
			case 'Q':
				out = append(append(append(out, cannedColumns...), cannedRow...), cannedReady...)
			case 'P':
				out = append(out, cannedParsed...)
			case 'B':
				out = append(out, cannedBound...)
			case 'D':
				out = append(out, cannedColumns...)
			case 'E':
				out = append(out, cannedRow...)
			case 'S':
				out = append(out, cannedReady...)
			case 'X':
				return nil
			}
			used += size
		}
		held = copy(in, in[used:held])
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
}
