package wal

import (
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/test/pgtest"
)

func TestSetupSQLTellsOfSchemaChanges(t *testing.T) {
	for name, version := range pgtest.Versions() {
		t.Run(name, func(t *testing.T) {
			db := pgtest.NewOf(t, version)
			conn := db.Connect()
			role := db.CreateUser("follower", pgtest.Trust, "")
			statements(t, conn, SetupSQL(role), SetupSQL(""), `create table a (x int)`, `create materialized view m as select 1 as one`)
			// The role replicates, and owns nothing.
			r := follow(t, db.UserURL(role, ""))
			r.take()
			for _, test := range []struct{ sql, want string }{
				{`create table b (x int)`, "schema"},
				{`alter table b add column y int`, "schema"},
				{`begin; alter table b add column z int; insert into b values (1); commit`, "public.b schema"},
				{`begin; alter table b drop column z; rollback`, ""},
				{`grant select on b to public`, "schema"},
				{`create index on b (x)`, "schema"},
				{`create view v as select * from a`, "schema"},
				{`create function f() returns int language sql as 'select 1'`, "schema"},
				{`drop function f()`, "schema"},
				{`drop table b`, "schema"},
				{`create temporary table temp (x int); create index on temp (x); alter table temp add y int; drop table temp`, ""},
				{`create temporary table temp on commit drop as select 1`, ""},
				{`comment on table a is 'x'`, ""},
				{`refresh materialized view m`, ""},
				{`analyze a`, ""},
				{`insert into a values (1)`, "public.a"},
			} {
				statements(t, conn, test.sql)
				r.certain()
				if got := r.take(); got != test.want {
					t.Errorf("%s: got %q, want %q", test.sql, got, test.want)
				}
			}
		})
	}
}

// TestSetupSQLDoesNothingToSessions keeps the catalogs' picture from taking the triggers for code of the database's own.
func TestSetupSQLDoesNothingToSessions(t *testing.T) {
	db := pgtest.New(t)
	conn := db.Connect()
	pictures := catalog.New(catalog.Options{Config: conn.Config()})
	defer pictures.Close()
	for _, step := range []struct {
		sql  string
		want bool
	}{
		{SetupSQL(""), false},
		{`create function f() returns event_trigger language plpgsql as 'begin end'; create event trigger other on ddl_command_end execute function f()`, true},
	} {
		statements(t, conn, step.sql)
		pictures.Refresh(db.Name)
		picture, err := pictures.Snapshot(t.Context(), db.Name)
		if err != nil {
			t.Fatal(err)
		}
		if picture.EventTriggers != step.want {
			t.Errorf("after %s: code of the database's own %v, want %v", step.sql, picture.EventTriggers, step.want)
		}
	}
}

func TestSetupSQLQuotesTheRole(t *testing.T) {
	if got := SetupSQL(`a"; drop`); !strings.Contains(got, `ALTER ROLE "a""; drop" REPLICATION;`) {
		t.Errorf("got %s", got)
	}
}
