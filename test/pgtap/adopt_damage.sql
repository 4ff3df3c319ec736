-- A database of the older implementation with all the damage that is known is
-- adopted: no row of history is touched, what can be mended is, the rest is found
-- by check_history, before and after, and stands in nobody's way.
\ir lib/old.psql
SELECT plan(67);
\ir lib/old_implementation.sql
\ir lib/old_database.sql
\ir lib/old_damage.sql
CALL tap.note();
-- The tables that check_history has findings of, bare OIDs among them.
CREATE FUNCTION tap.found() RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT array_agg(DISTINCT c.live_table::text) FROM check_history() c);
END $$;

BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT is((SELECT string_agg(format('%s (%s)', live, kind), E'\n') FROM site.damage
	WHERE live <> ALL (tap.found()) AND kind NOT IN ('narrow column, inherited', 'empty periods',
	'view without a column', 'view with an old name')), NULL, 'before: all damage is found');
SELECT is((SELECT string_agg(c::text, E'\n') FROM check_history() c WHERE c.live_table::text NOT IN
	(SELECT live FROM site.damage) AND c.live_table::text NOT IN ('data_view', 'change_request')), NULL,
	'before: and nothing else');
SELECT is((SELECT string_agg(live, ', ') FROM site.damage WHERE takes_scan AND live IN (SELECT
	live_table::text FROM check_history(NULL, false))), NULL, 'before: without reading history none of its rows is found');
ROLLBACK;
SELECT kept('rows', 'looking changes nothing');
SELECT kept('relation', 'neither relations');

BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;

SELECT kept('rows', 'every row of history and log lies where it lay');
SELECT kept('registry', 'registry rows', but => (SELECT array_agg(coalesce(to_regclass(live)::oid::text, live))
	FROM site.damage WHERE kind ~ 'dropped'));
SELECT kept('index', 'indexes', but => (SELECT array_agg(object) FROM tap.noted WHERE kind = 'index'
	AND object ~ '__tracking'));
SELECT kept('relation', 'tables and views', but => (SELECT array_agg(live || s) || 'catmaid_live_table_triggers'::text
	FROM site.damage, unnest('{__tracking,__with_history}'::text[]) s));
SELECT kept('grant', 'grants');
SELECT kept('option', 'options');
SELECT kept('comment', 'comments');
SELECT kept('site trigger', 'triggers of the site');
SELECT kept('site view', 'views of the site');
SELECT is((SELECT count(*) FROM gone__history), 2::bigint, 'the history of a dropped table is there');
SELECT is(tap.misfits(), '', 'triggers are all there or none, as the registry says');
SELECT is((SELECT array_agg(live_table::text ORDER BY live_table::text) FROM catmaid_live_table_triggers
	WHERE NOT triggers_installed), '{broken_slice,change_request,data_view,restriction,stack_stack_group}',
	'tracking is on where triggers were, whatever the registry says');
SELECT is(view_misfits((SELECT array_agg(to_regclass(live)) FROM site.damage WHERE NOT coalesce(mendable, false)
	AND to_regclass(live) IS NOT NULL)), NULL, 'views have all columns, also where they were out of date');

-- What is left.
SELECT is((SELECT string_agg(format('%s (%s)', live, kind), E'\n') FROM site.damage
	WHERE live <> ALL (tap.found()) AND NOT mendable), NULL, 'after: what cannot be mended is found');
SELECT is((SELECT string_agg(c::text, E'\n') FROM check_history() c WHERE c.live_table::text NOT IN
	(SELECT live FROM site.damage) AND c.live_table::text NOT IN ('data_view', 'change_request')), NULL,
	'after: what was sound is so');
CREATE TABLE tap.adopted AS SELECT * FROM tap.facts();
SELECT lives_ok('SELECT repair_history()', 'repair all');
SELECT is((SELECT string_agg(c::text, E'\n') FROM check_history() c WHERE c.live_table::text IN
	(SELECT live FROM site.damage WHERE mendable)), NULL, 'after repair: what can be mended is');
SELECT kept('rows', 'repair touches no row of history');
SELECT is((SELECT string_agg(format('%s (%s)', live, kind), E'\n') FROM site.damage
	WHERE live <> ALL (tap.found()) AND NOT mendable), NULL, 'after repair: what cannot be is found');
SELECT is(tap.misfits(), '', 'after repair: triggers are all there or none');
INSERT INTO concept (note) VALUES ('x');
INSERT INTO relation_instance (relation_id) VALUES (1);
SELECT whole(t.live::regclass, format('recorded again: %s (%s)', t.live, t.kind)) FROM site.damage t
WHERE mendable AND NOT EXISTS (SELECT FROM site.damage d WHERE d.live = t.live AND d.kind > t.kind);
SELECT is((SELECT count(*) FROM auth_user__history WHERE first_name = repeat('long', 30)), 1::bigint,
	'wide values are recorded');
SELECT is((SELECT count(*) FROM relation__history WHERE uri = repeat('long', 30) AND note = uri), 1::bigint,
	'in inherited columns, too');
