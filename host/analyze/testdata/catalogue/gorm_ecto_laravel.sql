-- The shapes GORM (Go), Ecto (Elixir) and Laravel's Eloquent (PHP) send: soft deletes, aliases u0 and s1, = ANY($1),
-- "laravel_reserved_0", pivot columns, insert_all with conflict targets, queues, migration locks and migrators.
--- setup
CREATE TABLE public.users (id bigserial PRIMARY KEY, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz, name text NOT NULL, email text UNIQUE, meta jsonb DEFAULT '{}');
CREATE INDEX idx_users_deleted_at ON public.users (deleted_at);
CREATE TABLE public.credit_cards (id bigserial PRIMARY KEY, user_id bigint CONSTRAINT fk_users_credit_cards REFERENCES public.users (id) ON UPDATE CASCADE ON DELETE SET NULL, number text, deleted_at timestamptz);
CREATE TABLE public.languages (code text PRIMARY KEY, name text);
CREATE TABLE public.user_languages (user_id bigint NOT NULL REFERENCES public.users (id), language_code text NOT NULL REFERENCES public.languages (code), PRIMARY KEY (user_id, language_code));
CREATE SCHEMA tenant_a;
CREATE TABLE tenant_a.accounts (id uuid PRIMARY KEY, name varchar(255), inserted_at timestamp(0) NOT NULL, updated_at timestamp(0) NOT NULL);
CREATE TABLE tenant_a.memberships (id uuid PRIMARY KEY, account_id uuid NOT NULL REFERENCES tenant_a.accounts (id) ON DELETE CASCADE, role varchar(255) NOT NULL DEFAULT 'member', tags varchar(255)[] NOT NULL DEFAULT '{}', inserted_at timestamp(0) NOT NULL DEFAULT '2024-01-01 00:00:00');
CREATE TABLE tenant_a.invites (id bigserial PRIMARY KEY, membership_id uuid REFERENCES tenant_a.memberships (id) ON DELETE SET DEFAULT, token bytea);
CREATE TABLE tenant_a.readings (account_id uuid NOT NULL, at timestamp NOT NULL, kwh numeric(10, 3) NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE tenant_a.readings_2023 PARTITION OF tenant_a.readings FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE tenant_a.readings_2024 PARTITION OF tenant_a.readings FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE public.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));
CREATE TABLE public.oban_jobs (id bigserial PRIMARY KEY, state text NOT NULL DEFAULT 'available', queue text NOT NULL DEFAULT 'default', worker text NOT NULL, args jsonb NOT NULL DEFAULT '{}', attempt integer NOT NULL DEFAULT 0, scheduled_at timestamp NOT NULL DEFAULT timezone('UTC', now()), attempted_at timestamp);
CREATE TABLE public.articles (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES public.users (id) ON DELETE CASCADE, title varchar(255) NOT NULL, options json, score integer NOT NULL DEFAULT 0, published_at timestamp(0));
CREATE TABLE public.taggables (tag_id bigint NOT NULL, taggable_id bigint NOT NULL, taggable_type varchar(255) NOT NULL);
CREATE TABLE public.tags (id bigserial PRIMARY KEY, name varchar(255) NOT NULL);
CREATE TABLE public.jobs (id bigserial PRIMARY KEY, queue varchar(255) NOT NULL, payload text NOT NULL, attempts smallint NOT NULL, reserved_at integer, available_at integer NOT NULL, created_at integer NOT NULL);
CREATE TABLE public.cache (key varchar(255) PRIMARY KEY, value text NOT NULL, expiration integer NOT NULL);
CREATE TABLE public.migrations (id serial PRIMARY KEY, migration varchar(255) NOT NULL, batch integer NOT NULL);
CREATE FUNCTION public.scrub(t text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO public.cache VALUES (t, t, 0) ON CONFLICT DO NOTHING; RETURN lower(t); END $$;
CREATE VIEW public.active_users AS SELECT id, name, email FROM public.users WHERE deleted_at IS NULL;
CREATE VIEW public.stale_cache AS SELECT key FROM public.cache WHERE expiration < extract(epoch FROM now());
INSERT INTO public.users (created_at, name, email, meta) VALUES ('2024-01-01 00:00:00+00', 'jinzhu', 'j@example.org', '{"plan": "pro"}'), ('2024-01-02 00:00:00+00', 'josé', NULL, '{}');
INSERT INTO public.credit_cards (user_id, number) VALUES (1, '4111');
INSERT INTO public.languages VALUES ('en', 'English'), ('pt', 'Português');
INSERT INTO public.user_languages VALUES (1, 'en'), (2, 'pt');
INSERT INTO tenant_a.accounts VALUES ('00000000-0000-4000-8000-0000000000a1', 'North', '2024-01-01 00:00:00', '2024-01-01 00:00:00');
INSERT INTO tenant_a.memberships (id, account_id, tags) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', '{x,y}');
INSERT INTO tenant_a.readings VALUES ('00000000-0000-4000-8000-0000000000a1', '2023-06-01 10:00:00', 1.25), ('00000000-0000-4000-8000-0000000000a1', '2024-06-01 10:00:00', 2);
INSERT INTO public.articles (user_id, title, options, score) VALUES (1, 'Hello', '{"lang": "en", "pins": [1, 2]}', 4);
INSERT INTO public.tags (name) VALUES ('news');
INSERT INTO public.taggables VALUES (1, 1, 'App\Models\Article');
INSERT INTO public.oban_jobs (worker) VALUES ('Mailer');
INSERT INTO public.jobs (queue, payload, attempts, available_at, created_at) VALUES ('default', '{}', 0, 1700000000, 1700000000);
INSERT INTO public.cache VALUES ('a', 'b', 2000000000);
--- case: gorm First orders by the key and skips soft deleted rows
--- verdict: read
--- reads: public.users
SELECT * FROM "users" WHERE name = $1 AND "users"."deleted_at" IS NULL ORDER BY "users"."id" LIMIT $2
--- case: gorm Joins names columns Company__Name
--- verdict: read
--- reads: public.credit_cards public.users
SELECT "credit_cards"."id","credit_cards"."number","User"."id" AS "User__id","User"."name" AS "User__name" FROM "credit_cards" LEFT JOIN "users" "User" ON "credit_cards"."user_id" = "User"."id" AND "User"."deleted_at" IS NULL WHERE "credit_cards"."deleted_at" IS NULL
--- case: gorm Preload of a join table by pairs
--- verdict: read
--- reads: public.user_languages
SELECT * FROM "user_languages" WHERE ("user_languages"."user_id","user_languages"."language_code") IN ((1,'en'),(2,'pt'))
--- case: gorm subquery in FROM with an average in HAVING
--- verdict: read
--- reads: public.articles public.users
SELECT u.name, avg(a.score) AS avg_score FROM (SELECT "id","name" FROM "users" WHERE "users"."deleted_at" IS NULL) AS u JOIN articles a ON a.user_id = u.id GROUP BY u.name HAVING avg(a.score) > (SELECT avg(score) FROM "articles" WHERE score >= 0)
--- case: gorm JSON query has a key
--- verdict: read
--- reads: public.users
SELECT * FROM "users" WHERE "meta"::jsonb ? 'plan' AND json_extract_path_text("meta"::json,'plan') = 'pro' AND "users"."deleted_at" IS NULL
--- case: gorm Save of an existing user reaches set null and cascade
--- verdict: write
--- writes: public.articles public.credit_cards public.users
--- reason: writes to public.users
UPDATE "users" SET "updated_at"='2024-06-01 00:00:00.123',"name"='jin' WHERE "users"."deleted_at" IS NULL AND "id" = 1
--- case: gorm association saved with a nested conflict update
--- verdict: write
--- writes: public.credit_cards
--- reason: writes to public.credit_cards
INSERT INTO "credit_cards" ("user_id","number","deleted_at") VALUES (1,'4242',NULL),(2,'5555',NULL) ON CONFLICT ("id") DO UPDATE SET "user_id"="excluded"."user_id" RETURNING "id"
--- case: gorm insert of pivot rows that may exist
--- verdict: write
--- writes: public.user_languages
--- reason: writes to public.user_languages
INSERT INTO "user_languages" ("user_id","language_code") VALUES ($1,$2) ON CONFLICT DO NOTHING RETURNING "user_languages"."user_id"
--- case: gorm Unscoped delete of a language has no cascade
--- verdict: write
--- writes: public.languages
--- reason: writes to public.languages
DELETE FROM "languages" WHERE code IN ('xx','yy') RETURNING "code"
--- case: gorm migrator counts tables
--- verdict: opaque
--- reason: reads the system relation information_schema.tables
SELECT count(*) FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA() AND table_name = 'users' AND table_type = 'BASE TABLE'
--- case: gorm migrator adds a column if it misses
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE "users" ADD IF NOT EXISTS "age" bigint
--- case: ecto prefix and uuid list
--- verdict: read
--- reads: tenant_a.accounts
SELECT a0."id", a0."name", a0."inserted_at", a0."updated_at" FROM "tenant_a"."accounts" AS a0 WHERE (a0."id" = ANY($1::uuid[]))
--- case: ecto subquery alias s1 with a lateral inner join
--- verdict: read
--- reads: tenant_a.accounts tenant_a.memberships
SELECT a0."name", s1."role" FROM "tenant_a"."accounts" AS a0 INNER JOIN LATERAL (SELECT sm0."role" AS "role" FROM "tenant_a"."memberships" AS sm0 WHERE (sm0."account_id" = a0."id") ORDER BY sm0."inserted_at" DESC LIMIT 1) AS s1 ON TRUE
--- case: ecto exists with parent_as and a value in an array
--- verdict: read
--- reads: tenant_a.accounts tenant_a.memberships
SELECT TRUE FROM "tenant_a"."accounts" AS a0 WHERE (exists((SELECT 1 AS "result" FROM "tenant_a"."memberships" AS sm0 WHERE (sm0."account_id" = a0."id") AND ('x' = ANY(sm0."tags"))))) LIMIT 1
--- case: ecto datetime_add on a column and a cast of a literal
--- verdict: read
--- reads: tenant_a.memberships
SELECT count(m0."id") FROM "tenant_a"."memberships" AS m0 WHERE (m0."inserted_at"::timestamp + interval '1 day' >= '2024-01-01 12:00:00'::timestamp)
--- case: ecto window of a partitioned table
--- verdict: read
--- reads: tenant_a.readings tenant_a.readings_2023 tenant_a.readings_2024
SELECT r0."at", sum(r0."kwh") OVER "by_account", first_value(r0."kwh") OVER "by_account" FROM "tenant_a"."readings" AS r0 WINDOW "by_account" AS (PARTITION BY r0."account_id" ORDER BY r0."at") ORDER BY r0."at"
--- case: ecto union of partitions, one each
--- verdict: read
--- reads: tenant_a.readings tenant_a.readings_2023 tenant_a.readings_2024
SELECT r0."kwh" FROM "tenant_a"."readings_2023" AS r0 UNION (SELECT r0."kwh" FROM "tenant_a"."readings_2024" AS r0) ORDER BY 1
--- case: ecto fragment with the clock of the server
--- verdict: unstable
--- reads: tenant_a.memberships
--- reason: calls the volatile function clock_timestamp
SELECT m0."id" FROM "tenant_a"."memberships" AS m0 WHERE (m0."inserted_at" > clock_timestamp() - make_interval(days => 7))
--- case: ecto reads its migrations
--- verdict: read
--- reads: public.schema_migrations
SELECT s0."version"::bigint FROM "schema_migrations" AS s0
--- case: ecto locks its migrations
--- verdict: session
--- reason: changes no rows
LOCK TABLE "schema_migrations" IN SHARE UPDATE EXCLUSIVE MODE
--- case: ecto locks its migrations by an advisory lock
--- verdict: opaque
--- reason: calls the function pg_advisory_xact_lock, which does more than read
SELECT pg_advisory_xact_lock(5708217, hashtext('ecto'))
--- case: ecto insert_all with replace_all_except reaches two cascades
--- verdict: write
--- writes: tenant_a.accounts tenant_a.invites tenant_a.memberships
--- reason: writes to tenant_a.accounts
INSERT INTO "tenant_a"."accounts" AS a0 ("id","name","inserted_at","updated_at") VALUES ($1,$2,$3,$4) ON CONFLICT ("id") DO UPDATE SET "name" = EXCLUDED."name","updated_at" = CASE WHEN a0."name" = EXCLUDED."name" THEN a0."updated_at" ELSE EXCLUDED."updated_at" END
--- case: ecto delete_all with a join by USING
--- verdict: write
--- writes: tenant_a.invites
--- reason: writes to tenant_a.invites
DELETE FROM "tenant_a"."invites" AS i0 USING "tenant_a"."memberships" AS m1 WHERE (m1."id" = i0."membership_id") AND (m1."role" = 'guest')
--- case: oban fetches jobs by an update over a locked CTE
--- verdict: write
--- writes: public.oban_jobs
--- reason: writes to public.oban_jobs
WITH "subset" AS MATERIALIZED (SELECT so0."id" AS "id" FROM "public"."oban_jobs" AS so0 WHERE (so0."state" = 'available') AND (so0."queue" = 'default') ORDER BY so0."scheduled_at", so0."id" LIMIT 10 FOR UPDATE SKIP LOCKED) UPDATE "public"."oban_jobs" AS o0 SET "state" = 'executing', "attempted_at" = timezone('UTC', now()), "attempt" = o0."attempt" + 1 FROM "subset" AS f1 WHERE (o0."id" = f1."id") RETURNING o0."id", o0."worker", o0."args"
--- case: postgrex streams a copy
--- verdict: opaque
--- reason: copies rows out
COPY (SELECT id, kwh FROM (SELECT account_id AS id, kwh FROM tenant_a.readings) r) TO STDOUT WITH (FORMAT csv, HEADER)
--- case: postgrex bulk loads readings
--- verdict: write
--- writes: tenant_a.readings tenant_a.readings_2023 tenant_a.readings_2024
--- reason: writes to tenant_a.readings
--- unrun: its rows are binary
COPY tenant_a.readings (account_id, at, kwh) FROM STDIN WITH (FORMAT binary)
--- case: postgrex listens
--- verdict: session
--- reason: changes no rows
LISTEN "jobs:default"
--- case: eloquent whereHas on a nested relation
--- verdict: read
--- reads: public.articles public.taggables public.tags public.users
select * from "users" where exists (select * from "articles" where "users"."id" = "articles"."user_id" and exists (select * from "tags" inner join "taggables" on "tags"."id" = "taggables"."tag_id" where "articles"."id" = "taggables"."taggable_id" and "taggables"."taggable_type" = 'App\Models\Article' and "name" = 'news')) and "users"."deleted_at" is null
--- case: eloquent pivot columns of a morph to many
--- verdict: read
--- reads: public.taggables public.tags
select "tags".*, "taggables"."taggable_id" as "pivot_taggable_id", "taggables"."tag_id" as "pivot_tag_id" from "tags" inner join "taggables" on "tags"."id" = "taggables"."tag_id" where "taggables"."taggable_id" in (1, 2, 3)
--- case: eloquent latestOfMany joins a grouped maximum
--- verdict: read
--- reads: public.articles
select "articles".* from "articles" inner join (select MAX("articles"."id") as "id_aggregate", "articles"."user_id" from "articles" where "articles"."user_id" in (1, 2) group by "articles"."user_id") as "latest" on "latest"."id_aggregate" = "articles"."id" and "latest"."user_id" = "articles"."user_id"
--- case: eloquent limited eager load by laravel_row
--- verdict: read
--- reads: public.articles
select * from (select *, row_number() over (partition by "articles"."user_id" order by "score" desc) as "laravel_row" from "articles" where "articles"."user_id" in (1, 2)) as "laravel_table" where "laravel_row" <= 2 order by "laravel_row"
--- case: eloquent json column as jsonb contains
--- verdict: read
--- reads: public.articles
select "title", "options"->>'lang' as "lang" from "articles" where ("options"->'pins')::jsonb @> '[1]' and jsonb_array_length(("options"->'pins')::jsonb) = 2
--- case: eloquent exists on a view
--- verdict: read
--- reads: public.users
select exists(select * from "active_users" where "email"::text like '%@example.org') as "exists"
--- case: eloquent whereDate and whereTime
--- verdict: read
--- reads: public.articles
select count(*) as aggregate from "articles" where "published_at"::date = '2024-01-01' and extract(month from "published_at") = 1 and "published_at" between '2024-01-01 00:00:00' and '2024-12-31 23:59:59'
--- case: eloquent inRandomOrder
--- verdict: unstable
--- reads: public.tags
--- reason: calls the volatile function random
select * from "tags" order by RANDOM() limit 1
--- case: a view with the clock inside
--- verdict: unstable
--- reads: public.cache
--- reason: reads the view public.stale_cache, which calls the stable function now
select "key" from "stale_cache"
--- case: eloquent sharedLock in an exists
--- verdict: opaque
--- reason: FOR SHARE
select * from "articles" where "user_id" in (select "id" from "users" where "name" = 'jinzhu' for share)
--- case: queue worker pops a job
--- verdict: opaque
--- reason: locks rows by FOR UPDATE
select * from "jobs" where "queue" = $1 and (("reserved_at" is null and "available_at" <= $2) or ("reserved_at" <= $3)) order by "id" asc limit 1 FOR UPDATE SKIP LOCKED
--- case: raw select of a volatile plpgsql function
--- verdict: opaque
--- reason: calls the volatile function scrub, which is not built in
--- writes: anything
select scrub("name") as clean from "users"
--- case: raw expression with a volatile function in an update
--- verdict: write
--- writes: anything
--- reason: calls the volatile function scrub, which is not built in
update "tags" set "name" = scrub("name") where "id" = 1
--- case: cache lock taken by an upsert on a leaf
--- verdict: write
--- writes: public.cache
--- reason: writes to public.cache
insert into "cache" ("expiration", "key", "value") values (1900000000, 'lock', 'me') on conflict ("key") do update set "expiration" = "excluded"."expiration", "value" = "excluded"."value"
--- case: eloquent update with a join goes by ctid
--- verdict: write
--- writes: public.articles
--- reason: writes to public.articles
update "articles" set "score" = 0 where "ctid" in (select "articles"."ctid" from "articles" inner join "users" on "users"."id" = "articles"."user_id" where "users"."deleted_at" is not null)
--- case: eloquent update writes through a simple view
--- verdict: write
--- writes: public.articles public.credit_cards public.users
--- reason: writes to public.active_users
update "active_users" set "name" = 'x' where "id" = 2
--- case: eloquent jsonb_set of an arrow path
--- verdict: write
--- writes: public.articles
--- reason: writes to public.articles
update "articles" set "options" = jsonb_set("options"::jsonb, '{"lang"}', '"fr"') where "id" = 1
--- case: PDO closes an emulated prepared statement
--- verdict: session
--- reason: drops a prepared statement
DEALLOCATE pdo_stmt_00000001
--- case: connector sets the search path
--- verdict: session
--- reason: changes a setting
set search_path to "public"
--- case: schema dump lists tables with their size
--- verdict: opaque
--- reason: reads the system relation pg_catalog.pg_class
select c.relname as name, n.nspname as schema, pg_total_relation_size(c.oid) as size, obj_description(c.oid, 'pg_class') as comment from pg_class c, pg_namespace n where c.relkind in ('r', 'p') and n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'information_schema') order by c.relname
--- case: db:wipe drops every table at once
--- verdict: schema
--- writes: anything
--- reason: changes the schema
drop table "public"."migrations","public"."jobs" cascade
