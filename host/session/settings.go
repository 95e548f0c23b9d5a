package session

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

const (
	// maxSettings bounds the settings that are followed per session; one with more shares nothing.
	maxSettings = 256
	// maxLevels bounds the savepoints of one transaction, maxPriors the values that its rollbacks could bring back.
	maxLevels, maxPriors = 1024, 1024
	// maxSettingName bounds a setting's name, and maxSettingValue a value that is kept as it is, in bytes.
	maxSettingName, maxSettingValue = 128, 64
	// maxSearchPath bounds a search_path that is kept as it is, in bytes.
	maxSearchPath = 1024
)

// InitialSettings are what Postgres gives a new session of a role and database.
type InitialSettings struct {
	// Digest is equal where all of the settings are.
	Digest string
	// Isolation is the default_transaction_isolation among them, empty where it is not certain.
	Isolation string
	// SearchPath is the search_path among them, and PathKnown whether it is certain.
	SearchPath string
	PathKnown  bool
	// Role is set where they may hold a role: the session's current_user is not certain.
	Role bool
	// Consistency is the perihelion.consistency among them.
	Consistency string
}

// settings follow what a session's statements change, as Postgres has confirmed it: a model of PostgreSQL's stack of
// settings (guc.c), with one level per transaction and savepoint. It is used by one goroutine at a time.
//
// What a setting means may depend on what it was before (DateStyle). Postgres reports those, and what it reports is a
// part of a session's state as well. A custom setting that was never set and one that was reset differ by NULL and an
// empty text for current_setting alone; they count as equal here, so that a session that resets what it set shares again.
type settings struct {
	base string
	// isolation is the default_transaction_isolation that the session started with, empty where it is not certain.
	isolation string
	// startPath is the search_path that the session started with, user its current_user then; nil, and empty, where they
	// are not certain.
	startPath *string
	user      string
	// startConsistency and startAfter are what the session started with of perihelion.*.
	startConsistency, startAfter start
	// resolved is the last path that was asked for, and of what it was made.
	resolved struct{ value, user, path string }
	// values are the settings that are not as at the session's start, by name.
	values map[string]string
	// levels are the transaction under way and the savepoints in it, the innermost last; none: no statement has
	// completed since the last transaction ended. priors counts their changes.
	levels []level
	priors int
	// block is set in a transaction block that a BEGIN began, aborted in one that has failed.
	block, aborted bool
	// current is the isolation of the transaction under way, empty where it is not certain; began is what it began with.
	current, began string
	// untracked is set while the state is not known, startUnknown where it cannot be known.
	untracked, startUnknown bool
	// digest is the token of the present values, empty where they have changed since it was made.
	digest string
}

// level is a transaction, or savepoints in it of one name that follow each other with no change in between: drivers
// define one before every statement and release none.
type level struct {
	savepoint string
	times     int // more than one only where nothing has changed
	changes   map[string]change
}

// value is what a setting has; not known means as at the session's start.
type value struct {
	text string
	set  bool
}

// change is what one level did to one setting.
type change struct {
	kind changeKind
	// prior is the value before the level, masked what SET gave before a SET LOCAL hid it.
	prior, masked value
}

type changeKind uint8

const (
	changeSet      changeKind = iota // outlives the transaction if it commits
	changeLocal                      // ends with the transaction
	changeSetLocal                   // ends with the transaction, which leaves masked
)

