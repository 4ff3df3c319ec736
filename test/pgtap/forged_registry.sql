-- Section 7: the database's owner may write the registry, to restore dumps, but no
-- row that names others' tables.  And a row that is forged all the same (here by a
-- superuser, as if from before that was refused) lets him reach no table but his own.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t64_dbowner;
CREATE ROLE t64_dbowner;
CREATE EXTENSION catmaid_history;
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO t64_dbowner', current_database()) \gexec
CREATE SCHEMA safe;
GRANT USAGE ON SCHEMA safe TO t64_dbowner;
CREATE SCHEMA den AUTHORIZATION t64_dbowner;
-- A superuser's tables that would do as a history and as a tracking table.
CREATE TABLE safe.payroll (id int, a text, sys_period tstzrange DEFAULT tstzrange(now(), NULL),
	exec_transaction_id bigint DEFAULT 1);
CREATE TABLE safe.counters (live_pk int UNIQUE, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT 1);
INSERT INTO safe.payroll VALUES (1, 'salary');
INSERT INTO safe.counters VALUES (1), (2), (3);
CREATE FUNCTION tap.safe() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s | %s', (SELECT string_agg(p::text, ';' ORDER BY p::text) FROM safe.payroll p),
		(SELECT string_agg(c::text, ';' ORDER BY c::text) FROM safe.counters c)) $$;
SELECT tap.safe() AS before \gset
SELECT plan(5 * 17 + 7);
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14

-- Each attempt forges, does, and is undone, all in one.
CREATE FUNCTION tap.forge(forgery text, deed text, test_name text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
	after text;
BEGIN
	BEGIN
		EXECUTE forgery;
		BEGIN
			SET LOCAL ROLE t64_dbowner;
			EXECUTE deed;
			RESET ROLE;
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLERRM;
			IF SQLSTATE LIKE 'XX%' THEN
				outcome := 'internal: ' || outcome;
			END IF;
		END;
		IF to_regclass('safe.payroll') IS NULL OR to_regclass('safe.counters') IS NULL THEN
			after := 'dropped';
		ELSIF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'safe'::regnamespace
			AND (relowner = 't64_dbowner'::regrole OR relname !~ '^(payroll|counters)'
			OR relname ~ '_index')) THEN
			after := 'taken over or changed';
		ELSE
			after := tap.safe();
		END IF;
		RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
		NULL;
	END;
	IF outcome LIKE 'internal%' THEN
		RETURN tap.is(outcome, '', test_name);
	END IF;
	RETURN tap.is(CASE WHEN after = tap.safe() THEN 'untouched' ELSE left(after, 60) END,
		'untouched', test_name);
END $$;

