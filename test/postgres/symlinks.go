package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// linkSymlinks makes the symbolic links that npm's packages cannot carry and list in pg-symlinks.json instead. The
// package's own install script would do it, but npm asks people to approve such scripts, and this checkout runs none.
//
// An installation without that file needs nothing. Links that exist are left alone, so concurrent calls are harmless.
func linkSymlinks(root string) error {
	text, err := os.ReadFile(filepath.Join(root, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read PostgreSQL's list of symbolic links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(root, "pg-symlinks.json"), err)
	}
	for _, link := range links {
		// Both are written relative to the package, whose folder `native` is root.
		source, target := strings.TrimPrefix(link.Source, "native/"), strings.TrimPrefix(link.Target, "native/")
		if !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("link %s to %s: outside of the package", link.Target, link.Source)
		}
		to, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return fmt.Errorf("link %s to %s: %w", link.Target, link.Source, err)
		}
		at := filepath.Join(root, target)
		if _, err := os.Lstat(at); err == nil {
			continue
		}
		if err := os.Symlink(to, at); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link PostgreSQL's library: %w", err)
		}
	}
	return nil
}
