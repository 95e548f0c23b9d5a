-- Queries, by PostgreSQL's documentation, chapter 7 and the page of SELECT: table expressions, select lists, sets of rows
-- combined, sorted and cut, VALUES, WITH, and row locks.
--- setup
CREATE SCHEMA s;
CREATE TABLE public.weather (city text, temp_lo int, temp_hi int, prcp real, date date);
CREATE TABLE public.cities (name text PRIMARY KEY, location point);
CREATE TABLE public.films (code char(5) PRIMARY KEY, title varchar(40), did int, date_prod date, kind varchar(10), len interval);
CREATE TABLE public.distributors (did int PRIMARY KEY, name varchar(40), parent int);
CREATE TABLE public.sales (brand text, size text, sales int, amount numeric(10, 2), region text, product text);
CREATE TABLE public.tree (id int, link int, data text, path int[]);
CREATE TABLE s.employees (employee_name text, department text, manager_name text, salary numeric);
CREATE VIEW public.comedies AS SELECT * FROM public.films WHERE kind = 'Comedy' WITH CASCADED CHECK OPTION;
CREATE MATERIALIZED VIEW public.regional AS SELECT region, sum(amount) AS amount FROM public.sales GROUP BY region;
CREATE FUNCTION public.distributors_of(int) RETURNS SETOF public.distributors LANGUAGE sql STABLE BEGIN ATOMIC SELECT * FROM public.distributors WHERE did = $1; END;
INSERT INTO public.weather VALUES ('San Francisco', 46, 50, 0.25, '1994-11-27');
INSERT INTO public.films VALUES ('UA502', 'Bananas', 105, '1971-07-13', 'Comedy', '82 minutes');
INSERT INTO public.distributors VALUES (105, 'Jean', NULL);
INSERT INTO public.tree VALUES (1, NULL, 'root', '{1}'), (2, 1, 'leaf', '{1,2}');
INSERT INTO public.sales VALUES ('Foo', 'L', 10, 1.5, 'EU', 'x');
--- case: a cross join
--- verdict: read
--- reads: public.cities public.weather
SELECT * FROM weather CROSS JOIN cities
--- case: a join by a list of columns
--- verdict: read
--- reads: public.distributors public.films
SELECT * FROM films JOIN distributors USING (did)
--- case: a join by a list of columns that gets a name
--- verdict: read
--- reads: public.distributors public.films
SELECT j.did FROM films JOIN distributors USING (did) AS j
--- case: a natural join
--- verdict: read
--- reads: public.distributors public.films
SELECT * FROM films NATURAL LEFT JOIN distributors
--- case: full and right outer joins in brackets
--- verdict: read
--- reads: public.distributors public.films s.employees
SELECT * FROM (films f FULL OUTER JOIN distributors d ON f.did = d.did) RIGHT JOIN s.employees e ON e.employee_name = d.name
--- case: a join of a table with itself under two names
--- verdict: read
--- reads: public.weather
SELECT w1.city, w2.city FROM weather w1 JOIN weather w2 ON w1.temp_lo < w2.temp_lo AND w1.temp_hi > w2.temp_hi
--- case: a subquery in FROM with names for its columns
--- verdict: read
--- reads: public.films
SELECT x.a FROM (SELECT code, title FROM films) AS x (a, b) WHERE x.b LIKE 'B%'
--- case: rows of constants in FROM
--- verdict: read
SELECT * FROM (VALUES ('anne', 'smith'), ('bob', 'jones')) AS names (first, last)
--- case: a table function with names and types for its columns
--- verdict: read
SELECT * FROM json_to_recordset('[{"a":1,"b":"x"}]') AS x (a int, b text)
--- case: several functions side by side, and their numbers
--- verdict: read
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'b'])) WITH ORDINALITY AS x (n, s, o)
--- case: a function of the database's own in FROM
--- verdict: read
--- reads: public.distributors
SELECT d.name FROM distributors_of(105) d
--- case: a lateral join to such a function
--- verdict: read
--- reads: public.distributors public.films
SELECT f.title, d.name FROM films f LEFT JOIN LATERAL distributors_of(f.did) d ON true
--- case: a lateral subquery
--- verdict: read
--- reads: public.cities public.weather
SELECT c.name, w.temp_hi FROM cities c, LATERAL (SELECT * FROM weather WHERE city = c.name ORDER BY date DESC LIMIT 1) w
--- case: a sample that can be repeated
--- verdict: unstable
--- reads: public.weather
--- reason: samples a table
SELECT count(*) FROM weather TABLESAMPLE SYSTEM (10) REPEATABLE (42)
--- case: groups, and groups left out
--- verdict: read
--- reads: public.weather
SELECT city, count(*), max(temp_lo) FILTER (WHERE temp_hi > 45) FROM weather GROUP BY city HAVING max(temp_lo) < 40
--- case: grouping sets
--- verdict: read
--- reads: public.sales
SELECT brand, size, sum(sales), GROUPING(brand, size) FROM sales GROUP BY GROUPING SETS ((brand), (size), ())
--- case: cubes and rollups, each once
--- verdict: read
--- reads: public.sales
SELECT brand, region, sum(amount) FROM sales GROUP BY DISTINCT ROLLUP (brand, size), CUBE (region)
--- case: windows with frames
--- verdict: read
--- reads: s.employees
SELECT department, salary, avg(salary) OVER w, nth_value(salary, 2) OVER (PARTITION BY department ORDER BY salary GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES)
FROM s.employees WINDOW w AS (PARTITION BY department ORDER BY salary RANGE BETWEEN 100 PRECEDING AND UNBOUNDED FOLLOWING)
--- case: a window over days
--- verdict: read
--- reads: public.weather
SELECT sum(prcp) OVER (ORDER BY date RANGE BETWEEN '1 day' PRECEDING AND '10 days' FOLLOWING) FROM weather
--- case: the first of each
--- verdict: read
--- reads: public.weather
SELECT DISTINCT ON (city) city, date, temp_hi FROM weather ORDER BY city, date DESC NULLS LAST
--- case: union, intersection and difference
--- verdict: read
--- reads: public.cities public.distributors public.films
(SELECT name FROM cities INTERSECT SELECT name FROM distributors) EXCEPT ALL SELECT title FROM films ORDER BY 1 LIMIT 10
--- case: sorted by an operator
--- verdict: read
--- reads: public.weather
SELECT city FROM weather ORDER BY temp_lo USING >, lower(city) COLLATE "C" DESC
--- case: the rows that tie
--- verdict: read
--- reads: public.weather
SELECT * FROM weather ORDER BY temp_hi OFFSET 1 ROWS FETCH NEXT 3 ROWS WITH TIES
--- case: a limit that is computed
--- verdict: read
--- reads: public.cities public.weather
SELECT city FROM weather LIMIT (SELECT count(*) FROM cities) OFFSET $1
--- case: VALUES by itself
--- verdict: read
VALUES (1, 'one'), (2, 'two'), (3, 'three') ORDER BY 2 DESC
--- case: TABLE by itself
--- verdict: read
--- reads: public.cities
TABLE cities ORDER BY name
--- case: a select of no columns
--- verdict: read
--- reads: public.cities
SELECT FROM cities
--- case: two common table expressions, one in the other
--- verdict: read
--- reads: public.sales
WITH regional_sales AS (SELECT region, sum(amount) AS total FROM sales GROUP BY region), top AS (SELECT region FROM regional_sales WHERE total > (SELECT sum(total) / 10 FROM regional_sales))
SELECT region, product, sum(amount) FROM sales WHERE region IN (SELECT region FROM top) GROUP BY region, product
--- case: a series by recursion
--- verdict: read
WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
--- case: a tree searched depth first
--- verdict: read
--- reads: public.tree
WITH RECURSIVE search_tree (id, link, data) AS (SELECT t.id, t.link, t.data FROM tree t UNION ALL SELECT t.id, t.link, t.data FROM tree t, search_tree st WHERE t.id = st.link)
SEARCH DEPTH FIRST BY id SET ordercol SELECT * FROM search_tree ORDER BY ordercol
--- case: a graph whose cycles are found
--- verdict: read
--- reads: public.tree
WITH RECURSIVE g (id, link) AS (SELECT id, link FROM tree UNION ALL SELECT t.id, t.link FROM tree t JOIN g ON t.id = g.link) CYCLE id SET is_cycle USING visited SELECT * FROM g
--- case: a common table expression that must be computed once
--- verdict: read
--- reads: public.films
WITH w AS MATERIALIZED (SELECT * FROM films), v AS NOT MATERIALIZED (SELECT * FROM w) SELECT * FROM w w1 JOIN v ON w1.code = v.code
--- case: a common table expression in a subquery of another
--- verdict: read
--- reads: public.films
SELECT (WITH a AS (SELECT 1 AS films) SELECT films FROM a) FROM films
--- case: an expression that is a row
--- verdict: read
--- reads: public.films
SELECT ROW(code, title), ROW(f.*) = ROW(f.*) FROM films f WHERE (did, kind) IN (SELECT 105, 'Comedy') AND (did, code) >= (1, 'A')
--- case: an array out of a subquery
--- verdict: read
--- reads: public.distributors public.films
SELECT ARRAY(SELECT title FROM films f WHERE f.did = d.did ORDER BY 1) FROM distributors d
--- case: a subquery compared with all and some
--- verdict: read
--- reads: public.weather
SELECT city FROM weather WHERE temp_lo = (SELECT max(temp_lo) FROM weather) OR temp_hi > ALL (SELECT temp_lo FROM weather) OR city <> SOME (SELECT city FROM weather)
--- case: a view with a check option
--- verdict: read
--- reads: public.films
SELECT title FROM comedies WHERE date_prod > '1970-01-01'
--- case: a materialized view stands for itself
--- verdict: read
--- reads: public.regional
SELECT * FROM regional WHERE amount > 1
--- case: a row lock
--- verdict: opaque
--- reason: FOR UPDATE
SELECT * FROM films WHERE kind = 'Comedy' FOR UPDATE
--- case: a row lock of one of two tables that does not wait
--- verdict: opaque
--- reason: FOR SHARE
SELECT * FROM films f JOIN distributors d USING (did) FOR SHARE OF d NOWAIT
--- case: two row locks, of which the stronger counts
--- verdict: opaque
--- reason: locks rows
SELECT * FROM films f, distributors d FOR KEY SHARE OF f SKIP LOCKED FOR NO KEY UPDATE OF d
--- case: a row lock on a view
--- verdict: opaque
--- reason: FOR UPDATE
SELECT * FROM comedies FOR UPDATE
--- case: deleted rows moved by WITH
--- verdict: write
--- writes: public.sales public.tree
--- reason: writes to public.sales, public.tree
WITH moved AS (DELETE FROM sales WHERE brand = 'Foo' RETURNING *) INSERT INTO tree (data) SELECT brand FROM moved
--- case: a write in WITH that the query does not look at
--- verdict: write
--- writes: public.films
--- reason: writes to public.films
WITH t AS (UPDATE films SET len = len * 2) SELECT * FROM distributors
--- case: SELECT INTO an ordinary table
--- verdict: schema
--- writes: anything
--- reason: SELECT INTO
SELECT * INTO films_recent FROM films WHERE date_prod >= '2002-01-01'
--- case: SELECT INTO a temporary table
--- verdict: schema
--- writes: anything
--- reason: SELECT INTO
--- session: untracked
SELECT * INTO TEMP films_recent FROM films
