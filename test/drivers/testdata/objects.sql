-- Every kind of object that a dump can hold without a library of its own.
create schema s;
comment on schema s is 'a schema';
create type s.mood as enum ('sad', 'ok', 'happy');
create type s.pair as (a int, b text);
create domain s.positive as int check (value > 0);
create type s.spans as range (subtype = float8);
create sequence s.numbers start 5 increment 3;
create collation s.german (provider = libc, locale = 'C');
create function s.add_one(i int) returns int language sql immutable as 'select i + 1';
create function s.touch() returns trigger language plpgsql as $$ begin new.changed := coalesce(new.changed, 0) + 1; return new; end $$;
create procedure s.nothing() language plpgsql as $$ begin null; end $$;
create aggregate s.total (int) (sfunc = int4pl, stype = int, initcond = '0');
create operator s.## (leftarg = int, rightarg = int, function = int4pl);
create function s.to_mood(i int) returns s.mood language sql immutable as $$ select (array['sad', 'ok', 'happy'])[i]::s.mood $$;
create cast (int as s.mood) with function s.to_mood(int);
create operator class s.backwards for type int using btree as operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 btint4cmp(int, int);
create conversion s.conversion for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search dictionary s.words (template = simple);
create text search configuration s.search (copy = simple);

create table s.parents (
  id int generated always as identity primary key,
  name text collate "C" not null unique,
  mood s.mood default 'ok',
  size s.positive,
  pairs s.pair,
  span s.spans,
  twice int generated always as (size * 2) stored,
  data jsonb,
  raw bytea,
  moment timestamptz default '2026-01-01 00:00+00',
  changed int,
  check (length(name) < 100)
);
create table s.children (id serial primary key, parent int references s.parents on delete cascade, note text);
create index children_note on s.children (lower(note)) where note is not null;
create table s.measures (at date not null, value float8) partition by range (at);
create table s.measures_2025 partition of s.measures for values from ('2025-01-01') to ('2026-01-01');
create table s.measures_rest partition of s.measures default;
create table s.base (i int);
create table s.derived (j int) inherits (s.base);
create unlogged table s.passing (i int);
create trigger touched before update on s.parents for each row execute function s.touch();
create rule quiet as on delete to s.base do instead nothing;
create view s.happy as select id, name from s.parents where mood = 'happy';
create materialized view s.counts as select count(*) from s.children;
create statistics s.related (dependencies) on name, mood from s.parents;
alter table s.children enable row level security;
create policy everything on s.children for select using (note <> 'secret');
create publication news for table s.parents;
create subscription stories connection 'dbname=nowhere' publication news with (connect = false, slot_name = none, enabled = false);
create foreign data wrapper nobody;
create server elsewhere foreign data wrapper nobody;
create user mapping for current_user server elsewhere options (secret 'no');
create foreign table s.far (i int) server elsewhere;
create function s.noted() returns event_trigger language plpgsql as $$ begin null; end $$;
create event trigger noted on ddl_command_end execute function s.noted();
alter default privileges in schema s grant select on tables to public;
grant usage on schema s to public;

insert into s.parents (name, mood, size, pairs, span, data, raw)
  select 'parent ' || i, (array['sad', 'ok', 'happy'])[1 + i % 3]::s.mood, i, (i, 'x' || i)::s.pair, s.spans(i, i + 0.5), jsonb_build_object('i', i, 'wide', repeat('ü', 5000)), decode(repeat('00ff', 3000), 'hex')
  from generate_series(1, 50) i;
insert into s.children (parent, note) select 1 + i % 50, E'tab\there, back\\slash, line\nend ' || i from generate_series(1, 500) i;
insert into s.measures select '2025-06-01'::date + i, i / 3.0 from generate_series(1, 400) i;
insert into s.derived values (1, 2);
refresh materialized view s.counts;
select lo_from_bytea(4242, decode(repeat('c0ffee', 4000), 'hex'));
comment on large object 4242 is 'large';
