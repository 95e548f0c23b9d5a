package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// smallBuffer is what an idle reader holds, in bytes; largeBuffer is the largest that is pooled.
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// ErrWindowFull is returned by [Reader.More] where the window may not grow any further.
var ErrWindowFull = errors.New("window is full")

// LengthError is a message whose length field no peer that follows the protocol sends.
type LengthError struct {
	// Type is the message's type byte; 0 for a startup packet.
	Type byte
	// Length is the length field as it was read.
	Length uint32
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("message of type %q has the invalid length %d", e.Type, e.Length)
}

var largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

// Reader shows the bytes of a connection through a window that its user frames messages in. It is used by one
// goroutine. It never reads more than it has room for, and gives large buffers back while it waits for a peer that
// has nothing to say.
type Reader struct {
	src        io.Reader
	small      []byte
	pooled     *[]byte
	buf        []byte
	start, end int
	max        int
}

// NewReader returns a reader whose window grows up to max bytes.
func NewReader(src io.Reader, max int) *Reader {
	r := &Reader{src: src, small: make([]byte, smallBuffer), max: max}
	r.buf = r.small
	return r
}

// Window returns the unread bytes. They are the reader's: valid until the next call of More.
func (r *Reader) Window() []byte { return r.buf[r.start:r.end] }

// Advance drops the first n bytes of the window.
func (r *Reader) Advance(n int) {
	r.start += n
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
}

// More reads at least one byte more into the window. The bytes that Window returned before are moved. After
// [ErrWindowFull] and after an error of the source the window is as it was.
func (r *Reader) More() error {
	if r.end == 0 {
		r.shrink()
	}
	if r.end == len(r.buf) {
		if err := r.makeRoom(); err != nil {
			return err
		}
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

func (r *Reader) makeRoom() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, r.end-r.start
		if r.end < len(r.buf)/2 {
			return nil
		}
	}
	if len(r.buf) >= r.max {
		if r.end < len(r.buf) {
			return nil
		}
		return ErrWindowFull
	}
	old, oldPooled := r.buf[:r.end], r.pooled
	if len(r.buf) < largeBuffer && r.max >= largeBuffer {
		r.pooled = largeBuffers.Get().(*[]byte)
		r.buf = *r.pooled
	} else {
		r.pooled = nil
		r.buf = make([]byte, min(2*len(r.buf), r.max))
	}
	copy(r.buf, old)
	if oldPooled != nil {
		largeBuffers.Put(oldPooled)
	}
	return nil
}

// shrink goes back to the small buffer; the window is empty.
func (r *Reader) shrink() {
	if len(r.buf) == len(r.small) {
		return
	}
	r.Release()
}

// Release gives a pooled buffer back and drops what the window held. The reader can be used again.
func (r *Reader) Release() {
	if r.pooled != nil {
		largeBuffers.Put(r.pooled)
		r.pooled = nil
	}
	r.buf, r.start, r.end = r.small, 0, 0
}

// Header returns the type and the whole size, header included, of the message that begins at the start of window. It
// reports false where the header is not whole yet.
func Header(window []byte) (kind byte, size int, ok bool, err error) {
	if len(window) < HeaderSize {
		return 0, 0, false, nil
	}
	length := binary.BigEndian.Uint32(window[1:])
	if length < 4 || length > MaxMessage {
		return window[0], 0, false, &LengthError{Type: window[0], Length: length}
	}
	return window[0], int(length) + 1, true, nil
}
