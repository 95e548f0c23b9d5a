package policy

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// fake is a host that serves what a test gives it.
type fake struct {
	ints    map[int32]int64
	lists   map[int32][]string // a field of bytes is a list of one
	failing map[int32]Code     // fields and decisions that answer a code
	json    string
	lies    bool // about an item's length, for ever
	stored  map[string]string
	hot     []map[int32]int64 // the integers of each hot statement
	counted map[string]int64
	set     map[int32]any
	logged  []string
}

func (f *fake) getInt(field, index int32) int64 {
	if n, ok := f.ints[field]; ok && index == 0 {
		return n
	}
	return unknown
}

func (f *fake) getBytes(field, index int32, buf []byte) int32 {
	if code, ok := f.failing[field]; ok {
		return int32(code)
	}
	list, ok := f.lists[field]
	switch {
	case !ok:
		return int32(CodeUnknown)
	case int(index) >= len(list):
		return int32(CodeNoIndex)
	case f.lies:
		return int32(len(buf)) + 1
	}
	return fill(buf, list[index])
}

func fill(buf []byte, text string) int32 {
	if len(text) <= len(buf) {
		copy(buf, text)
	}
	return int32(len(text))
}

func (f *fake) count(field int32) int32 {
	if list, ok := f.lists[field]; ok {
		return int32(len(list))
	}
	return int32(CodeUnknown)
}

func (f *fake) state(decision int32, value any) int32 {
	if code, ok := f.failing[decision]; ok {
		return int32(code)
	}
	if f.set == nil {
		f.set = map[int32]any{}
	}
	f.set[decision] = value
	return 0
}

func (f *fake) setInt(decision int32, value int64) int32   { return f.state(decision, value) }
func (f *fake) setBytes(decision int32, text string) int32 { return f.state(decision, text) }

func (f *fake) selects(i int32) int32 {
	if int(i) >= len(f.hot) {
		return int32(CodeNoIndex)
	}
	f.ints = f.hot[i]
	return 0
}

func (f *fake) kvGet(key string, buf []byte) int32 {
	if value, ok := f.stored[key]; ok {
		return fill(buf, value)
	}
	return int32(CodeNoIndex)
}

func (f *fake) kvSet(key, value string, ttlMS int64) int32 {
	if ttlMS < 0 {
		return int32(CodeRefused)
	}
	f.stored[key] = value + " " + strconv.FormatInt(ttlMS, 10)
	return 0
}

func (f *fake) metricAdd(name string, delta int64) int32 {
	f.counted[name] += delta
	return 0
}

func (f *fake) config(buf []byte) int32  { return fill(buf, f.json) }
func (f *fake) nowMillis() int64         { return 1_700_000_000_123 }
func (f *fake) log(_ int32, line string) { f.logged = append(f.logged, line) }

// decideWith runs the hook with a function on a host.
func decideWith(f *fake, decide func(Statement, *Decision) error) int32 {
	return (&guest{host: f, decideFunc: decide}).decide()
}

func TestStatementTellsWhatTheHostKnows(t *testing.T) {
	f := &fake{
		ints: map[int32]int64{fieldFingerprint: -1, fieldVerdict: 2, fieldParamCount: 3, fieldRelationRows: 10, fieldRelationWrites: 20, fieldDefaultTTLMS: 1500},
		lists: map[int32][]string{
			fieldSQL: {"SELECT"}, fieldCommand: {"SELECT"}, fieldTenant: {"acme"}, fieldDatabase: {"shop"}, fieldUser: {"app"}, fieldApplication: {"web"},
			fieldRelation: {"public.a", "public.b"}, fieldComment: {"route=/cart", "empty="}, fieldFunction: {"pg_catalog.lower"},
		},
	}
	result := decideWith(f, func(s Statement, _ *Decision) error {
		for _, text := range []struct{ name, got, want string }{
			{"SQL", s.SQL(), "SELECT"},
			{"Command", s.Command(), "SELECT"},
			{"Tenant", s.Tenant(), "acme"},
			{"Database", s.Database(), "shop"},
			{"User", s.User(), "app"},
			{"Application", s.Application(), "web"},
			{"Relations", strings.Join(s.Relations(), " "), "public.a public.b"},
			{"Comments", strings.Join(s.Comments(), " "), "route=/cart empty="},
			{"Functions", strings.Join(s.Functions(), " "), "pg_catalog.lower"},
		} {
			if text.got != text.want {
				t.Errorf("%s() = %q, want %q", text.name, text.got, text.want)
			}
		}
		if value, ok := s.Comment("route"); value != "/cart" || !ok {
			t.Errorf("Comment(route) = %q, %v, want /cart", value, ok)
		}
		if value, ok := s.Comment("empty"); value != "" || !ok {
			t.Errorf("Comment(empty) = %q, %v, want an empty value that is there", value, ok)
		}
		if value, ok := s.Comment("rout"); ok {
			t.Errorf("Comment(rout) = %q, want none", value)
		}
		if n, ok := s.Fingerprint(); n != 1<<64-1 || !ok {
			t.Errorf("Fingerprint() = %d, %v, want all 64 bits", n, ok)
		}
		if v := s.Verdict(); v != VerdictUnstable {
			t.Errorf("Verdict() = %d, want %d", v, VerdictUnstable)
		}
		if n, ok := s.ParamCount(); n != 3 || !ok {
			t.Errorf("ParamCount() = %d, %v, want 3", n, ok)
		}
		if n, ok := s.RelationRows(0); n != 10 || !ok {
			t.Errorf("RelationRows(0) = %d, %v, want 10", n, ok)
		}
		if n, ok := s.RelationRows(1); ok {
			t.Errorf("RelationRows(1) = %d, want none", n)
		}
		if n, ok := s.RelationRows(1 << 32); ok {
			t.Errorf("RelationRows(1 << 32) = %d, want none", n)
		}
		if n, ok := s.RelationWrites(0); n != 20 || !ok {
			t.Errorf("RelationWrites(0) = %d, %v, want 20", n, ok)
		}
		if ttl, ok := s.DefaultTTL(); ttl != 1500*time.Millisecond || !ok {
			t.Errorf("DefaultTTL() = %v, %v, want 1.5s", ttl, ok)
		}
		return nil
	})
	if result != succeeded {
		t.Errorf("decide = %d, logged %q", result, f.logged)
	}
}

