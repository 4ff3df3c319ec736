-- Section 9: what a query does not ask a history view for is not planned; what it asks for is
-- what the view shows, wherever it is named.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(49);
DROP ROLE IF EXISTS unused_reader;
CREATE ROLE unused_reader;
GRANT USAGE ON SCHEMA tap TO unused_reader;

CREATE FUNCTION tap.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;
-- The greatest number that PostgreSQL has given to a sub-select of the query.
CREATE FUNCTION tap.subplans(query text) RETURNS int LANGUAGE sql AS
$$ SELECT coalesce(max(m[1]::int), 0) FROM regexp_matches(tap.plan_of(query), 'SubPlan (\d+)', 'g') m $$;

CREATE TABLE t (id int PRIMARY KEY, v int);
CREATE TABLE par (id int PRIMARY KEY, v int);
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
SELECT create_history_table('t'), create_history_table('chi');
INSERT INTO t SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO par SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO chi SELECT i, i FROM generate_series(11, 20) i;
UPDATE t SET v = v + 1 WHERE id % 2 = 0;
UPDATE par SET v = v + 1 WHERE id % 2 = 0;
DELETE FROM t WHERE id % 5 = 0;
CREATE VIEW user_t AS SELECT v.*, lower(sys_period) AS began FROM t__with_history v;
CREATE VIEW user_par WITH (security_barrier) AS SELECT * FROM par__with_history;

-- (The library is loaded by now.)
SELECT is(subplans('SELECT start_transaction_id FROM t__with_history WHERE id = 3'), 1, 'the maker alone');
SELECT is(subplans('SELECT sys_period FROM t__with_history WHERE id = 3'), 1, 'the period alone');
SELECT is(subplans('SELECT * FROM t__with_history WHERE id = 3'), 2, 'both');
SELECT is(subplans('SELECT h.start_transaction_id FROM t__with_history g JOIN t__with_history h USING (id) WHERE id = 3'), 1, 'of the second of two views');
SELECT is(subplans('SELECT start_transaction_id FROM par__with_history WHERE id = 3'), 1, 'of a parent');
SELECT is(subplans('SELECT start_transaction_id FROM user_t WHERE id = 3'), 1, 'through a view of the user''s');
SELECT is(subplans('SELECT start_transaction_id FROM (SELECT * FROM user_par OFFSET 0) x WHERE id = 3'), 1, 'through sub-queries');
SELECT is(subplans('WITH c AS (SELECT start_transaction_id FROM t__with_history WHERE id = 3) SELECT * FROM c'), 1, 'in WITH');
SELECT ok(subplans('SELECT (SELECT max(h.start_transaction_id) FROM t__with_history h WHERE h.id = p.id) FROM par p') <= 2, 'in a sub-select');

