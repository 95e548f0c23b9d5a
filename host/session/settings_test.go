package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/statement"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// confirmed is what a test feeds to settings: words that stand for statements and for the ends of cycles.
//
//	x=1  x!  +x=1  +x!  !     SET, RESET, SET LOCAL, SET LOCAL TO DEFAULT, RESET ALL
//	begin commit rollback chain rollback-chain prepare    COMMIT of a failed block is commit-failed
//	sp:a to:a rel:a           savepoints
//	discard wild              DISCARD ALL, a statement that may do anything
//	/I /T /E  /I! /E!         ReadyForQuery, with ! after an error
func feed(t *testing.T, s *settings, words string) {
	t.Helper()
	for word := range strings.FieldsSeq(words) {
		if status, ok := strings.CutPrefix(word, "/"); ok {
			status, failed := strings.CutSuffix(status, "!")
			s.endCycle(status[0], failed)
			continue
		}
		d, tag := described(t, word)
		s.completed(d, tag)
	}
}

func described(t *testing.T, word string) (d *statement.Descriptor, tag string) {
	t.Helper()
	d = &statement.Descriptor{Verdict: statement.Session}
	name, arg, isCall := strings.Cut(word, ":")
	if isCall {
		d.Savepoint = arg
		switch name {
		case "sp":
			d.Control, tag = statement.ControlSavepoint, "SAVEPOINT"
		case "to":
			d.Control, tag = statement.ControlRollbackTo, "ROLLBACK"
		case "rel":
			d.Control, tag = statement.ControlRelease, "RELEASE"
		}
		return d, tag
	}
	switch word {
	case "begin":
		d.Control, tag = statement.ControlBegin, "BEGIN"
	case "commit", "chain", "commit-failed", "chain-failed", "commit-untold":
		d.Control, d.Chain, tag = statement.ControlCommit, strings.HasPrefix(word, "chain"), "COMMIT"
		switch {
		case strings.HasSuffix(word, "-failed"):
			tag = "ROLLBACK"
		case strings.HasSuffix(word, "-untold"):
			tag = ""
		}
	case "rollback", "rollback-chain":
		d.Control, d.Chain, tag = statement.ControlRollback, word == "rollback-chain", "ROLLBACK"
	case "prepare", "prepare-failed":
		d.Control, tag = statement.ControlPrepare, "PREPARE TRANSACTION"
		if word == "prepare-failed" {
			tag = "ROLLBACK"
		}
	case "discard":
		d.Discard, tag = true, "DISCARD ALL"
	case "wild":
		d.Untracked = true
	case "read":
	default:
		tag = "SET"
		var c statement.Setting
		word, c.Local = strings.CutPrefix(word, "+")
		if name, ok := strings.CutSuffix(word, "!"); ok {
			c.Name, c.Reset = name, true
		} else if name, value, ok := strings.Cut(word, "="); ok {
			c.Name, c.Value = name, strings.ReplaceAll(value, "_", " ")
		} else {
			t.Fatalf("what is %q?", word)
		}
		if c.Name == "iso" {
			c.Name = "transaction_isolation"
		}
		if c.Name == "default" {
			c.Name = "default_transaction_isolation"
		}
		d.Settings = []statement.Setting{c}
	}
	return d, tag
}

func fresh() *settings {
	return newSettings(Identity{User: "u"}, &wire.Startup{}, InitialSettings{Digest: "d", Isolation: "read committed"})
}

// spelled spells what holds now.
func (s *settings) spelled() string {
	if s.private() {
		return "private"
	}
	return strings.Trim(fmt.Sprint(s.values), "map[]")
}

