-- Idiom (g): functions of ours replaced by a migration, everything else goes on, and
-- there is a way back.
\ir lib/whole.psql
SELECT plan(32);
CREATE EXTENSION catmaid_history;
\ir lib/idiom_replaced_before.psql
\ir lib/idiom_replaced.psql
SELECT * FROM finish();
