-- Keys that are stored generated columns: SET EXPRESSION (PostgreSQL 17) gives all
-- rows other keys, and no trigger fires.  Skipped on older versions.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(17);
SELECT current_setting('server_version_num')::int >= 170000 AS v17 \gset
\if :v17

CREATE TABLE k (a int, v text, id int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY);
SELECT create_history_table('k');
INSERT INTO k VALUES (1, 'one');
INSERT INTO k VALUES (2, 'two');
UPDATE k SET a = 3 WHERE a = 2;
SELECT set_eq('SELECT live_pk FROM k__tracking', 'VALUES (2), (6)', 'a key that changes with another column');
ALTER TABLE k ALTER id SET EXPRESSION AS (a * 6);
SELECT set_eq('SELECT live_pk FROM k__tracking', 'VALUES (6), (18)', 'SET EXPRESSION: tracked by the new keys');
SELECT is((SELECT string_agg(edition_time::text, ' ') FROM k__tracking), '-infinity -infinity', 'no other row''s start, nor now');
SELECT is(misplaced('k'), '', 'all is in its place');
SELECT follows('k', 'and goes on');
UPDATE k SET v = 'ONE' WHERE a = 1;
SELECT set_has('SELECT id, v FROM k__history', $$VALUES (6, 'one')$$, 'versions under the new key');
SELECT is_empty($$SELECT FROM k__with_history o JOIN k__with_history p USING (id)
	WHERE o.sys_period && p.sys_period AND o.v <> p.v AND o.a = p.a$$, 'no versions of a row overlap');
SELECT is((SELECT string_agg(finding, ' ') FROM check_history('k')), NULL, 'nothing to find');
BEGIN;
ALTER TABLE k ALTER id SET EXPRESSION AS (a * 18);
UPDATE k SET v = v || '!';
ALTER TABLE k ALTER id SET EXPRESSION AS (a * 2), ADD extra int;
DELETE FROM k WHERE a = 3;
COMMIT;
SELECT set_eq('SELECT live_pk FROM k__tracking', 'VALUES (2)', 'twice in one transaction, and written to');
SELECT follows('k', 'after it');

-- Several columns, below a parent, in partitions.
CREATE TABLE two (r text, a int, g int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (r, g));
CREATE TABLE low () INHERITS (two);
ALTER TABLE low ADD PRIMARY KEY (r, g);
SELECT create_history_table('low');
INSERT INTO two VALUES ('x', 1), ('x', 2);
INSERT INTO low VALUES ('y', 1), ('y', 2);
ALTER TABLE two ALTER g SET EXPRESSION AS (a * 4);
SELECT set_eq('SELECT live_pk_1, live_pk_2, tableoid::regclass::text AS rel FROM two__tracking',
	$$VALUES ('x', 4, 'two__tracking'), ('x', 8, 'two__tracking'), ('y', 4, 'low__tracking'), ('y', 8, 'low__tracking')$$,
	'a parent and its child');
SELECT follows('low', 'the child goes on');
CREATE TABLE p (r text, a int, g int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (r, g)) PARTITION BY LIST (r);
CREATE TABLE p_x PARTITION OF p FOR VALUES IN ('x');
CREATE TABLE p_y (a int, g int GENERATED ALWAYS AS (a * 3) STORED NOT NULL, r text NOT NULL);
ALTER TABLE p ATTACH PARTITION p_y FOR VALUES IN ('y');
SELECT create_history_table('p');
INSERT INTO p VALUES ('x', 1), ('x', 2), ('y', 1), ('y', 2);
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM p__tracking', $$VALUES ('x', 2), ('x', 4), ('y', 3), ('y', 6)$$,
	'a partition''s own expression');
ALTER TABLE p ALTER g SET EXPRESSION AS (a * 4);
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM p__tracking', $$VALUES ('x', 4), ('x', 8), ('y', 4), ('y', 8)$$,
	'a partitioned table');
SELECT follows('p', 'it goes on');

-- A time column, and a generated column that is no key: nothing to follow.
CREATE TABLE timed (a int, id int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO timed VALUES (1), (2);
ALTER TABLE timed ALTER id SET EXPRESSION AS (a * 4);
SELECT follows('timed', 'with a time column');
CREATE TABLE other (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
SELECT create_history_table('other');
INSERT INTO other VALUES (1, 1);
SELECT edition_time AS edited_other FROM other__tracking \gset
ALTER TABLE other ALTER g SET EXPRESSION AS (a * 4);
SELECT is((SELECT edition_time FROM other__tracking), :'edited_other', 'another column: the start is what it was');

\else
SELECT skip('SET EXPRESSION', 17);
\endif
SELECT * FROM finish();
