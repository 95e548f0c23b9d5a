package wal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// maxRelations bounds the relations that one transaction is remembered to have touched; one more makes it one that may
// have touched any.
const maxRelations = 256

// Relation names a relation as the catalogs spell it, without quotes.
type Relation struct{ Schema, Name string }

// Change is what transactions have changed that became visible together.
type Change struct {
	// Relations are what rows were changed of, partitions themselves and not what they are part of, without
	// duplicates.
	Relations []Relation
	// Anything is set where a transaction may have changed any relation.
	Anything bool
	// Schema is set where the event trigger has reported a change of the schema.
	Schema bool
	// Empty is set where a transaction has changed no rows: the catalogs, perhaps.
	Empty bool
}

func (c *Change) touch(r Relation) {
	switch {
	case c.Anything || slices.Contains(c.Relations, r):
	case len(c.Relations) == maxRelations:
		c.Anything, c.Relations = true, nil
	default:
		c.Relations = append(c.Relations, r)
	}
}

// Prefixes of logical messages. The event trigger that `perihelion setup-sql` prints emits the first; the home itself
// the second, to have the WAL flushed.
const (
	MessagePrefix = "perihelion"
	flushPrefix   = "perihelion.flush"
)

// errSyntax is returned for what test_decoding does not print.
var errSyntax = errors.New("not a message of test_decoding")

// parser follows the messages of test_decoding, one transaction behind the other. The zero value is outside of one.
type parser struct {
	open    bool
	xid     uint32
	change  Change
	ours    bool   // a message of the home's own was in the transaction
	last    []byte // the last name that was added, as it was printed: rows of one relation come together
	scratch []byte
}

// message takes in one message, of which only the beginning may be there. It returns the transaction that ends with it,
// or nil. The message is borrowed until return.
func (p *parser) message(m []byte) (*transaction, error) {
	verb, rest, _ := bytes.Cut(m, []byte{' '})
	switch string(verb) {
	case "BEGIN":
		xid, err := strconv.ParseUint(string(rest), 10, 32)
		if err != nil || p.open {
			return nil, fmt.Errorf("%w: a transaction begins where none can", errSyntax)
		}
		*p = parser{open: true, xid: uint32(xid), last: p.last[:0], scratch: p.scratch}
		return nil, nil //nolint:nilnil // no transaction ends here
	case "COMMIT":
		xid, err := strconv.ParseUint(string(rest), 10, 32)
		if err != nil || !p.open || uint32(xid) != p.xid {
			return nil, fmt.Errorf("%w: a transaction ends that has not begun", errSyntax)
		}
		p.open = false
		t := &transaction{xid: p.xid, change: p.change}
		t.change.Empty = !t.change.Anything && !t.change.Schema && len(t.change.Relations) == 0 && !p.ours
		p.change = Change{}
		return t, nil
	case "message:":
		// A message outside of a transaction speaks of none.
		if p.open {
			p.logical(rest)
		}
		return nil, nil //nolint:nilnil // no transaction ends here
	}
	if !p.open {
		return nil, fmt.Errorf("%w: a change outside of a transaction", errSyntax)
	}
	if p.change.Anything {
		return nil, nil //nolint:nilnil // no transaction ends here
	}
	if string(verb) != "table" || !p.tables(rest) {
		p.change.Anything, p.change.Relations = true, nil
	}
	return nil, nil //nolint:nilnil // no transaction ends here
}

// logical takes in a logical message: "transactional: 1 prefix: NAME, sz: 5 content:…".
func (p *parser) logical(m []byte) {
	prefix, ok := bytes.CutPrefix(m, []byte("transactional: 1 prefix: "))
	switch {
	case !ok:
	case bytes.HasPrefix(prefix, []byte(MessagePrefix+", sz: ")):
		p.change.Schema = true
	case bytes.HasPrefix(prefix, []byte(flushPrefix+", sz: ")):
		p.ours = true
	}
}

// tables takes in what follows "table ": the names, a colon and what was done to them. It reports false where that is
// not understood.
func (p *parser) tables(m []byte) bool {
	if len(p.last) > 0 && bytes.HasPrefix(m, p.last) {
		return true
	}
	rest := m
	names := 0
	for {
		var schema, name string
		var ok bool
		if schema, rest, ok = p.identifier(rest); !ok || len(rest) == 0 || rest[0] != '.' {
			return false
		}
		if name, rest, ok = p.identifier(rest[1:]); !ok {
			return false
		}
		names++
		p.change.touch(Relation{schema, name})
		switch {
		case bytes.HasPrefix(rest, []byte(", ")):
			rest = rest[2:]
			continue
		case !bytes.HasPrefix(rest, []byte(": ")):
			return false
		}
		break
	}
	rest = rest[2:]
	if bytes.HasPrefix(rest, []byte("TRUNCATE:")) {
		return true
	}
	for _, what := range [...]string{"INSERT:", "UPDATE:", "DELETE:"} {
		if names == 1 && bytes.HasPrefix(rest, []byte(what)) {
			p.last = append(p.last[:0], m[:len(m)-len(rest)]...)
			return true
		}
	}
	return false
}

// identifier reads what quote_identifier prints: a bare word, or anything in double quotes, which are doubled inside.
func (p *parser) identifier(m []byte) (name string, rest []byte, ok bool) {
	if len(m) > 0 && m[0] == '"' {
		text := p.scratch[:0]
		defer func() { p.scratch = text }()
		for m = m[1:]; ; {
			quote := bytes.IndexByte(m, '"')
			if quote < 0 {
				return "", nil, false
			}
			text = append(text, m[:quote]...)
			if m = m[quote+1:]; len(m) == 0 || m[0] != '"' {
				return string(text), m, len(text) > 0
			}
			text, m = append(text, '"'), m[1:]
		}
	}
	n := 0
	for n < len(m) && (m[n] == '_' || m[n] >= 'a' && m[n] <= 'z' || n > 0 && m[n] >= '0' && m[n] <= '9') {
		n++
	}
	return string(m[:n]), m[n:], n > 0
}
