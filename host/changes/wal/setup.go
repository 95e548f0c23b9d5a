package wal

import (
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed setup.sql
var setupSQL string

// SetupSQL returns what a superuser may run in a database, any number of times, so that changes of its schema are told at
// their commit instead of found out. role, unless it is empty, is the home's and is allowed to replicate.
func SetupSQL(role string) string {
	if role == "" {
		return setupSQL
	}
	return "-- The role that upstream names.\nALTER ROLE " + pgx.Identifier{strings.ReplaceAll(role, "\x00", "")}.Sanitize() + " REPLICATION;\n\n" + setupSQL
}
