-- script/test-upgrade: all that is in the database, as text.
CREATE FUNCTION pg_temp.contents() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	rel regclass;
BEGIN
	FOR rel IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p', 'v') AND nspname !~ '^pg_|^information_schema$'
		AND relname NOT IN ('catmaid_table_info', 'catmaid_inheriting_tables')
	LOOP
		RETURN QUERY EXECUTE format('SELECT %L || '' '' || to_jsonb(r) FROM ONLY %s r', rel::text, rel);
		RETURN QUERY SELECT concat_ws(' ', rel::text, 'trigger', tgname, tgenabled, tgfoid::regproc)
			FROM pg_trigger WHERE tgrelid = rel AND NOT tgisinternal;
		RETURN QUERY SELECT concat_ws(' ', rel::text, 'index', pg_get_indexdef(indexrelid), indisvalid)
			FROM pg_index WHERE indrelid = rel;
		RETURN QUERY SELECT concat_ws(' ', rel::text, 'relation', relkind, relowner::regrole, relacl::text, relreplident)
			FROM pg_class WHERE oid = rel AND relname !~ '^catmaid_';
	END LOOP;
	RETURN QUERY SELECT concat_ws(' ', 'event trigger', evtname, evtevent, evtenabled) FROM pg_event_trigger;
	RETURN QUERY SELECT concat_ws(' ', 'extension', extname, extversion, extnamespace::regnamespace,
		extconfig::regclass[]::text, extcondition::text) FROM pg_extension;
END $$;
SELECT line FROM pg_temp.contents() AS line ORDER BY line COLLATE "C";
