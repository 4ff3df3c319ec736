-- The owner of a database adopts it without being superuser; the script of a trusted
-- extension runs as one.  Nothing that the owner has put in the script's way runs
-- with these rights, whether adoption comes through or is refused.
\ir lib/old.psql
DROP ROLE IF EXISTS t92h_owner;
CREATE ROLE t92h_owner;
SELECT plan(99);
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO t92h_owner', current_database())
\gexec
-- (the schema of an older server's database)
ALTER SCHEMA public OWNER TO t92h_owner;
GRANT ALL ON SCHEMA tap TO t92h_owner;

SET ROLE t92h_owner;
-- What tells: a sequence is not rolled back.
CREATE SEQUENCE public.caught;
CREATE FUNCTION public.trap() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN
		PERFORM pg_catalog.nextval('public.caught');
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION public.trap_trigger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM public.trap(); RETURN coalesce(NEW, OLD); END $$;
\ir lib/old_implementation.sql
CREATE TABLE public.timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint DEFAULT 1);
CREATE TABLE public.tracked (id int PRIMARY KEY, v text);
CREATE TABLE public.upper (id int PRIMARY KEY, v varchar(30));
CREATE TABLE public.lower (w text, PRIMARY KEY (id)) INHERITS (public.upper);
SELECT create_history_table('timed', 'edition_time', 'txid'), create_history_table('tracked'),
	create_history_table('lower') \g /dev/null
INSERT INTO timed VALUES (1, 'a');
INSERT INTO tracked VALUES (1, 'a');
INSERT INTO lower VALUES (1, 'a', 'b');
UPDATE timed SET v = 'b';
UPDATE tracked SET v = 'b';
UPDATE lower SET v = 'b';
DELETE FROM tracked__tracking;
INSERT INTO tracked__tracking VALUES (99);
DROP VIEW upper__with_history, lower__with_history;
ALTER TABLE upper ALTER v TYPE varchar(150);
RESET ROLE;

CREATE FUNCTION tap.adopt() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE EXTENSION catmaid_history VERSION 'unpackaged';
	PERFORM count(*) FROM check_history();
	ALTER EXTENSION catmaid_history UPDATE;
	PERFORM repair_history();
	PERFORM count(*) FROM check_history();
	PERFORM disable_history_tracking();
	PERFORM enable_history_tracking();
END $$;
-- One assertion: with this set by the owner, adoption by the owner or by a superuser
-- springs no trap with a superuser's rights.
CREATE FUNCTION tap.safe(trap text, test_name text, as_role name DEFAULT 't92h_owner') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT last_value + is_called::int FROM public.caught);
	a record;
BEGIN
	BEGIN
		SET LOCAL ROLE t92h_owner;
		EXECUTE trap;
		RESET ROLE;
		SELECT * INTO a FROM tap.attempt('SELECT tap.adopt()', as_role, 'public');
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	IF a.state LIKE 'XX%' THEN
		RETURN tap.is(a.message, '', test_name);
	END IF;
	RETURN tap.is((SELECT last_value + is_called::int FROM public.caught) - before, 0::bigint,
		format('%s (by %s; %s)', test_name, as_role, CASE a.state WHEN '00000' THEN 'adopted' ELSE a.state END));
END $$;

