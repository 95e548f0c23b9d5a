-- A cast that needs no words, from text to timestamp, as made for clients that bind everything as text: it leaves no trace
-- in a statement, and a row that holds 'now' is read by the clock.
--- setup
CREATE CAST (text AS timestamp) WITH INOUT AS IMPLICIT;
CREATE TABLE public.appointments (id int, at timestamp, spoken text);
INSERT INTO public.appointments VALUES (1, '2024-01-01', 'now');
--- case: a comparison whose texts become dates unseen
--- verdict: opaque
--- writes: anything
--- reason: may use a cast of the database's own
SELECT id FROM appointments WHERE at < spoken
--- case: any other statement might hold such a comparison
--- verdict: opaque
--- writes: anything
--- reason: may use a cast of the database's own
SELECT id FROM appointments
--- case: a write keeps what it names
--- verdict: write
--- writes: anything
--- reason: may use a cast of the database's own
UPDATE appointments SET at = spoken
