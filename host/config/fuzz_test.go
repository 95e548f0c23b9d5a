package config

import (
	"errors"
	"strings"
	"testing"
)

// FuzzFile feeds the loader files. It must not panic, must explain what it refuses, and what it lets through must
// pass again when it is given as variables.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "---\n", "# nothing\n", "listen: 127.0.0.1:6432\nhttp: :0\nadmin_token: abc\n",
		"edge:\n  role: edge\n  home_url: [http://a, 'https://b/']\n  auth_token: t\n  default_ttl: 60s\n",
		"cache: {max_bytes: 16MiB, max_entry_bytes: 1KiB}\n", "log:\n  level: debug\n  format: json\n",
		"region: &a x\nlisten: *a\n", "<<: {region: x}\n", "region: !!str x\n", "region: |\n  x\n", "? region\n: x\n",
		"region: x\n---\nregion: y\n", "%YAML 1.2\n---\n{}", "{", "[", "- - -", "\"", "'", "\t", "\x00", "\xff", "a: b: c",
		"!a !b !c d", "&a &b c", ": : :", "?", "? ? ?", "{a: {b: {c: d}}}", "region: \"\\u00", "region: >-\n", "*", "{}: {}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader()
		l.parseFile("f", data)
		l.flags(homeFlags())
		c, err := l.finish()
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("%q: got %v, want an *Error with problems", data, err)
			}
			for _, p := range e.Problems {
				if p.Wrong == "" || p.Allowed == "" {
					t.Errorf("%q: %+v explains nothing", data, p)
				}
			}
			return
		}
		var environ []string
		for _, k := range table() {
			value := k.get(c)
			switch {
			case value == redacted:
				value = "secret"
			case k.name == keyUpstream && strings.Contains(value, redacted):
				continue
			}
			if c.sources[k.name] != "" && c.sources[k.name] != keyAuthToken {
				environ = append(environ, k.env()+"="+value)
			}
		}
		again, err := Load(Sources{Environ: environ, Flags: homeFlags()})
		if err != nil {
			t.Fatalf("%q: %q: %v", data, environ, err)
		}
		for i, s := range again.Settings() {
			if want := c.Settings()[i].Value; s.Value != want {
				t.Errorf("%q: %s: got %q, want %q", data, s.Key, s.Value, want)
			}
		}
	})
}
