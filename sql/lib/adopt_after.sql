
-- ---------------------------------------------------------------------------
-- The tables
-- ---------------------------------------------------------------------------

CREATE FUNCTION catmaid_history_adopt(writers oid[], grants text, dump_grants boolean)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME';
SELECT catmaid_history_adopt(
    pg_catalog.current_setting('catmaid_history_adoption.writers')::pg_catalog.oid[],
    pg_catalog.current_setting('catmaid_history_adoption.grants'),
    (SELECT rolsuper FROM pg_catalog.pg_roles
      WHERE oid OPERATOR(pg_catalog.=) '@extowner@'::pg_catalog.regrole::pg_catalog.oid));
DROP FUNCTION catmaid_history_adopt(oid[], text, boolean);
