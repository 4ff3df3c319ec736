\echo Use "CREATE EXTENSION catmaid_history" to load this file. \quit

-- Names are unqualified where they create: PostgreSQL sets search_path to the
-- extension's schema while it runs this file.  What runs later is qualified.

-- Meanwhile the schema keeps its name: no other one gets into search_path.
DO $$
BEGIN
    PERFORM FROM pg_catalog.pg_namespace n, pg_catalog.pg_extension e
      WHERE e.extname OPERATOR(pg_catalog.=) 'catmaid_history'::pg_catalog.name
        AND n.oid OPERATOR(pg_catalog.=) e.extnamespace
        AND n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema() FOR SHARE OF n;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the schema of extension % was renamed concurrently', 'catmaid_history'
            USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
    END IF;
END
$$;

-- ---------------------------------------------------------------------------
-- The registry: which tables are tracked
-- ---------------------------------------------------------------------------

CREATE TABLE catmaid_history_table (
    live_table regclass PRIMARY KEY,
    history_table regclass NOT NULL UNIQUE,
    triggers_installed boolean NOT NULL,
    live_table_pkey_column text NOT NULL,
    tracking_table regclass,
    time_column text NOT NULL,
    txid_column text NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT current_timestamp,
    live_table_pkey_columns text[],
    key_since timestamptz,
    maker_until timestamptz,
    maker_snapshot pg_snapshot
);
CREATE INDEX catmaid_history_table_tracking ON catmaid_history_table (tracking_table);
COMMENT ON TABLE catmaid_history_table IS
    'The tables whose history is kept, and where. Written by the extension alone.';
COMMENT ON COLUMN catmaid_history_table.live_table IS
    'The table whose history is kept.';
COMMENT ON COLUMN catmaid_history_table.history_table IS
    'The table that holds its superseded row versions.';
COMMENT ON COLUMN catmaid_history_table.triggers_installed IS
    'Whether tracking was last enabled or disabled; catmaid_live_table_triggers tells what is there now.';
COMMENT ON COLUMN catmaid_history_table.live_table_pkey_column IS
    'The first column of the primary key.';
COMMENT ON COLUMN catmaid_history_table.live_table_pkey_columns IS
    'All columns of the primary key, in its order.';
COMMENT ON COLUMN catmaid_history_table.key_since IS
    'Since when this is the primary key: versions that ended before may have been told by another one. NULL: always.';
COMMENT ON COLUMN catmaid_history_table.maker_until IS
    'Until when exec_transaction_id was the transaction that made the version (PL/pgSQL functions); NULL: always the one that ended it.';
COMMENT ON COLUMN catmaid_history_table.maker_snapshot IS
    'Which transactions had committed by maker_until: what others stored, though they had begun before, has the one that ended the version, too.';
COMMENT ON COLUMN catmaid_history_table.tracking_table IS
    'The table that tells when each live row was last edited; NULL where the live table does.';
COMMENT ON COLUMN catmaid_history_table.time_column IS
    'The column that tells when a row was last edited: of the tracking table, or of the live table where there is none.';
COMMENT ON COLUMN catmaid_history_table.txid_column IS
    'The column that tells which transaction last edited a row, in the same table as time_column.';
COMMENT ON COLUMN catmaid_history_table.creation_time IS
    'When the history was created.';

GRANT SELECT ON catmaid_history_table TO PUBLIC;

CREATE FUNCTION catmaid_history_registry_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_registry_changed() IS
    'Trigger on the registry: makes all sessions look at it again.';

CREATE TRIGGER catmaid_history_registry_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON catmaid_history_table
    FOR EACH STATEMENT EXECUTE FUNCTION catmaid_history_registry_changed();
COMMENT ON TRIGGER catmaid_history_registry_changed ON catmaid_history_table IS
    'Makes all sessions look at the registry again.';

CREATE FUNCTION catmaid_history_registry_guard() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_registry_guard() IS
    'Trigger on the registry: who writes a row must have the rights of the owners of its tables.';

CREATE TRIGGER catmaid_history_registry_guard
    BEFORE INSERT OR UPDATE OR DELETE ON catmaid_history_table
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_registry_guard();
COMMENT ON TRIGGER catmaid_history_registry_guard ON catmaid_history_table IS
    'Who writes a row must have the rights of the owners of its tables.';

CREATE TRIGGER catmaid_history_registry_guard_truncate
    BEFORE TRUNCATE ON catmaid_history_table
    FOR EACH STATEMENT EXECUTE FUNCTION catmaid_history_registry_guard();
COMMENT ON TRIGGER catmaid_history_registry_guard_truncate ON catmaid_history_table IS
    'The same for TRUNCATE.';

ALTER TABLE catmaid_history_table
    ENABLE ALWAYS TRIGGER catmaid_history_registry_changed,
    ENABLE ALWAYS TRIGGER catmaid_history_registry_guard,
    ENABLE ALWAYS TRIGGER catmaid_history_registry_guard_truncate;

-- What is nobody's business is apart from what is documented.
CREATE SCHEMA catmaid_history_internal;
COMMENT ON SCHEMA catmaid_history_internal IS
    'What the extension catmaid_history needs for itself.';

-- The registry as pg_dump takes it, by name: a name of a table that was left out
-- of the dump harms no other on restore (src/manage/dump.c).
CREATE TABLE catmaid_history_internal.catmaid_history_table_by_name (
    live_table text PRIMARY KEY,
    history_table text,
    triggers_installed boolean,
    live_table_pkey_column text,
    tracking_table text,
    time_column text,
    txid_column text,
    creation_time timestamptz,
    live_table_pkey_columns text[],
    key_since timestamptz,
    maker_until timestamptz,
    maker_snapshot pg_snapshot
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_table_by_name IS
    'For pg_dump and pg_restore, and always empty: what is inserted goes to the registry.';

CREATE FUNCTION catmaid_history_restore() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_restore() IS
    'Trigger on catmaid_history_table_by_name: enters in the registry the tables that are there.';

CREATE TRIGGER catmaid_history_restore BEFORE INSERT ON catmaid_history_internal.catmaid_history_table_by_name
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore();
ALTER TABLE catmaid_history_internal.catmaid_history_table_by_name ENABLE ALWAYS TRIGGER catmaid_history_restore;

-- Dumps from before there was the schema restore into this.
CREATE VIEW catmaid_history_dump AS
    SELECT * FROM catmaid_history_internal.catmaid_history_table_by_name;
COMMENT ON VIEW catmaid_history_dump IS
    'For restoring dumps of early databases, and always empty: what is inserted goes to the registry.';
CREATE TRIGGER catmaid_history_restore INSTEAD OF INSERT ON catmaid_history_dump
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore();

DO $$
BEGIN
    PERFORM pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_history_table_by_name',
        pg_catalog.format('WHERE false UNION ALL SELECT live_table::pg_catalog.text,'
            ' history_table::pg_catalog.text, triggers_installed, live_table_pkey_column,'
            ' tracking_table::pg_catalog.text, time_column, txid_column, creation_time,'
            ' live_table_pkey_columns, key_since, maker_until, maker_snapshot FROM %I.catmaid_history_table',
            pg_catalog.current_schema()));
