-- What PostgreSQL 18 has brought: virtual generated columns, RETURNING old and
-- new, NOT NULL as named constraints, NOT ENFORCED.  Skipped on older versions.
-- Keys WITHOUT OVERLAPS have a file of their own.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(37);
SELECT current_setting('server_version_num')::int >= 180000 AS v18 \gset
\if :v18

-- Virtual generated columns are computed when they are read; history stores
-- what was to be read.
CREATE TABLE v (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2),
	c text GENERATED ALWAYS AS ('<' || id || '>') VIRTUAL, d oid GENERATED ALWAYS AS (tableoid));
SELECT create_history_table('v');
INSERT INTO v VALUES (1, 10), (2, NULL);
SELECT follows('v', 'a table with virtual generated columns');
SELECT set_eq('SELECT id, a, b, c, d FROM v__history',
	$$VALUES (1, 10, 20, '<1>', 'v'::regclass::oid), (2, NULL, NULL, '<2>', 'v'::regclass::oid)$$,
	'an old version has the values that were to be read');
SELECT is((SELECT string_agg(attgenerated::text || atthasdef, ',') FROM pg_attribute
	WHERE attrelid = 'v__history'::regclass AND attname = 'b'), 'false',
	'as plain columns in history');
UPDATE v SET a = 11 WHERE id = 1;
DELETE FROM v WHERE id = 2;
SELECT set_eq('SELECT id, b FROM v__with_history WHERE upper_inf(sys_period)', 'VALUES (1, 22)',
	'the view computes them for the present rows');
TRUNCATE v__history;
INSERT INTO v SELECT n, n FROM generate_series(100, 104) n;
TRUNCATE v;
SELECT set_eq('SELECT id, b, c FROM v__history', $$VALUES (1, 22, '<1>'), (100, 200, '<100>'),
	(101, 202, '<101>'), (102, 204, '<102>'), (103, 206, '<103>'), (104, 208, '<104>')$$,
	'TRUNCATE');
CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER one_by_one BEFORE INSERT ON v__history FOR EACH ROW EXECUTE FUNCTION quiet();
INSERT INTO v VALUES (3, 30), (4, 40);
TRUNCATE v__history, v;
SELECT is_empty('SELECT FROM v__history WHERE id IN (3, 4) AND b <> id * 20',
	'TRUNCATE, row by row');
INSERT INTO v VALUES (5, 50);
INSERT INTO v VALUES (5, 51) ON CONFLICT (id) DO UPDATE SET a = excluded.a;
SELECT set_has('SELECT id, b FROM v__history', 'VALUES (5, 100)', 'ON CONFLICT DO UPDATE');
BEGIN;
UPDATE v SET a = 52;
UPDATE v SET a = 53;
COMMIT;
SELECT set_has('SELECT id, b FROM v__history', 'VALUES (5, 102), (5, 104)',
	'twice in one transaction');

ALTER TABLE v ALTER COLUMN b SET EXPRESSION AS (a * 100);
UPDATE v SET a = 54;
SELECT set_has('SELECT id, b FROM v__history', 'VALUES (5, 5300)',
	'SET EXPRESSION: the value to be read since');
SELECT set_has('SELECT id, b FROM v__history', 'VALUES (5, 102)', 'older ones stay');
ALTER TABLE v ALTER COLUMN b TYPE bigint;
SELECT follows('v', 'a wider type');
ALTER TABLE v RENAME COLUMN b TO bb;
ALTER TABLE v RENAME COLUMN a TO aa;
UPDATE v SET aa = 55;
SELECT set_has('SELECT id, aa, bb FROM v__history', 'VALUES (5, 54, 5400)', 'renamed');
ALTER TABLE v DROP COLUMN bb;
SELECT follows('v', 'dropped');

