-- Section 5: X__with_history never stands in the way, and comes back as it was.
\ir lib/follow.psql
DROP ROLE IF EXISTS t77_owner;
DROP ROLE IF EXISTS t77_viewer;
DROP ROLE IF EXISTS t77_reader;
DROP ROLE IF EXISTS t77_third;
DROP ROLE IF EXISTS t77_leak;
CREATE ROLE t77_owner;
CREATE ROLE t77_viewer;
CREATE ROLE t77_reader;
CREATE ROLE t77_third;
CREATE ROLE t77_leak;
CREATE EXTENSION catmaid_history;
SELECT plan(57);

CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT CREATE ON SCHEMA app TO t77_owner;
CREATE TABLE app.t (id int PRIMARY KEY, v int, w text, x int, y int);
ALTER TABLE app.t OWNER TO t77_owner;
GRANT SELECT ON app.t TO t77_reader;
SELECT create_history_table('app.t');
INSERT INTO app.t VALUES (1, 1, 'w', 1, 1), (2, 2, 'w', 2, 2);
UPDATE app.t SET v = v + 1;

-- What a site may have done to the view.
REVOKE SELECT ON app.t__with_history FROM t77_reader;
SET ROLE t77_owner;
GRANT SELECT ON app.t__with_history TO t77_reader WITH GRANT OPTION;
GRANT SELECT (id, w), INSERT (w), REFERENCES (w) ON app.t__with_history TO t77_third WITH GRANT OPTION;
GRANT UPDATE (v) ON app.t__with_history TO PUBLIC;
GRANT TRIGGER ON app.t__with_history TO t77_third;
REVOKE DELETE ON app.t__with_history FROM t77_owner;
SET ROLE t77_reader;
GRANT SELECT ON app.t__with_history TO t77_third;
SET ROLE t77_third;
GRANT SELECT (w) ON app.t__with_history TO t77_leak;
RESET ROLE;
COMMENT ON VIEW app.t__with_history IS 'All of t''s rows';
COMMENT ON COLUMN app.t__with_history.w IS 'the w''s';
COMMENT ON COLUMN app.t__with_history.sys_period IS 'when';
ALTER VIEW app.t__with_history SET (security_barrier = true);
ALTER VIEW app.t__with_history ALTER id SET DEFAULT 5;
CREATE FUNCTION app.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "Odd tr" INSTEAD OF INSERT ON app.t__with_history FOR EACH ROW EXECUTE FUNCTION app.instead('it''s', 2);
COMMENT ON TRIGGER "Odd tr" ON app.t__with_history IS 'instead';
-- What SECURITY LABEL does, without a provider.
SET allow_system_table_mods = on;
INSERT INTO pg_seclabel SELECT 'app.t__with_history'::regclass, 'pg_class'::regclass, n, 'provider', 'label ' || n
	FROM unnest('{0,1}'::int[]) n;
RESET allow_system_table_mods;
-- Default privileges are for new views, and ours is none.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO t77_leak;
ALTER DEFAULT PRIVILEGES FOR ROLE t77_owner GRANT ALL ON TABLES TO t77_leak;
ALTER DEFAULT PRIVILEGES FOR ROLE t77_viewer GRANT ALL ON TABLES TO t77_leak;

