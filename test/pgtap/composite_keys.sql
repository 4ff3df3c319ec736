-- Keys of several columns, and INCLUDE columns, which are no key.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(22);

CREATE DOMAIN kind AS varchar(8) CHECK (VALUE <> '');
CREATE TABLE m (v text, b kind, "A a" int, PRIMARY KEY ("A a", b));
SELECT create_history_table('m');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'm__tracking'::regclass AND attnum > 0 AND NOT attisdropped),
	'live_pk_1 live_pk_2 edition_time txid', 'a tracking table with a key of two columns');
SELECT is((SELECT format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'm__tracking'::regclass AND attname = 'live_pk_1'), 'integer',
	'in the order of the key, not of the table');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 'm__tracking'::regclass
	AND indisunique AND indnkeyatts = 2), 1, 'unique on both');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY k.ord) FROM pg_index i
		JOIN pg_class c ON c.oid = indexrelid,
		unnest(i.indkey::int2[]) WITH ORDINALITY k (num, ord) JOIN pg_attribute a ON a.attnum = k.num
	WHERE a.attrelid = i.indrelid AND c.relname = 'm__history_live_pk_index'), 'A a b',
	'the key index of the history has both columns');

-- Rows that share one part of the key.
DO $$ BEGIN
	FOR i IN 1..3 LOOP
		INSERT INTO m VALUES ('v' || i || 'x', 'x', i); COMMIT;
		INSERT INTO m VALUES ('v' || i || 'y', 'y', i); COMMIT;
	END LOOP;
END $$;
SELECT remember('m', '0');
SELECT is((SELECT count(DISTINCT edition_time)::int FROM m__tracking), 6, 'six rows, six starts');
CREATE TABLE starts AS SELECT v, edition_time FROM m JOIN m__tracking
	ON "A a" = live_pk_1 AND b = live_pk_2;
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
UPDATE m SET v = upper(v) WHERE "A a" = 1 AND b = 'y' OR "A a" = 2 AND b = 'x';
DELETE FROM m WHERE b = 'x' AND "A a" = 3;
COMMIT;
SELECT remember('m', '1');
SELECT results_eq('SELECT h.v, b, "A a", sys_period, exec_transaction_id FROM m__history h
		ORDER BY h.v', format($$SELECT w.v, w.b::varchar(8), w.a, tstzrange(edition_time, %L),
		%s::bigint FROM (VALUES ('v1y', 'y', 1), ('v2x', 'x', 2), ('v3x', 'x', 3)) w (v, b, a)
		JOIN starts s ON s.v = w.v ORDER BY w.v$$, :'t1', :x1),
	'each version has the start of its own row');
SELECT results_eq('SELECT live_pk_1, live_pk_2::text FROM m__tracking WHERE txid = ' || :x1
	|| ' ORDER BY 1', $$VALUES (1, 'y'), (2, 'x')$$, 'tracking: the rows that were updated');
SELECT is((SELECT count(*)::int FROM m__tracking), 5, 'tracking: the deleted row alone is gone');

-- One part of the key changes, both do, they cross over.
UPDATE m SET b = 'z' WHERE b = 'x' AND "A a" = 1;
SELECT remember('m', '2');
UPDATE m SET "A a" = 9, b = 'new' WHERE "A a" = 2 AND b = 'y';
SELECT remember('m', '3');
BEGIN;
UPDATE m SET b = 'tmp' WHERE "A a" = 1 AND b = 'y';
UPDATE m SET b = 'y' WHERE "A a" = 1 AND b = 'z';
UPDATE m SET b = 'z' WHERE "A a" = 1 AND b = 'tmp';
COMMIT;
SELECT remember('m', '4');
BEGIN;
DELETE FROM m WHERE b = 'new';
INSERT INTO m VALUES ('again', 'new', 9);
COMMIT;
SELECT remember('m', '5');
SELECT set_eq('SELECT live_pk_1, live_pk_2::text FROM m__tracking', 'SELECT "A a", b::text FROM m',
	'tracking follows every part of the key');
