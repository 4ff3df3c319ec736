-- Virtual generated columns (PostgreSQL 18) whose values cannot be computed, in
-- partitions, of other types, on history tables.  Skipped on older versions.
\ir lib/whole.psql
DROP ROLE IF EXISTS t67v_writer;
CREATE ROLE t67v_writer;
CREATE EXTENSION catmaid_history;
SELECT plan(39);
SELECT current_setting('server_version_num')::int >= 180000 AS v18 \gset
\if :v18

-- Nobody computes the column when a row is written: there may be rows whose column
-- cannot be read.  They can be changed and deleted as without history.
CREATE TABLE u (id int PRIMARY KEY, a int, quotient int GENERATED ALWAYS AS (100 / a),
	name text GENERATED ALWAYS AS ('<' || id || '>'), much int GENERATED ALWAYS AS (a + 2147483640));
SELECT create_history_table('u');
INSERT INTO u VALUES (1, 0), (2, 50), (3, 0), (4, 1), (5, 0);
SELECT throws_ok('SELECT quotient FROM u', '22012', NULL, 'control: it cannot be read');
SELECT lives_ok('UPDATE u SET a = 4 WHERE id = 1', 'UPDATE of a row whose column cannot be read');
SELECT lives_ok('DELETE FROM u WHERE id = 2', 'DELETE');
SELECT set_eq('SELECT id, a, quotient, name, much FROM u__history',
	$$VALUES (1, 0, NULL, '<1>', 2147483640), (2, 50, 2, '<2>', NULL)$$,
	'the version has NULL in that column, and the others');
GRANT SELECT, UPDATE ON u TO t67v_writer;
SELECT allowed('UPDATE u SET a = a WHERE id = 3', 'by who is not the owner', 't67v_writer');
SELECT set_has('SELECT id, a, quotient, name FROM u__history', $$VALUES (3, 0, NULL::int, '<3>')$$, 'the same');
BEGIN;
SAVEPOINT s;
UPDATE u SET a = 0;
ROLLBACK TO s;
UPDATE u SET a = 8 WHERE id = 4;
COMMIT;
SELECT results_eq('SELECT a, quotient FROM u__history WHERE id = 4', 'VALUES (1, 100)', 'rolled back to a savepoint');
SELECT lives_ok('TRUNCATE u', 'TRUNCATE');
SELECT results_eq('SELECT id, a, quotient, much FROM u__history h WHERE NOT EXISTS (SELECT FROM u__history
		WHERE id = h.id AND lower(sys_period) > lower(h.sys_period)) AND id <> 2 ORDER BY id',
	'VALUES (1, 4, 25, 2147483644), (3, 0, NULL, 2147483640), (4, 8, 12, NULL), (5, 0, NULL, 2147483640)',
	'what it removed');
CREATE TABLE ut (id int PRIMARY KEY, a int, q int GENERATED ALWAYS AS (100 / a),
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('ut', 'edition_time', 'txid');
INSERT INTO ut VALUES (1, 0), (2, 5);
UPDATE ut SET a = a + 1;
SELECT set_eq('SELECT id, a, q FROM ut__history', 'VALUES (1, 0, NULL), (2, 5, 20)', 'with a time column');
-- What the site has put on the history must not fail so.
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE division_by_zero; END$$;
ALTER TABLE ut__history ADD site int;
ALTER TABLE ut__history ALTER site SET DEFAULT fails();
SELECT throws_ok('UPDATE ut SET a = 0', '22012', NULL, 'a default of the site''s that fails is an error still');
ALTER TABLE ut__history ALTER site SET DEFAULT 7;
UPDATE ut SET a = 0;
SELECT set_has('SELECT a, q, site FROM ut__history', 'VALUES (1, 100, 7)', 'one that does not is stored');

-- What is read of a partition's row is what its root says.
CREATE TABLE p (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a + 1), t oid GENERATED ALWAYS AS (tableoid))
	PARTITION BY RANGE (id);
CREATE TABLE p1 (x int, t oid GENERATED ALWAYS AS (1), b int GENERATED ALWAYS AS (100 / a), a int, y int, id int NOT NULL);
ALTER TABLE p1 DROP x, DROP y;
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
SELECT create_history_table('p');
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);
INSERT INTO p VALUES (1, 0), (2, 2), (11, 11);
CREATE TABLE read AS SELECT id, a, b, t FROM p;
SELECT set_eq('SELECT * FROM read', $$VALUES (1, 0, 1, 'p1'::regclass::oid), (2, 2, 3, 'p1'::regclass), (11, 11, 12, 'p2'::regclass)$$,
	'control: the root''s expression');
UPDATE p SET a = a + 20;
SELECT set_eq('SELECT id, a, b, t FROM p__history', 'TABLE read', 'an UPDATE through the root: what was read is stored');
SELECT set_eq('SELECT id, a, b, t FROM p__with_history WHERE sys_period @> (SELECT max(lower(sys_period)) FROM p__history)',
	'TABLE read', 'the table as of then is what was read then');
