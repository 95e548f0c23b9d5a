package fuel

import (
	"errors"
	"fmt"
)

// count reads how many items follow, each of which takes a byte at least.
func (r *reader) count(most uint32) (uint32, error) {
	n, err := r.u32()
	switch {
	case err != nil:
		return 0, err
	case n > most:
		return 0, fmt.Errorf("%d items, at most %d are allowed", n, most)
	case int64(n) > int64(r.left()):
		return 0, errCutOff
	}
	return n, nil
}

func readTypes(r *reader) error {
	n, err := r.count(maxTypes)
	if err != nil {
		return err
	}
	for range n {
		form, err := r.byte()
		if err != nil {
			return err
		}
		if form != 0x60 {
			return fmt.Errorf("offset %d: 0x%02x is no form of types that is supported", r.at-1, form)
		}
		for range 2 {
			if err := r.valueTypes(maxValues); err != nil {
				return err
			}
		}
	}
	return nil
}

// readImports refuses all imports but functions: what else a module imports, such as a global, could be another's.
func readImports(r *reader) error {
	n, err := r.count(maxImports)
	if err != nil {
		return err
	}
	for range n {
		module, err := r.name()
		if err != nil {
			return err
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		kind, err := r.byte()
		if err != nil {
			return err
		}
		what := "something of a kind that is not supported"
		switch kind {
		case 0:
			if _, err := r.u32(); err != nil {
				return err
			}
			continue
		case 1:
			what = "a table"
		case 2:
			what = "a memory"
		case 3:
			what = "a global"
		}
		return fmt.Errorf("%.64q.%.64q is %s; only functions may be imported", module, name, what)
	}
	return nil
}

func (m *meter) readFunctions(r *reader) error {
	n, err := r.count(maxFunctions)
	if err != nil {
		return err
	}
	m.functions = n
	for range n {
		if _, err := r.u32(); err != nil {
			return err
		}
	}
	return nil
}

// limits reads a size that is at least and perhaps at most so many. Flags beyond that are of shared or 64-bit memory.
func (r *reader) limits() error {
	flags, err := r.byte()
	if err != nil {
		return err
	}
	if flags > 1 {
		return errors.New("shared and 64-bit memory is not supported")
	}
	for range int(flags) + 1 {
		if _, err := r.u32(); err != nil {
			return err
		}
	}
	return nil
}

func readTables(r *reader) error {
	n, err := r.count(maxSegments)
	if err != nil {
		return err
	}
	for range n {
		if err := r.referenceType(); err != nil {
			return err
		}
		if err := r.limits(); err != nil {
			return err
		}
	}
	return nil
}

func readMemories(r *reader) error {
	n, err := r.count(1)
	if err != nil {
		return err
	}
	for range n {
		if err := r.limits(); err != nil {
			return err
		}
	}
	return nil
}

func readGlobals(r *reader, n uint32) error {
	for range n {
		if err := r.valueType(); err != nil {
			return err
		}
		mutable, err := r.byte()
		if err != nil {
			return err
		}
		if mutable > 1 {
			return fmt.Errorf("offset %d: 0x%02x says neither that a global is mutable nor that it is not", r.at-1, mutable)
		}
		if err := r.constant(); err != nil {
			return err
		}
	}
	return nil
}

// readExports refuses the export of what is added, and a name that is taken for it.
func (m *meter) readExports(r *reader, n uint32) error {
	for range n {
		name, err := r.name()
		if err != nil {
			return err
		}
		if string(name) == Export {
			return fmt.Errorf("the name %q, which the host needs, is exported", Export)
		}
		kind, err := r.byte()
		if err != nil {
			return err
		}
		index, err := r.u32()
		if err != nil {
			return err
		}
		if kind > 3 {
			return fmt.Errorf("%.64q is exported and of a kind that is not supported", name)
		}
		if kind == 3 && index >= m.globals {
			return fmt.Errorf("%.64q is exported, but global %d does not exist", name, index)
		}
	}
	return nil
}

// constant reads an expression that is constant. Only imported globals could be named in it, and there are none.
func (r *reader) constant() error {
	for {
		opcode, err := r.byte()
		if err != nil {
			return err
		}
		switch opcode {
		case 0x0b:
			return nil
		case 0x41:
			err = r.signed(32)
		case 0x42:
			err = r.signed(64)
		case 0x43:
			err = r.skip(4)
		case 0x44:
			err = r.skip(8)
		case 0xd0:
			err = r.referenceType()
		case 0xd2:
			_, err = r.u32()
		default:
			err = fmt.Errorf("offset %d: 0x%02x is no constant that is supported", r.at-1, opcode)
		}
		if err != nil {
			return err
		}
	}
}

func readElements(r *reader) error {
	n, err := r.count(maxSegments)
	if err != nil {
		return err
	}
	items := uint32(0)
	for range n {
		one, err := readElement(r)
		if err != nil {
			return err
		}
		if items += one; items > maxElements {
			return fmt.Errorf("segments of more than %d elements together", maxElements)
		}
	}
	return nil
}

// readElement reads one segment, and returns how many elements it has. The bits of its flags say: 1, it is not active;
// 2, it names its table, or is only declared; 4, its elements are expressions.
func readElement(r *reader) (items uint32, err error) {
	flags, err := r.u32()
	if err != nil {
		return 0, err
	}
	if flags > 7 {
		return 0, fmt.Errorf("offset %d: %d is no kind of segments that is supported", r.at, flags)
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			if _, err := r.u32(); err != nil {
				return 0, err
			}
		}
		if err := r.constant(); err != nil {
			return 0, err
		}
	}
	expressions := flags&4 != 0
	if flags&3 != 0 {
		if expressions {
			err = r.referenceType()
		} else {
			err = r.zero()
		}
		if err != nil {
			return 0, err
		}
	}
	if items, err = r.count(maxElements); err != nil {
		return 0, err
	}
	for range items {
		if expressions {
			err = r.constant()
		} else {
			_, err = r.u32()
		}
		if err != nil {
			return 0, err
		}
	}
	return items, nil
}

func readData(r *reader) error {
	n, err := r.count(maxSegments)
	if err != nil {
		return err
	}
	for range n {
		flags, err := r.u32()
		if err != nil {
			return err
		}
		if flags > 2 {
			return fmt.Errorf("offset %d: %d is no kind of data that is supported", r.at, flags)
		}
		if flags == 2 {
			if err := r.zero(); err != nil {
				return err
			}
		}
		if flags != 1 {
			if err := r.constant(); err != nil {
				return err
			}
		}
		if _, err := r.name(); err != nil {
			return err
		}
	}
	return nil
}
