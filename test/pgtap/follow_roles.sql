-- Section 5 and 7: DDL never fails because of the follower, whoever runs it; and
-- an owner needs no more rights for it than PostgreSQL asks.
\ir lib/whole.psql
DROP ROLE IF EXISTS t88_owner;
DROP ROLE IF EXISTS t88_nobody;
CREATE ROLE t88_owner;
CREATE ROLE t88_nobody;
CREATE SCHEMA ext;
CREATE EXTENSION catmaid_history SCHEMA ext;
REVOKE ALL ON SCHEMA ext FROM PUBLIC;
SET search_path = public, tap, ext;
SELECT plan(68);

CREATE SCHEMA app;
CREATE SCHEMA mine AUTHORIZATION t88_nobody;
GRANT USAGE ON SCHEMA app TO t88_owner;
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE TABLE app.t (id int PRIMARY KEY, v text, n int, m app.mood);
CREATE TABLE app.timed (id int PRIMARY KEY, v text, n int,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE app.base (id int PRIMARY KEY, v text);
CREATE TABLE app.leaf (PRIMARY KEY (id)) INHERITS (app.base);
CREATE TABLE app.r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE app.r_0 PARTITION OF app.r FOR VALUES FROM (0) TO (10);
CREATE TABLE app.r_1 PARTITION OF app.r FOR VALUES FROM (10) TO (20);
DO $$DECLARE n text; BEGIN
	FOREACH n IN ARRAY '{t,timed,base,leaf,r,r_0,r_1}'::text[] LOOP
		EXECUTE format('ALTER TABLE app.%I OWNER TO t88_owner', n);
	END LOOP;
END$$;
SELECT ext.create_history_table(r) FROM unnest('{app.t,app.leaf,app.r}'::text[]) r;
SELECT ext.create_history_table('app.timed', 'edition_time', 'txid');
INSERT INTO app.t VALUES (1, 'a', 1, 'sad'), (2, '7', 2, 'happy');
INSERT INTO app.timed VALUES (1, 'a', 1), (2, '7', 2);
INSERT INTO app.base VALUES (1, 'a');
INSERT INTO app.leaf VALUES (2, 'b');
INSERT INTO app.r VALUES (1, 'a'), (11, 'b');
UPDATE app.t SET v = v || '0' WHERE id = 1;
UPDATE app.timed SET v = v || '0' WHERE id = 1;
SELECT ok(NOT has_schema_privilege('t88_owner', 'app', 'CREATE')
	AND NOT has_schema_privilege('t88_owner', 'ext', 'USAGE')
	AND NOT has_schema_privilege('t88_nobody', 'ext', 'USAGE')
	AND NOT has_schema_privilege('t88_nobody', 'app', 'USAGE'), 'the roles have no rights');

-- A role without any right here, on its own tables.
SELECT allowed(cmd, 'nobody: ' || cmd, 't88_nobody') FROM unnest(ARRAY[
	'CREATE TABLE mine.x (id int PRIMARY KEY, v text)',
	'CREATE TABLE mine.y AS SELECT 1 AS a',
	'ALTER TABLE mine.x ADD COLUMN n int',
	'ALTER TABLE mine.x ALTER COLUMN n TYPE bigint, DROP COLUMN v',
	'ALTER TABLE mine.x RENAME COLUMN n TO sys_period',
	'ALTER TABLE mine.x RENAME TO x__history',
	'DROP TABLE mine.x__history',
	'CREATE TABLE mine.p (id int) PARTITION BY RANGE (id)',
	'CREATE TABLE mine.p_0 PARTITION OF mine.p FOR VALUES FROM (0) TO (1)',
	'ALTER TABLE mine.p DETACH PARTITION mine.p_0',
	'DROP TABLE mine.p, mine.p_0',
	'CREATE VIEW mine.y__with_history AS SELECT a, null::tstzrange AS sys_period, 1::bigint AS exec_transaction_id FROM mine.y',
	'CREATE INDEX ON mine.y (a)',
	'CREATE FUNCTION mine.f() RETURNS void LANGUAGE sql AS ''''',
	'CREATE TEMP TABLE z (a int); ALTER TABLE z ADD COLUMN b int; DROP TABLE z',
	'GRANT SELECT ON mine.y TO PUBLIC',
	'DROP VIEW mine.y__with_history',
	'TRUNCATE mine.y',
	'DROP TABLE IF EXISTS mine.nothing, mine.y',
	'DROP OWNED BY t88_nobody CASCADE']) cmd;
SELECT is(misplaced('app.t') || misplaced('app.timed') || misplaced('app.r'), '',
	'the tracked tables are as they were');
-- On others' tables: PostgreSQL's own words.
SELECT is((SELECT state || ' ' || message FROM attempt(cmd, 't88_nobody')), want, 'nobody: ' || cmd)
FROM (VALUES
	('ALTER TABLE app.t ADD COLUMN x int', '42501 permission denied for schema app'),
	('DROP TABLE app.t', '42501 permission denied for schema app'),
	('DROP TABLE app.t__history', '42501 permission denied for schema app'),
	('DROP SCHEMA app CASCADE', '42501 must be owner of schema app')) x(cmd, want);
GRANT USAGE ON SCHEMA app TO t88_nobody;
SELECT is((SELECT state || ' ' || message FROM attempt(cmd, 't88_nobody')), want, 'nobody: ' || cmd)
FROM (VALUES
	('ALTER TABLE app.t ADD COLUMN x int', '42501 must be owner of table t'),
	('ALTER TABLE app.t DROP COLUMN v', '42501 must be owner of table t'),
	('ALTER TABLE app.t ALTER COLUMN v TYPE int', '42501 must be owner of table t'),
	('DROP TABLE app.t', '42501 must be owner of table t'),
	('DROP TABLE app.t__history', '42501 must be owner of table t__history'),
	('DROP TABLE app.r_0', '42501 must be owner of table r_0')) x(cmd, want);
SELECT is((SELECT count(*)::int FROM app.r__history), 0, 'no row was stored for it');

-- The owner, without CREATE on the schema.
SELECT allowed(cmd, 'owner: ' || cmd, 't88_owner') FROM unnest(ARRAY[
	'ALTER TABLE app.t ADD COLUMN x text DEFAULT ''7''',
	'ALTER TABLE app.timed ADD COLUMN x text DEFAULT ''7''',
	'UPDATE app.t SET x = ''8''',
	'ALTER TABLE app.t ALTER COLUMN n TYPE bigint, ALTER COLUMN m TYPE text',
	'ALTER TABLE app.t ALTER COLUMN x DROP DEFAULT, ALTER COLUMN x TYPE int USING length(x)',
	'ALTER TABLE app.timed ALTER COLUMN x DROP DEFAULT, ALTER COLUMN x TYPE int USING x::int + 1',
	'ALTER TABLE app.t RENAME COLUMN v TO v2',
	'ALTER TABLE app.t DROP COLUMN n',
	'SET LOCAL catmaid_history.on_drop_column = keep; ALTER TABLE app.timed DROP COLUMN n',
	'ALTER TABLE app.t ALTER COLUMN id TYPE bigint',
	'ALTER TABLE app.leaf NO INHERIT app.base',
	'ALTER TABLE app.leaf INHERIT app.base',
	'ALTER TABLE app.base ADD COLUMN x int',
	'ALTER TABLE app.r DETACH PARTITION app.r_1',
	'ALTER TABLE app.r ATTACH PARTITION app.r_1 FOR VALUES FROM (10) TO (20)',
	'ALTER TABLE app.t ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE app.t DISABLE ROW LEVEL SECURITY',
	'DROP TABLE app.r_1',
	'ALTER TABLE app.timed DISABLE TRIGGER USER',
	'ALTER TABLE app.timed ENABLE TRIGGER USER']) cmd;
SELECT is(misplaced('app.t') || misplaced('app.leaf') || misplaced('app.r') || misplaced('app.timed'),
	'', 'all is in place, and the owner''s');
SELECT is(astray('app.t', '{x_1 text}'), '', 'and recorded');
SELECT is((SELECT string_agg(v, ' ') FROM app.r__history WHERE id = 11), 'b b', 'detached, dropped');
SELECT is((SELECT state FROM attempt('ALTER TABLE app.t RENAME TO t2', 't88_owner')), '42501',
	'owner: renaming needs CREATE on the schema, PostgreSQL says');
GRANT CREATE ON SCHEMA app TO t88_owner;
CREATE SCHEMA other;
GRANT ALL ON SCHEMA other TO t88_owner;
SELECT allowed(cmd, 'owner: ' || cmd, 't88_owner') FROM unnest(ARRAY[
	'ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, v2)',
	'ALTER TABLE app.t RENAME TO t2',
	'ALTER TABLE app.t2 SET SCHEMA other']) cmd;
REVOKE CREATE ON SCHEMA app, other FROM t88_owner;
SELECT is(misplaced('other.t2') || astray('other.t2', '{x_1 text}'), '', 'all moved');
SELECT allowed('DROP TABLE other.t2, app.timed, app.leaf', 'owner: DROP TABLE', 't88_owner');
SELECT allowed('SET LOCAL catmaid_history.on_drop_table = keep; DROP TABLE app.base',
	'owner: DROP TABLE, keep', 't88_owner');
SELECT allowed('DROP TABLE app.base__history', 'owner: DROP TABLE of the kept history', 't88_owner');
SELECT is(left_of('t2') || left_of('timed') || left_of('leaf') || left_of('base'), '', 'all is gone');
-- The owner of the schema may drop another's table.
SELECT ext.drop_history_table('app.r');
SELECT ext.create_history_table('app.r');
ALTER SCHEMA app OWNER TO t88_nobody;
SELECT allowed('DROP TABLE app.r', 'the schema''s owner: DROP TABLE', 't88_nobody');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 0, 'the registry is empty');
SELECT is((SELECT string_agg(oid::regclass::text, ' ') FROM pg_class
	WHERE relnamespace = 'app'::regnamespace), NULL, 'and the schema');

DROP OWNED BY t88_owner, t88_nobody CASCADE;
DROP ROLE t88_owner, t88_nobody;
SELECT * FROM finish();
