package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc's processor times: USER_HZ, which is 100 on every platform that Go runs on.
const clockTick = 10 * time.Millisecond

// errNoProc says that this system does not tell the processor time of other processes the way Linux does.
var errNoProc = errors.New("no /proc")

// processorTime returns the time that a process and its children, those that ended included, have spent on a processor.
func processorTime(pid int) (time.Duration, error) {
	own, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	total := own.self + own.ended
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		child, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		// A process may end while we look; its time is then its parent's.
		if stat, err := readStat(child); err == nil && stat.parent == pid {
			total += stat.self + stat.ended
		}
	}
	return total, nil
}

type stat struct {
	parent      int
	self, ended time.Duration
}

// readStat reads the fields of proc_pid_stat(5) that count, by their numbers there.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("%w: %w", errNoProc, err)
	}
	// The second field is the program's name, in parentheses, with anything in it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var values [18]int64
	for number := 4; number <= 17; number++ {
		if len(fields) <= number-3 {
			return stat{}, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
		}
		values[number], err = strconv.ParseInt(fields[number-3], 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
	}
	return stat{
		parent: int(values[4]),
		self:   time.Duration(values[14]+values[15]) * clockTick,
		ended:  time.Duration(values[16]+values[17]) * clockTick,
	}, nil
}
