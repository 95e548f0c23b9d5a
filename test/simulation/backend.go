package simulation

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/perihelion-proxy/perihelion/host/wire"
)

// backend is the server's side of one connection.
type backend struct {
	store  *store
	conn   *conn
	in     *bufio.Reader
	out    []byte
	chance *rand.Rand

	// status is the transaction status; own is what the transaction has written.
	status byte
	own    map[string]int64
	// skipping is set between an error in an extended query and its Sync.
	skipping   bool
	statements map[string]text
	portals    map[string]portal
}

// portal is a bound statement. A query's rows are those of the moment of its Bind.
type portal struct {
	text
	values []int64
}

func newBackend(s *store, c *conn) *backend {
	return &backend{
		store: s, conn: c, in: bufio.NewReaderSize(c, 1024), chance: s.w.chance("backend " + c.name),
		status: wire.Idle, statements: map[string]text{}, portals: map[string]portal{},
	}
}

// serve speaks the protocol until the connection or ctx ends.
func (b *backend) serve(ctx context.Context) {
	defer b.conn.Close()
	defer context.AfterFunc(ctx, b.conn.reset)()
	start, err := wire.ReadStartup(b.in)
	if err != nil || start.Kind != wire.StartupSession {
		return
	}
	b.message(wire.Authentication, 0, 0, 0, 0)
	for name, value := range map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"} {
		b.out = wire.AppendParameterStatus(b.out, name, []byte(value))
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], b.chance.Uint64())
	b.message(wire.BackendKeyData, key[:]...)
	b.ready()
	for b.flush() == nil && ctx.Err() == nil {
		var header [wire.HeaderSize]byte
		if _, err := io.ReadFull(b.in, header[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(b.in, body); err != nil {
			return
		}
		if header[0] == wire.Terminate || !b.handle(ctx, header[0], body) {
			return
		}
	}
}

// handle takes in one message. It reports false where the server has gone meanwhile.
func (b *backend) handle(ctx context.Context, kind byte, body []byte) bool {
	if b.skipping && kind != wire.Sync {
		return true
	}
	switch kind {
	case wire.Query:
		sql, _, _ := wire.CutString(body)
		t := parseText(string(sql))
		if !b.pause(ctx) || !b.execute(ctx, t, t.value, b.read(t)) {
			return false
		}
		if b.status == wire.Idle && !b.commit(ctx) {
			return false
		}
		b.ready()
	case wire.Parse:
		name, rest, _ := wire.CutString(body)
		sql, _, _ := wire.CutString(rest)
		b.statements[string(name)] = parseText(string(sql))
		b.message(wire.ParseComplete)
	case wire.Bind:
		return b.bind(ctx, body)
	case wire.Describe:
		b.describe(body)
	case wire.Execute:
		name, _, _ := wire.CutString(body)
		p := b.portals[string(name)]
		if p.kind == selects {
			b.rows(p.values)
			return true
		}
		failed := len(b.out)
		if !b.execute(ctx, p.text, p.value, nil) {
			return false
		}
		b.skipping = b.out[failed] == wire.ErrorResponse
	case wire.Flush:
		_, err := b.conn.Write(b.out)
		b.out = b.out[:0]
		return err == nil
	case wire.Close:
		b.message(wire.CloseComplete)
	case wire.Sync:
		b.skipping = false
		if b.status == wire.Idle && !b.commit(ctx) {
			return false
		}
		b.ready()
	}
	return true
}

// pause takes the time that a statement takes before or after its snapshot.
func (b *backend) pause(ctx context.Context) bool {
	plan := b.store.w.plan
	d := time.Duration(b.chance.Int64N(int64(300 * time.Microsecond)))
	if b.chance.IntN(1000) < plan.slowStatements {
		d += time.Duration(b.chance.Int64N(int64(plan.slowStatement)))
	}
	return sleep(ctx, d)
}

func (b *backend) read(t text) []int64 {
	if t.kind != selects {
		return nil
	}
	return b.store.snapshot(t.keys, b.own)
}

func (b *backend) bind(ctx context.Context, body []byte) bool {
	name, rest, _ := wire.CutString(body)
	statement, rest, _ := wire.CutString(rest)
	p := portal{text: b.statements[string(statement)]}
	if parameter, ok := firstParameter(rest); ok {
		if p.ofParameter {
			p.value, _ = strconv.ParseInt(parameter, 10, 64) // the clients send digits
		} else if p.kind == selects {
			p.keys = []string{p.keys[0][:2] + parameter}
		}
	}
	if !b.pause(ctx) {
		return false
	}
	p.values = b.read(p.text)
	b.portals[string(name)] = p
	b.message(wire.BindComplete)
	return b.pause(ctx)
}

// firstParameter returns the first value of what follows the names of a Bind.
func firstParameter(rest []byte) (string, bool) {
	formats := int(binary.BigEndian.Uint16(rest))
	rest = rest[2+2*formats:]
	if binary.BigEndian.Uint16(rest) == 0 {
		return "", false
	}
	size := binary.BigEndian.Uint32(rest[2:])
	return string(rest[6 : 6+size]), true
}

func (b *backend) describe(body []byte) {
	name, _, _ := wire.CutString(body[1:])
	t := b.portals[string(name)].text
	if body[0] == 'S' {
		t = b.statements[string(name)]
		parameters := []byte{0, 0}
		if t.ofParameter || t.kind == selects && t.keys[0][2:] == "$1" {
			parameters = []byte{0, 1, 0, 0, 0, 20}
		}
		b.message(wire.ParameterDescription, parameters...)
	}
	if t.kind != selects {
		b.message(wire.NoData)
		return
	}
	b.rowDescription(len(t.keys))
}

func (b *backend) rowDescription(columns int) {
	body := binary.BigEndian.AppendUint16(nil, uint16(columns))
	for range columns {
		body = append(body, "v\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x08\xff\xff\xff\xff\x00\x00"...)
	}
	b.message(wire.RowDescription, body...)
}

func (b *backend) rows(values []int64) {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		digits := strconv.AppendInt(nil, v, 10)
		body = binary.BigEndian.AppendUint32(body, uint32(len(digits)))
		body = append(body, digits...)
	}
	b.message(wire.DataRow, body...)
	b.complete("SELECT 1")
}

