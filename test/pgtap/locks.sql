-- The table of locks in doc/operations.md: the strongest lock that each command takes
-- on live table, history table, tracking table and view, until its transaction ends.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(34);

CREATE TABLE x (id int PRIMARY KEY, v text, n int);
SELECT create_history_table('x');
INSERT INTO x VALUES (1, 'a', 1), (2, 'b', 2);
ALTER TABLE x ADD CONSTRAINT later CHECK (n > 0) NOT VALID;
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (w int, PRIMARY KEY (id)) INHERITS (parent);
SELECT create_history_table('child');
CREATE TABLE narrow (id int PRIMARY KEY, n int);
SELECT create_history_table('narrow');
SET catmaid_history.follow_ddl = off;
SELECT drop_history_view_for_table('narrow');
ALTER TABLE narrow ALTER COLUMN n TYPE bigint;
RESET catmaid_history.follow_ddl;
SELECT create_history_view_for_table('narrow');

-- The strongest lock on each relation that was there before the command, which is
-- rolled back: live table, history table, tracking table, view.
CREATE FUNCTION tap.locks(cmd text, live text DEFAULT 'x') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	relations oid[] := (SELECT array_agg(to_regclass(live || suffix)::oid ORDER BY n)
		FROM unnest('{"",__history,__tracking,__with_history}'::text[]) WITH ORDINALITY s (suffix, n));
	strength text[] := '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}';
	taken text;
BEGIN
	EXECUTE cmd;
	SELECT string_agg(coalesce(strength[(SELECT max(array_position(strength, mode)) FROM pg_locks
			WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = r)], '-'), ', ' ORDER BY n)
		INTO taken FROM unnest(relations) WITH ORDINALITY u (r, n);
	RAISE EXCEPTION USING ERRCODE = 'TLOCK', MESSAGE = replace(taken, 'Lock', '');
EXCEPTION WHEN SQLSTATE 'TLOCK' THEN
	RETURN SQLERRM;
END $$;

SELECT is(locks('INSERT INTO x VALUES (3, ''c'', 3)'), 'RowExclusive, RowExclusive, RowExclusive, -', 'INSERT');
SELECT is(locks('UPDATE x SET v = ''z'''), 'RowExclusive, RowExclusive, RowExclusive, -', 'UPDATE');
SELECT is(locks('DELETE FROM x'), 'RowExclusive, RowExclusive, RowExclusive, -', 'DELETE');
SELECT is(locks('TRUNCATE x'), 'AccessExclusive, RowExclusive, AccessExclusive, -', 'TRUNCATE');
SELECT is(locks('SELECT count(sys_period) FROM x__with_history'), 'AccessShare, AccessShare, AccessShare, AccessShare', 'a reader of the view');
SELECT is(locks('SELECT enable_history_tracking_for_table(''x'')'),
	'-, -, -, -', 'enabling with nothing to do');
DROP INDEX x__history_exec_transaction_id;
SELECT is(locks('SELECT enable_history_tracking_for_table(''x'')'),
	'ShareRowExclusive, ShareRowExclusive, Share, ShareUpdateExclusive', 'enabling');
SELECT enable_history_tracking_for_table('x');
SELECT is(locks('SELECT rotate_history(''x'')'), 'ShareUpdateExclusive, AccessExclusive, AccessShare, AccessExclusive', 'rotating');
SELECT is(locks('SELECT sync_tracking_table(''x'', ''x__tracking'')'), 'ShareRowExclusive, -, RowExclusive, ShareUpdateExclusive', 'syncing');
SELECT is(locks('SELECT repair_history(''x'')'),
	'ShareRowExclusive, AccessExclusive, AccessExclusive, AccessExclusive', 'repairing');
SELECT is(locks('SELECT widen_history_table(''x'')'), 'ShareRowExclusive, AccessShare, -, AccessExclusive', 'widening, nothing to do');
SELECT is(locks('SELECT widen_history_table(''narrow'')', 'narrow'),
	'ShareRowExclusive, AccessExclusive, AccessShare, AccessExclusive', 'widening');
