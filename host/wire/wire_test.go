package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgproto3/v2"
)

func packet(code uint32, body string) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(p, code), body...)
}

const v3 = 3 << 16

func TestReadStartup(t *testing.T) {
	for _, test := range []struct {
		name   string
		packet []byte
		kind   StartupKind
		fails  error
	}{
		{"a session", packet(v3, "user\x00ann\x00database\x00shop\x00\x00"), StartupSession, nil},
		{"a session of protocol 3.2", packet(v3+2, "user\x00ann\x00\x00"), StartupSession, nil},
		{"a request for TLS", packet(codeSSL, ""), StartupSSL, nil},
		{"a request for GSS encryption", packet(codeGSS, ""), StartupGSS, nil},
		{"a cancel request of 3.0", packet(codeCancel, "12345678"), StartupCancel, nil},
		{"a cancel request with a long key", packet(codeCancel, "1234"+string(make([]byte, 256-4))), StartupCancel, nil},
		{"protocol 2", packet(2<<16, "user\x00ann\x00\x00"), 0, ErrStartup},
		{"protocol 4", packet(4<<16, "user\x00ann\x00\x00"), 0, ErrStartup},
		{"no user", packet(v3, "database\x00shop\x00\x00"), 0, ErrStartup},
		{"a name that does not end", packet(v3, "user"), 0, ErrStartup},
		{"a value that does not end", packet(v3, "user\x00ann"), 0, ErrStartup},
		{"no end", packet(v3, "user\x00ann\x00"), 0, ErrStartup},
		{"bytes behind its end", packet(v3, "user\x00ann\x00\x00x"), 0, ErrStartup},
		{"a length below the least", []byte{0, 0, 0, 7, 0, 3, 0, 0}, 0, ErrStartup},
		{"a length of four gigabytes", []byte{255, 255, 255, 255, 0, 3, 0, 0}, 0, ErrStartup},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), 0, ErrStartup},
		{"a packet cut in its head", []byte{0, 0, 0}, 0, io.ErrUnexpectedEOF},
		{"a packet cut in its body", packet(v3, "user\x00ann\x00\x00")[:12], 0, io.ErrUnexpectedEOF},
		{"nothing", nil, 0, io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadStartup(iotest.OneByteReader(bytes.NewReader(test.packet)))
			if !errors.Is(err, test.fails) {
				t.Fatalf("ReadStartup(%q) failed with %v, want %v", test.packet, err, test.fails)
			}
			if err == nil && (got.Kind != test.kind || !bytes.Equal(got.Packet, test.packet)) {
				t.Errorf("ReadStartup(%q) = %+v, want kind %d and the packet as it was", test.packet, got, test.kind)
			}
		})
	}
}

func TestDatabaseIsTheUserWhereNoneIsNamed(t *testing.T) {
	s, err := ReadStartup(bytes.NewReader(packet(v3, "user\x00ann\x00\x00")))
	if err != nil || s.Database() != "ann" {
		t.Errorf("database = %q, %v; want ann", s.Database(), err)
	}
}

func TestReadStartupReadsNothingBeyond(t *testing.T) {
	r := bytes.NewReader(append(packet(codeSSL, ""), "rest"...))
	if _, err := ReadStartup(r); err != nil || r.Len() != 4 {
		t.Errorf("%d bytes are left, %v; want 4", r.Len(), err)
	}
}

func TestReaderShowsEveryByteOnce(t *testing.T) {
	want := make([]byte, 300<<10)
	for i := range want {
		want[i] = byte(i * 7)
	}
	ours, theirs := connection(t)
	go func() {
		_, _ = theirs.Write(want) // what is missing shows in the reader
		theirs.Close()
	}()
	for name, src := range map[string]io.Reader{
		"of a connection": ours,
		"as it comes":     bytes.NewReader(want), "in halves": iotest.HalfReader(bytes.NewReader(want)), "with the error at once": iotest.DataErrReader(bytes.NewReader(want)),
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(src, 256<<10)
			defer r.Release()
			var got []byte
			for keep := 1; ; keep = keep*5%70001 + 1 {
				err := r.More()
				if errors.Is(err, ErrWindowFull) || err == nil && len(r.Window()) < keep {
					if err == nil {
						continue
					}
				} else if err != nil {
					got = append(got, r.Window()...)
					break
				}
				n := len(r.Window())
				got = append(got, r.Window()[:n]...)
				r.Advance(n)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("read %d bytes that are not the %d sent", len(got), len(want))
			}
		})
	}
}

