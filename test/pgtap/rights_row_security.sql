-- Section 7: a history is never less protected than its table, whatever came first.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_row_security_owner;
DROP ROLE IF EXISTS rights_row_security_reader;
DROP ROLE IF EXISTS rights_row_security_former;
DROP ROLE IF EXISTS rights_row_security_other;
CREATE ROLE rights_row_security_owner;
CREATE ROLE rights_row_security_reader;
CREATE ROLE rights_row_security_former;
CREATE ROLE rights_row_security_other;
\set owner 'rights_row_security_owner'
CREATE EXTENSION catmaid_history;
SELECT plan(69);

CREATE SCHEMA o;
GRANT USAGE ON SCHEMA o TO PUBLIC;

-- A table whose row 2 nobody but its owner sees once it has policies, with versions.
CREATE FUNCTION make(t text, attributes text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE o.%I (id int PRIMARY KEY, who name, secret text) %s', t, attributes);
	IF attributes <> '' THEN
		EXECUTE format('CREATE TABLE o.%I PARTITION OF o.%I DEFAULT', t || '_p', t);
	END IF;
	EXECUTE format('ALTER TABLE o.%I OWNER TO rights_row_security_owner', t);
	EXECUTE format('GRANT SELECT ON o.%I TO rights_row_security_reader, rights_row_security_former', t);
	EXECUTE format('CREATE POLICY own ON o.%I USING (who = current_user)', t);
	EXECUTE format('INSERT INTO o.%I VALUES (1, ''rights_row_security_reader'', ''a''), (2, ''other'', ''hidden'')', t);
	PERFORM create_history_table(('o.' || t)::regclass);
	EXECUTE format('UPDATE o.%I SET secret = secret || ''!''', t);
END $$;
-- What is on: "e" enabled, "f" forced, of the table, its history, its tracking table.
CREATE FUNCTION flags(t text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN relrowsecurity THEN 'e' ELSE '' END
		|| CASE WHEN relforcerowsecurity THEN 'f' ELSE '' END, ',' ORDER BY relname)
	FROM pg_class WHERE relnamespace = 'o'::regnamespace
		AND relname IN (t, t || '__history', t || '__tracking') $$;
-- How many rows of others' a role sees.
CREATE FUNCTION hidden(rel text, as_role name DEFAULT 'rights_row_security_reader') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', as_role);
	EXECUTE format('SELECT count(*) FROM o.%I WHERE who <> current_user', rel) INTO n;
	RESET ROLE;
	RETURN n;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'may not';
END $$;

-- Policies later, by each way in which history is tracked, or not.
SELECT make('followed');
SELECT is(hidden('followed__history'), '1', 'control: without policies a reader sees the version');
ALTER TABLE o.followed ENABLE ROW LEVEL SECURITY;
SELECT is(flags('followed'), 'e,e,e', 'followed: all have it');
SELECT is(hidden('followed__history'), '0', 'followed: and the version is hidden');
ALTER TABLE o.followed FORCE ROW LEVEL SECURITY;
SELECT is(flags('followed'), 'ef,ef,ef', 'followed: forced');
ALTER TABLE o.followed NO FORCE ROW LEVEL SECURITY, ADD COLUMN x int;
SELECT is(flags('followed'), 'e,e,e', 'followed: not forced any more, in a command that does more');
ALTER TABLE o.followed DISABLE ROW LEVEL SECURITY;
SELECT is(flags('followed'), ',,', 'followed: and off again');

SELECT make('off');
SET catmaid_history.follow_ddl = off;
ALTER TABLE o.off ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET catmaid_history.follow_ddl;
SELECT is(flags('off'), 'ef,ef,ef', 'with follow_ddl off');
SELECT is(hidden('off__history') || hidden('off__with_history'), '00', 'with follow_ddl off: hidden');

SELECT make('disabled');
SELECT disable_history_tracking_for_table('o.disabled');
ALTER TABLE o.disabled ENABLE ROW LEVEL SECURITY;
SELECT is(flags('disabled'), 'e,e,e', 'with tracking disabled');
SELECT make('by_hand');
DO $$
DECLARE
	t name;
BEGIN
	FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'o.by_hand'::regclass AND NOT tgisinternal LOOP
		EXECUTE format('DROP TRIGGER %I ON o.by_hand', t);
	END LOOP;
END $$;
ALTER TABLE o.by_hand ENABLE ROW LEVEL SECURITY;
SELECT is(flags('by_hand'), 'e,e,e', 'with its triggers dropped');
SELECT make('switched');
ALTER TABLE o.switched DISABLE TRIGGER ALL;
ALTER TABLE o.switched ENABLE ROW LEVEL SECURITY;
SELECT is(flags('switched'), 'e,e,e', 'with its triggers switched off');

SELECT make('parted', 'PARTITION BY RANGE (id)');
ALTER TABLE o.parted ENABLE ROW LEVEL SECURITY;
SELECT is(flags('parted'), 'e,e,e', 'a partitioned table');
SELECT is(hidden('parted__history'), '0', 'a partitioned table: hidden');

SELECT make('within');
DO $$ BEGIN EXECUTE 'ALTER TABLE o.within ENABLE ROW LEVEL SECURITY'; END $$;
SELECT is(flags('within'), 'e,e,e', 'in a DO block');
BEGIN;
SAVEPOINT s;
ALTER TABLE o.within FORCE ROW LEVEL SECURITY;
ROLLBACK TO s;
COMMIT;
SELECT is(flags('within'), 'e,e,e', 'rolled back');

-- Neither the schema's USAGE nor a privilege of its own is needed by the owner.
SELECT make('no_usage');
REVOKE USAGE ON SCHEMA o FROM PUBLIC;
ALTER TABLE o.no_usage ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA o TO PUBLIC;
SELECT is(flags('no_usage'), 'e,e,e', 'without USAGE on the schema');

-- Policies first.
CREATE TABLE o.before (id int PRIMARY KEY, who name);
ALTER TABLE o.before OWNER TO rights_row_security_owner;
ALTER TABLE o.before ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT create_history_table('o.before');
SELECT is(flags('before'), 'ef,ef,ef', 'made when the table has it');
ALTER TABLE o.before DROP CONSTRAINT before_pkey, ADD COLUMN k int PRIMARY KEY;
SELECT is(flags('before'), 'ef,ef,ef', 'another tracking table, for another key');

-- A kept history is used again: row-level security, and privileges.
SELECT make('kept');
GRANT INSERT, UPDATE, DELETE, TRIGGER ON o.kept__history TO rights_row_security_former;
GRANT UPDATE (secret) ON o.kept__history TO rights_row_security_other;
SELECT drop_history_table_keep_data('o.kept');
REVOKE SELECT ON o.kept FROM rights_row_security_former;
GRANT SELECT ON o.kept TO rights_row_security_other WITH GRANT OPTION;
ALTER TABLE o.kept ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT is(hidden('kept__history'), '1', 'control: a kept history is a table like any other');
SELECT create_history_table('o.kept');
SELECT is(flags('kept'), 'ef,ef,ef', 'kept: as the table');
SELECT is(hidden('kept__history'), '0', 'kept: the version is hidden');
SELECT is(hidden('kept__with_history'), '0', 'kept: in the view as well');
SELECT is(hidden('kept__history', 'rights_row_security_former'), 'may not', 'kept: who may not read the table any more');
SELECT is((SELECT string_agg(format('%s %s %s', a.grantee::regrole, privilege_type, is_grantable), ', ' ORDER BY a.grantee::regrole::text)
	FROM pg_class, aclexplode(relacl) a WHERE oid = 'o.kept__history'::regclass AND a.grantee <> relowner),
	'rights_row_security_other SELECT t, rights_row_security_reader SELECT f', 'kept: the privileges of a new one');
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid = 'o.kept__history'::regclass AND attacl IS NOT NULL),
	0::bigint, 'kept: on columns, too');
