-- What has fooled caches before, and what an adversary would try: names that are not what they seem, code where nobody
-- looks for it, and texts that only look like statements.
--- setup
CREATE SCHEMA crm; CREATE SCHEMA archive; CREATE SCHEMA shadow; CREATE SCHEMA "Mixed";
CREATE TABLE public.users (id int PRIMARY KEY, name text, at timestamptz, day date);
CREATE TABLE crm.users (id int PRIMARY KEY, name text);
CREATE TABLE "Mixed"."Users" (id int);
CREATE TABLE public.events (id int, at timestamptz, note text);
CREATE TABLE archive.events () INHERITS (public.events);
CREATE TABLE crm.events (id int) INHERITS (archive.events);
CREATE TABLE public.notes (id int PRIMARY KEY, note text, data jsonb);
CREATE TABLE public.into (id int, "select" int);
CREATE TABLE public.ledger (id int PRIMARY KEY, tenant text, amount numeric);
ALTER TABLE public.ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON public.ledger USING (tenant = current_user);
CREATE VIEW public.balances AS SELECT tenant, sum(amount) AS amount FROM public.ledger GROUP BY tenant;
CREATE VIEW public.my_balances WITH (security_barrier) AS SELECT * FROM public.balances;
CREATE VIEW public.a1 AS SELECT id, name FROM public.users;
CREATE VIEW public.a2 WITH (security_barrier) AS SELECT * FROM public.a1 WHERE id > 0;
CREATE VIEW public.a3 AS SELECT a2.*, n.note FROM public.a2 JOIN public.notes n USING (id);
CREATE VIEW public.row_places AS SELECT ctid AS place, id FROM public.users;
CREATE VIEW public.row_versions AS SELECT u.id FROM public.users u WHERE u.xmax::text = '0';
CREATE VIEW public.row_tables AS SELECT tableoid, id FROM public.events;
CREATE VIEW public.sampled AS SELECT id FROM public.users TABLESAMPLE SYSTEM (50);
CREATE VIEW public.of_today AS SELECT id FROM public.users WHERE day = CURRENT_DATE;
CREATE VIEW public.read_days AS SELECT id, note::date AS day FROM public.notes;
CREATE VIEW public.locked AS SELECT id FROM public.users FOR SHARE;
CREATE VIEW public.of_catalogs AS SELECT relname::text FROM pg_class;
CREATE VIEW public.of_sequence AS SELECT n.note FROM public.notes n;

