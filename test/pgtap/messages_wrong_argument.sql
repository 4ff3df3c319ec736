-- Section 6: mistakes that everybody makes, each with a hint that names the right table or
-- command, and works when typed.
\ir lib/start.psql
\ir lib/error_of.psql
SELECT plan(12);
CREATE EXTENSION catmaid_history;
CREATE TABLE n (id int PRIMARY KEY, edited timestamp DEFAULT now(), txid bigint);
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t') \g /dev/null

-- A time column of another type.
SELECT hint AS fix FROM error_of('SELECT create_history_table(''n'', ''edited'', ''txid'')') \gset
SELECT is(:'fix'::text, 'ALTER TABLE public.n ALTER COLUMN edited TYPE timestamp with time zone;', 'timestamp: the type to change');
SELECT lives_ok(:'fix', '... works');
SELECT lives_ok('SELECT create_history_table(''n'', ''edited'', ''txid'')', '... and then it is tracked');

-- A history or tracking table where the live table is meant.
SELECT is((SELECT hint FROM error_of(format(cmd, 't__history'))), 'It belongs to the history of table public.t: name that table.', format(cmd, 't__history'))
FROM unnest('{SELECT drop_history_table(%L),SELECT * FROM check_history(%L),SELECT disable_history_tracking_for_table(%L),SELECT repair_history(%L),SELECT drop_history_table_keep_data(%L)}'::text[]) cmd;
SELECT is((SELECT hint FROM error_of('SELECT drop_history_table(''t__tracking'')')), 'It belongs to the history of table public.t: name that table.', 'a tracking table');
SELECT isnt(to_regclass('t__history')::text, NULL, 'nothing was dropped');

-- The live table where its history is meant.
SELECT is((SELECT hint FROM error_of('SELECT truncate_history_table(''t'')')), 'Its history table is public.t__history.', 'truncate_history_table of the live table');
SELECT lives_ok('SELECT truncate_history_table(''public.t__history'')', '... works');
SELECT * FROM finish();
