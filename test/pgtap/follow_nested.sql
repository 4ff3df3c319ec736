-- Section 5: what a command itself has changed is followed at its end, however many
-- commands run inside of it, and wherever; what they change, at theirs.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(16);

CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE TABLE u (id int PRIMARY KEY, a text);
CREATE TABLE v (id int PRIMARY KEY, a text);
CREATE TABLE log (what text);
SELECT create_history_table('t'), create_history_table('u'), create_history_table('v');
INSERT INTO t SELECT i, repeat('x', i) FROM generate_series(1, 3) i;
INSERT INTO u SELECT * FROM t;
INSERT INTO v SELECT * FROM t;
UPDATE t SET a = a || 'y';

-- Several commands, and things that are none, in a function that the command calls for
-- each row: they change other tables, and one that is rolled back.
CREATE FUNCTION within(text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	step int := (SELECT count(*) FROM log);
BEGIN
	INSERT INTO log VALUES ('t');
	/* it is called for old versions, too, and what it does then is the follower's */
	IF step >= 3 THEN
		RETURN length($1);
	END IF;
	EXECUTE format('ALTER TABLE u ADD COLUMN c%s int DEFAULT %1$s', step);
	BEGIN
		EXECUTE format('ALTER TABLE u RENAME COLUMN c%s TO d', step);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
	END;
	PERFORM disable_history_tracking_for_table('v'), enable_history_tracking_for_table('v');
	EXECUTE format('ALTER TABLE v ADD COLUMN c%s int DEFAULT %1$s', step);
	CREATE TABLE made (id int);
	DROP TABLE made;
	RETURN length($1);
END $$;
ALTER TABLE t ADD COLUMN b int DEFAULT 7, ALTER COLUMN a TYPE int USING within(a);
SELECT follows('t', 'the command that calls', '{a_1 text}');
SELECT is((SELECT count(*)::int FROM log), 6, 'it called for each row and each version');
SELECT follows('u', 'a table altered inside');
SELECT follows('v', 'one switched off and on and altered inside');
SELECT is_empty('SELECT * FROM check_history() WHERE severity <> ''info''', 'all is in order');

-- Three levels.
CREATE FUNCTION deeper() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_tag = 'ALTER TABLE' AND current_setting('test.deep') = 'u' THEN
		PERFORM set_config('test.deep', 'v', false);
		ALTER TABLE v RENAME COLUMN id TO vid;
		ALTER TABLE t ADD COLUMN after_u int;
	ELSIF tg_tag = 'ALTER TABLE' AND current_setting('test.deep') = 't' THEN
		PERFORM set_config('test.deep', 'u', false);
		ALTER TABLE u RENAME COLUMN id TO uid;
		ALTER TABLE u ADD COLUMN after_t int;
	END IF;
END $$;
SET test.deep = '';
CREATE EVENT TRIGGER a_deeper ON ddl_command_end EXECUTE FUNCTION deeper();
SET test.deep = 't';
ALTER TABLE t RENAME COLUMN id TO tid;
SET test.deep = '';
SELECT has_column('t__history', 'tid', 'renamed by the outermost');
SELECT has_column('t__history', 'after_u', 'and changed again by the innermost');
SELECT has_column('u__history', 'uid', 'the one in between');
SELECT has_column('u__history', 'after_t', 'and its next');
SELECT has_column('v__history', 'vid', 'the innermost');
SELECT is((SELECT string_agg(live_table_pkey_column, ' ' ORDER BY live_table::text) FROM catmaid_history_table),
	'tid uid vid', 'the registry');
DROP EVENT TRIGGER a_deeper;
SELECT is_empty('SELECT * FROM check_history() WHERE severity <> ''info''', 'all is in order again');

-- A command that fails inside of one that goes on, which leaves no trace.
CREATE FUNCTION fails() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_tag = 'ALTER TABLE' AND current_setting('test.deep') = 'fail' THEN
		PERFORM set_config('test.deep', '', false);
		BEGIN
			DROP TABLE u__history CASCADE;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO log VALUES (SQLERRM);
		END;
		BEGIN
			ALTER TABLE u RENAME COLUMN uid TO sys_period;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO log VALUES (SQLERRM);
		END;
	END IF;
END $$;
CREATE EVENT TRIGGER a_fails ON ddl_command_end EXECUTE FUNCTION fails();
TRUNCATE log;
SET test.deep = 'fail';
ALTER TABLE v DROP COLUMN a;
DROP EVENT TRIGGER a_fails;
SELECT is((SELECT count(*)::int FROM log), 2, 'refused inside');
SELECT hasnt_column('v__history', 'a', 'and followed outside');
SELECT follows('v', 'which is in order');
SELECT follows('u', 'and so is the other');
SELECT finish();
