-- Long values, compression, storage, collations, lengths; columns that were
-- dropped or added with a fast default before the history was made.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(20);

-- Values of every TOAST strategy.
CREATE TABLE toasted (id int PRIMARY KEY, plain text, ext text, main text, extd text, arr int[],
	b bytea, small text, edition int DEFAULT 0);
ALTER TABLE toasted ALTER plain SET STORAGE PLAIN, ALTER ext SET STORAGE EXTERNAL,
	ALTER main SET STORAGE MAIN, ALTER extd SET STORAGE EXTENDED;
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
ALTER TABLE toasted ALTER extd SET COMPRESSION pglz;
DO $$ BEGIN ALTER TABLE toasted ALTER main SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN RAISE NOTICE 'no lz4 here'; END $$;
\endif
SELECT create_history_table('toasted');
SELECT is((SELECT string_agg(attname || attstorage::text, ' ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'toasted__history'::regclass AND attname IN ('plain', 'ext', 'main', 'extd')),
	'plainp exte mainm extdx', 'storage is that of the live columns');
\if :v14
SELECT results_eq($$SELECT attname, attcompression FROM pg_attribute WHERE attnum > 0
		AND attrelid = 'toasted__history'::regclass
		AND attname NOT IN ('sys_period', 'exec_transaction_id', 'start_transaction_id') ORDER BY attnum$$,
	$$SELECT attname, attcompression FROM pg_attribute WHERE attnum > 0
		AND attrelid = 'toasted'::regclass ORDER BY attnum$$, 'so is compression');
SELECT is((SELECT string_agg(attcompression::text, '' ORDER BY attname) ~ 'p' FROM pg_attribute
	WHERE attrelid = 'toasted__history'::regclass AND attnum > 0), true, 'which is set for a column');
\else
  SELECT skip('compression of columns came with PostgreSQL 14', 2);
\endif

CREATE FUNCTION noise(seed text, n int) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(md5(seed || i), '') FROM generate_series(1, n) i$$;
INSERT INTO toasted SELECT i, repeat('p', 2000), noise('e' || i, 1000), repeat('main', 10000),
	noise('x' || i, 3000) || repeat('x', 100000), (SELECT array_agg(g * i) FROM
		generate_series(1, 20000) g), decode(noise('b' || i, 2000), 'hex'), 's' || i
	FROM generate_series(1, 3) i;
CREATE TABLE truth AS SELECT * FROM toasted;
-- An update that leaves the long values where they are, one that replaces them.
UPDATE toasted SET small = upper(small);
UPDATE toasted SET ext = 'short', extd = NULL, arr = '{}', b = '', main = '' WHERE id = 1;
DELETE FROM toasted WHERE id = 2;
VACUUM FULL toasted;
TRUNCATE toasted;
VACUUM toasted;
SELECT is((SELECT string_agg(format('%s%s', h.id, h.small), ' ' ORDER BY h.id, h.sys_period)
	FROM toasted__history h), '1s1 1S1 1S1 2s2 2S2 3s3 3S3', 'seven versions');
SELECT is_empty($$SELECT h.id FROM toasted__history h JOIN truth t USING (id)
	WHERE h.extd IS NOT NULL AND (h.plain, h.ext, h.main, h.extd, h.arr, h.b)
	IS DISTINCT FROM (t.plain, t.ext, t.main, t.extd, t.arr, t.b)$$,
	'long values are in history after the live ones are gone');
DROP TABLE truth;
SELECT is((SELECT count(*)::int FROM toasted__history WHERE extd IS NULL AND ext = 'short'
	AND b = '' AND arr = '{}' AND main = ''), 1, 'and the version without them is there');
SELECT is((SELECT min(length(extd)) FROM toasted__history), 196000,
	'they can be read to their end');
SELECT isnt((SELECT pg_relation_size(reltoastrelid) FROM pg_class
	WHERE oid = 'toasted__history'::regclass), 0::bigint, 'from history''s own TOAST table');

-- Composites and arrays with long values inside.
CREATE TYPE holder AS (n int, long text);
CREATE TABLE nested (id int PRIMARY KEY, h holder, hs holder[], v int);
SELECT create_history_table('nested');
INSERT INTO nested SELECT 1, ROW(1, ext)::holder, ARRAY[ROW(2, extd)::holder], 0
	FROM toasted__history WHERE id = 3 LIMIT 1;
UPDATE nested SET v = 1;
DELETE FROM nested;
VACUUM nested;
DELETE FROM toasted__history WHERE id = 3;
VACUUM toasted__history;
SELECT is((SELECT string_agg(format('%s:%s:%s', v, (h).long = noise('e3', 1000),
		(hs)[1].long = noise('x3', 3000) || repeat('x', 100000)), ' ' ORDER BY v)
	FROM nested__history), '0:t:t 1:t:t', 'long values inside composites and arrays');

-- Dropped columns, fast defaults, a column that came back with another type.
CREATE TABLE worn (gone1 text DEFAULT 'g1', id int PRIMARY KEY, gone2 int DEFAULT 2, a text,
	back text, z int, gone3 text DEFAULT 'g3');
INSERT INTO worn (id, a, back, z) VALUES (1, 'a1', 'text', 1);
ALTER TABLE worn DROP COLUMN gone1, DROP COLUMN gone2, DROP COLUMN back, DROP COLUMN gone3;
ALTER TABLE worn ADD COLUMN back int DEFAULT 77, ADD COLUMN fast text NOT NULL DEFAULT 'fast',
	ADD COLUMN fastarr int[] DEFAULT '{1,2}', ADD COLUMN nul text;
INSERT INTO worn (id, a, z) VALUES (2, 'a2', 2);
SELECT create_history_table('worn');
INSERT INTO worn (id, a, z) VALUES (3, 'a3', 3);
ALTER TABLE worn ALTER back SET DEFAULT 1, ALTER fast SET DEFAULT 'other', ALTER fast DROP NOT NULL;
SELECT columns_are('worn__history', ARRAY['id', 'a', 'z', 'back', 'fast', 'fastarr', 'nul',
	'sys_period', 'exec_transaction_id', 'start_transaction_id'], 'a dropped column is none');
UPDATE worn SET z = -z WHERE id = 1;
DELETE FROM worn WHERE id = 2;
UPDATE worn SET fast = NULL WHERE id = 1;
TRUNCATE worn;
SELECT results_eq('SELECT id, a, z, back, fast, fastarr, nul FROM worn__history
		ORDER BY id, sys_period', $$VALUES
	(1, 'a1', 1, 77, 'fast', '{1,2}'::int[], NULL), (1, 'a1', -1, 77, 'fast', '{1,2}', NULL),
	(1, 'a1', -1, 77, NULL, '{1,2}', NULL),
	(2, 'a2', 2, 77, 'fast', '{1,2}', NULL), (3, 'a3', 3, 77, 'fast', '{1,2}', NULL)$$,
	'dropped columns and fast defaults: old rows keep their values');
SELECT is((SELECT count(*)::int FROM worn__with_history WHERE back = 77), 5,
	'and the view has them in their places');

-- The same with a time column, whose trigger builds a new row.
CREATE TABLE wornt (gone text DEFAULT 'g', id int PRIMARY KEY, txid bigint, v text, gone2 int);
INSERT INTO wornt (id, v) VALUES (1, 'v1');
ALTER TABLE wornt DROP COLUMN gone, DROP COLUMN gone2,
	ADD COLUMN edition_time timestamptz DEFAULT '2001-01-01+0', ADD COLUMN fast int DEFAULT 5,
	ADD COLUMN gen int GENERATED ALWAYS AS (length(v)) STORED;
SELECT create_history_table('wornt', 'edition_time', 'txid');
UPDATE wornt SET v = 'longer';
SELECT results_eq('SELECT id, txid, v, edition_time, fast, gen FROM wornt__history',
	$$VALUES (1, NULL::bigint, 'v1', timestamptz '2001-01-01+0', 5, 2)$$,
	'time column, fast default and generated column: the old version');
SELECT is((SELECT format('%s %s %s %s', v, fast, gen, txid IS NOT NULL) FROM wornt),
	'longer 5 6 t', 'time column, fast default and generated column: the new row');

-- Collations and lengths.
CREATE COLLATION loud (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE coll (id int PRIMARY KEY, c text COLLATE "C", i text COLLATE loud,
	v varchar(3) COLLATE "POSIX", n numeric(4, 1), t timestamptz(0), iv interval(2), b bit(2),
	arr varchar(2)[] COLLATE "C");
SELECT create_history_table('coll');
SELECT results_eq($$SELECT attname, attcollation, atttypmod, atttypid FROM pg_attribute
		WHERE attrelid = 'coll__history'::regclass AND attnum > 0
		AND attname NOT IN ('sys_period', 'exec_transaction_id', 'start_transaction_id') ORDER BY attnum$$,
	$$SELECT attname, attcollation, atttypmod, atttypid FROM pg_attribute
		WHERE attrelid = 'coll'::regclass AND attnum > 0 ORDER BY attnum$$,
	'type, length and collation are those of the live column');
INSERT INTO coll VALUES (1, 'a', 'b', 'ccc', 999.9, '2001-01-01 00:00:00.6+0', '1.239 s', '10', '{aa}');
UPDATE coll SET i = 'B';
SELECT is((SELECT i || v || n || iv FROM coll__history), 'bccc999.900:00:01.24', 'their values');
SELECT is((SELECT count(*)::int FROM coll__with_history WHERE i = 'b'), 2,
	'the view compares as the live table does');

-- A key that is equal though written otherwise.
CREATE TABLE ci (id text COLLATE loud PRIMARY KEY, v int);
SELECT create_history_table('ci');
INSERT INTO ci VALUES ('key', 1);
UPDATE ci SET id = 'KEY';
UPDATE ci SET v = 2 WHERE id = 'kEy';
DELETE FROM ci;
INSERT INTO ci VALUES ('Key', 3);
SELECT is((SELECT string_agg(format('%s %s %s', id COLLATE "C", v, lower_inf(sys_period)) COLLATE "C", ', '
		ORDER BY sys_period) FROM ci__history), 'key 1 f, KEY 1 f, KEY 2 f',
	'a key under a collation that ignores case');
SELECT is((SELECT count(*)::int FROM ci__tracking), 1, 'has one tracking row');

-- Many columns.
DO $$ BEGIN EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, ' ||
	string_agg(format('c%s int', i), ', ') || ')' FROM generate_series(1, 1500) i); END $$;
SELECT create_history_table('wide');
INSERT INTO wide (id, c1, c1500) VALUES (1, 11, 15);
UPDATE wide SET c2 = 2;
SELECT is((SELECT format('%s %s %s', c1, c2, c1500) FROM wide__history), '11  15',
	'a table of 1501 columns');

SELECT * FROM finish();
