package engine

import (
	"encoding/binary"
	"errors"
	"math"
)

const (
	// maxTables and maxTableItems bound a module's tables, of which each item takes 8 bytes of the host's memory: the
	// memory cap does not cover them, and wazero alone lets a module of a hundred bytes ask for a gigabyte.
	maxTables     = 8
	maxTableItems = 1 << 17

	tableSection = 4
)

var errCutOff = errors.New("the module is cut off")

// limitTables returns the module with a maximum on each of its tables (WebAssembly Core Specification 2.0, 5.5.7), so
// that table.grow answers -1 there. Only the table section differs; whether the rest is a module at all is the
// compiler's to say.
func limitTables(wasm []byte) ([]byte, error) {
	const header = 8
	if len(wasm) < header {
		return wasm, nil
	}
	out := append(make([]byte, 0, len(wasm)+maxTables*binary.MaxVarintLen32), wasm[:header]...)
	for rest := wasm[header:]; len(rest) > 0; {
		id := rest[0]
		size, n, err := unsigned(rest[1:])
		if err != nil {
			return nil, err
		}
		start := 1 + n
		if uint64(size) > uint64(len(rest)-start) {
			return nil, errCutOff
		}
		end := start + int(size)
		if id != tableSection {
			out = append(out, rest[:end]...)
		} else {
			body, err := limitedTables(rest[start:end])
			if err != nil {
				return nil, err
			}
			out = append(out, id)
			out = binary.AppendUvarint(out, uint64(len(body)))
			out = append(out, body...)
		}
		rest = rest[end:]
	}
	return out, nil
}

// limitedTables rewrites the body of a table section.
func limitedTables(body []byte) ([]byte, error) {
	count, n, err := unsigned(body)
	if err != nil {
		return nil, err
	}
	if count > maxTables {
		return nil, refused("module has %d tables, at most %d are allowed", count, maxTables)
	}
	out := append([]byte(nil), body[:n]...)
	body = body[n:]
	for range count {
		if len(body) < 2 {
			return nil, errCutOff
		}
		kind, flag := body[0], body[1]
		if kind != 0x70 && kind != 0x6f || flag > 1 {
			return nil, refused("module has a table of a kind that is not supported")
		}
		body = body[2:]
		least, n, err := unsigned(body)
		if err != nil {
			return nil, err
		}
		body = body[n:]
		most := uint32(maxTableItems)
		if flag == 1 {
			declared, n, err := unsigned(body)
			if err != nil {
				return nil, err
			}
			body = body[n:]
			if declared < least {
				return nil, refused("module has a table of at least %d and at most %d items", least, declared)
			}
			most = min(most, declared)
		}
		if least > maxTableItems {
			return nil, refused("module has a table of %d items, at most %d are allowed", least, maxTableItems)
		}
		out = append(out, kind, 1)
		out = binary.AppendUvarint(out, uint64(least))
		out = binary.AppendUvarint(out, uint64(most))
	}
	if len(body) > 0 {
		return nil, refused("module has a table section that is longer than its tables")
	}
	return out, nil
}

// unsigned reads an u32 in LEB128 and returns how many bytes it takes.
func unsigned(b []byte) (value uint32, n int, err error) {
	wide, n := binary.Uvarint(b[:min(len(b), binary.MaxVarintLen32)])
	if n <= 0 {
		return 0, 0, errCutOff
	}
	if wide > math.MaxUint32 {
		return 0, 0, refused("module has a number over 32 bits where a length is")
	}
	return uint32(wide), n, nil
}
