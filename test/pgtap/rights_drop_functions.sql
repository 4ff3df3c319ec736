-- Section 7: drop_history_table and drop_history_table_keep_data belong to the owner of
-- the database, so that migrations can replace them.  That is no trap for a superuser:
-- nothing of ours calls them, check_history warns, hints name others, and there is a way back.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_drop_functions_dbowner;
CREATE ROLE rights_drop_functions_dbowner;
SELECT plan(21);
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO rights_drop_functions_dbowner', current_database()) \gexec
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE u (id int PRIMARY KEY, at timestamptz, txid bigint);
SELECT create_history_table('t'), create_history_table('u', 'at', 'txid');
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
CREATE SEQUENCE caught;
GRANT USAGE ON SEQUENCE caught TO PUBLIC;
CREATE FUNCTION tap.caught() RETURNS boolean LANGUAGE sql AS $$ SELECT is_called FROM caught $$;
-- The finding, if the database's owner does this; undone.
CREATE FUNCTION tap.found(deed text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text;
BEGIN
	BEGIN
		SET LOCAL ROLE rights_drop_functions_dbowner;
		EXECUTE deed;
		RESET ROLE;
		res := (SELECT string_agg(concat_ws(' ', severity, finding, object), ', ') FROM check_history());
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN RETURN res;
	END;
END $$;
SELECT is(found('SELECT'), NULL, 'nothing is found at first');
SELECT is(found(deed), 'warning function_replaced drop_history_table', deed) FROM unnest(ARRAY[
	'ALTER FUNCTION drop_history_table(regclass) SET search_path = pg_temp', 'ALTER FUNCTION drop_history_table(regclass) SECURITY DEFINER',
	'CREATE OR REPLACE FUNCTION drop_history_table(live_table regclass) RETURNS void LANGUAGE sql AS ''SELECT''']) deed;
SELECT denied(deed, deed, 'rights_drop_functions_dbowner') FROM unnest(ARRAY[
	'CREATE OR REPLACE FUNCTION catmaid_history_internal.drop_history_table(live_table regclass) RETURNS void LANGUAGE sql AS ''SELECT''',
	'ALTER FUNCTION catmaid_history_internal.drop_history_table_keep_data(regclass) SET search_path = pg_temp',
	'CREATE FUNCTION catmaid_history_internal.mine() RETURNS void LANGUAGE sql AS ''SELECT''',
	'CREATE OR REPLACE FUNCTION create_history_table(live_table regclass, time_column text DEFAULT NULL, txid_column text DEFAULT NULL,
		create_triggers boolean DEFAULT true, copy_inheritance boolean DEFAULT true, sync boolean DEFAULT true) RETURNS void
		LANGUAGE sql AS ''SELECT''']) deed;

SET ROLE rights_drop_functions_dbowner;
CREATE OR REPLACE FUNCTION drop_history_table(live_table regclass) RETURNS void LANGUAGE sql AS $$ SELECT nextval('public.caught') $$;
CREATE OR REPLACE FUNCTION drop_history_table_keep_data(live_table regclass) RETURNS void LANGUAGE sql AS $$ SELECT nextval('public.caught') $$;
RESET ROLE;
-- What a superuser does, and is told to do.
SELECT refused('DROP TABLE t__history', '{t}', 'a hint', '2BP01', NULL,
	'SELECT catmaid_history_internal.drop_history_table_keep_data(''public.t''::regclass)');
SELECT refused('ALTER TABLE u DROP at', '{u}', 'another one', '55000', NULL,
	'SELECT catmaid_history_internal.drop_history_table_keep_data(''public.u''::regclass)');
SELECT allowed('SELECT catmaid_history_internal.drop_history_table_keep_data(''t'')', 'as it says');
SELECT is(to_regclass('t__history')::text, 't__history', 'the history is kept');
SELECT allowed('SELECT create_history_table(''t''); SELECT catmaid_history_internal.drop_history_table(''t'')', 'the other one');
SELECT is(to_regclass('t__history'), NULL, 'the history is gone');
SELECT allowed('SELECT create_history_table(''t''); SELECT repair_history(); SELECT count(*) FROM check_history();
	SELECT disable_history_tracking(); SELECT enable_history_tracking(); SELECT drop_all_history_tables();
	SELECT create_history_table(''t'')', 'the other functions');
SELECT allowed('ALTER TABLE t ADD a int; UPDATE t SET a = 1; DROP TABLE t', 'and DDL');
SELECT is(tap.caught(), false, 'his code has not run');
-- (an owner who is none is told of the function that the site has)
CREATE TABLE t (id int PRIMARY KEY);
SELECT create_history_table('t');
ALTER TABLE t OWNER TO rights_drop_functions_dbowner;
SELECT refused('DROP TABLE t__history', '{t}', 'a hint to others', '2BP01', 'rights_drop_functions_dbowner',
	'SELECT public.drop_history_table_keep_data(''public.t''::regclass)');
SELECT allowed('ALTER EXTENSION catmaid_history UPDATE TO ''unpackaged''; ALTER EXTENSION catmaid_history UPDATE', 'the way back');
SELECT is((SELECT string_agg(finding, ',') FROM check_history()), NULL, 'brings ours back');
SELECT allowed('SELECT drop_history_table(''t'')', 'which drops');
\else
SELECT skip('no pg_database_owner before PostgreSQL 14', 21);
\endif

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
SET client_min_messages = error;
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_drop_functions_dbowner CASCADE;
DROP ROLE rights_drop_functions_dbowner;
SELECT * FROM finish();
