-- Section 7: the round trip over 'unpackaged', which the owner of the extension may make
-- at any time, and repair_history(): nothing is given to another owner, and no recording
-- ends or begins, because a row of the registry says so.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_adoption_dbowner;
DROP ROLE IF EXISTS rights_adoption_owner;
CREATE ROLE rights_adoption_dbowner;
CREATE ROLE rights_adoption_owner;
SELECT plan(34);
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO rights_adoption_dbowner', current_database()) \gexec
SET SESSION AUTHORIZATION rights_adoption_dbowner;
CREATE SCHEMA ext;
CREATE EXTENSION catmaid_history SCHEMA ext;
CREATE SCHEMA s;
GRANT ALL ON SCHEMA s TO rights_adoption_owner;
GRANT USAGE ON SCHEMA ext TO PUBLIC;
RESET SESSION AUTHORIZATION;
SET search_path = ext, public, tap;
\set owner '''rights_adoption_owner'''

SET SESSION AUTHORIZATION rights_adoption_owner;
CREATE TABLE s.t (id int PRIMARY KEY, a text);
CREATE TABLE s.timed (id int PRIMARY KEY, a text, edited timestamptz DEFAULT now(), txid bigint, other bigint);
CREATE TABLE s.off (id int PRIMARY KEY, a text);
CREATE TABLE s.switched (id int PRIMARY KEY, a text);
CREATE TABLE s.kept (id int PRIMARY KEY, secret text);
CREATE TABLE s.plain (id int PRIMARY KEY, a text);
SELECT create_history_table(x) FROM unnest('{s.t,s.off,s.switched,s.kept}'::regclass[]) x;
SELECT create_history_table('s.timed', 'edited', 'txid');
INSERT INTO s.t VALUES (1, 'a');
INSERT INTO s.timed (id, a) VALUES (1, 'a');
INSERT INTO s.off VALUES (1, 'a');
INSERT INTO s.switched VALUES (1, 'a');
INSERT INTO s.kept VALUES (1, 'secret');
UPDATE s.t SET a = 'b';
DELETE FROM s.kept;
SELECT disable_history_tracking_for_table('s.off');
ALTER TABLE s.switched DISABLE TRIGGER ALL;
SELECT drop_history_table_keep_data('s.kept');
DROP TABLE s.kept;
RESET SESSION AUTHORIZATION;
CREATE TABLE tap.rounds (role name);
INSERT INTO tap.rounds VALUES ('rights_adoption_dbowner'), (current_user);

-- There and back.
CREATE FUNCTION tap.round_trip() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged';
	ALTER EXTENSION catmaid_history UPDATE;
END $$;
CREATE FUNCTION tap.looks() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(E'\n', (SELECT string_agg(concat_ws(' ', relname, relkind, relowner::regrole), E'\n' ORDER BY relname)
			FROM pg_class WHERE relnamespace = 's'::regnamespace),
		(SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled), E'\n' ORDER BY tgrelid::regclass::text, tgname)
			FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 's'::regnamespace)),
		(SELECT string_agg(concat_ws(' ', attrelid::regclass, attname, atttypid::regtype), E'\n' ORDER BY attrelid::regclass::text, attnum)
			FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 's'::regnamespace) AND attnum > 0),
		(SELECT string_agg(concat_ws(' ', live_table, history_table, tracking_table, triggers_installed, time_column, txid_column), E'\n' ORDER BY live_table::text)
			FROM ext.catmaid_history_table)) $$;
