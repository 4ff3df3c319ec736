-- Idiom (g): a migration replaces drop_history_table and drop_history_table_keep_data
-- by PL/pgSQL functions of its own, which drop triggers by the name functions,
-- three indexes and the registry row.  Everything else goes on, and there is a
-- way back.
\ir lib/whole.psql
SELECT * FROM no_plan();
CREATE EXTENSION catmaid_history;
CREATE TABLE by_time (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE by_tracking (id int PRIMARY KEY, v text);
CREATE TABLE kept (id int PRIMARY KEY, v text);
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (w text, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE other (id int PRIMARY KEY, v text);
SELECT create_history_table(t) FROM unnest('{by_tracking,kept,leaf,other}'::regclass[]) t \g /dev/null
SELECT create_history_table('by_time', 'edition_time', 'txid') \g /dev/null
INSERT INTO by_time VALUES (1, 'a'), (2, 'b');
INSERT INTO by_tracking VALUES (1, 'a'), (2, 'b');
INSERT INTO kept VALUES (1, 'a'), (2, 'b');
INSERT INTO base VALUES (1, 'a');
INSERT INTO leaf VALUES (2, 'b', 'c');
INSERT INTO other VALUES (1, 'a'), (2, 'b');
UPDATE kept SET v = v || '2';

-- The migration.
CREATE OR REPLACE FUNCTION drop_history_table_keep_data(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	reg catmaid_history_table;
BEGIN
	SELECT * INTO reg FROM catmaid_history_table cht WHERE cht.live_table = $1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_history_update_trigger_name_regular(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_history_delete_trigger_name_regular(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_history_txid_update_trigger_name_regular(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_history_update_trigger_name_tracking(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_tracking_table_update_trigger_name(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_tracking_table_truncate_trigger_name(), $1);
	EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', get_history_truncate_trigger_name(), $1);
	EXECUTE format('DROP FUNCTION IF EXISTS %I()', get_history_update_fn_name_regular($1));
	EXECUTE format('DROP FUNCTION IF EXISTS %I()', get_history_txid_update_fn_name_regular($1));
	EXECUTE format('DROP VIEW IF EXISTS %I', get_history_view_name($1));
	IF reg.tracking_table IS NOT NULL THEN
		EXECUTE format('DROP TABLE IF EXISTS %s', reg.tracking_table);
	END IF;
	EXECUTE format('DROP INDEX IF EXISTS %I', get_history_table_name($1) || '_live_pk_index');
	EXECUTE format('DROP INDEX IF EXISTS %I', get_history_table_name($1) || '_sys_period');
	EXECUTE format('DROP INDEX IF EXISTS %I', get_history_table_name($1) || '_exec_transaction_id');
	DELETE FROM catmaid_history_table cht WHERE cht.live_table = $1;
END $fn$;
CREATE OR REPLACE FUNCTION drop_history_table(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	history regclass := (SELECT history_table FROM catmaid_history_table cht WHERE cht.live_table = $1);
BEGIN
	PERFORM drop_history_table_keep_data($1);
	IF history IS NOT NULL THEN
		EXECUTE format('DROP TABLE %s', history);
	END IF;
END $fn$;

SELECT lives_ok($$SELECT drop_history_table('by_time')$$, '(g) drop: with a time column');
SELECT is(left_of('by_time__') || left_of('registered:by_time'), '', '(g) drop: nothing is left');
SELECT lives_ok($$UPDATE by_time SET v = 'x'; DELETE FROM by_time WHERE id = 2; INSERT INTO by_time VALUES (3, 'n')$$,
	'(g) drop: writes go on');
SELECT lives_ok($$SELECT drop_history_table('by_tracking')$$, '(g) drop: with a tracking table');
SELECT is(left_of('by_tracking__'), '', '(g) drop: nothing is left');
SELECT lives_ok($$UPDATE by_tracking SET v = 'x'; INSERT INTO by_tracking VALUES (3, 'n')$$, '(g) drop: writes go on');
SELECT lives_ok($$SELECT drop_history_table_keep_data('kept')$$, '(g) keep_data');
SELECT is(left_of('kept__'), 'kept__history', '(g) keep_data: the history is left');
SELECT is((SELECT count(*) FROM kept__history), 2::bigint, '(g) keep_data: with its rows');
SELECT is((SELECT array_agg(live_table::text ORDER BY live_table::text) FROM catmaid_history_table),
	'{base,leaf,other}', '(g) the registry');
SELECT whole(t, '(g) others are tracked: ' || t::text) FROM unnest('{leaf,other}'::regclass[]) t;

SELECT lives_ok('SELECT disable_history_tracking(); SELECT enable_history_tracking(); SELECT reload_history_tracking()',
	'(g) functions for all tables');
SELECT lives_ok($$SELECT create_history_table('by_time', 'edition_time', 'txid'), create_history_table('by_tracking'),
	create_history_table('kept')$$, '(g) history is made again');
SELECT whole(t, '(g) tracked again: ' || t::text) FROM unnest('{by_time,by_tracking,kept}'::regclass[]) t;
SELECT is((SELECT count(*) FROM kept__history WHERE v IN ('a', 'b')), 2::bigint, '(g) what was kept is taken up');
ALTER TABLE by_tracking ADD COLUMN w int;
SELECT whole('by_tracking', '(g) DDL is followed');
BEGIN;
DROP TABLE by_tracking;
SELECT is(left_of('by_tracking'), '', '(g) DROP TABLE');
ROLLBACK;

-- In one transaction, with a write before and after; rolled back; of a child.
BEGIN;
UPDATE by_tracking SET v = 'y';
SELECT drop_history_table('by_tracking');
UPDATE by_tracking SET v = 'z';
SELECT create_history_table('by_tracking');
UPDATE by_tracking SET v = 'zz';
COMMIT;
SELECT is((SELECT count(*) FROM by_tracking__history WHERE v = 'z'), (SELECT count(*) FROM by_tracking),
	'(g) dropped and made again in one transaction');
BEGIN;
SELECT drop_history_table('leaf');
UPDATE leaf SET v = 'y';
ROLLBACK;
UPDATE leaf SET v = 'y';
SELECT whole('leaf', '(g) rolled back');
SELECT lives_ok($$SELECT drop_history_table('leaf')$$, '(g) a child');
SELECT lives_ok($$UPDATE base SET v = 'q'; SELECT drop_history_table('base')$$, '(g) its parent');
SELECT lives_ok('SELECT drop_all_history_tables()', '(g) all');
SELECT is((SELECT count(*) FROM catmaid_history_table), 0::bigint, '(g) none is left');

-- The way back.
SELECT create_history_table('other'), create_history_table('leaf'),
	create_history_table('by_time', 'edition_time', 'txid') \g /dev/null
BEGIN;
ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
SELECT is((SELECT string_agg(DISTINCT lanname, ',') FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	WHERE proname LIKE 'drop_history_table%'), 'c', '(g) and back: the functions are ours again');
SELECT is((SELECT array_agg(live_table::text ORDER BY live_table::text) FROM catmaid_history_table
	WHERE triggers_installed), '{base,by_time,leaf,other}', '(g) and back: the registry');
SELECT whole(t, '(g) and back: tracked ' || t::text) FROM unnest('{leaf,by_time,other}'::regclass[]) t;
SELECT drop_history_table('other') \g /dev/null
SELECT is(left_of('other__'), '', '(g) and back: a history dropped');
SELECT * FROM finish();
