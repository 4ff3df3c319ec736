-- Section 1: the functions that tell names, and that what is made bears them.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(31);

CREATE SCHEMA "Odd.Schema";
CREATE TABLE plain (id int PRIMARY KEY, a text);
CREATE TABLE timed (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE "Odd.Schema"."Mixed "" Case" (id int PRIMARY KEY, a text);
CREATE VIEW the_tables AS SELECT 'public.plain'::regclass AS t;

SELECT is(get_history_table_name('plain'), 'plain__history',
	'get_history_table_name');
SELECT is(history_table_name('plain'), 'plain__history',
	'history_table_name, the older name');
SELECT is(get_tracking_table_name('plain'), 'plain__tracking',
	'get_tracking_table_name');
SELECT is(get_history_view_name('plain'), 'plain__with_history',
	'get_history_view_name');
SELECT is(get_history_update_fn_name_regular('plain'),
	'update_history_plain_reg', 'get_history_update_fn_name_regular');
SELECT is(get_history_txid_update_fn_name_regular('plain'),
	'update_history_txid_plain_reg',
	'get_history_txid_update_fn_name_regular');

SELECT is(get_history_table_name('"Odd.Schema"."Mixed "" Case"'),
	'Mixed " Case__history', 'history name: unquoted and unqualified');
SELECT is(history_table_name('"Odd.Schema"."Mixed "" Case"'),
	'Mixed " Case__history', 'older history name: unquoted and unqualified');
SELECT is(get_tracking_table_name('"Odd.Schema"."Mixed "" Case"'),
	'Mixed " Case__tracking', 'tracking name: unquoted and unqualified');
SELECT is(get_history_view_name('"Odd.Schema"."Mixed "" Case"'),
	'Mixed " Case__with_history', 'view name: unquoted and unqualified');
SELECT is(get_history_update_fn_name_regular('"Odd.Schema"."Mixed "" Case"'),
	'update_history_Mixed " Case_reg',
	'function name: unquoted and unqualified');
SELECT is(get_history_txid_update_fn_name_regular('"Odd.Schema"."Mixed "" Case"'),
	'update_history_txid_Mixed " Case_reg',
	'older function name: unquoted and unqualified');
SELECT is((SELECT get_history_table_name(t) FROM the_tables), 'plain__history',
	'a name is told for a column''s value');

SELECT is(get_history_update_trigger_name_regular(),
	'on_change_update_history_regular', 'update trigger');
SELECT is(get_history_delete_trigger_name_regular(),
	'on_delete_update_history_txid_regular', 'delete trigger');
SELECT is(get_history_txid_update_trigger_name_regular(),
	'on_change_update_history_txid_regular', 'txid trigger');
SELECT is(get_history_update_trigger_name_tracking(),
	'on_change_history_trackingtable', 'history trigger beside a tracking table');
SELECT is(get_tracking_table_update_trigger_name(),
	'on_change_update_tracking_table', 'tracking trigger');
SELECT is(get_tracking_table_truncate_trigger_name(),
	'on_truncate_truncate_tracking_table', 'tracking truncate trigger');
SELECT is(get_history_truncate_trigger_name(),
	'on_truncate_handle_live_table_truncate', 'truncate trigger');

-- Names say what would be: they hold before, during and after tracking.
SELECT create_history_table('plain');
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('"Odd.Schema"."Mixed "" Case"');
SELECT is((SELECT string_agg(relname || ' ' || relkind::text, ', '
	ORDER BY relname COLLATE "C")
	FROM pg_class WHERE relnamespace = 'public'::regnamespace
	AND relname LIKE 'plain%' AND relkind IN ('r', 'v')),
	'plain r, plain__history r, plain__tracking r, plain__with_history v',
	'a table with tracking table: the derived relations');
SELECT is((SELECT string_agg(relname || ' ' || relkind::text, ', '
	ORDER BY relname COLLATE "C")
	FROM pg_class WHERE relnamespace = 'public'::regnamespace
	AND relname LIKE 'timed%' AND relkind IN ('r', 'v')),
	'timed r, timed__history r, timed__with_history v',
	'a table with time column: no tracking table');
SELECT is((SELECT string_agg(relname || ' ' || relkind::text, ', '
	ORDER BY relname COLLATE "C")
	FROM pg_class WHERE relnamespace = '"Odd.Schema"'::regnamespace
	AND relkind IN ('r', 'v')),
	'Mixed " Case r, Mixed " Case__history r, Mixed " Case__tracking r, '
	|| 'Mixed " Case__with_history v',
	'derived relations live in the schema of the live table');
SELECT is((SELECT string_agg(relname, ', ' ORDER BY relname COLLATE "C")
	FROM pg_class WHERE relkind = 'i' AND oid IN (SELECT indexrelid
	FROM pg_index WHERE indrelid = 'plain__history'::regclass)),
	'plain__history_exec_transaction_id, plain__history_live_pk_index, '
	|| 'plain__history_sys_period', 'the three indexes of a history table');
SELECT is((SELECT string_agg(relname, ', ' ORDER BY relname COLLATE "C")
	FROM pg_class WHERE relkind = 'i' AND oid IN (SELECT indexrelid
	FROM pg_index
	WHERE indrelid = '"Odd.Schema"."Mixed "" Case__history"'::regclass)),
	'Mixed " Case__history_exec_transaction_id, '
	|| 'Mixed " Case__history_live_pk_index, Mixed " Case__history_sys_period',
	'the three indexes of one with an odd name');

CREATE FUNCTION strangers(live regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(tgname, ', ') FROM pg_trigger
	WHERE tgrelid = live AND NOT tgisinternal AND tgname NOT IN (
		get_history_update_trigger_name_regular(),
		get_history_delete_trigger_name_regular(),
		get_history_txid_update_trigger_name_regular(),
		get_history_update_trigger_name_tracking(),
		get_tracking_table_update_trigger_name(),
		get_tracking_table_truncate_trigger_name(),
		get_history_truncate_trigger_name()) $$;
SELECT is(strangers('plain'), NULL,
	'no trigger but the named ones beside a tracking table');
SELECT is(strangers('timed'), NULL,
	'no trigger but the named ones on a table with time column');
SELECT isnt((SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal
	AND tgrelid = 'plain'::regclass), 0::bigint,
	'and there are triggers beside a tracking table');
SELECT isnt((SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal
	AND tgrelid = 'timed'::regclass), 0::bigint,
	'and there are triggers on a table with time column');
SELECT is((SELECT string_agg(proname, ', ') FROM pg_proc
	WHERE proname LIKE 'update\_history\_%'), NULL,
	'no function is made per table');
SELECT is(get_history_table_name('plain'), 'plain__history',
	'the name is the same once the table is tracked');

SELECT * FROM finish();
