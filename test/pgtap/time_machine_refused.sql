-- Section 11: what the past cannot be asked for, and what cannot be done in it, is refused.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(68);

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE u (id int PRIMARY KEY, v text);
CREATE TABLE refers (id int PRIMARY KEY, u_id int REFERENCES u ON DELETE CASCADE);
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
CREATE TABLE tpar (id int PRIMARY KEY, v text);
CREATE TABLE uchi (w int, PRIMARY KEY (id)) INHERITS (tpar);
CREATE TABLE pt (id int PRIMARY KEY, k text) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
SELECT create_history_table('t'), create_history_table('refers'), create_history_table('pt'),
	create_history_table('chi', copy_inheritance => false), create_history_table('tpar');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO u VALUES (1, 'u'), (2, 'v');
INSERT INTO refers VALUES (1, 1), (2, 2);
INSERT INTO par VALUES (1, 'p');
INSERT INTO chi VALUES (2, 'c', 5);
INSERT INTO tpar VALUES (1, 'p');
INSERT INTO uchi VALUES (2, 'c', 5);
INSERT INTO pt VALUES (1, 'x');
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
SELECT clock_timestamp() AS past \gset
UPDATE t SET v = 'now';
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset

-- writing
SELECT throws_ok(statement, '25006', NULL, statement) FROM unnest(ARRAY[
	$$INSERT INTO t VALUES (3, 'c')$$, 'UPDATE t SET v = 1', 'DELETE FROM t', 'TRUNCATE t', 'COPY t FROM $$/dev/null$$',
	$$INSERT INTO t VALUES (1, 'c') ON CONFLICT (id) DO UPDATE SET v = excluded.v$$,
	'WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d', 'INSERT INTO pt VALUES (2)', 'UPDATE pt1 SET k = 1', 'TRUNCATE pt',
	'DELETE FROM chi', 'UPDATE par SET v = 1', 'DELETE FROM u WHERE id = 1', 'TRUNCATE u CASCADE']) statement;
SELECT throws_like('UPDATE t SET v = 1', 'cannot write table "t" while the session reads the past, as of 20%', 'the message names table and instant');
SELECT lives_ok($$UPDATE u SET v = t.v FROM t WHERE t.id = u.id$$, 'a table that is not tracked can be written');
SELECT set_eq('SELECT v FROM u', $$VALUES ('a'), ('b')$$, 'from what was');
SELECT is((SELECT count(*)::int FROM refers), 2, 'nothing is half-done');
SELECT lives_ok('INSERT INTO u SELECT id + 10, v FROM t', 'more of them');

-- what no row of the past has
SELECT throws_ok(statement, '0A000', NULL, statement) FROM unnest(ARRAY[
	'SELECT * FROM t FOR UPDATE', 'SELECT * FROM t FOR KEY SHARE', 'SELECT * FROM (SELECT * FROM t) x FOR SHARE',
	'SELECT * FROM t TABLESAMPLE SYSTEM (10)', 'SELECT ctid FROM t', 'SELECT 1 FROM t WHERE xmin = 1::text::xid',
	'SELECT (SELECT t.cmax) FROM t', 'SELECT tableoid FROM pt',
	'REFRESH MATERIALIZED VIEW m', 'CREATE MATERIALIZED VIEW m2 AS SELECT * FROM t',
	'COPY t__history TO $$/dev/null$$', 'COPY t__tracking TO $$/dev/null$$', 'COPY catmaid_history_table TO $$/dev/null$$']) statement;
SELECT lives_ok('SELECT u.* FROM u JOIN t USING (id) FOR UPDATE OF u', 'rows of other tables can be locked');

-- what is not known
SELECT throws_ok('SELECT * FROM par', '55000', NULL, 'a parent that is not tracked, of a child that is');
SELECT lives_ok('SELECT * FROM ONLY par', 'ONLY of it');
SET client_min_messages = error;
SELECT set_eq('SELECT id FROM tpar', 'VALUES (1), (2)', 'a child that is not tracked is read as it is with its parent, with a WARNING');
SET client_min_messages = warning;
SELECT lives_ok('SELECT * FROM uchi', 'and by itself');
SELECT lives_ok('SELECT * FROM m', 'as a materialized view');
SELECT set_eq('SELECT v FROM m', $$VALUES ('a'), ('b')$$, 'which has what it has');
SET catmaid_history.as_of_untracked = error;
SELECT throws_ok(statement, '55000', NULL, statement || ': not tracked') FROM unnest(ARRAY['SELECT * FROM u', 'SELECT * FROM m', 'SELECT * FROM uchi', 'SELECT * FROM tpar', 'COPY u TO $$/dev/null$$']) statement;
SELECT lives_ok('SELECT * FROM t', 'a tracked table');
SELECT lives_ok('SELECT * FROM pg_class', 'catalogs');
SELECT lives_ok('SELECT * FROM information_schema.tables', 'the information schema');
RESET catmaid_history.as_of_untracked;

