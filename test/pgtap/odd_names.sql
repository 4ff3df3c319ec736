-- Section 1: every generated identifier is quoted.  The same life of a table
-- under each of many awkward names of schema, table, key and other columns.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(14 * 9 + 8);

CREATE TABLE names (s text, t text, k text, c text);
INSERT INTO names VALUES
('public', 'MixedCase', 'Id', 'Value'),
('Sch.ema', 'Ta.ble', 'i.d', 'v.c'),
('sch"ema', 'we"ird ''x', 'I"d''', '"'),
('select', 'table', 'user', 'order'),
('public', 'user', 'primary', 'with'),
('public', 'per%cent %s %I', '%s', '%1$I'),
('public', 'back\slash\', '\id', 'c\'),
('public', 'semi;-- DROP', ';', '--'),
('public', '$$dollar$$', '$1', '$body$'),
('public', 'new
line', 'i
d', E'tab\t'),
('public', ' spaces ', ' ', '  '),
('Ünïcødé', 'tablé', 'clé', 'œuvre'),
('public', '12digits', '1', '2'),
('public', 'like_this_', 'live_pk', 'edition_time');

CREATE FUNCTION tap.q(s text, t text, suffix text DEFAULT '') RETURNS text
LANGUAGE sql AS $$ SELECT format('%I.%I', s, t || suffix) $$;
CREATE FUNCTION tap.value(q text) RETURNS text LANGUAGE plpgsql AS
$$ DECLARE v text; BEGIN EXECUTE q INTO v; RETURN v; END $$;

SELECT format('CREATE SCHEMA %I', s) FROM (SELECT DISTINCT s FROM names
	WHERE s <> 'public') x \gexec
SELECT format('CREATE TABLE %s (%I int PRIMARY KEY, %I text)', q(s, t), k, c)
FROM names \gexec
SELECT format('INSERT INTO %s VALUES (1, ''a''), (2, ''b'')', q(s, t)) FROM names \gexec

SELECT allowed(format('SELECT create_history_table(%L)', q(s, t)), 'create ' || q(s, t))
FROM names;
SELECT allowed(format('UPDATE %s SET %I = ''z'' WHERE %I = 1', q(s, t), c, k),
	'update ' || q(s, t)) FROM names;
SELECT allowed(format('UPDATE %s SET %I = 3 WHERE %2$I = 2', q(s, t), k),
	'key change ' || q(s, t)) FROM names;
SELECT allowed(format('TRUNCATE %s', q(s, t)), 'truncate ' || q(s, t)) FROM names;
SELECT is(value(format('SELECT string_agg(%I || %I, '','' ORDER BY %1$I, %2$I)
	FROM %s', k, c, q(s, t, '__history'))), '1a,1z,2b,3b', 'versions of ' || q(s, t))
FROM names;
SELECT is(value(format('SELECT string_agg(attname, ''|'' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0',
	q(s, t, '__with_history'))), k || '|' || c || '|sys_period|exec_transaction_id|start_transaction_id',
	'view of ' || q(s, t)) FROM names;
SELECT is((SELECT format('%s %s', history_table::oid = to_regclass(q(s, t, '__history')),
	live_table_pkey_column) FROM catmaid_history_table
	WHERE live_table = to_regclass(q(s, t))), 't ' || k, 'registry row of ' || q(s, t))
FROM names;
SELECT allowed(format('INSERT INTO %s VALUES (8, ''c''); SELECT
	disable_history_tracking_for_table(%L); DELETE FROM %1$s; INSERT INTO %1$s
	VALUES (9, ''d''); SELECT enable_history_tracking_for_table(%2$L, %3$L)',
	q(s, t), q(s, t), q(s, t, '__history')), 'disable and enable ' || q(s, t)) FROM names;
SELECT is(value(format('SELECT string_agg(live_pk::text, '','') FROM %s',
	q(s, t, '__tracking'))), '9', 'tracking table of ' || q(s, t)) FROM names;

-- The same with time columns.
CREATE TABLE "T""i'm.e" (id int PRIMARY KEY, v text,
	"Edit""ed A't" timestamptz DEFAULT now(), "Select;--" bigint);
INSERT INTO "T""i'm.e" VALUES (1, 'a');
SELECT allowed($$SELECT create_history_table('"T""i''m.e"', 'Edit"ed A''t', 'Select;--')$$,
	'odd time columns: create');
SELECT allowed($$UPDATE "T""i'm.e" SET v = 'b'$$, 'odd time columns: update');
SELECT is((SELECT "Select;--" IS NOT NULL FROM "T""i'm.e"), true,
	'odd time columns: the transaction id is written');
SELECT allowed($$DELETE FROM "T""i'm.e"$$, 'odd time columns: delete');
SELECT is((SELECT string_agg(v, ',' ORDER BY v) FROM "T""i'm.e__with_history"
	WHERE NOT upper_inf(sys_period)), 'a,b', 'odd time columns: view');
-- In one namespace: names that differ by case only, and each other's suffixes.
CREATE TABLE twin (id int PRIMARY KEY, v text);
CREATE TABLE "TWIN" (id int PRIMARY KEY, v text);
INSERT INTO twin VALUES (1, 'small');
INSERT INTO "TWIN" VALUES (1, 'BIG');
SELECT create_history_table('twin');
SELECT create_history_table('"TWIN"');
UPDATE twin SET v = 'x';
UPDATE "TWIN" SET v = 'x';
SELECT is((SELECT string_agg(v, ',') FROM twin__history), 'small', 'small twin');
SELECT is((SELECT string_agg(v, ',') FROM "TWIN__history"), 'BIG', 'big twin');

SELECT drop_all_history_tables();
SELECT is((SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
	WHERE relname ~ '__(history|tracking|with_history)'), NULL, 'all dropped');

SELECT * FROM finish();
