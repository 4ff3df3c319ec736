-- Section 1: nothing depends on search_path.  Functions, operators, types and
-- tables in public, in the extension's schema and in pg_temp shadow those of
-- pg_catalog; each of them complains when it is used.
\ir lib/hostile.psql
CREATE SCHEMA ext;
CREATE SCHEMA bad;
CREATE SCHEMA app;
SELECT plan(31);

-- Shadows, in one schema after the other.
CREATE PROCEDURE tap.plant(place text) LANGUAGE plpgsql AS $$
DECLARE
	f text;
	o text;
	t text;
BEGIN
	FOREACH f IN ARRAY ARRAY['now()|timestamptz', 'transaction_timestamp()|timestamptz',
		'statement_timestamp()|timestamptz', 'txid_current()|bigint',
		'tstzrange(timestamptz,timestamptz)|tstzrange',
		'tstzrange(timestamptz,timestamptz,text)|tstzrange',
		'upper(tstzrange)|timestamptz', 'lower(tstzrange)|timestamptz',
		'count(int)|bigint', 'format(text,text)|text', 'quote_ident(text)|text',
		'quote_ident(name)|text', 'to_regclass(text)|regclass', 'pg_get_viewdef(oid)|text',
		'pg_has_role(oid,text)|boolean', 'current_setting(text)|text',
		'set_config(text,text,boolean)|text', 'least(timestamptz,timestamptz)|timestamptz',
		'txid_current_snapshot()|text', 'pg_relation_size(regclass)|bigint',
		'isempty(tstzrange)|boolean', 'upper_inf(tstzrange)|boolean',
		'history_table_name(regclass)|text', 'pg_table_is_visible(oid)|boolean',
		'pg_get_triggerdef(oid)|text', 'array_length(int2vector,int)|int',
		'obj_description(oid,text)|text', 'concat(text,text)|text',
		'concat(name,text)|text'] LOOP
		CONTINUE WHEN place = 'ext' AND f ~ '^history_table_name';
		EXECUTE format('CREATE FUNCTION %s.%s RETURNS %s LANGUAGE plpgsql AS '
			'''BEGIN RAISE EXCEPTION ''''shadow function used''''; END''', place,
			regexp_replace(split_part(f, '|', 1), '^\w+', '"\&"'),
			split_part(f, '|', 2));
	END LOOP;
	IF place = 'pg_temp' THEN
		NULL;		-- functions and operators of pg_temp are never found unqualified
	ELSE
		EXECUTE format('CREATE FUNCTION %s.op(anyelement, anyelement) RETURNS '
			'boolean LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION '
			'''''shadow operator used''''; END''', place);
		FOREACH t IN ARRAY '{int,bigint,oid,regclass,text,name,"char",smallint,timestamptz,tstzrange,boolean}'::text[]
		LOOP
			EXECUTE format('CREATE FUNCTION %s.op(%s, %s) RETURNS boolean '
				'LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''shadow operator '
				'used''''; END''', place, t, t);
			FOREACH o IN ARRAY '{=,<>,<,>,<=,>=,@>,&&}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR %s.%s (LEFTARG = %s, RIGHTARG = %s, '
					'FUNCTION = %s.op)', place, o, t, t, place);
			END LOOP;
		END LOOP;
		FOREACH t IN ARRAY '{oid:regclass,regclass:oid,name:text,text:name,int:bigint,bigint:int,smallint:int}'::text[]
		LOOP
			EXECUTE format('CREATE FUNCTION %s.op(%s, %s) RETURNS boolean '
				'LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''shadow operator '
				'used''''; END''', place, split_part(t, ':', 1), split_part(t, ':', 2));
			EXECUTE format('CREATE OPERATOR %s.= (LEFTARG = %s, RIGHTARG = %s, '
				'FUNCTION = %s.op)', place, split_part(t, ':', 1),
				split_part(t, ':', 2), place);
		END LOOP;
	END IF;
	FOREACH t IN ARRAY '{tstzrange,text,regclass,name,timestamptz,oid,int8,bool}'::text[]
	LOOP
		EXECUTE format('CREATE DOMAIN %s.%I AS pg_catalog.int2 '
			'CHECK (VALUE IS NULL AND VALUE IS NOT NULL)', place, t);
	END LOOP;
	FOREACH t IN ARRAY '{pg_class,pg_trigger,pg_inherits,pg_attribute,pg_index,pg_constraint,pg_namespace,pg_proc,catmaid_history_table,t,t__history,t__tracking,t__with_history,timed,timed__history}'::text[]
	LOOP
		CONTINUE WHEN place = 'ext' AND t = 'catmaid_history_table';
		EXECUTE format('CREATE TABLE %s.%I (shadow pg_catalog.int4)', place, t);
	END LOOP;
END $$;
CALL tap.plant('ext');
SELECT allowed('CREATE EXTENSION catmaid_history SCHEMA ext',
	'the install script meets shadows in its schema and uses none');
