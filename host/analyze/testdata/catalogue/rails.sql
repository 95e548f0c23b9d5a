-- The shapes Active Record sends: "t"."col".* lists, marginalia comments, polymorphic associations, preload by IN,
-- insert_all and upsert_all, advisory locks around migrations, job queues, and the long introspection at connect.
--- setup
CREATE TABLE public.users (
    id bigserial PRIMARY KEY,
    email varchar NOT NULL,
    encrypted_password varchar NOT NULL DEFAULT '',
    name varchar,
    settings jsonb NOT NULL DEFAULT '{}',
    role integer NOT NULL DEFAULT 0,
    deleted_at timestamp(6),
    created_at timestamp(6) NOT NULL DEFAULT now(),
    updated_at timestamp(6) NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX index_users_on_lower_email ON public.users (lower(email));
CREATE TABLE public.blogs (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES public.users (id), title varchar NOT NULL, posts_count integer NOT NULL DEFAULT 0);
CREATE TABLE public.posts (
    id bigserial PRIMARY KEY,
    blog_id bigint NOT NULL REFERENCES public.blogs (id) ON DELETE CASCADE,
    author_id bigint REFERENCES public.users (id) ON DELETE SET NULL,
    type varchar,
    title varchar NOT NULL,
    body text,
    tags varchar[] NOT NULL DEFAULT '{}',
    lock_version integer NOT NULL DEFAULT 0,
    published_at timestamp(6)
);
CREATE TABLE public.comments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    commentable_type varchar NOT NULL,
    commentable_id bigint NOT NULL,
    post_id bigint REFERENCES public.posts (id) ON DELETE CASCADE,
    user_id bigint REFERENCES public.users (id),
    body text NOT NULL
);
CREATE TABLE public.categories (id bigserial PRIMARY KEY, parent_id bigint REFERENCES public.categories (id) ON DELETE CASCADE, name varchar NOT NULL);
CREATE TABLE public.categories_posts (category_id bigint NOT NULL, post_id bigint NOT NULL);
CREATE TABLE public.schema_migrations (version varchar PRIMARY KEY);
CREATE TABLE public.ar_internal_metadata (key varchar PRIMARY KEY, value varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
CREATE TABLE public.good_jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), queue_name text, priority integer, serialized_params jsonb, scheduled_at timestamp(6), finished_at timestamp(6));
CREATE TABLE public.page_views (id bigserial, path varchar NOT NULL, viewed_on date NOT NULL, hits integer NOT NULL DEFAULT 1, PRIMARY KEY (path, viewed_on)) PARTITION BY RANGE (viewed_on);
CREATE TABLE public.page_views_2024_01 PARTITION OF public.page_views FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE public.page_views_2024_02 PARTITION OF public.page_views FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE MATERIALIZED VIEW public.author_stats AS SELECT author_id, count(*) AS posts_count FROM public.posts GROUP BY author_id;
CREATE VIEW public.recent_posts AS SELECT id, title, published_at FROM public.posts WHERE published_at > now() - interval '7 days';
CREATE TABLE public.vaults (id bigserial PRIMARY KEY, tenant text NOT NULL, secret text);
ALTER TABLE public.vaults ENABLE ROW LEVEL SECURITY;
CREATE POLICY vaults_tenant ON public.vaults USING (tenant = current_setting('app.tenant', true));
INSERT INTO public.users (email, name) VALUES ('ann@example.org', 'Ann'), ('ben@example.org', NULL);
INSERT INTO public.blogs (user_id, title) VALUES (1, 'Trains');
INSERT INTO public.posts (blog_id, author_id, type, title, tags) VALUES (1, 1, 'Essay', 'Steam', '{old,iron}'), (1, 2, NULL, 'Diesel', '{}');
INSERT INTO public.comments (commentable_type, commentable_id, post_id, body) VALUES ('Post', 1, 1, 'Nice');
INSERT INTO public.categories (parent_id, name) VALUES (NULL, 'All'), (1, 'Rail');
INSERT INTO public.categories_posts VALUES (2, 1);
INSERT INTO public.page_views (path, viewed_on) VALUES ('/', '2024-01-03'), ('/', '2024-02-03');
INSERT INTO public.schema_migrations VALUES ('20240101000000');
--- case: find by a primary key with bound limit
--- verdict: read
--- reads: public.users
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2
--- case: exists? selects one AS one, annotated by the query log
--- verdict: read
--- reads: public.users
SELECT 1 AS one FROM "users" WHERE LOWER("users"."email") = LOWER('ANN@example.org') AND "users"."deleted_at" IS NULL LIMIT 1 /*application='Blog',controller='sessions',action='create'*/
--- case: sqlcommenter tags in front hold the words of a write
--- verdict: read
--- reads: public.blogs
/*action='delete%20from%20users; DROP TABLE posts',framework='rails'*/ SELECT "blogs"."id", "blogs"."title" FROM "blogs" ORDER BY "blogs"."id" DESC LIMIT 1
--- case: eager_load names its columns t0_r0
--- verdict: read
--- reads: public.blogs public.posts public.users
SELECT "blogs"."id" AS t0_r0, "blogs"."title" AS t0_r1, "posts"."id" AS t1_r0, "posts"."title" AS t1_r1, "users"."id" AS t2_r0, "users"."name" AS t2_r1 FROM "blogs" LEFT OUTER JOIN "posts" ON "posts"."blog_id" = "blogs"."id" LEFT OUTER JOIN "users" ON "users"."id" = "posts"."author_id" WHERE "blogs"."id" IN (1, 2) ORDER BY "blogs"."id" ASC
--- case: polymorphic preload
--- verdict: read
--- reads: public.comments
SELECT "comments".* FROM "comments" WHERE "comments"."commentable_type" = $1 AND "comments"."commentable_id" IN ($2, $3, $4, $5)
--- case: has_and_belongs_to_many loaded through the join table alone
--- verdict: read
--- reads: public.categories_posts
SELECT "categories_posts".* FROM "categories_posts" WHERE "categories_posts"."post_id" = 1
--- case: single table inheritance by type, aliased users_blogs
--- verdict: read
--- reads: public.blogs public.posts public.users
SELECT "posts".* FROM "posts" INNER JOIN "users" ON "users"."id" = "posts"."author_id" INNER JOIN "blogs" ON "blogs"."id" = "posts"."blog_id" INNER JOIN "users" "users_blogs" ON "users_blogs"."id" = "blogs"."user_id" WHERE "posts"."type" IN ('Essay', 'Review') AND "users_blogs"."role" = 0
--- case: pluck with an array overlap
--- verdict: read
--- reads: public.posts
SELECT "posts"."id", array_to_string(tags, ',') FROM "posts" WHERE (tags && ARRAY['iron','coal']::varchar[]) AND NOT ('draft' = ANY (tags))
--- case: distinct ids of a page that is then loaded
--- verdict: read
--- reads: public.comments public.posts
SELECT DISTINCT "posts"."title" AS alias_0, "posts"."id" FROM "posts" LEFT OUTER JOIN "comments" ON "comments"."commentable_id" = "posts"."id" AND "comments"."commentable_type" = 'Post' ORDER BY "posts"."title" ASC LIMIT 20 OFFSET 0
--- case: calculation grouped by a truncated timestamp
--- verdict: read
--- reads: public.posts
SELECT COUNT(*) AS "count_all", DATE_TRUNC('week', "posts"."published_at"::timestamptz AT TIME ZONE 'Etc/UTC')::date AS "week" FROM "posts" WHERE "posts"."published_at" IS NOT NULL GROUP BY DATE_TRUNC('week', "posts"."published_at"::timestamptz AT TIME ZONE 'Etc/UTC')::date
--- case: where.missing with a subquery and an or
--- verdict: read
--- reads: public.comments public.posts
SELECT COUNT(*) FROM "posts" LEFT OUTER JOIN "comments" ON "comments"."post_id" = "posts"."id" WHERE ("comments"."id" IS NULL OR "posts"."id" IN (SELECT "comments"."commentable_id" FROM "comments" WHERE "comments"."commentable_type" = 'Post' GROUP BY "comments"."commentable_id" HAVING (COUNT(*) > 3)))
--- case: with_recursive walks a tree of categories
--- verdict: read
--- reads: public.categories public.categories_posts
WITH RECURSIVE "tree" AS ((SELECT "categories".* FROM "categories" WHERE "categories"."parent_id" IS NULL) UNION ALL (SELECT "categories".* FROM "categories" JOIN tree ON categories.parent_id = tree.id)) SELECT "tree".*, (SELECT COUNT(*) FROM "categories_posts" WHERE "categories_posts"."category_id" = "tree"."id") AS "posts_count" FROM "tree"
--- case: a materialized view behind a read-only model
--- verdict: read
--- reads: public.author_stats
SELECT "author_stats".* FROM "author_stats" WHERE "author_stats"."posts_count" BETWEEN 1 AND 10
--- case: a partition addressed by name
--- verdict: read
--- reads: public.page_views public.page_views_2024_01
SELECT SUM("page_views_2024_01"."hits") FROM "page_views_2024_01" WHERE "page_views_2024_01"."path" = '/'
--- case: a settings store filtered by a key and cast to an integer
--- verdict: read
--- reads: public.users
SELECT "users"."id" FROM "users" WHERE (settings ->> 'theme' = 'dark' OR COALESCE((settings ->> 'size')::integer, 0) > 12) AND "users"."created_at" BETWEEN '2020-01-01 00:00:00' AND '2030-01-01 00:00:00'
--- case: a view that compares with the clock
--- verdict: unstable
--- reads: public.posts
--- reason: reads the view public.recent_posts, which calls the stable function now
SELECT "recent_posts".* FROM "recent_posts" ORDER BY "recent_posts"."published_at" DESC
--- case: a scope with a literal today
--- verdict: unstable
--- reads: public.page_views public.page_views_2024_01 public.page_views_2024_02
--- reason: holds a text that, read as a date or time, means a moment of the clock
SELECT "page_views".* FROM "page_views" WHERE "page_views"."viewed_on" < 'today'
--- case: lock! of one record
--- verdict: opaque
--- reason: locks rows
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2 FOR UPDATE
--- case: a tenant's vault under row level security
--- verdict: opaque
--- reason: row security
SELECT "vaults".* FROM "vaults" WHERE "vaults"."id" = 1
--- case: the migration's advisory lock
--- verdict: opaque
--- reason: advisory
SELECT pg_try_advisory_lock(4190218730271983745)
--- case: a job locked by an advisory lock in a materialized CTE
--- verdict: opaque
--- reason: advisory
SELECT "good_jobs".* FROM "good_jobs" WHERE "good_jobs"."id" IN (WITH "rows" AS MATERIALIZED (SELECT "good_jobs"."id" FROM "good_jobs" WHERE "good_jobs"."finished_at" IS NULL ORDER BY "good_jobs"."priority" ASC NULLS LAST) SELECT "rows"."id" FROM "rows" WHERE pg_try_advisory_lock(('x' || substr(md5('good_jobs' || '-' || "rows"."id"::text), 1, 16))::bit(64)::bigint) LIMIT 1)
--- case: a broadcast through pg_notify
--- verdict: opaque
--- reason: pg_notify
SELECT pg_notify('cable', '{"room": 1}')
--- case: the types loaded at connect
--- verdict: opaque
--- reason: system relation
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'jsonb')
--- case: the columns of a table
--- verdict: opaque
--- reason: system relation
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, col_description(a.attrelid, a.attnum) AS comment FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '"users"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
--- case: insert with a RETURNING of a uuid default
--- verdict: write
--- writes: public.comments
--- reason: writes to public.comments
INSERT INTO "comments" ("commentable_type", "commentable_id", "post_id", "body") VALUES ($1, $2, $3, $4) RETURNING "id"
--- case: upsert_all touches updated_at only where something changed
--- verdict: write
--- writes: public.comments public.posts public.users
--- reason: writes to public.users
INSERT INTO "users" ("id", "email", "name") VALUES (1, 'ann@example.org', 'Anna') ON CONFLICT ("id") DO UPDATE SET updated_at = (CASE WHEN ("users"."name" IS NOT DISTINCT FROM excluded."name") THEN "users".updated_at ELSE CURRENT_TIMESTAMP END), "name" = excluded."name" RETURNING "id"
--- case: optimistic locking by lock_version
--- verdict: write
--- writes: public.comments public.posts
--- reason: writes to public.posts
UPDATE "posts" SET "title" = 'Electric', "lock_version" = 1 WHERE "posts"."id" = 2 AND "posts"."lock_version" = 0
--- case: counter cache of a blog cascades two levels
--- verdict: write
--- writes: public.blogs public.comments public.posts
--- reason: writes to public.blogs
UPDATE "blogs" SET "posts_count" = COALESCE("posts_count", 0) + 1 WHERE "blogs"."id" = 1
--- case: delete of a self-referencing category
--- verdict: write
--- writes: public.categories
--- reason: writes to public.categories
DELETE FROM "categories" WHERE "categories"."id" = 2
--- case: partitioned upsert of a counter
--- verdict: write
--- writes: public.page_views public.page_views_2024_01 public.page_views_2024_02
--- reason: writes to public.page_views
INSERT INTO "page_views" ("path", "viewed_on") VALUES ('/about', '2024-02-10') ON CONFLICT ("path", "viewed_on") DO UPDATE SET "hits" = "page_views"."hits" + 1
--- case: database cleaner truncates with cascade over every key
--- verdict: write
--- writes: public.blogs public.comments public.posts public.users
--- reason: writes to public.users
TRUNCATE TABLE "users" RESTART IDENTITY CASCADE
--- case: scenic refreshes a materialized view
--- verdict: write
--- writes: public.author_stats
--- reason: writes to public.author_stats
REFRESH MATERIALIZED VIEW "author_stats"
--- case: messages below warning are silenced
--- verdict: session
--- reason: changes a setting
SET client_min_messages TO 'warning'
--- case: the session's time zone for the whole connection
--- verdict: session
--- reason: changes a setting
SET SESSION timezone TO 'UTC'
--- case: a nested transaction is released
--- verdict: session
--- reason: controls the transaction
RELEASE SAVEPOINT active_record_1
--- case: schema load disables triggers
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE "comments" DISABLE TRIGGER ALL
--- case: explain with analyze of a relation
--- verdict: opaque
--- reason: EXPLAIN
EXPLAIN (ANALYZE, VERBOSE) SELECT "posts".* FROM "posts" WHERE "posts"."blog_id" = 1
