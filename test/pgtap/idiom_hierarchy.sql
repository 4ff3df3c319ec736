-- Idiom (f): a hierarchy replaced by one with wider ids, its history kept.
\ir lib/whole.psql
SELECT plan(13);
CREATE EXTENSION catmaid_history;
\ir lib/idiom_hierarchy_before.psql
\ir lib/idiom_hierarchy.psql
SELECT * FROM finish();
