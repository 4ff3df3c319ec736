-- Section 5, PARTITION OF, ATTACH and DETACH, of every kind of partition: rows are
-- covered from then on, and end their version when they leave.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(44);
SELECT format('psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %s -U %s -d %s',
	:'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
-- What history says of a row: "value" of each version that ended, and how.
CREATE FUNCTION tap.ended(key int) RETURNS text LANGUAGE plpgsql AS $$BEGIN
	RETURN (SELECT coalesce(string_agg(v, ' ' ORDER BY sys_period, v), '') FROM r__history
		WHERE id = key);
END$$;
-- Is the tracking table in step, and the table as of now what it is?
CREATE FUNCTION tap.in_step() RETURNS text LANGUAGE plpgsql AS $$BEGIN
	RETURN (SELECT coalesce(string_agg(x::text, ' '), '') FROM (
		(SELECT 'tracked', live_pk FROM r__tracking EXCEPT ALL SELECT 'tracked', id FROM r)
		UNION ALL
		(SELECT 'untracked', id FROM r EXCEPT ALL SELECT 'untracked', live_pk FROM r__tracking)
		UNION ALL
		(SELECT 'now', id FROM r__with_history WHERE sys_period @> clock_timestamp()
			EXCEPT ALL SELECT 'now', id FROM r)) x);
END$$;

CREATE SCHEMA s1;
CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
SELECT create_history_table('r');
SELECT is(flags('r'), 'registry t, triggers t', 'a table without partitions');
CREATE TABLE r_0 PARTITION OF r FOR VALUES FROM (0) TO (100);
CREATE TABLE r_d PARTITION OF r DEFAULT;
CREATE TABLE s1."R 1" PARTITION OF r FOR VALUES FROM (100) TO (200) PARTITION BY LIST (id);
CREATE TABLE s1.r_1a PARTITION OF s1."R 1" FOR VALUES IN (100, 101);
CREATE TABLE r_1d PARTITION OF s1."R 1" DEFAULT;
SELECT is(flags('r'), 'registry t, triggers t', 'PARTITION OF: the first, default, below a partition');
INSERT INTO r VALUES (1, 'a'), (101, 'b'), (150, 'c'), (1000, 'd');
SELECT whole('r', 'rows of all of them are recorded');
SELECT is(in_step(), '', 'and tracked');
TRUNCATE r_1d;
SELECT is(ended(150), 'c c', 'TRUNCATE of a partition below a partition');
TRUNCATE s1."R 1";
SELECT is(ended(101), 'b b', 'TRUNCATE of a partition with partitions');
TRUNCATE r_d;
SELECT is(ended(1000), 'd d', 'TRUNCATE of a default partition');
SELECT is(in_step(), '', 'tracking is in step');
BEGIN;
CREATE TABLE r_9 PARTITION OF r FOR VALUES FROM (900) TO (1000);
INSERT INTO r VALUES (901, 'x');
UPDATE r SET v = 'y' WHERE id = 901;
SELECT is(ended(901), 'x', 'recorded in the transaction that makes the partition');
ROLLBACK;
SELECT is(flags('r'), 'registry t, triggers t', 'rolled back');

-- DETACH.
INSERT INTO r VALUES (101, 'b'), (150, 'c'), (1000, 'd');
ALTER TABLE r DETACH PARTITION s1."R 1";
SELECT is(ended(101) || ', ' || ended(150), 'b b b, c c c',
	'DETACH of a partition with partitions: the rows end');
SELECT is((SELECT count(*)::int FROM s1."R 1"), 2, 'and are there still');
SELECT is(in_step(), '', 'tracking is in step');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE NOT tgisinternal
	AND tgrelid IN ('s1."R 1"'::regclass, 's1.r_1a'::regclass, 'r_1d'::regclass)), 0,
	'no trigger of ours is left on any of it');
SELECT allowed('UPDATE s1."R 1" SET v = ''free''; TRUNCATE r_1d; TRUNCATE s1."R 1"',
	'it can be written and truncated');
SELECT is(ended(101) || ', ' || ended(150), 'b b b, c c c', 'unrecorded');
INSERT INTO s1."R 1" VALUES (100, 'back'), (160, 'back');
ALTER TABLE r ATTACH PARTITION s1."R 1" FOR VALUES FROM (100) TO (200);
SELECT is(in_step(), '', 'ATTACH of it: its rows are tracked');
UPDATE r SET v = 'changed' WHERE v = 'back';
SELECT is(ended(100) || ended(160), 'backback', 'and recorded');
ALTER TABLE s1."R 1" DETACH PARTITION r_1d;
SELECT is(ended(160), 'back changed', 'DETACH from a partition');
SELECT is(in_step(), '', 'tracking is in step');
ALTER TABLE s1."R 1" ATTACH PARTITION r_1d DEFAULT;
SELECT is(in_step(), '', 'ATTACH to a partition');
ALTER TABLE r DETACH PARTITION r_d;
SELECT is(ended(1000), 'd d d', 'DETACH of the default partition');
ALTER TABLE r ATTACH PARTITION r_d DEFAULT;
SELECT is(in_step(), '', 'and ATTACH');
BEGIN;
ALTER TABLE r DETACH PARTITION r_d;
ALTER TABLE r ATTACH PARTITION r_d DEFAULT;
COMMIT;
SELECT is(ended(1000), 'd d d d', 'both in one transaction: one version ended');
SELECT is(in_step(), '', 'and tracking is in step');
ALTER TABLE r DETACH PARTITION r_d;

