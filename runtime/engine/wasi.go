package engine

import (
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

const (
	wasiModule  = "wasi_snapshot_preview1"
	abortModule = "env"
	abortName   = "abort"
)

// Errors of WASI preview 1.
const (
	errnoBadf  = 8
	errnoFault = 21
	errnoInval = 28
	errnoNosys = 52
)

const (
	// maxPrinted bounds what one call prints, in bytes; maxVectors the buffers that it is spread over.
	maxPrinted = 4 << 10
	maxVectors = 64
	// maxRandom bounds what one call of random_get writes, in bytes.
	maxRandom = 64 << 10
	// randomBytes is how many bytes of randomness are made for one step of fuel.
	randomBytes = 16
)

// wasi is a closed WASI: a guest has no arguments, environment, files or sockets. What it prints are log lines, its
// clock is now_ms, and its randomness is seeded.
func wasi() map[string]function {
	number := []api.ValueType{i32}
	all := map[string]function{}
	// What is not there: the function's name, and its parameters, i for i32 and I for i64.
	for name, params := range map[string]string{
		"clock_res_get": "ii", "fd_advise": "iIIi", "fd_allocate": "iII", "fd_datasync": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii",
		"fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii", "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi",
		"fd_pread": "iiiIi", "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_seek": "iIii",
		"fd_sync": "i", "fd_tell": "ii", "path_create_directory": "iii", "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiiIIi",
		"path_link": "iiiiiii", "path_open": "iiiiiIIii", "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii",
		"path_symlink": "iiiii", "path_unlink_file": "iii", "proc_raise": "i", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
	} {
		all[name] = function{signature(params), number, errno(errnoNosys)}
	}
	for name, f := range map[string]struct {
		params string
		call   hostFunc
	}{
		"args_get": {"ii", errno(0)}, "args_sizes_get": {"ii", nothing}, "environ_get": {"ii", errno(0)}, "environ_sizes_get": {"ii", nothing},
		"clock_time_get": {"iIi", clockTime}, "fd_close": {"i", errno(errnoBadf)}, "fd_prestat_get": {"ii", errno(errnoBadf)},
		"fd_prestat_dir_name": {"iii", errno(errnoBadf)}, "fd_write": {"iiii", fdWrite}, "poll_oneoff": {"iiii", pollOneoff},
		"random_get": {"ii", randomGet}, "sched_yield": {"", errno(0)},
	} {
		all[name] = function{signature(f.params), number, f.call}
	}
	all["proc_exit"] = function{number, nil, procExit}
	return all
}

func signature(params string) []api.ValueType {
	var types []api.ValueType
	for _, p := range params {
		if p == 'I' {
			types = append(types, i64)
		} else {
			types = append(types, i32)
		}
	}
	return types
}

// errno is a function that answers nothing but an error number; 0 is success.
func errno(n uint64) hostFunc {
	return func(_ *instance, _ api.Module, stack []uint64) { stack[0] = n }
}

// nothing answers that there are no arguments, or no variables.
func nothing(_ *instance, guest api.Module, stack []uint64) {
	ok := guest.Memory().WriteUint32Le(uint32(stack[0]), 0) && guest.Memory().WriteUint32Le(uint32(stack[1]), 0)
	succeed(stack, ok)
}

func succeed(stack []uint64, ok bool) {
	stack[0] = 0
	if !ok {
		stack[0] = errnoFault
	}
}

func clockTime(one *instance, guest api.Module, stack []uint64) {
	now := one.module.engine.options.Now()
	succeed(stack, guest.Memory().WriteUint64Le(uint32(stack[2]), uint64(now.UnixMilli())*1e6))
}

func randomGet(one *instance, guest api.Module, stack []uint64) {
	length := uint32(stack[1])
	if length > maxRandom {
		stack[0] = errnoInval
		return
	}
	one.charge(int(length) / randomBytes)
	buffer, ok := guest.Memory().Read(uint32(stack[0]), length)
	if ok {
		_, _ = one.random.Read(buffer) // never fails
	}
	succeed(stack, ok)
}

// fdWrite logs what a guest prints, up to a bound, and says that it printed all. A line may come in many parts: Go prints
// a panic word by word.
func fdWrite(one *instance, guest api.Module, stack []uint64) {
	fd, vectors, n, written := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if fd != 1 && fd != 2 {
		stack[0] = errnoBadf
		return
	}
	if n > maxVectors {
		stack[0] = errnoInval
		return
	}
	memory := guest.Memory()
	var text strings.Builder
	var total uint32
	for i := range n {
		at, ok := memory.ReadUint32Le(vectors + 8*i)
		size, ok2 := memory.ReadUint32Le(vectors + 8*i + 4)
		if !ok || !ok2 {
			stack[0] = errnoFault
			return
		}
		part, ok := memory.Read(at, min(size, uint32(maxPrinted-text.Len())))
		if !ok {
			stack[0] = errnoFault
			return
		}
		text.Write(part)
		total += size
	}
	one.charge(logSteps + int(n) + text.Len()/stepBytes)
	one.print(int(fd), text.String())
	succeed(stack, memory.WriteUint32Le(written, total))
}

// print logs the whole lines of what was printed to a descriptor, 1 or 2, and keeps the rest until its line ends, grows
// too long for a log line, or the call ends.
func (i *instance) print(fd int, text string) {
	kept := &i.printed[fd-1]
	for line := range strings.Lines(text) {
		kept.WriteString(line)
		if strings.HasSuffix(line, "\n") || kept.Len() >= abi.MaxLogLine {
			i.flush(fd)
		}
	}
}

// flush logs what is left of a line.
func (i *instance) flush(fd int) {
	kept := &i.printed[fd-1]
	level := int(abi.LevelInfo)
	if fd == 2 {
		level = int(abi.LevelWarn)
	}
	if line := strings.TrimSpace(kept.String()); line != "" {
		i.module.log(level, line)
	}
	kept.Reset()
}

// pollOneoff says at once that what the guest waits for has come: a guest that sleeps does not.
func pollOneoff(_ *instance, guest api.Module, stack []uint64) {
	in, out, n, stored := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if n == 0 {
		stack[0] = errnoInval
		return
	}
	memory := guest.Memory()
	userdata, ok := memory.ReadUint64Le(in)
	kind, ok2 := memory.ReadByte(in + 8)
	event, ok3 := memory.Read(out, 32)
	if !ok || !ok2 || !ok3 {
		stack[0] = errnoFault
		return
	}
	clear(event)
	memory.WriteUint64Le(out, userdata)
	memory.WriteByte(out+10, kind)
	succeed(stack, memory.WriteUint32Le(stored, 1))
}

// procExit ends the guest: whatever it says, a policy that exits has failed.
func procExit(one *instance, guest api.Module, stack []uint64) {
	code := uint32(stack[0])
	_ = guest.CloseWithExitCode(one.ctx, code) // always nil: there are no files to close
	panic(sys.NewExitError(code))
}

// abort is what AssemblyScript calls where it gives up.
func abort(one *instance, guest api.Module, _ []uint64) {
	_ = guest.CloseWithExitCode(one.ctx, 255) // as above
	panic(sys.NewExitError(255))
}
