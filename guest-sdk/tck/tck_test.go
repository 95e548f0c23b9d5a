package tck

import "testing"

func TestEveryLineOfTheABIHasACase(t *testing.T) {
	if missing := Uncovered(); len(missing) > 0 {
		t.Errorf("no case is about %q", missing)
	}
	names := map[string]bool{}
	for _, c := range cases() {
		if names[c.name] {
			t.Errorf("case %q is there twice", c.name)
		}
		names[c.name] = true
	}
}
