-- Section 5: a user's view on X__with_history is kept where its definition still
-- holds; otherwise, and for all else that depends on it, the command fails as
-- PostgreSQL's own dependency error would, naming the object.
\ir lib/follow.psql
DROP ROLE IF EXISTS t78_owner;
DROP ROLE IF EXISTS t78_user;
DROP ROLE IF EXISTS t78_reader;
DROP ROLE IF EXISTS t78_leak;
CREATE ROLE t78_owner;
CREATE ROLE t78_user;
CREATE ROLE t78_reader;
CREATE ROLE t78_leak;
CREATE EXTENSION catmaid_history;
SELECT plan(80);
CREATE SCHEMA app;
CREATE SCHEMA "U s";
GRANT ALL ON SCHEMA app, "U s" TO t78_owner, t78_user;
CREATE TABLE app.t (id int PRIMARY KEY, v int, w text, x int);
CREATE TABLE app.s (id int PRIMARY KEY, v int);
CREATE TABLE app.other (id int, v int);
ALTER TABLE app.t OWNER TO t78_owner;
GRANT SELECT ON app.t, app.s, app.other TO t78_user;
GRANT SELECT ON app.s TO t78_owner;
SELECT create_history_table('app.t');
SELECT create_history_table('app.s');
INSERT INTO app.t VALUES (1, 1, 'w', 1), (2, 2, 'w', 2);
INSERT INTO app.s VALUES (1, 1);
UPDATE app.t SET v = v + 1;

SET ROLE t78_user;
CREATE VIEW "U s"."V v" AS SELECT id, v, sys_period FROM app.t__with_history;
CREATE VIEW "U s".star AS SELECT * FROM app.t__with_history;
CREATE VIEW "U s".on_view WITH (security_barrier) AS SELECT v AS "A a", count(*) AS n FROM "U s"."V v" GROUP BY v;
CREATE VIEW "U s".deep AS SELECT a."A a", b.id FROM "U s".on_view a, "U s".star b, app.s__with_history c WHERE false;
CREATE RECURSIVE VIEW "U s".rec (n) AS SELECT v FROM app.t__with_history UNION SELECT n + 1 FROM rec WHERE n < 5;
CREATE VIEW "U s".functional AS SELECT id FROM app.t__with_history WHERE sys_period @> now() AND id IN (SELECT id FROM app.other);
CREATE VIEW "U s".two AS SELECT v FROM app.t__with_history UNION ALL SELECT v FROM app.s__with_history;
CREATE VIEW app.t__with_history_2 (mine, yours) AS SELECT 1, (SELECT count(*) FROM app.t__with_history);
GRANT SELECT ON "U s"."V v" TO t78_reader WITH GRANT OPTION;
GRANT UPDATE (v) ON "U s"."V v" TO t78_reader;
GRANT SELECT ("A a") ON "U s".on_view TO PUBLIC;
REVOKE ALL ON "U s".rec FROM t78_user;
COMMENT ON VIEW "U s"."V v" IS 'it''s mine';
COMMENT ON COLUMN "U s".on_view."A a" IS 'it''s mine, too';
SELECT current_setting('server_version_num')::int >= 150000 AS v15 \gset
\if :v15
ALTER VIEW "U s".star SET (security_invoker = true);
\endif
GRANT SELECT ON "U s".star, "U s".on_view TO t78_owner;
RESET ROLE;
ALTER VIEW "U s".deep OWNER TO t78_owner;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO t78_leak;
ALTER DEFAULT PRIVILEGES FOR ROLE t78_user GRANT ALL ON TABLES TO t78_leak;

-- All that users have there, by names.
CREATE FUNCTION tap.faces() RETURNS text LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE v text;
BEGIN
	SELECT string_agg(line, E'\n' ORDER BY line) INTO v FROM (
		SELECT format('%s.%s owner %s options %s privileges %s comment %s definition %s',
			relnamespace::regnamespace, relname, relowner::regrole,
			(SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o),
			(SELECT array_agg(a ORDER BY a::text) FROM unnest(coalesce(relacl, acldefault('r', relowner))) a),
			obj_description(c.oid), regexp_replace(pg_get_viewdef(c.oid), '\s+', ' ', 'g'))
		FROM pg_class c WHERE relkind = 'v' AND (relnamespace = '"U s"'::regnamespace
			OR relname = 't__with_history_2')
		UNION ALL SELECT format('%s.%s: %s privileges %s comment %s', relname, attname, attnum, attacl,
			col_description(attrelid, attnum))
		FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind = 'v'
			AND (relnamespace = '"U s"'::regnamespace OR relname = 't__with_history_2')
		WHERE attnum > 0) x(line);
	RETURN v;
