package simulation

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/wire"
	"github.com/perihelion-proxy/perihelion/test/history"
)

// patience is how long a client waits for a reply before it gives its connection up.
const patience = 15 * time.Second

// client is an application: one connection at a time, and statements that the adversary could have thought of.
type client struct {
	w      *world
	name   string
	chance *rand.Rand
	// wrote counts what the client has written: its values are its own.
	wrote    int64
	sessions int
	blocks   int
	// habit is what it asks for again and again, and the message that does.
	habit   []string
	message []byte
	// near is where it mostly connects to.
	near string
}

func newClient(w *world, name string) *client {
	c := &client{w: w, name: name, chance: w.chance(name)}
	c.habit = c.some(1 + c.chance.IntN(3)/2)
	c.message = c.ask(c.habit...)
	c.near = w.edges[c.chance.IntN(len(w.edges))].address()
	return c
}

// run works until the plan's time is over.
func (c *client) run(ctx context.Context) {
	if !sleep(ctx, time.Duration(c.chance.Int64N(int64(2*time.Second)))) {
		return
	}
	for c.w.now() < c.w.plan.length {
		at := c.near
		switch c.chance.IntN(10) {
		case 0:
			at = homeAddress
		case 1, 2:
			at = c.w.edges[c.chance.IntN(len(c.w.edges))].address()
		}
		if err := c.session(ctx, at); err != nil {
			c.w.trace(c.name, "lost its connection: %v", err)
			if !sleep(ctx, time.Duration(c.chance.Int64N(int64(500*time.Millisecond)))+time.Millisecond) {
				return
			}
		}
	}
}

// session connects, and works until the connection is lost, or the client wants another.
func (c *client) session(ctx context.Context, at string) error {
	c.sessions++
	s, err := c.connect(ctx, at, fmt.Sprintf("%s/%d", c.name, c.sessions))
	if err != nil {
		return err
	}
	defer s.conn.Close()
	for c.w.now() < c.w.plan.length && c.chance.IntN(1000) >= c.w.plan.reconnects {
		if err := s.step(); err != nil {
			return err
		}
		if !sleep(ctx, c.w.plan.think(c.chance)) {
			return nil
		}
	}
	return s.leave()
}

// strike writes every register through the home.
func (c *client) strike(ctx context.Context, id string) error {
	s, err := c.connect(ctx, homeAddress, id)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	for i := range len(keys) / 2 {
		if err := s.write(keys[i], keys[i+2]); err != nil {
			return err
		}
	}
	return s.leave()
}

// connect begins a conversation. The caller closes its connection.
func (c *client) connect(ctx context.Context, at, id string) (*conversation, error) {
	dialling, stop := context.WithTimeout(ctx, patience)
	defer stop()
	raw, err := c.w.net.dial(dialling, c.name, at, nil)
	if err != nil {
		return nil, err
	}
	s := &conversation{client: c, id: id, via: at, conn: raw, in: bufio.NewReaderSize(raw, 1024)}
	if err := s.start(); err != nil {
		raw.Close()
		return nil, err
	}
	return s, nil
}

// value returns a value that nobody has written.
func (c *client) value() int64 {
	c.wrote++
	n, _ := strconv.ParseInt(strings.TrimPrefix(c.name, "client"), 10, 64) // it is a number
	return n*1000 + c.wrote
}

// conversation is one connection of a client's.
type conversation struct {
	*client
	id, via string
	conn    net.Conn
	in      *bufio.Reader
	block   int
}

// errServer is an error that the server answered; the connection goes on.
var errServer = errors.New("the server answered with an error")

func (s *conversation) start() error {
	body := binary.BigEndian.AppendUint32(nil, 3<<16)
	body = append(body, "user\x00u\x00database\x00db\x00\x00"...)
	if _, err := s.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		return err
	}
	_, err := s.replies()
	return err
}

// leave says goodbye.
func (s *conversation) leave() error {
	_, err := s.conn.Write(wire.AppendMessage(nil, wire.Terminate, nil))
	return err
}

// step does one thing.
func (s *conversation) step() error {
	if s.chance.IntN(1000) < s.w.plan.writes {
		switch s.chance.IntN(10) {
		case 0:
			return s.vanish()
		case 1:
			return s.pipeline()
		case 2, 3, 4:
			return s.transaction(true)
		}
		if err := s.write(s.some(1 + s.chance.IntN(5)/4)...); err != nil || s.chance.IntN(2) == 0 {
			return err
		}
		return s.take()
	}
	switch n := s.chance.IntN(20); {
	case s.w.plan.habits == 1000:
	case n < 2:
		return s.transaction(false)
	case n < 5:
		return s.use()
	}
	return s.look()
}

