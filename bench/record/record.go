// Package record keeps the results of benchmarks, with where and of what they were measured.
package record

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Machine is what a result was measured on.
type Machine struct {
	OS    string `json:"os"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

// ThisMachine is the one that we run on.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(text))
	}
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// Revision is the commit that was measured, marked where the checkout differs from it.
func Revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// Today is the date as results have it.
func Today() string { return time.Now().UTC().Format(time.DateOnly) }

// Keep writes a result into a folder: as NAME.json for programs, and as NAME.md, which print writes, for people.
func Keep(folder, name string, result any, print func(io.Writer)) error {
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	var markdown strings.Builder
	print(&markdown)
	if err := os.WriteFile(filepath.Join(folder, name+".md"), []byte(markdown.String()), 0o600); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	return nil
}
