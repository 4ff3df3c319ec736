-- Section 11: what was found to be shown of the past, or done in it, that was not so.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(88);
SET client_min_messages = error;

-- a value of blanks is no instant, and not the present
SELECT throws_ok($$SET catmaid_history.as_of = ' '$$, '22023', NULL, 'blanks are no instant');

-- a condition that fails of rows of other instants
CREATE FUNCTION small(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF $1 > 10 THEN RAISE 'too large'; END IF; RETURN true; END $$;
CREATE OPERATOR ?! (rightarg = int, function = small);
CREATE OPERATOR ?! (leftarg = int, rightarg = int, function = int4larger);
CREATE TABLE pattern (id int PRIMARY KEY, s text, n int);
SELECT create_history_table('pattern');
INSERT INTO pattern VALUES (1, 'a', 1);
SELECT clock_timestamp() AS t1 \gset
UPDATE pattern SET s = '(', n = 100;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT results_eq($$SELECT id FROM pattern WHERE 'abc' ~ s$$, 'VALUES (1)', 'a pattern that is a column');
SELECT results_eq($$SELECT id FROM pattern WHERE 'a' ~ ANY (ARRAY[s])$$, 'VALUES (1)', 'within an array');
SELECT results_eq('SELECT id FROM pattern WHERE ?! n', 'VALUES (1)', 'an operator of a user''s');
SELECT read_as_of(NULL) AS ok \gset
UPDATE pattern SET s = E'\\';
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT results_eq($$SELECT id FROM pattern WHERE 'a' LIKE s$$, 'VALUES (1)', 'LIKE');
SELECT read_as_of(NULL) AS ok \gset

-- a history that was kept begins again where the starts of the rows have gone
CREATE TABLE kept (id int PRIMARY KEY, v text);
CREATE TABLE kept_time (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('kept'), create_history_table('kept_time', 'edition_time', 'txid');
INSERT INTO kept VALUES (1, 'a'), (2, 'b');
INSERT INTO kept_time VALUES (1, 'a'), (2, 'b');
SELECT clock_timestamp() AS t1 \gset
UPDATE kept SET v = 'x' WHERE id = 1;
SELECT drop_history_table_keep_data('kept'), drop_history_table_keep_data('kept_time');
SELECT create_history_table('kept'), create_history_table('kept_time', 'edition_time', 'txid');
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM kept', '55000', NULL, 'a history that was kept begins when it is taken up, if the tracking table has gone');
SELECT set_eq('SELECT id FROM kept_time', 'VALUES (1), (2)', 'with a time column it does not');
SELECT read_as_of(NULL) AS ok \gset

-- registry and tables that are not in step
CREATE TABLE schema_only (id int PRIMARY KEY, v text);
SELECT create_history_table('schema_only');
INSERT INTO schema_only VALUES (1, 'a');
SELECT clock_timestamp() AS t1 \gset
UPDATE schema_only SET v = 'b';
DELETE FROM catmaid_history_table WHERE live_table = 'schema_only'::regclass;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM schema_only', '55000', NULL, 'a table with our triggers that is not registered is not shown as it is now');
SELECT throws_ok('COPY schema_only TO $$/dev/null$$', '55000', NULL, 'nor copied');
SELECT read_as_of(NULL) AS ok \gset

-- others say by what was what is written today
CREATE ROLE time_machine_found_alice;
CREATE ROLE time_machine_found_bob;
GRANT CREATE, USAGE ON SCHEMA public TO time_machine_found_alice;
GRANT USAGE ON SCHEMA tap, public TO time_machine_found_bob;
GRANT EXECUTE ON FUNCTION read_as_of TO time_machine_found_bob;
SET ROLE time_machine_found_alice;
CREATE TABLE guard (usr name PRIMARY KEY);
GRANT SELECT ON guard TO time_machine_found_bob;
SELECT create_history_table('guard');
INSERT INTO guard VALUES ('time_machine_found_bob');
SELECT clock_timestamp() AS t2 \gset
DELETE FROM guard;
CREATE TABLE hidden (id int, v text);
INSERT INTO hidden VALUES (1, 'secret');
CREATE VIEW guarded AS SELECT * FROM hidden WHERE EXISTS (SELECT FROM guard WHERE usr = current_user);
CREATE VIEW by_trigger AS SELECT h.*, count(*) OVER () FROM hidden h WHERE EXISTS (SELECT FROM guard WHERE usr = current_user);
CREATE FUNCTION removes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN DELETE FROM hidden WHERE id = OLD.id; RETURN OLD; END $$;
CREATE TRIGGER removes INSTEAD OF DELETE ON by_trigger FOR EACH ROW EXECUTE FUNCTION removes();
CREATE TABLE ruled (id int);
CREATE RULE r AS ON INSERT TO ruled WHERE NOT EXISTS (SELECT FROM guard WHERE usr = current_user) DO INSTEAD NOTHING;
GRANT ALL ON guarded, by_trigger, ruled TO time_machine_found_bob;
CREATE VIEW plain AS SELECT * FROM hidden;
GRANT ALL ON plain TO time_machine_found_bob;
RESET ROLE;
SET ROLE time_machine_found_bob;
CREATE TEMP TABLE mine (id int, v text);
SELECT read_as_of(:'t2') IS NOT NULL AS ok \gset
SELECT throws_ok(statement, '25006', NULL, statement) FROM unnest(ARRAY['DELETE FROM guarded', $$UPDATE guarded SET v = 'x'$$,
	'INSERT INTO ruled VALUES (1)', 'DELETE FROM by_trigger', 'WITH d AS (DELETE FROM guarded RETURNING *) SELECT * FROM d']) statement;
SELECT lives_ok('INSERT INTO mine SELECT * FROM guarded', 'what another''s view shows can be kept in a table of one''s own');
SELECT lives_ok($$UPDATE plain SET v = 'y'$$, 'and written through a view that asks no tracked table');
SELECT read_as_of(NULL) AS ok \gset
SELECT lives_ok('DELETE FROM guarded', 'in the present all is as the view says');
RESET ROLE;
SELECT is((SELECT count(*)::int FROM hidden), 1, 'nothing has gone');
SELECT is((SELECT count(*)::int FROM ruled), 0, 'nothing has come');
DROP OWNED BY time_machine_found_alice, time_machine_found_bob CASCADE;
DROP ROLE time_machine_found_alice, time_machine_found_bob;
-- what inherits from a table: each child's past must be known as its own
CREATE TABLE p (id int PRIMARY KEY, v text);
CREATE TABLE c3 (PRIMARY KEY (id)) INHERITS (p);
CREATE TABLE c5 (PRIMARY KEY (id)) INHERITS (p);
SELECT create_history_table('c3'), create_history_table('c5');
INSERT INTO p VALUES (1, 'p');
INSERT INTO c3 VALUES (4, 'c3');
INSERT INTO c5 VALUES (9, 'c5');
SELECT clock_timestamp() AS t1 \gset
SELECT disable_history_tracking_for_table('c5');
UPDATE c5 SET v = 'in pause';
SELECT clock_timestamp() AS t2 \gset
SELECT read_as_of(:'t2') IS NOT NULL AS ok \gset
SELECT throws_like('SELECT * FROM p', 'the past of table "c5" is not known at %', 'a child that is not recorded: as by itself');
SELECT read_as_of(NULL) AS ok \gset
SELECT enable_history_tracking_for_table('c5');
SELECT read_as_of(:'t2') IS NOT NULL AS ok \gset
SELECT throws_like('SELECT * FROM p', 'the past of table "c5" is not known at %', 'in a pause of the child''s');
SELECT set_eq('SELECT * FROM ONLY p', $$VALUES (1, 'p')$$, 'ONLY the parent is known');
SELECT set_eq('SELECT * FROM c3', $$VALUES (4, 'c3')$$, 'the other child, too');
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id FROM p', 'VALUES (1), (4), (9)', 'before the pause all rows are shown, with a WARNING');
SELECT read_as_of(NULL) AS ok \gset
SELECT drop_history_table('c3'), create_history_table('c3');
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_like('SELECT * FROM p', 'the past of table "c3" is not known at %', 'before the child''s history began');
SET catmaid_history.as_of_incomplete = warning;
SELECT set_eq('SELECT id FROM p', 'VALUES (1), (9)', 'or what is known, if one wants it');
RESET catmaid_history.as_of_incomplete;
SELECT read_as_of(NULL) AS ok \gset

-- children that came and went
CREATE TABLE q (id int PRIMARY KEY, v text);
CREATE TABLE q1 (PRIMARY KEY (id)) INHERITS (q);
CREATE TABLE q2 (PRIMARY KEY (id)) INHERITS (q);
CREATE TABLE q11 (PRIMARY KEY (id)) INHERITS (q1);
CREATE TABLE out1 (id int PRIMARY KEY, v text);
SELECT create_history_table('q11'), create_history_table('q2'), create_history_table('out1');
INSERT INTO q VALUES (1, 'q');
INSERT INTO q2 VALUES (2, 'q2');
SELECT clock_timestamp() AS t1 \gset
CREATE TABLE q4 (PRIMARY KEY (id)) INHERITS (q);
SELECT create_history_table('q4');
INSERT INTO q4 VALUES (4, 'q4');
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id FROM q', 'VALUES (1), (2)', 'a child that was made later had no rows');
SELECT read_as_of(NULL) AS ok \gset
SELECT clock_timestamp() AS t2 \gset
SELECT is((SELECT count(*)::int FROM catmaid_history_internal.catmaid_history_since WHERE what = 'children'), 0, 'nothing has gone');
ALTER TABLE q2 NO INHERIT q;
SELECT clock_timestamp() AS t3 \gset
SELECT read_as_of(:'t2') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM q', '55000', NULL, 'NO INHERIT');
SELECT set_eq('SELECT id FROM ONLY q', 'VALUES (1)', 'ONLY');
SELECT set_eq('SELECT id FROM q2', 'VALUES (2)', 'the child by itself');
SELECT read_as_of(:'t3') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id FROM q', 'VALUES (1), (4)', 'afterwards all is known');
SELECT read_as_of(NULL) AS ok \gset
DROP TABLE q11;
SELECT clock_timestamp() AS t4 \gset
SELECT read_as_of(:'t3') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM q', '55000', NULL, 'DROP TABLE of what is below a child');
SELECT throws_ok('SELECT * FROM q1', '55000', NULL, 'for the child itself, too');
SELECT read_as_of(NULL) AS ok \gset
ALTER TABLE out1 INHERIT q;
SELECT clock_timestamp() AS t5 \gset
SELECT read_as_of(:'t4') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM q', '55000', NULL, 'INHERIT');
SET catmaid_history.as_of_incomplete = warning;
SELECT lives_ok('SELECT * FROM q', 'or a WARNING');
RESET catmaid_history.as_of_incomplete;
SELECT read_as_of(NULL) AS ok \gset
CREATE SCHEMA goes;
CREATE TABLE goes.q5 () INHERITS (q);
SELECT clock_timestamp() AS t6 \gset
SELECT read_as_of(:'t5') IS NOT NULL AS ok \gset
SELECT lives_ok('SELECT * FROM q', 'a new one that is not tracked');
SET catmaid_history.as_of_untracked = error;
SELECT throws_ok('SELECT * FROM q', '55000', NULL, 'is refused, if one wants that');
RESET catmaid_history.as_of_untracked;
SELECT read_as_of(NULL) AS ok \gset
DROP SCHEMA goes CASCADE;
SELECT read_as_of(:'t6') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM q', '55000', NULL, 'one that is not tracked goes with its schema');
SELECT read_as_of(NULL) AS ok \gset

-- histories that are kept apart
CREATE TABLE ap (id int PRIMARY KEY, v text);
CREATE TABLE ac (PRIMARY KEY (id)) INHERITS (ap);
SELECT create_history_table('ac', copy_inheritance => false), create_history_table('ap', copy_inheritance => false);
INSERT INTO ap VALUES (1, 'p');
INSERT INTO ac VALUES (2, 'c');
SELECT clock_timestamp() AS t1 \gset
UPDATE ap SET v = v || ' PRESENT';
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM ap', '0A000', NULL, 'with a child whose history is kept apart');
SELECT set_eq('SELECT * FROM ONLY ap', $$VALUES (1, 'p')$$, 'the parent alone');
SELECT set_eq('SELECT * FROM ac', $$VALUES (2, 'c')$$, 'the child');
SELECT read_as_of(NULL) AS ok \gset

-- columns that were added
CREATE TABLE co (id int PRIMARY KEY, v text);
CREATE TABLE coc (w int, PRIMARY KEY (id)) INHERITS (co);
SELECT create_history_table('coc');
INSERT INTO co VALUES (1, 'a'), (2, 'b');
INSERT INTO coc VALUES (3, 'c', 7);
SELECT clock_timestamp() AS t1 \gset
ALTER TABLE co ADD COLUMN c int DEFAULT 5, ADD COLUMN d varchar(10) DEFAULT 'dd', ADD COLUMN g text DEFAULT '8', ADD COLUMN w int DEFAULT 9;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id, c, d, g FROM co', $$VALUES (1, NULL::int, NULL::varchar, NULL::text), (2, NULL, NULL, NULL), (3, NULL, NULL, NULL)$$, 'columns that were added are NULL');
SELECT set_eq('SELECT id, c, d, g FROM coc', $$VALUES (3, NULL::int, NULL::varchar, NULL::text)$$, 'in a child');
SELECT set_eq('SELECT w FROM coc', 'VALUES (7)', 'not one that the child had before');
SELECT read_as_of(NULL) AS ok \gset
UPDATE co SET v = 'b2' WHERE id = 2;
ALTER TABLE co ALTER c TYPE text USING 'x' || c;
ALTER TABLE co ALTER d TYPE varchar(1) USING substr(d, 1, 1);
ALTER TABLE co ALTER g TYPE varchar(30);
ALTER TABLE co RENAME c TO c_2;
COMMENT ON COLUMN co__history.d IS 'documentation';
COMMENT ON COLUMN co__history.g IS NULL;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT id, v, c_2, d, g FROM ONLY co', $$VALUES (1, 'a', NULL::text, NULL::varchar, NULL::varchar), (2, 'b', NULL, NULL, NULL)$$, 'whatever has become of them, and of their comments');
SELECT set_eq('SELECT id, v, c_2, d, g FROM coc', $$VALUES (3, 'c', NULL::text, NULL::varchar, NULL::varchar)$$, 'in a child as well');
SELECT read_as_of(NULL) AS ok \gset
CREATE TABLE early (id int PRIMARY KEY);
SELECT create_history_table('early');
INSERT INTO early VALUES (1);
SELECT clock_timestamp() AS t1 \gset
ALTER TABLE early ADD COLUMN c int DEFAULT 5;
DELETE FROM catmaid_history_internal.catmaid_history_since WHERE relation = 'early__history'::regclass;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT c FROM early', 'VALUES (NULL::int)', 'a database of an early 1.0 has it in the comment');
SELECT read_as_of(NULL) AS ok \gset

-- policies are asked in the present, and what they call is the past's for others
CREATE ROLE time_machine_found_mallory;
CREATE ROLE time_machine_found_bob;
GRANT USAGE ON SCHEMA tap, public TO time_machine_found_bob;
GRANT CREATE ON SCHEMA public TO time_machine_found_mallory;
GRANT EXECUTE ON FUNCTION read_as_of TO time_machine_found_bob;
CREATE TABLE told (id int PRIMARY KEY, v text);
CREATE TABLE guard (usr name PRIMARY KEY);
GRANT SELECT ON told, guard TO time_machine_found_bob;
SELECT create_history_table('told'), create_history_table('guard');
INSERT INTO told VALUES (1, 'past');
INSERT INTO guard VALUES ('time_machine_found_bob');
SELECT clock_timestamp() AS t0 \gset
UPDATE told SET v = 'PRESENT';
CREATE FUNCTION report() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT string_agg(v, ',') FROM told); END $$;
CREATE FUNCTION report2() RETURNS SETOF told LANGUAGE sql STABLE AS $$ SELECT * FROM told $$;
SET ROLE time_machine_found_mallory;
CREATE TABLE traps (a int);
CREATE POLICY p ON traps USING (report() IS NOT NULL AND EXISTS (SELECT FROM report2()));
RESET ROLE;
SET ROLE time_machine_found_bob;
SELECT read_as_of(:'t0') IS NOT NULL AS ok \gset
SELECT results_eq('SELECT report(), (SELECT v FROM told), (SELECT v FROM report2())', $$VALUES ('past', 'past', 'past')$$, 'a function that a policy calls, too, sees the past in a report');
SELECT read_as_of(NULL) AS ok \gset
RESET ROLE;
CREATE FUNCTION may(n int, d int DEFAULT 1) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN n > 0 AND d > 0 AND EXISTS (SELECT FROM guard WHERE usr = current_user); END $$;
CREATE FUNCTION may_default(b boolean DEFAULT may(1)) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT b $$;
CREATE FUNCTION may_volatile(n int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN may(n); END $$;
CREATE FUNCTION users() RETURNS SETOF name LANGUAGE sql STABLE AS $$ SELECT usr FROM guard $$;
CREATE FUNCTION users_with(OUT a int, OUT u name) RETURNS SETOF record LANGUAGE sql STABLE AS $$ SELECT 1, usr FROM guard $$;
CREATE FUNCTION may_sql(int) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT EXISTS (SELECT FROM guard WHERE usr = current_user) $$;
CREATE FUNCTION may_strict(int, text) RETURNS boolean LANGUAGE sql STABLE STRICT AS $$ SELECT EXISTS (SELECT FROM guard WHERE usr = current_user) $$;
CREATE OPERATOR ?& (rightarg = int, function = may_sql);
CREATE TABLE policies (n int PRIMARY KEY, condition text);
INSERT INTO policies VALUES
	(1, 'EXISTS (SELECT FROM guard g WHERE g.usr = current_user)'), (2, 'may(id)'), (3, 'may(d => 2, n => id)'), (4, 'may_default()'),
	(5, 'may_volatile(id)'), (6, 'current_user IN (SELECT users())'), (7, 'current_user IN (SELECT u FROM users() u)'),
	(8, 'EXISTS (SELECT FROM users_with() x WHERE x.u = current_user AND x.a = 1)'), (9, '?& id'), (10, 'may_sql(id)'),
	(11, 'NOT may_strict(id, NULL) IS NULL OR may_strict(id, v)'), (12, $$EXISTS (SELECT FROM ts_stat('select to_tsvector(''x'') from guard'))$$);
-- (where PostgreSQL was built with XML)
DO $$ BEGIN
	PERFORM query_to_xml('SELECT 1', false, false, '');
	INSERT INTO policies VALUES (13, $p$xpath_exists('//row', query_to_xml('select 1 from guard where usr = current_user', false, false, ''))$p$);
EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
DO $$ DECLARE p policies; BEGIN FOR p IN TABLE policies LOOP
	EXECUTE format('CREATE TABLE present%s (id int, v text); INSERT INTO present%1$s VALUES (1, ''secret'');
		CREATE TABLE tracked%1$s (id int PRIMARY KEY, v text); GRANT ALL ON present%1$s, tracked%1$s TO time_machine_found_bob;
		SELECT create_history_table(''tracked%1$s''); INSERT INTO tracked%1$s VALUES (1, ''secret'')', p.n);
	EXECUTE format('ALTER TABLE present%s ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON present%1$s USING (%s);
		ALTER TABLE tracked%1$s ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON tracked%1$s USING (%2$s);
		CREATE POLICY p ON tracked%1$s__history USING (%2$s)', p.n, p.condition);
END LOOP; END $$;
SELECT clock_timestamp() AS t1 \gset
DELETE FROM guard;
CREATE FUNCTION seen(prefix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text := ''; c int; n int; BEGIN FOR n IN 1 .. 12 LOOP EXECUTE format('SELECT count(*) FROM %s', prefix || n) INTO c; r := r || c; END LOOP; RETURN r; END $$;
CREATE FUNCTION count_of(xml boolean, name text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE c int; BEGIN IF NOT xml THEN RETURN 0; END IF; EXECUTE format('SELECT count(*) FROM %s', name) INTO c; RETURN c; END $$;
SELECT EXISTS (SELECT FROM policies WHERE n = 13) AS xml \gset
SET ROLE time_machine_found_bob;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT is((SELECT count(*)::int FROM guard), 1, 'she was let in then');
SELECT is(seen('present'), repeat('0', 12), 'and sees nothing of a table that is not tracked');
SELECT is(seen('tracked'), repeat('0', 12), 'nor of one that is');
SELECT is(count_of(:'xml', 'present13') + count_of(:'xml', 'tracked13'), 0, 'by a function that runs a query of its own');
SELECT throws_ok(format('INSERT INTO present%s VALUES (2)', n), '42501', NULL, 'nor writes with policy ' || n) FROM unnest('{1,2,4,5,8,9}'::int[]) n;
SELECT read_as_of(NULL) AS ok \gset
RESET ROLE;
INSERT INTO guard VALUES ('time_machine_found_bob');
SET ROLE time_machine_found_bob;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT is(seen('present'), repeat('1', 12), 'let in again she sees it');
SELECT is(seen('tracked'), repeat('1', 12), 'and the past');
SELECT is(count_of(:'xml', 'present13') + count_of(:'xml', 'tracked13'), CASE WHEN :'xml' THEN 2 ELSE 0 END, 'by the function, too');
SELECT read_as_of(NULL) AS ok \gset
SELECT throws_ok('SELECT catmaid_history_internal.in_present(NULL, 1)', NULL, NULL, 'nobody calls it by herself');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION may(int, int) FROM PUBLIC;
SET ROLE time_machine_found_bob;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM present2', '42501', 'permission denied for function may', 'a function is called with the rights that it always is');
SELECT read_as_of(NULL) AS ok \gset
RESET ROLE;
CREATE AGGREGATE all_may (int) (sfunc = int4larger, stype = int, finalfunc = may_sql);
CREATE TABLE aggregated (id int);
GRANT SELECT ON aggregated TO time_machine_found_bob;
ALTER TABLE aggregated ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON aggregated USING ((SELECT all_may(g) FROM generate_series(1, 2) g));
SET ROLE time_machine_found_bob;
SELECT lives_ok('SELECT * FROM aggregated', 'an aggregate in a policy');
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM aggregated', '0A000', NULL, 'which cannot be called in the present, is refused');
SELECT read_as_of(NULL) AS ok \gset
RESET ROLE;
DROP OWNED BY time_machine_found_mallory, time_machine_found_bob CASCADE;
DROP ROLE time_machine_found_mallory, time_machine_found_bob;

-- a function that the planner inlines when the query has been changed already
CREATE FUNCTION later(int) RETURNS TABLE (a int, b text) LANGUAGE sql STABLE AS 'SELECT id, v FROM told WHERE id > $1';
SELECT read_as_of(:'t0') IS NOT NULL AS ok \gset
SELECT results_eq('SELECT b FROM later(0)', $$VALUES ('past')$$, 'a function that is inlined');
SELECT throws_ok('SELECT x.b FROM (SELECT false AS flag) s, LATERAL (SELECT * FROM later(CASE WHEN s.flag THEN (SELECT 1) ELSE 0 END) LIMIT 100) x', '0A000', NULL, 'one that is inlined too late is refused');
SELECT results_eq('SELECT x.b FROM (SELECT false AS flag OFFSET 0) s, LATERAL (SELECT * FROM later(CASE WHEN s.flag THEN (SELECT 1) ELSE 0 END) LIMIT 100) x', $$VALUES ('past')$$, 'unless its arguments are not simplified, as the hint says');
SELECT read_as_of(NULL) AS ok \gset

-- whole rows of a table with dropped columns
CREATE TABLE dropped (id int PRIMARY KEY, gone int, v text);
ALTER TABLE dropped DROP COLUMN gone;
SELECT create_history_table('dropped');
INSERT INTO dropped VALUES (1, 'a'), (2, NULL);
SELECT clock_timestamp() AS t1 \gset
UPDATE dropped SET id = id;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT results_eq('SELECT id FROM dropped d WHERE d IS NOT NULL', 'VALUES (1)', 'a row IS NOT NULL, whatever has been dropped');
SELECT results_eq('SELECT id FROM dropped d WHERE NOT d IS NOT NULL', 'VALUES (2)', 'or it is not');
SELECT results_eq('SELECT r FROM (SELECT d AS r FROM dropped d) s WHERE r IS NOT NULL', $$VALUES ('(1,a)'::dropped)$$, 'in a sub-query');
SELECT results_eq('SELECT d.id FROM dropped d WHERE d.tableoid IS NOT NULL AND d IS NOT NULL', 'VALUES (1)', 'beside tableoid');
SELECT is_empty('SELECT 1 FROM generate_series(3, 3) g LEFT JOIN dropped d ON d.id = g WHERE d IS NOT NULL', 'in an outer join');
SELECT results_eq('SELECT 1 FROM generate_series(3, 3) g LEFT JOIN dropped d ON d.id = g WHERE d IS NULL', 'VALUES (1)', 'where there is none');
SELECT read_as_of(NULL) AS ok \gset

-- rows whose start has been lost with the key
CREATE TABLE lost (id int PRIMARY KEY, k2 int NOT NULL, v text);
SELECT create_history_table('lost');
INSERT INTO lost VALUES (1, 10, 'a1'), (2, 20, 'a2');
SELECT clock_timestamp() AS t1 \gset
ALTER TABLE lost DROP COLUMN id;
UPDATE lost SET v = 'P' WHERE k2 = 10;
INSERT INTO lost VALUES (30, 'P3');
SELECT clock_timestamp() AS t2 \gset
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_like('SELECT * FROM lost', 'the past of table "lost" is not known at %', 'a table without its key');
SELECT read_as_of(NULL) AS ok \gset
UPDATE lost SET v = 'PP' WHERE k2 = 10;
ALTER TABLE lost ADD PRIMARY KEY (k2);
SELECT clock_timestamp() AS t3 \gset
DELETE FROM lost WHERE k2 = 20;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM lost', '55000', NULL, 'before it lost its key');
SELECT read_as_of(:'t2') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT * FROM lost', '55000', NULL, 'while it had none');
SELECT read_as_of(:'t3') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT * FROM lost', $$VALUES (10, 'PP'), (20, 'a2'), (30, 'P3')$$, 'since it has one all is known');
SELECT read_as_of(NULL) AS ok \gset
CREATE TABLE replaced (id int PRIMARY KEY, k2 int NOT NULL, v text);
SELECT create_history_table('replaced');
INSERT INTO replaced VALUES (1, 10, 'a1'), (2, 20, 'a2');
SELECT clock_timestamp() AS t1 \gset
UPDATE replaced SET v = 'b';
ALTER TABLE replaced DROP CONSTRAINT replaced_pkey;
ALTER TABLE replaced ADD PRIMARY KEY (k2);
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT set_eq('SELECT * FROM replaced', $$VALUES (1, 10, 'a1'), (2, 20, 'a2')$$, 'a key that was replaced while the former one''s column was there has lost nothing');
SELECT read_as_of(NULL) AS ok \gset

-- commands that are none of queries, and what runs beside them
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT throws_ok('EXPLAIN CREATE MATERIALIZED VIEW m AS SELECT * FROM replaced', '0A000', NULL, 'a materialized view is not filled by way of EXPLAIN');
SELECT read_as_of(NULL) AS ok \gset
CREATE TABLE up (id int PRIMARY KEY, v text);
CREATE TABLE down (PRIMARY KEY (id)) INHERITS (up);
SELECT create_history_table('down', copy_inheritance => false);
SELECT read_as_of(clock_timestamp()) IS NOT NULL AS ok \gset
SELECT throws_ok('UPDATE up SET v = 1', '25006', NULL, 'a parent that is not tracked is not written with a child that is');
SELECT throws_ok('DELETE FROM up', '25006', NULL, 'nor deleted from');
SELECT lives_ok('INSERT INTO up VALUES (1)', 'rows can be inserted');
SELECT lives_ok('UPDATE ONLY up SET v = 1', 'and ONLY it be updated');
SELECT read_as_of(NULL) AS ok \gset

-- a cursor that goes on in its instant while none is set: triggers and policies of what it calls
CREATE TABLE let_in (usr name PRIMARY KEY);
SELECT create_history_table('let_in');
INSERT INTO let_in VALUES (current_user);
SELECT clock_timestamp() AS t1 \gset
DELETE FROM let_in;
CREATE TABLE triggered (id int);
CREATE FUNCTION lets_in() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT FROM let_in WHERE usr = current_user) THEN RAISE 'not allowed'; END IF; RETURN NEW; END $$;
CREATE TRIGGER lets_in BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION lets_in();
CREATE FUNCTION writes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO triggered VALUES (1); RETURN 'written'; END $$;
BEGIN;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
DECLARE c CURSOR FOR SELECT g, writes() FROM generate_series(1, 3) g;
SELECT read_as_of(NULL) AS ok \gset
SELECT throws_ok('FETCH 1 FROM c', 'P0001', 'not allowed', 'a trigger sees the present in a cursor of the past');
COMMIT;

-- parallel workers: who reads, and in which instant
SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END AS forced \gset
CREATE ROLE time_machine_found_bob;
GRANT USAGE ON SCHEMA tap, public TO time_machine_found_bob;
GRANT SELECT ON told, told__history TO time_machine_found_bob;
CREATE FUNCTION in_worker() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$ BEGIN RETURN (SELECT min(v) FROM told); END $$;
CREATE FUNCTION in_both() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN in_worker() || ' ' || (SELECT max(in_worker()) FROM pg_class); END $$;
SELECT set_config(:'forced', 'on', false), set_config('parallel_setup_cost', '0', false), set_config('parallel_tuple_cost', '0', false), set_config('min_parallel_table_scan_size', '0', false) \g /dev/null
SET ROLE time_machine_found_bob;
SELECT set_config('catmaid_history.as_of', :'t0', false) \g /dev/null
SELECT throws_ok('SELECT in_worker() FROM pg_class LIMIT 1', '42501', NULL, 'a worker asks who reads, too');
RESET catmaid_history.as_of;
RESET ROLE;
BEGIN;
SELECT read_as_of(:'t0') IS NOT NULL AS ok \gset
DECLARE c CURSOR FOR SELECT in_both() FROM generate_series(1, 2) g;
SELECT read_as_of(:'t1') IS NOT NULL AS ok \gset
SELECT results_eq('c'::refcursor, $$VALUES ('past past'), ('past past')$$, 'workers of a cursor''s functions are in its instant');
SELECT read_as_of(NULL) AS ok \gset
COMMIT;
SELECT set_config(:'forced', 'off', false) \g /dev/null
DROP OWNED BY time_machine_found_bob;
DROP ROLE time_machine_found_bob;

SELECT * FROM finish();
