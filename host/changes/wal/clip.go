package wal

import (
	"encoding/binary"
	"io"
)

const (
	// headBytes are the type and the length of a message.
	headBytes = 5
	// copyData is the type of the messages that carry decoded changes.
	copyData = 'd'
	// maxKept bounds what is kept of one: a row may have a gigabyte, and only the name in front of it is read. A
	// TRUNCATE names all its relations; one that is longer counts as anything.
	maxKept = 8 << 10
	// clipBuffer is read at a time.
	clipBuffer = 64 << 10
)

// clipper shortens each CopyData message of a stream to maxKept bytes, and passes all others on as they are. So a
// reader that keeps whole messages, as package pgproto3 does, needs bounded memory. An error of the source, a
// timeout among them, loses nothing: the next Read goes on.
type clipper struct {
	source io.Reader
	buffer []byte // a part of room
	room   []byte

	head [headBytes]byte
	// read of the head have come, and passed of them have been given on once all have.
	read, passed int
	// keep and drop are what is left of the message: bytes to give on, and behind them bytes to forget.
	keep, drop int
}

func newClipper(source io.Reader) *clipper {
	return &clipper{source: source, room: make([]byte, clipBuffer)}
}

// Read implements [io.Reader].
func (c *clipper) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.passed < headBytes && c.read == headBytes {
			m := copy(p[n:], c.head[c.passed:])
			n, c.passed = n+m, c.passed+m
			continue
		}
		if len(c.buffer) == 0 {
			if n > 0 {
				return n, nil
			}
			m, err := c.source.Read(c.room)
			if c.buffer = c.room[:m]; m == 0 {
				return 0, err
			}
		}
		switch {
		case c.keep > 0:
			m := copy(p[n:], c.buffer[:min(c.keep, len(c.buffer))])
			n, c.keep, c.buffer = n+m, c.keep-m, c.buffer[m:]
		case c.drop > 0:
			m := min(c.drop, len(c.buffer))
			c.drop, c.buffer = c.drop-m, c.buffer[m:]
		default:
			if c.read == headBytes {
				c.read, c.passed = 0, 0
			}
			m := copy(c.head[c.read:], c.buffer)
			if c.read, c.buffer = c.read+m, c.buffer[m:]; c.read == headBytes {
				c.begin()
			}
		}
	}
	return n, nil
}

// begin takes in a head that is complete. A length that is none is passed on for the reader to refuse.
func (c *clipper) begin() {
	length := int64(binary.BigEndian.Uint32(c.head[1:])) - 4
	c.keep, c.drop = int(max(length, 0)), 0
	if c.head[0] == copyData && length > maxKept {
		c.keep, c.drop = maxKept, int(length-maxKept)
		binary.BigEndian.PutUint32(c.head[1:], maxKept+4)
	}
}
