//go:build !unix

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

var errLocked = errors.New("locked by another process")

// account is who the server runs as. This platform has none that could run it.
type account struct{ other bool }

func (account) String() string { return "the current user" }

func serverAccount() (account, error) {
	return account{}, fmt.Errorf("start PostgreSQL on this platform: %w", errors.ErrUnsupported)
}

func (account) apply(*exec.Cmd) {}

func (account) own(string) error { return nil }

func (account) canEnter(string) bool { return true }

func isOurs(string) error { return errors.ErrUnsupported }

func lock(string, bool) (*os.File, error) { return nil, errors.ErrUnsupported }

var signals = map[Mode]os.Signal{Fast: os.Interrupt, Immediate: os.Kill}
