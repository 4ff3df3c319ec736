-- A table with a time column: the application's clock gives the start, every
-- UPDATE writes the transaction into the txid column.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(27);

CREATE TABLE node (id bigint PRIMARY KEY, x float8, edition_time timestamptz,
	txid bigint);
INSERT INTO node VALUES (1, 1, '2001-01-01+0', 7), (2, 2, NULL, NULL),
	(3, 3, 'infinity', 8), (4, 4, '-infinity', 9), (5, 5, '2005-01-01+0', -1);
SELECT create_history_table('node', 'edition_time', 'txid');

SELECT hasnt_table('node__tracking', 'no tracking table beside a time column');
SELECT results_eq($$SELECT live_table, history_table, triggers_installed,
		live_table_pkey_column, tracking_table, time_column, txid_column
	FROM catmaid_history_table$$,
	$$VALUES ('node'::regclass, 'node__history'::regclass, true, 'id',
		NULL::regclass, 'edition_time', 'txid')$$,
	'the registry names the time and the transaction column');
SELECT results_eq('SELECT txid FROM node ORDER BY id',
	'VALUES (7::bigint), (NULL), (8), (9), (-1)',
	'creating a history writes nothing into the live table');

BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
UPDATE node SET x = -x WHERE id < 5;
DELETE FROM node WHERE id = 5;
COMMIT;
SELECT results_eq('SELECT * FROM node__history ORDER BY id', format($$VALUES
	(1::bigint, 1::float8, timestamptz '2001-01-01+0', 7::bigint,
		tstzrange('2001-01-01+0', %1$L), %2$s::bigint),
	(2, 2, NULL, NULL, tstzrange(NULL, %1$L), %2$s),
	(3, 3, 'infinity', 8, 'empty', %2$s),
	(4, 4, '-infinity', 9, tstzrange('-infinity', %1$L), %2$s),
	(5, 5, '2005-01-01+0', -1, tstzrange('2005-01-01+0', %1$L), %2$s)$$, :'t1', :x1),
	'start is the row''s time, unbounded if that is NULL, never later than the end');
SELECT results_eq('SELECT * FROM node ORDER BY id', format($$VALUES
	(1::bigint, -1::float8, timestamptz '2001-01-01+0', %1$s::bigint),
	(2, -2, NULL, %1$s), (3, -3, 'infinity', %1$s), (4, -4, '-infinity', %1$s)$$, :x1),
	'UPDATE writes the transaction, and leaves the time to the application');

-- What the statement itself says about the two columns.
BEGIN;
SELECT txid_current() AS x2 \gset
UPDATE node SET txid = 12345, edition_time = '2011-11-11+0' WHERE id = 1;
COMMIT;
SELECT results_eq('SELECT edition_time, txid FROM node WHERE id = 1',
	format($$VALUES (timestamptz '2011-11-11+0', %s::bigint)$$, :x2),
	'the statement''s own time is kept, its own transaction id is not');
INSERT INTO node VALUES (6, 6, '2006-06-06+0', 66);
SELECT results_eq('SELECT edition_time, txid FROM node WHERE id = 6',
	$$VALUES (timestamptz '2006-06-06+0', 66::bigint)$$, 'INSERT writes neither column');
BEGIN;
SELECT txid_current() AS x3 \gset
SAVEPOINT s;
UPDATE node SET x = 66 WHERE id = 6;
RELEASE s;
COMMIT;
SELECT is((SELECT txid FROM node WHERE id = 6), :x3::bigint,
	'the transaction is the top one, also in a savepoint');
SELECT is((SELECT exec_transaction_id FROM node__history WHERE id = 6), :x3::bigint,
	'and so it is in history');

