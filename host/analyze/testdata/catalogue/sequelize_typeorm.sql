-- The shapes Sequelize and TypeORM send: CamelCase tables with paranoid "deletedAt", dotted column aliases such as
-- "tasks.id", Model_column aliases, distinctAlias pagination, findOrCreate, closure tables, and schema sync queries.
--- setup
CREATE TYPE public."enum_Orders_status" AS ENUM ('cart', 'placed', 'shipped');
CREATE TABLE public."Companies" (id serial PRIMARY KEY, name varchar(255) NOT NULL, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now());
CREATE TABLE public."Users" (
    id serial PRIMARY KEY,
    username varchar(255) NOT NULL UNIQUE,
    "companyId" integer REFERENCES public."Companies" (id) ON DELETE SET NULL ON UPDATE CASCADE,
    profile jsonb,
    "lastSeen" timestamptz,
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "updatedAt" timestamptz NOT NULL DEFAULT now(),
    "deletedAt" timestamptz
);
CREATE TABLE public."Orders" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "userId" integer NOT NULL REFERENCES public."Users" (id) ON DELETE NO ACTION ON UPDATE CASCADE, status public."enum_Orders_status" NOT NULL DEFAULT 'cart', total numeric(10, 2) NOT NULL DEFAULT 0, "placedAt" date);
CREATE TABLE public."OrderItems" ("orderId" uuid NOT NULL REFERENCES public."Orders" (id) ON DELETE CASCADE ON UPDATE CASCADE, position integer NOT NULL, sku text NOT NULL, qty integer NOT NULL DEFAULT 1, PRIMARY KEY ("orderId", position));
CREATE TABLE public."SequelizeMeta" (name varchar(255) PRIMARY KEY);
CREATE TABLE public."Outbox" (id bigserial PRIMARY KEY, topic text NOT NULL, payload jsonb NOT NULL);
CREATE FUNCTION public.outbox_wake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('outbox', NEW.topic); RETURN NULL; END $$;
CREATE TRIGGER outbox_wake AFTER INSERT ON public."Outbox" FOR EACH ROW EXECUTE FUNCTION public.outbox_wake();
CREATE SCHEMA media;
CREATE TABLE media.photo (id serial PRIMARY KEY, name varchar NOT NULL, description text, filename varchar NOT NULL, views integer NOT NULL DEFAULT 0, "isPublished" boolean NOT NULL DEFAULT false, location point);
CREATE TABLE media.photo_metadata (id serial PRIMARY KEY, height integer, width integer, orientation varchar, "photoId" integer UNIQUE REFERENCES media.photo (id) ON DELETE CASCADE);
CREATE TABLE media.album (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE media.album_photos_photo ("albumId" integer NOT NULL REFERENCES media.album (id) ON DELETE CASCADE ON UPDATE CASCADE, "photoId" integer NOT NULL REFERENCES media.photo (id) ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY ("albumId", "photoId"));
CREATE TABLE media.folder (id serial PRIMARY KEY, name varchar NOT NULL, mpath varchar DEFAULT '', "parentId" integer REFERENCES media.folder (id));
CREATE TABLE media.folder_closure (id_ancestor integer NOT NULL REFERENCES media.folder (id) ON DELETE CASCADE, id_descendant integer NOT NULL REFERENCES media.folder (id) ON DELETE CASCADE, PRIMARY KEY (id_ancestor, id_descendant));
CREATE TABLE media.migrations (id serial PRIMARY KEY, "timestamp" bigint NOT NULL, name varchar NOT NULL);
CREATE TABLE media.typeorm_metadata (type varchar NOT NULL, name varchar, value text);
CREATE TABLE media.event (id bigint GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, "when" timestamptz NOT NULL) PARTITION BY RANGE ("when");
CREATE TABLE media.event_q1 PARTITION OF media.event FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-04-01 00:00:00+00');
CREATE TABLE media.event_q2 PARTITION OF media.event FOR VALUES FROM ('2024-04-01 00:00:00+00') TO ('2024-07-01 00:00:00+00');
CREATE VIEW media.photo_overview AS SELECT p.id, p.name, m.width * m.height AS pixels FROM media.photo p LEFT JOIN media.photo_metadata m ON m."photoId" = p.id;
CREATE MATERIALIZED VIEW media.album_sizes AS SELECT a.id, a.name, count(*) AS photos FROM media.album a JOIN media.album_photos_photo ap ON ap."albumId" = a.id GROUP BY a.id;
CREATE UNIQUE INDEX album_sizes_id ON media.album_sizes (id);
INSERT INTO public."Companies" (name) VALUES ('Acme');
INSERT INTO public."Users" (username, "companyId", profile) VALUES ('mia', 1, '{"age": 31, "langs": ["de"]}'), ('tom', NULL, NULL);
INSERT INTO public."Orders" (id, "userId", status, total, "placedAt") VALUES ('0a000000-0000-4000-8000-000000000001', 1, 'placed', 30, '2024-03-03');
INSERT INTO public."OrderItems" VALUES ('0a000000-0000-4000-8000-000000000001', 1, 'X', 3);
INSERT INTO media.photo (name, filename, views, "isPublished", location) VALUES ('Dawn', 'dawn.jpg', 9, true, '(1,2)'), ('Dusk', 'dusk.jpg', 0, false, NULL);
INSERT INTO media.photo_metadata (height, width, orientation, "photoId") VALUES (600, 800, 'landscape', 1);
INSERT INTO media.album (name) VALUES ('Sky');
INSERT INTO media.album_photos_photo VALUES (1, 1);
INSERT INTO media.folder (name, mpath, "parentId") VALUES ('root', '1.', NULL), ('sub', '1.2.', 1);
INSERT INTO media.folder_closure VALUES (1, 1), (1, 2), (2, 2);
INSERT INTO media.event (kind, "when") VALUES ('upload', '2024-02-01 12:00:00+00'), ('view', '2024-05-01 12:00:00+00');
REFRESH MATERIALIZED VIEW media.album_sizes;
--- case: paranoid findAll with the not deleted condition
--- verdict: read
--- reads: public.Users
SELECT "id", "username", "companyId", "createdAt", "updatedAt", "deletedAt" FROM "Users" AS "User" WHERE (("User"."deletedAt" IS NULL AND "User"."username" ILIKE 'm%')) ORDER BY "User"."createdAt" DESC LIMIT 10 OFFSET 0;
--- case: include with dotted aliases and a limited subquery
--- verdict: read
--- reads: public.OrderItems public.Orders public.Users
SELECT "User".*, "orders"."id" AS "orders.id", "orders"."status" AS "orders.status", "orders->items"."position" AS "orders.items.position" FROM (SELECT "User"."id", "User"."username" FROM "Users" AS "User" WHERE ("User"."deletedAt" IS NULL) ORDER BY "User"."id" LIMIT 5) AS "User" LEFT OUTER JOIN ("Orders" AS "orders" INNER JOIN "OrderItems" AS "orders->items" ON "orders"."id" = "orders->items"."orderId") ON "User"."id" = "orders"."userId";
--- case: required include turned into a limited existence check
--- verdict: read
--- reads: public.Orders public.Users
SELECT "User"."id" FROM "Users" AS "User" WHERE ( SELECT "userId" FROM "Orders" AS "orders" WHERE ("orders"."status" IN ('placed', 'shipped') AND "orders"."userId" = "User"."id") LIMIT 1 ) IS NOT NULL;
--- case: findAndCountAll counts distinct ids
--- verdict: read
--- reads: public.Companies public.Users
SELECT count(DISTINCT("User"."id")) AS "count" FROM "Users" AS "User" LEFT OUTER JOIN "Companies" AS "company" ON "User"."companyId" = "company"."id" WHERE "User"."deletedAt" IS NULL
--- case: nested JSON key with a cast
--- verdict: read
--- reads: public.Users
SELECT "id" FROM "Users" AS "User" WHERE CAST(("User"."profile"#>>'{age}') AS DOUBLE PRECISION) > 18 AND ("User"."profile"#>>'{langs,0}') = 'de';
--- case: literal attribute with a correlated count
--- verdict: read
--- reads: public.OrderItems public.Orders
SELECT "id", (SELECT COALESCE(SUM(i.qty), 0) FROM "OrderItems" AS i WHERE i."orderId" = "Order"."id") AS "pieces", date_part('year', "placedAt") AS "year" FROM "Orders" AS "Order";
--- case: separate include by a union of limited selects
--- verdict: read
--- reads: public.Orders
SELECT "Order".* FROM (SELECT * FROM (SELECT "id", "userId" FROM "Orders" AS "Order" WHERE ("Order"."userId" = 1) LIMIT 3) AS sub UNION ALL SELECT * FROM (SELECT "id", "userId" FROM "Orders" AS "Order" WHERE ("Order"."userId" = 2) LIMIT 3) AS sub) AS "Order";
--- case: typeorm find with aliases Photo_id
--- verdict: read
--- reads: media.photo media.photo_metadata
SELECT "Photo"."id" AS "Photo_id", "Photo"."name" AS "Photo_name", "Photo__Photo_metadata"."width" AS "Photo__Photo_metadata_width" FROM "media"."photo" "Photo" LEFT JOIN "media"."photo_metadata" "Photo__Photo_metadata" ON "Photo__Photo_metadata"."photoId"="Photo"."id" WHERE (("Photo"."isPublished" = TRUE) AND ("Photo"."views" > 3))
--- case: distinctAlias takes a page of ids
--- verdict: read
--- reads: media.album_photos_photo media.photo
SELECT DISTINCT "distinctAlias"."Photo_id" AS "ids_Photo_id", "distinctAlias"."Photo_name" FROM (SELECT "Photo"."id" AS "Photo_id", "Photo"."name" AS "Photo_name" FROM "media"."photo" "Photo" LEFT JOIN "media"."album_photos_photo" "Photo_album" ON "Photo_album"."photoId"="Photo"."id") "distinctAlias" ORDER BY "distinctAlias"."Photo_name" ASC, "Photo_id" ASC LIMIT 10
--- case: exists as a boolean of a row that exists
--- verdict: read
--- reads: media.photo
SELECT 1 AS "row_exists" FROM (SELECT 1 AS dummy_column) "dummy_table" WHERE EXISTS (SELECT 1 FROM "media"."photo" "Photo" WHERE (("Photo"."name" = 'Dawn'))) LIMIT 1
--- case: descendants through a closure table
--- verdict: read
--- reads: media.folder media.folder_closure
SELECT "treeEntity"."id" AS "treeEntity_id", "treeEntity"."name" AS "treeEntity_name" FROM "media"."folder" "treeEntity" INNER JOIN "media"."folder_closure" "treeClosure" ON "treeClosure"."id_descendant" = "treeEntity"."id" WHERE "treeClosure"."id_ancestor" = 1
--- case: materialized path by LIKE of a concatenation in a subquery
--- verdict: read
--- reads: media.folder
SELECT "f"."id" FROM "media"."folder" "f" WHERE "f"."mpath" LIKE (SELECT "p"."mpath" || '%' FROM "media"."folder" "p" WHERE "p"."id" = 1)
--- case: view entity with an array parameter
--- verdict: read
--- reads: media.photo media.photo_metadata
SELECT "po"."id", "po"."pixels" FROM "media"."photo_overview" "po" WHERE "po"."id" = ANY($1::int4[]) AND "po"."pixels" > $2
--- case: materialized view entity
--- verdict: read
--- reads: media.album_sizes
SELECT "AlbumSize"."id" AS "AlbumSize_id", "AlbumSize"."photos" AS "AlbumSize_photos" FROM "media"."album_sizes" "AlbumSize" WHERE "AlbumSize"."photos" >= 1
--- case: query builder with a raw CTE and a filtered aggregate
--- verdict: read
--- reads: media.event media.event_q1 media.event_q2
WITH "monthly" AS (SELECT date_trunc('month', "e"."when") AS m, count(*) FILTER (WHERE "e"."kind" = 'view') AS views FROM "media"."event" "e" GROUP BY 1) SELECT m, views, sum(views) OVER (ORDER BY m) AS total FROM "monthly"
--- case: one partition by an interval around a fixed moment
--- verdict: read
--- reads: media.event media.event_q2
SELECT "id", "kind" FROM "media"."event_q2" WHERE "when" >= timestamptz '2024-05-01 00:00:00+00' - interval '1 hour' AND extract(hour FROM "when") < 24
--- case: geometry by a distance operator
--- verdict: read
--- reads: media.photo
SELECT "Photo"."id", "Photo"."location" <-> point(1, 1) AS "distance" FROM "media"."photo" "Photo" WHERE "Photo"."location" IS NOT NULL ORDER BY "distance" ASC
--- case: authentication of a connection
--- verdict: read
SELECT 1+1 AS result
--- case: users seen lately
--- verdict: unstable
--- reads: public.Users
--- reason: calls LOCALTIMESTAMP
SELECT "id" FROM "Users" AS "User" WHERE "User"."lastSeen" > LOCALTIMESTAMP - INTERVAL '5 minutes'
--- case: database and schema asked in one query
--- verdict: unstable
--- reason: calls the stable function current_database
SELECT current_database() AS "db", current_schema() AS "schema", current_user AS "who"
--- case: server version of sequelize
--- verdict: session
--- reason: shows a setting
SHOW SERVER_VERSION
--- case: connection options in one text of settings
--- verdict: session
--- reason: changes a setting
SET client_encoding TO 'utf8'
--- case: pessimistic_partial_write of typeorm
--- verdict: opaque
--- reason: locks rows by FOR UPDATE
SELECT "Photo"."id" AS "Photo_id" FROM "media"."photo" "Photo" WHERE "Photo"."id" = $1 FOR UPDATE SKIP LOCKED
--- case: sync lists the indexes
--- verdict: opaque
--- reason: reads the system relation pg_catalog.pg_class
SELECT i.relname AS name, ix.indisprimary AS primary, ix.indisunique AS unique, array_agg(a.attnum) as column_indexes, pg_get_indexdef(ix.indexrelid) AS definition FROM pg_class t, pg_class i, pg_index ix, pg_attribute a WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' and t.relname = 'Users' GROUP BY i.relname, ix.indexrelid, ix.indisprimary, ix.indisunique
--- case: enum values of a model
--- verdict: opaque
--- reason: reads the system relation pg_catalog.pg_type
SELECT t.typname enum_name, array_agg(e.enumlabel ORDER BY enumsortorder) enum_value FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'public' AND t.typname='enum_Orders_status' GROUP BY 1
--- case: typeorm checks a table by the information schema
--- verdict: opaque
--- reason: reads the system relation information_schema.tables
SELECT * FROM "information_schema"."tables" WHERE "table_schema" = 'media' AND "table_name" = 'migrations'
--- case: create with DEFAULT and a list of returned columns
--- verdict: write
--- writes: public.Users
--- reason: writes to public.Users
INSERT INTO "Users" ("id","username","profile","createdAt","updatedAt") VALUES (DEFAULT,$1,$2,$3,$4) RETURNING "id","username","companyId","profile","lastSeen","createdAt","updatedAt","deletedAt";
--- case: findOrCreate by a function in the temporary schema
--- verdict: schema
--- writes: anything
--- reason: changes the schema
CREATE OR REPLACE FUNCTION pg_temp.testfunc(OUT response "Users", OUT sequelize_caught_exception text) RETURNS RECORD AS $func_1$ BEGIN INSERT INTO "Users" ("username") VALUES ('zoe') RETURNING * INTO response; EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS sequelize_caught_exception = PG_EXCEPTION_DETAIL; END $func_1$ LANGUAGE plpgsql
--- case: soft delete of a user cascades by ON UPDATE
--- verdict: write
--- writes: public.OrderItems public.Orders public.Users
--- reason: writes to public.Users
UPDATE "Users" SET "deletedAt"='2024-06-06 06:06:06.000 +00:00' WHERE "deletedAt" IS NULL AND "id" = 2
--- case: increment by a literal on a company
--- verdict: write
--- writes: public.Companies public.OrderItems public.Orders public.Users
--- reason: writes to public.Companies
UPDATE "Companies" SET "updatedAt"=now(), "name"="name" || '' WHERE "id" = 1 RETURNING "id"
--- case: bulkCreate that updates on duplicates of a leaf
--- verdict: write
--- writes: public.OrderItems
--- reason: writes to public.OrderItems
INSERT INTO "OrderItems" ("orderId","position","sku","qty") VALUES ('0a000000-0000-4000-8000-000000000001',1,'X',4),('0a000000-0000-4000-8000-000000000001',2,'Y',1) ON CONFLICT ("orderId","position") DO UPDATE SET "sku"=EXCLUDED."sku","qty"=EXCLUDED."qty" RETURNING "orderId","position";
--- case: outbox row with a trigger that notifies
--- verdict: write
--- writes: anything
--- reason: may write to public.Outbox, which has triggers
INSERT INTO "Outbox" ("topic","payload") VALUES ('order', '{"id": 1}') RETURNING "id"
--- case: remove of photos reaches metadata and albums
--- verdict: write
--- writes: media.album_photos_photo media.photo media.photo_metadata
--- reason: writes to media.photo
DELETE FROM "media"."photo" WHERE "id" IN (2)
--- case: closure rows inserted by a select
--- verdict: write
--- writes: media.folder_closure
--- reason: writes to media.folder_closure
INSERT INTO "media"."folder_closure" ("id_ancestor", "id_descendant") SELECT "id_ancestor", 2 FROM "media"."folder_closure" WHERE "id_descendant" = 2 AND "id_ancestor" <> ALL (ARRAY(SELECT c."id_ancestor" FROM "media"."folder_closure" c WHERE c."id_descendant" = 2))
--- case: insert through a partition root
--- verdict: write
--- writes: media.event media.event_q1 media.event_q2
--- reason: writes to media.event
INSERT INTO "media"."event"("kind", "when") VALUES ('view', '2024-03-31 23:59:59+00') RETURNING "id"
--- case: unqualified truncate of a test suite
--- verdict: write
--- writes: public.OrderItems public.Orders
--- reason: writes to public.Orders
TRUNCATE "Orders" CASCADE
--- case: concurrent refresh by typeorm
--- verdict: write
--- writes: media.album_sizes
--- reason: writes to media.album_sizes
REFRESH MATERIALIZED VIEW CONCURRENTLY "media"."album_sizes"
--- case: transaction with a savepoint name of sequelize
--- verdict: session
--- reason: controls the transaction
SAVEPOINT "6f8a1c9e-02f5-4d2a-9d7d-3c0c2f7f9f10-sp-1";
--- case: migration adds a foreign key
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE "media"."folder" ADD CONSTRAINT "FK_2b" FOREIGN KEY ("parentId") REFERENCES "media"."folder"("id") ON DELETE CASCADE ON UPDATE NO ACTION