END
$$;

-- When nothing was recorded (src/reach/reach.c), and the same as pg_dump takes it, by name.
CREATE TABLE catmaid_history_internal.catmaid_history_pause (
    live_table regclass NOT NULL,
    history_table regclass NOT NULL,
    paused_from timestamptz NOT NULL,
    paused_until timestamptz,
    PRIMARY KEY (history_table, paused_from)
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_pause IS
    'When changes of tracked tables were not recorded. Written by the extension alone.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_pause.live_table IS
    'The table that was not tracked.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_pause.history_table IS
    'The history table that lacks the changes.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_pause.paused_from IS
    'Since when; -infinity: before paused_until the history had not begun, or has been removed.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_pause.paused_until IS
    'Until when; NULL: tracking is still disabled.';

CREATE TABLE catmaid_history_internal.catmaid_history_pause_by_name (
    live_table text,
    history_table text,
    paused_from timestamptz,
    paused_until timestamptz
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_pause_by_name IS
    'For pg_dump and pg_restore, and always empty: what is inserted goes to catmaid_history_pause.';

CREATE TRIGGER catmaid_history_restore BEFORE INSERT ON catmaid_history_internal.catmaid_history_pause_by_name
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore();
ALTER TABLE catmaid_history_internal.catmaid_history_pause_by_name ENABLE ALWAYS TRIGGER catmaid_history_restore;

SELECT pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_history_pause_by_name',
    'WHERE false UNION ALL SELECT live_table::pg_catalog.text, history_table::pg_catalog.text,'
    ' paused_from, paused_until FROM catmaid_history_internal.catmaid_history_pause'
    ' WHERE history_table IN (SELECT oid FROM pg_catalog.pg_class)');

-- What is known since a time only (src/reach/since.c), and the same as pg_dump takes it, by name.
CREATE TABLE catmaid_history_internal.catmaid_history_since (
    relation regclass,
    what text,
    column_number smallint,
    since timestamptz,
    snapshot pg_snapshot,
    PRIMARY KEY (relation, what, column_number, since)
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_since IS
    'Since when columns of histories, and what inherits from tables, are what they are. Written by the extension alone.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_since.relation IS
    'A history table, of column; a tracked table, of children; a child of one, of made.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_since.what IS
    'column: it was added then. children: what inherits from the table changed. made: the table was created.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_since.column_number IS
    'The number of the history''s column; or 0.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_since.since IS
    'When, by the clock.';
COMMENT ON COLUMN catmaid_history_internal.catmaid_history_since.snapshot IS
    'Of a column: what is visible in it may have been stored without the column.';

CREATE TABLE catmaid_history_internal.catmaid_history_since_by_name (
    relation text,
    what text,
    column_name text,
    since timestamptz,
    snapshot pg_snapshot
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_since_by_name IS
    'For pg_dump and pg_restore, and always empty: what is inserted goes to catmaid_history_since.';

CREATE TRIGGER catmaid_history_restore BEFORE INSERT ON catmaid_history_internal.catmaid_history_since_by_name
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore();
ALTER TABLE catmaid_history_internal.catmaid_history_since_by_name ENABLE ALWAYS TRIGGER catmaid_history_restore;

SELECT pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_history_since_by_name',
    'WHERE false UNION ALL SELECT s.relation::pg_catalog.text, s.what, a.attname::pg_catalog.text, s.since, s.snapshot'
    ' FROM catmaid_history_internal.catmaid_history_since s LEFT JOIN pg_catalog.pg_attribute a'
    ' ON a.attrelid OPERATOR(pg_catalog.=) s.relation AND a.attnum OPERATOR(pg_catalog.=) s.column_number'
    ' AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped'
    ' WHERE s.relation IN (SELECT oid FROM pg_catalog.pg_class)'
    ' AND (s.column_number OPERATOR(pg_catalog.=) 0 OR a.attname IS NOT NULL)');

-- What policies call sees the present while a session reads the past (src/time_machine/past_policy.c).
CREATE FUNCTION catmaid_history_internal.in_present(function internal, like_result anyelement) RETURNS anyelement
    LANGUAGE c STABLE COST 100 AS 'MODULE_PATHNAME', 'catmaid_history_in_present';
COMMENT ON FUNCTION catmaid_history_internal.in_present(internal, anyelement) IS
    'For the planner: calls a function of a policy in the present.';

CREATE FUNCTION catmaid_history_internal.in_present_volatile(function internal, like_result anyelement) RETURNS anyelement
    LANGUAGE c VOLATILE COST 100 AS 'MODULE_PATHNAME', 'catmaid_history_in_present';
COMMENT ON FUNCTION catmaid_history_internal.in_present_volatile(internal, anyelement) IS
    'For the planner: calls a volatile function of a policy in the present.';

CREATE FUNCTION catmaid_history_internal.in_present_set(function internal, like_result anyelement) RETURNS SETOF anyelement
    LANGUAGE c VOLATILE COST 100 AS 'MODULE_PATHNAME', 'catmaid_history_in_present';
COMMENT ON FUNCTION catmaid_history_internal.in_present_set(internal, anyelement) IS
    'For the planner: calls a set-returning function of a policy in the present.';

-- ---------------------------------------------------------------------------
-- The transaction log
-- ---------------------------------------------------------------------------

CREATE TYPE history_change_type AS ENUM ('Backend', 'Migration', 'External');
COMMENT ON TYPE history_change_type IS
    'What kind of work a transaction did: of the application, of a migration, or by hand.';

CREATE FUNCTION catmaid_history_log_context() RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_log_context() IS
    'What catmaid_history.context says and, with catmaid_history.log_transactions, the session''s user, role, application and client address.';

CREATE FUNCTION catmaid_history_internal.label_keys(label text, number internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'catmaid_history_label_keys';
COMMENT ON FUNCTION catmaid_history_internal.label_keys(text, internal) IS
    'Support function of operator class label_ops: what the index holds of a label.';

CREATE FUNCTION catmaid_history_internal.label_query(label text, number internal, strategy smallint, partial internal, extra internal, nulls internal, mode internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'catmaid_history_label_keys';
COMMENT ON FUNCTION catmaid_history_internal.label_query(text, internal, smallint, internal, internal, internal, internal) IS
    'Support function of operator class label_ops: what is looked for in the index.';

CREATE FUNCTION catmaid_history_internal.label_matches(found internal, strategy smallint, label text, number integer, extra internal, recheck internal, keys internal, nulls internal) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'catmaid_history_label_matches';
COMMENT ON FUNCTION catmaid_history_internal.label_matches(internal, smallint, text, integer, internal, internal, internal, internal) IS
    'Support function of operator class label_ops: whether what has been found may be what is looked for.';

-- A btree takes no label of more than some 2,700 bytes (src/log/label_index.c).
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_opclass
            WHERE opcname OPERATOR(pg_catalog.=) 'label_ops'::pg_catalog.name
              AND opcnamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('catmaid_history_internal')::pg_catalog.oid) THEN
        CREATE OPERATOR CLASS catmaid_history_internal.label_ops FOR TYPE pg_catalog.text USING gin AS
            OPERATOR 1 pg_catalog.= (pg_catalog.text, pg_catalog.text),
            FUNCTION 1 pg_catalog.btint4cmp(integer, integer),
            FUNCTION 2 catmaid_history_internal.label_keys(pg_catalog.text, internal),
            FUNCTION 3 catmaid_history_internal.label_query(pg_catalog.text, internal, smallint, internal, internal, internal, internal),
            FUNCTION 4 catmaid_history_internal.label_matches(internal, smallint, pg_catalog.text, integer, internal, internal, internal, internal),
            STORAGE integer;
    END IF;
END
$$;
COMMENT ON OPERATOR CLASS catmaid_history_internal.label_ops USING gin IS
    'Labels of any length, looked up by =.';
COMMENT ON OPERATOR FAMILY catmaid_history_internal.label_ops USING gin IS
    'That of operator class label_ops.';

CREATE TABLE catmaid_transaction_info (
    transaction_id bigint DEFAULT pg_catalog.txid_current(),
    execution_time timestamptz NOT NULL DEFAULT current_timestamp,
    user_id integer,
    project_id integer,
    change_type history_change_type NOT NULL,
    label text NOT NULL,
    context jsonb DEFAULT catmaid_history_log_context(),
    PRIMARY KEY (transaction_id, execution_time)
);
CREATE INDEX catmaid_transaction_info_time ON catmaid_transaction_info (execution_time);
CREATE INDEX catmaid_transaction_info_user ON catmaid_transaction_info (user_id, execution_time);
CREATE INDEX catmaid_transaction_info_label ON catmaid_transaction_info
    USING gin (label catmaid_history_internal.label_ops) WITH (fastupdate = off);
COMMENT ON TABLE catmaid_transaction_info IS
    'The transaction log: who did what, as applications, settings and the server say it.';
COMMENT ON COLUMN catmaid_transaction_info.transaction_id IS
    'The 64-bit transaction id, as exec_transaction_id in history tables. Fills itself.';
COMMENT ON COLUMN catmaid_transaction_info.execution_time IS
    'When the transaction began, as the end of sys_period in history tables. Fills itself.';
COMMENT ON COLUMN catmaid_transaction_info.user_id IS
    'The application''s user.';
COMMENT ON COLUMN catmaid_transaction_info.project_id IS
    'The application''s project.';
COMMENT ON COLUMN catmaid_transaction_info.change_type IS
    'What kind of work the transaction did.';
COMMENT ON COLUMN catmaid_transaction_info.label IS
    'What the application calls this work.';
COMMENT ON COLUMN catmaid_transaction_info.context IS
    'What else is known of the transaction. Fills itself.';

GRANT INSERT (user_id, project_id, change_type, label)
    ON catmaid_transaction_info TO PUBLIC;

-- The log as pg_dump takes it, with the columns and indexes that a site has added (src/log/log_dump.c).
CREATE TABLE catmaid_history_internal.catmaid_transaction_info_dump (
    transaction_id bigint,
    execution_time timestamptz,
    user_id integer,
    project_id integer,
    change_type history_change_type,
    label text,
    context jsonb,
    kind text,
    more text[]
);
COMMENT ON TABLE catmaid_history_internal.catmaid_transaction_info_dump IS
    'For pg_dump and pg_restore, and always empty: what is inserted goes to the transaction log.';

CREATE FUNCTION catmaid_history_restore_log() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_restore_log() IS
    'Trigger on catmaid_transaction_info_dump: enters the row in the transaction log, or adds a column or an index to it.';

CREATE TRIGGER catmaid_history_restore_log BEFORE INSERT ON catmaid_history_internal.catmaid_transaction_info_dump
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore_log();
ALTER TABLE catmaid_history_internal.catmaid_transaction_info_dump ENABLE ALWAYS TRIGGER catmaid_history_restore_log;

CREATE FUNCTION catmaid_history_internal.log_values(log record) RETURNS text[]
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'catmaid_history_log_values';
COMMENT ON FUNCTION catmaid_history_internal.log_values(record) IS
    'For pg_dump: names and values of the columns that a site has added to the transaction log.';

CREATE FUNCTION catmaid_history_internal.log_additions(what text, OUT kind text, OUT more text[])
    RETURNS SETOF record LANGUAGE sql STABLE AS $$
    WITH log AS (
        SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_extension e ON e.extnamespace OPERATOR(pg_catalog.=) c.relnamespace
         WHERE e.extname OPERATOR(pg_catalog.=) 'catmaid_history' AND c.relname OPERATOR(pg_catalog.=) 'catmaid_transaction_info'
    ), own AS (
        SELECT a.*, t.typcollation, s.seqrelid, s.seqstart
          FROM log JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) log.oid
          JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
          LEFT JOIN (pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid OPERATOR(pg_catalog.=) d.objid)
            ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype OPERATOR(pg_catalog.=) 'i'
           AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refobjid OPERATOR(pg_catalog.=) a.attrelid AND d.refobjsubid OPERATOR(pg_catalog.=) a.attnum
         WHERE a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
           AND a.attname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ('{transaction_id,execution_time,user_id,project_id,change_type,label,context}'::pg_catalog.text[])
    ), addition (kind, place, more) AS (
        SELECT 'column', a.attnum::pg_catalog.int4, ARRAY[a.attname::pg_catalog.text,
               pg_catalog.format_type(a.atttypid, a.atttypmod),
               (SELECT pg_catalog.format('%I.%I', n.nspname, c.collname) FROM pg_catalog.pg_collation c
                  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.collnamespace
                 WHERE c.oid OPERATOR(pg_catalog.=) a.attcollation AND a.attcollation OPERATOR(pg_catalog.<>) a.typcollation),
               CASE a.attgenerated WHEN '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
               CASE a.attidentity WHEN '' THEN NULL ELSE a.attidentity::pg_catalog.text END,
               CASE a.attgenerated WHEN 's' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
               CASE WHEN pg_catalog.has_sequence_privilege(a.seqrelid, 'SELECT') THEN
                   (coalesce(pg_catalog.pg_sequence_last_value(a.seqrelid) OPERATOR(pg_catalog.+) 1::pg_catalog.int8, a.seqstart))::pg_catalog.text END]
          FROM own a LEFT JOIN pg_catalog.pg_attrdef d
            ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
        UNION ALL
        SELECT 'not null', a.attnum::pg_catalog.int4, ARRAY[a.attname::pg_catalog.text] FROM own a
         WHERE a.attnotnull AND a.attidentity OPERATOR(pg_catalog.=) ''
        UNION ALL
        SELECT 'index', i.indexrelid::pg_catalog.int8::pg_catalog.int4, ARRAY[pg_catalog.pg_get_indexdef(i.indexrelid)]
          FROM log JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) log.oid
          JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
         WHERE NOT i.indisprimary AND i.indisvalid
           AND c.relname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ('{catmaid_transaction_info_time,catmaid_transaction_info_user,catmaid_transaction_info_label}'::pg_catalog.text[])
    )
    SELECT addition.kind::pg_catalog.text, addition.more
      FROM addition WHERE addition.kind OPERATOR(pg_catalog.=) what ORDER BY place $$;
COMMENT ON FUNCTION catmaid_history_internal.log_additions(text) IS
    'For pg_dump: what a site has added to the transaction log, its columns, their NOT NULL, or its indexes.';

DO $$
BEGIN
    PERFORM pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_transaction_info_dump',
        pg_catalog.format('WHERE false UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, kind, more FROM catmaid_history_internal.log_additions(''column'')'
            ' UNION ALL SELECT transaction_id, execution_time, user_id, project_id, change_type, label, context,'
            ' NULL::pg_catalog.text, catmaid_history_internal.log_values(log) FROM %I.catmaid_transaction_info log UNION ALL'
            ' SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, kind, more FROM catmaid_history_internal.log_additions(''not null'')'
            ' UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, kind, more FROM catmaid_history_internal.log_additions(''index'')',
            pg_catalog.current_schema()));
