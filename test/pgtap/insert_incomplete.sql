-- A write is refused where its version would be incomplete; INSERT stores none, and goes
-- on, also where it looks old versions of its key up.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(12);
CREATE TABLE t (id int PRIMARY KEY, v int);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 1), (2, 2);
DELETE FROM t WHERE id = 2;
SET catmaid_history.follow_ddl = off;
ALTER TABLE t ADD COLUMN w text;
RESET catmaid_history.follow_ddl;
SELECT allowed('INSERT INTO t VALUES (3, 3, ''x'')', 'INSERT where the history lacks a column');
SELECT allowed('INSERT INTO t VALUES (2, 2, ''y'')', '... of a key that was deleted');
SELECT is((SELECT count(*) FROM t__tracking), 3::bigint, '... is tracked');
SELECT refused('UPDATE t SET v = 4', '{"has no column \"w\""}', 'UPDATE is refused', 'fitting', NULL, 'enable_history_tracking_for_table');
SELECT refused('DELETE FROM t', '{"has no column \"w\""}', 'DELETE is refused', 'fitting', NULL, 'enable_history_tracking_for_table');
SELECT refused('TRUNCATE t', '{"has no column \"w\""}', 'TRUNCATE is refused', 'fitting', NULL, 'enable_history_tracking_for_table');
SELECT enable_history_tracking_for_table('t');
SELECT allowed('UPDATE t SET v = v + 1', 'after enabling UPDATE goes through');
SELECT is((SELECT string_agg(id || coalesce(w, '-'), ' ' ORDER BY id, w) FROM t__history), '1- 2y 2- 3x', '... and is recorded');
SELECT is((SELECT count(*) FROM t__history a JOIN t__history b ON a.id = b.id AND a.ctid <> b.ctid AND a.sys_period && b.sys_period), 0::bigint, '... without an overlap');

-- A column that has become wider.
SET catmaid_history.follow_ddl = off;
SELECT drop_history_view_for_table('t');
ALTER TABLE t ALTER v TYPE numeric;
RESET catmaid_history.follow_ddl;
SELECT allowed('INSERT INTO t VALUES (4, 0.5)', 'INSERT where a column of the history cannot hold the live one');
SELECT refused('UPDATE t SET v = 4', '{"cannot hold"}', 'UPDATE is refused', 'fitting');
-- A key that the history cannot hold: what is looked up there needs it.
ALTER TABLE t ALTER v TYPE int;
SET catmaid_history.follow_ddl = off;
ALTER TABLE t ALTER id TYPE text;
RESET catmaid_history.follow_ddl;
SELECT refused('INSERT INTO t VALUES (''5'', 1)', '{}', 'INSERT where the history cannot hold the key is refused', 'fitting');
SELECT * FROM finish();
