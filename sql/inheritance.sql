-- A hierarchy as CATMAID's: location <- treenode, connector.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_inheritance;
SET search_path = test_inheritance, public;

CREATE TABLE location (
    id bigint PRIMARY KEY,
    x int,
    edition_time timestamptz DEFAULT current_timestamp,
    txid bigint
);
CREATE TABLE treenode (parent_id bigint, PRIMARY KEY (id)) INHERITS (location);
CREATE TABLE connector (kind text, PRIMARY KEY (id)) INHERITS (location);
INSERT INTO location VALUES (1, 1);
INSERT INTO treenode VALUES (2, 2, current_timestamp, 0, 20);
INSERT INTO connector VALUES (3, 3, current_timestamp, 0, 'synapse');

-- Setting up a child sets up its parent.
SELECT create_history_table('treenode', 'edition_time', 'txid');
SELECT live_table, history_table FROM catmaid_history_table
 WHERE live_table IN ('location'::regclass, 'treenode'::regclass, 'connector'::regclass)
 ORDER BY live_table::text;
SELECT create_history_table('connector', 'edition_time', 'txid');
SELECT parent_tablename, child_tablename FROM catmaid_inheriting_tables
 WHERE parent_schemaname = 'test_inheritance' ORDER BY 1, 2;

-- A change through the parent lands in the table that holds the row, whole and
-- once.
UPDATE location SET x = x * 10;
SELECT tableoid::regclass AS "table", id, x FROM location__history ORDER BY id;
SELECT id, x, parent_id FROM treenode__history;
SELECT id, x, kind FROM connector__history;
SELECT id, x FROM ONLY location__history;
UPDATE treenode SET parent_id = 21;
DELETE FROM location WHERE id IN (1, 3);
SELECT tableoid::regclass AS "table", id, x FROM location__history ORDER BY id, x;
SELECT id, x, parent_id FROM treenode__history ORDER BY x, parent_id;

-- The parent's view shows the children's rows; ONLY is respected.
SELECT id, x, upper_inf(sys_period) AS live FROM location__with_history
 ORDER BY id, x, live;
SELECT id, x, parent_id, upper_inf(sys_period) AS live FROM treenode__with_history
 ORDER BY x, parent_id;
UPDATE ONLY location SET x = 0;
DELETE FROM ONLY location;
SELECT count(*) FROM location__history;

-- TRUNCATE of the parent stores each row once, in its own history.
INSERT INTO location VALUES (4, 4);
INSERT INTO connector VALUES (5, 5, current_timestamp, 0, 'gap');
BEGIN;
TRUNCATE location;
SELECT tableoid::regclass AS "table", id, x FROM location__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
INSERT INTO location VALUES (6, 6);
INSERT INTO treenode VALUES (7, 7);
BEGIN;
TRUNCATE ONLY location;
SELECT tableoid::regclass AS "table", id, x FROM location__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;

-- Emptying a parent's history leaves the children's.
SELECT truncate_history_table('location__history');
SELECT tableoid::regclass AS "table", count(*) FROM location__history
 GROUP BY tableoid ORDER BY tableoid::regclass::text;

-- While its child is tracked the parent's history stays.
\set VERBOSITY terse
SELECT drop_history_table('location');
\set VERBOSITY default
SELECT drop_history_table('treenode');
SELECT drop_history_table('connector');
SELECT drop_history_table('location');

-- The same with tracking tables.
CREATE TABLE concept (id int PRIMARY KEY, name text);
CREATE TABLE class (colour text, PRIMARY KEY (id)) INHERITS (concept);
SELECT create_history_table('class');
INSERT INTO concept VALUES (1, 'a');
INSERT INTO class VALUES (2, 'b', 'red');
SELECT tableoid::regclass AS "table", live_pk FROM concept__tracking ORDER BY live_pk;
UPDATE concept SET name = upper(name);
UPDATE concept SET id = id + 10;
DELETE FROM concept WHERE id = 11;
SELECT tableoid::regclass AS "table", id, name, lower_inf(sys_period) AS from_ever
  FROM concept__history ORDER BY id, exec_transaction_id;
SELECT id, name, colour FROM class__history ORDER BY id, exec_transaction_id;
SELECT tableoid::regclass AS "table", live_pk FROM concept__tracking ORDER BY live_pk;
SELECT id, name, lower_inf(sys_period) AS from_ever, upper_inf(sys_period) AS live
  FROM concept__with_history ORDER BY id, exec_transaction_id;
-- One id in parent and child: two rows, each with its own start.
INSERT INTO concept VALUES (12, 'twin');
SELECT id, name, lower_inf(sys_period) AS from_ever, upper_inf(sys_period) AS live
  FROM concept__with_history WHERE id = 12 AND upper_inf(sys_period) ORDER BY name;
TRUNCATE concept;
SELECT count(*) FROM concept__tracking;

-- A child made later is tracked when that is asked for; a write through the
-- parent goes on until then.
CREATE TABLE latecomer (PRIMARY KEY (id)) INHERITS (concept);
INSERT INTO latecomer VALUES (70, 'late');
UPDATE concept SET name = 'unrecorded' WHERE id = 70;
SELECT count(*) FROM concept__history WHERE id = 70;
SELECT count(*) FROM catmaid_live_table_triggers WHERE live_table = 'latecomer'::regclass;
SELECT create_history_table('latecomer');
UPDATE concept SET name = 'later' WHERE id = 70;
SELECT tableoid::regclass AS "table", id, name FROM concept__history WHERE id = 70;

-- A child's history apart from its parent's.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (
    edition_time timestamptz, txid bigint, PRIMARY KEY (id)
) INHERITS (parent);
SELECT create_history_table('child', 'edition_time', 'txid', copy_inheritance => false);
SELECT to_regclass('parent__history') AS history;
INSERT INTO child VALUES (1);
UPDATE parent SET id = 2;
SELECT id FROM child__history;

SELECT drop_all_history_tables();
SELECT count(*) FROM catmaid_history_table;
SELECT relname FROM pg_class WHERE relnamespace = 'test_inheritance'::regnamespace
   AND relkind IN ('r', 'v') ORDER BY relname;
SET client_min_messages = warning;
DROP SCHEMA test_inheritance CASCADE;
