-- Section 5: whatever way a column changed, the history follows.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(66);

-- Several actions in one ALTER TABLE.
CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int, d text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 1, '1', 1, 'x'), (2, 2, '2', 2, 'y');
UPDATE t SET d = 'z';
ALTER TABLE t ADD e int DEFAULT 5, DROP a, ALTER b TYPE int USING b::int, ALTER c TYPE bigint,
	ALTER d SET DEFAULT 'd', ADD CHECK (c > 0), ALTER c SET NOT NULL;
SELECT follows('t', 'seven actions at once', '{b_1 text}');
ALTER TABLE t DROP c, ADD c text DEFAULT 'c';
SELECT follows('t', 'dropped and added at once, of another type', '{b_1 text}');
SELECT is((SELECT count(c)::int FROM t__history WHERE c <> 'c'), 0, 'it does not inherit old values');
SET catmaid_history.on_drop_column = keep;
ALTER TABLE t DROP c, ADD c text DEFAULT 'cc';
SELECT follows('t', 'keep: dropped and added at once, of the same type', '{b_1 text,c_1 text}');
SELECT is((SELECT count(c)::int FROM t__history WHERE c <> 'cc'), 0, 'keep: it does not inherit old values');
RESET catmaid_history.on_drop_column;

-- In a function, an SQL function, a procedure, a DO block, a trigger, a prepared statement.
CREATE FUNCTION migrate() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE t ADD f1 int DEFAULT 1;
	UPDATE t SET f1 = 2;
	ALTER TABLE t RENAME f1 TO f2;
	UPDATE t SET f2 = 3;
	ALTER TABLE t ALTER f2 TYPE text USING f2 || '!';
	UPDATE t SET f2 = 'end';
END $$;
SELECT migrate();
SELECT follows('t', 'in a function, between updates', '{b_1 text,c_1 text,f2_1 integer}');
SELECT is((SELECT array_agg(DISTINCT concat(f2, '<', f2_1)) FROM t__history WHERE d = 'z' AND f2 LIKE '_!'),
	'{1!<1,2!<2,3!<}', 'each version with what it had');
CREATE FUNCTION migrate_sql() RETURNS void LANGUAGE sql AS 'ALTER TABLE t DROP f2; ALTER TABLE t ADD f3 int DEFAULT 3';
SELECT migrate_sql();
SELECT follows('t', 'in an SQL function', '{b_1 text,c_1 text,f2_1 integer}');
CREATE PROCEDURE migrate_in_steps() LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE t RENAME f3 TO f4;
	COMMIT;
	UPDATE t SET f4 = 4;
	ALTER TABLE t ALTER f4 TYPE bigint;
	ROLLBACK;
	UPDATE t SET f4 = 5;
	COMMIT;
END $$;
CALL migrate_in_steps();
SELECT follows('t', 'in a procedure that commits and rolls back', '{b_1 text,c_1 text,f2_1 integer}');
DO $$ BEGIN EXECUTE 'ALTER TABLE t ADD f5 int DEFAULT 5'; EXECUTE 'ALTER TABLE t DROP f4'; END $$;
SELECT follows('t', 'in a DO block, dynamically', '{b_1 text,c_1 text,f2_1 integer}');
CREATE TABLE ask (what text);
CREATE FUNCTION on_ask() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE NEW.what; RETURN NEW; END';
CREATE TRIGGER on_ask AFTER INSERT ON ask FOR EACH ROW EXECUTE FUNCTION on_ask();
INSERT INTO ask VALUES ('ALTER TABLE t ADD f6 int DEFAULT 6'), ('ALTER TABLE t RENAME f5 TO f7');
SELECT follows('t', 'in a trigger of another table', '{b_1 text,c_1 text,f2_1 integer}');
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('public.marker') IS NOT NULL THEN
		DROP TABLE marker;
		ALTER TABLE t ADD f8 int DEFAULT 8;
	END IF;
END $$;
CREATE EVENT TRIGGER a_first ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
CREATE TABLE marker ();
SELECT follows('t', 'in another event trigger', '{b_1 text,c_1 text,f2_1 integer}');
DROP EVENT TRIGGER a_first;
CREATE SCHEMA AUTHORIZATION postgres CREATE TABLE inner_table (a int) CREATE VIEW inner_view AS SELECT 1;
SELECT follows('t', 'commands with parts do no harm', '{b_1 text,c_1 text,f2_1 integer}');

-- Plans that were made before.
CREATE TABLE p (id int PRIMARY KEY, a int);
SELECT create_history_table('p');
INSERT INTO p VALUES (1, 1);
PREPARE upd AS UPDATE p SET a = a + 1;
CREATE FUNCTION upd() RETURNS void LANGUAGE plpgsql AS 'BEGIN UPDATE p SET a = a + 10; END';
EXECUTE upd;
SELECT upd();
ALTER TABLE p ADD b text DEFAULT 'b';
EXECUTE upd;
SELECT upd();
ALTER TABLE p ALTER a TYPE numeric;
EXECUTE upd;
SELECT upd();
SELECT results_eq('SELECT h.a::text, h.b FROM p__history h ORDER BY h.a',
	$$VALUES ('1', NULL), ('2', NULL), ('12', 'b'), ('13', 'b'), ('23', 'b'), ('24', 'b')$$,
	'plans of before record under the new definition');

