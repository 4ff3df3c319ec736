-- Section 1: names that are SQL, or formats, or as long as names can be, where file
-- names_everywhere.sql has none: inheritance parents and children, partitioned tables
-- and partitions, collations, domains and composite types, a site's own triggers and
-- their functions, index names, and the roles that write.
\ir lib/hostile.psql
SELECT plan(8 * 15 + 3);

-- A relation's name gets a suffix of one byte here, and ours of 16.
CREATE TABLE names (n int, name text);
INSERT INTO names VALUES
(1, 'x"; DROP TABLE y; --'), (2, '$$'), (3, '%s'), (4, 'a\b\'), (5, ''''';%1$n'), (6, '%n%n%s$1'), (7, repeat('ü', 23)),
(8, E'z\n"''/* */');
CREATE TABLE public.y (still_here boolean DEFAULT true);
INSERT INTO public.y DEFAULT VALUES;
CREATE EXTENSION catmaid_history;

-- {a} is a long name, where nothing is put behind it, and {b1} the short one with 1.
CREATE FUNCTION tap.named(n int, cmd text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	short text := (SELECT name FROM public.names WHERE names.n = named.n);
	long text := CASE WHEN octet_length(short) = 46 THEN repeat('é', 31) || 'x' ELSE short END;
	m text[];
BEGIN
	cmd := replace(replace(cmd, '{a}', quote_ident(long)), '{r}', quote_ident('t58r_' || left(long, 25)));
	cmd := replace(cmd, '{s}', quote_ident(long));
	FOR m IN SELECT regexp_matches(cmd, '{b(\d)(\w*)}', 'g') LOOP
		cmd := replace(cmd, '{b' || m[1] || m[2] || '}', quote_ident(long) || '.' || quote_ident(short || m[1] || m[2]));
	END LOOP;
	RETURN cmd;
END $$;
SELECT named(n, 'CREATE ROLE {r}; CREATE SCHEMA {s} AUTHORIZATION {r}') FROM names \gexec
CREATE FUNCTION tap.does(n int, cmd text, test_name text, owner boolean DEFAULT true) RETURNS text LANGUAGE sql AS
$$ SELECT tap.is(tap.state(CASE WHEN owner THEN tap.named(n, 'SET LOCAL ROLE {r}; ') ELSE '' END || tap.named(n, cmd)), '00000', format('%s: %s', n, test_name)) $$;
CREATE FUNCTION tap.gives(n int, cmd text, want text, test_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN EXECUTE tap.named(n, cmd) INTO v; RETURN tap.is(v, want, format('%s: %s', n, test_name));
EXCEPTION WHEN OTHERS THEN RETURN tap.is(SQLERRM, want, format('%s: %s', n, test_name)); END $$;
CREATE FUNCTION tap.l(n int, cmd text) RETURNS text LANGUAGE sql AS $$ SELECT quote_literal(tap.named(n, cmd)) $$;
CREATE VIEW n AS SELECT n FROM names;

SELECT does(n, 'CREATE COLLATION {s}.{a} (provider = libc, locale = ''C''); CREATE DOMAIN {b6} AS text COLLATE {s}.{a} CHECK (VALUE <> $q$"; DROP$q$);
	CREATE TYPE {b7} AS (x int, {a} text); CREATE TYPE {b8} AS RANGE (subtype = int)', 'a collation, a domain, types', false) FROM n;
SELECT named(n, 'GRANT USAGE ON TYPE {b6}, {b7}, {b8} TO {r}') FROM n \gexec
SELECT does(n, 'CREATE TABLE {b1} ({a} int PRIMARY KEY, d {b6}, c text COLLATE {s}.{a}, t {b7}, r {b8}, v text);
	CREATE TABLE {b2} (w {b6}[], PRIMARY KEY ({a})) INHERITS ({b1});
	CREATE TABLE {b3} ({a} int, d {b6}, v text, PRIMARY KEY ({a})) PARTITION BY RANGE ({a});
	CREATE TABLE {b4} PARTITION OF {b3} FOR VALUES FROM (0) TO (10); CREATE TABLE {b5} PARTITION OF {b3} DEFAULT', 'relatives') FROM n;
SELECT does(n, 'SELECT public.create_history_table(' || l(n, '{b2}') || '); SELECT public.create_history_table(' || l(n, '{b3}') || ')', 'their histories', false) FROM n;
SELECT does(n, 'CREATE FUNCTION {s}.{a}() RETURNS trigger LANGUAGE plpgsql AS $q$ BEGIN RETURN NEW; END $q$;
	CREATE TRIGGER {a} BEFORE INSERT OR UPDATE ON {b1} FOR EACH ROW EXECUTE FUNCTION {s}.{a}($q$x"; DROP TABLE y; --$q$);
	CREATE TRIGGER {a} AFTER INSERT ON {b2__history} FOR EACH ROW EXECUTE FUNCTION {s}.{a}();
	CREATE TRIGGER {a} BEFORE UPDATE ON {b3} FOR EACH ROW EXECUTE FUNCTION {s}.{a}();
	CREATE INDEX {a} ON {b2__history} (d, v); CREATE INDEX ON {b3} (v)', 'a site''s own triggers and indexes') FROM n;
SELECT does(n, 'INSERT INTO {b1} VALUES (1, ''a'', ''b'', ''(1,x)'', ''[1,2]'', ''v''); INSERT INTO {b2} VALUES (2, ''a'', ''b'', ''(1,x)'', ''[1,2]'', ''v'', ''{q}'');
	INSERT INTO {b3} VALUES (1, ''a'', ''v''), (11, ''a'', ''v'')', 'rows') FROM n;
SELECT does(n, 'UPDATE {b1} SET v = ''w''; UPDATE {b3} SET {a} = {a} + 9; DELETE FROM ONLY {b1}', 'writes') FROM n;
SELECT gives(n, 'SELECT concat((SELECT string_agg(format(''%s%s%s%s%s'', d, c, t, r, v), '','' ORDER BY {a}, v) FROM {b1__history}), '' '', (SELECT string_agg({a} || v, '','' ORDER BY {a}) FROM {b3__history}))',
	'ab(1,x)[1,2]v,ab(1,x)[1,2]w,ab(1,x)[1,2]v 1v,11v', 'recorded') FROM n;
SELECT gives(n, 'SELECT string_agg(attcollation::regcollation::text, '','') FROM pg_attribute WHERE attrelid = ' || l(n, '{b2__history}') || '::regclass AND attname IN (''c'', ''d'')',
	named(n, '{s}.{a},{s}.{a}'), 'the collation is that of the table') FROM n;
SELECT does(n, 'ALTER TABLE {b1} ADD COLUMN e {b6} DEFAULT $q$%s"$q$; ALTER TABLE {b1} ALTER v TYPE {b6}; ALTER TABLE {b1} ALTER c TYPE text COLLATE {s}.{a} USING c || $q$\$q$; ALTER TABLE {b3} ALTER v TYPE {b6}; ALTER TABLE {b3} ADD e {b7}', 'columns of these types come') FROM n;
SELECT does(n, 'ALTER TABLE {b1} RENAME COLUMN e TO "f;"; ALTER TABLE {b1} DROP COLUMN t; ALTER INDEX {s}.{a} RENAME TO "%I;"; ALTER TRIGGER {a} ON {b1} RENAME TO "x"";"', 'columns, an index, a trigger change') FROM n;
SELECT does(n, 'ALTER TABLE {b2} NO INHERIT {b1}; ALTER TABLE {b2} INHERIT {b1}; ALTER TABLE {b3} DETACH PARTITION {b4}; ALTER TABLE {b3} ATTACH PARTITION {b4} FOR VALUES FROM (0) TO (10)', 'relatives leave and come back') FROM n;
SELECT does(n, 'ALTER TABLE {b1} RENAME TO "o;"; ALTER TABLE {s}."o;" RENAME TO ' || named(n, (SELECT quote_ident(name || '1') FROM names x WHERE x.n = n.n)) || '; ALTER TABLE {b4} RENAME TO "p;%"', 'a parent and a partition are renamed') FROM n;
SELECT does(n, 'SELECT public.repair_history(); SELECT public.reload_history_tracking(); SELECT public.disable_history_tracking_for_table(' || l(n, '{b1}') || '); SELECT public.enable_history_tracking_for_table(' || l(n, '{b1}') || ')', 'repair, reload, disable, enable', false) FROM n;
SELECT gives(n, 'SELECT string_agg(c::text, '' '') FROM public.check_history() c', NULL, 'nothing is wrong') FROM n;
SELECT does(n, 'UPDATE {b1} SET v = ''z''; TRUNCATE {b1}, {b3}; SELECT public.drop_history_table(' || l(n, '{b2}') || '); DROP TABLE {b3}; DROP TABLE {b1} CASCADE', 'the end', false) FROM n;

SELECT is((SELECT still_here FROM public.y), true, 'no name was run');
SELECT is((SELECT string_agg(live_table::text, ' ') FROM catmaid_history_table), NULL, 'the registry is empty');
SELECT is((SELECT string_agg(relname, ',') FROM pg_class WHERE relname ~ '__(history|tracking|with_history)'), NULL, 'nothing is left');
SET client_min_messages = error;
SELECT named(n, 'DROP SCHEMA {s} CASCADE; DROP OWNED BY {r} CASCADE; DROP ROLE {r}') FROM names \gexec
SELECT * FROM finish();
