-- Adoption of what is odd, but no damage: what sites have made of tables, histories
-- and views over the years, and of the older implementation's functions.
\ir lib/old.psql
DROP ROLE IF EXISTS t92o_other;
DROP ROLE IF EXISTS t92o_reader;
CREATE ROLE t92o_other;
CREATE ROLE t92o_reader;
SELECT plan(39);
GRANT CREATE, USAGE ON SCHEMA public TO t92o_other;
CREATE SCHEMA site;
\ir lib/old_implementation.sql

-- A hierarchy without time columns: its tracking tables are single tables.
CREATE TABLE upper (id int PRIMARY KEY, v text);
CREATE TABLE lower (w text, PRIMARY KEY (id)) INHERITS (upper);
SELECT create_history_table('lower') \g /dev/null
INSERT INTO upper VALUES (1, 'a');
INSERT INTO lower VALUES (2, 'b', 'c');
UPDATE ONLY upper SET v = 'a2';
UPDATE lower SET v = 'b2';
-- Types: a domain in live and history, an enum, a collation, a generated column.
CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'bad');
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN long AS text CHECK (VALUE <> 'bad');
CREATE TABLE types (id short PRIMARY KEY, s short, l long DEFAULT 'l', m mood, c text COLLATE "C",
	g int GENERATED ALWAYS AS (7) STORED, n numeric(6,2)[]);
