-- Section 7: the triggers of a history are the live table's owner's.  Neither the
-- TRIGGER privilege, which GRANT ALL gives, nor a partition makes, replaces, switches
-- or drops them, whatever the settings; and no trigger of another's making starts a
-- kept history again, or has versions of another's choosing stored.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_triggers_owner;
DROP ROLE IF EXISTS rights_triggers_member;
DROP ROLE IF EXISTS rights_triggers_writer;
DROP ROLE IF EXISTS rights_triggers_part;
CREATE ROLE rights_triggers_owner;
CREATE ROLE rights_triggers_member IN ROLE rights_triggers_owner;
CREATE ROLE rights_triggers_writer;
CREATE ROLE rights_triggers_part;
CREATE EXTENSION catmaid_history;
SELECT plan(81);
\set owner '''rights_triggers_owner'''
\set writer '''rights_triggers_writer'''
\set part '''rights_triggers_part'''
CREATE SCHEMA s;
GRANT ALL ON SCHEMA s TO rights_triggers_owner, rights_triggers_writer, rights_triggers_part;
SET SESSION AUTHORIZATION rights_triggers_owner;
CREATE TABLE s.timed (id int PRIMARY KEY, a text, edited timestamptz, txid bigint);
CREATE TABLE s.tracked (id int PRIMARY KEY, a text);
CREATE TABLE s.kept_timed (id int PRIMARY KEY, a text, edited timestamptz, txid bigint);
CREATE TABLE s.kept_tracked (id int PRIMARY KEY, a text);
CREATE TABLE s.r (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE s.p1 PARTITION OF s.r FOR VALUES FROM (0) TO (100);
CREATE TABLE s.p2 PARTITION OF s.r FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE s.p21 PARTITION OF s.p2 FOR VALUES FROM (100) TO (200);
CREATE TABLE s.kept_r (id int PRIMARY KEY, a text, edited timestamptz, txid bigint) PARTITION BY RANGE (id);
CREATE TABLE s.kept_p PARTITION OF s.kept_r FOR VALUES FROM (0) TO (100);
SELECT create_history_table('s.timed', 'edited', 'txid'), create_history_table('s.tracked'),
	create_history_table('s.kept_timed', 'edited', 'txid'), create_history_table('s.kept_tracked'),
	create_history_table('s.r'), create_history_table('s.kept_r');
INSERT INTO s.timed VALUES (1, 'a');
INSERT INTO s.tracked VALUES (1, 'a');
INSERT INTO s.kept_timed VALUES (1, 'a');
INSERT INTO s.kept_tracked VALUES (1, 'a');
INSERT INTO s.r VALUES (1, 'a'), (101, 'b');
INSERT INTO s.kept_r VALUES (1, 'a');
SELECT drop_history_table_keep_data(t) FROM unnest('{s.kept_timed,s.kept_tracked,s.kept_r}'::regclass[]) t;
CREATE TABLE s.kept_tracked__tracking (live_pk int PRIMARY KEY, edition_time timestamptz NOT NULL, txid bigint NOT NULL);
GRANT ALL ON ALL TABLES IN SCHEMA s TO rights_triggers_writer;
RESET SESSION AUTHORIZATION;
ALTER TABLE s.p1 OWNER TO rights_triggers_part;
ALTER TABLE s.p2 OWNER TO rights_triggers_part;
ALTER TABLE s.p21 OWNER TO rights_triggers_part;
ALTER TABLE s.kept_p OWNER TO rights_triggers_part;
CREATE FUNCTION s.harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION tap.triggers() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgfoid::regproc, tgtype, tgenabled, tgqual, tgattr, tgconstraint),
		E'\n' ORDER BY tgrelid::regclass::text, tgname COLLATE "C") FROM pg_trigger
	WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 's'::regnamespace) AND tgname NOT LIKE 'RI_%' $$;
CREATE FUNCTION tap.histories() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', (SELECT string_agg(h::text, ';' ORDER BY h::text) FROM s.timed__history h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM s.tracked__history h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM s.r__history h),
		(SELECT count(*) FROM s.kept_timed__history), (SELECT count(*) FROM s.kept_tracked__history),
		(SELECT count(*) FROM s.kept_r__history), (SELECT string_agg(live_table::text, ',' ORDER BY live_table::text)
			FROM catmaid_history_table)) $$;
SELECT tap.triggers() AS before, tap.histories() AS histories \gset

