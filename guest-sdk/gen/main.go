package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// source is the file that all else is generated from, relative to the module root.
const source = "guest-sdk/abi.yaml"

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every generated file of the module at root. A source that is not whole changes no file.
func run(root string) error {
	text, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	files, err := generate(text)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the folder of %s: %w", f.path, err)
		}
		if err := os.WriteFile(path, f.text, 0o644); err != nil { //nolint:gosec // source code is for all to read
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}
