-- A registry that is to be adopted is still its owner's, who may put anything in its place, or
-- on it: nobody's session comes to harm, then or later.
\ir lib/old.psql
SELECT plan(9);
\ir lib/old_implementation.sql
CREATE TABLE tracked (id int PRIMARY KEY, v text);
SELECT create_history_table('tracked') \g /dev/null
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT lives_ok('SELECT * FROM check_history()', 'control: an ordinary table');

ALTER TABLE catmaid_history_table RENAME TO real;
SELECT format('CREATE TABLE catmaid_history_table (%s) %%s', string_agg(format('%I %s %s', attname, atttypid::regtype,
	CASE WHEN attnotnull THEN 'NOT NULL' END), ', ' ORDER BY attnum)) AS make FROM pg_attribute
WHERE attrelid = 'real'::regclass AND attnum > 0 \gset
SELECT format(:'make', 'PARTITION BY LIST (live_table)') \gexec
SELECT throws_ok('SELECT * FROM check_history()', '42P01', NULL, 'a partitioned table is no registry');
SELECT throws_ok('ALTER EXTENSION catmaid_history UPDATE', NULL, NULL, 'and not adopted');
DROP TABLE catmaid_history_table;
CREATE VIEW catmaid_history_table AS TABLE real;
SELECT throws_ok('SELECT * FROM check_history()', '42P01', NULL, 'nor is a view');
DROP VIEW catmaid_history_table;
CREATE MATERIALIZED VIEW catmaid_history_table AS TABLE real;
SELECT throws_ok('SELECT * FROM check_history()', '42P01', NULL, 'nor what is no table');
DROP MATERIALIZED VIEW catmaid_history_table;
ALTER TABLE real RENAME TO catmaid_history_table;

-- Indexes of other kinds than ours are not used.
CREATE INDEX ON catmaid_history_table USING brin (live_table);
CREATE INDEX ON catmaid_history_table USING brin (history_table);
CREATE INDEX ON catmaid_history_table USING brin (tracking_table);
CREATE INDEX ON catmaid_history_table USING hash (live_table);
CREATE INDEX ON catmaid_history_table USING hash (history_table);
CREATE INDEX ON catmaid_history_table USING brin (history_table);
ALTER EXTENSION catmaid_history UPDATE;
CREATE TABLE plain (id int PRIMARY KEY);
CREATE VIEW upon AS TABLE plain;
SELECT lives_ok('DROP TABLE plain CASCADE', 'DDL elsewhere goes on');
SELECT throws_ok('DROP TABLE tracked__history', '2BP01', NULL, 'a history is found to be one');
SELECT lives_ok('UPDATE tracked SET v = ''b''; ALTER TABLE tracked ADD w int', 'a tracked table can be written and changed');
SELECT is((SELECT count(*) FROM check_history() WHERE severity = 'error'), 0::bigint, 'nothing is found');
SELECT * FROM finish();
