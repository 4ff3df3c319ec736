-- Keys of several columns, and keys with INCLUDE columns.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_composite_key;
SET search_path = test_composite_key, public;

-- The key's order is that of the constraint, not of the table.
CREATE TABLE membership (
    note text,
    "Group" int,
    member text,
    PRIMARY KEY (member, "Group") INCLUDE (note)
);
INSERT INTO membership VALUES ('n1', 1, 'ann'), ('n2', 2, 'ann'), ('n3', 1, 'bob');
SELECT create_history_table('membership');
SELECT live_table_pkey_column FROM catmaid_history_table
 WHERE live_table = 'membership'::regclass;
\d membership__tracking
SELECT live_pk_1, live_pk_2 FROM membership__tracking ORDER BY 1, 2;
SELECT i.indkey::text AS key
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = 'membership__history'::regclass
   AND c.relname = 'membership__history_live_pk_index';

-- Rows that share one part of the key are different rows.
UPDATE membership SET note = 'changed' WHERE member = 'ann' AND "Group" = 2;
DELETE FROM membership WHERE member = 'bob';
UPDATE membership SET "Group" = 7 WHERE member = 'ann' AND "Group" = 1;
INSERT INTO membership VALUES ('back', 1, 'bob');
SELECT live_pk_1, live_pk_2 FROM membership__tracking ORDER BY 1, 2;
SELECT note, "Group", member, lower_inf(sys_period) AS from_ever FROM membership__history
 ORDER BY member, "Group";
SELECT note, "Group", member, lower_inf(sys_period) AS from_ever, upper_inf(sys_period) AS live
  FROM membership__with_history ORDER BY member, "Group", live;

-- Two rows change keys, part by part, at once.
CREATE TABLE cell (x int, y int, v text, PRIMARY KEY (x, y) DEFERRABLE);
SELECT create_history_table('cell');
INSERT INTO cell VALUES (1, 2, 'a'), (2, 1, 'b');
UPDATE cell SET x = y, y = x;
SELECT x, y, v FROM cell__history ORDER BY x;
SELECT live_pk_1, live_pk_2 FROM cell__tracking ORDER BY 1;

-- Sync goes by the whole key.
SELECT disable_history_tracking_for_table('cell');
INSERT INTO cell VALUES (1, 3, 'c');
DELETE FROM cell WHERE (x, y) = (1, 2);
SELECT enable_history_tracking_for_table('cell');
SELECT live_pk_1, live_pk_2 FROM cell__tracking ORDER BY 1, 2;

-- With a time column there is no tracking table.
CREATE TABLE timed (a int, b int, edition_time timestamptz, txid bigint, PRIMARY KEY (b, a));
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO timed VALUES (1, 1, '2020-01-01 00:00:00+00'), (1, 2, '2020-01-02 00:00:00+00');
UPDATE timed SET a = 5 WHERE b = 2;
SELECT a, b, lower(sys_period) = '2020-01-02 00:00:00+00' AS from_edition FROM timed__history;
SELECT to_regclass('timed__tracking') AS tracking;

-- A key of one column whose index holds a second one has one column.
CREATE TABLE included (id int, payload text, PRIMARY KEY (id) INCLUDE (payload));
SELECT create_history_table('included');
INSERT INTO included VALUES (1, 'a');
UPDATE included SET payload = 'b';
\d included__tracking
SELECT live_pk FROM included__tracking;
SELECT id, payload FROM included__history;

SELECT drop_history_table(t::regclass)
  FROM unnest('{membership,cell,timed,included}'::text[]) t;
SET client_min_messages = warning;
DROP SCHEMA test_composite_key CASCADE;