func TestWhatTheHostDoesNotKnowIsEmptyAndNoFailure(t *testing.T) {
	f := &fake{}
	result := decideWith(f, func(s Statement, d *Decision) error {
		if s.SQL() != "" || s.Relations() != nil || s.Verdict() != 0 {
			t.Errorf("SQL %q, relations %v, verdict %d, want nothing", s.SQL(), s.Relations(), s.Verdict())
		}
		if ttl, ok := s.DefaultTTL(); ok {
			t.Errorf("DefaultTTL() = %v, want none", ttl)
		}
		if _, ok := d.Cached(); ok {
			t.Error("Cached() is known")
		}
		return nil
	})
	if result != succeeded {
		t.Errorf("decide = %d, logged %q", result, f.logged)
	}
}

func TestAFieldThatCannotBeReadFailsTheDecision(t *testing.T) {
	f := &fake{lists: map[int32][]string{fieldRelation: {"public.a"}}, failing: map[int32]Code{fieldRelation: CodeBounds}}
	result := decideWith(f, func(s Statement, _ *Decision) error { s.Relations(); return nil })
	if result == succeeded || len(f.logged) != 1 || !strings.Contains(f.logged[0], CodeBounds.String()) {
		t.Errorf("decide = %d, logged %q, want a failure that says why", result, f.logged)
	}
}

func TestAFailureDoesNotOutliveItsCall(t *testing.T) {
	f := &fake{lists: map[int32][]string{fieldSQL: {"SELECT"}}, failing: map[int32]Code{fieldSQL: CodeBounds}}
	g := &guest{host: f, decideFunc: func(s Statement, _ *Decision) error { s.SQL(); return nil }}
	if got := g.decide(); got == succeeded {
		t.Error("the first decide succeeded")
	}
	f.failing = nil
	if got := g.decide(); got != succeeded {
		t.Errorf("the second decide = %d, logged %q", got, f.logged)
	}
}

func TestTextLongerThanTheBufferIsReadWhole(t *testing.T) {
	for _, size := range []int{0, firstBuffer - 1, firstBuffer, firstBuffer + 1, 3 * keepBuffer} {
		want := strings.Repeat("x", size)
		g := &guest{host: &fake{lists: map[int32][]string{fieldSQL: {want}}}}
		g.decideFunc = func(s Statement, _ *Decision) error {
			if got := s.SQL(); got != want {
				t.Errorf("SQL of %d bytes was read as %d", size, len(got))
			}
			return nil
		}
		if got := g.decide(); got != succeeded {
			t.Errorf("SQL of %d bytes: decide = %d", size, got)
		}
		if cap(g.buffer) > keepBuffer {
			t.Errorf("SQL of %d bytes: a buffer of %d is kept", size, cap(g.buffer))
		}
	}
}

func TestAHostThatNeverHasRoomFailsTheDecision(t *testing.T) {
	f := &fake{lists: map[int32][]string{fieldSQL: {"SELECT"}}, lies: true}
	if got := decideWith(f, func(s Statement, _ *Decision) error { s.SQL(); return nil }); got == succeeded {
		t.Error("decide succeeded")
	}
}

