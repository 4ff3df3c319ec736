-- ALTER TYPE ... USING: what the expression relies on is the same over old versions
-- as over the live rows: the search_path, the columns, the user's rights, no more.
\ir lib/follow.psql
DROP ROLE IF EXISTS t73_owner;
DROP ROLE IF EXISTS t73_other;
CREATE ROLE t73_owner;
CREATE ROLE t73_other;
CREATE EXTENSION catmaid_history;
SELECT plan(21);
CREATE FUNCTION tap.old(rel text, col text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text;
BEGIN
	EXECUTE format('SELECT string_agg(coalesce(%1$I::text, ''NULL''), '' '' ORDER BY id, %1$I DESC NULLS LAST) FROM %2$s', col, rel) INTO res;
	RETURN res;
END $$;
CREATE SCHEMA app;
CREATE SCHEMA trap;
SET search_path = app, public, tap;
CREATE TABLE app.mapping (k text, n int);
INSERT INTO app.mapping VALUES ('a', 10), ('b', 20);
CREATE FUNCTION app.lookup(key text) RETURNS int LANGUAGE plpgsql AS
	'BEGIN RETURN (SELECT n FROM mapping WHERE k = key); END';
CREATE FUNCTION app.inlined(key text) RETURNS int LANGUAGE sql AS 'SELECT lookup(key) + 1';
CREATE FUNCTION app.strict_lookup(key text) RETURNS int LANGUAGE plpgsql AS
	'BEGIN IF key = ''c'' THEN RAISE ''no c''; END IF; RETURN (SELECT n FROM mapping WHERE k = key); END';

-- A table whose history has three versions, one of them of a row that has gone.
CREATE PROCEDURE tap.make(name text, options text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %s (id int PRIMARY KEY, v text, w text) %s', name, options);
	PERFORM create_history_table(name);
	EXECUTE format('INSERT INTO %s VALUES (1, ''a'', ''b''), (2, ''b'', ''b''), (3, ''c'', ''b'')', name);
	EXECUTE format('UPDATE %s SET w = ''a''', name);
	EXECUTE format('DELETE FROM %s WHERE id = 3', name);
	EXECUTE format('DELETE FROM %s__history WHERE id = 3 AND w = ''a''', name);
END $$;

-- Functions that rely on search_path.
CALL tap.make('public.t');
ALTER TABLE t ALTER v TYPE int USING lookup(v);
SELECT is(old('t__history', 'v'), '10 20 NULL', 'a function that finds its table by search_path');
SELECT follows('t', 'a function that finds its table by search_path', '{v_1 text}');
ALTER TABLE t ALTER w TYPE int USING inlined(t.w);
SELECT is(old('t__history', 'w'), '21 11 21 11 21', 'one in SQL that calls the other by it');
SELECT follows('t', 'one in SQL that calls the other by it', '{v_1 text,w_1 text}');
CALL tap.make('public.s');
ALTER TABLE s ALTER v TYPE int USING strict_lookup(public.s.v);
SELECT is(old('s__history', 'v'), '10 20 NULL', 'also row by row, where one fails');
SELECT is(old('s__history', 'v_1'), 'a b c', 'and the original is kept');
-- What is ours does not rely on it.
CREATE FUNCTION trap.textcat(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''trapped''::text';
CREATE OPERATOR trap.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.textcat);
CREATE TYPE trap.int8 AS ENUM ('trapped');
SET search_path = trap, pg_catalog, app, public, tap;
CALL tap.make('public.p');
ALTER TABLE p ALTER v TYPE pg_catalog.int8 USING strict_lookup(v) + 1, ALTER w TYPE pg_catalog.varchar(5) USING v OPERATOR(pg_catalog.||) w;
SET search_path = public, tap;
SELECT is(old('p__history', 'v') || ' ' || old('p__history', 'w'), '11 21 NULL ab bb cb', 'a trap in the path changes nothing');

-- The whole row is another in the history: nothing is converted, nothing lost.
CALL tap.make('public.r');
DELETE FROM r;
SELECT allowed('ALTER TABLE r ALTER v TYPE int USING (to_jsonb(r) ->> ''id'')::int', 'the row by the table''s name');
SELECT is((SELECT count(v)::int FROM r__history), 0, 'nothing is converted');
SELECT allowed('ALTER TABLE r ALTER w TYPE int USING length(to_jsonb(r.*)::text)', 'the row by a star');
SELECT allowed('ALTER TABLE r ALTER w TYPE text USING (r).id::text', 'a field of the row');
SELECT is((SELECT string_agg(v_1 || w_1, ' ' ORDER BY id, w_1 DESC) FROM r__history WHERE w_1 = 'b'), 'ab bb cb', 'all originals are kept');
INSERT INTO r VALUES (9, 9, 'x');
SELECT follows('r', 'the whole row', '{v_1 text,w_1 text,w_2 integer}');

-- Children, whose columns have other numbers, rewritten and row by row.
CREATE TABLE parent (id int PRIMARY KEY, v text, w text);
CREATE TABLE child (x int, w text, id int PRIMARY KEY, v text);
ALTER TABLE child INHERIT parent;
SELECT create_history_table('child');
INSERT INTO parent VALUES (1, '1', 'b'), (2, '2', 'b');
INSERT INTO child VALUES (0, 'b', 3, '3'), (0, 'b', 4, 'x');
UPDATE parent SET w = '5', v = '6';
ALTER TABLE parent ALTER w TYPE int USING ascii(w);
SELECT is(old('parent__history', 'w'), '98 98 98 98', 'a hierarchy, rewritten');
ALTER TABLE parent ALTER v TYPE int USING v::int;
SELECT is(old('parent__history', 'v'), '1 2 3 NULL', 'a hierarchy, row by row');
SELECT follows('parent', 'a hierarchy: the parent', '{v_1 text,w_1 text}');
SELECT follows('child', 'a hierarchy: the child', '{v_1 text,w_1 text}');

-- Rights: over history an expression has the owner's, whoever alters the table.
CREATE FUNCTION app.who(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN current_user; END$$;
REVOKE EXECUTE ON FUNCTION app.strict_lookup FROM PUBLIC;
CALL tap.make('public.o');
ALTER TABLE o OWNER TO t73_owner;
SET search_path = app, public, tap;
ALTER TABLE o ALTER v TYPE int USING strict_lookup(v);
SELECT is(old('o__history', 'v') || ' ' || old('o__history', 'v_1'), 'NULL NULL NULL a b c', 'what the owner may not call converts nothing, also in a superuser''s command');
ALTER TABLE o ALTER w TYPE text USING who(w);
SELECT is((SELECT string_agg(DISTINCT w, ' ') FROM o__history), 't73_owner', 'it runs as the owner where that does');
SELECT throws_ok('SET ROLE t73_other; ALTER TABLE o ALTER w TYPE text USING strict_lookup(v)', '42501', NULL, 'others cannot');
RESET ROLE;
SELECT follows('o', 'a table of another owner''s', '{v_1 text,w_1 text}');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY t73_owner CASCADE;
DROP ROLE t73_owner, t73_other;
SELECT * FROM finish();
