-- Primary keys that change: shifted, swapped, reused, deferred, of odd types.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(21);

-- id = id + 1 needs a deferrable key.
CREATE TABLE s (id int PRIMARY KEY DEFERRABLE, v text);
SELECT create_history_table('s');
DO $$ BEGIN FOR i IN 1..6 LOOP INSERT INTO s VALUES (i, 'r' || i); COMMIT; END LOOP; END $$;
SELECT remember('s', 'filled');
CREATE TABLE starts AS SELECT v, edition_time FROM s JOIN s__tracking ON id = live_pk;
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
UPDATE s SET id = id + 1;
COMMIT;
SELECT remember('s', 'shifted');
SELECT results_eq('SELECT id, h.v, sys_period, exec_transaction_id FROM s__history h ORDER BY id',
	format('SELECT i, v, tstzrange(edition_time, %L), %s::bigint
		FROM generate_series(1, 6) i JOIN starts ON v = ''r'' || i ORDER BY i', :'t1', :x1),
	'id = id + 1: each version under its old key, with its own start');
SELECT results_eq('SELECT * FROM s__tracking ORDER BY 1',
	format('SELECT i, %L::timestamptz, %s::bigint FROM generate_series(2, 7) i',
		:'t1', :x1), 'id = id + 1: one tracking row for each new key');
UPDATE s SET id = id - 1;
SELECT remember('s', 'shifted back');
SELECT set_eq('SELECT live_pk FROM s__tracking', 'SELECT generate_series(1, 6)',
	'id = id - 1: the tracking rows follow');

-- Swap, with different starts.
UPDATE s SET v = 'R1' WHERE id = 1;
SELECT edition_time AS e1 FROM s__tracking WHERE live_pk = 1 \gset
SELECT edition_time AS e2 FROM s__tracking WHERE live_pk = 2 \gset
SELECT isnt(:'e1'::timestamptz, :'e2', 'two rows with different starts');
BEGIN;
SELECT now() AS t2, txid_current() AS x2 \gset
UPDATE s SET id = 3 - id WHERE id IN (1, 2);
COMMIT;
SELECT remember('s', 'swapped');
SELECT results_eq('SELECT id, v, sys_period FROM s__history WHERE exec_transaction_id = '
	|| :x2 || ' ORDER BY id', format($$VALUES (1, 'R1', tstzrange(%L, %L)),
		(2, 'r2', tstzrange(%L, %L))$$, :'e1', :'t2', :'e2', :'t2'),
	'a swap: each row with its own start');
SELECT results_eq('SELECT live_pk, edition_time FROM s__tracking WHERE live_pk < 3 ORDER BY 1',
	format('VALUES (1, %1$L::timestamptz), (2, %1$L)', :'t2'), 'a swap: tracking');

-- Several changes of a key within a transaction, and there and back.
BEGIN;
SELECT now() AS t3, txid_current() AS x3 \gset
UPDATE s SET id = 100 WHERE id = 3;
UPDATE s SET id = 101 WHERE id = 100;
UPDATE s SET id = 3 WHERE id = 101;
UPDATE s SET id = 100 WHERE id = 4;
INSERT INTO s VALUES (4, 'another');
DELETE FROM s WHERE id = 5;
INSERT INTO s VALUES (5, 'other');
COMMIT;
SELECT remember('s', 'there and back');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM s__history
		WHERE exec_transaction_id = ' || :x3 || ' ORDER BY id, v',
	$$VALUES (3, 'r3', false), (4, 'r4', false), (5, 'r5', false), (100, 'r3', true),
		(101, 'r3', true)$$, 'changes within a transaction: empty periods for those between');
SELECT results_eq('SELECT live_pk, edition_time FROM s__tracking
		WHERE live_pk IN (3, 4, 5) OR live_pk > 99 ORDER BY 1',
	format('VALUES (3, %1$L::timestamptz), (4, %1$L), (5, %1$L), (100, %1$L)', :'t3'),
	'and the tracking table has the keys that are left');
UPDATE s SET v = v || '.';
SELECT remember('s', 'all');
SELECT is((SELECT count(*)::int FROM s__history WHERE lower_inf(sys_period)), 0,
	'no version lost its start');

