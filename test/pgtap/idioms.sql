-- Idioms of migrations and applications written against the older implementation.
\ir lib/whole.psql
SELECT plan(34);
CREATE EXTENSION catmaid_history;
\ir lib/old_database.sql
\ir lib/idioms.psql
SELECT * FROM finish();
