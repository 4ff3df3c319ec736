-- Section 7: the extension's rights reach no further than the user's.  It makes
-- and drops things with a superuser's rights where an owner's would not do
-- (ddl.c says why); here somebody tries to have it do so to what is not his.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t69_dbowner;
DROP ROLE IF EXISTS t69_evil;
DROP ROLE IF EXISTS t69_victim;
DROP ROLE IF EXISTS t69_reader;
CREATE ROLE t69_dbowner;
CREATE ROLE t69_evil;
CREATE ROLE t69_victim;
CREATE ROLE t69_reader;
CREATE EXTENSION catmaid_history;
SELECT plan(31);
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO t69_dbowner', current_database()) \gexec
CREATE SCHEMA den;
CREATE SCHEMA safe;
GRANT ALL ON SCHEMA den TO t69_dbowner, t69_evil, t69_victim;
GRANT USAGE ON SCHEMA den, safe TO PUBLIC;

SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
-- The database's owner has a forged row of a parent (as if from before he was refused
-- it), and puts a table of his under it: other people's tables get no children.
CREATE TABLE safe.payroll (id int, a text, sys_period tstzrange, exec_transaction_id bigint);
CREATE TABLE safe.counters (live_pk int, edition_time timestamptz NOT NULL, txid bigint NOT NULL);
SET ROLE t69_dbowner;
CREATE TABLE den.parent (id int PRIMARY KEY, a text);
CREATE TABLE den.child (id int PRIMARY KEY, a text);
CREATE TABLE den.late (PRIMARY KEY (id)) INHERITS (den.parent);
SELECT create_history_table('den.parent');
SELECT create_history_table('den.child');
INSERT INTO den.child VALUES (1, 'forged');
UPDATE den.child SET a = 'x';
RESET ROLE;
UPDATE catmaid_history_table SET history_table = 'safe.payroll', tracking_table = 'safe.counters'
	WHERE live_table = 'den.parent'::regclass;
SELECT allowed('ALTER TABLE den.child INHERIT den.parent', 'a table goes under a forged parent', 't69_dbowner');
SELECT is((SELECT count(*) FROM pg_inherits WHERE inhparent IN ('safe.payroll'::regclass, 'safe.counters'::regclass)),
	0::bigint, 'its history does not');
SELECT is((SELECT count(*) FROM safe.payroll), 0::bigint, 'the victim reads nothing of it');
SELECT allowed('ALTER TABLE den.child NO INHERIT den.parent', 'and it leaves again', 't69_dbowner');
SELECT refused('SELECT create_history_table(''den.late'')', '{parent}', 'a child of it is refused', 'P0001', 't69_dbowner');
SELECT is((SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'safe'::regnamespace AND relkind IN ('r', 'i', 'v')),
	'counters,payroll', 'nothing was made beside the victim''s tables');

-- Views of others under the names of history views.
SET ROLE t69_victim;
CREATE VIEW den.abc__with_history AS SELECT 1 AS id, 'mine'::text AS a, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id;
SET ROLE t69_evil;
CREATE TABLE den.abc (id int PRIMARY KEY, a text, b int);
RESET ROLE;
CREATE FUNCTION tap.mine() RETURNS text LANGUAGE sql AS $$ SELECT format('%s %s %s', relowner::regrole, oid, pg_get_viewdef(oid))
	FROM pg_class WHERE relname = 'abc__with_history' $$;
SELECT tap.mine() AS mine \gset
SELECT refused('SELECT create_history_table(''den.abc'')', '{abc__with_history}', 'a history that needs its name is refused', 'P0001', 't69_evil');
SELECT tap.state('SELECT drop_history_view_for_table(''den.abc'')', 't69_evil') \g /dev/null
SELECT is(tap.mine(), :'mine', 'another''s view is not dropped by name');
SET ROLE t69_evil;
CREATE TABLE den.abd (id int PRIMARY KEY, a text, b int);
SELECT create_history_table('den.abd');
SELECT drop_history_view_for_table('den.abd');
DROP TABLE den.abc;
ALTER TABLE den.abd RENAME TO abc;
RESET ROLE;
SELECT tap.state(cmd, 't69_evil') FROM unnest(ARRAY['SELECT drop_history_view_for_table(''den.abc'')', 'SELECT create_history_view_for_table(''den.abc'')',
	'ALTER TABLE den.abc DROP COLUMN b', 'ALTER TABLE den.abc RENAME a TO c', 'ALTER TABLE den.abc ALTER c TYPE int USING 1',
	'SELECT reload_history_tracking_for_table(''den.abc'')', 'ALTER TABLE den.abc RENAME TO abe', 'ALTER TABLE den.abe RENAME TO abc',
	'SELECT drop_history_table_keep_data(''den.abc'')', 'SELECT create_history_table(''den.abc'')', 'DROP TABLE den.abc']) cmd \g /dev/null
