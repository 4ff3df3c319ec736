-- The idioms of idioms.sql in a database that was adopted.
\ir lib/whole.psql
SELECT plan(34);
\ir lib/old_implementation.sql
\ir lib/old_database.sql
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
\ir lib/idioms.psql
SELECT * FROM finish();
