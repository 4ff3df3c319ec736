-- Section 7: a stranger with CREATE on the schema of the extension and of the
-- tables has put there, before the extension comes, whatever may be mistaken
-- for a function, operator, type or catalog that it uses: with arguments that fit
-- better than those of pg_catalog's.  Nothing of ours refers to any of it, nothing
-- of it runs, and what is recorded is what would have been.
--
-- The lists are those of the names in src/*.c and sql/catmaid_history--*.sql
-- (grep for "pg_catalog." and "CURRENT_TIMESTAMP"); file 56 has a path that puts
-- the shadows before pg_catalog.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t68_evil;
CREATE ROLE t68_evil;
SELECT plan(31);
GRANT CREATE ON SCHEMA public TO t68_evil;
GRANT USAGE ON SCHEMA tap TO t68_evil;

SET ROLE t68_evil;
CREATE PROCEDURE public.plant() LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
	types text[] := '{oid,regclass,text,name,"char",bool,int2,int4,int8,timestamptz,tstzrange,tid,"text[]","name[]","oid[]",regproc}';
	f text;
	a text;
	b text;
	o text;
	spy text := 'LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''shadow used''''; END''';
BEGIN
	-- functions of one and of two arguments, under the names that we use
	FOREACH f IN ARRAY '{tstzrange,txid_current,concat,format,unnest,pg_partition_tree,pg_extension_config_dump,current_setting,now,transaction_timestamp,any,"array",text,int4,int8,int2,oid,regclass,tid,name,bool,timestamptz,quote_ident,quote_literal}'::text[]
	LOOP
		FOREACH a IN ARRAY types LOOP
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s', f, a,
				CASE WHEN f = 'unnest' THEN 'SETOF text' ELSE 'int4' END, spy);
		END LOOP;
		FOREACH a IN ARRAY '{timestamptz,text,name,oid,regclass}'::text[] LOOP
			FOREACH b IN ARRAY '{timestamptz,text,name,oid,regclass}'::text[] LOOP
				EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS int4 %s', f, a, b, spy);
			END LOOP;
		END LOOP;
		EXECUTE format('CREATE FUNCTION public.%I() RETURNS int4 %s', f, spy);
	END LOOP;
	-- operators between all types that occur
	FOREACH a IN ARRAY types LOOP
		FOREACH b IN ARRAY types LOOP
			EXECUTE format('CREATE FUNCTION public.shadow(%s, %s) RETURNS bool %s', a, b, spy);
			FOREACH o IN ARRAY '{=,<>,<,>,<=,>=,~,||}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.shadow)', o, a, b);
			END LOOP;
		END LOOP;
	END LOOP;
	-- types and catalogs
	FOREACH a IN ARRAY '{oid,regclass,text,name,bool,int2,int4,int8,timestamptz,tstzrange,tid}'::text[] LOOP
		EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.int4 CHECK (false)', a);
	END LOOP;
	FOREACH a IN ARRAY '{pg_class,pg_trigger,pg_inherits,pg_namespace,pg_attribute,pg_type,pg_index,pg_proc}'::text[] LOOP
		EXECUTE format('CREATE TABLE public.%I (shadow pg_catalog.int4)', a);
	END LOOP;
END $$;
CALL public.plant();
-- casts of types of his own
CREATE TYPE public.kind AS ENUM ('a', 'b', 'c');
CREATE FUNCTION public.kind_text(public.kind) RETURNS pg_catalog.text LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'shadow used'; END $$;
CREATE CAST (public.kind AS pg_catalog.text) WITH FUNCTION public.kind_text(public.kind) AS IMPLICIT;
RESET ROLE;
-- pgTAP is no match for this; what is tested gets the path that it has by default.
SET search_path = pg_catalog, tap;
CREATE FUNCTION tap.value(cmd pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql
SET search_path = public AS $$
DECLARE v pg_catalog.text;
BEGIN EXECUTE cmd INTO v; RETURN v;
EXCEPTION WHEN OTHERS THEN RETURN pg_catalog.concat(SQLSTATE, ' ', SQLERRM); END $$;
SELECT tap.is(tap.value('SELECT 1::oid = ''pg_class''::regclass'), 'P0001 shadow used',
	'control: an operator of his fits better');
SELECT tap.is(tap.value('SELECT unnest(ARRAY[''a''])'), 'P0001 shadow used', 'control: a function does');

SELECT tap.is(tap.state('CREATE EXTENSION catmaid_history SCHEMA public', NULL, 'public'), '00000',
	'the extension comes among them');
CREATE FUNCTION tap.of_his() RETURNS pg_catalog.text LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) || ' on ' ||
		pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), E'\n')
	FROM pg_depend d
	WHERE CASE d.refclassid
		WHEN 'pg_proc'::regclass THEN (SELECT proowner FROM pg_proc WHERE oid = refobjid)
		WHEN 'pg_operator'::regclass THEN (SELECT oprowner FROM pg_operator WHERE oid = refobjid)
		WHEN 'pg_type'::regclass THEN (SELECT typowner FROM pg_type WHERE oid = refobjid AND typname <> 'kind')
		WHEN 'pg_class'::regclass THEN (SELECT relowner FROM pg_class WHERE oid = refobjid)
		END = 't68_evil'::regrole
	AND CASE d.classid
		WHEN 'pg_rewrite'::regclass THEN (SELECT relowner FROM pg_class c JOIN pg_rewrite r ON c.oid = ev_class WHERE r.oid = d.objid)
		WHEN 'pg_class'::regclass THEN (SELECT relowner FROM pg_class WHERE oid = d.objid)
		WHEN 'pg_attrdef'::regclass THEN (SELECT relowner FROM pg_class c JOIN pg_attrdef a ON c.oid = adrelid WHERE a.oid = d.objid)
		WHEN 'pg_proc'::regclass THEN (SELECT proowner FROM pg_proc WHERE oid = d.objid)
		WHEN 'pg_trigger'::regclass THEN (SELECT relowner FROM pg_class c JOIN pg_trigger t ON c.oid = tgrelid WHERE t.oid = d.objid)
		END <> 't68_evil'::regrole $$;
SELECT tap.is(tap.of_his(), NULL, 'none of its objects refers to one of his');

-- A life of tables in the same schema, as a superuser, under the default path.
CREATE TABLE public.base (id pg_catalog.int8 PRIMARY KEY, a pg_catalog.text);
CREATE TABLE public.leaf (b pg_catalog.text, PRIMARY KEY (id)) INHERITS (public.base);
CREATE TABLE public.timed (id pg_catalog.int4 PRIMARY KEY, a pg_catalog.text,
	edition_time pg_catalog.timestamptz DEFAULT pg_catalog.now(), txid pg_catalog.int8);
CREATE TABLE public.two (x pg_catalog.oid, y pg_catalog.name, a pg_catalog.text, PRIMARY KEY (x, y));
CREATE TABLE public.part (id pg_catalog.int4 PRIMARY KEY, a pg_catalog.text) PARTITION BY LIST (id);
CREATE TABLE public.part1 PARTITION OF public.part FOR VALUES IN (1, 2, 3);
CREATE TABLE public.kinds (k public.kind PRIMARY KEY, a pg_catalog.text);
CREATE FUNCTION tap.fine(cmd pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS
$$ SELECT tap.is(tap.state(cmd, NULL, 'public, pg_temp'), '00000', cmd) $$;
SELECT tap.fine($$SELECT create_history_table('leaf'), create_history_table('two'), create_history_table('part'),
	create_history_table('timed', 'edition_time', 'txid'), create_history_table('kinds')$$);
SELECT tap.fine($$INSERT INTO leaf VALUES (1, 'a', 'x'), (2, 'b', 'x'); INSERT INTO timed VALUES (1, 'a'), (2, 'b');
	INSERT INTO two VALUES (1, 'n', 'a'), (2, 'n', 'b'); INSERT INTO part VALUES (1, 'a'), (2, 'b');
	INSERT INTO kinds VALUES ('a', 'a'), ('b', 'b')$$);
SELECT tap.fine(pg_catalog.format('UPDATE %s SET a = ''new''', t))
FROM pg_catalog.unnest('{base,timed,two,part,kinds}'::pg_catalog.text[]) t;
SELECT tap.fine($$SELECT disable_history_tracking()$$);
SELECT tap.fine($$INSERT INTO two VALUES (9, 'n', 'late'); SELECT enable_history_tracking()$$);
SELECT tap.fine($$SELECT reload_history_tracking(), sync_tracking_table('two', 'two__tracking')$$);
SELECT tap.fine($$ALTER TABLE base ADD COLUMN c pg_catalog.int4; ALTER TABLE base RENAME COLUMN c TO d$$);
SELECT tap.fine($$ALTER TABLE two ALTER COLUMN a TYPE pg_catalog.varchar(4)$$);
SELECT tap.fine($$ALTER TABLE part DROP COLUMN a; ALTER TABLE part DETACH PARTITION part1$$);
SELECT tap.fine($$ALTER TABLE two RENAME TO pairs; TRUNCATE pairs, timed$$);
SELECT tap.is(tap.value($$SELECT pg_catalog.string_agg(h::pg_catalog.text, ';' ORDER BY a USING OPERATOR(pg_catalog.<)) FROM (SELECT id, a, b FROM public.leaf__history) h$$),
	'(1,a,x);(2,b,x)', 'the versions of leaf');
SELECT tap.is(tap.value($$SELECT pg_catalog.string_agg(h::pg_catalog.text, ';' ORDER BY h::pg_catalog.text USING OPERATOR(pg_catalog.<)) FROM (SELECT x, y, a, a_1 FROM public.pairs__history) h$$),
	'(1,n,a,a);(1,n,new,);(2,n,b,b);(2,n,new,);(9,n,late,)', 'the versions of a table of two keys');
SELECT tap.fine(pg_catalog.format('SELECT pg_catalog.count(*) FROM %s', v))
FROM pg_catalog.unnest('{catmaid_live_table_triggers,catmaid_inheriting_tables,catmaid_table_info,base__with_history,pairs__with_history}'::pg_catalog.text[]) v;
SELECT tap.is(tap.value($$SELECT pg_catalog.string_agg(pg_catalog.concat(live_table, triggers_installed), ',' ORDER BY live_table::pg_catalog.text USING OPERATOR(pg_catalog.<)) FROM catmaid_live_table_triggers$$),
	'baset,kindst,leaft,pairst,partt,timedt', 'the helper view tells the truth');
SELECT tap.fine($$SELECT get_history_table_name('pairs'), history_table_name('pairs'), get_tracking_table_name('pairs'),
	get_history_view_name('pairs'), get_history_update_fn_name_regular('pairs'), get_history_txid_update_fn_name_regular('pairs')$$);
SELECT tap.is(tap.of_his(), NULL, 'none of the objects made since refers to one of his');
SELECT tap.fine($$INSERT INTO catmaid_transaction_info (user_id, change_type, label) VALUES (1, 'Backend', 'x') ON CONFLICT DO NOTHING$$);
SELECT tap.fine($$SELECT drop_history_table_keep_data('kinds'), drop_all_history_tables()$$);
SELECT tap.is((SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc WHERE pronamespace OPERATOR(pg_catalog.=) 'public'::pg_catalog.regnamespace::pg_catalog.oid
	AND proname OPERATOR(pg_catalog.=) 'unnest'::pg_catalog.name) OPERATOR(pg_catalog.>) 10::pg_catalog.int8, true, 'control: they were all there');

SET client_min_messages = error;
DROP EXTENSION catmaid_history;
SET search_path = pg_catalog, tap;
DROP OWNED BY t68_evil CASCADE;
DROP ROLE t68_evil;
SELECT * FROM tap.finish();
