-- An adopted database is like one that was ours from the beginning: what its
-- tables have from the older implementation (indexes, order of columns, tracking
-- tables with a deferrable key) stands in no one's way.
\ir lib/old.psql
SELECT plan(45);
\ir lib/old_implementation.sql
\ir lib/old_database.sql
-- Plans and caches from before.
PREPARE move AS UPDATE treenode SET location_x = location_x + 1 WHERE id = $1;
EXECUTE move(4);
EXECUTE move(4);
SET plan_cache_mode = force_generic_plan;
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
-- in the same transaction
EXECUTE move(4);
UPDATE project SET title = 'same transaction' WHERE id = 1;
COMMIT;
SELECT is((SELECT array_agg(location_x ORDER BY location_x) FROM treenode__history WHERE id = 4),
	'{2,3,4,5}', 'a prepared statement is recorded, in the transaction of adoption too');
SELECT is((SELECT max(title) FROM project__history WHERE id = 1 AND exec_transaction_id =
	(SELECT max(exec_transaction_id) FROM project__history WHERE id = 1)), 'p1',
	'and so is a table with a tracking table');
EXECUTE move(4);
SELECT is((SELECT max(location_x) FROM treenode__history WHERE id = 4), 6::real, 'and after it');

-- Start and end of the first versions after adoption.
UPDATE project SET title = 'later' WHERE id = 2;
SELECT is((SELECT lower(sys_period) FROM project__history WHERE id = 2 ORDER BY upper(sys_period)
	DESC LIMIT 1), (SELECT max(upper(sys_period)) FROM (SELECT sys_period FROM project__history
	WHERE id = 2 ORDER BY upper(sys_period) DESC OFFSET 1) x),
	'a version begins where the tracking table of before says');
SELECT is((SELECT count(*) FROM project__history WHERE lower_inf(sys_period)), 0::bigint, 'no start is lost');
SELECT is((SELECT count(*) FROM treenode__with_history WHERE id = 21 AND sys_period @> timestamptz '2019-01-01'),
	1::bigint, 'the table as of a time before');
SELECT is((SELECT count(*) FROM treenode__with_history WHERE id = 21 AND upper_inf(sys_period)), 0::bigint,
	'a row that was deleted is not there now');
SELECT is((SELECT count(*) FROM project__with_history WHERE id = 3 AND upper_inf(sys_period)), 1::bigint,
	'a row that is there is');
SELECT is((SELECT exec_transaction_id FROM project__history WHERE title = 'p2' ORDER BY upper(sys_period) DESC LIMIT 1),
	(SELECT max(txid) FROM project__tracking WHERE live_pk = 2), 'the transaction is that which ended the version');

-- Through a parent.
CREATE TEMP TABLE before AS SELECT (SELECT count(*) FROM ONLY treenode__history) AS t,
	(SELECT count(*) FROM ONLY connector__history) AS c, (SELECT count(*) FROM ONLY location__history) AS l;
UPDATE location SET location_x = 77 WHERE id IN (1, 3, 23);
SELECT is((SELECT array[(SELECT count(*) FROM ONLY treenode__history) - t,
	(SELECT count(*) FROM ONLY connector__history) - c,
	(SELECT count(*) FROM ONLY location__history) - l] FROM before), '{1,1,1}',
	'a change through the parent lands in the history of each row''s table');
SELECT is((SELECT skeleton_id FROM treenode__history WHERE id = 3 ORDER BY upper(sys_period) DESC LIMIT 1),
	1::bigint, 'complete');

-- Key changes, deferrable uniqueness, TRUNCATE.
UPDATE auth_user SET id = 3 - id WHERE id IN (1, 2) AND false;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE stack_group SET id = id + 100;
INSERT INTO stack_group (id, title) VALUES (1, 'new one');
COMMIT;
SELECT whole('stack_group', 'changed keys');
INSERT INTO site."Odd Table" VALUES ('k9', 9, 'z');
TRUNCATE site."Odd Table";
SELECT is((SELECT count(*) FROM site."Odd Table__history" WHERE "Key" = 'k9'), 1::bigint, 'TRUNCATE');
SELECT is((SELECT count(*) FROM site."Odd Table__tracking"), 0::bigint, 'and its tracking table');
INSERT INTO site."Odd Table" VALUES ('k9', 9, 'z');
SELECT whole('site."Odd Table"', 'after TRUNCATE');
DELETE FROM project WHERE id = 1;
SELECT is((SELECT count(*) FROM project_stack__history WHERE project_id = 1 AND NOT isempty(sys_period)),
	2::bigint, 'a cascade');