func TestSettingsHoldAsPostgresHasThem(t *testing.T) {
	for _, test := range []struct{ name, words, want string }{
		{"nothing is set at first", "/I", ""},
		{"SET holds", "x=1 /I y=2 /I x=3 /I", "x:3 y:2"},
		{"RESET takes it away", "x=1 /I y=2 /I x! /I", "y:2"},
		{"RESET ALL takes all away", "x=1 /I y=2 /I ! /I", ""},
		{"RESET ALL leaves who asks", "role=a /I session_authorization=b /I x=1 /I ! /I", "role:a session_authorization:b"},
		{"DISCARD ALL does not", "role=a /I session_authorization=b /I x=1 /I discard /I", ""},
		{"SET LOCAL outside a block ends with its statement", "+x=1 /I", ""},
		{"SET LOCAL holds for the rest of a pipeline", "+x=1", "x:1"},
		{"a pipeline is one transaction", "x=1 y=2 /I!", ""},
		{"a pipeline that commits", "x=1 y=2 +y=3 /I", "x:1 y:2"},
		{"a rollback outside a block undoes what was before it", "x=1 rollback y=2 /I", "y:2"},
		{"a commit outside a block keeps what was before it", "x=1 commit y=2 /I!", "x:1"},
		{"BEGIN takes in what was before it", "x=1 begin y=2 rollback /I", ""},
		{"a block that commits", "begin /T x=1 /T commit /I", "x:1"},
		{"what a block sets holds in it", "begin /T x=1 /T +y=2 /T", "x:1 y:2"},
		{"a block that rolls back", "x=1 /I begin /T x=2 /T ! /T y=3 /T rollback /I", "x:1"},
		{"a block that fails", "x=1 /I begin /T x=2 /T /E! rollback /I", "x:1"},
		{"a failed block has lost its settings at once", "x=1 /I begin /T x=2 /T /E!", "x:1"},
		{"a commit of a failed block", "x=1 /I begin /T x=2 /T /E! commit-failed /I", "x:1"},
		{"a commit that fails", "begin /T x=2 /T /I!", ""},
		{"a prepared transaction keeps its settings", "begin /T x=2 +y=1 prepare /I", "x:2"},
		{"one that was not prepared does not", "begin /T x=2 /E! prepare-failed /I", ""},
		{"SET LOCAL ends with its block", "x=1 /I begin /T +x=2 /T commit /I", "x:1"},
		{"SET LOCAL over SET", "begin x=1 +x=2 commit /I", "x:1"},
		{"SET over SET LOCAL", "begin +x=1 x=2 commit /I", "x:2"},
		{"SET LOCAL, SET, SET LOCAL", "begin +x=1 x=2 +x=3 commit /I", "x:2"},
		{"RESET in a block", "x=1 /I begin x! commit /I", ""},
		{"SET LOCAL TO DEFAULT", "x=1 /I begin +x! /T", ""},
		{"SET LOCAL TO DEFAULT ends with the block", "x=1 /I begin +x! /T commit /I", "x:1"},
		{"a savepoint is rolled back to", "begin x=1 sp:a x=2 y=3 to:a /T", "x:1"},
		{"and again", "begin x=1 sp:a x=2 to:a x=3 to:a commit /I", "x:1"},
		{"a savepoint that is released", "begin x=1 sp:a x=2 rel:a commit /I", "x:2"},
		{"released and rolled back", "begin x=1 sp:a x=2 rel:a rollback /I", ""},
		{"SET LOCAL in a savepoint outlives its release", "begin sp:a +x=2 rel:a /T", "x:2"},
		{"SET LOCAL in a savepoint ends with the block", "x=1 /I begin sp:a +x=2 rel:a commit /I", "x:1"},
		{"SET, then SET LOCAL in a savepoint", "begin x=1 sp:a +x=2 rel:a commit /I", "x:1"},
		{"SET LOCAL, then SET in a savepoint", "begin +x=1 sp:a x=2 rel:a commit /I", "x:2"},
		{"SET LOCAL, then SET LOCAL in a savepoint", "x=0 /I begin +x=1 sp:a +x=2 rel:a commit /I", "x:0"},
		{"both in a savepoint", "begin +x=1 sp:a x=2 +x=3 rel:a commit /I", "x:2"},
		{"an outer savepoint takes the inner ones", "begin sp:a x=1 sp:b y=1 sp:c z=1 to:b w=1 to:a commit /I", ""},
		{"an outer release takes the inner ones", "begin sp:a x=1 sp:b y=1 rel:a rollback /I", ""},
		{"the inner of two savepoints of one name counts", "begin sp:a x=1 sp:a x=2 to:a /T", "x:1"},
		{"its release shows the outer", "begin sp:a x=1 sp:a x=2 rel:a to:a /T", ""},
		{"one of two is released", "begin x=1 sp:a sp:a rel:a x=2 to:a /T", "x:1"},
		{"savepoints without end", "begin " + strings.Repeat("sp:a ", 5000) + "x=1 " + strings.Repeat("rel:a ", 4999) + "to:a commit /I", ""},
		{"savepoints without end, released", "begin " + strings.Repeat("sp:a ", 5000) + "x=1 " + strings.Repeat("rel:a ", 5000) + "commit /I", "x:1"},
		{"released from above", "begin sp:o " + strings.Repeat("sp:a ", 3) + "x=1 sp:b y=1 rel:a rel:a to:a /T", ""},
		{"an outer release takes all of one name", "begin sp:o sp:a sp:a sp:a x=1 rel:o commit /I", "x:1"},
		{"a savepoint after a failure", "begin x=1 sp:a y=1 /T /E! to:a /T z=1 commit /I", "x:1 z:1"},
		{"an outer savepoint after a failure", "begin sp:a x=1 sp:b y=1 /T /E! to:a /T commit /I", ""},
		{"a chain keeps what it commits", "begin x=1 +y=2 chain /T x=2 rollback /I", "x:1"},
		{"a chain after a failure", "begin x=1 /E! chain-failed /T x=2 commit /I", "x:2"},
		{"a chain of rollbacks", "begin x=1 rollback-chain x=2 commit /I", "x:2"},
		{"a new session authorization and back", "role=a /I session_authorization=b role=none /I session_authorization! role! /I", ""},

		{"what is not followed", "x=1 /I wild /I", "private"},
		{"only DISCARD ALL leaves it", "wild /I x=1 /I ! /I begin rollback /I", "private"},
		{"DISCARD ALL leaves it", "begin wild sp:a to:a rel:a /T /E! rollback /I discard /I x=1 /I", "x:1"},
		{"a block that nobody began", "read /T", "private"},
		{"a block that nobody ended", "begin /T read /I", "private"},
		{"a block that fails without an error", "begin /T /E", "private"},
		{"a failed block that goes on", "begin /T /E! /T", "private"},
		{"an unknown savepoint", "begin sp:a to:b", "private"},
		{"no savepoint", "begin rel:a", "private"},
		{"a savepoint outside a block", "sp:a", "private"},
		{"DISCARD ALL in a block", "begin x=1 discard", "private"},
		{"a commit whose end is not known", "begin x=1 commit-untold /I", "private"},
		{"a commit of nothing whose end is not known", "x=1 /I begin commit-untold /I", "x:1"},
		{"a role that an older server loses", "role=a /I begin session_authorization=b role=none rollback /I", "private"},
		{"a role that an older server loses at a commit", "role=a /I begin +session_authorization=b +role=none commit /I", "private"},
		{"a prepared transaction outside a block", "x=1 prepare-failed /I", "private"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fresh()
			feed(t, s, test.words)
			if got := s.spelled(); got != test.want {
				t.Errorf("%.200s: got %q, want %q", test.words, got, test.want)
			}
		})
	}
}