UPDATE m SET v = v || '!';
SELECT remember('m', '6');
TRUNCATE m;
SELECT remember('m', '7');
SELECT is((SELECT count(*)::int FROM m__history WHERE lower_inf(sys_period)), 0,
	'no start was lost');
SELECT is_empty($$SELECT * FROM misremembered('m')$$, 'as-of queries equal the table as it was');

-- A deferrable key of three columns; with a time column; sync.
CREATE TABLE d (a int, b int, c int, PRIMARY KEY (c, a, b) DEFERRABLE);
CREATE TABLE t (a int, b int, edition_time timestamptz DEFAULT now(), txid bigint,
	PRIMARY KEY (a, b));
SELECT create_history_table('d'), create_history_table('t', 'edition_time', 'txid');
INSERT INTO d SELECT i, i % 2, 1 FROM generate_series(1, 6) i;
SELECT remember('d', '0');
UPDATE d SET a = a + 2;
SELECT remember('d', '1');
UPDATE d SET a = b, b = a, c = a;
SELECT remember('d', '2');
SELECT disable_history_tracking_for_table('d');
UPDATE d SET a = 77 WHERE a = 1;
DELETE FROM d WHERE a = 0 AND b = 4;
SELECT enable_history_tracking_for_table('d');
SELECT set_eq('SELECT live_pk_1, live_pk_2, live_pk_3 FROM d__tracking', 'SELECT c, a, b FROM d',
	'three columns: sync matches on all of them');
SELECT is((SELECT count(*)::int FROM d__history), 12, 'three columns: history');
SELECT is((SELECT count(*)::int FROM misremembered('d') WHERE at_step < '2'), 0,
	'three columns: as-of queries');
INSERT INTO t VALUES (1, 1), (1, 2);
UPDATE t SET a = 2 WHERE b = 2;
DELETE FROM t WHERE a = 1;
SELECT results_eq('SELECT a, b FROM t__history ORDER BY b', 'VALUES (1, 1), (1, 2)',
	'a composite key with a time column');
SELECT hasnt_table('t__tracking', 'needs no tracking table');

-- INCLUDE.
CREATE TABLE inc (id int, extra text, PRIMARY KEY (id) INCLUDE (extra));
CREATE TABLE inc2 (a int, b int, extra text, PRIMARY KEY (a, b) INCLUDE (extra));
SELECT create_history_table('inc'), create_history_table('inc2');
SELECT is((SELECT live_table_pkey_column FROM catmaid_history_table
	WHERE live_table = 'inc'::regclass), 'id', 'INCLUDE: the registry has the key column');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'inc__tracking'::regclass AND attnum > 0 AND NOT attisdropped),
	'live_pk edition_time txid', 'INCLUDE: one column is the key');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'inc2__tracking'::regclass AND attnum > 0 AND NOT attisdropped),
	'live_pk_1 live_pk_2 edition_time txid', 'INCLUDE: two columns are the key');
INSERT INTO inc VALUES (1, 'a');
UPDATE inc SET extra = 'b';
UPDATE inc SET extra = NULL;
SELECT is((SELECT count(*)::int FROM inc__tracking), 1, 'INCLUDE: a changed extra is no key change');
SELECT results_eq('SELECT extra FROM inc__history ORDER BY sys_period', $$VALUES ('a'), ('b')$$,
	'INCLUDE: history');

-- 32 columns, the most an index can have.
DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE most (%s, v int, PRIMARY KEY (%s))',
	string_agg(format('k%s int', i), ', ' ORDER BY i), string_agg('k' || i, ', ' ORDER BY -i))
	FROM generate_series(1, 32) i); END $$;
SELECT create_history_table('most');
DO $$ BEGIN EXECUTE (SELECT format('INSERT INTO most VALUES (%s, 0)', string_agg(i::text, ','))
	FROM generate_series(1, 32) i); END $$;
UPDATE most SET v = 1;
UPDATE most SET k1 = 0;
DELETE FROM most;
SELECT is((SELECT string_agg(format('%s:%s:%s', k1, v, lower_inf(sys_period)), ' ' ORDER BY sys_period)
	FROM most__history), '1:0:f 1:1:f 0:1:f', 'a key of 32 columns');

SELECT * FROM finish();
