-- Section 7: a stranger with CREATE on the schema of the extension and of the
-- tables has put there, before the extension comes, whatever may be mistaken
-- for a function, operator, type or catalog that it uses: with arguments that fit
-- better than those of pg_catalog's.  Nothing of ours refers to any of it, nothing
-- of it runs, and what is recorded is what would have been.
--
-- Twice: by the path that everyone has, where PostgreSQL searches pg_catalog first and a
-- shadow is met where it fits better, and by one that puts the shadows before it.
--
-- The lists are those of the names in src/*.c and sql/catmaid_history--*.sql:
-- test/t/qualified.pl says which are missing.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t68_evil;
CREATE ROLE t68_evil;
SELECT plan(98);
GRANT CREATE ON SCHEMA public TO t68_evil;
GRANT USAGE ON SCHEMA tap TO t68_evil;

SET ROLE t68_evil;
SET search_path = pg_catalog, public, tap, pg_temp; -- temporary types last, or this file meets them
CREATE PROCEDURE public.plant() LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	functions text[] := '{btint4cmp,to_regnamespace,tstzrange,txid_current,row_security_active,clock_timestamp,lower_inf,min,num_nulls,upper,max,pg_event_trigger_ddl_commands,concat,format,unnest,pg_partition_tree,pg_extension_config_dump,current_setting,now,transaction_timestamp,quote_ident,quote_literal,array_agg,array_to_string,count,current_database,current_schema,isempty,lead,lower,pg_get_userbyid,row_number,first_value,strpos,substr,upper_inf,nextval,string_agg,any,"array",text,int4,int8,int2,oid,regclass,tid,name,bool,timestamptz,abs,bool_and,date_part,format_type,has_sequence_privilege,jsonb_hash_extended,jsonb_populate_record,lag,pg_get_expr,pg_get_indexdef,pg_sequence_last_value,pg_visible_in_snapshot,record_image_eq,to_jsonb,has_table_privilege,pg_has_role,to_regclass,jsonb_build_object,bit,convert_to,jsonb_build_array,md5,obj_description,replace,set_config,sum}';
	operators text[] := '{<@,=,<>,<,>,<=,>=,~,~~,||,-,&&,+,->,->>,@>,*=}';
	types text[] := '{oid,regclass,text,name,"char",bool,int2,int4,int8,timestamptz,tstzrange,tid,"text[]","name[]","oid[]",regproc}';
	domains text[] := '{oid,regclass,text,name,"char",bool,int2,int4,int8,timestamptz,tstzrange,tid,event_trigger,regrole,interval,jsonb,pg_snapshot,xid8,cid}';
	relations text[] := '{pg_class,pg_trigger,pg_inherits,pg_namespace,pg_attribute,pg_type,pg_index,pg_proc,pg_database,pg_extension,pg_roles,pg_attrdef,pg_collation,pg_depend,pg_sequence,pg_opclass,pg_constraint,pg_foreign_server,pg_foreign_table}';
	f text;
	a text;
	b text;
	o text;
	spy text := 'LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''shadow used''''; END''';
BEGIN
	-- functions of one and of two arguments, under the names that we use
	FOREACH f IN ARRAY functions
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
		EXECUTE format('CREATE FUNCTION public.%I(text, int4, int4) RETURNS text %s', f, spy);
	END LOOP;
	-- operators between all types that occur
	FOREACH a IN ARRAY types LOOP
		FOREACH b IN ARRAY types LOOP
			EXECUTE format('CREATE FUNCTION public.shadow(%s, %s) RETURNS bool %s', a, b, spy);
			FOREACH o IN ARRAY operators LOOP
				EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.shadow)', o, a, b);
			END LOOP;
		END LOOP;
	END LOOP;
	-- types and catalogs; of the session's temporary ones, too
	FOREACH a IN ARRAY '{public,pg_temp}'::text[] LOOP
		FOREACH b IN ARRAY domains LOOP
			EXECUTE format('CREATE DOMAIN %s.%I AS pg_catalog.int4 CHECK (false)', a, b);
		END LOOP;
		FOREACH b IN ARRAY relations LOOP
			EXECUTE format('CREATE TABLE %s.%I (shadow pg_catalog.int4)', a, b);
		END LOOP;
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
SET search_path = pg_catalog, tap, pg_temp;
CREATE FUNCTION tap.value(cmd pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE v pg_catalog.text;
BEGIN PERFORM set_config('search_path', current_setting('t68.path'), true); EXECUTE cmd INTO v; RETURN v;
EXCEPTION WHEN OTHERS THEN RETURN pg_catalog.concat(SQLSTATE, ' ', SQLERRM); END $$;
SELECT tap.is(tap.state('CREATE EXTENSION catmaid_history SCHEMA public', NULL, 'public'), '00000',
	'the extension comes among them');
CREATE FUNCTION tap.of_his() RETURNS pg_catalog.text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
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

CREATE FUNCTION tap.fine(cmd pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS
$$ SELECT tap.is(tap.state(cmd, NULL, pg_catalog.current_setting('t68.path')), '00000', cmd) $$;
SET t68.path = 'public, pg_temp';
\ir lib/shadows.psql
SET t68.path = 'pg_temp, public, pg_catalog';
SELECT tap.is(tap.value('SELECT current_database()'), 'P0001 shadow used', 'control: shadows come first');
\ir lib/shadows.psql
SELECT tap.is((SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc WHERE pronamespace OPERATOR(pg_catalog.=) 'public'::pg_catalog.regnamespace::pg_catalog.oid
	AND proname OPERATOR(pg_catalog.=) 'unnest'::pg_catalog.name) OPERATOR(pg_catalog.>) 10::pg_catalog.int8, true, 'control: they were all there');

SET client_min_messages = error;
DROP EXTENSION catmaid_history;
SET search_path = pg_catalog, tap, pg_temp;
DROP OWNED BY t68_evil CASCADE;
DROP ROLE t68_evil;
SELECT * FROM tap.finish();