// newSettings returns the settings of a session that just started.
func newSettings(who Identity, begin *wire.Startup, initial InitialSettings) *settings {
	h := sha256.New()
	for _, part := range []string{who.Tenant, who.Database, who.User, initial.Digest} {
		writePart(h, part)
	}
	// Drivers send them in any order; where a name stands twice, the order of its values counts.
	parameters := slices.Clone(begin.Parameters)
	slices.SortStableFunc(parameters, func(a, b wire.Parameter) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range parameters {
		writePart(h, p.Name)
		writePart(h, p.Value)
	}
	s := &settings{base: string(h.Sum(nil)), isolation: startIsolation(begin, initial.Isolation), values: map[string]string{}}
	if role, ok := startSetting(begin, "role", ""); ok && role == "" && !initial.Role {
		s.user = who.User
	}
	if path, ok := startSetting(begin, searchPath, initial.SearchPath); ok && (initial.PathKnown || path != initial.SearchPath) {
		s.startPath = &path
	}
	text, certain := startSetting(begin, settingConsistency, initial.Consistency)
	s.startConsistency = start{text, certain}
	text, certain = startSetting(begin, settingAfter, "")
	s.startAfter = start{text, certain}
	return s
}

const searchPath = "search_path"

// path returns the search_path that holds now, as statement.SearchPath spells it; "" where it is not certain. reported is
// what Postgres says of it, from version 18 on, else empty.
func (s *settings) path(reported string) string {
	if s.private() {
		return ""
	}
	value, set := s.values[searchPath]
	switch {
	case reported != "":
		value = reported
	case set:
	case s.startPath != nil:
		value = *s.startPath
	default:
		return ""
	}
	user := s.currentUser()
	if r := &s.resolved; r.path == "" || r.value != value || r.user != user {
		r.value, r.user, r.path = value, user, statement.SearchPath(value, user)
	}
	return s.resolved.path
}

// currentUser returns the session's current_user, empty where it is not certain.
func (s *settings) currentUser() string {
	if role, ok := s.values["role"]; ok && role != "none" {
		return role
	}
	if user, ok := s.values["session_authorization"]; ok {
		return user
	}
	if _, ok := s.values["role"]; ok && s.user == "" {
		return ""
	}
	return s.user
}

// unknownStart notes that it is not known what the session started with: not even DISCARD ALL makes it known.
func (s *settings) unknownStart() {
	s.startUnknown = true
	s.untrack()
}

// token returns a digest of the settings that hold now, those of a transaction under way included. It is equal wherever
// they are, however they came about. Left out is what no answer depends on: transactions' own characteristics and
// their defaults, and how coherent answers have to be.
func (s *settings) token() string {
	if s.digest != "" {
		return s.digest
	}
	h := sha256.New()
	writePart(h, s.base)
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		if !strings.HasPrefix(name, "default_transaction_") && name != settingConsistency && name != settingAfter {
			writePart(h, name)
			writePart(h, s.values[name])
		}
	}
	s.digest = hex.EncodeToString(h.Sum(nil))
	return s.digest
}

// private reports whether the state is not known: the session must share nothing.
func (s *settings) private() bool { return s.untracked || s.startUnknown }

// readCommitted reports whether the transaction under way, or where none is the next that a plain BEGIN begins, is
// certain to take a new snapshot for each statement.
func (s *settings) readCommitted() bool {
	isolation := s.current
	if len(s.levels) == 0 {
		isolation = s.defaultIsolation()
	}
	// Postgres makes no difference between the two.
	return !s.private() && (isolation == "read committed" || isolation == "read uncommitted")
}

func (s *settings) defaultIsolation() string {
	if isolation, ok := s.values[defaultIsolation]; ok {
		return foldASCII(isolation)
	}
	return s.isolation
}

// completed takes in one statement that Postgres has completed, with its command tag; of a text of several, each of
// its Parts by itself. One that failed and may have committed before (CALL, DO) counts as well. Where the tag that tells
// a COMMIT from the rollback of a failed block is not known, an empty one makes the session untracked if it matters.
func (s *settings) completed(d *statement.Descriptor, tag string) {
	if d.Discard {
		// It runs outside blocks only, and commits at once.
		if s.block {
			s.untrack()
			return
		}
		s.values, s.untracked = map[string]string{}, false
		s.forgetTransaction()
		s.digest = ""
		return
	}
	if d.Untracked || d.Control == statement.ControlMany {
		s.untrack()
	}
	if len(s.levels) == 0 {
		s.begin(s.defaultIsolation())
	}
	switch d.Control {
	case statement.ControlBegin:
		s.block = true
	case statement.ControlCommit, statement.ControlPrepare:
		s.commit(d, tag)
	case statement.ControlRollback:
		s.end(false, d.Chain)
	case statement.ControlSavepoint:
		s.savepoint(d.Savepoint)
	case statement.ControlRollbackTo:
		s.rollbackTo(d.Savepoint)
	case statement.ControlRelease:
		s.release(d.Savepoint)
	case statement.ControlNone, statement.ControlCommitPrepared, statement.ControlRollbackPrepared, statement.ControlMany:
	}
	for _, c := range d.Settings {
		s.apply(c)
	}
}

