package fuel

import (
	"errors"
	"fmt"
)

// Bounds of one function. A compiler makes room for each local, and a few bytes can declare four billion; and it takes
// time that grows with the square of what a function branches: without bounds, fifteen kilobytes of nested loops kept
// it busy for 24 s, and a branch table of a megabyte for minutes. The largest function of a Go program of 3 MB has
// 29 KB, 550 blocks in each other, 33 loops and 20 locals.
const (
	maxLocals    = 1 << 10
	maxBody      = 256 << 10
	maxBlocks    = 1 << 13
	maxNesting   = 1 << 12
	maxLoops     = 1 << 9
	maxTargets   = 1 << 14 // of all branch tables
	maxSelection = 1       // types that a select may name
)

// mark is a place in a body where something is inserted.
type mark struct {
	at   int
	kind markKind
	// cost is what is charged there, where no length on the stack says so.
	cost int
}

type markKind uint8

const (
	markStep  markKind = iota // a step of a known cost
	markBytes                 // the length on top of the stack counts bytes
	markItems                 // the length on top of the stack counts items of a table
)

// body is a function's body, taken apart. It is used again for the next function.
type body struct {
	marks []mark
	// open are the blocks that are open: for a loop its mark and the weight at its beginning.
	open []block
	// weight is what the instructions so far count for in bytes.
	weight int
	// blocks, loops and targets are how many there were.
	blocks, loops, targets int
}

type block struct {
	loop   int // the index of its mark; negative: no loop
	weight int
}

// step is what a run of instructions costs.
func step(weight int) int { return 1 + weight/256 }

// read reads a function's locals and instructions, and returns where the instructions begin.
func (b *body) read(r *reader, globals uint32, locals *int) (start int, err error) {
	*b = body{marks: b.marks[:0], open: b.open[:0]}
	groups, err := r.u32()
	if err != nil {
		return 0, err
	}
	if int64(groups) > int64(r.left()) {
		return 0, errCutOff
	}
	sum := 0
	for range groups {
		n, err := r.u32()
		if err != nil {
			return 0, err
		}
		if sum += int(n); sum > maxLocals {
			return 0, fmt.Errorf("a function has more than %d locals", maxLocals)
		}
		if err := r.valueType(); err != nil {
			return 0, err
		}
	}
	*locals += sum
	start = r.at
	b.marks = append(b.marks, mark{at: start})
	b.open = append(b.open, block{loop: -1})
	for len(b.open) > 0 {
		at := r.at
		opcode, err := r.byte()
		if err != nil {
			return 0, err
		}
		if err := b.instruction(r, at, opcode, globals); err != nil {
			return 0, err
		}
		b.weight += r.at - at + slowness(opcode)
	}
	if r.left() > 0 {
		return 0, fmt.Errorf("offset %d: a function goes on behind its end", r.at)
	}
	// Setting up the locals is work, too.
	b.marks[0].cost = step(b.weight + sum)
	return start, nil
}

// slowness is what an instruction counts for beyond its bytes, because it takes longer than most of its length.
func slowness(opcode byte) int {
	switch {
	case opcode >= 0x28 && opcode <= 0x35: // loads, which may miss every cache
		return 5
	case opcode >= 0x67 && opcode <= 0x69, opcode >= 0x79 && opcode <= 0x7b: // counting bits
		return 5
	case opcode >= 0x6d && opcode <= 0x70, opcode >= 0x7f && opcode <= 0x82: // integer division
		return 20
	case opcode == 0x91, opcode == 0x95, opcode == 0x9f, opcode == 0xa3: // float square root and division
		return 20
	case opcode >= 0x8d && opcode <= 0xa6: // other float arithmetic
		return 5
	case opcode >= 0xa8 && opcode <= 0xbf: // conversions
		return 5
	case opcode == 0x10, opcode == 0x11: // calls, the host's among them
		return 5
	case opcode == 0x3f, opcode == 0x40: // memory.size, and memory.grow, which the engine's own code serves
		return 256
	default:
		return 0
	}
}

// instruction reads the immediates of an instruction (WebAssembly Core Specification 2.0, 5.4), and notes what is to be
// inserted at it.
func (b *body) instruction(r *reader, at int, opcode byte, globals uint32) error {
	switch {
	case opcode == 0x00 || opcode == 0x01 || opcode == 0x05 || opcode == 0x0f || opcode == 0x1a || opcode == 0x1b || opcode == 0xd1:
		return nil
	case opcode >= 0x45 && opcode <= 0xc4: // numeric
		return nil
	case opcode >= 0x02 && opcode <= 0x04:
		return b.begin(r, opcode)
	case opcode == 0x0b:
		b.finish()
		return nil
	case opcode == 0x0c || opcode == 0x0d || opcode == 0x10 || opcode >= 0x20 && opcode <= 0x22 || opcode == 0x25 || opcode == 0x26 || opcode == 0xd2:
		_, err := r.u32()
		return err
	case opcode == 0x0e:
		return b.branches(r)
	case opcode == 0x11 || opcode >= 0x28 && opcode <= 0x3e: // call_indirect; loads and stores
		return r.pair()
	case opcode == 0x1c:
		return r.valueTypes(maxSelection)
	case opcode == 0x23 || opcode == 0x24:
		index, err := r.u32()
		if err == nil && index >= globals {
			err = fmt.Errorf("offset %d: global %d does not exist", at, index)
		}
		return err
	case opcode == 0x3f || opcode == 0x40:
		return r.zero()
	case opcode == 0x41:
		return r.signed(32)
	case opcode == 0x42:
		return r.signed(64)
	case opcode == 0x43:
		return r.skip(4)
	case opcode == 0x44:
		return r.skip(8)
	case opcode == 0xd0:
		return r.referenceType()
	case opcode == 0xfc:
		return b.bulk(r, at)
	default:
		return unmetered(opcode, at)
	}
}

