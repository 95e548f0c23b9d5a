package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Where a node listens for clients where nothing is said. They differ so that both can run on one machine.
const (
	defaultListenHome = "127.0.0.1:6432"
	defaultListenEdge = "127.0.0.1:7432"
)

// validate fills in defaults that depend on other keys and checks what a key's own row cannot: how keys go together.
func (l *loader) validate() {
	c := l.config
	if c.Listen == "" {
		c.Listen = defaultListenHome
		if c.Edge.Role == Edge {
			c.Listen = defaultListenEdge
		}
	}
	if !l.isSet(keyRenewInterval) {
		c.RenewInterval = min(c.RenewInterval, c.MaxStaleness/5)
	}
	if c.AdminToken == "" && c.Edge.AuthToken != "" {
		c.AdminToken = c.Edge.AuthToken
		c.sources[keyAdminToken] = keyAuthToken
	}
	l.validateRole()
	l.validatePairs()
}

// validateRole checks that a role has what it needs, and nothing that would mean another role.
func (l *loader) validateRole() {
	c := l.config
	if l.failed[keyRole] {
		return
	}
	switch c.Edge.Role {
	case Home:
		if c.Upstream == "" {
			l.missing(keyUpstream, "a home needs a Postgres to forward to")
		}
		if len(c.Edge.HomeURL) > 0 {
			l.unread(keyHomeURL)
		}
		if c.HTTP != "" && c.Edge.AuthToken == "" {
			l.missing(keyAuthToken, "a home with an http address needs the token that edges show")
		}
	case Edge:
		if len(c.Edge.HomeURL) == 0 {
			l.missing(keyHomeURL, "an edge needs a home to forward to")
		}
		if c.Upstream != "" {
			l.unread(keyUpstream)
		}
		if c.Edge.AuthToken == "" {
			l.missing(keyAuthToken, "an edge needs the token that it shows to its home")
		}
	}
}

// validatePairs checks keys that bound each other.
func (l *loader) validatePairs() {
	c := l.config
	if !l.failed[keyRenewInterval] && !l.failed[keyMaxStaleness] && c.RenewInterval >= c.MaxStaleness/2 {
		half := formatDuration((c.MaxStaleness / 2).Round(time.Microsecond))
		l.conflict(keyRenewInterval, keyMaxStaleness, "is not less than half of", "less than "+half+", or a larger "+keyMaxStaleness)
	}
	if !l.failed[keyMaxBytes] && !l.failed[keyMaxEntryBytes] && c.Cache.MaxEntryBytes > c.Cache.MaxBytes {
		l.conflict(keyMaxEntryBytes, keyMaxBytes, "is more than", "at most "+c.Cache.MaxBytes.String()+", or a larger "+keyMaxBytes)
	}
	for _, pair := range [...]struct{ cert, key, certKey, keyKey string }{
		{c.TLS.Cert, c.TLS.Key, keyTLSCert, keyTLSKey}, {c.HTTPTLS.Cert, c.HTTPTLS.Key, keyHTTPTLSCert, keyHTTPTLSKey},
	} {
		switch {
		case pair.cert != "" && pair.key == "":
			l.missing(pair.keyKey, "a certificate needs its key")
		case pair.cert == "" && pair.key != "":
			l.missing(pair.certKey, "a key needs its certificate")
		}
	}
	if c.HTTP == c.Listen && !strings.HasSuffix(c.HTTP, ":0") {
		l.conflict(keyHTTP, keyListen, "is the same as", "two addresses")
	}
}

func (l *loader) isSet(key string) bool { return l.config.sources[key] != "" }

// source says where a key's value came from.
func (l *loader) source(key string) string {
	if s := l.config.sources[key]; s != "" {
		return s
	}
	return sourceDefault
}

// missing reports a key that must be set, unless it was and its name or its value was refused, or it may be in a
// file that could not be read.
func (l *loader) missing(key, why string) {
	if l.failed[key] || l.fileBroken {
		return
	}
	row := l.rows[key]
	l.problem(Problem{
		Key: key, Source: l.config.sources[key], Wrong: "is not set: " + why,
		Allowed: fmt.Sprintf("set %s in the file, %s or --%s; allowed: %s", key, row.env(), row.flag, row.allowed),
	})
}

// unread reports a key that the role does not read and whose presence means that something else was meant.
func (l *loader) unread(key string) {
	role, other := l.config.Edge.Role, Edge
	if role == Edge {
		other = Home
	}
	l.problem(Problem{
		Key: key, Source: l.source(key), Wrong: fmt.Sprintf("is set, but nobody reads it: the node's role is %s (%s)", role, l.source(keyRole)),
		Allowed: fmt.Sprintf("remove it, or set %s to %s", keyRole, other),
	})
}

func (l *loader) conflict(key, other, wrong, allowed string) {
	value := func(key string) string { return l.rows[key].get(l.config) }
	l.problem(Problem{
		Key: key, Value: quote([]string{value(key)}), Source: l.source(key),
		Wrong:   fmt.Sprintf("%s %s %q (%s)", wrong, other, value(other), l.source(other)),
		Allowed: "allowed: " + allowed,
	})
}

// warn notes what is allowed but hardly meant. The configuration is valid.
func (l *loader) warn() {
	c := l.config
	warn := func(format string, args ...any) { c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...)) }
	const strong = 16
	if n := len(c.Edge.AuthToken); n > 0 && n < strong {
		warn("%s is shorter than %d characters: whoever guesses it reads what an edge may read", keyAuthToken, strong)
	}
	switch {
	case c.HTTP == "":
	case !l.isSet(keyAdminToken) || c.sources[keyAdminToken] == keyAuthToken:
		warn("%s is not set: every edge holds the token that opens the API for people", keyAdminToken)
	case c.AdminToken == c.Edge.AuthToken:
		warn("%s is the same as %s: every edge holds the token that opens the API for people", keyAdminToken, keyAuthToken)
	case len(c.AdminToken) < strong:
		warn("%s is shorter than %d characters: whoever guesses it controls the node", keyAdminToken, strong)
	}
	for _, text := range c.Edge.HomeURL {
		if u, err := url.Parse(text); err == nil && u.Scheme == "http" && !isLoopback(u) {
			warn("%s %s is not encrypted: the token and all data can be read on the way", keyHomeURL, text)
		}
	}
	if c.Policies.Folder == "" && c.Edge.Role == Home {
		for _, key := range []string{keyMaxFailures, keyCacheDir} {
			if l.isSet(key) {
				warn("%s is set (%s), but nobody reads it without %s", key, l.source(key), keyFolder)
			}
		}
	}
	if c.Source == SourceWire && c.Edge.Role == Home && l.isSet(keyMaxSlots) {
		warn("%s is set (%s), but nobody reads it where source is %s", keyMaxSlots, l.source(keyMaxSlots), c.Source)
	}
	for _, name := range l.names {
		if row := l.rows[name]; row.onlyFor != "" && row.onlyFor != c.Edge.Role && l.isSet(name) && row.get(c) != "" {
			warn("%s is set (%s), but only the role %s reads it and this node's is %s", name, l.source(name), row.onlyFor, c.Edge.Role)
		}
	}
}
