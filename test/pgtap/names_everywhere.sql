-- Section 1: names that are SQL, or formats, or as long as names can be, in every
-- place where an identifier can stand: schema of the extension and of the tables,
-- table, columns, key, roles, types, a site's own indexes, constraints and views.
-- A table's life under them, DDL that is followed included.
\ir lib/hostile.psql
SELECT plan(8 * 20 + 3);

-- One name for all of them; x stands for a table's 49 bytes at the most.
CREATE TABLE names (n int, name text);
INSERT INTO names VALUES
(1, 'x"; DROP TABLE y; --'), (2, '$$'), (3, '%s'), (4, 'a\b\'), (5, ''''';%1$n'), (6, '%n%n%s$1'), (7, repeat('ü', 24) || 'x'),
(8, E'z\n"''/* */');
-- The canary: every command that a name could smuggle in ends here.
CREATE TABLE public.y (still_here boolean DEFAULT true);
INSERT INTO public.y DEFAULT VALUES;

CREATE SCHEMA "ext ""; DROP TABLE y; --";
CREATE EXTENSION catmaid_history SCHEMA "ext ""; DROP TABLE y; --";
GRANT USAGE ON SCHEMA "ext ""; DROP TABLE y; --" TO PUBLIC;
-- 63 bytes, all of them of two
SELECT repeat('é', 31) || 'x' AS long \gset
CREATE FUNCTION tap.full(name text) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN octet_length(name) = 49 THEN repeat('é', 31) || 'x' ELSE name END $$;

-- Runs the commands, in which {s} {t} {c} {r} and so on are quoted names, as the owner.
CREATE FUNCTION tap.named(n int, cmd text, suffix text DEFAULT '') RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(cmd,
		'{t}', quote_ident(s) || '.' || quote_ident(name)),
		'{t__history}', quote_ident(s) || '.' || quote_ident(name || '__history')),
		'{t__view}', quote_ident(s) || '.' || quote_ident(name || '__with_history')),
		'{t__tracking}', quote_ident(s) || '.' || quote_ident(name || '__tracking')),
		'{ext}', '"ext ""; DROP TABLE y; --"'),
		'{r}', quote_ident('t58_' || left(s, 27))), '{s}', quote_ident(s)), '{c}', quote_ident(s)),
		-- a table is a type, too, and an index and a view have names as tables have
		'{i}', quote_ident(CASE WHEN s = name THEN name || ':' ELSE s END)), '{u}', quote_ident(left(s, 30) || 'u')),
		'{y}', quote_ident(CASE WHEN s = name THEN name || ';' ELSE s END))
	FROM (SELECT name, tap.full(name) AS s FROM public.names WHERE names.n = named.n) x $$;
SELECT named(n, 'CREATE ROLE {r}; CREATE SCHEMA {s} AUTHORIZATION {r}') FROM names \gexec
CREATE FUNCTION tap.does(n int, cmd text, test_name text) RETURNS text LANGUAGE sql AS
$$ SELECT tap.is(tap.state(tap.named(n, cmd)), '00000', format('%s: %s', n, test_name)) $$;
CREATE FUNCTION tap.gives(n int, cmd text, want text, test_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN EXECUTE tap.named(n, cmd) INTO v; RETURN tap.is(v, want, format('%s: %s', n, test_name));
EXCEPTION WHEN OTHERS THEN RETURN tap.is(SQLERRM, want, format('%s: %s', n, test_name)); END $$;
CREATE VIEW n AS SELECT n FROM names;

SELECT does(n, 'SET LOCAL ROLE {r}; CREATE TYPE {s}.{y} AS ENUM (''a'', ''b'', $q$x"; DROP TABLE y; --$q$)', 'a type') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; CREATE TABLE {t} ({c} {s}.{y} PRIMARY KEY, v text, w {s}.{y}[])', 'a table') FROM n;
SELECT does(n, 'SELECT {ext}.create_history_table(' || quote_literal(named(n, '{t}')) || ')', 'its history') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; INSERT INTO {t} VALUES (''a'', $q$x"; DROP TABLE y; --$q$, ''{a}''); UPDATE {t} SET v = v || ''%s''; UPDATE {t} SET {c} = ''b''',
	'writes, a key change among them') FROM n;
