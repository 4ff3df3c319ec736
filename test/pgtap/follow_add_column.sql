-- Section 5, ADD COLUMN: history gets it with the same type, old versions have
-- NULL, and what is written next is complete.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(29);

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN code AS varchar(7) COLLATE "C" NOT NULL DEFAULT 'none' CHECK (VALUE <> '');
CREATE DOMAIN codes AS code;
CREATE SCHEMA "My Schema";
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE "My Schema"."Odd ""name" ("Id" int PRIMARY KEY, "select" text);
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('"My Schema"."Odd ""name"');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
INSERT INTO "My Schema"."Odd ""name" VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
UPDATE timed SET v = v || '1';
SELECT follows('t', 'the check itself, before any change');
SELECT follows('timed', 'the check itself, with a time column');

ALTER TABLE t ADD COLUMN n int;
SELECT is((SELECT count(n)::int FROM t__history), 0, 'old versions have NULL');
UPDATE t SET n = id;
SELECT follows('t', 'ADD COLUMN');
SELECT set_eq('SELECT id, n FROM t__history WHERE n IS NOT NULL', 'VALUES (1, 1), (2, 2)',
	'the new column''s values are recorded');
ALTER TABLE timed ADD n int;
SELECT follows('timed', 'ADD without the word COLUMN, with a time column');
ALTER TABLE "My Schema"."Odd ""name" ADD COLUMN "table" numeric(8, 2) DEFAULT 1.5;
SELECT follows('"My Schema"."Odd ""name"', 'odd names');

ALTER TABLE t ADD COLUMN d int NOT NULL DEFAULT 42;
SELECT is((SELECT count(d)::int FROM t__history), 0,
	'a fast default is not that of old versions');
SELECT follows('t', 'a NOT NULL column with a default');
SELECT is((SELECT count(*)::int FROM t__history WHERE d = 42), 2,
	'a fast default is recorded with the next version');
ALTER TABLE t ADD COLUMN r double precision DEFAULT random();
SELECT follows('t', 'a volatile default, which rewrites the table');
ALTER TABLE t ADD COLUMN s serial;
SELECT follows('t', 'serial');
ALTER TABLE t ADD COLUMN g text GENERATED ALWAYS AS (v || id) STORED;
SELECT follows('t', 'a generated column');
ALTER TABLE t ADD COLUMN i bigint GENERATED ALWAYS AS IDENTITY;
SELECT follows('t', 'an identity column');
ALTER TABLE t ADD COLUMN u uuid UNIQUE DEFAULT gen_random_uuid(),
	ADD COLUMN k int CHECK (k > 0) DEFAULT 1, ADD COLUMN f int REFERENCES t;
SELECT follows('t', 'three at once, with constraints');
ALTER TABLE t ADD COLUMN e mood DEFAULT 'sad', ADD COLUMN p pair DEFAULT (1, 'x'),
	ADD COLUMN j jsonb DEFAULT '{"a": 1}', ADD COLUMN a int[][] DEFAULT '{{1,2},{3,4}}',
	ADD COLUMN w tstzrange DEFAULT '[,)', ADD COLUMN vc varchar(5) DEFAULT 'abc',
	ADD COLUMN c "char" DEFAULT 'x', ADD COLUMN ch char(4) DEFAULT 'y',
	ADD COLUMN b bit(3) DEFAULT '101', ADD COLUMN iv interval hour to second(0);
SELECT follows('t', 'types of many kinds');
ALTER TABLE t ADD COLUMN po posint DEFAULT 3, ADD COLUMN co codes, ADD COLUMN dom posint[] DEFAULT '{1}';
SELECT follows('t', 'domains, of their base type in history');
SELECT is((SELECT count(co)::int FROM t__history WHERE co <> 'none'), 0,
	'a domain''s default is not that of old versions');
ALTER TABLE t ADD COLUMN tc text COLLATE "C" DEFAULT 'c';
SELECT follows('t', 'a collation');
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
ALTER TABLE t ADD COLUMN z text COMPRESSION pglz;
\else
ALTER TABLE t ADD COLUMN z text;
\endif
ALTER TABLE t ADD COLUMN IF NOT EXISTS n bigint, ADD COLUMN IF NOT EXISTS n2 bigint;
SELECT follows('t', 'IF NOT EXISTS, which does something for one of two');
SELECT is((SELECT format('%s %s', attstorage, to_jsonb(a) ->> 'attcompression') FROM pg_attribute a
	WHERE attrelid = 't__history'::regclass AND attname = 'z'), CASE WHEN :'v14' THEN 'x p' ELSE 'x ' END,
	'storage and compression are the original''s');
SELECT tap.everything('t') AS before \gset
ALTER TABLE t ADD COLUMN IF NOT EXISTS n bigint;
SELECT is(tap.everything('t') = :'before', true, 'IF NOT EXISTS, which does nothing');
SELECT refused_whole('ALTER TABLE t ADD COLUMN n3 int, ADD COLUMN n3 int', '{n3}',
	'an ADD that fails leaves nothing', '42701', '{t}', false);

-- The last column of all, and the first.
CREATE TABLE wide (id int PRIMARY KEY);
SELECT create_history_table('wide');
INSERT INTO wide VALUES (1);
SELECT format('ALTER TABLE wide %s', string_agg('ADD COLUMN c' || i || ' int DEFAULT ' || i, ', '))
FROM generate_series(1, 200) i \gexec
SELECT follows('wide', 'two hundred columns at once');
CREATE TABLE holes (a int, id int PRIMARY KEY, b text, c text);
ALTER TABLE holes DROP COLUMN a;
SELECT create_history_table('holes');
INSERT INTO holes VALUES (1, 'b', 'c');
ALTER TABLE holes DROP COLUMN b, ADD COLUMN b int DEFAULT 7;
SELECT follows('holes', 'dropped and added again under the same name, of another type');
ALTER TABLE holes DROP COLUMN c;
ALTER TABLE holes ADD COLUMN c text DEFAULT 'new';
SELECT is((SELECT count(c)::int FROM holes__history), 0,
	'a column dropped and added again does not get its old values back');
SELECT follows('holes', 'dropped, then added again');

-- Two versions of the same transaction, one before and one after.
BEGIN;
UPDATE t SET v = 'before';
ALTER TABLE t ADD COLUMN late int DEFAULT 1;
UPDATE t SET v = 'after';
COMMIT;
SELECT is((SELECT string_agg(format('%s %s', v, late), ',' ORDER BY late DESC NULLS LAST, v)
	FROM t__history WHERE exec_transaction_id = (SELECT max(exec_transaction_id) FROM t__history)),
	'before 1,before 1,a1 ,b1 ', 'before and after the change in one transaction');
SELECT follows('t', 'and all is complete after that');

SELECT * FROM finish();
