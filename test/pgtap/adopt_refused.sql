-- What is not the older implementation is not adopted: objects of an expected
-- name that are something else, or a stranger's.  Nothing changes then.
\ir lib/old.psql
DROP ROLE IF EXISTS t92_stranger;
DROP ROLE IF EXISTS t92_app;
CREATE ROLE t92_stranger;
CREATE ROLE t92_app;
SELECT plan(42);
GRANT CREATE ON SCHEMA public TO t92_stranger;

-- Adopts, in a subtransaction.
CREATE FUNCTION tap.adopt() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE EXTENSION catmaid_history VERSION 'unpackaged';
	ALTER EXTENSION catmaid_history UPDATE;
END $$;
-- One assertion: after these changes adoption is refused, with a word on it; and
-- nothing has come of it.
CREATE FUNCTION tap.not_adopted(changes text, word text, test_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before text;
	a record;
	wrong text := '';
BEGIN
	BEGIN
		EXECUTE changes;
		before := tap.catalog();
		SELECT * INTO a FROM tap.attempt('SELECT tap.adopt()');
		IF a.state = '00000' OR a.state LIKE 'XX%' OR a.state = '42P07' THEN
			wrong := wrong || ' [SQLSTATE]';
		END IF;
		IF strpos(a.message, word) = 0 THEN
			wrong := wrong || ' [message lacks ' || word || ']';
		END IF;
		IF tap.catalog() <> before OR EXISTS (SELECT FROM pg_extension WHERE extname = 'catmaid_history') THEN
			wrong := wrong || ' [something has changed]';
		END IF;
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	RETURN tap.is(CASE WHEN wrong <> '' THEN format('%s%s: %s (hint: %s)', a.state, wrong, a.message, a.hint) ELSE '' END,
		'', test_name);
END $$;

SELECT not_adopted('', '', 'nothing is there at all');
\ir lib/old_implementation.sql
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint DEFAULT 1);
CREATE TABLE tracked (id int PRIMARY KEY, v text);
SELECT create_history_table('timed', 'edition_time', 'txid'), create_history_table('tracked') \g /dev/null
INSERT INTO timed VALUES (1, 'a');
INSERT INTO tracked VALUES (1, 'a');
UPDATE timed SET v = 'b';
UPDATE tracked SET v = 'b';

-- Something else.
SELECT not_adopted('ALTER TABLE catmaid_history_table RENAME TO x; CREATE VIEW catmaid_history_table AS SELECT * FROM x',
	'catmaid_history_table', 'a registry that is a view');
SELECT not_adopted('ALTER TABLE catmaid_history_table RENAME time_column TO t', 'catmaid_history_table',
	'a registry with another column');
SELECT not_adopted('ALTER TABLE catmaid_history_table DROP CONSTRAINT catmaid_history_table_pkey',
	'catmaid_history_table', 'a registry without its key');
SELECT not_adopted('ALTER TABLE catmaid_history_table ADD live_table_pkey_columns text[], ADD key_since timestamptz, ADD maker_until timestamptz, ADD maker_snapshot pg_snapshot, '
	'ADD mine text DEFAULT current_user', 'catmaid_history_table', 'a registry with a column more');
SELECT not_adopted('ALTER TABLE catmaid_transaction_info RENAME TO x', 'catmaid_transaction_info', 'no log');
-- functions that run the query that they are given, or act: PostgreSQL's own ones
SELECT not_adopted(format('ALTER TABLE catmaid_transaction_info ADD mine text DEFAULT (%s)', expression),
	'catmaid_transaction_info', 'a log with the default ' || expression)
FROM unnest(ARRAY['ts_rewrite(''a''::tsquery, ''SELECT f(), b FROM g'')::text', 'lo_import(''/etc/passwd'')::text',
	'set_config(''search_path'', ''x'', false)']) AS expression;
