
-- Section 3: queries that read other tables, and tracking tables by themselves, are none of our business.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(7);
CREATE FUNCTION tap.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;
SELECT is(catmaid_history_no_end(), NULL, 'the library is loaded');

-- An application's table with columns of the same names, which may be NULL, and so may its key.
CREATE TABLE edited (id int UNIQUE, edition_time timestamptz, txid bigint, code text UNIQUE);
INSERT INTO edited SELECT i, CASE WHEN i % 3 > 0 THEN now() END, CASE WHEN i % 2 > 0 THEN i END, 'c' || i FROM generate_series(1, 2000) i;
INSERT INTO edited SELECT NULL, now(), i, NULL FROM generate_series(1, 50) i;
CREATE TABLE asked AS SELECT i AS id, 'c' || i AS code FROM generate_series(0, 2100) i;
ANALYZE edited, asked;
SELECT results_eq('SELECT count((SELECT e.edition_time FROM edited e WHERE e.id = a.id)), count((SELECT e.txid FROM edited e WHERE e.code = a.code)) FROM asked a',
	'SELECT count(e.edition_time), count(e.txid) FROM asked a LEFT JOIN edited e ON e.id = a.id', 'look-ups in it');
SELECT unalike(tap.plan_of('SELECT (SELECT e.txid FROM edited e WHERE e.id = a.id) FROM asked a'), '%Tracking Lookup%', 'are PostgreSQL''s');

-- A tracking table whose key somebody lets be NULL.
CREATE TABLE t (code text PRIMARY KEY);
INSERT INTO t SELECT code FROM asked;
SELECT create_history_table('t');
ALTER TABLE t__tracking REPLICA IDENTITY FULL;
ALTER TABLE t__tracking ALTER live_pk DROP NOT NULL;
INSERT INTO t__tracking SELECT NULL, now(), 1 FROM generate_series(1, 50);
ANALYZE t, t__tracking;
SELECT results_eq('SELECT code, lower(sys_period), start_transaction_id FROM t__with_history ORDER BY code',
	$$SELECT code, NULLIF(edition_time, '-infinity'), NULLIF(GREATEST(txid, 0), 0) FROM t LEFT JOIN t__tracking ON live_pk = code ORDER BY code$$, 'a tracking table with rows without a key');

-- What a worker does not know: a parameter from further out, what only the leader may call.
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
CREATE TABLE k (id int PRIMARY KEY);
INSERT INTO k SELECT generate_series(1, 5);
SELECT create_history_table('k');
UPDATE k__tracking SET edition_time = '2001-01-01'::timestamptz + live_pk * '1 day'::interval;
CREATE TABLE big AS SELECT 0 AS zero, '2001-01-01'::timestamptz + i % 10 * '1 day'::interval AS time FROM generate_series(1, 10000) i;
ANALYZE k, k__tracking, big;
SELECT is((SELECT string_agg(n::text, ' ' ORDER BY id) FROM (SELECT id, (SELECT count(*) FROM big
	WHERE time > (SELECT t.edition_time FROM ONLY k__tracking t WHERE t.live_pk = zero + k.id)) FROM k) n (id, n)),
	'8000 7000 6000 5000 4000', 'a key from two queries further out, in a parallel query');
CREATE FUNCTION leaders(i int) RETURNS int STABLE PARALLEL RESTRICTED LANGUAGE plpgsql AS $$ BEGIN RETURN i; END $$;
SELECT unalike(tap.plan_of('SELECT count(*) FROM big WHERE (SELECT t.txid FROM ONLY k__tracking t WHERE t.live_pk = leaders(zero)) IS NULL'),
	'%Gather%', 'a function that is for the leader');
SELECT alike(tap.plan_of('SELECT count(*) FROM big WHERE (SELECT t.txid FROM ONLY k__tracking t WHERE t.live_pk = zero) IS NULL'),
	'%Gather%', 'workers look up what they know');
SELECT * FROM finish();
