-- Section 7: the owner of a partition, who is not the root's.  The root's history is checked,
-- synced and enabled without running what is on the partition; and rightly.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_partition_owner_root;
DROP ROLE IF EXISTS rights_partition_owner_part;
CREATE ROLE rights_partition_owner_root;
CREATE ROLE rights_partition_owner_part;
CREATE EXTENSION catmaid_history;
CREATE SCHEMA s;
GRANT ALL ON SCHEMA s TO PUBLIC;

SET ROLE rights_partition_owner_part;
CREATE SEQUENCE s.ran; -- which no rollback takes back
GRANT ALL ON SEQUENCE s.ran TO PUBLIC;
CREATE FUNCTION s.note() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'rights_partition_owner_part' THEN PERFORM pg_catalog.nextval('s.ran'); END IF;
	RETURN 1;
END $$;
CREATE FUNCTION s.folded(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN s.note(); END $$;

-- Columns have other numbers below the root.
SET ROLE rights_partition_owner_root;
CREATE TABLE s.root (gone int, id int, more int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE s.own PARTITION OF s.root FOR VALUES FROM (0) TO (10);
ALTER TABLE s.root DROP COLUMN gone;
CREATE TABLE s.sub (more int, gone int, gone_too int, id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE s.sub DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE s.root ATTACH PARTITION s.sub FOR VALUES FROM (10) TO (20);
CREATE TABLE s.part PARTITION OF s.sub FOR VALUES FROM (10) TO (15);
SELECT create_history_table('s.root') \g /dev/null
INSERT INTO s.root (id, more) VALUES (1, 1), (2, 2), (11, 1), (12, 2), (13, 3);
RESET ROLE;
ALTER TABLE s.part OWNER TO rights_partition_owner_part;
SET ROLE rights_partition_owner_part;
CREATE INDEX ON s.part (more) WHERE more > s.folded(1);
CREATE INDEX ON s.part ((more + s.folded(1)));
ALTER TABLE s.part ADD CHECK (more > 0 OR s.folded(1) > 0);
SELECT CASE WHEN current_setting('server_version_num')::int >= 140000
	THEN 'CREATE STATISTICS s.both ON (more + s.folded(1)), (more * 2) FROM s.part' END \gexec
RESET ROLE;
DELETE FROM s.root__tracking WHERE live_pk IN (2, 12);
INSERT INTO s.root__tracking VALUES (5, now(), 1), (14, now(), 1);
-- who has made and written them has run some of it
SELECT setval('s.ran', 1, false) \g /dev/null

-- In a new session nothing of it is in a cache.
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT check_history('s.root') \g /dev/null
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT sync_tracking_table('s.root', 's.root__tracking') \g /dev/null
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT disable_history_tracking_for_table('s.root'), enable_history_tracking_for_table('s.root') \g /dev/null
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT plan(11);
SELECT is((SELECT is_called FROM s.ran), false, 'checked, synced and enabled without running what is on the partition');
CREATE FUNCTION pg_temp.tracked() RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(live_pk::text, ',' ORDER BY live_pk) FROM s.root__tracking $$;
CREATE FUNCTION pg_temp.found() RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(finding || ' ' || substr(detail, 1, 1), ', ' ORDER BY finding), 'nothing') FROM check_history('s.root') $$;

SELECT is(pg_temp.tracked(), '1,2,11,12,13', 'rows of all partitions have been entered, others removed');
SELECT is(pg_temp.found(), 'nothing', 'and nothing is found then');
DELETE FROM s.root__tracking WHERE live_pk IN (2, 12);
INSERT INTO s.root__tracking VALUES (5, now(), 1);
SELECT is(pg_temp.found(), 'tracking_rows_missing 2, tracking_rows_orphaned 1', 'what is missing is found, in all partitions');
SELECT repair_history('s.root') \g /dev/null
SELECT is(pg_temp.found(), 'nothing', 'and mended');
SELECT is(pg_temp.tracked(), '1,2,11,12,13', 'rightly');

SELECT disable_history_tracking_for_table('s.root') \g /dev/null
DELETE FROM s.root WHERE id IN (1, 13);
SELECT enable_history_tracking_for_table('s.root') \g /dev/null
SELECT is(pg_temp.tracked(), '2,11,12', 'enabling removes the rows that have gone');
ALTER TABLE s.sub DETACH PARTITION s.part;
SELECT is(pg_temp.tracked(), '2', 'detached, its rows have ended');
SELECT is((SELECT string_agg(id::text, ',' ORDER BY id) FROM s.root__history WHERE upper(sys_period) IS NOT NULL), '11,12', 'and are versions');
ALTER TABLE s.sub ATTACH PARTITION s.part FOR VALUES FROM (10) TO (15);
SELECT is(pg_temp.tracked(), '2,11,12', 'attached, they have appeared');
SELECT count(*) AS starts FROM s.root__tracking WHERE isfinite(edition_time) \gset
ALTER TABLE s.root DROP CONSTRAINT root_pkey, ADD PRIMARY KEY (id, more);
SELECT is((SELECT count(*) FROM s.root__tracking WHERE isfinite(edition_time)) || ' ' || pg_temp.found(), :'starts' || ' nothing',
	'another key: each row keeps its start');

DROP OWNED BY rights_partition_owner_root, rights_partition_owner_part CASCADE;
DROP ROLE rights_partition_owner_root, rights_partition_owner_part;
SELECT * FROM finish();