// endCycle takes in a ReadyForQuery with its transaction status; failed says whether an ErrorResponse came before it.
func (s *settings) endCycle(status byte, failed bool) {
	switch status {
	case wire.Idle:
		if s.block && !failed {
			s.untrack() // something ended the block that was not seen
		}
		// Outside a block all since the last end was one transaction. In a block its COMMIT failed.
		s.end(!s.block && !failed, false)
	case wire.InBlock:
		if !s.block || s.aborted || failed {
			s.untrack()
		}
		s.block = true
	default:
		if !s.block || !s.aborted && !failed {
			s.untrack()
		}
		if !s.aborted && len(s.levels) > 0 {
			// Postgres undoes what the failed part of the transaction did at once.
			s.undo(s.top())
		}
		s.block, s.aborted = true, true
	}
}

// untrack gives up following until a DISCARD ALL; of the transaction only the block is known from here on.
func (s *settings) untrack() {
	if !s.untracked {
		s.untracked, s.digest, s.priors = true, "", 0
		clear(s.values)
		for i := range s.levels {
			s.levels[i].changes = nil
		}
	}
}

func (s *settings) begin(isolation string) {
	s.levels = append(s.levels[:0], level{times: 1})
	s.priors, s.current, s.began = 0, isolation, isolation
}

func (s *settings) forgetTransaction() {
	s.levels, s.priors, s.block, s.aborted, s.current, s.began = nil, 0, false, false, "", ""
}

// commit takes in a COMMIT or PREPARE TRANSACTION.
func (s *settings) commit(d *statement.Descriptor, tag string) {
	done := "COMMIT"
	if d.Control == statement.ControlPrepare {
		done = "PREPARE TRANSACTION"
	}
	// Outside a block PREPARE TRANSACTION says ROLLBACK and commits.
	undone := tag == "ROLLBACK" && (s.block || d.Control == statement.ControlCommit)
	if tag != done && !undone && s.priors > 0 {
		s.untrack()
	}
	s.end(tag == done, d.Chain)
}

// end ends the transaction; chain begins the next in its place.
func (s *settings) end(commit, chain bool) {
	if commit && len(s.levels) > 0 {
		s.merge(1)
		for name, c := range s.levels[0].changes {
			switch c.kind {
			case changeSet:
			case changeLocal:
				s.put(name, c.prior)
			case changeSetLocal:
				s.put(name, c.masked)
			}
		}
		s.doubtRole(s.levels[0].changes, func(c change) bool { return c.kind != changeSet })
	}
	if !commit {
		for len(s.levels) > 0 {
			s.undo(s.top())
			s.levels = s.levels[:len(s.levels)-1]
		}
	}
	isolation := s.current
	if standard := s.defaultIsolation(); s.aborted && (isolation != standard || s.began != standard) {
		isolation = "" // versions differ in what follows a failed block
	}
	s.forgetTransaction()
	if chain {
		s.begin(isolation)
		s.block = true
	}
}

func (s *settings) savepoint(name string) {
	switch {
	case s.untracked:
		return
	case !s.block || len(s.levels) > maxLevels:
		s.untrack()
		return
	}
	if top := s.top(); top.savepoint == name && len(top.changes) == 0 {
		top.times++
		return
	}
	s.levels = append(s.levels, level{savepoint: name, times: 1})
}