-- DETACH CONCURRENTLY, which no transaction block may be around.
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
\set concurrently CONCURRENTLY
\else
\set concurrently ''
\endif
SELECT allowed('CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM (200) TO (300)', 'a partition');
INSERT INTO r VALUES (201, 'e');
ALTER TABLE r DETACH PARTITION r_2 :concurrently;
SELECT is(ended(201), 'e', 'DETACH CONCURRENTLY: the rows end');
SELECT is(in_step(), '', 'tracking is in step');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE NOT tgisinternal
	AND tgrelid = 'r_2'::regclass), 0, 'no trigger of ours is left on it');
UPDATE r_2 SET v = 'free';
SELECT is(ended(201), 'e', 'it is free');
ALTER TABLE r ATTACH PARTITION r_2 FOR VALUES FROM (200) TO (300);
SELECT is(in_step(), '', 'ATTACH again');
\set out `:client -c "ALTER TABLE r DETACH PARTITION r_2 :concurrently" 2>&1`
SELECT is(:'out'::text || ended(201), 'e free', 'by a session that does nothing else');
SELECT whole('r', 'the whole table afterwards');

-- Detached, attached and changed in one transaction: what ended with the DETACH has
-- ended, and nobody has seen what came back.
CREATE TABLE timed (id int PRIMARY KEY, v text, e timestamptz, x bigint) PARTITION BY RANGE (id);
CREATE TABLE timed_0 PARTITION OF timed FOR VALUES FROM (0) TO (100);
SELECT create_history_table('timed', 'e', 'x');
INSERT INTO r VALUES (110, 'h'), (111, 'i'), (112, 'j');
INSERT INTO timed VALUES (1, 'h', now()), (2, 'i', now()), (3, 'j', now());
BEGIN;
ALTER TABLE r DETACH PARTITION s1."R 1";
ALTER TABLE r ATTACH PARTITION s1."R 1" FOR VALUES FROM (100) TO (200);
ALTER TABLE timed DETACH PARTITION timed_0;
ALTER TABLE timed ATTACH PARTITION timed_0 FOR VALUES FROM (0) TO (100);
UPDATE r SET v = 'hh' WHERE id = 110;
DELETE FROM r WHERE id = 111;
UPDATE timed SET v = 'hh', e = now() WHERE id = 1;
DELETE FROM timed WHERE id = 2;
COMMIT;
CREATE FUNCTION tap.versions(history regclass, keys int[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE format($f$SELECT string_agg(id || v || CASE WHEN isempty(sys_period) THEN ' empty' ELSE '' END,
		', ' ORDER BY id, isempty(sys_period)) FROM %s WHERE id = ANY ($1)$f$, history) INTO found USING keys;
	RETURN found;
END$$;
SELECT is(versions('r__history', '{110,111,112}'), '110h, 110h empty, 111i, 111i empty, 112j',
	'DETACH, ATTACH and changes in one transaction: no version twice');
SELECT is(in_step(), '', 'tracking is in step');
SELECT is(versions('timed__history', '{1,2,3}'), '1h, 1h empty, 2i, 2i empty, 3j',
	'so with a time column');
UPDATE r SET v = 'hhh' WHERE id = 110;
SELECT is(versions('r__history', '{110}'), '110h, 110hh, 110h empty',
	'a later transaction records what it finds');

-- A partition is no table to be tracked by itself, and one that was tracked before.
CREATE TABLE own (id int PRIMARY KEY, v text);
SELECT create_history_table('own');
INSERT INTO own VALUES (301, 'f');
UPDATE own SET v = 'g';
SELECT refused('ALTER TABLE r ATTACH PARTITION own FOR VALUES FROM (300) TO (400)', '{own}',
	'ATTACH of a table that is tracked itself is refused with a hint', 'fitting');
SELECT whole('own', 'and nothing has changed');
SELECT drop_history_table('own');
-- nor one with a trigger of a name that we need
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER on_truncate_handle_live_table_truncate BEFORE TRUNCATE ON own EXECUTE FUNCTION nothing();
SELECT refused('ALTER TABLE r ATTACH PARTITION own FOR VALUES FROM (300) TO (400)', '{own}',
	'ATTACH of a table with a trigger of our name is refused, with the SQLSTATE of DDL', '42710');
SELECT is(in_step(), '', 'nothing has come of it');
DROP TRIGGER on_truncate_handle_live_table_truncate ON own;
SELECT allowed('ALTER TABLE r ATTACH PARTITION own FOR VALUES FROM (300) TO (400)',
	'without its own history it can be');
SELECT is(in_step(), '', 'and is tracked');
SELECT is(flags('r'), 'registry t, triggers t', 'triggers are complete');

SELECT * FROM finish();
