package upstream

import (
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for _, test := range []struct{ url, address, fails string }{
		{"postgres://u@db.example:5433/app", "db.example:5433", ""},
		{"postgresql://u@db.example/app?sslmode=verify-full", "db.example:5432", ""},
		{"postgres://u@[::1]:5433/app", "[::1]:5433", ""},
		{"postgres://u@/app?host=/run/postgresql&port=5433", "/run/postgresql/.s.PGSQL.5433", ""},
		{"postgres://u@a,b/app", "", "several hosts"},
		{"postgres://u@db/app?sslmode=sometimes", "", "sslmode"},
		{"postgres://u@db:port/app", "", "not a URL"},
		{"postgres://u@db/app?sslrootcert=/does/not/exist&sslmode=verify-ca", "", "CA"},
	} {
		t.Run(test.url, func(t *testing.T) {
			p, err := Open(test.url)
			switch {
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("got %v, want a complaint about %s", err, test.fails)
			case test.fails == "" && err != nil:
				t.Error(err)
			case err == nil && p.Address() != test.address:
				t.Errorf("got %s, want %s", p.Address(), test.address)
			}
		})
	}
}

// FuzzOpen reads URLs that nobody meant. An error never holds the password.
func FuzzOpen(f *testing.F) {
	f.Add("postgres://u:", "@db:5432/app?sslmode=prefer")
	f.Add("postgres://u:", "@db:54 32/app")
	f.Add("host=db password=", " sslmode=maybe")
	f.Add("postgres://u@db/app?password=", "&connect_timeout=x")
	const password = "correct-horse"
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, "/") && strings.Contains(before+after, "ssl") {
			return // it would read files
		}
		if _, err := Open(before + password + after); err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("%q shows the password", err)
		}
	})
}