SELECT gives(n, 'SELECT string_agg(format(''%s=%s'', {c}, v), '','' ORDER BY v) FROM {t__history}', 'a=x"; DROP TABLE y; --,a=x"; DROP TABLE y; --%s', 'recorded') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; CREATE INDEX {i} ON {t__history} ({c}, v); ALTER TABLE {t__history} ADD CONSTRAINT {c} CHECK ({c} IS NOT NULL)',
	'a site''s own index and constraint') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; COMMENT ON VIEW {t__view} IS $q$x''; DROP TABLE y; --\$q$; CREATE VIEW {s}.{u} AS SELECT {c}, v AS "x""; DROP" FROM {t__view}; GRANT SELECT ({c}) ON {t__view} TO {r}; COMMENT ON COLUMN {t__view}.{c} IS $q$%s''$q$',
	'a view upon the view, comments, privileges') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; ALTER TABLE {t} ADD COLUMN "d;{" int DEFAULT 1; ALTER TABLE {t} ADD COLUMN k int; ALTER TABLE {t} DROP COLUMN k', 'columns come and go') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; ALTER TABLE {t} ALTER "d;{" TYPE text USING "d;{"::text || $q$x"; DROP TABLE y; --\%s''$q$', 'a type changes, by an expression') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; ALTER TABLE {t} ALTER w TYPE {s}.{y} USING w[1]', 'a type of that name comes') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; SET LOCAL catmaid_history.on_drop_column = keep; ALTER TABLE {t} RENAME COLUMN {c} TO "z;%"; ALTER TABLE {t} RENAME COLUMN "z;%" TO {c}; ALTER TABLE {t} RENAME COLUMN v TO "%I"; ALTER TABLE {t} DROP COLUMN "%I" CASCADE',
	'columns are renamed and kept') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; SELECT {ext}.disable_history_tracking_for_table(' || quote_literal(named(n, '{t}')) || '); DELETE FROM {t}; SELECT {ext}.reload_history_tracking_for_table('
	|| quote_literal(named(n, '{t}')) || '); SELECT {ext}.sync_tracking_table(' || quote_literal(named(n, '{t}')) || ', ' || quote_literal(named(n, '{t__tracking}')) || ')', 'disable, reload, sync') FROM n;
SELECT gives(n, 'SELECT live_table_pkey_column FROM {ext}.catmaid_history_table WHERE live_table = ' || quote_literal(named(n, '{t}')) || '::regclass', (SELECT full(name) FROM names x WHERE x.n = n.n), 'the registry names the key') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; INSERT INTO {t} VALUES (''a''); TRUNCATE {t}; SELECT {ext}.truncate_history_table(' || quote_literal(named(n, '{t__history}')) || ')', 'truncate') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; ALTER TABLE {t} RENAME TO "t; DROP TABLE y"; ALTER TABLE {s}."t; DROP TABLE y" RENAME TO ' || (SELECT quote_ident(name) FROM names x WHERE x.n = n.n), 'renamed, and back') FROM n;
SELECT does(n, 'ALTER TABLE {t} OWNER TO CURRENT_USER; ALTER TABLE {t} OWNER TO {r}', 'given away, and back') FROM n;
SELECT gives(n, 'SELECT string_agg(DISTINCT relowner::regrole::text, '','') FROM pg_class WHERE relname ~ ''__(history|tracking|with_history)$'' AND relnamespace = ' || quote_literal(named(n, '{s}')) || '::regnamespace',
	named(n, '{r}'), 'derived tables went along') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; SELECT {ext}.drop_history_table_keep_data(' || quote_literal(named(n, '{t}')) || '); SELECT {ext}.create_history_table(' || quote_literal(named(n, '{t}')) || '); SELECT {ext}.drop_history_table(' || quote_literal(named(n, '{t}')) || ')',
	'kept, taken up, dropped') FROM n;
-- Hints are commands: they must work when typed.
CREATE FUNCTION tap.follow_hint(n int) RETURNS text LANGUAGE sql AS $$
	SELECT tap.state(a.hint) FROM tap.attempt(tap.named(n, 'SELECT {ext}.create_history_view_for_table('
		|| quote_literal(tap.named(n, '{t}')) || ')')) a $$;
SELECT is(follow_hint(n), '00000', n || ': a hint can be typed') FROM n;
SELECT does(n, 'SET LOCAL ROLE {r}; DROP TABLE {t}', 'dropped') FROM n;

SELECT is((SELECT still_here FROM public.y), true, 'no name was run');
SELECT is((SELECT count(*) FROM "ext ""; DROP TABLE y; --".catmaid_history_table), 0::bigint, 'the registry is empty');
SELECT is((SELECT string_agg(relname, ',') FROM pg_class WHERE relname ~ '__(history|tracking|with_history)'), NULL, 'nothing is left');

SET client_min_messages = error;
SELECT named(n, 'DROP OWNED BY {r} CASCADE; DROP ROLE {r}') FROM names \gexec
SELECT * FROM finish();
