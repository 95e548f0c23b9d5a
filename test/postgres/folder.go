package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	serverPrefix = "perihelion-pg-"
	lockName     = "lock"

	// youngest is how old a server's folder without an owner must be before it counts as left behind: one that is
	// being made has no locked file yet.
	youngest = time.Minute
)

// temporary returns a folder for temporary files that the account can enter.
func temporary(as account) (string, error) {
	candidates := []string{os.TempDir(), "/tmp", "/var/tmp"}
	for _, dir := range candidates {
		if as.canEnter(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s cannot enter any of %q: set TMPDIR to a folder that it can", as, candidates)
}

// removeStale removes the folders of servers whose owner and watchdog are both gone, after a power cut for one.
func removeStale(dir string) {
	folders, err := filepath.Glob(filepath.Join(dir, serverPrefix+"*"))
	if err != nil {
		return
	}
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if err != nil || time.Since(info.ModTime()) < youngest || isOurs(folder) != nil {
			continue
		}
		held, err := lock(filepath.Join(folder, lockName), false)
		if err != nil {
			continue
		}
		// Nobody waits for the outcome: what cannot be removed now is tried again by the next server.
		_ = os.RemoveAll(folder)
		held.Close()
	}
}

// copyTree copies folders, files and links from one place to another that does not exist yet, and gives the copy to the
// account. Permissions are those of the original, with add on top.
func copyTree(from, to string, as account, add fs.FileMode) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | add
		switch {
		case entry.IsDir():
			if err := os.Mkdir(target, mode|0o700); err != nil {
				return err
			}
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if err := os.Symlink(link, target); err != nil {
				return err
			}
			return as.own(target)
		case entry.Type().IsRegular():
			if mode&0o100 == 0 {
				mode &^= 0o111
			}
			if err := copyFile(path, target, mode); err != nil {
				return err
			}
		default:
			return fmt.Errorf("copy %s: neither file, folder nor link", path)
		}
		// The umask took bits away.
		return errors.Join(os.Chmod(target, mode), as.own(target))
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		return errors.Join(err, target.Close())
	}
	return target.Close()
}
