-- Section 5: the follower fires in session_replication_role = replica, too.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(13);

CREATE TABLE t (id int PRIMARY KEY, v text, n int);
CREATE TABLE d (id int PRIMARY KEY);
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
SELECT create_history_table('t'), create_history_table('d'), create_history_table('parts');
INSERT INTO t VALUES (1, 'x', 1);
INSERT INTO parts VALUES (1, 'a'), (11, 'b');
SELECT is((SELECT string_agg(DISTINCT evtenabled::text, '') FROM pg_event_trigger WHERE evtname LIKE 'catmaid%'), 'A', 'they are enabled always');

SET session_replication_role = replica;
DROP TABLE d;
RESET session_replication_role;
SELECT hasnt_table('d__history'::name, 'DROP TABLE');
SET session_replication_role = replica;
ALTER TABLE t DROP COLUMN n;
RESET session_replication_role;
SELECT follows('t', 'DROP COLUMN');
SET session_replication_role = replica;
ALTER TABLE t ALTER v TYPE varchar(9);
RESET session_replication_role;
SELECT follows('t', 'ALTER TYPE', '{v_1 text}');
SET session_replication_role = replica;
ALTER TABLE t ADD COLUMN w int DEFAULT 7;
RESET session_replication_role;
SELECT follows('t', 'ADD COLUMN', '{v_1 text}');
SET session_replication_role = replica;
ALTER TABLE t RENAME v TO vv;
RESET session_replication_role;
SELECT follows('t', 'RENAME COLUMN', '{v_1 text}');
SET session_replication_role = replica;
ALTER TABLE t RENAME TO t2;
RESET session_replication_role;
SELECT follows('t2', 'RENAME', '{v_1 text}');
SET session_replication_role = replica;
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (20) TO (30);
RESET session_replication_role;
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE tgrelid = 'parts_3'::regclass AND tgtype & 32 > 0), 2, 'a partition');
SET session_replication_role = replica;
DROP TABLE parts_1;
ALTER TABLE parts DETACH PARTITION parts_2;
SELECT throws_like('DROP TABLE t2__history CASCADE', '%while it is tracked', 'DROP of a history by hand');
RESET session_replication_role;

UPDATE t2 SET vv = 'z';
SELECT is((SELECT array_agg(DISTINCT w) FROM t2__history WHERE w IS NOT NULL), '{7}', 'recorded afterwards');
SELECT results_eq('SELECT id, v FROM parts__history ORDER BY 1', $$VALUES (1, 'a'), (11, 'b')$$,
	'the rows of partitions that were dropped or detached');
SELECT is_empty('SELECT * FROM check_history() WHERE severity <> ''info''', 'all is in order');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::text ~ '^\d'), 0, 'nothing is left over');
SELECT finish();