END
$$;

-- How long histories are kept: set_history_retention(). A dump has names in the place of
-- OIDs; a row that is inserted is the table's owner's to insert.
CREATE TABLE catmaid_history_internal.catmaid_history_retention (
    live_table regclass UNIQUE,
    name text,
    keep interval CHECK (keep OPERATOR(pg_catalog.>) '0'::pg_catalog.interval),
    segment interval CHECK (segment OPERATOR(pg_catalog.>) '0'::pg_catalog.interval)
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_retention IS
    'How long maintain_history() keeps the versions of tables, and in segments of what length.';

CREATE FUNCTION catmaid_history_internal.restore_retention() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.name IS NOT NULL THEN
        SELECT pg_catalog.to_regclass(NEW.name), NULL INTO NEW.live_table, NEW.name;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) NEW.live_table::pg_catalog.oid
                  AND pg_catalog.pg_has_role(c.relowner, 'USAGE'))
       AND NOT EXISTS (SELECT FROM catmaid_history_internal.catmaid_history_retention r
                        WHERE r.live_table::pg_catalog.oid OPERATOR(pg_catalog.=) NEW.live_table::pg_catalog.oid) THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION catmaid_history_internal.restore_retention() IS
    'Trigger on catmaid_history_retention: finds the table by its name, and lets its owner alone say how long its history is kept.';
