-- The older implementation, as far as a database shows it: the objects, names
-- and signatures of section 1 of the specification in schema public, in SQL and
-- PL/pgSQL, and the triggers that it puts on tables.  Written for the tests of
-- adoption; good enough to record what one session after the other writes.
-- Plain SQL, for \ir and for psql -f; run with public in search_path.

CREATE TYPE public.history_change_type AS ENUM ('Backend', 'Migration', 'External');
CREATE TABLE public.catmaid_history_table (
	live_table regclass PRIMARY KEY,
	history_table regclass NOT NULL UNIQUE,
	triggers_installed boolean NOT NULL,
	live_table_pkey_column text NOT NULL,
	tracking_table regclass,
	time_column text NOT NULL,
	txid_column text NOT NULL,
	creation_time timestamptz NOT NULL DEFAULT current_timestamp);
CREATE TABLE public.catmaid_transaction_info (
	transaction_id bigint DEFAULT txid_current(),
	execution_time timestamptz NOT NULL DEFAULT current_timestamp,
	user_id integer,
	project_id integer,
	change_type public.history_change_type NOT NULL,
	label text NOT NULL,
	PRIMARY KEY (transaction_id, execution_time));

-- Helper views.
CREATE VIEW public.catmaid_table_info AS
	SELECT c.oid AS rel_oid, c.relname AS rel_name, n.nspname AS rel_schema,
		a.attname AS column_name, a.attnum AS pos
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r';
CREATE VIEW public.catmaid_inheriting_tables AS
	SELECT pn.nspname AS parent_schemaname, p.relname AS parent_tablename,
		p.oid AS parent_oid, cn.nspname AS child_schemaname,
		c.relname AS child_tablename, c.oid AS child_oid
	FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
		JOIN pg_class c ON c.oid = i.inhrelid
		JOIN pg_namespace pn ON pn.oid = p.relnamespace
		JOIN pg_namespace cn ON cn.oid = c.relnamespace
	WHERE p.relkind = 'r' AND c.relkind = 'r';

-- Names.
CREATE FUNCTION public.get_history_table_name(live_table regclass) RETURNS text
LANGUAGE sql STABLE AS
$$ SELECT relname || '__history' FROM pg_class WHERE oid = $1 $$;
CREATE FUNCTION public.history_table_name(live_table regclass) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT public.get_history_table_name($1) $$;
CREATE FUNCTION public.get_tracking_table_name(live_table regclass) RETURNS text
LANGUAGE sql STABLE AS
$$ SELECT relname || '__tracking' FROM pg_class WHERE oid = $1 $$;
CREATE FUNCTION public.get_history_view_name(live_table_name regclass) RETURNS text
LANGUAGE sql STABLE AS
$$ SELECT relname || '__with_history' FROM pg_class WHERE oid = $1 $$;
CREATE FUNCTION public.get_history_update_fn_name_regular(live_table regclass)
RETURNS text LANGUAGE sql STABLE AS
$$ SELECT 'update_history_' || relname || '_reg' FROM pg_class WHERE oid = $1 $$;
CREATE FUNCTION public.get_history_txid_update_fn_name_regular(live_table_name regclass)
RETURNS text LANGUAGE sql STABLE AS
$$ SELECT 'update_history_txid_' || relname || '_reg' FROM pg_class WHERE oid = $1 $$;
CREATE FUNCTION public.get_history_update_trigger_name_regular() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_history_regular'::text $$;
CREATE FUNCTION public.get_history_delete_trigger_name_regular() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_delete_update_history_txid_regular'::text $$;
CREATE FUNCTION public.get_history_txid_update_trigger_name_regular() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_history_txid_regular'::text $$;
CREATE FUNCTION public.get_history_update_trigger_name_tracking() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_change_history_trackingtable'::text $$;
CREATE FUNCTION public.get_tracking_table_update_trigger_name() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_tracking_table'::text $$;
CREATE FUNCTION public.get_tracking_table_truncate_trigger_name() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_truncate_truncate_tracking_table'::text $$;
CREATE FUNCTION public.get_history_truncate_trigger_name() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'on_truncate_handle_live_table_truncate'::text $$;

CREATE VIEW public.catmaid_live_table_triggers AS
	SELECT h.live_table::oid AS live_table, EXISTS (
		SELECT FROM pg_trigger t WHERE t.tgrelid = h.live_table AND t.tgname IN (
			public.get_history_update_trigger_name_regular(),
			public.get_history_update_trigger_name_tracking())) AS triggers_installed
	FROM public.catmaid_history_table h;

