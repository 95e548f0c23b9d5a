package analyze

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	o.chain, o.savepoint = n.Chain, n.SavepointName
	return o
}

// judgeSet judges SET and RESET in all their forms.
func judgeSet(n *pg.VariableSetStmt) outcome {
	o := session("changes a setting")
	name := settingName(n.Name)
	switch n.Kind {
	case pg.VariableSetKind_VAR_SET_VALUE:
		value, ok := settingValue(name, n.Args)
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
			o.settings, ok = optionSettings(n.Args, n.IsLocal, "default_")
		case "TRANSACTION SNAPSHOT":
			var value string
			if value, ok = settingValue("", n.Args); ok {
				o.settings = []statement.Setting{{Name: "transaction_snapshot", Value: value, Local: true}}
			}
		}
		o.untracked = !ok
	default: // SET … FROM CURRENT has a meaning in CREATE FUNCTION only
		o.untracked = true
	}
	return o
}

// setOrResetIdentity returns the changes that a setting amounts to: a new session_authorization takes any role away, and
// the first one brings back the first role.
func setOrResetIdentity(s statement.Setting) []statement.Setting {
	if s.Name != "session_authorization" {
		return []statement.Setting{s}
	}
	role := statement.Setting{Name: "role", Value: "none", Local: s.Local}
	if s.Reset {
		role.Value, role.Reset = "", true
	}
	return []statement.Setting{s, role}
}

// optionSettings returns the settings that the options of BEGIN or SET TRANSACTION amount to.
func optionSettings(options []*pg.Node, local bool, prefix string) (settings []statement.Setting, ok bool) {
	for _, n := range options {
		option := n.GetDefElem()
		value, known := settingValue("", []*pg.Node{option.GetArg()})
		if !known || option.GetDefname() == "" {
			return nil, false
		}
		settings = append(settings, statement.Setting{Name: prefix + option.Defname, Value: value, Local: local})
	}
	return settings, true
}

// olderNames are names that Postgres still takes for a setting that has another name now.
var olderNames = map[string]string{
	"sort_mem": "work_mem", "vacuum_mem": "maintenance_work_mem", "force_parallel_mode": "debug_parallel_query",
}

// settingName returns the one name of a setting.
func settingName(name string) string {
	name = lower(name)
	if newer, ok := olderNames[name]; ok {
		return newer
	}
	return name
}

// identifierLists are the settings whose value Postgres keeps as a list of identifiers, each in quotes where it needs
// them (GUC_LIST_QUOTE, which no extension may claim). In all others the strings of a list stand as they are.
var identifierLists = map[string]bool{
	"search_path": true, "temp_tablespaces": true, "local_preload_libraries": true, "session_preload_libraries": true,
	"shared_preload_libraries": true, "unix_socket_directories": true,
}

// settingValue returns the value that SET gives a setting, as Postgres keeps it (flatten_set_variable_args).
func settingValue(name string, args []*pg.Node) (value string, ok bool) {
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
			spelled[i] = v.Sval.GetSval()
			if identifierLists[name] {
				spelled[i] = quoteIdentifier(spelled[i])
			}
		case *pg.A_Const_Ival:
			spelled[i] = strconv.FormatInt(int64(v.Ival.GetIval()), 10)
		case *pg.A_Const_Fval:
			spelled[i] = v.Fval.GetFval()
		default:
			return "", false
		}
	}
	return strings.Join(spelled, ", "), true
}

// quoteIdentifier spells a name as an identifier: in quotes unless it is lower case and no keyword that is reserved in
// any way. A server of another version than the parser's knows some keywords more or less; then one state has two
// spellings, and two states never have one.
func quoteIdentifier(name string) string {
	plain := name != "" && (name[0] < '0' || name[0] > '9')
	for i := 0; i < len(name) && plain; i++ {
		c := name[i]
		plain = c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if plain {
		scanned, err := pg.Scan(name)
		plain = err == nil && len(scanned.Tokens) == 1 &&
			(scanned.Tokens[0].KeywordKind == pg.KeywordKind_NO_KEYWORD || scanned.Tokens[0].KeywordKind == pg.KeywordKind_UNRESERVED_KEYWORD)
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// setConfigs returns what a query changes that does nothing but call set_config with constants. Drivers, pg_dump and
// poolers send such. Whatever else calls it is for the walk, and what only the execution tells, a parameter for one, is
// not followed.
func setConfigs(n *pg.SelectStmt, in *scene) (settings []statement.Setting, ok bool) {
	if n.Op != pg.SetOperation_SETOP_NONE || !hasOnly(n.ProtoReflect(), "target_list", "limit_option", "op") {
		return nil, false
	}
	for _, target := range n.TargetList {
		t := target.GetResTarget()
		if t == nil || len(t.Indirection) > 0 {
			return nil, false
		}
		if t.Val.GetAConst() != nil {
			continue
		}
		set, ok := setConfig(t.Val.GetFuncCall(), in)
		if !ok {
			return nil, false
		}
		settings = append(settings, set...)
	}
	return settings, len(settings) > 0
}

func setConfig(f *pg.FuncCall, in *scene) (settings []statement.Setting, ok bool) {
	if f == nil || !hasOnly(f.ProtoReflect(), "funcname", "args", "funcformat", "location") || len(f.Args) != 3 {
		return nil, false
	}
	schema, function, ok := qualified(f.Funcname)
	if !ok || function != "set_config" {
		return nil, false
	}
	builtin := false
	for _, c := range in.snapshot.FunctionsNamed(function) {
		if schema != "" && c.Schema != schema {
			continue
		}
		if !c.Builtin {
			return nil, false // the search path decides which it is
		}
		builtin = true
	}
	name, value, local := f.Args[0].GetAConst(), f.Args[1].GetAConst(), f.Args[2].GetAConst()
	if !builtin || name.GetSval() == nil || value == nil || value.GetSval() == nil && !value.Isnull ||
		local == nil || local.GetBoolval() == nil && !local.Isnull {
		return nil, false
	}
	setting := statement.Setting{
		Name: settingName(name.GetSval().Sval), Value: value.GetSval().GetSval(), Reset: value.Isnull,
		Local: local.GetBoolval().GetBoolval(),
	}
	if setting.Name == "search_path" && strings.Contains(lower(setting.Value), "pg_temp") {
		return nil, false // as for SET
	}
	return setOrResetIdentity(setting), true
}

// hasOnly reports whether no field of m is set but the named.
func hasOnly(m protoreflect.Message, names ...protoreflect.Name) bool {
	only := true
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		only = contains(names, f.Name())
		return only
	})
	return only
}

// preparedText returns the text of the statement in a PREPARE.
func preparedText(text string) (string, bool) {
	for t := range tokens(text) {
		// AS is reserved: it is no name or type before the statement begins.
		if t.kind == word && strings.EqualFold(text[t.start:t.end], "as") {
			return strings.TrimSpace(text[t.end:]), true
		}
	}
	return "", false
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
