-- Section 11: queries that know nothing of history, as of an instant: each way of reading.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(77);

CREATE DOMAIN short AS text CHECK (length(VALUE) < 4);
CREATE TABLE t (gone text, id int PRIMARY KEY, v text, n numeric(10,2), s short, "Odd Name" int, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE u (id int, t_id int);
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
CREATE TABLE pt (id int PRIMARY KEY, k text) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
CREATE TABLE pt2 (k text, id int NOT NULL);
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES FROM (10) TO (20);
CREATE TABLE "Mixed Case" ("Key A" int, "select" text, "Value" text, PRIMARY KEY ("Key A", "select"));
SELECT create_history_table('t'), create_history_table('tim', 'edition_time', 'txid'), create_history_table('chi'),
	create_history_table('pt'), create_history_table('"Mixed Case"');
INSERT INTO t (id, v, n, s, "Odd Name") VALUES (1, 'a', 1, 'x', 10), (2, 'b', 2, 'y', 20), (3, 'c', 3, 'z', 30);
INSERT INTO tim VALUES (1, 'a'), (2, 'b');
INSERT INTO u SELECT g, g % 4 FROM generate_series(1, 6) g;
INSERT INTO par VALUES (1, 'p');
INSERT INTO chi VALUES (2, 'c', 5);
INSERT INTO pt VALUES (1, 'x'), (11, 'y');
INSERT INTO "Mixed Case" VALUES (1, 'one', 'I'), (2, 'two', 'II');

CREATE VIEW v AS SELECT id, v, t AS r FROM t WHERE id < 3;
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM v;
CREATE VIEW versions AS SELECT * FROM t__with_history;
CREATE FUNCTION of_sql(lowest int) RETURNS SETOF t LANGUAGE sql STABLE AS 'SELECT * FROM t WHERE id >= $1';
CREATE FUNCTION of_sql_kept(lowest int) RETURNS SETOF t LANGUAGE sql VOLATILE AS 'SELECT * FROM t WHERE id >= $1';
CREATE FUNCTION of_plpgsql(lowest int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text := '';
	x t;
BEGIN
	FOR x IN SELECT * FROM t WHERE id >= lowest ORDER BY id LOOP r := r || x.v; END LOOP;
	RETURN r || (SELECT count(*) FROM t);
END $$;
CREATE FUNCTION at(i timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	PERFORM read_as_of(i);
	r := (SELECT string_agg(t.v, ',' ORDER BY id) FROM t);
	PERFORM read_as_of(NULL);
	RETURN r;
END $$;
CREATE FUNCTION both_planned_first(i timestamptz) RETURNS bigint LANGUAGE sql AS 'SELECT read_as_of($1); SELECT count(*) FROM t';

SELECT clock_timestamp() AS past \gset
-- What a plain copy has is what is expected.
CREATE SCHEMA was;
CREATE TABLE was.t AS SELECT * FROM t;
CREATE TABLE was.pt AS SELECT * FROM pt;
UPDATE t SET v = v || '2', s = 'new' WHERE id = 1;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (4, 'd', 4, 'd', 40);
UPDATE tim SET v = 'later', edition_time = now() WHERE id = 1;
DELETE FROM tim WHERE id = 2;
UPDATE chi SET w = 6;
DELETE FROM par WHERE id = 1;
UPDATE pt SET id = 12 WHERE id = 1;
UPDATE "Mixed Case" SET "Value" = 'changed';
PREPARE p (int) AS SELECT id, v FROM t WHERE id > $1;
CREATE TEMP TABLE before AS EXECUTE p (0);
SELECT clock_timestamp() AS later \gset
UPDATE t SET v = 'latest';

SELECT is(read_as_of(:'past'), :'past', 'read_as_of() returns the instant');
SELECT is(current_setting('catmaid_history.as_of')::timestamptz, :'past'::timestamptz, 'which the setting tells');
SELECT set_eq('SELECT * FROM t', 'SELECT * FROM was.t', 'all columns');
SELECT set_eq('SELECT t.*, t FROM t', $$SELECT w.*, ROW(id, v, n, s, "Odd Name", twice)::text::t FROM was.t w$$, 'whole rows');
SELECT set_eq('SELECT t::text FROM t', 'SELECT w::text FROM was.t w', 'whole rows as text, with a column dropped');
SELECT set_eq('SELECT row_to_json(t)::text FROM t', 'SELECT row_to_json(w)::text FROM was.t w', 'and as JSON');
SELECT is((SELECT count(*)::int FROM t), 3, 'none of its columns');
SELECT is((SELECT v FROM t WHERE id = 1), 'a', 'one row by its key');
SELECT is_empty($$SELECT 1 FROM t WHERE v = 'latest'$$, 'nothing of the present');
SELECT set_eq('SELECT id, v FROM tim', $$VALUES (1, 'a'), (2, 'b')$$, 'a table with a time column');
SELECT set_eq('SELECT * FROM par', $$VALUES (1, 'p'), (2, 'c')$$, 'an inheritance parent');
SELECT set_eq('SELECT * FROM ONLY par', $$VALUES (1, 'p')$$, 'ONLY');
SELECT set_eq('SELECT * FROM chi', $$VALUES (2, 'c', 5)$$, 'a child');
SELECT set_eq('SELECT tableoid::regclass::text AS o, par, id FROM par', $$VALUES ('par', (1, 'p')::par, 1), ('chi', (2, 'c')::par, 2)$$, 'tableoid and whole rows of a hierarchy');
SELECT set_eq('SELECT * FROM pt', 'SELECT * FROM was.pt', 'a partitioned table');
SELECT is_empty('SELECT * FROM ONLY pt', 'ONLY of it');
SELECT set_eq('SELECT * FROM pt1', $$VALUES (1, 'x')$$, 'a partition');
SELECT set_eq('SELECT id, k, tableoid::regclass::text AS o FROM pt2', $$VALUES (11, 'y', 'pt2')$$, 'one whose columns have another order');
SELECT set_eq('SELECT * FROM "Mixed Case"', $$VALUES (1, 'one', 'I'), (2, 'two', 'II')$$, 'names in mixed case, and a key of two columns');
SELECT set_eq('SELECT u.id, t.v, t FROM u LEFT JOIN t ON t.id = u.t_id', 'SELECT u.id, w.v, w::text::t FROM u LEFT JOIN was.t w ON w.id = u.t_id', 'joined from an untracked table, outer');
SELECT set_eq('SELECT u.id, t.tableoid::regclass::text AS o, t IS NULL, t FROM u LEFT JOIN t ON t.id = u.t_id',
	$$SELECT u.id, CASE WHEN w.id IS NOT NULL THEN 't' END, w IS NULL, w::text::t FROM u LEFT JOIN was.t w ON w.id = u.t_id$$, 'with tableoid');
SELECT set_eq('SELECT t.id, pt.k, tim.v FROM t JOIN pt USING (id) FULL JOIN tim ON tim.id = t.id', $$VALUES (1, 'x', 'a'), (NULL, NULL, 'b')$$, 'tracked tables joined');
SELECT set_eq('SELECT id FROM t WHERE id IN (SELECT id FROM tim) AND NOT EXISTS (SELECT FROM pt WHERE pt.id = t.id)', 'VALUES (2)', 'IN and NOT EXISTS');
SELECT set_eq('SELECT (SELECT max(v) FROM t WHERE t.id <= u.id) FROM u', $$VALUES ('a'), ('b'), ('c')$$, 'a correlated sub-query');
SELECT set_eq('WITH x AS MATERIALIZED (SELECT * FROM t), y AS (SELECT * FROM x) SELECT id FROM y', 'VALUES (1), (2), (3)', 'WITH');
SELECT set_eq('WITH RECURSIVE r AS (SELECT id FROM t WHERE id = 1 UNION ALL SELECT t.id FROM t JOIN r ON t.id = r.id + 1) SELECT * FROM r', 'VALUES (1), (2), (3)', 'WITH RECURSIVE');
SELECT set_eq('SELECT v FROM t UNION SELECT v FROM tim EXCEPT SELECT k FROM pt', $$VALUES ('a'), ('b'), ('c')$$, 'UNION and EXCEPT');
SELECT set_eq('SELECT u.id, x.v FROM u, LATERAL (SELECT v FROM t WHERE t.id = u.t_id LIMIT 1) x', 'SELECT u.id, w.v FROM u JOIN was.t w ON w.id = u.t_id', 'LATERAL');
SELECT set_eq('SELECT v, count(*) OVER () FROM t GROUP BY id', $$VALUES ('a', 3::bigint), ('b', 3), ('c', 3)$$, 'GROUP BY a key on which the others depend; windows');
SELECT results_eq('SELECT id FROM t ORDER BY id DESC LIMIT 1', 'VALUES (3)', 'ORDER BY and LIMIT');
SELECT set_eq('SELECT id, r::text FROM v', 'SELECT id, w::text FROM was.t w WHERE id < 3', 'a view');
SELECT set_eq('SELECT id, v FROM barrier', $$VALUES (1, 'a'), (2, 'b')$$, 'a view with security_barrier on a view');
SELECT is((SELECT count(*)::int FROM t__with_history), 8, 'X__with_history has all versions');
SELECT is((SELECT count(*)::int FROM versions), 8, 'and a view on it');
SELECT set_eq('SELECT id, v FROM of_sql(2)', $$VALUES (2, 'b'), (3, 'c')$$, 'an SQL function that is inlined');
SELECT set_eq('SELECT u.id, x.v FROM u, of_sql(u.t_id) x WHERE x.id = u.t_id', 'SELECT u.id, w.v FROM u JOIN was.t w ON w.id = u.t_id', 'laterally');
SELECT set_eq('SELECT id, v FROM of_sql_kept(2)', $$VALUES (2, 'b'), (3, 'c')$$, 'one that is not');
SELECT set_eq('SELECT (of_sql(2)).id', 'VALUES (2), (3)', 'one in the list of columns');
SELECT is(of_plpgsql(1), 'abc3', 'a PL/pgSQL function');
SELECT set_eq('EXECUTE p (1)', $$VALUES (2, 'b'), (3, 'c')$$, 'a statement prepared before');
SELECT set_eq('SELECT * FROM before', $$VALUES (1, 'a2'), (3, 'c'), (4, 'd')$$, 'which saw the present then');
PREPARE p2 AS SELECT id, v FROM t;
SELECT read_as_of(:'later') IS NOT NULL AS ok \gset
SELECT set_eq('EXECUTE p2', $$VALUES (1, 'a2'), (3, 'c'), (4, 'd')$$, 'one prepared at another instant');
SELECT is(of_plpgsql(1), 'a2cd3', 'the function at another instant');
SELECT is(read_as_of(NULL), NULL, 'back');
SELECT set_eq('EXECUTE p2', $$VALUES (1, 'latest'), (3, 'latest'), (4, 'latest')$$, 'in the present: the prepared one');
SELECT is(of_plpgsql(4), 'latest3', 'and the function');
SET plan_cache_mode = force_generic_plan;
SELECT set_eq('EXECUTE p (3)', $$VALUES (4, 'latest')$$, 'generic plans');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT set_eq('EXECUTE p (2)', $$VALUES (3, 'c')$$, 'of the past');
RESET plan_cache_mode;

-- functions that go from one instant to another
SELECT read_as_of(NULL) AS ok \gset
SELECT is(at(:'past') || ' ' || at(:'later') || ' ' || at(now()) || ' ' || at(:'past'), 'a,b,c a2,c,d latest,latest,latest a,b,c', 'a function that chooses its instant');
SELECT set_eq(format('SELECT at(i) FROM unnest(%L::timestamptz[]) i', ARRAY[:'past', :'later']), $$VALUES ('a,b,c'), ('a2,c,d')$$, 'within one query');
SELECT is(current_setting('catmaid_history.as_of'), '', 'the session is in the present');
SELECT set_eq($$SELECT count(*)::int FROM t$$, 'VALUES (3)', 'and reads it');
SELECT is(read_as_of(:'past', true), :'past', 'local to the transaction');
SELECT is(current_setting('catmaid_history.as_of'), '', 'is over with it');
BEGIN;
SELECT read_as_of(:'past', true) IS NOT NULL AS ok \gset
SELECT is(of_plpgsql(1), 'abc3', 'and is in force in it');
SAVEPOINT s;
SELECT read_as_of(:'later', true) IS NOT NULL AS ok \gset
SELECT is(of_plpgsql(1), 'a2cd3', 'within a savepoint another');
ROLLBACK TO s;
SELECT is(of_plpgsql(1), 'abc3', 'which goes with it');
DECLARE c CURSOR FOR SELECT id, of_plpgsql(id) FROM t ORDER BY id;
SELECT read_as_of(:'later', true) IS NOT NULL AS ok \gset
SELECT results_eq('c'::refcursor, $$VALUES (1, 'abc3'), (2, 'bc3'), (3, 'c3')$$, 'a cursor stays where it was opened, with what it calls');
SELECT is(of_plpgsql(1), 'a2cd3', 'and lets others be');
SELECT read_as_of(NULL) AS ok \gset
INSERT INTO t VALUES (5, 'e');
SELECT is((SELECT count(*)::int FROM t), 4, 'back in the present the transaction writes');
ROLLBACK;

-- where it would be read for the present, or another instant, it is refused
SELECT CASE WHEN current_setting('server_version_num')::int >= 180000
	THEN is(both_planned_first(:'past')::int, 3, 'statements of an SQL function')
	ELSE throws_ok(format('SELECT both_planned_first(%L)', :'past'), '55000', NULL, 'statements of an SQL function that are planned at once') END;

-- EXPLAIN, CREATE TABLE AS, SELECT INTO, INSERT … SELECT, COPY
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
CREATE TABLE copied AS SELECT * FROM t;
SELECT id, v INTO copied2 FROM t;
CREATE TEMP TABLE copied3 (id int, v text);
INSERT INTO copied3 SELECT id, v FROM t;
CREATE TABLE lines (line text);
CREATE TEMP TABLE plan_of (line text);
DO $$ DECLARE r text; BEGIN FOR r IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT * FROM t' LOOP INSERT INTO plan_of VALUES (r); END LOOP; END $$;
COPY t TO '/dev/null';
SELECT read_as_of(NULL) AS ok \gset
SELECT set_eq('SELECT * FROM copied', 'SELECT * FROM was.t', 'CREATE TABLE AS');
SELECT set_eq('SELECT * FROM copied2', 'SELECT id, v FROM was.t', 'SELECT INTO');
SELECT set_eq('SELECT * FROM copied3', 'SELECT id, v FROM was.t', 'INSERT … SELECT into a table that is not tracked');
SELECT ok(EXISTS (SELECT FROM plan_of WHERE line ~ 't__history'), 'EXPLAIN shows the history');

-- DDL sees the present
CREATE TABLE refers (t_id int);
INSERT INTO refers VALUES (4);
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT lives_ok('ALTER TABLE refers ADD FOREIGN KEY (t_id) REFERENCES t', 'a foreign key is checked against what is there');
SELECT lives_ok('INSERT INTO refers VALUES (4)', 'rows, too');
SELECT throws_ok('INSERT INTO refers VALUES (2)', '23503', NULL, 'not against what was');
SELECT lives_ok('ALTER TABLE t ADD COLUMN added int DEFAULT 5', 'a column is added');
SELECT set_eq('SELECT id, added FROM t', 'VALUES (1, NULL::int), (2, NULL), (3, NULL)', 'which is NULL in the past');
SELECT read_as_of(NULL) AS ok \gset
CREATE TABLE unchanged (id int PRIMARY KEY);
SELECT create_history_table('unchanged');
INSERT INTO unchanged VALUES (1);
SELECT clock_timestamp() AS past \gset
ALTER TABLE unchanged ADD COLUMN added int DEFAULT 5;
SELECT clock_timestamp() AS later \gset
PREPARE unchanged AS SELECT u.added, u FROM unchanged u WHERE u.added IS NULL OR u.added = 5;
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT results_eq('EXECUTE unchanged', $$VALUES (NULL::int, ROW(1, NULL)::unchanged)$$, 'also of a row that has not changed since');
SELECT read_as_of(:'later') IS NOT NULL AS ok \gset
SELECT results_eq('EXECUTE unchanged', $$VALUES (5, ROW(1, 5)::unchanged)$$, 'and has its value from then on');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT results_eq('SELECT count(*), count(added) FROM unchanged', 'VALUES (1::bigint, 0::bigint)', 'in the one plan and in the other');
SELECT read_as_of(NULL) AS ok \gset

-- a condition that fails of rows that were not there
CREATE TABLE number (id int PRIMARY KEY, v text);
CREATE INDEX ON number (v);
SELECT create_history_table('number');
INSERT INTO number SELECT g, g FROM generate_series(1, 500) g;
ANALYZE number;
SELECT clock_timestamp() AS past \gset
UPDATE number SET v = 'none' WHERE id % 100 = 7;
SELECT is((SELECT count(*)::int FROM number__with_history WHERE sys_period @> :'past'::timestamptz AND v::int > 100), 400, 'a cast, in the history view');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT is((SELECT count(*)::int FROM number WHERE v::int > 100), 400, 'and as of then');
SELECT is((SELECT count(*)::int FROM number WHERE v::int > 100 AND v = '107'), 1, 'beside a key of an index');
DELETE FROM plan_of;
SET enable_seqscan = off;
DO $$ DECLARE r text; BEGIN FOR r IN EXECUTE $q$EXPLAIN (COSTS OFF) SELECT v FROM number WHERE v::int > 100 AND v = '107'$q$ LOOP INSERT INTO plan_of VALUES (r); END LOOP; END $$;
RESET enable_seqscan;
SELECT ok(EXISTS (SELECT FROM plan_of WHERE line ~ 'number_v_idx'), 'which can be used');
SELECT read_as_of(NULL) AS ok \gset
SELECT * FROM finish();
