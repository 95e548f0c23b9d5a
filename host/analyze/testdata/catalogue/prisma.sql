-- The shapes Prisma's engines send: everything qualified as "public"."Model"."field", OFFSET always there, casts of
-- enums, 1=0 for empty lists, relation loading by IN or by JSONB_AGG in lateral joins, and migrate's introspection.
--- setup
CREATE TYPE public."Role" AS ENUM ('USER', 'EDITOR', 'ADMIN');
CREATE TABLE public."User" (
    "id" SERIAL PRIMARY KEY,
    "email" TEXT NOT NULL,
    "name" TEXT,
    "role" public."Role" NOT NULL DEFAULT 'USER',
    "scopes" public."Role"[] DEFAULT ARRAY[]::public."Role"[],
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX "User_email_key" ON public."User" ("email");
CREATE TABLE public."Profile" ("id" SERIAL PRIMARY KEY, "bio" TEXT, "userId" INTEGER NOT NULL UNIQUE REFERENCES public."User" ("id") ON DELETE RESTRICT ON UPDATE CASCADE);
CREATE TABLE public."Post" (
    "id" TEXT PRIMARY KEY,
    "title" TEXT NOT NULL,
    "content" TEXT,
    "published" BOOLEAN NOT NULL DEFAULT false,
    "authorId" INTEGER REFERENCES public."User" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "data" JSONB NOT NULL DEFAULT '{}',
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE public."Tag" ("id" SERIAL PRIMARY KEY, "name" TEXT NOT NULL UNIQUE);
CREATE TABLE public."_PostToTag" ("A" TEXT NOT NULL REFERENCES public."Post" ("id") ON DELETE CASCADE ON UPDATE CASCADE, "B" INTEGER NOT NULL REFERENCES public."Tag" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "_PostToTag_AB_unique" ON public."_PostToTag" ("A", "B");
CREATE TABLE public."_prisma_migrations" (id VARCHAR(36) PRIMARY KEY, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0);
CREATE SCHEMA billing;
CREATE TABLE billing."Account" ("id" UUID PRIMARY KEY DEFAULT gen_random_uuid(), "ownerId" INTEGER NOT NULL REFERENCES public."User" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION, "balance" DECIMAL(65, 30) NOT NULL DEFAULT 0);
CREATE TABLE billing."Entry" ("id" BIGSERIAL, "accountId" UUID NOT NULL REFERENCES billing."Account" ("id") ON DELETE CASCADE, "amount" BIGINT NOT NULL, "bookedOn" DATE NOT NULL, PRIMARY KEY ("id", "bookedOn")) PARTITION BY RANGE ("bookedOn");
CREATE TABLE billing."Entry_2023" PARTITION OF billing."Entry" FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE billing."Entry_2024" PARTITION OF billing."Entry" FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE VIEW public."AuthorCard" AS SELECT u."id", u."name", p."bio" FROM public."User" u LEFT JOIN public."Profile" p ON p."userId" = u."id";
INSERT INTO public."User" ("email", "name", "role", "scopes") VALUES ('ida@example.org', 'Ida', 'ADMIN', '{USER,EDITOR}'), ('jon@example.org', NULL, 'USER', '{}');
INSERT INTO public."Profile" ("bio", "userId") VALUES ('Writes.', 1);
INSERT INTO public."Post" ("id", "title", "published", "authorId", "data") VALUES ('ck1', 'First', true, 1, '{"views": 7, "tags": ["a", "b"]}'), ('ck2', 'Second', false, NULL, '{}');
INSERT INTO public."Tag" ("name") VALUES ('go'), ('sql');
INSERT INTO public."_PostToTag" VALUES ('ck1', 1), ('ck1', 2);
INSERT INTO billing."Account" ("id", "ownerId") VALUES ('00000000-0000-4000-8000-00000000000a', 1);
INSERT INTO billing."Entry" ("accountId", "amount", "bookedOn") VALUES ('00000000-0000-4000-8000-00000000000a', 12, '2023-05-05'), ('00000000-0000-4000-8000-00000000000a', 30, '2024-05-05');
--- case: findUnique with an AND 1=1 and bound limit and offset
--- verdict: read
--- reads: public.User
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name", "public"."User"."role"::text, "public"."User"."createdAt" FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3
--- case: findMany of an empty in list
--- verdict: read
--- reads: public.Post
SELECT "public"."Post"."id", "public"."Post"."title" FROM "public"."Post" WHERE 1=0 ORDER BY "public"."Post"."id" ASC OFFSET 0
--- case: filter by an enum cast of a bound text
--- verdict: read
--- reads: public.User
SELECT "public"."User"."id" FROM "public"."User" WHERE ("public"."User"."role" = CAST($1::text AS "public"."Role") AND "public"."User"."scopes" @> ARRAY['USER']::"public"."Role"[])
--- case: some filter through an implicit many-to-many table
--- verdict: read
--- reads: public.Post public.Tag public._PostToTag
SELECT "public"."Post"."id" FROM "public"."Post" WHERE ("public"."Post"."id") IN (SELECT "t0"."A" FROM "public"."_PostToTag" AS "t0" INNER JOIN "public"."Tag" AS "j0" ON ("j0"."id") = ("t0"."B") WHERE ("j0"."name" = 'go' AND "t0"."A" IS NOT NULL)) OFFSET 0
--- case: none filter as an outer join to a grouped subquery
--- verdict: read
--- reads: public.Post public.User
SELECT "public"."User"."id", COALESCE("aggr_selection_0_Post"."_aggr_count_posts", 0) AS "_aggr_count_posts" FROM "public"."User" LEFT JOIN (SELECT "public"."Post"."authorId", COUNT(*) AS "_aggr_count_posts" FROM "public"."Post" WHERE 1=1 GROUP BY "public"."Post"."authorId") AS "aggr_selection_0_Post" ON ("public"."User"."id" = "aggr_selection_0_Post"."authorId") WHERE ("public"."User"."id") NOT IN (SELECT "t1"."authorId" FROM "public"."Post" AS "t1" WHERE ("t1"."published" = true AND "t1"."authorId" IS NOT NULL))
--- case: cursor pagination by a row comparison in a subquery
--- verdict: read
--- reads: public.Post
SELECT "public"."Post"."id", "public"."Post"."title" FROM "public"."Post", (SELECT "public"."Post"."updatedAt" AS "Post_updatedAt_0" FROM "public"."Post" WHERE ("public"."Post"."id") = ('ck1')) AS "order_cmp" WHERE "public"."Post"."updatedAt" <= "order_cmp"."Post_updatedAt_0" ORDER BY "public"."Post"."updatedAt" DESC LIMIT 11 OFFSET 0
--- case: relation loaded by JSONB_AGG in a lateral join
--- verdict: read
--- reads: public.Post public.User
SELECT "t0"."id", "t0"."email", "User_posts"."__prisma_data__" AS "posts" FROM "public"."User" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'title', "t2"."title") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."Post" AS "t1" WHERE "t0"."id" = "t1"."authorId") AS "t2") AS "t3") AS "t4") AS "User_posts" ON TRUE WHERE "t0"."id" = 1 LIMIT 1
--- case: groupBy with having over a sum
--- verdict: read
--- reads: public.Post
SELECT COUNT(*), MAX("public"."Post"."updatedAt"), "public"."Post"."authorId" FROM "public"."Post" WHERE 1=1 GROUP BY "public"."Post"."authorId" HAVING COUNT(*) > 0 OFFSET 0
--- case: aggregate over a limited sub-select
--- verdict: read
--- reads: public.User
SELECT COUNT(*) AS "_count._all" FROM (SELECT "public"."User"."id" FROM "public"."User" WHERE "public"."User"."email"::text ILIKE '%@example.org' OFFSET 0) AS "sub"
--- case: JSON filter by a path and its type
--- verdict: read
--- reads: public.Post
SELECT "public"."Post"."id" FROM "public"."Post" WHERE (("public"."Post"."data"#>ARRAY['views']::text[])::jsonb > '5' AND JSONB_TYPEOF("public"."Post"."data"#>ARRAY['views']::text[]) = 'number')
--- case: JSON array contains a value
--- verdict: read
--- reads: public.Post
SELECT "public"."Post"."id" FROM "public"."Post" WHERE (("public"."Post"."data"#>ARRAY['tags']::text[])::jsonb @> '["a"]' AND JSONB_PATH_EXISTS("public"."Post"."data", '$.tags[*] ? (@ == "b")'))
--- case: full text search of the preview feature
--- verdict: read
--- reads: public.Post
SELECT "public"."Post"."id" FROM "public"."Post" WHERE to_tsvector(concat_ws(' ', "public"."Post"."title", "public"."Post"."content")) @@ to_tsquery('first | second') ORDER BY ts_rank(to_tsvector(concat_ws(' ', "public"."Post"."title", "public"."Post"."content")), to_tsquery('first | second')) DESC
--- case: order by a related scalar
--- verdict: read
--- reads: public.Post public.Profile public.User
SELECT "public"."Post"."id" FROM "public"."Post" LEFT JOIN "public"."User" AS "orderby_1" ON ("public"."Post"."authorId") = ("orderby_1"."id") LEFT JOIN "public"."Profile" AS "orderby_2" ON ("orderby_1"."id") = ("orderby_2"."userId") ORDER BY "orderby_2"."bio" ASC NULLS LAST, "orderby_1"."name" DESC NULLS FIRST
--- case: view model
--- verdict: read
--- reads: public.Profile public.User
SELECT "public"."AuthorCard"."id", "public"."AuthorCard"."bio" FROM "public"."AuthorCard" WHERE "public"."AuthorCard"."name" = 'Ida' OFFSET 0
--- case: second schema with a decimal cast
--- verdict: read
--- reads: billing.Account public.User
SELECT "billing"."Account"."id"::text, "billing"."Account"."balance"::text FROM "billing"."Account" INNER JOIN "public"."User" AS "j1" ON "j1"."id" = "billing"."Account"."ownerId" WHERE "j1"."role" <> 'ADMIN'::"public"."Role"
--- case: aggregate over a partitioned model with a date range
--- verdict: read
--- reads: billing.Entry billing.Entry_2023 billing.Entry_2024
SELECT SUM("amount")::bigint AS "_sum", AVG("amount")::double precision AS "_avg" FROM (SELECT "billing"."Entry"."amount" FROM "billing"."Entry" WHERE ("billing"."Entry"."bookedOn" >= '2023-06-01' AND "billing"."Entry"."bookedOn" < '2024-06-01')) AS "sub"
--- case: $queryRaw with a join of unnested pairs
--- verdict: read
--- reads: public.User
SELECT u."id", v.n FROM "User" u JOIN unnest($1::int[], $2::text[]) AS v(id, n) ON v.id = u."id"
--- case: $queryRaw TypedSQL with the clock
--- verdict: unstable
--- reads: public.User
--- reason: calls the stable function age
SELECT "id", age("createdAt") AS "age" FROM "User" WHERE "createdAt" > NOW() - ('30 days')::interval
--- case: a sample of a table
--- verdict: unstable
--- reads: public.Tag
--- reason: samples a table
SELECT "name" FROM "Tag" TABLESAMPLE BERNOULLI (50) REPEATABLE (7)
--- case: engine asks for the server and its schema
--- verdict: unstable
--- reason: calls the stable function version
SELECT version(), current_schema()
--- case: create returns every field with the enum as text
--- verdict: write
--- writes: public.User
--- reason: writes to public.User
INSERT INTO "public"."User" ("email","role","scopes") VALUES ($1,CAST($2::text AS "public"."Role"),$3) RETURNING "public"."User"."id", "public"."User"."email", "public"."User"."role"::text
--- case: createMany skipping duplicates
--- verdict: write
--- writes: public.Tag
--- reason: writes to public.Tag
INSERT INTO "public"."Tag" ("name") VALUES ('go'),('rust'),('zig') ON CONFLICT DO NOTHING
--- case: connect fills the implicit join table
--- verdict: write
--- writes: public._PostToTag
--- reason: writes to public._PostToTag
INSERT INTO "public"."_PostToTag" ("A", "B") VALUES ('ck2', 1) ON CONFLICT DO NOTHING
--- case: native upsert of a referenced post
--- verdict: write
--- writes: public.Post public._PostToTag
--- reason: writes to public.Post
INSERT INTO "public"."Post" ("id","title","updatedAt") VALUES ('ck3','Third','2024-02-02 10:00:00.000') ON CONFLICT ("id") DO UPDATE SET "title" = 'Third!' WHERE ("public"."Post"."id" = 'ck3' AND 1=1) RETURNING "public"."Post"."id"
--- case: updateMany on the user reaches profile, post and tags by ON UPDATE CASCADE
--- verdict: write
--- writes: public.Post public.Profile public.User public._PostToTag
--- reason: writes to public.User
UPDATE "public"."User" SET "name" = 'Jon' WHERE ("public"."User"."id" IN (2) AND "public"."User"."name" IS NULL)
--- case: atomic increment of a decimal reaches partitions by a cascade
--- verdict: write
--- writes: billing.Account billing.Entry billing.Entry_2023 billing.Entry_2024
--- reason: writes to billing.Account
UPDATE "billing"."Account" SET "balance" = ("billing"."Account"."balance" + 10.5) WHERE "billing"."Account"."ownerId" = 1 RETURNING "billing"."Account"."id"
--- case: deleteMany of tags
--- verdict: write
--- writes: public.Tag public._PostToTag
--- reason: writes to public.Tag
DELETE FROM "public"."Tag" WHERE ("public"."Tag"."id" IN (1,2) AND 1=1)
--- case: disconnect by a pair
--- verdict: write
--- writes: public._PostToTag
--- reason: writes to public._PostToTag
DELETE FROM "public"."_PostToTag" WHERE ("public"."_PostToTag"."A" = ('ck1') AND "public"."_PostToTag"."B" IN (2))
--- case: reset of the tests truncates with cascade
--- verdict: write
--- writes: public.Tag public._PostToTag
--- reason: writes to public.Tag
TRUNCATE TABLE "public"."Tag" RESTART IDENTITY CASCADE
--- case: migrate's advisory lock
--- verdict: opaque
--- reason: advisory
SELECT pg_advisory_lock(72707369)
--- case: migrate looks whether the schema exists
--- verdict: opaque
--- reason: system relation
SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = 'public'), version(), current_setting('server_version_num')::integer as numeric_version
--- case: introspection of columns with their defaults
--- verdict: opaque
--- reason: information_schema
SELECT oid.namespace, info.table_name, info.column_name, info.data_type, format_type(att.atttypid, att.atttypmod) AS formatted_type, info.is_nullable FROM information_schema.columns info JOIN pg_attribute att ON att.attname = info.column_name JOIN (SELECT pg_class.oid, relname, pg_namespace.nspname AS namespace FROM pg_class JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace) AS oid ON oid.oid = att.attrelid AND relname = info.table_name WHERE namespace = 'public'
--- case: transaction of an interactive client
--- verdict: session
--- reason: controls the transaction
BEGIN ISOLATION LEVEL SERIALIZABLE
--- case: statement timeout of one transaction
--- verdict: session
--- reason: changes a setting
SET LOCAL statement_timeout = '5s'
--- case: migrate adds a value to an enum
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TYPE "public"."Role" ADD VALUE 'GUEST'
--- case: migrate renames a field
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE "public"."Post" RENAME COLUMN "content" TO "body"
