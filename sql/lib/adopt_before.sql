\echo Use "ALTER EXTENSION catmaid_history UPDATE" to load this file. \quit

-- From the objects of the older PL/pgSQL implementation, or from what has become
-- of our own, to version 1.0.  First the old objects are looked at and taken over;
-- then follows the install script of 1.0, which replaces them; at last the
-- tables themselves are seen to.
--
-- The old objects may belong to a role with fewer rights than ours, in a schema
-- where anybody may create.  So: nothing is looked up in that schema by
-- search_path; tables that carry code of their owner are refused, as that would
-- run with our rights; and nothing calls the old functions and views between
-- their change of owner and their replacement.  What is looked at is not exchanged
-- for something else meanwhile: the schema keeps its name, as its row is locked;
-- both tables are locked, by what they are and not by what bears their names when the
-- lock is had; and at the end all members are looked at again (adopt_after.sql).

DO $adopt$
BEGIN
    -- (in this file's search_path the schema is, by the name that this file uses)
    PERFORM FROM pg_catalog.pg_namespace n, pg_catalog.pg_extension e
      WHERE e.extname OPERATOR(pg_catalog.=) 'catmaid_history'::pg_catalog.name
        AND n.oid OPERATOR(pg_catalog.=) e.extnamespace
        AND n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema() FOR SHARE OF n;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the schema of extension % was renamed concurrently', 'catmaid_history'
            USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
    END IF;
END
$adopt$;

SET LOCAL search_path TO pg_catalog, pg_temp;

DO $adopt$
DECLARE
    extension CONSTANT oid := (SELECT oid FROM pg_extension WHERE extname = 'catmaid_history');
    namespace CONSTANT oid := (SELECT extnamespace FROM pg_extension WHERE extname = 'catmaid_history');
    registry CONSTANT regclass := (SELECT oid FROM pg_class
        WHERE relname = 'catmaid_history_table' AND relnamespace = namespace);
    log CONSTANT regclass := (SELECT oid FROM pg_class
        WHERE relname = 'catmaid_transaction_info' AND relnamespace = namespace);
    change_type CONSTANT regtype := (SELECT oid FROM pg_type
        WHERE typname = 'history_change_type' AND typnamespace = namespace);
    -- name, arguments with their names, how many have defaults, result
    functions CONSTANT text[] := ARRAY[
        ['create_history_table', 'live_table regclass, time_column text, txid_column text, create_triggers boolean, copy_inheritance boolean, sync boolean', '5', 'void'],
        ['drop_history_table', 'live_table regclass', '0', 'void'],
        ['drop_history_table_keep_data', 'live_table regclass', '0', 'void'],
        ['drop_all_history_tables', '', '0', 'void'],
        ['enable_history_tracking_for_table', 'live_table regclass, history_table regclass, sync boolean', '2', 'void'],
        ['disable_history_tracking_for_table', 'live_table regclass, history_table regclass', '1', 'void'],
        ['enable_history_tracking', '', '0', 'void'],
        ['disable_history_tracking', '', '0', 'void'],
        ['reload_history_tracking_for_table', 'live_table regclass', '0', 'void'],
        ['reload_history_tracking', '', '0', 'void'],
        ['sync_tracking_table', 'live_table regclass, tracking_table regclass', '0', 'void'],
        ['create_history_view_for_table', 'live_table regclass', '0', 'void'],
        ['drop_history_view_for_table', 'live_table regclass', '0', 'void'],
        ['initialize_new_history_table', 'live_table regclass, history_table regclass, live_table_pkey_column text', '0', 'void'],
        ['truncate_history_table', 'target regclass', '0', 'void'],
        ['truncate_all_history_tables', '', '0', 'void'],
        ['get_history_table_name', 'live_table regclass', '0', 'text'],
        ['history_table_name', 'live_table regclass', '0', 'text'],
        ['get_tracking_table_name', 'live_table regclass', '0', 'text'],
        ['get_history_view_name', 'live_table_name regclass', '0', 'text'],
        ['get_history_update_fn_name_regular', 'live_table regclass', '0', 'text'],
        ['get_history_txid_update_fn_name_regular', 'live_table_name regclass', '0', 'text'],
        ['get_history_update_trigger_name_regular', '', '0', 'text'],
        ['get_history_delete_trigger_name_regular', '', '0', 'text'],
        ['get_history_txid_update_trigger_name_regular', '', '0', 'text'],
        ['get_history_update_trigger_name_tracking', '', '0', 'text'],
        ['get_tracking_table_update_trigger_name', '', '0', 'text'],
        ['get_tracking_table_truncate_trigger_name', '', '0', 'text'],
        ['get_history_truncate_trigger_name', '', '0', 'text'],
        -- these two are not replaced: without them nobody makes old triggers
        ['create_history_update_trigger_code', NULL, NULL, NULL],
        ['create_history_txid_update_trigger_code', NULL, NULL, NULL]];
    views CONSTANT text[] := ARRAY[
        ['catmaid_live_table_triggers', 'live_table regclass, triggers_installed boolean'],
        ['catmaid_inheriting_tables', 'parent_schemaname name, parent_tablename name, parent_oid oid, child_schemaname name, child_tablename name, child_oid oid'],
        ['catmaid_table_info', 'rel_oid oid, rel_name name, rel_schema name, column_name name, pos smallint']];
    tables CONSTANT text[] := ARRAY[
        ['catmaid_history_table', 'live_table regclass, history_table regclass, triggers_installed boolean, live_table_pkey_column text, tracking_table regclass, time_column text, txid_column text, creation_time timestamp with time zone'],
        ['catmaid_transaction_info', format('transaction_id bigint, execution_time timestamp with time zone, user_id integer, project_id integer, change_type %s, label text', change_type)]];
    harmless CONSTANT name[] := '{now,clock_timestamp,statement_timestamp,transaction_timestamp,timestamptz,timestamp,
        date,time,timetz,timezone,date_trunc,date_part,extract,to_char,to_timestamp,concat,concat_ws,format,
        current_setting,current_database,pg_backend_pid,inet_client_addr,inet_client_port,inet_server_addr,
        txid_current,pg_current_xact_id,nextval,random,gen_random_uuid}';
    wanted text[];
    shape text;
    found record;
    privilege record;
    old_owner oid;
    grants text[] := '{}';
