package tck

import (
	"strings"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// Host is what is checked.
type Host interface {
	// Load makes a module ready. now, in Unix milliseconds, is what the policy's clock shows from then on; whoever calls
	// Load changes it between two calls of a hook, never during one. log gets what the guest logs, in this goroutine or in
	// another that has ended its call when the hook returns.
	Load(wasm, config []byte, now *int64, log func(level int, line string)) (Policy, error)
}

// Policy is a module that a host has loaded. One goroutine calls it.
type Policy interface {
	// Decide, OnResult and OnTick call a hook for a tenant. An error is a failure as the ABI has it.
	Decide(tenant string, s *Statement) error
	OnResult(tenant string, s *Statement) error
	OnTick(tenant string, hot []*Statement) error
	// Counter returns a counter of the policy's own.
	Counter(name string) int64
	Close() error
}

// Statement is what a guest is asked about: the fields that the host is to answer with, and the decision, which the
// host is to write to. What is not in a map, the host does not know.
type Statement struct {
	// Ints and Bytes hold a field that is no list as one item.
	Ints  map[abi.Field][]int64
	Bytes map[abi.Field][]string
	// Decided are the integers, and Text the bytes, of the decision. RowSecurity lets the host refuse to share.
	Decided     map[abi.Decision]int64
	Text        map[abi.Decision][]string
	RowSecurity bool
	// MaxResultBytes is the most that MAX_RESULT_BYTES may be; 0: no bound.
	MaxResultBytes int64
}

// NewStatement returns a statement whose SQL is a script.
func NewStatement(script string) *Statement {
	return &Statement{
		Ints: map[abi.Field][]int64{}, Bytes: map[abi.Field][]string{abi.FieldSQL: {script}},
		Decided: map[abi.Decision]int64{}, Text: map[abi.Decision][]string{},
	}
}

// Int, Item, Count, SetInt and SetBytes are what get_int, get_bytes, count, set_int and set_bytes answer for a
// statement, so that a host under test needs no logic of its own for it.

// Int returns an integer field.
func (s *Statement) Int(field abi.Field, index int) (int64, bool) {
	if list := s.Ints[field]; index >= 0 && index < len(list) {
		return list[index], true
	}
	return 0, false
}

// Item returns an item of a byte field, or why there is none.
func (s *Statement) Item(field abi.Field, index int) (string, abi.Result) {
	list, ok := s.Bytes[field]
	switch {
	case !ok:
		return "", abi.ResultUnknown
	case index < 0 || index >= len(list):
		return "", abi.ResultNoIndex
	}
	return list[index], 0
}

// Count returns how many items a list has.
func (s *Statement) Count(field abi.Field) int32 {
	switch field.Kind() {
	case abi.KindBytesList:
		if list, ok := s.Bytes[field]; ok {
			return int32(len(list))
		}
	case abi.KindIntList:
		if list, ok := s.Ints[field]; ok {
			return int32(len(list))
		}
	case abi.KindBytes, abi.KindInt:
	}
	return int32(abi.ResultUnknown)
}

// Set takes an integer decision that is within its bounds.
func (s *Statement) Set(decision abi.Decision, value int64) abi.Result {
	switch {
	case decision == abi.DecisionShare && value == int64(abi.ShareTenant) && s.RowSecurity,
		decision == abi.DecisionMaxResultBytes && s.MaxResultBytes > 0 && value > s.MaxResultBytes:
		return abi.ResultRefused
	}
	s.Decided[decision] = value
	return 0
}

// SetText takes a byte decision that is within its bounds. The text is the caller's.
func (s *Statement) SetText(decision abi.Decision, text string) abi.Result {
	text = strings.Clone(text)
	if decision.Kind() != abi.KindBytesList {
		s.Text[decision] = []string{text}
		return 0
	}
	if len(s.Text[decision]) >= abi.MaxTags {
		return abi.ResultQuota
	}
	s.Text[decision] = append(s.Text[decision], text)
	return 0
}
