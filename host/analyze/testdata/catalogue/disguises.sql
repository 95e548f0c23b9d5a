-- A text under a name that is a date's wherever the catalogs have it, and code that runs where a literal takes a column's type.
--- setup
CREATE TABLE public.days (id int, day date, "coalesce" date, "case" date, "greatest" date, "nullif" date, "array" date[], "exists" date);
CREATE TABLE public.words (id int, word text);
CREATE FUNCTION public.wild(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN DELETE FROM words WHERE id < 0; RETURN true; END $$;
CREATE DOMAIN public.watched AS int CHECK (public.wild(VALUE));
CREATE TABLE public.watched_rows (id public.watched);
CREATE VIEW public.watched_view AS SELECT id FROM public.watched_rows;
CREATE MATERIALIZED VIEW public.watched_once AS SELECT id FROM public.watched_rows;
CREATE FUNCTION public.same(public.watched, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR public.=~= (LEFTARG = public.watched, RIGHTARG = int, FUNCTION = public.same);
--- case: the second arm of a set operation goes by the first one's name
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT day::timestamptz FROM (SELECT NULL AS day UNION ALL SELECT word FROM words) x
--- case: the same behind WITH
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
WITH RECURSIVE x AS (SELECT '2024-01-01' AS day, 1 AS k UNION ALL SELECT word, k + 1 FROM x, words WHERE k < 2) SELECT day::timestamptz FROM x
--- case: COALESCE is called so
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT "coalesce"::timestamptz FROM (SELECT coalesce(word, '2024-01-01') FROM words) x
--- case: CASE is called so
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT "case"::timestamptz FROM (SELECT CASE WHEN id > 0 THEN word || '' END FROM words) x
--- case: GREATEST is called so
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT "greatest"::timestamptz FROM (SELECT greatest(word) FROM words) x
--- case: NULLIF is called so
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT "nullif"::timestamptz FROM (SELECT nullif(word, '') FROM words) x
--- case: ARRAY is called so
--- verdict: unstable
--- reads: public.words
--- reason: text like 'now'
SELECT "array"::timestamptz[] FROM (SELECT ARRAY[word] FROM words) x
--- case: a date under its own name
--- verdict: read
--- reads: public.days
SELECT day::timestamptz FROM (SELECT day FROM days) x
--- case: a literal takes the type of a column whose checks write
--- verdict: opaque
--- writes: anything
--- reason: public.watched_rows
SELECT coalesce(id, '7') FROM watched_rows
--- case: the same through a view
--- verdict: opaque
--- writes: anything
--- reason: public.watched_rows
SELECT id FROM watched_view UNION ALL SELECT '8'
--- case: the same of a materialized view
--- verdict: opaque
--- writes: anything
--- reason: public.watched_once
SELECT CASE WHEN id > 0 THEN '9' ELSE id END FROM watched_once
--- case: an operator takes what becomes one of the domain
--- verdict: opaque
--- writes: anything
--- reason: =~=
SELECT id OPERATOR(public.=~=) 1 FROM words
