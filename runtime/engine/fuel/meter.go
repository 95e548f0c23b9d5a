package fuel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Export is the name that a metered module exports its fuel under: a mutable i64 global. A call of an export traps
// once it is below zero; it is to be set before each call, since it is not given back.
const Export = "perihelion.fuel"

// Bounds of a module, since compilers make room for as many items as a module says that it has, or for far more than
// its bytes. They are several times what a large Go program needs.
const (
	maxTypes        = 1 << 14
	maxValues       = 128 // parameters, or results, of one type
	maxImports      = 1 << 10
	maxFunctions    = 1 << 17
	maxGlobals      = 1 << 14
	maxExports      = 1 << 14
	maxSegments     = 1 << 17
	maxElements     = 1 << 18 // in all segments
	maxModuleLocals = 1 << 21 // in all functions
)

// Sections (WebAssembly Core Specification 2.0, 5.5.2).
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

// rank is the place of a section among the others; 0: it has none.
func rank(id byte) int {
	switch {
	case id >= sectionType && id <= sectionElement:
		return int(id)
	case id == sectionDataCount:
		return 10
	case id == sectionCode:
		return 11
	case id == sectionData:
		return 12
	default:
		return 0
	}
}

// Meter returns a module with its steps counted. Its fuel is initial where a start function runs. An error says why it
// is refused. Custom sections, which run nothing, are left out. The module that comes in is not changed.
//
// Whether the module is valid remains to be found out: the one that comes out is if the one that came in was.
func Meter(module []byte, initial int64) ([]byte, error) {
	if len(module) < 8 || string(module[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("this is no WebAssembly module of version 1")
	}
	m := &meter{reader: reader{module, 8, len(module)}, initial: initial}
	m.out = append(make([]byte, 0, len(module)+len(module)/4), module[:8]...)
	return m.run()
}

// meter rewrites one module.
type meter struct {
	reader
	initial int64
	out     []byte
	section []byte // what the section at hand becomes
	// globals are those of the module; the fuel is the one behind, and the next holds a length for a moment.
	globals uint32
	body    body
	locals  int
	// globalsDone and exportsDone say that the sections were written.
	globalsDone, exportsDone bool
	functions                uint32
}

func (m *meter) run() ([]byte, error) {
	last := 0
	for m.left() > 0 {
		id, err := m.byte()
		if err != nil {
			return nil, err
		}
		size, err := m.u32()
		if err != nil {
			return nil, err
		}
		part, err := m.part(size)
		if err != nil {
			return nil, err
		}
		if id == sectionCustom {
			continue
		}
		at := rank(id)
		switch {
		case at == 0:
			return nil, fmt.Errorf("section %d is of no kind that is supported", id)
		case at <= last:
			return nil, fmt.Errorf("section %d is not in its place", id)
		}
		last = at
		m.addMissing(at)
		if err := m.rewrite(id, &part); err != nil {
			return nil, err
		}
		if part.left() > 0 {
			return nil, fmt.Errorf("section %d is longer than what is in it", id)
		}
	}
	m.addMissing(rank(sectionData) + 1)
	return m.out, nil
}

// addMissing writes the sections that the module does not have and that come before a place.
func (m *meter) addMissing(before int) {
	if !m.globalsDone && before > rank(sectionGlobal) {
		m.section = binary.AppendUvarint(m.section[:0], 2)
		m.writeGlobals()
	}
	if !m.exportsDone && before > rank(sectionExport) {
		m.section = binary.AppendUvarint(m.section[:0], 1)
		m.writeExports()
	}
}

func (m *meter) write(id byte) {
	m.out = append(m.out, id)
	m.out = binary.AppendUvarint(m.out, uint64(len(m.section)))
	m.out = append(m.out, m.section...)
}

// writeGlobals writes the globals in m.section, and what is added to them.
func (m *meter) writeGlobals() {
	m.globalsDone = true
	m.section = append(m.section, typeI64, 1, 0x42) // mutable; i64.const
	m.section = appendSigned(m.section, m.initial)
	m.section = append(m.section, 0x0b)
	m.section = append(m.section, typeI32, 1, 0x41, 0, 0x0b)
	m.write(sectionGlobal)
}

// writeExports writes the exports in m.section, and what is added to them.
func (m *meter) writeExports() {
	m.exportsDone = true
	m.section = binary.AppendUvarint(m.section, uint64(len(Export)))
	m.section = append(append(m.section, Export...), 3)
	m.section = binary.AppendUvarint(m.section, uint64(m.globals))
	m.write(sectionExport)
}

// rewrite writes a section.
func (m *meter) rewrite(id byte, r *reader) error {
	switch id {
	case sectionCode:
		return m.code(r)
	case sectionGlobal, sectionExport:
		count, err := r.count(map[byte]uint32{sectionGlobal: maxGlobals, sectionExport: maxExports}[id])
		if err != nil {
			return fmt.Errorf("section %d: %w", id, err)
		}
		start := r.at
		if id == sectionGlobal {
			if err := readGlobals(r, count); err != nil {
				return err
			}
			m.globals = count
			m.section = append(binary.AppendUvarint(m.section[:0], uint64(count)+2), r.module[start:r.at]...)
			m.writeGlobals()
			return nil
		}
		if err := m.readExports(r, count); err != nil {
			return err
		}
		m.section = append(binary.AppendUvarint(m.section[:0], uint64(count)+1), r.module[start:r.at]...)
		m.writeExports()
		return nil
	}
	start := r.at
	var err error
	switch id {
	case sectionType:
		err = readTypes(r)
	case sectionImport:
		err = readImports(r)
	case sectionFunction:
		err = m.readFunctions(r)
	case sectionTable:
		err = readTables(r)
	case sectionMemory:
		err = readMemories(r)
	case sectionElement:
		err = readElements(r)
	case sectionData:
		err = readData(r)
	default: // the start function's number, and how many segments of data there are
		_, err = r.u32()
	}
	if err != nil {
		return fmt.Errorf("section %d: %w", id, err)
	}
	m.section = append(m.section[:0], r.module[start:r.at]...)
	m.write(id)
	return nil
}

// code rewrites the functions' bodies.
func (m *meter) code(r *reader) error {
	count, err := r.count(maxFunctions)
	if err != nil {
		return fmt.Errorf("section %d: %w", sectionCode, err)
	}
	if count != m.functions {
		return fmt.Errorf("%d functions are declared and %d have a body", m.functions, count)
	}
	m.section = binary.AppendUvarint(m.section[:0], uint64(count))
	var metered []byte
	for range count {
		size, err := r.u32()
		if err != nil {
			return err
		}
		if size > maxBody {
			return fmt.Errorf("a function has %d bytes, at most %d are allowed", size, maxBody)
		}
		part, err := r.part(size)
		if err != nil {
			return err
		}
		from := part.at
		if _, err := m.body.read(&part, m.globals, &m.locals); err != nil {
			return err
		}
		if m.locals > maxModuleLocals {
			return fmt.Errorf("the functions have more than %d locals together", maxModuleLocals)
		}
		metered = metered[:0]
		for _, k := range m.body.marks {
			metered = append(metered, r.module[from:k.at]...)
			metered = m.charge(metered, k)
			from = k.at
		}
		metered = append(metered, r.module[from:part.end]...)
		m.section = binary.AppendUvarint(m.section, uint64(len(metered)))
		m.section = append(m.section, metered...)
	}
	m.write(sectionCode)
	return nil
}

// Lengths are charged by these shifts: a step takes about as long as 64 bytes or 8 items of a table. To begin at all
// takes as long as rangeSteps.
const (
	shiftBytes = 6
	shiftItems = 3
	rangeSteps = 8
)

// charge writes the code that lowers the fuel. It leaves the stack as it was.
func (m *meter) charge(to []byte, k mark) []byte {
	fuel, length := uint64(m.globals), uint64(m.globals)+1
	if k.kind != markStep {
		to = binary.AppendUvarint(append(to, 0x24), length) // global.set
	}
	to = binary.AppendUvarint(append(to, 0x23), fuel) // global.get
	if k.kind == markStep {
		to = appendSigned(append(to, 0x42), int64(k.cost)) // i64.const
	} else {
		shift := byte(shiftBytes)
		if k.kind == markItems {
			shift = shiftItems
		}
		to = binary.AppendUvarint(append(to, 0x23), length)
		to = append(to, 0x41, shift, 0x76, 0xad) // i32.const, i32.shr_u, i64.extend_i32_u
		to = append(to, 0x42, rangeSteps, 0x7c)  // i64.const, i64.add
	}
	to = binary.AppendUvarint(append(to, 0x7d, 0x24), fuel) // i64.sub, global.set
	to = binary.AppendUvarint(append(to, 0x23), fuel)
	to = append(to, 0x42, 0, 0x53, 0x04, typeNothing, 0x00, 0x0b) // i64.const 0, i64.lt_s, if, unreachable, end
	if k.kind != markStep {
		to = binary.AppendUvarint(append(to, 0x23), length)
	}
	return to
}

// appendSigned appends a number in signed LEB128.
func appendSigned(to []byte, n int64) []byte {
	for {
		b := byte(n) & 0x7f
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(to, b)
		}
		to = append(to, b|0x80)
	}
}
