-- Section 5: live tables that are dropped with a schema, an owner, a parent, an
-- extension or a type; partitions likewise.
\ir lib/whole.psql
DROP ROLE IF EXISTS t83_alice;
DROP ROLE IF EXISTS t83_bob;
CREATE ROLE t83_alice;
CREATE ROLE t83_bob;
CREATE EXTENSION catmaid_history;
SELECT plan(40);
CREATE FUNCTION tap.make(VARIADIC names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE n text;
BEGIN
	FOREACH n IN ARRAY names LOOP
		EXECUTE format('CREATE TABLE %s (id int PRIMARY KEY, v text)', n);
		PERFORM create_history_table(n::regclass);
		EXECUTE format('INSERT INTO %1$s VALUES (1, ''a''); UPDATE %1$s SET v = ''b''', n);
	END LOOP;
END $$;
SELECT make('stays');
SELECT tap.catalog() AS before \gset

-- DROP SCHEMA.
CREATE SCHEMA s1;
CREATE SCHEMA s2;
SELECT make('s1.one', 's1.two', 's2.three');
SELECT denied('DROP SCHEMA s1', 'without CASCADE, PostgreSQL''s own refusal', NULL, '2BP01');
SELECT is(misplaced('s1.one') || misplaced('s1.two'), '', 'and nothing has changed');
SELECT allowed('DROP SCHEMA s1 CASCADE', 'DROP SCHEMA CASCADE');
SELECT is(left_of('one') || left_of('two'), '', 'takes all along');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 2, 'and the registry rows');
CREATE SCHEMA s1;
SELECT make('s1.one');
SELECT allowed('DROP SCHEMA s1, s2 CASCADE', 'two schemas');
SELECT unchanged(:'before', 'no object stays');
CREATE SCHEMA s1;
SELECT make('s1.one');
SET catmaid_history.on_drop_table = keep;
SELECT allowed('DROP SCHEMA s1 CASCADE', 'with on_drop_table = keep');
SELECT unchanged(:'before', 'the history goes with its schema');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 1, 'forgotten, too');
RESET catmaid_history.on_drop_table;
CREATE SCHEMA s1;
SELECT make('s1.one');
SELECT disable_history_tracking_for_table('s1.one');
SELECT allowed('DROP SCHEMA s1 CASCADE', 'of a table whose tracking is disabled');
SELECT is(left_of('one'), '', 'it is forgotten');
CREATE SCHEMA s1;
SELECT make('s1.one');
BEGIN;
DROP SCHEMA s1 CASCADE;
ROLLBACK;
SELECT whole('s1.one', 'rolled back: all is there');

-- A partition in the schema, its root elsewhere; and a child, its parent elsewhere.
CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE r_0 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE s1.r_1 PARTITION OF r FOR VALUES FROM (10) TO (20);
CREATE TABLE s1.r_2 PARTITION OF r FOR VALUES FROM (20) TO (40) PARTITION BY RANGE (id);
CREATE TABLE r_2a PARTITION OF s1.r_2 FOR VALUES FROM (20) TO (30);
CREATE TABLE s1.r_2b PARTITION OF s1.r_2 FOR VALUES FROM (30) TO (40);
SELECT create_history_table('r');
INSERT INTO r VALUES (1, 'a'), (11, 'b'), (21, 'c'), (31, 'd');
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE s1.leaf (PRIMARY KEY (id)) INHERITS (base);
SELECT create_history_table('s1.leaf');
INSERT INTO base VALUES (1, 'a');
INSERT INTO s1.leaf VALUES (2, 'b');
UPDATE base SET v = v || '1';
BEGIN;
SELECT now() AS t \gset
SELECT allowed('DROP SCHEMA s1 CASCADE', 'a schema with partitions and a child in it');
COMMIT;
SELECT results_eq('SELECT id, v, upper(sys_period) FROM r__history ORDER BY id',
	format('VALUES (11, ''b'', %1$L::timestamptz), (21, ''c'', %1$L), (31, ''d'', %1$L)', :'t'),
	'rows that leave with the partitions end their version');
SELECT is((SELECT count(*)::int FROM r), 1, 'those elsewhere that hung on them included');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'tracking agrees');
SELECT whole('r', 'the root is recorded on');
DROP TABLE r;
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::text ~ '^r'), 0,
	'a partitioned table is dropped with its history');
SELECT is(left_of('leaf') || left_of('one'), '', 'the child''s history went along');
SELECT whole('base', 'the parent''s own stays');

-- Parents with children.
CREATE TABLE leaf (PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE leaf2 (PRIMARY KEY (id)) INHERITS (leaf);
SELECT create_history_table('leaf2');
INSERT INTO leaf2 VALUES (5, 'x');
UPDATE base SET v = v || '2';
SELECT refused_whole('DROP TABLE base', '{leaf}', 'a child is in the parent''s way', '2BP01',
	'{base,leaf,leaf2}', false);
SELECT refused_whole('DROP TABLE leaf', '{leaf2}', 'and in the middle one''s', '2BP01',
	'{base,leaf,leaf2}', false);
SELECT allowed('DROP TABLE leaf2', 'a child by itself');
SELECT is(left_of('leaf2'), '', 'is gone with its history');
SELECT is(misplaced('leaf') || misplaced('base'), '', 'those above are in place');
SELECT is((SELECT count(*)::int FROM base__history WHERE id = 5), 0,
	'its versions are in the parents'' histories no longer');
CREATE TABLE leaf2 (PRIMARY KEY (id)) INHERITS (leaf);
SELECT create_history_table('leaf2');
SELECT allowed('DROP TABLE base CASCADE', 'a parent with all below it');
SELECT unchanged(:'before', 'no object stays');
SELECT make('base');
CREATE TABLE leaf (PRIMARY KEY (id)) INHERITS (base);
SELECT create_history_table('leaf');
SELECT allowed('DROP TABLE leaf, base', 'child and parent in one command');
SELECT unchanged(:'before', 'no object stays');
SELECT make('base');
CREATE TABLE leaf (PRIMARY KEY (id)) INHERITS (base);
SELECT allowed('DROP TABLE base CASCADE', 'a parent with an untracked child');
SELECT unchanged(:'before', 'no object stays');

-- DROP OWNED, the whole of a partitioned table, and a type of a table.
SELECT make('one', 'two');
ALTER TABLE one OWNER TO t83_alice;
ALTER TABLE two OWNER TO t83_bob;
SELECT allowed('DROP OWNED BY t83_alice', 'DROP OWNED');
SELECT is(left_of('one'), '', 'takes all along');
SELECT is(misplaced('two'), '', 'of that owner only');
SELECT allowed('DROP OWNED BY t83_alice, t83_bob CASCADE', 'DROP OWNED of two, CASCADE');
DROP TABLE IF EXISTS r;
CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE r_0 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (10) TO (20);
SELECT create_history_table('r');
INSERT INTO r VALUES (1, 'a'), (11, 'b');
ALTER TABLE r_1 OWNER TO t83_alice;
DROP OWNED BY t83_alice;
SELECT is((SELECT string_agg(id || v, ' ') FROM r__history), '11b',
	'DROP OWNED of a partition ends its rows'' versions');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'tracking agrees');
DROP TABLE r;
CREATE TYPE pair AS (id int, v text);
CREATE TABLE typed OF pair (PRIMARY KEY (id));
SELECT create_history_table('typed');
DROP TYPE pair CASCADE;
SELECT unchanged(:'before', 'DROP TYPE CASCADE: no object stays');

DROP ROLE t83_alice, t83_bob;
SELECT * FROM finish();
