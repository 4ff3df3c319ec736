-- Partitioned tables: one history; each change once, from the root, from a
-- partition, from between, over to another partition.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(34);

-- Two levels, default partitions, partitions whose columns lie otherwise.
CREATE TABLE r (id int, reg text, v text, big text, PRIMARY KEY (reg, id)) PARTITION BY LIST (reg);
CREATE TABLE r_eu PARTITION OF r FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE r_eu_1 PARTITION OF r_eu FOR VALUES FROM (0) TO (100);
CREATE TABLE r_eu_2 (gone int, v text, gone2 text, id int NOT NULL, big text, reg text NOT NULL);
ALTER TABLE r_eu_2 DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE r_eu ATTACH PARTITION r_eu_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE r_eu_d PARTITION OF r_eu DEFAULT;
CREATE TABLE r_us PARTITION OF r FOR VALUES IN ('us');
CREATE TABLE r_d PARTITION OF r DEFAULT;
SELECT is(state, 'P0001', 'a partition has no history of its own')
	FROM error_of($$SELECT create_history_table('r_eu_1')$$);
SELECT matches(msg || coalesce(hint, ''), '\mr\M', 'the error names the root, not the middle')
	FROM error_of($$SELECT create_history_table('r_eu_1')$$);
SELECT is(state, 'P0001', 'nor has a partitioned partition')
	FROM error_of($$SELECT create_history_table('r_eu')$$);
SELECT create_history_table('r');
SELECT is((SELECT string_agg(relname || relkind::text, ' ' ORDER BY relname) FROM pg_class
	WHERE relname ~ '^r_.*__|^r__' AND relkind NOT IN ('i', 'I')),
	'r__historyr r__trackingr r__with_historyv', 'one history for all partitions');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 1, 'one registry row');

INSERT INTO r SELECT i, reg, reg || i, repeat('b', 10) FROM unnest(ARRAY['eu', 'us', 'xx']) reg,
	unnest(ARRAY[1, 2, 3, 4, 101, 102, 103, 104, 201, 202, 203, 204]) i;
SELECT remember('r', 'filled');
SELECT is((SELECT count(*)::int FROM r__tracking), 36, 'each row of each partition is tracked');
CREATE FUNCTION added(x bigint) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(reg || id, ' ' ORDER BY reg, id) FROM r__history
	WHERE exec_transaction_id = x $$;

BEGIN;
SELECT txid_current() AS x1 \gset
UPDATE r SET v = upper(v) WHERE id % 100 = 1;
COMMIT;
SELECT remember('r', 'updated');
SELECT is(added(:x1), 'eu1 eu101 eu201 us1 us101 us201 xx1 xx101 xx201', 'UPDATE of the root');
SELECT is_empty($$SELECT * FROM r__history WHERE v <> reg || id OR big <> repeat('b', 10)
	OR v IS NULL OR big IS NULL$$, 'columns are matched by name, not by place');
BEGIN;
SELECT txid_current() AS x2 \gset
UPDATE r_eu_2 SET v = 'direct' WHERE id < 103;
DELETE FROM r_us WHERE id = 1;
DELETE FROM r_d WHERE id = 2;
UPDATE r_eu SET v = 'middle' WHERE id IN (2, 203);
COMMIT;
SELECT remember('r', 'direct');
SELECT is(added(:x2), 'eu2 eu101 eu102 eu203 us1 xx2', 'written on partitions directly');
INSERT INTO r_eu_1 VALUES (50, 'eu', 'v50', 'b');
INSERT INTO r_eu_2 (id, reg, v, big) VALUES (150, 'eu', 'v150', 'b');
COPY r_us (id, reg, v) FROM STDIN;
50	us	copied
\.
SELECT remember('r', 'inserted');
SELECT is((SELECT count(*)::int FROM r__tracking WHERE live_pk_2 IN (50, 150)), 3,
	'INSERT and COPY on partitions are tracked');

-- Moves: to the next partition, up and down the levels, from the middle.
CREATE TABLE starts AS SELECT reg, id, edition_time FROM r JOIN r__tracking
	ON live_pk_1 = reg AND live_pk_2 = id;
