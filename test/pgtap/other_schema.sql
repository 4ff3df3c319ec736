-- Section 1: the extension in a schema of its own, for tables elsewhere, with
-- any search_path.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t44_writer;
CREATE ROLE t44_writer;
CREATE SCHEMA "Ext's ""Home";
CREATE SCHEMA app;
CREATE SCHEMA app2;
CREATE EXTENSION catmaid_history SCHEMA "Ext's ""Home";
SELECT plan(27);

SELECT is((SELECT string_agg(DISTINCT n.nspname, ', ') FROM pg_depend d
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'catmaid_history'
	JOIN (SELECT 'pg_proc'::regclass AS classid, oid, pronamespace AS ns FROM pg_proc
		UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
		UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type) o
		ON o.classid = d.classid AND o.oid = d.objid
	JOIN pg_namespace n ON n.oid = o.ns
	WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass),
	'Ext''s "Home, catmaid_history_internal', 'all objects are in the schema that was named, or the extension''s own');
SELECT denied($$ALTER EXTENSION catmaid_history SET SCHEMA app$$,
	'it cannot be moved', NULL, '0A000');

CREATE TABLE app.t (id int PRIMARY KEY, v text);
CREATE TABLE app2.t (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app.base (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app2.leaf (w text, PRIMARY KEY (id)) INHERITS (app.base);
INSERT INTO app.t VALUES (1, 'one'), (2, 'two');
INSERT INTO app2.t VALUES (1, 'uno'), (2, 'due');
INSERT INTO app2.leaf VALUES (1, 'leaf', DEFAULT, NULL, 'wide');

-- Every command below runs with an empty search_path.
CREATE FUNCTION tap.bare(cmd text, test_name text, as_role name DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$ SELECT tap.allowed(cmd, test_name, as_role, '') $$;
SELECT bare($$SELECT "Ext's ""Home".create_history_table('app.t')$$,
	'search_path empty: create with tracking table');
SELECT bare($$SELECT "Ext's ""Home".create_history_table('app2.t',
	'edition_time', 'txid')$$, 'create a second table of the same name');
SELECT bare($$SELECT "Ext's ""Home".create_history_table('app2.leaf',
	'edition_time', 'txid')$$, 'create over a hierarchy in two schemas');
SELECT is((SELECT string_agg(live_table::text || ' '
	|| history_table::text || coalesce(' ' || tracking_table::text, ''), E'\n'
	ORDER BY live_table::text COLLATE "C")
	FROM "Ext's ""Home".catmaid_history_table),
	E'app.base app.base__history\napp.t app.t__history app.t__tracking\n'
	'app2.leaf app2.leaf__history\napp2.t app2.t__history',
	'each table has a history of its own beside it');
SELECT bare('UPDATE app.t SET v = ''eins'' WHERE id = 1', 'update');
SELECT bare('DELETE FROM app.t WHERE id = 2', 'delete');
SELECT bare('INSERT INTO app.t VALUES (3, ''three'')', 'insert');
SELECT bare('UPDATE app2.t SET v = ''un'' WHERE id = 1', 'timed update');
SELECT bare('TRUNCATE app2.t', 'timed truncate');
SELECT bare('UPDATE app.base SET v = ''through''', 'through the parent');
SELECT is((SELECT string_agg(id::text || v, ',' ORDER BY id)
	FROM app.t__history), '1one,2two', 'the first table''s versions');
SELECT is((SELECT string_agg(id::text || v, ',' ORDER BY id, v COLLATE "C")
	FROM app2.t__history), '1un,1uno,2due', 'the second table''s versions');
SELECT is((SELECT string_agg(v || w, ',') FROM app2.leaf__history),
	'leafwide', 'the child''s version, complete');
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk)
	FROM app.t__tracking), '1,3', 'the tracking table follows');
SELECT is((SELECT count(*) FROM app.t__with_history), 4::bigint,
	'the view reads');

-- Someone who may use neither the extension's schema nor see its objects.
REVOKE ALL ON SCHEMA "Ext's ""Home" FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO t44_writer;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON app.t TO t44_writer;
SELECT bare('UPDATE app.t SET v = ''ein'' WHERE id = 1',
	'a writer without USAGE on the extension''s schema: update', 't44_writer');
SELECT bare('DELETE FROM app.t WHERE id = 3', 'its delete', 't44_writer');
SELECT bare('TRUNCATE app.t', 'its truncate', 't44_writer');
SELECT is((SELECT string_agg(id::text || v, ',' ORDER BY id, v COLLATE "C")
	FROM app.t__history), '1ein,1eins,1one,2two,3three',
	'its versions are recorded');

-- Management under an empty path.
SELECT bare('SELECT "Ext''s ""Home".disable_history_tracking()', 'disable');
INSERT INTO app.t VALUES (9, 'nine');
SELECT bare('SELECT "Ext''s ""Home".enable_history_tracking()', 'enable');
SELECT is((SELECT string_agg(live_pk::text, ',') FROM app.t__tracking), '9',
	'and the tracking table is in step');
SELECT bare('SELECT "Ext''s ""Home".reload_history_tracking()', 'reload');
SELECT bare('SELECT "Ext''s ""Home".drop_all_history_tables()', 'drop all');
SELECT is((SELECT string_agg(oid::regclass::text, ', ')
	FROM pg_class WHERE relname ~ '__(history|tracking|with_history)'),
	NULL, 'nothing is left');

DROP OWNED BY t44_writer;
DROP ROLE t44_writer;
SELECT * FROM finish();