// look reads what the client always reads, or something else.
func (s *conversation) look() error {
	if s.chance.IntN(1000) < s.w.plan.habits {
		return s.read(s.message, s.habit...)
	}
	keys := s.some(1 + s.chance.IntN(5)/4)
	return s.read(s.ask(keys...), keys...)
}

// some returns one register, or one of each relation.
func (c *client) some(n int) []string {
	if n == 1 {
		return []string{keys[c.chance.IntN(len(keys))]}
	}
	return []string{keys[c.chance.IntN(2)], keys[2+c.chance.IntN(2)]}
}

func (s *conversation) op(kind history.Kind, value int64, keys ...string) *history.Op {
	op := history.Op{Kind: kind, Session: s.id, Block: s.block, Via: s.via}
	for _, key := range keys {
		op.Values = append(op.Values, history.Value{Key: key, Value: value})
	}
	return s.w.record.begin(op)
}

// ask sends a read, as a simple query or an extended one.
func (c *client) ask(keys ...string) []byte {
	sql := selectText(keys...)
	switch c.chance.IntN(3) {
	case 0:
		return query(sql)
	case 1:
		if len(keys) == 1 {
			return extended("select v from "+keys[0][:1]+" where k = $1", c.chance.IntN(2) == 0, keys[0][2:])
		}
	}
	return extended(sql, c.chance.IntN(2) == 0)
}

func (s *conversation) read(message []byte, keys ...string) error {
	op := s.op(history.Read, 0, keys...)
	s.w.trace(s.name, "%s asks %s for %v", s.id, s.via, keys)
	rows, err := s.exchange(message)
	if err != nil {
		return s.alive(err)
	}
	s.saw(op, rows)
	return nil
}

func (s *conversation) saw(op *history.Op, row []int64) {
	if len(row) != len(op.Values) {
		panic(fmt.Sprintf("%s got %d values, want %d", s.id, len(row), len(op.Values)))
	}
	s.w.record.returned(op, row)
	s.w.trace(s.name, "%s is told %v", s.id, op.Values)
}

// update returns a write as it is sent.
func (s *conversation) update(value int64, keys ...string) []byte {
	if len(keys) == 1 && s.chance.IntN(2) == 0 {
		return extended("update "+keys[0][:1]+" set v = $1 where k = "+keys[0][2:], false, strconv.FormatInt(value, 10))
	}
	return query(updateText(value, keys...))
}

func (s *conversation) write(keys ...string) error {
	value := s.value()
	op := s.op(history.Write, value, keys...)
	message := s.update(value, keys...)
	s.w.trace(s.name, "%s writes %d to %v at %s", s.id, value, keys, s.via)
	_, err := s.exchange(message)
	switch {
	case err == nil:
		s.w.record.end(history.Committed, op)
		s.w.trace(s.name, "%s has written %d", s.id, value)
	case errors.Is(err, errServer):
		s.w.record.end(history.RolledBack, op)
	}
	return s.alive(err)
}

// transaction is a block of a few statements.
func (s *conversation) transaction(writing bool) error {
	s.blocks++
	s.block = s.blocks
	defer func() { s.block = 0 }()
	s.w.trace(s.name, "%s begins", s.id)
	if _, err := s.exchange(query("begin")); err != nil {
		return err
	}
	writes := map[string]*history.Op{}
	var replaced []*history.Op // by the block itself: nobody else ever sees them
	for range 1 + s.chance.IntN(4) {
		if writing && s.chance.IntN(2) == 0 {
			value := s.value()
			keys := s.some(1)
			op := s.op(history.Write, value, keys...)
			s.w.trace(s.name, "%s writes %d to %v in a block", s.id, value, keys)
			if _, err := s.exchange(s.update(value, keys...)); err != nil {
				return err
			}
			if old := writes[keys[0]]; old != nil {
				replaced = append(replaced, old)
			}
			writes[keys[0]] = op
		} else if err := s.look(); err != nil {
			return err
		}
		if !sleep(s.w.ctx, s.w.plan.think(s.chance)/8) {
			return nil
		}
	}
	outcome, end := history.Committed, "commit"
	if s.chance.IntN(4) == 0 {
		outcome, end = history.RolledBack, "rollback"
	}
	s.w.trace(s.name, "%s sends %s", s.id, end)
	if _, err := s.exchange(query(end)); err != nil {
		return err
	}
	s.w.trace(s.name, "%s has its %s", s.id, end)
	s.w.record.end(history.RolledBack, replaced...)
	s.w.record.end(outcome, slices.Collect(maps.Values(writes))...)
	return nil
}

// take takes a token for others.
func (s *conversation) take() error {
	op := s.op(history.Take, 0)
	if _, err := s.conn.Write(query("SHOW perihelion.version")); err != nil {
		return err
	}
	row, err := s.rows()
	if err != nil {
		return s.alive(err)
	}
	text := string(row[6:]) // behind the number of columns and the length of the one
	s.w.record.took(op, text)
	s.w.trace(s.name, "%s takes token %s at %s", s.id, text, s.via)
	return nil
}

