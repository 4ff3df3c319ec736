-- Debian's postgresql-15-periods: system versioning of a table.  Run in the schema
-- of each shape, where treenode is; it has a period of its own.
CREATE EXTENSION IF NOT EXISTS periods WITH SCHEMA public CASCADE;
SELECT periods.add_system_time_period('treenode');
SELECT periods.add_system_versioning('treenode');
CREATE INDEX ON treenode_history (id);
CREATE INDEX ON treenode_history (system_time_end);
