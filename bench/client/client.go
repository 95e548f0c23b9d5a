package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

const (
	protocolVersion = 3 << 16
	firstBuffer     = 8 << 10
	maxMessage      = 64 << 20
	headerSize      = 5
)

// Conn is one session. It is used by one goroutine at a time, and not at all after an error.
type Conn struct {
	conn   net.Conn
	buffer []byte
}

// Dial opens a session for a user that needs no password.
func Dial(ctx context.Context, addr, user, database string) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, buffer: make([]byte, firstBuffer)}
	startup := binary.BigEndian.AppendUint32(make([]byte, 4), protocolVersion)
	for _, text := range []string{"user", user, "database", database, ""} {
		startup = append(append(startup, text...), 0)
	}
	binary.BigEndian.PutUint32(startup, uint32(len(startup)))
	if _, err := c.roundTrip(startup); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start a session at %s: %w", addr, err)
	}
	return c, nil
}

// Close ends the session.
func (c *Conn) Close() error {
	_, err := c.conn.Write([]byte{'X', 0, 0, 0, 4})
	return errors.Join(err, c.conn.Close())
}

// Exec runs SQL in the simple protocol and throws its rows away.
func (c *Conn) Exec(sql string) error {
	if _, err := c.roundTrip(Simple(sql)); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Prepare makes a prepared statement whose parameters have the types of these object identifiers.
func (c *Conn) Prepare(name, sql string, types ...uint32) error {
	body := append(append([]byte(name), 0), sql...)
	body = binary.BigEndian.AppendUint16(append(body, 0), uint16(len(types)))
	for _, oid := range types {
		body = binary.BigEndian.AppendUint32(body, oid)
	}
	request := message(message(nil, 'P', body), 'S', nil)
	if _, err := c.roundTrip(request); err != nil {
		return fmt.Errorf("prepare %s: %w", sql, err)
	}
	return nil
}

// Simple returns the request that runs SQL in the simple protocol.
func Simple(sql string) []byte { return message(nil, 'Q', append([]byte(sql), 0)) }

// Prepared returns the request that runs a prepared statement as libpq does it: Bind with parameters as text, Describe,
// Execute and Sync in one write.
func Prepared(name string, parameters ...string) []byte {
	bind := append(append([]byte{0}, name...), 0)
	bind = binary.BigEndian.AppendUint16(bind, 0)
	bind = binary.BigEndian.AppendUint16(bind, uint16(len(parameters)))
	for _, parameter := range parameters {
		bind = binary.BigEndian.AppendUint32(bind, uint32(len(parameter)))
		bind = append(bind, parameter...)
	}
	bind = binary.BigEndian.AppendUint16(bind, 0)
	request := message(nil, 'B', bind)
	request = message(request, 'D', []byte{'P', 0})
	request = message(request, 'E', []byte{0, 0, 0, 0, 0})
	return message(request, 'S', nil)
}

func message(to []byte, kind byte, body []byte) []byte {
	to = binary.BigEndian.AppendUint32(append(to, kind), uint32(len(body)+4))
	return append(to, body...)
}

// Row returns the DataRow with one column that Query compares with.
func Row(value string) []byte {
	body := binary.BigEndian.AppendUint16(nil, 1)
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	return message(nil, 'D', append(body, value...))
}

// Query sends a request and reads its answer, which must have the one row wanted. It allocates nothing.
func (c *Conn) Query(request, want []byte) error {
	answer, err := c.roundTrip(request)
	if err != nil {
		return err
	}
	rows := 0
	for len(answer) > 0 {
		size := messageSize(answer)
		if answer[0] == 'D' {
			if !bytes.Equal(answer[:size], want) {
				return fmt.Errorf("wrong answer: got row %q, want %q", answer[:size], want)
			}
			rows++
		}
		answer = answer[size:]
	}
	if rows != 1 {
		return fmt.Errorf("wrong answer: got %d rows, want 1", rows)
	}
	return nil
}

// messageSize is the size of the whole message that data begin with; data hold its header.
func messageSize(data []byte) int { return 1 + int(binary.BigEndian.Uint32(data[1:])) }

// ServerError is what the server says went wrong.
type ServerError struct{ SQLState, Message string }

func (e *ServerError) Error() string { return e.SQLState + ": " + e.Message }

// roundTrip writes the request and returns all messages of the answer, up to ReadyForQuery. They are valid until the
// next call.
func (c *Conn) roundTrip(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	read, scanned := 0, 0
	var failed *ServerError
	for {
		n, err := c.conn.Read(c.buffer[read:])
		read += n
		if err != nil && n == 0 {
			if failed != nil {
				return nil, failed
			}
			return nil, err
		}
		for read-scanned >= headerSize {
			size := messageSize(c.buffer[scanned:])
			if size < headerSize || size > maxMessage {
				return nil, fmt.Errorf("a message of %d bytes", size)
			}
			if read-scanned < size {
				if missing := scanned + size - len(c.buffer); missing > 0 {
					c.buffer = append(c.buffer, make([]byte, missing)...)
				}
				break
			}
			body := c.buffer[scanned+headerSize : scanned+size]
			switch c.buffer[scanned] {
			case 'R':
				if len(body) < 4 || binary.BigEndian.Uint32(body) != 0 {
					return nil, errors.New("the server asks for a password")
				}
			case 'E':
				failed = parseError(body)
			case 'Z':
				if scanned+size != read {
					return nil, fmt.Errorf("%d bytes behind the answer", read-scanned-size)
				}
				if failed != nil {
					return nil, failed
				}
				return c.buffer[:read], nil
			}
			scanned += size
		}
		if read == len(c.buffer) {
			c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		}
	}
}

func parseError(body []byte) *ServerError {
	failed := &ServerError{}
	for field := range bytes.SplitSeq(body, []byte{0}) {
		switch {
		case len(field) == 0:
		case field[0] == 'C':
			failed.SQLState = string(field[1:])
		case field[0] == 'M':
			failed.Message = string(field[1:])
		}
	}
	return failed
}
