-- Views of users upon X__with_history when its columns change: their queries follow
-- without being read, so that no code of theirs runs in the owner's command, nobody needs
-- CREATE on a schema, and all that is put on them stays.  (SPEC 5 and 7.)
\ir lib/follow.psql
DROP ROLE IF EXISTS rights_views_owner;
DROP ROLE IF EXISTS rights_views_reader;
DROP ROLE IF EXISTS rights_views_third;
CREATE ROLE rights_views_owner;
CREATE ROLE rights_views_reader;
CREATE ROLE rights_views_third;
CREATE EXTENSION catmaid_history;
SELECT plan(123);
SELECT current_setting('server_version_num')::int >= 150000 AS v15,
	current_setting('server_version_num')::int >= 140000 AS v14 \gset

CREATE SCHEMA app AUTHORIZATION rights_views_owner;
CREATE SCHEMA r AUTHORIZATION rights_views_reader;
CREATE SCHEMA closed;
GRANT USAGE ON SCHEMA app, r, closed TO PUBLIC;
SET SESSION AUTHORIZATION rights_views_owner;
CREATE TABLE app.t (id int PRIMARY KEY, a int, b text, c text, d int);
CREATE TABLE app.s (id int PRIMARY KEY, a int, e text, f int);
GRANT SELECT ON app.t, app.s TO rights_views_reader;
SELECT create_history_table('app.t'), create_history_table('app.s');
INSERT INTO app.t VALUES (1, 10, 'b', 'c', 1), (2, 20, 'bb', 'cc', 2);
INSERT INTO app.s VALUES (1, 11, 'e', 1), (3, 33, 'ee', 3);
UPDATE app.t SET a = a + 1;
UPDATE app.s SET e = upper(e);
RESET SESSION AUTHORIZATION;

