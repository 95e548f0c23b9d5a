package policy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine"
)

// Query is what a decision is asked for.
type Query struct {
	Tenant, Database, User string
	// Application is the session's application_name.
	Application string
	Statement   *statement.Descriptor
	// Level is the level of the session's database.
	Level statement.Level
}

// Decision is what the policies make of a statement.
type Decision struct {
	Cache bool
	TTL   time.Duration
	// Reason says why; at most 256 bytes.
	Reason string
	// Policy names the policy that had the last word. Empty: none changed the defaults.
	Policy string
	// Level is the coherence level: the database's, or Eventual.
	Level statement.Level
	// Stale is how long after its time to live a result may be answered while it is asked for anew.
	Stale time.Duration
	// MaxResultBytes is the size of the largest result that is kept, in bytes; 0: the node's own bound.
	MaxResultBytes int64
	// Local is set where only the home may keep a result.
	Local bool
	// Tags are what a result can be voided by, each behind a line's end; see [Decision.TagList].
	Tags string
	// Ask is set where [Set.OnResult] has to be asked about each result.
	Ask bool
	// Generation is the one that decided.
	Generation uint64
}

// TagList returns the tags of a decision.
func (d Decision) TagList() []string {
	if d.Tags == "" {
		return nil
	}
	return strings.Split(d.Tags[1:], "\n")
}

// Decide returns what the generation in charge makes of a statement. It is remembered; the first time runs the
// policies that match, each with its fuel. A policy that fails, or is switched off, makes the statement
// bypass the cache.
func (s *Set) Decide(ctx context.Context, q Query) Decision {
	for {
		g := s.current.Load()
		d, err := s.decideIn(ctx, g, q)
		if errors.Is(err, engine.ErrClosed) && s.current.Load() != g {
			continue // replaced under our hands
		}
		if err != nil {
			return Decision{Reason: "policy failed: " + err.Error(), Policy: d.Policy, Level: q.Level, Generation: g.number}
		}
		if s.current.Load() != g {
			continue // the next one may have judged already what this one let in
		}
		return d
	}
}

func (s *Set) decideIn(ctx context.Context, g *generation, q Query) (Decision, error) {
	d := Decision{Level: q.Level, Generation: g.number}
	switch q.Statement.Verdict {
	case statement.Read:
		d.Cache, d.TTL, d.Reason = s.options.DefaultTTL > 0, s.options.DefaultTTL, "no policy says otherwise"
		if !d.Cache {
			d.Reason = "default_ttl is 0"
		}
	case statement.Unstable:
		d.TTL, d.Reason = s.options.DefaultTTL, "its answer can change without a write" // where a policy keeps it all the same
	default:
		// No policy ever sees what is not a read.
		d.Reason = "only reads are cached"
		return d, nil
	}
	if len(g.policies) == 0 {
		return d, nil
	}
	key := keyOf(q)
	if known, ok := g.memo.get(key); ok {
		return known, nil
	}
	for _, p := range g.policies {
		if !p.manifest.match.matches(q.Tenant, q.Database) {
			continue
		}
		if p.off.Load() {
			return Decision{Reason: "policy is switched off after repeated failures", Policy: p.name, Level: q.Level, Generation: g.number}, nil
		}
		next, err := s.ask(ctx, p, abi.HookDecide, q, d, nil)
		if err != nil {
			return Decision{Policy: p.name}, err
		}
		d = next
	}
	switch {
	case !d.Cache || d.Level == statement.Eventual:
	case q.Statement.Verdict != statement.Read:
		d.Cache, d.Reason = false, "its answer can change without a write: that is kept at level eventual only"
	case d.Level == statement.Strong && q.Level != statement.Strong:
		d.Cache, d.Reason = false, "a policy asks for level strong, and its database is not: the upstream alone can say"
	}
	g.memo.put(key, d)
	g.remembered.add(key, q, d)
	return d, nil
}

