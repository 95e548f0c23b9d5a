package engine

import (
	"errors"
	"fmt"
	"strings"
)

// maxReason bounds the text of a failure: a guest that exited may leave a host stack in it.
const maxReason = 512

// ErrClosed is returned by calls of a module that was closed.
var ErrClosed = errors.New("policy module is closed")

// RefusedError is a module that is not loaded, and why.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusedError{Reason: capped(fmt.Sprintf(format, args...), maxReason)}
}

// Failure is a call that did not end as the ABI has it: a trap, an exit, a deadline, or a result other than 0. The
// instance that it happened in is gone.
type Failure struct {
	// Hook is the export that was called.
	Hook string
	// Reason says what happened; at most 512 bytes.
	Reason string
}

func (e *Failure) Error() string { return e.Hook + ": " + e.Reason }

func failure(hook, format string, args ...any) error {
	return &Failure{Hook: hook, Reason: capped(fmt.Sprintf(format, args...), maxReason)}
}

// capped returns the first line of text, printable, in at most n bytes.
func capped(text string, n int) string {
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return printable(text, n)
}

// printable returns text with what does not print replaced, in at most n bytes.
func printable(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	for len(text) > n {
		cut := n
		for cut > 0 && text[cut]&0xc0 == 0x80 {
			cut--
		}
		text = text[:cut]
	}
	return text
}
