package link

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// keptEvent is an event whose data is its own.
type keptEvent struct{ name, id, data string }

func parseAll(r io.Reader) (events []keptEvent, err error) {
	p := newParser(r)
	for {
		event, err := p.next()
		if err != nil {
			return events, err
		}
		events = append(events, keptEvent{event.name, event.id, string(event.data)})
	}
}

func TestParserReadsWhatTheStandardDefines(t *testing.T) {
	tests := []struct {
		name, text string
		want       []keptEvent
	}{
		{"one event", "event: lease\nid: 4\ndata: {}\n\n", []keptEvent{{"lease", "4", "{}"}}},
		{"an event without a name", "data: x\n\n", []keptEvent{{"", "", "x"}}},
		{"several lines of data", "data: a\ndata:\ndata: b\n\n", []keptEvent{{"", "", "a\n\nb"}}},
		{"an empty datum is an event", "event: e\ndata\n\n", []keptEvent{{"e", "", ""}}},
		{"one blank only is taken off a value", "data:  x \n\n", []keptEvent{{"", "", " x "}}},
		{"comments and unknown fields are nothing", ":\n: hello\nretry: 5\nfoo: bar\ndata: x\n\n", []keptEvent{{"", "", "x"}}},
		{"an event without data is none, its id counts", "id: 7\nevent: a\n\ndata: x\n\n", []keptEvent{{"", "7", "x"}}},
		{"the id stays until another one comes", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []keptEvent{{"", "1", "a"}, {"", "1", "b"}, {"", "", "c"}}},
		{"an id with a NUL is ignored", "id: 1\nid: \x002\ndata: a\n\n", []keptEvent{{"", "1", "a"}}},
		{"CR and CRLF end lines", "event: a\r\ndata: x\r\n\r\nevent: b\rdata: y\r\r", []keptEvent{{"a", "", "x"}, {"b", "", "y"}}},
		{"a byte order mark comes first", "\uFEFFdata: x\n\n", []keptEvent{{"", "", "x"}}},
		{"an event that the end cuts is none", "data: x\n\ndata: y\n", []keptEvent{{"", "", "x"}}},
		{"a line that the end cuts is none", "data: x\n\ndata: y", []keptEvent{{"", "", "x"}}},
		{"nothing", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.text), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.text)),
			} {
				got, err := parseAll(r)
				if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, io.EOF) {
					t.Errorf("%s, %q: got %q, %v; want %q, EOF", how, tt.text, got, err, tt.want)
				}
			}
		})
	}
}

func TestParserBoundsLinesAndEvents(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1000) + "\n"
	tests := []struct{ name, text string }{
		{"a line without an end", "data: " + strings.Repeat("x", maxEventBytes)},
		{"an event without an end", strings.Repeat(line, maxEventBytes/1000+1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := strings.NewReader(tt.text + strings.Repeat("y", maxEventBytes))
			if _, err := newParser(r).next(); !errors.Is(err, errEventTooLarge) {
				t.Errorf("got %v, want errEventTooLarge", err)
			}
			if read := len(tt.text) + maxEventBytes - r.Len(); read > maxEventBytes+maxEventBytes/2 {
				t.Errorf("read %d bytes before it gave up", read)
			}
		})
	}
	big := "data: " + strings.Repeat("x", maxEventBytes-100) + "\n\ndata: y\n\n"
	p := newParser(strings.NewReader(big))
	for range 2 {
		if _, err := p.next(); err != nil {
			t.Fatalf("an event just below the bound: %v", err)
		}
	}
	if cap(p.line) > maxKeptBytes || cap(p.data) > maxKeptBytes {
		t.Errorf("kept %d and %d bytes after a large event, want at most %d", cap(p.line), cap(p.data), maxKeptBytes)
	}
}

// reference is the standard's algorithm over a text that is there as a whole.
func reference(text string) (events []keptEvent) {
	text = strings.TrimPrefix(text, "\uFEFF")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var name, id string
	var data []string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != nil {
				events = append(events, keptEvent{name, id, strings.Join(data, "\n")})
			}
			name, data = "", nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "data":
			data = append(data, value)
		}
	}
	return events
}

func FuzzParser(f *testing.F) {
	f.Add("event: registered\nid: 12\ndata: {\"epoch\":\"e\"}\n\n:\n\nevent: lease\ndata: {}\n\n")
	f.Add("data: a\r\ndata\r\rid: \x00\n\uFEFFdata: b\n\n")
	f.Add("\uFEFF\uFEFFdata: x\n\n")
	f.Add("\r\n\r\ndata:\n\r\n")
	f.Add("data")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 {
			return // larger than this target is about
		}
		want := reference(text)
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
			"with its error": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got, err := parseAll(r)
			if !errors.Is(err, io.EOF) {
				t.Fatalf("%s, %q: %v, want EOF", how, text, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, %q: got %q, want %q", how, text, got, want)
			}
		}
	})
}
