package policy

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// defaultPriority is a policy's place in the order where it names none; lower runs first.
const defaultPriority = 100

// manifest is NAME.yaml: what a policy is for, and what it is given.
type manifest struct {
	match    match
	priority int
	memory   int
	fuel     int64 // of one decide
	sha256   string
	config   []byte // JSON; empty where there is none
}

// match says whose statements a policy sees: all that is named must hold; a list holds where one of its globs does.
type match struct {
	Tenants   []string `yaml:"tenants"`
	Databases []string `yaml:"databases"`
}

func (m match) matches(tenant, database string) bool {
	return oneMatches(m.Tenants, tenant) && oneMatches(m.Databases, database)
}

func oneMatches(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(glob string) bool {
		ok, _ := path.Match(glob, name) // its pattern was checked when it was read
		return ok
	})
}

// readManifest reads NAME.yaml. An empty text is a policy for every session, without configuration.
func readManifest(text []byte) (manifest, error) {
	m := manifest{priority: defaultPriority, memory: engine.DefaultMemory, fuel: engine.DefaultFuel}
	if len(text) > abi.MaxConfig {
		return m, fmt.Errorf("configuration has %d bytes, at most %d are allowed", len(text), abi.MaxConfig)
	}
	var file struct {
		Match    match  `yaml:"match"`
		Priority *int   `yaml:"priority"`
		Memory   string `yaml:"memory"`
		Fuel     *int64 `yaml:"fuel"`
		SHA256   string `yaml:"sha256"`
		Config   any    `yaml:"config"`
	}
	root, err := checkKeys(text)
	if err != nil {
		return m, fmt.Errorf("read configuration: %w", err)
	}
	if root != nil {
		if err := yaml.NodeToValue(root, &file, yaml.Strict()); err != nil {
			return m, fmt.Errorf("read configuration: %w", withoutSource(err))
		}
	}
	for _, glob := range slices.Concat(file.Match.Tenants, file.Match.Databases) {
		if _, err := path.Match(glob, ""); err != nil {
			return m, fmt.Errorf("match: %q is not a glob", glob)
		}
	}
	m.match = file.Match
	if file.Priority != nil {
		m.priority = *file.Priority
	}
	if file.Memory != "" {
		if m.memory, err = readSize(file.Memory); err != nil {
			return m, err
		}
	}
	if file.Fuel != nil {
		if m.fuel = *file.Fuel; m.fuel <= 0 || m.fuel > engine.MaxFuel {
			return m, fmt.Errorf("fuel: %d is not a number of steps from 1 to %d", m.fuel, engine.MaxFuel)
		}
	}
	if digest := strings.ToLower(file.SHA256); digest != "" {
		if len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
			return m, fmt.Errorf("sha256: %q is not 64 hexadecimal digits", file.SHA256)
		}
		m.sha256 = digest
	}
	if file.Config != nil {
		if m.config, err = json.Marshal(file.Config); err != nil {
			return m, fmt.Errorf("config: cannot be given to the module as JSON: %w", err)
		}
	}
	return m, nil
}

// readSize reads a memory cap such as 16MiB.
func readSize(text string) (int, error) {
	units := []struct {
		suffix string
		bytes  int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}, {"", 1}}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n <= 0 || n > engine.MaxMemory/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("memory: %q is not a size such as 16MiB, at most %d MiB", text, engine.MaxMemory>>20)
}
