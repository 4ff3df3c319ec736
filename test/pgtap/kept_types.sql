-- What histories have kept outlives its type: columns kept by a lossy ALTER TYPE or a
-- DROP COLUMN, and kept histories.  DROP of the type, with CASCADE and by way of a
-- schema, an owner or an extension, and ALTER of the table or type whose row type it is
-- are not refused on their account, and drop nothing of them: they become text.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(75);
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
DROP ROLE IF EXISTS kept_types_one, kept_types_two;
CREATE ROLE kept_types_one;
CREATE ROLE kept_types_two;
CREATE SCHEMA types;
GRANT ALL ON SCHEMA public, types, tap TO kept_types_one, kept_types_two;

-- "value type" of a column of X__history, the values in their order.
CREATE FUNCTION tap.kept(live text, col text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text;
BEGIN
	EXECUTE format('SELECT string_agg(coalesce(%1$I::text, ''null'') || '' '' || pg_typeof(%1$I), '', ''
		ORDER BY %1$I::text) FROM %2$I', col, trim('"' FROM live) || '__history') INTO res;
	RETURN res;
END $$;
-- A table with one row, whose column v, of the type, is changed twice, so that history
-- has the value and a NULL; then v gets another type, or is dropped, and history keeps v_1.
CREATE FUNCTION tap.keep(live text, type text, value text, how text DEFAULT 'ALTER v TYPE int USING 7') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %s (id int PRIMARY KEY, v %s)', live, type);
	PERFORM create_history_table(live::regclass);
	EXECUTE format('INSERT INTO %s VALUES (1, %L)', live, value);
	EXECUTE format('UPDATE %s SET v = NULL', live);
	EXECUTE format('UPDATE %s SET v = NULL', live);
	PERFORM set_config('catmaid_history.on_drop_column', 'keep', true);
	EXECUTE format('ALTER TABLE %s %s', live, how);
	PERFORM set_config('catmaid_history.on_drop_column', 'drop', true);
END $$;

-- All that a type can be in, and a NULL row beside one of NULLs.
CREATE TYPE types.mood AS ENUM ('a', 'b');
CREATE DOMAIN types.dmood AS types.mood;
CREATE TYPE types.moods AS RANGE (subtype = types.mood);
CREATE TYPE types.pair AS (m types.mood, n int);
CREATE DOMAIN types.dpair AS types.pair;
CREATE TYPE types.nest AS (p types.pair, t text);
SELECT keep('k1', 'types.mood', 'a');
SELECT keep('k2', 'types.mood[]', '{a,NULL}', 'DROP v');
SELECT keep('k3', 'types.moods', '[a,b]');
SELECT keep('k4', 'types.pair', '(a,1)', 'DROP v');
SELECT keep('k5', 'types.dpair', '(b,2)');
SELECT keep('k6', 'types.nest[]', '{"(\"(a,1)\",x)"}');
SELECT keep('k7', 'types.pair', '(,)');
SELECT keep('"Select"', 'types.dmood', 'b');
SELECT keep('k8', 'types.dmood[]', '{b}');
BEGIN;
SAVEPOINT s;
DROP TYPE types.mood CASCADE;
SELECT is(kept('k4', 'v_1'), '(a,1) text, null text', 'control: a composite type with a column of it');
ROLLBACK TO s;
SELECT is(kept('k4', 'v_1'), '(a,1) types.pair, null types.pair', 'rolled back to a savepoint');
COMMIT;
SELECT lives_ok('DROP TYPE types.mood CASCADE', 'DROP TYPE ... CASCADE');
SELECT is(kept('k1', 'v_1'), 'a text, null text', 'an enum');
SELECT is(kept('k2', 'v_1'), '{a,NULL} text, null text', 'an array');
SELECT is(kept('k3', 'v_1'), '[a,b] text, null text', 'a range');
SELECT is(kept('k4', 'v_1'), '(a,1) text, null text', 'a composite type that has lost a column');
SELECT is(kept('k5', 'v_1'), '(b,2) text, null text', 'a domain over it');
SELECT is(kept('k6', 'v_1'), '{"(\"(a,1)\",x)"} text, null text', 'an array of another with it inside');
SELECT is(kept('k7', 'v_1'), '(,) text, null text', 'a row of NULLs is not NULL');
SELECT is(kept('"Select"', 'v_1'), 'b text, null text', 'a domain, in a table of a reserved name');
SELECT is(kept('k8', 'v_1'), '{b} text, null text', 'an array of a domain');
SELECT follows('k1', 'the history goes on', '{v_1 text}');

\if :v14
CREATE TYPE types.floats AS RANGE (subtype = float8, multirange_type_name = types.many);
SELECT keep('m1', 'types.many', '{[1,2],[3,4]}');
SELECT keep('m2', 'types.many[]', '{"{[1,2]}"}', 'DROP v');
DROP TYPE types.floats CASCADE;
SELECT is(kept('m1', 'v_1') || kept('m2', 'v_1'),
	'{[1,2],[3,4]} text, null text{"{[1,2]}"} text, null text', 'multiranges');
\else
SELECT skip('multiranges', 1);
\endif

-- A collation; a type's function; a schema; an extension.
CREATE COLLATION types.mine FROM "C";
SELECT keep('c1', 'text COLLATE types.mine', 'x', 'DROP v');
SELECT lives_ok('DROP COLLATION types.mine', 'a collation');
SELECT is(kept('c1', 'v_1'), 'x text, null text', 'its column is text of the default one');
CREATE TYPE types.own;
CREATE FUNCTION types.own_in(cstring) RETURNS types.own LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION types.own_out(types.own) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE types.own (INPUT = types.own_in, OUTPUT = types.own_out, LIKE = text);
-- a cast that keeps less is not what text is made by
CREATE FUNCTION types.less(types.own) RETURNS text LANGUAGE sql AS $$ SELECT 'less'::text $$;
CREATE CAST (types.own AS text) WITH FUNCTION types.less(types.own);
SELECT keep('o1', 'types.own', 'all of it', 'DROP v');
SELECT lives_ok('DROP FUNCTION types.own_out CASCADE', 'the output function of a type');
SELECT is(kept('o1', 'v_1'), 'all of it text, null text', 'whose values stay, whatever casts there were');
CREATE SCHEMA goes;
CREATE DOMAIN goes.d AS int;
CREATE TYPE goes.pair AS (a int, b goes.d);
SELECT keep('s1', 'goes.pair', '(1,2)');
SELECT keep('s2', 'goes.d[]', '{1,2}');
SELECT lives_ok('DROP SCHEMA goes CASCADE', 'a schema');
SELECT is(kept('s1', 'v_1') || kept('s2', 'v_1'), '(1,2) text, null text{1,2} text, null text', 'its types');
CREATE EXTENSION hstore;
SELECT keep('e1', 'hstore', 'a=>1');
SELECT keep('e2', 'hstore', 'a=>1', 'DROP v');
CREATE INDEX ON e2__history USING gin (v_1);
SELECT lives_ok('DROP EXTENSION hstore', 'an extension');
SELECT is(kept('e1', 'v_1') || kept('e2', 'v_1'), '"a"=>"1" text, null text"a"=>"1" text, null text',
	'its type, also with an index that text cannot have');
CREATE EXTENSION hstore;
SELECT keep('e3', 'hstore', 'a=>1');
CREATE VIEW upon_e3 AS SELECT v_1 FROM e3__history;
SELECT refused_whole('DROP EXTENSION hstore', '{}', 'a site''s view on the kept column: refused, as ever', '2BP01', '{e3}', false);
SELECT lives_ok('DROP EXTENSION hstore CASCADE', 'with CASCADE it goes');
SELECT is(kept('e3', 'v_1') || ' ' || (to_regclass('upon_e3') IS NULL), '"a"=>"1" text, null text true', 'but not the values');

-- Printed exactly, whatever the session's settings.
CREATE TYPE types.all_sorts AS (f float8, d date, i interval);
SELECT keep('x1', 'types.all_sorts', '(0.30000000000000004,2001-02-03,"-1 days +02:03:00")', 'DROP v');
SET extra_float_digits = -5;
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = sql_standard;
DROP TYPE types.all_sorts;
SELECT is(current_setting('extra_float_digits') || current_setting('DateStyle') || current_setting('IntervalStyle'),
	'-5SQL, DMYsql_standard', 'settings are put back');
RESET extra_float_digits;
RESET DateStyle;
RESET IntervalStyle;
SELECT is(kept('x1', 'v_1'), '(0.30000000000000004,2001-02-03,"-1 days +02:03:00") text, null text', 'exact');

-- ALTER TYPE to text is without loss only where it is.
CREATE FUNCTION tap.to_text(live text, type text, value text, setting text, setting_value text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %s (id int PRIMARY KEY, v %s)', live, type);
	PERFORM create_history_table(live::regclass);
	EXECUTE format('INSERT INTO %s VALUES (1, %L)', live, value);
	EXECUTE format('UPDATE %s SET id = 1', live);
	PERFORM set_config(setting, setting_value, false);
	EXECUTE format('ALTER TABLE %s ALTER v TYPE text', live);
	EXECUTE 'RESET ' || setting;
	RETURN kept(live, 'v') || CASE WHEN EXISTS (SELECT FROM pg_attribute
		WHERE attrelid = (live || '__history')::regclass AND attname = 'v_1') THEN ', kept ' || kept(live, 'v_1') ELSE '' END;
END $$;
SELECT is(to_text('f1', 'float8', '0.30000000000000004', 'extra_float_digits', '1'),
	'0.30000000000000004 text', 'float8, printed exactly: in place');
SELECT is(to_text('f2', 'float8', '0.30000000000000004', 'extra_float_digits', '0'),
	'0.3 text, kept 0.30000000000000004 double precision', 'rounded: the original is kept');
CREATE DOMAIN types.reals AS real[];
SELECT is(to_text('f3', 'types.reals', '{0.1234567}', 'extra_float_digits', '-3'),
	'{0.123} text, kept {0.1234567} real[]', 'an array, below a domain');
CREATE TYPE types.spot AS (p point, n int);
SELECT is(to_text('f4', 'types.spot', '("(0.30000000000000004,1)",1)', 'extra_float_digits', '-5'),
	'("(0.3,1)",1) text, kept ("(0.30000000000000004,1)",1) types.spot', 'a composite type');
SELECT is(to_text('f5', 'date', '2001-02-03', 'DateStyle', 'SQL, DMY'),
	'03/02/2001 text, kept 2001-02-03 date', 'a date in a style that is ambiguous');
SELECT is(to_text('f6', 'interval', '-1 days +02:03', 'IntervalStyle', 'iso_8601'), 'P-1DT2H3M text', 'an interval');
SELECT is(to_text('f7', 'int', '7', 'extra_float_digits', '-5'), '7 text', 'what no setting changes: in place');
SELECT is(to_text('f8', 'numeric', '1.10', 'extra_float_digits', '-5'), '1.10 text', 'likewise');

-- The row type of a table, of a view.
CREATE TABLE comp (a int);
CREATE TABLE comp_child () INHERITS (comp);
CREATE VIEW comp_view AS SELECT 1 AS one;
SELECT keep('r1', 'comp', '(1)', 'ALTER v TYPE int USING (v).a');
SELECT keep('r2', 'comp[]', '{(1)}', 'DROP v');
SELECT keep('r3', 'comp_child', '(1)', 'DROP v');
SELECT keep('r4', 'comp_view', '(1)', 'DROP v');
SELECT lives_ok('ALTER TABLE comp ALTER a TYPE bigint', 'ALTER TABLE of a table whose row type a history has kept');
SELECT is(kept('r1', 'v_1') || kept('r2', 'v_1') || kept('r3', 'v_1'),
	'(1) text, null text{(1)} text, null text(1) text, null text', 'and of one that inherits');
SELECT keep('r5', 'comp', '(1)', 'DROP v');
SELECT lives_ok('ALTER TABLE comp ADD COLUMN b int NOT NULL DEFAULT 3, DROP COLUMN a', 'other columns');
SELECT is(kept('r5', 'v_1'), '(1) text, null text', 'take no value away');
SELECT keep('r6', 'comp', '(1)', 'DROP v');
SELECT lives_ok('DROP TABLE comp, comp_child', 'DROP TABLE');
SELECT lives_ok('DROP VIEW comp_view', 'DROP VIEW');
SELECT is(kept('r6', 'v_1') || kept('r4', 'v_1'), '(1) text, null text(1) text, null text', 'all of it is text');
CREATE TYPE types.ct AS (a int, b int);
SELECT keep('r7', 'types.ct', '(1,2)', 'DROP v');
SELECT lives_ok('ALTER TYPE types.ct ALTER ATTRIBUTE a TYPE bigint', 'ALTER TYPE of a composite type');
SELECT is(kept('r7', 'v_1'), '(1,2) text, null text', 'text');
SELECT keep('r8', 'types.ct', '(1,2)', 'DROP v');
ALTER TYPE types.ct DROP ATTRIBUTE b;
SELECT is(kept('r8', 'v_1'), '(1,2) text, null text', 'DROP ATTRIBUTE takes no value away');
CREATE DOMAIN types.pos AS int;
SELECT keep('r9', 'types.pos[]', '{-1}', 'DROP v');
SELECT lives_ok('ALTER DOMAIN types.pos ADD CHECK (value > 0)', 'ALTER DOMAIN does not look at old values');
CREATE TABLE once (x int);
CREATE TABLE more (id int PRIMARY KEY, v once);
SELECT create_history_table('more');
SELECT lives_ok('DROP TABLE once, more', 'DROP TABLE of a table with the row type of another, and of that');
CREATE TABLE once (x int);
CREATE TABLE more (id int PRIMARY KEY, v once);
SELECT create_history_table('more');
SELECT lives_ok('DROP TABLE more, once', 'in the other order');

-- Columns of live tables go as PostgreSQL has it, and history follows.
CREATE TYPE types.mood AS ENUM ('a', 'b');
CREATE TABLE l1 (id int PRIMARY KEY, v types.mood, w int);
CREATE TABLE l2 (LIKE l1 INCLUDING ALL);
SELECT create_history_table('l1'), create_history_table('l2');
INSERT INTO l1 VALUES (1, 'a', 1);
INSERT INTO l2 VALUES (1, 'a', 1);
UPDATE l1 SET w = 2;
UPDATE l2 SET w = 2;
SELECT refused_whole('DROP TYPE types.mood', '{}', 'without CASCADE: refused for the live column', '2BP01', '{l1,l2}', false);
SELECT disable_history_tracking_for_table('l2');
DROP TYPE types.mood CASCADE;
SELECT follows('l1', 'with CASCADE: dropped');
SELECT is(kept('l2', 'v'), 'a text', 'while tracking is disabled the history is left as it is');
CREATE TYPE types.mood AS ENUM ('a', 'b');
ALTER TABLE l1 ADD v types.mood DEFAULT 'b';
UPDATE l1 SET w = 3;
SET catmaid_history.on_drop_column = keep;
DROP TYPE types.mood CASCADE;
RESET catmaid_history.on_drop_column;
SELECT follows('l1', 'with on_drop_column = keep: kept', '{v_1 text}');
SELECT is(kept('l1', 'v_1'), 'b text, null text, null text, null text', 'with its values');

-- The live column has another type already, that history holds.
CREATE EXTENSION citext;
CREATE TABLE l3 (id int PRIMARY KEY, v text);
SELECT create_history_table('l3');
INSERT INTO l3 VALUES (1, 'A');
UPDATE l3 SET id = 1;
SELECT drop_history_view_for_table('l3');
ALTER TABLE l3__history ALTER v TYPE citext;
SELECT create_history_view_for_table('l3');
SELECT lives_ok('DROP EXTENSION citext', 'a type that only the history has, of a column that the table has, too');
SELECT follows('l3', 'it is text');

-- Tracking switched off, with the type that the live column had.
CREATE TYPE types.mood AS ENUM ('a', 'b');
CREATE TABLE w1 (id int PRIMARY KEY, m types.mood);
CREATE TABLE w2 (id types.mood PRIMARY KEY);
SELECT create_history_table('w1'), create_history_table('w2');
INSERT INTO w1 VALUES (1, 'b');
INSERT INTO w2 VALUES ('a');
UPDATE w1 SET m = 'a';
SELECT drop_history_view_for_table('w2'), disable_history_tracking_for_table('w2');
ALTER TABLE w1 DISABLE TRIGGER ALL;
ALTER TYPE types.mood RENAME TO mood_old;
CREATE TYPE types.mood AS ENUM ('a');
ALTER TABLE w1 ALTER m TYPE types.mood USING m::text::types.mood;
ALTER TABLE w2 ALTER id TYPE types.mood USING id::text::types.mood;
SELECT lives_ok('DROP TYPE types.mood_old', 'switched off, and disabled: a type that only histories and tracking tables have');
ALTER TABLE w1 ENABLE TRIGGER ALL;
SELECT follows('w1', 'switched on again', '{m_1 text}');
SELECT enable_history_tracking_for_table('w2');
UPDATE w2 SET id = id;
SELECT is((SELECT count(*)::int FROM w2__history WHERE id::text = 'a' AND NOT upper_inf(sys_period)), 1, 'enabled again');
DELETE FROM w2;

-- Hierarchies, and histories of other owners.
CREATE TYPE types.tone AS ENUM ('a', 'b');
GRANT USAGE ON TYPE types.tone TO PUBLIC;
ALTER TYPE types.tone OWNER TO kept_types_one;
SET ROLE kept_types_two;
CREATE TABLE h1 (id int PRIMARY KEY, v types.tone);
CREATE TABLE h2 (x int, PRIMARY KEY (id)) INHERITS (h1);
RESET ROLE;
SELECT create_history_table('h2');
INSERT INTO h1 VALUES (1, 'a');
INSERT INTO h2 VALUES (2, 'b', 1);
UPDATE h1 SET v = NULL;
ALTER TABLE h1 ALTER v TYPE int USING 1;
SET ROLE kept_types_two;
CREATE FUNCTION only_as_two(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'kept_types_two' THEN RAISE EXCEPTION 'as %', current_user; END IF;
	RETURN $1;
END $$;
CREATE INDEX ON h1__history (only_as_two(id));
CREATE INDEX ON h2__history (only_as_two(id));
SELECT refused_whole('DROP TYPE types.tone', '{}', 'another role may not, and changes nothing', '42501', '{h1,h2}', false);
SET ROLE kept_types_one;
BEGIN;
SELECT lives_ok('DROP TYPE types.tone', 'its owner may, though histories are another''s, whose code is on them');
SELECT is((SELECT string_agg(DISTINCT relation::regclass::text, ' ') FROM pg_locks
	WHERE pid = pg_backend_pid() AND relation IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')
		AND relnamespace = 'public'::regnamespace AND relname !~ '^catmaid')
	AND mode = 'AccessExclusiveLock'), 'h1__history h2__history', 'and locks nothing else');
COMMIT;
RESET ROLE;
SELECT is(kept('h1', 'v_1') || ', ' || kept('h2', 'v_1'),
	'a text, b text, b text', 'text, in all of the hierarchy');
SELECT is((SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class WHERE relname ~ '^h[12]__'),
	'kept_types_two', 'whose owner is who it was');
SELECT is((SELECT count(*)::int FROM pg_inherits WHERE inhparent = 'h1__history'::regclass), 1, 'and which is one still');

CREATE TYPE types.tone AS ENUM ('a', 'b');
ALTER TYPE types.tone OWNER TO kept_types_one;
SELECT keep('own1', 'types.tone', 'a', 'DROP v');
SELECT lives_ok('DROP OWNED BY kept_types_one', 'DROP OWNED of the type''s owner');
SELECT is(kept('own1', 'v_1'), 'a text, null text', 'text');

-- A kept history, of which nothing is registered.
SET catmaid_history.on_drop_table = keep;
CREATE TYPE types.st AS ENUM ('a', 'b');
CREATE TABLE inv (id int PRIMARY KEY, s types.st, t types.st[]);
CREATE TABLE inv2 (id types.st PRIMARY KEY);
SELECT create_history_table('inv'), create_history_table('inv2');
INSERT INTO inv VALUES (1, 'a', '{b}');
INSERT INTO inv2 VALUES ('b');
DROP TABLE inv;
SELECT drop_history_table_keep_data('inv2');
UPDATE inv2 SET id = 'a';
DROP TABLE inv2;
SELECT lives_ok('DROP TYPE types.st', 'the type of a kept history');
SELECT is(kept('inv', 's') || kept('inv', 't'), 'a text{b} text', 'all of its columns are text');
SELECT is((SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'inv2__history'::regclass AND attname = 'id'),
	'text', 'also where drop_history_table_keep_data has left it, and of the key');
CREATE TYPE types.st AS ENUM ('a', 'b');
CREATE TABLE inv (id int PRIMARY KEY, s types.st, t types.st[]);
SELECT throws_ok($$SELECT create_history_table('inv')$$, 'P0001', NULL, 'taken up: text does not hold arrays');
ALTER TABLE inv__history RENAME COLUMN t TO t_1;
SELECT create_history_table('inv');
INSERT INTO inv VALUES (1, 'b');
UPDATE inv SET s = 'a';
SELECT is((SELECT string_agg(s::text, ' ' ORDER BY sys_period) FROM inv__with_history), 'a b a', 'as one history');

-- CASCADE for another table's column is not for views upon what is kept.
CREATE TABLE comp (a int, b int);
SELECT keep('q1', 'comp', '(1,2)', 'DROP v');
CREATE VIEW upon_q1 AS SELECT v_1 FROM q1__history;
SELECT throws_ok('ALTER TABLE comp ALTER a TYPE bigint', '0A000', NULL, 'ALTER of a row type: not at the cost of a view');
ALTER TABLE comp DROP COLUMN b CASCADE;
SELECT has_view('upon_q1', 'nor with CASCADE');

-- What is not ours is PostgreSQL's.
CREATE TYPE types.other AS ENUM ('a');
CREATE TABLE lookalike (id int, v types.other, sys_period tstzrange, exec_transaction_id bigint);
CREATE TABLE untracked (id int, v types.other);
SELECT throws_ok('DROP TYPE types.other', '2BP01', NULL, 'columns of other tables are in the way as ever');
DROP TABLE lookalike;
SET catmaid_history.follow_ddl = off;
DROP TABLE untracked;
SELECT lives_ok('DROP TYPE types.other', 'control');
RESET catmaid_history.follow_ddl;

SELECT * FROM finish();
DROP OWNED BY kept_types_one, kept_types_two;
DROP ROLE kept_types_one, kept_types_two;
