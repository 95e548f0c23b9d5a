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

// scan looks at the folder and puts in charge what has changed. Where nothing has, nothing happens. all reads every
// file, even one that looks as it did. An error means that the folder itself cannot be read.
func (s *Set) scan(ctx context.Context, all bool) error {
	if s.options.OnScan != nil {
		defer s.options.OnScan()
	}
	names, seen, err := s.list()
	if err != nil {
		return err
	}
	if !all && maps.Equal(seen, s.seen) {
		return nil
	}
	old := map[string]*policy{}
	for _, p := range s.current.Load().policies {
		old[p.name] = p
	}
	var kept []*policy
	changed := false
	for _, name := range names {
		p, err := s.load(ctx, name, old[name])
		switch {
		case ctx.Err() != nil:
			// What was loaded on the way never was in charge.
			s.closeAll(ctx, append(kept, p), old)
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
	s.mu.Lock()
	maps.DeleteFunc(s.mu.refusals, func(name string, _ refusal) bool { return !slices.Contains(names, name) })
	s.mu.Unlock()
	s.seen = seen
	if !changed && len(kept) == len(old) {
		return nil
	}
	s.swapping.Lock()
	before := s.current.Load()
	g := s.swapLocked(kept)
	s.swapping.Unlock()
	s.judgeAgain(ctx, before, g)
	s.logger.Info("policies changed", "generation", s.Generation(), "policies", len(kept))
	now := map[string]*policy{}
	for _, p := range kept {
		now[p.name] = p
	}
	s.closeAll(ctx, slices.Collect(maps.Values(old)), now)
	return nil
}

// closeAll closes policies but those that stay. It waits for the calls under way, which their fuel bounds.
func (s *Set) closeAll(ctx context.Context, policies []*policy, stay map[string]*policy) {
	for _, p := range policies {
		if p == nil || stay[p.name] == p {
			continue
		}
		if err := p.module.Close(context.WithoutCancel(ctx)); err != nil {
			s.logger.Warn("policy could not be closed", "policy", p.name, "error", err.Error())
		}
	}
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

// load returns the policy of a name, old where its files have not changed. A version that was refused before is not
// tried again, and is no error again.
func (s *Set) load(ctx context.Context, name string, old *policy) (*policy, error) {
	src, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) && old == nil {
		return nil, nil // gone again since the folder was listed
	}
	s.mu.Lock()
	before, refusedBefore := s.mu.refusals[name]
	s.mu.Unlock()
	if err == nil {
		if old != nil && src.identity == old.identity {
			s.note(name, nil)
			return old, nil
		}
		if refusedBefore && before.identity == src.identity {
			return old, nil
		}
		var p *policy
		if p, err = s.compile(ctx, src); err == nil {
			s.note(name, nil)
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, err // says nothing about the file
		}
	}
	if refusedBefore && before.identity == src.identity && before.reason == err.Error() {
		return old, nil
	}
	s.note(name, &refusal{identity: src.identity, reason: err.Error(), at: time.Now()})
	return nil, err
}

// note remembers that the newest version of a file was refused, or, where r is nil, that it was not.
func (s *Set) note(name string, r *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		delete(s.mu.refusals, name)
		return
	}
	s.mu.refusals[name] = *r
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

// readCapped reads a file of at most limit bytes. A pipe, which could be waited for for ever, is none. A link to nothing
// is an error of its own: whoever made it meant a policy to be there.
func readCapped(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, linkErr := os.Lstat(path); linkErr == nil {
			return nil, fmt.Errorf("%s is a link to a file that is not there", filepath.Base(path))
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > limit {
		return nil, fmt.Errorf("file is larger than the %d bytes that are allowed", limit)
	}
	return content, nil
}

// compile makes a policy of its files, and tries that it starts.
func (s *Set) compile(ctx context.Context, src source) (*policy, error) {
	m, err := readManifest(src.yaml)
	if err != nil {
		return nil, err
	}
	return s.compileWith(ctx, src, m)
}

// compileWith does it for a configuration that has been read.
func (s *Set) compileWith(ctx context.Context, src source, m manifest) (*policy, error) {
	if m.sha256 != "" && m.sha256 != src.digest {
		return nil, fmt.Errorf("module has the digest %s, its configuration wants %s", src.digest, m.sha256)
	}
	began := time.Now()
	p := &policy{name: src.name, digest: src.digest, identity: src.identity, manifest: m, loadedAt: began}
	var err error
	p.module, err = s.engine.Load(ctx, src.wasm, engine.ModuleOptions{
		Config: m.config, Memory: m.memory, Fuel: m.fuel, Seed: s.Generation(), Counters: s.current.Load().counters(src.name),
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
