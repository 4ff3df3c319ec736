-- TRUNCATE may name live, history and tracking tables together, in any order, as
-- scripts do that empty a test database.  What it removes of live tables is stored,
-- unless the history is emptied as well.  And a trigger of the application's may
-- empty a history, or change it, also in an exception block.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
CREATE SCHEMA "Other";

SELECT plan(34);

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE child_of_t (id int PRIMARY KEY, t_id int REFERENCES t);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE parts (a int, b int, v text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY LIST (b);
CREATE TABLE part_3 PARTITION OF part_2 DEFAULT;
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE "Other"."Select" (id serial PRIMARY KEY, v text);
SELECT create_history_table(r) FROM unnest('{t,child_of_t,parts,heir,"\"Other\".\"Select\""}'::regclass[]) r;
SELECT create_history_table('timed', 'edition_time', 'txid');

CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	INSERT INTO t VALUES (1, 'a'), (2, 'b');
	INSERT INTO child_of_t VALUES (1, 1);
	INSERT INTO timed VALUES (1, 'a');
	INSERT INTO parts VALUES (1, 1, 'a'), (11, 1, 'b');
	INSERT INTO parent VALUES (1, 'p');
	INSERT INTO heir VALUES (2, 'h');
	INSERT INTO "Other"."Select" (v) VALUES ('s') $$;
-- The tables of the two schemas that have rows of their own, with their number.
CREATE FUNCTION filled() RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record; n int; res text := '';
BEGIN
	FOR r IN SELECT oid::regclass AS rel FROM pg_class WHERE relkind = 'r'
		AND relnamespace IN ('public'::regnamespace, '"Other"'::regnamespace)
		AND relname !~ '^catmaid' ORDER BY oid::regclass::text COLLATE "C"
	LOOP
		EXECUTE 'SELECT count(*) FROM ONLY ' || r.rel INTO n;
		IF n > 0 THEN res := res || r.rel || ' ' || n || ' '; END IF;
	END LOOP;
	RETURN rtrim(res);
END $$;
CREATE FUNCTION truncate_all(direction text, options text, except_for text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ' ORDER BY CASE
			WHEN direction = 'up' THEN oid::int ELSE -oid::int END) || ' ' || options
		FROM pg_class WHERE relkind IN ('r', 'p') AND relname !~ except_for
		AND relnamespace IN ('public'::regnamespace, '"Other"'::regnamespace));
END $$;

-- Everything at once.
SELECT fill();
SELECT lives_ok($$SELECT truncate_all('up', '', '^catmaid')$$, 'all tables, in the order in which they were made');
SELECT is(filled(), '', 'are empty, histories too');
SELECT fill();
SELECT lives_ok($$SELECT truncate_all('down', 'RESTART IDENTITY CASCADE', '^catmaid')$$, 'in the other order');
SELECT is(filled(), '', 'they are empty');
SELECT fill();
SELECT is((SELECT id FROM "Other"."Select"), 1, 'identities begin again');
SELECT lives_ok($$SELECT truncate_all('up', 'CASCADE', '^$')$$, 'the registry and the log as well');
SELECT is(filled(), '', 'they are empty');
SELECT fill();
UPDATE t SET v = 'c';
SELECT is((SELECT count(*)::int FROM t__history), 2, 'and go on');
DO $$
BEGIN
	PERFORM truncate_all('up', '', '^catmaid');
EXCEPTION WHEN division_by_zero THEN
END $$;
SELECT is(filled(), '', 'in an exception block');
SELECT lives_ok($$SELECT truncate_all('up', '', '^catmaid')$$, 'tables that are empty');

-- Without the histories these have all that went.
SELECT fill();
SELECT lives_ok($$SELECT truncate_all('down', '', '__history$|^catmaid')$$, 'live and tracking tables');
SELECT is(filled(), '"Other"."Select__history" 1 child_of_t__history 1 heir__history 1 '
	'parent__history 1 parts__history 2 t__history 2 timed__history 1', 'histories have what went, once');
SELECT is((SELECT count(*)::int FROM t__history WHERE isempty(sys_period) OR lower_inf(sys_period)), 0,
	'with its start');
SELECT is_empty($$SELECT * FROM check_history() WHERE severity <> 'info'$$, 'all is in order');
SELECT truncate_all('up', '', '^catmaid');

-- Some of them.
SELECT fill();
TRUNCATE t__tracking, child_of_t, t;
TRUNCATE part_1, parts__tracking;
TRUNCATE ONLY parent, ONLY parent__tracking;
SELECT is(filled(), '"Other"."Select" 1 "Other"."Select__tracking" 1 child_of_t__history 1 heir 1 '
	'heir__tracking 1 parent__history 1 part_3 1 parts__history 1 t__history 2 timed 1',
	'tracking tables before or after their own, with some of the others');
TRUNCATE parent, parent__tracking, part_2, parts__tracking, timed__history, timed;
SELECT is(filled(), '"Other"."Select" 1 "Other"."Select__tracking" 1 child_of_t__history 1 heir__history 1 '
	'parent__history 1 parts__history 2 t__history 2', 'with those that inherit, and partitions further down');