-- An application's trigger sets the time, as CATMAID's on_edit does.
CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE TABLE edited (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TRIGGER on_edit BEFORE UPDATE ON edited FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TABLE edited_z (LIKE edited INCLUDING ALL);
CREATE TRIGGER zz_on_edit BEFORE UPDATE ON edited_z FOR EACH ROW EXECUTE FUNCTION on_edit();
SELECT create_history_table('edited', 'edition_time', 'txid'),
	create_history_table('edited_z', 'edition_time', 'txid');
INSERT INTO edited SELECT i, 'v' || i FROM generate_series(1, 5) i;
INSERT INTO edited_z SELECT i, 'v' || i FROM generate_series(1, 5) i;
SELECT remember('edited', '1'), remember('edited_z', '1');
UPDATE edited SET v = v || 'a' WHERE id < 4;
UPDATE edited_z SET v = v || 'a' WHERE id < 4;
SELECT remember('edited', '2'), remember('edited_z', '2');
BEGIN;
UPDATE edited SET v = v || 'b' WHERE id IN (2, 5);
UPDATE edited SET v = v || 'c' WHERE id IN (2, 5);
UPDATE edited_z SET v = v || 'b' WHERE id IN (2, 5);
UPDATE edited_z SET v = v || 'c' WHERE id IN (2, 5);
COMMIT;
SELECT remember('edited', '3'), remember('edited_z', '3');
DELETE FROM edited WHERE id = 2;
DELETE FROM edited_z WHERE id = 2;
SELECT remember('edited', '4'), remember('edited_z', '4');
TRUNCATE edited, edited_z;
SELECT remember('edited', '5'), remember('edited_z', '5');
SELECT is_empty($$SELECT * FROM misremembered('edited')$$,
	'as-of queries equal the table as it was, on_edit first');
SELECT is_empty($$SELECT * FROM misremembered('edited_z')$$,
	'as-of queries equal the table as it was, on_edit last');
SELECT is((SELECT count(*)::int FROM edited__history), 12, 'every version is there');
SELECT is((SELECT count(*)::int FROM edited__history WHERE isempty(sys_period)), 2,
	'the two that lived within a transaction have an empty period');

-- Mixed-case and reserved names for both columns.
CREATE TABLE odd (id int PRIMARY KEY, "Time ""T""" timestamptz, "user" bigint);
SELECT create_history_table('odd', 'Time "T"', 'user');
INSERT INTO odd VALUES (1, '2001-01-01+0', NULL);
BEGIN;
SELECT now() AS t4, txid_current() AS x4 \gset
UPDATE odd SET id = 2;
COMMIT;
SELECT results_eq('SELECT id, sys_period FROM odd__history',
	format($$VALUES (1, tstzrange('2001-01-01+0', %L))$$, :'t4'),
	'a column name is taken as it is written: the period');
SELECT is((SELECT "user" FROM odd), :x4::bigint,
	'a column name is taken as it is written: the transaction');

-- Refusals.
CREATE TABLE bad (id int PRIMARY KEY, ts timestamptz, t timestamp, tx bigint, txi int,
	d date, gone timestamptz);
ALTER TABLE bad DROP COLUMN gone;
CREATE FUNCTION refused(args text, OUT state text, OUT named boolean) LANGUAGE sql AS $$
	SELECT state, msg || coalesce(hint, '') ~ 'bad' FROM error_of(
		'SELECT create_history_table(''bad'', ' || args || ')')$$;
SELECT is(refused($$'ts'$$)::text, '(P0001,t)', 'a time column alone is refused');
SELECT is(refused($$NULL, 'tx'$$)::text, '(P0001,t)', 'a txid column alone is refused');
SELECT is(refused($$'nope', 'tx'$$)::text, '(P0001,t)', 'an unknown time column is refused');
SELECT is(refused($$'ts', 'nope'$$)::text, '(P0001,t)', 'an unknown txid column is refused');
SELECT is(refused($$'TS', 'tx'$$)::text, '(P0001,t)', 'column names are not folded');
SELECT is(refused($$'gone', 'tx'$$)::text, '(P0001,t)', 'a dropped time column is refused');
SELECT is(refused($$'t', 'tx'$$)::text, '(P0001,t)', 'a timestamp without zone is refused');
SELECT is(refused($$'d', 'tx'$$)::text, '(P0001,t)', 'a date is refused');
SELECT is(refused($$'ts', 'txi'$$)::text, '(P0001,t)', 'an integer txid is refused');
SELECT is(refused($$'tx', 'ts'$$)::text, '(P0001,t)', 'the two swapped are refused');
SELECT is(refused($$'ctid', 'tx'$$)::text, '(P0001,t)', 'a system column is refused');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^bad__'
	UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'bad'::regclass
	UNION ALL SELECT 'row' FROM catmaid_history_table WHERE live_table = 'bad'::regclass$$,
	'a refusal leaves nothing behind');

SELECT * FROM finish();
