-- UPDATE and DELETE on a table without a time column: what is stored, from when
-- to when, by whom; and what is not stored.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(20);

CREATE TABLE doc (id int PRIMARY KEY, title text NOT NULL, n int);
INSERT INTO doc VALUES (1, 'one', 1), (2, 'two', NULL), (3, 'three', 3);
BEGIN;
SELECT now() AS t0 \gset
SELECT create_history_table('doc');
COMMIT;
SELECT remember('doc', 'created');

SELECT is_empty('SELECT * FROM doc__history', 'a new history is empty');
SELECT results_eq('SELECT live_pk, edition_time FROM doc__tracking ORDER BY 1',
	format('SELECT id, %L::timestamptz FROM doc ORDER BY 1', :'t0'),
	'rows that were there have the creation as their edition time');
SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod),
		', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'doc__tracking'::regclass AND attnum > 0 AND NOT attisdropped),
	'live_pk integer, edition_time timestamp with time zone, txid bigint',
	'the tracking table has the columns of the specification');

-- INSERT
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO doc VALUES (4, 'four', 4), (5, 'five', 5);
COMMIT;
SELECT remember('doc', 'inserted');
SELECT is_empty('SELECT * FROM doc__history', 'INSERT stores nothing');
SELECT results_eq('SELECT * FROM doc__tracking WHERE live_pk > 3 ORDER BY 1',
	format('VALUES (4, %1$L::timestamptz, %2$s::bigint), (5, %1$L, %2$s)', :'t1', :x1),
	'INSERT is followed by the tracking table');

-- UPDATE
BEGIN;
SELECT now() AS t2, txid_current() AS x2 \gset
UPDATE doc SET title = upper(title) WHERE id IN (1, 2, 4);
COMMIT;
SELECT remember('doc', 'updated');
SELECT results_eq('SELECT * FROM doc__history ORDER BY id', format($$VALUES
	(1, 'one', 1, tstzrange(%1$L, %3$L), %4$s::bigint, NULL::bigint),
	(2, 'two', NULL, tstzrange(%1$L, %3$L), %4$s, NULL),
	(4, 'four', 4, tstzrange(%2$L, %3$L), %4$s, %5$s)$$, :'t0', :'t1', :'t2', :x2, :x1),
	'UPDATE stores the whole old rows, their period, the transaction and who made them');
SELECT results_eq('SELECT * FROM doc__tracking WHERE live_pk IN (1, 2, 4) ORDER BY 1',
	format('SELECT i, %L::timestamptz, %s::bigint FROM unnest(ARRAY[1, 2, 4]) i',
		:'t2', :x2), 'UPDATE is followed by the tracking table');
SELECT results_eq('SELECT live_pk, edition_time FROM doc__tracking
		WHERE live_pk IN (3, 5) ORDER BY 1',
	format('VALUES (3, %L::timestamptz), (5, %L)', :'t0', :'t1'),
	'rows that were not updated keep their edition time');

-- An update that changes nothing is an update; one of no row is none.
BEGIN;
SELECT now() AS t3, txid_current() AS x3 \gset
UPDATE doc SET n = n WHERE id = 3;
UPDATE doc SET n = 99 WHERE id = 77;
DELETE FROM doc WHERE id = 77;
COMMIT;
SELECT remember('doc', 'touched');
SELECT results_eq('SELECT * FROM doc__history WHERE exec_transaction_id = ' || :x3,
	format($$VALUES (3, 'three', 3, tstzrange(%L, %L), %s::bigint, NULL::bigint)$$,
		:'t0', :'t3', :x3), 'an update to the same values is a version of its own');

