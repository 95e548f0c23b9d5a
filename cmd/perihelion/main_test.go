package main

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/perihelion-proxy/perihelion/host/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"perihelion": main})
}

func TestScripts(t *testing.T) {
	home, edge := explainer(t)
	policies, err := filepath.Abs(filepath.Join("..", "..", "policies"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME_URL", home)
			env.Setenv("EDGE_URL", edge)
			env.Setenv("POLICIES", policies)
			return nil
		},
	})
}

// flagsOf returns the flags of a command that set a key, by key.
func flagsOf(t *testing.T, path ...string) map[string]*kong.Flag {
	t.Helper()
	parser, err := newParser(&cli{}, world{stdout: io.Discard, stderr: io.Discard, exit: func(int) {}})
	if err != nil {
		t.Fatal(err)
	}
	current := parser.Model.Node
	for _, name := range path {
		var next *kong.Node
		for _, child := range current.Children {
			if child.Name == name {
				next = child
			}
		}
		if next == nil {
			t.Fatalf("no command %s", name)
		}
		current = next
	}
	flags := map[string]*kong.Flag{}
	for _, f := range current.Flags {
		if key := f.Tag.Get("key"); key != "" {
			flags[key] = f
		}
	}
	return flags
}

func TestEveryKeyHasItsFlagOnTheCommandsThatTakeAll(t *testing.T) {
	for _, path := range [][]string{{"serve"}, {"config", "check"}, {"config", "show"}} {
		flags := flagsOf(t, path...)
		for _, k := range config.Keys() {
			f := flags[k.Name]
			if f == nil {
				t.Errorf("%v: no flag for %s", path, k.Name)
				continue
			}
			if f.Name != k.Flag || f.IsSlice() != k.List {
				t.Errorf("%v: %s: got flag --%s, list %t, want --%s, list %t", path, k.Name, f.Name, f.IsSlice(), k.Flag, k.List)
			}
			delete(flags, k.Name)
		}
		for key := range flags {
			t.Errorf("%v: a flag sets %s, which is no key", path, key)
		}
	}
}

func TestARoleHasNoFlagThatTheOtherReads(t *testing.T) {
	for command, others := range map[string][]string{
		"home": {"edge.home_url", "edge.id", "renew_interval", "edge.role"},
		"edge": {"upstream", "edge.max_edges", "edge.default_ttl", "policies.folder", "edge.role"},
	} {
		flags := flagsOf(t, command)
		for _, key := range others {
			if flags[key] != nil {
				t.Errorf("%s has the flag --%s", command, flags[key].Name)
			}
		}
	}
}

func TestTheCommandSaysTheRoleOverAllOtherSources(t *testing.T) {
	var stderr bytes.Buffer
	code := run([]string{"edge", "--home-url", "http://127.0.0.1:1"}, world{
		stdout: io.Discard, stderr: &stderr, exit: func(int) {}, newNode: nil,
		environ: []string{"PERIHELION_EDGE_ROLE=home", "PERIHELION_EDGE_AUTH_TOKEN=T", "PERIHELION_UPSTREAM=postgres://h"},
	})
	const want = "perihelion: error: PERIHELION_UPSTREAM: upstream is set, but nobody reads it: the node's role is edge (perihelion edge)\n" +
		"perihelion: hint: remove it, or set edge.role to home\n"
	if code != exitUsage || stderr.String() != want {
		t.Errorf("got %d, %s, want %d, %s", code, &stderr, exitUsage, want)
	}
}
