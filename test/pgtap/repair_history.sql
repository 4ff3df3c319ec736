-- repair_history() mends what can be, touches no row of history, and warns of the
-- rest; widen_history_table() rewrites what is too narrow.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t91_owner;
CREATE EXTENSION catmaid_history;
CREATE ROLE t91_owner;
SELECT plan(41);

CREATE TABLE up (id bigint PRIMARY KEY, v varchar(30));
CREATE TABLE down (w text, PRIMARY KEY (id)) INHERITS (up);
CREATE TABLE timed (id bigint PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('down'), create_history_table('timed', 'edition_time', 'txid') \g /dev/null
INSERT INTO up VALUES (1, 'a');
INSERT INTO down VALUES (2, 'b', 'c');
INSERT INTO timed VALUES (1, 'a');
UPDATE up SET v = 'x';
UPDATE timed SET v = 'x';
CREATE VIEW mine AS SELECT v, sys_period FROM up__with_history;
CREATE VIEW of_history AS SELECT v FROM down__history;
GRANT SELECT ON mine TO t91_owner;
CREATE FUNCTION tap.rows_of(rel regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	res text;
BEGIN
	EXECUTE format('SELECT string_agg(concat_ws('' '', ctid, xmin, h), ''/'' ORDER BY ctid) FROM ONLY %s h', rel) INTO res;
	RETURN concat(pg_relation_filenode(rel), ' ', res);
END $$;

SELECT lives_ok('SELECT repair_history()', 'nothing to mend');

-- NOT NULL, of a child's column alone, and of its parent's.
CREATE FUNCTION tap.demanding() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(attrelid::regclass::text, ' ' ORDER BY attrelid::regclass::text) FROM pg_attribute
	WHERE attrelid IN ('up__history'::regclass, 'down__history'::regclass) AND attname = 'v' AND attnotnull $$;
ALTER TABLE down__history ALTER v SET NOT NULL;
SELECT repair_history('down') \g /dev/null
SELECT is(demanding(), NULL, 'NOT NULL of a column that a child''s history inherits');
ALTER TABLE up__history ALTER v SET NOT NULL;
SELECT repair_history('down') \g /dev/null
SELECT is(demanding(), 'down__history up__history', 'which stays while the parent''s has it');
SELECT repair_history() \g /dev/null
SELECT is(demanding(), NULL, 'and goes with that');
SELECT rows_of('up__history') AS up, rows_of('down__history') AS down, rows_of('timed__history') AS timed \gset

-- Columns, with views of all kinds upon them.
SET catmaid_history.follow_ddl = off;
ALTER TABLE up ADD COLUMN more int;
DROP VIEW mine, of_history, up__with_history, down__with_history;
ALTER TABLE up ALTER v TYPE varchar(150);
RESET catmaid_history.follow_ddl;
ALTER TABLE up__history ADD COLUMN more int;
SELECT create_history_view_for_table('up'), create_history_view_for_table('down') \g /dev/null
CREATE VIEW mine AS SELECT v, sys_period FROM up__with_history;
CREATE VIEW of_history AS SELECT v FROM down__history;
GRANT SELECT ON mine TO t91_owner;
COMMENT ON VIEW of_history IS 'what it was';
SELECT is((SELECT string_agg(live_table::text || finding, ' ' ORDER BY live_table::text) FROM check_history()),
	'downcolumn_too_narrow upcolumn_too_narrow', 'columns that are too narrow');
SELECT lives_ok('SELECT repair_history()', 'are widened');
SELECT is((SELECT count(*) FROM check_history()), 0::bigint, 'all is well');
SELECT is((SELECT string_agg(atttypmod::text, ' ' ORDER BY attrelid::regclass::text) FROM pg_attribute WHERE attname = 'v'
	AND attrelid IN ('up__history'::regclass, 'down__history'::regclass)), '154 154', 'of the child''s history too');
SELECT is(split_part(rows_of('up__history'), ' ', 1) || split_part(rows_of('down__history'), ' ', 1),
	split_part(:'up', ' ', 1) || split_part(:'down', ' ', 1), 'without a rewrite');
SELECT is((SELECT count(*) FROM mine), 4::bigint, 'a view upon the history view is there');
SELECT is(has_table_privilege('t91_owner', 'mine', 'SELECT'), true, 'with its grants');
SELECT is(obj_description('of_history'::regclass), 'what it was', 'a view upon a history table too, with its comment');
UPDATE up SET v = repeat('long', 30);
SELECT is((SELECT count(*) FROM up__history), 4::bigint, 'writes are recorded');
UPDATE up SET v = 'short';
SELECT is((SELECT count(*) FROM up__history WHERE v = repeat('long', 30)), 2::bigint, 'in full');

-- What stands in the way is told, and nothing is half done.
SET catmaid_history.follow_ddl = off;
SELECT drop_history_view_for_table('timed') \g /dev/null
ALTER TABLE timed ALTER v TYPE varchar(150);
ALTER TABLE timed__history ALTER v TYPE varchar(30);
RESET catmaid_history.follow_ddl;
SELECT create_history_view_for_table('timed') \g /dev/null
CREATE MATERIALIZED VIEW stays AS SELECT v FROM timed__with_history;
SELECT lives_ok('SELECT repair_history(''timed'')', 'a materialized view is in the way');
SELECT is((SELECT string_agg(finding, ' ') FROM check_history('timed')), 'column_too_narrow', 'so the column stays');
SELECT is((SELECT count(*) FROM stays), 2::bigint, 'as the view does');
SELECT is((SELECT count(*) FROM timed__with_history), 2::bigint, 'and the history''s own');
DROP MATERIALIZED VIEW stays;
SELECT lives_ok('SELECT repair_history(''timed'')', 'without it');
SELECT is((SELECT count(*) FROM check_history('timed')), 0::bigint, 'it is mended');

-- An integer key: only by a rewrite.
SELECT drop_history_view_for_table('timed') \g /dev/null
ALTER TABLE timed__history ALTER id TYPE integer;
SELECT create_history_view_for_table('timed') \g /dev/null
UPDATE timed SET v = 'fits';
SELECT is((SELECT count(*) FROM timed__history WHERE id = 1), 2::bigint, 'a key that fits is stored');
INSERT INTO timed VALUES (5000000000, 'wide');
SELECT throws_ok('UPDATE timed SET v = ''does not'' WHERE id > 1', '22003', NULL, 'one that does not fit is refused');
SELECT throws_ok('SELECT enable_history_tracking_for_table(''timed'')', 'P0001', NULL, 'enabling is strict');
SELECT rows_of('timed__history') AS timed \gset
SELECT lives_ok('SELECT repair_history(''timed'')', 'repairing is not');
SELECT is(rows_of('timed__history'), :'timed', 'and rewrites nothing');
SELECT lives_ok('SELECT widen_history_table(''timed'')', 'widening does');
SELECT lives_ok('SELECT enable_history_tracking_for_table(''timed'')', 'after which it can be enabled');
UPDATE timed SET v = 'does' WHERE id > 1;
SELECT is((SELECT count(*) FROM timed__history WHERE id = 5000000000), 1::bigint, 'and stores all keys');

-- A table that was renamed and moved unseen; names that are taken.
CREATE SCHEMA elsewhere;
CREATE TABLE named (id int PRIMARY KEY, v int);
SELECT create_history_table('named') \g /dev/null
INSERT INTO named VALUES (1, 1);
SET catmaid_history.follow_ddl = off;
ALTER TABLE named RENAME TO called;
ALTER TABLE called SET SCHEMA elsewhere;
RESET catmaid_history.follow_ddl;
SELECT results_eq('SELECT finding, object FROM check_history(''elsewhere.called'')',
	$$VALUES ('name_differs', 'named__history')$$, 'a history of another name is found');
CREATE VIEW elsewhere.called__with_history AS SELECT 1 AS one;
SELECT lives_ok('SELECT repair_history(''elsewhere.called'')', 'a name that is taken does not stop repairing');
SELECT is(to_regclass('elsewhere.called__history'), NULL, 'but renaming');
DROP VIEW elsewhere.called__with_history;
SELECT lives_ok('SELECT repair_history(''elsewhere.called'')', 'a free one is given');
SELECT is((SELECT count(*) FROM check_history('elsewhere.called')), 0::bigint, 'nothing is left to find');
SET catmaid_history.follow_ddl = off;
ALTER TABLE elsewhere.called__history RENAME TO "another name";
RESET catmaid_history.follow_ddl;
SELECT repair_history('elsewhere.called') \g /dev/null
SELECT is((SELECT count(*) FROM check_history('elsewhere.called')), 0::bigint, 'nor after renaming it to what no history is called');
ALTER TABLE elsewhere.called ALTER v TYPE text;
UPDATE elsewhere.called SET v = 'two';
SELECT results_eq('SELECT v FROM elsewhere.called__with_history ORDER BY sys_period', $$VALUES ('1'), ('two')$$,
	'tables and view are the table''s again');
DROP TABLE elsewhere.called;

-- Tables that are gone.
SET catmaid_history.follow_ddl = off;
DROP TABLE down__history CASCADE;
DROP TABLE timed CASCADE;
RESET catmaid_history.follow_ddl;
SELECT lives_ok('SELECT repair_history()', 'a history and a live table that are gone');
SELECT is((SELECT string_agg(live_table::text, ' ' ORDER BY live_table::text) FROM catmaid_history_table), 'down up',
	'a live table is forgotten');
SELECT is((SELECT count(*) FROM timed__history), 3::bigint, 'its history stays');
SELECT is((SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = 'down__history'::regclass), 'up__history',
	'a history begins anew below the parent''s');
UPDATE up SET v = 'again';
SELECT is((SELECT count(*) FROM ONLY down__history), 1::bigint, 'and records');
SELECT is((SELECT count(*) FROM check_history()), 0::bigint, 'all is well');

DROP VIEW mine;
DROP ROLE t91_owner;
SELECT * FROM finish();
