-- Section 7: a row of the registry gives nobody power over a table.  Who may write one
-- by hand; what marks a history, and where the mark goes; and whatever stands in a row
-- all the same, nothing is dropped, altered, given away, written or read on its word.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_registry_dbowner;
DROP ROLE IF EXISTS rights_registry_owner;
DROP ROLE IF EXISTS rights_registry_other;
CREATE ROLE rights_registry_dbowner;
CREATE ROLE rights_registry_owner;
CREATE ROLE rights_registry_other;
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO rights_registry_dbowner', current_database()) \gexec
CREATE EXTENSION catmaid_history;
SELECT plan(167);
\set owner '''rights_registry_owner'''
\set dbowner '''rights_registry_dbowner'''
CREATE SCHEMA s;
CREATE SCHEMA same;
CREATE SCHEMA others;
CREATE SCHEMA den;
GRANT ALL ON SCHEMA s, same TO rights_registry_owner;
GRANT ALL ON SCHEMA others TO rights_registry_other;
GRANT ALL ON SCHEMA den TO rights_registry_dbowner;
GRANT USAGE ON SCHEMA s TO rights_registry_dbowner;

SET SESSION AUTHORIZATION rights_registry_owner;
CREATE TABLE s.t (id int PRIMARY KEY, a text);
CREATE TABLE s.timed (id int PRIMARY KEY, a text, edited timestamptz, txid bigint, another bigint);
CREATE TABLE s.off (id int PRIMARY KEY, a text);
CREATE TABLE s.parent (id int PRIMARY KEY, a text);
SELECT create_history_table('s.t'), create_history_table('s.timed', 'edited', 'txid'), create_history_table('s.off');
INSERT INTO s.t VALUES (1, 'a');
INSERT INTO s.timed VALUES (1, 'a');
INSERT INTO s.off VALUES (1, 'a');
UPDATE s.t SET a = 'b';
UPDATE s.timed SET a = 'b';
UPDATE s.off SET a = 'b';
SELECT disable_history_tracking_for_table('s.off');
RESET SESSION AUTHORIZATION;

