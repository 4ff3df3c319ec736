-- Section 8: a database of the older implementation, sound in itself, is adopted:
-- what is the site's stays as it was, what was the implementation's is ours.
\ir lib/old.psql
-- (one table more with PostGIS)
SELECT plan(60 + (SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis')::int);
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis') THEN
		CREATE EXTENSION postgis;
	END IF;
END $$;
CREATE EXTENSION catmaid_history;
CREATE TABLE tap.fresh AS SELECT m AS line FROM tap.members() m;
CREATE TABLE tap.fresh_grants AS SELECT m AS line FROM tap.member_grants() m;
DROP EXTENSION catmaid_history;
\ir lib/old_implementation.sql
\ir lib/old_database.sql
CALL tap.note();
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
SELECT is((SELECT extversion FROM pg_extension WHERE extname = 'catmaid_history'), 'unpackaged',
	'the first step takes note of what is there');
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;

-- History, log, registry.
SELECT kept('rows', 'every row of history and log lies where it lay');
SELECT kept('registry', 'registry rows, creation time included');
SELECT kept('tracking flag', 'tracking is on where it was on');
SELECT kept('index', 'indexes are the same, not built again');
SELECT is((SELECT string_agg(indexrelid::regclass::text, ', ') FROM pg_index
	WHERE indrelid IN (SELECT history_table FROM catmaid_history_table) AND indexrelid NOT IN
	(SELECT split_part(fact, ' ', 1)::oid FROM tap.noted WHERE kind = 'index')), NULL,
	'no index was built on a history table');
SELECT kept('constraint', 'constraints');
SELECT kept('sequence', 'sequences');

-- The site's own.
SELECT kept('relation', 'tables and views: the same objects, owners', but => '{catmaid_live_table_triggers}');
SELECT kept('grant', 'grants');
SELECT kept('option', 'options of tables and views');
SELECT kept('comment', 'comments');
SELECT kept('column default', 'defaults, of a view''s column too');
SELECT kept('site trigger', 'triggers of the site, on views and history tables too');
SELECT kept('site view', 'views and materialized views on ours');
SELECT is((SELECT count(*) FROM site.titles), 8::bigint, 'a view on ours works');
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'site.all_of_project'::regclass AND attnum > 0), 'id,title,comment',
	'SELECT * of old stays as it was');
SELECT lives_ok('REFRESH MATERIALIZED VIEW site.node_counts', 'a materialized view is refreshed');
SELECT is((SELECT count(*) FROM site.ended WHERE NOT isempty(sys_period)), 14::bigint,
	'a view on history and log works');
SELECT is((SELECT count(*) FROM site.registered WHERE its_history IS NOT NULL),
	(SELECT count(*) FROM catmaid_history_table), 'a view on registry and functions works');
SELECT is((SELECT count(*) FROM site.projects(now())), 8::bigint,
	'a function that returns rows of our view works');

-- Members.
SELECT same_lines((SELECT string_agg(m, E'\n') FROM tap.members() m),
	(SELECT string_agg(line, E'\n') FROM tap.fresh), 'members are those of a fresh installation');
SELECT is((SELECT string_agg(line, ', ') FROM (SELECT line FROM tap.fresh_grants
	EXCEPT SELECT m FROM tap.member_grants() m) x), NULL, 'with the grants of one at least');
SELECT is(tap.misfits(), '', 'old functions and triggers are gone, ours are as enabling makes them');
SELECT is(tap.view_misfits(), NULL, 'views have two more columns');
SELECT is((SELECT count(*) FROM catmaid_history_table h WHERE NOT EXISTS (SELECT FROM
	catmaid_live_table_triggers t WHERE t.live_table::oid = h.live_table AND t.triggers_installed)),
	2::bigint, 'all but two are tracked');
SELECT is((SELECT string_agg(live_table::text, ', ') FROM catmaid_history_table
	WHERE live_table_pkey_columns IS DISTINCT FROM ARRAY[live_table_pkey_column]), NULL,
	'the registry''s further column is filled');
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c, catmaid_history_table h
	WHERE c.oid IN (h.history_table, h.tracking_table) AND NOT (relreplident IN ('f', 'd', 'i') AND
	(relreplident <> 'd' OR EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)))),
	NULL, 'history and tracking tables can be published');

-- What is sound has no findings; what is disabled may lack tracking rows.
SELECT is((SELECT string_agg(f::text, E'\n') FROM check_history() f WHERE f::text !~ 'data_view|change_request'),
	NULL, 'nothing to find');
SELECT lives_ok('SELECT repair_history()', 'nothing to repair');
SELECT kept('rows', 'which repair leaves alone');
SELECT kept('index', 'indexes too', but => '{site.node_counts_skeleton}');

INSERT INTO concept (note) VALUES ('x');
INSERT INTO relation_instance (relation_id) VALUES (1);

-- Recording goes on, in each table; the first write was prepared before.
SELECT whole(live_table, 'complete versions of ' || live_table::text) FROM catmaid_history_table h
WHERE live_table::text NOT IN ('change_request', 'data_view', 'point') ORDER BY live_table::text;
SELECT is(tap.astray('point'), E'history also has {"version bigint"}\nconstrained in history: {version}',
	'complete versions of point, whose history has a key of the site');
SELECT is((SELECT count(*) > 0 FROM site.heard), true, 'the site''s trigger on a history table fires');
SELECT is((SELECT sum(times) > 16 FROM treenode_edge), true,
	'the site''s triggers with the transition tables go on');
SELECT * FROM finish();