SELECT not_adopted('CREATE TYPE mine AS ENUM (''a''); CREATE FUNCTION f() RETURNS mine LANGUAGE sql AS ''SELECT ''''a''''::mine'';
	ALTER TABLE catmaid_transaction_info ADD mine text DEFAULT f()::text', 'catmaid_transaction_info', 'a log with a default of the site''s');
SELECT not_adopted('ALTER TABLE catmaid_transaction_info ALTER user_id TYPE text', 'catmaid_transaction_info',
	'a log with a column of another type');
SELECT not_adopted('ALTER TYPE history_change_type RENAME VALUE ''External'' TO ''Other''', 'history_change_type',
	'another enum');
SELECT not_adopted('DROP FUNCTION disable_history_tracking(); CREATE FUNCTION disable_history_tracking() RETURNS int '
	'LANGUAGE sql AS ''SELECT 1''; CREATE VIEW upon AS SELECT disable_history_tracking()', 'disable_history_tracking',
	'a function with another result, which a site needs');
SELECT not_adopted('CREATE FUNCTION get_history_table_name(live_table text) RETURNS text LANGUAGE sql AS ''SELECT 1''; '
	'CREATE VIEW upon AS SELECT get_history_table_name(''a''::text)', 'get_history_table_name', 'an overload which a site needs');
SELECT not_adopted('DROP VIEW catmaid_table_info; CREATE TABLE catmaid_table_info (rel_oid oid)',
	'catmaid_table_info', 'a helper view that is a table');

-- A stranger's.
SELECT not_adopted(format('ALTER %s OWNER TO t92_stranger', o), split_part(split_part(o, ' ', 2), '(', 1),
	'a stranger''s: ' || o) FROM unnest(ARRAY['FUNCTION create_history_table(regclass, text, text, boolean, boolean, boolean)',
	'FUNCTION get_history_table_name(regclass)', 'FUNCTION disable_history_tracking()', 'TABLE catmaid_transaction_info',
	'VIEW catmaid_table_info', 'TYPE history_change_type']) o;
-- (Who owns all of it but one may be anybody.)
SELECT not_adopted('ALTER TABLE catmaid_history_table OWNER TO t92_stranger', 'catmaid_',
	'a stranger''s: the registry alone');
-- A function of ours that the old one had not, put there by a stranger in time.
SELECT not_adopted(format('SET LOCAL ROLE t92_stranger; CREATE FUNCTION public.%s LANGUAGE plpgsql AS '
	'''BEGIN RAISE EXCEPTION ''''x''''; END''; RESET ROLE', f), split_part(f, '(', 1), 'planted: ' || f)
FROM unnest('{catmaid_history_registry_changed() RETURNS trigger,catmaid_history_truncate() RETURNS trigger,
	catmaid_history_ddl_end() RETURNS event_trigger,catmaid_history_capture() RETURNS trigger}'::text[]) f;

-- A history or tracking table that is not the registered table's: adoption gives no
-- rights on a stranger's table, and takes none away.
CREATE TABLE secret (id int, v text);
INSERT INTO secret VALUES (1, 'x');
CREATE FUNCTION tap.adopted_without(changes text, test_name text, look text DEFAULT 'secret') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before text;
	res text;
BEGIN
	BEGIN
		EXECUTE changes;
		SELECT string_agg(l, E'\n') INTO before FROM unnest(string_to_array(tap.catalog(), E'\n')) l
		WHERE l ~ look::regclass::oid::text;
		BEGIN
			PERFORM tap.adopt();
			PERFORM repair_history();
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE LIKE 'XX%' THEN
				res := SQLERRM;
			END IF;
		END;
		IF before IS DISTINCT FROM (SELECT string_agg(l, E'\n') FROM unnest(string_to_array(tap.catalog(), E'\n')) l
			WHERE l ~ look::regclass::oid::text) OR (SELECT count(*) FROM secret) <> 1 THEN
			res := concat(res, ' another table has changed');
		END IF;
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	RETURN tap.is(res, NULL, test_name);
END $$;
ALTER TABLE secret OWNER TO t92_app;
SELECT adopted_without('UPDATE catmaid_history_table SET history_table = ''secret'' WHERE live_table = ''timed''::regclass',
	'registered as a history: another role''s table');
SELECT adopted_without('UPDATE catmaid_history_table SET tracking_table = ''secret'' WHERE live_table = ''tracked''::regclass',
	'registered as a tracking table: another role''s table');
SELECT adopted_without('UPDATE catmaid_history_table SET tracking_table = ''timed__history'' WHERE live_table = ''tracked''::regclass',
	'registered as a tracking table: a history table', 'timed__history');
SELECT adopted_without('UPDATE catmaid_history_table SET history_table = ''pg_catalog.pg_authid'' WHERE live_table = ''timed''::regclass',
	'registered as a history: a catalog');
SELECT adopted_without('UPDATE catmaid_history_table SET live_table = ''pg_catalog.pg_class'' WHERE live_table = ''timed''::regclass',
	'registered as a live table: a catalog');
SELECT adopted_without('UPDATE catmaid_history_table SET live_table = ''secret'' WHERE live_table = ''timed''::regclass',
	'registered as a live table: another role''s table');
SELECT adopted_without('UPDATE catmaid_history_table SET live_table_pkey_column = ''none'', time_column = ''v'' WHERE true',
	'registered with columns that are not there');

-- A stranger's trigger function with the name of a generated one stays.
SET ROLE t92_stranger;
CREATE FUNCTION public.update_history_mine_reg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION public.update_history_of_age_reg(x int) RETURNS int LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
CREATE TABLE plain (id int PRIMARY KEY);
CREATE TRIGGER mine AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION update_history_mine_reg();
-- By the way: all that belongs to a role which is no superuser.
ALTER TABLE catmaid_history_table OWNER TO t92_app;
SELECT format('ALTER %s %s OWNER TO t92_app', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND relname NOT IN ('plain')
\gexec
SELECT format('ALTER FUNCTION %s OWNER TO t92_app', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname !~ '^update_history_(mine|of_age)'
\gexec
ALTER TYPE history_change_type OWNER TO t92_app;
SELECT lives_ok('SELECT tap.adopt()', 'a superuser adopts what belongs to an ordinary role');
SELECT is((SELECT string_agg(tgname, ',') FROM pg_trigger WHERE tgrelid = 'plain'::regclass), 'mine',
	'another''s trigger on another table stays');
SELECT ok(to_regprocedure('public.update_history_of_age_reg(int)') IS NOT NULL, 'and another''s function');
SELECT is(string_agg(relname || ' ' || relowner::regrole, ', ' ORDER BY relname), 'timed t92_app, timed__history t92_app, '
	'timed__with_history t92_app, tracked t92_app, tracked__history t92_app, tracked__tracking t92_app, tracked__with_history t92_app',
	'derived tables stay their owner''s') FROM pg_class WHERE relname ~ '^(timed|tracked)(__history|__tracking|__with_history|$)'
	AND relkind IN ('r', 'v');
SELECT whole('timed', 'tracked, with a time column');
SELECT whole('tracked', 'tracked, with a tracking table');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	WHERE lanname = 'c' AND pronamespace = 'public'::regnamespace AND proowner IN ('t92_app'::regrole, 't92_stranger'::regrole)
	AND proname NOT IN ('drop_history_table', 'drop_history_table_keep_data')), NULL, 'our functions are not the role''s');
SET ROLE t92_app;
UPDATE timed SET v = 'c';
UPDATE tracked SET v = 'c';
SELECT tap.lives_ok('SELECT disable_history_tracking(); SELECT enable_history_tracking()', 'the role disables and enables');
RESET ROLE;
SELECT is((SELECT count(*) FROM timed__history WHERE v = 'b'), 2::bigint, 'its writes are recorded');

DROP OWNED BY t92_app, t92_stranger CASCADE;
DROP ROLE t92_app, t92_stranger;
SELECT * FROM finish();