-- Through a parent, of three levels.
CREATE TABLE top (id int PRIMARY KEY, a int, b text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE mid (PRIMARY KEY (id), m text) INHERITS (top);
CREATE TABLE low (PRIMARY KEY (id), l text) INHERITS (mid);
SELECT create_history_table('low', 'edition_time', 'txid');
INSERT INTO top VALUES (1, 1, '1');
INSERT INTO mid VALUES (2, 2, '2', now(), 0, 'm');
INSERT INTO low VALUES (3, 3, '3', now(), 0, 'm', 'l');
UPDATE top SET a = a * 10;
CREATE FUNCTION tap.all_follow(what text, kept text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT follows(x::regclass, what || ': ' || x, kept) FROM unnest('{top,mid,low}'::text[]) x $$;
ALTER TABLE top ADD c int DEFAULT 7;
SELECT all_follow('ADD through a parent');
ALTER TABLE top RENAME a TO aa;
SELECT all_follow('RENAME through a parent');
ALTER TABLE top ALTER aa TYPE bigint, DROP c;
SELECT all_follow('DROP and a lossless ALTER TYPE through a parent');
ALTER TABLE top ALTER b TYPE int USING b::int + aa::int;
SELECT all_follow('a lossy ALTER TYPE through a parent', '{b_1 text}');
SELECT set_has('SELECT id, b, b_1 FROM top__history', $$VALUES (1, 2, '1'), (2, 4, '2'), (3, 6, '3')$$,
	'each table''s old values with their own expression');
ALTER TABLE top RENAME edition_time TO edited;
SELECT all_follow('RENAME of the time column through a parent', '{b_1 text}');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE time_column = 'edited'), 3,
	'all registry rows follow');
SET catmaid_history.on_drop_column = keep;
ALTER TABLE top DROP aa;
SELECT all_follow('keep: DROP through a parent', '{b_1 text,aa_1 bigint}');
RESET catmaid_history.on_drop_column;
ALTER TABLE mid ADD n int DEFAULT 1;
ALTER TABLE mid ALTER m TYPE int USING length(m);
SELECT follows('top', 'a change of the middle one: top', '{b_1 text,aa_1 bigint}');
SELECT follows('mid', 'a change of the middle one: mid', '{b_1 text,aa_1 bigint,m_1 text}');
SELECT follows('low', 'a change of the middle one: low', '{b_1 text,aa_1 bigint,m_1 text}');
ALTER TABLE ONLY top DROP b;
SELECT follows('top', 'ONLY: the parent''s column', '{b_1 text,aa_1 bigint}');
SELECT follows('mid', 'ONLY: the child has it as its own', '{b_1 text,aa_1 bigint,m_1 text}');
SELECT follows('low', 'ONLY: and the grandchild', '{b_1 text,aa_1 bigint,m_1 text}');
SELECT refused_whole('ALTER TABLE top RENAME txid TO sys_period', '{sys_period}',
	'a reserved name through a parent', '[0-9A-Z]{5}', '{top,mid,low}');

-- Only a child is tracked.
CREATE TABLE untracked (id int, a int);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (untracked);
SELECT create_history_table('child', copy_inheritance => false);
INSERT INTO child VALUES (1, 1);
ALTER TABLE untracked ADD b int DEFAULT 1, ALTER a TYPE text USING 'a' || a;
SELECT follows('child', 'through a parent that is not tracked', '{a_1 integer}');

-- A composite type.
CREATE TYPE ty AS (id int, a int, b text);
CREATE TABLE typed OF ty (PRIMARY KEY (id));
SELECT create_history_table('typed');
INSERT INTO typed VALUES (1, 1, 'b');
ALTER TYPE ty ADD ATTRIBUTE c int CASCADE;
SELECT follows('typed', 'ALTER TYPE … ADD ATTRIBUTE … CASCADE');
ALTER TYPE ty RENAME ATTRIBUTE a TO aa CASCADE;
SELECT follows('typed', 'ALTER TYPE … RENAME ATTRIBUTE … CASCADE');
ALTER TYPE ty ALTER ATTRIBUTE aa TYPE bigint CASCADE;
SELECT follows('typed', 'ALTER TYPE … ALTER ATTRIBUTE … CASCADE, without loss');
ALTER TYPE ty ALTER ATTRIBUTE aa TYPE smallint CASCADE, DROP ATTRIBUTE b CASCADE;
SELECT follows('typed', 'ALTER TYPE … ALTER ATTRIBUTE … CASCADE, with loss', '{aa_1 bigint}');
SELECT refused_whole('ALTER TYPE ty ADD ATTRIBUTE sys_period int CASCADE', '{sys_period}',
	'a reserved name by ALTER TYPE', '[0-9A-Z]{5}', '{typed}');
