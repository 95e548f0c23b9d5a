package tck

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

// start is what the clock shows when a case begins.
const start = 1_700_000_000_123

// Run checks a host with a guest, case by case, and reports for each what is wrong, nothing where nothing is.
func Run(host Host, guest []byte, report func(name string, problems []error)) {
	for _, c := range cases() {
		report(c.name, check(host, guest, c))
	}
}

// check runs one case and returns what is wrong.
func check(host Host, guest []byte, c testCase) (problems []error) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	now := int64(start)
	r := &result{}
	config := c.config
	if config == "" {
		config = "{}"
	}
	policy, err := host.Load(guest, []byte(config), &now, func(level int, text string) { r.lines = append(r.lines, logged{level, text}) })
	if len(c.steps) == 0 {
		if err == nil {
			wrong("the module was loaded, want it refused")
			_ = policy.Close()
		}
		return problems
	}
	if err != nil {
		wrong("load: %w", err)
		return problems
	}
	defer func() {
		if err := policy.Close(); err != nil {
			wrong("close: %w", err)
		}
	}()
	r.policy = policy
	for i, s := range c.steps {
		now += s.later
		r.lines = nil
		statements, err := s.call(policy)
		if (err != nil) != s.failed {
			wrong("call %d: got the error %v, want one: %v", i+1, err, s.failed)
		}
		hook := s.hook
		if hook == "" {
			hook = abi.HookDecide
		}
		if got := r.answers(hook); got != s.logged {
			wrong("call %d: the guest was answered %q, want %q", i+1, got, s.logged)
		}
		r.statements = statements
	}
	if c.check != nil {
		if err := c.check(r); err != nil {
			wrong("%w", err)
		}
	}
	return problems
}

// call calls the hook of a step.
func (s step) call(policy Policy) ([]*Statement, error) {
	var statements []*Statement
	for i := range max(s.hot, 1) {
		one := NewStatement(s.script)
		if s.hook == abi.HookOnTick {
			one.Ints[abi.FieldHits] = []int64{100 + int64(i)}
		}
		if s.change != nil {
			s.change(one)
		}
		statements = append(statements, one)
	}
	switch s.hook {
	case abi.HookOnResult:
		return statements, policy.OnResult(s.tenant, statements[0])
	case abi.HookOnTick:
		return statements, policy.OnTick(s.tenant, statements)
	default:
		return statements, policy.Decide(s.tenant, statements[0])
	}
}

// answers is what the guest logged of a hook.
func (r *result) answers(hook string) string {
	for _, line := range r.lines {
		if strings.HasPrefix(line.text, hook+":") {
			return line.text
		}
	}
	return ""
}

// Uncovered returns the functions, fields, decisions, results and hooks of the ABI that no case is about.
func Uncovered() []string {
	var text strings.Builder
	seen := map[string]bool{}
	for _, c := range cases() {
		fmt.Fprintln(&text, c.config)
		seen[c.name] = true
		for _, s := range c.steps {
			fmt.Fprintln(&text, s.script, s.logged)
		}
	}
	all := text.String()
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(abi.Functions)) {
		if !strings.Contains(all, " "+name) {
			missing = append(missing, "function "+name)
		}
	}
	for f := abi.Field(1); f < abi.ReadBack; f++ {
		if f.Kind() != 0 && f != abi.FieldSQL && !seen["field "+f.String()] {
			missing = append(missing, "field "+f.String())
		}
	}
	for d := abi.Decision(1); d < abi.ReadBack; d++ {
		if d.Kind() != 0 && !seen["decision "+d.String()] {
			missing = append(missing, "decision "+d.String())
		}
	}
	for _, r := range []abi.Result{abi.ResultUnknown, abi.ResultNoIndex, abi.ResultBounds, abi.ResultRefused, abi.ResultQuota, abi.ResultWrongHook} {
		if !strings.Contains(all, fmt.Sprintf(" %d", r)) {
			missing = append(missing, "result "+r.String())
		}
	}
	for hook := range abi.Hooks {
		if hook != abi.HookInitialize && !strings.Contains(all, hook+" ") {
			missing = append(missing, "hook "+hook)
		}
	}
	return missing
}
