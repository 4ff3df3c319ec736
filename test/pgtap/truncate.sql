-- TRUNCATE stores every row that it removes, once, whatever way it came.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(17);

CREATE TABLE a (id int PRIMARY KEY, big text, dbl int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a);
CREATE TABLE c (id serial PRIMARY KEY, b_id int REFERENCES b,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE untracked (id int REFERENCES c);
SELECT create_history_table('a'), create_history_table('b'),
	create_history_table('c', 'edition_time', 'txid');

BEGIN;
SELECT now() AS t1 \gset
INSERT INTO a SELECT i, repeat(md5(i::text), 400) FROM generate_series(1, 3000) i;
INSERT INTO b SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO c (b_id) SELECT i FROM generate_series(1, 20) i;
COMMIT;
SELECT remember('a', 'full'), remember('b', 'full'), remember('c', 'full');

-- Rolled back first: nothing stays.
BEGIN;
TRUNCATE a CASCADE;
ROLLBACK;
BEGIN;
SAVEPOINT s;
TRUNCATE a CASCADE;
ROLLBACK TO s;
COMMIT;
SELECT is((SELECT count(*)::int FROM a__history) + (SELECT count(*)::int FROM b__history)
	+ (SELECT count(*)::int FROM c__history), 0, 'a rolled back TRUNCATE leaves nothing');
SELECT is((SELECT count(*)::int FROM a__tracking), 3000,
	'and the tracking rows are back');

BEGIN;
SELECT now() AS t2, txid_current() AS x2 \gset
SAVEPOINT s;
TRUNCATE a RESTART IDENTITY CASCADE;
RELEASE s;
COMMIT;
SELECT remember('a', 'empty'), remember('b', 'empty'), remember('c', 'empty');
SELECT results_eq($$SELECT count(*), count(DISTINCT id), min(sys_period::text), max(sys_period::text),
		min(exec_transaction_id), max(exec_transaction_id) FROM a__history$$,
	format('VALUES (3000::bigint, 3000::bigint, %1$s, %1$s, %2$s::bigint, %2$s::bigint)',
		format('tstzrange(%L, %L)::text', :'t1', :'t2'), :x2),
	'TRUNCATE stores each row, its period and the transaction');
SELECT is_empty($$SELECT id FROM a__history WHERE big <> repeat(md5(id::text), 400)
	OR dbl <> id * 2 OR dbl IS NULL OR big IS NULL$$, 'with its values, long ones too');
SELECT results_eq($$SELECT count(*), count(DISTINCT id), min(sys_period::text), max(sys_period::text),
		min(exec_transaction_id), max(exec_transaction_id) FROM b__history$$,
	format('VALUES (50::bigint, 50::bigint, %1$s, %1$s, %2$s::bigint, %2$s::bigint)',
		format('tstzrange(%L, %L)::text', :'t1', :'t2'), :x2),
	'TRUNCATE that cascades stores each row');
SELECT results_eq($$SELECT count(*), count(DISTINCT id), min(sys_period::text), max(sys_period::text),
		min(exec_transaction_id), max(exec_transaction_id) FROM c__history$$,
	format('VALUES (20::bigint, 20::bigint, %1$s, %1$s, %2$s::bigint, %2$s::bigint)',
		format('tstzrange(%L, %L)::text', :'t1', :'t2'), :x2),
	'over two steps, into a table with a time column');
SELECT is_empty('SELECT live_pk FROM a__tracking UNION ALL SELECT live_pk FROM b__tracking',
	'TRUNCATE empties the tracking tables');

-- Again: an empty table, two tables, a filled one in the transaction of its INSERT.
TRUNCATE a, b, c, untracked;
SELECT is((SELECT count(*)::int FROM a__history) + (SELECT count(*)::int FROM b__history)
	+ (SELECT count(*)::int FROM c__history), 3070, 'an empty table has nothing to store');
INSERT INTO a VALUES (1, 'x'), (2, 'y');
INSERT INTO b VALUES (1, 1);
SELECT remember('a', 'again'), remember('b', 'again');
BEGIN;
SELECT txid_current() AS x3 \gset
INSERT INTO a VALUES (3, 'same transaction');
UPDATE a SET big = 'z' WHERE id = 1;
TRUNCATE a, b, c, untracked;
INSERT INTO a VALUES (1, 'new');
COMMIT;
SELECT remember('a', 'new'), remember('b', 'new');
SELECT results_eq('SELECT id, big, isempty(sys_period) FROM a__history
		WHERE exec_transaction_id = ' || :x3 || ' ORDER BY id, big',
	$$VALUES (1, 'x', false), (1, 'z', true), (2, 'y', false),
		(3, 'same transaction', true)$$,
	'TRUNCATE after other changes in one transaction: each version once');
SELECT is((SELECT count(*)::int FROM b__history WHERE exec_transaction_id = :x3), 1,
	'the second table of a TRUNCATE is stored as well');
SELECT results_eq('SELECT live_pk, txid FROM a__tracking',
	format('VALUES (1, %s::bigint)', :x3), 'a row inserted after TRUNCATE is tracked');
UPDATE a SET big = 'newer';
SELECT remember('a', 'newer');
SELECT is_empty($$SELECT * FROM misremembered('a') UNION ALL
	SELECT * FROM misremembered('b') UNION ALL SELECT * FROM misremembered('c')$$,
	'as-of queries equal the tables as they were');

-- Unknown starts; a start in the future.
CREATE TABLE u (id int PRIMARY KEY);
INSERT INTO u VALUES (1), (2), (3);
SELECT create_history_table('u', sync => false);
INSERT INTO u VALUES (4), (5);
UPDATE u__tracking SET edition_time = '2001-01-01+0' WHERE live_pk = 4;
UPDATE u__tracking SET edition_time = 'infinity' WHERE live_pk = 5;
INSERT INTO u__tracking VALUES (99, now(), 1);
INSERT INTO c (id, edition_time) VALUES (1, NULL), (2, 'infinity'), (3, '2001-01-01+0');
BEGIN;
SELECT now() AS t4 \gset
TRUNCATE u, c, untracked;
COMMIT;
SELECT results_eq('SELECT id, sys_period FROM u__history ORDER BY id',
	format($$VALUES (1, tstzrange(NULL, %1$L)), (2, tstzrange(NULL, %1$L)),
		(3, tstzrange(NULL, %1$L)), (4, tstzrange('2001-01-01+0', %1$L)),
		(5, 'empty')$$, :'t4'), 'TRUNCATE: unknown and future starts, tracking table');
SELECT results_eq(format('SELECT id, sys_period FROM c__history
		WHERE upper(sys_period) = %L OR id = 2 AND isempty(sys_period) ORDER BY id', :'t4'),
	format($$VALUES (1, tstzrange(NULL, %1$L)), (2, 'empty'::tstzrange),
		(3, tstzrange('2001-01-01+0', %1$L))$$, :'t4'),
	'TRUNCATE: unknown and future starts, time column');
SELECT is_empty('SELECT * FROM u__tracking', 'stale tracking rows go with TRUNCATE too');

-- A truncated history table is another thing: the history alone.
INSERT INTO u VALUES (7);
TRUNCATE u__history;
SELECT results_eq('SELECT live_pk FROM u__tracking', 'VALUES (7)',
	'TRUNCATE of the history table by hand leaves the tracking table');
SELECT is((SELECT count(*)::int FROM u), 1, 'and the live table');

SELECT * FROM finish();
