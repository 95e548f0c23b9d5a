-- The extensions that applications install: what PostgreSQL's own modules bring is no code of the database's own.
--- setup
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION unaccent;
CREATE EXTENSION ltree; CREATE EXTENSION intarray; CREATE EXTENSION fuzzystrmatch; CREATE EXTENSION tablefunc; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION cube; CREATE EXTENSION earthdistance;
CREATE TABLE public.members (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), token bytea DEFAULT gen_random_bytes(16), email citext UNIQUE, name text, attributes hstore, place ltree, groups int[], spot cube);
CREATE INDEX ON public.members USING gin (name gin_trgm_ops);
CREATE FUNCTION public.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT public.unaccent('public.unaccent', $1)$$;
CREATE INDEX ON public.members (public.plain(name));
CREATE FUNCTION public.faked() RETURNS uuid LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION public.uuid_generate_v4(int) RETURNS uuid LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN NULL; END';
CREATE TABLE public.strange (id uuid DEFAULT uuid_generate_v4(1));
CREATE SCHEMA ext; CREATE EXTENSION moddatetime SCHEMA ext;
CREATE TABLE public.posts (id int PRIMARY KEY, title text, body text, words tsvector, updated timestamptz);
CREATE TRIGGER stamped BEFORE UPDATE ON public.posts FOR EACH ROW EXECUTE FUNCTION ext.moddatetime(updated);
CREATE TRIGGER indexed BEFORE INSERT OR UPDATE ON public.posts FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', title, body);
CREATE TRIGGER lazy BEFORE UPDATE ON public.posts FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE public.watched_posts (id int, updated timestamptz);
CREATE FUNCTION public.when_wild(public.watched_posts) RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN true; END';
CREATE TRIGGER stamped BEFORE UPDATE ON public.watched_posts FOR EACH ROW WHEN (public.when_wild(NEW)) EXECUTE FUNCTION ext.moddatetime(updated);
CREATE FUNCTION public.moddatetime() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM posts; RETURN NEW; END';
CREATE TABLE public.odd_posts (id int); CREATE TRIGGER stamped BEFORE UPDATE ON public.odd_posts FOR EACH ROW EXECUTE FUNCTION public.moddatetime();
INSERT INTO public.posts VALUES (1, 'x', 'y');
INSERT INTO public.members (email, name, attributes, place, groups) VALUES ('Ada@example.org', 'Ada', 'a=>1', 'Top.Science', '{1,2}');
--- case: a text that ignores case
--- verdict: read
--- reads: public.members
SELECT name FROM members WHERE email = 'ada@EXAMPLE.org' AND lower(email) LIKE 'a%'
--- case: a key made by a module when a row is inserted
--- verdict: write
--- writes: public.members
--- reason: writes to public.members
INSERT INTO members (email, name) VALUES ($1, $2) RETURNING id
--- case: a default by a function of the same name that is no module's
--- verdict: write
--- writes: anything
--- reason: whose defaults
INSERT INTO strange DEFAULT VALUES
--- case: a key made by a module in a query
--- verdict: unstable
--- reason: uuid_generate_v1
SELECT uuid_generate_v1()
--- case: a key made of a name is the same each time
--- verdict: read
SELECT uuid_generate_v5(uuid_ns_url(), 'http://www.postgresql.org')
--- case: a function of the name of a module's
--- verdict: opaque
--- writes: anything
--- reason: the volatile function uuid_generate_v4, which is not built in
SELECT uuid_generate_v4(1)
--- case: triggers that change nothing but the row at hand
--- verdict: write
--- writes: public.posts
--- reason: writes to public.posts
UPDATE posts SET title = 'z' WHERE id = 1
--- case: such a trigger under a condition that may do anything
--- verdict: write
--- writes: anything
--- reason: public.watched_posts, which has triggers
UPDATE watched_posts SET id = 2
--- case: a trigger by a function of the name of a module's
--- verdict: write
--- writes: anything
--- reason: public.odd_posts, which has triggers
UPDATE odd_posts SET id = 2
--- case: names that are alike
--- verdict: read
--- reads: public.members
SELECT name, similarity(name, 'adda') AS s FROM members WHERE name % 'adda' OR 'ada' <% name ORDER BY s DESC, name <-> 'ada'
--- case: the limit from which names are alike set by a function
--- verdict: opaque
--- writes: anything
--- reason: set_limit
--- session: untracked
SELECT set_limit(0.2)
--- case: names without their accents
--- verdict: read
--- reads: public.members
SELECT name FROM members WHERE unaccent(name) ILIKE unaccent($1) OR plain(name) = 'ada'
--- case: a password that is compared
--- verdict: read
SELECT crypt('secret', '$1$abcdefgh$x') = $1, digest('x', 'sha256'), hmac('x', 'k', 'md5')
--- case: a new salt
--- verdict: unstable
--- reason: gen_salt
SELECT crypt('secret', gen_salt('bf', 4))
--- case: a secret that is encrypted
--- verdict: write
--- writes: public.members
--- reason: writes to public.members
UPDATE members SET token = pgp_sym_encrypt_bytea('x', 'key') WHERE email = 'ada@example.org'
--- case: keys and values
--- verdict: read
--- reads: public.members
SELECT attributes -> 'a', attributes ? 'a', (each(attributes)).key, hstore_to_json(attributes) FROM members WHERE attributes @> 'a=>1'
--- case: labels of a tree
--- verdict: read
--- reads: public.members
SELECT subpath(place, 0, 1) FROM members WHERE place <@ 'Top' AND place ~ '*.Science.*' AND nlevel(place) > 1
--- case: arrays of numbers
--- verdict: read
--- reads: public.members
SELECT groups & '{1}', sort(groups), groups @@ '1 & 2'::query_int FROM members
--- case: names that sound alike
--- verdict: read
SELECT soundex('Anne'), levenshtein('GUMBO', 'GAMBOL'), metaphone('Thompson', 4), dmetaphone('x')
--- case: distances on earth
--- verdict: read
--- reads: public.members
SELECT earth_distance(ll_to_earth(48, 16), ll_to_earth(47, 11)), spot <-> cube(ARRAY[1.0, 2.0]) FROM members
--- case: a query in a text whose rows become columns
--- verdict: opaque
--- writes: anything
--- reason: crosstab
SELECT * FROM crosstab('SELECT 1, 2, 3') AS ct (a int, b int)
--- case: statistics of statements
--- verdict: unstable
--- reason: reads the view public.pg_stat_statements, which calls the volatile function pg_stat_statements
--- unrun: the server has not loaded the library
SELECT calls, query FROM pg_stat_statements ORDER BY calls DESC LIMIT 10
--- case: statistics of statements reset
--- verdict: opaque
--- writes: anything
--- reason: pg_stat_statements_reset
SELECT pg_stat_statements_reset()
