package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// edgeJSON is the section as JSON. One home is a string, several are an array.
type edgeJSON struct {
	Role       Role            `json:"role"`
	HomeURL    any             `json:"home_url"`
	AuthToken  json.RawMessage `json:"auth_token"`
	DefaultTTL string          `json:"default_ttl"`
	MaxEntries int             `json:"max_entries"`
	MaxEdges   int             `json:"max_edges"`
	ID         string          `json:"id"`
}

func (e EdgeSection) marshal(token any) ([]byte, error) {
	raw, err := json.Marshal(token)
	if err != nil {
		return nil, err
	}
	var homes any = append([]string{}, e.HomeURL...)
	if len(e.HomeURL) == 1 {
		homes = e.HomeURL[0]
	}
	return json.Marshal(edgeJSON{ //nolint:gosec // G117: the caller has redacted it, or was asked not to
		Role: e.Role, HomeURL: homes, AuthToken: raw, DefaultTTL: formatDuration(e.DefaultTTL),
		MaxEntries: e.MaxEntries, MaxEdges: e.MaxEdges, ID: e.ID,
	})
}

// MarshalJSON returns the section as a file would have it, with the token redacted.
func (e EdgeSection) MarshalJSON() ([]byte, error) { return e.marshal(e.AuthToken) }

// RevealJSON returns the same as MarshalJSON with the token itself: for another node's configuration, not for a log.
func (e EdgeSection) RevealJSON() ([]byte, error) { return e.marshal(e.AuthToken.Reveal()) }

// UnmarshalJSON reads the section as a file's: what is absent has its default, an unknown key or a value that is not
// allowed is an error. A redacted token says nothing of the token, so the section keeps the one that it has. The
// section is unchanged after an error. Keys that go together are not checked; [Load] does that.
func (e *EdgeSection) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("read section edge: %w", err)
	}
	c := &Config{Edge: defaultEdge()}
	rows, names := map[string]entry{}, []string{}
	for _, row := range edgeTable() {
		rows[row.name] = row
		names = append(names, row.name)
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		name, raw := "edge."+field, fields[field]
		row, known := rows[name]
		if !known {
			return fmt.Errorf("read section edge: %s is not a known key (the nearest known key is %s)", quoteKey(field), strings.TrimPrefix(nearest(name, names), "edge."))
		}
		values, err := jsonValues(raw, row.list)
		if err != nil {
			return fmt.Errorf("read section edge: %s %w (allowed: %s)", field, err, row.allowed)
		}
		if name == keyAuthToken && values[0] == redacted {
			c.Edge.AuthToken = e.AuthToken
			continue
		}
		if err := row.set(c, values); err != nil {
			return fmt.Errorf("read section edge: %s %w (allowed: %s)", field, err, row.allowed)
		}
	}
	*e = c.Edge
	return nil
}

// jsonValues returns the texts in a JSON string or number, or in a list of strings.
func jsonValues(raw json.RawMessage, list bool) ([]string, error) {
	raw = bytes.TrimSpace(raw)
	var text string
	var number json.Number
	var texts []string
	switch {
	case bytes.Equal(raw, []byte("null")):
		return nil, errors.New("has no value")
	case json.Unmarshal(raw, &text) == nil:
		return []string{text}, nil
	case json.Unmarshal(raw, &number) == nil:
		return []string{number.String()}, nil
	case list && json.Unmarshal(raw, &texts) == nil:
		if len(texts) == 0 {
			texts = []string{""}
		}
		return texts, nil
	default:
		return nil, errors.New("has a value of another kind")
	}
}
