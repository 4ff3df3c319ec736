
-- ---------------------------------------------------------------------------
-- The tables
-- ---------------------------------------------------------------------------

ALTER TABLE catmaid_transaction_info ALTER COLUMN context SET DEFAULT catmaid_history_log_context();

-- Until there was catmaid_transaction_info_dump the log itself was dumped.
UPDATE pg_catalog.pg_extension e SET (extconfig, extcondition) = (
        SELECT pg_catalog.array_agg(u.c ORDER BY u.o), pg_catalog.array_agg(e.extcondition[u.o] ORDER BY u.o)
          FROM pg_catalog.unnest(e.extconfig) WITH ORDINALITY u (c, o)
         WHERE u.c OPERATOR(pg_catalog.<>) 'catmaid_transaction_info'::pg_catalog.regclass::pg_catalog.oid)
 WHERE e.extname OPERATOR(pg_catalog.=) 'catmaid_history'
   AND 'catmaid_transaction_info'::pg_catalog.regclass::pg_catalog.oid OPERATOR(pg_catalog.=) ANY (e.extconfig);

CREATE FUNCTION catmaid_history_adopt(writers oid[], grants text, dump_grants boolean)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME';
SELECT catmaid_history_adopt(
    pg_catalog.current_setting('catmaid_history_adoption.writers')::pg_catalog.oid[],
    pg_catalog.current_setting('catmaid_history_adoption.grants'),
    (SELECT rolsuper FROM pg_catalog.pg_roles
      WHERE oid OPERATOR(pg_catalog.=) '@extowner@'::pg_catalog.regrole::pg_catalog.oid));
DROP FUNCTION catmaid_history_adopt(oid[], text, boolean);

-- Nothing has become a member meanwhile, and kept its owner, who could put other code
-- there afterwards.
SET LOCAL search_path TO pg_catalog, pg_temp;

DO $adopt$
DECLARE
    objects text;
BEGIN
    SELECT string_agg(pg_describe_object(d.classid, d.objid, 0), ', ' ORDER BY d.classid, d.objid) INTO objects
      FROM pg_extension e
      JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
      JOIN pg_shdepend s ON s.classid = d.classid AND s.objid = d.objid AND s.deptype = 'o'
           AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      JOIN pg_roles r ON r.oid = s.refobjid
     WHERE e.extname = 'catmaid_history' AND NOT r.rolsuper
       AND NOT (d.classid = 'pg_proc'::regclass AND d.objid IN (SELECT oid FROM pg_proc
           WHERE pronamespace = e.extnamespace AND proname IN ('drop_history_table', 'drop_history_table_keep_data')
             AND pronargs = 1 AND proargtypes[0] = 'regclass'::regtype));
    IF objects IS NOT NULL THEN
        RAISE EXCEPTION 'extension % has members that do not belong to a superuser', 'catmaid_history'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('These have become members concurrently: %s.', objects),
                  HINT = 'Try again.';
    END IF;
END
$adopt$;
