-- script/test-upgrade: a database with tracked tables of every kind.
CREATE DATABASE upgraded TEMPLATE template0;
\connect upgraded
CREATE SCHEMA ext;
CREATE EXTENSION catmaid_history SCHEMA ext;
SET search_path = public, ext;
CREATE SCHEMA app;
CREATE TABLE timed (id int PRIMARY KEY, v text, junk int,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE tracked (id int PRIMARY KEY, v text);
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (extra int, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE part (id int, region int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part DEFAULT;
CREATE TABLE app."Odd ""one" ("a b" int, "order" text, v text, PRIMARY KEY ("a b", "order"));
CREATE TABLE off (id int PRIMARY KEY, v text);
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table(r) FROM unnest('{tracked,leaf,part,"app.\"Odd \"\"one\"",off}'::text[]) r;
INSERT INTO timed (id, v) SELECT i, 'v' FROM generate_series(1, 100) i;
INSERT INTO tracked SELECT i, 'v' FROM generate_series(1, 100) i;
INSERT INTO base VALUES (1, 'v');
INSERT INTO leaf VALUES (2, 'v');
INSERT INTO part SELECT i, i % 3, 'v' FROM generate_series(1, 30) i;
INSERT INTO app."Odd ""one" VALUES (1, 'x', 'v');
INSERT INTO off VALUES (1, 'v');
INSERT INTO catmaid_transaction_info (user_id, change_type, label) VALUES (1, 'Backend', 'a test');
UPDATE timed SET v = 'w' WHERE id > 50;
UPDATE tracked SET v = 'w' WHERE id > 50;
DELETE FROM tracked WHERE id > 90;
UPDATE base SET v = 'w';
UPDATE part SET v = 'w' WHERE id > 20;
UPDATE off SET v = 'w';
ALTER TABLE timed DROP COLUMN junk, ADD COLUMN n int DEFAULT 7;
SELECT disable_history_tracking_for_table('off');
