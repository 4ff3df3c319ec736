-- Section 9: history_changes and history_diff hand their rows on one by one, in FROM too.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA tap;
SELECT plan(24);

CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
SELECT now() AS before \gset
INSERT INTO t SELECT i, repeat('v', 20) FROM generate_series(1, 20000) i;
UPDATE t SET v = v || 'w';
VACUUM ANALYZE t, t__history, t__tracking;

-- What a cursor holds does not grow with what has been fetched.
CREATE FUNCTION tap.held_after(n int, query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE c refcursor; k jsonb; held bigint;
BEGIN
	OPEN c NO SCROLL FOR EXECUTE query;
	FOR i IN 1 .. n LOOP
		FETCH c INTO k;
		IF NOT FOUND THEN RAISE 'only % rows', i - 1; END IF;
	END LOOP;
	SELECT sum(total_bytes) INTO held FROM pg_backend_memory_contexts;
	CLOSE c;
	RETURN held;
END $$;
SET work_mem = '20MB';
SELECT current_setting('server_version_num')::int >= 140000 AS tells \gset
\if :tells
SELECT ok(held_after(20, q) + held_after(30, q) > 0 AND held_after(15000, q) - held_after(10, q) < 500000, 'memory: ' || q) FROM unnest(ARRAY[
	'SELECT key FROM history_changes(ARRAY[''t'']::regclass[])',
	'SELECT (history_changes(ARRAY[''t'']::regclass[])).key',
	format('SELECT to_jsonb(new) FROM history_diff(NULL::t, %L, now())', :'before')]) q;
\else
SELECT skip('memory contexts are not shown by this PostgreSQL', 3);
\endif
-- The function itself keeps nothing on disk.
RESET work_mem;
CREATE FUNCTION tap.explained(query text, option text DEFAULT 'COSTS OFF') RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE format('EXPLAIN (%s) %s', option, query) LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;
SELECT is(explained('SELECT * FROM history_changes()'), E'Custom Scan (History Rows)\n  Function: history_changes\n', 'in FROM');
SELECT alike(explained('SELECT * FROM history_diff(NULL::t, now(), now())', 'VERBOSE, COSTS OFF'), '%Function Call: %history_diff(NULL::%t, now(), now())%', 'which call');
SELECT is(dblink.plan, 'Custom Scan (History Rows)', 'the first command of a session') FROM tap.dblink(
	'host=' || current_setting('unix_socket_directories') || ' port=' || current_setting('port') || ' user=postgres dbname=' || current_database(),
	'EXPLAIN (COSTS OFF) SELECT * FROM history_changes()') AS dblink (plan text) LIMIT 1;
SELECT unalike(explained('SELECT * FROM ROWS FROM (history_changes(), generate_series(1, 3)) c'), '%History Rows%', 'ROWS FROM: PostgreSQL''s own');
SELECT unalike(explained('UPDATE t SET v = '''' FROM history_changes() c WHERE c.key ->> ''id'' = t.id::text'), '%History Rows%', 'with rows that may be read again: PostgreSQL''s own');
SELECT alike(explained('SELECT * FROM generate_series(1, 3) i JOIN history_changes() c ON c.transaction_id > i'), '%Materialize%Custom Scan (History Rows)%', 'read once for a join');

-- All that a query may ask of a function in FROM.
CREATE TABLE s (id int PRIMARY KEY, v text);
SELECT create_history_table('s');
INSERT INTO s VALUES (1, 'a'), (2, 'b'), (3, 'c');
SELECT results_eq($$SELECT n, key ->> 'id' FROM history_changes('{s}') WITH ORDINALITY c(a, b, d, e, key, f, g, h, i, j, k, n) WHERE n > 1$$, $$VALUES (2::bigint, '2'), (3, '3')$$, 'WITH ORDINALITY');
SELECT is((SELECT string_agg(to_jsonb(c) ->> 'change', ' ') FROM history_changes('{s}') c), 'INSERT INSERT INSERT', 'the row as a whole');
SELECT is((SELECT count(*)::int FROM history_changes('{s}')), 3, 'no column');
SELECT is((SELECT string_agg(new_row ->> 'v', '') FROM generate_series(1, 3) i, LATERAL history_changes('{s}', key => jsonb_build_object('id', i))), 'abc', 'LATERAL');
SELECT is((SELECT count(*)::int FROM generate_series(1, 3) i LEFT JOIN LATERAL (SELECT * FROM history_changes('{s}') c LIMIT i) c ON true), 6, 'ended before its end, and begun again');
SELECT is((SELECT count(*)::int FROM history_changes('{s}', transactions => ARRAY(SELECT start_transaction_id FROM s__with_history))), 3, 'arguments from a query');
PREPARE changes(regclass[]) AS SELECT new_row ->> 'v' FROM history_changes($1) WHERE change = 'INSERT';
SET plan_cache_mode = force_generic_plan;
SELECT results_eq($$EXECUTE changes('{s}')$$, $$VALUES ('a'), ('b'), ('c')$$, 'prepared');
SELECT results_eq($$EXECUTE changes('{s}')$$, $$VALUES ('a'), ('b'), ('c')$$, 'again');
RESET plan_cache_mode;
SELECT lives_ok($$SELECT * FROM s JOIN history_changes('{s}') c ON c.key ->> 'id' = s.id::text FOR UPDATE OF s$$, 'with row locks');
CREATE TABLE copied AS SELECT * FROM history_changes('{s}');
SELECT is((SELECT count(*)::int FROM copied), 3, 'CREATE TABLE AS');

-- Cursors: back and forth, over the end of a transaction, over a subtransaction that fails.
CREATE FUNCTION tap.fetched(cursor refcursor) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN FETCH cursor INTO r; RETURN r; END $$;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT key ->> 'id' FROM history_changes('{s}');
MOVE LAST FROM c;
MOVE BACKWARD 2 FROM c;
SELECT is(tap.fetched('c'), '2', 'a scrolling cursor');
COMMIT;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT key ->> 'id' FROM history_changes('{s}');
SELECT is(tap.fetched('h'), '1', 'a first row');
SAVEPOINT s;
SELECT tap.fetched('h');
ROLLBACK TO s;
COMMIT;
SELECT is(tap.fetched('h'), '3', 'after ROLLBACK TO SAVEPOINT and COMMIT');
CLOSE h;
SELECT throws_ok($$SELECT 1 / (3 - (key ->> 'id')::int) FROM history_changes('{s}')$$, '22012');
SELECT is((SELECT count(*)::int FROM history_changes('{s}')), 3, 'after an error');
SELECT * FROM finish();
