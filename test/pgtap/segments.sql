-- A history that is cut into segments is one history: what is stored, read, followed,
-- protected and dropped.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/error_of.psql
CREATE FUNCTION failure(cmd text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || msg FROM public.error_of(cmd) $$;

SELECT plan(55);

-- What was stored, byte for byte: dropped columns, columns added without a rewrite, TOAST.
CREATE TABLE doc (id int PRIMARY KEY, gone int, title text, body text);
SELECT create_history_table('doc');
INSERT INTO doc SELECT i, i, 'title ' || i, repeat('x', i) FROM generate_series(1, 50) i;
INSERT INTO doc SELECT 100, 100, 'long', string_agg(md5(i::text), '') FROM generate_series(1, 4000) i;
UPDATE doc SET title = upper(title);
ALTER TABLE doc DROP COLUMN gone;
ALTER TABLE doc__history ADD COLUMN site int DEFAULT 7;
CREATE INDEX doc__history_site ON doc__history ((lower(title))) WHERE site > 0;
CREATE TABLE before AS SELECT * FROM doc__history;
SELECT c.relfilenode AS files, c.reltoastrelid AS toast FROM pg_class c WHERE c.oid = 'doc__history'::regclass \gset

SELECT is(rotate_history('doc')::text, 'doc__history_1', 'the first segment');
SELECT bag_eq('SELECT * FROM doc__history_1', 'SELECT * FROM before', 'has all that the history had');
SELECT is((SELECT relfilenode FROM pg_class WHERE oid = 'doc__history_1'::regclass), :files::oid, 'in its files, not copied');
SELECT is_empty('SELECT * FROM ONLY doc__history', 'and the history goes on with an empty head');
SELECT bag_eq('SELECT * FROM doc__history', 'SELECT * FROM before', 'which still shows all');
SELECT is((SELECT count(*) FROM doc__with_history), 102::bigint, 'as does the view');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE reltoastrelid <> 0
		AND (SELECT relname FROM pg_class t WHERE t.oid = pg_class.reltoastrelid) = 'pg_toast_' || oid
		AND relname IN ('doc__history', 'doc__history_1')), 'doc__history doc__history_1', 'TOAST tables are called by their owners');
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = 'doc__history_1'::regclass AND indisvalid), 4::bigint,
	'the segment has the history''s indexes');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT is((SELECT count(*) FROM ONLY doc__history_1 WHERE id = 100 AND length(body) = 128000), 1::bigint, 'which find its rows');
RESET enable_seqscan;
RESET enable_bitmapscan;
UPDATE doc SET title = 'again' WHERE id <= 10;
SELECT is((SELECT count(*) FROM ONLY doc__history), 10::bigint, 'versions go to the head');
DELETE FROM doc WHERE id = 100;
SELECT is(rotate_history('doc')::text, 'doc__history_2', 'the second segment');
VACUUM FULL doc__history;
VACUUM FULL doc__history_1;
SELECT bag_eq('SELECT * FROM doc__history_1', 'SELECT * FROM before', 'VACUUM FULL of head and segment');
SELECT is((SELECT count(*) FROM doc__history), 62::bigint, 'all are there');
SELECT is_empty('SELECT * FROM check_history()', 'check_history finds no fault');
SELECT is((SELECT string_agg(segment || ' ' || verified || ' ' || (ended_by <= clock_timestamp()), ', ' ORDER BY ended_by)
	FROM catmaid_history_segments WHERE live_table = 'doc'::regclass), 'doc__history_1 false true, doc__history_2 false true',
	'catmaid_history_segments lists them');
ALTER TABLE doc__history_1 VALIDATE CONSTRAINT catmaid_history_segment;
SELECT is((SELECT verified FROM catmaid_history_segments WHERE segment = 'doc__history_1'::regclass), true, 'a bound can be verified');
SELECT is((SELECT count(*) FROM history_changes(ARRAY['doc'::regclass], key => '{"id": 1}')), 3::bigint,
	'history_changes reads all segments');
SELECT is((SELECT count(*) FROM history_diff(NULL::doc, '-infinity', 'infinity')), 50::bigint, 'and history_diff');

-- A rotation that is rolled back.
BEGIN;
UPDATE doc SET title = 'rolled back' WHERE id = 2;
SAVEPOINT s;
SELECT rotate_history('doc') \g /dev/null
SELECT is((SELECT count(*) FROM ONLY doc__history_3), 1::bigint, 'in the transaction that wrote');
ROLLBACK TO s;
SELECT is((SELECT count(*) FROM ONLY doc__history), 1::bigint, 'rolled back to a savepoint');
SELECT rotate_history('doc') \g /dev/null
UPDATE doc SET title = 'and more' WHERE id = 2;
ROLLBACK;
SELECT is((SELECT count(*) FROM doc__history), 62::bigint, 'rolled back');