BEGIN;
SELECT now() AS t3, txid_current() AS x3 \gset
UPDATE r SET id = 51 WHERE reg = 'eu' AND id = 50;	-- stays
UPDATE r SET id = id + 102 WHERE reg = 'eu' AND id IN (3, 4);
UPDATE r SET reg = 'us', id = id + 1000 WHERE reg = 'eu' AND id = 203;
UPDATE r_eu SET id = 60 WHERE id = 150;
UPDATE r SET reg = 'eu', id = 199 WHERE reg = 'us' AND id = 50;
UPDATE r SET reg = 'yy' WHERE reg = 'xx' AND id = 3;	-- within the default
COMMIT;
SELECT remember('r', 'moved');
SELECT is(added(:x3), 'eu3 eu4 eu50 eu150 eu203 us50 xx3', 'a row that moves is stored once');
SELECT is_empty(format('SELECT h.id FROM r__history h JOIN starts s USING (reg, id)
		WHERE exec_transaction_id = %s AND sys_period <> tstzrange(s.edition_time, %L)',
	:x3, :'t3'), 'with its period');
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM r__tracking', 'SELECT reg, id FROM r',
	'tracking follows the moves');
SELECT is((SELECT count(*)::int FROM r__tracking WHERE txid = :x3 AND edition_time = :'t3'), 7,
	'each moved row has its new start');
SELECT throws_ok($$UPDATE r_us SET reg = 'eu' WHERE id = 2$$, '23514', NULL,
	'(a partition cannot be left by an UPDATE of itself)');
-- A row that a trigger keeps from arriving, or that fails to arrive.
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER no BEFORE DELETE ON r_us FOR EACH ROW WHEN (OLD.id = 102) EXECUTE FUNCTION no();
BEGIN;
SELECT txid_current() AS x4 \gset
UPDATE r SET reg = 'eu', id = 180 WHERE reg = 'us' AND id = 102;
COMMIT;
SELECT remember('r', 'not moved');
SELECT is(added(:x4), NULL, 'a move that a trigger suppressed leaves nothing');
DROP TRIGGER no ON r_us;
SELECT throws_ok($$UPDATE r SET reg = 'eu', id = 101 WHERE reg = 'us' AND id = 101$$, '23505', NULL,
	'a move onto a key that is there fails');
SELECT is((SELECT count(*)::int FROM r__history WHERE reg = 'us' AND id = 101), 1,
	'and leaves nothing beyond the version that was there');
-- Moved twice and back in a transaction; deleted after a move.
BEGIN;
SELECT txid_current() AS x5 \gset
UPDATE r SET reg = 'eu', id = 190 WHERE reg = 'us' AND id = 2;
UPDATE r SET reg = 'xx', id = 991 WHERE reg = 'eu' AND id = 190;
UPDATE r SET reg = 'us', id = 2 WHERE reg = 'xx' AND id = 991;
UPDATE r SET reg = 'eu', id = 191 WHERE reg = 'us' AND id = 3;
DELETE FROM r WHERE reg = 'eu' AND id = 191;
COMMIT;
SELECT remember('r', 'there and back');
SELECT is(added(:x5), 'eu190 eu191 us2 us3 xx991', 'moved there and back: each step');
SELECT is((SELECT count(*)::int FROM r__history WHERE exec_transaction_id = :x5
	AND isempty(sys_period)), 3, 'those between with an empty period');
-- ON CONFLICT.
INSERT INTO r VALUES (2, 'us', 'conflict', NULL) ON CONFLICT (reg, id)
	DO UPDATE SET v = excluded.v;
SELECT remember('r', 'conflict');
SELECT is((SELECT count(*)::int FROM r__with_history WHERE reg = 'us' AND id = 2), 3,
	'ON CONFLICT DO UPDATE on the root');

-- TRUNCATE of a partition, of the middle, of the root.
BEGIN;
SELECT txid_current() AS x6 \gset
SELECT count(*) AS n6, string_agg(reg || id, ' ' ORDER BY reg, id) AS rows6 FROM r_eu_2 \gset
TRUNCATE r_eu_2;
COMMIT;
SELECT remember('r', 'truncated partition');
SELECT is(added(:x6), :'rows6', 'TRUNCATE of one partition');
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM r__tracking', 'SELECT reg, id FROM r',
	'takes its tracking rows along and no other');
BEGIN;
SELECT txid_current() AS x7 \gset
SELECT string_agg(reg || id, ' ' ORDER BY reg, id) AS rows7 FROM r_eu \gset
TRUNCATE r_eu, r_eu_1;
COMMIT;
SELECT remember('r', 'truncated middle');
SELECT is(added(:x7), :'rows7', 'TRUNCATE of the middle and of a partition of it');
INSERT INTO r_eu SELECT i, 'eu', 'new', NULL FROM generate_series(90, 110) i;
SELECT remember('r', 'new');
BEGIN;
SELECT txid_current() AS x8 \gset
SELECT string_agg(reg || id, ' ' ORDER BY reg, id) AS rows8 FROM r \gset
TRUNCATE r;
COMMIT;
SELECT remember('r', 'truncated');
SELECT is(added(:x8), :'rows8', 'TRUNCATE of the root stores each row once');
SELECT is((SELECT count(*)::int FROM r__tracking), 0, 'TRUNCATE of the root: tracking');
SELECT is((SELECT count(*)::int FROM r__history WHERE lower_inf(sys_period)), 0, 'no start was lost');
SELECT is_empty($$SELECT * FROM misremembered('r')$$,
	'as-of queries equal the table as it was at every step');