// failed counts a failure of a policy.
func (s *Set) failed(ctx context.Context, p *policy, err error) {
	var f *engine.Failure
	if !errors.As(err, &f) || ctx.Err() != nil {
		return // the caller went away, or the policy did
	}
	s.logger.Warn("policy failed: the statement bypasses the cache", "policy", p.name, "hook", f.Hook, "reason", f.Reason)
	reason := f.Error()
	p.lastFailure.Store(&reason)
	p.failed.Add(1)
	if p.failures.Add(1) >= int64(s.options.MaxFailures) {
		s.switchOff(p)
	}
}

// call is one call of decide or on_result, as the guest sees it. It implements [engine.Call].
type call struct {
	query      Query
	defaultTTL time.Duration
	// maxEntryBytes is the node's own bound.
	maxEntryBytes int64
	writeRate     func(database, relation string) int64
	region        string
	decision      Decision
	// result is what on_result speaks of; nil in decide.
	result *Result
}

func (c *call) Int(field abi.Field, index int) (int64, bool) {
	d := c.query.Statement
	switch field {
	case abi.FieldRelationRows:
		if index >= len(d.RelationRows) || d.RelationRows[index] < 0 {
			return 0, false
		}
		return d.RelationRows[index], true
	case abi.FieldRelationWrites:
		if index >= len(d.Relations) || c.writeRate == nil {
			return 0, false
		}
		return c.writeRate(c.query.Database, d.Relations[index]), true
	case abi.FieldFingerprint, abi.FieldVerdict, abi.FieldDefaultTTLMS, abi.FieldParamCount, abi.FieldRows, abi.FieldBytes, abi.FieldLatencyUS:
		if index != 0 {
			return 0, false
		}
	default:
	}
	switch field {
	case abi.FieldFingerprint:
		return int64(d.Fingerprint), true
	case abi.FieldVerdict:
		if d.Verdict == statement.Unstable {
			return int64(abi.VerdictUnstable), true
		}
		return int64(abi.VerdictRead), true
	case abi.FieldDefaultTTLMS:
		return c.defaultTTL.Milliseconds(), true
	case abi.FieldParamCount:
		return int64(d.Parameters), true
	default:
		return c.result.figure(field)
	}
}

func (c *call) Bytes(field abi.Field, index int) (string, abi.Result) {
	if list, ok := c.list(field); ok {
		if index >= len(list) {
			return "", abi.ResultNoIndex
		}
		return list[index], 0
	}
	var text string
	switch field {
	case abi.FieldSQL:
		text = c.query.Statement.Normalized
	case abi.FieldCommand:
		text = c.query.Statement.Command
	case abi.FieldTenant:
		text = c.query.Tenant
	case abi.FieldDatabase:
		text = c.query.Database
	case abi.FieldUser:
		text = c.query.User
	case abi.FieldApplication:
		text = c.query.Application
	case abi.FieldReason:
		text = c.query.Statement.Reason
	case abi.FieldRegion:
		text = c.region
	default:
		return "", abi.ResultUnknown
	}
	if index != 0 {
		return "", abi.ResultNoIndex
	}
	return text, 0
}

func (c *call) list(field abi.Field) ([]string, bool) {
	switch field {
	case abi.FieldRelation:
		return c.query.Statement.Relations, true
	case abi.FieldComment:
		return c.query.Statement.Comments, true
	case abi.FieldFunction:
		return c.query.Statement.Functions, true
	default:
		return nil, false
	}
}

func (c *call) Count(field abi.Field) int32 {
	if field == abi.FieldRelationRows || field == abi.FieldRelationWrites {
		return int32(len(c.query.Statement.Relations))
	}
	list, ok := c.list(field)
	if !ok {
		return int32(abi.ResultUnknown)
	}
	return int32(len(list))
}

