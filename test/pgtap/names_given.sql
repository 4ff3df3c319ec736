-- Names and search_path: mixed case, quotes, reserved words, two tables of one
-- name, an empty path, a path full of traps.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(25);

CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE SCHEMA "Mixed ""Schema""";
CREATE TABLE one.t (id int PRIMARY KEY, v text);
CREATE TABLE two.t (id text PRIMARY KEY, w int, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE public.t (id int PRIMARY KEY);
CREATE TABLE "Mixed ""Schema"""."Ta b'le" ("I d" int PRIMARY KEY, "order" text);
CREATE TABLE "user" ("select" int PRIMARY KEY, "from" text);
CREATE TABLE "T" ("ID" int PRIMARY KEY, id int);
CREATE TABLE "größe$1" (schlüssel int PRIMARY KEY, "straße" text);
SELECT create_history_table('one.t');
SELECT create_history_table('two.t', 'edition_time', 'txid');
SELECT create_history_table('public.t');
SELECT create_history_table('"Mixed ""Schema"""."Ta b''le"'), create_history_table('"user"'),
	create_history_table('"T"'), create_history_table('größe$1');
SELECT set_eq($$SELECT n.nspname::text, c.relname::text, relkind::text FROM pg_class c JOIN pg_namespace n
		ON n.oid = relnamespace WHERE relname ~ '__(history|tracking|with_history)$'$$, $$VALUES
	('one', 't__history', 'r'), ('one', 't__tracking', 'r'), ('one', 't__with_history', 'v'),
	('two', 't__history', 'r'), ('two', 't__with_history', 'v'),
	('public', 't__history', 'r'), ('public', 't__tracking', 'r'), ('public', 't__with_history', 'v'),
	('Mixed "Schema"', 'Ta b''le__history', 'r'), ('Mixed "Schema"', 'Ta b''le__tracking', 'r'),
	('Mixed "Schema"', 'Ta b''le__with_history', 'v'), ('public', 'user__history', 'r'),
	('public', 'user__tracking', 'r'), ('public', 'user__with_history', 'v'),
	('public', 'T__history', 'r'), ('public', 'T__tracking', 'r'), ('public', 'T__with_history', 'v'),
	('public', 'größe$1__history', 'r'), ('public', 'größe$1__tracking', 'r'),
	('public', 'größe$1__with_history', 'v')$$, 'derived tables are where their live table is');
SELECT is(get_history_table_name('one.t') || ' ' || history_table_name('"T"') || ' ' ||
	get_tracking_table_name('"Mixed ""Schema"""."Ta b''le"') || ' ' || get_history_view_name('"user"'),
	't__history T__history Ta b''le__tracking user__with_history', 'plain, unquoted, unqualified names');
SELECT is((SELECT string_agg(live_table_pkey_column, ' ' ORDER BY live_table_pkey_column COLLATE "C")
	FROM catmaid_history_table), 'I d ID id id id schlüssel select', 'keys as they are written');

-- An empty path.
SET search_path = '';
INSERT INTO one.t VALUES (1, 'a'), (2, 'b');
INSERT INTO two.t (id, w) VALUES ('1', 1), ('2', 2);
INSERT INTO public.t VALUES (1), (2);
INSERT INTO "Mixed ""Schema"""."Ta b'le" VALUES (1, 'a'), (2, 'b');
INSERT INTO public."user" VALUES (1, 'a'), (2, 'b');
INSERT INTO public."T" VALUES (1, 1), (2, 2);
INSERT INTO public."größe$1" VALUES (1, 'a'), (2, 'b');
UPDATE one.t SET v = pg_catalog.upper(v) WHERE id = 1;
UPDATE two.t SET w = -w WHERE id = '1';
UPDATE public.t SET id = 10 WHERE id = 1;
UPDATE "Mixed ""Schema"""."Ta b'le" SET "I d" = 10 WHERE "I d" = 1;
UPDATE public."user" SET "select" = 10, "from" = NULL WHERE "select" = 1;
UPDATE public."T" SET "ID" = 10, id = NULL WHERE id = 1;
UPDATE public."größe$1" SET schlüssel = 10 WHERE schlüssel = 1;
DELETE FROM one.t WHERE id = 2;
DELETE FROM two.t WHERE id = '2';
TRUNCATE public.t, "Mixed ""Schema"""."Ta b'le", public."user", public."T", public."größe$1";
SET search_path = public, tap;
SELECT results_eq('SELECT id, v FROM one.t__history ORDER BY id', $$VALUES (1, 'a'), (2, 'b')$$,
	'search_path = '''': one.t');
SELECT results_eq('SELECT id, w FROM two.t__history ORDER BY id', $$VALUES ('1', 1), ('2', 2)$$,
	'search_path = '''': two.t');
SELECT is((SELECT string_agg(id::text, ' ' ORDER BY id) FROM public.t__history), '1 2 10',
	'search_path = '''': public.t');
SELECT results_eq('SELECT "I d", "order" FROM "Mixed ""Schema"""."Ta b''le__history" ORDER BY 1',
	$$VALUES (1, 'a'), (2, 'b'), (10, 'a')$$, 'search_path = '''': a name with everything in it');
SELECT results_eq('SELECT * FROM (SELECT "select", "from" FROM user__history ORDER BY 1) s',
	$$VALUES (1, 'a'), (2, 'b'), (10, NULL)$$, 'search_path = '''': reserved names');
SELECT results_eq('SELECT "ID", id FROM "T__history" ORDER BY 1',
	'VALUES (1, 1), (2, 2), (10, NULL)', 'search_path = '''': columns that differ in case alone');
SELECT results_eq('SELECT schlüssel, straße FROM größe$1__history ORDER BY 1',
	$$VALUES (1, 'a'), (2, 'b'), (10, 'a')$$, 'search_path = '''': letters of two bytes');
SELECT is_empty($$SELECT id::text FROM public.t__history WHERE lower_inf(sys_period) UNION ALL
	SELECT "I d"::text FROM "Mixed ""Schema"""."Ta b'le__history" WHERE lower_inf(sys_period) UNION ALL
	SELECT id FROM two.t__history WHERE lower_inf(sys_period)$$, 'search_path = '''': all starts are known');

-- Everything else works without a path, too.
SET search_path = '';
SELECT public.create_history_table('one.t'), public.disable_history_tracking_for_table('one.t'),
	public.enable_history_tracking_for_table('one.t'), public.sync_tracking_table('one.t', 'one.t__tracking'),
	public.reload_history_tracking(), public.drop_history_view_for_table('one.t'),
	public.create_history_view_for_table('one.t'), public.truncate_history_table('one.t__history'),
	public.disable_history_tracking(), public.enable_history_tracking(),
	public.drop_history_table_keep_data('one.t'), public.create_history_table('one.t');
INSERT INTO public.catmaid_transaction_info (user_id, change_type, label, project_id)
	VALUES (1, 'Backend', 'no path', 1) ON CONFLICT DO NOTHING;
SET search_path = public, tap;
SELECT is((SELECT count(*)::int FROM one.t__with_history), 1, 'functions without a path');
-- The path of the one who manages is not that of those who write.
SET search_path = two, one, public, tap;
SELECT is(public.get_history_table_name('t'), 't__history', 'a regclass is taken through the path');
SELECT public.truncate_history_table('t__history');
SELECT is((SELECT count(*)::int FROM two.t__history), 0, 'and is two''s here');
SELECT is((SELECT count(*)::int FROM public.t__history), 3, 'not another one');
SELECT public.drop_history_table('t');
SET search_path = public, tap;
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table IN
	('one.t'::regclass, 'public.t'::regclass)), 2, 'the history of one of three tables of a name is dropped');

