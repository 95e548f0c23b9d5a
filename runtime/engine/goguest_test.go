package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goGuest builds testdata/guest as a policy in Go is built.
func goGuest(t testing.TB) []byte { return buildGo(t, filepath.Join("testdata", "guest")) }

// buildGo builds a policy in Go.
func buildGo(t testing.TB, folder string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guest.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, ".")
	build.Dir = folder
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestGuestInGo(t *testing.T) {
	wasm := goGuest(t)
	now := time.UnixMilli(1_700_000_000_123)
	e := newEngine(t, Options{
		CacheDir: filepath.Join(t.TempDir(), "cache"), Now: func() time.Time { return now },
	})
	var fuel int64
	run := func(t *testing.T, mode, tenant string, seed uint64) (logged string, err error) {
		t.Helper()
		var lines []string
		m, err := e.Load(t.Context(), wasm, ModuleOptions{Config: []byte(mode), Seed: seed, Fuel: fuel, Log: func(_ int, line string, _ int) { lines = append(lines, line) }})
		if err != nil {
			t.Fatalf("load: %v", err)
		}
		err = m.Decide(t.Context(), tenant, &question{})
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		return strings.Join(lines, "\n") + "\n", err
	}

	t.Run("finds nothing outside", func(t *testing.T) {
		if _, err := run(t, "look around", "", 0); err != nil {
			t.Errorf("it found number %v", err)
		}
	})
	t.Run("has the randomness of its tenant and seed", func(t *testing.T) {
		number := func(tenant string, seed uint64) string {
			got, err := run(t, "random", tenant, seed)
			if err != nil || len(got) < 8 {
				t.Fatalf("logged %q, %v", got, err)
			}
			return got
		}
		first := number("a", 1)
		if again := number("a", 1); again != first {
			t.Errorf("%s, and %s again, want the same", first, again)
		}
		if number("b", 1) == first || number("a", 2) == first {
			t.Error("another tenant or seed has the same numbers")
		}
	})
	for _, test := range []struct {
		mode            string
		fuel            int64
		failure, logged string
	}{
		{"print", 0, "", "on stderr"},
		{"print", 0, "", "on stdout"},
		{"panic", 0, "unreachable", "panic: broken\n"},
		{"exit", 0, "exited with 0", ""},
		{"wait for ever", 0, "unreachable", "deadlock"},
		{"grow", 0, "spent its fuel of 500000", ""},
		{"grow", MaxFuel, "unreachable", "out of memory"},
		{"recurse", 0, "spent its fuel of 500000", ""},
	} {
		t.Run(test.mode, func(t *testing.T) {
			fuel = test.fuel
			text, err := run(t, test.mode, "", 0)
			if got := errorText(err); !strings.Contains(got, test.failure) || (got == "") != (test.failure == "") {
				t.Errorf("got %q, want %q", got, test.failure)
			}
			if !strings.Contains(text, test.logged) || len(text) > logBurst*1024 {
				t.Errorf("logged %d bytes, %.500q, want %q in it", len(text), text, test.logged)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func BenchmarkGuestInGo(b *testing.B) {
	wasm := goGuest(b)
	m, err := newEngine(b, Options{}).Load(b.Context(), wasm, ModuleOptions{Config: []byte("count")})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decide(b.Context(), "", &question{}); err != nil {
			b.Fatal(err)
		}
	}
}