func (c *call) Decided(decision abi.Decision) (int64, bool) {
	switch decision {
	case abi.DecisionCache:
		if c.decision.Cache {
			return 1, true
		}
		return 0, true
	case abi.DecisionTTLMS:
		return c.decision.TTL.Milliseconds(), true
	case abi.DecisionStaleMS:
		return c.decision.Stale.Milliseconds(), true
	case abi.DecisionLevel:
		return levelNumber(c.decision.Level), true
	case abi.DecisionMaxResultBytes:
		if c.decision.MaxResultBytes > 0 {
			return c.decision.MaxResultBytes, true
		}
		return c.maxEntryBytes, c.maxEntryBytes > 0
	case abi.DecisionEdges:
		if c.decision.Local {
			return 0, true
		}
		return 1, true
	case abi.DecisionAskOnResult:
		if c.decision.Ask {
			return 1, true
		}
		return 0, true
	case abi.DecisionShare:
		return int64(abi.ShareUser), true
	default:
		return 0, false
	}
}

// levelNumber returns the ABI's number of a level; 0 is none of them.
func levelNumber(l statement.Level) int64 {
	switch l {
	case statement.Bounded:
		return 1
	case statement.Strong:
		return 2
	case statement.Eventual:
		return 3
	case statement.Off:
	}
	return 0
}

func (c *call) SetInt(decision abi.Decision, value int64) abi.Result {
	if c.result != nil && decision != abi.DecisionCache && decision != abi.DecisionTTLMS {
		return abi.ResultWrongHook // the statement was decided on; its result may be kept for another time, or not at all
	}
	switch decision {
	case abi.DecisionCache:
		if value < abi.MinCache || value > abi.MaxCache {
			return abi.ResultRefused
		}
		c.decision.Cache = value == 1
	case abi.DecisionTTLMS:
		if value < abi.MinTTLMS || value > abi.MaxTTLMS {
			return abi.ResultRefused
		}
		c.decision.TTL = time.Duration(value) * time.Millisecond
	case abi.DecisionStaleMS:
		if value < abi.MinStaleMS || value > abi.MaxStaleMS {
			return abi.ResultRefused
		}
		c.decision.Stale = time.Duration(value) * time.Millisecond
	case abi.DecisionLevel:
		for _, l := range []statement.Level{statement.Bounded, statement.Strong, statement.Eventual} {
			if levelNumber(l) == value {
				c.decision.Level = l
				return 0
			}
		}
		return abi.ResultRefused
	case abi.DecisionMaxResultBytes:
		if value < abi.MinMaxResultBytes || c.maxEntryBytes > 0 && value > c.maxEntryBytes || c.decision.MaxResultBytes > 0 && value > c.decision.MaxResultBytes {
			return abi.ResultRefused // it can only be lowered
		}
		c.decision.MaxResultBytes = value
	case abi.DecisionEdges:
		if value < abi.MinEdges || value > abi.MaxEdges {
			return abi.ResultRefused
		}
		c.decision.Local = value == 0
	case abi.DecisionAskOnResult:
		if value < abi.MinAskOnResult || value > abi.MaxAskOnResult {
			return abi.ResultRefused
		}
		c.decision.Ask = value == 1
	case abi.DecisionShare:
		// What one user may read another may not, and Postgres checks it when it executes: a hit does not.
		if value != int64(abi.ShareUser) {
			return abi.ResultRefused
		}
	default:
		return abi.ResultUnknown
	}
	return 0
}

func (c *call) SetBytes(decision abi.Decision, value string) abi.Result {
	switch decision {
	case abi.DecisionReason:
		if len(value) > abi.MaxReason {
			return abi.ResultRefused
		}
		c.decision.Reason = clean(value)
		return 0
	case abi.DecisionTag:
		if c.result != nil {
			return abi.ResultWrongHook
		}
		return c.tag(value)
	default:
		return abi.ResultUnknown
	}
}

// tag adds a tag, unless the decision has it already. One that the API could not name is refused.
func (c *call) tag(value string) abi.Result {
	if value == "" || len(value) > abi.MaxTag || clean(value) != value {
		return abi.ResultRefused
	}
	tags := c.decision.TagList()
	switch {
	case slices.Contains(tags, value):
	case len(tags) >= abi.MaxTags:
		return abi.ResultQuota
	default:
		c.decision.Tags += "\n" + value
	}
	return 0
}