-- The functions on time-column tables are generated: their code and triggers.
CREATE FUNCTION public.create_history_update_trigger_code(history_update_fn_name text,
	history_info public.catmaid_history_table) RETURNS TABLE (trigger_code text)
LANGUAGE sql STABLE AS $fn$
	SELECT format($code$
		CREATE OR REPLACE FUNCTION public.%1$I() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO %2$s (%3$s, sys_period, exec_transaction_id)
			SELECT %4$s, tstzrange(least(o.%5$I, current_timestamp), current_timestamp),
				txid_current() FROM old_treenode o;
			RETURN NULL;
		END $$;
		CREATE TRIGGER %6$I AFTER UPDATE ON %7$s REFERENCING OLD TABLE AS old_treenode
			FOR EACH STATEMENT EXECUTE FUNCTION public.%1$I();
		CREATE TRIGGER %8$I AFTER DELETE ON %7$s REFERENCING OLD TABLE AS old_treenode
			FOR EACH STATEMENT EXECUTE FUNCTION public.%1$I();
		CREATE TRIGGER %9$I BEFORE TRUNCATE ON %7$s
			FOR EACH STATEMENT EXECUTE FUNCTION public.handle_live_table_truncate();
		$code$, $1, ($2).history_table, string_agg(quote_ident(column_name), ', ' ORDER BY pos),
		string_agg('o.' || quote_ident(column_name), ', ' ORDER BY pos), ($2).time_column,
		public.get_history_update_trigger_name_regular(), ($2).live_table,
		public.get_history_delete_trigger_name_regular(),
		public.get_history_truncate_trigger_name())
	FROM public.catmaid_table_info WHERE rel_oid = ($2).live_table $fn$;
CREATE FUNCTION public.create_history_txid_update_trigger_code(history_update_fn_name text,
	history_info public.catmaid_history_table) RETURNS TABLE (trigger_code text)
LANGUAGE sql STABLE AS $fn$
	SELECT format($code$
		CREATE OR REPLACE FUNCTION public.%1$I() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			NEW.%2$I := txid_current();
			RETURN NEW;
		END $$;
		CREATE TRIGGER %3$I BEFORE UPDATE ON %4$s
			FOR EACH ROW EXECUTE FUNCTION public.%1$I();
		$code$, $1, ($2).txid_column, public.get_history_txid_update_trigger_name_regular(),
		($2).live_table) $fn$;

-- Trigger functions that all tables share.
CREATE FUNCTION public.update_history_of_row_tracking() RETURNS trigger
LANGUAGE plpgsql AS $fn$
DECLARE
	reg public.catmaid_history_table;
BEGIN
	SELECT * INTO reg FROM public.catmaid_history_table WHERE live_table = TG_RELID;
	EXECUTE (SELECT format('INSERT INTO %s (%s, sys_period, exec_transaction_id) SELECT %s, '
			'tstzrange((SELECT least(edition_time, current_timestamp) FROM %s '
			'WHERE live_pk = $1.%5$I), current_timestamp), '
			-- (who made the version, not who ends it)
			'coalesce((SELECT txid FROM %4$s WHERE live_pk = $1.%5$I), txid_current())',
			reg.history_table, string_agg(quote_ident(column_name), ', ' ORDER BY pos),
			string_agg('$1.' || quote_ident(column_name), ', ' ORDER BY pos),
			reg.tracking_table, reg.live_table_pkey_column)
		FROM public.catmaid_table_info WHERE rel_oid = TG_RELID) USING OLD;
	RETURN NULL;
END $fn$;
CREATE FUNCTION public.update_time_for_row() RETURNS trigger
LANGUAGE plpgsql AS $fn$
DECLARE
	reg public.catmaid_history_table;
BEGIN
	SELECT * INTO reg FROM public.catmaid_history_table WHERE live_table = TG_RELID;
	IF TG_OP <> 'INSERT' THEN
		EXECUTE format('DELETE FROM %s WHERE live_pk = $1.%I', reg.tracking_table,
			reg.live_table_pkey_column) USING OLD;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		EXECUTE format('INSERT INTO %s VALUES ($1.%I, current_timestamp, txid_current())',
			reg.tracking_table, reg.live_table_pkey_column) USING NEW;
	END IF;
	RETURN NULL;
