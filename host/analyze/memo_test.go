package analyze

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

func TestAKnownTextIsNotDescribedAgain(t *testing.T) {
	a := analyzer(shop())
	first := a.Describe(t.Context(), "shop", "", "SELECT * FROM orders")
	if again := a.Describe(t.Context(), "shop", "", strings.Clone("SELECT * FROM orders")); again != first {
		t.Error("the text was described again")
	}
	if other := a.Describe(t.Context(), "other", "", "SELECT * FROM orders"); other == first {
		t.Error("another database was given the descriptor")
	}
	allocations := testing.AllocsPerRun(100, func() { a.Describe(t.Context(), "shop", "", "SELECT * FROM orders") })
	if allocations != 0 {
		t.Errorf("a known text allocates %v times", allocations)
	}
}

func TestANewGenerationDescribesAnew(t *testing.T) {
	changing := &fixed{shop()}
	a := New(Options{Catalog: changing})
	if d := a.Describe(t.Context(), "shop", "", "SELECT * FROM orders"); d.Verdict != statement.Read || d.Generation != 7 {
		t.Fatalf("got %s of generation %d", judged(d), d.Generation)
	}
	changing.snapshot = catalog.NewBuilder(180000).Relation("orders", catalog.View).Snapshot(8)
	if d := a.Describe(t.Context(), "shop", "", "SELECT * FROM orders"); d.Verdict != statement.Opaque || d.Generation != 8 {
		t.Errorf("got %s of generation %d", judged(d), d.Generation)
	}
}

func TestTheMemoIsBoundedByEntriesAndBytes(t *testing.T) {
	m := newMemo(memoShards*4, memoShards*4096)
	for i := range 10_000 {
		m.add(memoKey{text: fmt.Sprint("SELECT ", i)}, &statement.Descriptor{})
	}
	if entries, _ := m.len(); entries == 0 || entries > memoShards*4 {
		t.Errorf("got %d entries", entries)
	}
	for i := range 1_000 {
		m.add(memoKey{text: fmt.Sprint(i, strings.Repeat("x", i))}, &statement.Descriptor{})
	}
	entries, bytes := m.len()
	if bytes == 0 || bytes > memoShards*4096 {
		t.Errorf("got %d bytes in %d entries", bytes, entries)
	}
	huge := memoKey{text: strings.Repeat("x", 5000)}
	m.add(huge, &statement.Descriptor{})
	if m.get(huge) != nil {
		t.Error("a text larger than a shard was kept")
	}
	k := memoKey{text: "twice"}
	m.add(k, &statement.Descriptor{})
	_, before := m.len()
	m.add(k, &statement.Descriptor{})
	if _, after := m.len(); after != before {
		t.Errorf("an entry added twice counts twice: %d then %d bytes", before, after)
	}
}

func TestTheMemoIsHammered(t *testing.T) {
	a := New(Options{Catalog: fixed{shop()}, MaxEntries: 64, MaxBytes: 1 << 20})
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := range 300 {
				sql := fmt.Sprintf("SELECT %d FROM orders", (w+i)%100)
				if d := a.Describe(t.Context(), "shop", "", sql); d.Verdict != statement.Read {
					t.Errorf("%s: got %s", sql, judged(d))
				}
			}
		})
	}
	workers.Wait()
}

func FuzzDescribe(f *testing.F) {
	for _, cases := range allCases() {
		for _, c := range cases {
			if len(c.sql) < 1<<10 {
				f.Add(c.sql)
			}
		}
	}
	a := analyzer(shop())
	f.Fuzz(func(t *testing.T, sql string) {
		d := a.Describe(t.Context(), "shop", "", sql)
		switch {
		case d == nil:
			t.Fatal("no descriptor")
		case d.Reason == "":
			t.Error("no reason")
		case (d.Verdict == statement.Read || d.Verdict == statement.Unstable) && (!d.Writes.Empty() || d.Untracked || d.Fingerprint == 0):
			t.Errorf("a %s with effects, or of a text that does not parse", d.Verdict)
		case d.Verdict == statement.Opaque && d.Fingerprint == 0 && (!d.Writes.Anything || !d.Untracked):
			t.Error("a text that does not parse is harmless")
		case strings.Contains(d.Normalized, "'") && !strings.Contains(sql, `"`):
			t.Errorf("a literal is in the normalised text %q", d.Normalized)
		}
	})
}

const (
	pointSelect = "SELECT id, name, email FROM public.users WHERE id = $1"
	fiveWayJoin = `WITH recent AS (SELECT * FROM orders WHERE at > '2024-01-01'), big AS (SELECT o, sum(price) AS total FROM lines GROUP BY o)
		SELECT u.id, u.name, count(DISTINCT r.id), max(b.total), string_agg(n.body, ', ' ORDER BY n.id)
		FROM public.users u JOIN recent r ON r.u = u.id LEFT JOIN big b ON b.o = r.id LEFT JOIN notes n ON n.o = r.id
		JOIN crm.contacts c ON c.u = u.id WHERE u.id = ANY ($1) AND c.kind IN ('mail', 'phone') AND r.data ->> 'state' <> 'void'
		GROUP BY u.id, u.name HAVING count(*) > 2 ORDER BY 4 DESC NULLS LAST LIMIT 20 OFFSET $2`
)

func benchmarkTexts() map[string]string {
	return map[string]string{
		"point_select":  pointSelect,
		"five_way_join": fiveWayJoin,
		"in_10KB":       "SELECT * FROM orders WHERE id IN (1" + strings.Repeat(",1234", 2_000) + ")",
	}
}

func BenchmarkDescribeANewText(b *testing.B) {
	for name, sql := range benchmarkTexts() {
		b.Run(name, func(b *testing.B) {
			a, s := analyzer(shop()), shop()
			b.ReportAllocs()
			for b.Loop() {
				a.describe(sql, a.scene(s, "shop", ""))
			}
		})
	}
}

func BenchmarkDescribeAKnownText(b *testing.B) {
	for name, sql := range benchmarkTexts() {
		b.Run(name, func(b *testing.B) {
			a := analyzer(shop())
			a.Describe(b.Context(), "shop", "", sql)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					a.Describe(b.Context(), "shop", "", sql)
				}
			})
		})
	}
}
