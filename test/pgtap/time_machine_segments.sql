-- Section 11 and 13: the past of tables whose history has been cut into segments.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(6);
CREATE TABLE s (id int PRIMARY KEY, v text);
CREATE TABLE sp (id int PRIMARY KEY, v text);
CREATE TABLE sc (w int, PRIMARY KEY (id)) INHERITS (sp);
SELECT create_history_table('s'), create_history_table('sc');
INSERT INTO s VALUES (1, 'a'), (2, 'b');
INSERT INTO sc VALUES (1, 'c', 1);
INSERT INTO sp VALUES (2, 'p');
SELECT clock_timestamp() AS first \gset
UPDATE s SET v = 'a2' WHERE id = 1;
UPDATE sp SET v = v || '2';
SELECT rotate_history('s'), rotate_history('sp'), rotate_history('sc');
SELECT clock_timestamp() AS second \gset
UPDATE s SET v = 'a3' WHERE id = 1;
DELETE FROM s WHERE id = 2;
DELETE FROM sp;
SELECT read_as_of(:'first') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT s.tableoid::regclass::text AS o, s.* FROM s', $$VALUES ('s', 1, 'a'), ('s', 2, 'b')$$, 'from the segment');
SELECT set_eq('SELECT sp.tableoid::regclass::text AS o, sp.* FROM sp', $$VALUES ('sc', 1, 'c'), ('sp', 2, 'p')$$, 'of a hierarchy');
SELECT read_as_of(:'second') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT s.tableoid::regclass::text AS o, s.* FROM s', $$VALUES ('s', 1, 'a2'), ('s', 2, 'b')$$, 'from the head');
SELECT set_eq('SELECT sp.tableoid::regclass::text AS o, sp.* FROM sp', $$VALUES ('sc', 1, 'c2'), ('sp', 2, 'p2')$$, 'of a hierarchy');
SELECT is((SELECT count(*)::int FROM s__history_1), 1, 'a segment itself has what it has');
SELECT throws_ok('COPY s__history_1 TO $$/dev/null$$', '0A000', NULL, 'and is not copied beside the past of its table');
SELECT read_as_of(NULL) AS ok \gset
SELECT * FROM finish();
