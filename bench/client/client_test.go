package client

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// scripted is a connection whose other side answers each request with the next of its answers, in pieces of one byte
// where torn is set.
type scripted struct {
	net.Conn
	answers [][]byte
	torn    bool
	pending io.Reader
	sent    []byte
}

func (s *scripted) Write(request []byte) (int, error) {
	s.sent = append(s.sent[:0], request...)
	s.pending = bytes.NewReader(s.answers[0])
	if s.torn {
		s.pending = iotest.OneByteReader(s.pending)
	}
	return len(request), nil
}

func (s *scripted) Read(p []byte) (int, error) { return s.pending.Read(p) }

func answer(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

var (
	ready     = message(nil, 'Z', []byte{'I'})
	complete  = message(nil, 'C', []byte("SELECT 1\x00"))
	described = message(nil, 'T', make([]byte, 30))
	refused   = message(nil, 'E', []byte("SERROR\x00C42P01\x00Mno such table\x00\x00"))
)

func TestAnAnswerIsReadToItsEndAndCompared(t *testing.T) {
	long := strings.Repeat("x", 3*firstBuffer)
	tests := map[string]struct {
		answer []byte
		want   string
		says   string // in the error; "" for none
	}{
		"the row wanted":                 {answer(described, Row("42"), complete, ready), "42", ""},
		"a row larger than the buffer":   {answer(described, Row(long), complete, ready), long, ""},
		"another row":                    {answer(described, Row("43"), complete, ready), "42", "wrong answer"},
		"no row":                         {answer(described, complete, ready), "42", "0 rows"},
		"two rows":                       {answer(described, Row("42"), Row("42"), complete, ready), "42", "2 rows"},
		"an error":                       {answer(refused, ready), "42", "42P01"},
		"an error that ends the session": {refused, "42", "42P01"},
		"an end in the middle":           {answer(described, Row("42")), "42", "EOF"},
		"something behind the answer":    {answer(Row("42"), ready, complete), "42", "behind"},
		"a length that cannot be":        {[]byte{'D', 0, 0, 0, 1}, "42", "a message of 2 bytes"},
	}
	for name, test := range tests {
		for _, torn := range []bool{false, true} {
			if torn && name == "something behind the answer" {
				continue // it stays unread
			}
			t.Run(name, func(t *testing.T) {
				c := &Conn{conn: &scripted{answers: [][]byte{test.answer}, torn: torn}, buffer: make([]byte, firstBuffer)}
				err := c.Query(Simple("SELECT 42"), Row(test.want))
				if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Errorf("torn %v: got %v, want %q", torn, err, test.says)
				}
			})
		}
	}
}

func TestAnErrorKeepsItsState(t *testing.T) {
	c := &Conn{conn: &scripted{answers: [][]byte{answer(refused, ready)}}, buffer: make([]byte, firstBuffer)}
	var failed *ServerError
	if err := c.Exec("SELECT"); !errors.As(err, &failed) || failed.SQLState != "42P01" || failed.Message != "no such table" {
		t.Errorf("got %v", err)
	}
}

func TestAQueryAllocatesNothing(t *testing.T) {
	c := &Conn{conn: &endless{answer: answer(described, Row("42"), complete, ready)}, buffer: make([]byte, firstBuffer)}
	request, want := Prepared("s", "42"), Row("42")
	if got := testing.AllocsPerRun(100, func() {
		if err := c.Query(request, want); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// endless answers every request alike.
type endless struct {
	net.Conn
	answer []byte
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }
func (e *endless) Read(p []byte) (int, error)  { return copy(p, e.answer), nil }

func TestRequestsAreThoseOfTheProtocol(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"simple": {string(Simple("SELECT 1")), "Q\x00\x00\x00\x0dSELECT 1\x00"},
		"prepared": {
			string(Prepared("s", "42")),
			"B\x00\x00\x00\x13\x00s\x00\x00\x00\x00\x01\x00\x00\x00\x0242\x00\x00" + "D\x00\x00\x00\x06P\x00" +
				"E\x00\x00\x00\x09\x00\x00\x00\x00\x00" + "S\x00\x00\x00\x04",
		},
		"row": {string(Row("42")), "D\x00\x00\x00\x0c\x00\x01\x00\x00\x00\x0242"},
	}
	for name, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", name, test.got, test.want)
		}
	}
}
