-- check_history() in a database that has always been ours: each kind of finding,
-- made by hand, is found, with a hint that works; and nothing else is.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t90_owner;
DROP ROLE IF EXISTS t90_other;
CREATE EXTENSION catmaid_history;
CREATE ROLE t90_owner;
CREATE ROLE t90_other;
SELECT plan(69);

CREATE TABLE timed (id bigint PRIMARY KEY, v varchar(100), n int, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE tracked (id bigint PRIMARY KEY, v text);
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
SELECT create_history_table('timed', 'edition_time', 'txid'), create_history_table('tracked'),
	create_history_table('parted') \g /dev/null
INSERT INTO timed (id, v) VALUES (1, 'a'), (2, 'b');
INSERT INTO tracked VALUES (1, 'a'), (2, 'b');
INSERT INTO parted VALUES (1, 'a');

CREATE FUNCTION tap.found() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', live_table, severity, finding, object), ', '
		ORDER BY live_table::text COLLATE "C", finding COLLATE "C", object COLLATE "C")
	FROM check_history() WHERE finding <> 'not_tracked' $$;
-- One assertion: after these commands there are just these findings, and after the
-- hint of the first, or repair_history where it has none to type, there are those.
-- All of it is undone.
CREATE FUNCTION tap.finds(commands text, want text, left_over text DEFAULT NULL, hints boolean DEFAULT true)
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	have text;
	rest text;
	h text;
BEGIN
	BEGIN
		EXECUTE commands;
		have := tap.found();
		IF hints THEN
			FOR h IN SELECT DISTINCT split_part(hint, ';', 1) FROM check_history() WHERE hint LIKE 'SELECT%' OR hint LIKE 'ALTER%' LOOP
				EXECUTE h;
			END LOOP;
		END IF;
		rest := tap.found();
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
	END;
	RETURN NEXT tap.is(have, want, 'found: ' || split_part(commands, ';', 1));
	RETURN NEXT tap.is(rest, left_over, 'as the hint says: ' || split_part(commands, ';', 1));
END $$;

SELECT is(found(), NULL, 'nothing at first');
-- (a narrow column: with the follower off, as a migration by hand leaves it)
SET catmaid_history.follow_ddl = off;
SELECT finds('ALTER TABLE timed ADD COLUMN w int', 'timed error column_missing w, timed warning view_outdated timed__with_history');
SELECT finds('SELECT drop_history_view_for_table(''timed''); ALTER TABLE timed__history ALTER v TYPE varchar(50)',
	'timed error column_too_narrow v');
SELECT finds('SELECT drop_history_view_for_table(''timed''); ALTER TABLE timed__history ALTER id TYPE smallint USING id::smallint',
	'timed error column_too_narrow id');
SELECT finds('ALTER TABLE timed__history ALTER n SET NOT NULL', 'timed error column_not_null n');
SELECT finds('ALTER TABLE timed__history ALTER sys_period DROP DEFAULT', 'timed warning default_missing');
SELECT finds('ALTER TABLE timed DROP COLUMN txid CASCADE; ALTER TABLE timed__history DROP COLUMN txid CASCADE',
	'timed error time_column_unfit txid', 'timed error time_column_unfit txid', false);
SELECT finds('ALTER TABLE timed DROP COLUMN txid CASCADE; ALTER TABLE timed ADD COLUMN txid bigint GENERATED ALWAYS AS (id) STORED',
	'timed error time_column_unfit txid', 'timed error time_column_unfit txid', false);
SELECT finds('ALTER TABLE tracked DROP CONSTRAINT tracked_pkey, ADD PRIMARY KEY (v)', 'tracked error key_changed v');
-- (with CASCADE it takes the trigger along that is marked with it)
SELECT finds('ALTER TABLE tracked__tracking RENAME TO x; DROP TABLE x CASCADE',
	'tracked error tracking_table_gone, tracked error trigger_missing on_truncate_truncate_tracking_table');
SELECT finds('DROP INDEX tracked__history_exec_transaction_id', 'tracked warning index_missing exec_transaction_id');
SELECT finds('INSERT INTO tracked__tracking VALUES (77, now(), 1); DELETE FROM tracked__tracking WHERE live_pk = 1',
	'tracked warning tracking_rows_missing tracked__tracking, tracked warning tracking_rows_orphaned tracked__tracking');
SELECT finds('DROP TRIGGER on_truncate_handle_live_table_truncate ON tracked',
	'tracked error trigger_missing on_truncate_handle_live_table_truncate');
SELECT finds('ALTER TABLE timed DISABLE TRIGGER on_change_update_history_txid_regular',
	'timed error trigger_disabled on_change_update_history_txid_regular');
SELECT finds('DROP TRIGGER on_truncate_handle_live_table_truncate ON parted_1', 'parted error trigger_missing');
SELECT finds('UPDATE catmaid_history_table SET triggers_installed = false WHERE live_table = ''tracked''::regclass',
	'tracked warning flag_differs triggers_installed');