SELECT is((SELECT string_agg(format('%s %s', refobjid::regrole, deptype), ', ' ORDER BY refobjid::regrole::text)
	FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND classid = 'pg_class'::regclass AND objid = 'o.kept__history'::regclass),
	'rights_row_security_other a, rights_row_security_owner o, rights_row_security_reader a',
	'kept: and the roles that it depends on');
SELECT make('kept_open');
SELECT drop_history_table_keep_data('o.kept_open');
REVOKE ALL ON o.kept_open FROM rights_row_security_former, rights_row_security_reader;
SELECT create_history_table('o.kept_open');
SELECT is(hidden('kept_open__history'), 'may not', 'kept: nobody reads the table but its owner');
SELECT is((SELECT count(*) FROM pg_class, aclexplode(relacl) a
	WHERE oid = 'o.kept_open__history'::regclass AND a.grantee <> relowner), 0::bigint, 'kept: nor the history');
SELECT is(hidden('kept_open__history', 'rights_row_security_owner'), '2', 'kept: who does');

-- What a site has put on the history stays.
SELECT make('stricter');
ALTER TABLE o.stricter__history ENABLE ROW LEVEL SECURITY;
SELECT is(flags('stricter'), ',e,', 'control: the history alone');
SELECT enable_history_tracking_for_table('o.stricter'), repair_history('o.stricter');
SELECT is(flags('stricter'), ',e,', 'enabling and repairing take nothing off');
ALTER TABLE o.stricter__history FORCE ROW LEVEL SECURITY;
ALTER TABLE o.stricter ENABLE ROW LEVEL SECURITY;
SELECT is(flags('stricter'), 'e,ef,e', 'nor does enabling it on the table');
ALTER TABLE o.stricter__history NO FORCE ROW LEVEL SECURITY;
SELECT is(flags('stricter'), 'e,e,e', 'what the table has not may be taken off');

