-- Section 6: enabling, disabling, syncing, truncating and dropping refuse what
-- does not fit.  SQLSTATE P0001 for enable and disable, a fitting one elsewhere.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(63);

CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE TABLE u (id int PRIMARY KEY, a text);
CREATE TABLE timed (id int PRIMARY KEY, edition_time timestamptz DEFAULT now(),
	txid bigint);
CREATE TABLE untracked (id int PRIMARY KEY, a text);
CREATE TABLE untracked__history (mine text);
CREATE TABLE untracked__tracking (mine text);
CREATE TABLE other (id int PRIMARY KEY);
CREATE VIEW other__with_history AS SELECT 'mine' AS mine;
CREATE VIEW a_view AS SELECT 1 AS id;
SELECT create_history_table('t');
SELECT create_history_table('u');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'a');
INSERT INTO u VALUES (1, 'a');
UPDATE t SET a = 'b';
UPDATE u SET a = 'b';
INSERT INTO untracked VALUES (1, 'a');
INSERT INTO untracked__history VALUES ('kept');
INSERT INTO untracked__tracking VALUES ('kept');
SELECT tap.catalog() AS before \gset

-- The wrong history table.
SELECT refused(format('SELECT %s_history_tracking_for_table(''t'', %L)', verb, h),
	ARRAY['t', h], format('%s with %s for the history of t', verb, h))
FROM unnest('{enable,disable}'::text[]) verb,
	unnest('{u__history,t,t__tracking,untracked__history,timed__history}'::text[]) h;
SELECT refused(format('SELECT %s_history_tracking_for_table(''t'', 4294967290::oid::regclass)',
	verb), '{t}', verb || ' with a history table that is not there')
FROM unnest('{enable,disable}'::text[]) verb;

-- A table without history.
SELECT refused(format('SELECT %s_history_tracking_for_table(%L)', verb, r),
	ARRAY[r], format('%s for %s, which has no history', verb, r))
FROM unnest('{enable,disable}'::text[]) verb,
	unnest('{untracked,t__history,a_view,pg_class}'::text[]) r;
SELECT refused('SELECT enable_history_tracking_for_table(''untracked'',
	''untracked__history'')', '{untracked}',
	'enable does not take an unregistered table for a history');
SELECT refused(format('SELECT %s_history_tracking_for_table(NULL)', verb), '{}',
	verb || ' for NULL')
FROM unnest('{enable,disable}'::text[]) verb;
SELECT refused(format('SELECT %s_history_tracking_for_table(4294967290::oid::regclass)',
	verb), '{}', verb || ' for an OID that is no relation''s')
FROM unnest('{enable,disable}'::text[]) verb;
SELECT refused('SELECT reload_history_tracking_for_table(''untracked'')',
	'{untracked}', 'reload for a table without history', 'fitting');

-- sync_tracking_table.
SELECT refused(format('SELECT sync_tracking_table(%L, %L)', l, tr),
	ARRAY[l], format('sync of %s with %s', l, tr), 'fitting')
FROM (VALUES ('t', 'u__tracking'), ('t', 't__history'), ('t', 't'),
	('timed', 't__tracking'), ('untracked', 'untracked__tracking'),
	('untracked', 't__tracking')) v(l, tr);

-- initialize_new_history_table.
SELECT refused(format('SELECT initialize_new_history_table(%L, %L, %L)', l, h, k),
	'{}', format('initialize %s, %s, %s', l, h, k), 'fitting')
FROM (VALUES ('t', 'untracked__history', 'id'), ('t', 'u', 'id'),
	('t', 't__history', 'nowhere'), ('a_view', 't__history', 'id')) v(l, h, k);

-- Views.
SELECT refused('SELECT create_history_view_for_table(''untracked'')',
	'{untracked}', 'a view for a table without history', 'fitting');
SELECT ok(tap.state('SELECT drop_history_view_for_table(''other'')') !~ '^XX'
	AND to_regclass('other__with_history') IS NOT NULL,
	'a user''s view of such a name is never dropped');

-- truncate_history_table takes a history table, nothing else.
SELECT refused(format('SELECT truncate_history_table(%L)', r), '{}',
	'no truncation of ' || r, 'fitting')
FROM unnest('{t,t__tracking,t__with_history,untracked,untracked__history,
	catmaid_history_table,catmaid_transaction_info,pg_class}'::text[]) r;

SELECT unchanged(:'before', 'nothing is made or gone');
SELECT is((SELECT format('%s %s %s %s %s', (SELECT count(*) FROM t),
	(SELECT count(*) FROM t__history), (SELECT count(*) FROM u__history),
	(SELECT mine FROM untracked__history), (SELECT mine FROM untracked__tracking))),
	'1 1 1 kept kept', 'and no row');

-- NULL where a function's behaviour hangs on it is not silently "false".
CREATE FUNCTION tap.null_is(arg text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s text := tap.state(format('SELECT create_history_table(''untracked2'', %s => NULL)', arg));
BEGIN
	RETURN CASE WHEN s LIKE 'P0001 %' THEN 'fine'
		WHEN s <> '00000' THEN s
		WHEN (SELECT count(*) FROM public.catmaid_live_table_triggers
			WHERE live_table::oid = 'untracked2'::regclass
			AND triggers_installed) = 1
			AND (SELECT count(*) FROM public.untracked2__tracking) = 1 THEN 'fine'
		ELSE 'taken for false' END;
END $$;
CREATE TABLE untracked2 (id int PRIMARY KEY);
INSERT INTO untracked2 VALUES (1);
SELECT is(tap.null_is(arg), 'fine', 'NULL for ' || arg)
FROM unnest('{create_triggers,copy_inheritance,sync}'::text[]) arg;
SELECT unalike(tap.state(format('SELECT %s', call)), 'XX%', 'NULL: ' || call)
FROM unnest(ARRAY['drop_history_table(NULL)', 'drop_history_table_keep_data(NULL)',
	'create_history_view_for_table(NULL)', 'truncate_history_table(NULL)',
	'sync_tracking_table(NULL, NULL)', 'sync_tracking_table(''t'', NULL)',
	'initialize_new_history_table(''t'', NULL, NULL)',
	'get_history_table_name(NULL)']) call;
SELECT is((SELECT count(*) FROM t__history), 1::bigint, 'still as it was');

-- As it should be.
SELECT allowed('SELECT disable_history_tracking_for_table(''t'', ''t__history'')',
	'disable with the right history table');
SELECT allowed('SELECT enable_history_tracking_for_table(''t'', ''t__history'')',
	'enable with the right history table');
SELECT allowed('SELECT truncate_history_table(''t__history'')',
	'truncate a history table');

SELECT * FROM finish();
