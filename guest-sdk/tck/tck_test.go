package tck

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compiledBy is the compiler that the committed guest in C was built with. Others give other bytes.
const compiledBy = "clang version 14."

// TestTheGuestInCIsWhatItsSourceGives builds it again where its compiler is there.
func TestTheGuestInCIsWhatItsSourceGives(t *testing.T) {
	version, err := exec.CommandContext(t.Context(), "clang", "--version").Output()
	if err != nil || !strings.Contains(string(version), compiledBy) {
		t.Logf("no %s here: only that the file is there is checked", compiledBy)
	}
	committed, readErr := os.ReadFile(filepath.Join("c", "guest.wasm"))
	if readErr != nil || !bytes.HasPrefix(committed, []byte("\x00asm\x01\x00\x00\x00")) {
		t.Fatalf("c/guest.wasm: %v, %d bytes; want a module", readErr, len(committed))
	}
	if err != nil || !strings.Contains(string(version), compiledBy) {
		return
	}
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if out, err := exec.CommandContext(t.Context(), filepath.Join("c", "build.sh"), path).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if built, err := os.ReadFile(path); err != nil || !bytes.Equal(built, committed) {
		t.Errorf("c/guest.wasm is not what c/guest.c gives (%v): run guest-sdk/tck/c/build.sh", err)
	}
}

func TestEveryLineOfTheABIHasACase(t *testing.T) {
	if missing := Uncovered(); len(missing) > 0 {
		t.Errorf("no case is about %q", missing)
	}
	names := map[string]bool{}
	for _, c := range cases() {
		if names[c.name] {
			t.Errorf("case %q is there twice", c.name)
		}
		names[c.name] = true
	}
}
