-- Section 8: a database of a CATMAID before its migration 0096, where one trigger stores
-- UPDATE and DELETE: it is in order, and cannot be adopted until it has migrated.
\ir lib/start.psql
\ir lib/error_of.psql
SELECT plan(11);
\ir lib/old_implementation.sql
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE tracked (id int PRIMARY KEY, v text);
SELECT create_history_table('timed', 'edited', 'txid'), create_history_table('tracked') \g /dev/null
INSERT INTO timed VALUES (1, 'a');
INSERT INTO tracked VALUES (1, 'a');

-- As it was before 0096: one trigger, BEFORE UPDATE OR DELETE, and fewer functions.
CREATE TABLE later AS SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS definition FROM pg_proc p
WHERE proname IN ('get_history_txid_update_trigger_name_regular', 'get_history_delete_trigger_name_regular',
	'get_history_txid_update_fn_name_regular');
SELECT format('DROP FUNCTION %s', name) FROM later \gexec
DROP TRIGGER on_change_update_history_txid_regular ON timed;
DROP TRIGGER on_delete_update_history_txid_regular ON timed;
DROP TRIGGER on_change_update_history_regular ON timed;
CREATE OR REPLACE FUNCTION update_history_timed_reg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO timed__history (id, v, edited, txid, sys_period) SELECT OLD.*,
		tstzrange(least(OLD.edited, current_timestamp), current_timestamp);
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	NEW.txid := txid_current();
	RETURN NEW;
END $$;
CREATE TRIGGER on_change_update_history_regular BEFORE UPDATE OR DELETE ON timed
	FOR EACH ROW EXECUTE FUNCTION update_history_timed_reg();
UPDATE timed SET edited = now(), v = 'b';
UPDATE tracked SET v = 'b';
SELECT is((SELECT count(*) FROM timed__history), 1::bigint, 'it records');

BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT is((SELECT string_agg(concat_ws(' ', live_table, severity, finding), ', ') FROM check_history()), 'warning older_than_0096',
	'nothing is found but that it is too old');
SELECT is((SELECT hint FROM check_history()), 'Run CATMAID''s migrations first: manage.py migrate catmaid 0098, or a newer one.', 'with a hint');
ALTER TABLE timed DISABLE TRIGGER on_change_update_history_regular;
SELECT is((SELECT string_agg(concat_ws(' ', finding, object), ', ') FROM check_history('timed')),
	'trigger_disabled on_change_update_history_regular', 'what is wrong is found all the same');
ROLLBACK;
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT is((SELECT concat_ws(' ', state, msg) FROM error_of('ALTER EXTENSION catmaid_history UPDATE')),
	'55000 the older implementation is older than what can be adopted', 'adoption is refused');
SELECT is((SELECT hint FROM error_of('ALTER EXTENSION catmaid_history UPDATE')),
	'Run CATMAID''s migrations first: manage.py migrate catmaid 0098, or a newer one.', 'with the way on');
DROP EXTENSION catmaid_history;
COMMIT;
DELETE FROM timed;
SELECT is((SELECT count(*) FROM timed__history), 2::bigint, 'it goes on as it was');

-- Migrated, it is adopted: what 0096 makes is there.
SELECT definition FROM later \gexec
DROP TRIGGER on_change_update_history_regular ON timed;
DROP TRIGGER on_truncate_handle_live_table_truncate ON timed;
UPDATE catmaid_history_table SET triggers_installed = false WHERE live_table = 'timed'::regclass;
SELECT enable_history_tracking_for_table('timed', 'timed__history') \g /dev/null
DROP TABLE later;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT is((SELECT string_agg(finding, ', ') FROM check_history()), NULL, 'migrated: nothing is found');
SELECT lives_ok('ALTER EXTENSION catmaid_history UPDATE', 'adopted');
INSERT INTO timed VALUES (2, 'a');
UPDATE timed SET edited = now(), v = 'b' WHERE id = 2;
SELECT is((SELECT count(*) FROM timed__history), 3::bigint, 'recorded on');
SELECT is((SELECT string_agg(finding, ', ') FROM check_history()), NULL, 'nothing is found');
SELECT * FROM finish();
