package session

import (
	"encoding/binary"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// fill collects one result on its way to the client.
type fill struct {
	key    []byte
	serial uint64
	// stamp and decision are the home's; an edge learns its stamp from facts.
	stamp    invalidation.Version
	decision Decision
	d        *statement.Descriptor

	rowDescription []byte
	body           []byte
	// complete is set once a CommandComplete ended the result; dead where it will not be kept.
	complete, dead bool
	// asked is when the statement was sent.
	asked invalidation.Instant
	// kept is set once the result was stored.
	kept bool
}

// drop gives the bytes back: the result will not be kept.
func (f *fill) drop() {
	if f != nil {
		f.dead, f.body, f.rowDescription = true, nil, nil
	}
}

// add takes in a message of the result. limit bounds what is kept, in bytes; it returns how many were added.
func (f *fill) add(message []byte, limit int) int {
	if f == nil || f.dead {
		return 0
	}
	if f.complete || len(f.body)+len(message)+len(f.rowDescription) > limit {
		f.drop()
		return 0
	}
	f.body = append(f.body, message...)
	return len(message)
}

// appendQueryKey appends the key of a simple query.
func appendQueryKey(dst []byte, prefix *[prefixSize]byte, text []byte) []byte {
	dst = append(dst, prefix[:]...)
	dst = append(dst, wire.Query)
	return statement.StripComments(dst, text)
}

// appendBindKey appends the key of a bound statement.
func appendBindKey(dst []byte, prefix *[prefixSize]byte, part, rest []byte) []byte {
	dst = append(dst, prefix[:]...)
	dst = append(dst, wire.Bind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
	dst = append(dst, part...)
	return append(dst, rest...)
}

// appendStatementKey appends the key of the description of a statement.
func appendStatementKey(dst []byte, prefix *[prefixSize]byte, part []byte) []byte {
	dst = append(dst, prefix[:]...)
	dst = append(dst, wire.Describe)
	return append(dst, part...)
}