-- Traps: types, operators and functions of ours to be found before the right ones.
CREATE SCHEMA trap;
CREATE FUNCTION trap.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint';
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '1900-01-01'$$;
CREATE FUNCTION trap.tstzrange(timestamptz, timestamptz) RETURNS tstzrange LANGUAGE sql AS $$SELECT 'empty'::tstzrange$$;
CREATE FUNCTION trap.tstzrange(timestamptz, timestamptz, text) RETURNS tstzrange LANGUAGE sql AS $$SELECT 'empty'::tstzrange$$;
CREATE FUNCTION trap.least(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql AS $$SELECT NULL::timestamptz$$;
CREATE FUNCTION trap.eq(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR trap.= (FUNCTION = trap.eq, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR trap.<> (FUNCTION = trap.eq, LEFTARG = int, RIGHTARG = int);
CREATE TABLE trap.t__history (id int);
CREATE TABLE trap.t__tracking (live_pk int, edition_time timestamptz, txid bigint);
CREATE TABLE trap.catmaid_history_table (x int);
CREATE TYPE trap.tstzrange AS (x int);
CREATE TABLE q (id int PRIMARY KEY, v text);
SET search_path = trap, public, pg_catalog, tap;
SELECT create_history_table('q');
INSERT INTO q VALUES (1, 'a'), (2, 'b'), (3, 'c');
SET search_path = public, tap;
SELECT remember('q', '1');
SET search_path = trap, public, pg_catalog, tap;
UPDATE q SET v = upper(v), id = id + 10 WHERE v > 'a';
SET search_path = public, tap;
SELECT remember('q', '2');
SET search_path = trap, public, pg_catalog, tap;
SELECT disable_history_tracking_for_table('q'), enable_history_tracking_for_table('q'),
	drop_history_view_for_table('q'), create_history_view_for_table('q');
DELETE FROM q WHERE v = 'B';
TRUNCATE q;
SET search_path = public, tap;
SELECT remember('q', '3');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM q__history), '1a 2b 3c 12B 13C',
	'a path full of traps: versions');
SELECT is_empty($$SELECT * FROM misremembered('q')$$, 'a path full of traps: as-of queries');
SELECT is((SELECT min(exec_transaction_id) > 0 FROM q__history), true, 'a path full of traps: transactions');
SELECT is((SELECT count(*)::int FROM trap.t__history) + (SELECT count(*)::int FROM trap.t__tracking), 0,
	'nothing fell into them');
-- A key whose operators are not on the path.
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE TABLE cit (id ext.citext PRIMARY KEY, v int);
SET search_path = '';
SELECT public.create_history_table('public.cit');
INSERT INTO public.cit VALUES ('Key', 1), ('other', 1);
UPDATE public.cit SET v = 2, id = 'KEY' WHERE v = 1 AND id::pg_catalog.text = 'Key';
SELECT public.disable_history_tracking_for_table('public.cit'), public.enable_history_tracking_for_table('public.cit');
UPDATE public.cit SET v = 3;
TRUNCATE public.cit;
SET search_path = public, tap;
SELECT is((SELECT string_agg(format('%s%s%s', id, v, lower_inf(sys_period)), ' ' ORDER BY v,
	id::text COLLATE "C") FROM cit__history), 'Key1f other1f KEY2f KEY3f other3f',
	'a key type whose operators are not on the path');

-- Names that do not fit.
CREATE TABLE a23456789_123456789_123456789_123456789_123456789 (id int PRIMARY KEY);
CREATE TABLE a23456789_123456789_123456789_123456789_1234567890 (id int PRIMARY KEY);
CREATE TABLE "ääääääääääääääääääääääääa" (id int PRIMARY KEY);
CREATE TABLE "äääääääääääääääääääääääää" (id int PRIMARY KEY);
SELECT is(state, 'none', 'a name of 49 bytes fits') FROM error_of($$SELECT create_history_table(
	'a23456789_123456789_123456789_123456789_123456789')$$);
SELECT is(state || ' ' || (msg || coalesce(hint, '') ~ '\m49\M'), 'P0001 true', 'one of 50 bytes does not; the error says 49')
	FROM error_of($$SELECT create_history_table('a23456789_123456789_123456789_123456789_1234567890')$$);
SELECT is(state, 'none', 'bytes count: 49') FROM error_of($$SELECT create_history_table('ääääääääääääääääääääääääa')$$);
SELECT is(state, 'P0001', 'bytes count: 50') FROM error_of($$SELECT create_history_table('äääääääääääääääääääääääää')$$);

SELECT * FROM finish();
