-- The shapes SQLAlchemy (Core and ORM) and Alembic send: labels like users_1 and anon_1, insertmanyvalues, selectin
-- loading, VALUES constructs, CTEs, window functions, autobegin, and the reflection of a Table or a server default.
--- setup
CREATE TYPE public.task_status AS ENUM ('todo', 'doing', 'done');
CREATE DOMAIN public.slug AS varchar(60) CHECK (VALUE ~ '^[a-z0-9-]+$');
CREATE TABLE public.users (id serial PRIMARY KEY, name varchar(30) NOT NULL, fullname varchar, created timestamptz NOT NULL DEFAULT now());
CREATE TABLE public.addresses (id serial PRIMARY KEY, user_id integer NOT NULL REFERENCES public.users (id) ON DELETE CASCADE, email_address varchar NOT NULL);
CREATE TABLE public.projects (id serial PRIMARY KEY, owner_id integer REFERENCES public.users (id) ON DELETE SET NULL, name public.slug NOT NULL UNIQUE, config jsonb NOT NULL DEFAULT '{}', budget numeric(12, 2));
CREATE TABLE public.tasks (
    id serial PRIMARY KEY,
    project_id integer NOT NULL REFERENCES public.projects (id) ON DELETE CASCADE,
    parent_id integer REFERENCES public.tasks (id),
    title text NOT NULL,
    status public.task_status NOT NULL DEFAULT 'todo',
    points integer,
    during tsrange,
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED
);
CREATE TABLE public.task_log (id bigserial PRIMARY KEY, task_id integer NOT NULL REFERENCES public.tasks (id) ON DELETE CASCADE, what text NOT NULL);
CREATE FUNCTION public.task_logged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER task_log_after AFTER DELETE ON public.task_log FOR EACH ROW EXECUTE FUNCTION public.task_logged();
CREATE TABLE public.measurement (device integer NOT NULL, at timestamp NOT NULL, value double precision) PARTITION BY LIST (device);
CREATE TABLE public.measurement_1 PARTITION OF public.measurement FOR VALUES IN (1);
CREATE TABLE public.measurement_rest PARTITION OF public.measurement DEFAULT PARTITION BY HASH (device);
CREATE TABLE public.measurement_rest_0 PARTITION OF public.measurement_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.measurement_rest_1 PARTITION OF public.measurement_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE public.employee (id serial PRIMARY KEY, type varchar(20) NOT NULL, name varchar(50));
CREATE TABLE public.engineer (id integer PRIMARY KEY REFERENCES public.employee (id) ON DELETE CASCADE, language varchar(30));
CREATE TABLE public.settings_old (k text PRIMARY KEY, v text);
CREATE RULE settings_quiet AS ON INSERT TO public.settings_old WHERE NEW.v IS NULL DO INSTEAD NOTHING;
CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE FUNCTION public.initials(full_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(substr(full_text, 1, 1)) $$;
CREATE FUNCTION public.touch(who integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN UPDATE public.users SET created = now() WHERE id = who; RETURN who; END $$;
CREATE VIEW public.project_load AS SELECT p.id, p.name, count(t.id) AS tasks FROM public.projects p LEFT JOIN public.tasks t ON t.project_id = p.id GROUP BY p.id;
CREATE VIEW public.busy_projects AS SELECT l.name, u.name AS owner FROM public.project_load l JOIN public.projects p USING (id) JOIN public.users u ON u.id = p.owner_id WHERE l.tasks > 0;
INSERT INTO public.users (name, fullname) VALUES ('spongebob', 'Spongebob S.'), ('sandy', NULL);
INSERT INTO public.addresses (user_id, email_address) VALUES (1, 'sb@example.org'), (2, 'sandy@example.org');
INSERT INTO public.projects (owner_id, name, config, budget) VALUES (1, 'reef', '{"color": {"main": "blue"}, "tags": ["x"]}', 100), (NULL, 'tree-dome', '{}', NULL);
INSERT INTO public.tasks (project_id, parent_id, title, points, during) VALUES (1, NULL, 'Plan the reef', 3, '[2024-01-01, 2024-01-05)'), (1, 1, 'Dig', 5, NULL);
INSERT INTO public.measurement VALUES (1, '2024-01-01', 1.5), (2, '2024-01-02', 2.5), (3, '2024-01-02', 4);
INSERT INTO public.employee (type, name) VALUES ('engineer', 'Kim'), ('employee', 'Lou');
INSERT INTO public.engineer VALUES (1, 'python');
INSERT INTO public.alembic_version VALUES ('ae1027a6acf');
--- case: ORM select with labels and a VARCHAR cast
--- verdict: read
--- reads: public.users
SELECT users.id AS users_id, users.name AS users_name, users.fullname AS users_fullname
FROM users
WHERE users.name = $1::VARCHAR
 LIMIT $2::INTEGER
--- case: joined eager loading wraps the limited query in anon_1
--- verdict: read
--- reads: public.addresses public.users
SELECT anon_1.users_id, anon_1.users_name, addresses_1.id AS addresses_1_id, addresses_1.email_address
FROM (SELECT users.id AS users_id, users.name AS users_name FROM users ORDER BY users.name
 LIMIT 10 OFFSET 0) AS anon_1 LEFT OUTER JOIN addresses AS addresses_1 ON anon_1.users_id = addresses_1.user_id ORDER BY anon_1.users_name, addresses_1.id
--- case: selectin loading of a collection
--- verdict: read
--- reads: public.addresses
SELECT addresses.user_id AS addresses_user_id, addresses.id AS addresses_id, addresses.email_address AS addresses_email_address FROM addresses WHERE addresses.user_id IN (1, 2) ORDER BY addresses.id
--- case: empty IN that compares with an impossible select
--- verdict: read
--- reads: public.users
SELECT users.id FROM users WHERE users.id IN (SELECT CAST(NULL AS INTEGER) WHERE 1!=1)
--- case: with_polymorphic joined inheritance
--- verdict: read
--- reads: public.employee public.engineer
SELECT employee_1.id, employee_1.type, employee_1.name, engineer_1.id AS id_1, engineer_1.language FROM employee AS employee_1 LEFT OUTER JOIN engineer AS engineer_1 ON engineer_1.id = employee_1.id WHERE employee_1.type IN ('engineer')
--- case: recursive CTE of subtasks named like a table
--- verdict: read
--- reads: public.tasks
WITH RECURSIVE users(id, title, depth) AS
(SELECT tasks.id AS id, tasks.title AS title, 0 AS depth FROM tasks WHERE tasks.parent_id IS NULL UNION ALL SELECT tasks_1.id, tasks_1.title, users.depth + 1 FROM tasks AS tasks_1 JOIN users ON tasks_1.parent_id = users.id)
 SELECT users.id, users.depth FROM users ORDER BY users.depth
--- case: lateral correlation to the latest two
--- verdict: read
--- reads: public.projects public.tasks
SELECT projects.name, anon_1.title FROM projects LEFT OUTER JOIN LATERAL (SELECT tasks.title AS title FROM tasks WHERE tasks.project_id = projects.id ORDER BY tasks.points DESC NULLS LAST LIMIT 2) AS anon_1 ON true
--- case: window functions over a named frame
--- verdict: read
--- reads: public.tasks
SELECT tasks.id, sum(tasks.points) OVER (PARTITION BY tasks.project_id ORDER BY tasks.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running, lag(tasks.points, 1, 0) OVER (ORDER BY tasks.id) AS previous, percent_rank() OVER (ORDER BY tasks.points) AS pr FROM tasks
--- case: VALUES construct joined as data
--- verdict: read
--- reads: public.users
SELECT users.id, my_values.label FROM users JOIN (VALUES (1, 'first'), (2, 'second')) AS my_values (id, label) ON users.id = my_values.id
--- case: JSONB index and path operators
--- verdict: read
--- reads: public.projects
SELECT (projects.config -> 'color') ->> 'main' AS main, projects.config #>> '{tags, 0}' AS tag FROM projects WHERE projects.config ? 'color' AND (projects.config @> '{"tags": ["x"]}'::JSONB) AND jsonb_array_length(projects.config -> 'tags') > 0
--- case: range contains with a bound constant
--- verdict: read
--- reads: public.tasks
SELECT tasks.id, lower(tasks.during) AS since FROM tasks WHERE tasks.during @> '2024-01-02 00:00:00'::TIMESTAMP WITHOUT TIME ZONE OR tasks.during && '[2024-02-01, 2024-02-02)'::TSRANGE
--- case: generated search vector matched to a web query
--- verdict: read
--- reads: public.tasks
SELECT tasks.title, ts_headline('english', tasks.title, websearch_to_tsquery('english', 'plan -dig')) AS headline FROM tasks WHERE tasks.search @@ websearch_to_tsquery('english', 'plan -dig')
--- case: immutable function of the schema by func
--- verdict: read
--- reads: public.users
SELECT initials(users.fullname) AS initials_1, count(users.id) AS count_1 FROM users GROUP BY initials(users.fullname) HAVING bool_and(users.name != 'root')
--- case: domain cast
--- verdict: read
--- reads: public.projects
SELECT projects.id FROM projects WHERE projects.name = CAST('tree-dome' AS slug)
--- case: grouping sets with array_agg and string_agg
--- verdict: read
--- reads: public.tasks
SELECT tasks.project_id, tasks.status, array_agg(tasks.id ORDER BY tasks.id) AS ids, string_agg(tasks.title, ', ' ORDER BY tasks.title) AS titles, grouping(tasks.status) AS g FROM tasks GROUP BY GROUPING SETS ((tasks.project_id, tasks.status), (tasks.project_id), ())
--- case: except of two selects in a scalar subquery
--- verdict: read
--- reads: public.projects public.users
SELECT (SELECT count(*) FROM (SELECT users.id FROM users EXCEPT SELECT projects.owner_id FROM projects) AS anon_1) AS without_project
--- case: view upon a view
--- verdict: read
--- reads: public.projects public.tasks public.users
SELECT busy_projects.name, busy_projects.owner FROM busy_projects
--- case: sub-partitioned branch with its ancestors and leaves
--- verdict: read
--- reads: public.measurement public.measurement_rest public.measurement_rest_0 public.measurement_rest_1
SELECT to_char(measurement_rest.at, 'YYYY-MM') AS month, avg(measurement_rest.value) AS avg_1 FROM measurement_rest GROUP BY to_char(measurement_rest.at, 'YYYY-MM')
--- case: row to json of a subquery
--- verdict: read
--- reads: public.addresses public.users
SELECT row_to_json(anon_1) AS j FROM (SELECT users.name AS name, (SELECT json_agg(addresses.email_address) FROM addresses WHERE addresses.user_id = users.id) AS emails FROM users) AS anon_1
--- case: alembic asks for the current heads
--- verdict: read
--- reads: public.alembic_version
SELECT alembic_version.version_num FROM alembic_version
--- case: func.now in a comparison
--- verdict: unstable
--- reads: public.users
--- reason: calls the stable function now
SELECT users.id FROM users WHERE users.created >= now() - CAST('1 hour' AS INTERVAL)
--- case: the server at the first connect
--- verdict: unstable
--- reason: calls the stable function version
select pg_catalog.version()
--- case: schema at the first connect
--- verdict: unstable
--- reason: calls the stable function current_schema
select current_schema()
--- case: xmin as a version counter
--- verdict: unstable
--- reads: public.projects
--- reason: reads the system column xmin
SELECT projects.id, projects.name, projects.xmin FROM projects WHERE projects.id = 1
--- case: has_table
--- verdict: opaque
--- reason: system relation
SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = 'users' AND pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog'
--- case: with_for_update of a key share
--- verdict: opaque
--- reason: FOR KEY SHARE
SELECT users.id, users.name FROM users WHERE users.id = 1 FOR KEY SHARE NOWAIT
--- case: volatile function of the schema by func
--- verdict: opaque
--- reason: the volatile function
--- writes: anything
SELECT touch(users.id) AS touch_1 FROM users
--- case: sequence executed on its own
--- verdict: opaque
--- reason: nextval
select nextval('"users_id_seq"')
--- case: insertmanyvalues keeps its order by a sentinel
--- verdict: write
--- writes: public.users
--- reason: writes to public.users
INSERT INTO users (name, fullname) SELECT p0::VARCHAR, p1::VARCHAR FROM (VALUES ($1, $2, 0), ($3, $4, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING users.id, users.id AS id__1
--- case: bulk update by a VALUES list
--- verdict: write
--- writes: public.addresses
--- reason: writes to public.addresses
UPDATE addresses SET email_address=v.e FROM (VALUES (1, 'a@example.org'), (2, 'b@example.org')) AS v (id, e) JOIN users ON users.name <> v.e WHERE addresses.id = v.id RETURNING addresses.id
--- case: CTE deletes and the select counts
--- verdict: write
--- writes: public.addresses
--- reason: writes to public.addresses
WITH gone AS (DELETE FROM addresses WHERE addresses.email_address LIKE '%@old.org' RETURNING addresses.user_id) SELECT count(*) AS count_1 FROM gone JOIN users ON users.id = gone.user_id
--- case: delete of a user reaches a trigger three cascades away
--- verdict: write
--- writes: anything
--- reason: may write to public.task_log, which has triggers
DELETE FROM users WHERE users.id = 2 RETURNING users.name
--- case: insert from select with a rule on the target
--- verdict: write
--- writes: anything
--- reason: may write to public.settings_old, which has rules
INSERT INTO settings_old (k, v) SELECT users.name, users.fullname FROM users
--- case: insert of a task runs no trigger of the log
--- verdict: write
--- writes: public.tasks
--- reason: writes to public.tasks
INSERT INTO tasks (project_id, title, status) VALUES (1, 'Fill', 'todo'::task_status) ON CONFLICT (id) DO NOTHING RETURNING tasks.id
--- case: insert into a leaf partition
--- verdict: write
--- writes: public.measurement public.measurement_rest public.measurement_rest_0
--- reason: writes to public.measurement_rest_0
INSERT INTO measurement_rest_0 (device, at, value) VALUES ($1::INTEGER, $2::TIMESTAMP WITHOUT TIME ZONE, $3::FLOAT)
--- case: joined-table delete orders child first
--- verdict: write
--- writes: public.engineer
--- reason: writes to public.engineer
DELETE FROM engineer USING employee WHERE engineer.id = employee.id AND employee.name = 'Kim'
--- case: temporary table of a batch
--- verdict: session
--- reason: makes a temporary relation, which only its session sees
CREATE TEMPORARY TABLE batch_ids (id INTEGER NOT NULL) ON COMMIT DROP
--- case: rollback to a nested savepoint
--- verdict: session
--- reason: controls the transaction
ROLLBACK TO SAVEPOINT sa_savepoint_1
--- case: isolation level of the whole connection
--- verdict: session
--- reason: shows a setting
SHOW default_transaction_isolation
--- case: alembic alters a type with USING
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE tasks ALTER COLUMN points TYPE BIGINT USING points::bigint
