-- Section 5: a table is tracked while its triggers are there; without them it
-- counts as disabled, and the registry says so.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(39);

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('parted');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
INSERT INTO parted VALUES (1, 'a'), (2, 'b');
\set on 'registry t, triggers t'
\set off 'registry f, triggers f'

-- Every trigger, every way; enabled again by the function.
CREATE FUNCTION tap.each_trigger(live regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t text;
	way text;
BEGIN
	FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = live AND NOT tgisinternal
			-- with a time column: tells the log alone
			AND (live <> 'timed'::regclass OR tgname <> 'on_change_update_tracking_table')
			ORDER BY 1 LOOP
		FOREACH way IN ARRAY '{DROP TRIGGER %I ON %s,ALTER TABLE %2$s DISABLE TRIGGER %1$I,ALTER TABLE %2$s ENABLE REPLICA TRIGGER %1$I,ALTER TRIGGER %I ON %s RENAME TO hidden}'::text[] LOOP
			EXECUTE format(way, t, live);
			IF flags(live) <> 'registry f, triggers f' THEN
				RETURN NEXT format(way, t, live) || ': ' || flags(live);
			END IF;
			PERFORM enable_history_tracking_for_table(live);
			IF flags(live) <> 'registry t, triggers t' THEN
				RETURN NEXT format(way, t, live) || ', enabled: ' || flags(live);
			END IF;
		END LOOP;
	END LOOP;
END $$;
SELECT is(flags('t'), :'on', 'control');
SELECT is_empty('SELECT each_trigger(''t'')', 'each trigger dropped, disabled, renamed by hand');
SELECT is_empty('SELECT each_trigger(''timed'')', 'likewise, with a time column');
SELECT is_empty('SELECT each_trigger(''parted'')', 'likewise, of a partitioned table');
DROP TRIGGER on_change_update_tracking_table ON timed;
SELECT is(flags('timed'), :'on', 'without the trigger that tells the log of insertions a table is tracked');
SELECT enable_history_tracking();
SELECT has_trigger('timed', 'on_change_update_tracking_table', 'and enabling puts it there');
SELECT whole('t', 'and recorded again');
SELECT whole('timed', 'with a time column, too');
SELECT whole('parted', 'and partitions');

-- All at once, and the way back.
ALTER TABLE t DISABLE TRIGGER USER;
SELECT is(flags('t'), :'off', 'DISABLE TRIGGER USER');
ALTER TABLE t ENABLE TRIGGER USER;
SELECT is(flags('t'), :'on', 'ENABLE TRIGGER USER');
ALTER TABLE t DISABLE TRIGGER ALL;
SELECT is(flags('t'), :'off', 'DISABLE TRIGGER ALL');
ALTER TABLE t ENABLE ALWAYS TRIGGER on_change_history_trackingtable;
ALTER TABLE t ENABLE TRIGGER ALL;
SELECT is(flags('t'), :'on', 'ENABLE TRIGGER ALL');
ALTER TABLE t ENABLE ALWAYS TRIGGER on_change_history_trackingtable;
SELECT is(flags('t'), :'on', 'ENABLE ALWAYS is enabled');
SELECT enable_history_tracking_for_table('t');
BEGIN;
ALTER TABLE t DISABLE TRIGGER USER;
SAVEPOINT s;
ALTER TABLE t ENABLE TRIGGER USER;
ROLLBACK TO s;
SELECT is(flags('t'), :'off', 'rolled back to a savepoint');
ROLLBACK;
SELECT is(flags('t'), :'on', 'rolled back');
DO $$BEGIN
	ALTER TABLE t DISABLE TRIGGER USER;
	UPDATE t SET v = 'unrecorded';
	ALTER TABLE t ENABLE TRIGGER USER;
END$$;
SELECT is(flags('t'), :'on', 'off and on in one block');
SELECT is((SELECT count(*)::int FROM t__history WHERE v = 'unrecorded'), 0, 'unrecorded between');
SELECT whole('t', 'recorded after');

-- Without its triggers a table is left alone.
DROP TRIGGER on_change_history_trackingtable ON t;
UPDATE t SET v = 'off';
ALTER TABLE t ADD COLUMN n int;
SELECT hasnt_column('t__history', 'n', 'without triggers the follower adds no column');
SELECT enable_history_tracking_for_table('t');
SELECT has_column('t__history', 'n', 'enabling does');
SELECT drop_history_view_for_table('t');
SELECT create_history_view_for_table('t');
SELECT whole('t', 'all is in line again');
ALTER TABLE t DISABLE TRIGGER on_change_history_trackingtable;
ALTER TABLE t ADD COLUMN n2 int;
SELECT has_column('t__history', 'n2', 'a trigger that is switched off is there');
SELECT is(flags('t'), :'off', 'and stays switched off');
ALTER TABLE t DROP COLUMN n2;
ALTER TABLE t ENABLE TRIGGER on_change_history_trackingtable;
SELECT is(flags('t'), :'on', 'enabled by hand');
ALTER TABLE t ADD COLUMN n3 int;
SELECT has_column('t__history', 'n3', 'the follower goes on');
UPDATE t SET n3 = 3;
SELECT whole('t', 'all is in line');

-- As pg_dump --clean does: triggers, history, live.
DROP TRIGGER on_change_history_trackingtable ON t;
DROP TRIGGER on_change_update_tracking_table ON t;
DROP TRIGGER on_truncate_handle_live_table_truncate ON t;
DROP TRIGGER on_truncate_truncate_tracking_table ON t;
DROP VIEW t__with_history;
SELECT allowed('DROP TABLE t__tracking', 'the tracking table, of a table without triggers');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::oid = 't'::regclass), 1,
	'the registry row stays');