-- INITIALLY DEFERRED: a key may be there twice for a while.
CREATE TABLE d (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SELECT create_history_table('d');
INSERT INTO d VALUES (1, 'old 1'), (2, 'old 2'), (3, 'old 3'), (4, 'old 4');
SELECT remember('d', 'filled');
BEGIN;
SELECT now() AS t4, txid_current() AS x4 \gset
INSERT INTO d VALUES (1, 'new 1');
DELETE FROM d WHERE v = 'old 1';
INSERT INTO d VALUES (2, 'new 2');
UPDATE d SET id = 20 WHERE v = 'old 2';
UPDATE d SET id = 3 WHERE v = 'old 4';
UPDATE d SET id = 4 WHERE v = 'old 3';
COMMIT;
SELECT remember('d', 'twice');
SELECT results_eq('SELECT id, v FROM d__history WHERE exec_transaction_id = ' || :x4
	|| ' ORDER BY id', $$VALUES (1, 'old 1'), (2, 'old 2'), (3, 'old 3'), (4, 'old 4')$$,
	'a key that was there twice: the versions');
SELECT results_eq('SELECT * FROM d__tracking ORDER BY 1', format(
	'SELECT i, %L::timestamptz, %s::bigint FROM unnest(ARRAY[1, 2, 3, 4, 20]) i',
	:'t4', :x4), 'a key that was there twice: its tracking row stays');
BEGIN;
INSERT INTO d VALUES (1, 'newer 1'), (1, 'newest 1'), (1, 'too new 1');
DELETE FROM d WHERE v IN ('new 1', 'too new 1');
UPDATE d SET v = 'renewed 1' WHERE v = 'newer 1';
UPDATE d SET v = 'brand new 1' WHERE id = 1;
DELETE FROM d WHERE ctid = (SELECT min(ctid) FROM d WHERE id = 1);
COMMIT;
SELECT remember('d', 'thrice');
SELECT is((SELECT count(*)::int FROM d__tracking WHERE live_pk = 1), 1,
	'a key that was there four times has one tracking row');
UPDATE d SET v = 'final';
DELETE FROM d;
SELECT remember('d', 'empty');
SELECT is((SELECT count(*)::int FROM d__tracking), 0, 'the last DELETE takes them all');
SELECT is((SELECT count(*)::int FROM d__history WHERE lower_inf(sys_period)), 0,
	'no version of the deferred table lost its start');
SELECT throws_ok($$DO $q$ BEGIN INSERT INTO d VALUES (7, 'x'), (7, 'y');
	SET CONSTRAINTS ALL IMMEDIATE; END $q$ $$, '23505', NULL,
	'a duplicate that stays is still refused, by the live table');
SELECT is((SELECT count(*)::int FROM d__tracking), 0, 'and is not tracked');

SELECT is_empty($$SELECT * FROM misremembered('s') UNION ALL
	SELECT * FROM misremembered('d')$$, 'as-of queries equal the tables as they were');

-- Keys of other types; equal keys with another text.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN code AS varchar(5) CHECK (VALUE <> '');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE k_num (id numeric PRIMARY KEY, v int);
CREATE TABLE k_text (id text COLLATE "C" PRIMARY KEY, v int);
CREATE TABLE k_char (id char(4) PRIMARY KEY, v int);
CREATE TABLE k_vc (id varchar(7) PRIMARY KEY, v int);
CREATE TABLE k_enum (id mood PRIMARY KEY, v int);
CREATE TABLE k_dom (id code PRIMARY KEY, v int);
CREATE TABLE k_pair (id pair PRIMARY KEY, v int);
CREATE TABLE k_arr (id int[] PRIMARY KEY, v int);
CREATE TABLE k_uuid (id uuid PRIMARY KEY, v int);
CREATE TABLE k_range (id int4range PRIMARY KEY, v int);
CREATE TABLE k_ts (id timestamptz PRIMARY KEY, v int);
CREATE TABLE k_bytea (id bytea PRIMARY KEY, v int);
CREATE TABLE kinds (t regclass, one text, other text);
INSERT INTO kinds VALUES ('k_num', '1.0', '1.00'), ('k_text', 'Ä', 'ä'), ('k_char', 'a', 'b'),
	('k_vc', 'seven77', ''), ('k_enum', 'sad', 'ok'), ('k_dom', 'abcde', 'x'),
	('k_pair', '(1,a)', '(1,b)'), ('k_arr', '{1,NULL}', '{}'), ('k_range', '[1,4)', 'empty'),
	('k_uuid', '11111111-1111-1111-1111-111111111111', '11111111-1111-1111-1111-111111111112'),
	('k_ts', 'infinity', '2001-01-01+0'), ('k_bytea', '\x00', '\x0001');
SELECT create_history_table(t) FROM kinds;
CREATE TABLE result (t regclass, versions text, tracked int);
DO $$
DECLARE k kinds; r result; typ text;
BEGIN
	FOR k IN SELECT * FROM kinds LOOP
		typ := (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
			WHERE attrelid = k.t AND attname = 'id');
		EXECUTE format('INSERT INTO %s VALUES (%L, 1)', k.t, k.one); COMMIT;
		EXECUTE format('UPDATE %s SET v = 2 WHERE id = %L::%s', k.t, k.one, typ); COMMIT;
		EXECUTE format('UPDATE %s SET id = %L', k.t, k.other); COMMIT;
		EXECUTE format('UPDATE %s SET v = 3 WHERE id = %L::%s', k.t, k.other, typ); COMMIT;
		EXECUTE format('SELECT %L, string_agg(v || (sys_period -|- lead)::text, '' ''
			ORDER BY sys_period), (SELECT count(*) FROM %1$s__tracking) FROM (SELECT *,
			lead(sys_period) OVER (ORDER BY sys_period) FROM %1$s__history) h', k.t) INTO r;
		INSERT INTO result VALUES (r.*);
	END LOOP;
END $$;
SELECT is_empty($$SELECT * FROM result WHERE versions <> '1true 2true'
		OR versions IS NULL OR tracked <> 1$$,
	'keys of many types: two joined periods and one tracking row each');
SELECT is((SELECT count(*)::int FROM result), 12, 'all of them');

-- What becomes of keys that two rows had for a while waits for the commit; the keys are
-- not read then from where the table had them.
CREATE TABLE far (id text PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
ALTER TABLE far ALTER id SET STORAGE EXTERNAL;
SELECT create_history_table('far');
INSERT INTO far VALUES (repeat('1', 2300), 'a'), (repeat('2', 2300), 'b');
SELECT cmp_ok(pg_relation_size(reltoastrelid), '>', 0::bigint, 'keys out of line')
	FROM pg_class WHERE oid = 'far'::regclass;
BEGIN;
UPDATE far SET id = repeat('2', 2300) WHERE v = 'a';
UPDATE far SET id = repeat('1', 2300) WHERE v = 'b';
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE far ALTER v TYPE varchar(3);
COMMIT;
SELECT results_eq('SELECT live_pk, txid FROM far__tracking ORDER BY 1',
	'SELECT f.id, exec_transaction_id FROM far f, far__history h WHERE h.v = ''a'' ORDER BY 1',
	'keys swapped, and the table rewritten before the commit');

SELECT * FROM finish();
