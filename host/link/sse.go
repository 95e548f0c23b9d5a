package link

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxEventBytes bounds a line of the stream, and the data of one event.
const maxEventBytes = 1 << 20

// maxKeptBytes is what the parser keeps of its buffers between events.
const maxKeptBytes = 64 << 10

var errEventTooLarge = errors.New("an event of the stream is larger than allowed")

// serverEvent is one event of a text/event-stream.
type serverEvent struct {
	name string // empty where the stream gave none
	id   string // the last id that the stream gave, in this event or before it
	data []byte // borrowed until the next call of next
}

// parser reads a text/event-stream as the HTML standard defines it. Memory grows as bytes arrive, up to
// maxEventBytes for a line and for an event.
type parser struct {
	r      *bufio.Reader
	line   []byte
	data   []byte
	id     string
	began  bool
	skipLF bool // the line before ended in CR: an LF right behind it belongs to that end
}

func newParser(r io.Reader) *parser { return &parser{r: bufio.NewReaderSize(r, 4096)} }

// next returns the next event that has data. An event that the stream's end cuts is not returned. After an error
// the parser is of no further use.
func (p *parser) next() (serverEvent, error) {
	p.data = kept(p.data)
	var name string
	hasData := false
	for {
		line, err := p.readLine()
		if err != nil {
			return serverEvent{}, err
		}
		if !p.began {
			p.began = true
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(line) == 0 {
			if hasData {
				return serverEvent{name: name, id: p.id, data: p.data}, nil
			}
			name = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				p.id = string(value)
			}
		case "data":
			if len(p.data)+len(value)+1 > maxEventBytes {
				return serverEvent{}, fmt.Errorf("read event: %w (%d bytes)", errEventTooLarge, maxEventBytes)
			}
			if hasData {
				p.data = append(p.data, '\n')
			}
			hasData = true
			p.data = append(p.data, value...)
		}
	}
}

// readLine returns the next line without its end, which is LF, CR or both. It is borrowed until the next call.
func (p *parser) readLine() ([]byte, error) {
	p.line = kept(p.line)
	for {
		if _, err := p.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := p.r.Peek(p.r.Buffered()) // no error: this much is there
		if p.skipLF {
			p.skipLF = false
			if chunk[0] == '\n' {
				p.discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if len(p.line)+len(part) > maxEventBytes {
			return nil, fmt.Errorf("read line: %w (%d bytes)", errEventTooLarge, maxEventBytes)
		}
		p.line = append(p.line, part...)
		if end < 0 {
			p.discard(len(chunk))
			continue
		}
		p.skipLF = chunk[end] == '\r'
		p.discard(end + 1)
		return p.line, nil
	}
}

// discard drops n bytes that are buffered, which cannot fail.
func (p *parser) discard(n int) { _, _ = p.r.Discard(n) }

func kept(buf []byte) []byte {
	if cap(buf) > maxKeptBytes {
		return nil
	}
	return buf[:0]
}
