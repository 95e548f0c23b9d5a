package statement

import (
	"slices"
	"strings"
	"testing"
)

func TestSearchPath(t *testing.T) {
	for _, test := range []struct {
		value, user string
		want        []string
	}{
		{`"$user", public`, "ann", []string{"ann", "public", "pg_catalog"}},
		{`"$user", public`, "", nil},
		{`$user,public`, "ann", []string{"ann", "public", "pg_catalog"}},
		{"", "ann", []string{"pg_catalog"}},
		{"pg_catalog, A , b", "", []string{"pg_catalog", "a", "b"}},
		{`"A ""b"", c",d`, "", []string{`A "b", c`, "d", "pg_catalog"}},
		{`"a`, "", nil},
		{`a b`, "", nil},
		{`a,`, "", nil},
		{`""`, "", nil},
		{`é`, "", nil},
		{`"é"`, "", []string{"é", "pg_catalog"}},
		{"pg_temp, public", "", nil},
		{"a, pg_temp_3", "", nil},
		{strings.Repeat("a", 63), "", []string{strings.Repeat("a", 63), "pg_catalog"}},
		{strings.Repeat("a", 64) + ", b", "", nil},
		{"digest:0011", "", []string{"digest:0011", "pg_catalog"}},
	} {
		if got := Schemas(SearchPath(test.value, test.user)); !slices.Equal(got, test.want) {
			t.Errorf("%q of %q: got %q, want %q", test.value, test.user, got, test.want)
		}
	}
}
