package oracle

// constants are what stands for a kind where no source has a column of it.
var constants = map[string][]string{
	"int":   {"1", "5", "-2", "'3'::int"},
	"text":  {"'x'", "'now'", `E'a\'b'`, "$$d;$$", `U&'\0061'`},
	"when":  {"'2024-05-05'", "'now'"},
	"date":  {"date '2024-01-03'", "'2024-01-04'::date", "'today'::date"},
	"ts":    {"timestamptz '2024-01-02 00:00+00'", "'2024-01-02'::timestamptz", "'now'::timestamptz"},
	"num":   {"1.5", "2.25::numeric(10,2)"},
	"float": {"0.1::float8", "1e2::float8"},
	"wild":  {"4", "NULL::int"},
	"enum":  {"'sad'::a.mood", "'now'::a.mood"},
	"other": {"NULL::int", `'{"k": [1]}'::jsonb`, "ARRAY[1, 2]", "interval '1 day 3:00'", `'\x61'::bytea`, "0.1::float4"},
}

// expressions are made of others, in braces.
var expressions = map[string][]string{
	"int": {
		"({int} + {int})", "abs({int})", "length({text})", "extract(year FROM {ts})::int", "extract(hour FROM {ts})::int", "coalesce({int}, 0)", "nullif({int}, 3)", "greatest({int}, 2)",
		"(SELECT count(*)::int FROM {relation} z WHERE z.id > {int})", "CASE {int} WHEN 1 THEN 10 ELSE {int} END", "CASE WHEN {condition} THEN {int} ELSE 2 END", "({date} - date '2024-01-01')",
		"array_length(string_to_array({text}, 'o'), 1)", "(SELECT max(z.n) FROM {relation} z)", "random()::int", "({num})::int", "({int})::a.pos", "coalesce({wild}, '7')", "CASE WHEN {condition} THEN {wild} ELSE '4' END", "mod({int}, 7)", "cardinality(ARRAY(SELECT z.id FROM {relation} z))",
		"date_part('month', {date})::int", "(ARRAY[{int}, {int}])[1]", "jsonb_array_length('[1, 2]'::jsonb)", "CAST({int} AS bigint)::int", "(SELECT z.id FROM {relation} z ORDER BY z.id LIMIT 1)",
	},
	"text": {
		"lower({text})", "{text} || {text}", "({ts})::text", "({date})::text", "to_char({ts}, 'YYYY-MM-DD HH24:MI TMMonth')", "({enum})::text", "concat({any}, '-', {ts})", "format('%s/%s', {any}, {float})",
		"upper({text})", "(SELECT string_agg(z.id::text, '+' ORDER BY z.id) FROM {relation} z)", "to_char({num}, '9G999D99')", "({float})::text", "json_build_object('a', {any}, 'b', {ts})::text", "pg_typeof({enum})::text",
		"current_user::text", "('(' || {int} || ')')", "regexp_replace({text}, 'a', 'b')", "to_tsvector({text})::text", "({other})::text", "quote_literal({date})", "({num})::money::text", "current_setting('timezone')",
		"coalesce({text}, {text})", "(SELECT z.txt FROM {table} z WHERE z.id = {int} ORDER BY z::text LIMIT 1)", "({ts} AT TIME ZONE 'UTC')::text", "substr({text}, 1, 2)", "({ts} - {ts})::text", "jsonb_build_object('t', {ts}) ->> 't'",
		"({when})::timestamp::text", "array_to_string(ARRAY[{date}], ',')", "('no' || 'w')::timestamptz::text", "({when})::time::text", "upper(('[' || {when} || ',]')::tstzrange)::text", "string_to_array({when}, ',')::timestamptz[]::text",
	},
	"when": {"coalesce({when}, 'now')", "'no' || 'w'", "(SELECT max(z.w) FROM {table} z)", "({date})::text", "CASE WHEN {condition} THEN {when} ELSE 'now' END", "lower({when})"},
	"date": {
		"({when})::date", "({ts})::date", "date '2024-02-02'", "date 'tomorrow'", "({date} + 1)", "date_trunc('month', {ts})::date", "CASE WHEN {condition} THEN {date} ELSE '2024-01-01' END", "date({ts})", "to_date('2024 3', 'YYYY DDD')",
	},
	"ts": {
		"({when})::timestamptz", "({date})::timestamptz", "({ts} + interval '1 day')", "date_trunc('day', {ts})", "make_timestamptz(2024, 1, 2, 10, 0, 0)", "now()", "coalesce({ts}, current_timestamp)",
		"({ts} AT TIME ZONE 'UTC')::timestamptz", "greatest({ts}, {ts})", "to_timestamp('2024 ' || abs({int})::text, 'YYYY DDD')", "timestamptz '2024-06-01 12:00'", "CAST({when} AS timestamptz)", "timestamptz({date})", "to_timestamp({float})",
	},
	"wild":  {"coalesce({wild}, '7')", "greatest({wild}, '6')"},
	"num":   {"({int})::numeric(10,2)", "round({num}, 1)", "abs({num})", "({float})::numeric(10,2)"},
	"float": {"({int}) / 3.0::float8", "({num})::float8", "sqrt(abs({float}))"},
	"enum":  {"enum_first(NULL::a.mood)", "coalesce({enum}, 'ok')", "(enum_range(NULL::a.mood))[2]"},
	"other": {"to_jsonb({int})", "ARRAY[{int}, {int}]", "({ts} - {ts})", "jsonb_build_array({ts}, {date})", "ARRAY[{ts}]", "ROW({ts}, {float})", "age({ts}, {ts})"},
}

