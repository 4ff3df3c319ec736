-- Section 7: no function evaluates a user's code with more rights than that
-- user has.  A table's owner plants code wherever an owner can; a superuser then
-- uses the extension on that table.  The planted code logs who it runs as.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t55_evil;
DROP ROLE IF EXISTS t55_writer;
CREATE ROLE t55_evil;
CREATE ROLE t55_writer;
CREATE EXTENSION catmaid_history;
SELECT plan(24);

CREATE SCHEMA evil AUTHORIZATION t55_evil;
CREATE TABLE evil.log (place text, ran_as name);
ALTER TABLE evil.log OWNER TO t55_evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON evil.log TO PUBLIC;
GRANT CREATE ON SCHEMA public TO t55_evil;
SET ROLE t55_evil;
CREATE FUNCTION evil.spy(place text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
AS $$ BEGIN PERFORM evil.note(place); RETURN true; END $$;
CREATE FUNCTION evil.note(place text) RETURNS void LANGUAGE plpgsql VOLATILE AS
$$ BEGIN INSERT INTO evil.log VALUES (place, current_user); END $$;
CREATE FUNCTION evil.on_row() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM evil.note(TG_TABLE_NAME || ' ' || TG_WHEN || ' ' || TG_OP);
	RETURN coalesce(NEW, OLD); END $$;
CREATE FUNCTION evil.spy_int(v int, place text) RETURNS int LANGUAGE plpgsql
IMMUTABLE AS $$ BEGIN PERFORM evil.note(place); RETURN v; END $$;
CREATE DOMAIN evil.key AS int CHECK (evil.spy('domain'));
CREATE TYPE evil.mood AS ENUM ('good', 'bad');
CREATE FUNCTION evil.mood_eq(evil.mood, evil.mood) RETURNS boolean LANGUAGE plpgsql
AS $$ BEGIN PERFORM evil.note('operator'); RETURN $1::text = $2::text; END $$;
CREATE OPERATOR evil.= (LEFTARG = evil.mood, RIGHTARG = evil.mood,
	FUNCTION = evil.mood_eq);
CREATE OPERATOR evil.<> (LEFTARG = evil.mood, RIGHTARG = evil.mood,
	FUNCTION = evil.mood_eq);
CREATE FUNCTION evil.to_text(evil.mood) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN PERFORM evil.note('cast'); RETURN 'cast'; END $$;
CREATE CAST (evil.mood AS text) WITH FUNCTION evil.to_text(evil.mood) AS ASSIGNMENT;
CREATE TABLE evil.t (id evil.key PRIMARY KEY, a text);
CREATE TABLE evil.moody (m evil.mood PRIMARY KEY, a text);
CREATE TABLE evil.timed (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
INSERT INTO evil.t VALUES (1, 'a'), (2, 'b');
INSERT INTO evil.moody VALUES ('good', 'a'), ('bad', 'b');
INSERT INTO evil.timed VALUES (1, 'a'), (2, 'b');
ALTER TABLE evil.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY hidden ON evil.t USING (evil.spy('policy'));
GRANT ALL ON evil.t, evil.moody, evil.timed TO t55_writer;
RESET ROLE;

-- What ran with a superuser's rights since the last look, and a fresh log.
CREATE FUNCTION tap.abused() RETURNS text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM evil.log RETURNING *)
	SELECT string_agg(DISTINCT place || ' as ' || ran_as, ', ') FROM gone
	WHERE ran_as <> 't55_evil' $$;
SELECT evil.spy('control') AS control \gset
SELECT is(tap.abused(), 'control as ' || current_user,
	'control: the spy does notice a superuser');

-- Creation, with code on the live tables.
SELECT create_history_table('evil.t');
SELECT is(tap.abused(), NULL, 'create: a domain key and a policy');
SET search_path = evil, public, pg_catalog, tap;
SELECT public.create_history_table('evil.moody');
SELECT is(tap.abused(), NULL, 'create: operators and casts first in the path');
SELECT public.sync_tracking_table('evil.moody', 'evil.moody__tracking');
SELECT is(tap.abused(), NULL, 'sync: operators and casts first in the path');
SELECT disable_history_tracking();
DELETE FROM evil.moody WHERE a = 'b';
SELECT is(tap.abused(), NULL, 'disable all');
SELECT enable_history_tracking();
SELECT is(tap.abused(), NULL, 'enable all, with something to sync');
SELECT count(*) AS n FROM evil.moody__with_history WHERE sys_period @> now() \gset
SELECT is(tap.abused(), NULL, 'the view uses no operator of the path');
SET search_path = public, tap;
SELECT create_history_table('evil.timed', 'edition_time', 'txid');
SELECT is(tap.abused(), NULL, 'create: with a time column');

-- Code on the derived tables, which belong to the same owner.
SET ROLE t55_evil;
CREATE TRIGGER a_row BEFORE INSERT OR UPDATE OR DELETE ON evil.t__tracking
	FOR EACH ROW EXECUTE FUNCTION evil.on_row();
CREATE TRIGGER a_truncate BEFORE TRUNCATE ON evil.t__tracking
	FOR EACH STATEMENT EXECUTE FUNCTION evil.on_row();
CREATE TRIGGER a_row AFTER INSERT OR UPDATE OR DELETE ON evil.timed__history
	FOR EACH ROW EXECUTE FUNCTION evil.on_row();
CREATE TRIGGER a_row BEFORE INSERT OR UPDATE OR DELETE ON evil.t__history
	FOR EACH ROW EXECUTE FUNCTION evil.on_row();
CREATE TRIGGER a_truncate BEFORE TRUNCATE ON evil.t__history
	FOR EACH STATEMENT EXECUTE FUNCTION evil.on_row();
ALTER TABLE evil.t__history ADD CONSTRAINT checked
	CHECK (evil.spy('history check'));
ALTER TABLE evil.t__tracking ADD CONSTRAINT checked
	CHECK (evil.spy('tracking check'));
CREATE INDEX ON evil.t__history (evil.spy_int(id, 'history index'));
CREATE INDEX ON evil.t__tracking (evil.spy_int(live_pk, 'tracking index'));
CREATE INDEX ON evil.timed__history (evil.spy_int(id, 'history index'));
-- what is constant in an expression is evaluated by who opens the index
CREATE INDEX ON evil.t__history ((id + evil.spy_int(0, 'history index, constant')));
CREATE INDEX ON evil.t__history (id) WHERE evil.spy('history index, predicate');
CREATE INDEX ON evil.t__tracking (live_pk) WHERE evil.spy('tracking index, predicate');
CREATE INDEX ON evil.timed__history (id) WHERE evil.spy('history index, predicate');
CREATE INDEX ON evil.timed__history ((id + evil.spy_int(0, 'history index, constant')));
ALTER TABLE evil.t__history ADD COLUMN planted boolean
	DEFAULT evil.spy('history default');
DELETE FROM evil.log;
RESET ROLE;

-- Management by a superuser.
SELECT disable_history_tracking_for_table('evil.t');
SELECT is(tap.abused(), NULL, 'disable');
DELETE FROM evil.t WHERE a = 'b';
INSERT INTO evil.t VALUES (3, 'c');
DELETE FROM evil.log;
SELECT enable_history_tracking_for_table('evil.t');
SELECT is(tap.abused(), NULL, 'enable: triggers, checks and indexes on the tracking table');
SELECT reload_history_tracking_for_table('evil.t');
SELECT is(tap.abused(), NULL, 'reload');
SELECT initialize_new_history_table('evil.t', 'evil.t__history', 'id');
SELECT is(tap.abused(), NULL, 'initialize');
SELECT drop_history_view_for_table('evil.t');
SELECT create_history_view_for_table('evil.t');
SELECT is(tap.abused(), NULL, 'view dropped and created');
SELECT count(*) AS n FROM evil.t__history \gset
DELETE FROM evil.log;	-- the planner's doing
SELECT truncate_history_table('evil.t__history');
SELECT is(tap.abused(), NULL, 'truncate: a trigger on the history table');
SELECT truncate_all_history_tables();
SELECT is(tap.abused(), NULL, 'truncate all');

-- Writes by a superuser, and by a writer: the history's code runs as its owner.
UPDATE evil.timed SET a = 'x';
SELECT is(tap.abused(), NULL, 'a superuser''s update: code on the history table');
TRUNCATE evil.timed;
SELECT is(tap.abused(), NULL, 'a superuser''s truncate: code on the history table');
SELECT isnt((SELECT count(*) FROM evil.timed__history), 0::bigint,
	'and versions were recorded');
DELETE FROM evil.log;
ALTER TABLE evil.t DISABLE ROW LEVEL SECURITY;
UPDATE evil.t SET a = 'x';
SELECT is(tap.abused(), NULL, 'a superuser''s update: code on both derived tables');
SELECT allowed('UPDATE evil.t SET a = ''y''', 'a writer''s update', 't55_writer');
SELECT is(tap.abused(), NULL, 'and the code did not run as the writer');
TRUNCATE evil.t;
SELECT is(tap.abused(), NULL, 'a superuser''s truncate: code on both');

-- Dropping and keeping.
SELECT drop_history_table_keep_data('evil.timed');
SELECT create_history_table('evil.timed', 'edition_time', 'txid');
SELECT is(tap.abused(), NULL, 'a kept history is taken up: its index is code');
SELECT drop_all_history_tables();
SELECT is(tap.abused(), NULL, 'drop all');

REVOKE CREATE ON SCHEMA public FROM t55_evil;
DROP OWNED BY t55_evil, t55_writer CASCADE;
DROP ROLE t55_evil, t55_writer;
SELECT * FROM finish();