-- What a reader may build upon it.  In any other session his domain is not content.
SET SESSION AUTHORIZATION rights_views_reader;
CREATE FUNCTION r.mine(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF session_user <> 'rights_views_reader' THEN
		RAISE EXCEPTION 'the reader''s code in another''s session';
	END IF;
	RETURN true;
END $$;
CREATE DOMAIN r.d AS int CHECK (r.mine(VALUE));
CREATE TYPE r.comp AS (x r.d, y text);
CREATE TYPE r.span AS RANGE (subtype = r.d);
CREATE TABLE r.other (id int, a int, z text);
INSERT INTO r.other VALUES (1, 11, 'z'), (9, 99, 'zz');
CREATE VIEW r.v_array AS SELECT id, '{1}'::r.d[] AS x FROM app.t__with_history;
CREATE VIEW r.v_comp AS SELECT id, '(1,2)'::r.comp AS x, '{"(1,)"}'::r.comp[] AS y FROM app.t__with_history;
CREATE VIEW r.v_range AS SELECT id FROM app.t__with_history WHERE '[1,2]'::r.span IS NOT NULL;
CREATE VIEW r.v_domain AS SELECT id, 1::r.d AS x, ARRAY[2::r.d] AS y FROM app.t__with_history;
CREATE VIEW r.v_period AS SELECT a, sys_period, exec_transaction_id IS NULL AS live, id FROM app.t__with_history;
CREATE VIEW r.v_alias AS SELECT k, l, p FROM app.t__with_history AS h (k, l, m, n, o, p);
CREATE VIEW r.v_short_alias AS SELECT k, d, sys_period FROM app.t__with_history AS h (k);
CREATE VIEW r.v_using AS SELECT id, h.a, o.z, h.sys_period FROM app.t__with_history h JOIN r.other o USING (id);
CREATE VIEW r.v_natural AS SELECT h.id, a, z, d FROM app.t__with_history h NATURAL JOIN r.other;
CREATE VIEW r.v_left AS SELECT o.id, h.d, h.sys_period, o.z FROM r.other o LEFT JOIN app.t__with_history h ON o.id = h.id;
CREATE VIEW r.v_full AS SELECT id, o.z, h.d, s.f, s.sys_period
	FROM (r.other o FULL JOIN app.t__with_history h USING (id)) FULL JOIN app.s__with_history s USING (id);
CREATE VIEW r.v_join_alias AS SELECT j.id, j.z, j.q, j.a FROM (r.other o (id, q) JOIN app.t__with_history h USING (id)) AS j;
CREATE VIEW r.v_deep_alias AS SELECT jj.id, jj.p1, jj.p2 FROM ((app.t__with_history h JOIN r.other o USING (id)) AS j (id, a1, b1, c1, d1, p1)
	LEFT JOIN app.s__with_history s (id, a2, e2, f2, p2) USING (id)) AS jj;
\if :v14
CREATE VIEW r.v_using_alias AS SELECT u.id, h.d FROM app.t__with_history h JOIN r.other o USING (id) AS u;
\endif
CREATE VIEW r.v_self AS SELECT x.id, y.a, y.sys_period FROM app.t__with_history x JOIN app.t__with_history y ON x.id = y.id AND x.a <> y.a;
CREATE VIEW r.v_cte AS WITH w AS (SELECT id, d, sys_period FROM app.t__with_history), w2 AS (SELECT * FROM w WHERE d > 1)
	SELECT w.id, w2.sys_period FROM w LEFT JOIN w2 USING (id);
CREATE RECURSIVE VIEW r.v_recursive (n) AS SELECT d FROM app.t__with_history UNION SELECT n + 1 FROM v_recursive WHERE n < 5;
CREATE VIEW r.v_sub AS SELECT o.id, (SELECT max(lower(h.sys_period)) FROM app.t__with_history h WHERE h.id = o.id AND h.a < o.a) AS p,
	o.a IN (SELECT d FROM app.t__with_history) AS q, ARRAY(SELECT x.d FROM (SELECT * FROM app.s__with_history JOIN
	(SELECT id, d FROM app.t__with_history) i USING (id)) x) AS r FROM r.other o;
CREATE VIEW r.v_lateral AS SELECT h.id, l.p, f.g FROM app.t__with_history h, LATERAL (SELECT h.sys_period AS p, s.f FROM app.s__with_history s
	WHERE s.id = h.id OFFSET 0) l, generate_series(1, h.d) f (g);
CREATE VIEW r.v_group AS SELECT d, count(*) AS n, max(a) FILTER (WHERE exec_transaction_id IS NULL) AS m FROM app.t__with_history
	GROUP BY GROUPING SETS ((d), ()) HAVING count(*) > 0 ORDER BY d;
CREATE VIEW r.v_window AS SELECT DISTINCT ON (id) id, lag(a) OVER w AS l, rank() OVER (PARTITION BY d ORDER BY sys_period DESC) AS k
	FROM app.t__with_history WINDOW w AS (PARTITION BY id ORDER BY sys_period) ORDER BY id, sys_period DESC;
CREATE VIEW r.v_union AS SELECT id, d AS x FROM app.t__with_history UNION ALL SELECT id, f FROM app.s__with_history EXCEPT SELECT 1, 1;
CREATE VIEW r.v_field AS SELECT (h).id, ((SELECT i FROM app.t__with_history i WHERE i.id = 1 ORDER BY i.sys_period LIMIT 1)).d FROM app.t__with_history h;
CREATE VIEW r.v_fields AS SELECT (x.h).d, ((x.hs)[1]).sys_period FROM (SELECT h, array_agg(h) OVER () AS hs FROM app.t__with_history h WHERE id = 2) x;
CREATE VIEW r.v_nested AS SELECT u.id, u.sys_period, f.f FROM r.v_using u LEFT JOIN r.v_full f USING (id);
CREATE VIEW r.v_rows AS SELECT h, d FROM app.t__with_history h;
CREATE VIEW r.v_upon_rows AS SELECT (v.h).d, (v.h).sys_period, v.d AS e FROM r.v_rows v;
CREATE MATERIALIZED VIEW r.matview AS SELECT id, sys_period FROM app.t__with_history;
CREATE TEMP VIEW v_temp AS SELECT id, sys_period FROM app.t__with_history;
\if :v15
CREATE VIEW r.v_invoker WITH (security_invoker, security_barrier) AS SELECT id, sys_period FROM app.t__with_history;
\endif

-- and put on it
CREATE VIEW r.v_face AS SELECT id, a, sys_period FROM app.t__with_history;
GRANT SELECT ON r.v_face TO rights_views_third WITH GRANT OPTION;
GRANT SELECT (a), UPDATE (a) ON r.v_face TO PUBLIC;
COMMENT ON VIEW r.v_face IS 'a view';
COMMENT ON COLUMN r.v_face.a IS 'a column';
ALTER VIEW r.v_face ALTER id SET DEFAULT 1, ALTER a SET DEFAULT 2::r.d;
CREATE FUNCTION r.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER instead INSTEAD OF UPDATE ON r.v_face FOR EACH ROW EXECUTE FUNCTION r.instead();
CREATE TRIGGER before_a BEFORE UPDATE OF a ON r.v_face FOR EACH STATEMENT WHEN ('{1}'::r.d[] IS NOT NULL) EXECUTE FUNCTION r.instead();
CREATE RULE deleting AS ON DELETE TO r.v_face DO INSTEAD NOTHING;
RESET SESSION AUTHORIZATION;
-- One whose owner may make nothing where it is (case 25).
CREATE VIEW closed.report AS SELECT id, a, sys_period FROM app.t__with_history;
ALTER VIEW closed.report OWNER TO rights_views_reader;

CREATE FUNCTION tap.all_of_views() RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(format('%s:%s %s %s %s %s %s %s', oid::regclass, oid, relowner, relacl, reloptions,
		obj_description(oid, 'pg_class'), (SELECT string_agg(format('%s %s %s %s %s', attnum, attname, atttypid::regtype, attacl,
			col_description(attrelid, attnum)), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
		(SELECT string_agg(pg_get_triggerdef(t.oid), ',' ORDER BY tgname) FROM pg_trigger t WHERE tgrelid = c.oid))
		ORDER BY oid)
	FROM pg_class c WHERE relkind IN ('v', 'm') AND relname <> 'v_rows' AND relowner = 'rights_views_reader'::regrole $$;
-- What they show, and what they show when made again from their texts: as text,
-- since rows of the history view have its columns.
CREATE FUNCTION tap.shown() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	v regclass;
	direct text;
	again text;
BEGIN
	FOR v IN SELECT oid FROM pg_class WHERE relkind IN ('v', 'm') AND relowner = 'rights_views_reader'::regrole ORDER BY relname LOOP
		EXECUTE format('SELECT array_agg(x::text ORDER BY x::text) FROM %s x', v) INTO direct;
		EXECUTE format('SELECT array_agg(x::text ORDER BY x::text) FROM (%s) x', rtrim(pg_get_viewdef(v), ';')) INTO again;
		IF v = 'r.v_rows'::regclass THEN
			direct := left(direct, 10);
			again := left(again, 10);
		END IF;
		RETURN NEXT format('%s %s', v, direct);
		IF direct IS DISTINCT FROM again AND v <> 'r.matview'::regclass THEN
			RETURN NEXT format('%s again %s', v, again);
		END IF;
	END LOOP;
END $$;
-- Plain readers of all: the session of the reader himself.
CREATE FUNCTION tap.seen() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(s, E'\n') FROM tap.shown() s $$;
GRANT USAGE ON SCHEMA tap TO PUBLIC;
SET SESSION AUTHORIZATION rights_views_reader;
SELECT tap.seen() AS seen \gset
RESET SESSION AUTHORIZATION;
SELECT tap.all_of_views() AS views \gset
SELECT is((SELECT count(*)::int FROM regexp_matches(:'seen', ' again ', 'g')), 0, 'views made again show the same, before all');

-- The check is one that can fail.
SELECT is(tap.state('SELECT ''{1}''::r.d[]'), 'P0001 the reader''s code in another''s session', 'his domain''s check runs here when a constant is read');


-- Each command as the owner, then what the reader sees.
CREATE FUNCTION tap.unread(cmd text, views text[], seen text, test_name text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT tap.allowed(cmd, test_name || ': succeeds', 'rights_views_owner');
	RETURN NEXT tap.same_lines(array_to_string(tap.all_of_views(), E'\n'), array_to_string(views, E'\n'),
		test_name || ': users'' views are the same');
END $$;
CREATE FUNCTION tap.views_as_before(views text[], test_name text) RETURNS text LANGUAGE sql AS $$
	SELECT tap.same_lines(array_to_string(tap.all_of_views(), E'\n'), array_to_string(views, E'\n'), test_name) $$;
\set look 'SET SESSION AUTHORIZATION rights_views_reader; SELECT tap.same_lines(tap.seen(), :''seen'', ''they show the same''); RESET SESSION AUTHORIZATION;'
SELECT tap.unread('ALTER TABLE app.t DROP COLUMN b', :'views', :'seen', 'DROP COLUMN');
:look
SELECT tap.unread('ALTER TABLE app.t ADD COLUMN n int', :'views', :'seen', 'ADD COLUMN');
:look
SELECT tap.unread('ALTER TABLE app.s ADD COLUMN n int, ADD z text, ADD id2 int', :'views', :'seen', 'ADD COLUMN of names that are used elsewhere');
:look
SELECT tap.unread('ALTER TABLE app.t DROP n, DROP c, ADD b text, ADD z int DEFAULT 7', :'views', :'seen', 'several actions');
:look
SELECT tap.unread('ALTER TABLE app.s ALTER n TYPE numeric USING n / 2, DROP z', :'views', :'seen', 'ALTER TYPE of a column that none uses');
:look
SELECT tap.unread('ALTER TABLE app.t ALTER z TYPE text, ADD zz int', :'views', :'seen', 'lossless ALTER TYPE of a column that none uses');
:look
SELECT tap.unread('ALTER TABLE app.t RENAME a TO q; ALTER TABLE app.t RENAME d TO a; ALTER TABLE app.t RENAME q TO d', :'views', :'seen', 'RENAME COLUMN');
:look
SELECT tap.unread('ALTER TABLE app.t RENAME a TO q; ALTER TABLE app.t RENAME d TO a; ALTER TABLE app.t RENAME q TO d', :'views', :'seen', 'RENAME COLUMN back');
:look
SELECT tap.unread('SELECT disable_history_tracking_for_table(''app.t''), enable_history_tracking_for_table(''app.t''), create_history_view_for_table(''app.t'')',
	:'views', :'seen', 'disabling and enabling');
:look
SELECT is((SELECT count(*)::int FROM r.v_rows WHERE h IS NULL), 0, 'rows of the history view in a view: they have its columns');
SELECT is((SELECT count(*)::int FROM pg_attribute WHERE attrelid = 'app.t__with_history'::regclass AND attnum > 0),
	(SELECT max(attnum)::int FROM pg_attribute WHERE attrelid = 'app.t__with_history'::regclass), 'the view has no holes');
SELECT follows('app.t', 'all follows');
SELECT follows('app.s', 'all follows, of the other table', '{n_1 integer}');

-- A column that is used: PostgreSQL's own error, naming the views; with CASCADE they go,
-- with what is upon them, and no other.
SELECT matches((SELECT message FROM attempt('ALTER TABLE app.s DROP f')),
	'^cannot change table "s" because other objects depend on its history view(.|\n)*view r\.v_full depends on column f of view app\.s__with_history(.|\n)*view r\.v_nested depends on view r\.v_full',
	'DROP COLUMN of one that is used names the views');
SELECT views_as_before(:'views', 'and changes nothing');
BEGIN;
SELECT allowed('ALTER TABLE app.s DROP f CASCADE', 'DROP COLUMN … CASCADE', 'rights_views_owner');
SELECT is((SELECT array_agg(v ORDER BY v) FROM unnest('{r.v_full,r.v_nested,r.v_lateral,r.v_union,r.v_deep_alias,r.v_sub,r.v_using}'::text[]) v
	WHERE to_regclass(v) IS NOT NULL), '{r.v_deep_alias,r.v_using}', 'drops those that use it');
ROLLBACK;
SELECT views_as_before(:'views', 'rolled back, they are there');

-- Another type of a column that is used: the text is read as the view's owner, unless
-- that would run code.
CREATE TABLE app.u (id int PRIMARY KEY, v int, w int);
ALTER TABLE app.u OWNER TO rights_views_owner;
GRANT SELECT ON app.u TO rights_views_reader;
SELECT create_history_table('app.u');
INSERT INTO app.u VALUES (1, 1, 1);
UPDATE app.u SET v = 2;
CREATE VIEW closed.plain AS SELECT id, v, v + 1 AS next, coalesce(v, 0) AS c FROM app.u__with_history;
CREATE VIEW closed.upon AS SELECT max(v) AS m, max(next) AS n, count(id) AS k FROM closed.plain;
CREATE VIEW closed.id_alone AS SELECT id FROM closed.plain;
CREATE MATERIALIZED VIEW closed.id_stored AS SELECT id FROM closed.plain;
ALTER VIEW closed.plain OWNER TO rights_views_reader;
ALTER VIEW closed.upon OWNER TO rights_views_reader;
ALTER VIEW closed.plain ALTER v SET DEFAULT 5;
COMMENT ON COLUMN closed.plain.v IS 'the v';
GRANT SELECT (v) ON closed.plain TO rights_views_third;
SELECT format('%s %s %s', 'closed.plain'::regclass::oid, 'closed.upon'::regclass::oid, 'app.u__with_history'::regclass::oid) AS oids \gset
SELECT allowed('ALTER TABLE app.u ALTER v TYPE bigint', 'ALTER TYPE of a column that views use', 'rights_views_owner');
SELECT is((SELECT string_agg(format('%s.%s %s', attrelid::regclass, attname, atttypid::regtype), ', ' ORDER BY attrelid, attnum)
	FROM pg_attribute WHERE attnum > 0 AND attrelid IN ('closed.plain'::regclass, 'closed.upon'::regclass)),
	'closed.plain.id integer, closed.plain.v bigint, closed.plain.next bigint, closed.plain.c bigint, '
	'closed.upon.m bigint, closed.upon.n bigint, closed.upon.k bigint', 'they, and views upon them, have the new type');
SELECT is(format('%s %s %s', 'closed.plain'::regclass::oid, 'closed.upon'::regclass::oid, 'app.u__with_history'::regclass::oid), :'oids', 'and are the same relations');
SELECT is((SELECT format('%s %s %s', col_description(attrelid, attnum), attacl, pg_get_expr(adbin, adrelid)) FROM pg_attribute
	JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'closed.plain'::regclass AND attname = 'v'),
	'the v {rights_views_third=r/rights_views_reader} 5', 'what is put on their columns stays');
SELECT results_eq('SELECT v, next, m, n FROM closed.plain, closed.upon ORDER BY v', 'VALUES (1::bigint, 2::bigint, 2::bigint, 3::bigint), (2, 3, 2, 3)', 'and they work');
SELECT follows('app.u', 'all follows');

-- Other columns and other types in one command, and names that go by the columns' order.
SET SESSION AUTHORIZATION rights_views_reader;
CREATE VIEW r.v_order AS SELECT p, k, l FROM app.u__with_history AS h (k, l, m, p, q);
SELECT array_agg((k, l, p)::text ORDER BY (k, l, p)::text) AS ordered FROM r.v_order \gset
RESET SESSION AUTHORIZATION;
SELECT allowed('ALTER TABLE app.u ALTER v TYPE int USING v::int, ADD n int', 'ALTER TYPE and ADD COLUMN', 'rights_views_owner');
SELECT is((SELECT array_agg((k, l, p)::text ORDER BY (k, l, p)::text)::text FROM r.v_order), :'ordered', 'a view with column aliases means the same columns');
SELECT is((SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'r.v_order'::regclass AND attname = 'l'), 'integer', 'of the new type');
ALTER TABLE app.u ALTER v TYPE bigint, DROP n;
DROP VIEW r.v_order;

-- What names rows of the history view as they were.
SELECT columns_of('app.u__with_history') AS columns \gset
CREATE FUNCTION tap.rows_named(query text, test_name text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE VIEW r.reason AS ' || query;
	RETURN NEXT tap.refused_whole('ALTER TABLE app.u ADD nn int', '{view r.reason,rows of the history view}', test_name, '2BP01', '{app.u}');
	EXECUTE 'DROP VIEW r.reason';
END $$;
SELECT rows_named('SELECT id FROM app.u__with_history h WHERE h = ''(1,1,,,,)''::app.u__with_history', 'a constant of its row type');
SELECT rows_named('SELECT id FROM app.u__with_history h WHERE h = ROW(1, 1, 1, NULL, NULL, NULL)::app.u__with_history', 'a row made of its type');
SELECT rows_named('SELECT f.v FROM jsonb_populate_record(NULL::app.u__with_history, ''{}'') f', 'a function in FROM that returns rows of it');
SELECT rows_named('SELECT row_to_json(j) AS x FROM (app.u__with_history h JOIN app.s USING (id)) AS j', 'a whole row of a join');

-- reasons not to
CREATE FUNCTION tap.not_read(view text, cmd text, want text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SET SESSION AUTHORIZATION rights_views_reader';
	EXECUTE view;
	RESET SESSION AUTHORIZATION;
	RETURN NEXT tap.refused_whole(cmd, '{view r.reason}', want || ': the view is named', '2BP01', '{app.u}');
	RETURN NEXT tap.matches((SELECT message FROM tap.attempt(cmd)), want, want);
	RETURN NEXT tap.allowed('ALTER TABLE app.u ADD n int; ALTER TABLE app.u DROP n', want || ': other changes succeed');
	EXECUTE 'DROP VIEW r.reason';
END $$;
SELECT tap.not_read('CREATE VIEW r.reason AS SELECT v, ''{1}''::r.d[] AS x FROM app.u__with_history', 'ALTER TABLE app.u ALTER v TYPE numeric', 'constants of a type whose input runs code');
SELECT tap.not_read('CREATE VIEW r.reason AS SELECT id FROM app.u__with_history WHERE v IN (SELECT v FROM app.s WHERE ''{"(1,x)"}''::r.comp[] IS NOT NULL)', 'ALTER TABLE app.u ALTER v TYPE numeric', 'constants of a type whose input runs code');
SELECT tap.not_read('CREATE VIEW r.reason AS WITH q AS (SELECT v, ''[1,2]''::r.span FROM app.u__with_history) SELECT * FROM q', 'ALTER TABLE app.u ALTER v TYPE numeric', 'constants of a type whose input runs code');
SELECT tap.not_read('CREATE VIEW r.reason AS SELECT v << 1 AS x FROM app.u__with_history', 'ALTER TABLE app.u ALTER v TYPE numeric', 'does not hold any more: operator does not exist');
-- a function that fits better now, put there by somebody else
CREATE SCHEMA shared;
GRANT ALL ON SCHEMA shared TO PUBLIC;
SET SESSION AUTHORIZATION rights_views_reader;
CREATE FUNCTION shared.f(bigint) RETURNS text LANGUAGE sql AS 'SELECT ''mine''';
CREATE OPERATOR shared.## (RIGHTARG = bigint, FUNCTION = shared.f);
SET SESSION AUTHORIZATION rights_views_third;
CREATE FUNCTION shared.f(numeric) RETURNS text LANGUAGE sql AS 'SELECT ''a trap''';
CREATE OPERATOR shared.## (RIGHTARG = numeric, FUNCTION = shared.f);
RESET SESSION AUTHORIZATION;
SELECT tap.not_read('CREATE VIEW r.reason AS SELECT shared.f(v) AS x FROM app.u__with_history', 'ALTER TABLE app.u ALTER v TYPE numeric', 'would come to use function shared.f\(numeric\)');
SELECT tap.not_read('CREATE VIEW r.reason AS SELECT OPERATOR(shared.##) v AS x FROM app.u__with_history', 'ALTER TABLE app.u ALTER v TYPE numeric', 'would come to use operator shared.##');

-- Parents and children; columns that a child has in another order than its view.
SET SESSION AUTHORIZATION rights_views_owner;
CREATE TABLE app.par (id int PRIMARY KEY, a int);
CREATE TABLE app.kid (w int, PRIMARY KEY (id)) INHERITS (app.par);
GRANT SELECT ON app.par, app.kid TO rights_views_reader;
SELECT create_history_table('app.kid');
INSERT INTO app.par VALUES (1, 1);
INSERT INTO app.kid VALUES (2, 2, 2);
UPDATE app.par SET a = a + 10;
SET SESSION AUTHORIZATION rights_views_reader;
DROP VIEW r.v_group;
CREATE VIEW r.v_parent AS SELECT p.id, k.w, k.sys_period, '{1}'::r.d[] AS x FROM app.par__with_history p LEFT JOIN app.kid__with_history k USING (id, a);
SELECT tap.seen() AS seen \gset
RESET SESSION AUTHORIZATION;
SELECT tap.all_of_views() AS views \gset
SELECT tap.unread('ALTER TABLE app.par ADD n int', :'views', :'seen', 'ADD COLUMN of a parent');
:look
SELECT tap.unread('ALTER TABLE app.kid ADD m int; ALTER TABLE app.par DROP n', :'views', :'seen', 'DROP COLUMN of a parent');
:look
SELECT tap.unread('ALTER TABLE app.par RENAME a TO b; ALTER TABLE app.par RENAME b TO a', :'views', :'seen', 'RENAME COLUMN of a parent');
:look
SELECT tap.unread('ALTER TABLE app.kid NO INHERIT app.par; ALTER TABLE app.kid INHERIT app.par', :'views', :'seen', 'NO INHERIT');
SELECT follows('app.par', 'the parent follows');
SELECT follows('app.kid', 'the child follows');
SELECT matches((SELECT message FROM attempt('ALTER TABLE app.par DROP a')), 'view r\.v_parent depends on column a of view app\.(par|kid)__with_history',
	'a merged column of a join is used');

-- What a site has put on the columns of our own view moves with them.
DROP VIEW closed.plain CASCADE;
SET SESSION AUTHORIZATION rights_views_owner;
CREATE FUNCTION app.stored() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER late BEFORE UPDATE OF sys_period, v ON app.u__with_history FOR EACH STATEMENT EXECUTE FUNCTION app.stored();
ALTER VIEW app.u__with_history ALTER sys_period SET DEFAULT 'empty', ALTER exec_transaction_id SET DEFAULT 7;
GRANT SELECT (sys_period), UPDATE (exec_transaction_id) ON app.u__with_history TO rights_views_third;
RESET SESSION AUTHORIZATION;
SELECT format('COMMENT ON COLUMN app.u__with_history.sys_period IS %L', string_agg(md5(i::text), '')) FROM generate_series(1, 1000) i \gexec
COMMENT ON COLUMN app.u__with_history.exec_transaction_id IS 'the transaction';
CREATE FUNCTION tap.own_face() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s: %s %s %s', attname, attacl, md5(col_description(attrelid, attnum)),
		(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)), E'\n' ORDER BY attname)
		|| (SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app.u__with_history'::regclass)
		|| (SELECT string_agg(pg_describe_object(classid, objid, objsubid) || ' ' || deptype::text, E'\n' ORDER BY classid, objid, objsubid)
			FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = 'app.u__with_history'::regclass AND classid <> 'pg_rewrite'::regclass)
		|| (SELECT string_agg(pg_describe_object(classid, objid, objsubid) || refobjid::regrole, E'\n' ORDER BY 1)
			FROM (SELECT *, pg_describe_object(classid, objid, objsubid) FROM pg_shdepend WHERE classid = 'pg_class'::regclass AND dbid =
			(SELECT oid FROM pg_database WHERE datname = current_database()) AND objid = 'app.u__with_history'::regclass) s)
	FROM pg_attribute WHERE attrelid = 'app.u__with_history'::regclass AND attnum > 0 AND attname IN ('id', 'v', 'sys_period', 'exec_transaction_id') $$;
SELECT tap.own_face() AS face \gset
SELECT allowed('ALTER TABLE app.u ADD n int, DROP w', 'our own view, with things put on it', 'rights_views_owner');
SELECT same_lines(tap.own_face(), :'face', 'they are where they were');
SELECT allowed('ALTER TABLE app.u DROP n, ADD w int, ADD x int', 'again', 'rights_views_owner');
SELECT same_lines(tap.own_face(), :'face', 'they are where they were, again');
SELECT is((SELECT count(*)::int FROM pg_description WHERE objoid = 'app.u__with_history'::regclass), 3, 'no comment is left behind');
SELECT follows('app.u', 'all follows', '{v_1 bigint}');
SELECT is((SELECT array_agg(refobjid::regtype::text ORDER BY objsubid) FROM pg_depend WHERE classid = 'pg_class'::regclass
	AND objid = 'app.u__with_history'::regclass AND refclassid = 'pg_type'::regclass), NULL, 'no column depends on a type of pg_catalog');
SELECT is(obj_description('app.u__with_history'::regclass, 'pg_class'), 'The rows of the table and all their former versions, each with its period.', 'our view has a comment');

-- The types of columns go.
CREATE TYPE app.mood AS ENUM ('a', 'b');
GRANT USAGE ON TYPE app.mood TO PUBLIC;
ALTER TABLE app.u ADD m app.mood, ADD ms app.mood[], ADD last int;
SET SESSION AUTHORIZATION rights_views_reader;
CREATE VIEW r.v_mood AS SELECT m FROM app.u__with_history;
CREATE VIEW r.v_last AS SELECT id, last, sys_period FROM app.u__with_history;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(refobjid::regtype::text ORDER BY objsubid) FROM pg_depend WHERE classid = 'pg_class'::regclass
	AND objid = 'app.u__with_history'::regclass AND refclassid = 'pg_type'::regclass), '{app.mood,app.mood[]}', 'columns depend on their types');
SELECT allowed('DROP TYPE app.mood CASCADE', 'DROP TYPE … CASCADE');
SELECT is(ARRAY[to_regclass('r.v_mood') IS NULL, to_regclass('r.v_last') IS NULL], '{t,f}', 'takes along the views that use it, no other');
SELECT is((SELECT count(*)::int FROM pg_attribute WHERE attrelid IN ('app.u__with_history'::regclass, 'r.v_last'::regclass) AND attisdropped), 0, 'no view has a dropped column');
SELECT results_eq('SELECT count(*) FROM r.v_last', 'SELECT count(*) FROM app.u__with_history', 'it works');
SELECT follows('app.u', 'all follows', '{v_1 bigint}');

-- Tracking disabled, or switched off: the view is in nobody's way, and comes back where
-- it can.
CREATE TYPE app.mood AS ENUM ('a', 'b');
CREATE TABLE app.off (id int PRIMARY KEY, m app.mood, v text);
SELECT create_history_table('app.off');
INSERT INTO app.off VALUES (1, 'a', 'x');
SELECT disable_history_tracking_for_table('app.off');
BEGIN;
SELECT allowed('ALTER TABLE app.off DROP v', 'disabled: DROP COLUMN');
SELECT results_eq('SELECT id, m, sys_period IS NULL FROM app.off__with_history', $$VALUES (1, 'a'::app.mood, false)$$, 'the view is there');
ROLLBACK;
BEGIN;
SELECT allowed('ALTER TABLE app.off ALTER v TYPE varchar(10)', 'disabled: ALTER TYPE that history holds');
SELECT results_eq('SELECT v FROM app.off__with_history', $$VALUES ('x'::text)$$, 'the view is there');
ROLLBACK;
BEGIN;
SELECT allowed('ALTER TABLE app.off ALTER id TYPE text', 'disabled: ALTER TYPE that history does not hold');
SELECT hasnt_view('app', 'off__with_history', 'the view has gone');
ROLLBACK;
BEGIN;
CREATE VIEW r.on_off AS SELECT id FROM app.off__with_history;
SELECT matches(tap.state('ALTER TABLE app.off ALTER id TYPE text'), '^2BP01 .*off__with_history', 'unless a view upon it would go, too');
ROLLBACK;
BEGIN;
ALTER TABLE app.off RENAME v TO w;
ALTER TABLE app.off__history RENAME v TO w;
SELECT enable_history_tracking_for_table('app.off');
SELECT follows('app.off', 'renamed by hand while disabled: all follows');
ROLLBACK;
SELECT allowed('DROP TABLE app.off', 'disabled: DROP TABLE');
SELECT hasnt_view('app', 'off__with_history', 'takes the view along');

-- The name of the view, taken by another role (case 24): never for ours.
GRANT ALL ON SCHEMA shared TO rights_views_owner;
SET SESSION AUTHORIZATION rights_views_owner;
CREATE TABLE shared.t (id int PRIMARY KEY, a int, b int);
GRANT SELECT ON shared.t TO rights_views_third;
INSERT INTO shared.t VALUES (1, 1, 1);
SELECT create_history_table('shared.t');
GRANT SELECT ON shared.t__history TO rights_views_third;
SELECT drop_history_view_for_table('shared.t');
SET SESSION AUTHORIZATION rights_views_third;
CREATE VIEW shared.t__with_history AS SELECT id, a, b, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id FROM shared.t
	UNION ALL SELECT id, a, b, sys_period, exec_transaction_id FROM shared.t__history WHERE shared.f(1.0) <> '';
RESET SESSION AUTHORIZATION;
SELECT pg_get_viewdef('shared.t__with_history') AS trap \gset
SELECT refused('SELECT create_history_view_for_table(''shared.t'')', '{t__with_history,rights_views_third}', 'making the view is refused', '42P07');
SELECT refused('SELECT initialize_new_history_table(''shared.t'', ''shared.t__history'', ''id'')', '{t__with_history}', 'and initialize_new_history_table', '42P07');
SELECT is((SELECT string_agg(severity || ' ' || finding || ' ' || object, ', ') FROM check_history('shared.t')), 'warning view_name_taken t__with_history', 'check_history tells it');
SET client_min_messages = error;
SELECT repair_history();
SELECT enable_history_tracking_for_table('shared.t');
RESET client_min_messages;
SELECT is(pg_get_viewdef('shared.t__with_history'), :'trap', 'nothing has changed it');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 'shared.t__with_history'::regclass), 'rights_views_third', 'nor its owner');
SELECT matches((SELECT message FROM attempt('ALTER TABLE shared.t DROP b')), 'view shared\.t__with_history depends on column b of table shared\.t',
	'it is in the way as any view is');
SELECT allowed('ALTER TABLE shared.t ADD c int', 'of what no view is in the way of', 'rights_views_owner');
SELECT allowed('ALTER TABLE shared.t RENAME TO tt', 'a rename', 'rights_views_owner');
SELECT is(to_regclass('shared.tt__with_history'), NULL, 'does not take it along');
ALTER TABLE shared.tt RENAME TO t;
-- One of the owner's own, made by hand, is left alone until the owner asks for ours.
DROP VIEW shared.t__with_history;
SET SESSION AUTHORIZATION rights_views_owner;
CREATE VIEW shared.t__with_history AS SELECT id, a, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id FROM shared.t;
ALTER TABLE shared.t ADD d int, DROP c;
RESET SESSION AUTHORIZATION;
SELECT matches(pg_get_viewdef('shared.t__with_history'), 'NULL::tstzrange', 'a view made by hand is left alone');
SELECT matches(tap.state('ALTER TABLE shared.t DROP a'), '^2BP01 ', 'and in the way as any view is');
SELECT allowed('SELECT create_history_view_for_table(''shared.t'')', 'until ours is asked for', 'rights_views_owner');
SELECT follows('shared.t', 'then it follows');

-- While the command runs the view shows nothing, rather than something wrong.
SET SESSION AUTHORIZATION rights_views_owner;
CREATE FUNCTION shared.looks(int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM shared.t__with_history); END $$;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT message FROM attempt('ALTER TABLE shared.t ALTER a TYPE bigint USING shared.looks(a)')),
	'invalid input syntax for type boolean: "the history view cannot be read while its table is being changed"', 'it cannot be read meanwhile');
SELECT follows('shared.t', 'and is there afterwards');

-- Newer minor versions number the changes of a row type in its columns' options.
SELECT is((SELECT count(*)::int FROM (SELECT version < lag(version) OVER (PARTITION BY attrelid ORDER BY attnum) AS sinks FROM
	(SELECT attrelid, attnum, coalesce(substr(option, 11)::numeric, 0) AS version FROM pg_attribute
	JOIN pg_class c ON c.oid = attrelid AND relkind = 'v' LEFT JOIN unnest(attoptions) option ON option LIKE 'pg_attver=%' WHERE attnum > 0) v) x
	WHERE sinks), 0, 'no column''s version is lower than that of one before it');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY rights_views_owner, rights_views_reader, rights_views_third CASCADE;
DROP ROLE rights_views_owner, rights_views_reader, rights_views_third;
SELECT * FROM finish();