-- Forge (as a superuser, as if from before that was refused), make the trip, compare, undo.
CREATE FUNCTION tap.trip(forgery text, role name, but text DEFAULT '', test_name text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before text := tap.looks();
	after text;
	state text;
BEGIN
	BEGIN
		EXECUTE forgery;
		state := tap.state('SELECT tap.round_trip()', role);
		after := tap.looks();
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	RETURN tap.is(state || (SELECT coalesce(string_agg(a, ' / '), '') FROM unnest(string_to_array(after, E'\n')) a
			WHERE a <> ALL (string_to_array(before, E'\n')) AND (but = '' OR a !~ but)) || (SELECT coalesce(string_agg(b, ' / '), '')
			FROM unnest(string_to_array(before, E'\n')) b WHERE b <> ALL (string_to_array(after, E'\n')) AND (but = '' OR b !~ but)), '00000',
		format('%s, by %s', coalesce(test_name, forgery), role));
END $$;
SELECT trip('SELECT', role, '', 'all stays as it is') FROM tap.rounds;
-- The row is wrong, the triggers are right: the row is mended.
SELECT trip(format('UPDATE ext.catmaid_history_table SET %s WHERE live_table = %L::regclass', x, t), role, '', t || ': ' || x)
FROM tap.rounds, (VALUES ('s.t', 'tracking_table = NULL, time_column = ''no'', txid_column = ''no'''),
	('s.t', 'history_table = ''s.plain'''), ('s.t', 'tracking_table = ''s.off__tracking'''),
	('s.t', 'history_table = ''s.kept__history'', tracking_table = NULL'),
	('s.timed', 'txid_column = ''other'''), ('s.timed', 'time_column = ''no'', txid_column = ''no'''),
	('s.timed', 'tracking_table = ''s.t__tracking''')) x(t, x);
-- Wrong rows of what is not tracked are left alone, and act on nothing.
SELECT trip(forgery, role, '^s\.(off|plain) s\.') FROM tap.rounds, unnest(ARRAY[
	'UPDATE ext.catmaid_history_table SET history_table = ''s.kept__history'' WHERE live_table = ''s.off''::regclass',
	'INSERT INTO ext.catmaid_history_table SELECT ''s.plain'', ''s.kept__history'', true, ''id'', NULL, ''a'', ''b''',
	'DELETE FROM pg_depend WHERE classid = ''pg_trigger''::regclass AND refobjid = ''s.t__history''::regclass']) forgery;
-- A kept history is given to nobody who takes its table's name.
SELECT tap.is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 's.kept__history'::regclass), 'rights_adoption_owner', 'control');
SET SESSION AUTHORIZATION rights_adoption_dbowner;
CREATE TABLE s.kept (id int PRIMARY KEY, secret text);
RESET SESSION AUTHORIZATION;
INSERT INTO ext.catmaid_history_table SELECT 's.kept', 's.kept__history', false, 'id', NULL, 'a', 'b';
SELECT trip('SELECT', role, '', 'a kept history whose table''s name is another''s') FROM tap.rounds;
SELECT allowed('SELECT ext.repair_history()', 'repairing, by a superuser');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 's.kept__history'::regclass), 'rights_adoption_owner', 'gives it to nobody');
DELETE FROM ext.catmaid_history_table WHERE live_table = 's.kept'::regclass;
-- Nor is a history that was given to another role taken away from it by who makes the trip.
SET catmaid_history.follow_ddl = off;
ALTER TABLE s.t__history OWNER TO CURRENT_USER;
RESET catmaid_history.follow_ddl;
SELECT trip('SELECT', role, '', 'a history that has another owner') FROM tap.rounds;
SELECT allowed('SELECT ext.repair_history(''s.t'')', 'a superuser''s repair');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 's.t__history'::regclass), 'rights_adoption_owner',
	'gives back what is marked as the table''s');

-- For good: recording goes on, nothing of what was switched off is lost.
SELECT allowed('SELECT tap.round_trip()', 'there and back', 'rights_adoption_dbowner');
SELECT allowed('UPDATE s.t SET a = ''c''; UPDATE s.timed SET a = ''c''; ALTER TABLE s.switched ENABLE TRIGGER ALL;
	UPDATE s.switched SET a = ''c''; SELECT ext.enable_history_tracking_for_table(''s.off''); UPDATE s.off SET a = ''c'' ', 'writes', :owner);
SELECT is(format('%s %s %s %s', (SELECT count(*) FROM s.t__history), (SELECT count(*) FROM s.timed__history),
	(SELECT count(*) FROM s.switched__history), (SELECT count(*) FROM s.off__history)), '2 1 1 1', 'are recorded');

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
SET client_min_messages = error;
DROP SCHEMA s CASCADE;
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_adoption_dbowner, rights_adoption_owner CASCADE;
DROP ROLE rights_adoption_dbowner, rights_adoption_owner;
SELECT * FROM tap.finish();