BEGIN
    -- Who may have written the registry: its owner first.  Nobody, where it was a
    -- member already: its rows are believed for what is marked.
    PERFORM set_config('catmaid_history_adoption.writers', (
        SELECT coalesce(array_agg(w.role ORDER BY w.role <> w.owner), '{}')::text
          FROM (SELECT c.relowner AS owner, c.relowner AS role FROM pg_class c WHERE c.oid = registry
                UNION SELECT c.relowner, a.grantee FROM pg_class c, LATERAL (
                       SELECT c.relacl AS acl UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = c.oid) l,
                       aclexplode(l.acl) a
                 WHERE c.oid = registry AND a.privilege_type IN ('INSERT', 'UPDATE')) w
         WHERE NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = registry
               AND refclassid = 'pg_extension'::regclass AND deptype = 'e')), true);
    EXECUTE format('LOCK TABLE ONLY %s, ONLY %s IN ACCESS EXCLUSIVE MODE', registry, log);
    -- Tables that exchanged their names while we waited are not the ones that are locked.
    IF (SELECT count(*) FROM pg_locks
         WHERE locktype = 'relation' AND pid = pg_backend_pid() AND granted AND mode = 'AccessExclusiveLock'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND relation IN (registry, log)) <> 2
        OR EXISTS (SELECT FROM pg_class WHERE oid IN (registry, log) AND (relnamespace <> namespace
            OR relname <> CASE oid WHEN registry THEN 'catmaid_history_table' ELSE 'catmaid_transaction_info' END)) THEN
        RAISE EXCEPTION 'a table of the older implementation was renamed concurrently'
            USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
    END IF;

    -- What is a member already will be replaced in place and keep its owner, who could
    -- put other code there afterwards.  (The last two are documented to be the database
    -- owner's.)
    SELECT string_agg(pg_describe_object(d.classid, d.objid, 0), ', ' ORDER BY d.classid, d.objid) INTO shape
      FROM pg_depend d
      LEFT JOIN LATERAL (
           SELECT proowner AS owner FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
           UNION ALL SELECT relowner FROM pg_class WHERE d.classid = 'pg_class'::regclass AND oid = d.objid
           UNION ALL SELECT typowner FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
           UNION ALL SELECT evtowner FROM pg_event_trigger WHERE d.classid = 'pg_event_trigger'::regclass AND oid = d.objid
           UNION ALL SELECT opcowner FROM pg_opclass WHERE d.classid = 'pg_opclass'::regclass AND oid = d.objid
           UNION ALL SELECT opfowner FROM pg_opfamily WHERE d.classid = 'pg_opfamily'::regclass AND oid = d.objid
           UNION ALL SELECT nspowner FROM pg_namespace WHERE d.classid = 'pg_namespace'::regclass AND oid = d.objid) o ON true
      LEFT JOIN pg_roles r ON r.oid = o.owner
     WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e'
       AND NOT coalesce(r.rolsuper, false)
       AND NOT (d.classid = 'pg_proc'::regclass AND d.objid IN (SELECT oid FROM pg_proc
           WHERE pronamespace = namespace AND proname IN ('drop_history_table', 'drop_history_table_keep_data')
             AND pronargs = 1 AND proargtypes[0] = 'regclass'::regtype));
    IF shape IS NOT NULL THEN
        RAISE EXCEPTION 'extension % has members that do not belong to a superuser', 'catmaid_history'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('These are: %s.', shape),
                  HINT = 'Take them out: ALTER EXTENSION catmaid_history DROP ...;';
    END IF;

    -- What is there must be what we take it for, and no more.
    IF change_type IS NULL
        OR (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = change_type)
            IS DISTINCT FROM '{Backend,Migration,External}'::name[] THEN
        RAISE EXCEPTION 'type history_change_type is not the enum of the older implementation'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'It must have the labels Backend, Migration and External, in this order.';
    END IF;
    IF EXISTS (SELECT FROM pg_proc WHERE pronamespace = namespace AND proname = 'reload_history_tracking' AND pronargs = 0)
        AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = namespace
            AND proname = 'get_history_txid_update_trigger_name_regular' AND pronargs = 0) THEN
        RAISE EXCEPTION 'the older implementation is older than what can be adopted'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'CATMAID''s migration 0096, which changes functions that would be the extension''s, has not been run.',
                  HINT = 'Run CATMAID''s migrations first: manage.py migrate catmaid 0098, or a newer one.';
    END IF;
    FOREACH wanted SLICE 1 IN ARRAY tables LOOP
        SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
          INTO shape FROM pg_attribute
         WHERE attrelid = CASE wanted[1] WHEN 'catmaid_history_table' THEN registry ELSE log END
           AND attnum BETWEEN 1 AND CASE wanted[1] WHEN 'catmaid_history_table' THEN 8 ELSE 6 END;
        IF shape IS DISTINCT FROM wanted[2] THEN
            RAISE EXCEPTION 'table %.% is not that of the older implementation', namespace::regnamespace, wanted[1]
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = format('Its columns are: %s.', shape),
                      HINT = format('They must be: %s. Make the table anew with these columns, in this order, and copy its rows.', wanted[2]);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = registry AND attnum > 8
            AND (attnum <= 12 OR NOT attisdropped) AND (attnum, attname, atttypid) NOT IN ((9, 'live_table_pkey_columns', 'text[]'::regtype),
                (10, 'key_since', 'timestamptz'::regtype), (11, 'maker_until', 'timestamptz'::regtype),
                (12, 'maker_snapshot', 'pg_snapshot'::regtype))) THEN
        RAISE EXCEPTION 'table % has a column of the site''s own', registry
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Make the table anew without the column, and copy its rows.';
    END IF;
    SELECT format_type(atttypid, atttypmod) INTO shape FROM pg_attribute
     WHERE attrelid = log AND attname = 'context' AND NOT attisdropped AND atttypid <> 'jsonb'::regtype;
    IF FOUND THEN
        RAISE EXCEPTION 'table % has a column "context" of type %, which must be jsonb', log, shape
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('ALTER TABLE %s RENAME COLUMN context TO ...;', log);
    END IF;
    FOREACH wanted SLICE 1 IN ARRAY ARRAY[['p', 'live_table'], ['u', 'history_table']] LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = registry AND contype = wanted[1]::"char"
                AND NOT condeferrable AND conkey = ARRAY[(SELECT attnum FROM pg_attribute
                    WHERE attrelid = registry AND attname = wanted[2])]) THEN
            RAISE EXCEPTION 'table % has no % on column %', registry,
                    CASE wanted[1] WHEN 'p' THEN 'primary key' ELSE 'unique constraint' END, wanted[2]
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = format('ALTER TABLE %s ADD %s (%I);', registry,
                          CASE wanted[1] WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, wanted[2]);
        END IF;
    END LOOP;

    -- All of it is of people who may do as they like here anyway, or else of one:
    -- then a stranger has not put a part of it in our way.
    SELECT string_agg(format('%s of %s', o.object, o.owner::regrole), ', ' ORDER BY o.object COLLATE "C") INTO shape
      FROM (SELECT objects.*, bool_and(trusted) OVER () OR min(owner) OVER () = max(owner) OVER () AS well
              FROM (SELECT x.object, x.owner, x.owner = '@extowner@'::regrole OR r.rolsuper
                           OR x.owner = (SELECT datdba FROM pg_database WHERE datname = current_database())
                           OR r.rolname = 'pg_database_owner' AS trusted
                      FROM (SELECT oid::regclass::text AS object, relowner AS owner FROM pg_class
                             WHERE relnamespace = namespace AND (oid IN (registry, log)
                                OR relname IN (SELECT views[i][1] FROM generate_subscripts(views, 1) i))
                             UNION ALL SELECT change_type::text, typowner FROM pg_type WHERE oid = change_type
                             UNION ALL SELECT p.oid::regprocedure::text, proowner FROM pg_proc p
                             WHERE pronamespace = namespace
                               AND proname IN (SELECT functions[i][1] FROM generate_subscripts(functions, 1) i)) x
                      JOIN pg_roles r ON r.oid = x.owner) objects) o
     WHERE NOT o.well AND NOT o.trusted;
    IF shape IS NOT NULL THEN
        RAISE EXCEPTION 'not all of the older implementation belongs to whom it should'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('Of others than superusers, the database''s owner and who adopts there are: %s.', shape),
                  HINT = 'Look at them, then give them to the owner of the rest: ALTER ... OWNER TO.';
    END IF;

    -- The tables carry no code.
    FOR found IN
        SELECT classid, objid, objsubid, d.refobjid::regclass AS rel
          FROM pg_depend d
         WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (registry, log)
           AND CASE d.classid
               WHEN 'pg_trigger'::regclass THEN
                    -- (ours from before; none but a superuser makes functions in C)
                    (SELECT NOT tgisinternal AND NOT EXISTS (SELECT FROM pg_proc f JOIN pg_language l ON l.oid = f.prolang
                             WHERE f.oid = tgfoid AND l.lanname = 'c' AND f.prosrc LIKE 'catmaid\_history\_registry\_%')
                       FROM pg_trigger WHERE oid = d.objid AND tgrelid = d.refobjid)
               WHEN 'pg_rewrite'::regclass THEN
                    (SELECT ev_class = d.refobjid FROM pg_rewrite WHERE oid = d.objid)
               WHEN 'pg_policy'::regclass THEN
                    (SELECT polrelid = d.refobjid FROM pg_policy WHERE oid = d.objid)
               WHEN 'pg_constraint'::regclass THEN
                    (SELECT conrelid = d.refobjid AND contype NOT IN ('p', 'u', 'n')
                       FROM pg_constraint WHERE oid = d.objid)
               WHEN 'pg_statistic_ext'::regclass THEN true
               -- a default of the site's own column may call what PostgreSQL has, but not
               -- what runs a query that it is given, or acts (query_to_xml, lo_import, ...)
               WHEN 'pg_attrdef'::regclass THEN
                    d.refobjid = log AND d.refobjsubid > 6 AND (EXISTS (SELECT FROM pg_depend x
                        WHERE x.classid = d.classid AND x.objid = d.objid AND x.refclassid <> 'pg_class'::regclass)
                    OR EXISTS (SELECT FROM pg_attrdef a, regexp_matches(a.adbin::text, ':(funcid|opno) (\d+)', 'g') AS called
                        LEFT JOIN pg_operator o ON called[1] = 'opno' AND o.oid = called[2]::oid
                        LEFT JOIN pg_proc f ON f.oid = CASE called[1] WHEN 'opno' THEN o.oprcode ELSE called[2]::oid END
                        WHERE a.oid = d.objid AND f.provolatile IS DISTINCT FROM 'i'
                          AND (f.proname = ANY (harmless)) IS NOT TRUE))
                    -- (ours from before)
                    AND NOT EXISTS (SELECT FROM pg_depend x JOIN pg_proc f ON f.oid = x.refobjid JOIN pg_language l ON l.oid = f.prolang
                        WHERE x.classid = d.classid AND x.objid = d.objid AND x.refclassid = 'pg_proc'::regclass
                          AND l.lanname = 'c' AND f.prosrc = 'catmaid_history_log_context')
               WHEN 'pg_class'::regclass THEN
                    coalesce((SELECT i.indexprs IS NOT NULL OR i.indpred IS NOT NULL FROM pg_index i
                               WHERE i.indexrelid = d.objid AND i.indrelid = d.refobjid),
                             EXISTS (SELECT FROM pg_inherits WHERE inhparent = d.refobjid AND inhrelid = d.objid))
               END
         ORDER BY 1, 2 LIMIT 1 LOOP
        RAISE EXCEPTION 'table % has a % of the site''s own, which would run with the rights of the extension''s owner',
                found.rel, (SELECT type FROM pg_identify_object(found.classid, found.objid, found.objsubid))
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It is %s.', pg_describe_object(found.classid, found.objid, found.objsubid)),
                  HINT = 'Drop it first; the owner of the extension can make it anew afterwards.';
    END LOOP;
    -- Nor do their types: a cast is called wherever a value is written as text or as JSON.
    SELECT string_agg(format('CAST (%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)), ', ') INTO shape
      FROM pg_type t JOIN pg_roles r ON r.oid = t.typowner
      JOIN pg_cast ON castsource IN (t.oid, t.typarray) OR casttarget IN (t.oid, t.typarray)
     WHERE NOT r.rolsuper AND (t.oid = change_type OR t.typrelid IN (SELECT oid FROM pg_class
           WHERE relnamespace = namespace AND (oid IN (registry, log)
              OR relname IN (SELECT views[i][1] FROM generate_subscripts(views, 1) i))));
    IF shape IS NOT NULL THEN
        RAISE EXCEPTION 'types of the older implementation have casts of the site''s own'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('They would run with the rights of whoever reads: %s.', shape),
                  HINT = 'DROP CAST (...); first. The owner of the extension can make them anew afterwards.';
    END IF;
    IF EXISTS (SELECT FROM pg_class WHERE oid IN (registry, log)
            AND (relkind <> 'r' OR relpersistence <> 'p' OR reloftype <> 0 OR relrowsecurity))
        OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid IN (registry, log))
        OR EXISTS (SELECT FROM pg_attribute WHERE attrelid IN (registry, log)
            AND (attgenerated <> '' OR attidentity <> ''))
        OR EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
            WHERE attrelid IN (registry, log) AND attnum > 0 AND NOT attisdropped
              AND (coalesce(e.typtype, t.typtype) NOT IN ('b', 'e') OR t.typnamespace <> 'pg_catalog'::regnamespace
                   AND t.oid <> change_type AND NOT (SELECT rolsuper FROM pg_roles r WHERE r.oid = t.typowner))) THEN
        RAISE EXCEPTION 'tables % and % must be ordinary tables', registry, log
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'One of them is unlogged, inherits, has a type, row-level security, a generated column, or a column of a domain, a composite type or a type that does not belong to a superuser.';
    END IF;

    -- Tables, type, functions and views become members.  Functions and views go
    -- that cannot be replaced in place, and functions of the same name that would
    -- make a call ambiguous.
    FOREACH wanted SLICE 1 IN ARRAY functions LOOP
        FOR found IN
            SELECT p.oid::regprocedure AS signature,
                   p.prokind = 'f' AND NOT p.proretset AND p.proargmodes IS NULL
                   AND p.pronargdefaults <= wanted[3]::int
                   AND format_type(p.prorettype, NULL) = wanted[4]
                   AND wanted[2] = coalesce((SELECT string_agg(concat_ws(' ', p.proargnames[i],
                           format_type(p.proargtypes[i - 1], NULL)), ', ' ORDER BY i)
                           FROM generate_series(1, p.pronargs) AS i), '') AS fits
              FROM pg_proc p WHERE p.pronamespace = namespace AND p.proname = wanted[1] LOOP
            IF found.fits IS NOT TRUE THEN
                EXECUTE format('DROP ROUTINE %s', found.signature);
            END IF;
        END LOOP;
    END LOOP;
    FOREACH wanted SLICE 1 IN ARRAY views LOOP
        FOR found IN
            SELECT c.oid::regclass AS view, relkind = 'v' AND wanted[2] = (
                       SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
                         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS fits
              FROM pg_class c WHERE relnamespace = namespace AND relname = wanted[1] LOOP
            IF NOT found.fits THEN
                EXECUTE format('DROP VIEW %s', found.view);
            END IF;
        END LOOP;
    END LOOP;

    -- (ours from before: it took no long labels)
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
            WHERE i.indrelid = log AND c.relname = 'catmaid_transaction_info_label' AND a.amname = 'btree') THEN
        EXECUTE format('DROP INDEX %I.catmaid_transaction_info_label', (SELECT nspname FROM pg_namespace WHERE oid = namespace));
    END IF;
    -- (a table of ours until there was a schema for such)
    IF EXISTS (SELECT FROM pg_class c, pg_depend d WHERE c.relname = 'catmaid_history_dump' AND c.relkind = 'r'
            AND c.relnamespace = namespace AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e') THEN
        EXECUTE format('ALTER EXTENSION catmaid_history DROP TABLE %1$I.catmaid_history_dump;
            DROP TABLE %1$I.catmaid_history_dump', (SELECT nspname FROM pg_namespace WHERE oid = namespace));
    END IF;

    -- Each changes its owner and loses the site's grants first: what it has when
    -- it becomes a member, pg_dump takes for the extension's own.  The grants are
    -- given again at the end; who is no superuser could not restore them.
    FOR found IN
        SELECT o.*, coalesce(o.acl, acldefault(o.acltype, o.owner)) AS all_acl
          FROM (SELECT 'pg_class'::regclass AS class, oid, CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind,
                       'TABLE' AS grantkind, oid::regclass::text AS object, relacl AS acl, relowner AS owner, 'r'::"char" AS acltype
                  FROM pg_class WHERE relnamespace = namespace AND (oid IN (registry, log)
                    OR relname IN (SELECT views[i][1] FROM generate_subscripts(views, 1) i))
                UNION ALL SELECT 'pg_type'::regclass, oid, 'TYPE', 'TYPE', change_type::text, typacl, typowner, 'T'
                  FROM pg_type WHERE oid = change_type
                UNION ALL SELECT 'pg_proc'::regclass, oid, 'FUNCTION', 'FUNCTION', oid::regprocedure::text, proacl, proowner, 'f'
                  FROM pg_proc WHERE pronamespace = namespace
                   AND proname IN (SELECT functions[i][1] FROM generate_subscripts(functions, 1) i)) o
         WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid
               AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER %s %s OWNER TO CURRENT_USER', found.kind, found.object);
        IF found.object = log::text THEN
            old_owner := found.owner;
        END IF;
        IF found.acl IS NOT NULL AND found.kind = 'FUNCTION'
            AND NOT EXISTS (SELECT FROM aclexplode(found.acl) a WHERE a.grantee = 0) THEN
            grants := grants || format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.object);
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', found.object);
        END IF;
        FOR privilege IN
            SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee,
                   a.privilege_type || coalesce(' (' || quote_ident(t.attname) || ')', '') AS what, a.is_grantable
              FROM (SELECT found.all_acl AS acl, NULL::name AS attname UNION ALL
                    SELECT attacl, attname FROM pg_attribute WHERE attrelid = found.oid AND found.grantkind = 'TABLE'
                       AND attacl IS NOT NULL) t, aclexplode(t.acl) a
             WHERE a.grantee <> found.owner AND (a.grantee <> 0 OR found.kind <> 'FUNCTION')
               AND (a.grantee <> 0 OR found.kind <> 'TYPE')
               -- nobody writes the registry but the extension, nor puts code on the two
               AND a.privilege_type NOT IN ('REFERENCES', 'TRIGGER')
               AND (found.oid <> registry OR a.privilege_type = 'SELECT') LOOP
            grants := grants || format('GRANT %s ON %s %s TO %s%s', privilege.what, found.grantkind, found.object,
                privilege.grantee, CASE WHEN privilege.is_grantable THEN ' WITH GRANT OPTION' END);
        END LOOP;
        FOR privilege IN
            SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
              FROM (SELECT found.all_acl AS acl UNION ALL
                    SELECT attacl FROM pg_attribute WHERE attrelid = found.oid AND found.grantkind = 'TABLE') t,
                   aclexplode(t.acl) a
             WHERE a.grantee <> found.owner AND (a.grantee <> 0 OR found.grantkind = 'TABLE') LOOP
            EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', found.grantkind, found.object, privilege.grantee);
        END LOOP;
        EXECUTE format('ALTER EXTENSION catmaid_history ADD %s %s', found.kind, found.object);
    END LOOP;

    -- Who owned the log may go on reading it.
    IF old_owner IS NOT NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = old_owner)
        AND old_owner <> (SELECT datdba FROM pg_database WHERE datname = current_database()) THEN
        grants := grants || format('GRANT SELECT ON TABLE %s TO %I', log, pg_get_userbyid(old_owner));
    END IF;
    PERFORM set_config('catmaid_history_adoption.grants', array_to_string(grants, ';'), true);

    -- The registry as ours is.
    EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS live_table_pkey_columns text[]', registry);
    FOREACH wanted SLICE 1 IN ARRAY ARRAY[['key_since', 'timestamptz'], ['maker_until', 'timestamptz'],
            ['maker_snapshot', 'pg_snapshot']] LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS %I %s', registry, wanted[1], wanted[2]);
        EXECUTE format('ALTER TABLE IF EXISTS catmaid_history_internal.catmaid_history_table_by_name
                ADD COLUMN IF NOT EXISTS %I %s', wanted[1], wanted[2]);
    END LOOP;
    EXECUTE format('ALTER TABLE %s
            ALTER COLUMN maker_until DROP DEFAULT, ALTER COLUMN maker_until DROP NOT NULL,
            ALTER COLUMN maker_snapshot DROP DEFAULT, ALTER COLUMN maker_snapshot DROP NOT NULL,
            ALTER COLUMN key_since DROP DEFAULT, ALTER COLUMN key_since DROP NOT NULL,
            ALTER COLUMN live_table_pkey_columns DROP DEFAULT, ALTER COLUMN live_table_pkey_columns DROP NOT NULL,
            ALTER COLUMN live_table DROP DEFAULT, ALTER COLUMN history_table DROP DEFAULT,
            ALTER COLUMN triggers_installed DROP DEFAULT, ALTER COLUMN live_table_pkey_column DROP DEFAULT,
            ALTER COLUMN tracking_table DROP DEFAULT, ALTER COLUMN tracking_table DROP NOT NULL,
            ALTER COLUMN time_column DROP DEFAULT, ALTER COLUMN txid_column DROP DEFAULT,
            ALTER COLUMN history_table SET NOT NULL, ALTER COLUMN triggers_installed SET NOT NULL,
            ALTER COLUMN live_table_pkey_column SET NOT NULL, ALTER COLUMN time_column SET NOT NULL,
            ALTER COLUMN txid_column SET NOT NULL, ALTER COLUMN creation_time SET NOT NULL,
            ALTER COLUMN creation_time SET DEFAULT CURRENT_TIMESTAMP', registry);
    EXECUTE format('UPDATE %s SET live_table_pkey_columns = ARRAY[live_table_pkey_column]
            WHERE live_table_pkey_columns IS NULL', registry);
    EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS context jsonb', log);
    EXECUTE format('ALTER TABLE %s ALTER COLUMN context DROP DEFAULT, ALTER COLUMN context DROP NOT NULL,
            ALTER COLUMN transaction_id SET DEFAULT txid_current(),
            ALTER COLUMN execution_time SET DEFAULT CURRENT_TIMESTAMP,
            ALTER COLUMN user_id DROP DEFAULT, ALTER COLUMN project_id DROP DEFAULT,
            ALTER COLUMN change_type DROP DEFAULT, ALTER COLUMN label DROP DEFAULT', log);
END
$adopt$;

SET LOCAL search_path TO @extschema@, pg_temp;

