package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// FuzzMessages gives every reader of a message's body the same bytes. Whatever one accepts is all that the bytes say.
func FuzzMessages(f *testing.F) {
	for _, m := range []encoder{
		&pgproto3.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{23}},
		&pgproto3.Bind{PreparedStatement: "s", ParameterFormatCodes: []int16{0, 1}, Parameters: [][]byte{[]byte("now"), nil}, ResultFormatCodes: []int16{1}},
		&pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Execute{Portal: "p", MaxRows: 7}, &pgproto3.ErrorResponse{Code: "25P02"},
	} {
		f.Add(encode(m)[5:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, ok := readParse(body); ok {
			again := slices.Concat(m.name, []byte{0}, m.text, []byte{0}, m.types)
			if !bytes.Equal(again, body) {
				t.Errorf("Parse %q is read as %q", body, again)
			}
			one := &prepared{}
			one.set(m, body, true)
		}
		if m, ok := readBind(body); ok {
			if again := slices.Concat(m.portal, []byte{0}, m.statement, []byte{0}, m.rest); !bytes.Equal(again, body) {
				t.Errorf("Bind %q is read as %q", body, again)
			}
			m.plain()
			m.spellsMoment()
		}
		if m, ok := readDescribe(body); ok {
			if again := slices.Concat([]byte{m.kind}, m.name, []byte{0}); !bytes.Equal(again, body) {
				t.Errorf("Describe %q is read as %q", body, again)
			}
		}
		if name, rows, ok := readExecute(body); ok {
			if again := binary.BigEndian.AppendUint32(append(bytes.Clone(name), 0), rows); !bytes.Equal(again, body) {
				t.Errorf("Execute %q is read as %q", body, again)
			}
		}
		message := append([]byte{'E', 0, 0, 0, 0}, body...)
		errorCode(message)
		mechanisms(body)
		withoutBinding(message)
		mentionsTransaction(body)
	})
}

// FuzzSession runs a whole session whose client and upstream say anything: it ends when they do, and does not panic.
func FuzzSession(f *testing.F) {
	ready := string(encode(&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"}, &pgproto3.ReadyForQuery{TxStatus: 'I'}))
	f.Add(string(encode(&pgproto3.Query{String: "select 1"})), ready+string(encode(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})), true)
	f.Add(string(encode(&pgproto3.Query{String: "begin"}, &pgproto3.Parse{Name: "s", Query: "x"}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Flush{}, &pgproto3.Sync{})), ready+string(encode(&pgproto3.ParseComplete{}, &pgproto3.ErrorResponse{Code: "42601"}, &pgproto3.ReadyForQuery{TxStatus: 'E'})), false)
	f.Add(string(encode(&pgproto3.Query{String: "copy t from stdin"}, &pgproto3.CopyData{Data: []byte("1")}, &pgproto3.CopyDone{})), ready+string(encode(&pgproto3.CopyInResponse{}, &pgproto3.ReadyForQuery{TxStatus: 'I'})), true)
	facts, err := statement.AppendFacts(nil, []statement.Fact{{Fingerprint: 1, Verdict: statement.Read}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("X\x00\x00\x00\x04", ready+string(encode(&pgproto3.ParameterStatus{Name: statement.FactsParameter, Value: string(facts)})), false)
	pair := unixPairs(f)
	startup := encode(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "u", "database": "db"}})
	f.Fuzz(func(t *testing.T, client, upstream string, home bool) {
		backends := make(chan net.Conn, 1)
		shared := node(newAnalysis(), &journal{Log: invalidation.NewLog(), published: make(chan statement.Closure, 4096)}, backends)
		if !home {
			shared.Analysis, shared.Journal = nil, nil
		}
		log := &strings.Builder{}
		shared.Logger = slog.New(slog.NewTextHandler(log, nil))
		shared.Dial = func(context.Context, Peer) (net.Conn, error) {
			ours, theirs := pair()
			backends <- theirs
			return ours, nil
		}
		far, near := pair()
		done := make(chan error, 1)
		go func() { done <- New(shared, near, Peer{Addr: "fuzz"}, false).Run(context.Background()) }()
		deadline := time.Now().Add(10 * time.Second)
		// One goroutine for each end that speaks: an end that also had to listen would wait for itself.
		talk := func(conn net.Conn, text string) {
			defer conn.Close()
			if conn.SetDeadline(deadline) != nil {
				return
			}
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
			_ = conn.(*net.UnixConn).CloseWrite() // what counts is how the session ends
			_, _ = io.Copy(io.Discard, conn)
		}
		go talk(far, string(startup)+client)
		select {
		case backend := <-backends:
			go talk(backend, upstream)
		case err := <-done:
			done <- err
		}
		if err := <-done; err != nil && strings.Contains(err.Error(), "panic") || strings.Contains(log.String(), "panic") {
			t.Errorf("%v\n%s", err, log)
		}
	})
}

// unixPairs returns what makes pairs of connections: of TCP there would soon be no free ports.
func unixPairs(f *testing.F) func() (a, b net.Conn) {
	f.Helper()
	l, err := net.Listen("unix", filepath.Join(f.TempDir(), "s"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	return func() (a, b net.Conn) {
		a, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			panic(err)
		}
		if b, err = l.Accept(); err != nil {
			panic(err)
		}
		return a, b
	}
}