END $$;
SELECT tap.faces() AS faces \gset
CREATE FUNCTION tap.faced(cmd text, test_name text, faces text, kept text[] DEFAULT '{}')
RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT tap.allowed(cmd, test_name || ': succeeds', 't78_owner');
	RETURN NEXT tap.same_lines(tap.faces(), faces, test_name || ': users'' views are as they were');
	RETURN NEXT tap.follows('app.t', test_name || ': all follows', kept);
END $$;
SELECT is((SELECT count(*)::int FROM regexp_matches(:'faces', 'owner t78_', 'g')), 8, 'all views are looked at');
SELECT tap.faced('ALTER TABLE app.t ADD n int DEFAULT 3', 'ADD COLUMN', :'faces');
SELECT tap.faced('ALTER TABLE app.t DROP n', 'DROP COLUMN of one that they do not use', :'faces');
SELECT tap.faced('ALTER TABLE app.t ALTER x TYPE bigint', 'ALTER TYPE of one that they use', :'faces');
SELECT tap.faced('ALTER TABLE app.t ALTER x TYPE int USING x::int', 'lossy ALTER TYPE of one that they use', :'faces', '{x_1 bigint}');
SELECT is((SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = '"U s".star'::regclass AND attname = 'x'),
	'int', 'their columns have the new type');
SELECT allowed('SELECT * FROM "U s"."V v", "U s".on_view, "U s".star, "U s".deep, "U s".two, "U s".functional LIMIT 1', 'and they work');

-- A column that they use.
SELECT refused_whole('ALTER TABLE app.t DROP w', '{star}', 'DROP COLUMN of one that a view uses', '2BP01', '{app.t}', false);
SELECT same_lines(faces(), :'faces', 'a refused one changes no view');
SELECT refused_whole('ALTER TABLE app.t ALTER v TYPE box USING NULL', '{view}',
	'ALTER TYPE to one that a view''s definition cannot use', '2BP01', '{app.t}', false);
SELECT same_lines(faces(), :'faces', 'a refused ALTER TYPE changes no view');
SELECT refused_whole('DROP TABLE app.t', '{view}', 'DROP TABLE', '2BP01', '{app.t}', false);
SELECT same_lines(faces(), :'faces', 'a refused DROP TABLE changes no view');
DROP VIEW "U s".deep, "U s".star;
SELECT allowed('ALTER TABLE app.t RENAME v TO vv', 'RENAME COLUMN of one that they use', 't78_owner');
SELECT follows('app.t', 'RENAME COLUMN of one that they use', '{x_1 bigint}');
SELECT is((SELECT count(*)::int FROM pg_attribute WHERE attrelid = '"U s"."V v"'::regclass AND attname IN ('v', 'vv')), 1,
	'RENAME COLUMN: their columns keep their names');
SELECT is((SELECT attname FROM pg_attribute WHERE attrelid = '"U s"."V v"'::regclass AND attnum = 2), 'v',
	'RENAME COLUMN: their columns keep their names, as PostgreSQL has it');
ALTER TABLE app.t RENAME vv TO v;
SELECT allowed('ALTER TABLE app.t DROP w', 'DROP COLUMN after those that used it have gone', 't78_owner');
SELECT follows('app.t', 'DROP COLUMN after those that used it have gone', '{x_1 bigint}');
SELECT allowed('ALTER TABLE app.t DROP v CASCADE', 'DROP COLUMN … CASCADE', 't78_owner');
SELECT follows('app.t', 'DROP COLUMN … CASCADE: ours is there', '{x_1 bigint}');
SELECT is((SELECT array_agg(relname::text ORDER BY 1) FROM pg_class WHERE relkind = 'v'
	AND relnamespace = '"U s"'::regnamespace), '{functional}', 'DROP COLUMN … CASCADE: those that used it have gone, no other');

