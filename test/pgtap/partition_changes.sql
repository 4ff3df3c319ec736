-- Partitions that come and go: created or attached later they are covered;
-- rows that leave with a detached or dropped partition end their version then.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(25);

CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE r_0 PARTITION OF r FOR VALUES FROM (0) TO (100);
SELECT create_history_table('r');
INSERT INTO r VALUES (1, 'a'), (2, 'b');
SELECT remember('r', 'r_0');

-- Created later.
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (100) TO (200);
SELECT is((SELECT count(DISTINCT triggers_installed)::int FROM catmaid_live_table_triggers
	WHERE live_table = 'r'::regclass AND triggers_installed), 1, 'tracking is on');
INSERT INTO r VALUES (101, 'c'), (102, 'd');
INSERT INTO r_1 VALUES (103, 'e');
SELECT remember('r', 'r_1');
SELECT is((SELECT count(*)::int FROM r__tracking), 5, 'a partition created later is tracked');
UPDATE r_1 SET v = upper(v) WHERE id = 101;
UPDATE r SET v = upper(v) WHERE id = 102;
UPDATE r SET id = 3 WHERE id = 103;
SELECT remember('r', 'written');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM r__history), '101c 102d 103e',
	'and recorded, once');

-- Attached later, with rows, and with partitions of its own.
CREATE TABLE r_2 (v text, junk int, id int NOT NULL);
ALTER TABLE r_2 DROP COLUMN junk;
INSERT INTO r_2 VALUES ('f', 201), ('g', 202);
BEGIN;
SELECT now() AS t_att \gset
ALTER TABLE r ATTACH PARTITION r_2 FOR VALUES FROM (200) TO (300);
COMMIT;
SELECT remember('r', 'r_2');
SELECT results_eq('SELECT live_pk, edition_time FROM r__tracking WHERE live_pk > 200 ORDER BY 1',
	format('VALUES (201, %1$L::timestamptz), (202, %1$L)', :'t_att'),
	'rows that come with an attached partition begin there');
CREATE TABLE r_3 (id int NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE r_3a PARTITION OF r_3 FOR VALUES FROM (300) TO (350);
CREATE TABLE r_3d PARTITION OF r_3 DEFAULT;
INSERT INTO r_3 VALUES (301, 'h'), (351, 'i');
ALTER TABLE r ATTACH PARTITION r_3 FOR VALUES FROM (300) TO (400);
SELECT remember('r', 'r_3');
SELECT is((SELECT count(*)::int FROM r__tracking WHERE live_pk > 300), 2,
	'also over two levels');
UPDATE r_2 SET v = upper(v);
DELETE FROM r_3a;
UPDATE r SET v = upper(v) WHERE id = 351;
SELECT remember('r', 'attached written');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM r__history WHERE id > 200),
	'201f 202g 301h 351i', 'an attached partition is recorded, columns in their places');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'tracking is complete');

-- Detached: its rows end there, and it is an ordinary table from then on.
BEGIN;
SELECT now() AS t_det, txid_current() AS x_det \gset
ALTER TABLE r DETACH PARTITION r_2;
COMMIT;
SELECT remember('r', 'detached');
SELECT results_eq('SELECT id, v, upper(sys_period) FROM r__history WHERE exec_transaction_id = '
	|| :x_det || ' ORDER BY id',
	format($$VALUES (201, 'F', %1$L::timestamptz), (202, 'G', %1$L)$$, :'t_det'),
	'rows that leave with a detached partition end then');
SELECT is((SELECT count(*)::int FROM r__tracking WHERE live_pk BETWEEN 200 AND 299), 0,
	'and so do their tracking rows');
SELECT is((SELECT string_agg(v, ' ' ORDER BY id) FROM r_2), 'F G', 'while the table keeps them');
SELECT lives_ok($$UPDATE r_2 SET v = 'free'; DELETE FROM r_2 WHERE id = 201$$,
	'it can be written');
SELECT is((SELECT count(*)::int FROM r__history WHERE v = 'free' OR id > 200 AND id < 300
	AND v IN ('F', 'G')), 2, 'unrecorded');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 'r_2'::regclass
	AND NOT tgisinternal$$, 'with no trigger of ours left');
SELECT lives_ok($$TRUNCATE r_2$$, 'it can be truncated');
INSERT INTO r_2 VALUES ('back', 202), ('new', 203);
ALTER TABLE r ATTACH PARTITION r_2 FOR VALUES FROM (200) TO (300);
SELECT remember('r', 'attached again');
UPDATE r SET v = v || '!' WHERE id > 200 AND id < 300;
SELECT remember('r', 'attached again, written');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM r__history WHERE v IN ('back', 'new')),
	'202back 203new', 'attached again, it is recorded again');

-- Dropped.
BEGIN;
SELECT now() AS t_drop, txid_current() AS x_drop \gset
DROP TABLE r_1;
COMMIT;
SELECT remember('r', 'dropped');
SELECT results_eq('SELECT id, v, upper(sys_period) FROM r__history WHERE exec_transaction_id = '
	|| :x_drop || ' ORDER BY id',
	format($$VALUES (101, 'C', %1$L::timestamptz), (102, 'D', %1$L)$$, :'t_drop'),
	'rows that leave with a dropped partition end then');
DROP TABLE r_3;
SELECT remember('r', 'dropped with its partitions');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM r__history WHERE v = 'I'), '351I',
	'also those of its partitions');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'tracking: no row too many');

-- Rolled back.
BEGIN;
DROP TABLE r_2;
ROLLBACK;
BEGIN;
ALTER TABLE r DETACH PARTITION r_0;
ROLLBACK;
SELECT remember('r', 'rolled back');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'tracking after a rollback');
UPDATE r SET v = 'last' WHERE id = 1;
SELECT remember('r', 'last');
SELECT is((SELECT count(*)::int FROM r__with_history WHERE id = 1), 2, 'and tracking goes on');

SELECT is_empty($$SELECT * FROM misremembered('r')$$,
	'as-of queries equal the table as it was at every step');

-- The same with a time column: the application's time is the start.
CREATE TABLE t (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint)
	PARTITION BY LIST (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1);
CREATE TABLE t_2 PARTITION OF t FOR VALUES IN (2);
CREATE TABLE t_3 PARTITION OF t FOR VALUES IN (3);
SELECT create_history_table('t', 'edition_time', 'txid');
INSERT INTO t (id, v) VALUES (1, 'a'), (2, 'b'), (3, 'c');
SELECT remember('t', 'filled');
ALTER TABLE t DETACH PARTITION t_1;
SELECT remember('t', 'detached');
DROP TABLE t_2;
SELECT remember('t', 'dropped');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM t__history), '1a 2b',
	'time column: rows that leave end their version');
SELECT is_empty($$SELECT * FROM misremembered('t')$$, 'time column: as-of queries');
-- All of it goes.
SELECT lives_ok('DROP TABLE r', 'the root is dropped');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^r__'
	UNION ALL SELECT 'row' FROM catmaid_history_table WHERE live_table::oid NOT IN
	(SELECT oid FROM pg_class)$$, 'its history goes with it');

SELECT * FROM finish();
