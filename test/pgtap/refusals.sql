-- What cannot be tracked: each refusal has SQLSTATE P0001, names the table, and
-- leaves nothing behind.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

\ir lib/error_of.psql

SELECT plan(29);

CREATE TABLE good (id int PRIMARY KEY);
SELECT create_history_table('good');
CREATE TABLE refuse_nokey (id int);
CREATE TABLE refuse_unique (id int NOT NULL UNIQUE);
CREATE TABLE refuse_period (id int PRIMARY KEY, sys_period int);
CREATE TABLE refuse_exec (id int PRIMARY KEY, exec_transaction_id bigint);
CREATE VIEW refuse_view AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW refuse_matview AS SELECT 1 AS id;
CREATE SEQUENCE refuse_seq;
CREATE TYPE refuse_type AS (id int);
CREATE INDEX refuse_index ON good (id);
CREATE FOREIGN DATA WRAPPER refuse_fdw;
CREATE SERVER refuse_srv FOREIGN DATA WRAPPER refuse_fdw;
CREATE FOREIGN TABLE refuse_foreign (id int) SERVER refuse_srv;
CREATE TEMP TABLE refuse_temp (id int PRIMARY KEY);
CREATE TABLE refuse_part (id int) PARTITION BY RANGE (id);
CREATE TABLE census (c bigint, t bigint, r bigint, i bigint);
INSERT INTO census SELECT (SELECT count(*) FROM pg_class) c, (SELECT count(*) FROM pg_trigger) t,
	(SELECT count(*) FROM pg_rewrite) r, (SELECT count(*) FROM pg_inherits) i;
CREATE FUNCTION try(what text) RETURNS text LANGUAGE sql AS $$
	SELECT state || CASE WHEN msg || coalesce(hint, '') ~ regexp_replace(what, '^.*\.|"', '', 'g')
		THEN ' named' ELSE ': ' || msg END
	FROM error_of(format('SELECT create_history_table(%L)', what)) $$;
SELECT is(try('refuse_nokey'), 'P0001 named', 'no primary key');
SELECT is(try('refuse_unique'), 'P0001 named', 'a unique constraint is no primary key');
SELECT is(try('refuse_part'), 'P0001 named', 'a partitioned table without a key');
SELECT is(try('refuse_period'), 'P0001 named', 'a column sys_period');
SELECT is(try('refuse_exec'), 'P0001 named', 'a column exec_transaction_id');
SELECT is(try('refuse_view'), 'P0001 named', 'a view');
SELECT is(try('refuse_matview'), 'P0001 named', 'a materialized view');
SELECT is(try('refuse_seq'), 'P0001 named', 'a sequence');
SELECT is(try('refuse_type'), 'P0001 named', 'a composite type');
SELECT is(try('refuse_index'), 'P0001 named', 'an index');
SELECT is(try('refuse_foreign'), 'P0001 named', 'a foreign table');
SELECT is(try('refuse_temp'), 'P0001 named', 'a temporary table');
SELECT is(try('pg_catalog.pg_class'), 'P0001 named', 'a catalog table');
SELECT is(try('pg_catalog.pg_authid'), 'P0001 named', 'a shared catalog table');
SELECT is(try('information_schema.sql_features'), 'P0001 named',
	'a table of the information schema, which has no key');
SELECT is(try('good__history'), 'P0001 named', 'a history table');
SELECT is(try('good__tracking'), 'P0001 named', 'a tracking table');
SELECT is(try('good__with_history'), 'P0001 named', 'a history view');
SELECT is((SELECT (SELECT count(*) FROM pg_class) - c || ' ' || (SELECT count(*) FROM pg_trigger) - t || ' ' ||
	(SELECT count(*) FROM pg_rewrite) - r || ' ' || (SELECT count(*) FROM pg_inherits) - i FROM census),
	'0 0 0 0', 'nothing is left behind by any');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 1, 'nor in the registry');
