//go:build unix

package wire

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// idle waits for a connection without a buffer to read into: most sessions say nothing most of the time, and what they
// hold meanwhile is what a node's memory goes into.
type idle struct {
	r      *Reader
	conn   syscall.RawConn
	ready  func(fd uintptr) bool // made once: one for each read would be an allocation on the way of a hit
	failed error
}

// newIdle returns nil where the reader's source is no connection of the operating system's.
func newIdle(r *Reader) *idle {
	source, ok := r.src.(syscall.Conn)
	if !ok {
		return nil
	}
	conn, err := source.SyscallConn()
	if err != nil {
		return nil // it is closed: reading says so
	}
	i := &idle{r: r, conn: conn}
	i.ready = i.try
	return i
}

// read reads into the reader's empty window, whose buffer it takes once there is something to read.
func (i *idle) read() error {
	err := i.conn.Read(i.ready)
	if err == nil {
		err = i.failed
	}
	if err != nil {
		i.failed = nil
		i.r.Release()
	}
	return err
}

// try reads what is there. It reports false, and leaves the reader without a buffer, where nothing is.
func (i *idle) try(fd uintptr) bool {
	r := i.r
	r.take(&smallBuffers)
	for {
		n, err := syscall.Read(int(fd), r.buf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			r.Release()
			return false
		case err != nil:
			i.failed = os.NewSyscallError("read", err)
		case n == 0:
			i.failed = io.EOF
		default:
			r.end = n
		}
		return true
	}
}