-- Disabled tables.
UPDATE change_request SET description = 'unrecorded';
SELECT is((SELECT count(*) FROM change_request__history WHERE NOT isempty(sys_period)), 2::bigint,
	'a disabled table stays so');
SELECT enable_history_tracking_for_table('change_request'), enable_history_tracking_for_table('data_view',
	'data_view__history') \g /dev/null
SELECT whole('change_request', 'until it is enabled');
SELECT whole('data_view', 'with its tracking table in step');

-- All functions.
SELECT lives_ok('SELECT disable_history_tracking()', 'all disabled');
SELECT is(misfits(), '', 'none has triggers');
SELECT lives_ok('SELECT enable_history_tracking()', 'all enabled');
SELECT is(misfits(), '', 'each has them');
SELECT is((SELECT count(*) FROM catmaid_live_table_triggers WHERE NOT triggers_installed), 0::bigint, 'really');
SELECT lives_ok('SELECT reload_history_tracking()', 'all anew');
SELECT lives_ok('SELECT sync_tracking_table(live_table, tracking_table) FROM catmaid_history_table
	WHERE tracking_table IS NOT NULL', 'all in step');
SELECT lives_ok('SELECT create_history_view_for_table(live_table) FROM catmaid_history_table', 'views anew');
SELECT lives_ok('SELECT initialize_new_history_table(live_table, history_table, live_table_pkey_column)
	FROM catmaid_history_table', 'indexes are there');
SELECT is((SELECT string_agg(format('%s: %s', h.history_table, n), ', ') FROM catmaid_history_table h,
	LATERAL (SELECT count(*) AS n FROM pg_index WHERE indrelid = h.history_table) i
	WHERE n <> 3 AND live_table::text NOT IN ('treenode', 'textlabel', 'point')), NULL,
	'and none is made twice');

-- The follower.  (What a site has on a view stands in its way as ever.)
DROP MATERIALIZED VIEW site.node_counts;
DROP FUNCTION site.projects;
DROP VIEW site.title_counts, site.titles, site.all_of_project, site.ended;
ALTER TABLE location ADD COLUMN location_y real DEFAULT 1, ALTER location_x TYPE float8;
SELECT whole(t, 'columns of a parent followed in ' || t::text)
FROM unnest('{location,treenode,connector}'::regclass[]) t;
ALTER TABLE treenode RENAME parent_id TO parent;
SELECT whole('treenode', 'a column renamed below the parent''s');
ALTER TABLE project ALTER id TYPE bigint, DROP COLUMN comment CASCADE;
SELECT whole('project', 'another type of the key');
ALTER TABLE treenode_connector_class_instance_label RENAME TO label;
SELECT whole('label', 'a table with a long name renamed');
ALTER TABLE treenode_connector SET SCHEMA site;
SELECT whole('site.treenode_connector', 'moved to another schema');
ALTER TABLE stack ALTER dimension TYPE text USING (dimension).x::text;
SELECT follows('stack', 'a type with loss', '{dimension_1 integer3d}');
ALTER TABLE client_data DROP CONSTRAINT client_data_pkey, ADD PRIMARY KEY (id, value);
SELECT whole('client_data', 'a key of two columns');

-- Dropping, forgetting, taking up.
DROP TABLE relation;
SELECT is(left_of('relation__'), '', 'a live table dropped takes all along');
SELECT drop_history_table_keep_data('broken_slice');
SELECT is(left_of('broken_slice__'), 'broken_slice__history', 'keep_data leaves the history');
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = 'broken_slice__history'::regclass), 0::bigint,
	'without its indexes');
SELECT create_history_table('broken_slice');
SELECT whole('broken_slice', 'which is taken up again');
SELECT drop_history_table('data_view');
SELECT is(left_of('data_view__'), '', 'a history dropped');
SELECT lives_ok('SELECT drop_all_history_tables()', 'all dropped');
SELECT is((SELECT string_agg(relname, ', ') FROM pg_class WHERE relname ~ '__(history|tracking|with_history)$'), NULL,
	'nothing is left');
SELECT * FROM finish();
