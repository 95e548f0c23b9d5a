package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// prepared is an installation that the account can run, and a fresh cluster made with it, to be copied.
type prepared struct {
	installation
	as      account
	temp    string // where servers put their folders
	cluster string // the folder of the kept cluster
	version string
}

// initdbArguments make every cluster alike, whatever the machine's locale and time zone.
var initdbArguments = []string{
	"--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions",
}

// prepare finds PostgreSQL and makes what every server needs. What takes long is kept in a folder of its own among the
// temporary files for the next process, one per user and build of PostgreSQL: a copy of the binaries where the account
// cannot run the originals, and a cluster as initdb left it.
func prepare(ctx context.Context, bin string, oldest bool) (*prepared, error) {
	found, err := locate(bin, oldest)
	if err != nil {
		return nil, err
	}
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	temp, err := temporary(as)
	if err != nil {
		return nil, err
	}
	kept, err := openCache(found, temp)
	if err != nil {
		return nil, err
	}
	// Processes that start together make these things once.
	held, err := lock(filepath.Join(kept, lockName), true)
	if err != nil {
		return nil, err
	}
	defer held.Close()

	p := &prepared{installation: found, as: as, temp: temp}
	linked := linkSymlinks(found.root)
	p.version, err = p.installation.version(ctx, as)
	if err != nil && ctx.Err() == nil {
		copied, errCopy := copyInstallation(found, kept)
		if errCopy != nil {
			return nil, errors.Join(linked, err, errCopy)
		}
		p.installation = copied
		p.version, err = copied.version(ctx, as)
	}
	if err != nil {
		return nil, err
	}
	p.cluster = filepath.Join(kept, "cluster")
	if err := makeOnce(p.cluster, func(staging string) error { return p.initdb(ctx, staging) }); err != nil {
		return nil, err
	}
	return p, nil
}

// openCache makes the folder for what is kept, or makes sure that the one that is there was made by this user.
func openCache(found installation, temp string) (string, error) {
	binary, err := os.Open(found.program("postgres"))
	if err != nil {
		return "", fmt.Errorf("read PostgreSQL's program: %w", err)
	}
	defer binary.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, binary); err != nil {
		return "", fmt.Errorf("read PostgreSQL's program: %w", err)
	}
	fmt.Fprintf(sum, "%q", initdbArguments)
	kept := filepath.Join(temp, fmt.Sprintf("perihelion-postgres-%d-%x", os.Geteuid(), sum.Sum(nil)[:8]))
	if err := os.Mkdir(kept, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	if err := isOurs(kept); err != nil {
		return "", fmt.Errorf("keep PostgreSQL among the temporary files: %w", err)
	}
	// The umask may have taken away the right to pass through.
	if err := os.Chmod(kept, 0o711); err != nil {
		return "", fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	return kept, nil
}

// copyInstallation copies the parts that a server needs to where every user can run them.
func copyInstallation(found installation, kept string) (installation, error) {
	copied := installation{root: filepath.Join(kept, "install")}
	err := makeOnce(copied.root, func(staging string) error {
		if err := os.Mkdir(staging, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(staging, 0o755); err != nil {
			return err
		}
		for _, part := range []string{"bin", "lib", "share"} {
			if err := copyTree(filepath.Join(found.root, part), filepath.Join(staging, part), account{}, 0o555); err != nil {
				return err
			}
		}
		list := "pg-symlinks.json"
		if err := copyFile(filepath.Join(found.root, list), filepath.Join(staging, list), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return linkSymlinks(staging)
	})
	if err != nil {
		return installation{}, fmt.Errorf("copy PostgreSQL from %s: %w", found.root, err)
	}
	return copied, nil
}

// makeOnce makes path unless it exists, through a neighbour that is renamed when it is whole. The caller holds the
// cache's lock.
func makeOnce(path string, fill func(staging string) error) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	staging := path + ".new"
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("remove what an interrupted run left: %w", err)
	}
	if err := fill(staging); err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return os.Rename(staging, path)
}

// initdb makes a cluster in the folder, which it creates.
func (p *prepared) initdb(ctx context.Context, folder string) error {
	if err := errors.Join(os.Mkdir(folder, 0o700), p.as.own(folder)); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	cmd := exec.CommandContext(ctx, p.program("initdb"), append([]string{"--pgdata=" + folder}, initdbArguments...)...)
	p.as.apply(cmd)
	cmd.Dir = string(filepath.Separator)
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a cluster with initdb as %s: %w: %s", p.as, err, strings.TrimSpace(string(out)))
	}
	return nil
}