// disguises are subqueries of one column ts: a text under a name that a date has elsewhere, and a date under its own.
var disguises = []string{
	"SELECT y.d::timestamptz AS ts FROM (SELECT '2024-01-05' AS d UNION ALL SELECT z.w FROM {table} z) y", "SELECT d::timestamptz AS ts FROM (SELECT z.d FROM {table} z) y",
	`SELECT "coalesce"::timestamptz AS ts FROM (SELECT coalesce(z.w, '2024-01-01') FROM {table} z) y`, `SELECT "case"::timestamptz AS ts FROM (SELECT CASE WHEN z.id > 0 THEN z.w END FROM {table} z) y`,
	"WITH y(d) AS (SELECT z.w FROM {table} z) SELECT d::timestamptz AS ts FROM y", "SELECT y.d::timestamptz AS ts FROM {table} z, LATERAL (VALUES (z.w)) AS y(d)",
	"SELECT max(y.d)::timestamptz AS ts FROM (SELECT z.w AS d FROM {table} z) y", "SELECT d::timestamptz AS ts FROM (SELECT z.w AS q, z.w FROM {table} z) AS y(q, d)",
	"SELECT (y).d::timestamptz AS ts FROM (SELECT z.w AS d FROM {table} z) y", "SELECT d::timestamptz AS ts FROM (SELECT NULL AS d EXCEPT SELECT 'x' UNION SELECT z.w FROM {table} z) y",
	"WITH RECURSIVE y AS (SELECT '2024-01-05' AS d, 1 AS k UNION ALL SELECT z.w, y.k + 1 FROM y, {table} z WHERE y.k < 2) SELECT d::timestamptz AS ts FROM y",
}

// conditions are expressions of the kind bool.
var conditions = []string{
	"{int} {=} {int}", "{int} {=} {int}", "{int} BETWEEN 1 AND {int}", "{text} LIKE '%o%'", "{int} IN (1, 2, {int})", "{int} = ANY (ARRAY[1, 3, 5, {int}])", "{int} {=} ANY (SELECT z.n FROM {relation} z)",
	"EXISTS (SELECT FROM {relation} z WHERE z.id = {int})", "NOT {condition}", "{condition} AND {condition}", "({condition} OR {condition})", "{ts} >= {ts}", "{date} < {ts}", "{text} IS NOT NULL", "{int} IS DISTINCT FROM {int}",
	"{enum} <= {enum}", "({int}, {text}) IN (SELECT z.id, z.txt FROM {table} z)", "{text} ~ '^[a-d]'", "{date} = '2024-01-03'", "{ts} > 'now'", "{ts} > '2024-01-02 12:00'", "'[now,]'::tstzrange IS NULL", "{num} > 2.5", "true",
	"{ts} <@ '[2024-01-01,2024-01-03)'::tstzrange", "{enum} < {ts}", "to_tsvector({text}) @@ to_tsquery('now')", "{date} BETWEEN date '2024-01-01' AND '2024-01-05'", "{int} NOT IN (SELECT z.id FROM {relation} z WHERE z.id IS NOT NULL)",
}
