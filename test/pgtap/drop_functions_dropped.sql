-- Sections 7 and 8: the database's owner drops drop_history_table_keep_data, or
-- drop_history_table, as a reversed migration does: ours is there again, a member.
\ir lib/hostile.psql
DROP ROLE IF EXISTS drop_functions_dropped_owner, drop_functions_dropped_other;
CREATE ROLE drop_functions_dropped_owner;
CREATE ROLE drop_functions_dropped_other;
SELECT plan(26);
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO drop_functions_dropped_owner', current_database()) \gexec
GRANT CREATE ON SCHEMA public TO drop_functions_dropped_other, drop_functions_dropped_owner;
CREATE SCHEMA elsewhere AUTHORIZATION drop_functions_dropped_owner;
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY);
SELECT create_history_table('t');

-- The two functions as they are: what, whose, whether members, and what is told of them.
CREATE FUNCTION tap.functions() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', pg_get_functiondef(p.oid), proowner::regrole, proacl, d.deptype, obj_description(p.oid, 'pg_proc'))
	FROM pg_proc p LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		AND d.refclassid = 'pg_extension'::regclass
	WHERE pronamespace = 'public'::regnamespace AND proname IN ('drop_history_table', 'drop_history_table_keep_data') $$;
CREATE TABLE before AS SELECT f AS fact FROM tap.functions() f;
CREATE FUNCTION tap.as_before(name text) RETURNS text LANGUAGE sql AS
$$ SELECT tap.bag_eq('SELECT tap.functions()', 'SELECT fact FROM before', name) $$;
SELECT is((SELECT count(*) FROM before), 2::bigint, 'two functions');

SELECT allowed(deed, deed, 'drop_functions_dropped_owner') FROM unnest(ARRAY[
	'DROP FUNCTION drop_history_table_keep_data(live_table regclass)',
	'DROP FUNCTION IF EXISTS public.drop_history_table(regclass)',
	'DROP ROUTINE drop_history_table(regclass), drop_history_table_keep_data(regclass) CASCADE',
	'CREATE OR REPLACE FUNCTION drop_history_table_keep_data(live_table regclass) RETURNS void LANGUAGE plpgsql AS ''BEGIN END'';
		DROP FUNCTION drop_history_table_keep_data(live_table regclass)']) deed;
SELECT as_before('ours are there again');
SELECT allowed('DROP FUNCTION drop_history_table_keep_data(regclass)', 'a superuser may, too');
SELECT as_before('... the same');
-- Forward once more, and back.
SELECT allowed('CREATE OR REPLACE FUNCTION drop_history_table_keep_data(live_table regclass) RETURNS void LANGUAGE plpgsql AS ''BEGIN END''',
	'a migration replaces it', 'drop_functions_dropped_owner');
SELECT is((SELECT string_agg(concat_ws(' ', finding, object), ', ') FROM check_history()), 'function_replaced drop_history_table_keep_data',
	'which check_history tells');
SELECT allowed('DROP FUNCTION drop_history_table_keep_data(regclass)', 'and drops it', 'drop_functions_dropped_owner');
SELECT is((SELECT string_agg(finding, ', ') FROM check_history()), NULL, 'check_history is silent');
SELECT as_before('... as at first');

-- Whoever else, and whatever else.
SELECT denied('DROP FUNCTION drop_history_table_keep_data(regclass)', 'another role may not', 'drop_functions_dropped_other');
SELECT as_before('... and changes nothing');
SELECT is(left(state('DROP FUNCTION create_history_table(regclass, text, text, boolean, boolean, boolean)'), 5), '2BP01',
	'a superuser drops no other member');
CREATE FUNCTION elsewhere.drop_history_table(live_table regclass) RETURNS void LANGUAGE sql AS $$ SELECT $$;
ALTER FUNCTION elsewhere.drop_history_table(regclass) OWNER TO drop_functions_dropped_owner;
SELECT allowed('DROP FUNCTION elsewhere.drop_history_table(regclass)', 'one of the name in another schema', 'drop_functions_dropped_owner');
SELECT as_before('... leaves ours a member');
CREATE VIEW needs AS SELECT row(drop_history_table(NULL)) IS NULL AS dropped;
SELECT is(left(state('DROP FUNCTION drop_history_table(regclass)'), 5), '2BP01', 'what depends on it keeps it');
SELECT as_before('... as it is');
DROP VIEW needs;
-- Commands within it, of event triggers of the site's.
CREATE FUNCTION tap.within() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('public.made_within') IS NULL THEN
		CREATE TABLE public.made_within ();
	ELSE
		ALTER TABLE public.made_within ADD COLUMN IF NOT EXISTS a int;
	END IF;
END $$;
CREATE EVENT TRIGGER zz_start ON ddl_command_start WHEN TAG IN ('DROP FUNCTION') EXECUTE FUNCTION tap.within();
CREATE EVENT TRIGGER a_drop ON sql_drop WHEN TAG IN ('DROP FUNCTION') EXECUTE FUNCTION tap.within();
SELECT allowed('DROP FUNCTION drop_history_table(regclass)', 'beside event triggers that run commands');
SELECT as_before('... it is there again');
DROP EVENT TRIGGER zz_start;
DROP EVENT TRIGGER a_drop;
BEGIN;
DROP FUNCTION drop_history_table(regclass);
ROLLBACK;
SELECT as_before('rolled back');
SELECT allowed('SELECT drop_history_table_keep_data(''t''), create_history_table(''t''), drop_history_table(''t'')', 'they work');
SELECT is(to_regclass('t__history'), NULL, '... and have dropped');
SELECT is((SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'catmaid_history') AND classid = 'pg_proc'::regclass
	AND objid NOT IN (SELECT oid FROM pg_proc)), 0::bigint, 'no member is without an object');

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY drop_functions_dropped_owner, drop_functions_dropped_other CASCADE;
DROP ROLE drop_functions_dropped_owner, drop_functions_dropped_other;
SELECT * FROM finish();
