package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

const explainFields = `send {"database", "sql"} and, where they matter, {"user", "search_path", "settings": {name: value}, "application_name", "parameters": [text or null]}`

// Bounds of a request to explain; the body has one of its own.
const (
	maxExplainSettings   = 64
	maxExplainParameters = 1000
	maxSettingBytes      = 4 << 10
)

// ExplainRequest asks what the node would do with a statement.
type ExplainRequest struct {
	Database string `json:"database"`
	// User is who asks. Empty: the home's own role.
	User string `json:"user"`
	SQL  string `json:"sql"`
	// SearchPath and Settings are what the session has set; what they do not name is as a new session gets it.
	SearchPath *string           `json:"search_path"`
	Settings   map[string]string `json:"settings"`
	// Application is the application_name that the session started with.
	Application string `json:"application_name"`
	// Parameters are the values of $1, $2, … as texts; nil is NULL.
	Parameters []*string `json:"parameters"`
}

// Explanation is what the node would do with a statement, and why.
type Explanation struct {
	Database string `json:"database"`
	User     string `json:"user"`
	// SearchPath are the schemas that names were looked for in; nil: in all, because the path is not certain, and
	// PathNote says why.
	SearchPath []string `json:"search_path"`
	PathNote   string   `json:"search_path_note,omitempty"`
	// Cached says whether the answer would be kept, Why in one sentence why, or why not.
	Cached bool   `json:"cached"`
	Why    string `json:"why"`
	StatementExplanation
	Decision Decision `json:"decision"`
	// Key are the parts of the key that an answer is kept under, in their order.
	Key []KeyPart `json:"key"`
	// Statements explain the statements of a text that holds several.
	Statements []StatementExplanation `json:"statements,omitempty"`
}

// StatementExplanation is what analysis says of one statement, or of a whole text.
type StatementExplanation struct {
	// SQL and Position are set for one of several statements: the statement, and where it begins, in characters from 1.
	SQL         string            `json:"sql,omitempty"`
	Position    int               `json:"position,omitempty"`
	Fingerprint Fingerprint       `json:"fingerprint"`
	Verdict     statement.Verdict `json:"verdict"`
	Reason      string            `json:"reason"`
	// Command is the statement's command, Normalized the text without literals and comments.
	Command    string `json:"command"`
	Normalized string `json:"normalized"`
	// Relations are those whose rows the answer depends on.
	Relations []string `json:"relations"`
	// Uses are Relations with all that is on the way to them, views above all.
	Uses []RelationUse `json:"uses"`
	// Calls are the functions and operators, but for built-in operators that are immutable.
	Calls []Call `json:"calls"`
	// Findings are what keeps the answer from being kept, the gravest first.
	Findings []Finding `json:"findings"`
	// Writes is what the statement may change.
	Writes Writes `json:"writes"`
}

// Fingerprint is spelled as 16 hexadecimal digits.
type Fingerprint uint64

// MarshalText implements [encoding.TextMarshaler].
func (f Fingerprint) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(f)), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Fingerprint) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return fmt.Errorf("read fingerprint: %w", err)
	}
	*f = Fingerprint(n)
	return nil
}

// RelationUse is one relation behind a statement.
type RelationUse struct {
	Relation string `json:"relation"`
	Kind     string `json:"kind"`
	// Rows is the planner's estimate, -1 where it is not known.
	Rows int64 `json:"rows"`
	// Path are the steps from the statement to the relation; none: the statement names it.
	Path []string `json:"path"`
}

// Call is a function or operator that a statement, or code behind it, may call.
type Call struct {
	Name       string `json:"name"`
	Operator   bool   `json:"operator"`
	Volatility string `json:"volatility"`
	Builtin    bool   `json:"builtin"`
	// Allowed says why it may be part of a read; empty: it may not.
	Allowed string `json:"allowed"`
}

// Finding is one thing that keeps an answer from being kept.
type Finding struct {
	Reason string `json:"reason"`
	// Word is the word of the statement that it is about, Position where it begins, in characters from 1 as PostgreSQL
	// counts; "" and 0: it is about no single word.
	Word     string `json:"word"`
	Position int    `json:"position"`
	// Remedy is what would make such a statement one whose answer is kept; empty: nothing would.
	Remedy string `json:"remedy"`
}

