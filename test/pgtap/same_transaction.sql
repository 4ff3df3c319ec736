-- Versions that were made and superseded in one transaction have an empty
-- period, and are stored all the same, in both designs.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(14);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE TABLE trk (id int PRIMARY KEY, v text);
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TRIGGER on_edit BEFORE UPDATE ON tim FOR EACH ROW EXECUTE FUNCTION on_edit();
SELECT create_history_table('trk'), create_history_table('tim', 'edition_time', 'txid');
BEGIN;
SELECT now() AS t0 \gset
INSERT INTO trk VALUES (1, 'a'), (2, 'a'), (3, 'a');
INSERT INTO tim VALUES (1, 'a'), (2, 'a'), (3, 'a');
COMMIT;
SELECT remember('trk', '0'), remember('tim', '0');

BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO trk VALUES (4, 'ins');
INSERT INTO tim VALUES (4, 'ins');
UPDATE trk SET v = v || 1;
UPDATE tim SET v = v || 1;
UPDATE trk SET v = v || 2;
UPDATE tim SET v = v || 2;
DELETE FROM trk WHERE id IN (1, 4);
DELETE FROM tim WHERE id IN (1, 4);
INSERT INTO trk VALUES (1, 'back');
INSERT INTO tim VALUES (1, 'back');
UPDATE trk SET v = v || 3 WHERE id = 1;
UPDATE tim SET v = v || 3 WHERE id = 1;
COMMIT;
SELECT remember('trk', '1'), remember('tim', '1');
CREATE TABLE expected AS SELECT * FROM (VALUES (1, 'a', false), (1, 'a1', true),
	(1, 'a12', true), (1, 'back', true), (2, 'a', false), (2, 'a1', true), (3, 'a', false),
	(3, 'a1', true), (4, 'ins', true), (4, 'ins1', true), (4, 'ins12', true)) e (id, v, emp);
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM trk__history ORDER BY id, v',
	'SELECT * FROM expected ORDER BY id, v', 'every version is stored, tracking table');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM tim__history ORDER BY id, v',
	'SELECT * FROM expected ORDER BY id, v', 'every version is stored, time column');
SELECT results_eq('SELECT DISTINCT sys_period FROM (SELECT sys_period FROM trk__history
		UNION ALL SELECT sys_period FROM tim__history) h WHERE NOT isempty(sys_period)',
	format('VALUES (tstzrange(%L, %L))', :'t0', :'t1'), 'the others end at the transaction');
SELECT results_eq('SELECT DISTINCT exec_transaction_id FROM (SELECT exec_transaction_id
		FROM trk__history UNION ALL SELECT exec_transaction_id FROM tim__history) h',
	format('VALUES (%s::bigint)', :x1), 'all of them in this transaction');
SELECT results_eq('SELECT * FROM trk__tracking ORDER BY 1', format(
	'SELECT i, %L::timestamptz, %s::bigint FROM generate_series(1, 3) i', :'t1', :x1),
	'the tracking table has the keys that are left');

-- Then TRUNCATE in the transaction of the last change.
BEGIN;
UPDATE trk SET v = 'upd' WHERE id = 2;
UPDATE tim SET v = 'upd' WHERE id = 2;
TRUNCATE trk, tim;
INSERT INTO trk VALUES (2, 'new');
INSERT INTO tim VALUES (2, 'new');
TRUNCATE trk, tim;
INSERT INTO trk VALUES (3, 'newest');
INSERT INTO tim VALUES (3, 'newest');
COMMIT;
SELECT remember('trk', '2'), remember('tim', '2');
SELECT results_eq($$SELECT v, isempty(sys_period) FROM trk__history
		WHERE v IN ('upd', 'new', 'back3') ORDER BY v$$,
	$$VALUES ('back3', false), ('new', true), ('upd', true)$$, 'TRUNCATE, twice, tracking table');
SELECT results_eq($$SELECT v, isempty(sys_period) FROM tim__history
		WHERE v IN ('upd', 'new', 'back3') ORDER BY v$$,
	$$VALUES ('back3', false), ('new', true), ('upd', true)$$, 'TRUNCATE, twice, time column');
UPDATE trk SET v = 'end';
UPDATE tim SET v = 'end';
SELECT remember('trk', '3'), remember('tim', '3');

-- Made, changed and gone in the transaction that made the table and its history.
BEGIN;
CREATE TABLE young (id int PRIMARY KEY, v text);
INSERT INTO young VALUES (1, 'before'), (2, 'before');
SELECT create_history_table('young');
UPDATE young SET v = 'after' WHERE id = 1;
INSERT INTO young VALUES (3, 'new');
DELETE FROM young WHERE id > 1;
COMMIT;
SELECT remember('young', '1');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM young__history ORDER BY id',
	$$VALUES (1, 'before', true), (2, 'before', true), (3, 'new', true)$$,
	'history and its first versions in one transaction');
DELETE FROM young;
SELECT remember('young', '2');

-- COPY (FREEZE), whose rows do not tell whose they are.
BEGIN;
CREATE TABLE icy (id int PRIMARY KEY, v text);
SELECT create_history_table('icy');
COPY icy FROM stdin (FREEZE);
1	cold
2	cold
\.
UPDATE icy SET v = 'warm';
COMMIT;
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM icy__history ORDER BY id',
	$$VALUES (1, 'cold', true), (2, 'cold', true)$$, 'COPY (FREEZE) into a new table');
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SELECT create_history_table('late');
BEGIN;
TRUNCATE late;
COPY late FROM stdin (FREEZE);
1	cold
2	cold
\.
UPDATE late SET v = 'warm' WHERE id = 2;
COMMIT;
SELECT results_eq('SELECT live_pk FROM late__tracking ORDER BY 1', 'VALUES (1), (2)',
	'COPY (FREEZE) with a deferrable key: the tracking table has the keys');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM late__history',
	$$VALUES (2, 'cold', true)$$, '... and a version changed at once is empty');

-- Emptied and filled again, with a time column that is not of now.
CREATE TABLE refilled (id int PRIMARY KEY, v text, edition_time timestamptz, txid bigint);
INSERT INTO refilled VALUES (1, 'old', '2020-01-01', 7);
SELECT create_history_table('refilled', 'edition_time', 'txid');
BEGIN;
SAVEPOINT s;
TRUNCATE refilled;
ROLLBACK TO s;
TRUNCATE refilled;
INSERT INTO refilled VALUES (1, 'restored', '2020-01-01', 7);
UPDATE refilled SET v = 'changed';
TRUNCATE refilled;
COPY refilled FROM stdin (FREEZE);
1	copied	2020-01-01	7
\.
UPDATE refilled SET v = 'changed again';
COMMIT;
SELECT results_eq('SELECT v, isempty(sys_period) FROM refilled__history ORDER BY v',
	$$VALUES ('changed', true), ('copied', true), ('old', false), ('restored', true)$$,
	'TRUNCATE, then rows with an old time: only the version from before lasted');

SELECT is_empty($$SELECT * FROM misremembered('trk') UNION ALL
	SELECT * FROM misremembered('tim') UNION ALL SELECT * FROM misremembered('young')$$,
	'as-of queries equal the tables as they were');
SELECT is_empty($$SELECT sys_period FROM trk__history WHERE NOT isempty(sys_period)
	AND (upper_inf(sys_period) OR lower(sys_period) > upper(sys_period))$$,
	'every period has an end, not before its start');

SELECT * FROM finish();