CREATE TRIGGER catmaid_history_restore_retention BEFORE INSERT ON catmaid_history_internal.catmaid_history_retention
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_internal.restore_retention();
ALTER TABLE catmaid_history_internal.catmaid_history_retention ENABLE ALWAYS TRIGGER catmaid_history_restore_retention;

SELECT pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_history_retention',
    'WHERE name IS NOT NULL UNION ALL SELECT NULL::pg_catalog.regclass, live_table::pg_catalog.text, keep, segment'
    ' FROM catmaid_history_internal.catmaid_history_retention');

-- What erase_history() has done: when, by whom, why and how many, not what.
CREATE TABLE catmaid_history_internal.catmaid_history_erasure (
    live_table text NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    transaction_id bigint NOT NULL DEFAULT pg_catalog.txid_current(),
    erased_by name NOT NULL,
    reason text NOT NULL,
    versions bigint NOT NULL
);
COMMENT ON TABLE catmaid_history_internal.catmaid_history_erasure IS
    'What erase_history() has done. Read it through catmaid_history_erasures.';
SELECT pg_catalog.pg_extension_config_dump('catmaid_history_internal.catmaid_history_erasure', '');

CREATE VIEW catmaid_history_erasures AS
    SELECT e.live_table, e.erased_at, e.transaction_id, e.erased_by, e.reason, e.versions
      FROM catmaid_history_internal.catmaid_history_erasure e
     WHERE pg_catalog.has_table_privilege(pg_catalog.to_regclass(e.live_table)::pg_catalog.oid, 'SELECT');
COMMENT ON VIEW catmaid_history_erasures IS
    'What erase_history() has done to the histories of tables that the reader may read.';
COMMENT ON COLUMN catmaid_history_erasures.live_table IS 'The table, by its name at that time.';
COMMENT ON COLUMN catmaid_history_erasures.erased_at IS 'When, by the clock.';
COMMENT ON COLUMN catmaid_history_erasures.transaction_id IS 'The transaction that erased.';
COMMENT ON COLUMN catmaid_history_erasures.erased_by IS 'The role that the session had begun with.';
COMMENT ON COLUMN catmaid_history_erasures.reason IS 'Why, as the caller said.';
COMMENT ON COLUMN catmaid_history_erasures.versions IS 'How many versions were removed.';
GRANT SELECT ON catmaid_history_erasures TO PUBLIC;

-- The owner of the database makes and restores its dumps. (Before PostgreSQL 14,
-- which brought pg_database_owner, whoever is the owner now.)
DO $$
BEGIN
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA catmaid_history_internal TO %1$s;
            GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON catmaid_history_table, catmaid_transaction_info,
            catmaid_history_internal.catmaid_history_table_by_name, catmaid_history_internal.catmaid_history_pause_by_name,
            catmaid_history_internal.catmaid_history_since_by_name,
            catmaid_history_internal.catmaid_transaction_info_dump TO %1$s;
            GRANT SELECT ON catmaid_history_internal.catmaid_history_pause, catmaid_history_internal.catmaid_history_since TO %1$s;
            GRANT SELECT, INSERT ON catmaid_history_dump, catmaid_history_internal.catmaid_history_retention,
            catmaid_history_internal.catmaid_history_erasure TO %1$s',
        CASE WHEN pg_catalog.current_setting('server_version_num')::int OPERATOR(pg_catalog.>=) 140000
        THEN 'pg_database_owner'
        ELSE (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(datdba)) FROM pg_catalog.pg_database
              WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) END);