END $fn$;
CREATE FUNCTION public.truncate_tracking_table() RETURNS trigger
LANGUAGE plpgsql AS $fn$
BEGIN
	EXECUTE 'TRUNCATE ' || (SELECT tracking_table
		FROM public.catmaid_history_table WHERE live_table = TG_RELID);
	RETURN NULL;
END $fn$;
CREATE FUNCTION public.handle_live_table_truncate() RETURNS trigger
LANGUAGE plpgsql AS $fn$
DECLARE
	reg public.catmaid_history_table;
	start_time text;
	maker text;
	tracking text := '';
BEGIN
	SELECT * INTO reg FROM public.catmaid_history_table WHERE live_table = TG_RELID;
	IF reg.tracking_table IS NULL THEN
		start_time := format('l.%I', reg.time_column);
		maker := format('l.%I', reg.txid_column);
	ELSE
		start_time := 't.edition_time';
		maker := 't.txid';
		tracking := format('LEFT JOIN %s t ON t.live_pk = l.%I', reg.tracking_table,
			reg.live_table_pkey_column);
	END IF;
	EXECUTE (SELECT format('INSERT INTO %s (%s, sys_period, exec_transaction_id) SELECT %s, '
			'tstzrange(least(%s, current_timestamp), current_timestamp), coalesce(%s, txid_current()) '
			'FROM ONLY %s l %s', reg.history_table,
			string_agg(quote_ident(column_name), ', ' ORDER BY pos),
			string_agg('l.' || quote_ident(column_name), ', ' ORDER BY pos),
			start_time, maker, TG_RELID::regclass, tracking)
		FROM public.catmaid_table_info WHERE rel_oid = TG_RELID);
	RETURN NULL;
END $fn$;

-- Views and indexes.
CREATE FUNCTION public.create_history_view_for_table(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
BEGIN
	EXECUTE (SELECT format('CREATE VIEW %I.%I AS SELECT %3$s FROM %4$s '
			'UNION ALL SELECT %3$s FROM %5$s', min(rel_schema),
			public.get_history_view_name($1),
			string_agg(quote_ident(column_name), ', ' ORDER BY pos), $1,
			(SELECT h.history_table FROM public.catmaid_history_table h WHERE h.live_table = $1))
		FROM public.catmaid_table_info WHERE rel_oid = $1);
END $fn$;
CREATE FUNCTION public.drop_history_view_for_table(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
BEGIN
	EXECUTE (SELECT format('DROP VIEW IF EXISTS %I.%I', nspname,
			public.get_history_view_name($1))
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = $1);
END $fn$;
CREATE FUNCTION public.initialize_new_history_table(live_table regclass,
	history_table regclass, live_table_pkey_column text) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	-- PostgreSQL clips what is too long
	prefix text := public.get_history_table_name($1);
BEGIN
	EXECUTE format('CREATE INDEX %I ON %s (%I)', prefix || '_live_pk_index', $2, $3);
	EXECUTE format('CREATE INDEX %I ON %s USING gist (sys_period)', prefix || '_sys_period', $2);
	EXECUTE format('CREATE INDEX %I ON %s (exec_transaction_id)',
		prefix || '_exec_transaction_id', $2);
	PERFORM public.create_history_view_for_table($1);
END $fn$;

-- Creating and dropping.
CREATE FUNCTION public.create_history_table(live_table regclass,
	time_column text DEFAULT NULL, txid_column text DEFAULT NULL,
	create_triggers boolean DEFAULT true, copy_inheritance boolean DEFAULT true,
	sync boolean DEFAULT true) RETURNS void LANGUAGE plpgsql AS $fn$
DECLARE
	live ALIAS FOR $1;
	namespace text;
	history text;
	tracking text;
	parent regclass;
	parent_history regclass;
	key_name text;
	key_type text;
BEGIN
	IF ($2 IS NULL) <> ($3 IS NULL) THEN
		RAISE EXCEPTION 'both or none of time and txid column are needed';
	END IF;
	IF EXISTS (SELECT FROM public.catmaid_history_table h WHERE h.live_table = live) THEN
		RETURN;
	END IF;
	SELECT nspname INTO namespace FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE c.oid = live;
	SELECT attname, format_type(atttypid, atttypmod) INTO STRICT key_name, key_type
	FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
	WHERE indrelid = live AND indisprimary;
	history := format('%I.%I', namespace, public.get_history_table_name(live));
	SELECT i.parent_oid INTO parent FROM public.catmaid_inheriting_tables i
	WHERE i.child_oid = live AND $5;
	IF FOUND THEN
		PERFORM public.create_history_table(parent, $2, $3, $4, $5, $6);
		SELECT h.history_table INTO parent_history FROM public.catmaid_history_table h
		WHERE h.live_table = parent;
	END IF;

	-- The two columns of history stand where the topmost table ends.
	EXECUTE (SELECT format('CREATE TABLE %s (%s) %s', history, concat_ws(', ',
				string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod),
					', ' ORDER BY attnum)
				FILTER (WHERE attislocal OR parent_history IS NULL),
				CASE WHEN parent_history IS NULL THEN 'sys_period tstzrange NOT NULL '
					'DEFAULT tstzrange(current_timestamp, NULL), '
					'exec_transaction_id bigint NOT NULL DEFAULT txid_current()' END),
			'INHERITS (' || parent_history || ')')
		FROM pg_attribute WHERE attrelid = live AND attnum > 0 AND NOT attisdropped);
	IF $2 IS NULL THEN
		tracking := format('%I.%I', namespace, public.get_tracking_table_name(live));
		EXECUTE format('CREATE TABLE %s (live_pk %s UNIQUE DEFERRABLE INITIALLY DEFERRED, '
			'edition_time timestamptz NOT NULL DEFAULT current_timestamp, '
			'txid bigint NOT NULL DEFAULT txid_current())', tracking, key_type);
		EXECUTE format('CREATE INDEX %I ON %s (live_pk)',
			public.get_tracking_table_name(live) || '_live_pk_idx', tracking);
	END IF;
	INSERT INTO public.catmaid_history_table VALUES (live, history::regclass, false, key_name,
		tracking::regclass, coalesce($2, 'edition_time'), coalesce($3, 'txid'));
	PERFORM public.initialize_new_history_table(live, history::regclass, key_name);
	IF $4 THEN
		PERFORM public.enable_history_tracking_for_table(live, history::regclass, $6);
	ELSIF $6 AND tracking IS NOT NULL THEN
		PERFORM public.sync_tracking_table(live, tracking::regclass);
	END IF;
