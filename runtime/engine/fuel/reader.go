package fuel

import (
	"errors"
	"fmt"
)

var errCutOff = errors.New("the module is cut off")

// reader walks over a part of a module, at is the place in the whole.
type reader struct {
	module  []byte
	at, end int
}

func (r *reader) left() int { return r.end - r.at }

func (r *reader) byte() (byte, error) {
	if r.at >= r.end {
		return 0, errCutOff
	}
	r.at++
	return r.module[r.at-1], nil
}

func (r *reader) skip(n int) error {
	if n > r.left() {
		return errCutOff
	}
	r.at += n
	return nil
}

// part returns a reader of the next n bytes, and goes on behind them.
func (r *reader) part(n uint32) (reader, error) {
	if uint64(n) > uint64(r.left()) {
		return reader{}, errCutOff
	}
	p := reader{r.module, r.at, r.at + int(n)}
	r.at = p.end
	return p, nil
}

// u32 reads an unsigned number in LEB128 (WebAssembly Core Specification 2.0, 5.2.2).
func (r *reader) u32() (uint32, error) {
	var value uint32
	for shift := 0; ; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && b > 0x0f {
			return 0, fmt.Errorf("offset %d: a number over 32 bits", r.at-1)
		}
		value |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return value, nil
		}
	}
}

// signed reads over a signed number of at most so many bits in LEB128.
func (r *reader) signed(bits int) error {
	for shift := 0; ; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return err
		}
		if left := bits - shift; left <= 7 {
			// In the last byte that there may be, what is left of it repeats the sign.
			sign := int8(b<<1) >> left
			if b >= 0x80 || sign != 0 && sign != -1 {
				return fmt.Errorf("offset %d: a number over %d bits", r.at-1, bits)
			}
			return nil
		}
		if b < 0x80 {
			return nil
		}
	}
}

// zero reads a byte that is reserved.
func (r *reader) zero() error {
	b, err := r.byte()
	if err == nil && b != 0 {
		return fmt.Errorf("offset %d: byte 0x%02x where 0 is reserved", r.at-1, b)
	}
	return err
}

// name reads a name, or any other run of bytes with its length before it.
func (r *reader) name() ([]byte, error) {
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	p, err := r.part(n)
	if err != nil {
		return nil, err
	}
	return p.module[p.at:p.end], nil
}

// Value types.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f
	typeNothing   = 0x40
)

func (r *reader) valueType() error {
	b, err := r.byte()
	if err != nil {
		return err
	}
	return isValueType(b, r.at-1)
}

func isValueType(b byte, at int) error {
	switch b {
	case typeI32, typeI64, typeF32, typeF64, typeFuncref, typeExternref:
		return nil
	case typeV128:
		return errors.New("SIMD is not metered, and so not allowed")
	default:
		return fmt.Errorf("offset %d: 0x%02x is no value type that is supported", at, b)
	}
}

// valueTypes reads a list of at most so many value types.
func (r *reader) valueTypes(most uint32) error {
	n, err := r.u32()
	if err != nil {
		return err
	}
	if n > most {
		return fmt.Errorf("offset %d: %d values where at most %d are allowed", r.at, n, most)
	}
	for range n {
		if err := r.valueType(); err != nil {
			return err
		}
	}
	return nil
}
