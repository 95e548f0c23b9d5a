//go:build unix

package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFilesThatAreNone makes what could hold the loader up, or be taken for a policy that nobody wanted.
func TestFilesThatAreNone(t *testing.T) {
	link := func(path string) error { return os.Symlink("nowhere", path) }
	pipe := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	for _, test := range []struct {
		name, file string
		make       func(string) error
		want       string
	}{
		{"a module that is a link to nothing", "a.wasm", link, "link to a file that is not there"},
		{"a configuration that is a link to nothing", "a.yaml", link, "link to a file that is not there"},
		{"a module that is a pipe", "a.wasm", pipe, "no regular file"},
		{"a configuration that is a pipe", "a.yaml", pipe, "no regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			if test.file != "a.wasm" {
				if err := os.WriteFile(filepath.Join(folder, "a.wasm"), says(1), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := test.make(filepath.Join(folder, test.file)); err != nil {
				t.Fatal(err)
			}
			s := New(Options{Folder: folder})
			defer s.Close()
			if err := s.Open(context.Background()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want an error with %q", err, test.want)
			}
		})
	}
}