END
$$;

-- ---------------------------------------------------------------------------
-- Trigger functions
-- ---------------------------------------------------------------------------

CREATE FUNCTION catmaid_history_capture() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_capture() IS
    'Row trigger on tracked tables: stores the old version and keeps the tracking table in step.';

CREATE FUNCTION catmaid_history_set_txid() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_set_txid() IS
    'Row trigger on tracked tables with a time column: writes the transaction id into the row.';

CREATE FUNCTION catmaid_history_log_insert() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_log_insert() IS
    'INSERT trigger on tracked tables with a time column: has the transaction entered in the log, if it is to be.';

CREATE FUNCTION catmaid_history_no_end() RETURNS timestamptz
    LANGUAGE c IMMUTABLE PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_no_end() IS
    'NULL, the end of a live row''s period. History views call it while they are planned, so that the index on sys_period is used.';

CREATE FUNCTION catmaid_history_live_start(table_of_row oid, place tid, its_row record)
    RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_live_start(oid, tid, record) IS
    'Since when a live row is as it is; what the views of parents call for rows of children that have another key.';

CREATE FUNCTION catmaid_history_live_maker(table_of_row oid, place tid, its_row record)
    RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_live_maker(oid, tid, record) IS
    'Which transaction made a live row as it is; called where catmaid_history_live_start is.';

CREATE FUNCTION catmaid_history_tracking_of(live_table oid) RETURNS oid
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_tracking_of(oid) IS
    'The tracking table that the registry has for a table; what the views of parents call.';

CREATE FUNCTION catmaid_history_internal.is_history_support(request internal) RETURNS internal
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'catmaid_history_is_history_support';
COMMENT ON FUNCTION catmaid_history_internal.is_history_support(internal) IS
    'Tells the planner of how many rows catmaid_history_is_history is true; not for use.';

CREATE FUNCTION catmaid_history_is_history(relation oid) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2 SUPPORT catmaid_history_internal.is_history_support
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_is_history(oid) IS
    'Whether a table is the history of a tracked table, or a segment of one; what the views of parents call.';

CREATE FUNCTION catmaid_history_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_truncate() IS
    'TRUNCATE trigger on tracked tables: stores the rows that are removed.';

-- ---------------------------------------------------------------------------
-- Creating and dropping
-- ---------------------------------------------------------------------------

CREATE FUNCTION create_history_table(live_table regclass,
        time_column text DEFAULT NULL, txid_column text DEFAULT NULL,
        create_triggers boolean DEFAULT true,
        copy_inheritance boolean DEFAULT true, sync boolean DEFAULT true)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_create_history_table';
COMMENT ON FUNCTION create_history_table(regclass, text, text, boolean, boolean, boolean) IS
    'Keep the history of a table from now on. Time and transaction id come from the named columns, or else from a tracking table.';

CREATE FUNCTION drop_history_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_history_table';
COMMENT ON FUNCTION drop_history_table(regclass) IS
    'Stop tracking a table and drop its history.';