// connection returns both ends of a TCP connection.
func connection(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if theirs, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	if ours, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	return ours, theirs
}

func TestReaderOfAConnectionHoldsNothingWhileItWaits(t *testing.T) {
	ours, theirs := connection(t)
	r := NewReader(ours, 256<<10)
	for _, size := range []int{1, smallBuffer, 3 * smallBuffer, 100 << 10} {
		sent := bytes.Repeat([]byte{byte(size)}, size)
		go func() { _, _ = theirs.Write(sent) }() // what is missing shows in the reader
		for len(r.Window()) < size {
			if err := r.More(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(r.Window(), sent) {
			t.Fatalf("%d bytes came that were not sent", len(r.Window()))
		}
		r.Advance(size)
		if err := ours.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := r.More(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v, want the deadline's error", err)
		}
		if r.buf != nil || r.pooled != nil {
			t.Errorf("holds %d bytes behind a message of %d", len(r.buf), size)
		}
		if err := ours.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	theirs.Close()
	if err := r.More(); !errors.Is(err, io.EOF) || len(r.Window()) != 0 {
		t.Errorf("got %v with %d bytes at the end, want EOF", err, len(r.Window()))
	}
	ours.Close()
	if err := r.More(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v of a closed connection", err)
	}
	if err := NewReader(ours, 256<<10).More(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v of a connection that was closed before", err)
	}
}

func TestReaderOfAConnectionAllocatesNothing(t *testing.T) {
	ours, theirs := connection(t)
	r := NewReader(ours, 256<<10)
	message := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := theirs.Write(message); err != nil {
			t.Fatal(err)
		}
		if err := r.More(); err != nil {
			t.Fatal(err)
		}
		r.Advance(len(r.Window()))
	}); n != 0 {
		t.Errorf("reading allocates %v times, want 0", n)
	}
}

func TestReaderStopsAtItsBound(t *testing.T) {
	r := NewReader(bytes.NewReader(make([]byte, 1<<20)), 128<<10)
	defer r.Release()
	for {
		if err := r.More(); err != nil {
			if !errors.Is(err, ErrWindowFull) || len(r.Window()) != 128<<10 {
				t.Errorf("stopped with %v at %d bytes, want %v at %d", err, len(r.Window()), ErrWindowFull, 128<<10)
			}
			return
		}
	}
}

func TestHeader(t *testing.T) {
	for _, test := range []struct {
		name   string
		window []byte
		size   int
		ok     bool
		fails  bool
	}{
		{"is not whole", []byte{'Q', 0, 0, 0}, 0, false, false},
		{"of an empty body", []byte{'S', 0, 0, 0, 4}, 5, true, false},
		{"of the largest message", []byte{'d', 0x3f, 0xff, 0xff, 0xff}, 1 << 30, true, false},
		{"with a length below four", []byte{'Q', 0, 0, 0, 3}, 0, false, true},
		{"with a length over a gibibyte", []byte{'Q', 0x40, 0, 0, 0}, 0, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, size, ok, err := Header(test.window)
			if size != test.size || ok != test.ok || (err != nil) != test.fails {
				t.Errorf("Header(%v) = %d, %v, %v; want %d, %v, failing %v", test.window, size, ok, err, test.size, test.ok, test.fails)
			}
		})
	}
}

func TestFatalIsAnErrorResponse(t *testing.T) {
	e := &Error{Code: CodeConnectionFailure, Message: "no \x00upstream", Hint: "wait"}
	var got pgproto3.ErrorResponse
	if err := got.Decode(e.AppendFatal(nil)[HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	if got.Severity != "FATAL" || got.Code != "08006" || got.Message != "no upstream" || got.Hint != "wait" || got.Detail != "" {
		t.Errorf("decoded %+v", got)
	}
}

func TestParameterStatusIsOne(t *testing.T) {
	var got pgproto3.ParameterStatus
	if err := got.Decode(AppendParameterStatus(nil, "name", []byte("value"))[HeaderSize:]); err != nil || got.Name != "name" || got.Value != "value" {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func FuzzReadStartup(f *testing.F) {
	f.Add(packet(v3, "user\x00ann\x00\x00"))
	f.Add(packet(codeCancel, "12345678"))
	f.Add(packet(codeSSL, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadStartup(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, s.Packet) {
			t.Fatalf("packet %q is not what was read from %q", s.Packet, b)
		}
	})
}
