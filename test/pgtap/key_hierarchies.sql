-- Sections 2, 3 and 5: children whose key is another one than their parent's, from the
-- beginning, by INHERIT, or since one of the two has changed.  Both can be written, and
-- the parent's view shows the children's starts.  The oracle is what the tables showed.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(32);
SET client_min_messages = error;

CREATE FUNCTION below(tracking regclass) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(inhrelid::regclass::text, ',' ORDER BY inhrelid::regclass::text), '') FROM pg_inherits WHERE inhparent = tracking $$;

-- Other columns, another type, a longer key; a grandchild that is like its grandparent.
CREATE TABLE par (id int PRIMARY KEY, w text, v text);
CREATE TABLE same (x int, PRIMARY KEY (id)) INHERITS (par);
CREATE TABLE other (k int PRIMARY KEY) INHERITS (par);
CREATE TABLE typed (k text PRIMARY KEY) INHERITS (par);
CREATE TABLE longer (a int, b int, PRIMARY KEY (a, b)) INHERITS (par);
CREATE TABLE grand (PRIMARY KEY (id)) INHERITS (longer);
CREATE TABLE untracked (PRIMARY KEY (id)) INHERITS (par);
SELECT create_history_table(t) FROM unnest('{same,other,typed,grand}'::regclass[]) t;
SELECT is(below('par__tracking'), 'grand__tracking,same__tracking', 'tracking tables of the same key are below the parent''s');
SELECT is(below('longer__tracking'), '', 'and no others');
INSERT INTO par VALUES (1, 'par', 'a');
INSERT INTO same VALUES (1, 'same', 'a', 1);
INSERT INTO other VALUES (5, 'other 7', 'a', 7);
SELECT seen('par', 'other', 'same');
INSERT INTO other VALUES (7, 'other 5', 'a', 5), (5, 'other 6', 'a', 6);
INSERT INTO typed VALUES (1, 'typed', 'a', 'k');
INSERT INTO longer VALUES (1, 'longer', 'a', 1, 1), (1, 'longer 2', 'a', 1, 2);
INSERT INTO grand VALUES (1, 'grand', 'a', 1, 1);
SELECT seen('par', 'same', 'other', 'typed', 'longer', 'grand');
UPDATE par SET v = 'b' WHERE id = 1;
SELECT seen('par', 'same', 'other', 'typed', 'longer', 'grand');
UPDATE other SET v = v || 'c' WHERE k < 7;
DELETE FROM par WHERE w = 'longer 2';
SELECT seen('par', 'same', 'other', 'typed', 'longer', 'grand');
UPDATE longer SET a = 7, v = 'd';
SELECT seen('par', 'same', 'other', 'typed', 'longer', 'grand');
SELECT is(wrong_as_of(t), '', 'keys of other shapes: ' || t) FROM unnest('{par,same,other,typed,longer,grand}'::text[]) t;
SELECT is((SELECT count(*)::int FROM par__with_history p JOIN (SELECT w, v, sys_period FROM same__with_history UNION ALL SELECT w, v, sys_period FROM other__with_history
	UNION ALL SELECT w, v, sys_period FROM typed__with_history UNION ALL SELECT w, v, sys_period FROM longer__with_history) c USING (w, v)
	WHERE p.sys_period <> c.sys_period), 0, 'the parent''s view shows the periods that the children''s do');
SELECT lives_ok('SELECT repair_history(), enable_history_tracking(), reload_history_tracking()', 'repairing, enabling');
SELECT is(wrong_as_of('par'), '', 'afterwards as before');
SELECT is(string_agg(findings(t), ''), '', 'nothing is found wrong') FROM unnest('{par,same,other,typed,longer,grand}'::regclass[]) t;
INSERT INTO untracked VALUES (9, 'nobody', 'a');
SELECT is((SELECT lower_inf(sys_period) FROM par__with_history WHERE w = 'nobody'), true, 'of a child that is not tracked nothing is known');
DELETE FROM untracked;

-- INHERIT and NO INHERIT of tables that are tracked.
CREATE TABLE guest (id int NOT NULL, w text, v text, k bigint PRIMARY KEY);
SELECT create_history_table('guest');
INSERT INTO guest VALUES (1, 'guest', 'a', 1);
UPDATE guest SET v = 'b';
ALTER TABLE guest INHERIT par;
SELECT seen('par', 'guest');
UPDATE par SET v = v || 'i' WHERE id = 1;
SELECT seen('par', 'guest');
SELECT is(wrong_as_of('par') || wrong_as_of('guest'), '', 'INHERIT of a table with another key');
ALTER TABLE guest NO INHERIT par;
UPDATE guest SET v = v || 'n';
SELECT is(wrong_as_of('guest'), '', 'NO INHERIT');

