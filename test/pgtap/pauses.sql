-- Pauses: from disabling tracking to enabling it, and how far back a history reaches.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(30);

CREATE VIEW gap AS SELECT live_table::text AS t, history_table::text AS h, paused_from AS f, paused_until AS u
	FROM catmaid_history_internal.catmaid_history_pause;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'a');
INSERT INTO timed VALUES (1, 'a');
SELECT is_empty('SELECT * FROM gap', 'a new history has no pause');

-- the functions
SELECT disable_history_tracking_for_table('t');
SELECT results_eq('SELECT t, h, u IS NULL FROM gap', $$VALUES ('t', 't__history', true)$$, 'disabling begins one');
SELECT ok(f <= now() AND f >= now() - interval '1 hour', 'at the latest now') FROM gap;
SELECT disable_history_tracking_for_table('t');
SELECT is((SELECT count(*)::int FROM gap), 1, 'disabling again begins no other');
UPDATE t SET v = 'unseen';
SELECT clock_timestamp() AS t1 \gset
SELECT enable_history_tracking_for_table('t');
SELECT results_eq($$SELECT u > $$ || quote_literal(:'t1') || $$ AND u <= clock_timestamp() FROM gap$$, 'VALUES (true)', 'enabling ends it, by the clock');
SELECT enable_history_tracking_for_table('t');
SELECT reload_history_tracking_for_table('t');
SELECT enable_history_tracking();
SELECT is((SELECT count(*)::int FROM gap), 1, 'enabling and reloading what is tracked is no pause');
SELECT disable_history_tracking();
SELECT results_eq('SELECT t FROM gap WHERE u IS NULL ORDER BY t', $$VALUES ('t'), ('timed')$$, 'of all tables');
SELECT reload_history_tracking();
SELECT is((SELECT count(*)::int FROM gap WHERE u IS NULL), 0, 'reloading ends them');
SELECT is((SELECT count(*)::int FROM gap), 3, 'none is lost');
BEGIN;
SELECT disable_history_tracking_for_table('t');
ROLLBACK;
SELECT is((SELECT count(*)::int FROM gap), 3, 'what was rolled back is none');

-- by hand, followed
ALTER TABLE t DISABLE TRIGGER ALL;
SELECT is((SELECT count(*)::int FROM gap WHERE u IS NULL AND t = 't'), 1, 'triggers that are switched off begin one');
ALTER TABLE t ENABLE TRIGGER ALL;
SELECT is((SELECT count(*)::int FROM gap WHERE u IS NULL), 0, 'and end it when they are switched on');
DROP TRIGGER on_truncate_handle_live_table_truncate ON t;
SELECT is((SELECT count(*)::int FROM gap WHERE u IS NULL AND t = 't'), 1, 'a trigger that is dropped begins one');
SELECT enable_history_tracking_for_table('t');
SELECT is((SELECT count(*)::int FROM gap WHERE u IS NULL), 0, 'enabling ends it');

-- by hand, when nobody looked
SELECT count(*) AS n, clock_timestamp() AS t2 FROM gap WHERE t = 't' \gset
SET catmaid_history.follow_ddl = off;
ALTER TABLE t DISABLE TRIGGER ALL;
RESET catmaid_history.follow_ddl;
SELECT is((SELECT count(*) FROM gap WHERE t = 't'), :n::bigint, 'not noticed');
SELECT enable_history_tracking_for_table('t');
SELECT ok(count(*) = :n AND max(u) > :'t2' AND max(u) <= clock_timestamp(), 'noticed at enabling: the last pause lasts until then')
  FROM gap WHERE t = 't';
SET catmaid_history.follow_ddl = off;
DROP TRIGGER on_change_update_history_regular ON timed;
RESET catmaid_history.follow_ddl;
SELECT max(f) AS last, clock_timestamp() AS t2 FROM gap WHERE t = 'timed' \gset
SELECT repair_history('timed');
SELECT ok(max(f) = :'last' AND max(u) > :'t2', 'or at repairing') FROM gap WHERE t = 'timed';

-- created without triggers
CREATE TABLE later (id int PRIMARY KEY);
SELECT create_history_table('later', create_triggers => false);
SELECT results_eq('SELECT f <= now(), u FROM gap WHERE t = ''later''', 'VALUES (true, NULL::timestamptz)', 'a history without triggers begins with one');
SELECT drop_history_table('later');
SELECT is_empty('SELECT * FROM gap WHERE f IS NULL OR h LIKE ''later%''', 'a history that is dropped has none');

-- kept, and taken up by another table
CREATE TABLE kept (id int PRIMARY KEY, v text);
SELECT create_history_table('kept');
SELECT creation_time AS created FROM catmaid_history_table WHERE live_table = 'kept'::regclass \gset
SELECT drop_history_table_keep_data('kept');
DROP TABLE kept;
SELECT results_eq('SELECT f::text, u FROM gap WHERE h = ''kept__history'' ORDER BY f LIMIT 1',
	format('VALUES (''-infinity'', %L::timestamptz)', :'created'), 'a kept history remembers when it began');
SELECT is((SELECT count(*)::int FROM gap WHERE h = 'kept__history' AND f > '-infinity' AND u IS NULL), 1, 'and is paused');
CREATE TABLE kept (id int PRIMARY KEY, v text);
SELECT create_history_table('kept');
SELECT results_eq('SELECT t, f = ''-infinity'', u IS NULL FROM gap WHERE h = ''kept__history'' ORDER BY f',
	$$VALUES ('kept', true, false), ('kept', false, false)$$, 'until it is taken up');
SET catmaid_history.on_drop_table = 'keep';
DROP TABLE kept;
RESET catmaid_history.on_drop_table;
SELECT is((SELECT count(*)::int FROM gap WHERE h = 'kept__history' AND u IS NULL), 1, 'DROP TABLE that keeps it');
DROP TABLE kept__history;
CREATE TABLE kept (id int PRIMARY KEY, v text);
SELECT create_history_table('kept');
SELECT is_empty('SELECT * FROM gap WHERE h = ''kept__history''', 'another history of that name has none');

-- check_history() tells
SELECT disable_history_tracking_for_table('t');
SELECT results_eq($$SELECT severity, finding, detail ~ '^Nothing has been recorded since 20' FROM check_history('t') WHERE finding = 'paused'$$,
	$$VALUES ('info', 'paused', true)$$, 'check_history() tells of it');
SELECT enable_history_tracking_for_table('t');
SELECT is_empty('SELECT * FROM check_history(''t'') WHERE finding = ''paused''', 'and no more');

-- how far back
SELECT truncate_history_table('t__history');
SELECT results_eq('SELECT u > now() - interval ''1 hour'' FROM gap WHERE h = ''t__history'' AND f = ''-infinity''', 'VALUES (true)', 'a history that is truncated begins then');
SELECT truncate_all_history_tables();
SELECT is((SELECT count(*)::int FROM gap WHERE h = 't__history' AND f = '-infinity'), 1, 'once');

-- renamed
ALTER TABLE t RENAME TO u;
SELECT ok(EXISTS (SELECT FROM gap WHERE t = 'u' AND h = 'u__history'), 'the pauses follow');

-- who may write them
SELECT is_empty($$SELECT grantee, privilege_type FROM pg_class, aclexplode(relacl)
	WHERE oid = 'catmaid_history_internal.catmaid_history_pause'::regclass AND grantee <> relowner AND privilege_type <> 'SELECT'$$,
	'nobody but the extension');

SELECT * FROM finish();
