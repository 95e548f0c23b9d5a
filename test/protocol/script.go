package protocol

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// script is one section of a file.
type script struct {
	name    string
	setup   []string
	hits    int // -1: not asserted
	startup []string
	packet  []byte
	steps   []step
}

// step is what is sent, and what is waited for then.
type step struct {
	line int
	send []byte
	wait string // message types in their order, or "eof"
	// other is run on the second connection instead.
	other string
}

// read parses a file of scripts.
func read(path string) ([]*script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read scripts: %w", err)
	}
	var all []*script
	var now *script
	var pending []byte
	last := 0
	flush := func() {
		if now != nil && (len(pending) > 0 || len(now.steps) == 0) {
			now.steps = append(now.steps, step{line: last, send: pending, wait: "Z"})
			pending = nil
		}
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		fail := func(err error) error { return fmt.Errorf("%s:%d: %s: %w", path, i+1, line, err) }
		if now == nil && line != "" && word != "==" && word[0] != '#' {
			return nil, fail(fmt.Errorf("stands before the first script"))
		}
		last = i + 1
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case word == "==":
			flush()
			now = &script{name: rest, hits: -1}
			all = append(all, now)
		case word == "setup":
			now.setup = append(now.setup, rest)
		case word == "hits":
			if now.hits, err = strconv.Atoi(rest); err != nil {
				return nil, fail(err)
			}
		case word == "startup":
			now.startup = strings.Fields(rest)
		case word == "packet":
			if now.packet, err = hex.DecodeString(strings.ReplaceAll(rest, " ", "")); err != nil {
				return nil, fail(err)
			}
		case word == "wait":
			now.steps = append(now.steps, step{line: i + 1, send: pending, wait: rest})
			pending = nil
		case word == "other":
			if len(pending) > 0 {
				return nil, fail(fmt.Errorf("stands behind messages that are not waited for"))
			}
			now.steps = append(now.steps, step{line: i + 1, other: rest})
		default:
			if pending, err = appendMessage(pending, word, rest); err != nil {
				return nil, fail(err)
			}
		}
	}
	flush()
	return all, nil
}

// arguments are what follows a message's name.
type arguments struct {
	rest string
	err  error
}

func (a *arguments) word() string {
	word, rest, _ := strings.Cut(strings.TrimSpace(a.rest), " ")
	a.rest = rest
	return word
}

func (a *arguments) more() bool { return strings.TrimSpace(a.rest) != "" }

func (a *arguments) text() string {
	a.rest = strings.TrimSpace(a.rest)
	quoted, err := strconv.QuotedPrefix(a.rest)
	if err != nil {
		a.err = fmt.Errorf("want a quoted string: %w", err)
		return ""
	}
	a.rest = a.rest[len(quoted):]
	text, err := strconv.Unquote(quoted)
	if err != nil {
		a.err = err
	}
	return text
}

func (a *arguments) number() int {
	n, err := strconv.Atoi(a.word())
	if err != nil {
		a.err = err
	}
	return n
}

func cstring(text string) []byte { return append([]byte(text), 0) }

func uint16s(values ...int) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func uint32s(values ...int) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// appendMessage appends one message in its readable form:
//
//	Query "SQL"                          Parse "NAME" "SQL" [OID …]
//	Bind "PORTAL" "NAME" [VALUE …] [-> FORMAT …]   a VALUE is "text", x"hex" (binary) or null; a FORMAT is 0 or 1
//	Describe S|P "NAME"                  Close S|P "NAME"
//	Execute "PORTAL" MAXROWS             Sync   Flush   Terminate
//	CopyData "DATA"   CopyDone   CopyFail "REASON"
//	Call OID [VALUE …]                   a FunctionCall with a text result
//	Many N                               a Bind of the unnamed statement with N text values of "1"
func appendMessage(dst []byte, name, rest string) ([]byte, error) {
	a := &arguments{rest: rest}
	var kind byte
	var body []byte
	switch name {
	case "Query":
		kind, body = 'Q', cstring(a.text())
	case "Parse":
		kind, body = 'P', append(cstring(a.text()), cstring(a.text())...)
		var oids []int
		for a.err == nil && a.more() {
			oids = append(oids, a.number())
		}
		body = append(append(body, uint16s(len(oids))...), uint32s(oids...)...)
	case "Bind":
		kind, body = 'B', append(cstring(a.text()), cstring(a.text())...)
		formats, values := a.values()
		body = append(append(body, uint16s(len(formats))...), uint16s(formats...)...)
		body = append(append(body, uint16s(len(formats))...), values...)
		var results []int
		if a.word() == "->" {
			for a.err == nil && a.more() {
				results = append(results, a.number())
			}
		}
		body = append(append(body, uint16s(len(results))...), uint16s(results...)...)
	case "Many":
		n := a.number()
		kind, body = 'B', append(cstring(""), cstring("")...)
		body = append(append(body, uint16s(0)...), uint16s(n)...)
		for range n {
			body = append(append(body, uint32s(1)...), '1')
		}
		body = append(body, uint16s(0)...)
	case "Describe", "Close":
		kind = name[0]
		body = append([]byte(a.word()), cstring(a.text())...)
	case "Execute":
		kind, body = 'E', cstring(a.text())
		body = append(body, uint32s(a.number())...)
	case "Sync":
		kind = 'S'
	case "Flush":
		kind = 'H'
	case "Terminate":
		kind = 'X'
	case "CopyData":
		kind, body = 'd', []byte(a.text())
	case "CopyDone":
		kind = 'c'
	case "CopyFail":
		kind, body = 'f', cstring(a.text())
	case "Call":
		kind, body = 'F', uint32s(a.number())
		formats, values := a.values()
		body = append(append(body, uint16s(len(formats))...), uint16s(formats...)...)
		body = append(append(append(body, uint16s(len(formats))...), values...), uint16s(0)...)
	case "raw":
		raw, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		return append(dst, raw...), err
	default:
		return dst, fmt.Errorf("no such message")
	}
	if a.err == nil && a.more() {
		a.err = fmt.Errorf("%q is too much", a.rest)
	}
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(body)))
	return append(dst, body...), a.err
}

// values reads values up to "->" or the end, and returns their formats and their encoding.
func (a *arguments) values() (formats []int, encoded []byte) {
	for a.err == nil {
		a.rest = strings.TrimSpace(a.rest)
		switch {
		case a.rest == "" || strings.HasPrefix(a.rest, "->"):
			return formats, encoded
		case strings.HasPrefix(a.rest, "null"):
			a.word()
			formats, encoded = append(formats, 0), append(encoded, uint32s(-1)...)
		case strings.HasPrefix(a.rest, `x"`):
			a.rest = a.rest[1:]
			value, err := hex.DecodeString(a.text())
			if err != nil {
				a.err = err
			}
			formats, encoded = append(formats, 1), append(append(encoded, uint32s(len(value))...), value...)
		default:
			value := a.text()
			formats, encoded = append(formats, 0), append(append(encoded, uint32s(len(value))...), value...)
		}
	}
	return formats, encoded
}