INSERT INTO project_stack (id) VALUES (5000000000);
SELECT is((SELECT count(*) FROM project_stack__tracking WHERE live_pk = 5000000000), 1::bigint, 'and wide keys');

-- Tables whose triggers were gone are disabled, and can be enabled.
UPDATE broken_slice SET index = 9 WHERE id = (SELECT min(id) FROM broken_slice);
SELECT enable_history_tracking_for_table('broken_slice'), enable_history_tracking_for_table('restriction') \g /dev/null
SELECT whole(t, 'enabled: ' || t::text) FROM unnest('{broken_slice,restriction}'::regclass[]) t;

-- Where only some triggers were there: all or none of them now.
SELECT is((SELECT string_agg(t, ', ') FROM unnest('{project,point}'::text[]) t WHERE (SELECT triggers_installed
	FROM catmaid_live_table_triggers l WHERE l.live_table::text = t) IS DISTINCT FROM
	(our_triggers(t::regclass) IS NOT NULL)), NULL, 'triggers that were there in part');
SELECT enable_history_tracking_for_table('project') \g /dev/null
SELECT whole('project', 'enabled: project');

-- A trigger of the site with one of our names.
SELECT is((SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'stack_stack_group'::regclass
	AND tgname = 'on_change_history_trackingtable'), 'site.foreign_trigger', 'the site''s trigger stays');
DELETE FROM site.heard;
UPDATE stack_stack_group SET position = 5;
SELECT is((SELECT DISTINCT what FROM site.heard), 'foreign', 'and fires');
DROP TRIGGER on_change_history_trackingtable ON stack_stack_group;
SELECT enable_history_tracking_for_table('stack_stack_group') \g /dev/null
SELECT whole('stack_stack_group', 'without it the table is tracked');

-- A history whose key is too narrow: a version is stored whole or the write fails.
INSERT INTO stack_group VALUES (5000000000, 'wide');
UPDATE stack_group SET title = 'narrow' WHERE id = 1;
SELECT is((SELECT count(*) FROM stack_group__history WHERE id = 1 AND exec_transaction_id =
	(SELECT max(exec_transaction_id) FROM stack_group__history))
	+ (SELECT count(*) FROM catmaid_live_table_triggers WHERE live_table::text = 'stack_group' AND NOT triggers_installed),
	1::bigint, 'narrow key in history: recorded, or disabled');
SELECT ok((SELECT state <> '00000' AND state !~ '^XX' FROM attempt('UPDATE stack_group SET title = title WHERE id > 9'))
	OR NOT (SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table::text = 'stack_group'),
	'narrow key in history: no version without its key');
SELECT is((SELECT state || message FROM check_history('stack_group') c, attempt(split_part(c.hint, ';', 1))),
	'00000', 'narrow key in history: the hint works as it is typed');
SELECT enable_history_tracking_for_table('stack_group') \g /dev/null
SELECT whole('stack_group', 'narrow key in history: widened by hand');

-- Rows of dropped tables stand in nobody's way.
SELECT lives_ok('SELECT disable_history_tracking(); SELECT disable_history_tracking()', 'all disabled');
SELECT lives_ok('SELECT drop_history_table(live_table) FROM catmaid_history_table WHERE live_table::text = ''historyless''',
	'a table without its history is forgotten');
SELECT lives_ok('SELECT create_history_table(''historyless'')', 'and begins anew');
SELECT lives_ok('SELECT enable_history_tracking()', 'all enabled');
SELECT is(tap.misfits(), '', 'all are');
SELECT is((SELECT count(*) FROM catmaid_live_table_triggers t JOIN pg_class c ON c.oid = t.live_table
	WHERE NOT triggers_installed), 0::bigint, 'really');
INSERT INTO historyless VALUES (7, 'x');
SELECT whole('historyless', 'tracked');
SELECT lives_ok('SELECT reload_history_tracking()', 'all anew');
SELECT lives_ok('SELECT repair_history()', 'and repaired');

-- Repair at any time, of one table.
INSERT INTO stack__tracking (live_pk, edition_time, txid) VALUES (88, now(), 1);
INSERT INTO client_data__tracking (live_pk, edition_time, txid) VALUES (88, now(), 1);
SELECT is((SELECT array_agg(DISTINCT live_table::text ORDER BY live_table::text) FROM check_history()
	WHERE live_table::text IN ('stack', 'client_data', 'stack_mirror')), '{client_data,stack}', 'new damage is found');
SELECT is((SELECT array_agg(DISTINCT live_table::text) FROM check_history('stack')), '{stack}', 'of one table');
SELECT lives_ok('SELECT repair_history(''stack'')', 'one table is repaired');
SELECT is((SELECT array_agg(DISTINCT live_table::text ORDER BY live_table::text) FROM check_history()
	WHERE live_table::text IN ('stack', 'client_data', 'stack_mirror')), '{client_data}', 'and no other');
DROP MATERIALIZED VIEW site.node_counts;
DROP FUNCTION site.projects;
DROP VIEW site.title_counts, site.titles, site.all_of_project, site.ended;
SELECT lives_ok('SELECT drop_all_history_tables()', 'all dropped');
SELECT * FROM finish();
