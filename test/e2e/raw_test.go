package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/test/cluster"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

const pgtestTrust = pgtest.Trust

// client speaks the protocol without a driver, so that bytes can be compared.
type client struct {
	t    *testing.T
	conn net.Conn
}

type encoder interface{ Encode([]byte) ([]byte, error) }

func encode(messages ...encoder) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			panic(err)
		}
	}
	return b
}

func simpleQuery(text string) []byte { return encode(&pgproto3.Query{String: text}) }

// extendedQuery is a whole unnamed extended query without parameters.
func extendedQuery(text string, format int16) []byte {
	return encode(&pgproto3.Parse{Query: text}, &pgproto3.Bind{ResultFormatCodes: []int16{format}}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
}

// dial connects as the superuser, who is trusted.
func dial(t *testing.T, address, database string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(cluster.Patience)); err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn}
	c.ask(encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "postgres", "database": database}}))
	return c
}

// ask sends a request and returns all bytes up to the ReadyForQuery, with it.
func (c *client) ask(request []byte) []byte {
	c.t.Helper()
	c.send(request)
	return c.answer()
}

func (c *client) send(request []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(request); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) answer() []byte {
	c.t.Helper()
	var all []byte
	for {
		message := c.message()
		all = append(all, message...)
		if message[0] == 'Z' {
			return all
		}
	}
}

func (c *client) message() []byte {
	c.t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		c.t.Fatalf("read a message: %v", err)
	}
	message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
	copy(message, head)
	if _, err := io.ReadFull(c.conn, message[5:]); err != nil {
		c.t.Fatalf("read a message: %v", err)
	}
	return message
}
