-- A partitioned table has one history table.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_partitions;
SET search_path = test_partitions, public;

CREATE TABLE event (id int, year int, what text, PRIMARY KEY (id, year))
    PARTITION BY RANGE (year);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (2000) TO (2010);
-- Of another column order, with a dropped column, and partitioned itself.
CREATE TABLE event_2 (dropped int, what text, year int NOT NULL, id int NOT NULL)
    PARTITION BY LIST (year);
ALTER TABLE event_2 DROP COLUMN dropped;
CREATE TABLE event_2a PARTITION OF event_2 FOR VALUES IN (2010, 2011);
ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM (2010) TO (2020);
INSERT INTO event VALUES (1, 2000, 'one'), (2, 2010, 'two'), (3, 2001, 'three');

SELECT create_history_table('event');
SELECT live_table, history_table, tracking_table FROM catmaid_history_table
 WHERE live_table = 'event'::regclass;
SELECT live_pk_1, live_pk_2 FROM event__tracking ORDER BY 1;
SELECT relname FROM pg_class WHERE relnamespace = 'test_partitions'::regnamespace
   AND relkind IN ('r', 'p', 'v') ORDER BY relname;

-- Changed through the root, or directly on a partition: recorded once, in the
-- columns of the history.
UPDATE event SET what = upper(what) WHERE id = 1;
UPDATE event_2 SET what = 'via middle';
UPDATE event_2a SET what = 'via leaf';
DELETE FROM event_1 WHERE id = 3;
INSERT INTO event_2a (id, year, what) VALUES (4, 2011, 'four');
SELECT id, year, what, lower_inf(sys_period) AS from_ever FROM event__history
 ORDER BY id, upper(sys_period);
SELECT live_pk_1, live_pk_2 FROM event__tracking ORDER BY 1;

-- A move to another partition is one version.
SELECT count(*) AS before FROM event__history \gset
UPDATE event SET year = 2011 WHERE id = 1;
SELECT count(*) - :before AS versions FROM event__history;
SELECT tableoid::regclass AS "table", id, year FROM event WHERE id = 1;
SELECT live_pk_1, live_pk_2 FROM event__tracking WHERE live_pk_1 = 1;

-- A partition made later is covered.
CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM (2020) TO (2030);
INSERT INTO event VALUES (5, 2020, 'five');
UPDATE event SET what = 'cinq' WHERE id = 5;
UPDATE event_3 SET what = 'directly' WHERE id = 5;
SELECT id, what FROM event__history WHERE id = 5 ORDER BY what;
INSERT INTO event VALUES (50, 2021, 'fifty');
BEGIN;
TRUNCATE event_3;
SELECT id, what FROM event__history WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
INSERT INTO event VALUES (5, 2020, 'again');

-- TRUNCATE of a partition, of a partitioned partition, of the root.
BEGIN;
TRUNCATE event_2;
SELECT id, year, what FROM event__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
SELECT live_pk_1, live_pk_2 FROM event__tracking ORDER BY 1;
INSERT INTO event VALUES (6, 2001, 'six'), (7, 2010, 'seven');
BEGIN;
TRUNCATE event_1;
SELECT id, year, what FROM event__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
BEGIN;
TRUNCATE event;
SELECT id, year, what FROM event__history
 WHERE exec_transaction_id = txid_current() ORDER BY id;
COMMIT;
SELECT count(*) FROM event__tracking;

-- Disabling and enabling holds for all partitions.
SELECT disable_history_tracking_for_table('event');
INSERT INTO event VALUES (8, 2001, 'eight'), (9, 2010, 'nine');
UPDATE event SET what = 'unrecorded';
TRUNCATE event_1;
SELECT count(*) FROM event__history WHERE id IN (8, 9);
SELECT count(*) FROM pg_trigger t
 WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('event')) AND NOT tgisinternal;
SELECT enable_history_tracking_for_table('event');
SELECT live_pk_1, live_pk_2 FROM event__tracking ORDER BY 1;
UPDATE event SET what = 'recorded';
TRUNCATE event_2a;
SELECT id, what FROM event__history WHERE id IN (8, 9) ORDER BY what DESC;

-- Rows that leave with their partition end their versions then.
INSERT INTO event VALUES (10, 2001, 'ten'), (11, 2010, 'eleven'), (12, 2020, 'twelve');
BEGIN;
ALTER TABLE event DETACH PARTITION event_1;
SELECT id, what, upper(sys_period) = current_timestamp AS to_now FROM event__history
 WHERE exec_transaction_id = txid_current();
COMMIT;
BEGIN;
DROP TABLE event_3;
SELECT id, what, upper(sys_period) = current_timestamp AS to_now FROM event__history
 WHERE exec_transaction_id = txid_current();
COMMIT;
SELECT live_pk_1, live_pk_2 FROM event__tracking ORDER BY 1;
UPDATE event_1 SET what = 'not the event any more';
TRUNCATE event_1;
SELECT count(*) FROM event__history WHERE id = 10;

-- Rows that come with a partition are tracked from then on.
INSERT INTO event_1 VALUES (13, 2001, 'thirteen');
ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM (2000) TO (2010);
UPDATE event SET what = 'THIRTEEN' WHERE id = 13;
TRUNCATE event_1;
SELECT id, what, lower_inf(sys_period) AS from_ever FROM event__history WHERE id = 13
 ORDER BY exec_transaction_id;

-- With a time column.
CREATE TABLE log (id int, edition_time timestamptz NOT NULL, txid bigint, PRIMARY KEY (id))
    PARTITION BY HASH (id);
CREATE TABLE log_0 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE log_1 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT create_history_table('log', 'edition_time', 'txid');
INSERT INTO log SELECT i, '2020-01-01 00:00:00+00' FROM generate_series(1, 4) i;
BEGIN;
UPDATE log_0 SET edition_time = current_timestamp;
UPDATE log_1 SET edition_time = current_timestamp;
SELECT count(*) AS rows, bool_and(txid = txid_current()) AS by_us FROM log;
SELECT id, lower(sys_period) = '2020-01-01 00:00:00+00' AS from_edition,
       upper(sys_period) = current_timestamp AS to_now
  FROM log__history ORDER BY id;
COMMIT;
SELECT id, upper_inf(sys_period) AS live FROM log__with_history ORDER BY id, live;

SELECT drop_history_table('event');
SELECT drop_history_table('log');
SELECT tgrelid::regclass, tgname FROM pg_trigger
 WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('event')) AND NOT tgisinternal;
SET client_min_messages = warning;
DROP SCHEMA test_partitions CASCADE;
