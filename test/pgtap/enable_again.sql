-- Section 4: with nothing to do enabling reads catalogs, takes no lock that a writer
-- feels and writes nothing, so that it works in a read-only transaction; whatever is
-- amiss it finds, and mends.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(23);
CREATE TABLE t (id int, part text, v int, PRIMARY KEY (id, part));
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz, txid bigint);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE "Odd t" (id int PRIMARY KEY, d positive);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE r (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE u (id int PRIMARY KEY);
SELECT create_history_table('t'), create_history_table('timed', 'edited', 'txid'), create_history_table('"Odd t"'),
	create_history_table('child'), create_history_table('r'), create_history_table('u') \g /dev/null

-- The strongest lock on a relation of ours that a command in a read-only transaction takes.
CREATE FUNCTION tap.enabled_again(cmd text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE strongest text;
BEGIN
	SET LOCAL transaction_read_only = on;
	EXECUTE cmd;
	SELECT coalesce(string_agg(DISTINCT mode, ' '), 'none') INTO strongest FROM pg_locks
	WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384 AND mode <> 'AccessShareLock';
	RETURN strongest;
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
BEGIN;
SELECT tap.enabled_again('SELECT enable_history_tracking()') AS result \gset
COMMIT;
SELECT is(:'result'::text, 'none', 'all tables, with nothing to do');
BEGIN;
SELECT tap.enabled_again('SELECT enable_history_tracking_for_table(''r'')') AS result \gset
COMMIT;
SELECT is(:'result'::text, 'none', 'a partitioned one');

-- Each of these is found by enabling all tables, and mended at once.
CREATE TABLE amiss (n serial, what text, cmd text);
INSERT INTO amiss (what, cmd) VALUES
('a trigger is gone', 'DROP TRIGGER on_change_history_trackingtable ON t'),
('a trigger is switched off', 'SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE t DISABLE TRIGGER on_change_update_tracking_table'),
('a trigger has a condition', 'DROP TRIGGER on_change_history_trackingtable ON t; CREATE TRIGGER on_change_history_trackingtable AFTER UPDATE OR DELETE ON t FOR EACH ROW WHEN (OLD.v > 0) EXECUTE FUNCTION catmaid_history_capture()'),
('a trigger has other arguments', 'DROP TRIGGER on_change_update_history_regular ON timed; CREATE TRIGGER on_change_update_history_regular AFTER UPDATE OR DELETE ON timed FOR EACH ROW EXECUTE FUNCTION catmaid_history_capture(''edited'', ''v'')'),
('a column is not in the history', 'SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE t ADD COLUMN w int'),
('a column is wider than the history''s', 'SET LOCAL catmaid_history.follow_ddl = off; SELECT drop_history_view_for_table(''t''); ALTER TABLE t ALTER v TYPE bigint'),
('the key is another', 'SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (part, id)'),
('the history''s key index is gone', 'DROP INDEX t__history_live_pk_index'),
('the index on sys_period is gone', 'DROP INDEX "Odd t__history_sys_period"'),
('the index on the transaction is gone', 'DROP INDEX timed__history_exec_transaction_id'),
('the tracking table''s index is gone', 'ALTER TABLE t__tracking REPLICA IDENTITY DEFAULT; DROP INDEX t__tracking_live_pk_index'),
('the tracking table''s key has another type', 'SET LOCAL catmaid_history.follow_ddl = off; SELECT drop_history_view_for_table(''t''); ALTER TABLE t__tracking ALTER live_pk_1 TYPE bigint'),
('row-level security is not the history''s', 'UPDATE pg_class SET relrowsecurity = true WHERE oid IN (''t''::regclass, ''t__tracking''::regclass)'),
('nor the tracking table''s', 'UPDATE pg_class SET relrowsecurity = true WHERE oid IN (''t''::regclass, ''t__history''::regclass)'),
('it is not forced alike', 'UPDATE pg_class SET relrowsecurity = true, relforcerowsecurity = oid = ''t''::regclass WHERE oid IN (''t''::regclass, ''t__history''::regclass, ''t__tracking''::regclass)'),
('the view lacks a column', 'SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE t ADD COLUMN w int; ALTER TABLE t__history ADD COLUMN w int'),
('tracking is disabled', 'SELECT disable_history_tracking_for_table(''t'')'),
('a partition''s trigger is gone', 'SET LOCAL catmaid_history.follow_ddl = off; DROP TRIGGER on_truncate_handle_live_table_truncate ON r1'),
('a tracking table is logged', 'ALTER TABLE u__tracking SET LOGGED');
CREATE FUNCTION tap.state_of_all() RETURNS text LANGUAGE sql AS
$$ SELECT md5(tap.catalog() || (SELECT string_agg(relpersistence, '' ORDER BY oid) FROM pg_class) ||
	(SELECT string_agg(oid::text || (tgqual IS NULL) || tgargs::text, ' ' ORDER BY oid) FROM pg_trigger)) $$;
CREATE FUNCTION tap.tried(cmd text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE before text; once text; again text; got text;
BEGIN
	EXECUTE cmd;
	before := tap.state_of_all();
	PERFORM enable_history_tracking();
	once := tap.state_of_all();
	PERFORM enable_history_tracking();
	again := tap.state_of_all();
	RAISE SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
	RETURN concat_ws(', ', CASE WHEN before = once THEN 'not found' ELSE 'mended' END,
		CASE WHEN once <> again THEN 'and once more' END);
WHEN OTHERS THEN
	RETURN 'refused: ' || SQLERRM;
END $$;
SELECT alike(tap.tried(cmd), CASE n WHEN 6 THEN 'refused: %cannot hold%' ELSE 'mended' END, what) FROM amiss ORDER BY n;
SELECT is(tap.tried('SELECT 1'), 'not found', 'control: nothing');
SELECT is((SELECT count(*) FROM check_history()), 0::bigint, 'all is in order in the end');
SELECT * FROM finish();
