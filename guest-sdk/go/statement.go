package policy

import (
	"strings"
	"time"
)

// Statement is what a policy decides about. Each method asks the host, so what is asked often is better kept in a
// variable. Something that the host does not know is empty, or ok is false. If the host fails to tell what it knows,
// the decision fails, whatever the policy makes of the empty answer. A Statement holds until Decide's function returns.
type Statement struct{ guest *guest }

// SQL returns the statement, with its literals replaced by $n.
func (s Statement) SQL() string { return s.guest.bytes(fieldSQL, 0) }

// Command returns the command as PostgreSQL spells it: SELECT, VALUES.
func (s Statement) Command() string { return s.guest.bytes(fieldCommand, 0) }

// Tenant returns the tenant that the session belongs to.
func (s Statement) Tenant() string { return s.guest.bytes(fieldTenant, 0) }

// Database returns the session's database.
func (s Statement) Database() string { return s.guest.bytes(fieldDatabase, 0) }

// User returns the session's user.
func (s Statement) User() string { return s.guest.bytes(fieldUser, 0) }

// Application returns the session's application_name.
func (s Statement) Application() string { return s.guest.bytes(fieldApplication, 0) }

// Relations returns each base relation that the statement reads, as schema.table, after views and partitions are
// resolved.
func (s Statement) Relations() []string { return s.guest.list(fieldRelation) }

// Comments returns each key=value pair of the statement's SQL comment, as sqlcommenter writes it.
func (s Statement) Comments() []string { return s.guest.list(fieldComment) }

// Comment returns the value of one key of the statement's SQL comment.
func (s Statement) Comment(key string) (value string, ok bool) {
	for _, pair := range s.Comments() {
		if k, v, found := strings.Cut(pair, "="); found && k == key {
			return v, true
		}
	}
	return "", false
}

// Functions returns each function that the statement calls, as schema.name.
func (s Statement) Functions() []string { return s.guest.list(fieldFunction) }

// VerdictReason returns why the verdict is what it is, in words.
func (s Statement) VerdictReason() string { return s.guest.bytes(fieldReason, 0) }

// Region returns the region of the node that decides.
func (s Statement) Region() string { return s.guest.bytes(fieldRegion, 0) }

// Fingerprint returns the same number for statements that differ in literals only.
func (s Statement) Fingerprint() (fingerprint uint64, ok bool) {
	n, ok := s.guest.int(fieldFingerprint, 0)
	return uint64(n), ok
}

// Verdict returns what the host found the statement to be, zero where it does not say.
func (s Statement) Verdict() Verdict {
	n, _ := s.guest.int(fieldVerdict, 0)
	return Verdict(n)
}

// ParamCount returns how many parameters the statement has.
func (s Statement) ParamCount() (count int, ok bool) {
	n, ok := s.guest.int(fieldParamCount, 0)
	return int(n), ok
}

// RelationRows returns the planner's estimate of how many rows the i-th of Relations has.
func (s Statement) RelationRows(i int) (rows int64, ok bool) {
	return s.guest.int(fieldRelationRows, i)
}

// RelationWrites returns how many events per hour touched the i-th of Relations, as a moving average.
func (s Statement) RelationWrites(i int) (perHour int64, ok bool) {
	return s.guest.int(fieldRelationWrites, i)
}

// DefaultTTL returns the time to live that holds where no policy states one.
func (s Statement) DefaultTTL() (ttl time.Duration, ok bool) {
	return s.guest.duration(fieldDefaultTTLMS)
}

// duration reads an integer field of milliseconds.
func (g *guest) duration(field int32) (time.Duration, bool) {
	n, ok := g.int(field, 0)
	return time.Duration(n) * time.Millisecond, ok
}
