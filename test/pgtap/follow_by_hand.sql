-- Section 5, DROP or rename of a history or tracking table by hand: refused with
-- a hint at the right function, while the live table stays and is tracked.
\ir lib/whole.psql
DROP ROLE IF EXISTS t86_alice;
CREATE ROLE t86_alice;
CREATE EXTENSION catmaid_history;
SELECT plan(41);

CREATE SCHEMA s1;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
UPDATE timed SET v = v || '1';
-- One assertion: refused, with a hint at this.
CREATE FUNCTION tap.by_hand(cmd text, hint_word text) RETURNS text LANGUAGE sql AS
$$ SELECT refused(cmd, '{t}', cmd, 'fitting', NULL, hint_word) $$;
SELECT everything('t', 'timed') AS before \gset

SELECT by_hand(cmd, 'drop_history_table') FROM unnest(ARRAY[
	'DROP TABLE t__history',
	'DROP TABLE t__tracking',
	'DROP TABLE timed__history',
	'DROP TABLE t__history CASCADE',
	'DROP TABLE t__tracking CASCADE',
	'DROP TABLE timed__history CASCADE',
	'DROP TABLE t__history, t__tracking CASCADE',
	'DROP TABLE timed, t__history CASCADE',
	'DROP TABLE IF EXISTS nothing, t__history CASCADE',
	'DO $x$BEGIN DROP TABLE t__history CASCADE; END$x$']) cmd;
SELECT by_hand(cmd, 't') FROM unnest(ARRAY[
	'ALTER TABLE t__history RENAME TO elsewhere',
	'ALTER TABLE t__tracking RENAME TO elsewhere',
	'ALTER TABLE timed__history RENAME TO elsewhere',
	'ALTER TABLE IF EXISTS t__history RENAME TO elsewhere',
	'DO $x$BEGIN ALTER TABLE t__history RENAME TO elsewhere; END$x$']) cmd;
SELECT is(everything('t', 'timed'), :'before', 'nothing has changed');

-- Through an owner, or a schema, that goes.
SET catmaid_history.follow_ddl = off;
ALTER TABLE t__history OWNER TO t86_alice;
RESET catmaid_history.follow_ddl;
SELECT by_hand('DROP OWNED BY t86_alice CASCADE', 'drop_history_table');
SELECT denied('DROP OWNED BY t86_alice', 'DROP OWNED without CASCADE: our view is in the way', NULL, '2BP01');
SET catmaid_history.follow_ddl = off;
ALTER TABLE t__history OWNER TO postgres;
RESET catmaid_history.follow_ddl;
SELECT is(misplaced('t'), '', 'all is in place');
CREATE TABLE s1.u (id int PRIMARY KEY, v text);
SELECT create_history_table('s1.u');
SET catmaid_history.follow_ddl = off;
ALTER TABLE s1.u SET SCHEMA public;
RESET catmaid_history.follow_ddl;
SELECT refused('DROP SCHEMA s1 CASCADE', '{u}', 'DROP SCHEMA with history, but without its table',
	'fitting', NULL, 'drop_history_table');
SELECT ok(to_regclass('s1.u__history') IS NOT NULL, 'which is there still');
DROP TABLE u CASCADE;

-- By the owner of the tables.
ALTER TABLE t OWNER TO t86_alice;
GRANT CREATE ON SCHEMA public TO t86_alice;
SELECT refused('DROP TABLE t__history CASCADE', '{t}', 'the owner is no exception', 'fitting',
	't86_alice', 'drop_history_table');
SELECT refused('ALTER TABLE t__history RENAME TO elsewhere', '{t}', 'nor renaming it', 'fitting',
	't86_alice');
SELECT whole('t', 'tracking goes on');

-- What a site does to its history tables otherwise, it may.
SELECT allowed(cmd, cmd) FROM unnest(ARRAY[
	'CREATE INDEX mine ON t__history (v)',
	'ALTER INDEX mine RENAME TO mine2',
	'DROP INDEX mine2',
	'ALTER TABLE t__history ADD CONSTRAINT short CHECK (length(v) < 100)',
	'ALTER TABLE t__history SET (fillfactor = 80)',
	'DROP VIEW t__with_history']) cmd;
VACUUM FULL t__history;
SELECT whole('t', 'nothing suffers of it', false);

-- While tracking is disabled.
SELECT disable_history_tracking_for_table('t');
SELECT allowed('ALTER TABLE t__history RENAME TO elsewhere;
	ALTER TABLE elsewhere RENAME TO t__history', 'disabled: it may be renamed');
SELECT allowed('DROP TABLE t__history', 'and dropped');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE live_table::oid = 't'::regclass), 0,
	'which takes the registry row along');
SELECT ok(to_regclass('t__tracking') IS NULL, 'and the tracking table');
INSERT INTO t VALUES (9, 'i');
SELECT allowed('SELECT create_history_table(''t'')', 'and can be tracked anew');
SELECT whole('t', 'and is');

-- Moved by hand: derived tables live in the live table's schema.
SELECT by_hand(cmd, 't') FROM unnest(ARRAY[
	'ALTER TABLE t__history SET SCHEMA s1',
	'ALTER TABLE t__tracking SET SCHEMA s1',
	'ALTER TABLE timed__history SET SCHEMA s1',
	'ALTER TABLE timed__history OWNER TO t86_alice']) cmd;

SET catmaid_history.follow_ddl = off;
DROP OWNED BY t86_alice CASCADE;
DROP ROLE t86_alice;
SELECT * FROM finish();
