-- Section 5, RENAME TO, SET SCHEMA, OWNER TO and the like: history, tracking
-- table, view and indexes follow.
\ir lib/whole.psql
DROP ROLE IF EXISTS t80_alice;
DROP ROLE IF EXISTS t80_bob;
CREATE ROLE t80_alice;
CREATE ROLE t80_bob;
CREATE EXTENSION catmaid_history;
SELECT plan(41);

CREATE SCHEMA s1;
CREATE SCHEMA "S ""2";
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (extra int, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE viewless (id int PRIMARY KEY, v text);
SELECT create_history_table(r) FROM unnest('{t,leaf,parted,viewless}'::text[]) r;
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT drop_history_view_for_table('viewless');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
INSERT INTO base VALUES (1, 'a'), (2, 'b');
INSERT INTO leaf VALUES (3, 'a'), (4, 'b');
INSERT INTO parted VALUES (1, 'a'), (2, 'b');
INSERT INTO viewless VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
SELECT whole(r, 'the check itself: ' || r)
FROM unnest('{t,timed,leaf,parted}'::regclass[]) r;
SELECT is(misplaced('base'), '', 'the check itself: base');
SELECT oid AS t FROM pg_class WHERE oid = 't'::regclass \gset

-- RENAME TO.
ALTER TABLE t RENAME TO "T ""x";
SELECT whole(:t::regclass, 'RENAME TO, an odd name');
SELECT is(left_of('t__'), '', 'nothing goes by the old name');
SELECT is((SELECT string_agg(v, ' ' ORDER BY id) FROM "T ""x__with_history"
	WHERE v IN ('a', 'b')), 'a b', 'the old versions are in the renamed view');
ALTER TABLE "T ""x" RENAME TO t;
SELECT whole('t', 'RENAME TO, and back');
ALTER TABLE timed RENAME TO timed2;
SELECT whole('timed2', 'RENAME TO, with a time column');
ALTER TABLE viewless RENAME TO viewless2;
SELECT whole('viewless2', 'RENAME TO makes no view where there was none', false);
ALTER TABLE base RENAME TO base2;
SELECT is(misplaced('base2'), '', 'RENAME TO of a parent');
SELECT whole('leaf', 'and its child stays in place');
ALTER TABLE leaf RENAME TO leaf2;
SELECT whole('leaf2', 'RENAME TO of a child');
ALTER TABLE parted RENAME TO parted2;
SELECT whole('parted2', 'RENAME TO of a partitioned table');
ALTER TABLE parted_1 RENAME TO parted_one;
SELECT whole('parted2', 'RENAME TO of a partition');
ALTER TABLE t RENAME TO xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx;
SELECT whole(:t::regclass, 'RENAME TO, as long as there is room for');
SELECT is((SELECT array_agg(relname::text ORDER BY relname) FROM pg_index
	JOIN pg_class c ON c.oid = indexrelid
	WHERE indrelid = 'xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx__history'::regclass),
	'{xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxx__history_exec_transaction_id,xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4__history_live_pk_index,xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxx__history_sys_period}',
	'names of indexes are clipped');
ALTER INDEX xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxx__history_sys_period
	RENAME TO its_own;
ALTER TABLE xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx RENAME TO t;
SELECT whole('t', 'from the longest name back, an index renamed by hand');
CREATE INDEX t__site ON t__history (v);
ALTER TABLE t RENAME TO u;
SELECT is((SELECT array_agg(indexrelid::regclass::text) FROM pg_index
	WHERE indrelid = 'u__history'::regclass AND indkey[0] = 2), '{t__site}',
	'an index of the site''s own keeps its name');
DROP INDEX t__site;
ALTER TABLE u RENAME TO t;
ALTER TABLE IF EXISTS t RENAME TO u;
ALTER TABLE IF EXISTS nothing_there RENAME TO u2;
SELECT whole('u', 'ALTER TABLE IF EXISTS');
DO $$BEGIN ALTER TABLE u RENAME TO v; ALTER TABLE v RENAME TO t; END$$;
SELECT whole('t', 'twice, in a DO block');
BEGIN;
ALTER TABLE t RENAME TO gone;
SAVEPOINT s;
ALTER TABLE gone RENAME TO gone2;
ROLLBACK TO s;
SELECT whole('gone', 'rolled back to a savepoint');
ROLLBACK;
SELECT whole('t', 'rolled back');
-- Two tables that swap their names.
CREATE TABLE other (id int PRIMARY KEY, v text);
SELECT create_history_table('other');
INSERT INTO other VALUES (1, 'o');
UPDATE other SET v = 'o1';
BEGIN;
ALTER TABLE t RENAME TO swap;
ALTER TABLE other RENAME TO t;
ALTER TABLE swap RENAME TO other;
COMMIT;
SELECT whole('t', 'names swapped: the one');
SELECT whole('other', 'and the other');
SELECT is((SELECT v FROM t__history ORDER BY sys_period LIMIT 1), 'o',
	'history went along');
DROP TABLE t;
ALTER TABLE other RENAME TO t;

-- SET SCHEMA.
ALTER TABLE t SET SCHEMA s1;
SELECT whole('s1.t', 'SET SCHEMA');
ALTER TABLE s1.t SET SCHEMA "S ""2";
SELECT whole('"S ""2".t', 'SET SCHEMA, an odd one');
ALTER TABLE timed2 SET SCHEMA s1;
SELECT whole('s1.timed2', 'SET SCHEMA, with a time column');
ALTER TABLE leaf2 SET SCHEMA s1;
SELECT whole('s1.leaf2', 'SET SCHEMA of a child');
SELECT is(misplaced('base2'), '', 'and not of its parent');
ALTER TABLE parted2 SET SCHEMA s1;
SELECT whole('s1.parted2', 'SET SCHEMA of a partitioned table');
ALTER SCHEMA s1 RENAME TO "s one";
SELECT whole('"s one".timed2', 'ALTER SCHEMA RENAME');
SELECT whole('"s one".parted2', 'ALTER SCHEMA RENAME, a partitioned table');

-- OWNER TO.
GRANT USAGE, CREATE ON SCHEMA "S ""2", "s one" TO t80_alice, t80_bob;
GRANT SELECT ON "S ""2".t TO t80_bob;
SELECT create_history_view_for_table('"S ""2".t');
ALTER TABLE "S ""2".t OWNER TO t80_alice;
SELECT whole('"S ""2".t', 'OWNER TO');
ALTER TABLE "s one".timed2 OWNER TO t80_alice;
SELECT whole('"s one".timed2', 'OWNER TO, with a time column');
ALTER TABLE "s one".parted2 OWNER TO t80_alice;
SELECT whole('"s one".parted2', 'OWNER TO, of a partitioned table');
REASSIGN OWNED BY t80_alice TO t80_bob;
SELECT is((SELECT string_agg(misplaced(r), ' ') FROM unnest(ARRAY['"S ""2".t',
	'"s one".timed2', '"s one".parted2']::regclass[]) r), '  ', 'REASSIGN OWNED');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = '"S ""2".t__history'::regclass),
	't80_bob', 'to the new owner indeed');
SET ROLE t80_bob;
UPDATE "S ""2".t SET v = 'by bob';
RESET ROLE;
SELECT whole('"S ""2".t', 'the new owner''s writes are recorded');

DROP OWNED BY t80_alice, t80_bob;
DROP ROLE t80_alice, t80_bob;
SELECT * FROM finish();
