package analyze

import (
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

func TestEachStatementOfATextIsExplained(t *testing.T) {
	a := analyzer(shop())
	sql := "SELECT 'ä' FROM orders ;\n\tSELECT now();SET search_path = crm; SELECT * FROM users"
	parts := a.ExplainParts(t.Context(), "db", statement.SearchPath("public", "u"), sql)
	if len(parts) != 4 {
		t.Fatalf("%d parts, want 4", len(parts))
	}
	for i, want := range []struct {
		text     string
		position int
		verdict  statement.Verdict
	}{
		{"SELECT 'ä' FROM orders ", 1, statement.Read},
		{"SELECT now()", 27, statement.Unstable},
		{"SET search_path = crm", 40, statement.Session},
		{"SELECT * FROM users", 63, statement.Read},
	} {
		if p := parts[i]; p.Text != want.text || p.Position != want.position || p.Verdict != want.verdict {
			t.Errorf("part %d: %q at %d is %s, want %q at %d, %s", i, p.Text, p.Position, p.Verdict, want.text, want.position, want.verdict)
		}
	}
	// One of them changes the search_path: a name stands for everything of that name.
	if got := strings.Join(parts[3].Relations, " "); got != "crm.users public.users" {
		t.Errorf("behind a SET, users is %q", got)
	}
	for _, one := range []string{"SELECT 1", "", "SELEC 1; SELECT 1", "SELECT 1" + strings.Repeat("; SELECT 1", maxParts), "SELECT 1;\x00 SELECT 2"} {
		if got := a.ExplainParts(t.Context(), "db", "", one); got != nil {
			t.Errorf("%.30q has %d parts, want none", one, len(got))
		}
	}
}

func TestReviewedReasonsAreSpelledOut(t *testing.T) {
	for name, reason := range reviewedFunctions {
		if got := spellOut(reason, reviewedFunctions); got == "" || strings.Contains(got, "as json_agg(") || strings.Contains(got, "as array_to_json(") {
			t.Errorf("%s: %q becomes %q", name, reason, got)
		}
	}
	of := map[string]string{"a()": "as b()", "b()": "as a()"}
	if got := spellOut(of["a()"], of); !strings.HasPrefix(got, "as ") {
		t.Errorf("lines that name each other become %q", got)
	}
}
