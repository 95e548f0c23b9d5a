package analyze

// What follows is data, reviewed line by line; a test holds each line against a live catalog.

// reviewedFunctions are built-in functions that are stable only because of what the key of an entry holds or a schema
// change voids. A line is a signature and the reason why it may be part of a Read.
var reviewedFunctions = map[string]string{
	"array_to_json(anyarray)":                                "output of the elements: DateStyle, IntervalStyle, TimeZone, bytea_output, extra_float_digits",
	"array_to_json(anyarray,bool)":                           "as array_to_json(anyarray)",
	"array_to_string(anyarray,text)":                         "output of the elements: as array_to_json(anyarray)",
	"array_to_string(anyarray,text,text)":                    "as array_to_string(anyarray,text)",
	"concat(any)":                                            "output of the arguments: as array_to_json(anyarray)",
	"concat_ws(text,any)":                                    "as concat(any)",
	"convert(bytea,name,name)":                               "as length(bytea,name)",
	"convert_from(bytea,name)":                               "as length(bytea,name)",
	"convert_to(text,name)":                                  "as length(bytea,name)",
	"date(timestamptz)":                                      "TimeZone",
	"date_add(timestamptz,interval)":                         "TimeZone",
	"date_part(text,timestamptz)":                            "TimeZone",
	"date_subtract(timestamptz,interval)":                    "TimeZone",
	"date_trunc(text,timestamptz)":                           "TimeZone",
	"date_trunc(text,timestamptz,text)":                      "nothing: it has become immutable since",
	"enum_first(anyenum)":                                    "the enum's labels, which only DDL changes",
	"enum_last(anyenum)":                                     "as enum_first(anyenum)",
	"enum_range(anyenum)":                                    "as enum_first(anyenum)",
	"enum_range(anyenum,anyenum)":                            "as enum_first(anyenum)",
	"extract(text,timestamptz)":                              "TimeZone",
	"format(text)":                                           "no argument to be put out",
	"format(text,any)":                                       "output of the arguments: as array_to_json(anyarray)",
	"generate_series(timestamptz,timestamptz,interval)":      "TimeZone",
	"in_range(timestamptz,timestamptz,interval,bool,bool)":   "TimeZone: a sum of a timestamptz and an interval",
	"json_agg(anyelement)":                                   "output of the argument; a cast to json that is not immutable makes no statement a Read",
	"json_agg_strict(anyelement)":                            "as json_agg(anyelement)",
	"json_build_array()":                                     "no argument to be put out",
	"json_build_array(any)":                                  "as json_agg(anyelement)",
	"json_build_object()":                                    "no argument to be put out",
	"json_build_object(any)":                                 "as json_agg(anyelement)",
	"json_object_agg(any,any)":                               "as json_agg(anyelement)",
	"json_object_agg_strict(any,any)":                        "as json_agg(anyelement)",
	"json_object_agg_unique(any,any)":                        "as json_agg(anyelement)",
	"json_object_agg_unique_strict(any,any)":                 "as json_agg(anyelement)",
	"json_to_tsvector(json,jsonb)":                           "as to_tsvector(text)",
	"jsonb_agg(anyelement)":                                  "as json_agg(anyelement)",
	"jsonb_agg_strict(anyelement)":                           "as json_agg(anyelement)",
	"jsonb_build_array()":                                    "no argument to be put out",
	"jsonb_build_array(any)":                                 "as json_agg(anyelement)",
	"jsonb_build_object()":                                   "no argument to be put out",
	"jsonb_build_object(any)":                                "as json_agg(anyelement)",
	"jsonb_path_exists_tz(jsonb,jsonpath,jsonb,bool)":        "TimeZone",
	"jsonb_path_match_tz(jsonb,jsonpath,jsonb,bool)":         "TimeZone",
	"jsonb_path_query_array_tz(jsonb,jsonpath,jsonb,bool)":   "TimeZone",
	"jsonb_path_query_first_tz(jsonb,jsonpath,jsonb,bool)":   "TimeZone",
	"jsonb_path_query_tz(jsonb,jsonpath,jsonb,bool)":         "TimeZone",
	"jsonb_to_tsvector(jsonb,jsonb)":                         "as to_tsvector(text)",
	"length(bytea,name)":                                     "the encoding's conversion, which only DDL changes",
	"make_timestamptz(int4,int4,int4,int4,int4,float8)":      "TimeZone",
	"make_timestamptz(int4,int4,int4,int4,int4,float8,text)": "TimeZone: it checks the zone's name",
	"money(int4)":                                            "lc_monetary",
	"money(int8)":                                            "lc_monetary",
	"money(numeric)":                                         "lc_monetary",
	"numeric(money)":                                         "lc_monetary",
	"overlaps(timestamptz,interval,timestamptz,interval)":    "TimeZone: the sum of a timestamptz and an interval",
	"overlaps(timestamptz,interval,timestamptz,timestamptz)": "as overlaps(timestamptz,interval,timestamptz,interval)",
	"overlaps(timestamptz,timestamptz,timestamptz,interval)": "as overlaps(timestamptz,interval,timestamptz,interval)",
	"pg_typeof(any)":                                         "the type's name: search_path, and what only DDL changes",
	"phraseto_tsquery(text)":                                 "as to_tsvector(text)",
	"plainto_tsquery(text)":                                  "as to_tsvector(text)",
	"quote_literal(anyelement)":                              "output of the argument: as array_to_json(anyarray)",
	"quote_nullable(anyelement)":                             "as quote_literal(anyelement)",
	"row_to_json(record)":                                    "as json_agg(anyelement)",
	"row_to_json(record,bool)":                               "as json_agg(anyelement)",
	"time(timestamptz)":                                      "TimeZone",
	"timestamp(timestamptz)":                                 "TimeZone",
	"timestamptz(date)":                                      "TimeZone",
	"timestamptz(date,time)":                                 "TimeZone",
	"timestamptz(timestamp)":                                 "TimeZone",
	"timezone(text,timetz)":                                  "no value of time with time zone can occur in a Read",
	"timezone(timestamp)":                                    "TimeZone",
	"timezone(timestamptz)":                                  "TimeZone",
	"timezone(timetz)":                                       "no value of time with time zone can occur in a Read",
	"to_char(float4,text)":                                   "lc_numeric and lc_monetary",
	"to_char(float8,text)":                                   "lc_numeric and lc_monetary",
	"to_char(int4,text)":                                     "lc_numeric and lc_monetary",
	"to_char(int8,text)":                                     "lc_numeric and lc_monetary",
	"to_char(interval,text)":                                 "lc_time",
	"to_char(numeric,text)":                                  "lc_numeric and lc_monetary",
	"to_char(timestamp,text)":                                "lc_time",
	"to_char(timestamptz,text)":                              "lc_time and TimeZone",
	"to_date(text,text)":                                     "lc_time; what the text leaves out is not taken from the clock",
	"to_json(anyelement)":                                    "as json_agg(anyelement)",
	"to_jsonb(anyelement)":                                   "as json_agg(anyelement)",
	"to_number(text,text)":                                   "lc_numeric and lc_monetary",
	"to_timestamp(text,text)":                                "lc_time and TimeZone; what the text leaves out is not taken from the clock",
	"to_tsquery(text)":                                       "as to_tsvector(text)",
	"to_tsvector(json)":                                      "as to_tsvector(text)",
	"to_tsvector(jsonb)":                                     "as to_tsvector(text)",
	"to_tsvector(text)":                                      "default_text_search_config, and configurations that only DDL changes",
	"ts_headline(json,tsquery)":                              "as to_tsvector(text)",
	"ts_headline(json,tsquery,text)":                         "as to_tsvector(text)",
	"ts_headline(jsonb,tsquery)":                             "as to_tsvector(text)",
	"ts_headline(jsonb,tsquery,text)":                        "as to_tsvector(text)",
	"ts_headline(text,tsquery)":                              "as to_tsvector(text)",
	"ts_headline(text,tsquery,text)":                         "as to_tsvector(text)",
	"websearch_to_tsquery(text)":                             "as to_tsvector(text)",
}