-- Made anew: each of our functions, under each of our names and another one, in any shape.
CREATE FUNCTION tap.made(rel text, role name) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT tap.denied(cmd, format('%s: %s', rel, replace(cmd, 'CREATE ', '')), role) FROM (
	SELECT format('CREATE TRIGGER %s %s ON %s FOR EACH %s EXECUTE FUNCTION %s(%s)', name, timing, rel, level, fn, args) AS cmd
	FROM (VALUES
		('on_change_update_history_regular', 'AFTER UPDATE OR DELETE', 'ROW', 'catmaid_history_capture', '''edited'', ''txid'''),
		('on_change_update_history_txid_regular', 'BEFORE UPDATE', 'ROW', 'catmaid_history_set_txid', '''edited'', ''txid'''),
		('on_change_history_trackingtable', 'AFTER UPDATE OR DELETE', 'ROW', 'catmaid_history_capture', ''),
		('on_change_update_tracking_table', 'AFTER INSERT', 'ROW', 'catmaid_history_capture', ''),
		('on_truncate_handle_live_table_truncate', 'BEFORE TRUNCATE', 'STATEMENT', 'catmaid_history_truncate', ''),
		('on_truncate_truncate_tracking_table', 'AFTER TRUNCATE', 'STATEMENT', 'catmaid_history_truncate', ''),
		('another', 'AFTER UPDATE OR DELETE', 'ROW', 'catmaid_history_capture', '')) t(name, timing, level, fn, args)
	UNION ALL SELECT format('CREATE CONSTRAINT TRIGGER on_change_history_trackingtable AFTER UPDATE ON %s '
		'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION catmaid_history_capture()', rel)) x $$;
SELECT made('s.kept_timed', :writer);
SELECT made('s.kept_tracked', :writer);
-- (a statement trigger that calls for TRUNCATE a partition may have of its own)
SELECT made('s.kept_p', :part);
SET catmaid_history.follow_ddl = off;
SELECT denied('CREATE TRIGGER on_change_update_history_regular AFTER UPDATE OR DELETE ON s.kept_timed FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture(''edited'', ''txid'')', 'with follow_ddl off', :writer);
RESET catmaid_history.follow_ddl;
SELECT denied('DO $x$BEGIN CREATE TRIGGER x AFTER UPDATE OR DELETE ON s.kept_timed FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture(''edited'', ''txid''); END$x$', 'in a DO block', :writer);