-- DELETE
BEGIN;
SELECT now() AS t4, txid_current() AS x4 \gset
DELETE FROM doc WHERE id IN (1, 5);
COMMIT;
SELECT remember('doc', 'deleted');
SELECT results_eq('SELECT * FROM doc__history WHERE exec_transaction_id = ' || :x4 ||
	' ORDER BY id', format($$VALUES
	(1, 'ONE', 1, tstzrange(%2$L, %3$L), %4$s::bigint, %5$s::bigint),
	(5, 'five', 5, tstzrange(%1$L, %3$L), %4$s, %6$s)$$, :'t1', :'t2', :'t4', :x4, :x2, :x1),
	'DELETE stores the old rows, their period and the transaction');
SELECT results_eq('SELECT live_pk FROM doc__tracking ORDER BY 1', 'VALUES (2), (3), (4)',
	'DELETE takes the tracking rows along');

-- The key comes back.
BEGIN;
SELECT now() AS t5, txid_current() AS x5 \gset
INSERT INTO doc VALUES (1, 'uno', 11);
COMMIT;
SELECT remember('doc', 'back');
BEGIN;
SELECT now() AS t6, txid_current() AS x6 \gset
DELETE FROM doc;
COMMIT;
SELECT remember('doc', 'empty');
SELECT results_eq('SELECT title, sys_period FROM doc__history WHERE id = 1
		ORDER BY sys_period',
	format($$VALUES ('one', tstzrange(%L, %L)), ('ONE', tstzrange(%L, %L)),
		('uno', tstzrange(%L, %L))$$,
		:'t0', :'t2', :'t2', :'t4', :'t5', :'t6'),
	'a key that comes back starts anew: the gap stays a gap');
SELECT ok(bool_and(lower_inc(sys_period) AND NOT upper_inc(sys_period)),
	'every period is closed at its start and open at its end') FROM doc__history;
SELECT is_empty('SELECT * FROM doc__tracking', 'no tracking row without its live row');
SELECT is_empty($$SELECT * FROM misremembered('doc')$$,
	'every as-of query equals the table as it was');

-- sync => false: nothing is known about the rows that were there.
CREATE TABLE old (id bigint PRIMARY KEY, v text);
INSERT INTO old VALUES (1, 'a'), (2, 'b');
SELECT create_history_table('old', sync => false);
SELECT is_empty('SELECT * FROM old__tracking', 'sync => false leaves the tracking table empty');
BEGIN;
SELECT now() AS t7, txid_current() AS x7 \gset
UPDATE old SET v = 'A' WHERE id = 1;
DELETE FROM old WHERE id = 2;
COMMIT;
SELECT results_eq('SELECT * FROM old__history ORDER BY id', format($$VALUES
	(1::bigint, 'a', tstzrange(NULL, %1$L), %2$s::bigint, NULL::bigint),
	(2, 'b', tstzrange(NULL, %1$L), %2$s, NULL)$$, :'t7', :x7),
	'a row without its tracking row is stored with an unbounded start');
SELECT results_eq('SELECT * FROM old__tracking',
	format('VALUES (1::bigint, %L::timestamptz, %s::bigint)', :'t7', :x7),
	'the update gave the row its tracking row');

-- A tracking row that got lost, and one that is too new.
BEGIN;
SELECT now() AS t8, txid_current() AS x8 \gset
INSERT INTO old VALUES (3, 'c'), (4, 'd');
COMMIT;
DELETE FROM old__tracking WHERE live_pk = 3;
UPDATE old__tracking SET edition_time = 'infinity' WHERE live_pk = 4;
BEGIN;
SELECT now() AS t9, txid_current() AS x9 \gset
DELETE FROM old WHERE id IN (3, 4);
COMMIT;
SELECT results_eq('SELECT * FROM old__history WHERE id > 2 ORDER BY id', format($$VALUES
	(3::bigint, 'c', tstzrange(NULL, %1$L), %2$s::bigint, NULL::bigint),
	(4, 'd', 'empty', %2$s, %3$s)$$, :'t9', :x9, :x8),
	'a lost tracking row loses no history, a start in the future becomes the end');
SELECT results_eq('SELECT live_pk FROM old__tracking', 'VALUES (1::bigint)',
	'the tracking rows of deleted rows are gone');

SELECT * FROM finish();