SELECT is(tap.mine(), :'mine', 'nor taken for one, made anew, renamed or dropped after a renaming');
SELECT is(to_regclass('den.abc'), NULL, 'control: the table is gone');
-- one's own, given away by its owner, still is one
CREATE TABLE given (id int PRIMARY KEY, a text);
SELECT create_history_table('given');
ALTER VIEW given__with_history OWNER TO t69_reader;
ALTER TABLE given DROP COLUMN a;
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE relname = 'given__with_history'), 't69_reader',
	'a history view that was given away is followed, and stays so');

-- Who may not drop a type moves no view out of its way.
SET ROLE t69_victim;
CREATE TYPE den.mood AS ENUM ('good', 'bad');
CREATE TABLE den.moody (id int PRIMARY KEY, m den.mood);
SELECT create_history_table('den.moody');
CREATE MATERIALIZED VIEW den.upon AS SELECT * FROM den.moody__with_history;
RESET ROLE;
SELECT alike(tap.state('DROP TYPE den.mood CASCADE', 't69_evil'), '42501 must be owner of type%', 'a stranger''s DROP TYPE is PostgreSQL''s to refuse');
SELECT alike(tap.state('DROP TYPE pg_catalog.int4 CASCADE', 't69_evil'), '42501 must be owner of type%', 'that of a built-in type too');
DROP MATERIALIZED VIEW den.upon;
SELECT allowed('SET client_min_messages = error; DROP TYPE den.mood CASCADE', 'the owner''s succeeds', 't69_victim');
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid IN ('den.moody'::regclass, 'den.moody__history'::regclass, 'den.moody__with_history'::regclass) AND attname = 'm'),
	0::bigint, 'and is followed');

