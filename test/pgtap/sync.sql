-- sync_tracking_table makes the tracking table match the live table again,
-- whatever happened while nothing was recorded.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(20);

CREATE TABLE t (id bigint PRIMARY KEY, v text);
SELECT create_history_table('t');
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 1000) i;
COMMIT;
SELECT disable_history_tracking_for_table('t');
DELETE FROM t WHERE id % 10 = 0;
UPDATE t SET id = id + 5000 WHERE id % 10 = 1;
INSERT INTO t SELECT i, 'new' FROM generate_series(2001, 2050) i;
UPDATE t SET v = 'changed' WHERE id % 10 = 2;
BEGIN;
SELECT now() AS t2, txid_current() AS x2 \gset
SELECT sync_tracking_table('t', 't__tracking');
COMMIT;
SELECT set_eq('SELECT live_pk FROM t__tracking', 'SELECT id FROM t', 'the keys are those of the table');
SELECT results_eq($$SELECT edition_time, txid, count(*)::int FROM t__tracking WHERE live_pk > 1000
	GROUP BY 1, 2$$, format('VALUES (%L::timestamptz, -%s::bigint, 150)', :'t2', :x2),
	'rows that appeared get current_timestamp; who made them is unknown');
SELECT results_eq($$SELECT edition_time, txid, count(*)::int FROM t__tracking WHERE live_pk <= 1000
	GROUP BY 1, 2$$, format('VALUES (%L::timestamptz, %s::bigint, 800)', :'t1', :x1),
	'the others stay as they are');
CREATE TABLE copy AS SELECT xmin AS by, * FROM t__tracking;
SELECT sync_tracking_table('t', 't__tracking');
SELECT is((SELECT count(*)::int FROM t__tracking n JOIN copy c USING (live_pk)
	WHERE n.xmin = c.by AND n.edition_time = c.edition_time), 950, 'a second sync touches nothing');
SELECT is_empty('SELECT * FROM t__history', 'sync writes no history');
SELECT enable_history_tracking_for_table('t');
SELECT lives_ok($$SELECT sync_tracking_table('t', 't__tracking')$$, 'also while tracking is enabled');

-- By hand: rows too many, rows too few, everything.
INSERT INTO t__tracking VALUES (-1, now(), 1), (-2, now(), 2);
DELETE FROM t__tracking WHERE live_pk < 100 AND live_pk > 0;
SELECT sync_tracking_table('t', 't__tracking');
SELECT set_eq('SELECT live_pk FROM t__tracking', 'SELECT id FROM t', 'rows too many and too few');
TRUNCATE t__tracking;
SELECT sync_tracking_table('t', 't__tracking');
SELECT set_eq('SELECT live_pk FROM t__tracking', 'SELECT id FROM t', 'an empty tracking table');

-- Wrong tables, and no table with tracking.
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE tim (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
SELECT create_history_table('other'), create_history_table('tim', 'edition_time', 'txid');
CREATE TABLE plain (live_pk int, edition_time timestamptz, txid bigint);
INSERT INTO plain VALUES (1, now(), 1);
SELECT isnt((SELECT count(*)::int FROM t__tracking), 0, '(there is something to lose)');
SELECT throws_ok($$SELECT sync_tracking_table('t', 'other__tracking')$$, NULL, NULL,
	'another table''s tracking table is refused');
SELECT throws_ok($$SELECT sync_tracking_table('other', 'plain')$$, NULL, NULL,
	'a table that is no tracking table is refused');
SELECT throws_ok($$SELECT sync_tracking_table('plain', 'plain')$$, NULL, NULL,
	'a table that is not tracked is refused');
SELECT is((SELECT count(*)::int FROM plain), 1, 'and nothing happened to it');

-- Inheritance: each tracking table has the keys of its own table only.
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE b (PRIMARY KEY (id)) INHERITS (a);
SELECT create_history_table('b');
INSERT INTO a VALUES (1), (2);
INSERT INTO b VALUES (2), (3);
SELECT disable_history_tracking_for_table('b'), disable_history_tracking_for_table('a');
INSERT INTO a VALUES (4);
INSERT INTO b VALUES (4), (5);
DELETE FROM ONLY a WHERE id = 2;
DELETE FROM b WHERE id = 3;
SELECT enable_history_tracking();
SELECT set_eq('SELECT live_pk FROM ONLY a__tracking', 'SELECT id FROM ONLY a', 'a parent''s own keys');
SELECT set_eq('SELECT live_pk FROM ONLY b__tracking', 'SELECT id FROM b', 'a child''s keys');
-- Partitioned: those of all partitions.
CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF p DEFAULT;
INSERT INTO p VALUES (1), (11);
SELECT create_history_table('p');
SELECT set_eq('SELECT live_pk FROM p__tracking', 'VALUES (1), (11)', 'partitions: at creation');
SELECT disable_history_tracking_for_table('p');
INSERT INTO p VALUES (2), (12);
DELETE FROM p WHERE id IN (1, 11);
SELECT enable_history_tracking_for_table('p');
SELECT set_eq('SELECT live_pk FROM p__tracking', 'VALUES (2), (12)', 'partitions: at enabling');
UPDATE p SET id = id + 1;
SELECT results_eq('SELECT id, lower_inf(sys_period) FROM p__history ORDER BY 1',
	'VALUES (2, false), (12, false)', 'partitions: and it goes on');
-- A site's triggers on the tracking table fire, of rows and of statements.
CREATE TABLE fired (what text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO public.fired VALUES (concat_ws(' ', TG_OP, TG_LEVEL)); RETURN NULL; END $$;
CREATE TRIGGER r AFTER INSERT OR DELETE ON p__tracking FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER s AFTER INSERT OR DELETE ON p__tracking EXECUTE FUNCTION fire();
SELECT disable_history_tracking_for_table('p');
DELETE FROM p WHERE id = (SELECT min(id) FROM p);
SELECT enable_history_tracking_for_table('p');
SELECT is((SELECT string_agg(what, ', ' ORDER BY what) FROM fired),
	'DELETE ROW, DELETE STATEMENT, INSERT STATEMENT', 'triggers on the tracking table fire');

-- Row-level security does not hide rows from the owner's sync.
CREATE TABLE rls (id int PRIMARY KEY);
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
ALTER TABLE rls FORCE ROW LEVEL SECURITY;
INSERT INTO rls VALUES (1), (2);
DROP ROLE IF EXISTS t31_owner;
CREATE ROLE t31_owner;
GRANT CREATE ON SCHEMA public TO t31_owner;
ALTER TABLE rls OWNER TO t31_owner;
CREATE POLICY none ON rls USING (false);
SET ROLE t31_owner;
SELECT create_history_table('rls');
RESET ROLE;
SELECT set_eq('SELECT live_pk FROM rls__tracking', 'VALUES (1), (2)',
	'forced policies hide no row from sync');
DROP OWNED BY t31_owner;
DROP ROLE t31_owner;

SELECT * FROM finish();
