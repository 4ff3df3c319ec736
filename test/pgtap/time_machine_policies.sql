-- Section 11: a reader who is subject to policies sees of the past what those of live table and history let her see, on
-- PostgreSQL 13 and 14, too, where the history view, which has its owner's rights there, shows her nothing.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(8);

CREATE ROLE time_machine_policies_reader;
GRANT EXECUTE ON FUNCTION read_as_of(timestamptz, boolean) TO time_machine_policies_reader;
CREATE TABLE t (id int PRIMARY KEY, v text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t TO time_machine_policies_reader USING (id <> 3);
SELECT create_history_table('t');
GRANT USAGE ON SCHEMA public, tap TO time_machine_policies_reader;
GRANT SELECT ON t, t__history TO time_machine_policies_reader;
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'hidden'), (4, 'd');
SELECT clock_timestamp() AS past \gset
UPDATE t SET v = 'now' WHERE id IN (2, 3, 4);

SET ROLE time_machine_policies_reader;
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a'), (2, 'now'), (4, 'now')$$, 'the present');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a')$$, 'without a policy on the history: what has not changed');
RESET ROLE;
CREATE POLICY p ON t__history TO time_machine_policies_reader USING (id <> 4);
SET ROLE time_machine_policies_reader;
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a'), (2, 'b'), (3, 'hidden')$$, 'with one: what it lets through, too');
PREPARE p AS SELECT v FROM t WHERE id < 3 ORDER BY id;
SELECT results_eq('EXECUTE p', $$VALUES ('a'), ('b')$$, 'prepared');
RESET ROLE;
SELECT results_eq('EXECUTE p', $$VALUES ('a'), ('b')$$, 'and run by the owner');
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a'), (2, 'b'), (3, 'hidden'), (4, 'd')$$, 'who sees everything');
SET ROLE time_machine_policies_reader;
SET row_security = off;
SELECT throws_ok('SELECT id FROM t', '42501', NULL, 'row_security = off is an error, as ever');
RESET row_security;
SELECT read_as_of(NULL) AS ok \gset
SELECT set_eq('SELECT id, v FROM t', $$VALUES (1, 'a'), (2, 'now'), (4, 'now')$$, 'back in the present');
RESET ROLE;
DROP OWNED BY time_machine_policies_reader;
DROP ROLE time_machine_policies_reader;
SELECT * FROM finish();
