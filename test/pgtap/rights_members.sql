-- What the owner of a database can put in the way of adoption: members of the extension
-- of its own, code on further columns of the log; and an owner's error in another's DROP TYPE.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_members_dbo;
DROP ROLE IF EXISTS rights_members_a;
DROP ROLE IF EXISTS rights_members_b;
CREATE ROLE rights_members_dbo;
CREATE ROLE rights_members_a;
CREATE ROLE rights_members_b;
SELECT plan(9);
SELECT format('ALTER DATABASE %I OWNER TO rights_members_dbo', current_database()) \gexec
GRANT USAGE ON SCHEMA tap TO PUBLIC;
SET SESSION AUTHORIZATION rights_members_dbo;
CREATE SCHEMA h;
CREATE TYPE h.history_change_type AS ENUM ('Backend', 'Migration', 'External');
CREATE TABLE h.catmaid_history_table (live_table regclass PRIMARY KEY, history_table regclass NOT NULL UNIQUE,
	triggers_installed boolean NOT NULL, live_table_pkey_column text NOT NULL, tracking_table regclass,
	time_column text NOT NULL, txid_column text NOT NULL, creation_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE h.catmaid_transaction_info (transaction_id bigint, execution_time timestamptz NOT NULL DEFAULT now(), user_id int,
	project_id int, change_type h.history_change_type NOT NULL, label text NOT NULL, PRIMARY KEY (transaction_id, execution_time));
CREATE EXTENSION catmaid_history SCHEMA h VERSION 'unpackaged';
CREATE FUNCTION h.catmaid_history_ddl_end() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
ALTER EXTENSION catmaid_history ADD FUNCTION h.catmaid_history_ddl_end();
RESET SESSION AUTHORIZATION;
SELECT refused('ALTER EXTENSION catmaid_history UPDATE', '{members,catmaid_history_ddl_end}', 'a member of the database owner''s', '42501', NULL, 'DROP');
ALTER EXTENSION catmaid_history DROP FUNCTION h.catmaid_history_ddl_end();
DROP FUNCTION h.catmaid_history_ddl_end();
CREATE FUNCTION h.code() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER TABLE h.catmaid_transaction_info ADD COLUMN why int DEFAULT h.code();
SELECT refused('ALTER EXTENSION catmaid_history UPDATE', '{default,why}', 'a default of the log''s own that calls a function of the site''s', '55000');
ALTER TABLE h.catmaid_transaction_info ALTER why SET DEFAULT pg_backend_pid();
CREATE DOMAIN h.checked AS int CHECK (h.code() > 0);
ALTER TABLE h.catmaid_transaction_info ADD COLUMN who h.checked[];
SELECT is(left(tap.state('ALTER EXTENSION catmaid_history UPDATE'), 5), '55000', 'a column of a domain');
ALTER TABLE h.catmaid_transaction_info DROP COLUMN who;
SELECT allowed('ALTER EXTENSION catmaid_history UPDATE', 'without them the database is adopted');
SELECT is((SELECT count(*) FROM pg_depend d JOIN pg_proc p ON p.oid = objid WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_extension'::regclass
	AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'catmaid_history')
	AND proowner = 'rights_members_dbo'::regrole
	-- before there was pg_database_owner, these two are his by name
	AND (current_setting('server_version_num')::int >= 140000 OR proname NOT IN ('drop_history_table', 'drop_history_table_keep_data'))), 0::bigint, '... and no function of it is the role''s');
SELECT allowed('INSERT INTO h.catmaid_transaction_info (change_type, label) VALUES (''Backend'', ''x'')', '... and its own default works');

-- The owner of a history that has kept a column of another role's type, and an error
-- that counts as the server's.
CREATE SCHEMA sa AUTHORIZATION rights_members_a;
CREATE SCHEMA sb AUTHORIZATION rights_members_b;
GRANT USAGE ON SCHEMA sa, sb, h TO PUBLIC;
SET SESSION AUTHORIZATION rights_members_b;
CREATE TYPE sb.mood AS ENUM ('x', 'y');
SET SESSION AUTHORIZATION rights_members_a;
CREATE TABLE sa.t (id int PRIMARY KEY, m sb.mood, n int);
SELECT h.create_history_table('sa.t');
INSERT INTO sa.t VALUES (1, 'x', 2);
UPDATE sa.t SET n = 3;
CREATE FUNCTION sa.bad(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN IF session_user <> 'rights_members_a' THEN RAISE SQLSTATE '40001' USING MESSAGE = 'not today'; END IF; RETURN i; END $$;
CREATE INDEX ON sa.t__history (sa.bad(n));
ALTER TABLE sa.t__history ADD CHECK (sa.bad(n) > 0);
SET catmaid_history.on_drop_column = keep;
ALTER TABLE sa.t DROP COLUMN m;
RESET catmaid_history.on_drop_column;
SELECT set_config('client_min_messages', 'warning', false) \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE pg_class SET relname = relname WHERE relnamespace = 'sa'::regnamespace;
SET SESSION AUTHORIZATION rights_members_b;
SELECT is(tap.state('DROP TYPE sb.mood CASCADE'), '00000', 'another role drops its type');
RESET SESSION AUTHORIZATION;
SELECT is(to_regtype('sb.mood'), NULL, '... which is gone');
SELECT is((SELECT count(*) FROM sa.t), 1::bigint, '... and the table is there');
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user) \gexec
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_members_dbo, rights_members_a, rights_members_b CASCADE;
DROP ROLE rights_members_dbo, rights_members_a, rights_members_b;
SELECT * FROM finish();
