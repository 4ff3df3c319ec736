-- Section 9: history_changes keeps its plan for the next call, and it is never a plan for
-- something else: another table of the name, other columns, other rights, other transactions.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(33);
DROP ROLE IF EXISTS kept_reader;
CREATE ROLE kept_reader;
GRANT USAGE ON SCHEMA tap TO kept_reader;

CREATE TABLE tap.steps (name text, id bigint);
GRANT SELECT ON tap.steps TO kept_reader;
CREATE FUNCTION tap.step(step text) RETURNS void LANGUAGE sql AS $$ INSERT INTO tap.steps VALUES (step, txid_current()) $$;
CREATE FUNCTION tap.id(step text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM tap.steps WHERE name = step $$;
-- "what key old>new columns, ..."
CREATE FUNCTION tap.did(tables regclass[], VARIADIC steps text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', left(change, 1), (SELECT string_agg(k.value, ':') FROM jsonb_each_text(c.key) k),
		coalesce(old_row ->> 'v', '') || '>' || coalesce(new_row ->> 'v', ''), array_to_string(changed_columns, '+')), ', ' ORDER BY no)
	FROM history_changes(tables, transactions => ARRAY(SELECT tap.id(s) FROM unnest(steps) s))
		WITH ORDINALITY c(changed_at, transaction_id, live_table, change, key, old_row, new_row, changed_columns, user_id, label, context, no) $$;
SELECT current_setting('server_version_num')::int >= 140000 AS tells \gset
CREATE FUNCTION tap.kept() RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
	EXECUTE $q$SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND ident ~ '^SELECT c.changed_at, c.t, c.tbl'$q$ INTO n;
	RETURN n;
END $$;

CREATE TABLE t (id int PRIMARY KEY, v text, w numeric);
SELECT create_history_table('t');
BEGIN; SELECT step('A'); INSERT INTO t SELECT i, 'a', 1.0 FROM generate_series(1, 3) i; COMMIT;
BEGIN; SELECT step('B'); UPDATE t SET v = 'b' WHERE id = 1; UPDATE t SET w = 1.00 WHERE id = 2; DELETE FROM t WHERE id = 3; COMMIT;
BEGIN; SELECT step('C'); UPDATE t SET id = 10 WHERE id = 1; COMMIT;
SELECT is(did('{t}', 'A'), 'I 1 >a, I 2 >a, I 3 >a', 'one transaction');
SELECT is(did('{t}', 'B'), 'U 1 a>b v, U 2 a>a w, D 3 a>', 'another; 1.0 is not 1.00');
SELECT is(did('{t}', 'C', 'A'), 'I 1 >a, I 2 >a, I 3 >a, U 1 b>b id', 'two');
SELECT is(did('{t}', 'none'), NULL, 'none');
\if :tells
SELECT is(kept(), 1, 'by one plan');
\else
SELECT skip('PostgreSQL 13 does not tell');
\endif
SELECT is((SELECT string_agg(change, ' ') FROM history_changes('{t}', key => jsonb_build_object('id', k))), e, 'by key ' || k) FROM (VALUES (3, 'INSERT DELETE'), (2, 'INSERT UPDATE'), (10, 'UPDATE')) x(k, e);
\if :tells
SELECT is(kept(), 2, 'one plan for keys');
SELECT is((SELECT count(*)::int FROM history_changes('{t}', since => now() - interval '1 hour', transactions => ARRAY[id('A')])), 3, 'with times');
SELECT is(kept(), 2, 'is planned each time');
\else
SELECT skip('PostgreSQL 13 does not tell', 3);
\endif

-- Other columns, another name, another table of that name.
ALTER TABLE t ADD x int DEFAULT 5;
BEGIN; SELECT step('D'); UPDATE t SET x = 6 WHERE id = 2; COMMIT;
SELECT is(did('{t}', 'D'), 'U 2 a>a x', 'a new column');
ALTER TABLE t RENAME v TO u;
ALTER TABLE t RENAME x TO v;
SELECT is(did('{t}', 'D'), 'U 2 5>6 v', 'renamed ones');
ALTER TABLE t DROP v;
ALTER TABLE t RENAME u TO v;
SELECT is(did('{t}', 'D'), 'U 2 a>a ', 'one that is gone');
ALTER TABLE t RENAME TO s;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
BEGIN; SELECT step('E'); INSERT INTO t VALUES (7, 'new'); UPDATE s SET v = 'old'; COMMIT;
SELECT is(did('{t}', 'E'), 'I 7 >new', 'another table of the name');
SELECT is(did('{s}', 'E'), 'U 2 a>old v, U 10 b>old v', 'the one that had it');
ALTER TABLE t RENAME TO r;
ALTER TABLE s RENAME TO t;
SELECT is(did('{t}', 'E'), 'U 2 a>old v, U 10 b>old v', 'which has it again');
DROP INDEX t__history_exec_transaction_id;
SELECT is(did('{t}', 'E'), 'U 2 a>old v, U 10 b>old v', 'without the index');
SELECT enable_history_tracking_for_table('t');