-- Replaced, while the table is tracked.
SELECT current_setting('server_version_num')::int >= 140000 AS can_replace \gset
\if :can_replace
SELECT denied(cmd, cmd, :writer) FROM unnest(ARRAY[
	'CREATE OR REPLACE TRIGGER on_change_history_trackingtable AFTER UPDATE OR DELETE ON s.tracked FOR EACH ROW
		WHEN (OLD.id IS NULL) EXECUTE FUNCTION catmaid_history_capture()',
	'CREATE OR REPLACE TRIGGER on_change_history_trackingtable AFTER DELETE ON s.tracked FOR EACH ROW
		EXECUTE FUNCTION catmaid_history_capture()',
	'CREATE OR REPLACE TRIGGER on_change_history_trackingtable AFTER UPDATE OF a ON s.tracked FOR EACH ROW
		EXECUTE FUNCTION catmaid_history_capture()',
	'CREATE OR REPLACE TRIGGER on_change_history_trackingtable AFTER UPDATE OR DELETE ON s.tracked FOR EACH ROW
		EXECUTE FUNCTION s.harmless()',
	'CREATE OR REPLACE TRIGGER on_change_update_history_txid_regular BEFORE UPDATE ON s.timed FOR EACH ROW
		EXECUTE FUNCTION catmaid_history_set_txid(''edited'', ''id'')',
	'CREATE OR REPLACE TRIGGER on_truncate_handle_live_table_truncate BEFORE TRUNCATE ON s.timed FOR EACH STATEMENT
		EXECUTE FUNCTION s.harmless()',
	'CREATE OR REPLACE TRIGGER on_truncate_truncate_tracking_table AFTER TRUNCATE ON s.tracked FOR EACH STATEMENT
		WHEN (false) EXECUTE FUNCTION catmaid_history_truncate()']) cmd;
SELECT denied('CREATE OR REPLACE TRIGGER on_truncate_handle_live_table_truncate BEFORE TRUNCATE ON s.p1 FOR EACH STATEMENT
	EXECUTE FUNCTION s.harmless()', 'of a partition, by its owner', :part);
\else
SELECT skip('no CREATE OR REPLACE TRIGGER before PostgreSQL 14', 8);
\endif
SELECT denied('CREATE TRIGGER on_delete_update_history_txid_regular AFTER DELETE ON s.timed FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture()', 'added, with our function', :writer);
-- A trigger of his own is the writer's affair, and a name of ours on a table that is not tracked.
SELECT allowed('CREATE TRIGGER mine BEFORE UPDATE ON s.tracked FOR EACH ROW EXECUTE FUNCTION s.harmless()',
	'a trigger of his own', :writer);
SELECT allowed('CREATE TRIGGER on_change_history_trackingtable BEFORE UPDATE ON s.kept_timed FOR EACH ROW
	EXECUTE FUNCTION s.harmless(); ', 'a name of ours, elsewhere', :writer);
DROP TRIGGER mine ON s.tracked;
DROP TRIGGER on_change_history_trackingtable ON s.kept_timed;

-- Switched, renamed and dropped, of a partition by its owner.
CREATE TRIGGER mine BEFORE UPDATE ON s.p1 FOR EACH ROW EXECUTE FUNCTION s.harmless();
SELECT tap.triggers() AS before \gset
SELECT denied(cmd, cmd, :part) FROM unnest(ARRAY[
	'ALTER TABLE s.p1 DISABLE TRIGGER ALL', 'ALTER TABLE s.p1 DISABLE TRIGGER USER',
	'ALTER TABLE s.p1 DISABLE TRIGGER on_change_history_trackingtable',
	'ALTER TABLE s.p1 ENABLE REPLICA TRIGGER on_change_update_tracking_table',
	'ALTER TABLE s.p1 DISABLE TRIGGER on_truncate_handle_live_table_truncate',
	'ALTER TABLE s.p2 DISABLE TRIGGER on_change_history_trackingtable',
	'ALTER TABLE s.p21 DISABLE TRIGGER on_change_history_trackingtable',
	'ALTER TABLE s.p1 ADD CHECK (id > -1), DISABLE TRIGGER on_change_history_trackingtable',
	'ALTER TRIGGER on_truncate_handle_live_table_truncate ON s.p1 RENAME TO hidden',
	'DROP TRIGGER on_truncate_handle_live_table_truncate ON s.p1',
	'DROP TRIGGER on_truncate_truncate_tracking_table ON s.p21',
	'DROP TRIGGER IF EXISTS on_truncate_handle_live_table_truncate ON s.p1 CASCADE']) cmd;
SELECT isnt(left(state('ALTER TRIGGER on_change_history_trackingtable ON s.p1 RENAME TO hidden', :part), 5), '00000',
	'nor a clone renamed');
SELECT isnt(left(state('DROP TRIGGER on_change_history_trackingtable ON s.p1', :part), 5), '00000', 'nor dropped');
CREATE EXTENSION citext SCHEMA public;
SELECT denied('ALTER TRIGGER on_truncate_handle_live_table_truncate ON s.p1 DEPENDS ON EXTENSION citext',
	'nor made to go with an extension', :part);
SET catmaid_history.follow_ddl = off;
SELECT denied('ALTER TABLE s.p1 DISABLE TRIGGER ALL', 'with follow_ddl off', :part);
SELECT denied('DROP TRIGGER on_truncate_handle_live_table_truncate ON s.p1', 'likewise', :part);
RESET catmaid_history.follow_ddl;
SELECT is(tap.triggers(), :'before', 'all triggers are as they were');
SELECT allowed(cmd, cmd, :part) FROM unnest(ARRAY['ALTER TABLE s.p1 DISABLE TRIGGER mine',
	'ALTER TRIGGER mine ON s.p1 RENAME TO mine2', 'DROP TRIGGER mine2 ON s.p1']) cmd;
-- What the root's owner has switched off, a partition's need not be on for its own to be switched.
ALTER TABLE s.r DISABLE TRIGGER ALL;
ALTER TABLE s.p1 DISABLE TRIGGER ALL;
CREATE TRIGGER mine BEFORE UPDATE ON s.p1 FOR EACH ROW EXECUTE FUNCTION s.harmless();
SELECT allowed('ALTER TABLE s.p1 DISABLE TRIGGER mine', 'his own, while ours are switched off', :part);
SELECT denied('ALTER TABLE s.p1 ENABLE TRIGGER ALL', 'ours are not his to switch on, either', :part);
DROP TRIGGER mine ON s.p1;
ALTER TABLE s.p1 ENABLE TRIGGER ALL;
ALTER TABLE s.r ENABLE TRIGGER ALL;
SELECT is(tap.histories(), :'histories', 'nothing has been recorded, or registered');

-- The owner, a member of it and a superuser may do with them what PostgreSQL lets them do.
SELECT allowed('DROP TRIGGER on_change_history_trackingtable ON s.tracked; CREATE TRIGGER on_change_history_trackingtable
	AFTER UPDATE OR DELETE ON s.tracked FOR EACH ROW EXECUTE FUNCTION catmaid_history_capture()', 'by ' || r, r)
	FROM unnest(ARRAY[:owner, 'rights_triggers_member', current_user]) r;
SELECT allowed('ALTER TABLE s.p1 DISABLE TRIGGER ALL; ALTER TABLE s.p1 ENABLE TRIGGER ALL', 'of a partition, by a superuser');
UPDATE s.tracked SET a = 'b';
SELECT is((SELECT count(*) FROM s.tracked__history), 1::bigint, 'versions are recorded');

-- Triggers that are there all the same, made before anybody looked.
ALTER EVENT TRIGGER catmaid_history_ddl_end DISABLE;
SET SESSION AUTHORIZATION rights_triggers_writer;
CREATE TRIGGER on_change_update_history_regular AFTER UPDATE OR DELETE ON s.kept_timed FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture('edited', 'txid');
CREATE TRIGGER on_change_history_trackingtable AFTER UPDATE OR DELETE ON s.kept_tracked FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture();
-- (an expression that makes the trigger depend on the history, as the mark does)
CREATE TRIGGER on_truncate_truncate_tracking_table AFTER TRUNCATE ON s.kept_timed FOR EACH STATEMENT
	WHEN ('s.kept_timed__history'::regclass IS NOT NULL) EXECUTE FUNCTION catmaid_history_truncate('edited', 'txid');
SET SESSION AUTHORIZATION rights_triggers_part;
CREATE TRIGGER on_change_update_history_regular AFTER UPDATE OR DELETE ON s.kept_p FOR EACH ROW
	EXECUTE FUNCTION catmaid_history_capture('edited', 'txid');
RESET SESSION AUTHORIZATION;
ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE;
SELECT is((SELECT count(*) FROM pg_depend WHERE classid = 'pg_trigger'::regclass
	AND refobjid = 's.kept_timed__history'::regclass), 1::bigint, 'control: a forged dependency');
SELECT refused(cmd, '{history}', cmd, '55000', :writer, 'create_history_table') FROM unnest(ARRAY[
	'UPDATE s.kept_timed SET a = ''never there'', edited = ''1999-01-01''', 'TRUNCATE s.kept_timed',
	'UPDATE s.kept_tracked SET a = ''never there''']) cmd;
SELECT refused('UPDATE s.kept_p SET a = ''never there''', '{history}', 'on a partition', '55000', :part, 'create_history_table');
SELECT is((SELECT string_agg(finding, ' ') FROM check_history() WHERE live_table IN ('s.kept_timed'::regclass,
	's.kept_tracked'::regclass, 's.kept_r'::regclass)), 'not_registered not_registered not_registered', 'check_history tells');
SELECT is((SELECT count(*) FROM s.kept_timed__history) + (SELECT count(*) FROM s.kept_tracked__history)
	+ (SELECT count(*) FROM s.kept_r__history), 0::bigint, 'kept histories are as they were');

-- Not quite ours: a write is refused rather than left out, and the hint mends it.
CREATE FUNCTION tap.forged(definition text, deed text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	ALTER EVENT TRIGGER catmaid_history_ddl_end DISABLE;
	EXECUTE definition;
	ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE;
	RETURN NEXT tap.refused(deed, '{the one that the history needs}', definition, '55000', NULL, 'repair_history');
	PERFORM repair_history('s.tracked');
	RETURN NEXT tap.allowed(deed, 'repaired');
END $$;
SELECT forged(format('DROP TRIGGER %I ON s.tracked; CREATE TRIGGER %1$I %s', name, shape), deed) FROM (VALUES
	('on_change_history_trackingtable', 'AFTER UPDATE OR DELETE ON s.tracked FOR EACH ROW WHEN (true)
		EXECUTE FUNCTION catmaid_history_capture()', 'UPDATE s.tracked SET a = a'),
	('on_change_history_trackingtable', 'AFTER UPDATE OF a ON s.tracked FOR EACH ROW
		EXECUTE FUNCTION catmaid_history_capture()', 'UPDATE s.tracked SET a = a'),
	('on_truncate_handle_live_table_truncate', 'BEFORE TRUNCATE ON s.tracked FOR EACH STATEMENT WHEN (true)
		EXECUTE FUNCTION catmaid_history_truncate()', 'TRUNCATE s.tracked')) x(name, shape, deed);
INSERT INTO s.tracked VALUES (1, 'a');
ALTER EVENT TRIGGER catmaid_history_ddl_end DISABLE;
DROP TRIGGER on_change_history_trackingtable ON s.tracked;
CREATE CONSTRAINT TRIGGER on_change_history_trackingtable AFTER UPDATE OR DELETE ON s.tracked DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION catmaid_history_capture();
ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE;
SELECT refused('UPDATE s.tracked SET a = a; SET CONSTRAINTS ALL IMMEDIATE', '{the one that the history needs}',
	'a deferred constraint trigger', '55000', NULL, 'repair_history');
SELECT repair_history('s.tracked');
SELECT allowed('UPDATE s.tracked SET a = a', 'repaired');

DROP SCHEMA s CASCADE;
DROP OWNED BY rights_triggers_owner, rights_triggers_writer, rights_triggers_part CASCADE;
DROP ROLE rights_triggers_member, rights_triggers_owner, rights_triggers_writer, rights_triggers_part;
SELECT * FROM finish();
