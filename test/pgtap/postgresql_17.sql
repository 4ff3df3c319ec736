-- What PostgreSQL 17 has brought: MERGE ... RETURNING, WHEN NOT MATCHED BY SOURCE,
-- MERGE into views, SET EXPRESSION.  Skipped on older versions.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(32);
SELECT current_setting('server_version_num')::int >= 170000 AS v17 \gset
\if :v17

CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO timed VALUES (1, 'a'), (2, 'b'), (3, 'c');

SELECT set_eq($$
	WITH merged AS (
		MERGE INTO t USING (VALUES (1, 'A'), (4, 'D')) s (id, v) ON t.id = s.id
		WHEN MATCHED THEN UPDATE SET v = s.v
		WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)
		WHEN NOT MATCHED BY SOURCE AND t.id = 2 THEN DELETE
		WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = n + 1
		RETURNING merge_action(), t.id)
	SELECT * FROM merged $$,
	$$VALUES ('UPDATE', 1), ('INSERT', 4), ('DELETE', 2), ('UPDATE', 3)$$,
	'MERGE ... RETURNING goes on as without history');
SELECT set_eq('SELECT id, v, n FROM t__history', $$VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)$$,
	'MERGE with WHEN NOT MATCHED BY SOURCE: each superseded row once');
SELECT set_eq('SELECT live_pk FROM t__tracking', 'VALUES (1), (3), (4)', 'the tracking table');
SELECT is((SELECT count(*)::int FROM t__with_history WHERE upper_inf(sys_period)), 3,
	'the view''s present rows');
SELECT is_empty($$SELECT id FROM t__with_history p WHERE EXISTS (SELECT FROM t__with_history o
	WHERE o.id = p.id AND o.sys_period && p.sys_period
	AND o.exec_transaction_id IS DISTINCT FROM p.exec_transaction_id)$$, 'no versions overlap');

BEGIN;
CREATE TEMP TABLE stamped AS WITH m AS (
	MERGE INTO timed USING (VALUES (1, 'A')) s (id, v) ON timed.id = s.id
	WHEN MATCHED THEN UPDATE SET v = s.v
	WHEN NOT MATCHED BY SOURCE AND timed.id = 2 THEN DELETE
	WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = 'z'
	RETURNING merge_action() AS action, timed.id, timed.txid) SELECT * FROM m;
SELECT set_eq('SELECT action, id FROM stamped WHERE txid = txid_current()',
	$$VALUES ('UPDATE', 1), ('UPDATE', 3)$$, 'RETURNING shows the transaction id stamped by us');
SELECT set_eq('SELECT id, v, exec_transaction_id FROM timed__history',
	$$VALUES (1, 'a', txid_current()), (2, 'b', txid_current()), (3, 'c', txid_current())$$,
	'with a time column: each superseded row once');
COMMIT;

-- MERGE into an updatable view, and into one with INSTEAD OF triggers.
CREATE VIEW few AS SELECT id, v FROM t WHERE id < 10;
MERGE INTO few USING (VALUES (1, 'AA')) s (id, v) ON few.id = s.id
	WHEN MATCHED THEN UPDATE SET v = s.v
	WHEN NOT MATCHED BY SOURCE AND few.id = 4 THEN DELETE;
SELECT set_eq('SELECT id, v FROM t__history WHERE v = ANY (''{A,D}'')',
	$$VALUES (1, 'A'), (4, 'D')$$, 'MERGE into a view on the table');
SELECT results_eq('SELECT id, v FROM t ORDER BY id', $$VALUES (1, 'AA'), (3, 'c')$$,
	'and the table itself');

-- A partitioned table: a MERGE that moves a row stores one version of it.
CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b');
SELECT create_history_table('p');
INSERT INTO p VALUES (1, 'a', 'x'), (2, 'a', 'y'), (3, 'b', 'z');
MERGE INTO p USING (VALUES (1)) s (id) ON p.id = s.id
	WHEN MATCHED THEN UPDATE SET region = 'b'
	WHEN NOT MATCHED BY SOURCE AND p.region = 'a' THEN DELETE
	WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = 'Z';
SELECT set_eq('SELECT id, region, v FROM p__history',
	$$VALUES (1, 'a', 'x'), (2, 'a', 'y'), (3, 'b', 'z')$$,
	'MERGE that moves, deletes and updates in partitions: one version each');
SELECT set_eq('SELECT id, region FROM p__with_history WHERE upper_inf(sys_period)',
	$$VALUES (1, 'b'), (3, 'b')$$, 'what is there now');

-- Identity columns of partitioned tables, exclusion constraints on them.
CREATE TABLE pi (id int GENERATED ALWAYS AS IDENTITY, region text, PRIMARY KEY (id, region))
	PARTITION BY LIST (region);
CREATE TABLE pi_a PARTITION OF pi DEFAULT;
SELECT create_history_table('pi');
INSERT INTO pi (region) VALUES ('q');
UPDATE pi SET region = 'r';
SELECT set_eq('SELECT id, region FROM pi__history', $$VALUES (1, 'q')$$,
	'a partitioned table with an identity column');
SELECT follows('pi', 'and all else about it');

