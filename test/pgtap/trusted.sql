-- Section 7: trusted: a database's owner without superuser installs, uses and
-- removes the extension, and gains nothing by it.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t45_dbowner;
DROP ROLE IF EXISTS t45_guest;
CREATE ROLE t45_dbowner;
CREATE ROLE t45_guest;
SELECT plan(18);

SELECT denied('CREATE EXTENSION catmaid_history',
	'a guest may not create the extension', 't45_guest');
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO t45_dbowner', current_database())
\gexec
CREATE SCHEMA app AUTHORIZATION t45_dbowner;
SELECT allowed('CREATE EXTENSION catmaid_history SCHEMA app',
	'the database''s owner creates the extension', 't45_dbowner');
SELECT is((SELECT extowner::regrole::text FROM pg_extension
	WHERE extname = 'catmaid_history'), 't45_dbowner', 'and owns it');

SET search_path = app, tap;
-- before 14 there is no pg_database_owner to own the two that migrations replace
SELECT is((SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
	WHERE pronamespace = 'app'::regnamespace AND (prosecdef OR proowner =
	't45_dbowner'::regrole) AND prolang = (SELECT oid FROM pg_language
	WHERE lanname = 'c') AND NOT (current_setting('server_version_num')::int < 140000
		AND NOT prosecdef AND proname = ANY ('{drop_history_table,drop_history_table_keep_data}'))), NULL,
	'no C function is the owner''s own to redefine, nor SECURITY DEFINER');
SELECT allowed('CREATE TABLE app.t (id int PRIMARY KEY, v text);
	INSERT INTO app.t VALUES (1, ''a''), (2, ''b'')', 'its table', 't45_dbowner');
SELECT allowed('SELECT create_history_table(''app.t'')', 'its history',
	't45_dbowner');
SELECT allowed('UPDATE app.t SET v = ''z'' WHERE id = 1', 'its update',
	't45_dbowner');
SELECT allowed('TRUNCATE app.t', 'its truncate', 't45_dbowner');
SELECT is((SELECT string_agg(id || v, ',' ORDER BY id, v) FROM app.t__history),
	'1a,1z,2b', 'its versions');
SELECT is((SELECT string_agg(DISTINCT relowner::regrole::text, ', ') FROM pg_class
	WHERE oid IN ('app.t__history'::regclass, 'app.t__tracking'::regclass,
	'app.t__with_history'::regclass)), 't45_dbowner', 'its derived objects');
SELECT allowed('SELECT disable_history_tracking(); SELECT enable_history_tracking()',
	'disable and enable', 't45_dbowner');
SELECT allowed($$INSERT INTO app.catmaid_transaction_info (change_type, label)
	VALUES ('Migration', 'x') ON CONFLICT DO NOTHING$$, 'the log', 't45_dbowner');
-- Schemas are guarded by who owns the registry: no trigger of the owner's may
-- run with the rights under which the extension writes.
SELECT allowed('CREATE FUNCTION app.spy() RETURNS trigger LANGUAGE plpgsql AS
	''BEGIN RAISE WARNING ''''%'''', current_user; RETURN NEW; END''',
	'a function of the database''s owner', 't45_dbowner');
SELECT ok((SELECT bool_and(pg_has_role('t45_dbowner', relowner, 'USAGE')
	OR tap.state(format('CREATE TRIGGER spy BEFORE INSERT OR UPDATE ON %s FOR '
		'EACH ROW EXECUTE FUNCTION app.spy()', oid::regclass), 't45_dbowner')
		LIKE '42501%')
	FROM pg_class WHERE oid IN ('catmaid_history_table'::regclass,
		'catmaid_transaction_info'::regclass)),
	'it hangs no trigger on tables that others'' rights write');
SELECT denied('SELECT pg_read_file(''PG_VERSION'')', 'it is no superuser',
	't45_dbowner');

SELECT allowed('DROP EXTENSION catmaid_history CASCADE',
	'it drops the extension', 't45_dbowner');
SELECT is((SELECT string_agg(tgname, ', ') FROM pg_trigger WHERE NOT tgisinternal
	AND tgrelid = 'app.t'::regclass), NULL, 'no trigger is left');
SELECT is((SELECT count(*) FROM app.t__history), 3::bigint,
	'the history table stays whole');

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me')
\gexec
DROP OWNED BY t45_dbowner, t45_guest CASCADE;
DROP ROLE t45_dbowner, t45_guest;
SELECT * FROM tap.finish();
