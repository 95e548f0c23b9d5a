package session

import (
	"strconv"
	"strings"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
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