-- The generation expression of a stored column.
CREATE TABLE g (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
SELECT create_history_table('g');
INSERT INTO g (id, a) VALUES (1, 10);
UPDATE g SET a = 11;
ALTER TABLE g ALTER COLUMN b SET EXPRESSION AS (a * 3);
SELECT set_eq('SELECT id, a, b FROM g__history', 'VALUES (1, 10, 20)',
	'SET EXPRESSION leaves old versions alone');
SELECT follows('g', 'SET EXPRESSION');
SELECT set_has('SELECT id, a, b FROM g__history', 'VALUES (1, 11, 33)',
	'and the next version has the new value');
ALTER TABLE g ALTER COLUMN b DROP EXPRESSION;
SELECT follows('g', 'DROP EXPRESSION');

-- REINDEX fires event triggers; CONCURRENTLY the key is in another index then.
CREATE TABLE locks (mode text);
CREATE FUNCTION note_locks() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO locks SELECT format('%s %s', relation::regclass, mode) FROM pg_locks
	WHERE pid = pg_backend_pid() AND relation::regclass::text ~ '^t(__|$)' AND mode <> 'AccessShareLock';
END$$;
CREATE EVENT TRIGGER zz_note_locks ON ddl_command_end WHEN TAG IN ('REINDEX', 'ALTER TABLE') EXECUTE FUNCTION note_locks();
SELECT 't_pkey'::regclass::oid AS key_index \gset
REINDEX INDEX CONCURRENTLY t_pkey;
SELECT isnt('t_pkey'::regclass::oid, :key_index::oid, 'control: another index');
SELECT is((SELECT string_agg(mode, ', ' ORDER BY mode) FROM locks), NULL, 'REINDEX CONCURRENTLY of the key is no other key: no writer waits');
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id);
SELECT set_has('SELECT mode FROM locks', $$VALUES ('t AccessExclusiveLock'), ('t__history ShareLock')$$, 'control: another one is');
DROP EVENT TRIGGER zz_note_locks;
REINDEX TABLE CONCURRENTLY t__history;
REINDEX TABLE CONCURRENTLY t__tracking;
REINDEX TABLE p;
REINDEX SCHEMA CONCURRENTLY public;
REINDEX SYSTEM;
SELECT follows('t', 'REINDEX of everything');
SELECT follows('p', 'REINDEX of a partitioned table');
ALTER TABLE t ADD COLUMN later int;
SELECT follows('t', 'DDL after it');

-- DDL that nobody followed, since event triggers were switched off.
CREATE TABLE gone (id int PRIMARY KEY);
SELECT create_history_table('gone');
SET event_triggers = off;
ALTER TABLE t ADD COLUMN unseen int DEFAULT 5;
DROP TABLE gone CASCADE;
RESET event_triggers;
SELECT refused('UPDATE t SET v = v', '{t,unseen}', 'a write that history has no column for', '55000');
SELECT enable_history_tracking_for_table('t');
SELECT follows('t', 'enabling mends it');
SELECT lives_ok('CREATE TABLE after_it (id int PRIMARY KEY); DROP TABLE after_it', 'a live table that is gone stops no DDL');
SELECT repair_history();
SELECT is((SELECT string_agg(finding, ' ') FROM check_history()), NULL, 'and is forgotten');

-- MERGE through a parent.
CREATE TABLE up (id int PRIMARY KEY, v text);
CREATE TABLE down (own int, PRIMARY KEY (id)) INHERITS (up);
SELECT create_history_table('down');
INSERT INTO up VALUES (1, 'a'), (2, 'b');
INSERT INTO down VALUES (3, 'c', 33), (4, 'd', 44), (5, 'e', 55);
MERGE INTO up USING (VALUES (1), (3), (9)) s (id) ON up.id = s.id
	WHEN MATCHED THEN UPDATE SET v = up.v || '!'
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'new')
	WHEN NOT MATCHED BY SOURCE AND up.id = 4 THEN DELETE
	WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = 'z';
SELECT set_eq('SELECT id, v FROM ONLY up__history', $$VALUES (1, 'a'), (2, 'b')$$, 'MERGE through a parent: its own rows');
SELECT set_eq('SELECT id, v, own FROM down__history', $$VALUES (3, 'c', 33), (4, 'd', 44), (5, 'e', 55)$$,
	'and its child''s, complete');
SELECT set_eq('SELECT live_pk FROM up__tracking', 'SELECT id FROM up', 'and both tracking tables');

-- Who may maintain the live table gets nothing of its history.
CREATE ROLE t66_keeper;
GRANT MAINTAIN ON t TO t66_keeper;
GRANT MAINTAIN ON t__with_history TO t66_keeper WITH GRANT OPTION;
ALTER TABLE t ALTER n TYPE text;
SELECT ok(has_table_privilege('t66_keeper', 't__with_history', 'MAINTAIN WITH GRANT OPTION'),
	'what is granted on the view is there when it is made anew');
REVOKE MAINTAIN ON t__with_history FROM t66_keeper;
SELECT create_history_view_for_table('t');
SELECT is(has_table_privilege('t66_keeper', 't__history', 'MAINTAIN,SELECT,UPDATE'), false,
	'MAINTAIN on the live table is nothing on its history');
DROP OWNED BY t66_keeper;
DROP ROLE t66_keeper;

\else
SELECT skip('PostgreSQL 17''s features', 32);
\endif
SELECT * FROM finish();