// reviewedModules are stable functions of PostgreSQL's own modules, by library and symbol, that may be part of a Read.
var reviewedModules = map[string]string{
	"pg_trgm.show_limit":                           "pg_trgm.similarity_threshold, which is followed like any setting",
	"pg_trgm.similarity_op":                        "as pg_trgm.show_limit",
	"pg_trgm.strict_word_similarity_commutator_op": "pg_trgm.strict_word_similarity_threshold",
	"pg_trgm.strict_word_similarity_op":            "pg_trgm.strict_word_similarity_threshold",
	"pg_trgm.word_similarity_commutator_op":        "pg_trgm.word_similarity_threshold",
	"pg_trgm.word_similarity_op":                   "pg_trgm.word_similarity_threshold",
	"unaccent.unaccent_dict":                       "the dictionary, which only DDL changes",
}

// reviewedOperators are built-in operators that are stable only because of what the key of an entry holds.
var reviewedOperators = map[string]string{
	"+(interval,timestamptz)":   "TimeZone",
	"+(timestamptz,interval)":   "TimeZone",
	"-(timestamptz,interval)":   "TimeZone",
	"<(date,timestamptz)":       "TimeZone",
	"<(timestamp,timestamptz)":  "TimeZone",
	"<(timestamptz,date)":       "TimeZone",
	"<(timestamptz,timestamp)":  "TimeZone",
	"<=(date,timestamptz)":      "TimeZone",
	"<=(timestamp,timestamptz)": "TimeZone",
	"<=(timestamptz,date)":      "TimeZone",
	"<=(timestamptz,timestamp)": "TimeZone",
	"<>(date,timestamptz)":      "TimeZone",
	"<>(timestamp,timestamptz)": "TimeZone",
	"<>(timestamptz,date)":      "TimeZone",
	"<>(timestamptz,timestamp)": "TimeZone",
	"=(date,timestamptz)":       "TimeZone",
	"=(timestamp,timestamptz)":  "TimeZone",
	"=(timestamptz,date)":       "TimeZone",
	"=(timestamptz,timestamp)":  "TimeZone",
	">(date,timestamptz)":       "TimeZone",
	">(timestamp,timestamptz)":  "TimeZone",
	">(timestamptz,date)":       "TimeZone",
	">(timestamptz,timestamp)":  "TimeZone",
	">=(date,timestamptz)":      "TimeZone",
	">=(timestamp,timestamptz)": "TimeZone",
	">=(timestamptz,date)":      "TimeZone",
	">=(timestamptz,timestamp)": "TimeZone",
	"@@(text,text)":             "default_text_search_config, and configurations that only DDL changes",
	"@@(text,tsquery)":          "as @@(text,text)",
	"||(anynonarray,text)":      "output of the operand: DateStyle, IntervalStyle, TimeZone, bytea_output, extra_float_digits",
	"||(text,anynonarray)":      "as ||(anynonarray,text)",
}