SELECT allowed('DROP TABLE t__history', 'and the history table');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::oid = 't'::regclass), 0,
	'takes the registry row along');
SELECT allowed('UPDATE t SET v = ''free''; DROP TABLE t', 'the table is free');

-- Commands that change nothing here.
SELECT everything('timed', 'parted') AS before \gset
CLUSTER timed USING timed_pkey;
VACUUM FULL timed;
VACUUM timed__history;
REINDEX TABLE timed__history;
ANALYZE timed;
COMMENT ON TABLE timed IS NULL;
ALTER TABLE timed ALTER COLUMN v SET STATISTICS 10;
ALTER TABLE timed ALTER COLUMN v SET STATISTICS -1;
SELECT is(everything('timed', 'parted'), :'before',
	'CLUSTER, VACUUM, REINDEX, ANALYZE and the like change nothing');
TRUNCATE timed;
SELECT is((SELECT count(*)::int FROM timed__history h1 WHERE upper(sys_period) =
	(SELECT max(upper(sys_period)) FROM timed__history)), 2, 'TRUNCATE is recorded');
SELECT is(flags('timed'), :'on', 'and is no DDL');
CREATE INDEX CONCURRENTLY timed_v ON timed (v);
DROP INDEX CONCURRENTLY timed_v;
REINDEX TABLE CONCURRENTLY timed;
SELECT is(misplaced('timed'), '', 'CREATE INDEX CONCURRENTLY and the like');
CREATE TRIGGER own BEFORE UPDATE ON timed FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
DROP TRIGGER own ON timed;
CREATE RULE nothing AS ON UPDATE TO timed WHERE false DO INSTEAD NOTHING;
DROP RULE nothing ON timed;
SELECT is(misplaced('timed'), '', 'others'' triggers and rules');
ALTER TABLE timed SET UNLOGGED;
SELECT is((SELECT relpersistence::text FROM pg_class WHERE oid = 'timed__history'::regclass), 'p',
	'an unlogged table''s history is logged');
ALTER TABLE timed SET LOGGED;
ALTER TABLE timed SET TABLESPACE pg_default;
INSERT INTO timed VALUES (1, 'z');
SELECT whole('timed', 'tracking goes on');

SELECT * FROM finish();
