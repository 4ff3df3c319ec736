-- Section 7: managing a history needs ownership of the live table, and no more.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t51_owner;
DROP ROLE IF EXISTS t51_member;
DROP ROLE IF EXISTS t51_outsider;
DROP ROLE IF EXISTS t51_other;
CREATE ROLE t51_owner;
CREATE ROLE t51_member IN ROLE t51_owner;
CREATE ROLE t51_outsider NOINHERIT IN ROLE t51_owner;
CREATE ROLE t51_other;
CREATE SCHEMA ext;
CREATE EXTENSION catmaid_history SCHEMA ext;
GRANT USAGE ON SCHEMA ext TO PUBLIC;
SET search_path = ext, tap;
SELECT plan(63);

-- The owner has no CREATE on the schema of its tables.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.t (id int PRIMARY KEY, a text);
CREATE TABLE app.timed (id int PRIMARY KEY, a text,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE app.base (id int PRIMARY KEY, a text);
CREATE TABLE app.leaf (PRIMARY KEY (id)) INHERITS (app.base);
ALTER TABLE app.t OWNER TO t51_owner;
ALTER TABLE app.timed OWNER TO t51_owner;
ALTER TABLE app.base OWNER TO t51_owner;
ALTER TABLE app.leaf OWNER TO t51_owner;
GRANT ALL ON app.t, app.timed TO t51_other;
SELECT ok(NOT has_schema_privilege('t51_owner', 'app', 'CREATE'),
	'the owner may not create in the schema');

CREATE FUNCTION tap.owners(like_this text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT relowner::regrole::text, ', ') FROM pg_class
	WHERE relnamespace = 'app'::regnamespace AND relname LIKE like_this $$;

-- Not the owner.
SELECT refused('SELECT create_history_table(''app.t'')', '{t}',
	'all privileges on a table do not let one create its history',
	as_role => 't51_other');
SELECT refused('SELECT create_history_table(''app.t'')', '{t}',
	'nor does a membership that does not inherit', as_role => 't51_outsider');
SELECT is(tap.owners('t\_\_%'), NULL, 'and nothing was made');

SELECT allowed('SELECT create_history_table(''app.t'')',
	'the owner creates a history with tracking table', 't51_owner');
SELECT allowed('SELECT create_history_table(''app.timed'', ''edition_time'', ''txid'')',
	'a member of the owner creates one with time column', 't51_member');
SELECT allowed('SELECT create_history_table(''app.leaf'')',
	'the owner creates one over a hierarchy', 't51_owner');
SELECT is(tap.owners('t\_\_%'), 't51_owner', 'derived objects are the owner''s');
SELECT is(tap.owners('timed\_\_%'), 't51_owner', 'not the member''s who called');
SELECT is(tap.owners('leaf\_\_%'), 't51_owner', 'nor anyone''s over a hierarchy');
SELECT is(tap.owners('base\_\_%'), 't51_owner', 'parents included');
SELECT ok(NOT has_schema_privilege('t51_owner', 'app', 'CREATE'),
	'the owner still may not create in the schema');
SELECT denied('CREATE TABLE app.sneaked (id int)',
	'really', 't51_owner');

INSERT INTO app.t VALUES (1, 'a');
INSERT INTO app.timed VALUES (1, 'a');
UPDATE app.t SET a = 'b';
UPDATE app.timed SET a = 'b';
SELECT tap.catalog() AS before \gset
SELECT refused(format('SELECT %s', call), '{}', 'not by others: ' || call,
	as_role => 't51_other')
FROM unnest(ARRAY['create_history_table(''app.t'')',
	'enable_history_tracking_for_table(''app.t'')',
	'disable_history_tracking_for_table(''app.t'')',
	'enable_history_tracking()', 'disable_history_tracking()']) call;
SELECT denied(format('SELECT %s', call), 'not by others: ' || call, 't51_other')
FROM unnest(ARRAY['drop_history_table(''app.t'')',
	'drop_history_table(''app.leaf'')',
	'drop_history_table_keep_data(''app.t'')', 'drop_all_history_tables()',
	'sync_tracking_table(''app.t'', ''app.t__tracking'')',
	'create_history_view_for_table(''app.t'')',
	'drop_history_view_for_table(''app.t'')',
	'initialize_new_history_table(''app.t'', ''app.t__history'', ''id'')',
	'truncate_history_table(''app.t__history'')',
	'truncate_history_table(''app.timed__history'')',
	'truncate_all_history_tables()']) call;
SELECT ok(tap.state(format('SELECT %s', call), 't51_other') ~ '^(42501|P0001) ',
	'not by others: ' || call)
FROM unnest(ARRAY['reload_history_tracking_for_table(''app.t'')',
	'reload_history_tracking()']) call;
SELECT unchanged(:'before', 'nothing changed');
SELECT is((SELECT format('%s %s', (SELECT count(*) FROM app.t__history),
	(SELECT count(*) FROM app.timed__history))), '1 1', 'no row was lost');

-- The owner, who is no superuser, manages all of it.
SELECT allowed(format('SELECT %s', call), 'by the owner: ' || call, 't51_owner')
FROM unnest(ARRAY['disable_history_tracking_for_table(''app.t'')',
	'enable_history_tracking_for_table(''app.t'')',
	'disable_history_tracking()', 'enable_history_tracking()',
	'reload_history_tracking_for_table(''app.t'')', 'reload_history_tracking()',
	'sync_tracking_table(''app.t'', ''app.t__tracking'')',
	'drop_history_view_for_table(''app.t'')',
	'create_history_view_for_table(''app.t'')',
	'initialize_new_history_table(''app.t'', ''app.t__history'', ''id'')',
	'truncate_history_table(''app.t__history'')']) call;
SELECT is(tap.owners('t\_\_%'), 't51_owner', 'still the owner''s');
SELECT allowed('UPDATE app.t__history SET a = ''corrected''',
	'only the owner can change history rows directly', 't51_owner');
SELECT denied('UPDATE app.t__history SET a = ''forged''', 'others cannot',
	't51_other');

-- Enabling adds a column although the owner has no CREATE.
SELECT disable_history_tracking_for_table('app.t');
ALTER TABLE app.t ADD COLUMN extra int;
SELECT allowed('SELECT enable_history_tracking_for_table(''app.t'')',
	'the owner brings a history in line', 't51_owner');
SELECT has_column('app', 't__history', 'extra', 'and it is');

-- With a table of another's, "all" is not the owner's any more.
CREATE TABLE app.foreigner (id int PRIMARY KEY, a text);
SELECT create_history_table('app.foreigner');
SELECT is(tap.owners('foreigner\_\_%'), current_user::text,
	'a superuser''s table: derived objects are the superuser''s');
SELECT refused('SELECT disable_history_tracking()', '{foreigner}',
	'disabling all takes all or none', as_role => 't51_owner');
SELECT is((SELECT count(*) FROM catmaid_live_table_triggers
	WHERE NOT triggers_installed), 0::bigint, 'none');
SELECT denied('SELECT drop_all_history_tables()', 'dropping all as well',
	't51_owner');
SELECT denied('SELECT truncate_all_history_tables()', 'truncating all as well',
	't51_owner');

-- A superuser for someone else's table.
CREATE TABLE app.given (id int PRIMARY KEY, a text);
ALTER TABLE app.given OWNER TO t51_owner;
SELECT create_history_table('app.given');
SELECT is(tap.owners('given\_\_%'), 't51_owner',
	'a superuser creates a history for the owner, not for itself');
SELECT drop_history_view_for_table('app.given');
SELECT create_history_view_for_table('app.given');
SELECT is(tap.owners('given\_\_with%'), 't51_owner', 'its view as well');

-- The owner drops what it owns.
SELECT allowed(format('SELECT drop_history_table(%L)', r), 'the owner drops ' || r,
	't51_owner')
FROM unnest('{app.t,app.leaf,app.base}'::text[]) r;
SELECT allowed('SELECT drop_history_table_keep_data(''app.timed'')',
	'a member drops and keeps', 't51_member');
SELECT is(tap.owners('timed\_\_%'), 't51_owner', 'and it stays the owner''s');
SELECT allowed('SELECT create_history_table(''app.timed'', ''edition_time'', ''txid'')',
	'taken up again by the owner', 't51_owner');

-- A kept history is another's by now: not taken up for this owner.
SELECT drop_history_table_keep_data('app.timed');
ALTER TABLE app.timed__history OWNER TO t51_other;
SELECT refused('SELECT create_history_table(''app.timed'', ''edition_time'', ''txid'')',
	'{timed__history}', 'a left-over history of another owner is in the way',
	as_role => 't51_owner');

DROP OWNED BY t51_owner, t51_member, t51_outsider, t51_other CASCADE;
DROP ROLE t51_member, t51_outsider, t51_other, t51_owner;
SELECT * FROM tap.finish();
