-- The whole life of a table with a time column: create, record, look back,
-- disable, enable, drop.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_basic;
SET search_path = test_basic, public;

CREATE TABLE node (
    id bigint PRIMARY KEY,
    label text,
    edition_time timestamptz DEFAULT current_timestamp,
    txid bigint
);

-- The application's own trigger writes the time column.
CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.edition_time := current_timestamp;
    RETURN NEW;
END $$;
CREATE TRIGGER on_edit BEFORE UPDATE ON node
    FOR EACH ROW EXECUTE FUNCTION on_edit();

INSERT INTO node VALUES
    (1, 'one', '2020-01-01 00:00:00+00', 0),
    (2, 'two', '2020-01-01 00:00:00+00', 0),
    (3, 'no time', NULL, 0),
    (4, 'from the future', '2999-01-01 00:00:00+00', 0);

SELECT create_history_table('node', 'edition_time', 'txid');
SELECT live_table, history_table, triggers_installed, live_table_pkey_column,
       tracking_table, time_column, txid_column,
       creation_time <= current_timestamp AS creation_time
  FROM catmaid_history_table WHERE live_table = 'node'::regclass;
SELECT * FROM catmaid_live_table_triggers WHERE live_table = 'node'::regclass;
SELECT create_history_table('node', 'edition_time', 'txid');

-- Existing rows are the present, not history.
SELECT count(*) FROM node__history;

-- UPDATE and DELETE: old versions, from their edition to now.  An unknown
-- start is unbounded, one in the future is cut off.
SELECT clock_timestamp() AS before_update \gset
BEGIN;
UPDATE node SET label = upper(label) WHERE id IN (1, 3);
DELETE FROM node WHERE id IN (2, 4);
SELECT id, label, lower(sys_period) = '2020-01-01 00:00:00+00' AS from_edition,
       lower_inf(sys_period) AS from_ever, isempty(sys_period) AS empty,
       upper(sys_period) = current_timestamp AS to_now, upper_inc(sys_period),
       exec_transaction_id = txid_current() AS by_us
  FROM node__history ORDER BY id;
SELECT id, label, edition_time = current_timestamp AS edited_now,
       txid = txid_current() AS by_us
  FROM node ORDER BY id;
COMMIT;

-- The next version begins where the last one ended.
UPDATE node SET label = 'uno' WHERE id = 1;
SELECT h.label, lower(h.sys_period) = upper(p.sys_period) AS adjoins,
       h.exec_transaction_id > p.exec_transaction_id AS later
  FROM node__history h, node__history p
 WHERE h.id = 1 AND h.label = 'ONE' AND p.id = 1 AND p.label = 'one';

-- A version made and superseded in one transaction has an empty period.
BEGIN;
UPDATE node SET label = 'passing' WHERE id = 1;
UPDATE node SET label = 'eins' WHERE id = 1;
INSERT INTO node VALUES (9, 'ephemeral');
DELETE FROM node WHERE id = 9;
COMMIT;
SELECT id, label, isempty(sys_period) FROM node__history
 WHERE label IN ('uno', 'passing', 'ephemeral') ORDER BY label;

-- A savepoint rolled back leaves nothing, nor does a change that a trigger
-- suppressed; INSERT stores nothing.
BEGIN;
SAVEPOINT s;
UPDATE node SET label = 'never';
DELETE FROM node;
ROLLBACK TO s;
COMMIT;
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RETURN NULL; END';
CREATE TRIGGER zz_suppress BEFORE UPDATE OR DELETE ON node
    FOR EACH ROW EXECUTE FUNCTION suppress();
UPDATE node SET label = 'suppressed';
DELETE FROM node;
DROP TRIGGER zz_suppress ON node;
INSERT INTO node VALUES (5, 'five', '2020-01-01 00:00:00+00', 0);
SELECT count(*) FROM node__history;

-- Other ways of writing.
INSERT INTO node VALUES (5, 'cinq', NULL, 0)
    ON CONFLICT (id) DO UPDATE SET label = EXCLUDED.label;
WITH gone AS (DELETE FROM node WHERE id = 5 RETURNING id + 1 AS id)
    INSERT INTO node SELECT id, 'six', '2020-01-01 00:00:00+00', 0 FROM gone;