func TestEqualSettingsHaveEqualTokens(t *testing.T) {
	initial := fresh().token()
	tokens := map[string]string{}
	for _, words := range []string{
		"", "x=1", "x=2", "y=1", "x=1 y=2", "x=12", "role=a", "x=",
		"a=" + strings.Repeat("v", maxSettingValue), "a=" + strings.Repeat("v", maxSettingValue+1), "a=" + strings.Repeat("v", maxSettingValue) + "w",
	} {
		s := fresh()
		feed(t, s, words+" /I")
		if other, ok := tokens[s.token()]; ok {
			t.Errorf("%.20q and %.20q share a token", words, other)
		}
		tokens[s.token()] = words
	}
	for words, like := range map[string]string{
		"x=1 /I x! /I": "", "x=1 /I ! /I": "", "wild /I discard /I": "", "begin x=1 rollback /I": "", "y=2 /I x=1 /I": "x=1 y=2",
		"begin +x=1 commit /I": "", "begin +x=1": "x=1", "begin iso=serializable": "", "default=serializable /I": "",
		"begin +transaction_read_only=1": "",
	} {
		s, other := fresh(), fresh()
		feed(t, s, words)
		feed(t, other, like)
		if s.token() != other.token() || s.private() {
			t.Errorf("%q: another token than %q", words, like)
		}
	}
	for _, other := range []*settings{
		newSettings(Identity{User: "v"}, &wire.Startup{}, InitialSettings{Digest: "d"}),
		newSettings(Identity{User: "u"}, &wire.Startup{}, InitialSettings{Digest: "e"}),
		newSettings(Identity{User: "u"}, &wire.Startup{Parameters: []wire.Parameter{{Name: "options", Value: "-c x=1"}}}, InitialSettings{Digest: "d"}),
	} {
		if other.token() == initial {
			t.Errorf("%+v has the token of another session", other)
		}
	}
}