CREATE TABLE late (id int PRIMARY KEY, a int);
SELECT create_history_table('late');
INSERT INTO late VALUES (1, 1);
ALTER TABLE late ADD b int GENERATED ALWAYS AS (a + 1);
SELECT follows('late', 'ADD COLUMN, virtual as it is by default');
SELECT set_eq('SELECT id, a, b FROM late__history', 'VALUES (1, 1, 2)', 'and its values');
ALTER TABLE late ADD c int, ADD d int GENERATED ALWAYS AS (c + 1);
UPDATE late SET c = 5;
DELETE FROM late;
SELECT set_has('SELECT c, d FROM late__history', 'VALUES (5, 6)', 'two at once');

CREATE TABLE timed (id int PRIMARY KEY, v int, b int GENERATED ALWAYS AS (v + 1),
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO timed VALUES (1, 1);
UPDATE timed SET v = 2;
SELECT set_eq('SELECT v, b FROM timed__history', 'VALUES (1, 2)', 'with a time column');

-- Children and partitions, whose columns have other numbers.
CREATE TABLE parent (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a + 1));
CREATE TABLE child (own int, PRIMARY KEY (id), b int GENERATED ALWAYS AS (a + 2)) INHERITS (parent);
SELECT create_history_table('child');
INSERT INTO parent VALUES (1, 1);
INSERT INTO child (id, a) VALUES (2, 2);
UPDATE parent SET a = 5;
SELECT set_eq('SELECT id, a, b FROM parent__history', 'VALUES (1, 1, 2), (2, 2, 4)',
	'a child with an expression of its own');
CREATE TABLE p (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a + 1)) PARTITION BY RANGE (id);
CREATE TABLE p1 (x int, b int GENERATED ALWAYS AS (a + 2), a int, y int, id int NOT NULL);
ALTER TABLE p1 DROP x, DROP y;
SELECT create_history_table('p');
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO p VALUES (1, 1), (11, 11);
UPDATE p SET a = a * 10;
SELECT set_eq('SELECT id, a, b FROM p__history', 'VALUES (1, 1, 2), (11, 11, 12)',
	'partitions: as read through the root, whatever a partition''s own expression is');
ALTER TABLE p DETACH PARTITION p1;
DROP TABLE p2;
SELECT set_has('SELECT id, a, b FROM p__history', 'VALUES (1, 10, 11), (11, 110, 111)',
	'detached and dropped');

-- Tracked again after a pause, and from a table that gained the column meanwhile.
CREATE TABLE again (id int PRIMARY KEY, a int);
SELECT create_history_table('again');
SELECT disable_history_tracking_for_table('again');
ALTER TABLE again ADD b int GENERATED ALWAYS AS (a + 1);
INSERT INTO again VALUES (1, 1);
SELECT enable_history_tracking_for_table('again');
UPDATE again SET a = 2;
SELECT set_eq('SELECT a, b FROM again__history', 'VALUES (1, 2)', 'added while tracking was off');

CREATE TABLE vtime (id int PRIMARY KEY, base timestamptz, txid bigint,
	e timestamptz GENERATED ALWAYS AS (base));
SELECT refused($$SELECT create_history_table('vtime', 'e', 'txid')$$, '{vtime,e,virtual}',
	'a virtual time column tells nothing to a trigger');
SELECT refused_whole('ALTER TABLE timed DROP edition_time, ADD b2 timestamptz, ADD edition_time timestamptz GENERATED ALWAYS AS (b2)',
	'{edition_time,timed}', 'nor may a time column become one', '55000', '{timed}', false);

-- RETURNING old and new.
CREATE TABLE r (id int PRIMARY KEY, v text, txid bigint DEFAULT txid_current(),
	e timestamptz NOT NULL DEFAULT now());
SELECT create_history_table('r', 'e', 'txid');
INSERT INTO r VALUES (1, 'a', 7);
SELECT results_eq($$WITH u AS (UPDATE r SET v = 'b' RETURNING old.v AS ov, new.v AS nv,
	old.txid AS ot, new.txid = txid_current() AS nt) SELECT * FROM u$$,
	$$VALUES ('a', 'b', 7::bigint, true)$$, 'UPDATE ... RETURNING: new has the stamped id');
