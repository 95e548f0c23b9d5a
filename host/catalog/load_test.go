package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/test/pgtest"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

func open(t testing.TB, db *pgtest.Database) *Catalog {
	t.Helper()
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Config: config})
	t.Cleanup(c.Close)
	return c
}

func loaded(t testing.TB, db *pgtest.Database) *Snapshot {
	t.Helper()
	s, err := open(t, db).Snapshot(t.Context(), db.Name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const schema = `
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id int PRIMARY KEY, name text);
CREATE TABLE shop.orders (id int PRIMARY KEY, customer int REFERENCES shop.customers ON DELETE CASCADE, at timestamptz DEFAULT now());
CREATE TABLE shop.lines (id int GENERATED ALWAYS AS IDENTITY, "order" int REFERENCES shop.orders);
CREATE TABLE events (at date) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY RANGE (at);
CREATE TABLE events_older PARTITION OF events_old FOR VALUES FROM (MINVALUE) TO ('2010-01-01');
CREATE UNLOGGED TABLE scratch (n int);
CREATE TABLE secret (n int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE TABLE secret_by_setting (n text); ALTER TABLE secret_by_setting ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret_by_setting USING (n = current_setting('app.n'));
CREATE VIEW big AS SELECT * FROM shop.orders;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM shop.orders;
CREATE SEQUENCE ticket;
CREATE TABLE opening (hours timetz);
CREATE TYPE span AS (since timetz, till timetz);
CREATE DOMAIN spans AS span[];
CREATE TABLE spanned (s spans);
CREATE FUNCTION loud() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION calm(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE triggered (n int);
CREATE TRIGGER tg BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION trig(); ALTER TABLE triggered DISABLE TRIGGER tg;
CREATE TABLE ruled (n int); CREATE RULE r AS ON INSERT TO ruled DO ALSO NOTIFY x;
CREATE TABLE noisy_default (n int DEFAULT loud());
CREATE FUNCTION steady() RETURNS int STABLE LANGUAGE sql AS 'SELECT loud()';
CREATE TABLE steady_default (n int DEFAULT steady());
CREATE TABLE noisy_check (n int CHECK (n > loud()));
CREATE TABLE calm_check (n int CHECK (n > calm(1)));
CREATE TABLE calm_index (n int); CREATE INDEX ON calm_index (calm(n));
CREATE DOMAIN noisy AS int CHECK (VALUE > loud());
CREATE TABLE noisy_domain (n noisy[]);
CREATE TABLE noisy_cast (n int CHECK (n::noisy > 0));
CREATE TABLE noisy_query (n text DEFAULT query_to_xml('SELECT loud()', true, true, '')::text);
CREATE TABLE noisy_state (n text DEFAULT set_config('timezone', 'UTC', false));
CREATE TABLE numbered (n int DEFAULT nextval('ticket'), u uuid DEFAULT gen_random_uuid());
CREATE DOMAIN noisy_text AS text DEFAULT query_to_xml('SELECT loud()', true, true, '')::text;
CREATE TABLE noisy_texts (n noisy_text);
CREATE OPERATOR <<< (leftarg = int, rightarg = int, function = int4eq);
CREATE FUNCTION loud2(int, int) RETURNS bool VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR >>> (leftarg = int, rightarg = int, function = loud2);
CREATE TABLE noisy_operator (n int CHECK (n >>> 1));
CREATE FUNCTION defaulted(int, timestamptz DEFAULT now()) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION constant_default(int, text DEFAULT 'x{') RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION full_name(shop.customers) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.name';
CREATE FUNCTION acc(int, int) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE AGGREGATE wild_sum(int) (sfunc = acc, stype = int);
CREATE AGGREGATE tame_sum(int) (sfunc = int4pl, stype = int);
CREATE FUNCTION opens() RETURNS timetz IMMUTABLE LANGUAGE sql AS $$ SELECT '12:00+00'::timetz $$;
CREATE TABLE secret_by_function (n int); ALTER TABLE secret_by_function ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret_by_function USING (n = loud());
CREATE TABLE secret_by_chance (n float); ALTER TABLE secret_by_chance ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret_by_chance USING (n < random());
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TEMP TABLE fleeting (n int);
`

func TestAPictureHoldsWhatTheCatalogsSay(t *testing.T) {
	db := pgtest.New(t)
	conn := db.Connect()
	if _, err := conn.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	s := loaded(t, db)

	if s.ServerVersion < 150000 || !s.UTF8 || s.UnsafeCasts || s.Generation == 0 {
		t.Errorf("got version %d, UTF8 %t, unsafe casts %t, generation %d", s.ServerVersion, s.UTF8, s.UnsafeCasts, s.Generation)
	}
	for name, want := range map[string]string{
		"shop.customers": "r", "public.events": "p", "public.scratch": "r", "public.secret": "r row_security",
		"public.secret_by_setting": "r row_security", "public.secret_by_function": "r row_security policy",
		"public.secret_by_chance": "r row_security policy", "public.big": "v", "public.totals": "m", "public.ticket": "S", "public.opening": "r clock",
		"public.spanned": "r clock", "public.triggered": "r triggers", "public.ruled": "r rules",
		"public.noisy_default": "r effects", "public.steady_default": "r effects", "public.noisy_check": "r effects", "public.calm_check": "r",
		"public.calm_index": "r", "public.noisy_domain": "r effects", "public.noisy_operator": "r effects",
		"public.noisy_cast": "r effects", "public.noisy_query": "r effects", "public.noisy_state": "r effects", "public.noisy_texts": "r effects", "public.numbered": "r",
		"pg_catalog.pg_class": "r", "information_schema.tables": "v",
	} {
		schema, relation, _ := strings.Cut(name, ".")
		r := s.Relation(schema, relation)
		if r == nil {
			t.Errorf("no relation %s", name)
			continue
		}
		got := string(r.Kind)
		for _, flag := range []struct {
			name string
			set  bool
		}{{"row_security", r.RowSecurity}, {"rules", r.Rules}, {"triggers", r.Triggers}, {"effects", r.SideEffects}, {"clock", r.ClockTyped}, {"policy", r.PolicyEffects}} {
			if flag.set {
				got += " " + flag.name
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if s.RelationsNamed("fleeting") != nil {
		t.Error("the picture holds a temporary table")
	}

	for _, c := range []struct {
		name   string
		from   string
		along  Edges
		expect string
	}{
		{"what a deletion cascades to", "shop.customers", Cascades, "shop.customers shop.orders"},
		{"what a truncation cascades to", "shop.customers", References, "shop.customers shop.lines shop.orders"},
		{"a table's partitions", "public.events", Descendants, "public.events public.events_old public.events_older"},
		{"a partition's ancestors", "public.events_older", Ancestors, "public.events public.events_old public.events_older"},
	} {
		schema, relation, _ := strings.Cut(c.from, ".")
		var got []string
		for _, r := range Close([]*Relation{s.Relation(schema, relation)}, c.along) {
			got = append(got, r.String())
		}
		if strings.Join(got, " ") != c.expect {
			t.Errorf("%s: got %v, want %s", c.name, got, c.expect)
		}
	}

	for name, want := range map[string]string{
		"loud": "volatile", "calm": "immutable", "defaulted": "volatile", "constant_default": "immutable",
		"full_name": "stable row", "wild_sum": "volatile", "tame_sum": "immutable", "opens": "immutable clock",
		"lower": "immutable builtin", "now": "stable builtin", "random_normal": "volatile builtin float8,float8", "row_to_json": "stable row builtin record",
	} {
		var got []string
		for _, f := range s.FunctionsNamed(name) {
			words := []string{f.Volatility.String()}
			if f.RowArgument {
				words = append(words, "row")
			}
			if f.ClockTyped {
				words = append(words, "clock")
			}
			if f.Builtin {
				words = append(words, "builtin")
			}
			if f.Arguments != "" {
				words = append(words, f.Arguments)
			}
			got = append(got, strings.Join(words, " "))
		}
		if !slices.Contains(got, want) {
			t.Errorf("function %s: got %q, want %q", name, got, want)
		}
	}
	if got := s.OperatorsNamed(">>>"); len(got) != 1 || got[0].Volatility != Volatile || got[0].Builtin {
		t.Errorf("operator >>>: got %+v", got)
	}
	if got := s.OperatorsNamed("="); !slices.Contains(got, Operator{Schema: "pg_catalog", Builtin: true, Volatility: Stable, Operands: "date,timestamptz"}) {
		t.Errorf("operator =: got %+v", got)
	}
	for name, want := range map[string]Type{
		"mood":  {Schema: "public", Class: 'e', Input: Stable},
		"noisy": {Schema: "public", Class: 'd', Input: Stable, SideEffects: true},
		"span":  {Schema: "public", Class: 'c', Input: Stable},
		"_int4": {Schema: "pg_catalog", Builtin: true, Class: 'b', Element: "int4", Input: Stable},
		"uuid":  {Schema: "pg_catalog", Builtin: true, Class: 'b', Input: Immutable},
	} {
		want.Name = name
		got := s.TypesNamed(name)
		if len(got) != 1 {
			t.Errorf("type %s: got %d", name, len(got))
			continue
		}
		is := *got[0]
		if is.Base = nil; is != want {
			t.Errorf("type %s: got %+v, want %+v", name, is, want)
		}
	}
	if s.TypesNamed("customers") != nil {
		t.Error("the picture holds a table's row type")
	}
}

func TestACastThatIsNotImmutableIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		sql  string
		want bool
	}{
		"by a volatile function":     {"CREATE TYPE a AS (n int); CREATE FUNCTION a_to_int(a) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; CREATE CAST (a AS int) WITH FUNCTION a_to_int(a) AS IMPLICIT", true},
		"by way of text to a moment": {"CREATE TYPE e AS ENUM ('now'); CREATE CAST (e AS timestamptz) WITH INOUT AS IMPLICIT", true},
		"of a text to an enum":       {"CREATE TYPE e AS ENUM ('now'); CREATE CAST (text AS e) WITH INOUT AS IMPLICIT", false},
		"by an immutable function":   {"CREATE TYPE a AS (n int); CREATE FUNCTION a_to_int(a) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT ($1).n'; CREATE CAST (a AS int) WITH FUNCTION a_to_int(a)", false},
	} {
		t.Run(name, func(t *testing.T) {
			db := pgtest.New(t)
			if _, err := db.Connect().Exec(t.Context(), c.sql); err != nil {
				t.Fatal(err)
			}
			if got := loaded(t, db).UnsafeCasts; got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestAnEventTriggerIsSeen(t *testing.T) {
	db := pgtest.New(t)
	if loaded(t, db).EventTriggers {
		t.Error("an empty database has event triggers")
	}
	db.Exec(`CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
		`CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()`)
	if !loaded(t, db).EventTriggers {
		t.Error("the event trigger was not seen")
	}
}

func TestTheDigestOfInitialSettingsChangesWithTheSettingsThatApply(t *testing.T) {
	db := pgtest.New(t)
	c := open(t, db)
	user := db.CreateUser("settled", pgtest.SCRAM, "s")
	other := db.CreateUser("other", pgtest.SCRAM, "o")
	digest := func() string {
		t.Helper()
		d, err := c.InitialSettings(t.Context(), db.Name, user)
		if err != nil {
			t.Fatal(err)
		}
		return d.Digest
	}
	last := digest()
	for _, step := range []struct {
		sql     string
		changes bool
	}{
		{"ALTER ROLE " + other + " SET work_mem = '1MB'", false},
		{"ALTER ROLE " + user + " SET search_path = shop", true},
		{"ALTER ROLE " + user + " IN DATABASE postgres SET search_path = shop", false},
		{"ALTER ROLE " + user + " IN DATABASE " + db.Name + " SET search_path = shop", true},
		{"ALTER DATABASE " + db.Name + " SET timezone = 'UTC'", true},
		{"ALTER DATABASE " + db.Name + " SET timezone = 'UTC'", true}, // the same value, another version of the row
		{"ALTER DATABASE " + db.Name + " RESET timezone", true},
	} {
		db.Exec(step.sql)
		got := digest()
		if changed := got != last; changed != step.changes {
			t.Errorf("%s: digest changed: %t, want %t", step.sql, changed, step.changes)
		}
		last = got
	}
	db.Exec("ALTER ROLE "+user+" RESET ALL", "ALTER ROLE "+user+" IN DATABASE postgres RESET ALL")
}

func TestTheIsolationThatASessionStartsWithIsKnown(t *testing.T) {
	db := pgtest.NewOn(t, pgtest.NewServer(t, postgres.Options{Settings: map[string]string{"default_transaction_isolation": "repeatable read"}}))
	user := db.CreateUser("settled", pgtest.Trust, "")
	c := open(t, db)
	for _, step := range []struct{ sql, want string }{
		{"SELECT", "repeatable read"},
		{"ALTER ROLE ALL SET default_transaction_isolation = 'Serializable'", "serializable"},
		{"ALTER DATABASE " + db.Name + " SET default_transaction_isolation = 'read uncommitted'", "read uncommitted"},
		{"ALTER ROLE " + user + " SET default_transaction_isolation = 'read committed'", "read committed"},
		{"ALTER ROLE " + user + " IN DATABASE " + db.Name + " SET default_transaction_isolation = 'serializable'", "serializable"},
		{"ALTER ROLE " + user + " IN DATABASE " + db.Name + " RESET ALL", "read committed"},
		{"ALTER ROLE " + user + " RESET ALL", "read uncommitted"},
		{"ALTER DATABASE " + db.Name + " SET work_mem = '5MB'", "read uncommitted"},
		{"ALTER DATABASE " + db.Name + " RESET ALL", "serializable"},
		{"ALTER ROLE ALL RESET ALL", "repeatable read"},
	} {
		db.Exec(step.sql)
		s, err := c.InitialSettings(t.Context(), db.Name, user)
		if err != nil || s.Isolation != step.want {
			t.Errorf("after %s: got %q, %v; want %q", step.sql, s.Isolation, err, step.want)
		}
		conn, err := pgx.Connect(t.Context(), db.UserURL(user, ""))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := conn.QueryRow(t.Context(), "SHOW default_transaction_isolation").Scan(&got); err != nil || got != step.want {
			t.Errorf("after %s: a session has %q, %v; want %q", step.sql, got, err, step.want)
		}
		conn.Close(t.Context())
	}
}

func TestAnIsolationOfTheHomesOwnHidesTheServers(t *testing.T) {
	db := pgtest.New(t)
	own := db.CreateUser("own", pgtest.Trust, "")
	db.Exec("ALTER ROLE " + own + " SET default_transaction_isolation = 'serializable'")
	config, err := pgx.ParseConfig(db.UserURL(own, ""))
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Config: config})
	t.Cleanup(c.Close)
	for user, want := range map[string]string{"postgres": "", own: "serializable"} {
		if s, err := c.InitialSettings(t.Context(), db.Name, user); err != nil || s.Isolation != want {
			t.Errorf("%s: got %q, %v; want %q", user, s.Isolation, err, want)
		}
	}
}

func TestTheConnectionForSettingsMayDie(t *testing.T) {
	db := pgtest.New(t)
	c := open(t, db)
	if _, err := c.InitialSettings(t.Context(), db.Name, "postgres"); err != nil {
		t.Fatal(err)
	}
	c.settings.slot <- struct{}{}
	pid := c.settings.conn.PgConn().PID()
	<-c.settings.slot
	db.Exec(fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
	if _, err := c.InitialSettings(t.Context(), db.Name, "postgres"); err != nil {
		t.Errorf("after the connection died: %v", err)
	}
}

func TestTenThousandTablesLoadInSeconds(t *testing.T) {
	if testing.Short() {
		return // it makes ten thousand tables
	}
	db := pgtest.New(t)
	conn := db.Connect()
	for i := range 20 {
		_, err := conn.Exec(t.Context(), fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..500 LOOP
			EXECUTE format('CREATE TABLE t%%s_%d (id int, a text, b timestamptz, c numeric)', i); END LOOP; END $$`, i))
		if err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	s, err := c.Snapshot(ctx, db.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d relations in %s", len(s.relations), time.Since(began))
	if len(s.relations) < 10_000 {
		t.Errorf("got %d relations", len(s.relations))
	}
}
