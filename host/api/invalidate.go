package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/runtime/abi"
)

const (
	invalidateFields = `send {"tables": ["schema.table", …], "tags": ["tag", …], "database": "name"}; without database: every one; without tables and tags: everything`
	maxTables        = 1000
	maxNameBytes     = 256
)

type invalidateRequest struct {
	Tables   []string `json:"tables"`
	Tags     []string `json:"tags"`
	Database string   `json:"database"`
}

type invalidateAnswer struct {
	Version       invalidation.Version `json:"version"`
	Tables        []string             `json:"tables"`
	Tags          []string             `json:"tags,omitempty"`
	EdgesNotified int                  `json:"edges_notified"`
}

// invalidate voids what depends on the named relations, or has one of the tags, at the home and at every edge.
func (s *Server) invalidate(c echo.Context) error {
	var request invalidateRequest
	if err := s.decode(c, maxBodyBytes, &request, invalidateFields); err != nil {
		return err
	}
	if len(request.Tables) > maxTables || len(request.Tags) > maxTables {
		return badRequest("leave both out to void everything", "%d tables and %d tags are named: at most %d of each may be", len(request.Tables), len(request.Tags), maxTables)
	}
	for _, table := range request.Tables {
		if err := checkTable(table); err != nil {
			return err
		}
	}
	for _, tag := range request.Tags {
		if tag == "" || len(tag) > abi.MaxTag || !validLabel(tag) {
			return badRequest(invalidateFields, "a tag is empty, longer than %d bytes, or not printable", abi.MaxTag)
		}
	}
	if len(request.Database) > maxNameBytes || !validLabel(request.Database) {
		return badRequest(invalidateFields, "%q is no name of a database", "database")
	}
	tables := slices.Clone(request.Tables)
	slices.Sort(tables)
	tables = slices.Compact(tables)
	named := slices.Concat(tables, invalidation.TagNames(request.Tags))
	slices.Sort(named)
	named = slices.Compact(named)
	return c.JSON(http.StatusOK, invalidateAnswer{
		Version:       s.append(request.Database, named),
		Tables:        append([]string{}, tables...), // none is [], not null
		Tags:          request.Tags,
		EdgesNotified: s.home.Edges.Len(),
	})
}

// append adds the event, or one for every database where relations are named without one. Where the node knows no
// database, the event names none: that concerns everything, whatever its relations.
func (s *Server) append(database string, tables []string) invalidation.Version {
	if database != "" || len(tables) == 0 {
		return s.home.Append(database, tables)
	}
	databases := s.home.Databases()
	if len(databases) == 0 {
		return s.home.Append("", tables)
	}
	var last invalidation.Version
	for _, name := range databases {
		last = max(last, s.home.Append(name, slices.Clone(tables)))
	}
	return last
}

func checkTable(name string) error {
	if len(name) > maxNameBytes || !validLabel(name) {
		return badRequest(invalidateFields, "a table's name is longer than %d bytes, or not printable", maxNameBytes)
	}
	schema, table, qualified := strings.Cut(name, ".")
	if !qualified {
		return badRequest("write schema.table, as in public."+strconv.Quote(name), "table %q has no schema", name)
	}
	if schema == "" || table == "" {
		return badRequest("write schema.table, as in public.users", "table %q is no name of a table", name)
	}
	return nil
}
