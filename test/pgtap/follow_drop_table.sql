-- Section 5, DROP TABLE: history, tracking table, view and registry row go; with
-- on_drop_table = keep the history table stays, with a NOTICE.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(60);
SELECT format('psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %s -U %s -d %s',
	:'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
\set run '-c "SET client_min_messages = notice" -c'

-- Makes these tables anew, with a version in their histories.
CREATE FUNCTION tap.make(VARIADIC names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE n text;
BEGIN
	FOREACH n IN ARRAY names LOOP
		EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text,
			edition_time timestamptz NOT NULL DEFAULT now(), txid bigint)', n);
		IF n LIKE 'timed%' THEN
			PERFORM create_history_table(format('%I', n)::regclass, 'edition_time', 'txid');
		ELSE
			PERFORM create_history_table(format('%I', n)::regclass);
		END IF;
		EXECUTE format('INSERT INTO %1$I VALUES (1, ''a''); UPDATE %1$I SET v = ''b''', n);
	END LOOP;
END $$;

-- Plainly.
SELECT tap.catalog() AS before \gset
SELECT make('t1', 'timed1', 'Odd "1');
SELECT allowed('DROP TABLE t1', 'DROP TABLE, our view notwithstanding');
SELECT is(left_of('t1'), '', 'all of it goes');
SELECT allowed('DROP TABLE timed1', 'DROP TABLE, with a time column');
SELECT is(left_of('timed1'), '', 'all of it goes');
SELECT allowed('DROP TABLE "Odd ""1" RESTRICT', 'DROP TABLE RESTRICT, an odd name');
SELECT unchanged(:'before', 'no object stays of any of them');
SELECT make('t1', 't2', 't3', 'timed1');
CREATE TABLE t4 (id int);
SELECT allowed('DROP TABLE t1, t4, timed1', 'several tables, an untracked one among them');
SELECT is(left_of('t1') || left_of('t4') || left_of('timed1'), '', 'all of them are gone');
SELECT is(misplaced('t2') || misplaced('t3'), '', 'others are as they were');
SELECT allowed('DROP TABLE IF EXISTS nothing1, t2, nothing2', 'IF EXISTS, with some that do not');
SELECT is(left_of('t2'), '', 'the one that does is gone');
SELECT allowed('DROP TABLE t3 CASCADE', 'CASCADE');
SELECT is(left_of('t3'), '', 'all of it goes');
SELECT make('t1');
SELECT drop_history_view_for_table('t1');
SELECT allowed('DROP TABLE t1', 'without a view');
SELECT is(left_of('t1'), '', 'all of it goes');
SELECT make('t1');
SELECT allowed('DO $x$BEGIN DROP TABLE t1; END$x$', 'in a DO block');
SELECT is(left_of('t1'), '', 'all of it goes');
SELECT make('t1');
SELECT allowed('DROP TABLE t1__history, t1, t1__tracking',
	'the derived tables with the live one, in one command');
SELECT is(left_of('t1'), '', 'all of it goes');
SELECT make('t1');
SELECT allowed('DROP VIEW t1__with_history; DROP TABLE t1', 'the view dropped by hand before');
SELECT is(left_of('t1'), '', 'all of it goes');
SELECT make('t1');
SELECT is(misplaced('t1'), '', 'a table of the name of one that was dropped is tracked anew');
SELECT is((SELECT string_agg(v, ' ') FROM t1__history), 'a', 'with its own history');

-- What is in the way.
CREATE VIEW upon AS SELECT id, v FROM t1__with_history;
SELECT refused_whole('DROP TABLE t1', '{upon}', 'a user''s view on ours is in the way',
	'2BP01', '{t1}', false);
DROP VIEW upon;
CREATE TABLE refers (id int REFERENCES t1);
SELECT refused_whole('DROP TABLE t1', '{refers}', 'a foreign key is in the way',
	'2BP01', '{t1}', false);
DROP TABLE refers;
CREATE VIEW upon AS SELECT * FROM t1;
SELECT refused_whole('DROP TABLE t1', '{upon}', 'a user''s view on the table is in the way',
	'2BP01', '{t1}', false);
DROP VIEW upon;
CREATE MATERIALIZED VIEW upon AS SELECT id, v FROM t1__history;
SELECT refused_whole('DROP TABLE t1', '{upon}', 'a materialized view on the history is in the way',
	'2BP01', '{t1}', false);
DROP MATERIALIZED VIEW upon;
-- CASCADE takes it along.
SELECT make('c1', 'c2', 'c3', 'c4', 'c5');
CREATE VIEW upon1 AS SELECT id, v FROM c1__with_history;
SELECT allowed('DROP TABLE c1 CASCADE', 'CASCADE: a user''s view on ours');
SELECT is(left_of('c1') || left_of('upon1'), '', 'goes as well');
CREATE VIEW upon2 AS SELECT * FROM c2;
CREATE TABLE refers2 (id int REFERENCES c2);
SELECT allowed('DROP TABLE c2 CASCADE', 'CASCADE: a user''s view on the table, a foreign key');
SELECT is(left_of('c2') || left_of('upon2') || (SELECT count(*) FROM pg_constraint
	WHERE conrelid = 'refers2'::regclass), '0', 'go as well');
CREATE MATERIALIZED VIEW upon3 AS SELECT id, v FROM c3__history;
SELECT allowed('DROP TABLE c3 CASCADE', 'CASCADE: a materialized view on the history');
SELECT is(left_of('c3') || left_of('upon3'), '', 'goes as well');
CREATE MATERIALIZED VIEW upon4 AS SELECT id, v FROM c4__with_history;
CREATE VIEW upon4b AS SELECT * FROM upon4;
SELECT allowed('DROP TABLE c4 CASCADE', 'CASCADE: a materialized view on ours, and one on it');
SELECT is(left_of('c4') || left_of('upon4'), '', 'go as well');
CREATE VIEW upon5 AS SELECT * FROM c5__tracking;
SELECT allowed('DROP TABLE c5 CASCADE', 'CASCADE: a view on the tracking table');
SELECT is(left_of('c5') || left_of('upon5'), '', 'goes as well');

-- Rolled back.
SELECT everything('t1') AS before \gset
BEGIN;
DROP TABLE t1;
ROLLBACK;
SELECT is(everything('t1'), :'before', 'rolled back: all as it was');
BEGIN;
SAVEPOINT s;
DROP TABLE t1;
ROLLBACK TO s;
UPDATE t1 SET v = 'c';
COMMIT;
SELECT whole('t1', 'rolled back to a savepoint: it records');

-- on_drop_table = keep.
SET catmaid_history.on_drop_table = keep;
SELECT throws_ok('SET catmaid_history.on_drop_table = sometimes', '22023', NULL,
	'the setting knows drop and keep');
\set out `:client :run "SET catmaid_history.on_drop_table = keep" -c "DROP TABLE t1" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*t1__history', 'keep: a NOTICE names the history table');
SELECT doesnt_match(:'out'::text, 'ERROR', 'and no error');
SELECT is((SELECT string_agg(v, ' ' ORDER BY sys_period) FROM t1__history), 'a b c c',
	'its rows are there, with the last state');
SELECT ok(to_regclass('t1__tracking') IS NULL AND to_regclass('t1__with_history') IS NULL
	AND NOT EXISTS (SELECT FROM catmaid_history_table WHERE live_table::text !~ '^c'),
	'all the rest is gone');
CREATE TABLE t1 (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT allowed('SELECT create_history_table(''t1'')', 'a new table of the name');
INSERT INTO t1 VALUES (1, 'new');
UPDATE t1 SET v = 'd';
SELECT is((SELECT string_agg(v, ' ' ORDER BY sys_period) FROM t1__history), 'a b c c new',
	'takes the history up again');
SELECT whole('t1', 'completely');
SELECT make('timed1', 't2');
\set out `:client :run "SET catmaid_history.on_drop_table = keep" -c "DROP TABLE timed1, t2 CASCADE" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*timed1__history', 'keep, two tables: a NOTICE for the one');
SELECT matches(:'out'::text, 'NOTICE:.*t2__history', 'and for the other');
SELECT doesnt_match(:'out'::text, 'with_history|cascades', 'and none for our views, which go by themselves');
SELECT make('t2cascade');
CREATE VIEW upon6 AS SELECT id FROM t2cascade__with_history;
\set out `:client :run "DROP TABLE t2cascade CASCADE" 2>&1`
SELECT matches(:'out'::text, 'cascades.*upon6', 'a user''s view on ours is told of');
SELECT is((SELECT string_agg(v, ' ' ORDER BY v) FROM timed1__history) || ', ' ||
	(SELECT string_agg(v, ' ' ORDER BY v) FROM t2__history), 'a b, a b', 'both stay');
SELECT is((SELECT string_agg(live_table::text, ' ') FROM catmaid_history_table
	WHERE live_table::text !~ '^c'), 't1',
	'the registry has but the other table');
DROP TABLE timed1__history, t2__history;
RESET catmaid_history.on_drop_table;

-- While tracking is disabled: forgotten, the history stays.
SELECT disable_history_tracking_for_table('t1');
\set out `:client :run "DROP VIEW t1__with_history" -c "DROP TABLE t1" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*t1__history', 'disabled: a NOTICE names the history table');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::text !~ '^c'), 0,
	'the table is forgotten');
SELECT is((SELECT count(*)::int > 3 FROM t1__history), true, 'its history stays');
DROP TABLE t1__history;
SELECT is(left_of('t1'), '', 'which may be dropped');
SELECT make('t1');
SELECT disable_history_tracking_for_table('t1');
\set out `:client :run "DROP TABLE t1 CASCADE" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*t1__history', 'disabled, CASCADE: a NOTICE');
DROP TABLE t1__history;

-- CASCADE tells of what is the user's, not of what is ours.
SELECT make('t1', 'timed1');
TRUNCATE t1__history;
\set out `:client :run "DROP TABLE t1 CASCADE" 2>&1`
SELECT is(:'out'::text, '', 'CASCADE: no word about our view');
CREATE VIEW upon6 AS SELECT id FROM timed1__with_history;
\set out `:client :run "DROP TABLE timed1 CASCADE" 2>&1`
SELECT is((SELECT string_agg(l, ' ') FROM regexp_split_to_table(:'out', E'\n') l WHERE l ~ 'cascades'), 'NOTICE:  drop cascades to view upon6',
	'CASCADE: one about the user''s');

SELECT * FROM finish();
