-- Sections 1 and 6: what stands in the place of a history, or of a partition, that
-- cannot be written as one: writes are refused, as what they are, and the server
-- goes on.  And histories whose columns are of other types than the table's.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t69_owner;
CREATE ROLE t69_owner;
CREATE EXTENSION catmaid_history;
SELECT plan(69);
GRANT CREATE ON SCHEMA public TO t69_owner;
CREATE FUNCTION tap.writes(live text, words text, test_name text,
	hint text DEFAULT 'disable_history_tracking_for_table') RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT tap.refused(format(cmd, live), string_to_array(words, ','), test_name || ': ' || cmd,
		'fitting', NULL, hint)
	FROM unnest(ARRAY['UPDATE %s SET v = ''b''', 'INSERT INTO %s VALUES (2, ''a'')',
		'DELETE FROM %s', 'TRUNCATE %s']) cmd $$;

-- A registry that names no table: the mark on the triggers says so, and whose they are.
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a');
\set columns 'id int, v text, sys_period tstzrange, exec_transaction_id bigint'
CREATE TABLE h_partitioned (:columns) PARTITION BY LIST (id);
CREATE MATERIALIZED VIEW h_matview AS SELECT * FROM t__history;
CREATE FOREIGN DATA WRAPPER t69_fdw;
CREATE SERVER t69_server FOREIGN DATA WRAPPER t69_fdw;
CREATE FOREIGN TABLE h_foreign (:columns) SERVER t69_server;
CREATE TEMP TABLE h_temp (:columns);
CREATE VIEW k_view AS SELECT * FROM t__tracking;
CREATE FUNCTION tap.forged(history text, tracking text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE catmaid_history_table SET history_table = history::regclass,
		tracking_table = tracking::regclass WHERE live_table = 't'::regclass;
	RETURN QUERY SELECT tap.writes('t', CASE history WHEN 't__history' THEN tracking ELSE history END
		|| ',"t"', history || ', ' || tracking, 'repair_history');
END $$;
SELECT forged('t__with_history', 't__tracking');
SELECT forged('h_partitioned', 't__tracking');
SELECT forged('h_matview', 't__tracking');
SELECT forged('h_foreign', 't__tracking');
SELECT forged('h_temp', 't__tracking');
SELECT forged('t__history', 'k_view');
SELECT repair_history('t');
SELECT allowed('UPDATE t SET v = ''b''', 'repaired, as the hint says, it records');

-- Before PostgreSQL 16 a rule makes an empty table a view; no more is needed than
-- to own it.
SELECT current_setting('server_version_num')::int < 160000 AS rule_makes_view \gset
\if :rule_makes_view
SET ROLE t69_owner;
CREATE TABLE ruled (id int PRIMARY KEY, v text);
SELECT create_history_table('ruled');
INSERT INTO ruled VALUES (1, 'a');
SELECT drop_history_view_for_table('ruled');
SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
	WHERE indrelid = 'ruled__history'::regclass \gexec
ALTER TABLE ruled__history ALTER sys_period DROP DEFAULT, ALTER exec_transaction_id DROP DEFAULT;
VACUUM ruled__history;
CREATE RULE "_RETURN" AS ON SELECT TO ruled__history DO INSTEAD
	SELECT 1 AS id, ''::text AS v, tstzrange(NULL, NULL) AS sys_period, 1::bigint AS exec_transaction_id,
	1::bigint AS start_transaction_id;
RESET ROLE;
SELECT writes('ruled', 'ruled__history,ruled', 'a history that is a view now');
SELECT is((SELECT string_agg(finding, ',') FROM check_history('ruled') WHERE severity = 'error'),
	'not_a_history_table', 'check_history tells');
SELECT allowed('SELECT disable_history_tracking_for_table(''ruled''); DELETE FROM ruled;
	DROP VIEW ruled__history', 'the way that the hint shows', 't69_owner');
\else
SELECT skip('a table stays a table from PostgreSQL 16 on', 6);
\endif

-- A foreign table may come among the partitions when the key has gone.
CREATE EXTENSION postgres_fdw;
SELECT format('CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
	split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
	current_database()) \gexec
CREATE USER MAPPING FOR current_user SERVER self;
CREATE TABLE remote (id int PRIMARY KEY, v text);
INSERT INTO remote VALUES (2, 'a');
CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY LIST (id);
CREATE TABLE r_1 PARTITION OF r FOR VALUES IN (1);
SELECT create_history_table('r');
SET catmaid_history.follow_ddl = off;
ALTER TABLE r DROP CONSTRAINT r_pkey;
CREATE FOREIGN TABLE r_2 PARTITION OF r FOR VALUES IN (2, 3) SERVER self OPTIONS (table_name 'remote');
RESET catmaid_history.follow_ddl;
SELECT refused(cmd, '{r_2,foreign table}', 'a foreign partition: ' || cmd, '0A000', NULL, '"r"')
	FROM unnest(ARRAY['DELETE FROM r', 'UPDATE r SET v = ''b''', 'INSERT INTO r VALUES (3, ''x'')']) cmd;
SELECT allowed('INSERT INTO r VALUES (1, ''a''); UPDATE r SET v = ''b'' WHERE id = 1',
	'the other partitions are written as ever');

-- What a site has put under a history may be a foreign table, whose rows nobody converts.
CREATE TABLE f (id int PRIMARY KEY, v text);
SELECT create_history_table('f');
INSERT INTO f VALUES (1, '1');
UPDATE f SET v = '2';
CREATE FOREIGN TABLE f_under () INHERITS (f__history) SERVER t69_server;
SELECT allowed('ALTER TABLE f ALTER v TYPE int USING v::int', 'a foreign table under a history');
SELECT is((SELECT format('%s %s', v_1, v) FROM ONLY f__history), '1 1', 'the history''s own rows are converted');
SELECT allowed('SELECT repair_history(''f''), widen_history_table(''f'')', 'and it can be repaired');

-- A registry that calls a table under the history the table's tracking table.
CREATE TABLE g (id int PRIMARY KEY, v text);
SELECT create_history_table('g');
CREATE TABLE g_under () INHERITS (g__history);
CREATE FUNCTION tap.forged_under(deed text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text;
BEGIN
	BEGIN
		UPDATE catmaid_history_table SET tracking_table = 'g_under' WHERE live_table = 'g'::regclass;
		state := tap.state(deed);
		RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
		RETURN left(state, 2);
	END;
END $$;
SELECT isnt(forged_under(deed), 'XX', 'a tracking table under the history: ' || deed) FROM unnest(ARRAY[
	'SELECT drop_history_table(''g'')', 'SELECT drop_all_history_tables()',
	'UPDATE g SET v = ''b''', 'DROP TABLE g', 'DROP TABLE IF EXISTS g CASCADE']) deed;

-- History columns of the key that are wider than the key.  When a key comes back, the
-- end of its last version is looked up by the history's type.
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE kinds (n int GENERATED ALWAYS AS IDENTITY, type text, wide text, one text);
INSERT INTO kinds (type, wide, one) VALUES
('int', 'numeric', '1'), ('bigint', 'numeric', '-1'), ('smallint', 'double precision', '7'),
('smallint', 'bigint', '7'), ('int', 'bigint', '-2'), ('real', 'double precision', '1.5'),
('mood', 'text', 'bad'), ('mood', 'varchar', 'bad'), ('name', 'text', 'x'),
('varchar(3)', 'text', 'x'), ('date', 'timestamp', '2001-02-03'), ('int', 'oid', '3');
SELECT format('CREATE TABLE k%1$s (id %2$s PRIMARY KEY, v int); SELECT create_history_table(''k%1$s''),
		drop_history_view_for_table(''k%1$s'')', n, type) FROM kinds \gexec
SELECT format('ALTER TABLE k%s__history ALTER id TYPE %s USING id::%2$s', n, wide) FROM kinds \gexec
SELECT format('INSERT INTO k%1$s VALUES (%2$L, 1); DELETE FROM k%1$s', n, one) FROM kinds \gexec
SELECT format('UPDATE k%s__history SET sys_period = tstzrange(lower(sys_period), ''2100-01-01'')', n)
	FROM kinds \gexec
SELECT format('INSERT INTO k%s VALUES (%L, 1)', n, one) FROM kinds \gexec
CREATE FUNCTION tap.comes_back(n int) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE t timestamptz;
BEGIN EXECUTE format('SELECT edition_time FROM k%s__tracking', n) INTO t; RETURN t; END $$;
SELECT is(comes_back(n), '2100-01-01', format('%s, in history %s', type, wide)) FROM kinds;
SELECT allowed(format('SELECT drop_history_table_keep_data(''k%1$s''), create_history_table(''k%1$s'');
	DELETE FROM k%1$s; INSERT INTO k%1$s VALUES (%2$L, 1)', n, one),
	format('%s, in history %s: kept, and taken up with new indexes', type, wide)) FROM kinds;

-- How a value becomes a history value may change: a cast is dropped.
CREATE FUNCTION mood_text(mood) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN 'cast ' || enum_out($1)::text; END $$;
CREATE CAST (mood AS text) WITH FUNCTION mood_text(mood);
CREATE TABLE c (id int PRIMARY KEY, m mood);
SELECT create_history_table('c'), drop_history_view_for_table('c');
ALTER TABLE c__history ALTER m TYPE text USING '';
INSERT INTO c VALUES (1, 'good');
UPDATE c SET m = 'bad';
DROP CAST (mood AS text);
DROP FUNCTION mood_text(mood);
SELECT allowed('DELETE FROM c', 'a cast that is dropped is not called');
SELECT is((SELECT string_agg(m, ',' ORDER BY sys_period) FROM c__history), 'cast good,bad',
	'before, and after');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY t69_owner CASCADE;
DROP ROLE t69_owner;
SELECT * FROM finish();
