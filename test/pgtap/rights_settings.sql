-- Section 5: the follower's settings count for the tables of whoever has set them,
-- of a superuser's for all.  Nobody switches the following off, or chooses what is
-- dropped, for what a SECURITY DEFINER function does to its owner's tables.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_settings_owner;
DROP ROLE IF EXISTS rights_settings_caller;
DROP ROLE IF EXISTS rights_settings_member;
CREATE ROLE rights_settings_owner;
CREATE ROLE rights_settings_caller;
CREATE ROLE rights_settings_member IN ROLE rights_settings_owner;
CREATE EXTENSION catmaid_history;
SELECT plan(36);
CREATE SCHEMA o AUTHORIZATION rights_settings_owner;
GRANT USAGE ON SCHEMA o TO PUBLIC;

SET SESSION AUTHORIZATION rights_settings_owner;
CREATE TABLE o.t (id int PRIMARY KEY, a int, b int);
INSERT INTO o.t VALUES (1, 1, 1);
SELECT create_history_table('o.t');
CREATE TABLE o.r (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
SELECT format('CREATE TABLE o.p%s PARTITION OF o.r FOR VALUES FROM (%s) TO (%s)', n, n, n + 1)
	FROM generate_series(1, 9) n \gexec
SELECT create_history_table('o.r');
INSERT INTO o.r SELECT n, 'p' FROM generate_series(1, 9) n;
-- What the owner lets others do, with settings of the function's own, or none.
CREATE FUNCTION o.run(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ BEGIN EXECUTE command; END $$;
CREATE FUNCTION o.run_unfollowed(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET catmaid_history.follow_ddl = off AS $$ BEGIN EXECUTE command; END $$;
CREATE FUNCTION o.run_keeping(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET catmaid_history.on_drop_column = keep SET catmaid_history.on_drop_table = keep
	AS $$ BEGIN EXECUTE command; END $$;
CREATE FUNCTION o.run_local(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	AS $$ BEGIN SET LOCAL catmaid_history.follow_ddl = off; EXECUTE command; END $$;
RESET SESSION AUTHORIZATION;
-- A function of the caller's that does the same has it as set by the caller.
GRANT CREATE ON SCHEMA o TO rights_settings_caller;
SET SESSION AUTHORIZATION rights_settings_caller;
CREATE FUNCTION o.call_unfollowed(command text) RETURNS void LANGUAGE plpgsql
	SET catmaid_history.follow_ddl = off AS $$ BEGIN PERFORM o.run(command); END $$;
RESET SESSION AUTHORIZATION;

-- "with" if the history has the column.
CREATE FUNCTION history_has(col text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'o.t__history'::regclass
		AND attname = col) THEN 'with' ELSE 'without' END $$;
CREATE FUNCTION recorded(part int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM o.r__history WHERE id = part $$;

-- follow_ddl
SET SESSION AUTHORIZATION rights_settings_caller;
SELECT o.run('ALTER TABLE o.t ADD c1 int');
SELECT is(history_has('c1'), 'with', 'control: the owner''s DDL is followed');
SET catmaid_history.follow_ddl = off;
SELECT o.run('ALTER TABLE o.t ADD c2 int');
SELECT is(history_has('c2'), 'with', 'and though the caller has switched it off');
SELECT o.run('DROP TABLE o.p1');
SELECT is(recorded(1), 1::bigint, 'the rows of a partition are recorded');
SELECT o.run_keeping('ALTER TABLE o.t RENAME c2 TO c3');
SELECT is(history_has('c3'), 'with', 'through a function with other settings');
SELECT o.run_unfollowed('ALTER TABLE o.t ADD c4 int');
SELECT is(history_has('c4'), 'without', 'the function''s own setting counts');
SELECT o.run('DROP TABLE o.p2');
SELECT is(recorded(2), 1::bigint, 'within the function only');
RESET catmaid_history.follow_ddl;
SELECT o.run_local('DROP TABLE o.p3');
SELECT is(recorded(3), 0::bigint, 'what it sets in its body counts');
SELECT o.run('DROP TABLE o.p4');
SELECT is(recorded(4), 1::bigint, 'for its transaction');
SELECT o.call_unfollowed('DROP TABLE o.p5');
SELECT is(recorded(5), 1::bigint, 'a function of the caller''s around it does not count');
BEGIN;
SET LOCAL catmaid_history.follow_ddl = off;
SELECT o.run('DROP TABLE o.p6');
COMMIT;
SELECT is(recorded(6), 1::bigint, 'nor does SET LOCAL');
BEGIN;
SELECT o.run('SET catmaid_history.follow_ddl = off');
SAVEPOINT s;
SET catmaid_history.follow_ddl = off;
ROLLBACK TO s;
SELECT o.run('DROP TABLE o.p7');
COMMIT;
SELECT is(recorded(7), 0::bigint, 'rolled back to where the owner''s was in force');
RESET catmaid_history.follow_ddl;
RESET SESSION AUTHORIZATION;

-- The owner's own session, and who has his rights.
SET SESSION AUTHORIZATION rights_settings_owner;
SET catmaid_history.follow_ddl = off;
SET SESSION AUTHORIZATION rights_settings_caller;
SELECT o.run('DROP TABLE o.p8');
SELECT is(recorded(8), 0::bigint, 'set by the owner');
RESET SESSION AUTHORIZATION;
RESET catmaid_history.follow_ddl;
SET SESSION AUTHORIZATION rights_settings_member;
SET catmaid_history.follow_ddl = off;
SELECT o.run('ALTER TABLE o.t ADD c5 int');
SELECT is(history_has('c5'), 'without', 'set by a member of the owner');
RESET SESSION AUTHORIZATION;
RESET catmaid_history.follow_ddl;
SET catmaid_history.follow_ddl = off;
SET SESSION AUTHORIZATION rights_settings_caller;
SELECT o.run('ALTER TABLE o.t ADD c6 int');
SELECT is(history_has('c6'), 'without', 'set by a superuser');
RESET SESSION AUTHORIZATION;
RESET catmaid_history.follow_ddl;
SELECT repair_history('o.t');
SELECT is(history_has('c6'), 'with', 'what was not followed is mended');

-- One command, tables of two owners.
CREATE TABLE o.base (id int PRIMARY KEY);
ALTER TABLE o.base OWNER TO rights_settings_caller;
SELECT create_history_table('o.base');
CREATE TABLE o.child (PRIMARY KEY (id)) INHERITS (o.base);
SELECT create_history_table('o.child', copy_inheritance => false);
ALTER TABLE o.child OWNER TO rights_settings_owner;
SET SESSION AUTHORIZATION rights_settings_caller;
SET catmaid_history.follow_ddl = off;
RESET SESSION AUTHORIZATION;
ALTER TABLE o.base ADD x int;
SELECT is((SELECT string_agg(attrelid::regclass::text, ', ') FROM pg_attribute
	WHERE attname = 'x' AND attrelid IN ('o.base__history'::regclass, 'o.child__history'::regclass)),
	'o.child__history', 'a column of two tables: not followed for his who has set so, for the other''s');
RESET catmaid_history.follow_ddl;
SELECT repair_history();

-- What is dropped
SET SESSION AUTHORIZATION rights_settings_caller;
SET catmaid_history.on_drop_column = keep;
SELECT o.run('ALTER TABLE o.t DROP c1');
SELECT is(history_has('c1_1'), 'without', 'keep of the caller''s does not count: the column goes');
RESET catmaid_history.on_drop_column;
SELECT o.run_keeping('ALTER TABLE o.t DROP c3');
SELECT is(history_has('c3_1'), 'with', 'the function''s counts');
RESET SESSION AUTHORIZATION;

-- Other sessions: what a database or a role has, what comes with the connection, and
-- what was set before the library was loaded, when it is a placeholder that anybody makes.
CREATE SCHEMA dbl;
CREATE EXTENSION dblink SCHEMA dbl;
ALTER ROLE rights_settings_caller LOGIN;
ALTER ROLE rights_settings_owner LOGIN;
CREATE FUNCTION add_column(col text, run text DEFAULT 'o.run') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT %s(%L)', run, format('ALTER TABLE o.t ADD %I int', col));
	RETURN history_has(col);
END $$;
CREATE FUNCTION drop_column(col text, run text DEFAULT 'o.run') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT %s(%L)', run, format('ALTER TABLE o.t DROP %I', col));
	RETURN history_has(col || '_1');
END $$;
-- The result of the last command, in a new session of the role.
CREATE FUNCTION elsewhere(role name, VARIADIC commands text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM dbl.dblink_connect('elsewhere', format('host=%s port=%s dbname=%s user=%s options=%L',
		split_part(split_part(current_setting('unix_socket_directories'), ',', 1), ' ', 1),
		current_setting('port'), current_database(), role,
		coalesce(current_setting('test.options', true), '')));
	FOR i IN 1 .. cardinality(commands) LOOP
		SELECT r INTO result FROM dbl.dblink('elsewhere', commands[i]) AS x(r text);
	END LOOP;
	PERFORM dbl.dblink_disconnect('elsewhere');
	RETURN result;
END $$;
\set caller 'rights_settings_caller'
\set owner 'rights_settings_owner'
\set off 'SET catmaid_history.follow_ddl = off'

SELECT format('ALTER DATABASE %I SET catmaid_history.on_drop_column = keep', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET catmaid_history.on_drop_table = keep', current_database()) \gexec
SELECT is(elsewhere(:'caller', 'SET catmaid_history.on_drop_column = drop', 'SELECT drop_column(''c4'')'), 'with',
	'the database''s counts where the caller''s does not');
SELECT is(elsewhere(:'owner', 'SET catmaid_history.on_drop_column = drop', 'SELECT drop_column(''c5'')'), 'without',
	'the owner''s own comes before the database''s');
SELECT elsewhere(:'caller', 'SET catmaid_history.on_drop_table = drop',
	$$SELECT o.run('CREATE TABLE o.d (id int PRIMARY KEY); SELECT public.create_history_table(''o.d'');
		INSERT INTO o.d VALUES (1); DELETE FROM o.d; DROP TABLE o.d')$$);
SELECT isnt(to_regclass('o.d__history'), NULL, 'for tables as well');
SELECT format('ALTER DATABASE %I RESET ALL', current_database()) \gexec

ALTER ROLE rights_settings_caller SET catmaid_history.follow_ddl = off;
ALTER ROLE rights_settings_owner SET catmaid_history.follow_ddl = off;
SELECT is(elsewhere(:'caller', 'SHOW catmaid_history.follow_ddl'), 'off', 'control: a role''s configuration is in force');
SELECT is(elsewhere(:'caller', 'SELECT add_column(''d1'')'), 'with', 'but does not count for another''s tables');
SELECT is(elsewhere(:'owner', 'SELECT add_column(''d2'')'), 'without', 'only for his own');
SELECT repair_history('o.t');
ALTER ROLE rights_settings_caller RESET ALL;
ALTER ROLE rights_settings_owner RESET ALL;

SET test.options = '-c catmaid_history.follow_ddl=off -c catmaid_history.on_drop_column=drop';
SELECT is(elsewhere(:'caller', 'SHOW catmaid_history.follow_ddl'), 'off', 'control: that of the connection is in force');
SELECT is(elsewhere(:'caller', 'SELECT add_column(''d3'')'), 'with', 'but does not count for another''s tables');
SELECT is(elsewhere(:'caller', 'SELECT drop_column(''d3'')'), 'with',
	'nor does drop, of which nobody knows what it has taken the place of');
SELECT is(elsewhere(:'owner', 'SELECT add_column(''d4'')'), 'without', 'only for his own');
SELECT repair_history('o.t');
RESET test.options;

SELECT is(elsewhere(:'caller', :'off', 'SELECT add_column(''e1'')'), 'with',
	'set before the library was loaded, by the caller');
SELECT is(elsewhere(:'caller', :'off', 'SELECT add_column(''e2'')', 'SELECT add_column(''e3'')'), 'with',
	'after it has been loaded');
SELECT is(elsewhere(:'caller', 'BEGIN', 'SET LOCAL catmaid_history.follow_ddl = off', 'SELECT add_column(''e4'')', 'COMMIT',
	'SELECT history_has(''e4'')'), 'with', 'locally');
SELECT is(elsewhere(:'caller', 'SELECT add_column(''e5'', ''o.call_unfollowed'')'), 'with',
	'by a function of the caller''s');
SELECT is(elsewhere(:'owner', :'off', 'SELECT add_column(''e6'')'), 'without', 'by the owner');
SELECT repair_history('o.t');
SELECT is(elsewhere(:'caller', 'SELECT add_column(''e7'', ''o.run_unfollowed'')'),
	CASE WHEN current_setting('server_version_num')::int < 150000 THEN 'with' ELSE 'without' END,
	'by the function, of which PostgreSQL 15 knows');
SELECT repair_history('o.t');
SELECT is(elsewhere(:'caller', 'SELECT add_column(''e8'', ''o.run_unfollowed'')',
	'SELECT add_column(''e9'', ''o.run_unfollowed'')'), 'without', 'and afterwards all do');

SELECT throws_ok('SET catmaid_history.on_drop_table = perhaps', '22023', NULL, 'a setting has its values only');

DROP OWNED BY rights_settings_owner, rights_settings_caller, rights_settings_member CASCADE;
DROP ROLE rights_settings_owner, rights_settings_caller, rights_settings_member;
SELECT * FROM finish();
