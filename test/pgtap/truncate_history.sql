-- truncate_history_table takes a history table, nothing else, and empties it
-- alone; live rows, tracking rows and other tables' history stay.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

\ir lib/error_of.psql

SELECT plan(25);

CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (PRIMARY KEY (id), bb int) INHERITS (a);
CREATE TABLE t (id int PRIMARY KEY, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('b'), create_history_table('t', 'edition_time', 'txid');
CREATE TABLE plain (id int PRIMARY KEY);
CREATE TABLE fake__history (id int);
INSERT INTO plain VALUES (1);
INSERT INTO fake__history VALUES (1);
INSERT INTO a VALUES (1, 'a'), (2, 'a');
INSERT INTO b VALUES (3, 'b', 3), (4, 'b', 4);
INSERT INTO t VALUES (1), (2);
UPDATE a SET v = 'c';
UPDATE t SET txid = 0;
CREATE FUNCTION counts() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s', (SELECT count(*) FROM ONLY a__history),
		(SELECT count(*) FROM ONLY b__history), (SELECT count(*) FROM t__history)) $$;
SELECT is(counts(), '2 2 2', 'there is history');
SELECT truncate_history_table('a__history');
SELECT is(counts(), '0 2 2', 'the parent''s history alone is emptied');
SELECT is((SELECT count(*)::int FROM ONLY a__tracking) + (SELECT count(*)::int FROM ONLY b__tracking), 4,
	'tracking rows stay');
SELECT is((SELECT count(*)::int FROM a), 4, 'live rows stay');
UPDATE a SET v = 'd' WHERE id = 1;
SELECT is((SELECT lower_inf(sys_period) FROM a__history WHERE id = 1), false, 'and starts are known');
SELECT truncate_history_table('b__history'::regclass);
SELECT is(counts(), '1 0 2', 'the child''s');
SELECT lives_ok($$SELECT truncate_history_table('b__history')$$, 'an empty one');
-- Nothing else.
SELECT is_empty($$SELECT x, e.state FROM unnest(ARRAY['a', 'plain', 'fake__history', 'a__tracking',
		'a__with_history', 'catmaid_history_table', 'catmaid_transaction_info', 'pg_catalog.pg_class',
		'a_pkey', 'a__history_sys_period']) x, error_of(format('SELECT truncate_history_table(%L)', x)) e
	WHERE e.state = 'none'$$, 'another relation is refused');
SELECT is((SELECT format('%s %s %s', (SELECT count(*) FROM plain), (SELECT count(*) FROM fake__history),
	(SELECT count(*) FROM catmaid_history_table))), '1 1 3', 'and not emptied');
SELECT matches(msg, 'plain', 'the error names it')
	FROM error_of($$SELECT truncate_history_table('plain')$$);
SELECT truncate_all_history_tables();
SELECT is(counts(), '0 0 0', 'truncate_all_history_tables');
SELECT is((SELECT count(*)::int FROM a) + (SELECT count(*)::int FROM t), 6, 'live rows stay');
SELECT set_eq('SELECT live_table::text, triggers_installed FROM catmaid_live_table_triggers',
	$$VALUES ('a', true), ('b', true), ('t', true)$$, 'tracking stays on');
BEGIN;
UPDATE t SET txid = 1;
SELECT truncate_all_history_tables();
ROLLBACK;
SELECT is(counts(), '0 0 0', 'rolled back, with changes');
UPDATE t SET txid = 1;
BEGIN;
SELECT truncate_all_history_tables();
ROLLBACK;
SELECT is(counts(), '0 0 2', 'rolled back, rows stay');

-- drop_history_table.
CREATE TABLE d (id int PRIMARY KEY);
SELECT create_history_table('d');
INSERT INTO d VALUES (1);
SELECT drop_history_table('d');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^d__'
	UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'd'::regclass
	UNION ALL SELECT 'registry' FROM catmaid_history_table WHERE live_table = 'd'::regclass$$,
	'drop_history_table leaves nothing behind');
SELECT lives_ok('UPDATE d SET id = 2; DELETE FROM d; TRUNCATE d', 'writes go on');
SELECT lives_ok($$SELECT drop_history_table('d')$$, 'without a history there is nothing to do');
SELECT lives_ok($$SELECT drop_history_table_keep_data('d')$$, 'nor for keep_data');
SELECT lives_ok($$SELECT create_history_table('d')$$, 'it can be made again');
INSERT INTO d VALUES (5);
DELETE FROM d;
SELECT is((SELECT count(*)::int FROM d__history), 1, 'and records');
SELECT disable_history_tracking_for_table('d');
SELECT lives_ok($$SELECT drop_history_table('d')$$, 'it can be dropped while disabled');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^d__'$$, 'all of it');
SELECT drop_all_history_tables();
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^[abt]__'
	UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid IN ('a'::regclass, 'b'::regclass, 't'::regclass)
	UNION ALL SELECT 'registry' FROM catmaid_history_table$$,
	'drop_all_history_tables drops all, children and parents');
SELECT is((SELECT count(*)::int FROM a), 4, 'and no live row');

SELECT * FROM finish();
