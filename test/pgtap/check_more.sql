-- check_history finds what makes the next write fail, or answers as of a time wrong:
-- constraints that migrations have put on histories, times in the future, versions that
-- overlap the live row; and the code of one table's owner ends no check of the others.
\ir lib/hostile.psql
DROP ROLE IF EXISTS check_more_owner;
CREATE ROLE check_more_owner;
CREATE EXTENSION catmaid_history;
SELECT plan(22);
CREATE FUNCTION tap.found(rel regclass) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(severity || ' ' || finding, ', ' ORDER BY finding), 'nothing') FROM check_history(rel) $$;
-- Does what the hint says, and returns what is found then.
CREATE FUNCTION tap.hinted(rel regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE h text;
BEGIN
	FOR h IN SELECT hint FROM check_history(rel) LOOP
		EXECUTE regexp_replace(h, '^If [^:]*: ', '');
	END LOOP;
	RETURN tap.found(rel);
END $$;

-- "All tables with a column uid."
CREATE TABLE route (id int PRIMARY KEY, uid text, v int);
SELECT create_history_table('route');
INSERT INTO route VALUES (1, 'a', 0);
UPDATE route SET v = 1;
SELECT is(found('route'), 'nothing', 'nothing at first');
CREATE UNIQUE INDEX uk_uid ON route__history (uid);
ALTER TABLE route__history ADD UNIQUE (v), ALTER uid SET NOT NULL, ADD CHECK (v < 100), ADD EXCLUDE USING btree (id WITH =);
SELECT is(found('route'), 'error column_not_null, info constraint_on_history, error unique_on_history, error unique_on_history, error unique_on_history',
	'constraints on the history');
SELECT is(hinted('route'), 'nothing', '... go as the hints say');
SELECT allowed('UPDATE route SET v = 2, uid = NULL', '... and writes go on');
ALTER TABLE route__history ADD COLUMN n int GENERATED ALWAYS AS IDENTITY UNIQUE;
SELECT is(found('route'), 'nothing', 'a unique column of the site''s is none of it');
ALTER TABLE route__tracking ADD COLUMN note text;
SELECT is(found('route'), 'nothing', 'nor is a column of the site''s on a tracking table');
CREATE TABLE other (id int PRIMARY KEY);
ALTER TABLE route__history ADD FOREIGN KEY (v) REFERENCES other NOT VALID;
SELECT is(found('route'), 'info constraint_on_history', 'a foreign key');
SELECT is(hinted('route'), 'nothing', '... goes');

-- The clock was ahead.
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'b'), (2, 'x');
INSERT INTO t__history VALUES (1, 'a', tstzrange(now(), now() + interval '1 hour'));
UPDATE t__tracking SET edition_time = now() + interval '1 hour' WHERE live_pk = 1;
SELECT is(found('t'), 'warning ends_in_future, warning starts_in_future', 'times in the future');
SELECT is(hinted('t'), 'nothing', '... are mended as the hints say');
SELECT is((SELECT string_agg(v, ' ' ORDER BY id) FROM t__with_history WHERE sys_period @> clock_timestamp()), 'b x', '... and as of now the live rows are found');
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz, txid bigint);
SELECT create_history_table('timed', 'edited', 'txid');
INSERT INTO timed VALUES (1, 'b', now() + interval '1 hour'), (2, 'x', NULL);
SELECT is(found('timed'), 'warning starts_in_future', 'with a time column');

-- Versions that end never, late, or after the live row began.
CREATE TABLE e (id int PRIMARY KEY, v text);
SELECT create_history_table('e');
INSERT INTO e VALUES (1, 'live');
INSERT INTO e__history VALUES (1, 'far end', '["2020-01-01", "9999-12-31 23:59:59.999999+00")', 0);
SELECT is(found('e'), 'warning ends_in_future, warning periods_overlap_live', 'an end far in the future');
UPDATE e__history SET sys_period = '["2020-01-01", infinity)';
SELECT is(found('e'), 'warning ends_in_future, warning periods_overlap_live', 'infinity');
UPDATE e__history SET id = 7;
SELECT is(found('e'), 'warning ends_in_future', '... of another row');
UPDATE e__history SET id = 1, sys_period = tstzrange('2020-01-01', clock_timestamp());
SELECT is(found('e'), 'warning periods_overlap_live', 'an end after the live row began');
UPDATE e__history SET sys_period = tstzrange('2020-01-01', (SELECT edition_time FROM e__tracking));
SELECT is(found('e'), 'nothing', 'an end when it began');
UPDATE e__history SET sys_period = tstzrange('2020-01-01', NULL);
SELECT is(found('e'), 'warning periods_without_end', 'no end');
TRUNCATE e__history;

-- What an owner has put on her table, and everybody's check.
CREATE SCHEMA o AUTHORIZATION check_more_owner;
SET ROLE check_more_owner;
CREATE TABLE o.u (id int PRIMARY KEY, v text);
SELECT create_history_table('o.u');
CREATE FUNCTION o.bad(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN IF session_user <> 'check_more_owner' THEN RAISE SQLSTATE '57014' USING MESSAGE = 'no check today'; END IF; RETURN 1; END $$;
RESET ROLE;
SET SESSION AUTHORIZATION check_more_owner;
CREATE INDEX ON o.u__history (id) WHERE length(v) > o.bad(1);
ALTER TABLE o.u__tracking ALTER txid DROP NOT NULL, ADD CHECK (txid > 0 OR o.bad(1) > 0);
RESET SESSION AUTHORIZATION;
UPDATE pg_class SET relname = relname WHERE relnamespace = 'o'::regnamespace;
DROP INDEX t__history_exec_transaction_id;
SELECT is((SELECT string_agg(live_table || ' ' || finding, ', ' ORDER BY live_table::text) FROM check_history() WHERE live_table <> 'timed'::regclass), 'o.u not_checkable, t index_missing',
	'a table that cannot be checked is a finding, and the others are checked');
CREATE FUNCTION tap.cancelled(cmd text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN EXECUTE cmd; RETURN 'not'; EXCEPTION WHEN query_canceled THEN RETURN SQLERRM; END $$;
SELECT is(tap.cancelled('SELECT * FROM check_history(''o.u'')'), 'no check today', '... the error is shown where it alone is checked');
SELECT allowed('SELECT repair_history()', 'a table that cannot be repaired stops no other''s repair');
SELECT is(found('t'), 'nothing', '... which is done');
DROP OWNED BY check_more_owner CASCADE;
DROP ROLE check_more_owner;
SELECT * FROM finish();