SET ROLE t64_dbowner;
CREATE TABLE den.t (id int PRIMARY KEY, a text);
SELECT create_history_table('den.t');
INSERT INTO den.t VALUES (1, 'old');
RESET ROLE;
\set history 'UPDATE catmaid_history_table SET history_table = ''safe.payroll'' WHERE live_table = ''den.t''::regclass'
\set tracking 'UPDATE catmaid_history_table SET tracking_table = ''safe.counters'' WHERE live_table = ''den.t''::regclass'
SELECT denied(:'history', 'he may not write such a row', 't64_dbowner');
CREATE TABLE deeds (n int, deed text);
INSERT INTO deeds VALUES
(1, 'UPDATE den.t SET a = ''forged'''), (2, 'DELETE FROM den.t'), (3, 'TRUNCATE den.t'),
(4, 'UPDATE den.t SET id = 3'), (5, 'INSERT INTO den.t VALUES (2, ''forged'')'),
(6, 'SELECT drop_history_table(''den.t'')'), (7, 'SELECT drop_all_history_tables()'),
(8, 'SELECT drop_history_table_keep_data(''den.t'')'),
(9, 'SELECT truncate_history_table(''safe.payroll'')'),
(10, 'SELECT truncate_all_history_tables()'),
(11, 'SELECT sync_tracking_table(''den.t'', ''safe.counters'')'),
(12, 'SELECT disable_history_tracking(); DELETE FROM den.t; INSERT INTO den.t VALUES (9, ''x'');
	SELECT enable_history_tracking()'),
(13, 'SELECT reload_history_tracking_for_table(''den.t'')'),
(14, 'SELECT initialize_new_history_table(''den.t'', ''safe.payroll'', ''id'')'),
(15, 'SELECT create_history_view_for_table(''den.t'')'),
(16, 'ALTER TABLE den.t ADD COLUMN b int; SELECT enable_history_tracking_for_table(''den.t'')'),
(17, 'DROP TABLE den.t CASCADE');
SELECT tap.forge(:'history', deed, 'a forged history table: ' || deed) FROM deeds ORDER BY n;
SELECT tap.forge(:'tracking', deed, 'a forged tracking table: ' || deed) FROM deeds ORDER BY n;

\set names 'UPDATE catmaid_history_table SET time_column = ''a"; DROP TABLE safe.payroll; --'', txid_column = ''a"; DROP TABLE safe.payroll; --'', live_table_pkey_column = ''id); DROP TABLE safe.payroll; --'''
SELECT tap.forge(:'names', deed, 'forged column names: ' || deed) FROM deeds ORDER BY n;

-- A key without columns, and one with more than any index has.
SET ROLE t64_dbowner;
SELECT format('CREATE TABLE den.wide (%s, edition_time timestamptz NOT NULL, txid bigint NOT NULL)',
	string_agg(format('live_pk_%s int', i), ', ')) FROM generate_series(1, 400) i \gexec
RESET ROLE;
\set none 'UPDATE catmaid_history_table SET live_table_pkey_columns = ''{}'''
\set many 'UPDATE catmaid_history_table SET tracking_table = ''den.wide'', live_table_pkey_columns = array_fill(''id''::text, ARRAY[400])'
SELECT tap.forge(:'none', deed, 'a forged key without columns: ' || deed) FROM deeds ORDER BY n;
SELECT tap.forge(:'many', deed, 'a forged key of 400 columns: ' || deed) FROM deeds ORDER BY n;

SELECT is(tap.safe(), :'before', 'all is as it was');

-- The other way round: a superuser's versions sent to the forger, whose table
-- has code of his.
CREATE TABLE safe.secrets (id int PRIMARY KEY, a text);
SELECT create_history_table('safe.secrets');
INSERT INTO safe.secrets VALUES (1, 'secret');
SET ROLE t64_dbowner;
CREATE TABLE den.heard (what text);
GRANT ALL ON den.heard TO PUBLIC;
GRANT USAGE ON SCHEMA den TO PUBLIC;
CREATE FUNCTION den.hear() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO den.heard VALUES (current_user); RETURN NEW; END $$;
CREATE TABLE den.trap (id int, a text, sys_period tstzrange, exec_transaction_id bigint);
CREATE TRIGGER hear BEFORE INSERT ON den.trap FOR EACH ROW EXECUTE FUNCTION den.hear();
CREATE TABLE den.track (live_pk int UNIQUE, edition_time timestamptz, txid bigint);
CREATE TRIGGER hear BEFORE INSERT OR UPDATE ON den.track FOR EACH ROW EXECUTE FUNCTION den.hear();
RESET ROLE;
\set mine ' WHERE live_table = ''safe.secrets''::regclass'
SELECT tap.state('UPDATE catmaid_history_table SET history_table = ''den.trap''' || :'mine')
	AS forged, tap.state('UPDATE safe.secrets SET a = ''b''') AS written \gset
SELECT is((SELECT count(*) FROM den.trap), 0::bigint, 'no version goes to the forger''s table');
SELECT is((SELECT string_agg(what, ',') FROM den.heard), NULL, 'nor does his code run');
DELETE FROM den.heard;
UPDATE catmaid_history_table SET history_table = 'safe.secrets__history' :mine;
SELECT tap.state('UPDATE catmaid_history_table SET tracking_table = ''den.track''' || :'mine')
	AS forged, tap.state('UPDATE safe.secrets SET a = ''c''') AS written,
	tap.state('INSERT INTO safe.secrets VALUES (2, ''d'')') AS written2 \gset
SELECT is((SELECT count(*) FROM den.track), 0::bigint, 'no key goes to the forger''s table');
SELECT is((SELECT string_agg(what, ',') FROM den.heard), NULL, 'nor does his code run there');
UPDATE catmaid_history_table SET tracking_table = 'safe.secrets__tracking' :mine;
UPDATE den.t SET a = 'new';
SELECT is((SELECT string_agg(a, ',') FROM den.t__history), 'old', 'with the true row it records');

\else
SELECT skip('no pg_database_owner before PostgreSQL 14', 5 * 17 + 7);
\endif
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
DROP OWNED BY t64_dbowner CASCADE;
DROP ROLE t64_dbowner;
SELECT * FROM finish();
