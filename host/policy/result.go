package policy

import (
	"context"
	"errors"
	"time"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// Result is one result of a statement, as on_result sees it.
type Result struct {
	Rows, Bytes int64
	// Latency is what the upstream took.
	Latency time.Duration
}

// OnResult returns what the policies make of one result of a statement whose decision asks for it: the decision with
// another TTL, or one that does not keep it. Where one of them fails, is off, or was replaced since the decision, the
// result is not kept.
func (s *Set) OnResult(ctx context.Context, q Query, d Decision, r Result) Decision {
	g := s.current.Load()
	if g.number != d.Generation {
		return d.without("the policies have changed since it was asked for", d.Policy)
	}
	for _, p := range g.policies {
		if !p.manifest.match.matches(q.Tenant, q.Database) || !p.module.Has(abi.HookOnResult) {
			continue
		}
		if p.off.Load() {
			return d.without("policy is switched off after repeated failures", p.name)
		}
		next, err := s.ask(ctx, p, abi.HookOnResult, q, d, &r)
		if err != nil {
			return d.without("policy failed: "+err.Error(), p.name)
		}
		d = next
	}
	return d
}

// without returns a decision that keeps nothing.
func (d Decision) without(reason, policy string) Decision {
	d.Cache, d.Reason, d.Policy = false, reason, policy
	return d
}

// ask lets one policy say what it makes of a statement; result is nil in decide.
func (s *Set) ask(ctx context.Context, p *policy, hook string, q Query, d Decision, result *Result) (Decision, error) {
	c := call{
		query: q, defaultTTL: s.options.DefaultTTL, maxEntryBytes: s.options.MaxEntryBytes, writeRate: s.options.WriteRate,
		region: s.options.Region, decision: d, result: result,
	}
	began := time.Now()
	run := p.module.Decide
	if hook == abi.HookOnResult {
		run = p.module.OnResult
	}
	err := run(ctx, q.Tenant, &c)
	if s.options.OnCall != nil && !errors.Is(err, engine.ErrClosed) {
		s.options.OnCall(p.name, hook, time.Since(began), err != nil)
	}
	if err != nil {
		s.failed(ctx, p, err)
		return d, err
	}
	if p.failures.Load() != 0 {
		p.failures.Store(0)
	}
	if c.decision != d {
		c.decision.Policy = p.name
		if c.decision.Reason == d.Reason {
			c.decision.Reason = "policy says so"
		}
	}
	return c.decision, nil
}

// figure returns what on_result alone is told.
func (r *Result) figure(field abi.Field) (int64, bool) {
	if r == nil {
		return 0, false
	}
	switch field {
	case abi.FieldRows:
		return r.Rows, true
	case abi.FieldBytes:
		return r.Bytes, true
	case abi.FieldLatencyUS:
		return r.Latency.Microseconds(), true
	default:
		return 0, false
	}
}
