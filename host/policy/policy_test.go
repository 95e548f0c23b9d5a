package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/host/statement"
	w "github.com/perihelion-proxy/perihelion/runtime/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the waits of the tests.
const patience = 30 * time.Second

// says returns a module that states a TTL, in milliseconds; 0: that nothing is cached.
func says(ttl int64) []byte {
	if ttl == 0 {
		return w.Decide(w.Code(w.Const(1), w.Const64(0), w.Call(w.SetInt))...).Bytes()
	}
	return w.Decide(w.Code(w.Const(2), w.Const64(ttl), w.Call(w.SetInt))...).Bytes()
}

// rig is a set over a folder that runs, with channels that the test owns.
type rig struct {
	t       *testing.T
	set     *Set
	folder  string
	swapped chan uint64
	scanned chan struct{}
}

func open(t *testing.T, change func(*Options), files map[string][]byte) *rig {
	t.Helper()
	r := &rig{t: t, folder: t.TempDir(), swapped: make(chan uint64, 64), scanned: make(chan struct{}, 1024)}
	for name, content := range files {
		r.write(name, content)
	}
	o := Options{
		Folder: r.folder, DefaultTTL: time.Minute, Logger: slog.New(slog.DiscardHandler),
		OnSwap: func(g uint64) { r.swapped <- g }, OnScan: func() {
			select {
			case r.scanned <- struct{}{}:
			default:
			}
		},
	}
	if change != nil {
		change(&o)
	}
	r.set = New(o)
	if err := r.set.Open(context.Background()); err != nil {
		t.Fatalf("open: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.set.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := r.set.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	r.await(r.scanned) // the first look of Run
	r.drain()
	return r
}

// write puts a file there in one step: written in place, a starved machine may show the set half of it.
func (r *rig) write(name string, content []byte) {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(path, filepath.Join(r.folder, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) await(c chan struct{}) {
	r.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		r.t.Fatal("the folder is not looked at")
	}
}

// awaitScan waits for a look at the folder behind which something holds: one that was under way knows nothing of what was
// written meanwhile.
func (r *rig) awaitScan(holds func() bool) {
	r.t.Helper()
	for !holds() {
		r.await(r.scanned)
	}
}

func (r *rig) awaitSwap() {
	r.t.Helper()
	select {
	case <-r.swapped:
	case <-time.After(patience):
		r.t.Fatalf("nothing was swapped in; policies = %+v", r.set.List())
	}
}

func (r *rig) drain() {
	for len(r.swapped) > 0 {
		<-r.swapped
	}
	for len(r.scanned) > 0 {
		<-r.scanned
	}
}

func query(change ...func(*Query)) Query {
	q := Query{Tenant: "default", Database: "shop", User: "ann", Statement: &statement.Descriptor{
		Verdict: statement.Read, Fingerprint: 7, Normalized: "select 1", Relations: []string{"public.a"}, RelationRows: []int64{5}, Command: "SELECT",
	}}
	for _, f := range change {
		f(&q)
	}
	return q
}

func (r *rig) want(cache bool, ttl time.Duration, change ...func(*Query)) Decision {
	r.t.Helper()
	d := r.set.Decide(context.Background(), query(change...))
	if d.Cache != cache || cache && d.TTL != ttl {
		r.t.Fatalf("decision = %+v, want cache %v for %v", d, cache, ttl)
	}
	return d
}

func TestWithoutPoliciesReadsAreKeptForTheDefault(t *testing.T) {
	s := New(Options{DefaultTTL: time.Minute})
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for verdict, want := range map[statement.Verdict]bool{
		statement.Read: true, statement.Unstable: false, statement.Write: false, statement.Schema: false, statement.Session: false, statement.Opaque: false,
	} {
		d := s.Decide(context.Background(), query(func(q *Query) {
			copied := *q.Statement
			copied.Verdict = verdict
			q.Statement = &copied
		}))
		if d.Cache != want || d.Reason == "" || d.Level != statement.Bounded {
			t.Errorf("decision for verdict %v = %+v, want cache %v", verdict, d, want)
		}
	}
}

func TestDefaultTTLOfNothingCachesNothing(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	if d := s.Decide(context.Background(), query()); d.Cache {
		t.Errorf("decision = %+v, want no caching", d)
	}
}

func TestFolderIsLoadedAtTheStart(t *testing.T) {
	r := open(t, nil, map[string][]byte{"a.wasm": says(5000), "ignored.txt": []byte("x")})
	d := r.want(true, 5*time.Second)
	if d.Policy != "a" || d.Reason == "" {
		t.Errorf("decision = %+v, want one of policy a with a reason", d)
	}
	if all := r.set.List(); len(all) != 1 || all[0].Name != "a" || all[0].State != "active" || len(all[0].Digest) != 64 || all[0].Generation != r.set.Generation() {
		t.Errorf("list = %+v", all)
	}
}

func TestBadFileStopsTheStart(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"a module that is none":      {"a.wasm": []byte("not wasm")},
		"an unknown key":             {"a.wasm": says(1), "a.yaml": []byte("tock: 5")},
		"a wrong digest":             {"a.wasm": says(1), "a.yaml": []byte("sha256: " + strings.Repeat("0", 64))},
		"a digest that is none":      {"a.wasm": says(1), "a.yaml": []byte("sha256: abc")},
		"a glob that is none":        {"a.wasm": says(1), "a.yaml": []byte("match: {tenants: ['[']}")},
		"a size that is none":        {"a.wasm": says(1), "a.yaml": []byte("memory: lots")},
		"a configuration over 64KiB": {"a.wasm": says(1), "a.yaml": []byte("config: '" + strings.Repeat("x", 70000) + "'")},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, content := range files {
				if err := os.WriteFile(filepath.Join(folder, file), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := New(Options{Folder: folder, DefaultTTL: time.Minute})
			defer s.Close()
			if err := s.Open(context.Background()); err == nil || !strings.Contains(err.Error(), "policy a: ") {
				t.Errorf("Open = %v, want an error that names the policy", err)
			}
		})
	}
	t.Run("a folder that is not there", func(t *testing.T) {
		s := New(Options{Folder: filepath.Join(t.TempDir(), "missing")})
		defer s.Close()
		if err := s.Open(context.Background()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open = %v, want that it does not exist", err)
		}
	})
}

func TestHotReload(t *testing.T) {
	r := open(t, nil, nil)
	r.want(true, time.Minute)

	r.write("a.wasm", says(5000))
	r.awaitSwap()
	r.want(true, 5*time.Second)

	r.write("a.wasm", says(7000)) // a changed module
	r.awaitSwap()
	r.want(true, 7*time.Second)

	r.write("a.yaml", []byte("match: {databases: [other]}")) // a changed configuration
	r.awaitSwap()
	r.want(true, time.Minute)
	r.want(true, 7*time.Second, func(q *Query) { q.Database = "other" })

	if err := os.Remove(filepath.Join(r.folder, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	r.awaitSwap()
	r.want(true, time.Minute, func(q *Query) { q.Database = "other" })
	if all := r.set.List(); len(all) != 0 {
		t.Errorf("list = %+v after the file went", all)
	}
}

func TestBadFileChangesNothingAndSaysWhy(t *testing.T) {
	r := open(t, nil, map[string][]byte{"a.wasm": says(5000)})
	generation, before := r.set.Generation(), ""
	for name, content := range map[string][]byte{"half a module": says(9000)[:40], "no module": []byte("x"), "a foreign import": w.Module{Imports: []w.Import{{Module: "env", Name: "open"}}, Pages: 1}.Bytes()} {
		r.drain()
		r.write("a.wasm", content)
		r.awaitScan(func() bool {
			all := r.set.List()
			return len(all) != 1 || all[0].Error != before
		})
		r.want(true, 5*time.Second)
		if all := r.set.List(); r.set.Generation() != generation || len(all) != 1 || all[0].State != "active" || all[0].Error == "" {
			t.Errorf("after %s: generation %d, list %+v; want generation %d with the reason", name, r.set.Generation(), all, generation)
		} else {
			before = all[0].Error
		}
	}
	r.drain()
	r.write("b.wasm", []byte("x")) // a bad newcomer does not keep others from being replaced
	r.await(r.scanned)
	r.write("a.wasm", says(6000))
	r.awaitSwap()
	r.want(true, 6*time.Second)
	all := r.set.List()
	if len(all) != 2 || all[0].Error != "" || all[1].Name != "b" || all[1].State != "refused" || all[1].Error == "" {
		t.Errorf("list = %+v, want a active and b refused", all)
	}
}

// TestSymlinkSwap replaces a mounted folder as Kubernetes does: the files are links through one that is renamed.
func TestSymlinkSwap(t *testing.T) {
	r := open(t, nil, nil)
	version := func(name string, ttl int64) {
		dir := filepath.Join(r.folder, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.wasm"), says(ttl), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(r.folder, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(r.folder, "..tmp"), filepath.Join(r.folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..one", 5000)
	if err := os.Symlink("..data/a.wasm", filepath.Join(r.folder, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	r.awaitSwap()
	r.want(true, 5*time.Second)
	version("..two", 6000)
	r.awaitSwap()
	r.want(true, 6*time.Second)
}

func TestPoliciesRunInTheirOrderAndSeeWhatWasSaid(t *testing.T) {
	// The second keeps half of what the first said.
	half := w.Decide(w.Code(w.Const(2), w.Const(1002), w.Const(0), w.Call(w.GetInt), w.Const64(2), []byte{0x7f}, w.Call(w.SetInt))...).Bytes()
	r := open(t, nil, map[string][]byte{"z-first.wasm": says(8000), "z-first.yaml": []byte("priority: 1"), "a-second.wasm": half, "a-second.yaml": []byte("priority: 2")})
	if d := r.want(true, 4*time.Second); d.Policy != "a-second" {
		t.Errorf("decided by %s, want a-second", d.Policy)
	}
}

func TestDecisionIsRememberedPerStatementAndGeneration(t *testing.T) {
	var calls atomic.Int64
	r := open(t, func(o *Options) { o.OnCall = func(string, string, time.Duration, bool) { calls.Add(1) } }, map[string][]byte{"a.wasm": says(5000)})
	for range 5 {
		r.want(true, 5*time.Second)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls for one statement, want 1", n)
	}
	for name, change := range map[string]func(*Query){
		"another user":        func(q *Query) { q.User = "bob" },
		"another application": func(q *Query) { q.Application = "x" },
		"another catalog": func(q *Query) {
			copied := *q.Statement
			copied.Generation++
			q.Statement = &copied
		},
		"another comment": func(q *Query) {
			copied := *q.Statement
			copied.Comments = []string{"route=x"}
			q.Statement = &copied
		},
	} {
		before := calls.Load()
		r.want(true, 5*time.Second, change)
		if calls.Load() == before {
			t.Errorf("%s got the decision of the first", name)
		}
	}
	r.write("a.wasm", says(6000))
	r.awaitSwap()
	r.want(true, 6*time.Second)
}

func TestFailingPolicyBypassesAndIsSwitchedOff(t *testing.T) {
	r := open(t, func(o *Options) { o.MaxFailures = 3 }, map[string][]byte{"a.wasm": w.Decide(w.Unreachable...).Bytes()})
	for i := range 3 {
		if d := r.want(false, 0); !strings.Contains(d.Reason, "failed") || d.Policy != "a" {
			t.Errorf("failure %d: decision = %+v, want that policy a failed", i+1, d)
		}
	}
	r.awaitSwap() // what was decided before is void
	if d := r.want(false, 0); !strings.Contains(d.Reason, "switched off") {
		t.Errorf("decision = %+v, want that it is switched off", d)
	}
	if all := r.set.List(); all[0].State != "off" || all[0].Error == "" {
		t.Errorf("list = %+v, want it off", all)
	}
	// Whom it does not match does not notice.
	r.write("a.yaml", []byte("match: {databases: [other]}"))
	r.awaitSwap()
	r.want(true, time.Minute)
	// A new file is its way back.
	r.write("a.yaml", nil)
	r.write("a.wasm", says(5000))
	r.awaitSwap()
	for r.set.List()[0].State != "active" || r.set.Decide(context.Background(), query()).TTL != 5*time.Second {
		r.awaitSwap()
	}
}

func TestFuelOfTheConfigurationBoundsACall(t *testing.T) {
	// Each call of the host costs 10 steps, and the function one.
	three := w.Decide(bytes.Repeat(w.Code(w.Const(7), w.Call(w.Count), w.Drop), 3)...)
	three.Funcs[0].Code = w.Code(three.Funcs[0].Code, w.Const(0))
	r := open(t, nil, map[string][]byte{"a.wasm": three.Bytes(), "a.yaml": []byte("fuel: 30")})
	if d := r.want(false, 0); !strings.Contains(d.Reason, "spent its fuel of 30") {
		t.Errorf("reason = %q, want that the fuel was spent", d.Reason)
	}
	r.write("a.yaml", []byte("fuel: 31"))
	r.awaitSwap()
	r.want(true, time.Minute)
}

func TestValuesOutOfBoundsAreRefused(t *testing.T) {
	for name, code := range map[string][]byte{
		"a TTL of nothing":            w.Code(w.Const(2), w.Const64(0), w.Call(w.SetInt)),
		"a TTL below nothing":         w.Code(w.Const(2), w.Const64(-1), w.Call(w.SetInt)),
		"a TTL of more than a week":   w.Code(w.Const(2), w.Const64(604800001), w.Call(w.SetInt)),
		"a LEVEL that there is not":   w.Code(w.Const(4), w.Const64(4), w.Call(w.SetInt)),
		"a CACHE that is no yes":      w.Code(w.Const(1), w.Const64(2), w.Call(w.SetInt)),
		"a reason of more than 256 B": w.Code(w.Const(64), w.Const(0), w.Const(257), w.Call(w.SetBytes)),
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, nil, map[string][]byte{"a.wasm": w.Decide(code...).Bytes()})
			if d := r.want(false, 0); !strings.Contains(d.Reason, "returned -4") {
				t.Errorf("decision = %+v, want that the value was refused", d)
			}
		})
	}
}

// TestEveryField asks for each field and returns what it is told, as a failure that shows it.
func TestEveryField(t *testing.T) {
	q := func(q *Query) {
		q.Application = "app"
		q.Statement = &statement.Descriptor{
			Verdict: statement.Read, Fingerprint: 77, Normalized: "select $1", Command: "SELECT", Reason: "reads a", Comments: []string{"a=b"}, Functions: []string{"pg_catalog.sum"},
			Relations: []string{"public.a", "public.bc"}, RelationRows: []int64{5, -1}, Parameters: 3,
		}
	}
	bytesOf := func(field int32, index int32) []byte {
		return w.Code(w.Const(field), w.Const(index), w.Const(0), w.Const(1000), w.Call(w.GetBytes))
	}
	intOf := func(field int32, index int32) []byte {
		return w.Code(w.Const(field), w.Const(index), w.Call(w.GetInt), w.Wrap)
	}
	for _, test := range []struct {
		name string
		code []byte
		want int // what decide returns: a length, a count, or a value
	}{
		{"SQL", bytesOf(1, 0), len("select $1")},
		{"COMMAND", bytesOf(2, 0), len("SELECT")},
		{"TENANT", bytesOf(3, 0), len("default")},
		{"DATABASE", bytesOf(4, 0), len("shop")},
		{"USER", bytesOf(5, 0), len("ann")},
		{"APPLICATION", bytesOf(6, 0), len("app")},
		{"RELATION", bytesOf(7, 1), len("public.bc")},
		{"RELATION, how many", w.Code(w.Const(7), w.Call(w.Count)), 2},
		{"COMMENT", bytesOf(8, 0), len("a=b")},
		{"FUNCTION", bytesOf(9, 0), len("pg_catalog.sum")},
		{"FUNCTION of no such index", bytesOf(9, 1), -2},
		{"REASON", bytesOf(10, 0), len("reads a")},
		{"FINGERPRINT", intOf(32, 0), 77},
		{"VERDICT", intOf(33, 0), 1},
		{"PARAM_COUNT", intOf(34, 0), 3},
		{"RELATION_ROWS", intOf(35, 0), 5},
		{"RELATION_WRITES", intOf(36, 1), 9},
		{"DEFAULT_TTL_MS", intOf(37, 0), 60000},
		{"REGION", bytesOf(11, 0), len("berlin")},
		{"ROWS, which decide does not know", w.Code(w.Const(48), w.Const(0), w.Call(w.GetInt), w.Const64(math.MinInt64), []byte{0x51}), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := open(t, func(o *Options) {
				o.Region = "berlin"
				o.WriteRate = func(database, relation string) int64 {
					if database == "shop" && relation == "public.bc" {
						return 9
					}
					return 0
				}
			}, map[string][]byte{"a.wasm": w.Decide(test.code...).Bytes()})
			d := r.want(false, 0, q)
			if want := fmt.Sprintf("returned %d", test.want); !strings.HasSuffix(d.Reason, want) {
				t.Errorf("reason = %q, want %q", d.Reason, want)
			}
		})
	}
}

// TestReloadsUnderLoad replaces a policy while many ask: every answer is one of a whole generation, and nothing leaks.
func TestReloadsUnderLoad(t *testing.T) {
	r := open(t, nil, map[string][]byte{"a.wasm": says(1000)})
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := uint64(0); ctx.Err() == nil; n++ {
				d := r.set.Decide(context.Background(), query(func(q *Query) {
					copied := *q.Statement
					copied.Fingerprint = n<<8 | uint64(i)
					q.Statement = &copied
				}))
				if !d.Cache || d.TTL%time.Second != 0 || d.TTL == 0 {
					t.Errorf("decision = %+v", d)
					return
				}
			}
		})
	}
	for i := range 20 {
		r.write("a.wasm", says(int64(2000+1000*i)))
		r.awaitSwap()
	}
	stop()
	wg.Wait()
}
