-- Run this as a superuser in each database that Perihelion caches. It may be run again.
--
-- Changes of the schema then reach the home with the transaction that makes them, as a logical message in the WAL.
-- Without it the home finds them out within catalog_check. Roles, and whatever else belongs to no database, have no
-- event triggers and are found out in any case.

BEGIN;

CREATE SCHEMA IF NOT EXISTS perihelion;

CREATE OR REPLACE FUNCTION perihelion.tell_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Temporary objects concern nobody else, and REFRESH changes rows.
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
             WHERE schema_name IS DISTINCT FROM 'pg_temp' AND command_tag NOT IN ('COMMENT', 'REFRESH MATERIALIZED VIEW')) THEN
    PERFORM pg_logical_emit_message(true, 'perihelion', tg_tag);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION perihelion.tell_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary) THEN
    PERFORM pg_logical_emit_message(true, 'perihelion', tg_tag);
  END IF;
END $$;

DROP EVENT TRIGGER IF EXISTS perihelion_ddl;
CREATE EVENT TRIGGER perihelion_ddl ON ddl_command_end EXECUTE FUNCTION perihelion.tell_ddl();

DROP EVENT TRIGGER IF EXISTS perihelion_drop;
CREATE EVENT TRIGGER perihelion_drop ON sql_drop EXECUTE FUNCTION perihelion.tell_drop();

COMMIT;