-- Off the history alone
SELECT is((SELECT message || ' ' || hint FROM tap.attempt('ALTER TABLE o.stricter__history DISABLE ROW LEVEL SECURITY', :'owner')),
	'cannot take row-level security off "stricter__history": table "stricter" has it / A history is as protected as its table.'
	' ALTER TABLE o.stricter DISABLE ROW LEVEL SECURITY;', 'what the table has may not');
SELECT is((SELECT message FROM tap.attempt('ALTER TABLE o.stricter__tracking DISABLE ROW LEVEL SECURITY', :'owner')),
	'cannot take row-level security off "stricter__tracking": table "stricter" has it / A history is as protected as its table.', 'of the tracking table');
SELECT is((SELECT message FROM tap.attempt('SET catmaid_history.follow_ddl = off; ALTER TABLE o.stricter__history DISABLE ROW LEVEL SECURITY')),
	'cannot take row-level security off "stricter__history": table "stricter" has it / A history is as protected as its table.', 'whatever the settings are');
RESET catmaid_history.follow_ddl;
SELECT disable_history_tracking_for_table('o.stricter');
SELECT is((SELECT message FROM tap.attempt('ALTER TABLE o.stricter__history DISABLE ROW LEVEL SECURITY', :'owner')),
	'cannot take row-level security off "stricter__history": table "stricter" has it / A history is as protected as its table.', 'whatever is tracked');
ALTER TABLE o.stricter FORCE ROW LEVEL SECURITY;
SELECT is((SELECT message || ' ' || hint FROM tap.attempt('ALTER TABLE o.stricter__history NO FORCE ROW LEVEL SECURITY')),
	'cannot take row-level security off "stricter__history": table "stricter" has it / A history is as protected as its table.'
	' ALTER TABLE o.stricter NO FORCE ROW LEVEL SECURITY;', 'forced');
SELECT drop_history_table_keep_data('o.stricter');
SELECT is((SELECT state FROM tap.attempt('ALTER TABLE o.stricter__history DISABLE ROW LEVEL SECURITY', :'owner')),
	'00000', 'a kept one is its owner''s business');

