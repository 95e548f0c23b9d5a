package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// smallBuffer is what a reader begins a window with, in bytes; largeBuffer is the largest that is pooled.
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

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// Reader shows the bytes of a connection through a window that its user frames messages in. It is used by one
// goroutine. It never reads more than it has room for. While it waits for a peer that has nothing to say, and its window
// is empty, it holds no buffer where src is a connection of the operating system's, and a small one elsewhere.
type Reader struct {
	src io.Reader
	// idle waits for src without a buffer; nil where that cannot be done.
	idle       *idle
	pooled     *[]byte // what buf is of, where it goes back to its pool
	buf        []byte
	start, end int
	max        int
}

// NewReader returns a reader whose window grows up to max bytes.
func NewReader(src io.Reader, max int) *Reader {
	r := &Reader{src: src, max: max}
	r.idle = newIdle(r)
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
		r.Release()
		if r.idle != nil {
			return r.idle.read()
		}
		r.take(&smallBuffers)
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
		r.take(&largeBuffers)
	} else {
		r.pooled = nil
		r.buf = make([]byte, min(2*len(r.buf), r.max))
	}
	copy(r.buf, old)
	giveBack(oldPooled)
	return nil
}

// take makes a pool's buffer the reader's.
func (r *Reader) take(pool *sync.Pool) {
	r.pooled = pool.Get().(*[]byte)
	r.buf = *r.pooled
}

func giveBack(pooled *[]byte) {
	switch {
	case pooled == nil:
	case len(*pooled) == smallBuffer:
		smallBuffers.Put(pooled)
	default:
		largeBuffers.Put(pooled)
	}
}

// Release gives the buffer back and drops what the window held. The reader can be used again.
func (r *Reader) Release() {
	giveBack(r.pooled)
	r.pooled, r.buf, r.start, r.end = nil, nil, 0, 0
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
