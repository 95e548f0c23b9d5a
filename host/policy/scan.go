package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// maxPolicies bounds how many policies a folder may hold.
const maxPolicies = 256

// signature is what a look at a file without reading it tells.
type signature struct {
	wasm, yaml fileSignature
}

type fileSignature struct {
	size     int64
	modified time.Time
}

// source is the files of one policy.
type source struct {
	name       string
	wasm, yaml []byte
	digest     string
	identity   string
}

// scanLocked looks at the folder and puts in charge what has changed. Where nothing has, nothing happens. all reads
// every file, even one that looks as it did. An error means that the folder itself cannot be read.
func (s *Set) scanLocked(ctx context.Context, all bool) error {
	if s.options.OnScan != nil {
		defer s.options.OnScan()
	}
	names, seen, err := s.list()
	if err != nil {
		return err
	}
	if !all && maps.Equal(seen, s.mu.seen) {
		return nil
	}
	old := map[string]*policy{}
	for _, p := range s.current.Load().policies {
		old[p.name] = p
	}
	var kept []*policy
	changed := false
	for _, name := range names {
		p, err := s.loadLocked(ctx, name, old[name])
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			s.logger.Error("policy was refused; what was in charge stays", "policy", name, "reason", err.Error())
			p = old[name]
		}
		if p != nil {
			kept = append(kept, p)
			changed = changed || p != old[name]
		}
	}
	for name := range s.mu.refusals {
		if !slices.Contains(names, name) {
			delete(s.mu.refusals, name)
		}
	}
	s.mu.seen = seen
	if !changed && len(kept) == len(old) {
		return nil
	}
	s.swapLocked(kept)
	s.logger.Info("policies changed", "generation", s.Generation(), "policies", len(kept))
	for _, p := range old {
		if slices.Contains(kept, p) {
			continue
		}
		// Waits for the calls under way, which a deadline bounds.
		if err := p.module.Close(ctx); err != nil {
			s.logger.Warn("policy could not be closed", "policy", p.name, "error", err.Error())
		}
	}
	return nil
}

// list returns the names of the policies in the folder, sorted, and what their files look like.
func (s *Set) list() ([]string, map[string]signature, error) {
	entries, err := os.ReadDir(s.options.Folder)
	if err != nil {
		return nil, nil, fmt.Errorf("read the policies folder: %w", err)
	}
	seen := map[string]signature{}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".wasm")
		if !ok || name == "" || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		if len(names) == maxPolicies {
			return nil, nil, fmt.Errorf("the policies folder holds more than %d policies", maxPolicies)
		}
		names = append(names, name)
		seen[name] = signature{wasm: s.look(name + ".wasm"), yaml: s.look(name + ".yaml")}
	}
	slices.Sort(names)
	return names, seen, nil
}

// look follows links: a folder that Kubernetes mounts is swapped behind one.
func (s *Set) look(name string) fileSignature {
	info, err := os.Stat(filepath.Join(s.options.Folder, name))
	if err != nil {
		return fileSignature{size: -1}
	}
	return fileSignature{info.Size(), info.ModTime()}
}

// loadLocked returns the policy of a name, old where its files have not changed. A version that was refused before is
// not tried again, and is no error again.
func (s *Set) loadLocked(ctx context.Context, name string, old *policy) (*policy, error) {
	src, err := s.read(name)
	if err == nil {
		if old != nil && src.identity == old.identity {
			delete(s.mu.refusals, name)
			return old, nil
		}
		if r, ok := s.mu.refusals[name]; ok && r.identity == src.identity {
			return old, nil
		}
		var p *policy
		if p, err = s.compile(ctx, src); err == nil {
			delete(s.mu.refusals, name)
			return p, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) && old == nil {
		return nil, nil // gone again since the folder was listed
	}
	if r, ok := s.mu.refusals[name]; ok && r.identity == src.identity && r.reason == err.Error() {
		return old, nil
	}
	s.mu.refusals[name] = refusal{identity: src.identity, reason: err.Error(), at: time.Now()}
	return nil, err
}

// read reads the files of a policy.
func (s *Set) read(name string) (source, error) {
	src := source{name: name}
	var err error
	if src.wasm, err = readCapped(filepath.Join(s.options.Folder, name+".wasm"), abi.MaxModule); err != nil {
		return src, fmt.Errorf("read module: %w", err)
	}
	if src.yaml, err = readCapped(filepath.Join(s.options.Folder, name+".yaml"), abi.MaxConfig); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return src, fmt.Errorf("read configuration: %w", err)
	}
	module, configuration := sha256.Sum256(src.wasm), sha256.Sum256(src.yaml)
	src.digest = hex.EncodeToString(module[:])
	src.identity = src.digest + hex.EncodeToString(configuration[:])
	return src, nil
}

// readCapped reads a file of at most max bytes.
func readCapped(path string, max int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > max {
		return nil, fmt.Errorf("file is larger than the %d bytes that are allowed", max)
	}
	return content, nil
}

// compile makes a policy of its files, and tries that it starts.
func (s *Set) compile(ctx context.Context, src source) (*policy, error) {
	m, err := readManifest(src.yaml)
	if err != nil {
		return nil, err
	}
	if m.sha256 != "" && m.sha256 != src.digest {
		return nil, fmt.Errorf("module has the digest %s, its configuration wants %s", src.digest, m.sha256)
	}
	began := time.Now()
	p := &policy{name: src.name, digest: src.digest, identity: src.identity, manifest: m, loadedAt: began}
	p.module, err = s.engine.Load(ctx, src.wasm, engine.ModuleOptions{
		Config: m.config, Memory: m.memory, Seed: s.Generation(),
		Log: func(level int, message string, dropped int) {
			s.logger.Log(ctx, slog.Level(4*min(max(level, int(abi.LevelDebug)), int(abi.LevelError))), "policy says", "policy", src.name, "text", message, "dropped", dropped)
		},
	})
	if err != nil {
		return nil, err
	}
	s.logger.Info("policy loaded", "policy", p.name, "sha256", p.digest, "took", time.Since(began).Round(time.Millisecond).String())
	return p, nil
}
