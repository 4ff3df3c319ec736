-- A table without a time column: its tracking table knows since when a row
-- has been as it is.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_tracking;
SET search_path = test_tracking, public;

CREATE TABLE project (id int PRIMARY KEY, title text);
INSERT INTO project VALUES (1, 'one'), (2, 'two'), (3, 'three');
BEGIN;
SELECT create_history_table('project');
SELECT live_pk, edition_time = current_timestamp AS now, txid = -txid_current() AS by_us
  FROM project__tracking ORDER BY live_pk;
COMMIT;
SELECT live_table, history_table, triggers_installed, live_table_pkey_column,
       tracking_table, time_column, txid_column
  FROM catmaid_history_table WHERE live_table = 'project'::regclass;

-- A tracking row begins now with the version, and tells its start later.
CREATE TEMP TABLE was AS SELECT * FROM project__tracking;
BEGIN;
UPDATE project SET title = 'uno' WHERE id = 1;
DELETE FROM project WHERE id = 2;
INSERT INTO project VALUES (4, 'four');
SELECT h.id, h.title, lower(h.sys_period) = w.edition_time AS from_edition,
       upper(h.sys_period) = current_timestamp AS to_now,
       h.exec_transaction_id = txid_current() AS by_us
  FROM project__history h JOIN was w ON w.live_pk = h.id ORDER BY h.id;
SELECT live_pk, edition_time = current_timestamp AS now, txid = txid_current() AS by_us
  FROM project__tracking ORDER BY live_pk;
COMMIT;

-- A key change: the row is known by its new key, and its old version is kept.
UPDATE project SET id = 30 WHERE id = 3;
SELECT live_pk FROM project__tracking ORDER BY live_pk;
UPDATE project SET id = id + 1, title = title || '+' WHERE id = 30;
SELECT id, title FROM project__history WHERE id IN (3, 30) ORDER BY id;
SELECT upper(a.sys_period) = lower(b.sys_period) AS adjoins
  FROM project__history a, project__history b WHERE a.id = 3 AND b.id = 30;

-- Two keys change places where the constraint may wait.
CREATE TABLE seat (no int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, who text);
INSERT INTO seat VALUES (1, 'a'), (2, 'b');
SELECT create_history_table('seat');
UPDATE seat SET no = 3 - no;
UPDATE seat SET who = upper(who);
SELECT no, who, lower_inf(sys_period) AS from_ever, isempty(sys_period) AS empty
  FROM seat__history ORDER BY upper(sys_period), no;
SELECT a.no, upper(a.sys_period) = lower(b.sys_period) AS adjoins
  FROM seat__history a JOIN seat__history b ON b.no = a.no AND b.who <> a.who
 WHERE upper(a.sys_period) < upper(b.sys_period) ORDER BY a.no;

-- Deleted and inserted again in one transaction: one live row, no overlap.
BEGIN;
DELETE FROM project WHERE id = 1;
INSERT INTO project VALUES (1, 'eins');
UPDATE project SET title = 'un' WHERE id = 1;
COMMIT;
SELECT id, title, isempty(sys_period) AS empty FROM project__history
 WHERE id = 1 ORDER BY upper(sys_period) NULLS LAST, title;
SELECT live_pk FROM project__tracking ORDER BY live_pk;

-- A tracking row that is missing costs the start, never the version.
DELETE FROM project__tracking WHERE live_pk = 4;
UPDATE project SET title = 'vier' WHERE id = 4;
SELECT id, title, lower_inf(sys_period) AS from_ever FROM project__history WHERE id = 4;
SELECT live_pk FROM project__tracking ORDER BY live_pk;

-- Foreign-key actions and what they cascade to.
CREATE TABLE stack (
    id int PRIMARY KEY,
    project_id int REFERENCES project ON UPDATE CASCADE ON DELETE SET NULL
);
SELECT create_history_table('stack');
INSERT INTO stack VALUES (10, 1), (11, 4);
UPDATE project SET id = 100 WHERE id = 1;
DELETE FROM project WHERE id = 4;
SELECT id, project_id FROM stack__history ORDER BY id, project_id;
TRUNCATE project CASCADE;
SELECT id, project_id FROM stack__history ORDER BY id, project_id NULLS LAST;
SELECT (SELECT count(*) FROM project__tracking) AS project,
       (SELECT count(*) FROM stack__tracking) AS stack;
SELECT id, title FROM project__history
 WHERE id IN (31, 100) ORDER BY id, title;

-- Any write works under any role that may write the table, without a right on
-- its history.
CREATE ROLE regress_history_writer;
GRANT USAGE ON SCHEMA test_tracking TO regress_history_writer;
GRANT INSERT, UPDATE (title), DELETE ON project TO regress_history_writer;
SET ROLE regress_history_writer;
INSERT INTO project VALUES (50, 'by a writer');
UPDATE project SET title = 'changed';
DELETE FROM project;
RESET ROLE;
SELECT id, title FROM project__history WHERE id = 50 ORDER BY title;
SELECT has_table_privilege('regress_history_writer', 'project__history', 'INSERT, SELECT') AS history,
       has_table_privilege('regress_history_writer', 'project__tracking', 'INSERT, SELECT') AS tracking;
DROP OWNED BY regress_history_writer;
DROP ROLE regress_history_writer;

-- Changes while tracking is disabled: sync makes the tracking table match, and
-- leaves the rows alone that were there all the time.
INSERT INTO project VALUES (1, 'stays'), (2, 'goes');
DELETE FROM was;
INSERT INTO was SELECT * FROM project__tracking;
SELECT disable_history_tracking_for_table('project', 'project__history');
DELETE FROM project WHERE id = 2;
INSERT INTO project VALUES (3, 'comes');
UPDATE project SET title = 'still stays' WHERE id = 1;
SELECT enable_history_tracking_for_table('project', 'project__history', false);
SELECT live_pk FROM project__tracking ORDER BY live_pk;
BEGIN;
SELECT sync_tracking_table('project', 'project__tracking');
SELECT t.live_pk, t.edition_time = current_timestamp AS now, abs(t.txid) = txid_current() AS by_us,
       t.edition_time = w.edition_time AS as_before
  FROM project__tracking t LEFT JOIN was w USING (live_pk) ORDER BY live_pk;
COMMIT;
SELECT disable_history_tracking_for_table('project');
DELETE FROM project;
SELECT enable_history_tracking_for_table('project');
SELECT count(*) FROM project__tracking;

-- A query that does not ask for the period does not look at the tracking table.
CREATE FUNCTION reads(query text) RETURNS TABLE (relation text) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json, COSTS off) ' || query INTO plan;
    RETURN QUERY SELECT DISTINCT m[1]
        FROM regexp_matches(plan::text, '"Relation Name": "([^"]*)"', 'g') m;
END $$;
SELECT * FROM reads('SELECT id, title FROM project__with_history') ORDER BY 1;
SELECT * FROM reads('SELECT id, title FROM project__with_history WHERE sys_period @> now()')
 ORDER BY 1;

SELECT drop_history_table('stack');
SELECT drop_history_table('project');
SELECT drop_history_table('seat');
SELECT relname FROM pg_class WHERE relnamespace = 'test_tracking'::regnamespace
   AND relkind IN ('r', 'v') ORDER BY relname;

DROP TABLE was;
SET client_min_messages = warning;
DROP SCHEMA test_tracking CASCADE;