func TestASessionThatStartedUnknownStaysPrivate(t *testing.T) {
	s := fresh()
	s.unknownStart()
	feed(t, s, "discard /I")
	if !s.private() || s.readCommitted() {
		t.Error("it is followed after DISCARD ALL")
	}
}

func TestReadCommittedIsCertain(t *testing.T) {
	for _, test := range []struct {
		name, initial, words string
		want                 bool
	}{
		{"by default", "read committed", "", true},
		{"by default in a block", "read committed", "begin /T", true},
		{"read uncommitted is the same", "read uncommitted", "begin /T", true},
		{"another default", "repeatable read", "", false},
		{"another default in a block", "serializable", "begin /T", false},
		{"a default that is not known", "", "begin /T", false},
		{"BEGIN says so", "", "begin +iso=Read_Committed /T", true},
		{"BEGIN says otherwise", "read committed", "begin +iso=serializable /T", false},
		{"and only for its block", "read committed", "begin +iso=serializable /T commit /I", true},
		{"SET TRANSACTION says otherwise", "read committed", "begin /T +iso=repeatable_read /T", false},
		{"SET TRANSACTION says so", "serializable", "begin /T +iso=read_committed /T", true},
		{"SET without LOCAL ends with the block as well", "read committed", "begin iso=serializable commit /I begin /T", true},
		{"RESET of a transaction's", "read committed", "begin iso! /T", false},
		{"a snapshot is imported", "read committed", "begin +transaction_snapshot=x /T", false},
		{"SET of the default", "read committed", "default=SERIALIZABLE /I", false},
		{"SET of the default goes for the next block", "read committed", "begin default=serializable /T", true},
		{"and then holds", "read committed", "begin default=serializable commit /I begin /T", false},
		{"unless it is rolled back", "read committed", "begin default=serializable rollback /I begin /T", true},
		{"SET LOCAL of the default goes for no block", "read committed", "begin +default=serializable /T commit /I begin /T", true},
		{"RESET of the default", "read committed", "default=serializable /I default! /I", true},
		{"RESET ALL", "read committed", "default=serializable /I ! /I", true},
		{"a chain keeps it", "read committed", "begin +iso=serializable chain /T", false},
		{"a chain keeps it against the default", "serializable", "begin +iso=read_committed chain /T", true},
		{"a chain keeps it against a new default", "read committed", "begin default=serializable chain /T", true},
		{"after the chain", "read committed", "begin +iso=serializable chain commit /I", true},
		{"a chain after a failure", "read committed", "begin /T /E! chain-failed /T", true},
		{"a chain after a failure, which versions differ in", "read committed", "begin +iso=serializable /E! chain-failed /T", false},
		{"a chain after a failure of what began otherwise", "read committed", "begin +iso=serializable chain /T +iso=read_committed /E! chain-failed /T", false},
		{"and against the default", "serializable", "begin +iso=read_committed /E! rollback-chain /T", false},
		{"a BEGIN in a pipeline does not begin the transaction", "read committed", "default=serializable begin /T", true},
		{"an untracked session", "read committed", "wild /I", false},
		{"after DISCARD ALL", "read committed", "default=serializable wild /I discard /I", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSettings(Identity{}, &wire.Startup{}, InitialSettings{Isolation: test.initial})
			feed(t, s, test.words)
			if got := s.readCommitted(); got != test.want {
				t.Errorf("%s from %q: got %t, want %t", test.words, test.initial, got, test.want)
			}
		})
	}
}