// find returns the index of the innermost savepoint of the name, or 0 where there is none.
func (s *settings) find(name string) int {
	if name == "" {
		return 0 // the transaction itself has no name
	}
	i := len(s.levels) - 1
	for i > 0 && s.levels[i].savepoint != name {
		i--
	}
	return max(i, 0)
}

func (s *settings) rollbackTo(name string) {
	at := s.find(name)
	if at == 0 {
		s.untrack()
		return
	}
	for len(s.levels) > at+1 {
		s.undo(s.top())
		s.levels = s.levels[:len(s.levels)-1]
	}
	s.undo(s.top()) // the savepoint itself stays
	s.aborted = false
}

func (s *settings) release(name string) {
	at := s.find(name)
	if at == 0 {
		s.untrack()
		return
	}
	s.merge(at + 1)
	if top := s.top(); top.times > 1 {
		top.times--
		return
	}
	s.merge(len(s.levels) - 1)
}

// merge releases all levels from the given index on into the one below.
func (s *settings) merge(from int) {
	for n := len(s.levels) - from; n > 0; n-- {
		released := s.top().changes
		s.levels = s.levels[:len(s.levels)-1]
		s.priors -= len(released)
		if n > 1 {
			s.into(s.top(), released) // which is released as well, as a whole
		} else {
			s.receive(released)
		}
	}
}

// receive takes changes into the innermost level.
func (s *settings) receive(released map[string]change) {
	if len(released) > 0 {
		s.into(s.writable(), released)
	}
}

// into takes the changes of a level that was released into the one below it.
func (s *settings) into(below *level, released map[string]change) {
	for name, c := range released {
		old, ok := below.changes[name]
		switch {
		case !ok:
			old = c
			s.priors++
		case c.kind == changeSet:
			old.kind, old.masked = changeSet, value{}
		case c.kind == changeSetLocal:
			old.kind, old.masked = changeSetLocal, c.masked
		case old.kind == changeSet: // and SET LOCAL above it
			old.kind, old.masked = changeSetLocal, c.prior
		}
		below.put(name, old)
	}
}

func (s *settings) top() *level { return &s.levels[len(s.levels)-1] }

// writable returns the innermost level as one that may hold changes.
func (s *settings) writable() *level {
	top := s.top()
	if top.times > 1 {
		top.times--
		s.levels = append(s.levels, level{savepoint: top.savepoint, times: 1})
	}
	return s.top()
}

func (l *level) put(name string, c change) {
	if l.changes == nil {
		l.changes = map[string]change{}
	}
	l.changes[name] = c
}

// undo brings back what was before a level. The level stays, without changes.
func (s *settings) undo(l *level) {
	for name, c := range l.changes {
		s.put(name, c.prior)
	}
	changes := l.changes
	s.priors -= len(changes)
	l.changes = nil
	s.doubtRole(changes, func(change) bool { return true })
}

// doubtRole gives up where a session_authorization was taken back while a role is set: releases of PostgreSQL before
// November 2024 lose the role then.
func (s *settings) doubtRole(changes map[string]change, takenBack func(change) bool) {
	c, ok := changes["session_authorization"]
	if ok && takenBack(c) && s.get("role").set && s.get("role").text != "none" {
		s.untrack()
	}
}

// apply takes in one change.
func (s *settings) apply(c statement.Setting) {
	if s.untracked {
		return
	}
	switch c.Name {
	case "transaction_isolation":
		s.current = ""
		if !c.Reset {
			s.current = foldASCII(c.Value)
		}
		return
	case "transaction_snapshot":
		s.current = ""
		return
	case "transaction_read_only", "transaction_deferrable":
		return
	case "": // RESET ALL
		for _, name := range slices.Sorted(maps.Keys(s.values)) {
			if name != "role" && name != "session_authorization" {
				s.change(name, value{}, false)
			}
		}
		return
	}
	if len(c.Name) > maxSettingName {
		s.untrack()
		return
	}
	v := value{}
	if !c.Reset {
		v = value{text: short(c.Name, c.Value), set: true}
	}
	s.change(c.Name, v, c.Local)
}

