-- Idiom (g) in a database that was adopted, with indexes and views from before.
\ir lib/whole.psql
SELECT plan(32);
\ir lib/old_implementation.sql
\ir lib/idiom_replaced_before.psql
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
\ir lib/idiom_replaced.psql
SELECT * FROM finish();