SELECT is((SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = 'ext.catmaid_history_table'::regclass
	AND attnum BETWEEN 1 AND 8), 'regclass,regclass,boolean,text,regclass,text,text,'
	|| 'timestamp with time zone', 'its tables have the real types');
CALL tap.plant('bad');
-- Explicitly last, or the temporary types would hit this file and pgTAP.
SET search_path = pg_catalog, public, tap, pg_temp;
CALL tap.plant('pg_temp');

CREATE TABLE app.t (id int PRIMARY KEY, v text);
CREATE TABLE app.timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app.base (id bigint PRIMARY KEY, v text);
CREATE TABLE app.leaf (w text, PRIMARY KEY (id)) INHERITS (app.base);
CREATE TABLE app.two (a int, b text, v text, PRIMARY KEY (a, b));
INSERT INTO app.t VALUES (1, 'one'), (2, 'two');
INSERT INTO app.timed (id, v) VALUES (1, 'one'), (2, 'two');
INSERT INTO app.leaf VALUES (1, 'one', 'wide');
INSERT INTO app.two VALUES (1, 'x', 'one'), (2, 'x', 'two');

CREATE PROCEDURE tap.under(cmd text, INOUT result text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'bad, ext, pg_temp, pg_catalog', true);
	EXECUTE cmd;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, tap, pg_temp', true);
	result := '00000';
EXCEPTION WHEN OTHERS THEN
	result := SQLERRM;
END $$;
CREATE FUNCTION tap.unmoved(cmd text, test_name text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, tap, pg_temp AS $$
DECLARE
	result text;
BEGIN
	CALL tap.under(cmd, result);
	RETURN tap.is(result, '00000'::text, test_name);
END $$;
-- Prove that the path is hostile, or all that follows would prove nothing.
CALL tap.under('SELECT 1 = 1', NULL) \gset
SELECT is(:'result'::text, 'shadow operator used', 'control: operators are shadowed');
CALL tap.under('SELECT now()', NULL) \gset
SELECT is(:'result'::text, 'shadow function used', 'control: functions are');
CALL tap.under('SELECT relname FROM pg_class', NULL) \gset
SELECT matches(:'result'::text, 'relname', 'control: catalogs are');
SELECT tap.unmoved($$SELECT ext.create_history_table('app.t')$$, 'create, tracking table');
SELECT tap.unmoved($$SELECT ext.create_history_table('app.timed', 'edition_time',
	'txid')$$, 'create, time column');
SELECT tap.unmoved($$SELECT ext.create_history_table('app.leaf')$$, 'create, hierarchy');
SELECT tap.unmoved($$SELECT ext.create_history_table('app.two')$$, 'create, two keys');
SELECT tap.unmoved(format('INSERT INTO app.%s VALUES (%s)', r, v), 'insert ' || r)
FROM (VALUES ('t', '3, ''three'''), ('timed', '3, ''three'''),
	('leaf', '3, ''three'', ''w'''), ('two', '3, ''x'', ''three''')) x(r, v);
SELECT tap.unmoved(format('UPDATE app.%s SET v = ''new''', r), 'update ' || r)
FROM unnest('{t,timed,base,two}'::text[]) r;
SELECT tap.unmoved($$UPDATE app.t SET id = 30
	WHERE id OPERATOR(pg_catalog.=) 3$$, 'a key change');
SELECT tap.unmoved(format('DELETE FROM app.%s WHERE v OPERATOR(pg_catalog.=) ''new''', r),
	'delete ' || r) FROM unnest('{timed,leaf}'::text[]) r;
SELECT tap.unmoved('TRUNCATE app.t, app.two', 'truncate');
SELECT tap.unmoved('SELECT * FROM app.t__with_history', 'the view');
SELECT tap.unmoved('SELECT ext.disable_history_tracking()', 'disable all');
INSERT INTO app.t VALUES (9, 'nine');
SELECT tap.unmoved('SELECT ext.enable_history_tracking()', 'enable all');
SELECT tap.unmoved('SELECT ext.sync_tracking_table(''app.t'', ''app.t__tracking'')', 'sync');
SELECT tap.unmoved('SELECT ext.reload_history_tracking()', 'reload all');
SELECT tap.is((SELECT string_agg(id || v, ',' ORDER BY id, v) FROM app.t__history),
	'1new,1one,2new,2two,3new,3three,30new', 'the versions of t');
SELECT tap.is((SELECT string_agg(live_pk::text, ',') FROM app.t__tracking), '9',
	'its tracking table');
SELECT tap.is((SELECT string_agg(id || v || w, ',' ORDER BY id, v) FROM app.leaf__history),
	'1newwide,1onewide,3neww,3threew', 'the versions of leaf');
SELECT tap.unmoved('SELECT ext.drop_history_table_keep_data(''app.timed'')', 'keep');
SELECT tap.unmoved('SELECT ext.drop_all_history_tables()', 'drop all');

SELECT * FROM tap.finish();
