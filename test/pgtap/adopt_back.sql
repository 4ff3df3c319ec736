-- Going back, as doc/moving-over.md says, and over again: the older functions take an
-- adopted database as it is, and it can be adopted once more.
\ir lib/old.psql
SELECT plan(33);
\ir lib/old_implementation.sql
\ir lib/old_database.sql
CALL tap.note();
BEGIN;
CREATE EXTENSION catmaid_history SCHEMA public VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
UPDATE treenode SET skeleton_id = 100 WHERE id = 4;
UPDATE project SET title = 'ours' WHERE id = 1;
INSERT INTO project (id, title) VALUES (60, 'ours');
SELECT count(*) AS versions FROM treenode__history \gset

-- Back.  (A column of the enum would go with it.)
CREATE TABLE saved_registry AS SELECT * FROM catmaid_history_table;
CREATE TABLE saved_log AS SELECT transaction_id, execution_time, user_id, project_id, change_type::text, label
	FROM catmaid_transaction_info;
SET client_min_messages = error;
-- (what a site has upon registry, log or functions goes along)
DROP EXTENSION catmaid_history CASCADE;
RESET client_min_messages;
SET client_min_messages = warning;
SELECT is((SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'treenode'::regclass AND NOT tgisinternal),
	'on_delete_treenode_update_edges, on_edit, on_edit_treenode_update_edges, on_insert_treenode_update_edges',
	'no trigger of ours is left');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND probin LIKE '%catmaid_history%'),
	0::bigint, 'no function');
UPDATE treenode SET skeleton_id = 101 WHERE id = 4;
\ir lib/old_implementation.sql
INSERT INTO catmaid_history_table SELECT live_table, history_table, triggers_installed, live_table_pkey_column,
	tracking_table, time_column, txid_column, creation_time FROM saved_registry;
INSERT INTO catmaid_transaction_info SELECT transaction_id, execution_time, user_id, project_id,
	change_type::history_change_type, label FROM saved_log;
DROP TABLE saved_registry, saved_log;
SELECT lives_ok('SELECT enable_history_tracking_for_table(live_table, history_table) FROM catmaid_history_table WHERE triggers_installed',
	'the older functions enable');
UPDATE treenode SET skeleton_id = 102 WHERE id = 4;
UPDATE project SET title = 'theirs' WHERE id IN (1, 60);
DELETE FROM project WHERE id = 60;
SELECT is((SELECT array_agg(skeleton_id ORDER BY skeleton_id DESC) FROM treenode__history WHERE id = 4 AND skeleton_id > 99),
	'{101}', 'they record, with a time column');
SELECT is((SELECT array_agg(title ORDER BY title) FROM project__history WHERE id = 60), '{ours,theirs}', 'and with a tracking table');
SELECT is((SELECT lower_inf(sys_period) FROM project__history WHERE id = 60 AND title = 'ours'), false,
	'and know since when');
SELECT is((SELECT count(*) FROM treenode__history), :versions::bigint + 1, 'all versions are there');
-- (views that need something of the extension went with it)
SELECT create_history_view_for_table(live_table) FROM catmaid_history_table h WHERE NOT EXISTS (SELECT FROM pg_class c
	WHERE c.relkind = 'v' AND c.relname = get_history_view_name(h.live_table)) \g /dev/null
SELECT is((SELECT array_agg(title ORDER BY title) FROM project__with_history WHERE id = 60), '{ours,theirs}',
	'and make the views that went');
SELECT lives_ok('SELECT drop_history_view_for_table(''stack_group''), create_history_view_for_table(''stack_group'')',
	'and others');
SELECT kept('registry', 'the registry is as it was');

-- And over again.
BEGIN;
CREATE EXTENSION catmaid_history SCHEMA public VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
SELECT kept('registry', 'again: the registry');
SELECT is(tap.misfits(), '', 'again: triggers and functions');
SELECT is(tap.view_misfits(), NULL, 'again: views');
UPDATE treenode SET skeleton_id = 103 WHERE id = 4;
SELECT is((SELECT array_agg(skeleton_id ORDER BY skeleton_id) FROM treenode__history WHERE id = 4 AND skeleton_id > 99),
	'{101,102}', 'again: recorded');
SELECT whole(t, 'again: ' || t::text) FROM unnest('{treenode,project,stack_group,message}'::regclass[]) t;

-- An extension that is ours already: nothing to adopt, nothing changes.
SELECT is((SELECT left(state, 2) FROM attempt('CREATE EXTENSION catmaid_history VERSION ''unpackaged''')), '42', 'it is there');
SELECT lives_ok('ALTER EXTENSION catmaid_history UPDATE', 'and up to date');
-- A step back and forth makes functions and views anew, and nothing else.
CREATE TABLE tap.members_then AS SELECT m AS line FROM tap.members() m;
TRUNCATE tap.noted;
CALL tap.note();
BEGIN;
ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged';
UPDATE project SET title = 'between' WHERE id = 1;
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
SELECT same_lines((SELECT string_agg(m, E'\n') FROM tap.members() m), (SELECT string_agg(line, E'\n') FROM tap.members_then),
	'back and forth: the same members');
SELECT kept(k, 'back and forth: ' || k, but => '{project__history}') FROM unnest('{rows,registry,tracking flag,relation,grant,option,comment,
	index,constraint,site trigger}'::text[]) k;
SELECT is((SELECT count(*) FROM project__history WHERE exec_transaction_id = (SELECT max(exec_transaction_id) FROM project__history)),
	1::bigint, 'back and forth: a write between is recorded');
SELECT is(tap.misfits(), '', 'back and forth: triggers');
SELECT * FROM finish();