// unmetered is the refusal of an instruction.
func unmetered(opcode byte, at int) error {
	switch {
	case opcode == 0xfd:
		return errors.New("SIMD is not metered, and so not allowed")
	case opcode == 0xfe:
		return errors.New("threads are not metered, and so not allowed")
	case opcode == 0x12 || opcode == 0x13 || opcode == 0x15:
		return errors.New("tail calls are not metered, and so not allowed")
	case opcode >= 0x06 && opcode <= 0x0a || opcode == 0x18 || opcode == 0x19 || opcode == 0x1f:
		return errors.New("exceptions are not metered, and so not allowed")
	default:
		return fmt.Errorf("offset %d: 0x%02x is no instruction that is supported", at, opcode)
	}
}

// begin reads the type of a block.
func (b *body) begin(r *reader, opcode byte) error {
	if err := r.blockType(); err != nil {
		return err
	}
	b.blocks++
	switch {
	case len(b.open) > maxNesting:
		return fmt.Errorf("a function nests deeper than %d", maxNesting)
	case b.blocks > maxBlocks:
		return fmt.Errorf("a function has more than %d blocks", maxBlocks)
	}
	one := block{loop: -1, weight: b.weight}
	if opcode == 0x03 {
		if b.loops++; b.loops > maxLoops {
			return fmt.Errorf("a function has more than %d loops", maxLoops)
		}
		one.loop = len(b.marks)
		b.marks = append(b.marks, mark{at: r.at})
	}
	b.open = append(b.open, one)
	return nil
}

// blockType reads the type of a block: a signed number of 33 bits, below 0 a value type or nothing, else the index of a
// type. What is below 0 may be written in one byte only: written in more, a compiler could take it for a type that goes
// on behind it.
func (r *reader) blockType() error {
	if r.left() == 0 {
		return errCutOff
	}
	switch b := r.module[r.at]; {
	case b == typeNothing:
		r.at++
		return nil
	case b >= 0x40 && b < 0x80:
		return r.valueType()
	}
	if _, err := r.u32(); err != nil {
		return err
	}
	if r.module[r.at-1]&0x40 != 0 {
		return fmt.Errorf("offset %d: a block of a type that is not supported", r.at-1)
	}
	return nil
}

// finish closes a block. A loop costs what its body weighs, each time around.
func (b *body) finish() {
	last := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	if last.loop >= 0 {
		b.marks[last.loop].cost = step(b.weight - last.weight)
	}
}

// branches reads the targets of br_table.
func (b *body) branches(r *reader) error {
	n, err := r.u32()
	if err != nil {
		return err
	}
	if int64(n) > int64(r.left()) {
		return errCutOff
	}
	if b.targets += int(n); b.targets > maxTargets {
		return fmt.Errorf("a function has branch tables of more than %d targets", maxTargets)
	}
	for range int(n) + 1 {
		if _, err := r.u32(); err != nil {
			return err
		}
	}
	return nil
}

// bulk reads an instruction of two bytes. What works on a range is charged by its length, which is on top of the stack.
func (b *body) bulk(r *reader, at int) error {
	opcode, err := r.u32()
	if err != nil {
		return err
	}
	charge := func(kind markKind) { b.marks = append(b.marks, mark{at: at, kind: kind}) }
	switch opcode {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating conversions
		return nil
	case 8: // memory.init
		charge(markBytes)
		if _, err := r.u32(); err != nil {
			return err
		}
		return r.zero()
	case 9, 13, 16: // data.drop, elem.drop, table.size
		_, err := r.u32()
		return err
	case 10: // memory.copy
		charge(markBytes)
		if err := r.zero(); err != nil {
			return err
		}
		return r.zero()
	case 11: // memory.fill
		charge(markBytes)
		return r.zero()
	case 12, 14: // table.init, table.copy
		charge(markItems)
		return r.pair()
	case 15, 17: // table.grow, table.fill
		charge(markItems)
		_, err := r.u32()
		return err
	default:
		return fmt.Errorf("offset %d: 0xfc %d is no instruction that is supported", at, opcode)
	}
}

func (r *reader) pair() error {
	if _, err := r.u32(); err != nil {
		return err
	}
	_, err := r.u32()
	return err
}

func (r *reader) referenceType() error {
	b, err := r.byte()
	if err == nil && b != typeFuncref && b != typeExternref {
		err = fmt.Errorf("offset %d: 0x%02x is no type of references that is supported", r.at-1, b)
	}
	return err
}