-- What would stay, and run later, is refused: casts of the types, which PostgreSQL calls
-- wherever a value is written as text or JSON.
CREATE FUNCTION tap.not_adopted(ddl text, message text, test_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	a record;
BEGIN
	BEGIN
		SET LOCAL ROLE t92h_owner;
		EXECUTE ddl;
		RESET ROLE;
		SELECT * INTO a FROM tap.attempt('SELECT tap.adopt()', 't92h_owner', 'public');
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	RETURN tap.is(concat_ws(' ', a.state, split_part(a.message, ' / ', 1)), '55000 ' || message, test_name);
END $$;
SELECT not_adopted(format('CREATE FUNCTION public.f(%1$s) RETURNS %2$s LANGUAGE sql AS ''SELECT NULL::%2$s'';
		CREATE CAST (%1$s AS %2$s) WITH FUNCTION public.f(%1$s)', x, y),
	'types of the older implementation have casts of the site''s own', format('not adopted with a cast of %s as %s', x, y))
FROM (VALUES ('public.history_change_type', 'json'), ('public.catmaid_transaction_info', 'text'),
	('public.history_change_type[]', 'text'), ('public.catmaid_table_info', 'text')) v (x, y);
SELECT not_adopted('CREATE TYPE public.mine AS ENUM (''a''); ALTER TABLE catmaid_transaction_info ADD mine public.mine' || brackets,
	'tables public.catmaid_history_table and public.catmaid_transaction_info must be ordinary tables',
	'nor with a column in the log of a type that stays the owner''s' || brackets) FROM unnest('{"","[]"}'::text[]) AS brackets;

-- Tables of others are not locked because the registry, or a trigger of an older name, says
-- that they are to be adopted.
CREATE TABLE public.others (id int PRIMARY KEY);
CREATE TABLE public.triggered (id int PRIMARY KEY);
GRANT TRIGGER ON public.triggered TO t92h_owner;
CREATE FUNCTION tap.locked() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	tables text;
BEGIN
	SET LOCAL ROLE t92h_owner;
	INSERT INTO catmaid_history_table (live_table, history_table, triggers_installed, live_table_pkey_column, time_column, txid_column)
		VALUES ('public.others', 'pg_class', true, 'id', 'a', 'b');
	CREATE TRIGGER on_change_history_trackingtable AFTER UPDATE ON public.triggered
		FOR EACH ROW EXECUTE FUNCTION public.update_history_of_row_tracking();
	PERFORM tap.adopt();
	RESET ROLE;
	tables := (SELECT string_agg(relation::regclass::text, ' ' ORDER BY 1) FROM pg_locks WHERE pid = pg_backend_pid()
		AND locktype = 'relation' AND mode = 'AccessExclusiveLock' AND relation IN ('timed'::regclass, 'others'::regclass));
	RAISE EXCEPTION '%', coalesce(tables, '') USING ERRCODE = 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
	RETURN SQLERRM;
END $$;
SELECT is(locked(), 'timed', 'adoption locks the owner''s table, and not another''s that the registry names');
CREATE FUNCTION tap.locked_triggered() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	SET LOCAL ROLE t92h_owner;
	CREATE EXTENSION catmaid_history VERSION 'unpackaged';
	RESET ROLE;
	/* (CREATE TRIGGER itself locks, less) */
	SET LOCAL ROLE t92h_owner;
	CREATE TRIGGER on_change_history_trackingtable AFTER UPDATE ON public.triggered
		FOR EACH ROW EXECUTE FUNCTION public.update_history_of_row_tracking();
	ALTER EXTENSION catmaid_history UPDATE;
	RESET ROLE;
	n := (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'triggered'::regclass AND mode = 'AccessExclusiveLock');
	RAISE EXCEPTION '%', n USING ERRCODE = 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
	RETURN SQLERRM::bigint;
END $$;
SELECT is(locked_triggered(), 0::bigint, 'nor one that has a trigger of the older implementation');

SELECT safe(trap, name, r) FROM (VALUES
	('CREATE TRIGGER x BEFORE INSERT OR UPDATE OR DELETE ON catmaid_history_table FOR EACH ROW EXECUTE FUNCTION trap_trigger()',
		'a row trigger on the registry'),
	('CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE ON catmaid_history_table EXECUTE FUNCTION trap_trigger()',
		'a statement trigger on the registry'),
	('CREATE TRIGGER catmaid_history_registry_changed AFTER INSERT OR UPDATE OR DELETE ON catmaid_history_table '
		'EXECUTE FUNCTION trap_trigger()', 'one with the name of ours'),
	('CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE ON catmaid_transaction_info FOR EACH ROW EXECUTE FUNCTION trap_trigger()',
		'a trigger on the log'),
	('CREATE TRIGGER x BEFORE INSERT OR UPDATE OR DELETE ON tracked__tracking FOR EACH ROW EXECUTE FUNCTION trap_trigger()',
		'a trigger on a tracking table'),
	('CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE ON tracked__tracking EXECUTE FUNCTION trap_trigger()',
		'a statement trigger on a tracking table'),
	('CREATE RULE x AS ON UPDATE TO catmaid_history_table DO ALSO SELECT public.trap()', 'a rule on the registry'),
	('CREATE RULE x AS ON DELETE TO tracked__tracking DO ALSO SELECT public.trap()', 'a rule on a tracking table'),
	('ALTER TABLE catmaid_history_table ADD CHECK (public.trap())', 'a check of the registry'),
	('ALTER TABLE catmaid_history_table ALTER creation_time SET DEFAULT CASE WHEN public.trap() THEN now() END', 'a default of the registry'),
	('ALTER TABLE catmaid_history_table ADD live_table_pkey_columns text[] DEFAULT CASE WHEN public.trap() THEN ''{a}''::text[] END',
		'the registry''s further column is there'),
	('ALTER TABLE catmaid_history_table ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; '
		'CREATE POLICY x ON catmaid_history_table USING (public.trap())', 'a policy on the registry'),
	('CREATE FUNCTION it(x text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS ''BEGIN PERFORM public.trap(); RETURN x; END''; '
		'CREATE INDEX ON catmaid_history_table (it(time_column)); CREATE INDEX ON catmaid_transaction_info (it(label))',
		'an index expression on registry and log'),
	('CREATE FUNCTION it(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS ''BEGIN PERFORM public.trap(); RETURN x; END''; '
		'CREATE INDEX ON tracked__tracking (it(live_pk)); CREATE INDEX ON tracked__history (it(id)) WHERE it(id) > 0',
		'an index expression on derived tables'),
	('CREATE TABLE more (trapped boolean DEFAULT public.trap() CHECK (public.trap())) INHERITS (catmaid_history_table); '
		'INSERT INTO more VALUES (''timed'', ''timed__history'', true, ''id'', NULL, ''edition_time'', ''txid''); '
		'CREATE TRIGGER x BEFORE UPDATE OR DELETE ON more FOR EACH ROW EXECUTE FUNCTION trap_trigger()',
		'a child of the registry'),
	('CREATE OR REPLACE VIEW catmaid_live_table_triggers AS SELECT live_table::oid AS live_table, public.trap() AS triggers_installed '
		'FROM catmaid_history_table', 'a helper view'),
	('CREATE OR REPLACE FUNCTION get_history_table_name(live_table regclass) RETURNS text LANGUAGE plpgsql STABLE AS '
		'''BEGIN PERFORM public.trap(); RETURN ''''tracked__history''''; END''', 'a name function'),
	('CREATE OR REPLACE FUNCTION get_history_update_trigger_name_tracking() RETURNS text LANGUAGE plpgsql STABLE AS '
		'''BEGIN PERFORM public.trap(); RETURN ''''x''''; END''', 'a trigger''s name function'),
	('CREATE OR REPLACE FUNCTION disable_history_tracking_for_table(live_table regclass, history_table regclass DEFAULT NULL) '
		'RETURNS void LANGUAGE plpgsql AS ''BEGIN PERFORM public.trap(); END''', 'a management function'),
	('CREATE OR REPLACE FUNCTION update_time_for_row() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN PERFORM public.trap(); RETURN NULL; END''',
		'a trigger function')
	) t(trap, name), unnest(ARRAY['t92h_owner', :'me']) r;
SELECT safe(replace(replace($x$
	CREATE FUNCTION eq(a #A, b #B) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM public.trap(); RETURN a::text OPERATOR(pg_catalog.=) b::text; END';
	CREATE OPERATOR = (LEFTARG = #A, RIGHTARG = #B, FUNCTION = eq)$x$, '#A', a), '#B', b), format('an operator = of %s and %s', a, b), r)
FROM (VALUES ('regclass', 'regclass'), ('regclass', 'oid'), ('oid', 'regclass'), ('oid', 'regtype'), ('oid', 'regproc'),
	('oid', 'regnamespace'), ('"char"', 'text'), ('name', 'varchar'), ('name[]', 'text[]'), ('regtype', 'regtype')) t(a, b),
	unnest(ARRAY['t92h_owner', :'me']) r;
SELECT safe(format('CREATE FUNCTION %s LANGUAGE plpgsql AS ''BEGIN PERFORM public.trap(); RETURN NULL; END''', f),
	'a function ' || f, r)
FROM unnest('{"format(text, regclass) RETURNS text","format(text, regprocedure) RETURNS text","format(text, regtype) RETURNS text",
	"format(text, name) RETURNS text","quote_ident(name) RETURNS text","concat(regclass, text) RETURNS text",
	"string_agg(name, text) RETURNS text","current_setting(name) RETURNS text","pg_get_userbyid(regrole) RETURNS name"}'::text[]) f,
	unnest(ARRAY['t92h_owner', :'me']) r;
-- Traps work: with the rights of its owner each of them may.
SELECT is((SELECT last_value + is_called::int FROM public.caught), 1::bigint, 'no trap was sprung');
SELECT public.trap() AS sprung \g /dev/null
SELECT is((SELECT last_value + is_called::int FROM public.caught), 2::bigint, 'a trap tells');

-- Adoption by the owner, for good.
SET client_min_messages = error;
SELECT allowed('SELECT tap.adopt()', 'the owner adopts', 't92h_owner', 'public');
RESET client_min_messages;
SELECT is((SELECT extowner::regrole::text || ' ' || extversion FROM pg_extension WHERE extname = 'catmaid_history'),
	't92h_owner 1.0', 'the extension is its owner''s');
SELECT whole(t, 'tracked: ' || t::text, t::text <> 'lower') FROM unnest('{timed,tracked,lower}'::regclass[]) t;
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	WHERE lanname = 'c' AND proowner = 't92h_owner'::regrole
		AND NOT (current_setting('server_version_num')::int < 140000 -- see trusted
			AND proname = ANY ('{drop_history_table,drop_history_table_keep_data}'))), NULL, 'no C function is the owner''s own');
-- Later traps, and a superuser's use.
SELECT state || message AS said FROM attempt('CREATE TRIGGER x BEFORE INSERT OR UPDATE OR DELETE ON catmaid_history_table
	FOR EACH ROW EXECUTE FUNCTION trap_trigger()', 't92h_owner') \gset
SELECT state || message AS said FROM attempt('CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE ON catmaid_transaction_info
	FOR EACH ROW EXECUTE FUNCTION trap_trigger()', 't92h_owner') \gset
SELECT state || message AS said FROM attempt('ALTER TABLE catmaid_history_table ADD CHECK (public.trap())', 't92h_owner') \gset
CREATE TABLE t (id int PRIMARY KEY);
SELECT lives_ok('SELECT create_history_table(''t''); SELECT disable_history_tracking(); SELECT enable_history_tracking();
	SELECT repair_history()', 'a superuser manages histories');
SELECT is((SELECT last_value + is_called::int FROM public.caught), 2::bigint, 'and springs no trap');
SELECT allowed('SELECT disable_history_tracking_for_table(''timed''); SELECT enable_history_tracking_for_table(''timed'');
	SELECT drop_history_table(''tracked''); SELECT create_history_table(''tracked'')', 'the owner manages its own', 't92h_owner', 'public');
SELECT allowed($$INSERT INTO catmaid_transaction_info (user_id, change_type, label) VALUES (1, 'Backend', 'x')
	ON CONFLICT DO NOTHING$$, 'labels', 't92h_owner');
SELECT is((SELECT count(*) FROM catmaid_transaction_info), 1::bigint, 'its transaction');

DROP TABLE t;
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me')
\gexec
ALTER SCHEMA public OWNER TO :"me";
DROP OWNED BY t92h_owner CASCADE;
DROP ROLE t92h_owner;
SELECT * FROM finish();