// use waits for the last token that somebody took, and looks.
func (s *conversation) use() error {
	text := s.w.record.lastToken()
	if text == "" {
		return s.take()
	}
	s.w.trace(s.name, "%s waits for token %s at %s", s.id, text, s.via)
	if _, err := s.exchange(query("set perihelion.after = '" + text + "'")); err != nil {
		return s.alive(err)
	}
	op := s.op(history.Use, 0)
	s.w.record.used(op, text)
	return s.look()
}

// vanish sends a write and closes the connection.
func (s *conversation) vanish() error {
	value := s.value()
	keys := s.some(1)
	s.op(history.Write, value, keys...)
	s.w.trace(s.name, "%s writes %d to %v, and vanishes", s.id, value, keys)
	if _, err := s.conn.Write(s.update(value, keys...)); err != nil {
		return err
	}
	sleep(s.w.ctx, time.Duration(s.chance.Int64N(int64(5*time.Millisecond)))+1)
	return errVanished
}

var errVanished = errors.New("the client closed")

// pipeline sends several statements before it reads the first reply.
func (s *conversation) pipeline() error {
	var all []byte
	var ops []*history.Op
	for range 2 + s.chance.IntN(3) {
		keys := s.some(1)
		if s.chance.IntN(3) == 0 {
			value := s.value()
			ops = append(ops, s.op(history.Write, value, keys...))
			all = append(all, s.update(value, keys...)...)
			s.w.trace(s.name, "%s writes %d to %v in a pipeline", s.id, value, keys)
			continue
		}
		ops = append(ops, s.op(history.Read, 0, keys...))
		all = append(all, s.ask(keys...)...)
		s.w.trace(s.name, "%s asks %s for %v in a pipeline", s.id, s.via, keys)
	}
	if _, err := s.conn.Write(all); err != nil {
		return err
	}
	for _, op := range ops {
		row, err := s.replies()
		if err != nil {
			return err
		}
		if op.Kind == history.Read {
			s.saw(op, row)
		} else {
			s.w.record.end(history.Committed, op)
		}
	}
	return nil
}

// alive returns nil for an error that the connection outlives.
func (s *conversation) alive(err error) error {
	if errors.Is(err, errServer) {
		return nil
	}
	return err
}

// exchange sends a message and reads to the end of its cycle. It returns the row, if there was one.
func (s *conversation) exchange(message []byte) ([]int64, error) {
	if _, err := s.conn.Write(message); err != nil {
		return nil, err
	}
	return s.replies()
}

func (s *conversation) replies() ([]int64, error) {
	body, err := s.rows()
	if err != nil || body == nil {
		return nil, err
	}
	return readRow(body), nil
}

// rows reads to the end of a cycle, and returns the body of its last row.
func (s *conversation) rows() (row []byte, err error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(patience)) // it does not fail
	failed := false
	for {
		var header [wire.HeaderSize]byte
		if _, err := io.ReadFull(s.in, header[:]); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(s.in, body); err != nil {
			return nil, err
		}
		switch header[0] {
		case wire.DataRow:
			row = body
		case wire.ErrorResponse:
			if strings.Contains(string(body), "FATAL") {
				return nil, fmt.Errorf("fatal: %q", body)
			}
			failed = true
		case wire.ReadyForQuery:
			if failed {
				return nil, errServer
			}
			return row, nil
		}
	}
}

func readRow(body []byte) []int64 {
	var row []int64
	for rest := body[2:]; len(rest) > 4; {
		n := binary.BigEndian.Uint32(rest)
		v, _ := strconv.ParseInt(string(rest[4:4+n]), 10, 64) // the store sends digits
		row, rest = append(row, v), rest[4+n:]
	}
	return row
}

func query(sql string) []byte { return wire.AppendMessage(nil, wire.Query, append([]byte(sql), 0)) }

// extended returns a text as an extended query with the unnamed statement and portal.
func extended(sql string, describe bool, parameters ...string) []byte {
	m := wire.AppendMessage(nil, wire.Parse, append(append([]byte{0}, sql...), 0, 0, 0))
	bind := []byte{0, 0, 0, 0}
	bind = binary.BigEndian.AppendUint16(bind, uint16(len(parameters)))
	for _, p := range parameters {
		bind = binary.BigEndian.AppendUint32(bind, uint32(len(p)))
		bind = append(bind, p...)
	}
	m = wire.AppendMessage(m, wire.Bind, append(bind, 0, 0))
	if describe {
		m = wire.AppendMessage(m, wire.Describe, []byte{'P', 0})
	}
	m = wire.AppendMessage(m, wire.Execute, []byte{0, 0, 0, 0, 0})
	return wire.AppendMessage(m, wire.Sync, nil)
}
