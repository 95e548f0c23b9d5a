//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who the server runs as. The zero account is the owner's own.
type account struct {
	name     string
	uid, gid int
	other    bool // another account than the owner's
}

func (a account) String() string {
	if !a.other {
		return "the current user"
	}
	return "user " + a.name
}

// serverAccount returns the owner's own account, or an unprivileged one where the owner is root.
//
// The account must have a name: initdb looks itself up in the user database.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	names := []string{"nobody", "daemon", "postgres"}
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(found.Uid)
		gid, errGID := strconv.Atoi(found.Gid)
		if errUID != nil || errGID != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and none of the users %q exists: run as an unprivileged user", names)
}

// apply makes cmd run as the account, in a session of its own: a signal from the terminal reaches the owner only.
func (a account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// own gives the file, not what it links to, to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// canEnter reports whether the account may pass through dir and every folder above it, by their permission bits.
func (a account) canEnter(dir string) bool {
	if !a.other {
		return true
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return false
		}
		var bit fs.FileMode
		switch {
		case int(stat.Uid) == a.uid:
			bit = 0o100
		case int(stat.Gid) == a.gid:
			bit = 0o010
		default:
			bit = 0o001
		}
		if info.Mode().Perm()&bit == 0 {
			return false
		}
		if above := filepath.Dir(dir); above != dir {
			dir = above
			continue
		}
		return true
	}
}

// isOurs returns an error unless path is a folder, no link, that belongs to the owner and that nobody else can write to.
func isOurs(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is no folder: remove it, or set TMPDIR", path)
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user: remove it, or set TMPDIR", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written to by other users: remove it, or set TMPDIR", path)
	}
	return nil
}

var errLocked = errors.New("locked by another process")

// lock opens the file and locks it until the result and all its copies in other processes are closed. Without wait it
// returns errLocked where somebody else holds it.
func lock(path string, wait bool) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

var signals = map[Mode]os.Signal{Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT}
