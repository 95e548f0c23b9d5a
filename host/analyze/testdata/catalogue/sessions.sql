-- Transactions, sessions and the server, by PostgreSQL's documentation, chapter 13 and the pages of the commands.
--- setup
CREATE TABLE public.films (id int PRIMARY KEY, title text);
CREATE TABLE public.actors (id int, film int REFERENCES public.films ON DELETE CASCADE);
CREATE FUNCTION public.wild() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM films; RETURN 1; END';
CREATE PROCEDURE public.insert_data(a int) LANGUAGE sql AS 'INSERT INTO films VALUES (a, NULL)';
INSERT INTO public.films VALUES (1, 'Jaws');
--- case: a transaction with its modes
--- verdict: session
--- reason: controls the transaction
START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE
--- case: a transaction that ends and begins anew
--- verdict: session
--- reason: controls the transaction
COMMIT AND CHAIN
--- case: END for COMMIT
--- verdict: session
--- reason: controls the transaction
END TRANSACTION
--- case: ABORT for ROLLBACK
--- verdict: session
--- reason: controls the transaction
ABORT
--- case: back to a savepoint
--- verdict: session
--- reason: controls the transaction
ROLLBACK TO SAVEPOINT my_savepoint
--- case: a transaction prepared, whose writes are published when it commits
--- verdict: session
--- reason: controls the transaction
PREPARE TRANSACTION 'foobar'
--- case: a prepared transaction that commits may have written anything
--- verdict: session
--- writes: anything
--- reason: may have written anything
COMMIT PREPARED 'foobar'
--- case: a prepared transaction that is taken back
--- verdict: session
--- reason: controls the transaction
ROLLBACK PREPARED 'foobar'
--- case: the isolation of this transaction
--- verdict: session
--- reason: changes a setting
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
--- case: the snapshot of another session
--- verdict: session
--- reason: changes a setting
SET TRANSACTION SNAPSHOT '00000003-0000001B-1'
--- case: the isolation of all that follow
--- verdict: session
--- reason: changes a setting
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
--- case: constraints at once
--- verdict: session
--- reason: changes no rows
SET CONSTRAINTS ALL DEFERRED
--- case: the search path
--- verdict: session
--- reason: changes a setting
SET search_path TO my_schema, "$user", public
--- case: the search path with the temporary schema ahead
--- verdict: session
--- reason: changes a setting
--- session: untracked
SET search_path TO pg_temp, public
--- case: a setting for the transaction
--- verdict: session
--- reason: changes a setting
SET LOCAL timezone = 'Europe/Rome'
--- case: the time zone in the standard's words
--- verdict: session
--- reason: changes a setting
SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE
--- case: a setting of the application's own
--- verdict: session
--- reason: changes a setting
SET app.tenant = '42'
--- case: another role
--- verdict: session
--- reason: changes a setting
SET ROLE 'paul'
--- case: another user
--- verdict: session
--- reason: changes a setting
SET SESSION AUTHORIZATION DEFAULT
--- case: everything as it was
--- verdict: session
--- reason: changes a setting
RESET ALL
--- case: a setting by a function
--- verdict: session
--- reason: set_config
SELECT set_config('app.tenant', '42', true), pg_catalog.set_config('search_path', '', false)
--- case: a setting by a function for each row
--- verdict: opaque
--- reason: set_config
--- session: untracked
SELECT set_config('app.tenant', id::text, false) FROM films
--- case: a setting whose value only the execution tells
--- verdict: opaque
--- reason: set_config
--- session: untracked
SELECT set_config('app.tenant', $1, false)
--- case: a setting shown
--- verdict: session
--- reason: shows a setting
SHOW server_version
--- case: everything discarded
--- verdict: session
--- reason: discards state
DISCARD ALL
--- case: plans discarded
--- verdict: session
--- reason: discards state
DISCARD PLANS
--- case: a statement prepared
--- verdict: session
--- reason: prepares a statement
PREPARE fooplan (int, text) AS INSERT INTO films VALUES ($1, $2)
--- case: a statement executed, of which this text says nothing
--- verdict: opaque
--- writes: anything
--- reason: prepared in SQL
EXECUTE fooplan(1, 'Hunter Valley')
--- case: all prepared statements dropped
--- verdict: session
--- reason: drops a prepared statement
DEALLOCATE ALL
--- case: a cursor
--- verdict: session
--- reason: opens a cursor
DECLARE liahona SCROLL CURSOR FOR SELECT * FROM films
--- case: a cursor whose query may do anything
--- verdict: session
--- writes: anything
--- reason: the volatile function wild
DECLARE c CURSOR WITH HOLD FOR SELECT wild()
--- case: a cursor that locks
--- verdict: session
--- reason: opens a cursor
DECLARE c CURSOR FOR SELECT * FROM films FOR UPDATE
--- case: rows of a cursor
--- verdict: session
--- reason: uses a cursor
FETCH FORWARD 5 FROM liahona
--- case: rows of a cursor passed over
--- verdict: session
--- reason: uses a cursor
MOVE ABSOLUTE 10 IN liahona
--- case: a cursor closed
--- verdict: session
--- reason: uses a cursor
CLOSE ALL
--- case: a channel listened to
--- verdict: session
--- reason: changes no rows
LISTEN virtual
--- case: a message sent
--- verdict: session
--- reason: changes no rows
NOTIFY virtual, 'This is the payload'
--- case: no channel listened to
--- verdict: session
--- reason: changes no rows
UNLISTEN *
--- case: tables locked
--- verdict: session
--- reason: changes no rows
LOCK TABLE films, actors IN SHARE ROW EXCLUSIVE MODE NOWAIT
--- case: a block of code
--- verdict: opaque
--- writes: anything
--- reason: runs a block of code
--- session: untracked
DO $$ BEGIN DELETE FROM films; END $$
--- case: a procedure
--- verdict: opaque
--- writes: anything
--- reason: calls a procedure
--- session: untracked
CALL insert_data(1)
--- case: a library
--- verdict: opaque
--- writes: anything
--- reason: loads a library
--- session: untracked
LOAD 'auto_explain'
--- case: a table vacuumed
--- verdict: opaque
--- reason: changes no rows
VACUUM (VERBOSE, ANALYZE) films
--- case: a table packed
--- verdict: opaque
--- reason: changes no rows
VACUUM FULL films
--- case: statistics
--- verdict: opaque
--- reason: changes no rows
ANALYZE films (title)
--- case: a table put in an index's order
--- verdict: opaque
--- reason: changes no rows
CLUSTER films USING films_pkey
--- case: an index made again
--- verdict: opaque
--- reason: changes no rows
REINDEX TABLE CONCURRENTLY films
--- case: a checkpoint
--- verdict: session
--- reason: changes no rows
CHECKPOINT
--- case: a plan
--- verdict: opaque
--- reason: explains a statement
EXPLAIN (FORMAT json, COSTS off) DELETE FROM films
--- case: a plan of a query that calls what may do anything
--- verdict: opaque
--- writes: anything
--- reason: explains a statement
EXPLAIN SELECT wild()
--- case: a plan with its execution
--- verdict: opaque
--- writes: public.actors public.films
--- reason: by executing it
EXPLAIN (ANALYZE, BUFFERS) DELETE FROM films WHERE id = 1
--- case: a plan with the execution of a query
--- verdict: opaque
--- reason: by executing it
EXPLAIN ANALYZE SELECT * FROM films
--- case: a plan of a prepared statement
--- verdict: opaque
--- writes: anything
--- reason: explains a statement
EXPLAIN EXECUTE fooplan(1, 'x')
--- case: nothing
--- verdict: session
--- reason: empty statement
;
--- case: nothing but a comment
--- verdict: session
--- reason: empty statement
-- ping
--- case: a transaction in one text
--- verdict: write
--- writes: public.actors public.films
--- reason: writes to public.films
BEGIN; DELETE FROM films WHERE id = 1; SELECT 1; COMMIT
--- case: a setting and a query in one text
--- verdict: session
--- reason: changes a setting
SET statement_timeout = 0; SELECT 1
--- case: DDL and rows in one text
--- verdict: schema
--- writes: anything
--- reason: changes the schema
ALTER TABLE films ADD COLUMN year int; UPDATE films SET year = 1975
--- case: a text that is no SQL
--- verdict: opaque
--- writes: anything
--- reason: not understood by the parser
SELEC 1
--- case: a string that does not end
--- verdict: opaque
--- writes: anything
--- reason: not understood by the parser
SELECT 'x
--- case: a statement that a text hides behind one that does not end
--- verdict: opaque
--- writes: anything
--- reason: not understood by the parser
SELECT 1 /* ; DELETE FROM films