-- A table that is tracked already: a notice and no change.
INSERT INTO good VALUES (1), (2);
DELETE FROM good WHERE id = 1;
CREATE TABLE row_before AS SELECT r.ctid AS place, r.* FROM catmaid_history_table r;
SELECT is(state, 'none', 'a table that is tracked already is no error')
	FROM error_of($$SELECT create_history_table('good', 'nope', 'nope', false, false, false)$$);
SELECT is((SELECT count(*)::int FROM row_before b JOIN catmaid_history_table r ON r.ctid = b.place
	AND r.creation_time = b.creation_time AND r.triggers_installed), 1, 'and no change');
SELECT is((SELECT count(*)::int FROM good__history), 1, 'its history stays');
-- NULL, an OID of nothing.
SELECT throws_ok($$SELECT create_history_table(999999::oid::regclass)$$, NULL, NULL, 'an OID of nothing');
SELECT is((SELECT state <> 'XX000' FROM error_of($$SELECT create_history_table(999999::oid::regclass)$$)), true,
	'is no internal error');
SELECT is_empty($$SELECT f, e.state FROM unnest(ARRAY['create_history_table(NULL)', 'drop_history_table(NULL)',
	'drop_history_table_keep_data(NULL)', 'enable_history_tracking_for_table(NULL)',
	'disable_history_tracking_for_table(NULL)', 'truncate_history_table(NULL)',
	'sync_tracking_table(NULL, NULL)', 'sync_tracking_table(''good'', NULL)',
	'create_history_view_for_table(NULL)', 'drop_history_view_for_table(NULL)',
	'get_history_table_name(NULL)', 'initialize_new_history_table(NULL, NULL, NULL)',
	'reload_history_tracking_for_table(NULL)', 'create_history_table(''good'', sync => NULL)',
	'enable_history_tracking_for_table(''good'', sync => NULL)',
	'drop_history_table(999999::oid::regclass)', 'enable_history_tracking_for_table(999999::oid::regclass)',
	'truncate_history_table(999999::oid::regclass)', 'get_history_table_name(999999::oid::regclass)'])
	f, error_of('SELECT ' || f) e WHERE e.state = 'XX000'$$, 'NULL and unknown arguments: no internal error');
SELECT is((SELECT count(*)::int FROM good__history), 1, 'and they do nothing');
-- Trigger functions called as no triggers, or on tables that are not tracked.
CREATE TABLE victim (id int PRIMARY KEY, v text);
INSERT INTO victim VALUES (1, 'a');
CREATE TABLE outcome (fn text, how text, state text);
DO $$
DECLARE f regprocedure; e record; ev text; lvl text; tim text;
BEGIN
	FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'catmaid_history'
		WHERE prorettype = 'trigger'::regtype LOOP
		SELECT * INTO e FROM error_of(format('SELECT %s', f));
		INSERT INTO outcome VALUES (f, 'called', e.state);
		FOREACH ev IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
			FOREACH lvl IN ARRAY ARRAY['ROW', 'STATEMENT'] LOOP
				FOREACH tim IN ARRAY ARRAY['BEFORE', 'AFTER'] LOOP
					IF ev = 'TRUNCATE' AND lvl = 'ROW' THEN CONTINUE; END IF;
					EXECUTE format('CREATE TRIGGER bad %s %s ON victim FOR EACH %s EXECUTE FUNCTION %s',
						tim, ev, lvl, f);
					SELECT * INTO e FROM error_of(CASE ev WHEN 'INSERT' THEN 'INSERT INTO victim VALUES (2)'
						WHEN 'UPDATE' THEN 'UPDATE victim SET v = ''b''' WHEN 'DELETE' THEN
						'DELETE FROM victim' ELSE 'TRUNCATE victim' END);
					INSERT INTO outcome VALUES (f, concat_ws(' ', tim, ev, lvl), e.state);
					DROP TRIGGER bad ON victim;
				END LOOP;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
SELECT isnt((SELECT count(*)::int FROM outcome), 0, 'there are trigger functions');
SELECT is_empty($$SELECT * FROM outcome WHERE how = 'called' AND state = 'none' OR state = 'XX000'$$,
	'misused trigger functions: an error of the right kind, no internal one');

SELECT * FROM finish();
