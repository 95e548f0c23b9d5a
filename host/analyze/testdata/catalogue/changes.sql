-- Changing rows, by PostgreSQL's documentation, chapter 6 and the pages of INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY and
-- REFRESH MATERIALIZED VIEW.
--- setup
CREATE TABLE public.distributors (did int PRIMARY KEY, dname text UNIQUE, active boolean DEFAULT true);
CREATE TABLE public.films (code text PRIMARY KEY, title text, did int REFERENCES public.distributors ON UPDATE CASCADE ON DELETE RESTRICT, kind text, made date DEFAULT CURRENT_DATE, id int GENERATED ALWAYS AS IDENTITY, shout text GENERATED ALWAYS AS (upper(title)) STORED);
CREATE TABLE public.reviews (id bigserial PRIMARY KEY, film text REFERENCES public.films ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, body text);
CREATE TABLE public.votes (review bigint REFERENCES public.reviews ON DELETE SET NULL, n int);
CREATE TABLE public.accounts (id int PRIMARY KEY, balance numeric CHECK (balance >= 0));
CREATE TABLE public.transfers (account int, amount numeric);
CREATE TABLE public.loose (film text);
CREATE TABLE public.measurement (city_id int, logdate date NOT NULL, peaktemp int) PARTITION BY RANGE (logdate);
CREATE TABLE public.measurement_y2006m02 PARTITION OF public.measurement FOR VALUES FROM ('2006-02-01') TO ('2006-03-01');
CREATE TABLE public.measurement_y2006m03 PARTITION OF public.measurement FOR VALUES FROM ('2006-03-01') TO ('2006-04-01') PARTITION BY HASH (city_id);
CREATE TABLE public.measurement_y2006m03_0 PARTITION OF public.measurement_y2006m03 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.measurement_rest PARTITION OF public.measurement DEFAULT;
CREATE TABLE public.cities (name text, population real); CREATE TABLE public.capitals (state char(2)) INHERITS (public.cities);
CREATE TABLE public.indexed (word text);
CREATE FUNCTION public.volatile_default() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION public.clean(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE INDEX ON public.indexed (public.clean(word)) WHERE public.clean(word) <> '';
CREATE TABLE public.defaulted (id int DEFAULT public.volatile_default());
CREATE VIEW public.comedies AS SELECT * FROM public.films WHERE kind = 'Comedy' WITH LOCAL CHECK OPTION;
CREATE VIEW public.pairs AS SELECT f.code, d.dname FROM public.films f JOIN public.distributors d USING (did);
CREATE FUNCTION public.change_both() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE distributors SET dname = NEW.dname; RETURN NEW; END';
CREATE TRIGGER instead INSTEAD OF UPDATE ON public.pairs FOR EACH ROW EXECUTE FUNCTION public.change_both();
CREATE MATERIALIZED VIEW public.film_count AS SELECT did, count(*) AS n FROM public.films GROUP BY did;
CREATE UNIQUE INDEX ON public.film_count (did);
CREATE MATERIALIZED VIEW public.wild_count AS SELECT public.volatile_default() AS n;
INSERT INTO public.distributors VALUES (1, 'Gizmo'), (2, 'Redline');
INSERT INTO public.films (code, title, did, kind) VALUES ('B6717', 'Tampopo', 1, 'Comedy');
INSERT INTO public.reviews (film, body) VALUES ('B6717', 'good'); INSERT INTO public.votes VALUES (1, 3);
INSERT INTO public.accounts VALUES (1, 100); INSERT INTO public.transfers VALUES (1, 5);
INSERT INTO public.measurement VALUES (1, '2006-02-02', 5);
--- case: rows inserted with defaults
--- verdict: write
--- writes: public.films
--- reason: writes to public.films
INSERT INTO films (code, title, did, made, kind) VALUES ('T_601', 'Yojimbo', 1, DEFAULT, 'Drama'), ('HG120', 'The Dinner Game', $1, '1985-02-10', 'Comedy')
--- case: a row of defaults only
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
--- unrun: a key is missing
INSERT INTO accounts DEFAULT VALUES
--- case: an identity overridden
--- verdict: write
--- writes: public.films
--- reason: writes to public.films
INSERT INTO films (code, id) OVERRIDING SYSTEM VALUE VALUES ('X', 7) RETURNING id, shout AS loud
--- case: rows inserted out of another table
--- verdict: write
--- writes: public.loose
--- reason: writes to public.loose
INSERT INTO loose SELECT code FROM films WHERE made < '2004-05-07'
--- case: conflicts ignored
--- verdict: write
--- writes: public.distributors
--- reason: writes to public.distributors
INSERT INTO distributors (did, dname) VALUES (7, 'Redline GmbH') ON CONFLICT (did) DO NOTHING
--- case: conflicts that change the key reach what refers to it
--- verdict: write
--- writes: public.distributors public.films public.reviews public.votes
--- reason: writes to public.distributors
INSERT INTO distributors AS d (did, dname) VALUES (1, 'Gizmo') ON CONFLICT (did) DO UPDATE SET dname = EXCLUDED.dname || ' (formerly ' || d.dname || ')' WHERE d.active
--- case: a default that may do anything
--- verdict: write
--- writes: anything
--- reason: whose defaults
INSERT INTO defaulted VALUES (1)
--- case: an index over an immutable function of the database's own
--- verdict: write
--- writes: public.indexed
--- reason: writes to public.indexed
INSERT INTO indexed VALUES ('Word')
--- case: a value by a volatile function of the database's own
--- verdict: write
--- writes: anything
--- reason: the volatile function volatile_default
INSERT INTO loose SELECT volatile_default()::text
--- case: a value by the clock and by chance
--- verdict: write
--- writes: public.loose
--- reason: writes to public.loose
INSERT INTO loose VALUES (now()::text), (random()::text), (gen_random_uuid()::text)
--- case: a table partitioned
--- verdict: write
--- writes: public.measurement public.measurement_rest public.measurement_y2006m02 public.measurement_y2006m03 public.measurement_y2006m03_0
--- reason: writes to public.measurement
INSERT INTO measurement VALUES (2, '2006-02-03', 4), (2, '2007-01-01', 4)
--- case: a partition of a partition
--- verdict: write
--- writes: public.measurement public.measurement_y2006m03 public.measurement_y2006m03_0
--- reason: writes to public.measurement_y2006m03
DELETE FROM measurement_y2006m03 WHERE peaktemp > 3
--- case: a row that an update moves to another partition
--- verdict: write
--- writes: public.measurement public.measurement_rest public.measurement_y2006m02 public.measurement_y2006m03 public.measurement_y2006m03_0
--- reason: writes to public.measurement
UPDATE measurement SET logdate = '2007-01-01' WHERE city_id = 1
--- case: a parent with its children
--- verdict: write
--- writes: public.capitals public.cities
--- reason: writes to public.cities
UPDATE cities SET population = 0
--- case: a child alone, whose rows the parent shows
--- verdict: write
--- writes: public.capitals public.cities
--- reason: writes to public.capitals
DELETE FROM ONLY capitals
--- case: several columns at once out of a subquery
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
UPDATE accounts SET (balance) = (SELECT sum(amount) FROM transfers WHERE account = accounts.id) WHERE id = 1 RETURNING balance
--- case: a join in an update
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
UPDATE accounts a SET balance = a.balance + t.amount FROM transfers t JOIN loose l ON true WHERE t.account = a.id
--- case: an update of what nobody refers to by a cascade that changes it
--- verdict: write
--- writes: public.votes
--- reason: writes to public.votes
UPDATE votes SET n = n + 1 WHERE review = (SELECT id FROM reviews LIMIT 1)
--- case: the row that a cursor is at
--- verdict: write
--- writes: public.films public.reviews public.votes
--- reason: writes to public.films
--- unrun: there is no cursor
DELETE FROM films WHERE CURRENT OF c_films
--- case: a deletion that two keys carry on
--- verdict: write
--- writes: public.films public.reviews public.votes
--- reason: writes to public.films
DELETE FROM films USING distributors d WHERE films.did = d.did AND d.dname = 'Gizmo'
--- case: an update of a key that carries on by ON UPDATE
--- verdict: write
--- writes: public.distributors public.films public.reviews public.votes
--- reason: writes to public.distributors
UPDATE distributors SET did = 10 WHERE did = 1
--- case: a merge
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
MERGE INTO accounts a USING transfers t ON t.account = a.id WHEN MATCHED AND t.amount > 0 THEN UPDATE SET balance = balance + t.amount WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, balance) VALUES (t.account, t.amount)
--- case: a merge that only inserts still counts as one that deletes
--- verdict: write
--- writes: public.films public.reviews public.votes
--- reason: writes to public.films
MERGE INTO films f USING (SELECT 'new' AS code) s ON s.code = f.code WHEN NOT MATCHED THEN INSERT (code) VALUES (s.code)
--- case: a merge that returns rows
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
--- since: 17
MERGE INTO accounts a USING transfers t ON t.account = a.id WHEN MATCHED THEN UPDATE SET balance = 1 WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), a.*
--- case: a merge below WITH in a query
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
--- since: 17
WITH m AS (MERGE INTO accounts a USING transfers t ON t.account = a.id WHEN MATCHED THEN DO NOTHING RETURNING a.id) SELECT * FROM m
--- case: old and new rows returned
--- verdict: write
--- writes: public.accounts
--- reason: writes to public.accounts
--- since: 18
UPDATE accounts SET balance = balance * 2 RETURNING old.balance, new.balance
--- case: a view that rows can be written to
--- verdict: write
--- writes: public.films
--- reason: writes to public.comedies
INSERT INTO comedies (code, title, kind) VALUES ('C', 'Clowns', 'Comedy')
--- case: a view that a deletion goes through, and on
--- verdict: write
--- writes: public.films public.reviews public.votes
--- reason: writes to public.comedies
DELETE FROM comedies WHERE code = 'B6717'
--- case: a view with a trigger instead
--- verdict: write
--- writes: anything
--- reason: public.pairs
UPDATE pairs SET dname = 'x' WHERE code = 'B6717'
--- case: a table emptied
--- verdict: write
--- writes: public.loose public.votes
--- reason: writes to public.loose, public.votes
TRUNCATE TABLE loose, votes RESTART IDENTITY
--- case: a table emptied with all that refers to it, whatever its cascade
--- verdict: write
--- writes: public.distributors public.films public.reviews public.votes
--- reason: writes to public.distributors
TRUNCATE distributors CASCADE
--- case: the parent alone emptied
--- verdict: write
--- writes: public.capitals public.cities
--- reason: writes to public.cities
TRUNCATE ONLY cities
--- case: rows copied in
--- verdict: write
--- writes: public.transfers
--- reason: writes to public.transfers
COPY transfers (account, amount) FROM STDIN WITH (FORMAT csv, HEADER, FREEZE false)
--- case: rows copied in where they pass a test
--- verdict: write
--- writes: public.transfers
--- reason: writes to public.transfers
COPY transfers FROM STDIN WHERE amount > 0
--- case: rows copied into partitions
--- verdict: write
--- writes: public.measurement public.measurement_rest public.measurement_y2006m02 public.measurement_y2006m03 public.measurement_y2006m03_0
--- reason: writes to public.measurement
COPY measurement FROM STDIN
--- case: rows copied in by a program of the server
--- verdict: write
--- writes: anything
--- reason: runs a program
COPY loose FROM PROGRAM 'echo x'
--- case: rows copied out to a program of the server
--- verdict: opaque
--- writes: anything
--- reason: runs a program
COPY films TO PROGRAM 'cat'
--- case: a query copied out
--- verdict: opaque
--- reason: copies rows out
COPY (SELECT * FROM films WHERE kind = 'Comedy') TO STDOUT
--- case: a query copied out that writes
--- verdict: write
--- writes: public.transfers
--- reason: writes to public.transfers
COPY (UPDATE transfers SET amount = 0 RETURNING *) TO STDOUT
--- case: a query copied out that calls what may write
--- verdict: opaque
--- writes: anything
--- reason: the volatile function volatile_default
COPY (SELECT volatile_default()) TO STDOUT
--- case: a materialized view computed again
--- verdict: write
--- writes: public.film_count
--- reason: writes to public.film_count
REFRESH MATERIALIZED VIEW film_count
--- case: a materialized view computed again while others read
--- verdict: write
--- writes: public.film_count
--- reason: writes to public.film_count
REFRESH MATERIALIZED VIEW CONCURRENTLY film_count
--- case: a materialized view emptied
--- verdict: write
--- writes: public.film_count
--- reason: writes to public.film_count
REFRESH MATERIALIZED VIEW film_count WITH NO DATA
--- case: a materialized view whose query may do anything
--- verdict: write
--- writes: anything
--- reason: refreshes the materialized view public.wild_count, which calls the volatile function volatile_default
REFRESH MATERIALIZED VIEW wild_count
--- case: a write to a table that nobody knows
--- verdict: write
--- writes: anything
--- reason: not known
DELETE FROM unheard_of
--- case: a write to a catalog
--- verdict: write
--- writes: anything
--- reason: the system relation
UPDATE pg_catalog.pg_class SET relname = relname
--- case: a write to a sequence
--- verdict: write
--- writes: anything
--- reason: writes to the sequence
DELETE FROM reviews_id_seq
