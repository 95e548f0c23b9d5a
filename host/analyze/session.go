package analyze

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

func judgeTransaction(n *pg.TransactionStmt) outcome {
	o := session("controls the transaction")
	switch n.Kind {
	case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START:
		o.control = statement.ControlBegin
		settings, ok := optionSettings(n.Options, true, "")
		o.settings, o.untracked = settings, !ok
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT:
		o.control = statement.ControlCommit
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		o.control = statement.ControlRollback
	case pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		o.control = statement.ControlSavepoint
	case pg.TransactionStmtKind_TRANS_STMT_RELEASE:
		o.control = statement.ControlRelease
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		o.control = statement.ControlRollbackTo
	case pg.TransactionStmtKind_TRANS_STMT_PREPARE:
		o.control = statement.ControlPrepare
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:
		o.control, o.writes = statement.ControlCommitPrepared, anything()
		o.reason = "commits a prepared transaction, which may have written anything"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED:
		o.control = statement.ControlRollbackPrepared
	default:
		return outcome{reason: "controls the transaction in a way that is not understood", writes: anything(), untracked: true}
	}
	if n.Chain {
		// It ends one transaction and begins the next.
		o.control = statement.ControlMany
	}
	return o
}

// judgeSet judges SET and RESET in all their forms.
func judgeSet(n *pg.VariableSetStmt) outcome {
	o := session("changes a setting")
	name := lower(n.Name)
	switch n.Kind {
	case pg.VariableSetKind_VAR_SET_VALUE:
		value, ok := settingValue(n.Args)
		if !ok || name == "search_path" && mentionsTempSchema(n.ProtoReflect()) {
			// A table made later may be a temporary one without saying so.
			o.untracked = true
		}
		if ok {
			o.settings = setOrResetIdentity(statement.Setting{Name: name, Value: value, Local: n.IsLocal})
		}
	case pg.VariableSetKind_VAR_SET_DEFAULT, pg.VariableSetKind_VAR_RESET:
		o.settings = setOrResetIdentity(statement.Setting{Name: name, Reset: true, Local: n.IsLocal})
	case pg.VariableSetKind_VAR_RESET_ALL:
		o.settings = []statement.Setting{{Reset: true}}
	case pg.VariableSetKind_VAR_SET_MULTI:
		var ok bool
		switch n.Name {
		case "TRANSACTION":
			o.settings, ok = optionSettings(n.Args, true, "")
		case "SESSION CHARACTERISTICS":
			o.settings, ok = optionSettings(n.Args, false, "default_")
		case "TRANSACTION SNAPSHOT":
			var value string
			if value, ok = settingValue(n.Args); ok {
				o.settings = []statement.Setting{{Name: "transaction_snapshot", Value: value, Local: true}}
			}
		}
		o.untracked = !ok
	default: // SET … FROM CURRENT has a meaning in CREATE FUNCTION only
		o.untracked = true
	}
	return o
}

// setOrResetIdentity returns the changes that a setting amounts to: a new session_authorization takes any role away.
func setOrResetIdentity(s statement.Setting) []statement.Setting {
	if s.Name != "session_authorization" {
		return []statement.Setting{s}
	}
	return []statement.Setting{s, {Name: "role", Value: "'none'", Local: s.Local}}
}

// optionSettings returns the settings that the options of BEGIN or SET TRANSACTION amount to.
func optionSettings(options []*pg.Node, local bool, prefix string) (settings []statement.Setting, ok bool) {
	for _, n := range options {
		option := n.GetDefElem()
		value, known := settingValue([]*pg.Node{option.GetArg()})
		if !known || option.GetDefname() == "" {
			return nil, false
		}
		settings = append(settings, statement.Setting{Name: prefix + option.Defname, Value: value, Local: local})
	}
	return settings, true
}

// settingValue spells the values of a setting as SQL would have them: strings in quotes, numbers bare.
func settingValue(args []*pg.Node) (value string, ok bool) {
	if len(args) == 0 {
		return "", false
	}
	spelled := make([]string, len(args))
	for i, arg := range args {
		c := arg.GetAConst()
		if c == nil || c.Isnull {
			return "", false
		}
		switch v := c.Val.(type) {
		case *pg.A_Const_Sval:
			spelled[i] = "'" + strings.ReplaceAll(v.Sval.GetSval(), "'", "''") + "'"
		case *pg.A_Const_Ival:
			spelled[i] = strconv.FormatInt(int64(v.Ival.GetIval()), 10)
		case *pg.A_Const_Fval:
			spelled[i] = v.Fval.GetFval()
		case *pg.A_Const_Boolval:
			spelled[i] = strconv.FormatBool(v.Boolval.GetBoolval())
		default:
			return "", false
		}
	}
	return strings.Join(spelled, ", "), true
}

// lower folds ASCII only, as PostgreSQL does with the names of settings.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
