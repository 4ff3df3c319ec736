-- What is refused, and how: SQLSTATE, what is wrong with which table, what to
-- do.  Nothing is left half-made.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_errors;
SET search_path = test_errors, public;

CREATE FUNCTION refusal(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'ACCEPTED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat(state, ': ', message, E'\nDETAIL: ' || nullif(detail, ''),
                  E'\nHINT: ' || nullif(hint, ''));
END $$;
-- The same without the words, which PostgreSQL's versions choose differently.
CREATE FUNCTION refusal_kind(command text, about text) RETURNS text LANGUAGE sql AS $$
    SELECT concat(left(r, 5), CASE WHEN strpos(r, about) > 0 THEN ', names ' || about END,
                  CASE WHEN strpos(r, E'\nHINT: ') > 0 THEN ', has a hint' END)
      FROM refusal(command) r $$;
GRANT USAGE ON SCHEMA test_errors TO PUBLIC;
\pset format unaligned
\pset tuples_only on

CREATE TABLE plain (id int PRIMARY KEY, at timestamptz, xid bigint, note text,
    computed bigint GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE second (id int PRIMARY KEY);
CREATE TABLE keyless (id int NOT NULL UNIQUE);
CREATE VIEW a_view AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS id;
CREATE SEQUENCE a_sequence;
CREATE TEMP TABLE a_temporary (id int PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER regress_history_wrapper;
CREATE SERVER regress_history_server FOREIGN DATA WRAPPER regress_history_wrapper;
CREATE FOREIGN TABLE a_foreign (id int) SERVER regress_history_server;
CREATE TABLE root (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES IN (1);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (at timestamptz, xid bigint, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE mother (id int PRIMARY KEY);
CREATE TABLE father (id int PRIMARY KEY);
CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (mother, father);
CREATE TABLE keyless_parent (id int);
CREATE TABLE keyed_child (PRIMARY KEY (id)) INHERITS (keyless_parent);
CREATE TABLE reserved_1 (id int PRIMARY KEY, sys_period int);
CREATE TABLE reserved_2 (id int PRIMARY KEY, exec_transaction_id bigint);
CREATE TABLE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvw (id int PRIMARY KEY);
CREATE TABLE taken_history (id int PRIMARY KEY);
CREATE TABLE taken_history__history (id int);
CREATE TABLE taken_tracking (id int PRIMARY KEY);
CREATE TABLE taken_tracking__tracking (id int);
CREATE TABLE taken_view (id int PRIMARY KEY);
CREATE TABLE taken_view__with_history (id int);
CREATE TABLE taken_trigger (id int PRIMARY KEY);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER on_change_update_tracking_table AFTER INSERT ON taken_trigger
    FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT count(*) AS relations FROM pg_class
 WHERE relnamespace = 'test_errors'::regnamespace \gset

--
-- create_history_table: no table to track
--
SELECT refusal($$SELECT create_history_table('keyless')$$);
SELECT refusal($$SELECT create_history_table('a_view')$$);
SELECT refusal($$SELECT create_history_table('a_matview')$$);
SELECT refusal($$SELECT create_history_table('a_sequence')$$);
SELECT refusal($$SELECT create_history_table('a_temporary')$$);
SELECT refusal($$SELECT create_history_table('a_foreign')$$);
SELECT refusal($$SELECT create_history_table('plain_pkey')$$);
SELECT refusal($$SELECT create_history_table('pg_catalog.pg_class')$$);
SELECT refusal($$SELECT create_history_table('public.catmaid_history_table')$$);
SELECT refusal($$SELECT create_history_table('leaf')$$);
SELECT refusal($$SELECT create_history_table(NULL)$$);
SELECT refusal($$SELECT create_history_table('heir')$$);
SELECT refusal($$SELECT create_history_table('keyed_child')$$);
SELECT refusal($$SELECT create_history_table('reserved_1')$$);
SELECT refusal($$SELECT create_history_table('reserved_2')$$);

--
-- create_history_table: time and txid column
--
SELECT refusal($$SELECT create_history_table('plain', 'at')$$);
SELECT refusal($$SELECT create_history_table('plain', NULL, 'xid')$$);
SELECT refusal($$SELECT create_history_table('plain', 'nowhere', 'xid')$$);
SELECT refusal($$SELECT create_history_table('plain', 'at', 'nowhere')$$);
SELECT refusal($$SELECT create_history_table('plain', 'note', 'xid')$$);
SELECT refusal($$SELECT create_history_table('plain', 'at', 'id')$$);
SELECT refusal($$SELECT create_history_table('plain', 'at', 'computed')$$);
SELECT refusal($$SELECT create_history_table('plain', 'AT', 'xid')$$);
SELECT refusal($$SELECT create_history_table('child', 'at', 'xid')$$);

--
-- create_history_table: names
--
SELECT refusal($$SELECT create_history_table('abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvw')$$);
SELECT refusal($$SELECT create_history_table('taken_history')$$);
SELECT refusal($$SELECT create_history_table('taken_tracking')$$);
SELECT refusal($$SELECT create_history_table('taken_view')$$);
SELECT refusal($$SELECT create_history_table('taken_trigger')$$);

-- nothing was made
SELECT count(*) - :relations AS new_relations FROM pg_class
 WHERE relnamespace = 'test_errors'::regnamespace;
SELECT count(*) AS registered FROM catmaid_history_table;

--
-- enabling and disabling
--
SELECT refusal($$SELECT enable_history_tracking_for_table('plain')$$);
SELECT refusal($$SELECT disable_history_tracking_for_table('plain')$$);
SELECT refusal($$SELECT reload_history_tracking_for_table('plain')$$);
SELECT refusal($$SELECT enable_history_tracking_for_table(NULL)$$);
SELECT refusal($$SELECT disable_history_tracking_for_table(NULL)$$);
SELECT create_history_table('plain');
SELECT create_history_table('second');
SELECT refusal($$SELECT enable_history_tracking_for_table('plain', 'second__history')$$);
SELECT refusal($$SELECT disable_history_tracking_for_table('plain', 'second__history')$$);
SELECT refusal($$SELECT disable_history_tracking_for_table('plain', 'plain')$$);
SELECT triggers_installed FROM catmaid_live_table_triggers
 WHERE live_table = 'plain'::regclass;

-- histories have no history
SELECT refusal($$SELECT create_history_table('plain__history')$$);
SELECT refusal($$SELECT create_history_table('plain__tracking')$$);
SELECT refusal($$SELECT create_history_table('plain__with_history')$$);
SELECT refusal($$SELECT enable_history_tracking_for_table('plain__history')$$);
SELECT refusal($$SELECT disable_history_tracking_for_table('plain__with_history')$$);
SELECT refusal($$SELECT enable_history_tracking_for_table('leaf')$$);

-- a history table that does not fit any more
SELECT disable_history_tracking_for_table('second');
SELECT drop_history_view_for_table('second');
ALTER TABLE second ALTER COLUMN id TYPE bigint;
SELECT refusal($$SELECT enable_history_tracking_for_table('second')$$);
ALTER TABLE second ALTER COLUMN id TYPE int;
ALTER TABLE second DROP CONSTRAINT second_pkey;
SELECT refusal($$SELECT enable_history_tracking_for_table('second')$$);
ALTER TABLE second ADD PRIMARY KEY (id);
SELECT refusal($$SELECT enable_history_tracking_for_table('second')$$);

--
-- other functions
--
SELECT refusal($$SELECT sync_tracking_table('root', 'plain__tracking')$$);
SELECT refusal($$SELECT sync_tracking_table('plain', 'second__tracking')$$);
SELECT refusal($$SELECT create_history_view_for_table('root')$$);
SELECT refusal($$SELECT initialize_new_history_table('plain', 'second__history', 'id')$$);
SELECT refusal($$SELECT initialize_new_history_table('plain', 'plain__history', 'note')$$);
SELECT refusal($$SELECT truncate_history_table('plain')$$);
SELECT refusal($$SELECT truncate_history_table('plain__tracking')$$);
SELECT refusal($$SELECT drop_history_table(NULL)$$);
SELECT create_history_table('child');
SELECT refusal($$SELECT drop_history_table('parent')$$);

--
-- who does not own the table
--
CREATE ROLE regress_history_stranger;
GRANT ALL ON ALL TABLES IN SCHEMA test_errors TO regress_history_stranger;
SET ROLE regress_history_stranger;
SELECT refusal_kind($$SELECT create_history_table('root')$$, 'root');
SELECT refusal_kind($$SELECT enable_history_tracking_for_table('plain')$$, 'plain');
SELECT refusal_kind($$SELECT disable_history_tracking_for_table('plain')$$, 'plain');
SELECT refusal_kind($$SELECT drop_history_table('plain')$$, 'plain');
SELECT refusal_kind($$SELECT drop_history_table_keep_data('plain')$$, 'plain');
SELECT refusal_kind($$SELECT drop_history_view_for_table('plain')$$, 'plain');
SELECT refusal_kind($$SELECT truncate_history_table('plain__history')$$, 'plain');
SELECT refusal_kind($$SELECT sync_tracking_table('plain', 'plain__tracking')$$, 'plain');
SELECT refusal($$DELETE FROM public.catmaid_history_table$$);
SELECT refusal($$UPDATE public.catmaid_history_table SET triggers_installed = false$$);
SELECT refusal($$INSERT INTO public.catmaid_transaction_info (transaction_id, change_type, label)
    VALUES (1, 'Backend', 'forged')$$);
SELECT refusal($$SELECT label FROM public.catmaid_transaction_info$$);
RESET ROLE;
DROP OWNED BY regress_history_stranger;
DROP ROLE regress_history_stranger;

--
-- trigger functions outside their triggers
--
SELECT refusal($$CREATE TRIGGER copy BEFORE UPDATE ON second
    FOR EACH ROW EXECUTE FUNCTION public.catmaid_history_capture();
    INSERT INTO second VALUES (1);
    UPDATE second SET id = 2$$);

SELECT drop_all_history_tables();
\pset format aligned
\pset tuples_only off
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER regress_history_wrapper CASCADE;
DROP SCHEMA test_errors CASCADE;