// execute runs a statement. values is what a query has read; a simple query describes it as well.
func (b *backend) execute(ctx context.Context, t text, value int64, values []int64) bool {
	if b.status == wire.Failed && t.kind != commits && t.kind != rollsBack {
		b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
		return true
	}
	switch t.kind {
	case selects:
		if !b.pause(ctx) {
			return false
		}
		b.rowDescription(len(t.keys))
		b.rows(values)
	case updates:
		if b.own == nil {
			b.own = map[string]int64{}
		}
		for _, key := range t.keys {
			b.own[key] = value
		}
		b.complete("UPDATE 1")
	case begins:
		b.status = wire.InBlock
		b.complete("BEGIN")
	case commits:
		if b.status == wire.Failed {
			b.own = nil
			b.complete("ROLLBACK")
		} else {
			if !b.commit(ctx) {
				return false
			}
			b.complete("COMMIT")
		}
		b.status = wire.Idle
	case rollsBack:
		b.own, b.status = nil, wire.Idle
		b.complete("ROLLBACK")
	case sets:
		b.complete("SET")
	case empty:
		b.message(wire.EmptyQueryResponse)
	case strange:
		b.fail("42601", "syntax error")
	}
	return true
}

// commit makes visible what the transaction has written. The reply leaves some time after.
func (b *backend) commit(ctx context.Context) bool {
	if len(b.own) == 0 {
		return true
	}
	if !b.pause(ctx) {
		return false
	}
	b.store.commit(maps.Clone(b.own), !b.conn.out.dead())
	b.own = nil
	if b.chance.IntN(1000) < b.store.w.plan.lostReplies {
		b.store.w.trace("store", "loses the connection of %s before it replies", b.conn.name)
		b.conn.reset()
		return false
	}
	return b.pause(ctx)
}

func (b *backend) fail(code, message string) {
	b.message(wire.ErrorResponse, []byte("SERROR\x00VERROR\x00C"+code+"\x00M"+message+"\x00\x00")...)
	b.own = nil
	if b.status == wire.InBlock {
		b.status = wire.Failed
	}
}

func (b *backend) message(kind byte, body ...byte) { b.out = wire.AppendMessage(b.out, kind, body) }

func (b *backend) complete(tag string) { b.message(wire.CommandComplete, append([]byte(tag), 0)...) }

func (b *backend) ready() { b.message(wire.ReadyForQuery, b.status) }

// flush sends what was answered. As the server does, it waits for the end of an extended query.
func (b *backend) flush() error {
	if n := len(b.out); n < 6 || b.out[n-6] != wire.ReadyForQuery {
		return nil
	}
	_, err := b.conn.Write(b.out)
	b.out = b.out[:0]
	return err
}