-- DDL.
ALTER TABLE doc ADD COLUMN n int DEFAULT 5;
ALTER TABLE doc RENAME COLUMN title TO heading;
UPDATE doc SET heading = 'renamed' WHERE id = 1;
ALTER TABLE doc ALTER COLUMN heading TYPE int USING length(heading);
SELECT is((SELECT string_agg(heading || ' ' || heading_1, ', ' ORDER BY sys_period) FROM doc__history WHERE id = 1),
	'7 title 1, 7 TITLE 1, 5 again', 'a type changes in all segments, the originals are kept');
ALTER TABLE doc DROP COLUMN n;
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid IN ('doc__history'::regclass, 'doc__history_1'::regclass)
	AND attname = 'n'), 0::bigint, 'a column goes from all');
ALTER TABLE doc ADD COLUMN serial int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE doc DROP CONSTRAINT doc_pkey, ADD PRIMARY KEY (serial);
SELECT is((SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE a.attname = 'serial' AND i.indrelid = ANY (ARRAY['doc__history', 'doc__history_1', 'doc__history_2']::regclass[])),
	3::bigint, 'a new key has its index on each');
ALTER TABLE doc DROP CONSTRAINT doc_pkey, ADD PRIMARY KEY (id);
ALTER TABLE doc RENAME TO paper;
CREATE SCHEMA archive;
ALTER TABLE paper SET SCHEMA archive;
CREATE ROLE segments_owner;
GRANT CREATE, USAGE ON SCHEMA archive, public TO segments_owner;
ALTER TABLE archive.paper OWNER TO segments_owner;
SELECT is((SELECT string_agg(oid::regclass || ' ' || relowner::regrole, ', ' ORDER BY relname) FROM pg_class
	WHERE relname LIKE 'paper\_\_history%' AND relkind = 'r'),
	'archive.paper__history segments_owner, archive.paper__history_1 segments_owner, archive.paper__history_2 segments_owner',
	'name, schema and owner follow');
SELECT is_empty('SELECT * FROM check_history()', 'and all is in order');
UPDATE archive.paper SET heading = 1;
SELECT is(rotate_history('archive.paper')::text, 'archive.paper__history_3', 'numbers go on');

-- Rights.
CREATE ROLE segments_reader;
GRANT USAGE ON SCHEMA archive, tap TO segments_reader;
GRANT SELECT ON archive.paper, archive.paper__history, archive.paper__tracking, archive.paper__with_history TO segments_reader;
SET ROLE segments_reader;
SELECT is((SELECT count(*) > 100 FROM archive.paper__with_history), true, 'who may read the history reads its segments');
SELECT is((SELECT count(*) > 100 FROM history_changes(ARRAY['archive.paper'::regclass])), true, 'by history_changes, too');
SELECT is(failure('SELECT * FROM archive.paper__history_1'), '42501 permission denied for table paper__history_1', 'through it alone');
SELECT is(failure('SELECT rotate_history(''archive.paper'')'), '42501 must be owner of table paper', 'only the owner rotates');
RESET ROLE;
ALTER TABLE archive.paper ENABLE ROW LEVEL SECURITY;
ALTER TABLE archive.paper FORCE ROW LEVEL SECURITY;
SELECT is((SELECT count(*) FROM pg_class WHERE relname LIKE 'paper\_\_history%' AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity),
	4::bigint, 'segments are as protected as their table');
SELECT is(failure('ALTER TABLE archive.paper__history_2 DISABLE ROW LEVEL SECURITY'),
	'55000 cannot take row-level security off "paper__history_2": table "paper" has it', 'and stay so');
SELECT rotate_history('archive.paper') \g /dev/null
SELECT is((SELECT relforcerowsecurity FROM pg_class WHERE oid = 'archive.paper__history_4'::regclass), true, 'new ones, too');
ALTER TABLE archive.paper DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT is((SELECT count(*) FROM pg_class WHERE relname LIKE 'paper\_\_history%' AND relkind = 'r' AND (relrowsecurity OR relforcerowsecurity)),
	0::bigint, 'as long as it is');

-- By hand.
SELECT is(failure('DROP TABLE archive.paper__history_2'),
	'2BP01 cannot drop the history or tracking table of table "paper" while it is tracked', 'nobody drops a segment by hand');
SELECT is(failure('SELECT create_history_table(''archive.paper__history_2'')'),
	'P0001 cannot keep a history of "paper__history_2": it is a history or tracking table itself', 'it has no history');
SELECT is(failure('INSERT INTO archive.paper__history_1 (sys_period, exec_transaction_id) VALUES (tstzrange(now(), NULL), 1)') LIKE '23514 %', true,
	'what has not ended does not go into a segment');