// Writes is what a statement may change: the relations, or anything in its database, or in all databases.
type Writes struct {
	Anything  bool     `json:"anything"`
	Cluster   bool     `json:"cluster"`
	Relations []string `json:"relations"`
}

// KeyPart is one part of a key.
type KeyPart struct {
	Part string `json:"part"`
	// Value is the part's value where the request tells it; Note says what else counts.
	Value string `json:"value,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Decision is what the policies in charge say of a statement.
type Decision struct {
	Cache  bool          `json:"cache"`
	TTL    time.Duration `json:"-"`
	TTLMS  int64         `json:"ttl_ms"`
	Level  string        `json:"level"`
	Reason string        `json:"reason"`
	// Policy names the policy that decided. Empty: the node's defaults.
	Policy string `json:"policy"`
}

// check says what is wrong with a request.
func (r *ExplainRequest) check() error {
	for _, field := range [...]struct{ name, value string }{{"database", r.Database}, {"sql", r.SQL}} {
		if field.value == "" {
			return badRequest(explainFields, "%q is missing or empty", field.name)
		}
	}
	for _, field := range [...]struct{ name, value string }{
		{"database", r.Database}, {"user", r.User}, {"application_name", r.Application},
	} {
		if !validLabel(field.value) {
			return badRequest(explainFields, "%q is longer than %d bytes or not printable", field.name, maxLabelBytes)
		}
	}
	if len(r.Settings) > maxExplainSettings || len(r.Parameters) > maxExplainParameters {
		return badRequest(explainFields, "at most %d settings and %d parameters are taken", maxExplainSettings, maxExplainParameters)
	}
	if r.SearchPath != nil && len(*r.SearchPath) > maxSettingBytes {
		return badRequest(explainFields, "\"search_path\" is longer than %d bytes", maxSettingBytes)
	}
	folded := make(map[string]string, len(r.Settings))
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		if name == "" || !validLabel(name) || len(r.Settings[name]) > maxSettingBytes {
			return badRequest(explainFields, "setting %.64q has no printable name, or a value longer than %d bytes", name, maxSettingBytes)
		}
		if _, twice := folded[strings.ToLower(name)]; twice {
			return badRequest(explainFields, "setting %.64q is given twice", name)
		}
		folded[strings.ToLower(name)] = r.Settings[name]
	}
	if _, twice := folded["search_path"]; twice && r.SearchPath != nil {
		return badRequest(explainFields, "\"search_path\" stands among the settings, too")
	}
	r.Settings = folded
	return nil
}

func (s *Server) explain(c echo.Context) error {
	var request ExplainRequest
	if err := s.decode(c, maxBodyBytes, &request, explainFields); err != nil {
		return err
	}
	if err := request.check(); err != nil {
		return err
	}
	e, err := s.home.Explain(c.Request().Context(), request)
	if err != nil {
		return fmt.Errorf("explain statement: %w", err)
	}
	s.extendWrite(c)
	e.Decision.TTLMS = e.Decision.TTL.Milliseconds()
	e.whole()
	for i := range e.Statements {
		e.Statements[i].whole()
	}
	e.Key = append([]KeyPart{}, e.Key...)
	return c.JSON(http.StatusOK, e)
}

// whole makes lists without elements [], not null.
func (e *StatementExplanation) whole() {
	e.Relations, e.Writes.Relations = append([]string{}, e.Relations...), append([]string{}, e.Writes.Relations...)
	e.Uses, e.Calls, e.Findings = append([]RelationUse{}, e.Uses...), append([]Call{}, e.Calls...), append([]Finding{}, e.Findings...)
	for i := range e.Uses {
		e.Uses[i].Path = append([]string{}, e.Uses[i].Path...)
	}
}

func (s *Server) policies(c echo.Context) error {
	return c.JSON(http.StatusOK, append([]Policy{}, s.home.Policies()...))
}
