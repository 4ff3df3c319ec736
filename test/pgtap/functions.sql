-- Section 1: every function is there, once, with the exact argument names,
-- order, defaults and result that migrations rely on, and a comment.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(29 * 5 + 13);

CREATE TEMP TABLE wanted (name text, args text, result text, volatile "char",
	in_c boolean);
INSERT INTO wanted VALUES
('create_history_table', 'live_table regclass, time_column text DEFAULT NULL::text, txid_column text DEFAULT NULL::text, create_triggers boolean DEFAULT true, copy_inheritance boolean DEFAULT true, sync boolean DEFAULT true', 'void', 'v', true),
('drop_history_table', 'live_table regclass', 'void', 'v', true),
('drop_all_history_tables', '', 'void', 'v', true),
('drop_history_table_keep_data', 'live_table regclass', 'void', 'v', true),
('enable_history_tracking_for_table', 'live_table regclass, history_table regclass DEFAULT NULL::regclass, sync boolean DEFAULT true', 'void', 'v', true),
('disable_history_tracking_for_table', 'live_table regclass, history_table regclass DEFAULT NULL::regclass', 'void', 'v', true),
('enable_history_tracking', '', 'void', 'v', true),
('disable_history_tracking', '', 'void', 'v', true),
('reload_history_tracking_for_table', 'live_table regclass', 'void', 'v', true),
('reload_history_tracking', '', 'void', 'v', true),
('sync_tracking_table', 'live_table regclass, tracking_table regclass', 'void', 'v', true),
('create_history_view_for_table', 'live_table regclass', 'void', 'v', true),
('drop_history_view_for_table', 'live_table regclass', 'void', 'v', true),
('initialize_new_history_table', 'live_table regclass, history_table regclass, live_table_pkey_column text', 'void', 'v', true),
('truncate_history_table', 'target regclass', 'void', 'v', true),
('truncate_all_history_tables', '', 'void', 'v', true),
('get_history_table_name', 'live_table regclass', 'text', 's', false),
('history_table_name', 'live_table regclass', 'text', 's', false),
('get_tracking_table_name', 'live_table regclass', 'text', 's', false),
('get_history_view_name', 'live_table_name regclass', 'text', 's', false),
('get_history_update_fn_name_regular', 'live_table regclass', 'text', 's', false),
('get_history_txid_update_fn_name_regular', 'live_table_name regclass', 'text', 's', false),
('get_history_update_trigger_name_regular', '', 'text', 's', false),
('get_history_delete_trigger_name_regular', '', 'text', 's', false),
('get_history_txid_update_trigger_name_regular', '', 'text', 's', false),
('get_history_update_trigger_name_tracking', '', 'text', 's', false),
('get_tracking_table_update_trigger_name', '', 'text', 's', false),
('get_tracking_table_truncate_trigger_name', '', 'text', 's', false),
('get_history_truncate_trigger_name', '', 'text', 's', false);

CREATE TEMP VIEW found AS
SELECT p.*, l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace;

SELECT is((SELECT count(*)::text || ' ' ||
	string_agg(pg_get_function_arguments(f.oid), ' / ')
	FROM found f WHERE f.proname = w.name),
	'1 ' || w.args, w.name || ': once, no overload, arguments as promised')
FROM wanted w;
SELECT is((SELECT pg_get_function_result(f.oid) FROM found f
	WHERE f.proname = w.name), w.result, w.name || ': result type')
FROM wanted w;
SELECT is((SELECT f.provolatile FROM found f WHERE f.proname = w.name),
	w.volatile, w.name || ': volatility')
FROM wanted w;
SELECT ok((SELECT NOT w.in_c OR f.lanname = 'c' FROM found f
	WHERE f.proname = w.name), w.name || ': in C where promised')
FROM wanted w;
SELECT ok((SELECT obj_description(f.oid, 'pg_proc') ~ '\w{3}' FROM found f
	WHERE f.proname = w.name), w.name || ': has a comment')
FROM wanted w;

-- The extension itself.
SELECT is((SELECT extrelocatable FROM pg_extension
	WHERE extname = 'catmaid_history'), false, 'not relocatable');
SELECT ok((SELECT obj_description(oid, 'pg_extension') ~ '\w{3}'
	FROM pg_extension WHERE extname = 'catmaid_history'),
	'the extension has a comment');
SELECT ok((SELECT bool_and(obj_description(to_regclass(r), 'pg_class') ~ '\w{3}')
	FROM unnest(ARRAY['catmaid_history_table', 'catmaid_transaction_info',
	'catmaid_live_table_triggers', 'catmaid_inheriting_tables',
	'catmaid_table_info']) r), 'its tables and views have comments');
SELECT is((SELECT string_agg(format('%s.%s', n.nspname, p.proname), ', ')
	FROM found p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE p.proname IN (SELECT name FROM wanted) AND NOT EXISTS (
		SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
		AND d.objid = p.oid AND d.deptype = 'e')),
	NULL, 'all functions are members of the extension');
SELECT is((SELECT string_agg(p.proname, ', ') FROM found p
	WHERE p.prosecdef AND NOT coalesce(p.proconfig::text, '') ~ 'search_path'),
	NULL, 'no SECURITY DEFINER function without a search_path of its own');
SELECT ok((SELECT bool_and(has_function_privilege('pg_monitor', f.oid, 'EXECUTE'))
	FROM found f JOIN wanted w ON w.name = f.proname),
	'any role may call them: what it may do is checked inside');

-- How existing callers write the calls.
CREATE TABLE called (id int PRIMARY KEY, edition_time timestamptz DEFAULT now(),
	txid bigint);
SELECT allowed($$SELECT create_history_table('called')$$,
	'an unknown literal is taken as a regclass');
SELECT allowed($$SELECT drop_history_table('called'::text)$$,
	'text is taken, through the implicit cast');
SELECT allowed($$SELECT create_history_table(live_table => 'public.called'::text,
	time_column => 'edition_time', txid_column => 'txid',
	create_triggers => true, copy_inheritance => false, sync => false)$$,
	'all arguments can be given by name');
SELECT allowed($$SELECT disable_history_tracking_for_table('called'::regclass,
	get_history_table_name('called'::regclass))$$,
	'a history table can be passed as text');
SELECT allowed($$SELECT enable_history_tracking_for_table('called'::regclass,
	get_history_table_name('called'::regclass), FALSE)$$,
	'three positional arguments, the second one text');
SELECT allowed($$SELECT create_history_table(c.oid::regclass, NULL, NULL)
	FROM pg_class c WHERE c.oid = 'public.called'::regclass$$,
	'it can be called for rows of pg_class');
SELECT allowed($$DO 'BEGIN PERFORM drop_history_table(''called''); END'$$,
	'and from PL/pgSQL');

SELECT * FROM finish();