-- With a time column; a key of one column.
CREATE TABLE t (id int PRIMARY KEY, edition_time timestamptz DEFAULT now(), txid bigint, v text)
	PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100);
CREATE TABLE t_2 (txid bigint, gone int, v text, edition_time timestamptz, id int NOT NULL);
ALTER TABLE t_2 DROP COLUMN gone;
ALTER TABLE t ATTACH PARTITION t_2 FOR VALUES FROM (100) TO (200);
SELECT create_history_table('t', 'edition_time', 'txid');
INSERT INTO t (id, v) VALUES (1, 'one'), (101, 'two');
BEGIN;
SELECT txid_current() AS x9 \gset
UPDATE t SET id = id + 150, edition_time = now() WHERE id = 1 RETURNING txid AS r9 \gset
ROLLBACK;
SELECT is(:'r9'::bigint, :x9::bigint, 'time column: a moved row carries the transaction');
UPDATE t SET v = upper(v), edition_time = now();
UPDATE t_2 SET v = 'direct', edition_time = now();
UPDATE t SET id = id + 101, edition_time = now() WHERE id = 1;
TRUNCATE t_2;
SELECT results_eq('SELECT id, v FROM t__history ORDER BY upper(sys_period), id', $$VALUES
	(1, 'one'), (101, 'two'), (101, 'TWO'), (1, 'ONE'), (101, 'direct'), (102, 'ONE')$$,
	'time column: each version once');
SELECT hasnt_table('t__tracking', 'time column: no tracking table');

-- A key that others refer to, from a tracked table that follows it by cascade.
CREATE TABLE k (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE k_1 PARTITION OF k FOR VALUES FROM (0) TO (100);
CREATE TABLE k_2 PARTITION OF k FOR VALUES FROM (100) TO (200);
CREATE TABLE ref (id int PRIMARY KEY, k int REFERENCES k ON UPDATE CASCADE ON DELETE CASCADE)
	PARTITION BY RANGE (id);
CREATE TABLE ref_1 PARTITION OF ref DEFAULT;
SELECT create_history_table('k'), create_history_table('ref');
INSERT INTO k VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO ref VALUES (1, 1), (2, 2), (3, 3);
SELECT remember('k', '1'), remember('ref', '1');
UPDATE k SET id = id + 1 WHERE id = 3;
UPDATE k SET id = id + 100 WHERE id = 1;
SELECT remember('k', '2'), remember('ref', '2');
DELETE FROM k_2;
SELECT remember('k', '3'), remember('ref', '3');
SELECT current_setting('server_version_num')::int >= 150000 AS has_merge \gset
\if :has_merge
MERGE INTO k USING (VALUES (2, 102), (4, NULL), (9, 109)) s (id, new) ON k.id = s.id
	WHEN MATCHED AND s.new IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET id = s.new
	WHEN NOT MATCHED THEN INSERT VALUES (s.new, 'merged');
\else
UPDATE k SET id = 102 WHERE id = 2;
DELETE FROM k WHERE id = 4;
INSERT INTO k VALUES (109, 'merged');
\endif
SELECT remember('k', '4'), remember('ref', '4');
TRUNCATE k CASCADE;
SELECT remember('k', '5'), remember('ref', '5');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM k__history), '1a 2b 3c 4c 101a 102b 109merged',
	'a key that others refer to: cascades, MERGE, TRUNCATE: each version once');
-- before 15 a row that moves to another partition takes along by ON DELETE
SELECT is((SELECT string_agg(id || ':' || k, ' ' ORDER BY id, k) FROM ref__history),
	CASE WHEN :'has_merge' THEN '1:1 1:101 2:2 2:102 3:3 3:4' ELSE '1:1 2:2 3:3 3:4' END,
	'and of those who refer to it');
SELECT is_empty($$SELECT * FROM misremembered('k') UNION ALL SELECT * FROM misremembered('ref')$$,
	'as-of queries equal both');

SELECT * FROM finish();