// effect is what a built-in function does besides returning a value.
type effect uint8

const (
	onlyReads   effect = iota // its value changes without a write, and that is all
	actsOutside               // it changes something, but no relation's rows and no state that answers depend on
	setsState                 // it changes its session's state in a way that is not followed
)

// harmlessFunctions are volatile built-in functions that change no row of any relation.
var harmlessFunctions = map[string]effect{
	"clock_timestamp":                  onlyReads,
	"current_query":                    onlyReads,
	"currval":                          onlyReads,
	"gen_random_uuid":                  onlyReads,
	"lastval":                          onlyReads,
	"array_sample":                     onlyReads,
	"array_shuffle":                    onlyReads,
	"pg_blocking_pids":                 onlyReads,
	"pg_current_wal_flush_lsn":         onlyReads,
	"pg_current_wal_insert_lsn":        onlyReads,
	"pg_current_wal_lsn":               onlyReads,
	"pg_database_size":                 onlyReads,
	"pg_indexes_size":                  onlyReads,
	"pg_is_in_recovery":                onlyReads,
	"pg_is_wal_replay_paused":          onlyReads,
	"pg_last_wal_receive_lsn":          onlyReads,
	"pg_last_wal_replay_lsn":           onlyReads,
	"pg_last_xact_replay_timestamp":    onlyReads,
	"pg_notification_queue_usage":      onlyReads,
	"pg_partition_ancestors":           onlyReads,
	"pg_partition_tree":                onlyReads,
	"pg_relation_size":                 onlyReads,
	"pg_sequence_last_value":           onlyReads,
	"pg_sleep":                         onlyReads,
	"pg_sleep_for":                     onlyReads,
	"pg_sleep_until":                   onlyReads,
	"pg_table_size":                    onlyReads,
	"pg_tablespace_size":               onlyReads,
	"pg_total_relation_size":           onlyReads,
	"pg_xact_commit_timestamp":         onlyReads,
	"pg_xact_status":                   onlyReads,
	"random":                           onlyReads,
	"random_normal":                    onlyReads,
	"timeofday":                        onlyReads,
	"txid_status":                      onlyReads,
	"uuidv4":                           onlyReads,
	"uuidv7":                           onlyReads,
	"nextval":                          actsOutside,
	"setval":                           actsOutside,
	"pg_advisory_lock":                 actsOutside,
	"pg_advisory_lock_shared":          actsOutside,
	"pg_advisory_unlock":               actsOutside,
	"pg_advisory_unlock_all":           actsOutside,
	"pg_advisory_unlock_shared":        actsOutside,
	"pg_advisory_xact_lock":            actsOutside,
	"pg_advisory_xact_lock_shared":     actsOutside,
	"pg_try_advisory_lock":             actsOutside,
	"pg_try_advisory_lock_shared":      actsOutside,
	"pg_try_advisory_xact_lock":        actsOutside,
	"pg_try_advisory_xact_lock_shared": actsOutside,
	"pg_notify":                        actsOutside,
	"setseed":                          actsOutside,
	"pg_stat_clear_snapshot":           actsOutside,
	"set_config":                       setsState,
}

