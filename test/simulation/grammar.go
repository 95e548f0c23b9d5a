package simulation

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// keys are the registers of the world: relation and row.
var keys = []string{"a.1", "a.2", "b.1", "b.2"}

// text is what the grammar makes of a statement.
type text struct {
	kind textKind
	// keys are the registers that are read or written; a key that ends in "$" takes its row from a parameter.
	keys []string
	// value is what is written; of parameter is set where it is the first parameter.
	value       int64
	ofParameter bool
	// token is what perihelion.after is set to.
	token string
}

type textKind uint8

const (
	strange textKind = iota
	selects
	updates
	begins
	commits
	rollsBack
	sets
	empty
)

// The statements of the grammar. The second of each pair reads or writes two registers of two relations at one moment.
var (
	selectOne  = regexp.MustCompile(`^select v from (\w) where k = (\d|\$1)$`)
	selectBoth = regexp.MustCompile(`^select a\.v, b\.v from a, b where a\.k = (\d) and b\.k = (\d)$`)
	updateOne  = regexp.MustCompile(`^update (\w) set v = (\d+|\$1) where k = (\d)$`)
	setAfter   = regexp.MustCompile(`^set perihelion\.after = '([0-9a-f/]+)'$`)
	updateBoth = regexp.MustCompile(`^with x as \(update a set v = (\d+) where k = (\d)\) update b set v = (\d+) where k = (\d)$`)
)

func parseText(sql string) text {
	if b := statement.ReadBlock([]byte(sql)); b != statement.NoBlock {
		return text{kind: map[statement.Block]textKind{statement.BlockCommit: commits, statement.BlockRollback: rollsBack}[b] + map[bool]textKind{true: begins}[b.Begins()]}
	}
	if m := selectOne.FindStringSubmatch(sql); m != nil {
		return text{kind: selects, keys: []string{m[1] + "." + m[2]}}
	}
	if m := selectBoth.FindStringSubmatch(sql); m != nil {
		return text{kind: selects, keys: []string{"a." + m[1], "b." + m[2]}}
	}
	if m := updateOne.FindStringSubmatch(sql); m != nil {
		t := text{kind: updates, keys: []string{m[1] + "." + m[3]}, ofParameter: m[2] == "$1"}
		t.value, _ = strconv.ParseInt(m[2], 10, 64) // 0 for a parameter
		return t
	}
	if m := updateBoth.FindStringSubmatch(sql); m != nil {
		t := text{kind: updates, keys: []string{"a." + m[2], "b." + m[4]}}
		t.value, _ = strconv.ParseInt(m[1], 10, 64) // digits
		return t
	}
	if m := setAfter.FindStringSubmatch(sql); m != nil {
		return text{kind: sets, token: m[1]}
	}
	if strings.Trim(sql, " ;") == "" {
		return text{kind: empty}
	}
	return text{}
}

func selectText(keys ...string) string {
	if len(keys) == 1 {
		return fmt.Sprintf("select v from %s where k = %s", keys[0][:1], keys[0][2:])
	}
	return fmt.Sprintf("select a.v, b.v from a, b where a.k = %s and b.k = %s", keys[0][2:], keys[1][2:])
}

func updateText(value int64, keys ...string) string {
	if len(keys) == 1 {
		return fmt.Sprintf("update %s set v = %d where k = %s", keys[0][:1], value, keys[0][2:])
	}
	return fmt.Sprintf("with x as (update a set v = %d where k = %s) update b set v = %d where k = %s", value, keys[0][2:], value, keys[1][2:])
}

// relations returns the relations of registers.
func relations(keys []string) []string {
	var all []string
	for _, key := range keys {
		all = append(all, "public."+key[:1])
	}
	return all
}

// describe returns what a home's analysis would say of a text.
func describe(sql string) *statement.Descriptor {
	d := &statement.Descriptor{Fingerprint: 1, Generation: 1}
	switch t := parseText(sql); t.kind {
	case selects:
		d.Verdict, d.Command, d.Relations = statement.Read, "SELECT", relations(t.keys)
		d.RelationRows = make([]int64, len(d.Relations))
	case updates:
		d.Verdict, d.Command, d.Writes = statement.Write, "UPDATE", statement.Closure{Relations: relations(t.keys)}
	case sets:
		d.Verdict, d.Command, d.Settings = statement.Session, "SET", []statement.Setting{{Name: "perihelion.after", Value: t.token}}
	case begins:
		d.Verdict, d.Command, d.Control = statement.Session, "BEGIN", statement.ControlBegin
	case commits:
		d.Verdict, d.Command, d.Control = statement.Session, "COMMIT", statement.ControlCommit
	case rollsBack:
		d.Verdict, d.Command, d.Control = statement.Session, "ROLLBACK", statement.ControlRollback
	default:
		return &statement.Descriptor{Verdict: statement.Opaque, Reason: "not in the grammar", Writes: statement.Closure{Anything: true}, Untracked: true, Many: true}
	}
	return d
}

// analysis is what the home knows of the grammar.
type analysis struct{ broken Broken }

// Describe implements [session.Analysis].
func (a analysis) Describe(_ context.Context, _, _, sql string) *statement.Descriptor {
	d := describe(sql)
	if a.broken == R3IgnoresARelation && len(d.Relations) > 1 {
		d.Relations = d.Relations[:1]
	}
	if a.broken == TokensAreForgotten {
		d.Settings = nil
	}
	return d
}

// Generation implements [session.Analysis].
func (a analysis) Generation(string) uint64 { return 1 }

// Decide implements [session.Analysis]. The time to live is longer than any history, so that nothing but the rules voids
// an entry.
func (a analysis) Decide(context.Context, session.Identity, *statement.Descriptor) session.Decision {
	return session.Decision{Cache: true, TTL: time.Hour}
}

// InitialState implements [session.Analysis].
func (a analysis) InitialState(context.Context, string, string) (session.InitialSettings, error) {
	return session.InitialSettings{Digest: "same", Isolation: "read committed", SearchPath: "public", PathKnown: true}, nil
}