func TestDecisionIsStated(t *testing.T) {
	f := &fake{ints: map[int32]int64{readBack + decisionCache: 1, readBack + decisionTTLMS: 2000}}
	result := decideWith(f, func(_ Statement, d *Decision) error {
		if cached, ok := d.Cached(); !cached || !ok {
			t.Errorf("Cached() = %v, %v, want true", cached, ok)
		}
		if ttl, ok := d.CurrentTTL(); ttl != 2*time.Second || !ok {
			t.Errorf("CurrentTTL() = %v, %v, want 2s", ttl, ok)
		}
		return errors.Join(d.Cache(false), d.TTL(time.Minute), d.Reason("because"))
	})
	if result != succeeded || f.set[decisionCache] != int64(0) || f.set[decisionTTLMS] != int64(60_000) || f.set[decisionReason] != "because" {
		t.Errorf("decide = %d, stated %v, logged %q", result, f.set, f.logged)
	}
}

func TestARefusalIsAnErrorWithItsCode(t *testing.T) {
	f := &fake{failing: map[int32]Code{decisionTTLMS: CodeRefused}}
	var refusal *Error
	result := decideWith(f, func(_ Statement, d *Decision) error {
		err := d.TTL(-time.Second)
		if !errors.As(err, &refusal) || refusal.Code != CodeRefused {
			t.Errorf("TTL(-1s) = %v, want an *Error with the code %d", err, CodeRefused)
		}
		return err
	})
	if result == succeeded || len(f.logged) != 1 || !strings.Contains(f.logged[0], "-1s") {
		t.Errorf("decide = %d, logged %q, want a failure that names the value", result, f.logged)
	}
}

func TestAReasonThatIsTooLongIsCutBetweenCharacters(t *testing.T) {
	for _, long := range []string{strings.Repeat("a", MaxReason+1), "a" + strings.Repeat("é", MaxReason), strings.Repeat("\x80", 2*MaxReason)} {
		f := &fake{}
		decideWith(f, func(_ Statement, d *Decision) error { return d.Reason(long) })
		got, _ := f.set[decisionReason].(string)
		if len(got) > MaxReason || !strings.HasPrefix(long, got) || utf8.ValidString(long) && (!utf8.ValidString(got) || len(got) < MaxReason-1) {
			t.Errorf("a reason of %d bytes was cut to %q", len(long), got)
		}
	}
}

func TestConfigure(t *testing.T) {
	decide := func(Statement, *Decision) error { return nil }
	long := `{"a":"` + strings.Repeat("x", firstBuffer) + `"}`
	var got []byte
	tests := map[string]struct {
		g    *guest
		want int32
	}{
		"reads the whole configuration":          {&guest{host: &fake{json: long}, decideFunc: decide, configureFunc: func(c []byte) error { got = c; return nil }}, succeeded},
		"is not needed":                          {&guest{host: &fake{}, decideFunc: decide}, succeeded},
		"fails with the policy's error":          {&guest{host: &fake{}, decideFunc: decide, configureFunc: func([]byte) error { return errors.New("no") }}, failed},
		"fails where nothing is given to Decide": {&guest{host: &fake{}}, failed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.g.configure(); got != test.want {
				t.Errorf("configure = %d, want %d", got, test.want)
			}
			if logged := test.g.host.(*fake).logged; (len(logged) > 0) != (test.want == failed) {
				t.Errorf("logged %q", logged)
			}
		})
	}
	if string(got) != long {
		t.Errorf("a configuration of %d bytes was read as %d", len(long), len(got))
	}
}

func TestWithoutAHostThePackageKnowsNothing(t *testing.T) {
	if config, err := Config(); len(config) != 0 || err != nil {
		t.Errorf("Config() = %q, %v, want none", config, err)
	}
	g := &guest{host: newHost()}
	if s := (Statement{g}); s.SQL() != "" || s.Relations() != nil {
		t.Errorf("SQL %q, relations %v, want none", s.SQL(), s.Relations())
	}
	if err := (&Decision{g}).Cache(true); err == nil {
		t.Error("a decision was taken by nobody")
	}
	if Now().IsZero() {
		t.Error("there is no time")
	}
}

func TestReadingAFieldAllocatesItsCopyOnly(t *testing.T) {
	f := &fake{lists: map[int32][]string{fieldRelation: slices.Repeat([]string{"public.orders"}, 3)}}
	s := Statement{&guest{host: f}}
	s.Relations()
	if got := testing.AllocsPerRun(100, func() { s.Relations() }); got > 7 {
		t.Errorf("three relations took %v allocations, want at most 7: the list, and a text and a closure each", got)
	}
}

