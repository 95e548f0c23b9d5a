//go:build wasip1

// Command go is the conformance kit's guest in Go. It speaks the ABI without the SDK, so that the ABI is what is
// checked: it makes the calls that a script names, and logs what they answered. The script language is described in
// package tck.
package main

import (
	"strconv"
	"strings"
	"unsafe"
)

//go:wasmimport perihelion_v1 get_int
func getInt(field, index int32) int64

//go:wasmimport perihelion_v1 get_bytes
func getBytes(field, index int32, buf uint32, size int32) int32

//go:wasmimport perihelion_v1 count
func count(field int32) int32

//go:wasmimport perihelion_v1 set_int
func setInt(decision int32, value int64) int32

//go:wasmimport perihelion_v1 set_bytes
func setBytes(decision int32, buf uint32, size int32) int32

//go:wasmimport perihelion_v1 select
func selectStatement(i int32) int32

//go:wasmimport perihelion_v1 config
func config(buf uint32, size int32) int32

//go:wasmimport perihelion_v1 now_ms
func nowMillis() int64

//go:wasmimport perihelion_v1 kv_get
func kvGet(k uint32, klen int32, buf uint32, size int32) int32

//go:wasmimport perihelion_v1 kv_set
func kvSet(k uint32, klen int32, v uint32, vlen int32, ttl int64) int32

//go:wasmimport perihelion_v1 metric_add
func metricAdd(name uint32, size int32, delta int64) int32

//go:wasmimport perihelion_v1 log
func log(level int32, buf uint32, size int32)

// The buffers are the program's for good, so that an address in them stays what it is.
var (
	script  [4096]byte
	scratch [72 << 10]byte
	calls   int
	sink    int32
)

func address(p *byte) uint32 { return uint32(uintptr(unsafe.Pointer(p))) }

func main() {}

//go:wasmexport configure
func configure() int32 { return run("configure", config(address(&script[0]), int32(len(script)))) }

//go:wasmexport decide
func decide() int32 { return asked("decide") }

//go:wasmexport on_result
func onResult() int32 { return asked("on_result") }

//go:wasmexport on_tick
func onTick() int32 { return asked("on_tick") }

// asked runs the script that the statement's SQL is.
func asked(hook string) int32 {
	return run(hook, getBytes(1, 0, address(&script[0]), int32(len(script))))
}

// run runs the lines of the script that begin with the hook's name, and logs what they answered.
func run(hook string, length int32) int32 {
	calls++
	if length < 0 || int(length) > len(script) {
		return 0
	}
	line := hook + ":"
	answers := false
	result := int32(0)
	for at := 0; at < int(length); {
		end := at
		for end < int(length) && script[end] != '\n' {
			end++
		}
		words, places := fields(at, end)
		at = end + 1
		if len(words) < 2 || words[0] != hook {
			continue
		}
		answers = true
		answer, code, done := step(words[1:], places[1:])
		line += answer
		if done {
			result = code
			break
		}
	}
	if answers {
		log(0, address(unsafe.StringData(line)), int32(len(line)))
	}
	return result
}

// fields returns the words of a line of the script, and where each begins.
func fields(at, end int) (words []string, places []int) {
	for word := range strings.FieldsSeq(string(script[at:end])) {
		for string(script[at:at+len(word)]) != word {
			at++
		}
		words, places = append(words, word), append(places, at)
		at += len(word)
	}
	return words, places
}

// argument is a number; @ and an offset in the scratch space; ! and an offset from the end of memory; or an apostrophe
// and text, which stands for its address.
func argument(word string, place int) int64 {
	switch word[0] {
	case '@':
		return int64(address(&scratch[0])) + number(word[1:])
	case '!':
		return 16<<20 + number(word[1:]) // the cap: a Go program has at most that
	case '\'':
		return int64(address(&script[place+1]))
	}
	return number(word)
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// step runs one line. done says that the hook is to return code.
func step(words []string, places []int) (answer string, code int32, done bool) {
	var a [8]int64
	for i, word := range words[1:] {
		a[i] = argument(word, places[i+1])
	}
	p, i := func(n int) uint32 { return uint32(a[n]) }, func(n int) int32 { return int32(a[n]) }
	var n int64
	switch words[0] {
	case "return":
		return "", i(0), true
	case "trap":
		panic("trap")
	case "loop":
		for {
			sink++
		}
	case "recurse":
		sink = recurse(0)
		return "", 0, false
	case "fill":
		at := int(p(0) - address(&scratch[0]))
		for k := range int(a[1]) {
			scratch[at+k] = byte(a[2])
		}
		return "", 0, false
	case "show":
		at := int(p(0) - address(&scratch[0]))
		return " " + string(scratch[at:at+int(a[1])]), 0, false
	case "calls":
		n = int64(calls)
	case "get_int":
		n = getInt(i(0), i(1))
	case "get_bytes":
		n = int64(getBytes(i(0), i(1), p(2), i(3)))
	case "count":
		n = int64(count(i(0)))
	case "set_int":
		n = int64(setInt(i(0), a[1]))
	case "set_bytes":
		n = int64(setBytes(i(0), p(1), i(2)))
	case "select":
		n = int64(selectStatement(i(0)))
	case "config":
		n = int64(config(p(0), i(1)))
	case "now_ms":
		n = nowMillis()
	case "kv_get":
		n = int64(kvGet(p(0), i(1), p(2), i(3)))
	case "kv_set":
		n = int64(kvSet(p(0), i(1), p(2), i(3), a[4]))
	case "metric_add":
		n = int64(metricAdd(p(0), i(1), a[2]))
	case "log":
		log(i(0), p(1), i(2))
		return " -", 0, false
	default:
		return " ?" + words[0], 0, false
	}
	return " " + strconv.FormatInt(n, 10), 0, false
}

func recurse(n int32) int32 { return recurse(n+1) + n }