SELECT truncate_all('up', '', '^catmaid');

-- Twice in a transaction, and rolled back.
BEGIN;
SELECT fill();
TRUNCATE t, t__tracking, child_of_t, child_of_t__tracking;
INSERT INTO t VALUES (3, 'c');
SAVEPOINT s;
TRUNCATE t, t__tracking, child_of_t;
ROLLBACK TO s;
TRUNCATE child_of_t, t__tracking, t;
INSERT INTO t VALUES (4, 'd');
COMMIT;
SELECT is((SELECT string_agg(v, '' ORDER BY v) FROM t__history), 'abc', 'twice in one transaction, and a third one rolled back');
SELECT results_eq('SELECT live_pk FROM t__tracking', '{4}'::int[], 'what came afterwards is tracked');
UPDATE t SET v = 'e';
SELECT is((SELECT count(*)::int FROM t__history WHERE v = 'd' AND NOT isempty(sys_period)), 1, 'and goes on');
SELECT truncate_all('up', '', '^catmaid');

-- The tracking table is in use: a cursor, a pending event of a trigger of the site's.
SELECT fill();
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t__tracking;
FETCH c \g /dev/null
SELECT lives_ok('TRUNCATE t, child_of_t', 'while a cursor reads the tracking table');
COMMIT;
SELECT is((SELECT count(*)::int FROM t__history), 2, 'it is stored');
SELECT is((SELECT count(*)::int FROM t__tracking), 0, 'and no longer tracked');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON t__tracking INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION nothing();
BEGIN;
INSERT INTO t VALUES (1, 'a');
SELECT lives_ok('TRUNCATE t, child_of_t', 'while it has pending trigger events');
COMMIT;
SELECT is((SELECT count(*)::int FROM t__tracking), 0, 'and no longer tracked');
DROP TRIGGER later ON t__tracking;
SELECT truncate_all('up', '', '^catmaid');

-- A trigger of the application's works on the history while versions wait.
INSERT INTO t SELECT i, 'x' FROM generate_series(1, 5) i;
CREATE TABLE steps (command text, fails boolean);
CREATE FUNCTION run_steps() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE s record;
BEGIN
	UPDATE t SET v = v || '1';
	FOR s IN SELECT * FROM steps LOOP
		BEGIN
			EXECUTE s.command;
			IF s.fails THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
	UPDATE t SET v = v || '2' WHERE id < 3;
	RETURN NULL;
END $$;
CREATE TABLE occasion (id int);
CREATE TRIGGER z AFTER INSERT ON occasion EXECUTE FUNCTION run_steps();
-- What has been stored after all of it: old versions as "id v", in their order.
CREATE FUNCTION stored_after(VARIADIC commands text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE t SET v = 'x';
	TRUNCATE t__history, steps;
	INSERT INTO steps SELECT rtrim(c, '!'), c ~ '!$' FROM unnest(commands) c;
	INSERT INTO occasion VALUES (1);
	RETURN (SELECT string_agg(id || v, ' ' ORDER BY id, v) FROM t__history);
END $$;
SELECT is(stored_after('SELECT 1'), '1x 1x1 2x 2x1 3x 4x 5x', 'control');
SELECT is(stored_after('TRUNCATE t__history'), '1x1 2x1', 'TRUNCATE in an exception block');
SELECT is(stored_after($$SELECT truncate_history_table('t__history')$$), '1x1 2x1', 'truncate_history_table');
SELECT is(stored_after('TRUNCATE t__history!'), '1x 1x1 2x 2x1 3x 4x 5x', 'which fails: the versions wait as before');
SELECT is(stored_after('TRUNCATE t__history!', 'SELECT 1', 'TRUNCATE t__history, t__tracking!', 'SELECT 1/0'),
	'1x 1x1 2x 2x1 3x 4x 5x', 'several that fail, and others');
SELECT is(stored_after('TRUNCATE t__history!', 'TRUNCATE t__history', 'TRUNCATE t__history!'), '1x1 2x1',
	'one that does not');
SELECT is(stored_after('ALTER TABLE t__history ADD COLUMN extra int!', 'ALTER TABLE t__history ADD COLUMN note text',
	'CREATE INDEX ON t__history (note)', 'REINDEX TABLE t__history', $$SELECT repair_history('t')$$),
	'1x 1x1 2x 2x1 3x 4x 5x', 'other commands, and functions');
SELECT is(stored_after('DELETE FROM t; INSERT INTO t VALUES (9, ''n''); TRUNCATE t__history!',
	'INSERT INTO t VALUES (8, ''m''); TRUNCATE t__history; DELETE FROM t WHERE id = 8'),
	'1x1 2x1 8m', 'with changes of its own');
SELECT is_empty($$SELECT * FROM check_history() WHERE severity <> 'info'$$, 'all is in order');
SELECT results_eq('SELECT live_pk FROM t__tracking ORDER BY 1', 'SELECT id FROM t ORDER BY 1', 'all rows are tracked');

SELECT * FROM finish();