-- All that is to come back, by names.
CREATE FUNCTION tap.face(v regclass, but text DEFAULT '') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT format('view owner %s options %s kind %s', relowner::regrole,
			(SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o), relkind)
		FROM pg_class WHERE oid = v
		UNION ALL SELECT format('privilege %s', a) FROM pg_class, unnest(relacl) a WHERE oid = v
		UNION ALL SELECT format('column privilege %s %s', attname, a)
		FROM pg_attribute, unnest(attacl) a WHERE attrelid = v AND attname <> but
		UNION ALL SELECT format('comment %s %s', attname, description)
		FROM pg_description d LEFT JOIN pg_attribute ON attrelid = v AND attnum = objsubid
		WHERE objoid = v AND d.classoid = 'pg_class'::regclass AND attname IS DISTINCT FROM but
		UNION ALL SELECT format('default %s %s', adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE adrelid = v
		UNION ALL SELECT format('label %s %s %s', objsubid, provider, label) FROM pg_seclabel WHERE objoid = v
		UNION ALL SELECT format('%s %s', pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger'))
		FROM pg_trigger WHERE tgrelid = v
		UNION ALL SELECT format('extension %s', deptype)
		FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = v AND deptype <> 'n'
	) x(line) $$;
SELECT tap.face('app.t__with_history') AS face, tap.face('app.t__with_history', 'w') AS face_less_w \gset

-- One change, by the owner, and what is left of the view's face.
CREATE FUNCTION tap.faced(cmd text, test_name text, face text, kept text[] DEFAULT '{}',
	as_role name DEFAULT 't77_owner') RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT tap.allowed(cmd, test_name || ': succeeds', as_role);
	RETURN NEXT tap.same_lines(tap.face('app.t__with_history'), face, test_name || ': the view is as it was');
	RETURN NEXT tap.follows('app.t', test_name || ': all follows', kept);
END $$;
SELECT tap.faced('ALTER TABLE app.t ADD n int DEFAULT 3', 'ADD COLUMN', :'face');
SELECT tap.faced('ALTER TABLE app.t DROP n', 'DROP COLUMN', :'face');
SELECT tap.faced('ALTER TABLE app.t ALTER v TYPE bigint', 'lossless ALTER TYPE', :'face');
SELECT tap.faced('ALTER TABLE app.t ALTER v TYPE int USING v::int', 'lossy ALTER TYPE', :'face', '{v_1 bigint}');
SELECT tap.faced('ALTER TABLE app.t ALTER x TYPE text, DROP y, ADD z int', 'several actions', :'face', '{v_1 bigint}');
SELECT tap.faced('ALTER TABLE app.t DROP z CASCADE', 'DROP COLUMN … CASCADE', :'face', '{v_1 bigint}');
SELECT tap.faced('ALTER TABLE app.t RENAME w TO ww', 'RENAME COLUMN', replace(replace(
	:'face', 'comment w ', 'comment ww '), 'privilege w ', 'privilege ww '), '{v_1 bigint}');
SELECT tap.faced('ALTER TABLE app.t RENAME ww TO w', 'RENAME COLUMN back', :'face', '{v_1 bigint}');
SELECT tap.faced('ALTER TABLE app.t ALTER w TYPE varchar', 'ALTER TYPE of a column with privileges and comment',
	:'face', '{v_1 bigint}', 'postgres');
SELECT tap.faced('ALTER TABLE app.t DROP w', 'DROP COLUMN of that column',
	:'face_less_w', '{v_1 bigint}', 'postgres');

SELECT is((SELECT count(*)::int FROM regexp_matches(:'face', '(default 1|label [01]|CREATE TRIGGER) ', 'g')), 4,
	'defaults, labels and triggers are looked at');

-- A history column that is wider than the live one is no reason to make it anew.
CREATE TABLE app.w (id int PRIMARY KEY, v varchar(10), w int, d numeric(8, 2));
SELECT create_history_table('app.w');
SELECT disable_history_tracking_for_table('app.w'), drop_history_view_for_table('app.w');
ALTER TABLE app.w__history ALTER v TYPE varchar(20), ALTER w TYPE bigint;
SELECT create_history_view_for_table('app.w'), enable_history_tracking_for_table('app.w');
SELECT 'app.w__with_history'::regclass::oid AS view \gset
CREATE MATERIALIZED VIEW app.mv AS SELECT * FROM app.w__with_history;
SELECT allowed('ALTER TABLE app.w ADD UNIQUE (v), ALTER d SET DEFAULT 1', 'a materialized view upon it is not in the way of commands that change no type');
SELECT allowed('SELECT enable_history_tracking_for_table(''app.w'')', 'nor of enabling');
SELECT allowed('SELECT create_history_view_for_table(''app.w'')', 'nor of making the view as it is');
SELECT is('app.w__with_history'::regclass::oid, :view::oid, 'it is the same view still');
DROP MATERIALIZED VIEW app.mv;
ALTER TABLE app.w ALTER d TYPE numeric(10, 2);
SELECT is((SELECT array_agg(format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'app.w__with_history'::regclass), '{integer,character varying,bigint,"numeric(10,2)",tstzrange,bigint,bigint}',
	'and one that has to change has the history''s types');
DROP TABLE app.w;

-- A view that has been given to another role.
CREATE TABLE app.o (id int PRIMARY KEY, v int);
ALTER TABLE app.o OWNER TO t77_owner;
SELECT create_history_table('app.o');
INSERT INTO app.o VALUES (1, 1);
ALTER VIEW app.o__with_history OWNER TO t77_viewer;
-- before 15 a view is read with its owner's rights
SELECT current_setting('server_version_num')::int >= 150000 AS v15 \gset
\if :v15
\else
GRANT SELECT ON app.o, app.o__history, app.o__tracking TO t77_viewer;
\endif
SET ROLE t77_viewer;
GRANT SELECT ON app.o__with_history TO t77_reader WITH GRANT OPTION;
RESET ROLE;
SELECT tap.face('app.o__with_history') AS face \gset
SELECT allowed('ALTER TABLE app.o ADD w int', 'a view of another role''s: ADD', 't77_owner');
SELECT same_lines(tap.face('app.o__with_history'), :'face', 'a view of another role''s: as it was');
SELECT follows('app.o', 'a view of another role''s: all follows');
SELECT allowed('ALTER TABLE app.o ALTER v TYPE text USING v || ''x''', 'a view of another role''s: ALTER TYPE', 't77_owner');
SELECT allowed('ALTER TABLE app.o DROP w', 'a view of another role''s: DROP', 't77_owner');
SELECT same_lines(tap.face('app.o__with_history'), :'face', 'a view of another role''s: still as it was');
SELECT follows('app.o', 'a view of another role''s: all follows', '{v_1 integer}');
SELECT allowed('DROP TABLE app.o', 'a view of another role''s: DROP TABLE', 't77_owner');

-- No view, no view made.
SET ROLE t77_owner;
CREATE TABLE app.n (id int PRIMARY KEY, v int);
SELECT create_history_table('app.n');
INSERT INTO app.n VALUES (1, 1);
SELECT drop_history_view_for_table('app.n');
ALTER TABLE app.n ADD w int;
RESET ROLE;
SELECT follows('app.n', 'no view is made where none was: ADD', '{}', false);
ALTER TABLE app.n ALTER v TYPE bigint, DROP w;
SELECT follows('app.n', 'no view is made where none was: ALTER TYPE, DROP', '{}', false);
SELECT create_history_view_for_table('app.n');
SELECT follows('app.n', 'and one made later fits');
DROP VIEW app.n__with_history;
ALTER TABLE app.n ADD w int;
SELECT follows('app.n', 'nor after a DROP VIEW by hand', '{}', false);
CREATE VIEW app.n__with_history AS SELECT 1 AS mine;
ALTER TABLE app.n ADD y int, ALTER v TYPE numeric;
SELECT columns_are('app', 'n__with_history', ARRAY['mine'], 'a view of the site''s of this name is left alone');
DROP VIEW app.n__with_history;

-- DROP TABLE, without CASCADE.
SELECT create_history_view_for_table('app.n');
SELECT allowed('DROP TABLE app.n', 'DROP TABLE without CASCADE succeeds', 't77_owner');
SELECT is(to_regclass('app.n__with_history') IS NULL AND to_regclass('app.n__history') IS NULL, true,
	'DROP TABLE takes the view along');
CREATE TABLE app.a (id int PRIMARY KEY, v int);
CREATE TABLE app.b (id int PRIMARY KEY, v int);
SELECT create_history_table('app.a');
SELECT create_history_table('app.b');
DROP TABLE app.a, app.b;
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname ~ '^[ab]__'), 0, 'DROP TABLE of two tables');
CREATE TABLE app.c (id int PRIMARY KEY, v int);
SELECT create_history_table('app.c');
SELECT refused_whole('DROP TABLE app.c, app.nothing', '{nothing}', 'DROP TABLE that fails', '42P01', '{app.c}', false);
INSERT INTO app.c VALUES (1, 1);
SELECT refused_whole('ALTER TABLE app.c ALTER v TYPE bigint, DROP nothing', '{nothing}',
	'an ALTER TABLE that fails early', '42703', '{app.c}', false);
SELECT refused_whole('ALTER TABLE app.c ALTER v TYPE bigint USING v / 0', '{}',
	'an ALTER TABLE that fails late', '22012', '{app.c}', false);
ALTER TABLE app.c ALTER v TYPE bigint;
SELECT follows('app.c', 'and one that succeeds after them');
-- security_invoker is what our view has, from the start and still.
SELECT is((SELECT reloptions FROM pg_class WHERE oid = 'app.c__with_history'::regclass),
	CASE WHEN :'v15' THEN '{security_invoker=true}'::text[] END, 'security_invoker stays');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY t77_owner CASCADE;
DROP OWNED BY t77_viewer CASCADE;
DROP OWNED BY t77_reader CASCADE;
DROP OWNED BY t77_third CASCADE;
DROP OWNED BY t77_leak CASCADE;
DROP ROLE t77_owner, t77_viewer, t77_reader, t77_third, t77_leak;
SELECT * FROM finish();
