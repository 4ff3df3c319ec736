-- Section 12: the entry that a transaction has in the log by itself.  Exactly one if it
-- writes a row of a tracked table while a setting asks for it, none otherwise; one that
-- the application makes takes its place.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(60);

CREATE TABLE tracked (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE untracked (id int PRIMARY KEY, v text);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE refers (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);
CREATE TABLE part (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current()) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
SELECT create_history_table(t) FROM unnest('{tracked,refers}'::text[]::regclass[]) t \g /dev/null
SELECT create_history_table(t, 'edition_time', 'txid') FROM unnest('{timed,part}'::text[]::regclass[]) t \g /dev/null

-- Each transaction has the test's name as its label.
CREATE TABLE tap.which (name text, xid bigint);
CREATE FUNCTION tap.begun(test_name text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO tap.which VALUES (test_name, txid_current());
	SELECT set_config('catmaid_history.label', test_name, true) $$;
CREATE FUNCTION tap.entries(test_name text, expected text) RETURNS text LANGUAGE sql AS $$
	SELECT tap.is((SELECT string_agg(label, ', ') FROM catmaid_transaction_info i
		JOIN tap.which w ON w.xid = i.transaction_id WHERE w.name = test_name), expected, test_name) $$;

-- Ways of writing.
\set one 'SELECT tap.entries(name, name) FROM tap.which ORDER BY xid DESC LIMIT 1;'
\set none 'SELECT tap.entries(name, NULL) FROM tap.which ORDER BY xid DESC LIMIT 1;'
BEGIN; SELECT tap.begun('INSERT') \g /dev/null
INSERT INTO tracked VALUES (1, 'a'), (2, 'b'); COMMIT; :one
BEGIN; SELECT tap.begun('UPDATE') \g /dev/null
UPDATE tracked SET v = 'c'; UPDATE tracked SET v = 'd'; COMMIT; :one
BEGIN; SELECT tap.begun('DELETE') \g /dev/null
DELETE FROM tracked WHERE id = 2; COMMIT; :one
BEGIN; SELECT tap.begun('INSERT, time column') \g /dev/null
INSERT INTO timed VALUES (1, 'a'), (2, 'b'); COMMIT; :one
BEGIN; SELECT tap.begun('UPDATE, time column') \g /dev/null
UPDATE timed SET v = 'c'; COMMIT; :one
BEGIN; SELECT tap.begun('COPY, time column') \g /dev/null
COPY timed (id, v) FROM stdin;
3	x
\.
COMMIT; :one
BEGIN; SELECT tap.begun('COPY') \g /dev/null
COPY tracked FROM stdin;
3	x
\.
COMMIT; :one
BEGIN; SELECT tap.begun('ON CONFLICT DO UPDATE') \g /dev/null
INSERT INTO timed (id, v) VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET v = 'z'; COMMIT; :one
BEGIN; SELECT tap.begun('WITH') \g /dev/null
WITH i AS (INSERT INTO timed (id, v) VALUES (9, 'z') RETURNING id) SELECT id FROM i \g /dev/null
COMMIT; :one
INSERT INTO parent VALUES (1);
INSERT INTO refers VALUES (1, 1);
BEGIN; SELECT tap.begun('ON DELETE CASCADE') \g /dev/null
DELETE FROM parent; COMMIT; :one
BEGIN; SELECT tap.begun('INSERT through the root of partitions') \g /dev/null
INSERT INTO part (id) VALUES (1), (11); COMMIT; :one
BEGIN; SELECT tap.begun('INSERT into a partition') \g /dev/null
INSERT INTO part1 (id) VALUES (2); COMMIT; :one
BEGIN; SELECT tap.begun('UPDATE that moves a row') \g /dev/null
UPDATE part SET id = 12 WHERE id = 2; COMMIT; :one
BEGIN; SELECT tap.begun('TRUNCATE') \g /dev/null
TRUNCATE tracked; COMMIT; :one
BEGIN; SELECT tap.begun('DDL that ends versions') \g /dev/null
ALTER TABLE part DETACH PARTITION part2; COMMIT; :one
BEGIN; SELECT tap.begun('a statement of a function') \g /dev/null
DO $$ BEGIN UPDATE tracked SET v = 'b'; UPDATE timed SET v = 'b'; END $$; COMMIT; :one

-- Nothing tracked is written.
BEGIN; SELECT tap.begun('an untracked table') \g /dev/null
INSERT INTO untracked VALUES (1, 'a'); UPDATE untracked SET v = 'b'; COMMIT; :none
BEGIN; SELECT tap.begun('INSERT of no row') \g /dev/null
INSERT INTO untracked VALUES (2, 'a'); INSERT INTO timed SELECT id, v FROM untracked WHERE false;
INSERT INTO tracked SELECT * FROM untracked WHERE false; COMMIT; :none
BEGIN; SELECT tap.begun('INSERT of no row through the root') \g /dev/null
INSERT INTO part (id) SELECT id FROM untracked WHERE false; COMMIT; :none
BEGIN; SELECT tap.begun('INSERT that conflicts') \g /dev/null
INSERT INTO timed (id, v) VALUES (1, 'z') ON CONFLICT DO NOTHING; COMMIT; :none
BEGIN; SELECT tap.begun('UPDATE of no row') \g /dev/null
UPDATE tracked SET v = 'c' WHERE false; DELETE FROM timed WHERE false; COMMIT; :none
TRUNCATE tracked;
BEGIN; SELECT tap.begun('TRUNCATE of no row') \g /dev/null
TRUNCATE tracked; COMMIT; :none
BEGIN; SELECT tap.begun('DDL that changes no row') \g /dev/null
ALTER TABLE tracked ADD COLUMN w int; COMMIT; :none
BEGIN; SELECT tap.begun('reading') \g /dev/null
SELECT * FROM timed \g /dev/null
COMMIT; :none
SELECT disable_history_tracking_for_table('tracked') \g /dev/null
BEGIN; SELECT tap.begun('a table that is disabled') \g /dev/null
INSERT INTO tracked VALUES (1, 'a'); COMMIT; :none
SELECT enable_history_tracking_for_table('tracked') \g /dev/null
BEGIN; INSERT INTO tap.which VALUES ('no setting', txid_current());
UPDATE tracked SET v = 'b'; INSERT INTO timed (id) VALUES (20); COMMIT; :none

-- Savepoints and exceptions.
BEGIN; SELECT tap.begun('rolled back to a savepoint') \g /dev/null
SAVEPOINT s; UPDATE tracked SET v = 'c'; ROLLBACK TO s; COMMIT; :none
BEGIN; SELECT tap.begun('rolled back, seen before') \g /dev/null
SAVEPOINT s; UPDATE tracked SET v = 'c'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
ROLLBACK TO s; COMMIT; :none
BEGIN; SELECT tap.begun('rolled back and written again') \g /dev/null
SAVEPOINT s; UPDATE tracked SET v = 'c'; ROLLBACK TO s; UPDATE tracked SET v = 'd'; COMMIT; :one
BEGIN; SELECT tap.begun('a savepoint released') \g /dev/null
SAVEPOINT s; UPDATE tracked SET v = 'c'; RELEASE s; SAVEPOINT t; ROLLBACK TO t; COMMIT; :one
BEGIN; SELECT tap.begun('seen in a savepoint that is rolled back') \g /dev/null
UPDATE tracked SET v = 'c'; SAVEPOINT s; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
ROLLBACK TO s; COMMIT; :one
BEGIN; SELECT tap.begun('exceptions') \g /dev/null
DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN UPDATE tracked SET v = 'c'; PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN NULL; END;
	END LOOP;
END $$; COMMIT; :one
BEGIN; SELECT tap.begun('only exceptions') \g /dev/null
DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN INSERT INTO timed (id) VALUES (100 + i); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;
	END LOOP;
END $$; COMMIT; :none
BEGIN; SELECT tap.begun('settings are of the first row') \g /dev/null
UPDATE tracked SET v = 'd'; SET LOCAL catmaid_history.label = 'another'; UPDATE tracked SET v = 'e'; COMMIT; :one

-- The entry is there from the first row on, for whoever looks.
BEGIN; SET LOCAL catmaid_history.user_id = 7; SET LOCAL catmaid_history.project_id = '-3'; SET LOCAL catmaid_history.label = 'seen';
SET LOCAL catmaid_history.change_type = migration; SET LOCAL catmaid_history.context = '{"uuid": "a1", "n": [1, null]}';
SELECT count(*) AS before FROM catmaid_transaction_info \gset
UPDATE tracked SET v = 'f';
SELECT is((SELECT to_jsonb(i) - 'transaction_id' - 'execution_time' FROM catmaid_transaction_info i
	WHERE transaction_id = txid_current() AND execution_time = now()),
	'{"user_id": 7, "project_id": -3, "label": "seen", "change_type": "Migration", "context": {"uuid": "a1", "n": [1, null]}}', 'seen in a query');
CREATE FUNCTION looks() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM catmaid_transaction_info WHERE transaction_id = txid_current()); END';
COMMIT;
SELECT is((SELECT count(*) FROM catmaid_transaction_info), :before + 1::bigint, 'and once after the commit');
BEGIN; SELECT tap.begun('seen by a function') \g /dev/null
UPDATE tracked SET v = 'g'; SELECT is(looks(), 1::bigint, 'seen by a function'); COMMIT; :one
BEGIN; SELECT tap.begun('seen by a trigger that fires after ours') \g /dev/null
CREATE TABLE seen (n bigint);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen SELECT looks(); RETURN NULL; END';
CREATE TRIGGER z_look AFTER UPDATE ON tracked FOR EACH ROW EXECUTE FUNCTION look();
UPDATE tracked SET v = 'h'; SELECT is((SELECT max(n) FROM seen), 1::bigint, 'seen by a trigger that fires after ours');
DROP TRIGGER z_look ON tracked; COMMIT; :one
BEGIN; SELECT tap.begun('seen by COPY') \g /dev/null
UPDATE tracked SET v = 'i';
\copy (SELECT label FROM catmaid_transaction_info) TO '/dev/null'
COPY catmaid_transaction_info TO '/dev/null'; COMMIT; :one
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT tap.begun('serializable') \g /dev/null
UPDATE tracked SET v = 'k'; SELECT is(looks(), 1::bigint, 'seen in a serializable transaction'); COMMIT; :one

-- Parallel workers look, and have looked.
CREATE TABLE big AS SELECT i FROM generate_series(1, 2000) i;
CREATE FUNCTION looks_in_worker(int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
	'BEGIN RETURN (SELECT count(*) FROM catmaid_transaction_info WHERE label = current_setting(''catmaid_history.label'')); END';
ALTER TABLE big SET (parallel_workers = 2);
BEGIN; SELECT tap.begun('parallel workers') \g /dev/null
SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL parallel_leader_participation = off; -- whose look would be parallel again
UPDATE tracked SET v = 'l';
SELECT is((SELECT min(looks_in_worker(i)) FROM big), 1::bigint, 'seen by parallel workers');
INSERT INTO tracked SELECT i + 1000, 'x' FROM big WHERE i % 7 = 0; COMMIT; :one

-- The application's own wins.
\set own 'INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (1, ''Backend'', ''own'', 1)'
BEGIN; SELECT tap.begun('own entry before') \g /dev/null
:own; UPDATE tracked SET v = 'm'; COMMIT;
SELECT tap.entries('own entry before', 'own');
BEGIN; SELECT tap.begun('own entry after') \g /dev/null
UPDATE tracked SET v = 'm'; :own; COMMIT;
SELECT tap.entries('own entry after', 'own');
BEGIN; SELECT tap.begun('own entry after, ON CONFLICT') \g /dev/null
UPDATE tracked SET v = 'm'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
:own ON CONFLICT DO NOTHING; COMMIT;
SELECT tap.entries('own entry after, ON CONFLICT', 'own');
BEGIN; SELECT tap.begun('own entry after, the key named') \g /dev/null
UPDATE tracked SET v = 'm'; :own ON CONFLICT (transaction_id, execution_time) DO NOTHING; COMMIT;
SELECT tap.entries('own entry after, the key named', 'own');
BEGIN; SELECT tap.begun('own entry after somebody looked') \g /dev/null
UPDATE tracked SET v = 'm'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
:own; COMMIT;
SELECT tap.entries('own entry after somebody looked', 'own');
BEGIN; SELECT tap.begun('own entry rolled back') \g /dev/null
UPDATE tracked SET v = 'm'; SAVEPOINT s; :own; ROLLBACK TO s; COMMIT; :one
BEGIN; SELECT tap.begun('own entry rolled back after somebody looked') \g /dev/null
UPDATE tracked SET v = 'm'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
SAVEPOINT s; :own; ROLLBACK TO s; COMMIT; :one
BEGIN; SELECT tap.begun('own entry by COPY') \g /dev/null
UPDATE tracked SET v = 'n'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
COPY catmaid_transaction_info (change_type, label) FROM stdin;
Backend	own
\.
COMMIT;
SELECT tap.entries('own entry by COPY', 'own');
BEGIN; SELECT tap.begun('an INSERT that comes to nothing') \g /dev/null
UPDATE tracked SET v = 'n'; SELECT count(*) FROM catmaid_transaction_info \g /dev/null
INSERT INTO catmaid_transaction_info (change_type, label) SELECT 'Backend', 'x' WHERE false; COMMIT; :one

-- A label of any length, by whomever, and found by the index; so is what a user did lately.
SELECT string_agg(md5(i::text), '') AS long FROM generate_series(1, 1000) i \gset
BEGIN; SELECT tap.begun(:'long' || '.') \g /dev/null
UPDATE tracked SET v = 'o'; COMMIT;
INSERT INTO catmaid_transaction_info (change_type, label) VALUES ('Backend', :'long');
SET enable_seqscan = off;
SELECT is((SELECT count(*) FROM catmaid_transaction_info WHERE label = :'long'), 1::bigint, 'a label of 32,000 bytes, of the application''s');
SELECT is((SELECT count(*) FROM catmaid_transaction_info WHERE label = :'long' || '.'), 1::bigint, '... and set');
SELECT is((SELECT count(*) FROM catmaid_transaction_info WHERE label = :'long' || '!'), 0::bigint, '... and another one');
CREATE FUNCTION tap.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;
SELECT matches(tap.plan_of($$SELECT * FROM catmaid_transaction_info WHERE label = 'treenodes.move'$$),
	'catmaid_transaction_info_label', 'labels are found by the index');
SELECT matches(tap.plan_of($$SELECT * FROM catmaid_transaction_info WHERE user_id = 7 AND execution_time > now() - interval '1 hour'$$),
	'Index Cond: \(\(user_id = 7\) AND \(execution_time > ', 'what a user did lately is found by the index');
RESET enable_seqscan;

SELECT is((SELECT count(*) - count(DISTINCT transaction_id) FROM catmaid_transaction_info), 0::bigint, 'no transaction has two');
DROP EXTENSION catmaid_history CASCADE;
SELECT * FROM finish();