-- ---------------------------------------------------------------------------
-- Who may write a row.
-- ---------------------------------------------------------------------------
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
SELECT denied(cmd, cmd, :dbowner) FROM unnest(ARRAY[
	'UPDATE catmaid_history_table SET history_table = ''s.timed'' WHERE live_table = ''s.t''::regclass',
	'UPDATE catmaid_history_table SET triggers_installed = false',
	'UPDATE catmaid_history_table SET time_column = ''another'' WHERE live_table = ''s.timed''::regclass',
	'DELETE FROM catmaid_history_table', 'TRUNCATE catmaid_history_table',
	'INSERT INTO catmaid_history_table SELECT ''s.parent'', ''s.parent'', false, ''id'', NULL, ''a'', ''b''',
	'INSERT INTO catmaid_history_table SELECT ''s.t'', 4294967001, false, ''id'', NULL, ''a'', ''b'' ON CONFLICT (live_table)
		DO UPDATE SET history_table = EXCLUDED.history_table',
	'INSERT INTO catmaid_history_table SELECT 4294967000, 4294967001, false, ''id'', NULL, ''a'', ''b''',
	'INSERT INTO catmaid_history_table SELECT 0, 0, false, ''id'', NULL, ''a'', ''b''',
	'CREATE TABLE den.x (id int); INSERT INTO catmaid_history_table SELECT ''den.x'', 4294967001, false, ''id'', NULL, ''a'', ''b''',
	'CREATE TABLE den.x (id int); INSERT INTO catmaid_history_table SELECT ''den.x'', ''den.x'', false, ''id'', ''s.t'', ''a'', ''b''',
	'CREATE TABLE den.x (id int); INSERT INTO catmaid_history_table SELECT ''s.parent'', ''den.x'', false, ''id'', NULL, ''a'', ''b''',
	'CREATE TABLE den.x (id int) PARTITION BY LIST (id); CREATE TABLE den.y PARTITION OF den.x DEFAULT; CREATE TABLE den.z ();
		INSERT INTO catmaid_history_table SELECT ''den.y'', ''den.z'', false, ''id'', NULL, ''a'', ''b''']) cmd;
SELECT refused('UPDATE catmaid_history_table SET triggers_installed = false WHERE live_table = ''s.t''::regclass',
	'{t,rights_registry_owner}', 'the message tells whose rights are lacking', '42501', :dbowner);
SELECT allowed('CREATE TABLE den.mine (id int PRIMARY KEY, a text); SELECT create_history_table(''den.mine'');
	UPDATE catmaid_history_table SET triggers_installed = false WHERE live_table = ''den.mine''::regclass;
	DELETE FROM catmaid_history_table WHERE live_table = ''den.mine''::regclass;
	INSERT INTO catmaid_history_table SELECT ''den.mine'', ''den.mine__history'', true, ''id'', ''den.mine__tracking'', ''edition_time'', ''txid'';
	INSERT INTO den.mine VALUES (1, ''a''); UPDATE den.mine SET a = ''b'' ', 'of his own tables he may', :dbowner);
SELECT is((SELECT count(*) FROM den.mine__history), 1::bigint, 'and they are recorded');
DROP TABLE den.mine;
INSERT INTO catmaid_history_table SELECT 4294967000, 4294967001, false, 'id', NULL, 'a', 'b';
SELECT allowed('DELETE FROM catmaid_history_table WHERE live_table = 4294967000', 'and remove what is of no table', :dbowner);
GRANT rights_registry_owner TO rights_registry_dbowner;
SELECT allowed('UPDATE catmaid_history_table SET triggers_installed = true WHERE live_table = ''s.t''::regclass',
	'who has the owner''s rights may', :dbowner);
REVOKE rights_registry_owner FROM rights_registry_dbowner;
SELECT denied('SET session_replication_role = replica', 'control: he is no superuser', :dbowner);
SET session_replication_role = replica;
SELECT denied('DELETE FROM catmaid_history_table', 'in the replica role, too', :dbowner);
RESET session_replication_role;
-- The same by way of what a restore writes to: a WARNING, no error, and no row.
SELECT allowed('INSERT INTO catmaid_history_internal.catmaid_history_table_by_name VALUES (''s.t'', ''s.timed__history'', true, ''id'', NULL, ''a'', ''b'', now(), NULL)',
	'a dump''s row of others'' tables restores', :dbowner);
SELECT is((SELECT history_table::text FROM catmaid_history_table WHERE live_table = 's.t'::regclass), 's.t__history',
	'but is not entered');
\else
SELECT skip('no pg_database_owner before PostgreSQL 14', 22);
\endif
SELECT allowed('INSERT INTO catmaid_history_internal.catmaid_history_table_by_name VALUES (''s.off'', ''s.t__history'', true, ''id'', NULL, ''a'', ''b'', now(), NULL)',
	'nor is one that does not fit, by a superuser');
SELECT is((SELECT history_table::text FROM catmaid_history_table WHERE live_table = 's.off'::regclass), 's.off__history',
	'which stays as it was');

-- ---------------------------------------------------------------------------
-- The mark, and where it goes.
-- ---------------------------------------------------------------------------
CREATE FUNCTION tap.marked(live regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(d.refobjid::regclass::text, ' ' ORDER BY d.refobjid::regclass::text) FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid
	WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n' AND t.tgrelid = live $$;
SET ROLE rights_registry_owner;
SELECT tap.is(tap.marked('s.t'), 's.t__history s.t__tracking', 'marked');
SELECT tap.is(tap.marked('s.timed'), 's.timed__history', 'with a time column');
SELECT tap.is(tap.marked('s.off'), NULL, 'not while it is not tracked');
SET catmaid_history.follow_ddl = off;
SELECT tap.throws_ok('DROP TABLE s.t__history', '2BP01', NULL, 'PostgreSQL drops no history by itself');
SELECT tap.throws_ok('DROP TABLE s.t__tracking', '2BP01', NULL, 'nor a tracking table');
RESET catmaid_history.follow_ddl;
ALTER TABLE s.t RENAME TO u;
SELECT tap.is(tap.marked('s.u'), 's.u__history s.u__tracking', 'renamed');
ALTER TABLE s.u RENAME TO t;
ALTER TABLE s.t ALTER id TYPE bigint;
SELECT tap.is(tap.marked('s.t'), 's.t__history s.t__tracking', 'with a key of another type');
ALTER TABLE s.t ADD k int NOT NULL DEFAULT 1;
ALTER TABLE s.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, k);
SELECT tap.is(tap.marked('s.t'), 's.t__history s.t__tracking', 'with another key');
ALTER TABLE s.timed RENAME edited TO changed;
SELECT tap.is(tap.marked('s.timed'), 's.timed__history', 'with a time column of another name');
ALTER TABLE s.timed RENAME changed TO edited;
ALTER TABLE s.t DISABLE TRIGGER ALL;
SELECT tap.is(tap.marked('s.t'), 's.t__history s.t__tracking', 'with its triggers switched off');
ALTER TABLE s.t ENABLE TRIGGER ALL;
SELECT enable_history_tracking_for_table('s.off');
SELECT tap.is(tap.marked('s.off'), 's.off__history s.off__tracking', 'enabled');
SELECT reload_history_tracking_for_table('s.off');
SELECT tap.is(tap.marked('s.off'), 's.off__history s.off__tracking', 'reloaded');
SELECT disable_history_tracking_for_table('s.off');
RESET ROLE;
-- Lost (as in databases from before there were marks), it comes back.
DELETE FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refobjid IN ('s.t__history'::regclass, 's.t__tracking'::regclass);
SELECT is((SELECT string_agg(finding, ',') FROM check_history('s.t')), 'not_marked', 'check_history tells when it is not there');
SELECT allowed('UPDATE s.t SET a = ''c'' ', 'writes go on');
SELECT allowed('SELECT enable_history_tracking()', 'enabling, by the owner', :owner);
SELECT is(marked('s.t'), 's.t__history s.t__tracking', 'marks it');
DELETE FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refobjid IN ('s.t__history'::regclass, 's.t__tracking'::regclass);
SELECT allowed('SELECT repair_history(''s.t'')', 'repairing', :owner);
SELECT is(marked('s.t'), 's.t__history s.t__tracking', 'does, too');
-- As after a schema-only restore: the owner makes the triggers, then a write registers the table.
CREATE FUNCTION tap.definitions(live regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(pg_get_triggerdef(oid), ';') FROM pg_trigger WHERE tgrelid = live AND NOT tgisinternal $$;
CREATE FUNCTION tap.restored(live regclass, role name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	definitions text := tap.definitions(live);
	res text;
BEGIN
	DELETE FROM catmaid_history_table WHERE live_table = live;
	EXECUTE (SELECT string_agg(format('DROP TRIGGER %I ON %s', tgname, live), ';') FROM pg_trigger
		WHERE tgrelid = live AND NOT tgisinternal);
	EXECUTE format('SET LOCAL ROLE %I', role);
	EXECUTE definitions;
	EXECUTE format('UPDATE %s SET a = a', live);
	RESET ROLE;
	RETURN (SELECT format('%s %s %s %s', history_table, tracking_table, time_column, txid_column)
		FROM catmaid_history_table WHERE live_table = live);
END $$;
SELECT is(restored('s.t', :owner), 's.t__history s.t__tracking edition_time txid', 'registered again');
SELECT is(restored('s.timed', :owner), 's.timed__history  edited txid', 'with a time column');
SELECT is(restored('s.timed', :'me'), 's.timed__history  edited txid', 'by a superuser');
-- A table that only has the name of a history is not marked.
SET ROLE rights_registry_owner;
CREATE TABLE s.look (id int PRIMARY KEY, a text);
CREATE TABLE s.look__history (id int, a text, sys_period tstzrange, exec_transaction_id bigint);
CREATE TABLE s.look__tracking (live_pk int, edition_time timestamptz, txid bigint);
RESET ROLE;
SELECT replace(definitions('s.t'), ' s.t ', ' s.look ') AS definitions \gset
SELECT allowed(:'definitions', 'a table that has the names, but is no history', :owner);
SELECT is(marked('s.look'), NULL, 'is not marked');
SELECT refused('INSERT INTO s.look VALUES (1, ''a''); UPDATE s.look SET a = ''b'' ', '{look}', 'nor written to', '55000', :owner);
DROP TABLE s.look, s.look__history, s.look__tracking;

-- ---------------------------------------------------------------------------
-- Forged rows, as a superuser may have them from before writing them was refused:
-- each table column names each kind of relation, the others anything.
-- ---------------------------------------------------------------------------
-- One of each kind, the owner's own and another role's.
CREATE FUNCTION tap.one_of_each(namespace name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', format('%I, public, tap', namespace), true);
	CREATE TABLE plain (id int PRIMARY KEY, a text);
	CREATE TABLE alike (id int, a text, sys_period tstzrange NOT NULL DEFAULT tstzrange(CURRENT_TIMESTAMP, NULL),
		exec_transaction_id bigint NOT NULL DEFAULT txid_current());
	CREATE TABLE alike_tracking (live_pk int UNIQUE NOT NULL, edition_time timestamptz NOT NULL, txid bigint NOT NULL);
	CREATE TABLE kept (id int PRIMARY KEY, a text);
	CREATE TABLE tracked (id int PRIMARY KEY, a text);
	CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
	CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
	PERFORM create_history_table('kept'), create_history_table('tracked');
	INSERT INTO plain VALUES (1, 'a');
	INSERT INTO alike VALUES (1, 'a');
	INSERT INTO alike_tracking VALUES (1, now(), 1);
	INSERT INTO part VALUES (1, 'a');
	INSERT INTO kept VALUES (1, 'a');
	INSERT INTO tracked VALUES (1, 'a');
	UPDATE kept SET a = 'b';
	UPDATE tracked SET a = 'b';
	PERFORM drop_history_table_keep_data('kept');
	CREATE VIEW seen AS SELECT * FROM alike;
	CREATE MATERIALIZED VIEW stored AS SELECT * FROM alike;
	CREATE SEQUENCE counted;
	CREATE TYPE composed AS (id int, sys_period tstzrange, exec_transaction_id bigint);
END $$;
SET ROLE rights_registry_owner;
SELECT tap.one_of_each('same');
SET ROLE rights_registry_other;
SELECT tap.one_of_each('others');
RESET ROLE;
ALTER TABLE same.alike ENABLE ROW LEVEL SECURITY;
RESET ROLE;
SELECT format('CREATE VIEW tap.their_rows AS %s', string_agg(format('SELECT %L AS t, x::text AS x FROM %1$I.%2$I x', n, t), ' UNION ALL '))
	FROM unnest('{same,others}'::text[]) n, unnest('{plain,alike,alike_tracking,part,kept,kept__history,tracked,tracked__history,tracked__tracking,stored}'::text[]) t
	\gexec
CREATE FUNCTION tap.bystanders() RETURNS text LANGUAGE sql AS $$
	WITH c AS (SELECT oid, relname, relkind, relowner, relnamespace, relrowsecurity FROM pg_class
		WHERE relnamespace IN ('same'::regnamespace, 'others'::regnamespace))
	SELECT concat_ws(E'\n', (SELECT string_agg(c::text, ' ' ORDER BY oid) FROM c),
		(SELECT string_agg(concat_ws(' ', attrelid, attname, atttypid, attnotnull, atthasdef), ',' ORDER BY attrelid, attnum)
			FROM pg_attribute WHERE attrelid IN (SELECT oid FROM c) AND attnum > 0),
		(SELECT string_agg(format('%s %s %s', tgrelid, tgname, tgenabled), ',' ORDER BY tgrelid, tgname) FROM pg_trigger
			WHERE tgrelid IN (SELECT oid FROM c)),
		(SELECT string_agg(format('%s %s', inhrelid, inhparent), ',' ORDER BY inhrelid, inhparent) FROM pg_inherits
			WHERE inhrelid IN (SELECT oid FROM c) OR inhparent IN (SELECT oid FROM c)),
		(SELECT string_agg(t || x, ',' ORDER BY t, x) FROM tap.their_rows)) $$;
CREATE TABLE tap.deeds AS SELECT row_number() OVER () AS n, deed FROM unnest(ARRAY[
	'UPDATE %1$s SET a = ''x'' ', 'INSERT INTO %1$s VALUES (2, ''x'')', 'DELETE FROM %1$s', 'TRUNCATE %1$s',
	'ALTER TABLE %1$s ADD c int', 'ALTER TABLE %1$s RENAME a TO c', 'ALTER TABLE %1$s ALTER id TYPE bigint', 'ALTER TABLE %1$s ADD k int; ALTER TABLE %1$s DROP CONSTRAINT %3$s_pkey, ADD PRIMARY KEY (id, k)',
	'ALTER TABLE %1$s RENAME TO renamed', 'ALTER TABLE %1$s SET SCHEMA s2', 'ALTER TABLE %1$s OWNER TO CURRENT_USER',
	'ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY; ALTER TABLE %1$s DISABLE ROW LEVEL SECURITY', 'ALTER TABLE %1$s INHERIT s.parent', 'ALTER TABLE %1$s SET UNLOGGED', 'DROP TABLE %1$s', 'DROP TABLE %1$s CASCADE',
	'SET LOCAL catmaid_history.on_drop_table = keep; DROP TABLE %1$s',
	'SELECT create_history_table(''%1$s'')', 'SELECT drop_history_table(''%1$s'')', 'SELECT drop_history_table_keep_data(''%1$s'')',
	'SELECT enable_history_tracking_for_table(''%1$s'')', 'SELECT disable_history_tracking_for_table(''%1$s'')',
	'SELECT reload_history_tracking_for_table(''%1$s'')', 'SELECT sync_tracking_table(''%1$s'', NULL)',
	'SELECT create_history_view_for_table(''%1$s'')',
	'SELECT initialize_new_history_table(''%1$s'', %2$s::oid, ''id'')', 'SELECT truncate_history_table(%2$s::oid)',
	'SELECT repair_history(''%1$s''); UPDATE %1$s SET a = ''x'' ', 'SELECT repair_history()',
	'SELECT widen_history_table(''%1$s'')', 'SELECT count(*) FROM check_history(''%1$s'')',
	'SELECT enable_history_tracking()', 'SELECT disable_history_tracking()', 'SELECT drop_all_history_tables()',
	'SELECT truncate_all_history_tables()']) deed;
SELECT disable_history_tracking_for_table('s.off');
CREATE SCHEMA s2;
GRANT ALL ON SCHEMA s2 TO rights_registry_owner;
-- Forge, do a deed as the owner of the table or as a superuser, undo; what has become of
-- the bystanders.
CREATE FUNCTION tap.outcome(live regclass, forgery text, deed text, role name, OUT state text, OUT after text) LANGUAGE plpgsql AS $$
DECLARE
	history oid;
BEGIN
	EXECUTE forgery;
	history := (SELECT history_table FROM catmaid_history_table WHERE live_table = live);
	state := tap.state(format(deed, live, coalesce(history, 0), split_part(live::text, '.', 2)), role);
	after := CASE WHEN to_regclass('tap.their_rows') IS NULL THEN 'dropped' ELSE tap.bystanders() END;
	RAISE SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
-- The deeds that have changed a bystander otherwise than they do without the forgery,
-- or ended in an internal error.
CREATE TABLE tap.honest AS SELECT live, deed, (tap.outcome(live, '', deed, NULL)).after FROM tap.deeds, unnest('{s.t,s.timed,s.off}'::regclass[]) live;
CREATE FUNCTION tap.harm(live regclass, forgery text, role name) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('[%s: %s]', d.deed, o.state), ' ' ORDER BY d.n)
	FROM tap.deeds d JOIN tap.honest h ON h.deed = d.deed AND h.live = harm.live, tap.bystanders() before, tap.outcome(harm.live, forgery, d.deed, role) o
	WHERE (role IS NULL OR d.deed !~ '_tracking\(\)|_all_|repair_history\(\)')
		AND (o.state LIKE 'XX%' OR (o.after IS DISTINCT FROM before AND o.after IS DISTINCT FROM h.after)) $$;
CREATE TABLE tap.targets AS
	SELECT format('%s.%s', n, t) AS name, format('%L::regclass', format('%s.%s', n, t)) AS oid
	FROM unnest('{same,others}'::text[]) n,
	unnest('{plain,alike,alike_tracking,kept,kept__history,tracked,tracked__history,tracked__tracking,parted,part,seen,stored,counted,composed,plain_pkey}'::text[]) t
	UNION ALL VALUES ('a catalog', '''pg_catalog.pg_class''::regclass'), ('the registry', '''catmaid_history_table''::regclass'),
		('nothing', '4294967000'), ('zero', '0'), ('the live table', 'live_table');
SELECT is(harm('s.t', format('UPDATE catmaid_history_table SET history_table = %s WHERE live_table = ''s.t''::regclass', oid), NULL), NULL,
	'history: ' || name) FROM tap.targets WHERE name !~ 'tracked__history|others.(part|seen|stored|counted|composed)';
SELECT is(harm('s.t', format('UPDATE catmaid_history_table SET tracking_table = %s WHERE live_table = ''s.t''::regclass', oid), NULL), NULL,
	'tracking table: ' || name) FROM tap.targets WHERE name !~ 'others.(kept|part|seen|stored|counted|composed|plain)';
SELECT is(harm('s.off', format('UPDATE catmaid_history_table SET history_table = %s WHERE live_table = ''s.off''::regclass', oid), NULL), NULL,
	'history of a table that is not tracked: ' || name) FROM tap.targets WHERE name !~ 'tracked__history|others|pkey|composed';
SELECT is(harm('s.off', format('UPDATE catmaid_history_table SET tracking_table = %s WHERE live_table = ''s.off''::regclass', oid), NULL), NULL,
	'its tracking table: ' || name) FROM tap.targets WHERE name !~ 'others|pkey|composed';
SELECT is(harm('s.timed', format('UPDATE catmaid_history_table SET tracking_table = %s WHERE live_table = ''s.timed''::regclass', oid), NULL), NULL,
	'a tracking table beside a time column: ' || name) FROM tap.targets WHERE name ~ '^same.(alike|tracked)';
SELECT is(harm('s.t', forgery, :owner), NULL, 'by the owner: ' || forgery) FROM unnest(ARRAY[
	'UPDATE catmaid_history_table SET history_table = ''same.alike'', tracking_table = ''same.alike_tracking'' WHERE live_table = ''s.t''::regclass',
	'UPDATE catmaid_history_table SET history_table = ''others.alike'', tracking_table = ''others.alike_tracking'' WHERE live_table = ''s.t''::regclass',
	'UPDATE catmaid_history_table SET tracking_table = NULL, time_column = ''no'', txid_column = ''no'' WHERE live_table = ''s.t''::regclass']) forgery;
SELECT is(harm(live::regclass, format('UPDATE catmaid_history_table SET %s WHERE live_table = %L::regclass', x, live), NULL), NULL,
	format('%s: %s', live, x)) FROM unnest('{s.t,s.timed,s.off}'::text[]) live, unnest(ARRAY[
	'live_table_pkey_column = ''no'', live_table_pkey_columns = NULL', 'live_table_pkey_columns = ''{no,id}''',
	'time_column = ''another'', txid_column = ''a; DROP TABLE same.plain''']) x;

-- The true row comes back by what is marked, and others lose what they have claimed.
UPDATE catmaid_history_table SET tracking_table = NULL, time_column = 'no', txid_column = 'no', history_table = 'same.alike'
	WHERE live_table = 's.t'::regclass;
INSERT INTO catmaid_history_table SELECT 'others.plain', 's.t__history', false, 'id', NULL, 'a', 'b';
SELECT refused('UPDATE s.t SET a = ''x'' ', '{t,same.alike,t__history}', 'a write with such rows', '55000', :owner, 'repair_history');
SELECT allowed('SELECT repair_history(''s.t'')', 'as the hint says', :owner);
SELECT allowed('UPDATE s.t SET a = ''x'' ', 'it is recorded', :owner);
SELECT is((SELECT string_agg(live_table::text, ' ' ORDER BY live_table::text) FROM catmaid_history_table
	WHERE history_table IN ('s.t__history'::regclass, 'same.alike'::regclass)), 's.t', 'with the one row that is true');
-- What is not marked is forgotten.
UPDATE catmaid_history_table SET history_table = 'same.alike' WHERE live_table = 's.off'::regclass;
SELECT refused('SELECT enable_history_tracking_for_table(''s.off'')', '{off,same.alike}', 'enabling with a wrong row', 'P0001', :owner,
	'drop_history_table_keep_data');
SELECT refused('SELECT drop_history_table(''s.off'')', '{off}', 'nor is anything dropped', '55000', :owner, 'drop_history_table_keep_data');
SELECT allowed('SELECT drop_history_table_keep_data(''s.off''); SELECT create_history_table(''s.off'')', 'the way out', :owner);
SELECT is((SELECT history_table::text FROM catmaid_history_table WHERE live_table = 's.off'::regclass), 's.off__history', 'to its own history');
SELECT is((SELECT count(*) FROM same.alike), 1::bigint, 'the other table is as it was');
-- A claim upon another's table is not in the way of its owner.
INSERT INTO catmaid_history_table SELECT 'others.plain', 's.parent', false, 'id', NULL, 'a', 'b';
SELECT allowed('SELECT create_history_table(''s.parent'')', 'a table that is claimed as a history can have one', :owner);
SELECT drop_history_table('s.parent');
SET ROLE rights_registry_owner;
SELECT create_history_table('s.parent'), drop_history_table_keep_data('s.parent');
RESET ROLE;
INSERT INTO catmaid_history_table SELECT 's.parent__history', 'others.plain', false, 'id', NULL, 'a', 'b';
SELECT allowed('SELECT create_history_table(''s.parent'')', 'nor is a claim that its history is a live table', :owner);
-- A superuser's repair gives nothing away (a kept history, and a look-alike of the same name).
SELECT is((SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relnamespace = 'others'::regnamespace),
	'rights_registry_other', 'nothing has changed hands');
DROP TABLE others.kept CASCADE;
SET ROLE rights_registry_dbowner;
CREATE TABLE den.kept (id int PRIMARY KEY, a text);
RESET ROLE;
ALTER TABLE den.kept SET SCHEMA others;
INSERT INTO catmaid_history_table SELECT 'others.kept', 'others.kept__history', false, 'id', NULL, 'a', 'b';
SET client_min_messages = error;
SELECT allowed('SELECT repair_history()', 'repairing all, by a superuser');
RESET client_min_messages;
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 'others.kept__history'::regclass), 'rights_registry_other',
	'a kept history is not given to who takes its table''s name');
SELECT refused('SELECT enable_history_tracking_for_table(''others.kept'')', '{kept}', 'nor is anybody sent to do it', 'P0001', NULL,
	'drop_history_table_keep_data');

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me') \gexec
SET client_min_messages = error;
DROP SCHEMA s, s2, same, others, den CASCADE;
DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_registry_dbowner, rights_registry_owner, rights_registry_other CASCADE;
DROP ROLE rights_registry_dbowner, rights_registry_owner, rights_registry_other;
SELECT * FROM finish();
