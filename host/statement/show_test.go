package statement

import "testing"

func TestReadShow(t *testing.T) {
	for text, want := range map[string]string{
		"SHOW perihelion.last":                    "last",
		"show Perihelion.LAST ; ;":                "LAST",
		"/* a */ show -- b\nperihelion . version": "version",
		"show perihelion.last; select 1":          "",
		"show perihelion.last_":                   "",
		"show perihelion":                         "",
		"show perihelion.":                        "",
		"show perihelionlast":                     "",
		"show perihelion.last.more":               "",
		"shows perihelion.last":                   "",
		"set perihelion.last = 1":                 "",
		"show all":                                "",
		"":                                        "",
	} {
		if got := string(ReadShow([]byte(text))); got != want {
			t.Errorf("ReadShow(%q) = %q, want %q", text, got, want)
		}
	}
	text := []byte("show /* of */ perihelion.last;")
	if n := testing.AllocsPerRun(100, func() { ReadShow(text) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