END $fn$;
CREATE FUNCTION public.drop_history_table_keep_data(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	reg public.catmaid_history_table;
	index_name regclass;
BEGIN
	SELECT * INTO reg FROM public.catmaid_history_table h WHERE h.live_table = $1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM public.disable_history_tracking_for_table($1, reg.history_table);
	PERFORM public.drop_history_view_for_table($1);
	FOR index_name IN SELECT indexrelid FROM pg_index WHERE indrelid = reg.history_table
		AND NOT indisprimary LOOP
		EXECUTE format('DROP INDEX %s', index_name);
	END LOOP;
	IF reg.tracking_table IS NOT NULL THEN
		EXECUTE format('DROP TABLE %s', reg.tracking_table);
	END IF;
	EXECUTE format('DROP FUNCTION IF EXISTS public.%I()',
		public.get_history_update_fn_name_regular($1));
	EXECUTE format('DROP FUNCTION IF EXISTS public.%I()',
		public.get_history_txid_update_fn_name_regular($1));
	DELETE FROM public.catmaid_history_table h WHERE h.live_table = $1;
END $fn$;
CREATE FUNCTION public.drop_history_table(live_table regclass) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	history regclass := (SELECT h.history_table FROM public.catmaid_history_table h
		WHERE h.live_table = $1);
BEGIN
	PERFORM public.drop_history_table_keep_data($1);
	IF history IS NOT NULL THEN
		EXECUTE format('DROP TABLE %s', history);
	END IF;
END $fn$;
CREATE FUNCTION public.drop_all_history_tables() RETURNS void
LANGUAGE sql AS $$
	SELECT public.drop_history_table(live_table) FROM public.catmaid_history_table
	ORDER BY live_table::oid DESC $$;

-- Enabling, disabling, syncing.
CREATE FUNCTION public.sync_tracking_table(live_table regclass, tracking_table regclass)
RETURNS void LANGUAGE plpgsql AS $fn$
DECLARE
	key_name text := (SELECT h.live_table_pkey_column FROM public.catmaid_history_table h
		WHERE h.live_table = $1);
BEGIN
	EXECUTE format('DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM ONLY %s l '
		'WHERE l.%I = t.live_pk)', $2, $1, key_name);
	EXECUTE format('INSERT INTO %1$s SELECT %3$I, current_timestamp, txid_current() '
		'FROM ONLY %2$s l WHERE NOT EXISTS (SELECT FROM %1$s t WHERE l.%3$I = t.live_pk)',
		$2, $1, key_name);
END $fn$;
CREATE FUNCTION public.enable_history_tracking_for_table(live_table regclass,
	history_table regclass DEFAULT NULL, sync boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $fn$
DECLARE
	live ALIAS FOR $1;
	reg public.catmaid_history_table;
BEGIN
	PERFORM public.disable_history_tracking_for_table(live, $2);
	SELECT * INTO reg FROM public.catmaid_history_table h WHERE h.live_table = live;
	IF reg.tracking_table IS NULL THEN
		EXECUTE (SELECT trigger_code FROM public.create_history_update_trigger_code(
			public.get_history_update_fn_name_regular(live), reg));
		EXECUTE (SELECT trigger_code FROM public.create_history_txid_update_trigger_code(
			public.get_history_txid_update_fn_name_regular(live), reg));
	ELSE
		EXECUTE format('CREATE TRIGGER %I AFTER UPDATE OR DELETE ON %s '
			'FOR EACH ROW EXECUTE FUNCTION public.update_history_of_row_tracking()',
			public.get_history_update_trigger_name_tracking(), live);
		EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s '
			'FOR EACH ROW EXECUTE FUNCTION public.update_time_for_row()',
			public.get_tracking_table_update_trigger_name(), live);
		EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %s '
			'FOR EACH STATEMENT EXECUTE FUNCTION public.handle_live_table_truncate()',
			public.get_history_truncate_trigger_name(), live);
		EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s '
			'FOR EACH STATEMENT EXECUTE FUNCTION public.truncate_tracking_table()',
			public.get_tracking_table_truncate_trigger_name(), live);
		IF $3 THEN
			PERFORM public.sync_tracking_table(live, reg.tracking_table);
		END IF;
	END IF;
	UPDATE public.catmaid_history_table h SET triggers_installed = true
	WHERE h.live_table = live;