UPDATE node SET id = 7 WHERE id = 6;
SELECT id, label, lower(sys_period) = '2020-01-01 00:00:00+00' AS from_edition
  FROM node__history WHERE id >= 5 AND label <> 'ephemeral' ORDER BY id, label DESC;

-- Nothing depends on search_path.
SET search_path = '';
UPDATE test_basic.node SET label = 'seven' WHERE id = 7;
SET search_path = test_basic, public;
SELECT id, label FROM node__history WHERE id = 7;

-- TRUNCATE stores what it removes.
CREATE TEMP TABLE expected AS SELECT id, label FROM node;
SELECT clock_timestamp() AS before_truncate \gset
BEGIN;
TRUNCATE node;
SELECT id, label, upper(sys_period) = current_timestamp AS to_now,
       exec_transaction_id = txid_current() AS by_us
  FROM node__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
SELECT count(*) FROM node;

-- The table as of then: before the first update, before TRUNCATE.
INSERT INTO node VALUES (1, 'alive again');
SELECT id, label FROM node__with_history
 WHERE sys_period @> :'before_update'::timestamptz AND id < 5 ORDER BY id;
SELECT id, label FROM node__with_history
 WHERE sys_period @> :'before_truncate'::timestamptz
EXCEPT SELECT id, label FROM expected;
SELECT id, label FROM expected
EXCEPT SELECT id, label FROM node__with_history
 WHERE sys_period @> :'before_truncate'::timestamptz;
SELECT id, label, upper_inf(sys_period) AS live, exec_transaction_id
  FROM node__with_history WHERE sys_period @> clock_timestamp() ORDER BY id;

-- A transaction with a label.
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id)
    VALUES (3, 'Backend', 'nodes.rename', 7) ON CONFLICT DO NOTHING;
UPDATE node SET label = 'renamed' WHERE id = 1;
COMMIT;
SELECT i.user_id, i.project_id, i.change_type, i.label, h.id, h.label
  FROM catmaid_transaction_info i
  JOIN node__history h ON h.exec_transaction_id = i.transaction_id
   AND upper(h.sys_period) = i.execution_time;

-- Disabled: nothing is written.  Enabled: it is again.
SELECT disable_history_tracking_for_table('node');
SELECT * FROM catmaid_live_table_triggers WHERE live_table = 'node'::regclass;
UPDATE node SET label = 'unrecorded';
SELECT enable_history_tracking_for_table('node');
SELECT enable_history_tracking_for_table('node', 'node__history');
SELECT * FROM catmaid_live_table_triggers WHERE live_table = 'node'::regclass;
UPDATE node SET label = 'recorded';
SELECT label FROM node__history WHERE id = 1 AND label IN ('renamed', 'unrecorded');

-- A trigger switched off by hand does not count as installed, and is mended.
ALTER TABLE node DISABLE TRIGGER on_change_update_history_regular;
SELECT * FROM catmaid_live_table_triggers WHERE live_table = 'node'::regclass;
SELECT reload_history_tracking_for_table('node');
SELECT * FROM catmaid_live_table_triggers WHERE live_table = 'node'::regclass;

-- Emptying the history leaves the live table alone.
SELECT truncate_history_table('node__history');
SELECT (SELECT count(*) FROM node__history) AS history, (SELECT count(*) FROM node) AS live;

-- Ceasing, with the data kept and taken up again.
UPDATE node SET label = 'kept';
SELECT drop_history_table_keep_data('node');
SELECT count(*) FROM catmaid_history_table WHERE live_table = 'node'::regclass;
SELECT to_regclass('node__with_history') AS view, label FROM node__history;
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'node__history'::regclass;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'node'::regclass ORDER BY 1;
SELECT create_history_table('node', 'edition_time', 'txid');
SELECT label, upper_inf(sys_period) AS live FROM node__with_history ORDER BY label;

-- Ceasing for good.
SELECT drop_history_table('node');
SELECT drop_history_table('node');
SELECT to_regclass('node__history') AS history, to_regclass('node__with_history') AS view;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'node'::regclass ORDER BY 1;
UPDATE node SET label = 'free';
SELECT create_history_table('node', 'edition_time', 'txid');
SELECT drop_history_table('node');

DROP TABLE expected;
DELETE FROM catmaid_transaction_info;
SET client_min_messages = warning;
DROP SCHEMA test_basic CASCADE;
