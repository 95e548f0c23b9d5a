package analyze

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

// spelledSettings writes settings as name=value, with ! for a reset and a leading + for SET LOCAL.
func spelledSettings(settings []statement.Setting) string {
	var all []string
	for _, s := range settings {
		one := s.Name + "=" + s.Value
		if s.Reset {
			one = s.Name + "!"
		}
		if s.Local {
			one = "+" + one
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

func TestSettingsAreFollowed(t *testing.T) {
	for sql, want := range map[string]string{
		"SET search_path TO a, 'b, c'":            "search_path='a', 'b, c'",
		"SET Search_Path = a":                     "search_path='a'",
		`SET "TimeZone" TO 'Europe/Paris'`:        "timezone='Europe/Paris'",
		"SET TIME ZONE 'UTC'":                     "timezone='UTC'",
		"SET TIME ZONE -7":                        "timezone=-7",
		"SET TIME ZONE LOCAL":                     "timezone!",
		"SET SESSION a.b = 'it''s'":               "a.b='it''s'",
		"SET a.b = 1.50":                          "a.b=1.50",
		"SET a.b TO on":                           "a.b='on'",
		"SET a.b TO DEFAULT":                      "a.b!",
		"RESET a.b":                               "a.b!",
		"RESET ALL":                               "!",
		"SET LOCAL a.b = x":                       "+a.b='x'",
		"SET ROLE x":                              "role='x'",
		"SET ROLE NONE":                           "role='none'",
		"RESET ROLE":                              "role!",
		"SET SESSION AUTHORIZATION x":             "session_authorization='x' role='none'",
		"RESET SESSION AUTHORIZATION":             "session_authorization! role='none'",
		"SET LOCAL SESSION AUTHORIZATION DEFAULT": "+session_authorization! +role='none'",
		"SET NAMES 'UTF8'":                        "client_encoding='UTF8'",
		"SET SCHEMA 'x'":                          "search_path='x'",
		"SET XML OPTION DOCUMENT":                 "xmloption='DOCUMENT'",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY": "+transaction_isolation='serializable' +transaction_read_only=1",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE":   "default_transaction_read_only=0",
		"SET TRANSACTION SNAPSHOT 'x'":                            "+transaction_snapshot='x'",
		"BEGIN ISOLATION LEVEL REPEATABLE READ DEFERRABLE":        "+transaction_isolation='repeatable read' +transaction_deferrable=1",
		"SET a.b = 1; SET c.d = 2":                                "a.b=1 c.d=2",
		"SET perihelion.consistency = off":                        "perihelion.consistency='off'",
	} {
		d := describe(t, shop(), sql)
		if got := spelledSettings(d.Settings); got != want || d.Verdict != statement.Session || d.Untracked || !d.Writes.Empty() {
			t.Errorf("%s: got %s, %s; want %s", sql, got, judged(d), want)
		}
	}
}

func TestSettingsThatCannotBeFollowedMakeTheSessionUntracked(t *testing.T) {
	for _, sql := range []string{
		"SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "SET search_path TO pg_temp, public", "SET search_path FROM CURRENT",
	} {
		if d := describe(t, shop(), sql); !d.Untracked || d.Verdict != statement.Session {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
}

func TestTransactionsAreFollowed(t *testing.T) {
	for sql, want := range map[string]statement.Control{
		"BEGIN": statement.ControlBegin, "START TRANSACTION": statement.ControlBegin, "COMMIT": statement.ControlCommit,
		"END WORK": statement.ControlCommit, "ROLLBACK": statement.ControlRollback, "ABORT": statement.ControlRollback,
		"SAVEPOINT a": statement.ControlSavepoint, "RELEASE a": statement.ControlRelease,
		"ROLLBACK TO SAVEPOINT a": statement.ControlRollbackTo, "PREPARE TRANSACTION 'a'": statement.ControlPrepare,
		"COMMIT PREPARED 'a'": statement.ControlCommitPrepared, "ROLLBACK PREPARED 'a'": statement.ControlRollbackPrepared,
		"COMMIT AND CHAIN": statement.ControlMany, "BEGIN; SELECT 1; COMMIT": statement.ControlMany,
		"SELECT 1; SELECT 2": statement.ControlNone, "SELECT 'BEGIN'": statement.ControlNone,
	} {
		d := describe(t, shop(), sql)
		if d.Control != want {
			t.Errorf("%s: got control %d, want %d", sql, d.Control, want)
		}
		if prepared := want == statement.ControlCommitPrepared; d.Writes.Anything != prepared {
			t.Errorf("%s: got %s", sql, judged(d))
		}
	}
}

func TestMomentsAreFoundInStrings(t *testing.T) {
	for s, want := range map[string]bool{
		"now": true, "NOW": true, "today 10:00": true, "[yesterday,tomorrow)": true, "{now}": true, "now1": true,
		"": false, "snow": false, "nows": false, "todaynow": false, "2024-01-01": false, "infinity": false, "epoch": false,
	} {
		if got := statement.SpellsMoment(s); got != want {
			t.Errorf("%q: got %t, want %t", s, got, want)
		}
	}
}

func TestCommentsOfSQLCommenter(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1 /*a='b',c='d%20e'*/":       "[a=b c=d e]",
		"/* a = b */ SELECT 1":               "[]",
		"/* to be done, maybe=later */":      "[maybe=later]",
		"SELECT '/*a=b*/'":                   "[]",
		"SELECT $x$ --a=b\n $x$ --c='d,e'\n": "[c=d,e]",
		"/*a='1'/*b='2'*/*/ SELECT 1":        "[a=1'/*b='2'*/]",
		"/*%='%zz'*/":                        "[%=%zz]",
		"/*a='":                              "[a=]",
	} {
		if got := fmt.Sprint(commentPairs(text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
