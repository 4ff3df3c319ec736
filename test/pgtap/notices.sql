-- Sections 1, 2 and 6: what is a NOTICE and no error.  A second psql runs the
-- call, for notices reach only a client.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(28);
SELECT format('psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %s -U %s -d %s',
	:'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
\set run '-c "SET client_min_messages = notice" -c'

CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE TABLE timed (id int PRIMARY KEY, a text,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE untracked (id int PRIMARY KEY);
INSERT INTO t VALUES (1, 'a');
INSERT INTO timed VALUES (1, 'a');
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
UPDATE t SET a = 'b';
UPDATE timed SET a = 'b';
SELECT tap.catalog() AS before,
	(SELECT md5(string_agg(c::text, ';' ORDER BY c::text))
	FROM catmaid_history_table c) AS registered \gset

-- Tracked already.
\set out `:client :run "SELECT create_history_table('t')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*\mt\M', 'tracked already: a NOTICE with its name');
SELECT doesnt_match(:'out'::text, 'ERROR', 'and no error');
\set out `:client :run "SELECT create_history_table('timed', 'edition_time', 'txid')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*\mtimed\M', 'tracked already, with a time column');
\set out `:client :run "SELECT create_history_table('t', NULL, NULL, false, false, false)" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*\mt\M', 'tracked already, with other switches');
\set out `:client :run "SELECT create_history_table('timed')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*\mtimed\M', 'tracked already, in the other way');
SELECT unchanged(:'before', 'no change in any object');
SELECT is((SELECT md5(string_agg(c::text, ';' ORDER BY c::text))
	FROM catmaid_history_table c), :'registered', 'nor in the registry');
SELECT disable_history_tracking_for_table('t');
\set out `:client :run "SELECT create_history_table('t')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*\mt\M', 'tracked already, disabled: a NOTICE');
SELECT is((SELECT triggers_installed FROM catmaid_live_table_triggers
	WHERE live_table::oid = 't'::regclass), false, 'and it stays disabled');
SELECT enable_history_tracking_for_table('t');

-- No history to drop.
SELECT tap.catalog() AS before \gset
\set out `:client :run "SELECT drop_history_table('untracked')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*untracked', 'nothing to drop: a NOTICE');
SELECT doesnt_match(:'out'::text, 'ERROR', 'and no error');
\set out `:client :run "SELECT drop_history_table_keep_data('untracked')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*untracked', 'nothing to drop and keep: a NOTICE');
SELECT doesnt_match(:'out'::text, 'ERROR', 'and no error');
SELECT unchanged(:'before', 'and no change');

-- A history that was kept is taken up again.
SELECT drop_history_table_keep_data('t');
SELECT is((SELECT string_agg(a, ',') FROM t__history), 'a', 'the kept rows');
SELECT is((SELECT format('%s %s %s', to_regclass('t__tracking') IS NULL,
	to_regclass('t__with_history') IS NULL, (SELECT count(*) FROM pg_index
	WHERE indrelid = 't__history'::regclass))), 't t 0',
	'tracking table, view and indexes are gone');
ALTER TABLE t ADD COLUMN added int;
\set out `:client :run "SELECT create_history_table('t')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*t__history', 'the history is taken up again: a NOTICE');
SELECT matches(:'out'::text, 'NOTICE:.*added', 'its new column: a NOTICE');
UPDATE t SET a = 'c', added = 3;
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM t__history), 'a,b',
	'old and new versions in one table');
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = 't__history'::regclass),
	3::bigint, 'its indexes are back');

-- Enabling brings columns in line.
SELECT disable_history_tracking_for_table('timed');
ALTER TABLE timed ADD COLUMN "New One" text;
\set out `:client :run "SELECT enable_history_tracking_for_table('timed')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:.*New One', 'a column that history lacked: a NOTICE');
SELECT has_column('timed__history', 'New One', 'and it is there');
UPDATE timed SET "New One" = 'x';
UPDATE timed SET "New One" = 'y';
SELECT is((SELECT string_agg("New One", ',') FROM timed__history), 'x',
	'and recorded');

-- Quietly.
\set out `:client :run "SELECT enable_history_tracking_for_table('timed')" 2>&1`
SELECT is(trim(E' \n' FROM :'out'::text), '', 'enabling twice says nothing');
\set out `:client :run "INSERT INTO t VALUES (2, 'x'); UPDATE t SET a = 'z'; DELETE FROM t; TRUNCATE t" 2>&1`
SELECT is(trim(E' \n' FROM :'out'::text), '', 'writes say nothing');
-- So does a migration, whatever its history side takes: nothing is lost by it.
\set out `:client :run "ALTER TABLE t RENAME a TO b; ALTER TABLE t ALTER b TYPE int USING 1, ADD c text; ALTER TABLE t ADD a int, ALTER c TYPE varchar(9); ALTER TABLE t RENAME TO t2; ALTER TABLE t2 DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b); ALTER TABLE t2 DROP id; CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); SELECT create_history_table('p'); INSERT INTO p VALUES (1); ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1); CREATE TABLE e (id int PRIMARY KEY); SELECT create_history_table('e'); DROP TABLE e" 2>&1`
SELECT is(trim(E' \n' FROM :'out'::text), '', 'DDL says nothing');
-- But where versions go.
\set out `:client :run "DROP TABLE p, timed" 2>&1`
SELECT is((SELECT string_agg(m[1], ' ') FROM regexp_matches(:'out'::text, 'NOTICE:  history table (\S+) is dropped', 'g') m),
	'public.timed__history public.p__history', 'DROP TABLE names the histories that had versions');
SELECT is((SELECT string_agg(live_table::text, ',') FROM catmaid_history_table), 't2', 'and has been followed');

SELECT * FROM finish();
