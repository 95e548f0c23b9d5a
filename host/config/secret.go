package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
)

// redacted is what a secret looks like from outside.
const redacted = "redacted"

// Secret is a string that does not show in logs, JSON, messages or a debugger's %#v: it prints as "redacted", and as
// nothing where it is empty. [Secret.Reveal] returns what it is. fmt cannot call methods on unexported fields, so a
// Secret belongs in exported ones; and it does not ask for %p, which vet refuses here.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "redacted", or nothing where the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints the same as String under every verb, also under those that do not fit a string.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString returns the same as String.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns the same as String. It never fails.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns String as a JSON string. It never fails.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue returns the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Upstream is the URL of a Postgres. Its user information is the home's own control connection. It prints with the
// password redacted; [Upstream.Reveal] returns the whole.
type Upstream string

// Reveal returns the URL with its password.
func (u Upstream) Reveal() string { return string(u) }

// String returns the URL with passwords redacted. What does not parse is not shown at all.
func (u Upstream) String() string {
	if u == "" {
		return ""
	}
	parsed, err := url.Parse(string(u))
	// Without a host the user information of a mistyped URL would be in its opaque part or its path.
	if err != nil || parsed.Opaque != "" || parsed.Host == "" && parsed.Query().Get("host") == "" {
		return redacted
	}
	if _, ok := parsed.User.Password(); ok {
		parsed.User = url.UserPassword(parsed.User.Username(), redacted)
	}
	query, changed := parsed.Query(), false
	for _, name := range passwordParameters() {
		if query.Has(name) {
			query.Set(name, redacted)
			changed = true
		}
	}
	if changed {
		parsed.RawQuery = query.Encode()
	}
	return parsed.String()
}

// passwordParameters are the parameters of a Postgres URL that hold a secret.
func passwordParameters() []string { return []string{"password", "sslpassword"} }

// hasRedacted reports whether the URL came from something printed.
func (u Upstream) hasRedacted() bool {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return string(u) == redacted
	}
	if password, _ := parsed.User.Password(); password == redacted {
		return true
	}
	for _, name := range passwordParameters() {
		if parsed.Query().Get(name) == redacted {
			return true
		}
	}
	return false
}

// Format prints the same as String under every verb.
func (u Upstream) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.String())) }

// GoString returns the same as String.
func (u Upstream) GoString() string { return u.String() }

// MarshalText returns the same as String. It never fails.
func (u Upstream) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalJSON returns String as a JSON string. It never fails.
func (u Upstream) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// LogValue returns the same as String.
func (u Upstream) LogValue() slog.Value { return slog.StringValue(u.String()) }