SELECT throws_ok($$SELECT read_as_of(now() + interval '1 hour')$$, '22023', NULL, 'the future');
SELECT throws_ok($$SELECT read_as_of('infinity')$$, '22023', NULL, 'the end of time');
SELECT throws_ok($$SELECT read_as_of('-infinity')$$, '22023', NULL, 'its beginning');
SET catmaid_history.as_of = '2100-01-01';
SELECT throws_ok('SELECT * FROM t', '22023', NULL, 'the future by the setting');
SET catmaid_history.as_of = '2000-01-01';
SELECT throws_ok('SELECT * FROM t', '55000', NULL, 'before the history began');
SELECT throws_like('SELECT * FROM t', 'the past of table "t" is not known at 2000-01-01 00:00:00%', 'the message names table and instant');
SET client_min_messages = error;
SET catmaid_history.as_of_incomplete = warning;
SELECT is_empty('SELECT * FROM t', 'what is known is shown, if one wants it');
RESET catmaid_history.as_of_incomplete;
SET client_min_messages = warning;
SELECT throws_ok($$SET catmaid_history.as_of = 'rubbish'$$, '22023', NULL, 'no time');
SELECT throws_ok($$SET catmaid_history.as_of = 'infinity'$$, '22023', NULL, 'none, either');
SET TIME ZONE 'Asia/Tokyo';
SET catmaid_history.as_of = '2024-05-31 12:00';
SET TIME ZONE 'UTC';
SELECT is(current_setting('catmaid_history.as_of')::timestamptz, '2024-05-31 03:00+00', 'a time is read in the time zone that is set');
SET catmaid_history.as_of = '';

-- while it is disabled
SELECT clock_timestamp() AS before_pause \gset
SELECT disable_history_tracking_for_table('t');
SELECT clock_timestamp() AS within \gset
SELECT read_as_of(:'within') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM t', '55000', NULL, 'a table whose tracking is disabled');
SELECT throws_like('SELECT * FROM t', 'the past of table "t" is not known at%', 'is named');
SELECT read_as_of(NULL) AS ok \gset
UPDATE t SET v = 'unseen' WHERE id = 1;
SELECT enable_history_tracking_for_table('t'), create_history_table('par');
SELECT read_as_of(clock_timestamp()) IS NOT NULL AS ok \gset
SELECT lives_ok('SELECT * FROM t', 'which is tracked again');
SELECT throws_ok('SELECT * FROM par', '0A000', NULL, 'the parent, which is tracked now, beside the child''s history');
SELECT lives_ok('SELECT * FROM ONLY par', 'ONLY it');
SELECT read_as_of(:'within') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM t', '55000', NULL, 'an instant in a pause that is over');
SET client_min_messages = error;
SET catmaid_history.as_of_incomplete = warning;
SELECT is((SELECT count(*)::int FROM t), 2, 'is shown if one wants it');
RESET catmaid_history.as_of_incomplete;
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT lives_ok('SELECT * FROM t', 'an instant before the pause is shown');
SET client_min_messages = warning;
SELECT read_as_of(NULL) AS ok \gset
DROP TRIGGER on_change_history_trackingtable ON refers;
SELECT read_as_of(clock_timestamp()) IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM refers', '55000', NULL, 'a table whose trigger has been dropped by hand');
SELECT read_as_of(NULL) AS ok \gset

-- switching in the middle
CREATE FUNCTION switches(i timestamptz) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM read_as_of(i); RETURN true; END';
SELECT throws_ok(format('INSERT INTO u SELECT 100, %L::text WHERE switches(%1$L)', :'past'), '55000', NULL, 'not while a command writes');
SELECT is(current_setting('catmaid_history.as_of'), '', 'nothing has been set');
SELECT * FROM finish();
