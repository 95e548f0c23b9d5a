package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The fields of proc_pid_status(5) that are read here.
const (
	fieldResident = "VmRSS"
	fieldPeak     = "VmHWM"
)

// resident returns a field of a process's memory, in bytes.
func resident(pid int, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory, which needs Linux's /proc: %w", err)
	}
	return parseResident(string(text), field)
}

func parseResident(status, field string) (int64, error) {
	for line := range strings.Lines(status) {
		value, found := strings.CutPrefix(line, field+":")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read resident memory: %w", err)
		}
		return n * kibibyte, nil
	}
	return 0, errors.New("read resident memory: no " + field)
}

// forgetPeak makes the peak of a process its present resident memory.
func forgetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("forget the peak of resident memory: %w", err)
	}
	return nil
}