CREATE INDEX later ON archive.paper__history_1 (body) WHERE false;
ALTER TABLE archive.paper__history_1 SET (fillfactor = 100);
UPDATE archive.paper SET heading = 2 WHERE id = 3;
SELECT is(rotate_history('archive.paper')::text, 'archive.paper__history_5', 'a segment has indexes and settings of its own');
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'archive.doc__history_site'::regclass;
SELECT is(failure('SELECT rotate_history(''archive.paper'')'),
	'55000 index "doc__history_site" of history table "paper__history" is not complete', 'an index that is not complete');
DROP INDEX archive.doc__history_site;
ALTER TABLE archive.paper__history ADD CONSTRAINT of_the_site CHECK (site IS DISTINCT FROM 8);
SELECT is(rotate_history('archive.paper')::text, 'archive.paper__history_6', 'a constraint of the site''s is the segment''s as well');

-- Without rows, dropped.
TRUNCATE archive.paper;
SELECT is((SELECT count(*) FROM ONLY archive.paper__history), 50::bigint, 'TRUNCATE is recorded in the head');
SELECT truncate_history_table('archive.paper__history');
SELECT is_empty('SELECT * FROM archive.paper__history', 'truncate_history_table empties all segments');
SELECT drop_history_table_keep_data('archive.paper');
SELECT is((SELECT count(*) FROM pg_inherits WHERE inhparent = 'archive.paper__history'::regclass), 6::bigint, 'segments are kept with the history');
SET client_min_messages = error;
SELECT create_history_table('archive.paper');
RESET client_min_messages;
SELECT is((SELECT count(*) FROM catmaid_history_segments), 6::bigint, 'and taken up with it');
DROP TABLE archive.paper;
SELECT is((SELECT count(*) FROM pg_class WHERE relname LIKE 'paper%'), 0::bigint, 'DROP TABLE of the live table takes all along');

-- A hierarchy: each table's history has segments of its own.
CREATE TABLE place (id int PRIMARY KEY, x int);
CREATE TABLE node (r int, PRIMARY KEY (id)) INHERITS (place);
SELECT create_history_table('node');
INSERT INTO place VALUES (1, 1);
INSERT INTO node VALUES (2, 2, 2);
UPDATE place SET x = x + 1;
SELECT rotate_history('node') \g /dev/null
UPDATE place SET x = x + 1;
SELECT rotate_history('place') \g /dev/null
UPDATE place SET x = x + 1;
SELECT rotate_history('node') \g /dev/null
SELECT is((SELECT string_agg(id || ':' || x, ' ' ORDER BY id, x) FROM place__with_history), '1:1 1:2 1:3 1:4 2:2 2:3 2:4 2:5',
	'the parent''s view shows each version once');
SELECT is((SELECT string_agg(id || ':' || x || ':' || r, ' ' ORDER BY id, x) FROM node__with_history), '2:2:2 2:3:2 2:4:2 2:5:2', 'the child''s too');
SELECT is((SELECT string_agg(live_table || ' ' || (key ->> 'id') || ' ' || change, ', ' ORDER BY live_table::text, changed_at)
	FROM history_changes(ARRAY['place'::regclass]) WHERE change = 'UPDATE'),
	'node 2 UPDATE, node 2 UPDATE, node 2 UPDATE, place 1 UPDATE, place 1 UPDATE, place 1 UPDATE', 'history_changes tells each once');
SELECT is_empty('SELECT * FROM check_history()', 'check_history');
ALTER TABLE place ADD COLUMN y int;
ALTER TABLE node NO INHERIT place;
SELECT is((SELECT string_agg(id || ':' || x, ' ' ORDER BY id, x) FROM place__with_history), '1:1 1:2 1:3 1:4', 'a child that leaves takes its segments along');
ALTER TABLE node INHERIT place;
SELECT is((SELECT count(*) FROM place__with_history), 8::bigint, 'and brings them back');

-- A partitioned table has one history.
CREATE TABLE part (id int, region text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu');
SELECT create_history_table('part');
INSERT INTO part VALUES (1, 'eu');
UPDATE part SET id = 2;
SELECT rotate_history('part') \g /dev/null
UPDATE part_eu SET id = 3;
SELECT is((SELECT string_agg(id::text, ' ' ORDER BY id) FROM part__with_history), '1 2 3', 'a partitioned table');

-- What PostgreSQL computes cannot be exchanged.
CREATE TABLE g (id int PRIMARY KEY);
SELECT create_history_table('g');
INSERT INTO g VALUES (1);
ALTER TABLE g__history ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED;
SELECT is((error_of('SELECT rotate_history(''g'')')).hint, 'ALTER TABLE public.g__history ALTER COLUMN twice DROP EXPRESSION;', 'a generated column');
ALTER TABLE public.g__history ALTER COLUMN twice DROP EXPRESSION;
SELECT lives_ok('SELECT rotate_history(''g'')', 'the hint leads out');

SELECT * FROM finish();
DROP SCHEMA archive CASCADE;
DROP OWNED BY segments_owner, segments_reader;
DROP ROLE segments_owner, segments_reader;
