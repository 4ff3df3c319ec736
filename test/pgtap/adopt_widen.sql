-- History columns that are narrower than the live ones, of all types with a modifier
-- and all that widen: adoption rewrites no history table, widens what can be widened
-- without, and says of each of the others that it is too narrow.
\ir lib/old.psql
SELECT plan(9);
CREATE SCHEMA site;
\ir lib/old_implementation.sql
CREATE DOMAIN wide_domain AS varchar(20);
CREATE DOMAIN narrow_domain AS varchar(10) CHECK (VALUE <> 'bad');
CREATE TABLE tap.cases (n serial, t text GENERATED ALWAYS AS ('w' || n::text) STORED, narrow text, wide text, value text, in_place boolean);
INSERT INTO tap.cases (narrow, wide, value, in_place) VALUES
	('varchar(10)', 'varchar(20)', 'abc', true), ('varchar(10)', 'varchar', 'abc', true), ('varchar(10)', 'text', 'abc', true),
	('narrow_domain', 'varchar(20)', 'abc', NULL), ('narrow_domain', 'narrow_domain', 'abc', NULL),
	('varchar(10)[]', 'varchar(20)[]', '{a,b}', NULL), ('varchar(10)', 'wide_domain', 'abc', NULL),
	('char(3)', 'char(5)', 'abc', false), ('bit(3)', 'varbit(5)', '101', NULL), ('varbit(4)', 'varbit(8)', '101', true),
	('numeric(6,2)', 'numeric(10,2)', '1.25', true), ('numeric(6,2)', 'numeric', '1.25', true),
	('numeric(6,2)', 'numeric(10,4)', '1.25', false),
	('numeric(6,2)[]', 'numeric(10,2)[]', '{1.25}', NULL),
	('timestamp(0)', 'timestamp(3)', '2020-02-02 02:02:02', true), ('timestamptz(0)', 'timestamptz', '2020-02-02 02:02:02+00', true),
	('time(0)', 'time', '02:02:02', true), ('timetz(0)', 'timetz(6)', '02:02:02+00', NULL), ('interval(0)', 'interval', '1 day', true),
	('interval day to second(0)', 'interval', '1 day 00:00:02', NULL),
	('smallint', 'integer', '5', false), ('smallint', 'bigint', '5', false), ('integer', 'bigint', '5', false),
	('integer', 'numeric', '5', false), ('real', 'double precision', '1.5', false), ('integer[]', 'bigint[]', '{5}', false),
	('name', 'text', 'abc', false), ('date', 'timestamp', '2020-02-02', false), ('xml', 'text', '<a/>', NULL),
	('cidr', 'inet', '10.0.0.0/8', NULL), ('json', 'jsonb', '{"a":  1}', false), ('text', 'varchar(10)', 'abc', NULL);
-- The live table has the wide type, its history the narrow one, and a row.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM tap.cases LOOP
		EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v %s, edition_time timestamptz DEFAULT now(), txid bigint)', c.t, c.narrow);
		PERFORM create_history_table(c.t::regclass, 'edition_time', 'txid');
		EXECUTE format('INSERT INTO %I (id, v, edition_time) VALUES (1, %L, now() - interval ''1 day'')', c.t, c.value);
		EXECUTE format('UPDATE %I SET v = v', c.t);
		IF c.narrow NOT IN ('xml', 'json') THEN
			EXECUTE format('CREATE INDEX ON %s (v)', get_history_table_name(c.t::regclass));
		END IF;
		PERFORM drop_history_view_for_table(c.t::regclass);
		EXECUTE format('ALTER TABLE %I ALTER v TYPE %s USING v::text::%2$s', c.t, c.wide);
	END LOOP;
END $$;
CALL tap.note();
SET client_min_messages = error;
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
COMMIT;
SELECT kept('rows', 'no history table is rewritten');
SELECT is((SELECT string_agg(format('%s (%s to %s): %s', c.t, narrow, wide, format_type(atttypid, atttypmod)), E'\n')
	FROM tap.cases c JOIN pg_attribute ON attrelid = (c.t || '__history')::regclass AND attname = 'v'
	WHERE in_place AND format_type(atttypid, atttypmod) <> format_type(wide::regtype, NULL)
		AND (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = c.t::regclass AND attname = 'v')
		<> format_type(atttypid, atttypmod)), NULL, 'what widens in place is widened');
SELECT is((SELECT string_agg(format('%s (%s to %s)', c.t, narrow, wide), E'\n') FROM tap.cases c
	WHERE in_place AND EXISTS (SELECT FROM check_history(c.t::regclass))), NULL, 'and there is nothing to find then');
SELECT is((SELECT string_agg(format('%s (%s to %s)', c.t, narrow, wide), E'\n') FROM tap.cases c
	WHERE NOT in_place AND NOT EXISTS (SELECT FROM check_history(c.t::regclass))), NULL, 'the others are found');
SELECT lives_ok('SELECT repair_history()', 'repair');
SELECT kept('rows', 'rewrites none');
-- Whatever is said of a table: a version is recorded, or the write fails.
CREATE FUNCTION tap.written(c tap.cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
	n bigint;
	res text;
BEGIN
	IF NOT (SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table = c.t::regclass) THEN
		RETURN 'disabled';
	END IF;
	EXECUTE format('SELECT count(*) FROM %I', c.t || '__history') INTO before;
	EXECUTE format('UPDATE %I SET v = v', c.t);
	EXECUTE format('SELECT count(*), bool_and(h.v::text = l.v::text) FROM %I h, %I l', c.t || '__history', c.t) INTO n, res;
	RETURN CASE WHEN n = before + 1 AND res::boolean THEN NULL ELSE format('%s versions, %s', n - before, res) END;
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN SQLSTATE IN ('42804', '55000') AND NOT c.in_place IS TRUE THEN NULL ELSE SQLSTATE || SQLERRM END;
END $$;
SELECT is((SELECT string_agg(format('%s (%s to %s): %s', t, narrow, wide, tap.written(c)), E'\n') FROM tap.cases c
	WHERE tap.written(c) IS NOT NULL), NULL, 'a write is recorded, or fails and says why');
-- Each hint works as it is typed, and then all is well.
CREATE FUNCTION tap.follow_hints(live regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT * FROM check_history(live) WHERE severity = 'error' LOOP
		EXECUTE substring(f.hint FROM '^(?:SELECT|ALTER)[^;]*;');
	END LOOP;
	PERFORM enable_history_tracking_for_table(live);
	RETURN (SELECT string_agg(c::text, ' ') FROM check_history(live) c WHERE severity = 'error');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || SQLERRM;
END $$;
SELECT is((SELECT string_agg(format('%s (%s to %s): %s', t, narrow, wide, tap.follow_hints(t::regclass)), E'\n')
	FROM tap.cases c WHERE tap.follow_hints(t::regclass) IS NOT NULL), NULL, 'hints work');
SELECT is((SELECT string_agg(format('%s (%s to %s): %s', t, narrow, wide, tap.written(c)), E'\n') FROM tap.cases c
	WHERE tap.written(c) IS NOT NULL), NULL, 'and all is recorded');
SELECT * FROM finish();