SELECT is(locks('SELECT check_history(''x'')'), 'AccessShare, AccessShare, AccessShare, AccessShare', 'checking');
SELECT is(locks('SELECT disable_history_tracking_for_table(''x'')'), 'AccessExclusive, -, -, ShareUpdateExclusive', 'disabling');
SELECT is(locks('SELECT reload_history_tracking_for_table(''x'')'),
	'AccessExclusive, ShareRowExclusive, Share, ShareUpdateExclusive', 'reloading what is in order');
ALTER TABLE x DISABLE TRIGGER USER;
SELECT is(locks('SELECT reload_history_tracking_for_table(''x'')'),
	'AccessExclusive, ShareRowExclusive, Share, AccessExclusive', '... and what is not');
ALTER TABLE x ENABLE TRIGGER USER;
SELECT is(locks('SELECT drop_history_table(''x'')'), 'AccessExclusive, AccessExclusive, AccessExclusive, AccessExclusive', 'dropping');
SELECT is(locks('SELECT drop_history_table_keep_data(''x'')'),
	'AccessExclusive, AccessExclusive, AccessExclusive, AccessExclusive', 'dropping, keeping the data');
SELECT is(locks('SELECT create_history_view_for_table(''x'')'), 'ShareUpdateExclusive, AccessShare, AccessShare, ShareUpdateExclusive', 'making the view, which is as it should be');
CREATE OR REPLACE VIEW narrow__with_history AS SELECT id, n::int, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id, NULL::bigint AS start_transaction_id FROM narrow
	UNION ALL SELECT id, n, sys_period, NULL, NULL FROM narrow__history;
SELECT is(locks('SELECT create_history_view_for_table(''narrow'')', 'narrow'), 'ShareUpdateExclusive, AccessShare, AccessShare, AccessExclusive', 'making the view, which is not');
SELECT is(locks('SELECT drop_history_view_for_table(''x'')'), 'ShareUpdateExclusive, -, -, AccessExclusive', 'dropping it');
SELECT is(locks('SELECT initialize_new_history_table(''x'', ''x__history'', ''id'')'),
	'ShareRowExclusive, Share, AccessShare, ShareUpdateExclusive', 'initialize_new_history_table');
SELECT is(locks('SELECT truncate_history_table(''x__history'')'), 'AccessShare, AccessExclusive, -, -', 'truncate_history_table');
SELECT is(locks('ALTER TABLE x ADD COLUMN q int'), 'AccessExclusive, AccessExclusive, AccessShare, AccessExclusive', 'ADD COLUMN');
SELECT is(locks('ALTER TABLE x ALTER v SET DEFAULT ''q'''), 'AccessExclusive, -, -, -',
	'a command that changes nothing of the history');
SELECT is(locks('ALTER TABLE x ALTER v SET NOT NULL, ADD CONSTRAINT more CHECK (n > 0)'), 'AccessExclusive, -, -, -', '... SET NOT NULL, a CHECK');
SELECT is(locks('ALTER TABLE x OWNER TO pg_monitor'), 'AccessExclusive, AccessExclusive, AccessExclusive, AccessExclusive', 'OWNER TO');
SELECT is(locks('ALTER TABLE x VALIDATE CONSTRAINT later'), 'ShareUpdateExclusive, -, -, -', 'one that readers go on beside');
SELECT is(locks('CREATE INDEX ON x (v)'), 'Share, -, -, -', 'CREATE INDEX');

-- The parents of a child, and a table whose history is new.
SELECT is(locks('SELECT drop_history_table(''child'')', 'parent'), 'ShareUpdateExclusive, -, -, AccessExclusive', 'dropping: the parent');
SELECT is(locks('SELECT enable_history_tracking_for_table(''child'')', 'parent'), '-, -, -, -', 'enabling with nothing to do: the parent');
DROP INDEX child__history_exec_transaction_id;
SELECT is(locks('SELECT enable_history_tracking_for_table(''child'')', 'parent'), 'ShareUpdateExclusive, -, -, ShareUpdateExclusive', 'enabling: the parent');
SELECT is(locks('UPDATE child SET v = ''z''', 'parent'), '-, -, -, -', 'writing: the parent');
CREATE TABLE fresh (id int PRIMARY KEY);
SELECT is(split_part(locks('SELECT create_history_table(''fresh'')', 'fresh'), ',', 1), 'ShareRowExclusive', 'creating');

SELECT * FROM finish();