CREATE FUNCTION drop_history_table_keep_data(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_history_table_keep_data';
COMMENT ON FUNCTION drop_history_table_keep_data(regclass) IS
    'Stop tracking a table and forget it, but leave its history table and rows.';

CREATE FUNCTION drop_all_history_tables()
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_all_history_tables';
COMMENT ON FUNCTION drop_all_history_tables() IS
    'Stop tracking all tables and drop their histories.';

-- The same, for whoever wants no other code: of the first two, see below.
CREATE FUNCTION catmaid_history_internal.drop_history_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_history_table';
COMMENT ON FUNCTION catmaid_history_internal.drop_history_table(regclass) IS
    'drop_history_table, which the database''s owner cannot replace.';

CREATE FUNCTION catmaid_history_internal.drop_history_table_keep_data(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_history_table_keep_data';
COMMENT ON FUNCTION catmaid_history_internal.drop_history_table_keep_data(regclass) IS
    'drop_history_table_keep_data, which the database''s owner cannot replace.';

-- Migrations put versions of their own in the place of drop_history_table and
-- drop_history_table_keep_data; the owner of the database may, whoever made the extension.
DO $$
BEGIN
    EXECUTE pg_catalog.format('ALTER FUNCTION drop_history_table(pg_catalog.regclass) OWNER TO %1$s;
            ALTER FUNCTION drop_history_table_keep_data(pg_catalog.regclass) OWNER TO %1$s',
        CASE WHEN pg_catalog.current_setting('server_version_num')::int OPERATOR(pg_catalog.>=) 140000
        THEN 'pg_database_owner'
        ELSE (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(datdba)) FROM pg_catalog.pg_database
              WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) END);
END
$$;

-- ---------------------------------------------------------------------------
-- Enabling, disabling, syncing
-- ---------------------------------------------------------------------------

CREATE FUNCTION enable_history_tracking_for_table(live_table regclass,
        history_table regclass DEFAULT NULL, sync boolean DEFAULT true)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_enable_for_table';
COMMENT ON FUNCTION enable_history_tracking_for_table(regclass, regclass, boolean) IS
    'Record changes of a table again: install what is missing and, unless sync is false, bring the tracking table up to date.';

CREATE FUNCTION disable_history_tracking_for_table(live_table regclass,
        history_table regclass DEFAULT NULL)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_disable_for_table';
COMMENT ON FUNCTION disable_history_tracking_for_table(regclass, regclass) IS
    'Record no changes of a table until tracking is enabled again.';

CREATE FUNCTION enable_history_tracking()
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_enable';
COMMENT ON FUNCTION enable_history_tracking() IS
    'Record changes of all registered tables again.';

CREATE FUNCTION disable_history_tracking()
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_disable';
COMMENT ON FUNCTION disable_history_tracking() IS
    'Record no changes of any table until tracking is enabled again.';

CREATE FUNCTION reload_history_tracking_for_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_reload_for_table';
COMMENT ON FUNCTION reload_history_tracking_for_table(regclass) IS
    'Make the triggers of a table anew and enable tracking.';

CREATE FUNCTION reload_history_tracking()
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_reload';
COMMENT ON FUNCTION reload_history_tracking() IS
    'Make the triggers of all registered tables anew and enable tracking.';

CREATE FUNCTION sync_tracking_table(live_table regclass, tracking_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_sync_tracking_table';
COMMENT ON FUNCTION sync_tracking_table(regclass, regclass) IS
    'Make the tracking table have one row for each live row.';

-- ---------------------------------------------------------------------------
-- Views, and history tables themselves
-- ---------------------------------------------------------------------------

CREATE FUNCTION create_history_view_for_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_create_view';
COMMENT ON FUNCTION create_history_view_for_table(regclass) IS
    'Make the view of live rows and history, or make it anew.';

CREATE FUNCTION drop_history_view_for_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_drop_view';
COMMENT ON FUNCTION drop_history_view_for_table(regclass) IS
    'Drop the view of live rows and history.';

CREATE FUNCTION initialize_new_history_table(live_table regclass,
        history_table regclass, live_table_pkey_column text)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_initialize_new_history_table';
COMMENT ON FUNCTION initialize_new_history_table(regclass, regclass, text) IS
    'Make the indexes of a history table that are missing, and its view.';

CREATE FUNCTION truncate_history_table(target regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_truncate_history_table';
COMMENT ON FUNCTION truncate_history_table(regclass) IS
    'Empty a history table, and that alone.';

CREATE FUNCTION truncate_all_history_tables()
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_truncate_all_history_tables';
COMMENT ON FUNCTION truncate_all_history_tables() IS
    'Empty all history tables.';

-- ---------------------------------------------------------------------------
-- Segments
-- ---------------------------------------------------------------------------

CREATE FUNCTION rotate_history(live_table regclass)
    RETURNS regclass LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_rotate_history';
COMMENT ON FUNCTION rotate_history(regclass) IS
    'Close what is in the history of a table as a segment, which is returned, and go on with an empty head.';

CREATE FUNCTION set_history_retention(live_table regclass, keep interval, segment interval DEFAULT NULL)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_set_retention';
COMMENT ON FUNCTION set_history_retention(regclass, interval, interval) IS
    'How long maintain_history() keeps the versions of a table, and in segments of what length; NULL: for ever, and in one piece.';

CREATE PROCEDURE maintain_history()
    LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_maintain';
COMMENT ON PROCEDURE maintain_history() IS
    'Rotate histories, verify their segments, and drop what is older than it is kept, as set_history_retention() has said.';

CREATE PROCEDURE move_history_segment(segment regclass, server name DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_move_segment';
COMMENT ON PROCEDURE move_history_segment(regclass, name) IS
    'Move the versions of a segment to a server of postgres_fdw, or back into this database (NULL): copied, compared, switched over, removed.';

CREATE FUNCTION claim_history_segment(segment regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'catmaid_history_claim_segment';
COMMENT ON FUNCTION claim_history_segment(regclass) IS
    'Say on the other server that the segment''s table is this database''s, as after a restore or an upgrade, and no other one''s.';

CREATE FUNCTION history_server_script() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $script$ SELECT
$$-- What a server needs so that segments of histories can be moved there; see move_history_segment().
-- Run it in the database that the foreign server names, as the role that the user mapping of the tables' owner names.
-- What is inserted into the view is executed with the rights of whoever inserts it.
CREATE SCHEMA catmaid_history_segments;
CREATE FUNCTION catmaid_history_segments.command() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO' SET "IntervalStyle" = 'postgres'
    SET extra_float_digits = 3 SET bytea_output = 'hex' AS '
BEGIN
    IF NEW.returns THEN
        EXECUTE NEW.statement INTO NEW.result;
    ELSE
        EXECUTE NEW.statement;
    END IF;
    RETURN NEW;
END';
REVOKE EXECUTE ON FUNCTION catmaid_history_segments.command() FROM PUBLIC;
CREATE VIEW catmaid_history_segments.command AS
    SELECT NULL::pg_catalog.text AS statement, NULL::pg_catalog.bool AS returns, NULL::pg_catalog.text AS result WHERE false;
CREATE TRIGGER command INSTEAD OF INSERT ON catmaid_history_segments.command
    FOR EACH ROW EXECUTE FUNCTION catmaid_history_segments.command();
$$::pg_catalog.text $script$;
COMMENT ON FUNCTION history_server_script() IS
    'SQL that makes ready another server for move_history_segment(); to be run there.';

CREATE FUNCTION erase_history(live_table regclass, key jsonb, reason text)
    RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_erase_history';
COMMENT ON FUNCTION erase_history(regclass, jsonb, text) IS
    'Remove all versions of a row from the history of a table, with an entry in catmaid_history_erasures; returns how many.';

-- ---------------------------------------------------------------------------
-- Reading
-- ---------------------------------------------------------------------------

CREATE FUNCTION catmaid_history_internal.rows_support(request internal) RETURNS internal
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'catmaid_history_rows_support';
COMMENT ON FUNCTION catmaid_history_internal.rows_support(internal) IS
    'Lets the planner know the functions that read; not for use.';

CREATE FUNCTION history_changes(tables regclass[] DEFAULT NULL, since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL, transactions bigint[] DEFAULT NULL, key jsonb DEFAULT NULL,
    OUT changed_at timestamptz, OUT transaction_id bigint, OUT live_table regclass, OUT change text,
    OUT key jsonb, OUT old_row jsonb, OUT new_row jsonb, OUT changed_columns text[],
    OUT user_id integer, OUT label text, OUT context jsonb)
    RETURNS SETOF record
    LANGUAGE c STABLE COST 100000 SUPPORT catmaid_history_internal.rows_support
    AS 'MODULE_PATHNAME', 'catmaid_history_changes';
COMMENT ON FUNCTION history_changes(regclass[], timestamptz, timestamptz, bigint[], jsonb) IS
    'What transactions did to the rows of tables that the caller may read, newest last.';

CREATE FUNCTION history_diff(row_type anyelement, before timestamptz, after timestamptz,
    OUT change text, OUT old anyelement, OUT new anyelement)
    RETURNS SETOF record
    LANGUAGE c STABLE COST 100000 SUPPORT catmaid_history_internal.rows_support
    AS 'MODULE_PATHNAME', 'catmaid_history_diff';
COMMENT ON FUNCTION history_diff(anyelement, timestamptz, timestamptz) IS
    'The rows of a table that differ between two instants; NULL::t means table t.';

CREATE FUNCTION read_as_of(as_of timestamptz, is_local boolean DEFAULT false) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'catmaid_history_read_as_of';
REVOKE EXECUTE ON FUNCTION read_as_of(timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION read_as_of(timestamptz, boolean) IS
    'From now on queries of the session, or of the transaction, see tracked tables as of that instant; NULL: as they are.';

CREATE FUNCTION undo_transactions(transactions bigint[], tables regclass[] DEFAULT NULL,
    on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false,
    OUT live_table regclass, OUT key jsonb, OUT action text, OUT conflict text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'catmaid_history_undo_transactions';
COMMENT ON FUNCTION undo_transactions(bigint[], regclass[], text, boolean) IS
    'Take back what transactions did, in all tables or those named: ordinary writes by the caller.';

CREATE FUNCTION restore_tables(tables regclass[], as_of timestamptz, keys jsonb[] DEFAULT NULL,
    on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false,
    OUT live_table regclass, OUT key jsonb, OUT action text, OUT conflict text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'catmaid_history_restore_tables';
COMMENT ON FUNCTION restore_tables(regclass[], timestamptz, jsonb[], text, boolean) IS
    'Bring tables, or those rows of one, back to what they were: ordinary writes by the caller.';

-- ---------------------------------------------------------------------------
-- Checking and repairing
-- ---------------------------------------------------------------------------

CREATE FUNCTION check_history(target regclass DEFAULT NULL, scan_history boolean DEFAULT true,
        OUT live_table regclass, OUT severity text, OUT finding text, OUT object text,
        OUT detail text, OUT hint text)
    RETURNS SETOF record LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_check_history';
COMMENT ON FUNCTION check_history(regclass, boolean) IS
    'What is wrong with the history of a table, or of all: a row for each finding. Changes nothing.';

CREATE FUNCTION repair_history(live_table regclass DEFAULT NULL)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_repair_history';
COMMENT ON FUNCTION repair_history(regclass) IS
    'Mend the history of a table, or of all, as far as that takes no change of a history row, and warn of the rest.';

CREATE FUNCTION widen_history_table(live_table regclass)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'catmaid_history_widen_history_table';
COMMENT ON FUNCTION widen_history_table(regclass) IS
    'Give history columns that are too narrow the types of the live ones; rewrites the history table.';

-- ---------------------------------------------------------------------------
-- Names
-- ---------------------------------------------------------------------------

CREATE FUNCTION get_history_table_name(live_table regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat(c.relname, '__history') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table::pg_catalog.oid $$;
COMMENT ON FUNCTION get_history_table_name(regclass) IS
    'The name of a table''s history table, unquoted and unqualified.';

CREATE FUNCTION history_table_name(live_table regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat(c.relname, '__history') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table::pg_catalog.oid $$;
COMMENT ON FUNCTION history_table_name(regclass) IS
    'The older name of get_history_table_name.';

CREATE FUNCTION get_tracking_table_name(live_table regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat(c.relname, '__tracking') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table::pg_catalog.oid $$;
COMMENT ON FUNCTION get_tracking_table_name(regclass) IS
    'The name of a table''s tracking table, unquoted and unqualified.';

CREATE FUNCTION get_history_view_name(live_table_name regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat(c.relname, '__with_history') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table_name::pg_catalog.oid $$;
COMMENT ON FUNCTION get_history_view_name(regclass) IS
    'The name of a table''s history view, unquoted and unqualified.';

CREATE FUNCTION get_history_update_fn_name_regular(live_table regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat('update_history_', c.relname, '_reg') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table::pg_catalog.oid $$;
COMMENT ON FUNCTION get_history_update_fn_name_regular(regclass) IS
    'For old callers: a function name that is not in use any more.';

CREATE FUNCTION get_history_txid_update_fn_name_regular(live_table_name regclass) RETURNS text
    LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.concat('update_history_txid_', c.relname, '_reg') FROM pg_catalog.pg_class c
       WHERE c.oid OPERATOR(pg_catalog.=) live_table_name::pg_catalog.oid $$;
COMMENT ON FUNCTION get_history_txid_update_fn_name_regular(regclass) IS
    'For old callers: a function name that is not in use any more.';

CREATE FUNCTION get_history_update_trigger_name_regular() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_history_regular'::pg_catalog.text $$;
COMMENT ON FUNCTION get_history_update_trigger_name_regular() IS
    'The trigger that stores versions of a table with a time column.';

CREATE FUNCTION get_history_delete_trigger_name_regular() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_delete_update_history_txid_regular'::pg_catalog.text $$;
COMMENT ON FUNCTION get_history_delete_trigger_name_regular() IS
    'For old callers: a trigger name that is not in use any more.';

CREATE FUNCTION get_history_txid_update_trigger_name_regular() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_history_txid_regular'::pg_catalog.text $$;
COMMENT ON FUNCTION get_history_txid_update_trigger_name_regular() IS
    'The trigger that writes the transaction id into rows of a table with a time column.';

CREATE FUNCTION get_history_update_trigger_name_tracking() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_change_history_trackingtable'::pg_catalog.text $$;
COMMENT ON FUNCTION get_history_update_trigger_name_tracking() IS
    'The trigger that stores versions of a table with a tracking table.';

CREATE FUNCTION get_tracking_table_update_trigger_name() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_change_update_tracking_table'::pg_catalog.text $$;
COMMENT ON FUNCTION get_tracking_table_update_trigger_name() IS
    'The trigger that enters new rows into the tracking table.';

CREATE FUNCTION get_tracking_table_truncate_trigger_name() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_truncate_truncate_tracking_table'::pg_catalog.text $$;
COMMENT ON FUNCTION get_tracking_table_truncate_trigger_name() IS
    'The trigger that ends a TRUNCATE, when the rows have gone.';

CREATE FUNCTION get_history_truncate_trigger_name() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT 'on_truncate_handle_live_table_truncate'::pg_catalog.text $$;
COMMENT ON FUNCTION get_history_truncate_trigger_name() IS
    'The trigger that stores the rows that TRUNCATE removes.';

-- ---------------------------------------------------------------------------
-- Helper views
-- ---------------------------------------------------------------------------

-- A view is parsed now, under a search_path that others may have put operators
-- into, and read by everybody ever after: every operator and function in it is
-- qualified, IN and = ANY (which cannot be) spelt out.
CREATE VIEW catmaid_live_table_triggers AS
    SELECT h.live_table,
           NOT EXISTS (
               -- a trigger that must be on the table, or on a partition of it
               SELECT FROM (SELECT h.live_table::pg_catalog.oid AS relid,
                                   NULL::pg_catalog.regclass AS parent, true AS isleaf
                            UNION
                            SELECT p.relid, p.parentrelid, p.isleaf
                              FROM pg_catalog.pg_partition_tree(h.live_table) p
                             WHERE p.parentrelid IS NOT NULL) r,
                    pg_catalog.unnest(CASE WHEN h.tracking_table IS NULL
                           THEN ARRAY['on_change_update_history_regular',
                                      'on_change_update_history_txid_regular',
                                      'on_truncate_handle_live_table_truncate',
                                      'on_truncate_truncate_tracking_table']
                           ELSE ARRAY['on_change_history_trackingtable',
                                      'on_change_update_tracking_table',
                                      'on_truncate_handle_live_table_truncate',
                                      'on_truncate_truncate_tracking_table'] END) AS needed
               WHERE (r.parent IS NULL OR r.isleaf)
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                                  WHERE t.tgrelid OPERATOR(pg_catalog.=) r.relid
                                    AND t.tgname::pg_catalog.text OPERATOR(pg_catalog.=) needed
                                    AND (t.tgenabled OPERATOR(pg_catalog.=) 'O' OR
                                         t.tgenabled OPERATOR(pg_catalog.=) 'A'))
           ) AS triggers_installed
      FROM catmaid_history_table h
      JOIN pg_catalog.pg_class c
        ON c.oid OPERATOR(pg_catalog.=) h.live_table::pg_catalog.oid;
COMMENT ON VIEW catmaid_live_table_triggers IS
    'For each registered table whether its triggers are really there and fire.';
COMMENT ON COLUMN catmaid_live_table_triggers.live_table IS
    'The table whose history is kept.';
COMMENT ON COLUMN catmaid_live_table_triggers.triggers_installed IS
    'True if all triggers that record are there and none is switched off.';
GRANT SELECT ON catmaid_live_table_triggers TO PUBLIC;

CREATE FUNCTION catmaid_history_internal.segment_bound(segment regclass) RETURNS timestamptz
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'catmaid_history_segment_bound';
COMMENT ON FUNCTION catmaid_history_internal.segment_bound(regclass) IS
    'The time by which all versions in a segment had ended; NULL if that is not known.';

CREATE VIEW catmaid_history_segments AS
    SELECT h.live_table, h.history_table, c.conrelid::pg_catalog.regclass AS segment,
           catmaid_history_internal.segment_bound(c.conrelid::pg_catalog.regclass) AS ended_by,
           c.convalidated AS verified, f.srvname AS server
      FROM pg_catalog.pg_constraint c
      JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) c.conrelid
      JOIN catmaid_history_table h ON h.history_table::pg_catalog.oid OPERATOR(pg_catalog.=) i.inhparent
      LEFT JOIN (pg_catalog.pg_foreign_table t JOIN pg_catalog.pg_foreign_server f ON f.oid OPERATOR(pg_catalog.=) t.ftserver)
        ON t.ftrelid OPERATOR(pg_catalog.=) c.conrelid
     WHERE c.conname OPERATOR(pg_catalog.=) 'catmaid_history_segment'::pg_catalog.name
       AND c.contype OPERATOR(pg_catalog.=) 'c';
COMMENT ON VIEW catmaid_history_segments IS
    'The segments that histories were cut into: each holds versions that ended by a certain time.';
COMMENT ON COLUMN catmaid_history_segments.live_table IS
    'The table whose history it is.';
COMMENT ON COLUMN catmaid_history_segments.history_table IS
    'The history table, which goes on: the head.';
COMMENT ON COLUMN catmaid_history_segments.segment IS
    'The table that holds the versions.';
COMMENT ON COLUMN catmaid_history_segments.ended_by IS
    'All of them had ended by then.';
COMMENT ON COLUMN catmaid_history_segments.verified IS
    'Whether that has been found true of every version, so that queries as of a later time leave the segment out.';
COMMENT ON COLUMN catmaid_history_segments.server IS
    'The server that they are on; NULL: this database.';
GRANT SELECT ON catmaid_history_segments TO PUBLIC;

CREATE VIEW catmaid_inheriting_tables AS
    SELECT pn.nspname AS parent_schemaname, p.relname AS parent_tablename, p.oid AS parent_oid,
           cn.nspname AS child_schemaname, c.relname AS child_tablename, c.oid AS child_oid
      FROM pg_catalog.pg_inherits i
      JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) i.inhparent
      JOIN pg_catalog.pg_namespace pn ON pn.oid OPERATOR(pg_catalog.=) p.relnamespace
      JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid
      JOIN pg_catalog.pg_namespace cn ON cn.oid OPERATOR(pg_catalog.=) c.relnamespace
     WHERE (p.relkind OPERATOR(pg_catalog.=) 'r' OR p.relkind OPERATOR(pg_catalog.=) 'p')
       AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p' OR
            c.relkind OPERATOR(pg_catalog.=) 'f');
COMMENT ON VIEW catmaid_inheriting_tables IS
    'Which table inherits from which.';
GRANT SELECT ON catmaid_inheriting_tables TO PUBLIC;

CREATE VIEW catmaid_table_info AS
    SELECT c.oid AS rel_oid, c.relname AS rel_name, n.nspname AS rel_schema,
           a.attname AS column_name, a.attnum AS pos
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
     WHERE (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p')
       AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped;
COMMENT ON VIEW catmaid_table_info IS 'The columns of all tables.';
GRANT SELECT ON catmaid_table_info TO PUBLIC;

-- ---------------------------------------------------------------------------
-- The follower
-- ---------------------------------------------------------------------------

CREATE FUNCTION catmaid_history_ddl_start() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_ddl_start() IS
    'Event trigger: moves history views out of the way of DDL.';
CREATE FUNCTION catmaid_history_ddl_end() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_ddl_end() IS
    'Event trigger: makes history tables follow DDL.';
CREATE FUNCTION catmaid_history_sql_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION catmaid_history_sql_drop() IS
    'Event trigger: clears up after tables that were dropped.';

CREATE EVENT TRIGGER catmaid_history_ddl_start ON ddl_command_start
    EXECUTE FUNCTION catmaid_history_ddl_start();
CREATE EVENT TRIGGER catmaid_history_ddl_end ON ddl_command_end
    EXECUTE FUNCTION catmaid_history_ddl_end();
CREATE EVENT TRIGGER catmaid_history_sql_drop ON sql_drop
    EXECUTE FUNCTION catmaid_history_sql_drop();
-- in session_replication_role = replica, too
ALTER EVENT TRIGGER catmaid_history_ddl_start ENABLE ALWAYS;
ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE ALWAYS;
ALTER EVENT TRIGGER catmaid_history_sql_drop ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER catmaid_history_ddl_start IS
    'catmaid_history: moves history views out of the way of DDL.';
COMMENT ON EVENT TRIGGER catmaid_history_ddl_end IS
    'catmaid_history: makes history tables follow DDL.';
COMMENT ON EVENT TRIGGER catmaid_history_sql_drop IS
    'catmaid_history: clears up after tables that were dropped.';
