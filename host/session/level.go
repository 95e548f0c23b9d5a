package session

import (
	"errors"
	"strconv"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// The settings that say how coherent a session's answers have to be. To Postgres they are ordinary custom settings.
const (
	settingConsistency = "perihelion.consistency"
	settingAfter       = "perihelion.after"
)

// token is a position of a log that a session carries from one node to another: what its answers have to know of. The
// zero value asks for nothing; one that is not understood is never reached.
type token struct {
	epoch   string
	version invalidation.Version
}

// never is a token that no node reaches.
var never = token{version: ^invalidation.Version(0)}

// maxToken bounds the text of a token, in bytes.
const maxToken = 128

// String returns the text of a token, which [parseToken] reads.
func (t token) String() string { return t.epoch + "/" + strconv.FormatUint(uint64(t.version), 10) }

// tokenLocked returns what a session elsewhere has to know of to see what this one has written, and what this node had
// applied by now.
func (s *Session) tokenLocked() token {
	var t token
	t.epoch, t.version = s.Floors.Applied()
	if w := s.mu.written; w.version != 0 && (w.epoch != t.epoch || w.version > t.version) {
		return w
	}
	return t
}

func parseToken(text string) token {
	if text == "" {
		return token{}
	}
	epoch, number, ok := strings.Cut(text, "/")
	version, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || epoch == "" || version == 0 || len(text) > maxToken {
		return never
	}
	return token{strings.Clone(epoch), invalidation.Version(version)}
}

// reachedLocked reports whether the node has applied what the session's token names. Once it has, it is not asked again:
// whatever comes later, an epoch that begins anew included, is read later.
func (s *Session) reachedLocked() bool {
	if !s.Floors.Reached(s.mu.after.epoch, s.mu.after.version) {
		return false
	}
	s.mu.after = token{}
	return true
}

// level returns what the settings that hold now ask for: of a level of its own the session gets what its database can
// give. A text that names none is taken for Off.
func (s *settings) level(database statement.Level) statement.Level {
	text, certain := s.value(settingConsistency, s.startConsistency)
	level, known := statement.ParseLevel(text)
	switch {
	case !certain, text != "" && !known:
		return statement.Off
	case text == "":
		return database
	case level == statement.Strong && database != statement.Strong:
		return statement.Off // without holds, the upstream alone is linearisable
	}
	return level
}

// after returns the token that the settings that hold now name.
func (s *settings) after() string {
	text, certain := s.value(settingAfter, s.startAfter)
	if !certain {
		return "?"
	}
	return text
}

// start is what a session has of a setting when it starts; it is certain or not.
type start struct {
	text    string
	certain bool
}

func (s *settings) value(name string, at start) (text string, certain bool) {
	if v, ok := s.values[name]; ok {
		return v, true
	}
	return at.text, at.certain
}

// demandLocked takes in what the session's settings ask for. An edge hears it with other news of the session, so a token
// that it has reached is asked for again: that costs one look.
func (s *Session) demandLocked(level statement.Level, after string) {
	s.mu.level, s.mu.after = level, parseToken(after)
}

// errOrphaned ends the upstream's loop of a session that goes on without an upstream.
var errOrphaned = errors.New("upstream gone, session goes on with what is in memory")

// orphanLocked makes the session one without an upstream, where its level allows that: at an edge, at level eventual, or
// where its last answer was from an entry that is, while the client waits for nothing and is in no block, and where the upstream ended without saying why. A backend that
// was ended says so, and ends its client.
func (s *Session) orphanLocked() bool {
	if s.Analysis != nil || s.mu.level != statement.Eventual && !s.mu.last.eventual() || s.mu.status != wire.Idle || s.mu.closed || s.confused.Load() ||
		s.mu.queue.owed() > 0 || s.mu.open || s.mu.skipping || s.reply.failed || s.reply.rest > 0 || s.draining.Load() {
		return false
	}
	s.mu.orphaned = true
	s.mu.queue = queue{} // what is left in it are messages of the session's own
	return true
}

// orphan reports whether the session has no upstream any more.
func (s *Session) orphan() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.orphaned
}

// homeless tells the client of a session without an upstream that its statement cannot be answered, and ends it.
func (s *Session) homeless() error {
	s.fatal(&wire.Error{
		Code: wire.CodeConnectionFailure, Message: "perihelion has lost its home, and has no answer in memory",
		Detail: "The session was at level eventual, which goes on with what is in memory.", Hint: "Connect again once the home is back.",
	})
	s.client.Close()
	return errDone
}
