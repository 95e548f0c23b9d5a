package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/jackc/pglogrepl"
)

func lsn(at uint64) pglogrepl.LSN { return pglogrepl.LSN(at) }

func message(kind byte, body []byte) []byte {
	m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(m, body...)
}

// stream returns messages, and what is left of them once they are clipped.
func stream() (whole, clipped []byte) {
	for _, one := range []struct {
		kind byte
		size int
	}{{'R', 4}, {'d', 0}, {'d', 100}, {'d', maxKept}, {'d', maxKept + 1}, {'T', 3 * maxKept}, {'d', 5 * clipBuffer}, {'Z', 1}} {
		body := bytes.Repeat([]byte{byte('a' + one.size%17)}, one.size)
		whole = append(whole, message(one.kind, body)...)
		if one.kind == copyData {
			body = body[:min(len(body), maxKept)]
		}
		clipped = append(clipped, message(one.kind, body)...)
	}
	return whole, clipped
}

func TestClipperShortensLongCopiesOnly(t *testing.T) {
	whole, want := stream()
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "in halves": iotest.HalfReader,
		"with the end in the last read": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := io.ReadAll(newClipper(wrap(bytes.NewReader(whole))))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
			}
			got, err = io.ReadAll(iotest.OneByteReader(newClipper(wrap(bytes.NewReader(whole)))))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("taken byte by byte: got %d bytes and %v, want %d", len(got), err, len(want))
			}
		})
	}
}

// hesitant times out before each of its bytes.
type hesitant struct {
	io.Reader
	ready bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.ready = !h.ready; h.ready {
		return 0, os.ErrDeadlineExceeded
	}
	return h.Reader.Read(p[:1])
}

func TestClipperGoesOnAfterATimeout(t *testing.T) {
	whole, want := stream()
	c := newClipper(&hesitant{Reader: bytes.NewReader(whole)})
	var got []byte
	room := make([]byte, 1000)
	for {
		n, err := c.Read(room)
		got = append(got, room[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestClipperPassesOnALengthThatIsNone(t *testing.T) {
	bad := []byte{'d', 0, 0, 0, 3, 'x'}
	got, err := io.ReadAll(newClipper(bytes.NewReader(bad)))
	if err != nil || !bytes.HasPrefix(got, bad[:5]) {
		t.Errorf("got %q and %v", got, err)
	}
}
