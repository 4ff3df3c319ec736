-- Section 1: the helper views tell the truth, from the catalogs.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t43_reader;
CREATE EXTENSION catmaid_history;
CREATE ROLE t43_reader;
SELECT plan(28);

CREATE FUNCTION tap.column_names(rel regclass) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
   WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped $$;
SELECT is(tap.column_names('catmaid_live_table_triggers'),
	'live_table, triggers_installed', 'catmaid_live_table_triggers: columns');
SELECT is(tap.column_names('catmaid_inheriting_tables'),
	'parent_schemaname, parent_tablename, parent_oid, '
	|| 'child_schemaname, child_tablename, child_oid',
	'catmaid_inheriting_tables: columns');
SELECT is(tap.column_names('catmaid_table_info'),
	'rel_oid, rel_name, rel_schema, column_name, pos',
	'catmaid_table_info: columns');
SELECT allowed('SELECT * FROM ' || v, v || ': anyone reads', 't43_reader')
FROM unnest(ARRAY['catmaid_live_table_triggers', 'catmaid_inheriting_tables',
	'catmaid_table_info']) v;

-- Triggers.
CREATE TABLE plain (id int PRIMARY KEY, a text);
CREATE TABLE timed (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE untracked (id int PRIMARY KEY);
CREATE FUNCTION tap.truth(rel regclass) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(triggers_installed::text, ', ')
   FROM public.catmaid_live_table_triggers
   WHERE live_table::regclass::oid = rel::oid $$;
CREATE FUNCTION tap.each_trigger(rel regclass, command text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	t name;
	seen text := '';
BEGIN
	FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = rel
		AND NOT tgisinternal
		-- with a time column: tells the log alone
		AND (rel <> 'timed'::regclass OR tgname <> 'on_change_update_tracking_table') ORDER BY tgname
	LOOP
		BEGIN
			EXECUTE format(command, rel, t);
			IF tap.truth(rel) IS DISTINCT FROM 'false' THEN
				seen := seen || ' ' || t;
			END IF;
			RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO1';
		EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
			NULL;
		END;
	END LOOP;
	RETURN seen;
END $$;
SELECT is(tap.truth('plain'), NULL, 'an untracked table is not listed');
SELECT create_history_table('plain');
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT is(tap.truth('plain'), 'true', 'a tracked table has its triggers');
SELECT is(tap.truth('timed'), 'true', 'a table with time column as well');
SELECT is(tap.each_trigger(t::regclass, 'ALTER TABLE %s DISABLE TRIGGER %I'), '',
	t || ': with any trigger disabled it counts as not installed')
FROM unnest(ARRAY['plain', 'timed']) t;
SELECT is(tap.each_trigger(t::regclass,
	'ALTER TABLE %s ENABLE REPLICA TRIGGER %I'), '',
	t || ': a trigger that fires for replicas alone is not installed')
FROM unnest(ARRAY['plain', 'timed']) t;
SELECT is(tap.each_trigger(t::regclass, 'DROP TRIGGER %2$I ON %1$s'), '',
	t || ': with any trigger dropped it counts as not installed')
FROM unnest(ARRAY['plain', 'timed']) t;
ALTER TABLE plain DISABLE TRIGGER USER;
SELECT is(tap.truth('plain'), 'false', 'all triggers disabled by hand');
SELECT enable_history_tracking_for_table('plain');
SELECT is(tap.truth('plain'), 'true', 'enabling repairs disabled triggers');
SELECT disable_history_tracking_for_table('plain');
SELECT is(tap.truth('plain'), 'false', 'disabled: listed, not installed');
CREATE TRIGGER on_change_update_history_regular AFTER UPDATE ON plain
	FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT is(tap.truth('plain'), 'false',
	'a user''s trigger of our name is not our trigger');
DROP TRIGGER on_change_update_history_regular ON plain;
SELECT disable_history_tracking();
SELECT is((SELECT count(*) FROM catmaid_live_table_triggers
	WHERE triggers_installed), 0::bigint, 'all disabled');
SELECT enable_history_tracking();
SELECT is((SELECT string_agg(live_table::regclass::text, ', '
	ORDER BY live_table::regclass::text) FROM catmaid_live_table_triggers
	WHERE triggers_installed), 'plain, timed', 'all enabled');
SELECT drop_history_table('plain');
SELECT is(tap.truth('plain'), NULL, 'a dropped history is not listed');

-- Inheritance.
CREATE SCHEMA other;
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE other.leaf (PRIMARY KEY (id)) INHERITS (base);
SELECT is((SELECT string_agg(format('%s.%s %s %s.%s %s', parent_schemaname,
	parent_tablename, parent_oid, child_schemaname, child_tablename, child_oid),
	';') FROM catmaid_inheriting_tables WHERE child_oid = 'other.leaf'::regclass),
	format('public.base %s other.leaf %s', 'base'::regclass::oid,
		'other.leaf'::regclass::oid), 'parent and child, in two schemas');
ALTER TABLE other.leaf NO INHERIT base;
SELECT is((SELECT count(*) FROM catmaid_inheriting_tables
	WHERE parent_oid = 'base'::regclass), 0::bigint, 'none after NO INHERIT');
ALTER TABLE other.leaf INHERIT base;
SELECT create_history_table('other.leaf');
SELECT is((SELECT count(*) FROM catmaid_inheriting_tables
	WHERE parent_tablename = 'base__history'
	AND child_tablename = 'leaf__history' AND child_schemaname = 'other'),
	1::bigint, 'the history tables mirror it');
SELECT is((SELECT string_agg(live_table::regclass::text, ', '
	ORDER BY live_table::regclass::text) FROM catmaid_live_table_triggers
	WHERE triggers_installed), 'base, other.leaf, timed',
	'parent and child are both listed');
CREATE TABLE late (PRIMARY KEY (id)) INHERITS (base);
SELECT is(tap.truth('late'), NULL, 'a child made later is not listed yet');

-- Columns.
CREATE TABLE cols ("First" int, gone int, "second one" int PRIMARY KEY);
ALTER TABLE cols DROP COLUMN gone;
ALTER TABLE cols ADD COLUMN last int;
SELECT is((SELECT string_agg(format('%s.%s.%s', rel_schema, rel_name,
	column_name), ', ' ORDER BY pos) FROM catmaid_table_info
	WHERE rel_oid = 'cols'::regclass),
	'public.cols.First, public.cols.second one, public.cols.last',
	'catmaid_table_info: columns in order, without dropped and system ones');

DROP OWNED BY t43_reader;
DROP ROLE t43_reader;
SELECT * FROM finish();
