//go:build wasip1

// Command guest is a policy in Go that does what its configuration names, for the engine's tests: it looks for a way
// out of the sandbox, or fails in one of the ways that a program in Go can. It speaks the ABI without an SDK.
package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"time"
	"unsafe"
)

//go:wasmimport perihelion_v1 config
func config(buf unsafe.Pointer, size int32) int32

//go:wasmimport perihelion_v1 now_ms
func nowMillis() int64

//go:wasmimport perihelion_v1 log
func log(level int32, buf unsafe.Pointer, size int32)

func say(text string) { log(0, unsafe.Pointer(unsafe.StringData(text)), int32(len(text))) }

var held [][]byte

func main() {}

//go:wasmexport decide
func decide() int32 {
	var buf [64]byte
	switch string(buf[:config(unsafe.Pointer(&buf), int32(len(buf)))]) {
	case "look around":
		return lookAround()
	case "random":
		say(strconv.FormatUint(rand.Uint64(), 16))
	case "print":
		println("on stderr")
		os.Stdout.WriteString("on stdout\n")
	case "panic":
		panic("broken")
	case "exit":
		os.Exit(0)
	case "wait for ever":
		select {}
	case "grow":
		for {
			held = append(held, make([]byte, 1<<20))
		}
	case "count":
		return count()
	case "recurse":
		return recurse(1)
	}
	return 0
}

func recurse(n int32) int32 { return recurse(n+1) + 1 }

// lookAround returns the number of the first thing that it should not see.
func lookAround() int32 {
	if len(os.Args) > 0 {
		return 1
	}
	if len(os.Environ()) > 0 {
		return 2
	}
	for _, path := range []string{"/", ".", "/etc/passwd", "/dev/stdin"} {
		if _, err := os.ReadFile(path); err == nil {
			return 3
		}
		if _, err := os.ReadDir(path); err == nil {
			return 4
		}
	}
	if os.WriteFile("/tmp/x", []byte("x"), 0o600) == nil {
		return 5
	}
	if n, _ := os.Stdin.Read(make([]byte, 1)); n > 0 {
		return 6
	}
	if time.Now().UnixMilli() != nowMillis() {
		return 7
	}
	return 0
}

// count makes a map of words and looks each up: work of the kind that a policy may do.
func count() int32 {
	words := map[string]int{}
	for i := range 200 {
		words[strconv.Itoa(i%100)]++
	}
	for word, n := range words {
		if n != 2 {
			println(word)
			return 8
		}
	}
	return 0
}