func TestTheIsolationThatASessionStartsWith(t *testing.T) {
	for _, test := range []struct {
		name    string
		startup []wire.Parameter
		want    string
	}{
		{"the initial", nil, "initial"},
		{"others ask for nothing", []wire.Parameter{{Name: "options", Value: "-c geqo=off -B 5"}, {Name: "user", Value: "default_transaction_isolation"}}, "initial"},
		{"-c", []wire.Parameter{{Name: "options", Value: "-c geqo=off -c default_transaction_isolation=serializable"}}, "serializable"},
		{"-c without a space", []wire.Parameter{{Name: "options", Value: "-cdefault_transaction_isolation=Serializable"}}, "serializable"},
		{"--", []wire.Parameter{{Name: "options", Value: `--Default-Transaction-Isolation=repeatable\ read`}}, "repeatable read"},
		{"the last counts", []wire.Parameter{{Name: "options", Value: "-c default_transaction_isolation=serializable --default_transaction_isolation=read\\ committed"}}, "read committed"},
		{"a parameter", []wire.Parameter{{Name: "Default_transaction_isolation", Value: "SERIALIZABLE"}}, "serializable"},
		{"a parameter counts more", []wire.Parameter{{Name: "default_transaction_isolation", Value: "serializable"}, {Name: "options", Value: "-c default_transaction_isolation=x"}}, "serializable"},
		{"beside what is not understood", []wire.Parameter{{Name: "options", Value: "-e -c default_transaction_isolation=serializable"}}, ""},
		{"behind what is not understood", []wire.Parameter{{Name: "options", Value: "-ecdefault_transaction_isolation=serializable"}}, ""},
		{"hidden by backslashes", []wire.Parameter{{Name: "options", Value: `-cdefault\_transaction_isolation=seriali\zable`}}, "serializable"},
		{"without an end", []wire.Parameter{{Name: "options", Value: `-c default_transaction_isolation=serializable -c`}}, ""},
		{"without a value", []wire.Parameter{{Name: "options", Value: `-c default_transaction_isolation`}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := startIsolation(&wire.Startup{Parameters: test.startup}, "initial"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSettingsAreBounded(t *testing.T) {
	for name, words := range map[string]func(yield func(string) bool){
		"settings": func(yield func(string) bool) {
			for i := 0; i <= maxSettings && yield(fmt.Sprintf("x%d=1 /I", i)); i++ {
			}
		},
		"savepoints": func(yield func(string) bool) {
			for i := 0; i <= maxLevels+1 && yield(fmt.Sprintf("begin sp:a%d /T", i)); i++ {
			}
		},
		"changes": func(yield func(string) bool) {
			for i := 0; i <= maxPriors && yield(fmt.Sprintf("begin sp:a%d x%d=1 x%d=2 /T", i%1000, i%100, (i+1)%100)); i++ {
			}
		},
		"a name": func(yield func(string) bool) { yield(strings.Repeat("x", maxSettingName+1) + "=1 /I") },
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh()
			if s.private(); s.private() {
				t.Fatal("private from the start")
			}
			for word := range words {
				feed(t, s, word)
			}
			if !s.private() || len(s.values) > 0 || s.priors > 0 {
				t.Errorf("got private %t, %d values, %d changes", s.private(), len(s.values), s.priors)
			}
			feed(t, s, "rollback /I discard /I x=1 /I")
			if s.spelled() != "x:1" {
				t.Errorf("after DISCARD ALL: got %q", s.spelled())
			}
		})
	}
}