CREATE FUNCTION public.write_note() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN DELETE FROM notes WHERE id < 0; RETURN 1; END $$;
CREATE FUNCTION public.wild(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN true; END $$;
CREATE FUNCTION public."coalesce"(int, int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN public.write_note(); END $$;
CREATE FUNCTION public."select"(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION public."current_date"() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION public.with_default(int, int DEFAULT public.write_note()) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION public.with_clock(int, timestamptz DEFAULT now()) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT $2';
CREATE FUNCTION public.with_constant(int, int DEFAULT 7) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION public.many(VARIADIC int[]) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN public.write_note(); END $$;
CREATE FUNCTION public.calm_many(VARIADIC int[]) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT cardinality($1)';
CREATE FUNCTION public.any_of(anyelement) RETURNS anyelement LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1; END $$;
CREATE FUNCTION public.full_name(public.users) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.name';
CREATE FUNCTION public.touch(public.users) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN ''; END $$;
CREATE FUNCTION public.count_notes() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM public.notes; END;
CREATE FUNCTION public.called_immutable() RETURNS bigint LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT count(*) FROM public.notes; END;
CREATE FUNCTION public.called_immutable(int) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN CURRENT_DATE > '2024-01-01';
CREATE FUNCTION public.count_notes_text() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM notes';
CREATE FUNCTION public.day_of(int) RETURNS date LANGUAGE sql STABLE RETURN (SELECT CURRENT_DATE + $1);
CREATE FUNCTION public.drop_notes() RETURNS void LANGUAGE sql VOLATILE BEGIN ATOMIC DELETE FROM public.notes; END;
CREATE FUNCTION public.as_owner() RETURNS SETOF public.notes LANGUAGE sql STABLE SECURITY DEFINER BEGIN ATOMIC SELECT * FROM public.notes; END;
CREATE FUNCTION public.nested() RETURNS bigint LANGUAGE sql STABLE RETURN public.count_notes() + 1;
CREATE FUNCTION public.nested_text() RETURNS bigint LANGUAGE sql STABLE RETURN public.count_notes_text() + 1;
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1; END $$;
CREATE FUNCTION shadow.upper(text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1; END $$;

CREATE FUNCTION shadow.plus(point, int) RETURNS point LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1; END $$;
CREATE OPERATOR shadow.+ (LEFTARG = point, RIGHTARG = int, FUNCTION = shadow.plus);
CREATE OPERATOR public.<<->> (LEFTARG = int, RIGHTARG = int, FUNCTION = public."coalesce");
CREATE FUNCTION public.less(int, int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1 < $2; END $$;
CREATE OPERATOR public.<<< (LEFTARG = int, RIGHTARG = int, FUNCTION = public.less);
CREATE FUNCTION public.alike(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END';
CREATE FUNCTION public.unlike(int, int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1 <> $2; END $$;
CREATE OPERATOR public.==== (LEFTARG = int, RIGHTARG = int, FUNCTION = public.alike, NEGATOR = OPERATOR(public.!===), COMMUTATOR = OPERATOR(public.====));
CREATE OPERATOR public.!=== (LEFTARG = int, RIGHTARG = int, FUNCTION = public.unlike);
CREATE OPERATOR public.<=> (LEFTARG = int, RIGHTARG = int, FUNCTION = public.alike, COMMUTATOR = OPERATOR(public.<=>));

CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN public.watched AS int CHECK (public.wild(VALUE));
CREATE DOMAIN public.watched_list AS public.watched[];
CREATE DOMAIN public.past AS date CHECK (VALUE <= CURRENT_DATE);
CREATE DOMAIN public.recent AS timestamptz CHECK (VALUE > now() - interval '1 hour');
CREATE FUNCTION public.of_watched(public.watched) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1::int';
CREATE FUNCTION public.to_watched(int) RETURNS public.watched LANGUAGE sql STABLE RETURN $1;
CREATE FUNCTION public.of_recent(public.recent) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION public.of_positive(public.positive) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1::int';
CREATE TABLE public.watched_rows (id public.watched);
CREATE TABLE public.recent_rows (at public.recent);
CREATE TABLE public.watched_lists (ids public.watched[]);

CREATE FUNCTION public.sum_step(int, int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM public.write_note(); RETURN $1 + $2; END $$;
CREATE AGGREGATE public.wild_sum(int) (SFUNC = public.sum_step, STYPE = int, INITCOND = '0');
CREATE AGGREGATE public.calm_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE AGGREGATE public.latest(timestamptz) (SFUNC = timestamptz_larger, STYPE = timestamptz, INITCOND = 'now');
CREATE AGGREGATE public.wild_rank(ORDER BY int) (SFUNC = public.sum_step, STYPE = int, INITCOND = '0');

CREATE TABLE public.parents (id int PRIMARY KEY);
CREATE TABLE public.children (id int PRIMARY KEY, parent int REFERENCES public.parents ON DELETE CASCADE);
CREATE TABLE public.grandchildren (id int PRIMARY KEY, child int REFERENCES public.children ON DELETE SET NULL);
CREATE TABLE public.strangers (id int, parent int REFERENCES public.parents);
CREATE TABLE public.ring_a (id int PRIMARY KEY, b int);
CREATE TABLE public.ring_b (id int PRIMARY KEY, a int REFERENCES public.ring_a ON UPDATE CASCADE);
ALTER TABLE public.ring_a ADD FOREIGN KEY (b) REFERENCES public.ring_b ON DELETE SET DEFAULT;
CREATE TABLE public.logged (id int);
CREATE FUNCTION public.log_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.write_note(); RETURN NEW; END $$;
CREATE TRIGGER logs AFTER INSERT ON public.logged EXECUTE FUNCTION public.log_it();
CREATE TABLE public.ruled (id int);
CREATE RULE also AS ON INSERT TO public.ruled DO ALSO DELETE FROM public.notes;
CREATE VIEW public.instead AS SELECT id FROM public.ruled;
CREATE RULE elsewhere AS ON UPDATE TO public.instead DO INSTEAD DELETE FROM public.notes;
CREATE TABLE public.behind_trigger (id int PRIMARY KEY, parent int REFERENCES public.parents ON DELETE CASCADE);
CREATE SEQUENCE public.numbers;
CREATE VIEW public.with_view_default AS SELECT id, note FROM public.notes;
ALTER VIEW public.with_view_default ALTER COLUMN id SET DEFAULT public.write_note();
CREATE VIEW public.above_view_default AS SELECT note FROM public.with_view_default;
CREATE TABLE public.wings (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE public.wings_1 PARTITION OF public.wings FOR VALUES IN (1);
CREATE TABLE public.wings_2 PARTITION OF public.wings FOR VALUES IN (2);
CREATE TABLE public.feathers (wing int REFERENCES public.wings ON DELETE CASCADE) PARTITION BY HASH (wing);
CREATE TABLE public.feathers_0 PARTITION OF public.feathers FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO public.wings VALUES (1), (2); INSERT INTO public.feathers VALUES (1);
CREATE TABLE public.a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo (id int);
CREATE FUNCTION public.spoken(public.notes) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.note';
CREATE TABLE public.days (spoken timestamptz, "greatest" date, "coalesce" date, plain date);
CREATE SCHEMA a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo;
CREATE TABLE a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo.hidden (id int); CREATE TABLE public.hidden (id int);
INSERT INTO public.users VALUES (1, 'ada', '2024-01-01', '2024-01-01');
INSERT INTO public.notes VALUES (1, '2024-01-01', '{}');
INSERT INTO public.parents VALUES (1); INSERT INTO public.children VALUES (1, 1); INSERT INTO public.grandchildren VALUES (1, 1);
--- case: a name with its schema is another table than the same name in public
--- verdict: read
--- reads: crm.users
SELECT * FROM crm.users
--- case: a name without a schema stands for the table of every schema where the path is not known
--- verdict: read
--- reads: crm.users public.users
SELECT id FROM users
--- case: the path decides which table a name means, and every schema of it counts
--- verdict: read
--- reads: crm.users
--- path: crm, archive
SELECT id FROM users
--- case: a name whose schema is not in the path
--- verdict: opaque
--- writes: anything
--- reason: not in the search path
--- path: archive
--- unrun: PostgreSQL refuses it
SELECT id FROM users
--- case: a path that begins with a schema of the user's own name
--- verdict: read
--- reads: public.users
--- path: "$user", public
SELECT id FROM users
--- case: a name that is longer than names can be
--- verdict: read
--- reads: public.a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo
SELECT * FROM public.a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo_indeed
--- case: a path with a name that is longer than names can be
--- verdict: read
--- reads: a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo.hidden public.hidden
--- path: a_name_that_is_as_long_as_postgresql_lets_any_name_be_and_no_mo_indeed, public
SELECT id FROM hidden
--- case: an unquoted name folds, a quoted one does not
--- verdict: read
--- reads: Mixed.Users public.users
SELECT 1 FROM PUBLIC.USERS, "Mixed"."Users"
--- case: a name in unicode escapes
--- verdict: read
--- reads: Mixed.Users
SELECT * FROM U&"\004dixed".U&"!0055sers" UESCAPE '!'
--- case: a name in quotes that no table has in that case
--- verdict: opaque
--- writes: anything
--- reason: not known
--- unrun: PostgreSQL refuses it
SELECT * FROM "Public"."users"
--- case: a table called by a keyword
--- verdict: read
--- reads: public.into
SELECT "select" FROM "into" WHERE "into"."select" = 1
--- case: inherited children of the same name in other schemas
--- verdict: read
--- reads: archive.events crm.events public.events
SELECT count(*) FROM public.events
--- case: ONLY still reads the parent of that name
--- verdict: read
--- reads: archive.events crm.events public.events
--- reason: tables only
SELECT count(*) FROM ONLY public.events
--- case: a write to a child is a write to all that show its rows
--- verdict: write
--- writes: archive.events crm.events public.events
--- reason: writes to archive.events
DELETE FROM archive.events WHERE id = 1
--- case: a write to the grandchild reaches both ancestors, not the other way by name
--- verdict: write
--- writes: archive.events crm.events public.events
--- reason: writes to crm.events
UPDATE crm.events SET note = 'x'
--- case: a write in a block that commits in the same text
--- verdict: write
--- writes: public.notes
--- reason: writes to public.notes
BEGIN; UPDATE public.notes SET note = 'x'; COMMIT
--- case: a read in the text of a write is no read
--- verdict: write
--- writes: public.notes
--- reason: writes to public.notes
SELECT * FROM public.notes; DELETE FROM public.notes
--- case: a read behind a read is still two statements
--- verdict: read
--- reads: public.notes public.users
--- reason: tables only
SELECT * FROM public.notes; SELECT * FROM public.users
--- case: a column that is added to what SELECT * shows
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE public.users ADD COLUMN email text
--- case: a column that is renamed
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE public.users RENAME COLUMN name TO label
--- case: rows that each role sees for itself
--- verdict: opaque
--- reason: row security
SELECT * FROM ledger
--- case: rows under row security behind two views
--- verdict: opaque
--- reason: reads the view public.my_balances, which reads the view public.balances, which reads public.ledger
SELECT amount FROM my_balances
--- case: a semicolon and a statement in a string
--- verdict: read
--- reads: public.notes
SELECT '; DELETE FROM users; --' FROM notes WHERE note <> 'insert into users select'
--- case: into in a string and as a name's part
--- verdict: read
--- reads: public.notes
SELECT note AS into_what, 'select into x' FROM notes
--- case: a string in dollars that holds quotes and a statement
--- verdict: read
--- reads: public.notes
SELECT $q$'; UPDATE users SET name = $$x$$; /*$q$ FROM notes
--- case: a string in dollars whose tag is within another
--- verdict: read
--- reads: public.notes
SELECT $a$ $b$ FROM users $b$ $a$ FROM notes
--- case: nested comments that would end early
--- verdict: read
--- reads: public.notes
SELECT 1 /* a /* b */ FROM users; DELETE FROM users */ FROM notes
--- case: a line comment that hides a comma and a table
--- verdict: read
--- reads: public.notes
SELECT 1 FROM notes -- , users; DELETE FROM users
--- case: a comment between the words of a lock
--- verdict: opaque
--- reason: FOR UPDATE
SELECT 1 FROM notes FOR/* */UPDATE
--- case: an operator that a comment cuts short
--- verdict: read
--- reads: public.notes
SELECT id FROM notes WHERE id =/* not */-1 OR id =--1
  2
--- case: an escape that keeps the string open
--- verdict: read
--- reads: public.notes
SELECT E'\'; DELETE FROM users; --' FROM notes
--- case: a backslash that ends a plain string
--- verdict: read
--- reads: public.notes public.users
SELECT '\', id FROM public.users WHERE name <> '\' UNION SELECT '', id FROM notes
--- case: a string that goes on in the next line
--- verdict: read
--- reads: public.notes
SELECT 'a'
  '; FROM users' FROM notes
--- case: a moment in unicode escapes
--- verdict: unstable
--- reads: public.users
--- reason: moment of the clock
SELECT id FROM public.users WHERE at < U&'\006eow' AND false
--- case: a moment in the escapes of an E string
--- verdict: unstable
--- reads: public.users
--- reason: moment of the clock
SELECT id FROM public.users WHERE day = E'\x74oday'
--- case: a moment in a string in two parts
--- verdict: unstable
--- reads: public.users
--- reason: moment of the clock
SELECT id FROM public.users WHERE day = 'to'
'day'
--- case: a moment in an array
--- verdict: unstable
--- reads: public.users
--- reason: moment of the clock
SELECT id FROM public.users WHERE day = ANY ('{2024-01-01,Tomorrow}')
--- case: a moment in an array, behind a backslash
--- verdict: unstable
--- reason: moment of the clock
SELECT '{n\ow}'::date[]
--- case: a moment in a range, half of it quoted
--- verdict: unstable
--- reason: moment of the clock
SELECT '[to"day",)'::daterange
--- case: a text out of a row that the default of a window function hands to a date
--- verdict: unstable
--- reads: public.notes
--- reason: text like 'now'
SELECT lag('2024-01-01', 1, note) OVER (ORDER BY id)::date FROM notes
--- case: a text by a function that is called like a column, where all columns of its name are dates
--- verdict: unstable
--- reads: public.notes
--- reason: text like 'now'
SELECT n.spoken::date FROM notes n
--- case: a column that takes its name from the grammar, where all columns of that name are dates
--- verdict: unstable
--- reads: public.notes
--- reason: text like 'now'
SELECT s."greatest"::date FROM (SELECT greatest(note, '2000-01-01') FROM notes) s
--- case: another one
--- verdict: unstable
--- reads: public.notes
--- reason: text like 'now'
SELECT "coalesce"::date FROM (SELECT coalesce(note, '2000-01-01') FROM notes) s
--- case: a column whose name nothing else has
--- verdict: read
--- reads: public.days public.notes
SELECT plain::date FROM days, (SELECT coalesce(note, 'x') FROM notes) s
--- case: the value before in a window of dates
--- verdict: read
--- reads: public.users
SELECT lag(day, 1, '2024-01-01') OVER (ORDER BY id)::date FROM public.users
--- case: views upon views upon a barrier
--- verdict: read
--- reads: public.notes public.users
SELECT * FROM a3 WHERE name LIKE 'a%'
--- case: a view that shows where a row lies
--- verdict: unstable
--- reads: public.users
--- reason: reads the view public.row_places, which reads a system column
SELECT * FROM row_places
--- case: a view that asks who locked a row
--- verdict: unstable
--- reads: public.users
--- reason: system column
SELECT id FROM row_versions
--- case: a view that shows which table a row is in
--- verdict: read
--- reads: archive.events crm.events public.events
SELECT * FROM row_tables
--- case: a view of a sample
--- verdict: unstable
--- reads: public.users
--- reason: samples a table
SELECT * FROM sampled
--- case: a view of today
--- verdict: unstable
--- reads: public.users
--- reason: of_today
SELECT * FROM of_today
--- case: a view that reads dates out of texts
--- verdict: unstable
--- reads: public.notes
--- reason: text like 'now'
SELECT * FROM read_days
--- case: a view that locks
--- verdict: opaque
--- reason: reads the view public.locked, which locks rows
SELECT * FROM locked
--- case: a view of the catalogs
--- verdict: opaque
--- reason: reads the view public.of_catalogs, which reads the system relation pg_catalog.pg_class
SELECT * FROM of_catalogs
--- case: a function with the name of a construct is called in quotes
--- verdict: opaque
--- writes: anything
--- reason: calls the volatile function coalesce
--- session: untracked
SELECT "coalesce"(1, 2)
--- case: the construct itself calls no function
--- verdict: read
--- reads: public.users
SELECT coalesce(id, 2) FROM public.users
--- case: a function with the name of a keyword
--- verdict: read
SELECT public."select"(1)
--- case: a function with the name of a moment is not the moment
--- verdict: read
SELECT public."current_date"()
--- case: a default argument that writes
--- verdict: opaque
--- writes: anything
--- reason: with_default
SELECT with_default(1)
--- case: a default argument that asks the clock
--- verdict: opaque
--- writes: anything
--- reason: with_clock
SELECT with_clock(1)
--- case: a default argument that is a constant
--- verdict: read
SELECT with_constant(1), with_constant(1, 2)
--- case: an argument by its name
--- verdict: read
--- since: 15
SELECT make_date(2024, month => 1, day => 2), make_interval(days => 3)
--- case: any number of arguments to a volatile function
--- verdict: opaque
--- writes: anything
--- reason: the volatile function many
SELECT many(1, 2, 3, 4)
--- case: an array for any number of arguments
--- verdict: read
SELECT calm_many(VARIADIC ARRAY[1, 2]), calm_many(1, 2, 3)
--- case: a polymorphic function that writes
--- verdict: opaque
--- writes: anything
--- reason: any_of
SELECT any_of(id) FROM users
--- case: a function called like a column of a row
--- verdict: read
--- reads: public.users
SELECT u.full_name FROM public.users u
--- case: a volatile function called like a column of a row
--- verdict: opaque
--- writes: anything
--- reason: the volatile function touch
SELECT u.touch FROM public.users u
--- case: a volatile function called like a field of an expression
--- verdict: opaque
--- writes: anything
--- reason: any_of
SELECT (u).any_of FROM public.users u
--- case: a row expanded
--- verdict: read
--- reads: public.users
SELECT (u).*, u.* FROM public.users u
--- case: a whole row as JSON
--- verdict: read
--- reads: public.users
SELECT row_to_json(u), to_jsonb(u) - 'at', json_agg(u) FROM public.users u GROUP BY u.*, u.id
--- case: an SQL function whose code is kept reads what it reads
--- verdict: read
--- reads: public.notes
--- reason: tables only
SELECT count_notes()
--- case: an SQL function that is called immutable, and reads
--- verdict: read
--- reads: public.notes
SELECT called_immutable()
--- case: an SQL function that is called immutable, and asks the clock
--- verdict: unstable
--- reason: calls the function public.called_immutable, which calls CURRENT_DATE
SELECT called_immutable(1)
--- case: an SQL function whose code is a string may do anything
--- verdict: opaque
--- writes: anything
--- reason: the stable function count_notes_text, which is not built in
SELECT count_notes_text()
--- case: an SQL function that asks the clock
--- verdict: unstable
--- reason: calls the function public.day_of, which calls CURRENT_DATE
SELECT day_of(1)
--- case: an SQL function that deletes
--- verdict: opaque
--- writes: anything
--- reason: calls the function public.drop_notes, which writes
SELECT drop_notes()
--- case: rows through a function with its owner's rights
--- verdict: read
--- reads: public.notes
SELECT * FROM as_owner() WHERE id = 1
--- case: a kept function that calls a kept one
--- verdict: read
--- reads: public.notes
SELECT nested()
--- case: a kept function that calls one in a string
--- verdict: opaque
--- writes: anything
--- reason: calls the function public.nested_text, which calls the stable function count_notes_text
SELECT nested_text()
--- case: an overload in public of a function of PostgreSQL
--- verdict: opaque
--- writes: anything
--- reason: the volatile function lower
SELECT lower(name) FROM users
--- case: the same with the schema of PostgreSQL
--- verdict: read
--- reads: public.users
SELECT pg_catalog.lower(name) FROM public.users
--- case: a function in a schema that the path has not
--- verdict: read
--- reads: public.users
--- path: public
SELECT upper(name) FROM users
--- case: a function in a schema ahead in the path
--- verdict: opaque
--- writes: anything
--- reason: the volatile function upper
--- path: shadow, pg_catalog, public
SELECT upper(name) FROM users
--- case: an operator in a schema ahead in the path
--- verdict: opaque
--- writes: anything
--- reason: uses the operator +
--- path: shadow, pg_catalog, public
SELECT id + 1 FROM users
--- case: an operator out of the path
--- verdict: read
--- reads: public.users
--- path: public
SELECT id + 1 FROM users
--- case: an operator by its schema
--- verdict: read
--- reads: public.users
SELECT id OPERATOR(pg_catalog.+) 1 FROM public.users
--- case: an operator by its schema that writes
--- verdict: opaque
--- writes: anything
--- reason: uses the operator <<->>
SELECT 1 OPERATOR(public.<<->>) 2
--- case: an operator to sort by that is no operator class's
--- verdict: opaque
--- writes: anything
--- reason: uses the operator <<<
--- unrun: PostgreSQL refuses it
SELECT id FROM public.users ORDER BY id USING OPERATOR(public.<<<)
--- case: an operator turned round by NOT into one that writes
--- verdict: opaque
--- writes: anything
--- reason: uses the operator ====
SELECT id FROM public.users WHERE NOT (id OPERATOR(public.====) 7)
--- case: an immutable operator that nothing turns round
--- verdict: read
--- reads: public.users
SELECT id FROM public.users WHERE NOT (id OPERATOR(public.<=>) 7)
--- case: a row in a list, by an operator of its own
--- verdict: opaque
--- writes: anything
--- reason: uses the operator <<<
SELECT 1 <<< ANY (SELECT id FROM public.users)
--- case: a domain whose check calls what may write
--- verdict: opaque
--- writes: anything
--- reason: the type watched
SELECT 1::watched
--- case: a domain over an array of such
--- verdict: opaque
--- writes: anything
--- reason: the type watched_list
SELECT '{1}'::watched_list
--- case: an array of a domain whose check calls what may write
--- verdict: opaque
--- writes: anything
--- reason: watched
SELECT '{1}'::watched[]
--- case: a domain whose check is arithmetic
--- verdict: read
SELECT 1::positive, of_positive(2)
--- case: an argument that becomes a domain with a check that writes
--- verdict: opaque
--- writes: anything
--- reason: of_watched
SELECT of_watched(1)
--- case: a result that becomes a domain with a check that writes
--- verdict: opaque
--- writes: anything
--- reason: to_watched
SELECT to_watched(1)
--- case: a domain whose check asks the clock
--- verdict: unstable
--- reason: past
SELECT '2024-01-01'::past
--- case: an argument that becomes a domain whose check asks the clock
--- verdict: opaque
--- writes: anything
--- reason: of_recent
--- unrun: the time is over
SELECT of_recent('2024-01-01')
--- case: a text that becomes an array of a domain with a check that writes, unseen
--- verdict: opaque
--- writes: anything
--- reason: public.watched_lists, which has a column
SELECT * FROM watched_lists WHERE ids = '{5}'
--- case: rows of a domain are not checked again
--- verdict: read
--- reads: public.recent_rows
SELECT * FROM recent_rows
--- case: rows written to a column of a domain that writes
--- verdict: write
--- writes: anything
--- reason: whose defaults, checks or indexes
INSERT INTO watched_rows VALUES (1)
--- case: rows written to a column of a domain that asks the clock
--- verdict: write
--- writes: public.recent_rows
--- reason: writes to public.recent_rows
DELETE FROM recent_rows
--- case: an aggregate with a volatile step
--- verdict: opaque
--- writes: anything
--- reason: wild_sum
SELECT wild_sum(id) FROM users
--- case: an aggregate with a volatile step as a window function
--- verdict: opaque
--- writes: anything
--- reason: wild_sum
SELECT wild_sum(id) OVER (ORDER BY id) FROM users
--- case: an ordered-set aggregate with a volatile step
--- verdict: opaque
--- writes: anything
--- reason: wild_rank
SELECT wild_rank() WITHIN GROUP (ORDER BY id) FROM users
--- case: an aggregate of tame parts
--- verdict: read
--- reads: public.users
--- path: public
SELECT calm_sum(id) FROM users
--- case: an aggregate that begins with the clock
--- verdict: opaque
--- writes: anything
--- reason: latest
SELECT latest(at) FROM users
--- case: a lock in a subquery
--- verdict: opaque
--- reason: FOR SHARE
SELECT 1 WHERE EXISTS (SELECT 1 FROM public.users FOR SHARE)
--- case: a lock in a common table expression that nobody reads
--- verdict: opaque
--- reason: FOR UPDATE
WITH locked AS (SELECT 1 FROM public.users FOR UPDATE) SELECT 1
--- case: a deletion in a common table expression that nobody reads
--- verdict: write
--- writes: public.behind_trigger public.children public.grandchildren public.parents
--- reason: writes to public.parents
WITH gone AS (DELETE FROM public.parents) SELECT 1
--- case: an insertion in a common table expression of an insertion
--- verdict: write
--- writes: crm.users public.notes
--- reason: writes to crm.users, public.notes
WITH new AS (INSERT INTO crm.users VALUES (7, 'x') RETURNING id) INSERT INTO public.notes SELECT id FROM new
--- case: a merge below a copy
--- verdict: write
--- writes: public.notes
--- reason: writes to public.notes
COPY (DELETE FROM public.notes RETURNING *) TO STDOUT
--- case: SELECT INTO where nobody expects it
--- verdict: schema
--- writes: anything
--- reason: SELECT INTO
SELECT id INTO copied FROM public.users UNION SELECT 1
--- case: a cascade goes down two ways of two kinds
--- verdict: write
--- writes: public.behind_trigger public.children public.grandchildren public.parents
--- reason: writes to public.parents
DELETE FROM parents WHERE id = 1
--- case: an insertion does not cascade
--- verdict: write
--- writes: public.parents
--- reason: writes to public.parents
INSERT INTO parents VALUES (2)
--- case: keys that refer to each other in a ring
--- verdict: write
--- writes: public.ring_a public.ring_b
--- reason: writes to public.ring_b
UPDATE ring_b SET id = 5
--- case: TRUNCATE CASCADE goes to every table that refers to it
--- verdict: write
--- writes: public.behind_trigger public.children public.grandchildren public.parents public.strangers
--- reason: writes to public.parents
TRUNCATE parents CASCADE
--- case: a statement trigger
--- verdict: write
--- writes: anything
--- reason: public.logged, which has triggers
INSERT INTO logged SELECT 1 WHERE false
--- case: a rule that does something else as well
--- verdict: write
--- writes: anything
--- reason: public.ruled, which has rules
INSERT INTO ruled VALUES (1)
--- case: a rule on a view that does something else instead
--- verdict: write
--- writes: anything
--- reason: public.instead
UPDATE instead SET id = 1
--- case: a key that refers to the parent of a partition, from a table of partitions
--- verdict: write
--- writes: public.feathers public.feathers_0 public.wings public.wings_1
--- reason: writes to public.wings_1
DELETE FROM wings_1
--- case: a default of a view, which its table has not
--- verdict: write
--- writes: anything
--- reason: with_view_default
INSERT INTO with_view_default (note) VALUES ('x')
--- case: a default of a view below a view
--- verdict: write
--- writes: anything
--- reason: with_view_default
INSERT INTO above_view_default (note) VALUES ('x')
--- case: the next value of a sequence, deep in an expression
--- verdict: opaque
--- reason: nextval
SELECT CASE WHEN id = 1 THEN (SELECT nextval('numbers')) END FROM public.users
--- case: the value of a sequence set
--- verdict: opaque
--- reason: setval
SELECT setval('numbers', 1)
--- case: the rows of a sequence
--- verdict: unstable
--- reads: public.numbers
--- reason: the state of the sequence
SELECT last_value FROM numbers