END $fn$;
CREATE FUNCTION public.disable_history_tracking_for_table(live_table regclass,
	history_table regclass DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $fn$
DECLARE
	trigger_name text;
BEGIN
	FOREACH trigger_name IN ARRAY ARRAY[
		public.get_history_update_trigger_name_regular(),
		public.get_history_delete_trigger_name_regular(),
		public.get_history_txid_update_trigger_name_regular(),
		public.get_history_update_trigger_name_tracking(),
		public.get_tracking_table_update_trigger_name(),
		public.get_tracking_table_truncate_trigger_name(),
		public.get_history_truncate_trigger_name()] LOOP
		IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = trigger_name) THEN
			EXECUTE format('DROP TRIGGER %I ON %s', trigger_name, $1);
		END IF;
	END LOOP;
	UPDATE public.catmaid_history_table h SET triggers_installed = false
	WHERE h.live_table = $1;
END $fn$;
CREATE FUNCTION public.enable_history_tracking() RETURNS void LANGUAGE sql AS $$
	SELECT public.enable_history_tracking_for_table(live_table, history_table)
	FROM public.catmaid_history_table $$;
CREATE FUNCTION public.disable_history_tracking() RETURNS void LANGUAGE sql AS $$
	SELECT public.disable_history_tracking_for_table(live_table, history_table)
	FROM public.catmaid_history_table $$;
CREATE FUNCTION public.reload_history_tracking_for_table(live_table regclass) RETURNS void
LANGUAGE sql AS $$ SELECT public.enable_history_tracking_for_table($1) $$;
CREATE FUNCTION public.reload_history_tracking() RETURNS void
LANGUAGE sql AS $$ SELECT public.enable_history_tracking() $$;
CREATE FUNCTION public.truncate_history_table(target regclass) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('TRUNCATE ONLY %s', target); END $$;
CREATE FUNCTION public.truncate_all_history_tables() RETURNS void LANGUAGE sql AS
$$ SELECT public.truncate_history_table(history_table) FROM public.catmaid_history_table $$;
