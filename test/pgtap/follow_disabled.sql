-- Section 5: triggers that are switched off record nothing, but DDL is followed, and
-- recording goes on with what the table is then.  With tracking disabled the history
-- side is left alone, but our view is in nobody's way.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(49);
SELECT format('psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %s -U %s -d %s -c "SET client_min_messages = notice" -c',
	:'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset

CREATE TYPE mood AS ENUM ('a', 'b');
CREATE FUNCTION tap.columns(relid regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = relid AND attnum > 0 AND NOT attisdropped $$;
CREATE TABLE t (id int PRIMARY KEY, m mood, v text, n int);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (PRIMARY KEY (id), w int) INHERITS (parent);
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
SELECT create_history_table('t'), create_history_table('timed', 'edition_time', 'txid'),
	create_history_table('child'), create_history_table('parts');
INSERT INTO t VALUES (1, 'a', 'x', 1), (2, 'b', 'y', 2);
INSERT INTO timed VALUES (1, 'x');
INSERT INTO child VALUES (1, 'x', 1);
INSERT INTO parts VALUES (1, 'x'), (11, 'y');
UPDATE t SET n = n + 1;

-- Switched off, by all words that there are for it.
CREATE FUNCTION tap.switched_off(how text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE t %s', how);
	ALTER TABLE t ALTER COLUMN m TYPE text;
	ALTER TABLE t RENAME COLUMN v TO w;
	ALTER TABLE t DROP COLUMN n, ADD COLUMN o int;
	RETURN NEXT is(columns('t__history'), 'id integer, m text, w text, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint, o integer', how || ': followed');
	RETURN NEXT is(columns('t__with_history'), 'id integer, m text, w text, o integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint', 'and the view is back');
	UPDATE t SET w = 'unrecorded';
	RETURN NEXT is((SELECT count(*) FROM t__history), 2::bigint, 'nothing is recorded');
	RETURN NEXT is(flags('t'), 'registry f, triggers f', 'the registry says so');
	ALTER TABLE t RENAME TO u;
	RETURN NEXT is(columns('u__history'), 'id integer, m text, w text, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint, o integer', 'renamed');
	RETURN NEXT is((SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE tgrelid = 'u'::regclass),
		CASE WHEN how ~ 'REPLICA' THEN 'OR' ELSE 'D' END, 'the triggers are as they were');
	ALTER TABLE u ENABLE TRIGGER ALL;
	UPDATE u SET w = 'recorded' WHERE id = 1;
	RETURN NEXT is((SELECT array_agg(DISTINCT w) FROM u__history), '{unrecorded,x,y}', 'recorded again');
	RAISE EXCEPTION 'undone' USING ERRCODE = 'SR000';
EXCEPTION WHEN SQLSTATE 'SR000' THEN
END $$;
SELECT switched_off('DISABLE TRIGGER ALL');
SELECT switched_off('DISABLE TRIGGER USER');
SELECT switched_off('ENABLE REPLICA TRIGGER on_change_history_trackingtable');

-- The arguments of triggers name columns.
ALTER TABLE timed DISABLE TRIGGER USER;
ALTER TABLE timed RENAME COLUMN edition_time TO edited;
SELECT is((SELECT array_agg(DISTINCT tgenabled::text || encode(tgargs, 'escape')) FROM pg_trigger
	WHERE tgrelid = 'timed'::regclass), '{"Dedited\\000txid\\000"}', 'the time column renamed: switched off still, with its new name');
SELECT is((SELECT time_column FROM catmaid_history_table WHERE live_table::oid = 'timed'::regclass), 'edited',
	'the registry, too');
ALTER TABLE timed ENABLE TRIGGER USER;
UPDATE timed SET v = 'y';
SELECT is(flags('timed'), 'registry t, triggers t', 'switched on');
SELECT whole('timed', 'all is in order');
ALTER TABLE timed ENABLE ALWAYS TRIGGER on_change_update_history_regular;
ALTER TABLE timed RENAME COLUMN txid TO tx;
SELECT is((SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE tgrelid = 'timed'::regclass AND tgenabled = 'A'),
	'on_change_update_history_regular', 'what fires always goes on to do so');
SELECT whole('timed', 'and it fires');

-- Families.
ALTER TABLE parent DISABLE TRIGGER ALL;
ALTER TABLE child DISABLE TRIGGER ALL;
ALTER TABLE parent ALTER COLUMN v TYPE varchar, ADD COLUMN z int;
SELECT is(columns('child__history'), 'id integer, v character varying, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint, w integer, z integer',
	'a child''s history');
ALTER TABLE child NO INHERIT parent;
SELECT is_empty('SELECT FROM pg_inherits WHERE inhparent = ''parent__history''::regclass', 'NO INHERIT');
ALTER TABLE parts DISABLE TRIGGER ALL;
ALTER TABLE parts DROP COLUMN v, ADD COLUMN w text;
SELECT is(columns('parts__history'), 'id integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint, w text', 'a partitioned table');
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (20) TO (30);
ALTER TABLE parts ENABLE TRIGGER ALL;
INSERT INTO parts VALUES (21, 'z');
UPDATE parts SET w = w || '1';
TRUNCATE parts_3;
SELECT is((SELECT array_agg(w ORDER BY w) FROM parts__history), '{z,z1,NULL,NULL}', 'a partition that came meanwhile is covered');

-- Dropped.
ALTER TABLE parts DISABLE TRIGGER ALL;
DROP TABLE parts;
SELECT ok(to_regclass('parts__history') IS NULL AND to_regclass('parts__tracking') IS NULL, 'dropped: the history goes along');
ALTER TABLE child DISABLE TRIGGER USER;
DROP TABLE child CASCADE;
SELECT ok(to_regclass('child__history') IS NULL, 'with CASCADE, too');

-- By hand, while they are switched off.
ALTER TABLE t DISABLE TRIGGER ALL;
SELECT refused('DROP TABLE t__history CASCADE', '{t}', 'the history is tracked still: not dropped', 'fitting', NULL, 'drop_history_table');
SELECT refused('ALTER TABLE t__tracking RENAME TO away', '{t}', 'nor renamed', 'fitting', NULL, 't');
ALTER TABLE t ENABLE TRIGGER ALL;

-- Disabled: the view is not in the way, and comes back.
COMMENT ON VIEW t__with_history IS 'kept';
CREATE VIEW upon AS SELECT id, sys_period FROM t__with_history;
SELECT disable_history_tracking_for_table('t');
ALTER TABLE t ALTER COLUMN v TYPE varchar(10);
SELECT is(columns('t__history'), 'id integer, m mood, v text, n integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint',
	'disabled: the history is left alone');
SELECT is(columns('t__with_history'), 'id integer, m mood, v text, n integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint',
	'the view is back');
SELECT is(obj_description('t__with_history'::regclass), 'kept', 'with its comment');
SELECT is((SELECT count(*) FROM upon), 4::bigint, 'and so is a user''s upon it');
ALTER TABLE t DROP COLUMN v;
SELECT is(columns('t__with_history'), 'id integer, m mood, n integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint',
	'a column dropped');
ALTER TABLE t DROP COLUMN n CASCADE;
SELECT is((SELECT count(*) FROM upon), 4::bigint, 'CASCADE takes no view along that does not show the column');
DROP TYPE mood CASCADE;
SELECT is(columns('t__with_history'), 'id integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint', 'a type dropped');

-- Where it cannot be made again it goes.
ALTER TABLE t ADD COLUMN later int, ADD COLUMN other int;
SELECT refused('ALTER TABLE t DROP COLUMN other', '{upon}', 'a user''s view upon it would go: refused', '2BP01');
DROP VIEW upon;
\set out `:client "ALTER TABLE t DROP COLUMN other" 2>&1`
SELECT matches(:'out'::text, '^NOTICE:  dropping view public.t__with_history, since history table "t__history" cannot hold what table "t" holds now\nHINT: [^\n]*create_history_view_for_table[^\n]*$', 'a NOTICE');
SELECT hasnt_view('t__with_history'::name, 'the view has gone');
SELECT enable_history_tracking_for_table('t'), create_history_view_for_table('t');
SELECT is(columns('t__with_history'), 'id integer, later integer, sys_period tstzrange, exec_transaction_id bigint, start_transaction_id bigint', 'the hint makes it again');

-- Dropped while disabled.
SELECT disable_history_tracking_for_table('t');
\set out `:client "DROP TABLE t" 2>&1`
SELECT is(:'out'::text, 'NOTICE:  keeping history table public.t__history
DETAIL:  Its live table was dropped.', 'DROP TABLE: the history stays, with a NOTICE');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE history_table::oid = 't__history'::regclass), 0,
	'and is forgotten');
SELECT ok(to_regclass('t__with_history') IS NULL, 'the view was not in the way');
SELECT * FROM finish();