// runsForeignCode are stable built-in functions that can run what the database's users wrote: a table that is a view, a
// conversion into a domain. Every other stable built-in function does nothing but read.
var runsForeignCode = map[string]bool{
	"database_to_xml":               true,
	"database_to_xml_and_xmlschema": true,
	"database_to_xmlschema":         true,
	"domain_in":                     true,
	"domain_recv":                   true,
	"json_populate_record":          true,
	"json_populate_recordset":       true,
	"json_to_record":                true,
	"json_to_recordset":             true,
	"jsonb_populate_record":         true,
	"jsonb_populate_record_valid":   true,
	"jsonb_populate_recordset":      true,
	"jsonb_to_record":               true,
	"jsonb_to_recordset":            true,
	"pg_input_error_info":           true,
	"pg_input_is_valid":             true,
	"record_in":                     true,
	"record_recv":                   true,
	"array_in":                      true,
	"array_recv":                    true,
	"range_in":                      true,
	"range_recv":                    true,
	"multirange_in":                 true,
	"multirange_recv":               true,
	"schema_to_xml":                 true,
	"schema_to_xml_and_xmlschema":   true,
	"schema_to_xmlschema":           true,
	"table_to_xml":                  true,
	"table_to_xml_and_xmlschema":    true,
	"table_to_xmlschema":            true,
}

// jsonToRecord are those of them that run no code but that of the types which the statement names for their columns.
var jsonToRecord = map[string]bool{
	"json_to_record": true, "json_to_recordset": true, "jsonb_to_record": true, "jsonb_to_recordset": true,
}

// castClass says what a cast to a built-in type depends on.
type castClass uint8

const (
	plainType  castClass = iota + 1 // the input's text, and settings in the key
	textType                        // likewise, and its value may hold any text
	momentType                      // likewise, unless the text spells a moment
)

// castTypes are the built-in types that a Read may cast to. Not among them: reg* (the catalogs), timetz (today's date
// decides on daylight saving), xml (xmloption), record and all other pseudo-types.
var castTypes = map[string]castClass{
	"bit": plainType, "bool": plainType, "box": plainType, "bytea": plainType, "cidr": plainType, "circle": plainType,
	"float4": plainType, "float8": plainType, "inet": plainType, "int2": plainType, "int4": plainType, "int8": plainType,
	"int4range": plainType, "int8range": plainType, "numrange": plainType, "int4multirange": plainType,
	"int8multirange": plainType, "nummultirange": plainType, "interval": plainType, "line": plainType, "lseg": plainType,
	"macaddr": plainType, "macaddr8": plainType, "money": plainType, "numeric": plainType, "oid": plainType,
	"path": plainType, "pg_lsn": plainType, "point": plainType, "polygon": plainType, "uuid": plainType,
	"varbit": plainType, "xid8": plainType,

	"bpchar": textType, "char": textType, "json": textType, "jsonb": textType, "jsonpath": textType, "name": textType,
	"text": textType, "tsquery": textType, "tsvector": textType, "varchar": textType,

	"date": momentType, "time": momentType, "timestamp": momentType, "timestamptz": momentType, "daterange": momentType,
	"tsrange": momentType, "tstzrange": momentType, "datemultirange": momentType, "tsmultirange": momentType,
	"tstzmultirange": momentType,
}

// neverText are built-in functions none of whose overloads returns a text: a cast of theirs to a date reads no word.
var neverText = map[string]bool{
	"date_bin": true, "date_trunc": true, "generate_series": true, "make_date": true, "make_interval": true,
	"make_timestamp": true, "make_timestamptz": true, "timezone": true, "to_timestamp": true,
}

// sameType are built-in functions that return one of the values of their first argument, or the third one in its place.
var sameType = map[string]bool{
	"any_value": true, "first_value": true, "lag": true, "last_value": true, "lead": true, "max": true, "min": true,
	"nth_value": true,
}

// grammarNames are the names that PostgreSQL gives columns by what they are made of (FigureColname), but for those of
// functions, types and columns.
var grammarNames = map[string]bool{
	"?column?": true, "array": true, "bool": true, "case": true, "coalesce": true, "current_catalog": true, "current_date": true,
	"current_role": true, "current_schema": true, "current_time": true, "current_timestamp": true, "current_user": true,
	"exists": true, "greatest": true, "grouping": true, "json": true, "json_array": true, "json_arrayagg": true,
	"json_exists": true, "json_object": true, "json_objectagg": true, "json_query": true, "json_scalar": true,
	"json_serialize": true, "json_value": true, "least": true, "localtime": true, "localtimestamp": true, "merge_action": true,
	"nullif": true, "row": true, "session_user": true, "user": true, "xmlconcat": true, "xmlelement": true, "xmlforest": true,
	"xmlparse": true, "xmlpi": true, "xmlroot": true, "xmlserialize": true,
}

// systemColumns change without a write: by a row lock, or when a table is packed.
var systemColumns = map[string]bool{"cmax": true, "cmin": true, "ctid": true, "xmax": true, "xmin": true}
