package cases

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/policy"
)

const policies = "../../../policies"

func runner(t *testing.T) *Runner {
	t.Helper()
	r, err := NewRunner()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestShippedPoliciesPassTheirCases(t *testing.T) {
	r := runner(t)
	for _, name := range []string{"comment-hints", "residency", "ttl-by-table"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(policies, name)
			module := filepath.Join(folder, name+".wasm")
			if name == "ttl-by-table" {
				module = filepath.Join(t.TempDir(), name+".wasm")
				build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, ".")
				build.Dir, build.Env = folder, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("build the policy: %v\n%s", err, out)
				}
			}
			f, err := policy.ReadFiles(module)
			if err != nil {
				t.Fatal(err)
			}
			if f.Configuration, err = os.ReadFile(filepath.Join(folder, name+".yaml")); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(folder, "cases.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			all, err := Read(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				wrong, err := r.Run(t.Context(), f, c)
				if err != nil || len(wrong) > 0 {
					t.Errorf("case %q: %v\n%s", c.Name, err, strings.Join(wrong, "\n"))
				}
			}
		})
	}
}

// TestCommittedPoliciesAreWhatTheirSourcesGive builds them again where the compiler is there that they are of.
func TestCommittedPoliciesAreWhatTheirSourcesGive(t *testing.T) {
	version, err := exec.CommandContext(t.Context(), "clang", "--version").Output()
	same := err == nil && strings.Contains(string(version), "clang version 14.")
	for _, name := range []string{"comment-hints", "residency"} {
		folder := filepath.Join(policies, name)
		committed, err := os.ReadFile(filepath.Join(folder, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		if !same {
			t.Logf("no clang 14 here: %s.wasm is not built again", name)
			continue
		}
		built := filepath.Join(t.TempDir(), "built.wasm")
		build := exec.CommandContext(t.Context(), filepath.Join(folder, "build.sh"), built)
		build.Env = append(os.Environ(), "CC=clang")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
		if again, err := os.ReadFile(built); err != nil || !bytes.Equal(again, committed) {
			t.Errorf("%s.wasm is not what policy.c gives (%v): run policies/%s/build.sh", name, err, name)
		}
	}
}

func TestWhatIsExpectedInVainIsSaid(t *testing.T) {
	f, err := policy.ReadFiles(filepath.Join(policies, "residency", "residency.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	r := runner(t)
	for name, test := range map[string]struct{ yaml, want string }{
		"every part": {
			"statement: {relations: [public.payments]}, expect: {cache: false, ttl: 2s, stale: 1s, level: strong, max_result_bytes: 5, edges: true, reason: x}",
			"cache: got true, want false\nttl: got 1m0s, want 2s\nstale: got 0s, want 1s\nlevel: got bounded, want strong\nmax_result_bytes: got 0, want 5\n" +
				"edges: got false, want true\nreason: got a relation of it never leaves the home, want x",
		},
		"a failure":                    {"expect: {fails: trap}", `fails: got a decision, want "trap"`},
		"a refusal":                    {"expect: {refused: no}", `refused: got a module that loads, want "no"`},
		"a refusal that none expected": {"config: {}, expect: {cache: true}", "with a list of schema.table"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Read([]byte("cases: [{name: one, " + test.yaml + "}]"))
			if err != nil {
				t.Fatal(err)
			}
			wrong, err := r.Run(t.Context(), f, all[0])
			if got := strings.Join(wrong, "\n"); err != nil || !strings.Contains(got, test.want) {
				t.Errorf("got\n%s (error %v), want\n%s", got, err, test.want)
			}
		})
	}
}

func TestFilesOfCasesThatCannotFailAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "there are no cases",
		"cases: []":                        "there are no cases",
		"cases: [{name: one}]":             "expects nothing",
		"cases: [{expect: {cache: true}}]": "needs a name",
		"cases: [{name: one, expect: {cache: true}}, {name: one, expect: {cache: true}}]": "that no other case has",
		"cases: [{name: one, expect: {cached: true}}]":                                    "cached",
		"cases: [{name: one, statement: {verdict: write}, expect: {cache: true}}]":        "neither read nor unstable",
		"# " + strings.Repeat("x", MaxFile):                                               "at most",
	} {
		if _, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want %q", text, err, want)
		}
	}
}
