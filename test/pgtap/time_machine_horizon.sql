-- Section 11: an instant of which the transaction cannot know is refused, as the future is,
-- and a history begins when it can record, not when the transaction that creates it began.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(14);
SET client_min_messages = warning;

CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE command;
	RETURN 'went';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{4}-[^ ]+ [0-9:.]+\+\d+', 'T', 'g') || ' ' || regexp_replace(detail, '\d{4}-[^ ]+ [0-9:.]+\+\d+', 'T', 'g');
END $$;

CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'one');
SELECT clock_timestamp() AS t1 \gset
UPDATE t SET v = 'two';

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is((SELECT v FROM t), 'two', 'its snapshot is taken');
SELECT is(said(format('SELECT read_as_of(%L)', clock_timestamp())), '55000 cannot read tables as of T in a transaction that began at T In isolation levels REPEATABLE READ and SERIALIZABLE a transaction sees nothing that was committed since.', 'REPEATABLE READ: what has been committed since is not seen');
SELECT is(said(format('SELECT read_as_of(%L, true)', now())), 'went', 'its begin');
SELECT is((SELECT v FROM t), 'two', '... is known');
SELECT is(said(format('SELECT read_as_of(%L, true)', :'t1')), 'went', 'and what was before');
SELECT is((SELECT v FROM t), 'one', '... too');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT matches(said(format('SET LOCAL catmaid_history.as_of = %L; SELECT count(*) FROM t', clock_timestamp())), '^55000 cannot read tables as of T in a transaction that began at T', 'SERIALIZABLE, by the setting');
ROLLBACK;
BEGIN;
SELECT is(said(format('SELECT read_as_of(%L, true)', clock_timestamp())), 'went', 'READ COMMITTED sees what is committed');
COMMIT;
SELECT is(said(format('SELECT read_as_of(%L)', clock_timestamp() + interval '1 day')), '22023 cannot read the future: T has not come yet ', 'the future');

-- What is done in a transaction that began earlier: others may have written until it had its lock.
CREATE TABLE g (id int PRIMARY KEY, v text);
INSERT INTO g VALUES (1, 'before');
BEGIN;
SELECT clock_timestamp() AS t3 \gset
SELECT create_history_table('g');
COMMIT;
SELECT clock_timestamp() AS t4 \gset
SELECT matches(said(format('SELECT read_as_of(%L, true); SELECT * FROM g', :'t3')), '^55000 the past of table "g" is not known at T Its history begins at T\.', 'a history begins when it is created');
SELECT ok((SELECT creation_time > :'t3' AND creation_time < :'t4' FROM catmaid_history_table WHERE live_table = 'g'::regclass), '... as the registry says');
UPDATE g SET v = 'after';
SELECT read_as_of(:'t4') \g /dev/null
SELECT is((SELECT v FROM g), 'before', 'from then on it knows');
SELECT read_as_of(NULL) \g /dev/null

-- A history, or a tracking table, that is gone.
CREATE TABLE e (id int PRIMARY KEY, v text);
SELECT create_history_table('e');
INSERT INTO e VALUES (1, 'a');
SELECT clock_timestamp() AS t5 \gset
SET catmaid_history.follow_ddl = off;
DROP TABLE e__history CASCADE;
SELECT matches(said(format('SELECT read_as_of(%L, true); SELECT * FROM e', :'t5')), 'history table of table "e" does not exist', 'a history that is gone');
SELECT repair_history('e');
SELECT clock_timestamp() AS t5 \gset
DROP TABLE e__tracking CASCADE;
SELECT matches(said(format('SELECT read_as_of(%L, true); SELECT * FROM e', :'t5')), 'tracking table of table "e" does not exist', 'a tracking table that is gone');
SELECT * FROM finish();
