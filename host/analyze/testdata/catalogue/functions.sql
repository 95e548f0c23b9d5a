-- Functions and operators, by PostgreSQL's documentation, chapter 9 (and 12 for text search).
--- setup
CREATE TABLE public.articles (id int PRIMARY KEY, title text, body text, search tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED, doc jsonb, raw json, tags text[], at timestamptz, written timestamp, price numeric, pages int, during daterange);
CREATE TABLE public.readings (id int, taken timestamptz, value float8);
CREATE SEQUENCE public.serial;
INSERT INTO public.articles (id, title, body, doc, raw, tags, at, written, price, pages) VALUES (1, 'Cats', 'A fat cat', '{"a": {"b": 1}, "n": [1, 2]}', '{"a": 1}', '{x,y}', '2024-01-01', '2024-01-01', 9.5, 100);
--- case: logic and comparisons
--- verdict: read
--- reads: public.articles
SELECT id FROM articles WHERE (price > 1 OR price IS NULL) AND id BETWEEN SYMMETRIC 10 AND 1 AND title IS DISTINCT FROM body AND (pages = 1) IS UNKNOWN AND num_nulls(title, body) = 0
--- case: arithmetic
--- verdict: read
--- reads: public.articles
SELECT 2 ^ 3, |/ 25.0, @ -5, 5 % 4, 91 & 15, ~1, 1 << 4, round(price, 1), ceil(-42.8), width_bucket(5.35, 0.024, 10.06, 5), gcd(pages, 12), sqrt(2), trunc(log(10.0), 2) FROM articles
--- case: chance
--- verdict: unstable
--- reason: random
SELECT random() * 10
--- case: chance with a seed sets the session's state
--- verdict: opaque
--- reason: setseed
SELECT setseed(0.5)
--- case: strings
--- verdict: read
--- reads: public.articles
SELECT title || body, upper(title), substring(title from 2 for 3), trim(both 'x' from title), position('a' in title), overlay(title placing 'x' from 1), lpad(title, 5, '*'), split_part(title, ' ', 1), md5(body), initcap(title), reverse(title), starts_with(title, 'C'), string_to_array(title, ','), to_hex(pages), chr(65), ascii(title) FROM articles
--- case: strings made of other values
--- verdict: read
--- reads: public.articles
SELECT concat(title, pages, at), concat_ws(', ', title, price), format('Hello %s, %1$s %I %L', title, 'x', pages), quote_ident(title), quote_literal(42.5), 'Value: ' || 42, at || '' FROM articles
--- case: strings in bytes
--- verdict: read
SELECT convert_from('\x31', 'UTF8'), convert_to('x', 'LATIN1'), sha256('x'::bytea), get_byte('\x1234', 0), bit_count('\x1234'::bytea), length('x'::bytea)
--- case: patterns
--- verdict: read
--- reads: public.articles
SELECT id FROM articles WHERE title LIKE 'C%' ESCAPE '!' AND title NOT ILIKE $1 AND title SIMILAR TO '%(a|b)%' AND title ~* '^c' AND substring(title from 'C(.)') = 'a' AND title !~ 'z' AND title ^@ 'C' AND title = ANY (regexp_split_to_array('a b', '\s'))
--- case: matches of a pattern as rows
--- verdict: read
--- reads: public.articles
SELECT id, m[1], regexp_replace(title, '(.)', '\1\1', 'g') FROM articles, regexp_matches(title, '[aeiou]', 'g') AS m
--- case: numbers and dates in a format
--- verdict: read
--- reads: public.articles
SELECT to_char(at, 'YYYY-MM-DD HH24:MI TZ'), to_char(price, '999D99'), to_char(interval '15h', 'HH24'), to_date('05 Dec 2000', 'DD Mon YYYY'), to_number('12,454.8-', '99G999D9S'), to_timestamp('05 Dec 2000', 'DD Mon YYYY') FROM articles
--- case: arithmetic with dates
--- verdict: read
--- reads: public.articles
SELECT date '2001-09-28' + 7, written - interval '1 hour', at - written, age(written, timestamp '1957-06-13'), at + interval '1 month', 900 * interval '1 second', date_trunc('hour', at), date_bin('15 minutes', written, timestamp '2001-01-01'), make_date(2013, 7, 15), isfinite(at), justify_days(interval '35 days') FROM articles
--- case: parts of a date
--- verdict: read
--- reads: public.articles
SELECT EXTRACT(epoch FROM at), date_part('dow', written), EXTRACT(year FROM age(written, written)), to_timestamp(1284352323.5) FROM articles
--- case: another time zone
--- verdict: read
--- reads: public.articles
SELECT at AT TIME ZONE 'America/Denver', written AT TIME ZONE 'UTC', timezone('Asia/Tokyo', at), date_trunc('day', at, 'Australia/Sydney') FROM articles
--- case: the session's time zone by a word
--- verdict: read
--- reads: public.articles
--- since: 17
SELECT at AT LOCAL, written AT LOCAL FROM articles
--- case: periods that overlap
--- verdict: read
SELECT (date '2001-02-16', date '2001-12-21') OVERLAPS (date '2001-10-30', date '2002-10-30')
--- case: the age of today
--- verdict: unstable
--- reads: public.articles
--- reason: age
SELECT age(written) FROM articles
--- case: the clock in every spelling
--- verdict: unstable
--- reason: CURRENT_TIME
SELECT CURRENT_TIME, CURRENT_TIMESTAMP(2), LOCALTIME, LOCALTIMESTAMP, transaction_timestamp(), timeofday()
--- case: a pause
--- verdict: unstable
--- reason: pg_sleep
--- unrun: it pauses
SELECT pg_sleep(1.5)
--- case: a series of moments
--- verdict: read
SELECT d::date FROM generate_series('2008-03-01 00:00'::timestamp, '2008-03-04 12:00', '10 hours') d
--- case: a series of days and what falls on them
--- verdict: read
--- reads: public.readings
SELECT day::date, count(r.id) FROM generate_series($1::date, $2::date, '1 day') AS g (day) LEFT JOIN readings r ON r.taken >= day AND r.taken < day + interval '1 day' GROUP BY 1, day ORDER BY day::date DESC
--- case: a name that a series gives in one query and a text in another
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
--- unrun: the texts are no dates
SELECT (SELECT max(title::date) FROM articles) FROM generate_series(1, 2) AS title
--- case: a text of the name of a series in a condition where the series is not seen
--- verdict: unstable
--- reads: public.articles public.readings
--- reason: text like 'now'
--- unrun: the texts are no dates
SELECT 1 FROM generate_series(1, 2) AS title, (articles a JOIN readings r ON title::date > r.taken)
--- case: the day of a time out of a subquery
--- verdict: read
--- reads: public.articles public.readings
SELECT (SELECT max(taken) FROM readings WHERE value > pages)::date FROM articles
--- case: a text out of a subquery, which may spell a moment
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
--- unrun: the texts are no dates
SELECT (SELECT max(title) FROM articles)::date
--- case: a text out of a subquery of the name of a series around it
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
--- unrun: the texts are no dates
SELECT (SELECT title FROM articles)::date FROM generate_series(1, 2) AS title
--- case: a series joined to what was measured
--- verdict: read
--- reads: public.readings
SELECT g, avg(value) FROM generate_series('2024-01-01'::timestamptz, '2024-01-02', '1 hour') g LEFT JOIN readings ON date_trunc('hour', taken) = g GROUP BY g ORDER BY g
--- case: documents to search, by the session's configuration
--- verdict: read
--- reads: public.articles
SELECT ts_rank_cd(search, q), ts_headline(body, q) FROM articles, websearch_to_tsquery('fat cat -dog') q WHERE search @@ q ORDER BY 1 DESC
--- case: documents to search, by a named configuration
--- verdict: read
--- reads: public.articles
SELECT setweight(to_tsvector('simple', title), 'A') || to_tsvector('english', body) @@ phraseto_tsquery('english', 'fat cat'), numnode('a & b'::tsquery), strip(search), ts_delete(search, 'cat') FROM articles
--- case: the statistics of words run the query in a text
--- verdict: opaque
--- writes: anything
--- reason: ts_stat
SELECT * FROM ts_stat('SELECT search FROM articles')
--- case: a query rewritten by a query in a text
--- verdict: opaque
--- writes: anything
--- reason: ts_rewrite
SELECT ts_rewrite('a & b'::tsquery, 'SELECT ''a''::tsquery, ''c''::tsquery')
--- case: JSON taken apart
--- verdict: read
--- reads: public.articles
SELECT doc -> 'a' ->> 'b', doc #> '{n,0}', raw -> 'a', doc ? 'a', doc ?| ARRAY['a', 'z'], doc ?& ARRAY['a'], doc - 'a', doc #- '{a,b}', doc || '{"c": 1}', doc @? '$.n[*] ? (@ > 1)', doc @@ '$.n[0] == 1' FROM articles
--- case: JSON made
--- verdict: read
--- reads: public.articles
SELECT to_json(title), to_jsonb(at), array_to_json(tags), row_to_json(a), json_build_object('id', id, 'tags', tags), jsonb_build_array(1, title), json_object('{a,1}'), jsonb_set(doc, '{a,b}', '2', false), jsonb_insert(doc, '{n,0}', '0'), jsonb_strip_nulls(doc), jsonb_pretty(doc) FROM articles a
--- case: JSON as rows
--- verdict: read
--- reads: public.articles
SELECT e.key, e.value, n, k FROM articles, jsonb_each(doc) e, jsonb_array_elements_text(doc -> 'n') n, json_object_keys(raw) k WHERE jsonb_typeof(doc -> 'n') = 'array'
--- case: JSON by a path
--- verdict: read
--- reads: public.articles
SELECT jsonb_path_query(doc, '$.n[*] ? (@ >= $min)', '{"min": 1}'), jsonb_path_exists(doc, '$.a'), jsonb_path_query_array_tz(doc, '$.n[*].double()') FROM articles
--- case: JSON gathered
--- verdict: read
--- reads: public.articles
SELECT json_agg(title ORDER BY id), jsonb_object_agg(title, price), json_agg(DISTINCT price) FILTER (WHERE price > 1) FROM articles
--- case: JSON in the standard's words
--- verdict: read
--- reads: public.articles
--- since: 16
SELECT JSON_OBJECT('code' VALUE title, 'n': pages ABSENT ON NULL), JSON_ARRAY(1, true, title), JSON_ARRAYAGG(title ORDER BY id), JSON_OBJECTAGG(title: price), body IS JSON OBJECT FROM articles GROUP BY id
--- case: JSON asked in the standard's words
--- verdict: read
--- reads: public.articles
--- since: 17
SELECT JSON_VALUE(doc, '$.a.b' RETURNING int), JSON_EXISTS(doc, '$.n'), JSON_QUERY(doc, '$.n') FROM articles
--- case: JSON as a table
--- verdict: read
--- reads: public.articles
--- since: 17
SELECT jt.* FROM articles, JSON_TABLE(doc, '$.n[*]' COLUMNS (id FOR ORDINALITY, n int PATH '$', ok boolean EXISTS PATH '$.a', NESTED PATH '$.b[*]' COLUMNS (b text DEFAULT 'x' ON EMPTY))) jt
--- case: JSON as a table of dates, which may spell a moment
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
--- since: 17
SELECT jt.* FROM articles, JSON_TABLE(doc, '$.n[*]' COLUMNS (d date PATH '$')) jt
--- case: a date out of JSON, which may spell a moment
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
--- since: 17
SELECT JSON_VALUE(doc, '$.d' RETURNING timestamptz) FROM articles
--- case: JSON made, read and written in the standard's words
--- verdict: read
--- reads: public.articles
--- since: 17
SELECT JSON('{"a": 1}' WITH UNIQUE KEYS), JSON_SCALAR(at), JSON_SERIALIZE(doc RETURNING bytea) FROM articles
--- case: JSON made into a row type
--- verdict: opaque
--- writes: anything
--- reason: the row type of public.readings
--- since: 17
SELECT JSON_QUERY(doc, '$' RETURNING readings) FROM articles
--- case: JSON poured into a row type
--- verdict: opaque
--- writes: anything
--- reason: jsonb_populate_record
SELECT * FROM jsonb_populate_record(NULL::articles, '{"id": 1}')
--- case: arrays
--- verdict: read
--- reads: public.articles
SELECT ARRAY[1, 4, 3] @> ARRAY[3, 1], tags <@ ARRAY['x', 'y'], array_append(tags, 'z'), array_cat(tags, tags), array_position(tags, 'y'), array_remove(tags, 'x'), array_to_string(tags, ','), cardinality(tags), array_fill(7, ARRAY[3]), unnest(tags) FROM articles
--- case: several arrays as rows
--- verdict: read
SELECT * FROM unnest(ARRAY[1, 2], ARRAY['foo', 'bar', 'baz']) AS x (a, b)
--- case: ranges
--- verdict: read
--- reads: public.articles
SELECT during -|- '[2024-01-01,2024-02-01)'::daterange, lower(during), isempty(during), during * daterange('2024-01-01', $1), range_merge(during, during) FROM articles
--- case: aggregates
--- verdict: read
--- reads: public.articles
SELECT count(*), count(DISTINCT title), sum(price), avg(pages), min(at), max(written), bool_and(price > 1), every(id = 1), string_agg(title, ',' ORDER BY id), array_agg(id), bit_or(pages), stddev_pop(price), corr(pages, id), regr_slope(pages, id) FROM articles
--- case: aggregates over an order
--- verdict: read
--- reads: public.articles
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price), percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY pages), mode() WITHIN GROUP (ORDER BY title), rank(5) WITHIN GROUP (ORDER BY pages) FROM articles
--- case: any of a group's values
--- verdict: read
--- reads: public.articles
--- since: 16
SELECT any_value(title) FROM articles GROUP BY pages
--- case: window functions
--- verdict: read
--- reads: public.articles
SELECT row_number() OVER w, dense_rank() OVER w, percent_rank() OVER w, ntile(4) OVER w, lag(price, 1, 0) OVER w, lead(title) OVER w, first_value(id) OVER w, cume_dist() OVER w FROM articles WINDOW w AS (ORDER BY price)
--- case: conditions
--- verdict: read
--- reads: public.articles
SELECT CASE WHEN price > 5 THEN 'dear' WHEN price > 1 THEN 'fair' ELSE 'cheap' END, CASE id WHEN 1 THEN 'one' END, COALESCE(title, body, '(none)'), NULLIF(title, ''), GREATEST(price, pages), LEAST(1, id) FROM articles
--- case: an enumeration of settings in the key
--- verdict: unstable
--- reason: current_setting
SELECT current_setting('datestyle')
--- case: who and where
--- verdict: unstable
--- reason: current_database
SELECT current_database(), current_schemas(true), inet_client_addr(), pg_backend_pid(), session_user
--- case: privileges
--- verdict: unstable
--- reason: has_table_privilege
SELECT has_table_privilege('public.articles', 'select')
--- case: the definition of an object
--- verdict: unstable
--- reason: pg_get_viewdef
--- unrun: there is no such view
SELECT pg_get_viewdef(1), format_type(25, -1), to_regclass('x')
--- case: the number of a transaction
--- verdict: unstable
--- reason: pg_current_xact_id
SELECT pg_current_xact_id()
--- case: sizes of tables
--- verdict: unstable
--- reason: pg_total_relation_size
SELECT pg_size_pretty(pg_total_relation_size('articles'))
--- case: a backend ended by another
--- verdict: opaque
--- writes: anything
--- reason: pg_terminate_backend
SELECT pg_terminate_backend(1)
--- case: a configuration file read again
--- verdict: opaque
--- writes: anything
--- reason: pg_reload_conf
SELECT pg_reload_conf()
--- case: a file of the server
--- verdict: opaque
--- writes: anything
--- reason: pg_read_file
SELECT pg_read_file('postgresql.conf')
--- case: the last value that this session got
--- verdict: unstable
--- reason: currval
--- unrun: the session got none
SELECT currval('serial'), lastval()
--- case: an advisory lock for the session
--- verdict: opaque
--- reason: pg_advisory_lock
SELECT pg_advisory_lock(1), pg_advisory_unlock(1)
--- case: a new UUID
--- verdict: unstable
--- reason: gen_random_uuid
SELECT gen_random_uuid()
--- case: the type of an expression
--- verdict: read
SELECT pg_typeof(1), pg_typeof('x'::text)
--- case: a text checked as a value of a type
--- verdict: opaque
--- writes: anything
--- reason: pg_input_is_valid
--- since: 16
SELECT pg_input_is_valid('42', 'integer')
--- case: statistics of the server
--- verdict: opaque
--- reason: pg_catalog.pg_stat_activity
SELECT state, count(*) FROM pg_stat_activity GROUP BY state
--- case: a large object made
--- verdict: opaque
--- writes: anything
--- reason: lo_creat
SELECT lo_create(0)
--- case: a large object put from a value
--- verdict: opaque
--- writes: anything
--- reason: lo_from_bytea
SELECT lo_from_bytea(0, '\xffffff00')
--- case: a large object taken from a file
--- verdict: opaque
--- writes: anything
--- reason: lo_import
SELECT lo_import('/etc/motd')
--- case: a table as XML runs what is behind the table
--- verdict: opaque
--- writes: anything
--- reason: table_to_xml
SELECT table_to_xml('articles', true, false, '')
--- case: a query in a text
--- verdict: opaque
--- writes: anything
--- reason: query_to_xml
SELECT query_to_xml('DELETE FROM articles RETURNING 1', true, false, '')
--- case: a query in a text by a cursor
--- verdict: opaque
--- writes: anything
--- reason: cursor_to_xml
SELECT cursor_to_xml('c', 1, true, false, '')
--- case: rows of bound JSON
--- verdict: read
--- reads: public.articles
SELECT a.title FROM jsonb_to_recordset($1::jsonb) AS x (id int, title varchar(20), tags text[]) JOIN articles a ON a.id = x.id AND a.title > x.title
--- case: dates out of JSON in a row
--- verdict: unstable
--- reads: public.articles
--- reason: text like 'now'
SELECT x.d FROM articles, jsonb_to_record(doc) AS x (d date)
--- case: JSON made into a row type of the database's own
--- verdict: opaque
--- writes: anything
--- reason: the row type of public.readings
SELECT * FROM json_to_record('{}') AS x (r readings)
--- case: JSON made into a record whose columns nobody defines
--- verdict: opaque
--- writes: anything
--- reason: json_to_record
--- unrun: PostgreSQL refuses it
SELECT json_to_record('{"a": 1}')
--- case: dates out of bound JSON, which may spell a moment in escapes
--- verdict: unstable
--- reason: text like 'now'
SELECT * FROM jsonb_to_recordset('[{"d": "\u006eow"}]') AS x (d timestamptz)
