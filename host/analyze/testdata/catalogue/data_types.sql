-- Data types, by PostgreSQL's documentation, chapter 8: literals, casts and columns of each kind.
--- setup
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE public.inventory_item AS (name text, supplier_id int, price numeric);
CREATE TYPE public.float_range AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE TYPE public.time_range AS RANGE (SUBTYPE = timestamptz);
CREATE DOMAIN public.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN public.us_postal_code AS text CHECK (VALUE ~ '^\d{5}$' OR VALUE ~ '^\d{5}-\d{4}$');
CREATE DOMAIN public.birthday AS date;
CREATE COLLATION public.german (provider = icu, locale = 'de-DE');
CREATE TABLE public.person (name text COLLATE public.german, current_mood public.mood, born public.birthday, zip public.us_postal_code, spent public.posint[]);
CREATE TABLE public.on_hand (item public.inventory_item, count int);
CREATE TABLE public.holiday (id uuid PRIMARY KEY, pay money, active boolean, bits bit varying(5), doc jsonb, raw json, ip inet, mac macaddr, spot point, area box, tags text[], board int[][], during tsrange, lasts interval, at timestamptz, day date, daily time, body tsvector, file bytea, lsn pg_lsn, of oid, x xml);
CREATE TABLE public.hours (opens timetz);
CREATE TABLE public.tables (of regclass, by regrole);
INSERT INTO public.person VALUES ('Jo', 'ok', '1970-01-01', '12345', '{1,2}');
INSERT INTO public.on_hand VALUES (ROW('fuzzy dice', 42, 1.99), 1000);
--- case: numbers of every kind
--- verdict: read
SELECT 42, 3.5, 4., .001, 5e2, 1.925e-3, 1::smallint, 2::bigint, 1.5::numeric(3, 1), 'NaN'::float8, '-Infinity'::real
--- case: numbers in other bases, and with underscores
--- verdict: read
--- since: 16
SELECT 0b100101, 0o273, 0x42F, 1_500_000_000
--- case: money
--- verdict: read
--- reads: public.holiday
SELECT pay, '12.34'::float8::numeric::money, pay / 2 FROM holiday
--- case: strings of fixed and of any length
--- verdict: read
SELECT 'ok'::char(4), 'good'::varchar(5), 'too long'::varchar(3), 'x'::"char", 'n'::name, N'x'
--- case: binary strings
--- verdict: read
--- reads: public.holiday
SELECT '\xDEADBEEF'::bytea, 'abc \153\154\155'::bytea, file || '\x00', encode(file, 'base64') FROM holiday
--- case: dates and times that say what they mean
--- verdict: read
SELECT date '1999-01-08', time '04:05:06.789', timestamp '2004-10-19 10:23:54', timestamptz '2004-10-19 10:23:54+02', 'infinity'::date, 'epoch'::timestamp
--- case: a time with a time zone
--- verdict: unstable
--- reason: timetz
SELECT time with time zone '04:05:06 PST'
--- case: a column of time with time zone
--- verdict: unstable
--- reads: public.hours
--- reason: time with time zone
SELECT count(*) FROM hours
--- case: intervals
--- verdict: read
SELECT interval '1-2', interval 'P1Y2M3DT4H5M6S', interval '4' hour, '1 day ago'::interval, interval(0) '1.7 seconds'
--- case: the day before today
--- verdict: unstable
--- reads: public.holiday
--- reason: moment of the clock
SELECT * FROM holiday WHERE day = date 'yesterday'
--- case: now as a time of day
--- verdict: unstable
--- reason: moment of the clock
SELECT 'now'::time, 'NOW'::timestamp
--- case: booleans
--- verdict: read
--- reads: public.holiday
SELECT true, 'yes'::boolean, active IS NOT TRUE FROM holiday WHERE active AND NOT active = 'off'
--- case: a label of an enumeration
--- verdict: read
--- reads: public.person
SELECT * FROM person WHERE current_mood > 'sad' ORDER BY current_mood
--- case: a cast to an enumeration
--- verdict: read
SELECT 'happy'::mood, enum_range(NULL::mood), enum_first('ok'::mood)
--- case: geometry
--- verdict: read
--- reads: public.holiday
SELECT spot <-> point '(1,2)', area @> spot, '((0,0),(1,1))'::box # area, circle '<(1,2),3>' FROM holiday
--- case: addresses of networks
--- verdict: read
--- reads: public.holiday
SELECT ip << inet '192.168.1/24', '08:00:2b:01:02:03'::macaddr8, host(ip), cidr '10.0.0.0/8' FROM holiday
--- case: bits
--- verdict: read
--- reads: public.holiday
SELECT B'101' | bits, X'1F'::bit(8), bits::text FROM holiday
--- case: a document to search and a query
--- verdict: read
--- reads: public.holiday
SELECT 'fat & (rat | cat)'::tsquery, 'a fat cat'::tsvector @@ 'cat', body @@ to_tsquery('english', 'rat:*') FROM holiday
--- case: a UUID
--- verdict: read
--- reads: public.holiday
SELECT * FROM holiday WHERE id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
--- case: JSON as text and as a tree
--- verdict: read
--- reads: public.holiday
SELECT '{"bar": "baz"}'::json, doc @> '{"tags": ["qui"]}', doc -> 'guid', doc['a']['b'], raw #>> '{a,0}' FROM holiday
--- case: arrays
--- verdict: read
--- reads: public.holiday
SELECT tags[1], board[1:2][1], board[:2], array_dims(board), tags || 'x'::text, ARRAY[[1, 2], [3, 4]], '{a,NULL}'::text[] FROM holiday WHERE 'a' = ANY (tags) AND tags && ARRAY['b'] AND array_length(tags, 1) > 1
--- case: an array of dates that holds a moment
--- verdict: unstable
--- reason: moment of the clock
SELECT '{2024-01-01, today}'::date[]
--- case: a field of a composite column
--- verdict: read
--- reads: public.on_hand
SELECT (item).name, (item).price * count, (on_hand.item).supplier_id FROM on_hand WHERE (item).price > 9.99
--- case: a composite value made by a cast
--- verdict: opaque
--- writes: anything
--- reason: inventory_item
SELECT ROW('x', 1, 2.5)::inventory_item
--- case: the row type of a table
--- verdict: opaque
--- writes: anything
--- reason: the row type of public.person
SELECT NULL::person
--- case: ranges
--- verdict: read
--- reads: public.holiday
SELECT int4range(10, 20) @> 3, numrange(11.1, 22.2) && numrange(20.0, 30.0), upper(int8range(15, 25)), '[3,7)'::int4range, during @> '2010-01-01'::timestamp FROM holiday
--- case: several ranges at once
--- verdict: read
SELECT '{[3,7), [8,9)}'::int4multirange, nummultirange(numrange(1.0, 14.0)), range_agg(r) FROM (VALUES (int4range(1, 2))) v (r)
--- case: a range of the database's own
--- verdict: read
SELECT '[1.234, 5.678]'::float_range @> 2::float8
--- case: a range of times made out of a text in a row
--- verdict: unstable
--- reads: public.person
--- reason: text like 'now'
SELECT NULLIF(name, name)::time_range FROM person
--- case: domains
--- verdict: read
--- reads: public.person
SELECT 1::posint, '12345'::us_postal_code, zip, spent FROM person WHERE zip = '12345' AND born < '1999-01-01'
--- case: a domain over a date made out of a text in a row
--- verdict: unstable
--- reads: public.person
--- reason: text like 'now'
SELECT NULLIF(name, name)::birthday FROM person
--- case: the number of an object
--- verdict: read
--- reads: public.holiday
SELECT of, lsn - '0/0'::pg_lsn, 7::oid FROM holiday
--- case: the name of an object by its number
--- verdict: unstable
--- reason: regclass
SELECT 'person'::regclass
--- case: the name of an object in a column changes with DDL only
--- verdict: read
--- reads: public.tables
SELECT of, by FROM tables
--- case: XML
--- verdict: unstable
--- reads: public.holiday
--- reason: XML
SELECT xmlelement(name foo, xmlattributes(id AS bar), 'cont', 'ent') FROM holiday
--- case: a cast to XML
--- verdict: unstable
--- reason: xml
SELECT '<a/>'::xml
--- case: a collation of the database's own
--- verdict: read
--- reads: public.person
SELECT name FROM person WHERE name < 'ä' COLLATE german ORDER BY name COLLATE "en-x-icu"