// change gives a setting a new value in the innermost level.
func (s *settings) change(name string, v value, local bool) {
	if s.untracked {
		return
	}
	l := s.writable()
	c, ok := l.changes[name]
	switch {
	case !ok && local:
		c = change{kind: changeLocal, prior: s.get(name)}
	case !ok:
		c = change{kind: changeSet, prior: s.get(name)}
	case !local:
		c.kind, c.masked = changeSet, value{}
	case c.kind == changeSet:
		c.kind, c.masked = changeSetLocal, s.get(name)
	}
	if !ok {
		s.priors++
	}
	l.put(name, c)
	s.put(name, v)
	if s.priors > maxPriors || len(s.values) > maxSettings {
		s.untrack()
	}
}

func (s *settings) get(name string) value {
	text, ok := s.values[name]
	return value{text: text, set: ok}
}

func (s *settings) put(name string, v value) {
	s.digest = ""
	if v.set {
		s.values[name] = v.text
	} else {
		delete(s.values, name)
	}
}

// short returns what stands for a value: of most no more is asked than whether it equals another.
func short(name, text string) string {
	if len(text) <= maxSettingValue || name == searchPath && len(text) <= maxSearchPath || name == settingAfter && len(text) <= maxToken {
		return strings.Clone(text)
	}
	sum := sha256.Sum256([]byte(text))
	return "digest:" + hex.EncodeToString(sum[:]) // longer than any that stands for itself
}

// startIsolation returns the default_transaction_isolation of a session that starts with these parameters, or "" where
// it is not certain.
func startIsolation(start *wire.Startup, initial string) string {
	isolation, _ := startSetting(start, defaultIsolation, initial)
	return foldASCII(isolation)
}

const defaultIsolation = "default_transaction_isolation"

// startSetting returns the value of a setting in a session that starts with these parameters; ok is not set, and the
// value empty, where it is not certain. What the client asks for comes before what role, database and server have.
func startSetting(start *wire.Startup, name, initial string) (value string, ok bool) {
	value, ok = initial, true
	for _, p := range start.Parameters {
		if p.Name == "options" && ok {
			value, ok = optionsSetting(p.Value, name, value)
		}
	}
	for _, p := range start.Parameters { // which Postgres reads after the options
		if foldASCII(p.Name) == name {
			value, ok = p.Value, true
		}
	}
	return value, ok
}

// optionsSetting reads the command line options of a startup message. Only -c and -- are understood; where the name
// stands among others, the value is not certain.
func optionsSetting(options, of, initial string) (value string, ok bool) {
	if !strings.Contains(foldOption(strings.ReplaceAll(options, `\`, "")), of) {
		return initial, true
	}
	value = initial
	arguments := splitOptions(options)
	for i := 0; i < len(arguments); i++ {
		assignment, long := strings.CutPrefix(arguments[i], "--")
		if !long {
			var ok bool
			if assignment, ok = strings.CutPrefix(arguments[i], "-c"); !ok {
				return "", false
			}
			if i++; assignment != "" {
				i--
			} else if i < len(arguments) {
				assignment = arguments[i]
			}
		}
		name, to, ok := strings.Cut(assignment, "=")
		if !ok {
			return "", false
		}
		if foldOption(name) == of {
			value = to
		}
	}
	return value, true
}

// splitOptions splits at white space that no backslash stands before, as Postgres does.
func splitOptions(options string) []string {
	var all []string
	var word strings.Builder
	inside := false
	for i := 0; i < len(options); i++ {
		c := options[i]
		if strings.IndexByte(" \t\n\v\f\r", c) >= 0 {
			if inside {
				all = append(all, word.String())
				word.Reset()
			}
			inside = false
			continue
		}
		inside = true
		if c == '\\' {
			if i++; i == len(options) {
				break
			}
			c = options[i]
		}
		word.WriteByte(c)
	}
	if inside {
		all = append(all, word.String())
	}
	return all
}

func foldOption(name string) string { return strings.ReplaceAll(foldASCII(name), "-", "_") }

// foldASCII folds as Postgres does with names and keywords of settings.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