SELECT results_eq($$WITH d AS (DELETE FROM r RETURNING old.v AS ov, new.v AS nv) SELECT * FROM d$$,
	$$VALUES ('b', NULL::text)$$, 'DELETE ... RETURNING');
SELECT results_eq('SELECT v, txid FROM r__history ORDER BY exec_transaction_id LIMIT 1',
	$$VALUES ('a', 7::bigint)$$, 'history agrees');
INSERT INTO r VALUES (2, 'x');
SELECT results_eq($$WITH u AS (INSERT INTO r VALUES (2, 'y') ON CONFLICT (id)
	DO UPDATE SET v = excluded.v RETURNING old.v, new.v) TABLE u$$,
	$$VALUES ('x', 'y')$$, 'ON CONFLICT ... RETURNING');
SELECT results_eq($$WITH m AS (MERGE INTO r USING (VALUES (2), (3)) s (i) ON r.id = s.i
	WHEN MATCHED THEN UPDATE SET v = 'z' WHEN NOT MATCHED THEN INSERT VALUES (s.i, 'n')
	RETURNING merge_action(), old.v, new.v) SELECT * FROM m ORDER BY 1 DESC$$,
	$$VALUES ('UPDATE', 'y', 'z'), ('INSERT', NULL, 'n')$$, 'MERGE ... RETURNING old and new');
SELECT set_eq('SELECT id, v FROM r__history', $$VALUES (1, 'a'), (1, 'b'), (2, 'x'), (2, 'y')$$,
	'all of these are history');

-- NOT NULL as named constraints, NOT ENFORCED: nothing for history to follow.
CREATE TABLE n (id int CONSTRAINT there NOT NULL PRIMARY KEY, a int CONSTRAINT a_there NOT NULL, b int);
CREATE TABLE nc (PRIMARY KEY (id)) INHERITS (n);
SELECT create_history_table('nc');
INSERT INTO n VALUES (1, 1, 1);
INSERT INTO nc VALUES (2, 2, NULL);
SELECT set_eq($$SELECT attname FROM pg_attribute WHERE attrelid = 'n__history'::regclass
	AND attnum > 0 AND attnotnull$$, '{sys_period,exec_transaction_id}'::name[],
	'only our own columns are NOT NULL in history');
ALTER TABLE n ADD CONSTRAINT b_there NOT NULL b NOT VALID;
SELECT follows('n', 'ADD CONSTRAINT ... NOT NULL ... NOT VALID');
UPDATE nc SET b = 2;
SELECT set_has('SELECT id, a, b FROM nc__history', 'VALUES (2, 2, NULL::int)',
	'the NULL that it had until then');
ALTER TABLE n VALIDATE CONSTRAINT b_there;
ALTER TABLE n RENAME CONSTRAINT b_there TO b_is;
ALTER TABLE ONLY n ALTER CONSTRAINT b_is NO INHERIT;
SELECT follows('n', 'VALIDATE, RENAME, NO INHERIT');
ALTER TABLE n DROP CONSTRAINT a_there;
INSERT INTO n VALUES (3, NULL, 3);
SELECT follows('n', 'DROP CONSTRAINT');
ALTER TABLE n ADD CONSTRAINT positive CHECK (a > 0) NOT ENFORCED;
INSERT INTO n VALUES (4, -4, 4);
SELECT follows('n', 'a check that is not enforced');
SELECT set_eq($$SELECT attname FROM pg_attribute WHERE attrelid = 'n__history'::regclass
	AND attnum > 0 AND attnotnull$$, '{sys_period,exec_transaction_id}'::name[],
	'still only our own');
CREATE TABLE fk (id int PRIMARY KEY, n int, CONSTRAINT loose FOREIGN KEY (n) REFERENCES n NOT ENFORCED);
SELECT create_history_table('fk');
INSERT INTO fk VALUES (1, 99);
SELECT follows('fk', 'a foreign key that is not enforced');

\else
SELECT skip('PostgreSQL 18''s features', 37);
\endif
SELECT * FROM finish();