SELECT create_history_table('types') \g /dev/null
INSERT INTO types VALUES ('k', 's', 'l', 'sad', 'c', DEFAULT, '{1.5}');
UPDATE types SET m = 'happy';
-- Row-level security, forced.
CREATE TABLE secured (id int PRIMARY KEY, v text);
SELECT create_history_table('secured') \g /dev/null
INSERT INTO secured VALUES (1, 'mine'), (2, 'theirs');
UPDATE secured SET v = v || '2';
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secured USING (v LIKE 'mine%');
GRANT SELECT ON secured, secured__history, secured__with_history TO t92o_reader;
-- Another role's table, its history too.
CREATE TABLE theirs (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('theirs', 'edition_time', 'txid') \g /dev/null
INSERT INTO theirs VALUES (1, 'a');
UPDATE theirs SET v = 'b';
ALTER TABLE theirs OWNER TO t92o_other;
ALTER TABLE theirs__history OWNER TO t92o_other;
ALTER VIEW theirs__with_history OWNER TO t92o_other;
-- ... and one whose history is somebody else's.
CREATE TABLE mixed (id int PRIMARY KEY, v text);
SELECT create_history_table('mixed') \g /dev/null
INSERT INTO mixed VALUES (1, 'a');
UPDATE mixed SET v = 'b';
ALTER TABLE mixed OWNER TO t92o_other;
-- A replica identity of the site's, a key on a history, a foreign key to it, one more column.
CREATE TABLE keyed (id int PRIMARY KEY, v text);
SELECT create_history_table('keyed') \g /dev/null
INSERT INTO keyed VALUES (1, 'a'), (2, 'b');
UPDATE keyed SET v = v || '2';
ALTER TABLE keyed__history ADD COLUMN h bigserial PRIMARY KEY, ADD COLUMN remark text DEFAULT 'none';
ALTER TABLE keyed__history REPLICA IDENTITY FULL;
CREATE TABLE site.note (h bigint REFERENCES keyed__history, t text);
INSERT INTO site.note SELECT h, 'remarkable' FROM keyed__history;
-- Views: gone; another's by that name; with a rule; in use by a function of SQL.
CREATE TABLE viewless (id int PRIMARY KEY, v text);
CREATE TABLE tabled (id int PRIMARY KEY, v text);
CREATE TABLE viewed (id int PRIMARY KEY, v text);
SELECT create_history_table(t) FROM unnest('{viewless,tabled,viewed}'::regclass[]) t \g /dev/null
INSERT INTO viewless VALUES (1, 'a');
INSERT INTO tabled VALUES (1, 'a');
INSERT INTO viewed VALUES (1, 'a');
DROP VIEW viewless__with_history, tabled__with_history;
CREATE TABLE tabled__with_history AS SELECT * FROM tabled;
CREATE OR REPLACE VIEW viewed__with_history AS SELECT id, upper(v) AS v FROM viewed;
CREATE VIEW site.on_viewed AS SELECT v FROM viewed__with_history;
-- Names that are odd, in a schema that is not in the path.
CREATE TABLE site."a ""b"".c" ("x y" int PRIMARY KEY, "select" text);
SELECT create_history_table('site."a ""b"".c"') \g /dev/null
INSERT INTO site."a ""b"".c" VALUES (1, 'a');
UPDATE site."a ""b"".c" SET "select" = 'b';
-- A tracking table that is unlogged and whose uniqueness is not deferrable; a key of text.
CREATE TABLE plain_tracked (id text PRIMARY KEY, v text);
SELECT create_history_table('plain_tracked') \g /dev/null
ALTER TABLE plain_tracked__tracking DROP CONSTRAINT plain_tracked__tracking_live_pk_key;
ALTER TABLE plain_tracked__tracking ADD UNIQUE (live_pk);
DROP INDEX plain_tracked__tracking_live_pk_idx;
ALTER TABLE plain_tracked__tracking SET UNLOGGED;
INSERT INTO plain_tracked VALUES ('a', 'a');
UPDATE plain_tracked SET v = 'b';
-- A live table with a deferrable key, and children of it by foreign key with actions.
CREATE TABLE deferrable_key (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SELECT create_history_table('deferrable_key') \g /dev/null
INSERT INTO deferrable_key VALUES (11, 'a'), (12, 'b');
UPDATE deferrable_key SET id = id - 10;
-- Without the implementation's indexes.
CREATE TABLE bare (id int PRIMARY KEY, v text);
SELECT create_history_table('bare') \g /dev/null
INSERT INTO bare VALUES (1, 'a');
UPDATE bare SET v = 'b';
DROP INDEX bare__history_sys_period, bare__history_exec_transaction_id, bare__history_live_pk_index;
-- The enum in a table of the site; our functions in a default, a trigger function
-- of the implementation on a table that is not registered; older defaults.
CREATE TABLE site.changes (c history_change_type DEFAULT 'Backend', h text DEFAULT get_history_table_name('bare'));
INSERT INTO site.changes DEFAULT VALUES;
CREATE TABLE site.unregistered (id int PRIMARY KEY);
DROP FUNCTION enable_history_tracking_for_table(regclass, regclass, boolean);
CREATE FUNCTION enable_history_tracking_for_table(live_table regclass, history_table regclass, sync boolean DEFAULT true)
RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''never called''; END';
-- Publications.
SET client_min_messages = error;
CREATE PUBLICATION t92o FOR TABLE keyed, keyed__history;
RESET client_min_messages;
SET client_min_messages = warning;

CREATE TABLE tap.before AS SELECT * FROM tap.facts() f WHERE f.kind IN ('rows', 'columns', 'registry', 'index', 'relation');
INSERT INTO tap.noted SELECT * FROM tap.before;
SELECT row_security_active('secured') AS "no" \g /dev/null
-- With a path that knows nothing of it.
SET search_path = pg_catalog, tap;
BEGIN;
CREATE EXTENSION catmaid_history SCHEMA public VERSION 'unpackaged';
SELECT tap.is((SELECT string_agg(c::text, E'\n') FROM public.check_history() c WHERE live_table IN (
	'public.upper'::regclass, 'site."a ""b"".c"'::regclass, 'public.theirs'::regclass)), NULL, 'odd is not damaged');
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
SET search_path = public, tap;

SELECT kept('rows', 'history is as it was');
SELECT kept('registry', 'registry');
SELECT is((SELECT string_agg(c::text, ' ') FROM check_history('types') c WHERE severity = 'error'), NULL, 'nothing is wrong with domains');
SELECT is((SELECT array_agg(format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'types__history'::regclass AND attnum BETWEEN 1 AND 3), '{short,short,long}', 'history keeps them');
SELECT is((SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'catmaid_history'), 'public', 'in its schema');
SELECT is(tap.misfits(), '', 'triggers and functions');
SELECT whole(t, 'hierarchy with tracking tables: ' || t::text) FROM unnest('{upper,lower}'::regclass[]) t;
UPDATE upper SET v = 'through' WHERE id = 2;
SELECT is((SELECT w FROM lower__history ORDER BY upper(sys_period) DESC LIMIT 1), 'c', 'and through the parent');
SELECT is((SELECT count(*) FROM upper__history), (SELECT count(*) FROM ONLY upper__history)
	+ (SELECT count(*) FROM lower__history), 'the parent''s history shows the child''s');
UPDATE types SET s = 'x';
SELECT is((SELECT count(*) FROM types__history WHERE s = 's' AND g = 7 AND n = '{1.5}'), 2::bigint, 'types');
UPDATE types SET id = 'kk';
SELECT is((SELECT string_agg(live_pk::text, ',') FROM types__tracking), 'kk', 'a key of a domain');

SELECT is((SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relrowsecurity), 'secured,secured__history,secured__tracking',
	'row-level security is on what is derived');
SET ROLE t92o_reader;
SELECT tap.is((SELECT string_agg(v, ',') FROM secured__with_history WHERE current_setting('server_version_num')::int >= 150000),
	CASE WHEN current_setting('server_version_num')::int >= 150000 THEN 'mine2' END,
	'a reader sees no row through the view which policies hide');
RESET ROLE;
SELECT whole('secured', 'secured');

SELECT is((SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname ~ '^theirs'), 't92o_other', 'another''s stays so');
SELECT whole('theirs', 'another''s table');
SET ROLE t92o_other;
UPDATE public.theirs SET v = 'c';
SELECT tap.is((SELECT tap.state('SELECT disable_history_tracking_for_table(''theirs''); SELECT enable_history_tracking_for_table(''theirs'')')),
	'00000', 'its owner manages it');
RESET ROLE;
-- Who owns what: one owner, or nothing is recorded and it is said.
SELECT is((SELECT count(*) FROM check_history('mixed')) > 0
	OR (SELECT count(DISTINCT relowner) = 1 FROM pg_class WHERE relname IN ('mixed', 'mixed__history', 'mixed__tracking')), true,
	'a history of another owner is found, or mended');
SELECT is((SELECT relreplident FROM pg_class WHERE oid = 'keyed__history'::regclass), 'f', 'a replica identity of the site''s');
SELECT is((SELECT count(*) FROM pg_publication_tables WHERE pubname = 't92o'), 2::bigint, 'a publication');
UPDATE keyed SET v = v || '3';
SELECT is((SELECT array_agg(format('%s %s %s', h, v, remark) ORDER BY h) FROM keyed__history),
	'{"1 a none","2 b none","3 a2 none","4 b2 none"}', 'a key and a column of the site''s');
SELECT is((SELECT count(*) FROM site.note n JOIN keyed__history USING (h)), 2::bigint, 'and what refers to it');

SELECT is(to_regclass('viewless__with_history') IS NULL OR columns_of(to_regclass('viewless__with_history'))
	= '{id integer,v text,sys_period tstzrange,exec_transaction_id bigint}', true, 'no view, or a right one');
SELECT is(tap.astray('viewless', '{}', to_regclass('viewless__with_history') IS NOT NULL), '', 'without its view: tracked');
SELECT is((SELECT count(*) FROM tabled__with_history), 1::bigint, 'a table by the view''s name stays');
UPDATE tabled SET v = 'b';
SELECT is((SELECT count(*) FROM tabled__history WHERE v = 'a'), 1::bigint, 'and the table is tracked or fails loudly');
SELECT lives_ok('SELECT * FROM site.on_viewed', 'a view on a view that was somebody''s own');
UPDATE viewed SET v = 'b';
SELECT is((SELECT count(*) FROM viewed__history), 1::bigint, 'and its table is tracked');
SELECT whole('site."a ""b"".c"', 'odd names');
SELECT whole('plain_tracked', 'an odd tracking table');
SELECT is(tap.astray('deferrable_key'), '', 'a deferrable key');
UPDATE deferrable_key SET id = 3 - id;
SELECT whole('deferrable_key', 'and swapped');
SELECT is(tap.astray('bare'), E'no index on the key in history', 'indexes are not built by adoption')
	WHERE (SELECT count(*) FROM pg_index WHERE indrelid = 'bare__history'::regclass) = 0;
SELECT initialize_new_history_table('bare', 'bare__history', 'id') \g /dev/null
SELECT whole('bare', 'but when asked for');
INSERT INTO site.changes DEFAULT VALUES;
SELECT is((SELECT array_agg(format('%s %s', c, h)) FROM site.changes), '{"Backend bare__history","Backend bare__history"}',
	'the type and a function in use');
SELECT lives_ok('SELECT enable_history_tracking_for_table(''bare'')', 'defaults are ours');
SELECT lives_ok('SELECT repair_history()', 'repair');

DROP PUBLICATION t92o;
DROP OWNED BY t92o_other, t92o_reader CASCADE;
DROP ROLE t92o_other, t92o_reader;
SELECT * FROM finish();