func TestEveryDecisionIsStated(t *testing.T) {
	f := &fake{}
	result := decideWith(f, func(_ Statement, d *Decision) error {
		return errors.Join(d.StaleFor(time.Second), d.Level(CoherenceEventual), d.MaxResultBytes(1000), d.Share(ShareTenant), d.AskOnResult(true), d.Edges(false), d.Tag("a"))
	})
	want := map[int32]any{
		decisionStaleMS: int64(1000), decisionLevel: int64(3), decisionMaxResultBytes: int64(1000), decisionShare: int64(2),
		decisionAskOnResult: int64(1), decisionEdges: int64(0), decisionTag: "a",
	}
	if result != succeeded || !maps.Equal(f.set, want) {
		t.Errorf("decide = %d, stated %v, want %v", result, f.set, want)
	}
}

func TestResultsAreTold(t *testing.T) {
	f := &fake{ints: map[int32]int64{fieldRows: 3, fieldBytes: 400, fieldLatencyUS: 5000}, lists: map[int32][]string{fieldReason: {"why"}, fieldRegion: {"eu"}}}
	g := &guest{host: f}
	if got := g.onResult(); got != succeeded {
		t.Errorf("on_result of a policy without it = %d, want success", got)
	}
	g.resultFunc = func(s Statement, r Result, d *Decision) error {
		rows, _ := r.Rows()
		bytes, _ := r.Bytes()
		latency, ok := r.Latency()
		if rows != 3 || bytes != 400 || latency != 5*time.Millisecond || !ok || s.VerdictReason() != "why" || s.Region() != "eu" {
			t.Errorf("%d rows, %d bytes, %v, %v, %q in %q", rows, bytes, latency, ok, s.VerdictReason(), s.Region())
		}
		return d.TTL(time.Second)
	}
	if got := g.onResult(); got != succeeded || f.set[decisionTTLMS] != int64(1000) {
		t.Errorf("on_result = %d, stated %v", got, f.set)
	}
	g.resultFunc = func(Statement, Result, *Decision) error { return errors.New("no") }
	if got := g.onResult(); got != failed || len(f.logged) != 1 || f.logged[0] != "on_result: no" {
		t.Errorf("a failing on_result = %d, logged %q", got, f.logged)
	}
}

func TestTicksGoThroughTheHotStatements(t *testing.T) {
	f := &fake{hot: []map[int32]int64{
		{fieldHits: 10, fieldMisses: 1, fieldInvalidations: 2, fieldAgeMS: 1500, fieldRows: 7}, {fieldHits: 5}, {fieldHits: 1},
	}}
	g := &guest{host: f}
	if got := g.onTick(); got != succeeded {
		t.Errorf("on_tick of a policy without it = %d, want success", got)
	}
	var hits []int64
	g.tickFunc = func(tick Tick) error {
		for h, d := range tick.Statements() {
			n, _ := h.Hits()
			if hits = append(hits, n); n == 10 {
				misses, _ := h.Misses()
				invalidations, _ := h.Invalidations()
				age, _ := h.Age()
				rows, _ := h.Mean.Rows()
				if misses != 1 || invalidations != 2 || age != 1500*time.Millisecond || rows != 7 {
					t.Errorf("%d misses, %d invalidations, %v, %d rows", misses, invalidations, age, rows)
				}
			}
			if n == 5 {
				return d.Cache(true)
			}
		}
		return nil
	}
	if got := g.onTick(); got != succeeded || !slices.Equal(hits, []int64{10, 5}) || f.set[decisionCache] != int64(1) {
		t.Errorf("on_tick = %d, saw %v, stated %v; want it to stop at the second", got, hits, f.set)
	}
}

func TestStoreAndCounters(t *testing.T) {
	f := &fake{stored: map[string]string{"long": strings.Repeat("x", 2*firstBuffer)}, counted: map[string]int64{}}
	before := module.host
	module.host = f
	defer func() { module.host = before }()
	if value, ok, err := Get("long"); len(value) != 2*firstBuffer || !ok || err != nil {
		t.Errorf("Get(long) = %d bytes, %v, %v", len(value), ok, err)
	}
	if value, ok, err := Get("none"); value != "" || ok || err != nil {
		t.Errorf("Get(none) = %q, %v, %v, want nothing and no error", value, ok, err)
	}
	if err := errors.Join(Set("a", "v", 0), Set("b", "v", time.Microsecond), Count("n", 2), Count("n", 3)); err != nil {
		t.Error(err)
	}
	var refusal *Error
	if err := Set("a", "w", -1); !errors.As(err, &refusal) || refusal.Code != CodeRefused {
		t.Errorf("a negative time: %v, want it refused", err)
	}
	if f.stored["a"] != "v 0" || f.stored["b"] != "v 1" || f.counted["n"] != 5 {
		t.Errorf("stored %q and %q, counted %d", f.stored["a"], f.stored["b"], f.counted["n"])
	}
}