-- The same as of a table with the view's rows.
CREATE TABLE copy_t AS SELECT * FROM t__with_history;
CREATE TABLE copy_par AS SELECT * FROM par__with_history;
CREATE TABLE copy_user_t AS SELECT * FROM user_t;
CREATE TABLE copy_user_par AS SELECT * FROM user_par;
CREATE TABLE other AS SELECT i AS id, i AS n FROM generate_series(1, 30, 3) i;
CREATE FUNCTION tap.counted(int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM nextval('tap.calls'); RETURN $1; END $$;
CREATE SEQUENCE tap.calls;
CREATE FUNCTION tap.rows_of(query text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE r text[];
BEGIN
	EXECUTE format('SELECT array_agg(x::text ORDER BY x::text COLLATE "C") FROM (%s) x', query) INTO r;
	RETURN r;
END $$;
SELECT is(rows_of(q), rows_of(regexp_replace(regexp_replace(q, '\y(t|par)__with_history', 'copy_\1', 'g'), '\y(user_\w+)', 'copy_\1', 'g')), q) FROM unnest(ARRAY[
	'SELECT id FROM t__with_history',
	'SELECT start_transaction_id FROM t__with_history',
	'SELECT lower(sys_period) FROM par__with_history',
	'SELECT h FROM t__with_history h',
	'SELECT (h).start_transaction_id FROM par__with_history h',
	'SELECT h::text FROM (SELECT * FROM t__with_history) h',
	'SELECT count(h) FROM t__with_history h',
	'SELECT * FROM t__with_history JOIN other USING (id)',
	'SELECT sys_period FROM (t__with_history JOIN other USING (id)) j',
	'SELECT j.n FROM (t__with_history NATURAL JOIN other) j WHERE j.start_transaction_id IS NOT NULL',
	'SELECT g.v FROM t__with_history g JOIN par__with_history h USING (sys_period)',
	'SELECT sys_period FROM t__with_history g FULL JOIN par__with_history h USING (id, sys_period)',
	'SELECT j FROM (t__with_history g JOIN par__with_history h USING (id, start_transaction_id)) j',
	'SELECT id FROM t__with_history ORDER BY start_transaction_id, id LIMIT 7',
	'SELECT id FROM (SELECT id, v FROM t__with_history ORDER BY start_transaction_id DESC, id LIMIT 7) x',
	'SELECT id FROM (SELECT id, sys_period, row_number() OVER (ORDER BY sys_period, id) AS n FROM t__with_history) x WHERE n < 9',
	'SELECT id FROM (SELECT DISTINCT id, sys_period FROM t__with_history) x',
	'SELECT id FROM (SELECT id, sys_period FROM t__with_history UNION SELECT id, sys_period FROM par__with_history) x',
	'SELECT id FROM (SELECT id, sys_period FROM t__with_history INTERSECT SELECT id, sys_period FROM user_t) x',
	'SELECT n FROM (SELECT count(*) AS n, start_transaction_id FROM par__with_history GROUP BY 2) x',
	'SELECT n FROM (SELECT count(*) AS n FROM par__with_history GROUP BY start_transaction_id HAVING max(lower(sys_period)) IS NOT NULL) x',
	'SELECT id, (SELECT count(*) FROM other o WHERE o.id = h.id AND h.start_transaction_id IS NOT NULL) FROM t__with_history h',
	'SELECT id, (SELECT max(lower(g.sys_period)) FROM par__with_history g WHERE g.id = h.id AND g.sys_period && h.sys_period) FROM t__with_history h',
	'SELECT id FROM other o WHERE EXISTS (SELECT FROM t__with_history h WHERE h.id = o.id AND h.start_transaction_id IS NOT NULL)',
	'SELECT id FROM t__with_history WHERE start_transaction_id IN (SELECT start_transaction_id FROM par__with_history)',
	'SELECT x.* FROM t__with_history h, LATERAL (SELECT h.start_transaction_id, o.n FROM other o WHERE o.id = h.id) x',
	'SELECT x.n FROM t__with_history h, LATERAL (SELECT o.n, h.sys_period AS p FROM other o WHERE o.id = h.id) x WHERE x.p @> now()',
	'WITH c AS MATERIALIZED (SELECT * FROM t__with_history) SELECT id FROM c WHERE start_transaction_id IS NOT NULL',
	'WITH c AS (SELECT * FROM t__with_history), d AS (SELECT sys_period FROM c) SELECT * FROM d',
	'SELECT began FROM user_t',
	'SELECT id FROM user_t WHERE began IS NOT NULL',
	'SELECT start_transaction_id FROM user_par',
	'SELECT unnest(ARRAY[lower(sys_period), upper(sys_period)]) FROM t__with_history']) q;
-- What has effects happens, asked for or not.
SELECT is(rows_of('SELECT id FROM (SELECT id, tap.counted((start_transaction_id > 0)::int) FROM t__with_history OFFSET 0) x'), rows_of('SELECT id FROM copy_t'), 'a volatile function of it');
SELECT is((SELECT last_value FROM tap.calls), (SELECT count(*) FROM copy_t WHERE start_transaction_id IS NOT NULL OR true), 'is called for each row');

-- Who may not read what is left out is told so, as before.
GRANT SELECT ON t, t__history, t__with_history TO unused_reader;
REVOKE ALL ON t__tracking FROM unused_reader;
SELECT current_setting('server_version_num')::int >= 150000 AS by_reader \gset
SET ROLE unused_reader;
\if :by_reader
SELECT throws_ok('SELECT v FROM t__with_history', '42501', 'permission denied for table t__tracking', 'privileges on the tracking table');
SELECT throws_ok('SELECT sys_period FROM t__with_history', '42501', 'permission denied for table t__tracking', 'where it is asked');
\else
SELECT lives_ok('SELECT v FROM t__with_history', 'privileges on the tracking table: the view''s owner''s');
SELECT lives_ok('SELECT sys_period FROM t__with_history', 'where it is asked');
\endif
RESET ROLE;
BEGIN;
SELECT count(*) FROM (SELECT id FROM t__with_history OFFSET 0) x;
SELECT is((SELECT count(*)::int FROM pg_locks WHERE relation = 't__tracking'::regclass AND pid = pg_backend_pid()), 1, 'it is locked');
COMMIT;

-- A prepared plan, and row-level security.
PREPARE p AS SELECT count(*) FROM t__with_history WHERE start_transaction_id IS NOT NULL;
SELECT results_eq('EXECUTE p', 'SELECT count(*) FROM copy_t WHERE start_transaction_id IS NOT NULL', 'prepared');
GRANT SELECT ON t__tracking TO unused_reader;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON t FOR SELECT TO unused_reader USING (id < (SELECT 5));
SET ROLE unused_reader;
SELECT is((SELECT count(id)::int FROM t__with_history WHERE exec_transaction_id IS NULL), CASE WHEN :'by_reader' THEN 4 ELSE 0 END, 'policies');
RESET ROLE;
DROP OWNED BY unused_reader;
DROP ROLE unused_reader;
SELECT * FROM finish();
