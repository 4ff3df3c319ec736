-- Section 11: plans of the past are kept, commands that maintain tables see the present.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(34);

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE pt (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (PRIMARY KEY (id)) INHERITS (par);
SELECT create_history_table('t'), create_history_table('tim', 'edition_time', 'txid'), create_history_table('pt'), create_history_table('chi');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO tim VALUES (1, 'a');
INSERT INTO pt VALUES (1, 'a');
INSERT INTO par VALUES (1, 'a');
INSERT INTO chi VALUES (2, 'b');
SELECT clock_timestamp() AS past \gset
UPDATE t SET v = 'now';
INSERT INTO t VALUES (3, 'now');
UPDATE tim SET v = 'now', edition_time = now();
UPDATE pt SET v = 'now';
UPDATE par SET v = 'now';

-- A function that is evaluated when a query is planned counts how often that is done.
CREATE SEQUENCE planned;
CREATE FUNCTION counted() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN nextval('planned') > 0; END $$;
CREATE FUNCTION in_plpgsql() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT max(v) FROM tim WHERE counted()); END $$;
SET plan_cache_mode = force_generic_plan;
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
PREPARE of_tim AS SELECT v FROM tim WHERE counted();
PREPARE of_t (int) AS SELECT v FROM t WHERE id = $1 AND counted();
PREPARE of_pt AS SELECT v FROM pt WHERE counted();
PREPARE of_par AS SELECT v FROM par WHERE counted() ORDER BY v;
SELECT results_eq('EXECUTE of_tim', $$VALUES ('a')$$, 'a prepared query with a time column');
SELECT setval('planned', 1) AS ok \gset
EXECUTE of_tim \g /dev/null
EXECUTE of_tim \g /dev/null
SELECT is((SELECT last_value::int FROM planned), 1, 'is planned once');
SELECT results_eq('EXECUTE of_t (1)', $$VALUES ('a')$$, 'one with a tracking table');
SELECT setval('planned', 1) AS ok \gset
EXECUTE of_t (1) \g /dev/null
EXECUTE of_t (2) \g /dev/null
SELECT is((SELECT last_value::int FROM planned), 1, 'too');
SELECT results_eq('EXECUTE of_pt', $$VALUES ('a')$$, 'one on partitions');
SELECT setval('planned', 1) AS ok \gset
EXECUTE of_pt \g /dev/null
SELECT is((SELECT last_value::int FROM planned), 1, 'too');
SELECT results_eq('EXECUTE of_par', $$VALUES ('a'), ('b')$$, 'one on a hierarchy');
SELECT setval('planned', 1) AS ok \gset
EXECUTE of_par \g /dev/null
SELECT is((SELECT last_value::int FROM planned), 1, 'too');
SELECT is(in_plpgsql(), 'a', 'a query of a PL/pgSQL function');
SELECT setval('planned', 1) AS ok \gset
SELECT in_plpgsql() AS ok, in_plpgsql() \gset
SELECT is((SELECT last_value::int FROM planned), 1, 'is kept');
SELECT read_as_of(NULL) AS ok \gset
SELECT results_eq('EXECUTE of_tim', $$VALUES ('now')$$, 'until there is another instant');
SELECT cmp_ok((SELECT last_value::int FROM planned), '>', 1, 'for which it is planned');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT results_eq('EXECUTE of_tim', $$VALUES ('a')$$, 'and back');
RESET plan_cache_mode;

-- JIT
SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
SELECT set_eq('SELECT id, upper(v) FROM t WHERE id + 1 > 1', $$VALUES (1, 'A'), (2, 'B')$$, 'with JIT');
SELECT set_eq('SELECT t.id, x.v FROM t JOIN tim x USING (id)', $$VALUES (1, 'a')$$, 'joined');
RESET jit;

-- what maintains a table maintains what there is
SELECT lives_ok('CLUSTER t USING t_pkey', 'CLUSTER');
SELECT lives_ok('REINDEX TABLE t', 'REINDEX');
SELECT lives_ok('CREATE INDEX ON t (v)', 'CREATE INDEX');
SELECT lives_ok('ALTER TABLE t ADD CONSTRAINT old CHECK (v = ''now'')', 'a constraint is checked against what there is');
ANALYZE t;
SELECT is((SELECT most_common_vals::text FROM pg_stats WHERE tablename = 't' AND attname = 'v'), '{now}', 'ANALYZE');
VACUUM FULL t;
VACUUM t;
SELECT throws_ok('CREATE MATERIALIZED VIEW m AS SELECT * FROM t', '0A000', NULL, 'a materialized view is not filled');
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a'), (2, 'b')$$, 'and the past is as it was');
SELECT read_as_of(NULL) AS ok \gset

-- what a CHECK constraint or a default reads is to be the present, and would be the past
CREATE FUNCTION of_t() RETURNS text LANGUAGE sql STABLE AS 'SELECT min(v) FROM t';
CREATE TABLE checked (id int CHECK (of_t() = 'now'));
CREATE TABLE defaulted (id int, v text DEFAULT of_t());
CREATE TABLE part (id int, v text) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF part (CHECK (of_t() = 'a')) FOR VALUES IN (1);
CREATE DOMAIN one_of_t AS text CHECK (VALUE = of_t());
CREATE TABLE of_domain (id one_of_t);
CREATE FUNCTION on_guarded() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE guarded (id int);
CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH ROW WHEN (of_t() = 'now') EXECUTE FUNCTION on_guarded();
CREATE TABLE plain (id int CHECK (id > 0 AND length(id::text) < 9), at timestamptz DEFAULT now(), s serial);
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT throws_ok('INSERT INTO checked VALUES (1)', '25006', NULL, 'a CHECK constraint that calls a function: refused');
SELECT throws_ok('INSERT INTO defaulted VALUES (1)', '25006', NULL, 'a default');
SELECT throws_ok('UPDATE part SET v = 1', '25006', NULL, 'a CHECK constraint of a partition');
SELECT throws_ok('INSERT INTO of_domain VALUES (''a'')', '25006', NULL, 'one of a domain');
SELECT lives_ok('INSERT INTO defaulted VALUES (1, ''given'')', 'one that is not used is no harm');
SELECT lives_ok('INSERT INTO plain VALUES (1)', 'PostgreSQL''s own functions are no harm');
SELECT throws_ok('COPY checked FROM ''/dev/null''', '25006', NULL, 'COPY');
SELECT throws_ok('INSERT INTO guarded VALUES (1)', '25006', NULL, 'the condition of a trigger');
SELECT lives_ok('DELETE FROM checked', 'nothing is checked where rows are deleted');
SELECT read_as_of(NULL) AS ok \gset
SELECT lives_ok('INSERT INTO checked VALUES (1)', 'in the present all of it works');

-- COPY
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT throws_ok('COPY pt TO ''/dev/null''', '42809', NULL, 'COPY of a partitioned table is PostgreSQL''s to refuse');
SELECT set_eq('SELECT id, v FROM ONLY par', $$VALUES (1, 'a')$$, 'ONLY, which COPY of a parent takes');
SELECT read_as_of(NULL) AS ok \gset
SELECT * FROM finish();
