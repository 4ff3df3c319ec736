-- Section 5, RENAME TO, SET SCHEMA and OWNER TO: names that would not fit, or
-- are taken, are an error, and nothing has changed.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(34);

CREATE SCHEMA s1;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
UPDATE timed SET v = v || '1';

-- Names that would not fit: 49 bytes are the most.
SELECT refused_whole('ALTER TABLE t RENAME TO ' || repeat('x', 50), '{49}',
	'a name of 50 bytes', '42622', '{t}');
SELECT refused_whole('ALTER TABLE timed RENAME TO ' || repeat('x', 50), '{49}',
	'a name of 50 bytes, with a time column', '42622', '{timed}');
SELECT refused_whole('ALTER TABLE t RENAME TO ' || repeat('ä', 25), '{49}',
	'bytes count, not characters', '42622', '{t}');
SELECT refused_whole('ALTER TABLE t RENAME TO ' || repeat('x', 63), '{49}',
	'the longest name of a table', '42622', '{t}');
SELECT refused_whole('DO $x$BEGIN ALTER TABLE t RENAME TO ' || repeat('x', 50)
	|| '; END$x$', '{49}', 'in a DO block', '42622', '{t}');
SELECT allowed('ALTER TABLE t RENAME TO ' || repeat('x', 49), '49 bytes are fine');
SELECT allowed('ALTER TABLE ' || repeat('x', 49) || ' RENAME TO ' || repeat('ä', 24),
	'48 bytes of 24 characters, too');
SELECT allowed('ALTER TABLE ' || repeat('ä', 24) || ' RENAME TO t', 'and back');
SELECT whole('t', 'all in place afterwards');

-- Names that are taken, by every kind of relation, under every suffix.
CREATE FUNCTION tap.taken(suffix text, make text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	what text := 'u' || suffix;
BEGIN
	EXECUTE format(make, 'public.' || what);
	RETURN NEXT refused_whole('ALTER TABLE t RENAME TO u', ARRAY[what],
		format('RENAME TO: %s is taken (%s)', what, split_part(make, '%', 1)),
		'42P07', '{t}', false);
	EXECUTE format('DROP %s %s', (SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S'
		THEN 'SEQUENCE' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'c' THEN 'TYPE'
		ELSE 'TABLE' END FROM pg_class WHERE oid = what::regclass), what);
	EXECUTE format(make, 's1.t' || suffix);
	RETURN NEXT refused_whole('ALTER TABLE t SET SCHEMA s1', ARRAY['t' || suffix],
		format('SET SCHEMA: t%s is taken (%s)', suffix, split_part(make, '%', 1)),
		'42P07', '{t}', false);
	EXECUTE 'DROP SCHEMA s1 CASCADE';
	EXECUTE 'CREATE SCHEMA s1';
END $$;
SELECT taken('__history', 'CREATE TABLE %s (a int)');
SELECT taken('__history', 'CREATE VIEW %s AS SELECT 1');
SELECT taken('__tracking', 'CREATE TABLE %s (a int)');
SELECT taken('__tracking', 'CREATE SEQUENCE %s');
SELECT taken('__with_history', 'CREATE TABLE %s (a int)');
SELECT taken('__with_history', 'CREATE MATERIALIZED VIEW %s AS SELECT 1');
SELECT taken('__with_history', 'CREATE TYPE %s AS (a int)');
-- Another view under the name of ours, that looks like it, even.
SELECT taken('__with_history', 'CREATE VIEW %s AS SELECT 1 AS id, null::tstzrange
	AS sys_period, 1::bigint AS exec_transaction_id');
SELECT whole('t', 'all in place afterwards');

-- No names that are taken by things that cannot clash.
CREATE TABLE u__tracking (a int);
SELECT allowed('ALTER TABLE timed RENAME TO u',
	'with a time column, __tracking is anyone''s name');
SELECT whole('u', 'renamed to it');
ALTER TABLE u RENAME TO timed;
DROP TABLE u__tracking;
-- A name of an index that is taken does not matter: they are found by OID.
CREATE TABLE u__history_sys_period (a int);
CREATE TABLE s1.u__history_live_pk_index (a int);
CREATE TABLE s1.u__tracking_live_pk_index (a int);
ALTER TABLE t RENAME TO u;
SELECT is(astray('u'), '', 'an index''s name is taken: renamed all the same');
SELECT refused_whole('ALTER TABLE u SET SCHEMA s1', '{already exists}',
	'SET SCHEMA: an index would clash, as one of a plain table would', '42P07', '{u}', false);
DROP TABLE s1.u__history_live_pk_index, s1.u__tracking_live_pk_index;
ALTER TABLE u SET SCHEMA s1;
SELECT is(astray('s1.u'), '', 'without that, SET SCHEMA');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 's1.u__history'::regclass), 3,
	'with all indexes');
DROP TABLE u__history_sys_period;
ALTER TABLE s1.u SET SCHEMA public;
ALTER TABLE u RENAME TO t;

-- PostgreSQL's own refusals.
SELECT refused_whole('ALTER TABLE t RENAME TO timed', '{"\"timed\" already exists"}',
	'the table''s own new name is taken', '42P07', '{t,timed}', false);
SELECT refused_whole('ALTER TABLE t SET SCHEMA nowhere', '{"\"nowhere\" does not exist"}',
	'no such schema', '3F000', '{t}', false);

SELECT * FROM finish();
