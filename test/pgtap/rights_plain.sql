-- Section 7: plain attacks of a few commands, each upon tables of its own.  The other
-- files rights_* have their variants.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_plain_dbowner;
DROP ROLE IF EXISTS rights_plain_owner;
DROP ROLE IF EXISTS rights_plain_other;
CREATE ROLE rights_plain_dbowner;
CREATE ROLE rights_plain_owner;
CREATE ROLE rights_plain_other;
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO rights_plain_dbowner', current_database()) \gexec
CREATE EXTENSION catmaid_history;
CREATE SCHEMA s;
GRANT ALL ON SCHEMA s TO rights_plain_owner, rights_plain_other;
GRANT USAGE ON SCHEMA s TO rights_plain_dbowner;
-- Code that ran where it must not; no rollback takes it back.
CREATE SEQUENCE s.ran;
GRANT ALL ON SEQUENCE s.ran TO PUBLIC;
CREATE FUNCTION s.expect(wanted name, got name) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF wanted <> got THEN
		PERFORM pg_catalog.nextval('s.ran');
	END IF;
	RETURN 1;
END $$;

-- An index with an expression on a history, and a value that does not convert.
SET SESSION AUTHORIZATION rights_plain_owner;
CREATE FUNCTION s.folded(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN $1 * s.expect('rights_plain_owner', current_user); END $$;
CREATE TABLE s.folds (id int PRIMARY KEY, a text);
INSERT INTO s.folds VALUES (1, 'huge'), (2, '2');
SELECT create_history_table('s.folds');
UPDATE s.folds SET a = '7';
CREATE INDEX ON s.folds__history ((id + s.folded(1)));
-- A view of a reader's, with a constant of the reader's domain.
CREATE TABLE s.read (id int PRIMARY KEY, a int, b text);
GRANT SELECT ON s.read TO rights_plain_other;
SELECT create_history_table('s.read');
SET SESSION AUTHORIZATION rights_plain_other;
CREATE DOMAIN s.d AS int CHECK (s.expect('rights_plain_other', session_user) > 0);
CREATE VIEW s.constant AS SELECT id, '{1}'::s.d[] AS x FROM s.read__with_history;
RESET SESSION AUTHORIZATION;
SELECT setval('s.ran', 1, false) \g /dev/null

-- In a new session no expression is folded yet, and no domain in a cache.
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT plan(19);
SELECT allowed('ALTER TABLE s.folds ALTER a TYPE int USING a::int', 'a superuser changes a type');
SELECT is((SELECT is_called FROM s.ran), false, '... and the expression of the history''s index runs as its owner only');
SELECT is((SELECT string_agg(coalesce(a::text, 'NULL'), ' ' ORDER BY id) FROM s.folds__history), 'NULL 2', '... and what converts is converted');
SELECT setval('s.ran', 1, false) \g /dev/null
SET SESSION AUTHORIZATION rights_plain_owner;
ALTER TABLE s.read DROP COLUMN b;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT is_called FROM s.ran), false, 'a column is dropped without the code of a reader''s view');
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid = 's.constant'::regclass AND attnum > 0), 2::bigint, '... which is there');

-- A view of the name of ours, which another role has made.
SET SESSION AUTHORIZATION rights_plain_owner;
CREATE TABLE s.named (id int PRIMARY KEY, a int);
GRANT SELECT ON s.named TO rights_plain_other;
INSERT INTO s.named VALUES (1, 1);
SELECT create_history_table('s.named'), drop_history_view_for_table('s.named');
SET SESSION AUTHORIZATION rights_plain_other;
CREATE VIEW s.named__with_history AS SELECT *, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id FROM s.named;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.whose(rel regclass) RETURNS text LANGUAGE sql AS
$$ SELECT relowner::regrole::text || ' ' || (pg_get_viewdef(rel) ~ 'NULL::tstzrange') FROM pg_class WHERE oid = rel $$;
SELECT denied('SELECT create_history_view_for_table(''s.named'')', 'another''s view is not taken for the history view', 'rights_plain_owner', '42P07');
SELECT is((SELECT string_agg(finding, ' ') FROM check_history('s.named')), 'view_name_taken', '... check_history tells');
SET client_min_messages = error;
SELECT allowed('SELECT repair_history()', '... and a superuser who repairs');
SET client_min_messages = warning;
SELECT is(pg_temp.whose('s.named__with_history'), 'rights_plain_other true', '... leaves it alone');

-- A view whose owner may make nothing in its schema (any more).
SET SESSION AUTHORIZATION rights_plain_owner;
CREATE TABLE s.reported (id int PRIMARY KEY, a int, b text);
GRANT SELECT ON s.reported TO rights_plain_other;
SELECT create_history_table('s.reported');
SET SESSION AUTHORIZATION rights_plain_other;
CREATE VIEW s.report AS SELECT id, a FROM s.reported__with_history;
RESET SESSION AUTHORIZATION;
REVOKE CREATE ON SCHEMA s FROM rights_plain_other;
SELECT allowed('ALTER TABLE s.reported DROP COLUMN b', 'a column that a view does not use is dropped', 'rights_plain_owner');
SELECT isnt(to_regclass('s.report'), NULL, '... and the view is there, though its owner could not make it');
SELECT isnt(to_regclass('s.reported__with_history'), NULL, '... and ours');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = to_regclass('s.report')), 'rights_plain_other', '... as whose it was');
GRANT CREATE ON SCHEMA s TO rights_plain_other;

-- A row of the registry that names two other tables of the owner's: neither the
-- database's owner nor who has such rows from before.
SET SESSION AUTHORIZATION rights_plain_owner;
CREATE TABLE s.forged (id int PRIMARY KEY, a text);
CREATE TABLE s.precious (id int PRIMARY KEY, a text);
CREATE TABLE s.precious2 (id int PRIMARY KEY, a text);
SELECT create_history_table('s.forged');
RESET SESSION AUTHORIZATION;
SELECT denied('UPDATE catmaid_history_table SET history_table = to_regclass(''s.precious'') WHERE live_table = to_regclass(''s.forged'')',
	'a row of another''s table is written by no owner of the database', 'rights_plain_dbowner');
UPDATE catmaid_history_table SET history_table = 's.precious', tracking_table = 's.precious2' WHERE live_table = 's.forged'::regclass;
CREATE FUNCTION pg_temp.precious(deed text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	res text;
BEGIN
	PERFORM tap.state(deed, 'rights_plain_owner');
	res := concat_ws(' ', to_regclass('s.precious'), to_regclass('s.precious2'));
	RAISE SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN RETURN res;
END $$;
SELECT is(pg_temp.precious(deed), 's.precious s.precious2', deed || ' drops nothing but what is marked') FROM unnest(ARRAY[
	'DROP TABLE s.forged', 'DROP TABLE s.forged CASCADE', 'SELECT drop_history_table(''s.forged'')',
	'SELECT repair_history(''s.forged'')', 'SELECT create_history_table(''s.forged'')']) deed;

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
SET client_min_messages = error;
DROP SCHEMA s CASCADE;
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_plain_dbowner, rights_plain_owner, rights_plain_other CASCADE;
DROP ROLE rights_plain_dbowner, rights_plain_owner, rights_plain_other;
SELECT * FROM finish();
