-- Section 7: which rights on derived objects exist: SELECT as on the live table
-- at creation, and no other, whatever the default privileges say.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t53_owner;
DROP ROLE IF EXISTS t53_leak;
DROP ROLE IF EXISTS t53_reader;
DROP ROLE IF EXISTS t53_regrant;
DROP ROLE IF EXISTS t53_all;
DROP ROLE IF EXISTS t53_column;
CREATE ROLE t53_owner;
CREATE ROLE t53_leak;
CREATE ROLE t53_reader;
CREATE ROLE t53_regrant;
CREATE ROLE t53_all;
CREATE ROLE t53_column;
CREATE EXTENSION catmaid_history;
SELECT plan(37);

CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.t (id int PRIMARY KEY, open text, secret text);
CREATE TABLE app.timed (id int PRIMARY KEY, open text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app.everyones (id int PRIMARY KEY, a text);
CREATE TABLE app.base (id int PRIMARY KEY, a text);
CREATE TABLE app.leaf (b text, PRIMARY KEY (id)) INHERITS (app.base);
ALTER TABLE app.t OWNER TO t53_owner;
ALTER TABLE app.timed OWNER TO t53_owner;
ALTER TABLE app.everyones OWNER TO t53_owner;
ALTER TABLE app.base OWNER TO t53_owner;
ALTER TABLE app.leaf OWNER TO t53_owner;
GRANT SELECT ON app.t, app.timed, app.base TO t53_reader;
GRANT SELECT ON app.t TO t53_regrant WITH GRANT OPTION;
GRANT ALL ON app.t TO t53_all;
GRANT SELECT (id, open), UPDATE (open) ON app.t TO t53_column;
GRANT SELECT ON app.everyones TO PUBLIC;

-- Default privileges of the owner, of the caller, of everywhere.
ALTER DEFAULT PRIVILEGES FOR ROLE t53_owner IN SCHEMA app
	GRANT ALL ON TABLES TO t53_leak;
ALTER DEFAULT PRIVILEGES FOR ROLE t53_owner GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO t53_leak;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO t53_leak;
SELECT create_history_table('app.t');
SELECT allowed('SELECT create_history_table(''app.timed'', ''edition_time'', ''txid'')',
	'the owner creates one', 't53_owner');
SELECT create_history_table('app.everyones');
SELECT create_history_table('app.leaf');

CREATE FUNCTION tap.rights(who text, rel regclass) RETURNS text
LANGUAGE sql AS $$
	SELECT coalesce(string_agg(p, ' ' ORDER BY p), '') FROM unnest(
		'{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
	WHERE has_table_privilege(who, rel, p)
	   OR p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
	      AND has_any_column_privilege(who, rel, p) $$;

SELECT is(tap.rights('t53_leak', rel::regclass), '',
	'default privileges give nothing on ' || rel)
FROM unnest('{app.t__history,app.t__tracking,app.t__with_history,
	app.timed__history,app.timed__with_history,app.leaf__history,
	app.base__history,app.leaf__tracking,app.base__with_history}'::text[]) rel;
SELECT is(tap.rights('t53_reader', rel::regclass), 'SELECT',
	'a reader reads, no more: ' || rel)
FROM unnest('{app.t__history,app.t__tracking,app.t__with_history,
	app.timed__history,app.timed__with_history}'::text[]) rel;
SELECT is(tap.rights('t53_all', rel::regclass), 'SELECT',
	'of all rights SELECT alone is copied: ' || rel)
FROM unnest('{app.t__history,app.t__tracking,app.t__with_history}'::text[]) rel;
SELECT is(tap.rights('t53_leak', rel::regclass), 'SELECT',
	'PUBLIC''s SELECT is copied, no more: ' || rel)
FROM unnest('{app.everyones__history,app.everyones__tracking,
	app.everyones__with_history}'::text[]) rel;
SELECT ok(NOT has_column_privilege('t53_column', rel::regclass, 'secret', 'SELECT'),
	'SELECT on columns does not open the others in ' || rel)
FROM unnest('{app.t__history,app.t__with_history}'::text[]) rel;
SELECT is(tap.rights('t53_column', 'app.t__history') ~ 'INSERT|UPDATE|DELETE',
	false, 'nor is UPDATE on columns copied');

-- The view shows what it promises to those who may read.
INSERT INTO app.t VALUES (1, 'a', 's');
UPDATE app.t SET open = 'b';
INSERT INTO app.leaf VALUES (1, 'a', 'b');
UPDATE app.leaf SET a = 'c';
SELECT allowed('SELECT * FROM app.t__with_history', 'a reader''s view', 't53_reader');
SELECT denied('SELECT * FROM app.t__with_history', 'not a stranger''s', 't53_leak');
SELECT denied('SELECT secret FROM app.t__with_history',
	'nor that of one with columns', 't53_column');
SELECT allowed('DO $x$ BEGIN ASSERT (SELECT count(*) FROM app.base__with_history
	WHERE sys_period @> now()) = 1; ASSERT (SELECT count(sys_period) FROM
	app.base__with_history) = 2; END $x$',
	'SELECT on a parent is enough for the parent''s view, children''s rows included',
	't53_reader');
SELECT denied('SELECT * FROM app.leaf__with_history', 'not for the child''s view',
	't53_reader');
SELECT denied('SELECT * FROM app.leaf__history', 'nor for the child''s history',
	't53_reader');
SELECT is(has_table_privilege('t53_owner', rel, 'SELECT, UPDATE'), true,
	'the owner has its own rights on ' || rel)
FROM unnest('{app.t__history,app.t__tracking}'::text[]) rel;

-- "At creation time": what comes later is the owner's to grant.
GRANT SELECT ON app.timed TO t53_leak;
SELECT is(tap.rights('t53_leak', 'app.timed__history'), '',
	'a later grant on the live table is none on its history');
GRANT SELECT ON app.t__history TO t53_leak;
SELECT reload_history_tracking_for_table('app.t');
SELECT is(tap.rights('t53_leak', 'app.t__history'), 'SELECT',
	'a grant by hand stays');
SELECT disable_history_tracking_for_table('app.t');
SELECT enable_history_tracking_for_table('app.t');
SELECT is(tap.rights('t53_leak', 'app.t__history'), 'SELECT',
	'over disabling and enabling too');
REVOKE SELECT ON app.t__history FROM t53_reader;
SELECT disable_history_tracking_for_table('app.t');
SELECT enable_history_tracking_for_table('app.t');
SELECT is(tap.rights('t53_reader', 'app.t__history'), '',
	'and what was revoked stays revoked');
SELECT is(tap.rights('t53_regrant', 'app.t__history'), 'SELECT',
	'a grant with grant option is copied');

-- One after the other: PostgreSQL stumbles over shared default privileges.
DROP OWNED BY t53_owner CASCADE;
DROP OWNED BY t53_leak CASCADE;
DROP OWNED BY t53_reader, t53_regrant, t53_all, t53_column CASCADE;
DROP ROLE t53_owner, t53_leak, t53_reader, t53_regrant, t53_all, t53_column;
SELECT * FROM finish();