UPDATE p1 SET a = 0 WHERE id = 1;
SELECT set_has('SELECT id, a, b FROM p__history', 'VALUES (1, 20, 21)', 'an UPDATE of the partition itself');
ALTER TABLE p ALTER b SET EXPRESSION AS (a + 1000);
DELETE FROM p1 WHERE id = 1;
SELECT set_has('SELECT id, a, b FROM p__history', 'VALUES (1, 0, 1000)', 'SET EXPRESSION of the root');
ALTER TABLE p1 ALTER b SET EXPRESSION AS (a / 0);
UPDATE p SET id = id + 10 WHERE id = 2;
SELECT set_has('SELECT id, a, b FROM p__history', 'VALUES (2, 22, 1022)', 'SET EXPRESSION of the partition; a move');
INSERT INTO p VALUES (3, 3);
ALTER TABLE p DETACH PARTITION p1;
SELECT set_has('SELECT id, a, b FROM p__history', 'VALUES (3, 3, 1003)', 'detached');
ALTER TABLE p ADD c int GENERATED ALWAYS AS (a * 2), ADD d int;
SELECT follows('p', 'a column more');
ALTER TABLE p RENAME a TO aa;
ALTER TABLE p DROP COLUMN aa CASCADE;
SELECT follows('p', 'DROP COLUMN ... CASCADE takes along what is computed from it');

-- A parent's, with its child.
CREATE TABLE up (id int PRIMARY KEY, a int);
CREATE TABLE down (own int, PRIMARY KEY (id)) INHERITS (up);
SELECT create_history_table('down');
INSERT INTO up VALUES (1, 1);
INSERT INTO down VALUES (2, 2);
ALTER TABLE up ADD b int GENERATED ALWAYS AS (a * 10), ADD c text GENERATED ALWAYS AS (a::text || 'x');
UPDATE up SET a = a;
SELECT set_eq('SELECT id, b, c FROM up__history', $$VALUES (1, 10, '1x'), (2, 20, '2x')$$, 'columns added to a parent');
ALTER TABLE ONLY up ALTER b SET EXPRESSION AS (a * 11);
UPDATE up SET a = a + 1;
SELECT set_has('SELECT id, b FROM up__history', 'VALUES (1, 11), (2, 20)', 'the parent''s expression alone');
ALTER TABLE up ALTER b TYPE bigint;
SELECT follows('down', 'a wider type');
ALTER TABLE up ALTER b TYPE smallint;
SELECT follows('down', 'a narrower type', '{b_1 bigint}');
ALTER TABLE up ALTER b TYPE text;
SELECT follows('down', 'to text', '{b_1 bigint}');
SELECT set_has('SELECT id, b FROM up__history', $$VALUES (1, '11'), (2, '20')$$, 'and the values');
ALTER TABLE up DROP COLUMN b;
SELECT follows('down', 'dropped', '{b_1 bigint}');
ALTER TABLE up ALTER c SET NOT NULL;
SELECT follows('down', 'NOT NULL', '{b_1 bigint}');
SELECT is((SELECT string_agg(finding, ' ') FROM check_history('down')), NULL, 'nothing to find');

-- Virtual columns of a site's own on the history.
ALTER TABLE ut__history ADD twice bigint GENERATED ALWAYS AS (exec_transaction_id * 2) NOT NULL,
	ADD CONSTRAINT loose CHECK (a < 0) NOT ENFORCED;
SELECT lives_ok('UPDATE ut SET a = 10', 'a history with a virtual column of the site''s');
SELECT set_has('SELECT a, twice FROM ut__history', 'SELECT 0 AS a, max(exec_transaction_id) * 2 AS twice FROM ut__history', 'is written');
ALTER TABLE ut ALTER a TYPE text USING 'a' || a, DROP q;
UPDATE ut SET a = 'z';
SELECT set_has('SELECT a, twice FROM ut__history', $$SELECT 'a10' AS a, max(exec_transaction_id) * 2 AS twice FROM ut__history$$,
	'and converted');
SELECT lives_ok('SELECT enable_history_tracking_for_table(''ut'')', 'and enabled');

CREATE TABLE sp (id int PRIMARY KEY, a int);
SELECT create_history_table('sp');
ALTER TABLE sp__history ADD half int GENERATED ALWAYS AS (a / 2);
CREATE TABLE sc (PRIMARY KEY (id)) INHERITS (sp);
SELECT lives_ok('SELECT create_history_table(''sc'')', 'a child that comes later');
INSERT INTO sc VALUES (1, 8);
UPDATE sp SET a = 1;
SELECT results_eq('SELECT a, half FROM sp__history', 'VALUES (8, 4)', 'has it too');

-- A time column that became virtual unseen.
CREATE TABLE vt (id int PRIMARY KEY, base timestamptz, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
SELECT create_history_table('vt', 'edition_time', 'txid');
INSERT INTO vt VALUES (1, now());
SELECT disable_history_tracking_for_table('vt');
SELECT drop_history_view_for_table('vt');
ALTER TABLE vt DROP edition_time;
ALTER TABLE vt ADD edition_time timestamptz GENERATED ALWAYS AS (base);
SELECT results_eq('SELECT severity, finding, object FROM check_history(''vt'') WHERE severity <> ''info''', $$VALUES ('error', 'time_column_unfit', 'edition_time')$$,
	'check_history finds a time column that is virtual');
SELECT tap.state('SELECT enable_history_tracking_for_table(''vt'')') \g /dev/null
SELECT tap.state('SELECT enable_history_tracking_for_table(''vt'', NULL, false)') \g /dev/null
SELECT refused('UPDATE vt SET base = now()', '{vt,edition_time}', 'a write is refused rather than to lose the start', '55000');
SELECT is_empty('SELECT FROM vt__history', 'and stores nothing');

DROP OWNED BY t67v_writer;
\else
SELECT skip('virtual generated columns', 39);
\endif
DROP ROLE t67v_writer;
SELECT * FROM finish();
