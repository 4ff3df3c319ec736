-- Idiom (f) in a database that was adopted: history tables from before.
\ir lib/whole.psql
SELECT plan(13);
\ir lib/old_implementation.sql
\ir lib/idiom_hierarchy_before.psql
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
\ir lib/idiom_hierarchy.psql
SELECT * FROM finish();
