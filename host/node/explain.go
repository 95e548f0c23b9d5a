//go:build cgo

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/session"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// noDatabase is PostgreSQL's code for a database that there is not.
const noDatabase = "3D000"

// explain says what the home would do with a statement of a session as the request describes it, and why.
func (h *home) explain(ctx context.Context, r api.ExplainRequest) (api.Explanation, error) {
	r.User = cmp.Or(r.User, h.postgres.Control().User)
	who := session.Identity{Tenant: h.tenant(r.Database, r.User, r.Application), Database: r.Database, User: r.User, Application: r.Application}
	if err := h.hasDatabase(ctx, r.Database); err != nil {
		return api.Explanation{}, err
	}
	defer h.databases.enter(r.Database)()
	initial, initialErr := h.InitialState(ctx, r.Database, r.User)
	path, note := explainedPath(r, initial, initialErr)

	found := h.analyzer.Explain(ctx, r.Database, path, r.SQL)
	d := found.Descriptor
	decision := h.decide(ctx, who, whole(d))
	e := api.Explanation{
		Database: r.Database, User: r.User, SearchPath: found.Path, PathNote: note,
		StatementExplanation: explained(found),
		Decision:             api.Decision{Cache: decision.Cache, TTL: decision.TTL, Level: decision.Level.String(), Reason: decision.Reason, Policy: decision.Policy},
		Key:                  keyParts(r, who, initial, initialErr, d.Parameters),
	}
	e.Verdict, e.Reason = whole(d).Verdict, whole(d).Reason
	for _, part := range h.analyzer.ExplainParts(ctx, r.Database, path, r.SQL) {
		one := explained(part.Explanation)
		one.SQL, one.Position = part.Text, part.Position
		e.Statements = append(e.Statements, one)
	}
	if d.Many && e.Statements != nil {
		e.Findings = []api.Finding{{Reason: "holds several statements", Remedy: "send one statement at a time"}}
	}
	for i, value := range r.Parameters {
		if d.Verdict == statement.Read && value != nil && statement.SpellsMoment([]byte(*value)) {
			e.Findings = append(e.Findings, api.Finding{
				Reason: "is given a text that may spell a moment of the clock, like 'now'", Word: fmt.Sprintf("$%d", i+1),
				Remedy: "compute the value in the application, and send it as a date or a time",
			})
		}
	}
	e.Cached = decision.Cache && initialErr == nil && len(e.Findings) == 0
	switch {
	case e.Verdict != statement.Read:
		e.Why = "it " + e.Reason
	case len(e.Findings) > 0:
		e.Why = "it " + e.Findings[0].Reason
	case initialErr != nil:
		e.Why = "what a new session starts with cannot be read, so its sessions share nothing"
	case !decision.Cache && decision.Policy != "":
		e.Why = "the policy " + decision.Policy + " says no: " + decision.Reason
	case !decision.Cache:
		e.Why = decision.Reason
	default:
		e.Why = "it " + e.Reason
	}
	return e, nil
}

// hasDatabase returns an error to answer with where there is no such database. That its catalogs cannot be read for
// another reason is a part of the explanation: sessions are in the same place.
func (h *home) hasDatabase(ctx context.Context, database string) error {
	if h.catalog.Peek(database) != nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, catalogWait)
	defer stop()
	_, err := h.catalog.Snapshot(ctx, database)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == noDatabase {
		return &api.Error{Status: http.StatusNotFound, Message: "there is no such database", Hint: "names of databases are case-sensitive; psql -l lists them"}
	}
	return nil
}

// whole returns what the policies see of a text: one of several statements is never answered from memory.
func whole(d *statement.Descriptor) *statement.Descriptor {
	if d.Verdict != statement.Read || !d.Many {
		return d
	}
	return &statement.Descriptor{Fingerprint: d.Fingerprint, Verdict: statement.Opaque, Reason: "holds several statements", Relations: d.Relations}
}