-- Other rights.
SELECT is(did('{t}', 'E'), 'U 2 a>old v, U 10 b>old v', 'mine');
SET ROLE kept_reader;
SELECT throws_ok($$SELECT tap.did('{t}', 'E')$$, '42501', NULL, 'another role''s');
RESET ROLE;
GRANT SELECT ON t, t__history, t__tracking TO kept_reader;
SET ROLE kept_reader;
SELECT is(did('{t}', 'E'), 'U 2 a>old v, U 10 b>old v', 'with the rights');
RESET ROLE;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
SET ROLE kept_reader;
SELECT is(did('{t}', 'E'), NULL, 'policies');
RESET ROLE;
SELECT is(did('{t}', 'E'), 'U 2 a>old v, U 10 b>old v', 'which are not mine');
CREATE POLICY few ON t FOR SELECT TO kept_reader USING (id < 5);
SET ROLE kept_reader;
SELECT ok(did('{t}', 'E') IS NOT DISTINCT FROM did('{t}', 'E'), 'a policy');
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;

-- What a snapshot shows; more tables than plans are kept of, while one is being read.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(did('{r}', 'E'), 'I 7 >new', 'in a transaction');
SAVEPOINT a;
UPDATE r SET v = 'mine';
SELECT is((SELECT string_agg(change, ' ') FROM history_changes('{r}', transactions => ARRAY[txid_current()])), 'UPDATE', 'its own change');
ROLLBACK TO a;
SELECT is((SELECT string_agg(change, ' ') FROM history_changes('{r}', transactions => ARRAY[txid_current()])), NULL, 'which is taken back');
COMMIT;
DO $$ BEGIN FOR i IN 1 .. 12 LOOP
	EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, v text)', i);
	PERFORM create_history_table(format('many_%s', i)::regclass);
END LOOP; END $$;
BEGIN; SELECT step('F');
DO $$ BEGIN FOR i IN 1 .. 12 LOOP EXECUTE format('INSERT INTO many_%s VALUES (1, ''x''), (2, ''y'')', i); END LOOP; END $$;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT key ->> 'id' FROM history_changes('{many_1}', transactions => ARRAY[tap.id('F')]);
FETCH c;
SELECT is((SELECT string_agg(did(ARRAY[format('many_%s', i)::regclass], 'F'), '') FROM generate_series(2, 12) i), repeat('I 1 >x, I 2 >y', 11), 'many tables');
CREATE FUNCTION pg_temp.rest() RETURNS text LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'c'; r text; BEGIN FETCH c INTO r; RETURN r; END $$;
SELECT is(pg_temp.rest(), '2', 'a cursor whose plan is not kept any more');
COMMIT;
\if :tells
SELECT ok(kept() <= 8, 'no more than so many are kept');
\else
SELECT skip('PostgreSQL 13 does not tell');
\endif
-- Large transactions, which the statistics know, and small ones: one result.
INSERT INTO many_1 SELECT i, 'v' FROM generate_series(10, 5000) i;
BEGIN; SELECT step('G'); UPDATE many_1 SET v = 'w'; COMMIT;
BEGIN; SELECT step('H'); UPDATE many_1 SET v = 'z' WHERE id IN (11, 12); COMMIT;
SELECT step('I');
ANALYZE many_1__history, many_1, many_1__tracking;
SELECT is((SELECT count(*)::int FROM history_changes('{many_1}', transactions => ARRAY[id('G')])), 4993, 'a large one');
BEGIN;
CREATE TEMP TABLE scans AS SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'many_1__history'::regclass;
SELECT is(did('{many_1}', 'H'), 'U 11 w>z v, U 12 w>z v', 'a small one');
SELECT is((SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'many_1__history'::regclass), (SELECT seq_scan FROM scans), 'without a scan of the history');
COMMIT;
DROP OWNED BY kept_reader;
DROP ROLE kept_reader;
SELECT * FROM finish();
