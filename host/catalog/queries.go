package catalog

// The queries of one picture. They run with search_path = pg_catalog in one REPEATABLE READ transaction and name no
// column that PostgreSQL 15 lacks. "Built in" is what initdb made in pg_catalog: an object identifier below 16384.
const (
	// queryServer: server_version_num, whether the encoding is UTF-8, whether an unsafe cast, an unsafe comparison and an event
	// trigger exist. A cast by way of text (castmethod i) that needs no words is unsafe where the clock may read the text, or
	// code of the database's own. The event triggers that perihelion setup-sql prints do nothing to a session.
	queryServer = `
SELECT current_setting('server_version_num')::int,
       current_setting('server_encoding') = 'UTF8',
       EXISTS (SELECT FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
               WHERE p.provolatile <> 'i' AND NOT (p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace))
         OR EXISTS (SELECT FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget
                    WHERE c.castmethod = 'i' AND c.castcontext <> 'e' AND c.oid >= 16384
                      AND t.typcategory NOT IN ('B', 'E', 'G', 'I', 'N', 'S', 'T', 'V') AND t.oid NOT IN ('uuid'::regtype, 'json'::regtype, 'jsonb'::regtype, 'bytea'::regtype)),
       EXISTS (SELECT FROM (SELECT amprocfamily, amproc::oid FROM pg_amproc
                            UNION ALL SELECT a.amopfamily, o.oprcode FROM pg_amop a JOIN pg_operator o ON o.oid = a.amopopr) u(family, function)
               JOIN pg_opfamily f ON f.oid = u.family JOIN pg_am m ON m.oid = f.opfmethod JOIN pg_proc p ON p.oid = u.function
               WHERE m.amname IN ('btree', 'hash') AND p.provolatile <> 'i'
                 AND NOT (p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace)),
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname NOT IN ('perihelion_ddl', 'perihelion_drop'))`

	// queryRelations: temporary relations of this and other sessions and TOAST tables are left out. The last two columns tell
	// when a relation was written by TRUNCATE or REFRESH.
	queryRelations = `
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity,
       c.relhasrules AND (c.relkind NOT IN ('v', 'm') OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1')),
       c.reltuples::float8, c.relpersistence = 'u', c.xmin::text::int8, c.relfilenode
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
  AND n.nspname <> 'pg_toast' AND NOT starts_with(n.nspname::text, 'pg_temp_') AND NOT starts_with(n.nspname::text, 'pg_toast_')`

	// queryDateColumns: the names of columns that are a date or a time wherever they occur. Whatever has one of those
	// names, in whatever relation, is no text.
	queryDateColumns = `
SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
GROUP BY 1
HAVING bool_and(a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'time'::regtype, 'interval'::regtype))`

	queryInheritance = `SELECT inhparent, inhrelid FROM pg_inherits`

	// queryForeignKeys: the referenced table, the referencing one, and whether a change of the first changes the second.
	queryForeignKeys = `
SELECT confrelid, conrelid, bool_or(confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
FROM pg_constraint WHERE contype = 'f' GROUP BY 1, 2`

	// queryTriggers: relations with triggers, but for those that change nothing but the row at hand.
	queryTriggers = `
SELECT DISTINCT t.tgrelid FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND NOT (t.tgqual IS NULL AND (
  p.oid < 16384 AND p.proname IN ('suppress_redundant_updates_trigger', 'tsvector_update_trigger', 'tsvector_update_trigger_column')
  OR p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
     AND (p.probin, p.prosrc) IN (('$libdir/moddatetime', 'moddatetime'), ('$libdir/insert_username', 'insert_username'))))`

	// queryTypeFlags: relations with a column whose type is, or holds, time with time zone ('clock'), a domain whose checks or
	// default run code that is not known ('effects'), or one whose checks call what is built in and not immutable, or read
	// a text as another type ('unsteady'); and those domains themselves. A type holds another one
	// as a domain over it, an array, a range or a multirange of it, or a row with such a column.
	queryTypeFlags = impure + `,
domain(oid) AS (
  SELECT k.contypid FROM pg_constraint k JOIN impure_object i ON i.classid = 'pg_constraint'::regclass AND i.objid = k.oid
  WHERE k.contypid <> 0
  UNION
  SELECT t.oid FROM pg_type t JOIN impure_object i ON i.classid = 'pg_type'::regclass AND i.objid = t.oid
  WHERE t.typtype = 'd'),
seed(flag, oid) AS (
  SELECT 'clock', t FROM unnest('{timetz,timetz[]}'::regtype[]::oid[]) t
  UNION ALL SELECT 'effects', oid FROM domain
  UNION ALL SELECT 'unsteady', k.contypid FROM pg_constraint k
  WHERE k.contypid <> 0 AND (k.conbin::text ~ '[{](SQLVALUEFUNCTION|COERCEVIAIO)'
    OR EXISTS (SELECT FROM regexp_matches(k.conbin::text, ':(?:opfuncid|funcid) ([0-9]+)', 'g') m
               JOIN pg_proc f ON f.oid = m[1]::oid WHERE f.provolatile <> 'i' AND f.oid < 16384))),
part(inner_type, outer_type) AS MATERIALIZED (
  SELECT typbasetype, oid FROM pg_type WHERE typbasetype <> 0
  UNION ALL SELECT typelem, oid FROM pg_type WHERE typelem <> 0
  UNION ALL SELECT rngsubtype, rngtypid FROM pg_range
  UNION ALL SELECT rngsubtype, rngmultitypid FROM pg_range
  UNION ALL SELECT a.atttypid, c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.atttypid >= 16384 OR a.atttypid IN (SELECT oid FROM seed))),
holder(flag, oid) AS (
  SELECT flag, oid FROM seed
  UNION SELECT h.flag, p.outer_type FROM holder h JOIN part p ON p.inner_type = h.oid)
SELECT h.flag, h.oid, coalesce(c.oid, 0::oid)
FROM holder h JOIN pg_type t ON t.oid = h.oid LEFT JOIN pg_class c ON c.oid = t.typrelid`

	// querySideEffects: relations on which a default, a generated column, a check or an index runs code that is not known.
	querySideEffects = impure + `
SELECT a.adrelid FROM pg_attrdef a JOIN impure_object i ON i.classid = 'pg_attrdef'::regclass AND i.objid = a.oid
UNION SELECT k.conrelid FROM pg_constraint k
  JOIN impure_object i ON i.classid = 'pg_constraint'::regclass AND i.objid = k.oid WHERE k.conrelid <> 0
UNION SELECT x.indrelid FROM pg_index x JOIN impure_object i ON i.classid = 'pg_class'::regclass AND i.objid = x.indexrelid`

	// queryPolicies: relations with a policy that runs code that is not known. What is built in leaves no dependency, so the
	// functions are read from the stored expressions as well: those behind operators and casts are never volatile.
	queryPolicies = impure + `
SELECT p.polrelid FROM pg_policy p
WHERE EXISTS (SELECT FROM impure_object i WHERE i.classid = 'pg_policy'::regclass AND i.objid = p.oid)
   OR EXISTS (SELECT FROM regexp_matches(concat(p.polqual::text, p.polwithcheck::text), ':funcid ([0-9]+)', 'g') m
              JOIN pg_proc f ON f.oid = m[1]::oid WHERE f.provolatile = 'v')`

	// impure is the head of several queries: the objects that depend on a function, directly, through an operator or through
	// a domain, which is neither built in nor immutable. Dependencies on what is built in are not recorded, so the stored
	// expressions are searched for the built-in functions that run code of the database's own, or change more than a value.
	impure = `
WITH RECURSIVE impure_function(oid) AS MATERIALIZED (
  SELECT p.oid FROM pg_proc p
  WHERE p.provolatile <> 'i' AND NOT (p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace) AND ` + module + ` IS NULL),
calls(pattern) AS MATERIALIZED (
  SELECT ':funcid (' || string_agg(oid::text, '|') || ') ' FROM pg_proc
  WHERE oid < 16384 AND pronamespace = 'pg_catalog'::regnamespace AND CASE provolatile
    WHEN 'v' THEN proname NOT IN ('nextval', 'currval', 'lastval', 'random', 'random_normal', 'gen_random_uuid', 'uuidv4', 'uuidv7',
      'clock_timestamp', 'timeofday', 'pg_notify', 'setseed')
    ELSE proname ~ '(_to_xml(schema)?(_and_xmlschema)?|^(domain|record|array|range|multirange)_(in|recv)|^jsonb?_(populate|to)_record(set|_valid)?|^pg_input_(is_valid|error_info))$' END),
impure_object(classid, objid) AS (
  SELECT d.classid, d.objid FROM pg_depend d
  WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM impure_function)
  UNION
  SELECT d.classid, d.objid FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
  WHERE d.refclassid = 'pg_operator'::regclass AND o.oprcode IN (SELECT oid FROM impure_function)
  UNION SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a, calls WHERE a.adbin::text ~ pattern
  UNION SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k, calls WHERE k.conbin::text ~ pattern
  UNION SELECT 'pg_type'::regclass, t.oid FROM pg_type t, calls WHERE t.typtype = 'd' AND t.typdefaultbin::text ~ pattern
  UNION SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p, calls WHERE concat(p.polqual::text, p.polwithcheck::text) ~ pattern
  UNION
  SELECT d.classid, d.objid FROM impure_object i
    LEFT JOIN pg_constraint k ON i.classid = 'pg_constraint'::regclass AND k.oid = i.objid
    JOIN pg_type t ON t.oid = CASE WHEN i.classid = 'pg_type'::regclass THEN i.objid ELSE k.contypid END AND (t.typtype = 'd' OR t.typcategory = 'A')
    JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid)`

	// module is what a function p is in PostgreSQL's own modules, as "library.symbol", if it does nothing but compute a value, be it
	// by chance or by a setting. Only a superuser can make a function in C, so that the symbol says what the code is.
	module = `(SELECT m.library || '.' || m.symbol FROM (VALUES
  ('pg_stat_statements', 'pg_stat_statements_1_8'), ('pg_stat_statements', 'pg_stat_statements_1_9'), ('pg_stat_statements', 'pg_stat_statements_1_10'),
  ('pg_stat_statements', 'pg_stat_statements_1_11'), ('pg_stat_statements', 'pg_stat_statements_1_12'), ('pg_stat_statements', 'pg_stat_statements_info'),
  ('pg_trgm', 'show_limit'), ('pg_trgm', 'similarity_op'), ('pg_trgm', 'strict_word_similarity_commutator_op'),
  ('pg_trgm', 'strict_word_similarity_op'), ('pg_trgm', 'word_similarity_commutator_op'), ('pg_trgm', 'word_similarity_op'),
  ('pgcrypto', 'pg_gen_salt'), ('pgcrypto', 'pg_gen_salt_rounds'), ('pgcrypto', 'pg_random_bytes'), ('pgcrypto', 'pg_random_uuid'),
  ('pgcrypto', 'pgp_pub_encrypt_bytea'), ('pgcrypto', 'pgp_pub_encrypt_text'), ('pgcrypto', 'pgp_sym_encrypt_bytea'), ('pgcrypto', 'pgp_sym_encrypt_text'),
  ('tablefunc', 'normal_rand'), ('unaccent', 'unaccent_dict'),
  ('uuid-ossp', 'uuid_generate_v1'), ('uuid-ossp', 'uuid_generate_v1mc'), ('uuid-ossp', 'uuid_generate_v4')) m(library, symbol)
WHERE p.probin = '$libdir/' || m.library AND p.prosrc = m.symbol AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c'))`

	// queryFunctions: the volatility that pg_proc states for an aggregate is a constant, so where it is not built in the
	// worst of the functions that it is made of counts ('i' < 's' < 'v'); its first state is read from a text when it is
	// called. A default that is more than a constant makes its function volatile, as does a domain whose checks do: they run
	// on what goes in and comes out. "any", anyelement, record and the like take a row.
	queryFunctions = `
SELECT p.oid, p.proname::text, n.nspname::text, f.builtin,
  CASE WHEN f.code_unseen THEN 'v'
       WHEN p.prokind = 'a' AND NOT f.builtin
       THEN (SELECT max(q.provolatile::text) FROM pg_aggregate a JOIN pg_proc q ON q.oid IN (a.aggtransfn, a.aggfinalfn,
               a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
             WHERE a.aggfnoid = p.oid)
       ELSE p.provolatile::text END,
  p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 + (p.provariadic <> 0)::int
    AND (p.proargtypes[0] IN ('"any"'::regtype, 'anyelement'::regtype, 'anynonarray'::regtype, 'anycompatible'::regtype,
           'anycompatiblenonarray'::regtype, 'record'::regtype)
         OR EXISTS (SELECT FROM pg_type t LEFT JOIN pg_type b ON b.oid = t.typbasetype
                    WHERE t.oid = p.proargtypes[0] AND t.oid >= 16384 AND 'c' IN (t.typtype, b.typtype))),
  p.prorettype = ANY ($1) OR p.proargtypes::oid[] && $1 OR coalesce(p.proallargtypes && $1, false),
  CASE WHEN f.builtin AND p.provolatile <> 'i'
       THEN (SELECT coalesce(string_agg(t.typname::text, ',' ORDER BY u.i), '')
             FROM unnest(p.proargtypes) WITH ORDINALITY u(t, i) JOIN pg_type t ON t.oid = u.t)
       ELSE '' END,
  p.pronargs - p.pronargdefaults - (p.provariadic <> 0)::int, CASE WHEN p.provariadic <> 0 THEN -1 ELSE p.pronargs END,
  p.prosqlbody IS NOT NULL AND NOT f.builtin AND NOT f.code_unseen,
  CASE WHEN p.probin IS NULL OR f.builtin OR f.code_unseen THEN '' ELSE coalesce(` + module + `, '') END
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
  LATERAL (SELECT p.oid < 16384 AND n.nspname = 'pg_catalog' AS builtin, p.oid >= 16384 AND (
             p.pronargdefaults > 0 AND strpos(replace(p.proargdefaults::text, '{CONST ', ''), '{') > 0
             OR p.prorettype = ANY ($2) OR p.proargtypes::oid[] && $2 OR coalesce(p.proallargtypes && $2, false)
             OR p.prokind = 'a' AND EXISTS (SELECT FROM pg_aggregate a WHERE a.aggfnoid = p.oid AND (
               concat_ws(' ', a.agginitval, a.aggminitval) ~* '(now|today|tomorrow|yesterday)' OR ARRAY[a.aggtranstype, a.aggmtranstype] && $2))
             ) AS code_unseen) f
WHERE NOT starts_with(n.nspname::text, 'pg_temp_')`

	// queryOperators: the planner may put an operator's commutator or negator in its place, and theirs, so that the worst of them
	// counts where it is not built in. A domain whose checks run code that is not known makes it volatile, as it does a function.
	queryOperators = `
WITH RECURSIVE impure_operator(oid, volatility) AS MATERIALIZED (
  SELECT o.oid, CASE WHEN c.checked THEN 'v' ELSE coalesce(p.provolatile::text, 'v') END FROM pg_operator o LEFT JOIN pg_proc p ON p.oid = o.oprcode,
    LATERAL (SELECT ARRAY[o.oprleft, o.oprright, o.oprresult] && $1 AS checked) c
  WHERE o.oid >= 16384 AND (c.checked OR coalesce(p.provolatile, 'v') <> 'i')
  UNION SELECT x.oid, i.volatility FROM impure_operator i JOIN pg_operator x ON x.oid >= 16384 AND i.oid IN (x.oprcom, x.oprnegate)),
worst(oid, volatility) AS MATERIALIZED (SELECT oid, max(volatility) FROM impure_operator GROUP BY oid)
SELECT o.oid, o.oprname::text, n.nspname::text, f.builtin, coalesce(w.volatility, p.provolatile::text, 'v'),
  CASE WHEN f.builtin AND p.provolatile <> 'i'
       THEN concat_ws(',', l.typname::text, r.typname::text) ELSE '' END,
  CASE WHEN p.probin IS NULL OR f.builtin OR w.volatility = 'v' THEN '' ELSE coalesce(` + module + `, '') END
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace LEFT JOIN pg_proc p ON p.oid = o.oprcode
  LEFT JOIN pg_type l ON l.oid = o.oprleft LEFT JOIN pg_type r ON r.oid = o.oprright LEFT JOIN worst w ON w.oid = o.oid,
  LATERAL (SELECT o.oid < 16384 AND n.nspname = 'pg_catalog'
             AND coalesce(p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace, false) AS builtin) f
WHERE NOT starts_with(n.nspname::text, 'pg_temp_')`

	// queryTypes leaves out the row types of relations (a composite type of its own has relkind 'c') and the arrays of
	// what is not built in, of which there are two for each table.
	queryTypes = `
SELECT t.oid, t.typname::text, n.nspname::text, t.oid < 16384 AND n.nspname = 'pg_catalog', t.typtype::text,
  CASE WHEN t.typcategory = 'A' THEN coalesce(e.typname::text, '') ELSE '' END, coalesce(p.provolatile::text, 'v'),
  coalesce(nullif(t.typbasetype, 0), r.rngsubtype, 0)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type e ON e.oid = t.typelem
  LEFT JOIN pg_proc p ON p.oid = t.typinput
  LEFT JOIN pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)
WHERE (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
  AND (t.typcategory <> 'A' OR t.oid < 16384)
  AND NOT starts_with(n.nspname::text, 'pg_temp_') AND NOT starts_with(n.nspname::text, 'pg_toast')`

	// queryBodies: the code of views and materialized views, and of SQL functions that keep it as such, as node trees. What
	// PostgreSQL brought is left out: a statement that reads its views is never cached, and its functions are known.
	queryBodies = `
SELECT w.ev_class, true, w.ev_action::text
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
WHERE w.ev_type = '1' AND c.relkind IN ('v', 'm') AND c.oid >= 16384
UNION ALL
SELECT oid, false, prosqlbody::text FROM pg_proc WHERE prosqlbody IS NOT NULL AND oid >= 16384`

	// querySettings: what ALTER ROLE and ALTER DATABASE … SET give a new session, with what tells one row's versions apart,
	// and of some settings the value in it; before them the server's own, where this session's role hides it not. What
	// counts more comes later: every role and database, the database, the role, the role in the database.
	querySettings = `
SELECT s.setdatabase, s.setrole, s.xmin::text, s.setconfig::text,
  (SELECT substr(c, strpos(c, '=') + 1) FROM unnest(s.setconfig) c WHERE starts_with(c, 'default_transaction_isolation=')),
  (SELECT substr(c, strpos(c, '=') + 1) FROM unnest(s.setconfig) c WHERE starts_with(c, 'search_path=')),
  (SELECT substr(c, strpos(c, '=') + 1) FROM unnest(s.setconfig) c WHERE starts_with(lower(c), 'perihelion.consistency=')),
  EXISTS (SELECT FROM unnest(s.setconfig) c WHERE starts_with(c, 'role=') OR starts_with(c, 'session_authorization=')),
  1 + (s.setrole <> 0)::int * 2 + (s.setdatabase <> 0)::int AS weight
FROM pg_db_role_setting s
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = $1))
  AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = $2))
UNION ALL
SELECT 0, 0, coalesce(md5(string_agg(name || '=' || reset_val, ',' ORDER BY name) FILTER (WHERE source = 'configuration file')), ''), '',
  max(reset_val) FILTER (WHERE name = 'default_transaction_isolation'
    AND source IN ('default', 'environment variable', 'configuration file', 'command line')),
  max(reset_val) FILTER (WHERE name = 'search_path' AND NOT EXISTS (
    SELECT FROM pg_db_role_setting s, unnest(s.setconfig) c
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) AND starts_with(c, 'search_path='))),
  max(reset_val) FILTER (WHERE name = 'perihelion.consistency' AND source = 'configuration file'),
  false, 0
FROM pg_settings
ORDER BY weight`
)
