package tck

import (
	"fmt"
	"math"
	"strings"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// Script is what a guest is told to do: lines of a hook's name, a function of the ABI, and its arguments. In each hook a
// guest runs the lines that begin with its name, and logs them as one line: the hook's name, a colon, and the answers,
// each behind a space. configure reads its script from the configuration, the others from the statement's SQL.
//
// An argument is a number; @ and an offset in 72 KiB of scratch space; ! and an offset from the end of memory; or an
// apostrophe and text without spaces, which stands for its address. Beside the functions there are
//
//	show ADDRESS LENGTH   answers what lies in the scratch space
//	fill ADDRESS LENGTH BYTE
//	calls                 answers how many hooks this instance has run, this one among them
//	return CODE           ends the hook with a result
//	trap, loop, recurse   end it in another way
type Script = string

// testCase is one thing that a host must do.
type testCase struct {
	name string
	// config is the script of configure; "": "{}".
	config Script
	steps  []step
	// check looks at what the last step came to; nil: there is no more to it.
	check func(r *result) error
}

// step is a call of a hook and what it must come to.
type step struct {
	hook   string // decide where empty
	tenant string
	script Script
	// logged is what the guest is to log of it; failed says that the host is to report a failure.
	logged string
	failed bool
	// later is by how many milliseconds the clock has moved on before.
	later int64
	// change is made to the statement before.
	change func(*Statement)
	// hot are how many statements there are in on_tick.
	hot int
}

// result is what a case came to.
type result struct {
	statements []*Statement
	policy     Policy
	lines      []logged
}

type logged struct {
	level int
	text  string
}

func one(script Script, answer string) []step { return []step{{script: script, logged: answer}} }

const unknown = "-9223372036854775808"

// cases returns all cases: those that follow from the tables of the ABI, and those that stand for its words.
func cases() []testCase {
	all := append(fieldCases(), decisionCases()...)
	all = append(all, memoryCases()...)
	all = append(all, storeCases()...)
	all = append(all, hookCases()...)
	return append(all, failureCases()...)
}

// sample is a value of a field that no other has.
func sample(f abi.Field) string { return fmt.Sprintf("value-of-%d", f) }

func fieldCases() []testCase {
	var all []testCase
	for f := abi.Field(1); f < 256; f++ {
		c := testCase{name: "field " + f.String()}
		read := func(index int) Script {
			return fmt.Sprintf("decide get_bytes %d %d @0 100\ndecide show @0 %d\n", f, index, len(sample(f)))
		}
		switch f.Kind() {
		case abi.KindBytes:
			if f == abi.FieldSQL {
				continue // the script itself
			}
			c.steps = []step{{
				script: read(0) + fmt.Sprintf("decide get_bytes %d 1 @0 100\ndecide get_bytes %d -1 @0 100\ndecide get_int %d 0\ndecide count %d", f, f, f, f),
				change: func(s *Statement) { s.Bytes[f] = []string{sample(f)} },
				logged: fmt.Sprintf("decide: %d %s -2 -2 %s -1", len(sample(f)), sample(f), unknown),
			}, {script: fmt.Sprintf("decide get_bytes %d 0 @0 100", f), logged: "decide: -1"}}
		case abi.KindBytesList:
			c.steps = []step{{
				script: read(1) + fmt.Sprintf("decide count %d\ndecide get_bytes %d 2 @0 100\ndecide get_int %d 0", f, f, f),
				change: func(s *Statement) { s.Bytes[f] = []string{"", sample(f)} },
				logged: fmt.Sprintf("decide: %d %s 2 -2 %s", len(sample(f)), sample(f), unknown),
			}, {
				script: fmt.Sprintf("decide count %d", f), change: func(s *Statement) { s.Bytes[f] = []string{} }, logged: "decide: 0",
			}}
		case abi.KindInt:
			c.steps = []step{{
				script: fmt.Sprintf("decide get_int %d 0\ndecide get_int %d 1\ndecide get_int %d -1\ndecide get_bytes %d 0 @0 9\ndecide count %d", f, f, f, f, f),
				change: func(s *Statement) { s.Ints[f] = []int64{math.MinInt64 + int64(f)} },
				logged: fmt.Sprintf("decide: %d %s %s -1 -1", math.MinInt64+int64(f), unknown, unknown),
			}, {script: fmt.Sprintf("decide get_int %d 0", f), logged: "decide: " + unknown}}
		case abi.KindIntList:
			c.steps = []step{{
				script: fmt.Sprintf("decide count %d\ndecide get_int %d 0\ndecide get_int %d 1\ndecide get_int %d 2", f, f, f, f),
				change: func(s *Statement) { s.Ints[f] = []int64{0, math.MaxInt64} },
				logged: fmt.Sprintf("decide: 2 0 9223372036854775807 %s", unknown),
			}}
		default:
			if f != 255 {
				continue
			}
			c.name = "a field of a later version"
			c.steps = one("decide get_int 255 0\ndecide get_bytes 255 0 @0 9\ndecide count 255\ndecide get_int -1 0", "decide: "+unknown+" -1 -1 "+unknown)
		}
		all = append(all, c)
	}
	return all
}

func decisionCases() []testCase {
	var all []testCase
	for d := abi.Decision(1); d < 256; d++ {
		least, most := d.Bounds()
		c := testCase{name: "decision " + d.String()}
		switch d.Kind() {
		case abi.KindInt:
			back := abi.ReadBack + int32(d)
			c.steps = one(fmt.Sprintf(
				"decide get_int %d 0\ndecide set_int %d %d\ndecide get_int %d 0\ndecide set_int %d %d\ndecide set_int %d %d\ndecide set_int %d %d\ndecide get_int %d 0\ndecide get_int %d 1\ndecide set_bytes %d 'x 1",
				back, d, most, back, d, most+1, d, least-1, d, least, back, back, d),
				fmt.Sprintf("decide: %s 0 %d -4 -4 0 %d %s -1", unknown, most, least, unknown))
			c.check = func(r *result) error {
				if got, ok := r.statements[0].Decided[d]; got != least || !ok {
					return fmt.Errorf("the host has %d, want %d", got, least)
				}
				return nil
			}
		case abi.KindBytes:
			c.steps = one(fmt.Sprintf(
				"decide fill @0 %d 98\ndecide set_bytes %d 'because 7\ndecide set_bytes %d @0 %d\ndecide set_bytes %d @0 %d\ndecide set_bytes %d !0 1\ndecide set_int %d 1",
				most+1, d, d, most, d, most+1, d, d), "decide: 0 0 -4 -3 -1")
			c.check = func(r *result) error {
				if got := strings.Join(r.statements[0].Text[d], "|"); got != strings.Repeat("b", int(most)) {
					return fmt.Errorf("the host has %q, want %d times b", got, most)
				}
				return nil
			}
		case abi.KindBytesList:
			c.steps = one(strings.Repeat(fmt.Sprintf("decide set_bytes %d 'tag 3\n", d), abi.MaxTags+1)+fmt.Sprintf("decide set_bytes %d @0 %d", d, most+1),
				"decide:"+strings.Repeat(" 0", abi.MaxTags)+" -5 -4")
			c.check = func(r *result) error {
				if got := r.statements[0].Text[d]; len(got) != abi.MaxTags || got[0] != "tag" {
					return fmt.Errorf("the host has %q, want %d times tag", got, abi.MaxTags)
				}
				return nil
			}
		default:
			if d != 255 {
				continue
			}
			c.name = "a decision of a later version"
			c.steps = one("decide set_int 255 0\ndecide set_bytes 255 'x 1\ndecide set_int -1 0\ndecide get_int 1255 0", "decide: -1 -1 -1 "+unknown)
		}
		all = append(all, c)
	}
	return append(all, testCase{
		name: "values that the host refuses",
		steps: []step{{
			script: "decide set_int 6 2\ndecide set_int 6 1\ndecide set_int 5 1001\ndecide set_int 5 1000",
			change: func(s *Statement) { s.RowSecurity, s.MaxResultBytes = true, 1000 },
			logged: "decide: -4 0 -4 0",
		}},
	}, testCase{
		name: "a decision stands as the policy before left it",
		steps: []step{{
			script: "decide get_int 1002 0", change: func(s *Statement) { s.Decided[abi.DecisionTTLMS] = 1234 }, logged: "decide: 1234",
		}},
	})
}

// configuration is the script of configure that looks at itself.
const configuration = "configure config @0 9\nconfigure config @0 2000\nconfigure show @0 16"

func memoryCases() []testCase {
	relation := func(s *Statement) { s.Bytes[abi.FieldRelation] = []string{"public.orders", ""} }
	return []testCase{
		{name: "bytes that just fit, and bytes that do not", steps: []step{{
			script: "decide fill @0 32 46\ndecide get_bytes 7 0 @0 12\ndecide show @0 14\ndecide get_bytes 7 0 @0 13\ndecide show @0 14", change: relation,
			logged: "decide: 13 .............. 13 public.orders.",
		}}},
		{name: "a length without room is asked for with no buffer", steps: []step{{
			script: "decide get_bytes 7 0 0 0\ndecide get_bytes 7 1 @0 0\ndecide get_bytes 7 0 !0 0", change: relation, logged: "decide: 13 0 13",
		}}},
		{name: "buffers outside the memory", steps: []step{{
			script: "decide get_bytes 7 0 !0 100\ndecide get_bytes 7 0 !-12 13\ndecide get_bytes 7 0 -1 -1\ndecide set_bytes 64 !-1 2\ndecide set_bytes 64 -1 -1\ndecide kv_set !0 1 'v 1 0\ndecide kv_set 'k 1 !0 1 0\ndecide kv_get !0 1 @0 9\ndecide metric_add !0 1 1\ndecide config !0 100",
			change: relation, logged: "decide: -3 -3 -3 -3 -4 -3 -3 -3 -3 -3",
		}}},
		{name: "a log line outside the memory is dropped", steps: one("decide log 0 !0 5\ndecide log 0 -1 -1\ndecide log 2 'here 4", "decide: - - -"), check: func(r *result) error {
			if len(r.lines) != 2 || r.lines[0] != (logged{2, "here"}) {
				return fmt.Errorf("logged %v, want the line \"here\" of level 2 and the answers", r.lines)
			}
			return nil
		}},
		{name: "a log line is cut", steps: one("decide fill @0 2000 120\ndecide log -1 @0 2000", "decide: -"), check: func(r *result) error {
			if len(r.lines) != 2 || r.lines[0] != (logged{-1, strings.Repeat("x", abi.MaxLogLine)}) {
				return fmt.Errorf("logged %.100v, want %d times x of level -1", r.lines, abi.MaxLogLine)
			}
			return nil
		}},
		{name: "the configuration", config: configuration, steps: one("decide config @0 2000\ndecide show @0 9", fmt.Sprintf("decide: %d configure", len(configuration))), check: func(r *result) error {
			if want := fmt.Sprintf("configure: %d %d configure config", len(configuration), len(configuration)); len(r.lines) == 0 || r.lines[0].text != want {
				return fmt.Errorf("logged %v, want %q first", r.lines, want)
			}
			return nil
		}},
		{name: "the clock", steps: []step{
			{script: "decide now_ms", logged: "decide: 1700000000123"},
			{script: "decide now_ms", later: 1000, logged: "decide: 1700000001123"},
		}},
	}
}
