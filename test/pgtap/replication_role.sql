-- session_replication_role: our triggers fire in origin and local, as ordinary
-- triggers do, and not in replica.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(14);

CREATE TABLE trk (id int PRIMARY KEY, v text);
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz, txid bigint);
SELECT create_history_table('trk'), create_history_table('tim', 'edition_time', 'txid');
SELECT is((SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger
	WHERE tgrelid IN ('trk'::regclass, 'tim'::regclass)), 'O', 'ordinary triggers');

SET session_replication_role = local;
INSERT INTO trk VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO tim VALUES (1, 'a', now(), 0), (2, 'b', now(), 0), (3, 'c', now(), 0);
UPDATE trk SET v = 'A' WHERE id = 1;
UPDATE tim SET v = 'A' WHERE id = 1;
DELETE FROM trk WHERE id = 2;
DELETE FROM tim WHERE id = 2;
RESET session_replication_role;
SELECT results_eq('SELECT id, v FROM trk__history ORDER BY id', $$VALUES (1, 'a'), (2, 'b')$$,
	'local: history, tracking table');
SELECT results_eq('SELECT id, v FROM tim__history ORDER BY id', $$VALUES (1, 'a'), (2, 'b')$$,
	'local: history, time column');
SELECT set_eq('SELECT live_pk FROM trk__tracking', 'VALUES (1), (3)', 'local: tracking');
SELECT isnt((SELECT txid FROM tim WHERE id = 1), 0::bigint, 'local: txid column');

SET session_replication_role = replica;
INSERT INTO trk VALUES (4, 'd');
INSERT INTO tim VALUES (4, 'd', now(), 0);
UPDATE trk SET v = 'C' WHERE id = 3;
UPDATE tim SET v = 'C' WHERE id = 3;
DELETE FROM trk WHERE id = 1;
DELETE FROM tim WHERE id = 1;
RESET session_replication_role;
SELECT is((SELECT count(*)::int FROM trk__history) + (SELECT count(*)::int FROM tim__history), 4,
	'replica: nothing is stored');
SELECT is((SELECT txid FROM tim WHERE id = 3), 0::bigint, 'replica: the txid column is not written');
SELECT set_eq('SELECT live_pk FROM trk__tracking', 'VALUES (1), (3)',
	'replica: tracking rows are as they were');
SELECT is((SELECT bool_and(triggers_installed)::text FROM catmaid_live_table_triggers
	WHERE live_table IN ('trk'::regclass, 'tim'::regclass)), 'true', 'the triggers were there all the time');

-- Afterwards, writes to rows that came meanwhile.
BEGIN;
SELECT now() AS t1 \gset
UPDATE trk SET v = 'D' WHERE id = 4;
COMMIT;
SELECT results_eq('SELECT v, sys_period FROM trk__history WHERE id = 4',
	format($$VALUES ('d', tstzrange(NULL, %L))$$, :'t1'),
	'a row that came as a replica''s has an unknown start');
INSERT INTO trk VALUES (1, 'meanwhile');
SELECT is((SELECT count(*)::int FROM trk__tracking WHERE live_pk = 1), 1,
	'a key whose stale tracking row stayed can be inserted again');
SELECT lives_ok($$SELECT sync_tracking_table('trk', 'trk__tracking')$$, 'sync_tracking_table');
SELECT set_eq('SELECT live_pk FROM trk__tracking', 'SELECT id FROM trk', 'makes it match');

SET session_replication_role = replica;
TRUNCATE trk, tim;
RESET session_replication_role;
SELECT is((SELECT count(*)::int FROM trk__history WHERE v IN ('C', 'D', 'meanwhile')), 0,
	'replica: TRUNCATE stores nothing');

SELECT * FROM finish();
