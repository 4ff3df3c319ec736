-- Section 2: what drop_history_table_keep_data left behind is taken up, a left-over
-- tracking table replaced; what a user made under such a name is never touched.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(27);

-- A user's relations under derived names, some of them with our look.
CREATE TABLE k (n int, derived text, ddl text, why text);
INSERT INTO k VALUES
(1, 'k1__history', 'TABLE k1__history (id int, v text, sys_period tstzrange, exec_transaction_id bigint)',
	'a table with a history''s columns, nullable'),
(2, 'k2__history', 'TABLE k2__history (id int, v text, sys_period tstzrange NOT NULL,
	exec_transaction_id bigint NOT NULL, surplus text NOT NULL)', 'a column that no version could fill'),
(3, 'k3__history', 'UNLOGGED TABLE k3__history (id int, v text, sys_period tstzrange NOT NULL,
	exec_transaction_id bigint NOT NULL)', 'an unlogged table'),
(4, 'k4__history', 'TABLE k4__history (id int, v text, sys_period tstzrange NOT NULL,
	exec_transaction_id bigint NOT NULL) PARTITION BY LIST (id)', 'a partitioned table'),
(5, 'k5__tracking', 'TABLE k5__tracking (precious text)', 'a table in the tracking table''s place'),
(6, 'k6__tracking', 'TABLE k6__tracking (live_pk int, edition_time timestamptz NOT NULL,
	txid bigint NOT NULL, precious text)', 'a tracking table''s columns and one more'),
(7, 'k7__with_history', 'VIEW k7__with_history AS SELECT ''mine''::text AS precious',
	'a view in the view''s place'),
(8, 'k8__with_history', 'MATERIALIZED VIEW k8__with_history AS SELECT ''mine''::text AS precious',
	'a materialized view in the view''s place');
SELECT format('CREATE TABLE k%s (id int PRIMARY KEY, v text)', n) FROM k \gexec
SELECT 'CREATE ' || ddl FROM k ORDER BY n \gexec
INSERT INTO k5__tracking VALUES ('kept');
INSERT INTO k6__tracking VALUES (1, now(), 1, 'kept');
SELECT tap.catalog() AS before \gset
SELECT refused(format('SELECT create_history_table(''k%s'')', n), ARRAY[derived], why)
FROM k ORDER BY n;
SELECT unchanged(:'before', 'none of them is touched');
SELECT is((SELECT string_agg(precious, ',') FROM k5__tracking), 'kept', 'nor are their rows');

-- Left by drop_history_table_keep_data.
CREATE TABLE t (id int PRIMARY KEY, a text, gone int);
INSERT INTO t VALUES (1, 'a', 7);
SELECT create_history_table('t');
UPDATE t SET a = 'b';
SELECT drop_history_table_keep_data('t');
UPDATE t SET a = 'unrecorded';
SELECT allowed('SELECT create_history_table(''t'')', 'a kept history is taken up');
UPDATE t SET a = 'c';
SELECT is((SELECT string_agg(a, ',' ORDER BY upper(sys_period)) FROM t__history),
	'a,unrecorded', 'with its rows, and goes on');
SELECT is((SELECT string_agg(format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END,
	',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 't__history'::regclass AND attnum > 0),
	'integer,text,integer,tstzrange!,bigint!,bigint', 'its columns are as before');

-- Its live table went on changing meanwhile.
SELECT drop_history_table_keep_data('t');
ALTER TABLE t DROP COLUMN gone, ADD COLUMN fresh date DEFAULT '2001-01-01', ALTER id TYPE bigint;
SELECT allowed('SELECT create_history_table(''t'')', 'its columns are brought in line');
SELECT col_type_is('t__history', 'id', 'bigint', 'one that was too narrow');
UPDATE t SET id = 5000000000, a = 'd';
UPDATE t SET a = 'e';
SELECT is((SELECT string_agg(format('%s %s %s', id, a, fresh), ',' ORDER BY upper(sys_period), id)
	FROM t__history), '1 a ,1 unrecorded ,1 c 2001-01-01,5000000000 d 2001-01-01',
	'versions before have NULL, versions after their value');

-- A type that cannot hold the live one.
SELECT drop_history_table_keep_data('t');
ALTER TABLE t ALTER a TYPE int USING 1;
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''t'')', '{text,integer}',
	'a column of quite another type: both are named');
SELECT unchanged(:'before', 'and nothing is made');
DROP TABLE t__history;
SELECT allowed('SELECT create_history_table(''t'')', 'without it a new history is made');
SELECT is((SELECT count(*) FROM t__history), 0::bigint, 'empty');

-- Left-over tracking tables and views are replaced.
CREATE TABLE u (id int PRIMARY KEY, a text);
INSERT INTO u VALUES (1, 'a');
SELECT create_history_table('u');
SET catmaid_history.follow_ddl = off;
ALTER TABLE u__history RENAME TO spare;
SELECT is((SELECT history_table::text FROM catmaid_history_table WHERE live_table = 'u'::regclass),
	'spare', 'a history table is known by its OID, not by its name');
UPDATE u SET a = 'b';
SELECT is((SELECT string_agg(a, ',') FROM spare), 'a', 'and written under any name');
ALTER TABLE spare RENAME TO u__history;
ALTER TABLE u__tracking RENAME TO spare;
UPDATE u SET a = 'c';
SELECT is((SELECT count(*) FROM spare WHERE edition_time = (SELECT max(upper(sys_period))
	FROM u__history)), 1::bigint, 'so is a tracking table');
ALTER TABLE spare RENAME TO u__tracking;
RESET catmaid_history.follow_ddl;
SELECT drop_history_table('u');
CREATE TABLE u__tracking (live_pk int, edition_time timestamptz NOT NULL, txid bigint NOT NULL);
CREATE UNIQUE INDEX ON u__tracking (live_pk);
INSERT INTO u__tracking VALUES (1, '2001-01-01', 1), (99, '2001-01-01', 1);
SELECT allowed('SELECT create_history_table(''u'')', 'a left-over tracking table is replaced');
SELECT is((SELECT string_agg(format('%s %s', live_pk, edition_time > '2002-01-01'), ',')
	FROM u__tracking), '1 t', 'by one in step');

-- Other's dependents on what is dropped.
CREATE VIEW on_it AS SELECT * FROM u__with_history;
SELECT ok(tap.state('SELECT drop_history_table(''u'')') ~ '^(2BP01|P0001) .*on_it'
	AND to_regclass('on_it') IS NOT NULL, 'a user''s view on ours is not dropped along: it is named');
UPDATE u SET a = 'd';
SELECT is((SELECT count(*) FROM u__history), 1::bigint, 'and recording goes on');

SELECT * FROM finish();