SELECT finds('DROP TABLE timed__history CASCADE', 'timed error history_table_gone');
SELECT finds('DROP TABLE tracked__history, tracked__tracking CASCADE', 'tracked error history_table_gone');
SELECT finds('ALTER TABLE tracked__tracking RENAME live_pk TO other', 'tracked error not_a_tracking_table tracked__tracking',
	'tracked error not_a_tracking_table tracked__tracking', false);
-- (the hint's first command, and then there is another hint)
SELECT finds('SELECT drop_history_view_for_table(''timed''); ALTER TABLE timed__history ALTER v TYPE int USING NULL',
	'timed error column_too_narrow v', 'timed error column_missing v');
-- a registry that names anybody's table: the mark tells whose it is; without triggers
-- there is none, and a superuser is not led to give anything away
SELECT finds('CREATE TABLE mine (LIKE timed__history INCLUDING DEFAULTS); ALTER TABLE mine OWNER TO t90_other; '
	'UPDATE catmaid_history_table SET history_table = ''mine'' WHERE live_table = ''timed''::regclass',
	'timed error other_owner mine');
SELECT finds('SELECT disable_history_tracking_for_table(''timed''); '
	'CREATE TABLE mine (LIKE timed__history INCLUDING DEFAULTS); ALTER TABLE mine OWNER TO t90_other; '
	'UPDATE catmaid_history_table SET history_table = ''mine'' WHERE live_table = ''timed''::regclass',
	'timed error other_owner mine');
SELECT finds('CREATE TABLE mine (LIKE timed__history INCLUDING DEFAULTS); '
	'UPDATE catmaid_history_table SET history_table = ''mine'' WHERE live_table = ''timed''::regclass',
	'timed error registry_differs mine');
SELECT finds('DELETE FROM pg_depend WHERE classid = ''pg_trigger''::regclass AND refobjid = ''timed__history''::regclass',
	'timed error not_marked');
SELECT finds('ALTER TABLE timed__history OWNER TO t90_other', 'timed error other_owner timed__history');
SELECT finds('DROP TABLE tracked CASCADE', format('%s warning live_table_gone', 'tracked'::regclass::oid));
SELECT finds('DELETE FROM catmaid_history_table WHERE live_table = ''tracked''::regclass', 'tracked error not_registered',
	'tracked error not_registered', false);
SELECT finds($x$CREATE OR REPLACE FUNCTION drop_history_table(live_table regclass) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'$x$,
	'warning function_replaced drop_history_table', 'warning function_replaced drop_history_table', false);
RESET catmaid_history.follow_ddl;

-- History itself.
UPDATE timed SET v = 'c';
SELECT finds('UPDATE timed__history SET sys_period = tstzrange(''2020-01-01'', NULL)',
	'timed warning periods_without_end sys_period', 'timed warning periods_without_end sys_period');
INSERT INTO timed__history (id, sys_period) VALUES (7, '[2020-01-01,2020-03-01)'), (7, '[2020-02-01,2020-04-01)'),
	(8, '[2020-01-01,2020-02-01)'), (8, '[2020-02-01,2020-04-01)'), (9, 'empty'), (9, '(,)');
SELECT is(found(), 'timed warning periods_overlap sys_period, timed warning periods_without_end sys_period',
	'periods that overlap; not those that meet, nor empty ones');
SELECT is((SELECT string_agg(detail, ' ' ORDER BY finding COLLATE "C") ~ '^1 .* 1 ' FROM check_history('timed')), true, 'how many');
SELECT is((SELECT count(*) FROM check_history('timed', false)), 0::bigint, 'unless history is not to be read');
BEGIN;
SELECT drop_history_table_keep_data('timed');
SELECT is((SELECT string_agg(concat_ws(' ', live_table, severity, finding, object), ',') FROM check_history() WHERE finding = 'not_tracked'), 'timed info not_tracked timed__history', 'a history beside a table that is not tracked');
ROLLBACK;
SELECT throws_ok('SELECT * FROM check_history(''pg_class'')', '42704', NULL, 'a table without history');

-- Who sees what.
ALTER TABLE tracked OWNER TO t90_owner;
DELETE FROM tracked__tracking;
SELECT is((SELECT string_agg(live_table::text, ',') FROM check_history() WHERE live_table::text = 'tracked'), 'tracked',
	'a superuser sees all');
SET ROLE t90_owner;
SELECT tap.is((SELECT string_agg(DISTINCT live_table::text, ',') FROM check_history()), 'tracked', 'an owner sees his own');
SELECT tap.lives_ok('SELECT repair_history(''tracked'')', 'and mends it');
SELECT tap.is((SELECT string_agg(DISTINCT live_table::text, ',') FROM check_history()), NULL, 'which it is then');
SELECT tap.throws_ok('SELECT * FROM check_history(''timed'')', '42501', NULL, 'he may not look at another''s');
SELECT tap.throws_ok('SELECT repair_history(''timed'')', '42501', NULL, 'nor mend it');
SELECT tap.throws_ok('SELECT widen_history_table(''timed'')', '42501', NULL, 'nor widen it');
RESET ROLE;

DROP TABLE tracked;
DROP ROLE t90_owner, t90_other;
SELECT * FROM finish();