SET client_min_messages = error;
ALTER TYPE ty DROP ATTRIBUTE id CASCADE;
SET client_min_messages = warning;
SELECT count(*) AS versions FROM typed__history \gset
UPDATE typed SET aa = 4;
SELECT is((SELECT count(*) FROM typed__history), (SELECT :versions + count(*) FROM typed), 'the key dropped by ALTER TYPE: recorded on');
ALTER TABLE typed NOT OF;
ALTER TABLE typed ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE typed ADD d int DEFAULT 1;
SELECT follows('typed', 'NOT OF, and then a column', '{aa_1 bigint}');

-- A composite type that is a column's: the values change by themselves.
CREATE TYPE part AS (x int, y int);
CREATE TABLE whole (id int PRIMARY KEY, p part);
SELECT create_history_table('whole');
INSERT INTO whole VALUES (1, (1, 2));
UPDATE whole SET p = (3, 4);
ALTER TYPE part ADD ATTRIBUTE z int;
SELECT follows('whole', 'a column''s composite type gets an attribute');

-- A partitioned table.
CREATE TABLE parts (id int, a int, b text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 (gone int, b text, id int NOT NULL, a int);
ALTER TABLE p2 DROP gone;
ALTER TABLE parts ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
SELECT create_history_table('parts');
INSERT INTO parts VALUES (1, 1, '1'), (11, 11, '11');
UPDATE parts SET a = a + 1;
ALTER TABLE parts ADD c int DEFAULT 3;
SELECT follows('parts', 'partitioned: ADD');
ALTER TABLE parts RENAME a TO aa;
ALTER TABLE parts DROP c, ALTER aa TYPE bigint;
SELECT follows('parts', 'partitioned: RENAME, DROP, lossless ALTER TYPE');
ALTER TABLE parts ALTER b TYPE int USING b::int + aa::int;
SELECT follows('parts', 'partitioned: lossy ALTER TYPE', '{b_1 text}');
SELECT set_has('SELECT id, b, b_1 FROM parts__history', $$VALUES (1, 2, '1'), (11, 22, '11')$$,
	'partitioned: old values converted');
SELECT refused_whole('ALTER TABLE parts ADD sys_period int', '{sys_period}',
	'partitioned: a reserved name', '[0-9A-Z]{5}', '{parts}');

-- Through a parent whose child is another role's: one who is both may do it.
DROP ROLE IF EXISTS t76_other;
CREATE ROLE t76_other;
CREATE TABLE elder (id int PRIMARY KEY, a int, b text);
CREATE TABLE younger (c int, PRIMARY KEY (id)) INHERITS (elder);
SELECT create_history_table('younger');
INSERT INTO younger VALUES (1, 1, '1', 1);
INSERT INTO elder VALUES (2, 2, '2');
UPDATE ONLY elder SET a = 3;
UPDATE younger SET c = 2;
ALTER TABLE elder OWNER TO t76_other;
ALTER TABLE elder ALTER a TYPE bigint, ALTER b TYPE int USING b::int;
SELECT follows('elder', 'two owners: the parent', '{b_1 text}');
SELECT follows('younger', 'two owners: the child', '{b_1 text}');

-- One command gives a name away and takes another: what has moved in the
-- parent's history is not mistaken for the child's column of that name.
SET catmaid_history.on_drop_column = keep;
ALTER TABLE elder ADD m text, ADD m_2 text;
ALTER TABLE elder DROP m;
ALTER TABLE elder ADD m_1 text, DROP m_2;
SELECT follows('elder', 'keep: one name taken, another free: the parent', '{b_1 text,m_2 text,m_2_1 text}');
SELECT follows('younger', 'keep: one name taken, another free: the child', '{b_1 text,m_2 text,m_2_1 text}');
RESET catmaid_history.on_drop_column;

-- A name that the child's history alone has for a kept column.
ALTER TABLE younger ALTER c TYPE text USING 'q';
SELECT max(c_1) AS old_c FROM younger__history \gset
ALTER TABLE elder ADD c_1 int;
SELECT follows('elder', 'a name kept in a child''s history: the parent', '{b_1 text,m_2 text,m_2_1 text}');
SELECT follows('younger', 'a name kept in a child''s history: the child', '{b_1 text,m_2 text,m_2_1 text,c_2 integer}');
SELECT is((SELECT max(c_1) FROM younger__history), NULL, 'the kept values are not the new column''s');
SELECT is((SELECT max(c_2) FROM younger__history), :old_c, 'but where they have moved to');
ALTER TABLE elder RENAME c_1 TO c_2;
SELECT follows('younger', 'renamed to such a name', '{b_1 text,m_2 text,m_2_1 text,c_3 integer}');
ALTER TABLE younger ADD d int DEFAULT 8;
UPDATE younger SET d = 9;
ALTER TABLE elder ADD d int;
SELECT follows('younger', 'a column of the child''s own, merged', '{b_1 text,m_2 text,m_2_1 text,c_3 integer}');
SELECT is((SELECT max(d) FROM younger__history), 9, 'keeps its values');
DROP TABLE younger, elder;
DROP ROLE t76_other;
SELECT * FROM finish();
