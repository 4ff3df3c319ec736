\echo Use "CREATE EXTENSION catmaid_history VERSION 'unpackaged'" to load this file. \quit

-- A database whose history the older PL/pgSQL implementation keeps.  This step
-- changes nothing of it: it looks whether there is something to adopt, and lets
-- its state be seen by check_history.  ALTER EXTENSION catmaid_history UPDATE
-- adopts it; DROP EXTENSION leaves all as it was.

DO $$
DECLARE
    missing text;
BEGIN
    SELECT pg_catalog.string_agg(t.name, ', ') INTO missing
      FROM pg_catalog.unnest('{catmaid_history_table,catmaid_transaction_info}'::pg_catalog.text[]) AS t (name)
     WHERE NOT EXISTS (
           SELECT FROM pg_catalog.pg_class c, pg_catalog.pg_extension e
            WHERE e.extname OPERATOR(pg_catalog.=) 'catmaid_history'::pg_catalog.name
              AND c.relnamespace OPERATOR(pg_catalog.=) e.extnamespace
              AND c.relname OPERATOR(pg_catalog.=) t.name::pg_catalog.name
              AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char");
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'there is no history to adopt in this schema'
            USING ERRCODE = 'undefined_table',
                  DETAIL = pg_catalog.concat('Schema @extschema@ has no ', missing, '.'),
                  HINT = 'Name the schema of the older implementation: CREATE EXTENSION catmaid_history SCHEMA ... VERSION ''unpackaged''. For a new CATMAID, run its migrations first; any other history begins with CREATE EXTENSION catmaid_history.';
    END IF;
END
$$;

