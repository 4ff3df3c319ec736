-- drop_history_table_keep_data forgets a table and keeps its history, which
-- create_history_table takes up again.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(27);

CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
SELECT remember('t', '1');
UPDATE t SET v = upper(v);
DELETE FROM t WHERE id = 3;
SELECT remember('t', '2');
CREATE TABLE copy AS SELECT * FROM t__history;
SELECT 't__history'::regclass::oid AS hist \gset
SELECT drop_history_table_keep_data('t');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^t__'),
	't__history', 'the history stays; indexes, tracking table and view go');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 't__history'::regclass), 0, 'all three indexes');
SELECT is((SELECT oid FROM pg_class WHERE relname = 't__history'), :hist::oid, 'the table itself stays');
SELECT results_eq('SELECT * FROM t__history ORDER BY id, sys_period', 'SELECT * FROM copy ORDER BY id, sys_period',
	'with its rows');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass
	UNION ALL SELECT 'registry' FROM catmaid_history_table$$, 'no trigger, no registry row');
SELECT lives_ok($$INSERT INTO t VALUES (4, 'd'); UPDATE t SET v = 'untracked' WHERE id = 1;
	ALTER TABLE t ADD COLUMN n int DEFAULT 7$$, 'writes and changes of the table go on');
SELECT results_eq('SELECT * FROM t__history ORDER BY id, sys_period', 'SELECT * FROM copy ORDER BY id, sys_period',
	'unrecorded');

-- Taken up.
BEGIN;
SELECT now() AS t3 \gset
SELECT create_history_table('t');
COMMIT;
SELECT remember('t', '3');
SELECT is((SELECT oid FROM pg_class WHERE relname = 't__history'), :hist::oid, 'the same history table');
SELECT results_eq('SELECT id, v, sys_period, exec_transaction_id FROM t__history ORDER BY id, sys_period',
	'SELECT id, v, sys_period, exec_transaction_id FROM copy ORDER BY id, sys_period', 'with its rows');
SELECT columns_are('t__history', ARRAY['id', 'v', 'n', 'sys_period', 'exec_transaction_id', 'start_transaction_id'],
	'its columns are brought in line');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 't__history'::regclass), 3, 'its indexes are back');
SELECT is((SELECT count(*)::int FROM t__tracking WHERE edition_time = :'t3'), 3, 'its tracking table is made new');
UPDATE t SET n = 8 WHERE id = 2;
SELECT remember('t', '4');
SELECT results_eq('SELECT v, n FROM t__history WHERE id = 2 ORDER BY sys_period',
	$$VALUES ('b', NULL), ('B', 7)$$, 'and it goes on');
SELECT is((SELECT count(*)::int FROM t__with_history), 8, 'the view shows old and new');
SELECT is_empty($$SELECT * FROM misremembered('t') WHERE at_step > '2'$$, 'as-of queries after that');

-- Again, with the time column this time, and back.
ALTER TABLE t ADD COLUMN edition_time timestamptz, ADD COLUMN txid bigint;
SELECT drop_history_table_keep_data('t');
SELECT create_history_table('t', 'edition_time', 'txid');
SELECT hasnt_table('t__tracking', 'taken up with a time column: no tracking table');
UPDATE t SET v = 'timed', edition_time = now() WHERE id = 4;
SELECT is((SELECT count(*)::int FROM t__history WHERE id = 4 AND v = 'd' AND lower_inf(sys_period)), 1,
	'taken up with a time column: it records');
SELECT drop_history_table_keep_data('t');
SELECT create_history_table('t');
UPDATE t SET v = 'tracked again' WHERE id = 4;
SELECT is((SELECT count(*)::int FROM t__history WHERE id = 4 AND v = 'timed' AND NOT lower_inf(sys_period)), 1,
	'and back to a tracking table');

-- A history that does not fit is not taken up, and nothing is made.
SELECT drop_history_table_keep_data('t');
ALTER TABLE t ALTER n TYPE text;
SELECT is(state, 'P0001', 'a column whose type does not fit: an error')
	FROM error_of($$SELECT create_history_table('t')$$);
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^t__' AND relname <> 't__history'$$,
	'only the history is there');

