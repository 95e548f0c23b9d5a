-- An operator class whose comparison writes: ORDER BY, DISTINCT and GROUP BY go by it without a word.
--- setup
CREATE TABLE public.notes (id int);
CREATE TYPE public.version AS (major int, minor int);
CREATE TABLE public.releases (of public.version);
CREATE FUNCTION public.compare(public.version, public.version) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN DELETE FROM notes WHERE id < 0; RETURN ($1).major - ($2).major; END $$;
CREATE OPERATOR CLASS public.by_version DEFAULT FOR TYPE public.version USING btree AS FUNCTION 1 public.compare(public.version, public.version);
INSERT INTO public.releases VALUES (ROW(1, 2)), (ROW(2, 1));
--- case: an order by a class of the database's own
--- verdict: opaque
--- writes: anything
--- reason: operator class
--- unrun: the class has no operators
SELECT * FROM releases ORDER BY "of"
--- case: rows told apart by it
--- verdict: opaque
--- writes: anything
--- reason: operator class
--- unrun: the class has no operators
SELECT DISTINCT r."of" FROM releases r
--- case: the greater of two
--- verdict: opaque
--- writes: anything
--- reason: operator class
SELECT greatest("of", ROW(1, 1)::version) FROM releases
