-- drop_history_table_keep_data forgets a table and keeps its history, which
-- create_history_table takes up again.
\set ECHO none
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set QUIET 1
SET client_min_messages = warning;
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET search_path = public, tap;
CREATE EXTENSION catmaid_history;

-- The oracle: remember() copies the rows of a live table aside, with the time;
-- misremembered() shows where the as-of query of that time differs from them.
CREATE TABLE remembered (rel regclass, step text, at timestamptz, r jsonb);
CREATE FUNCTION remember(rel regclass, step text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO remembered VALUES (rel, step, now(), NULL);
	EXECUTE format('INSERT INTO remembered SELECT %L, %L, now(), to_jsonb(its_row)
		FROM %s its_row', rel::oid, step, rel);
END $$;
CREATE FUNCTION misremembered(live regclass)
RETURNS TABLE (what text, at_step text, r jsonb) LANGUAGE plpgsql AS $$
DECLARE
	s remembered;
	v text := (SELECT format('%I.%I', n.nspname, c.relname || '__with_history')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = live);
BEGIN
	IF NOT EXISTS (SELECT FROM remembered m WHERE m.rel = live) THEN
		RAISE EXCEPTION 'nothing remembered of %', live;
	END IF;
	FOR s IN SELECT * FROM remembered m WHERE m.rel = live AND m.r IS NULL LOOP
		RETURN QUERY EXECUTE format($q$
			WITH was AS (SELECT r FROM remembered
				WHERE rel = %1$L AND step = %2$L AND r IS NOT NULL),
			as_of AS (SELECT to_jsonb(its_row) - 'sys_period' - 'exec_transaction_id'
				FROM %3$s its_row WHERE its_row.sys_period @> %4$L::timestamptz)
			(SELECT 'lost', %2$L, * FROM was
			 EXCEPT ALL SELECT 'lost', %2$L, * FROM as_of)
			UNION ALL (SELECT 'invented', %2$L, * FROM as_of
			 EXCEPT ALL SELECT 'invented', %2$L, * FROM was)
			$q$, live::oid, s.step, v, s.at);
	END LOOP;
END $$;

CREATE FUNCTION error_of(cmd text, OUT state text, OUT msg text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE cmd;
	state := 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, msg = MESSAGE_TEXT,
		hint = PG_EXCEPTION_HINT;
END $$;

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
	'SELECT * FROM copy ORDER BY id, sys_period', 'with its rows');
SELECT columns_are('t__history', ARRAY['id', 'v', 'n', 'sys_period', 'exec_transaction_id'],
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