-- One after the other gets another key, in both orders; in one or two statements.
CREATE TABLE p1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 1, w text, v text);
CREATE TABLE c1 (x int, PRIMARY KEY (id)) INHERITS (p1);
CREATE TABLE c2 (x int, PRIMARY KEY (id)) INHERITS (p1);
SELECT create_history_table('c1'), create_history_table('c2');
INSERT INTO p1 VALUES (1, 1, 'p1', 'a');
INSERT INTO c1 VALUES (1, 2, 'c1', 'a');
INSERT INTO c2 VALUES (1, 3, 'c2', 'a');
SELECT seen('p1', 'c1', 'c2');
UPDATE p1 SET v = 'b';
SELECT seen('p1', 'c1', 'c2');
ALTER TABLE p1 DROP CONSTRAINT p1_pkey, ADD PRIMARY KEY (id, n);
SELECT is(wrong_as_of('p1'), '', 'the parent''s key is another one');
UPDATE p1 SET v = v || 'c' WHERE w <> 'c2';
SELECT seen('p1', 'c1', 'c2');
ALTER TABLE c1 DROP CONSTRAINT c1_pkey;
SELECT is(wrong_as_of('p1'), '', 'the child''s is dropped');
UPDATE p1 SET v = v || 'd';
SELECT seen('p1', 'c1', 'c2');
ALTER TABLE c1 ADD PRIMARY KEY (id, n);
SELECT is(wrong_as_of('p1') || wrong_as_of('c1') || wrong_as_of('c2'), '', 'and made anew');
SELECT is(below('p1__tracking'), 'c1__tracking', 'its tracking table is back below the parent''s');
ALTER TABLE c2 DROP CONSTRAINT c2_pkey, ADD PRIMARY KEY (n);
ALTER TABLE p1 DROP CONSTRAINT p1_pkey;
UPDATE p1 SET v = v || 'e';
SELECT seen('p1', 'c1', 'c2');
SELECT is(wrong_as_of('p1') || wrong_as_of('c1') || wrong_as_of('c2'), '', 'the parent without a key');
ALTER TABLE p1 ADD PRIMARY KEY (n);
UPDATE p1 SET v = v || 'f';
SELECT seen('p1', 'c1', 'c2');
SELECT is(wrong_as_of('p1') || wrong_as_of('c1') || wrong_as_of('c2'), '', 'and with another one');
SELECT is(below('p1__tracking'), 'c2__tracking', 'that is a child''s already');
ALTER TABLE p1 DROP COLUMN id CASCADE;
UPDATE p1 SET v = v || 'g';
SELECT seen('p1', 'c1', 'c2');
SELECT is((SELECT count(*)::int FROM p1__with_history WHERE sys_period @> now()), 3, 'the column goes, of all of them');
SELECT is(wrong_as_of('p1') || wrong_as_of('c1') || wrong_as_of('c2'), '', 'what is left of c1''s key tells its one row');

-- A column of the key renamed, and another table in between.
ALTER TABLE p1 RENAME n TO number;
UPDATE p1 SET v = v || 'h';
SELECT seen('p1', 'c1', 'c2');
SELECT is(wrong_as_of('p1') || wrong_as_of('c1') || wrong_as_of('c2'), '', 'renamed');
SELECT is(string_agg(findings(t), '' ORDER BY t), 'no_primary_key', 'nothing is found wrong but the key that is not there') FROM unnest('{p1,c1,c2}'::regclass[]) t;

-- Who may not read the parent learns no start by the function that the view calls.
CREATE ROLE key_hierarchies_reader;
GRANT SELECT ON par__with_history TO key_hierarchies_reader;
SELECT catmaid_history_live_start(tableoid, ctid, p) IS NOT NULL AS knows, tableoid AS rel, ctid AS place, p.id, p.w, p.v FROM par p WHERE w = 'other 7' \gset
SELECT is(:'knows', 't'::text, 'the owner is told');
SET ROLE key_hierarchies_reader;
SELECT is(catmaid_history_live_start(:rel, :'place', ROW(:id, :'w', :'v')::par), NULL, 'somebody else is not, who knows the row');
RESET ROLE;
GRANT SELECT ON par TO key_hierarchies_reader;
GRANT SELECT ON par__history, par__tracking TO key_hierarchies_reader;
SET ROLE key_hierarchies_reader;
SELECT is(catmaid_history_live_start(:rel, :'place', ROW(:id, :'w', 'guessed')::par), NULL, 'nor who may read the parent, and guesses a row');
SELECT is(catmaid_history_live_start(:rel, '(999,1)', ROW(:id, :'w', :'v')::par), NULL, 'nor of a place that is not there');
SELECT is(catmaid_history_live_start(0, '(0,1)', ROW(1, 2)), NULL, 'nor by a record of no table');
SELECT is((SELECT count(*)::int FROM par__with_history WHERE upper_inf(sys_period) AND lower_inf(sys_period)), 0, 'SELECT on the parent is enough for its view');
RESET ROLE;
DROP OWNED BY key_hierarchies_reader;
DROP ROLE key_hierarchies_reader;
SELECT * FROM finish();
