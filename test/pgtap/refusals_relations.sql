-- Sections 2 and 6: what cannot be tracked is refused, by name and with a hint.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(33);

CREATE TABLE good (id int PRIMARY KEY, a text);
CREATE TABLE keyless (id int UNIQUE NOT NULL, a text);
CREATE UNLOGGED TABLE keyless_unlogged (id int);
CREATE VIEW a_view AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS id;
CREATE UNIQUE INDEX a_matview_id ON a_matview (id);
CREATE SEQUENCE a_sequence;
CREATE TYPE a_composite AS (id int);
CREATE TEMP TABLE a_temp (id int PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER t46_fdw;
CREATE SERVER t46_server FOREIGN DATA WRAPPER t46_fdw;
CREATE FOREIGN TABLE a_foreign (id int) SERVER t46_server;
CREATE TABLE "Root" (id int, part int, sub int, PRIMARY KEY (id, part, sub))
	PARTITION BY LIST (part);
CREATE TABLE part_one PARTITION OF "Root" FOR VALUES IN (1)
	PARTITION BY LIST (sub);
CREATE TABLE part_one_one PARTITION OF part_one FOR VALUES IN (1);
SELECT tap.catalog() AS before \gset

SELECT refused('SELECT create_history_table(''keyless'')',
	'{keyless,primary key}', 'a table without primary key');
SELECT refused('SELECT create_history_table(''keyless_unlogged'')',
	'{keyless_unlogged,primary key}', 'an unlogged table without primary key');
SELECT refused('SELECT create_history_table(''a_view'')', '{a_view}', 'a view');
SELECT refused('SELECT create_history_table(''a_matview'')', '{a_matview}',
	'a materialized view');
SELECT refused('SELECT create_history_table(''a_sequence'')', '{a_sequence}',
	'a sequence');
SELECT refused('SELECT create_history_table(''a_composite'')', '{a_composite}',
	'a composite type');
SELECT refused('SELECT create_history_table(''good_pkey'')', '{good_pkey}',
	'an index');
SELECT refused('SELECT create_history_table(''a_temp'')', '{a_temp}',
	'a temporary table');
SELECT refused('SELECT create_history_table(''a_foreign'')', '{a_foreign}',
	'a foreign table');
SELECT refused('SELECT create_history_table(''pg_class'')', '{pg_class}',
	'a catalog table');
SELECT refused('SELECT create_history_table(''pg_authid'')', '{pg_authid}',
	'a shared catalog table');
SELECT refused(format('SELECT create_history_table(%L)',
	reltoastrelid::regclass), ARRAY[split_part(reltoastrelid::regclass::text,
	'.', 2)], 'a TOAST table') FROM pg_class WHERE oid = 'good'::regclass;
SELECT refused('SELECT create_history_table(''information_schema.sql_features'')',
	'{sql_features}', 'a table of the information schema');
SELECT refused('SELECT create_history_table(''part_one'')', '{part_one,Root}',
	'a partition: the message or detail names its root');
SELECT refused('SELECT create_history_table(''part_one_one'')',
	'{part_one_one,Root}', 'a partition''s partition: names the topmost root');
SELECT refused('SELECT create_history_table(4294967290::oid::regclass)', '{}',
	'an OID that is no relation''s');
SELECT refused('SELECT create_history_table(0::oid::regclass)', '{}',
	'OID zero');
SELECT refused('SELECT create_history_table(NULL)', '{}', 'NULL');
SELECT denied('SELECT create_history_table(''nowhere'')',
	'a name that is no relation''s, as regclass refuses it', NULL, '42P01');
SELECT unchanged(:'before', 'none of them left anything behind');

-- Histories have no history.
SELECT create_history_table('good');
SELECT refused('SELECT create_history_table(''good__history'')',
	'{good__history}', 'a history table');
SELECT refused('SELECT create_history_table(''good__tracking'')',
	'{good__tracking}', 'a tracking table');
SELECT refused('SELECT create_history_table(''good__with_history'')',
	'{good__with_history}', 'a history view');
ALTER TABLE good__history ADD COLUMN extra_key bigserial PRIMARY KEY;
SELECT refused('SELECT create_history_table(''good__history'')',
	'{good__history}', 'a history table that a site gave a key');
SELECT disable_history_tracking_for_table('good');
SELECT refused('SELECT create_history_table(''good__history'')',
	'{good__history}', 'a history table while tracking is disabled');
SELECT refused('SELECT create_history_table(''good__tracking'')',
	'{good__tracking}', 'a tracking table while tracking is disabled');

-- Each can be tracked once its fault is gone.
ALTER TABLE keyless ADD PRIMARY KEY (id);
SELECT allowed('SELECT create_history_table(''keyless'')',
	'with a key the table is taken, after having been refused');
INSERT INTO keyless VALUES (1, 'a');
UPDATE keyless SET a = 'b';
SELECT is((SELECT string_agg(a, ',') FROM keyless__history), 'a',
	'and recorded');
ALTER TABLE "Root" DETACH PARTITION part_one;
SELECT allowed('SELECT create_history_table(''part_one'')',
	'a detached partition is taken');
SELECT allowed('SELECT create_history_table(''"Root"'')',
	'a partitioned table is taken');
ALTER TABLE keyless_unlogged ADD PRIMARY KEY (id);
SELECT allowed('SELECT create_history_table(''keyless_unlogged'')',
	'an unlogged table is taken');
SELECT is((SELECT relpersistence FROM pg_class
	WHERE oid = 'keyless_unlogged__history'::regclass), 'p',
	'its history is logged');
SELECT is((SELECT count(*) FROM catmaid_history_table), 5::bigint,
	'and these five are all that is registered');

SELECT * FROM finish();
