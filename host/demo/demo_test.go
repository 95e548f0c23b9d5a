//go:build cgo

package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDemonstrationHolds runs it whole, shorter than a user would, with a policy that forbids what reads two relations.
func TestDemonstrationHolds(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "p.wasm")
	module := w.Decide(w.Code(
		w.Const(7), w.Call(w.Count), w.Const(2), []byte{0x46}, // i32.eq
		[]byte{0x04, 0x40}, w.Const(1), w.Const64(0), w.Call(w.SetInt), w.Drop, []byte{0x0b}, // if … end
		w.Const(0),
	)...)
	if err := os.WriteFile(policy, module.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Run(context.Background(), Options{Duration: 6 * time.Second, RoundTrip: 20 * time.Millisecond, Policy: policy, Out: &out, Version: "test"})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"stale answers (older than 5s, or than the session's own write): 0", "every check held"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary does not say %q:\n%s", want, out.String())
		}
	}
}

func TestCheckerSeesStaleAnswers(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	for _, test := range []struct {
		name          string
		revision, own int
		asked         time.Time
		stale, behind int
	}{
		{"the newest", 2, 0, at(20), 0, 0},
		{"one that was not acknowledged yet", 3, 0, at(20), 0, 0},
		{"one that nobody wrote", 4, 0, at(20), 1, 0},
		{"overtaken within the bound", 1, 0, at(14), 0, 1},
		{"overtaken longer ago than the bound", 1, 0, at(16), 1, 0},
		{"asked before it was overtaken", 1, 0, at(9), 0, 0},
		{"older than the session's own write", 1, 2, at(10.1), 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChecker(5 * time.Second)
			for _, when := range []time.Time{at(1), at(10)} { // revisions 1 and 2
				c.next(7)
				c.acknowledged(7, when)
			}
			c.next(7) // 3, on its way
			c.read(7, test.revision, test.own, test.asked)
			if v := c.verdict(); v.checked != 1 || v.stale != test.stale || v.behind != test.behind {
				t.Errorf("verdict = %+v, want %d stale, %d behind", v, test.stale, test.behind)
			}
		})
	}
}
