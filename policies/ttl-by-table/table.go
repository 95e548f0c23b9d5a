package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	policy "github.com/perihelion-proxy/perihelion/guest-sdk/go"
)

// never is the time to live of what is never cached.
const never time.Duration = 0

// table is the time to live of each relation that the configuration names.
type table map[string]time.Duration

// readTable reads the configuration. An empty one names no relation. All problems are reported at once.
func readTable(config []byte) (table, error) {
	t := table{}
	if len(bytes.TrimSpace(config)) == 0 {
		return t, nil
	}
	sections := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &sections); err != nil {
		return nil, fmt.Errorf("config is not an object: %w", err)
	}
	var problems []string // one line together: a log line has no other
	for _, key := range slices.Sorted(maps.Keys(sections)) {
		if key != "ttl" {
			problems = append(problems, fmt.Sprintf("config has the unknown key %q (known: ttl)", key))
		}
	}
	relations := map[string]json.RawMessage{}
	if section, ok := sections["ttl"]; ok {
		if err := json.Unmarshal(section, &relations); err != nil {
			problems = append(problems, fmt.Sprintf("ttl is not an object of relations: %v", err))
		}
	}
	for _, relation := range slices.Sorted(maps.Keys(relations)) {
		schema, name, qualified := strings.Cut(relation, ".")
		if !qualified || schema == "" || name == "" {
			problems = append(problems, fmt.Sprintf("ttl has the key %q (allowed: schema.table)", relation))
			continue
		}
		ttl, err := readTTL(relations[relation])
		if err != nil {
			problems = append(problems, fmt.Sprintf("ttl of %q %v", relation, err))
			continue
		}
		t[relation] = ttl
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return t, nil
}

// readTTL reads a duration such as "10m", or the number 0. Its errors go on where the key was named.
func readTTL(value json.RawMessage) (time.Duration, error) {
	var text string
	if string(value) == "0" {
		return never, nil
	}
	if json.Unmarshal(value, &text) != nil {
		text = ""
	}
	ttl, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`is %s (allowed: a duration such as "10m", or 0 for never)`, value)
	case ttl != never && (ttl < policy.MinTTL || ttl > policy.MaxTTL):
		return 0, fmt.Errorf("is %s (allowed: 0 for never, or from %s to %s)", value, policy.MinTTL, policy.MaxTTL)
	default:
		return ttl, nil
	}
}

// shortest returns the relation whose time to live is the smallest, the first of several, and that time. A relation
// that is not named has the standing one. If that is the smallest, or nothing is named, there is nothing to state and
// the relation is empty.
func (t table) shortest(relations []string, standing time.Duration) (relation string, ttl time.Duration) {
	unnamed := false
	for _, r := range relations {
		named, ok := t[r]
		switch {
		case !ok:
			unnamed = true
		case relation == "" || named < ttl:
			relation, ttl = r, named
		}
	}
	if unnamed && ttl > standing {
		return "", 0
	}
	return relation, ttl
}
