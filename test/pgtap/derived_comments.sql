-- What psql's \d+ says of history tables, tracking tables and views: always true, also when
-- the table is renamed, moved or gets another key; a site's own comment stays.
\ir lib/start.psql
SELECT plan(17);
CREATE FUNCTION tap.told(rel text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(': ', attname, coalesce(col_description(attrelid, attnum), 'none')), ' ' ORDER BY attnum)
	FROM (SELECT rel::regclass::oid AS attrelid, 0::int2 AS attnum, 'table' AS attname
		UNION ALL SELECT attrelid, attnum, attname::text FROM pg_attribute
		WHERE attrelid = rel::regclass AND attnum > 0 AND NOT attisdropped) a
	WHERE attnum = 0 OR attname IN ('sys_period', 'exec_transaction_id') OR rel ~ '__tracking' $$;
-- (object 0 of a table is the table)
CREATE EXTENSION catmaid_history;

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE two (a int, b int, PRIMARY KEY (b, a));
CREATE TABLE timed (id int PRIMARY KEY, at timestamptz, txid bigint);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (t);
SELECT create_history_table('child'), create_history_table('two'), create_history_table('timed', 'at', 'txid') \g /dev/null
\set history '\'table: Former versions of the table\'\'s rows, each with its period. sys_period: When this was the row: from this time to that, which is excluded. exec_transaction_id: The transaction that ended this version.\''
\set tracking '\'table: Since when each of the table\'\'s rows is as it is. live_pk: The row, by its primary key. edition_time: Since when it is as it is. txid: The transaction that made it so.\''
SELECT is(told(t || '__history'), :history, t || '__history') FROM unnest('{t,child,two,timed}'::text[]) t;
SELECT is(told('t__tracking'), :tracking, 't__tracking');
SELECT is(told('two__tracking'), replace(replace(:tracking, 'live_pk:', 'live_pk_1: The row, by its primary key. live_pk_2:'), '', ''), 'two__tracking');
SELECT is(obj_description('t__with_history'::regclass), 'The rows of the table and all their former versions, each with its period.', 'the view');

-- Nothing in them names the table.
CREATE SCHEMA elsewhere;
ALTER TABLE t RENAME TO renamed;
ALTER TABLE renamed SET SCHEMA elsewhere;
SELECT is(told('elsewhere.renamed__history'), :history, 'renamed and moved: the history');
SELECT is(told('elsewhere.renamed__tracking'), :tracking, '... the tracking table');
ALTER TABLE two DROP CONSTRAINT two_pkey, ADD PRIMARY KEY (a);
SELECT is(told('two__tracking'), :tracking, 'another key: the tracking table is another, too');
ALTER TABLE two ADD COLUMN v int;
ALTER TABLE two DROP COLUMN v;
SELECT is(told('two__history'), :history, 'columns come and go');
SELECT is(obj_description('two__with_history'::regclass), 'The rows of the table and all their former versions, each with its period.', 'the view has its');

-- A site's own, also when the history is kept and taken up.
COMMENT ON TABLE two__history IS 'the site''s';
COMMENT ON COLUMN two__history.sys_period IS 'too';
SELECT disable_history_tracking(), enable_history_tracking(), repair_history() \g /dev/null
SELECT is(told('two__history'), 'table: the site''s sys_period: too exec_transaction_id: The transaction that ended this version.', 'a site''s own stay');
SELECT drop_history_table_keep_data('two'), create_history_table('two') \g /dev/null
SELECT is(told('two__history'), 'table: the site''s sys_period: too exec_transaction_id: The transaction that ended this version.', 'kept and taken up');

-- Adopted: those of the older implementation had none.
DROP SCHEMA elsewhere CASCADE;
DROP TABLE two, timed CASCADE;
DROP EXTENSION catmaid_history;
\ir lib/old_implementation.sql
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t') \g /dev/null
COMMENT ON TABLE t__tracking IS 'the site''s';
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
SELECT is(told('t__history'), replace(:history, 'ended this version.', 'ended this version; of versions until the registry''s maker_until the one that made it.'), 'adopted: the history');
SELECT is(told('t__tracking'), replace(:tracking, 'Since when each of the table''s rows is as it is.', 'the site''s'), '... the tracking table');
SELECT is(obj_description('t__with_history'::regclass), 'The rows of the table and all their former versions, each with its period.', '... the view');
SELECT * FROM finish();
