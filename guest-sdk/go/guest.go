package policy

import (
	"errors"
	"runtime"
	"strconv"
	"unicode/utf8"
)

// host is what a policy may ask: one method per function of the ABI, with its results.
type host interface {
	getInt(field, index int32) int64
	getBytes(field, index int32, buf []byte) int32
	count(field int32) int32
	setInt(decision int32, value int64) int32
	setBytes(decision int32, text string) int32
	selects(i int32) int32
	kvGet(key string, buf []byte) int32
	kvSet(key, value string, ttlMS int64) int32
	metricAdd(name string, delta int64) int32
	config(buf []byte) int32
	nowMillis() int64
	log(level int32, line string)
}

// module is the one policy of a WebAssembly instance, as the ABI has it: an instance's exports take no argument.
var module = &guest{host: newHost()}

// Sizes of the buffer that bytes are read into. A larger one than keepBuffer is not kept from one call to the next.
const (
	firstBuffer = 4 << 10
	keepBuffer  = 64 << 10
)

// collectAfter is how many bytes of answers there may be before the collector is run at the end of a call. In a module
// its own work is done while a call runs and at no other time, so large answers outrun it and the memory ends.
const collectAfter = 1 << 20

// guest is a policy and its way to the host. It is for one goroutine.
type guest struct {
	host          host
	decideFunc    func(Statement, *Decision) error
	configureFunc func([]byte) error
	resultFunc    func(Statement, Result, *Decision) error
	tickFunc      func(Tick) error
	// buffer is what bytes are read into, before they are copied out.
	buffer []byte
	// taken is how many bytes were allocated for the host's answers since the last collection.
	taken int
	// err is the first failure to read a field in this call.
	err error
}

// results of a hook.
const (
	succeeded int32 = 0
	failed    int32 = 1
)

// configure is the hook.
func (g *guest) configure() int32 {
	if g.decideFunc == nil {
		return g.fail("configure", errors.New("the policy gave no function to policy.Decide"))
	}
	if g.configureFunc == nil {
		return succeeded
	}
	config, err := g.config()
	if err == nil {
		err = g.configureFunc(config)
	}
	if err != nil {
		return g.fail("configure", err)
	}
	return succeeded
}

// decide is the hook.
func (g *guest) decide() int32 {
	if g.decideFunc == nil {
		return g.fail("decide", errors.New("the policy gave no function to policy.Decide"))
	}
	return g.run("decide", func() error { return g.decideFunc(Statement{g}, &Decision{g}) })
}

// onResult is the hook. A policy that has no use for it has nothing to say.
func (g *guest) onResult() int32 {
	if g.resultFunc == nil {
		return succeeded
	}
	return g.run("on_result", func() error { return g.resultFunc(Statement{g}, Result{g}, &Decision{g}) })
}

// onTick is the hook.
func (g *guest) onTick() int32 {
	if g.tickFunc == nil {
		return succeeded
	}
	return g.run("on_tick", func() error { return g.tickFunc(Tick{g}) })
}

// run runs a policy's function in a hook.
func (g *guest) run(hook string, function func() error) int32 {
	g.err = nil
	err := function()
	if cap(g.buffer) > keepBuffer {
		g.buffer = nil
	}
	if g.taken > collectAfter {
		g.taken = 0
		runtime.GC()
	}
	if err == nil {
		// A field that could not be read was taken for an empty one, so the decision is worth nothing.
		err = g.err
	}
	if err != nil {
		return g.fail(hook, err)
	}
	return succeeded
}

func (g *guest) fail(hook string, err error) int32 {
	g.host.log(int32(LevelError), cut(hook+": "+err.Error(), MaxLogLine))
	return failed
}

// config reads the configuration.
func (g *guest) config() ([]byte, error) {
	text, result := g.read(g.host.config)
	if result < 0 {
		return nil, check("read the configuration", result)
	}
	return []byte(text), nil
}

// reads is how often a text is asked for again because it did not fit. Once is enough for a host that keeps its word.
const reads = 3

// read calls a function that writes to a buffer until it had room, and returns a copy of what it wrote, or the
// negative result.
func (g *guest) read(write func([]byte) int32) (string, int32) {
	if g.buffer == nil {
		g.buffer = make([]byte, firstBuffer)
	}
	for range reads {
		n := write(g.buffer)
		switch {
		case n < 0:
			return "", n
		case int(n) <= len(g.buffer):
			g.taken += int(n)
			return string(g.buffer[:n]), n
		}
		g.buffer = make([]byte, n)
		g.taken += int(n)
	}
	return "", int32(CodeBounds)
}

// bytes reads a field of bytes. What the host does not know is empty.
func (g *guest) bytes(field, index int32) string {
	text, result := g.read(func(buf []byte) int32 { return g.host.getBytes(field, index, buf) })
	if result < 0 && Code(result) != CodeUnknown {
		g.note(check("read field "+strconv.Itoa(int(field))+", item "+strconv.Itoa(int(index)), result))
	}
	return text
}

// list reads a list of bytes. What the host does not know is empty.
func (g *guest) list(field int32) []string {
	n := g.host.count(field)
	if n <= 0 {
		if n < 0 && Code(n) != CodeUnknown {
			g.note(check("count field "+strconv.Itoa(int(field)), n))
		}
		return nil
	}
	items := make([]string, n)
	for i := range items {
		items[i] = g.bytes(field, int32(i))
	}
	return items
}

// int reads an integer field.
func (g *guest) int(field int32, index int) (int64, bool) {
	if int(int32(index)) != index {
		return 0, false
	}
	n := g.host.getInt(field, int32(index))
	if n == unknown {
		return 0, false
	}
	return n, true
}

func (g *guest) note(err error) {
	if g.err == nil {
		g.err = err
	}
}

// cut shortens a text to at most limit bytes, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
