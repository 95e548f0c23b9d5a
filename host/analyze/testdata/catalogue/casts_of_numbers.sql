-- Casts that Hibernate's and JDBC's users make so that a text may stand for a number, a UUID or JSON: they depend on the text.
--- setup
CREATE CAST (varchar AS int) WITH INOUT AS IMPLICIT;
CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT;
CREATE CAST (text AS jsonb) WITH INOUT AS ASSIGNMENT;
CREATE CAST (text AS timestamp) WITH INOUT;
CREATE TABLE public.orders (id int, key uuid, label varchar, at timestamp);
--- case: a text that becomes a number unseen
--- verdict: read
--- reads: public.orders
SELECT id FROM orders WHERE id = label
--- case: a text that becomes a UUID unseen
--- verdict: read
--- reads: public.orders
SELECT id FROM orders WHERE key = label::text
--- case: a text that becomes a time needs the word, and has it
--- verdict: unstable
--- reads: public.orders
--- reason: text like 'now'
SELECT label::timestamp FROM orders