-- Where nothing was followed, because the event triggers are switched off: writes stop.
CREATE FUNCTION unseen(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	ALTER EVENT TRIGGER catmaid_history_ddl_end DISABLE;
	EXECUTE command;
	ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE ALWAYS;
END $$;
SELECT make('unseen');
UPDATE o.unseen SET secret = secret || '?';
SELECT unseen('ALTER TABLE o.unseen ENABLE ROW LEVEL SECURITY');
SELECT is(flags('unseen'), 'e,,', 'control: nothing was followed');
SELECT is((SELECT format('%s: %s %s', state, message, hint) FROM tap.attempt('UPDATE o.unseen SET secret = ''x''')),
	'55000: "unseen__history" lacks the row-level security of table "unseen", whose rows it holds'
	' SELECT public.repair_history(''o.unseen''::regclass) gives it the same.', 'an UPDATE is refused');
SELECT is((SELECT state FROM tap.attempt('DELETE FROM o.unseen')), '55000', 'a DELETE');
SELECT is((SELECT state FROM tap.attempt('INSERT INTO o.unseen VALUES (3)')), '55000', 'an INSERT');
SELECT is((SELECT state FROM tap.attempt('TRUNCATE o.unseen')), '55000', 'TRUNCATE');
SELECT is((SELECT string_agg(format('%s %s %s %s', severity, finding, object, hint), ', ' ORDER BY object)
	FROM check_history('o.unseen') WHERE finding <> 'trigger_missing'),
	'error row_security_missing unseen__history SELECT public.repair_history(''o.unseen''::regclass);, '
	'error row_security_missing unseen__tracking SELECT public.repair_history(''o.unseen''::regclass);'
	-- before there was security_invoker, the view was made for a table without policies
	|| CASE WHEN current_setting('server_version_num')::int < 150000
		THEN ', error view_shows_hidden_rows unseen__with_history SELECT public.repair_history(''o.unseen''::regclass);' ELSE '' END,
	'check_history finds it');
SELECT repair_history('o.unseen');
SELECT is(flags('unseen'), 'e,e,e', 'repair_history mends it');
SELECT is((SELECT count(*) FROM check_history('o.unseen')), 0::bigint, 'and nothing is found');
SELECT is((SELECT state FROM tap.attempt('UPDATE o.unseen SET secret = ''x''')), '00000', 'writes go on');
SELECT unseen('ALTER TABLE o.unseen FORCE ROW LEVEL SECURITY');
SELECT is((SELECT state FROM tap.attempt('UPDATE o.unseen SET secret = ''y''')), '55000', 'forced: refused');
SELECT enable_history_tracking_for_table('o.unseen');
SELECT is(flags('unseen'), 'ef,ef,ef', 'enabling mends it too');
SELECT unseen('ALTER TABLE o.unseen__tracking DISABLE ROW LEVEL SECURITY');
SELECT is((SELECT message FROM tap.attempt('UPDATE o.unseen SET secret = ''y''')),
	'"unseen__tracking" lacks the row-level security of table "unseen", whose rows it holds', 'the tracking table''s');
SELECT enable_history_tracking_for_table('o.unseen');
SELECT make('timed');
SELECT drop_history_table('o.timed');
ALTER TABLE o.timed ADD edition_time timestamptz DEFAULT now(), ADD txid bigint;
SELECT create_history_table('o.timed', 'edition_time', 'txid');
ALTER TABLE o.timed ENABLE ROW LEVEL SECURITY;
SELECT is(flags('timed'), 'e,e', 'with a time column');
SELECT unseen('ALTER TABLE o.timed__history DISABLE ROW LEVEL SECURITY');
SELECT is((SELECT state FROM tap.attempt('UPDATE o.timed SET secret = ''y''')), '55000', 'with a time column: refused');
SELECT is((SELECT count(*) FROM check_history('o.timed') WHERE finding = 'row_security_missing'), 1::bigint,
	'with a time column: found');
SELECT repair_history('o.timed');

-- A hierarchy reads as the tables do: below the parent by the parent's policies.
CREATE TABLE o.base (id int PRIMARY KEY, who name);
CREATE TABLE o.leaf (PRIMARY KEY (id)) INHERITS (o.base);
GRANT SELECT ON o.base, o.leaf TO rights_row_security_reader;
SELECT create_history_table('o.leaf');
INSERT INTO o.leaf VALUES (1, 'other');
DELETE FROM o.leaf;
ALTER TABLE o.base ENABLE ROW LEVEL SECURITY;
SELECT is(flags('base') || ' ' || flags('leaf'), 'e,e,e ,,', 'the parent''s is the parent''s');
SELECT is(hidden('base__history') || hidden('leaf__history'), '01', 'and so it is read');
ALTER TABLE o.base DISABLE ROW LEVEL SECURITY;
ALTER TABLE o.leaf ENABLE ROW LEVEL SECURITY;
SELECT is(flags('base') || ' ' || flags('leaf'), ',, e,e,e', 'the child''s the child''s');

-- A view that is read with its owner's rights, of a table that gets policies, or has them.
SELECT make('viewed');
SELECT current_setting('server_version_num')::int >= 150000 AS v15 \gset
\if :v15
ALTER VIEW o.viewed__with_history RESET (security_invoker);
SELECT is(hidden('viewed__with_history'), '2', 'control: it shows all rows of a table without policies');
ALTER TABLE o.viewed ENABLE ROW LEVEL SECURITY;
SELECT is(hidden('viewed__with_history'), '0', 'and no more than the table when it gets some');
ALTER VIEW o.viewed__with_history SET (security_invoker = off);
SELECT is(hidden('viewed__with_history'), '2', 'control: set so by its owner');
SELECT is((SELECT format('%s %s %s', severity, finding, object) FROM check_history('o.viewed') WHERE severity <> 'info'),
	'error view_shows_hidden_rows viewed__with_history', 'check_history finds it');
SELECT repair_history('o.viewed');
\else
SELECT skip('no security_invoker before PostgreSQL 15', 4);
ALTER TABLE o.viewed ENABLE ROW LEVEL SECURITY;
\endif
SELECT is(hidden('viewed__with_history'), '0', 'repaired, it hides them');
SELECT is((SELECT count(*) FROM check_history('o.viewed') WHERE severity <> 'info'), 0::bigint, 'and nothing is found');

-- The function that tells since when a row is as it is does not tell what a hidden row holds.
SELECT make('guessed');
CREATE FUNCTION told(guess text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE rights_row_security_reader;
	RETURN (SELECT count(catmaid_history_live_start('o.guessed'::regclass, tid::tid, ROW(2, 'other', guess)::o.guessed)) > 0
		FROM unnest('{"(0,1)","(0,2)","(0,3)","(0,4)","(0,5)","(0,6)"}'::text[]) AS tid);
END $$;
SELECT is(told('hidden!'), true, 'control: without policies a reader is told of the row that he may read');
RESET ROLE;
ALTER TABLE o.guessed ENABLE ROW LEVEL SECURITY;
SELECT is(told('hidden!'), false, 'with policies he is told nothing of it, whether he guesses right');
RESET ROLE;
SELECT is(told('wrong'), false, 'or wrong');
RESET ROLE;

-- A registry row gives nobody power over a table: of another owner's, or of no history.
CREATE TABLE o.others AS TABLE o.timed__history WITH NO DATA;
CREATE TABLE o.no_history (id int);
ALTER TABLE o.others OWNER TO rights_row_security_other;
ALTER TABLE o.no_history OWNER TO rights_row_security_owner;
SELECT make('forged');
UPDATE catmaid_history_table SET history_table = 'o.others' WHERE live_table = 'o.forged'::regclass;
ALTER TABLE o.forged ENABLE ROW LEVEL SECURITY;
SELECT is((SELECT relrowsecurity FROM pg_class WHERE oid = 'o.others'::regclass), false, 'another owner''s table is let alone');
UPDATE catmaid_history_table SET history_table = 'o.no_history' WHERE live_table = 'o.forged'::regclass;
ALTER TABLE o.forged FORCE ROW LEVEL SECURITY;
SELECT is((SELECT relrowsecurity FROM pg_class WHERE oid = 'o.no_history'::regclass), false, 'so is one that is no history');
UPDATE catmaid_history_table SET history_table = 'o.forged__history' WHERE live_table = 'o.forged'::regclass;
SELECT repair_history('o.forged');
SELECT is(flags('forged'), 'ef,ef,ef', 'the right row is there again');

DROP OWNED BY rights_row_security_owner, rights_row_security_reader, rights_row_security_former,
	rights_row_security_other CASCADE;
DROP ROLE rights_row_security_owner, rights_row_security_reader, rights_row_security_former,
	rights_row_security_other;
SELECT * FROM finish();