-- Tablespaces: a user's default_tablespace is no way into one that is closed to him.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE t69_closed LOCATION '';
CREATE TABLESPACE t69_open LOCATION '';
GRANT CREATE ON TABLESPACE t69_open TO t69_evil;
CREATE FUNCTION tap.in_space(space text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class c
	JOIN pg_tablespace t ON t.oid = reltablespace AND spcname = space WHERE relnamespace = 'den'::regnamespace AND relkind IN ('r', 'i') $$;
SET ROLE t69_evil;
CREATE TABLE den.sp (id int PRIMARY KEY);
RESET ROLE;
SELECT denied('SET default_tablespace = t69_closed; CREATE TABLE den.no (id int)', 'control: the tablespace is closed', 't69_evil');
SELECT allowed('SET LOCAL default_tablespace = t69_closed; SELECT create_history_table(''den.sp'')', 'a history is made all the same', 't69_evil');
SELECT is(tap.in_space('t69_closed'), NULL, 'but not there');
SELECT tap.state('SELECT drop_history_table(''den.sp'')', 't69_evil') \g /dev/null
SELECT allowed('SET default_tablespace = t69_open; SELECT create_history_table(''den.sp'')', 'into an open one', 't69_evil');
RESET default_tablespace;
SELECT is(tap.in_space('t69_open'), 'sp__history,sp__history_exec_transaction_id,sp__history_live_pk_index,sp__history_sys_period,sp__tracking,sp__tracking_live_pk_index',
	'it goes as any table would');

-- Row-level security that comes while tracking is disabled.
CREATE TABLE safe.r (id int PRIMARY KEY, a text);
INSERT INTO safe.r VALUES (1, 'hidden');
GRANT SELECT ON safe.r TO t69_reader;
SELECT create_history_table('safe.r');
UPDATE safe.r SET a = 'hidden too';
SELECT disable_history_tracking_for_table('safe.r');
CREATE FUNCTION tap.seen() RETURNS text LANGUAGE plpgsql AS $$
DECLARE s text;
BEGIN
	SET LOCAL ROLE t69_reader;
	SELECT format('%s %s %s %s', (SELECT count(*) FROM safe.r), (SELECT count(*) FROM safe.r__history), (SELECT count(*) FROM safe.r__tracking),
		(SELECT count(*) FROM safe.r__with_history)) INTO s;
	RESET ROLE;
	RETURN s;
END $$;
SELECT is(tap.seen(), '1 1 1 2', 'control: a reader reads');
ALTER TABLE safe.r ENABLE ROW LEVEL SECURITY;
SELECT is(tap.seen(), '0 0 0 0', 'what a policy hides in the table is hidden in the history, tracked or not');
ALTER TABLE safe.r FORCE ROW LEVEL SECURITY;
SELECT is((SELECT string_agg(relforcerowsecurity::text, ',') FROM pg_class WHERE oid IN ('safe.r__history'::regclass, 'safe.r__tracking'::regclass)),
	'true,true', 'from its owner too, where it is forced');
ALTER TABLE safe.r NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT is(tap.seen(), '1 1 1 2', 'and seen again without');
SELECT is((SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table = 'safe.r'::regclass), false, 'tracking stays disabled');

-- The extension's own row is touched for its own schema alone: who renames his
-- waits for nobody.
CREATE SCHEMA lair AUTHORIZATION t69_evil;
SELECT format('GRANT CREATE ON DATABASE %I TO t69_evil', current_database()) \gexec
SELECT format('%s %s', xmin, ctid) AS row FROM pg_extension WHERE extname = 'catmaid_history' \gset
SELECT allowed('ALTER SCHEMA lair RENAME TO lair2', 'a stranger renames his schema', 't69_evil');
SELECT is((SELECT format('%s %s', xmin, ctid) FROM pg_extension WHERE extname = 'catmaid_history'), :'row',
	'the extension''s row in the catalog is untouched');

-- What a stranger and a mere writer may do.
CREATE TABLE calls (cmd text);
INSERT INTO calls VALUES ('create_history_table(''safe.payroll'')'), ('drop_history_table(''safe.r'')'), ('drop_history_table_keep_data(''safe.r'')'),
	('drop_all_history_tables()'), ('enable_history_tracking_for_table(''safe.r'')'), ('disable_history_tracking_for_table(''safe.r'')'),
	('enable_history_tracking()'), ('disable_history_tracking()'), ('reload_history_tracking_for_table(''safe.r'')'), ('reload_history_tracking()'),
	('sync_tracking_table(''safe.r'', ''safe.r__tracking'')'), ('create_history_view_for_table(''safe.r'')'), ('drop_history_view_for_table(''safe.r'')'),
	('initialize_new_history_table(''safe.r'', ''safe.r__history'', ''id'')'), ('truncate_history_table(''safe.r__history'')'), ('truncate_all_history_tables()');
SELECT tap.catalog() AS before \gset
GRANT ALL ON safe.r TO t69_evil;
SELECT is((SELECT string_agg(DISTINCT left(s, 5), ',' ORDER BY left(s, 5)) FROM calls, tap.state('SELECT ' || cmd, 't69_evil') s), '42501,P0001',
	'no function serves one who may do all to the table but is not its owner');
REVOKE ALL ON safe.r FROM t69_evil;
SELECT unchanged(:'before', 'and nothing has changed');
SELECT denied(format('INSERT INTO %s SELECT * FROM %1$s', t), 'nor does he write ' || t, 't69_evil')
FROM unnest('{catmaid_history_table,safe.r__history}'::text[]) t;

\else
SELECT skip('no pg_database_owner before PostgreSQL 14', 31);
\endif
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
DROP OWNED BY t69_dbowner, t69_evil, t69_victim, t69_reader CASCADE;
DROP TABLESPACE IF EXISTS t69_closed;
DROP TABLESPACE IF EXISTS t69_open;
DROP ROLE t69_dbowner, t69_evil, t69_victim, t69_reader;
SELECT * FROM finish();
