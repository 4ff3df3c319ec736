
-- Section 9: who made a version, in history and view, of every kind of table.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(31);

-- "what row: maker>ender, ...", live ones last; own names instead of transaction ids.
CREATE TABLE tap.step (name text, id bigint);
CREATE FUNCTION tap.step(step text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO tap.step VALUES (step, txid_current()) $$;
CREATE FUNCTION tap.makers(view regclass, ident text DEFAULT 'v') RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT string_agg(%s || '': '' || coalesce(m.name, h.start_transaction_id::text, ''?'') || ''>''
		|| coalesce(e.name, h.exec_transaction_id::text, ''''), '', '' ORDER BY upper_inf(h.sys_period) AND NOT isempty(h.sys_period), %1$s)
		FROM %s h LEFT JOIN tap.step m ON m.id = h.start_transaction_id LEFT JOIN tap.step e ON e.id = h.exec_transaction_id',
		ident, view) INTO r;
	RETURN r;
END $$;

-- A tracking table.
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'a');
SELECT create_history_table('t');
SELECT is(makers('t__with_history'), 'a: ?>', 'of a row that was there nobody knows');
BEGIN; SELECT step('A'); UPDATE t SET v = 'b'; COMMIT;
SELECT is(makers('t__with_history'), 'a: ?>A, b: A>', 'UPDATE');
BEGIN; SELECT step('B'); INSERT INTO t VALUES (2, 'c'), (3, 'd'); UPDATE t SET v = 'e' WHERE id = 2; DELETE FROM t WHERE id = 3; COMMIT;
SELECT is(makers('t__with_history'), 'a: ?>A, c: B>B, d: B>B, b: A>, e: B>', 'made and superseded by one');
BEGIN; SELECT step('C'); UPDATE t SET id = 5, v = 'f' WHERE id = 1; COMMIT;
SELECT is(makers('t__with_history'), 'a: ?>A, b: A>C, c: B>B, d: B>B, e: B>, f: C>', 'another key');
BEGIN; SELECT step('D'); TRUNCATE t; INSERT INTO t VALUES (1, 'g'); COMMIT;
SELECT is(makers('t__with_history'), 'a: ?>A, b: A>C, c: B>B, d: B>B, e: B>D, f: C>D, g: D>', 'TRUNCATE');
BEGIN; SELECT step('E'); SAVEPOINT s; UPDATE t SET v = 'x'; ROLLBACK TO s; UPDATE t SET v = 'h'; UPDATE t SET v = 'i'; COMMIT;
SELECT is(makers('t__with_history'), 'a: ?>A, b: A>C, c: B>B, d: B>B, e: B>D, f: C>D, g: D>E, h: E>E, i: E>', 'a savepoint');

-- A sync made no row.
SELECT disable_history_tracking_for_table('t');
INSERT INTO t VALUES (7, 'unseen');
DELETE FROM t__history;
SELECT enable_history_tracking_for_table('t');
SELECT is(makers('t__with_history'), 'i: E>, unseen: ?>', 'synced');
BEGIN; SELECT step('F'); UPDATE t SET v = upper(v); COMMIT;
SELECT is(makers('t__with_history'), 'i: E>F, unseen: ?>F, I: F>, UNSEEN: F>', 'and later');
CREATE TABLE w (id int PRIMARY KEY, v text);
SELECT create_history_table('w', sync => false);
SELECT is((SELECT count(*)::int FROM w__tracking WHERE txid > 0), 0, 'nothing known without a sync');

-- The key becomes another one, and goes.
BEGIN; SELECT step('G'); ALTER TABLE t ALTER id TYPE bigint; UPDATE t SET v = 'j' WHERE id = 1; COMMIT;
SELECT is((SELECT makers('t__with_history')), 'I: F>G, i: E>F, unseen: ?>F, UNSEEN: F>, j: G>', 'a key of another type');
ALTER TABLE t ADD k int NOT NULL DEFAULT 1;
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, k);
BEGIN; SELECT step('H'); UPDATE t SET v = 'k' WHERE id = 1; COMMIT;
SELECT is((SELECT makers('t__with_history')), 'I: F>G, i: E>F, j: G>H, unseen: ?>F, UNSEEN: F>, k: H>', 'a key of other columns');
SET client_min_messages = error;
ALTER TABLE t DROP CONSTRAINT t_pkey;
RESET client_min_messages;
BEGIN; SELECT step('I'); UPDATE t SET v = 'l' WHERE id = 1; COMMIT;
SELECT is((SELECT makers('t__with_history')), 'I: F>G, i: E>F, j: G>H, k: H>I, unseen: ?>F, UNSEEN: F>, l: I>', 'no key');

-- A time column: its txid column says who.
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('timed', 'edited', 'txid');
BEGIN; SELECT step('J'); INSERT INTO timed VALUES (1, 'a'); COMMIT;
BEGIN; SELECT step('K'); UPDATE timed SET v = 'b', edited = now(); COMMIT;
BEGIN; SELECT step('L'); DELETE FROM timed; COMMIT;
SELECT is(makers('timed__with_history'), 'a: J>K, b: K>L', 'a time column');
SELECT is((SELECT count(*)::int FROM pg_attribute WHERE attrelid = 'timed__history'::regclass AND attname = 'start_transaction_id'), 0, 'and no column more in its history');

-- Hierarchies.
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
SELECT create_history_table('chi');
BEGIN; SELECT step('M'); INSERT INTO par VALUES (1, 'p'); INSERT INTO chi VALUES (2, 'q'); COMMIT;
BEGIN; SELECT step('N'); UPDATE par SET v = v || v; COMMIT;
SELECT is(makers('par__with_history'), 'p: M>N, q: M>N, pp: N>, qq: N>', 'a parent');
SELECT is(makers('chi__with_history'), 'q: M>N, qq: N>', 'its child');
CREATE TABLE tpar (id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE tchi (PRIMARY KEY (id)) INHERITS (tpar);
SELECT create_history_table('tchi', 'edited', 'txid');
BEGIN; SELECT step('O'); INSERT INTO tchi VALUES (2, 'q'); COMMIT;
BEGIN; SELECT step('P'); UPDATE tpar SET v = 'r', edited = now(); COMMIT;
SELECT is(makers('tpar__with_history'), 'q: O>P, r: P>', 'a parent with a time column');

-- Partitions.
CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20);
SELECT create_history_table('r');
BEGIN; SELECT step('Q'); INSERT INTO r VALUES (1, 'a'); COMMIT;
BEGIN; SELECT step('R'); UPDATE r SET id = 11, v = 'b'; COMMIT;
SELECT is(makers('r__with_history'), 'a: Q>R, b: R>', 'a move between partitions');
CREATE TABLE r3 (id int PRIMARY KEY, v text);
INSERT INTO r3 VALUES (21, 'c'), (22, 'd');
BEGIN; SELECT step('S'); ALTER TABLE r ATTACH PARTITION r3 FOR VALUES FROM (20) TO (30); UPDATE r SET v = 'e' WHERE id = 21; COMMIT;
SELECT is(makers('r__with_history'), 'a: Q>R, c: ?>S, b: R>, d: ?>, e: S>', 'what comes with a partition');
BEGIN; SELECT step('T'); ALTER TABLE r DETACH PARTITION r3; COMMIT;
SELECT is(makers('r__with_history'), 'a: Q>R, c: ?>S, d: ?>T, e: S>T, b: R>', 'and goes with it');

-- A history from before there was the column.
CREATE TABLE o (id int PRIMARY KEY, v text);
SELECT create_history_table('o');
BEGIN; SELECT step('V'); INSERT INTO o VALUES (1, 'a'); COMMIT;
BEGIN; SELECT step('W'); UPDATE o SET v = 'b'; COMMIT;
DROP VIEW o__with_history;
ALTER TABLE o__history DROP start_transaction_id;
CREATE VIEW o__with_history AS SELECT l.id, l.v, tstzrange(t.edition_time, catmaid_history_no_end()) AS sys_period, NULL::bigint AS exec_transaction_id
	FROM o l LEFT JOIN ONLY o__tracking t ON l.id = t.live_pk
	UNION ALL SELECT id, v, sys_period, exec_transaction_id FROM ONLY o__history;
CREATE VIEW upon AS SELECT v FROM o__with_history;
BEGIN; SELECT step('X'); UPDATE o SET v = 'c'; COMMIT;
SELECT is((SELECT string_agg(v, '' ORDER BY v) FROM o__history), 'ab', 'writes go on');
SELECT is((SELECT string_agg(severity || ' ' || finding, ', ' ORDER BY finding) FROM check_history('o')), 'warning maker_missing, warning view_outdated', 'check_history tells');
SELECT pg_relation_filenode('o__history') AS file \gset
SELECT repair_history('o');
SELECT is_empty($$SELECT * FROM check_history('o')$$, 'repaired');
SELECT is(pg_relation_filenode('o__history')::text, :'file', 'without a rewrite');
BEGIN; SELECT step('Y'); UPDATE o SET v = 'd'; COMMIT;
SELECT is(makers('o__with_history'), 'a: ?>W, b: ?>X, c: X>Y, d: Y>', 'known from now on');
SELECT is((SELECT count(*)::int FROM upon), 4, 'a view upon it stays');
ALTER TABLE o__history DROP start_transaction_id CASCADE;
SELECT enable_history_tracking_for_table('o');
SELECT is((SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'o__history'::regclass AND attname = 'start_transaction_id' AND NOT attisdropped),
	'bigint', 'enabling adds it too');

-- Kept and taken up; copied by a migration that does not know the column.
SELECT drop_history_table_keep_data('o');
ALTER TABLE o__history DROP start_transaction_id;
SELECT create_history_table('o');
BEGIN; SELECT step('Z'); UPDATE o SET v = 'e'; COMMIT;
SELECT is(makers('o__with_history'), 'a: ?>W, b: ?>X, c: ?>Y, d: ?>Z, e: Z>', 'a kept history is taken up');
CREATE TABLE copied AS SELECT * FROM o__history;
TRUNCATE o__history;
INSERT INTO o__history (id, v, sys_period, exec_transaction_id) SELECT id, v, sys_period, exec_transaction_id FROM copied;
SELECT is(makers('o__with_history'), 'a: ?>W, b: ?>X, c: ?>Y, d: ?>Z, e: Z>', 'copied');

-- The name is taken.
CREATE TABLE bad (id int PRIMARY KEY, start_transaction_id int);
SELECT throws_ok($$SELECT create_history_table('bad')$$, 'P0001',
	'table "bad" has a column "start_transaction_id", which its history table needs for itself');
SELECT throws_ok('ALTER TABLE timed ADD start_transaction_id int', '42939', NULL, 'nor may a tracked table get it');
SELECT * FROM finish();