-- What is no view.
CREATE TABLE app.u (id int PRIMARY KEY, v int, w int);
SELECT create_history_table('app.u');
INSERT INTO app.u VALUES (1, 1, 1);
-- One object upon the view, and what each command says to it.
CREATE FUNCTION tap.in_the_way(object text, words text[], made text, gone text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE made;
	RETURN NEXT tap.refused_whole('ALTER TABLE app.u ALTER v TYPE bigint', words,
		object || ' is in the way of ALTER TYPE', '2BP01', '{app.u}', false);
	RETURN NEXT tap.refused_whole('ALTER TABLE app.u DROP v', words,
		object || ' is in the way of DROP COLUMN', '2BP01', '{app.u}', false);
	RETURN NEXT tap.refused_whole('DROP TABLE app.u', words,
		object || ' is in the way of DROP TABLE', '2BP01', '{app.u}', false);
	RETURN NEXT tap.allowed('ALTER TABLE app.u ALTER v SET DEFAULT 5, ALTER v DROP DEFAULT',
		object || ' is in no other command''s way');
	EXECUTE gone;
END $$;
SELECT tap.in_the_way('a materialized view', '{app.mv}', 'CREATE MATERIALIZED VIEW app.mv AS SELECT id, v FROM app.u__with_history',
	'DROP MATERIALIZED VIEW app.mv');
SELECT tap.in_the_way('a materialized view on a user''s view', '{app.mv}', 'CREATE VIEW app.uv AS SELECT id, v FROM app.u__with_history;
	CREATE MATERIALIZED VIEW app.mv AS SELECT v FROM app.uv', 'DROP VIEW app.uv CASCADE');
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
\if :v14
SELECT tap.in_the_way('a function''s body', '{app.fn}', 'CREATE FUNCTION app.fn() RETURNS bigint LANGUAGE sql
	BEGIN ATOMIC SELECT sum(v) FROM app.u__with_history; END', 'DROP FUNCTION app.fn');
\else
SELECT skip('SQL-standard function bodies need PostgreSQL 14', 4);
\endif
SELECT tap.in_the_way('a function''s result type', '{app.fn}', 'CREATE FUNCTION app.fn() RETURNS SETOF app.u__with_history LANGUAGE sql
	AS ''SELECT * FROM app.u__with_history''', 'DROP FUNCTION app.fn');
SELECT tap.in_the_way('a column of its row type', '{app.rows}', 'CREATE TABLE app.rows (r app.u__with_history)', 'DROP TABLE app.rows');
SELECT tap.in_the_way('a policy', '{policy}', 'CREATE POLICY p ON app.other USING (id IN (SELECT v FROM app.u__with_history))',
	'DROP POLICY p ON app.other');
SELECT tap.in_the_way('a rule of another table', '{rule}', 'CREATE RULE r AS ON INSERT TO app.other DO ALSO SELECT v FROM app.u__with_history',
	'DROP RULE r ON app.other');
SELECT follows('app.u', 'all follows after the refusals');
SELECT allowed('ALTER TABLE app.u ALTER v TYPE bigint', 'and nothing is in the way any more');

-- A trigger on a user's view, or a rule, must not be lost.
CREATE VIEW app.tv AS SELECT id, v FROM app.u__with_history;
CREATE FUNCTION app.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr INSTEAD OF UPDATE ON app.tv FOR EACH ROW EXECUTE FUNCTION app.instead();
CREATE VIEW app.trv AS SELECT id, v FROM app.u__with_history;
ALTER VIEW app.trv ALTER v SET DEFAULT 7;
CREATE TRIGGER tr INSTEAD OF UPDATE ON app.trv FOR EACH ROW EXECUTE FUNCTION app.instead();
SELECT allowed('ALTER TABLE app.u ALTER w TYPE smallint', 'a view with a trigger and a default');
SELECT is((SELECT string_agg(pg_get_triggerdef(t.oid) || pg_get_expr(adbin, adrelid), '') FROM pg_trigger t, pg_attrdef
	WHERE tgrelid = 'app.trv'::regclass AND adrelid = tgrelid),
	'CREATE TRIGGER tr INSTEAD OF UPDATE ON app.trv FOR EACH ROW EXECUTE FUNCTION app.instead()7', 'has both afterwards');
DROP VIEW app.trv;
CREATE RULE own AS ON DELETE TO app.u__with_history DO INSTEAD NOTHING;
SELECT refused_whole('ALTER TABLE app.u DROP w', '{own}', 'a rule of the view itself is in the way of DROP COLUMN', '2BP01', '{app.u}');
SELECT allowed('ALTER TABLE app.u ALTER v SET NOT NULL', 'but not of what leaves the view alone');
DROP RULE own ON app.u__with_history;
CREATE RULE ru AS ON DELETE TO app.tv DO INSTEAD NOTHING;
SELECT matches(tap.state('ALTER TABLE app.u ALTER w TYPE bigint'), '^(00000|2BP01.*app\.tv)', 'a view with a trigger and a rule');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE tgrelid = 'app.tv'::regclass)
	+ (SELECT count(*)::int FROM pg_rewrite WHERE ev_class = 'app.tv'::regclass), 3, 'has both afterwards');
DROP VIEW app.tv;
-- The message names the table, not only our view, and the hint does as PostgreSQL does:
-- DROP COLUMN … CASCADE takes along what uses the column.
CREATE MATERIALIZED VIEW app.mv AS SELECT v FROM app.u__with_history;
CREATE MATERIALIZED VIEW app.other_mv AS SELECT id FROM app.u__with_history;
SELECT is((SELECT format('%s %s | %s', state, message, hint) FROM attempt(cmd)),
	'2BP01 cannot change table "u" because other objects depend on its history view / '
	'materialized view app.mv depends on column v of view app.u__with_history | ' || advice,
	'in the way: ' || cmd) FROM (VALUES
	('ALTER TABLE app.u DROP v', 'DROP MATERIALIZED VIEW app.mv; then run the command, and re-create what it still allows. DROP COLUMN ... CASCADE drops them, too.'),
	('ALTER TABLE app.u ALTER v TYPE int', 'Drop them, run the command, and re-create them.')) x(cmd, advice);
SELECT allowed('ALTER TABLE app.u DROP w', 'a column that they do not use: DROP COLUMN');
REFRESH MATERIALIZED VIEW app.other_mv;
SELECT results_eq('SELECT count(*) FROM app.other_mv',
	'SELECT count(*) FROM app.u__with_history', 'they are as before');
BEGIN;
SELECT allowed('ALTER TABLE app.u DROP v CASCADE', 'DROP COLUMN … CASCADE of one that they use');
SELECT is(ARRAY[to_regclass('app.mv') IS NULL, to_regclass('app.other_mv') IS NULL], '{t,f}', 'drops the one that uses it');
ROLLBACK;
ALTER TABLE app.u ADD w int;
DROP MATERIALIZED VIEW app.other_mv;
SELECT is((SELECT format('%s %s | %s', state, message, hint) FROM attempt(cmd)),
	'2BP01 cannot drop the history of table "u" because other objects depend on it / '
	'materialized view app.mv depends on view app.u__with_history | Drop them first.',
	'in the way: ' || cmd) FROM unnest('{SELECT drop_history_table(''app.u''),SELECT drop_history_table_keep_data(''app.u'')}'::text[]) cmd;
DROP MATERIALIZED VIEW app.mv;
SELECT allowed('SELECT drop_history_table(''app.u''); SELECT create_history_table(''app.u'')', 'once they are dropped it goes');
CREATE RULE own AS ON DELETE TO app.u__with_history DO INSTEAD NOTHING;
SELECT matches((SELECT message FROM attempt('ALTER TABLE app.u DROP w')), '^cannot change table "u" because rule own on view ',
	'a rule: the message names the table, too');
DROP RULE own ON app.u__with_history;
-- DROP TABLE … CASCADE takes users' views along.
CREATE VIEW app.tv AS SELECT id, v FROM app.u__with_history;
SELECT allowed('DROP TABLE app.u CASCADE', 'DROP TABLE … CASCADE');
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname LIKE 'u\_\_%' OR relname = 'tv'), 0, 'takes users'' views along');

-- Each view is looked at once, by however many ways it depends on the view: here by
-- two to the power of 30.
CREATE TABLE app.u (id int PRIMARY KEY, v int, w int);
SELECT create_history_table('app.u');
CREATE VIEW "U s".a0 AS SELECT id, v FROM app.u__with_history;
CREATE VIEW "U s".b0 AS SELECT id, v FROM app.u__with_history;
SELECT format('CREATE VIEW "U s".%s%s AS SELECT a.id, b.v FROM "U s".a%3$s a, "U s".b%3$s b', name, i, i - 1)
	FROM generate_series(1, 30) i, unnest(ARRAY['a', 'b']) name ORDER BY i \gexec
ALTER TABLE app.u DROP COLUMN w;
SELECT is((SELECT count(*)::int FROM pg_class WHERE relnamespace = '"U s"'::regnamespace
	AND relname ~ '^[ab][0-9]+$'), 62, 'views that depend on the view by many ways');
SELECT is((SELECT count(*)::int FROM "U s".a2), 0, 'they can be read');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY t78_owner CASCADE;
DROP OWNED BY t78_user CASCADE;
DROP OWNED BY t78_reader CASCADE;
DROP OWNED BY t78_leak CASCADE;
DROP ROLE t78_owner, t78_user, t78_reader, t78_leak;
SELECT * FROM finish();
