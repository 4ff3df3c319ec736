-- What script/demo shows. psql echoes each statement (ECHO queries) where it is
-- worth reading; times and transaction ids are shown as numbers of steps, so that
-- every run prints the same.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset pager off
\pset footer off
\pset null -
SET client_min_messages = warning;

-- CATMAID in small: the application's tables, users and trigger.
CREATE TABLE auth_user (id int PRIMARY KEY, username text);
INSERT INTO auth_user VALUES (1, 'alice'), (2, 'bob');

CREATE TABLE location (
	id bigserial PRIMARY KEY,
	location_x real NOT NULL,
	location_z real NOT NULL,
	creation_time timestamptz NOT NULL DEFAULT now(),
	edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint DEFAULT txid_current()
);
CREATE TABLE treenode (parent_id bigint, PRIMARY KEY (id)) INHERITS (location);
CREATE TABLE connector (PRIMARY KEY (id)) INHERITS (location);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.edition_time := now();
	NEW.txid := txid_current();
	RETURN NEW;
END
$$;
CREATE TRIGGER on_edit BEFORE UPDATE ON location FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TRIGGER on_edit BEFORE UPDATE ON treenode FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TRIGGER on_edit BEFORE UPDATE ON connector FOR EACH ROW EXECUTE FUNCTION on_edit();

\echo '1. CATMAID''s tables location <- treenode, connector. Track them:'
\echo
\set ECHO queries
CREATE EXTENSION catmaid_history;
SELECT create_history_table('treenode', 'edition_time', 'txid'),
       create_history_table('connector', 'edition_time', 'txid');
SELECT live_table, history_table, triggers_installed FROM catmaid_history_table ORDER BY 1;
\set ECHO none

-- Each transaction below is a step, numbered as the log has them.
CREATE VIEW step AS
	SELECT row_number() OVER (ORDER BY execution_time) AS n, execution_time AS at,
		transaction_id, username, label
	FROM catmaid_transaction_info JOIN auth_user ON auth_user.id = user_id;
CREATE FUNCTION at_step(bigint) RETURNS timestamptz STABLE LANGUAGE sql
	AS 'SELECT at FROM step WHERE n = $1';
CREATE FUNCTION steps(tstzrange) RETURNS text STABLE LANGUAGE sql AS $$
	SELECT format('[%s,%s)', (SELECT n FROM step WHERE at = lower($1)),
		(SELECT n FROM step WHERE at = upper($1)))
$$;

\echo '2. alice and bob work; the application labels each transaction. First alice imports:'
\echo
\set ECHO queries
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label)
VALUES (1, 'Backend', 'skeletons.import') ON CONFLICT DO NOTHING;
INSERT INTO treenode (id, parent_id, location_x, location_z)
VALUES (101, NULL, 10, 5), (102, 101, 20, 5), (103, 102, 30, 5);
INSERT INTO connector (id, location_x, location_z) VALUES (201, 22, 5);
COMMIT;
\set ECHO none

\echo
\echo '   then, labelled the same way, bob (treenodes.move), alice (locations.realign: a'
\echo '   whole stack, through the parent table) and bob again (treenodes.delete):'
\echo
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label)
VALUES (2, 'Backend', 'treenodes.move') ON CONFLICT DO NOTHING;
\set ECHO queries
UPDATE treenode SET location_x = 25 WHERE id = 102;
\set ECHO none
COMMIT;
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label)
VALUES (1, 'Backend', 'locations.realign') ON CONFLICT DO NOTHING;
\set ECHO queries
UPDATE location SET location_z = location_z + 100;
\set ECHO none
COMMIT;
BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label)
VALUES (2, 'Backend', 'treenodes.delete') ON CONFLICT DO NOTHING;
\set ECHO queries
DELETE FROM treenode WHERE id = 103;
\set ECHO none
COMMIT;

\echo
\echo '3. Every version of every node, past and present, and who ended it. These were steps'
\echo '   1 to 4, and valid = [2,3) means: from step 2 on, until step 3.'
\echo
\set ECHO queries
SELECT v.id, v.location_x AS x, v.location_z AS z, steps(v.sys_period) AS valid,
       s.username AS ended_by, s.label
FROM treenode__with_history v
LEFT JOIN step s ON s.transaction_id = v.exec_transaction_id
ORDER BY v.id, v.sys_period;
\set ECHO none

\echo '4. The table as it was after the second step:'
\echo
\set ECHO queries
SELECT id, parent_id, location_x AS x, location_z AS z
FROM treenode__with_history WHERE sys_period @> at_step(2) ORDER BY id;
\set ECHO none

BEGIN;
INSERT INTO catmaid_transaction_info (user_id, change_type, label)
VALUES (2, 'Backend', 'treenodes.truncate') ON CONFLICT DO NOTHING;
\echo '5. An accident (bob, treenodes.truncate), its history, and the way back:'
\echo
\set ECHO queries
TRUNCATE treenode;
\set ECHO none
COMMIT;
\set ECHO queries
SELECT (SELECT count(*) FROM treenode) AS live, id, steps(sys_period) AS valid, s.label
FROM treenode__history JOIN step s ON s.transaction_id = exec_transaction_id
WHERE s.n = 5 ORDER BY id;

SELECT live_table, key, action
FROM undo_transactions(ARRAY(SELECT transaction_id FROM step WHERE n = 5)) ORDER BY key;
SELECT id, parent_id, location_x AS x, location_z AS z FROM treenode ORDER BY id;
\set ECHO none