// explainedPath returns the search_path of the session that a request describes, as [statement.SearchPath] spells it; ""
// where it is not certain, and then why.
func explainedPath(r api.ExplainRequest, initial session.InitialSettings, err error) (path, note string) {
	user := r.User
	if role, ok := r.Settings["role"]; ok && role != "none" {
		user = role
	} else if initial.Role {
		user = "" // ALTER ROLE … SET role
	}
	value, known := initial.SearchPath, initial.PathKnown && err == nil
	if given, ok := r.Settings["search_path"]; ok {
		value, known = given, true
	}
	if r.SearchPath != nil {
		value, known = *r.SearchPath, true
	}
	if !known {
		return "", "what the server gives such a session is not known: say it in the request"
	}
	if path = statement.SearchPath(value, user); path == "" {
		return "", "it names what only a session knows, or is no list of schemas"
	}
	return path, ""
}

// keyParts names the parts of the key that an answer to the statement would be kept under.
func keyParts(r api.ExplainRequest, who session.Identity, initial session.InitialSettings, err error, parameters int) []api.KeyPart {
	given := maps.Clone(r.Settings)
	if r.SearchPath != nil {
		if given == nil {
			given = map[string]string{}
		}
		given["search_path"] = *r.SearchPath
	}
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		settings = append(settings, name+"="+given[name])
	}
	start := ""
	if r.Application != "" {
		start = "application_name=" + r.Application
	}
	role := api.KeyPart{Part: "role and database settings", Value: initial.Digest, Note: "digest of ALTER ROLE|DATABASE … SET and the server's configuration"}
	if err != nil {
		role.Note = "cannot be read: sessions share nothing"
	}
	parts := []api.KeyPart{
		{Part: "tenant", Value: who.Tenant},
		{Part: "database", Value: who.Database},
		{Part: "user", Value: who.User},
		role,
		{Part: "startup parameters", Value: start, Note: "all that the client sends as it connects"},
		{Part: "session settings", Value: strings.Join(settings, ", "), Note: "every SET since then, and TimeZone, DateStyle, client_encoding, …"},
		{Part: "text", Value: string(statement.StripComments(nil, []byte(r.SQL))), Note: "without comments"},
	}
	if parameters > 0 || len(r.Parameters) > 0 {
		values := make([]string, len(r.Parameters))
		for i, v := range r.Parameters {
			values[i] = "NULL"
			if v != nil {
				values[i] = "'" + strings.ReplaceAll(*v, "'", "''") + "'"
			}
		}
		parts = append(parts, api.KeyPart{Part: "parameter types", Note: "as the Parse gives them; to give none is another key"},
			api.KeyPart{Part: "parameter values", Value: strings.Join(values, ", "), Note: fmt.Sprintf("byte for byte and by format, of %d", parameters)})
	}
	return append(parts, api.KeyPart{Part: "result formats", Note: "text or binary, as the Bind asks; a simple query has keys of its own"})
}

// explained turns what analysis says into what the API does.
func explained(found *analyze.Explanation) api.StatementExplanation {
	d := found.Descriptor
	e := api.StatementExplanation{
		Fingerprint: api.Fingerprint(d.Fingerprint), Verdict: d.Verdict, Reason: d.Reason, Command: d.Command, Normalized: d.Normalized,
		Relations: d.Relations, Writes: api.Writes{Anything: d.Writes.Anything, Cluster: d.Writes.Cluster, Relations: d.Writes.Relations},
	}
	for _, f := range found.Findings {
		e.Findings = append(e.Findings, api.Finding{Reason: f.Reason, Word: f.Word, Position: f.Position, Remedy: f.Remedy})
	}
	for _, u := range found.Uses {
		e.Uses = append(e.Uses, api.RelationUse{Relation: u.Name, Kind: u.Kind, Rows: u.Rows, Path: u.Via})
	}
	for _, c := range found.Calls {
		call := api.Call{Name: c.Name, Operator: c.Operator, Volatility: c.Volatility, Builtin: c.Builtin}
		switch {
		case c.Volatility == "immutable":
			call.Allowed = "its value depends on its arguments alone"
		case c.Reviewed != "":
			call.Allowed = "reviewed, and in the key or voided by DDL: " + c.Reviewed
		}
		e.Calls = append(e.Calls, call)
	}
	return e
}
