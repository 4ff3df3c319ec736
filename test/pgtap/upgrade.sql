-- Whoever comes from an older version of the extension has, after ALTER EXTENSION
-- UPDATE, the same objects as who installs the newest: each version step is walked.
\ir lib/hostile.psql

-- What an installation consists of, a line a fact, without OIDs.
CREATE FUNCTION tap.relation_facts(rel oid) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s, %s, options %s, security %s%s, grants %s', relkind, relpersistence, reloptions,
			relrowsecurity, relforcerowsecurity, array_sort)
		FROM pg_class c, LATERAL (SELECT coalesce(string_agg(a::text, ' ' ORDER BY a::text), 'none')
			FROM unnest(relacl) a) g(array_sort) WHERE c.oid = rel
	UNION ALL SELECT format('column %s %s %s, not null %s, default %s, grants %s: %s',
			row_number() OVER (ORDER BY attnum), attname, format_type(atttypid, atttypmod), attnotnull,
			pg_get_expr(adbin, adrelid), attacl, col_description(rel, attnum))
		FROM pg_attribute a LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE conrelid = rel
	UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = rel
	UNION ALL SELECT pg_get_triggerdef(oid) || tgenabled::text || coalesce(obj_description(oid, 'pg_trigger'), '')
		FROM pg_trigger WHERE tgrelid = rel AND NOT tgisinternal
	UNION ALL SELECT format('policy %s %s %s %s', polname, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
		FROM pg_policy WHERE polrelid = rel
	UNION ALL SELECT pg_get_viewdef(rel) FROM pg_class WHERE oid = rel AND relkind = 'v' $$;
CREATE FUNCTION tap.facts() RETURNS SETOF text LANGUAGE sql AS $$
	WITH e AS (SELECT * FROM pg_extension WHERE extname = 'catmaid_history'),
	member AS (SELECT d.classid, d.objid, i.type || ' ' || i.identity AS name
		FROM pg_depend d JOIN e ON d.refobjid = e.oid,
			LATERAL pg_identify_object(d.classid, d.objid, 0) i
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
	SELECT format('extension %s, schema %s, relocatable %s', extversion, extnamespace::regnamespace, extrelocatable) FROM e
	UNION ALL SELECT format('dumped: %s %s', extconfig[i]::regclass, extcondition[i])
		FROM e, generate_subscripts(extconfig, 1) i
	UNION ALL SELECT format('%s: %s', name, (SELECT description FROM pg_description c
		WHERE (c.classoid, c.objoid, c.objsubid) = (classid, objid, 0))) FROM member
	UNION ALL SELECT name || ' ' || pg_get_functiondef(p.oid) || coalesce(proacl::text, '')
		FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid WHERE prokind <> 'a'
	UNION ALL SELECT name || ' ' || f FROM member, LATERAL tap.relation_facts(objid) f
		WHERE classid = 'pg_class'::regclass
	UNION ALL SELECT format('%s label %s %s', name, row_number() OVER (PARTITION BY objid ORDER BY enumsortorder), enumlabel)
		FROM member JOIN pg_enum ON classid = 'pg_type'::regclass AND enumtypid = objid
	UNION ALL SELECT format('%s on %s %s by %s, %s', name, evtevent, evttags, evtfoid::regprocedure, evtenabled)
		FROM member JOIN pg_event_trigger v ON classid = 'pg_event_trigger'::regclass AND v.oid = objid $$;

-- A clean install of the newest version, and the check that facts() has an eye.
CREATE EXTENSION catmaid_history;
CREATE TABLE fresh AS SELECT fact FROM tap.facts() fact;
CREATE TABLE deed (n int, deed text);
INSERT INTO deed VALUES
	(1, 'COMMENT ON FUNCTION sync_tracking_table(regclass, regclass) IS ''other'''),
	(2, 'ALTER FUNCTION sync_tracking_table(regclass, regclass) COST 7'),
	(3, 'GRANT SELECT ON catmaid_transaction_info TO PUBLIC'),
	(4, 'GRANT EXECUTE ON FUNCTION drop_all_history_tables() TO CURRENT_USER'),
	(5, 'ALTER TABLE catmaid_history_table ALTER creation_time DROP DEFAULT'),
	(6, 'ALTER TABLE catmaid_transaction_info ADD CHECK (user_id > 0)'),
	(7, 'CREATE INDEX ON catmaid_transaction_info (label)'),
	(8, 'ALTER TYPE history_change_type RENAME VALUE ''External'' TO ''Outer'''),
	(9, 'CREATE OR REPLACE VIEW catmaid_table_info AS SELECT NULL::oid AS rel_oid, NULL::name AS rel_name, NULL::name AS rel_schema, NULL::name AS column_name, NULL::int2 AS pos WHERE false'),
	(10, 'DROP TRIGGER IF EXISTS nothing ON catmaid_history_table; ALTER TABLE catmaid_history_table DISABLE TRIGGER ALL'),
	(11, 'ALTER EXTENSION catmaid_history DROP FUNCTION get_history_table_name(regclass)');
SELECT plan(3 + (SELECT count(*)::int FROM deed) + (SELECT count(*)::int FROM pg_extension_update_paths('catmaid_history')
	JOIN pg_available_extension_versions v ON v.name = 'catmaid_history' AND v.version = source
	JOIN pg_available_extensions a ON a.name = 'catmaid_history' AND a.default_version = target WHERE path IS NOT NULL));
SELECT cmp_ok((SELECT count(*)::int FROM fresh), '>', 100, 'an installation consists of many facts');
CREATE FUNCTION tap.notices(deed text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
	BEGIN
		EXECUTE deed;
		SELECT count(*) INTO n FROM (SELECT fact FROM tap.facts() fact EXCEPT SELECT fact FROM public.fresh) x;
		IF n = 0 THEN
			SELECT count(*) INTO n FROM (SELECT fact FROM public.fresh EXCEPT SELECT fact FROM tap.facts() fact) x;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'P9999';
	EXCEPTION WHEN SQLSTATE 'P9999' THEN
	END;
	RETURN tap.cmp_ok(n, '>', 0, name);
END $$;
SELECT tap.notices(deed, 'noticed: ' || deed) FROM deed ORDER BY n;
SELECT bag_eq('SELECT fact FROM tap.facts() fact', 'SELECT fact FROM fresh', 'and forgotten: as it was');
DROP EXTENSION catmaid_history;

-- Each older version that can be installed, brought up by its path of steps.
CREATE FUNCTION tap.upgraded(source text, target text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('CREATE EXTENSION catmaid_history VERSION %L', source);
	EXECUTE format('ALTER EXTENSION catmaid_history UPDATE TO %L', target);
	r := tap.bag_eq('SELECT fact FROM tap.facts() fact', 'SELECT fact FROM public.fresh',
		format('%s, upgraded, has the objects of %s', source, target));
	DROP EXTENSION catmaid_history;
	RETURN r;
END $$;
CREATE VIEW step AS SELECT source, target FROM pg_extension_update_paths('catmaid_history')
	JOIN pg_available_extension_versions v ON v.name = 'catmaid_history' AND v.version = source
	JOIN pg_available_extensions a ON a.name = 'catmaid_history' AND a.default_version = target
	WHERE path IS NOT NULL;
SELECT tap.upgraded(source, target) FROM step WHERE source <> 'unpackaged' ORDER BY source;
-- "unpackaged" is what an older implementation has left, and adopts it
\ir lib/old_implementation.sql
SELECT tap.upgraded(source, target) FROM step WHERE source = 'unpackaged';

-- No version is left behind: every script's version has a path to the newest.
SELECT is_empty($$SELECT source FROM pg_extension_update_paths('catmaid_history')
	JOIN pg_available_extensions a ON a.name = 'catmaid_history' AND a.default_version = target
	WHERE path IS NULL$$, 'every older version has a path to the newest');

SELECT * FROM finish();