-- Something else of a derived name is an error, and stays.
CREATE TABLE w (id int PRIMARY KEY);
CREATE TABLE strange (kind text, ddl text, rm text);
INSERT INTO strange VALUES
	('history: view', 'CREATE VIEW w__history AS SELECT 1 AS id', 'DROP VIEW w__history'),
	('history: sequence', 'CREATE SEQUENCE w__history', 'DROP SEQUENCE w__history'),
	('history: matview', 'CREATE MATERIALIZED VIEW w__history AS SELECT 1 AS id', 'DROP MATERIALIZED VIEW w__history'),
	('history: type', 'CREATE TYPE w__history AS (id int)', 'DROP TYPE w__history'),
	('history: index', 'CREATE INDEX w__history ON w (id)', 'DROP INDEX w__history'),
	('history: table of other columns', 'CREATE TABLE w__history (x text)', 'DROP TABLE w__history'),
	('tracking: view', 'CREATE VIEW w__tracking AS SELECT 1 AS id', 'DROP VIEW w__tracking'),
	('tracking: sequence', 'CREATE SEQUENCE w__tracking', 'DROP SEQUENCE w__tracking'),
	('tracking: table of other columns', 'CREATE TABLE w__tracking (mine text)', 'DROP TABLE w__tracking'),
	('view: table', 'CREATE TABLE w__with_history (mine text)', 'DROP TABLE w__with_history'),
	('view: matview', 'CREATE MATERIALIZED VIEW w__with_history AS SELECT 1', 'DROP MATERIALIZED VIEW w__with_history');
CREATE TABLE outcome (kind text, state text, msg text, left_over text);
DO $$
DECLARE s strange; e record;
BEGIN
	FOR s IN SELECT * FROM strange LOOP
		EXECUTE s.ddl;
		SELECT * INTO e FROM error_of($q$SELECT create_history_table('w')$q$);
		INSERT INTO outcome VALUES (s.kind, e.state, e.msg, (SELECT string_agg(relname, ' ')
			FROM pg_class WHERE relname ~ '^w__' AND relname <> substring(s.ddl FROM 'w__\w+')));
		IF e.state = 'none' THEN PERFORM drop_history_table('w'); ELSE EXECUTE s.rm; END IF;
	END LOOP;
END $$;
SELECT is_empty($$SELECT * FROM outcome WHERE state <> 'P0001' OR msg !~ 'w__' OR left_over IS NOT NULL$$,
	'any other relation of a derived name: an error that names it, and nothing made');
SELECT is((SELECT count(*)::int FROM outcome), 11, 'all of them tried');
SELECT lives_ok($$SELECT create_history_table('w')$$, 'without them all is well');

-- A left-over of another owner is not taken up.
DROP ROLE IF EXISTS t33_other;
CREATE ROLE t33_other;
SELECT drop_history_table_keep_data('w');
ALTER TABLE w__history OWNER TO t33_other;
SELECT is(state, 'P0001', 'a history of another owner is not taken up')
	FROM error_of($$SELECT create_history_table('w')$$);
DROP OWNED BY t33_other;
DROP ROLE t33_other;

-- Inheritance: a parent's history cannot be forgotten while the child's is there.
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (PRIMARY KEY (id), bb int) INHERITS (a);
SELECT create_history_table('b');
INSERT INTO b VALUES (1, 'b', 1);
UPDATE a SET v = 'x';
SELECT drop_history_table_keep_data('b');
SELECT drop_history_table_keep_data('a');
SELECT lives_ok($$SELECT create_history_table('b')$$, 'a hierarchy is taken up');
UPDATE a SET v = 'y';
SELECT is((SELECT string_agg(v || bb, ' ' ORDER BY sys_period) FROM b__history), 'b1 x1', 'and goes on');
SELECT is((SELECT count(*)::int FROM a__history), 2, 'as a hierarchy');

SELECT * FROM finish();
