-- Overlapping transactions, over dblink: whatever order they start, write and
-- commit in, consecutive versions neither overlap nor leave a gap.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(22);

CREATE SCHEMA dbl;
CREATE EXTENSION dblink SCHEMA dbl;
CREATE FUNCTION run(conn text, VARIADIC cmds text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE cmd text;
BEGIN
	FOREACH cmd IN ARRAY cmds LOOP PERFORM dbl.dblink_exec(conn, cmd); END LOOP;
END $$;
CREATE FUNCTION dsn() RETURNS text LANGUAGE sql AS $$
	SELECT format('host=%s port=%s dbname=%s user=%s', split_part(split_part(
		current_setting('unix_socket_directories'), ',', 1), ' ', 1), current_setting('port'),
		quote_literal(current_database()), quote_literal(session_user)) $$;
-- other tests' sessions are no concern of ours
CREATE VIEW backends AS SELECT pid FROM pg_stat_activity WHERE datname = current_database();
SELECT dbl.dblink_connect(c, dsn()) FROM unnest(ARRAY['a', 'b', 'c']) c;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE d (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p_2 PARTITION OF p DEFAULT;
SELECT create_history_table('t'), create_history_table('d'), create_history_table('p');

-- The versions of a key in the order in which they were written: pairs of
-- neighbours whose periods overlap, or that leave a gap though the key was there.
CREATE FUNCTION chain(rel text, k int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format($q$
		SELECT string_agg(v || CASE WHEN isempty(sys_period) THEN ':empty'
			WHEN lower(sys_period) = prev THEN ':joined' WHEN prev IS NULL THEN ':first'
			WHEN lower(sys_period) > prev THEN ':gap' ELSE ':overlap' END, ' ' ORDER BY n)
		FROM (SELECT v, sys_period, n, max(upper(sys_period)) OVER (ORDER BY n
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS prev
			FROM (SELECT v, sys_period, row_number() OVER (ORDER BY upper_inf(sys_period)
					AND NOT isempty(sys_period), length(v)) AS n
				FROM %I WHERE id = %s) o) s $q$, rel || '__with_history', k) INTO r;
	RETURN r;
END $$;

-- 1. a starts before b, and writes after b committed.
INSERT INTO t VALUES (1, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE t SET v = 'xb' WHERE id = 1$$, 'COMMIT');
SELECT run('a', $$UPDATE t SET v = 'xba' WHERE id = 1$$, 'COMMIT');
SELECT is(chain('t', 1), 'x:first xb:empty xba:joined', 'the earlier transaction writes later');
UPDATE t SET v = 'xba.' WHERE id = 1;
SELECT is(chain('t', 1), 'x:first xb:empty xba:joined xba.:joined', 'and the next one goes on from there');

-- 2. the same, with a key that is deleted by the earlier transaction and inserted again.
INSERT INTO t VALUES (2, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE t SET v = 'xb' WHERE id = 2$$, 'COMMIT');
SELECT run('a', 'DELETE FROM t WHERE id = 2', $$INSERT INTO t VALUES (2, 'xba')$$, 'COMMIT');
SELECT is(chain('t', 2), 'x:first xb:empty xba:joined', 'deleted and inserted again by the earlier transaction');
UPDATE t SET v = 'xba.' WHERE id = 2;
SELECT is(chain('t', 2), 'x:first xb:empty xba:joined xba.:joined', 'and the next one goes on from there');

-- 3. the key is deleted by b, and inserted again by a, which started earlier.
INSERT INTO t VALUES (3, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', 'DELETE FROM t WHERE id = 3', 'COMMIT');
SELECT run('a', $$INSERT INTO t VALUES (3, 'xa')$$, 'COMMIT');
SELECT unalike(chain('t', 3), '%overlap%', 'inserted by the earlier transaction after the later one deleted it');
UPDATE t SET v = 'xa.' WHERE id = 3;
SELECT unalike(chain('t', 3), '%overlap%', 'and the next one goes on from there');
SELECT is((SELECT count(*)::int FROM t__with_history WHERE id = 3), 3, 'with every version there');

-- 4. three transactions, in the reverse order of their starts.
INSERT INTO t VALUES (4, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('c', 'BEGIN', $$UPDATE t SET v = 'xc' WHERE id = 4$$, 'COMMIT');
SELECT run('b', $$UPDATE t SET v = 'xcb' WHERE id = 4$$, 'COMMIT');
SELECT run('a', $$UPDATE t SET v = 'xcba' WHERE id = 4$$, 'COMMIT');
UPDATE t SET v = 'xcba.' WHERE id = 4;
SELECT is(chain('t', 4), 'x:first xc:empty xcb:empty xcba:joined xcba.:joined',
	'three transactions in the reverse order');

-- 5. the row is moved onto a key that a later transaction left.
INSERT INTO t VALUES (5, 'x'), (6, 'yy');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE t SET v = 'xb' WHERE id = 5$$, 'COMMIT', 'BEGIN',
	'DELETE FROM t WHERE id = 5', 'COMMIT');
SELECT run('a', $$UPDATE t SET id = 5, v = 'xbyy' WHERE id = 6$$, 'COMMIT');
SELECT unalike(chain('t', 5), '%overlap%', 'a row moved onto a key that a later transaction left');
SELECT is((SELECT count(*)::int FROM t__with_history WHERE id = 5), 3, 'with every version there');

-- 6. a waits for b's lock, then goes on with the row that b left.
INSERT INTO t VALUES (7, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE t SET v = 'xb' WHERE id = 7$$);
SELECT dbl.dblink_send_query('a', $$UPDATE t SET v = v || 'a' WHERE id = 7$$);
DO $$ BEGIN	-- until a waits
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' AND pid IN (SELECT pid FROM backends)) LOOP
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END $$;
SELECT run('b', 'COMMIT');
SELECT count(*) FROM dbl.dblink_get_result('a') AS r (x text);
SELECT count(*) FROM dbl.dblink_get_result('a') AS r (x text);
SELECT run('a', 'COMMIT');
SELECT is(chain('t', 7), 'x:first xb:empty xba:joined', 'a row that was waited for');
SELECT is((SELECT string_agg(v, ' ' ORDER BY length(v)) FROM t__history WHERE id = 7), 'x xb',
	'what is stored is the version that was really there');

-- 7. a deferrable key: a inserts what b is deleting, or moving away.  PostgreSQL
-- lets both do so, and looks at the key when a commits.
CREATE FUNCTION settle(conn text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN	-- until the connection has finished, or waits for a lock
	WHILE dbl.dblink_is_busy(conn) = 1 AND NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM backends)) LOOP
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END $$;
CREATE FUNCTION result(conn text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	SELECT string_agg(x, ' ') INTO r FROM dbl.dblink_get_result(conn) AS t (x text);
	PERFORM * FROM dbl.dblink_get_result(conn) AS t (x text);
	RETURN r;
EXCEPTION WHEN OTHERS THEN
	PERFORM * FROM dbl.dblink_get_result(conn) AS t (x text);
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
INSERT INTO d VALUES (11, 'x'), (12, 'x'), (13, 'x');
SELECT run('b', 'BEGIN', 'DELETE FROM d WHERE id = 11');
SELECT dbl.dblink_send_query('a', $$INSERT INTO d VALUES (11, 'xa')$$);
SELECT settle('a'), run('b', 'COMMIT');
SELECT is(result('a'), 'INSERT 0 1', 'a deferrable key: inserted while another is deleting it');
SELECT unalike(chain('d', 11), '%overlap%', 'no overlap');
SELECT is((SELECT count(*)::int FROM d__with_history WHERE id = 11), 2, 'both versions');
SELECT run('b', 'BEGIN', 'UPDATE d SET id = 112 WHERE id = 12');
SELECT dbl.dblink_send_query('a', $$UPDATE d SET id = 12, v = 'xa' WHERE id = 13$$);
SELECT settle('a'), run('b', 'COMMIT');
SELECT is(result('a'), 'UPDATE 1', 'a deferrable key: moved onto while another is moving away');
SELECT set_eq('SELECT live_pk FROM d__tracking', 'SELECT id FROM d', 'a deferrable key: tracking');
DELETE FROM d;

-- 8. TRUNCATE by the earlier transaction; deferrable key; partitions.
INSERT INTO d VALUES (1, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE d SET v = 'xb'$$, 'COMMIT');
SELECT run('a', $$INSERT INTO d VALUES (1, 'xba')$$, $$DELETE FROM d WHERE v = 'xb'$$, 'COMMIT');
SELECT is(chain('d', 1), 'x:first xb:empty xba:joined', 'a deferrable key');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE d SET v = 'xba.'$$, 'COMMIT');
SELECT run('a', 'TRUNCATE d', $$INSERT INTO d VALUES (1, 'xba..')$$, 'COMMIT');
SELECT is(chain('d', 1), 'x:first xb:empty xba:joined xba.:empty xba..:joined', 'TRUNCATE by the earlier transaction');
INSERT INTO p VALUES (1, 'x');
SELECT run('a', 'BEGIN', 'SET LOCAL lock_timeout = 0');
SELECT run('b', 'BEGIN', $$UPDATE p SET v = 'xb'$$, 'COMMIT');
SELECT run('a', $$UPDATE p SET id = 101$$, $$UPDATE p SET id = 1, v = 'xba'$$, 'COMMIT');
SELECT is(chain('p', 1), 'x:first xb:empty xba:joined', 'there and back between partitions');

SELECT is((SELECT count(*)::int FROM t__tracking), (SELECT count(*)::int FROM t), 'one tracking row each');
SELECT is_empty('SELECT sys_period FROM t__history WHERE lower_inf(sys_period)', 'no start was lost');
SELECT dbl.dblink_disconnect(c) FROM unnest(ARRAY['a', 'b', 'c']) c;

SELECT * FROM finish();
