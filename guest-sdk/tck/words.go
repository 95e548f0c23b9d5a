package tck

import (
	"fmt"
	"strings"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

func storeCases() []testCase {
	full := "decide kv_set 'kX 2 @0 65536 0\n"
	var keys []step
	// A guest's log lines have a rate, so a case has few steps.
	const atOnce = 64
	for i := range abi.MaxKVKeys/atOnce + 1 {
		var b strings.Builder
		for j := range atOnce {
			fmt.Fprintf(&b, "decide kv_set 'key%04d 7 'v 1 0\n", atOnce*i+j)
		}
		answer := " 0"
		if i == abi.MaxKVKeys/atOnce {
			answer = " -5"
		}
		keys = append(keys, step{script: b.String(), logged: "decide:" + strings.Repeat(answer, atOnce)})
	}
	var values []step
	for i := range 8 {
		var b, want strings.Builder
		for j := range 9 {
			b.WriteString(strings.Replace(full, "kX", fmt.Sprintf("%c%c", 'a'+i, 'a'+j), 1))
			if 9*i+j < abi.MaxKVBytes/(abi.MaxKVValue+2) {
				want.WriteString(" 0")
			} else {
				want.WriteString(" -5")
			}
		}
		values = append(values, step{script: b.String(), logged: "decide:" + want.String()})
	}
	var metrics []step
	for i := range abi.MaxMetrics/16 + 1 {
		var b strings.Builder
		for j := range 16 {
			fmt.Fprintf(&b, "decide metric_add 'metric%02d 8 1\n", 16*i+j)
		}
		answer := " 0"
		if i == abi.MaxMetrics/16 {
			answer = " -5"
		}
		metrics = append(metrics, step{script: b.String(), logged: "decide:" + strings.Repeat(answer, 16)})
	}
	return []testCase{
		{name: "the store keeps values", steps: []step{
			{script: "decide kv_get 'a 1 @0 9\ndecide kv_set 'a 1 'one 3 0\ndecide kv_get 'a 1 @0 9\ndecide show @0 3", logged: "decide: -2 0 3 one"},
			{script: "decide kv_get 'a 1 @0 2\ndecide kv_get 'b 1 @0 9\ndecide kv_set 'a 1 'x 0 0\ndecide kv_get 'a 1 @0 9", logged: "decide: 3 -2 0 0"},
		}},
		{name: "the store is a tenant's own", steps: []step{
			{tenant: "a", script: "decide kv_set 'k 1 'one 3 0", logged: "decide: 0"},
			{tenant: "b", script: "decide kv_get 'k 1 @0 9", logged: "decide: -2"},
			{tenant: "a", script: "decide kv_get 'k 1 @0 9", logged: "decide: 3"},
		}},
		{name: "values expire", steps: []step{
			{script: "decide kv_set 'k 1 'v 1 1000\ndecide kv_set 'l 1 'v 1 0\ndecide kv_set 'm 1 'v 1 9223372036854775807", logged: "decide: 0 0 0"},
			{later: 999, script: "decide kv_get 'k 1 @0 9", logged: "decide: 1"},
			{later: 1, script: "decide kv_get 'k 1 @0 9\ndecide kv_get 'l 1 @0 9\ndecide kv_get 'm 1 @0 9", logged: "decide: -2 1 1"},
		}},
		{name: "what the store refuses", steps: one(
			"decide kv_set 'k 0 'v 1 0\ndecide kv_set @0 257 'v 1 0\ndecide kv_set @0 256 'v 1 0\ndecide kv_set 'k 1 @0 65537 0\ndecide kv_set 'k 1 @0 65536 0\ndecide kv_set 'k 1 'v 1 -1\ndecide kv_get 'k 0 @0 9\ndecide kv_get @0 257 @0 9\ndecide kv_get 'k 1 @0 9",
			"decide: -4 -4 0 -4 0 -4 -4 -4 65536")},
		{name: "the store's keys have a quota", steps: append(keys, step{script: "decide kv_set 'key0000 7 'w 1 0\ndecide kv_get 'key1024 7 @0 9", logged: "decide: 0 -2"})},
		{name: "the store's bytes have a quota", steps: values},
		{name: "what expired makes room", steps: append(keys[:1:1], append(func() []step {
			timed := make([]step, 0, len(keys))
			for _, s := range keys[1 : len(keys)-1] {
				s.script = strings.ReplaceAll(s.script, " 1 0\n", " 1 5\n")
				timed = append(timed, s)
			}
			return timed
		}(), step{script: "decide kv_set 'one 3 'v 1 0", logged: "decide: -5"}, step{later: 5, script: "decide kv_set 'one 3 'v 1 0", logged: "decide: 0"})...)},
		{name: "counters", steps: one("decide metric_add 'spared_ms 9 5\ndecide metric_add 'spared_ms 9 2\ndecide metric_add 'zero 4 0", "decide: 0 0 0"), check: func(r *result) error {
			if got := r.policy.Counter("spared_ms"); got != 7 {
				return fmt.Errorf("the counter is at %d, want 7", got)
			}
			return nil
		}},
		{name: "what a counter refuses", steps: one(
			"decide metric_add 'n 1 -1\ndecide metric_add 'n 0 1\ndecide metric_add '9n 2 1\ndecide metric_add 'a-b 3 1\ndecide metric_add @0 65 1\ndecide metric_add '_n9 3 1\ndecide metric_add 'n 1 9223372036854775807\ndecide metric_add 'n 1 1",
			"decide: -4 -4 -4 -4 -4 0 0 -5")},
		{name: "counters have a quota", steps: append(metrics, step{script: "decide metric_add 'metric00 8 1", logged: "decide: 0"})},
	}
}

func hookCases() []testCase {
	numbered := func(s *Statement) {
		s.Ints[abi.FieldRows], s.Ints[abi.FieldBytes], s.Ints[abi.FieldLatencyUS] = []int64{3}, []int64{400}, []int64{5000}
	}
	return []testCase{
		{name: "configure has no statement", config: "configure get_int 33 0\nconfigure get_bytes 1 0 @0 9\nconfigure count 7\nconfigure set_int 1 1\nconfigure set_bytes 64 'x 1\nconfigure select 0\nconfigure get_int 1001 0\nconfigure now_ms\nconfigure kv_get 'k 1 @0 9\nconfigure kv_set 'k 1 'v 1 0\nconfigure metric_add 'n 1 0", steps: one("decide calls", "decide: 2"), check: func(r *result) error {
			want := "configure: " + unknown + " -6 -6 -6 -6 -6 " + unknown + " 1700000000123 -2 0 0"
			if len(r.lines) == 0 || r.lines[0].text != want {
				return fmt.Errorf("logged %v, want %q first", r.lines, want)
			}
			return nil
		}},
		{name: "decide selects nothing", steps: one("decide select 0", "decide: -6")},
		{name: "on_result tells of the result and takes decisions", steps: []step{{
			hook: abi.HookOnResult, change: numbered,
			script: "on_result get_int 48 0\non_result get_int 49 0\non_result get_int 50 0\non_result select 0\non_result set_int 2 9000",
			logged: "on_result: 3 400 5000 -6 0",
		}}, check: func(r *result) error {
			if got := r.statements[0].Decided[abi.DecisionTTLMS]; got != 9000 {
				return fmt.Errorf("TTL_MS is %d, want 9000", got)
			}
			return nil
		}},
		{name: "on_tick selects", steps: []step{{
			hook: abi.HookOnTick, hot: 3,
			script: "on_tick get_int 51 0\non_tick select 2\non_tick get_int 51 0\non_tick set_int 2 2000\non_tick select 1\non_tick get_int 51 0\non_tick get_int 1002 0\non_tick set_int 2 1000\non_tick select 3\non_tick select -1\non_tick get_int 51 0",
			logged: "on_tick: 100 0 102 0 0 101 " + unknown + " 0 -2 -2 101",
		}}, check: func(r *result) error {
			got := fmt.Sprint(r.statements[0].Decided, r.statements[1].Decided, r.statements[2].Decided)
			if want := fmt.Sprint(map[abi.Decision]int64{}, map[abi.Decision]int64{2: 1000}, map[abi.Decision]int64{2: 2000}); got != want {
				return fmt.Errorf("decided %s, want %s", got, want)
			}
			return nil
		}},
		{name: "on_tick begins with the hottest each time", steps: []step{
			{hook: abi.HookOnTick, hot: 2, script: "on_tick select 1", logged: "on_tick: 0"},
			{hook: abi.HookOnTick, hot: 2, script: "on_tick get_int 51 0", logged: "on_tick: 100"},
		}},
		{name: "the store and the counters are there in every hook", steps: []step{
			{script: "decide kv_set 'k 1 'v 1 0\ndecide metric_add 'n 1 1", logged: "decide: 0 0"},
			{hook: abi.HookOnResult, script: "on_result kv_get 'k 1 @0 9\non_result metric_add 'n 1 1\non_result config @0 9\non_result now_ms", logged: "on_result: 1 0 2 1700000000123"},
			{hook: abi.HookOnTick, hot: 1, script: "on_tick kv_get 'k 1 @0 9\non_tick metric_add 'n 1 1", logged: "on_tick: 1 0"},
		}, check: func(r *result) error {
			if got := r.policy.Counter("n"); got != 3 {
				return fmt.Errorf("the counter is at %d, want 3", got)
			}
			return nil
		}},
	}
}

func failureCases() []testCase {
	var all []testCase
	for _, f := range []struct{ name, code string }{
		{"a result that is not 0", "return 1"}, {"a negative result", "return -1"}, {"a trap", "trap"}, {"a loop without end", "loop"}, {"a recursion without end", "recurse"},
	} {
		for _, hook := range []string{abi.HookDecide, abi.HookOnResult, abi.HookOnTick} {
			failing := step{hook: hook, hot: 1, script: hook + " " + f.code, failed: true}
			if strings.HasPrefix(f.code, "return") {
				failing.logged = hook + ":"
			}
			all = append(all, testCase{name: f.name + " in " + hook + " fails, and the next call has a fresh instance", steps: []step{
				{hook: hook, hot: 1, script: hook + " calls", logged: hook + ": 2"}, // after configure
				failing,
				{hook: hook, hot: 1, script: hook + " calls", logged: hook + ": 2"},
			}})
		}
		all = append(all, testCase{name: f.name + " in configure refuses the module", config: "configure " + f.code})
	}
	return all
}
