-- Section 7, where section 5 acts: DDL by a table's owner, with code of his in
-- it, that the history has to follow.  The code runs as the one whose command
-- it is, never with the rights under which the extension works.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t65_evil;
CREATE ROLE t65_evil;
CREATE EXTENSION catmaid_history;
SELECT plan(19);
CREATE SCHEMA evil AUTHORIZATION t65_evil;
CREATE SCHEMA safe;
CREATE TABLE safe.mine (id int PRIMARY KEY, a text);
SELECT create_history_table('safe.mine');
SET ROLE t65_evil;
CREATE TABLE evil.log (place text, ran_as name);
CREATE FUNCTION evil.spy(v int, place text) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO evil.log VALUES (place, current_user); RETURN v; END $$;
CREATE FUNCTION evil.spy_im(v int, place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN evil.spy(v, place); END $$;
CREATE DOMAIN evil.dom AS int CHECK (evil.spy(VALUE, 'domain') IS NOT NULL);
CREATE TYPE evil.mood AS ENUM ('1', '2');
CREATE FUNCTION evil.cast(evil.mood) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN RETURN evil.spy(1, 'cast'); END $$;
CREATE CAST (evil.mood AS int) WITH FUNCTION evil.cast(evil.mood);
CREATE TABLE evil.t (id int PRIMARY KEY, a int, b evil.mood, c int,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE evil.u (id int PRIMARY KEY, a int, b evil.mood, c int);
INSERT INTO evil.t VALUES (1, 1, '1', 1), (2, 2, '2', 2);
INSERT INTO evil.u VALUES (1, 1, '1', 1), (2, 2, '2', 2);
SELECT create_history_table('evil.t', 'edition_time', 'txid');
SELECT create_history_table('evil.u');
UPDATE evil.t SET c = c + 1;
UPDATE evil.u SET c = c + 1;
CREATE INDEX ON evil.t__history (evil.spy_im(id, 'history index'));
CREATE INDEX ON evil.u__tracking (evil.spy_im(live_pk, 'tracking index'));
TRUNCATE evil.log;
RESET ROLE;
CREATE FUNCTION tap.abused() RETURNS text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM evil.log RETURNING *)
	SELECT string_agg(DISTINCT place || ' as ' || ran_as, ', ') FROM gone
	WHERE ran_as <> 't65_evil' $$;
SELECT evil.spy(1, 'control') AS control \gset
SELECT is(tap.abused(), 'control as ' || current_user, 'control: the spy notices a superuser');

-- The owner's own commands.
CREATE TABLE ddl (n int, cmd text);
INSERT INTO ddl VALUES
(1, 'ADD COLUMN d int DEFAULT evil.spy(1, ''default'')'),
(2, 'ALTER a TYPE text USING evil.spy(a, ''using'')::text'),
(3, 'ALTER b TYPE int USING b::int'),
(4, 'ALTER c TYPE evil.dom'),
(5, 'ADD COLUMN e evil.dom DEFAULT 1'),
(6, 'ADD CONSTRAINT k CHECK (evil.spy(id, ''check'') > 0)'),
(7, 'ADD COLUMN f int GENERATED ALWAYS AS (evil.spy_im(id, ''generated'')) STORED'),
(8, 'ALTER id TYPE bigint USING evil.spy(id, ''key'')');
SELECT tap.state(format('ALTER TABLE evil.%s %s', t, cmd), 't65_evil') AS outcome
FROM ddl, unnest('{t,u}'::text[]) t ORDER BY n, t \g /dev/null
SELECT isnt((SELECT count(*) FROM evil.log), 0::bigint, 'the owner''s commands run his code');
SELECT is(tap.abused(), NULL, 'as himself, in the history too');

-- In a superuser's session that only touches the history side.
UPDATE evil.t SET a = a || 'x';
UPDATE evil.u SET a = a || 'x';
DELETE FROM evil.log;
SELECT disable_history_tracking();
SELECT tap.state(format('ALTER TABLE evil.%s ADD COLUMN late evil.dom DEFAULT 1', t), 't65_evil')
FROM unnest('{t,u}'::text[]) t \g /dev/null
DELETE FROM evil.log;
SELECT enable_history_tracking();
SELECT is(tap.abused(), NULL, 'a superuser enables: a column of a domain is added');
SELECT reload_history_tracking();
SELECT is(tap.abused(), NULL, 'a superuser reloads');

-- Names and owners that reach for others' objects.
SELECT tap.catalog() AS before \gset
SELECT is(left(tap.state(cmd, 't65_evil'), 5), '42501', 'refused: ' || cmd)
FROM (VALUES ('ALTER TABLE evil.t SET SCHEMA safe'), ('ALTER TABLE evil.t OWNER TO postgres'),
	('ALTER TABLE evil.t INHERIT safe.mine'), ('ALTER TABLE safe.mine__history ADD COLUMN x int'),
	('DROP TABLE safe.mine__tracking'), ('DROP VIEW safe.mine__with_history'),
	('CREATE TRIGGER x AFTER INSERT ON safe.mine__history FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'))
	v(cmd);
SELECT unchanged(:'before', 'and nothing has changed');
SELECT denied('ALTER TABLE safe.mine ADD COLUMN x int', 'nor a stranger''s table', 't65_evil');
-- A search_path of the owner's, in which the follower must find no other objects.
CREATE FUNCTION evil.format(text, VARIADIC anyarray) RETURNS text LANGUAGE sql AS $$ SELECT evil.spy(1, 'path')::text $$;
CREATE FUNCTION evil.quote_ident(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.spy(1, 'path')::text $$;
CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE sql AS $$ SELECT evil.spy(1, 'path')::text $$;
CREATE TABLE evil.pg_class (oid oid);
CREATE TABLE evil.pg_attribute (attrelid oid);
CREATE TABLE evil.catmaid_history_table (live_table regclass);
SELECT allowed('ALTER TABLE evil.u ADD COLUMN pathed int; ALTER TABLE evil.u RENAME COLUMN pathed TO pathed2;
	ALTER TABLE evil.u DROP COLUMN pathed2', 'DDL under a hostile path', 't65_evil', 'evil, pg_catalog');
SELECT is(tap.abused(), NULL, 'uses none of its objects');
SELECT allowed('DROP TABLE evil.u', 'the owner drops his table', 't65_evil', 'evil, pg_catalog');
SELECT is(tap.abused(), NULL, 'as himself');
SELECT is((SELECT count(*) FROM catmaid_history_table WHERE live_table = 'safe.mine'::regclass),
	1::bigint, 'other tables stay registered');

DROP OWNED BY t65_evil CASCADE;
DROP ROLE t65_evil;
SELECT * FROM finish();
