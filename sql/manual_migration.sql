-- A migration by hand, as CATMAID's own migrations have always done it: stop
-- tracking, drop the view, change live and history table alike, make the view
-- anew, track again.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_manual_migration;
SET search_path = test_manual_migration, public;

CREATE TABLE skeleton (
    id bigint PRIMARY KEY,
    name text,
    nodes int,
    length real,
    score text,
    edition_time timestamptz DEFAULT current_timestamp,
    txid bigint
);
CREATE TABLE stack (id int PRIMARY KEY, title text, useless int, size real);
SELECT create_history_table('skeleton'::regclass, 'edition_time', 'txid');
SELECT create_history_table('stack'::regclass);
INSERT INTO skeleton VALUES (1, 'one', 10, 1.5, '7'), (2, 'two', 20, 2.5, 'bad');
INSERT INTO stack VALUES (1, 'one', 0, 0.5), (2, 'two', 0, 0.5);
UPDATE skeleton SET name = upper(name);
UPDATE stack SET title = upper(title);

SELECT disable_history_tracking_for_table('skeleton'::regclass,
        get_history_table_name('skeleton'::regclass));
SELECT drop_history_view_for_table('skeleton'::regclass);

-- a column is added
ALTER TABLE skeleton ADD COLUMN reviewed boolean;
ALTER TABLE skeleton__history ADD COLUMN reviewed boolean;
-- a column is removed
ALTER TABLE skeleton DROP COLUMN nodes;
ALTER TABLE skeleton__history DROP COLUMN nodes;
-- a column is renamed
ALTER TABLE skeleton RENAME COLUMN name TO title;
ALTER TABLE skeleton__history RENAME COLUMN name TO title;
-- a type changes without loss
ALTER TABLE skeleton ALTER COLUMN length TYPE double precision;
ALTER TABLE skeleton__history ALTER COLUMN length TYPE double precision;
-- a type changes with loss: the original is kept
UPDATE skeleton SET score = 0 WHERE score = 'bad';
ALTER TABLE skeleton ALTER COLUMN score TYPE int USING score::int;
ALTER TABLE skeleton__history RENAME COLUMN score TO score_1;
ALTER TABLE skeleton__history ADD COLUMN score int;

SELECT create_history_view_for_table('skeleton'::regclass);
SELECT enable_history_tracking_for_table('skeleton'::regclass,
        get_history_table_name('skeleton'::regclass), FALSE);

-- Complete rows are recorded from the first write on.
UPDATE skeleton SET title = 'uno', reviewed = true WHERE id = 1;
UPDATE skeleton SET title = 'unus', score = 8 WHERE id = 1;
DELETE FROM skeleton WHERE id = 2;
SELECT id, title, length, score, score_1, reviewed FROM skeleton__history
 ORDER BY id, exec_transaction_id;
SELECT id, title, length, score, reviewed, upper_inf(sys_period) AS live
  FROM skeleton__with_history ORDER BY id, exec_transaction_id;
\d skeleton__with_history

-- The same with a tracking table, and what was written between is in no
-- history.
SELECT disable_history_tracking_for_table('stack'::regclass,
        get_history_table_name('stack'::regclass));
SELECT drop_history_view_for_table('stack'::regclass);
ALTER TABLE stack ADD COLUMN comment text DEFAULT 'none';
ALTER TABLE stack__history ADD COLUMN comment text;
ALTER TABLE stack DROP COLUMN useless;
ALTER TABLE stack__history DROP COLUMN useless;
UPDATE stack SET comment = 'migrated' WHERE id = 1;
SELECT create_history_view_for_table('stack'::regclass);
SELECT enable_history_tracking_for_table('stack'::regclass,
        get_history_table_name('stack'::regclass), FALSE);
UPDATE stack SET size = 1 WHERE id = 1;
DELETE FROM stack WHERE id = 2;
SELECT id, title, size, comment, lower_inf(sys_period) AS from_ever FROM stack__history
 ORDER BY id, title DESC, exec_transaction_id;

-- A column forgotten in the history table is added when tracking is enabled.
SELECT disable_history_tracking_for_table('stack'::regclass,
        get_history_table_name('stack'::regclass));
SELECT drop_history_view_for_table('stack'::regclass);
ALTER TABLE stack ADD COLUMN forgotten int;
SELECT enable_history_tracking_for_table('stack'::regclass,
        get_history_table_name('stack'::regclass), FALSE);
SELECT create_history_view_for_table('stack'::regclass);
UPDATE stack SET forgotten = 1;
UPDATE stack SET forgotten = 2;
SELECT id, title, size, comment, forgotten FROM stack__history
 WHERE forgotten IS NOT NULL;

-- A live table is renamed.
SELECT disable_history_tracking_for_table('stack'::regclass,
        get_history_table_name('stack'::regclass));
SELECT drop_history_view_for_table('stack'::regclass);
ALTER TABLE stack RENAME TO image_stack;
SELECT history_table_name('image_stack'::regclass);
ALTER TABLE stack__history RENAME TO image_stack__history;
ALTER TABLE stack__tracking RENAME TO image_stack__tracking;
SELECT create_history_view_for_table('image_stack'::regclass);
SELECT enable_history_tracking_for_table('image_stack'::regclass,
        get_history_table_name('image_stack'::regclass), FALSE);
SELECT live_table, history_table, tracking_table, triggers_installed
  FROM catmaid_history_table WHERE live_table = 'image_stack'::regclass;
UPDATE image_stack SET title = 'renamed';
SELECT id, title, upper_inf(sys_period) AS live
  FROM image_stack__with_history WHERE forgotten = 2 ORDER BY live;

-- A live table is removed.
SELECT disable_history_tracking_for_table('image_stack'::regclass,
        get_history_table_name('image_stack'::regclass));
SELECT drop_history_view_for_table('image_stack'::regclass);
SELECT drop_history_table('image_stack'::regclass);
DROP TABLE image_stack;
SELECT relname FROM pg_class WHERE relnamespace = 'test_manual_migration'::regnamespace
   AND relkind IN ('r', 'v') ORDER BY relname;
SELECT live_table FROM catmaid_history_table ORDER BY live_table::text;

-- A table is added.
CREATE TABLE added (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
SELECT create_history_table( 'added'::regclass,  'edition_time', 'txid' );
SELECT disable_history_tracking();
SELECT * FROM catmaid_live_table_triggers ORDER BY live_table::text;
SELECT enable_history_tracking();
SELECT * FROM catmaid_live_table_triggers ORDER BY live_table::text;

SELECT drop_history_table('added');
SELECT drop_history_table('skeleton');
SET client_min_messages = warning;
DROP SCHEMA test_manual_migration CASCADE;
