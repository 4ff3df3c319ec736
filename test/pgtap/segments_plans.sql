-- Segments that had ended before the time that is asked for are left out: when the query
-- is planned, or when it is executed.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(17);

-- The tables that a query would read, or with analyze those that it has read.
CREATE FUNCTION reads(query text, run boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (%s, FORMAT json) %s', CASE WHEN run THEN 'ANALYZE, TIMING off' ELSE 'COSTS off' END, query) INTO plan;
	RETURN (WITH RECURSIVE node (n) AS (
		SELECT plan -> 0 -> 'Plan'
		UNION ALL
		SELECT c FROM node, json_array_elements(n -> 'Plans') c
	) SELECT string_agg(DISTINCT n ->> 'Relation Name', ' ') FROM node
		WHERE n ->> 'Relation Name' LIKE 'q%' AND n ->> 'Relation Name' <> 'q__tracking'
			AND (NOT run OR (n ->> 'Actual Loops')::int > 0));
END $$;
SET enable_bitmapscan = off;
CREATE TABLE q (id int PRIMARY KEY, v int);
SELECT create_history_table('q');
INSERT INTO q SELECT i, 0 FROM generate_series(1, 10) i;
SELECT clock_timestamp() AS t0 \gset
UPDATE q SET v = 1;
SELECT rotate_history('q') \g /dev/null
SELECT clock_timestamp() AS t1 \gset
UPDATE q SET v = 2;
SELECT rotate_history('q') \g /dev/null
SELECT clock_timestamp() AS t2 \gset
UPDATE q SET v = 3;
SELECT format($$SELECT * FROM q__with_history WHERE sys_period @> %L::timestamptz$$, :'t0') AS q0,
	format($$SELECT * FROM q__with_history WHERE sys_period @> %L::timestamptz$$, :'t1') AS q1,
	format($$SELECT * FROM q__with_history WHERE sys_period @> %L::timestamptz$$, :'t2') AS q2 \gset

SELECT is(reads(:'q2'), 'q q__history q__history_1 q__history_2', 'nothing is left out before bounds are verified');
ALTER TABLE q__history_1 VALIDATE CONSTRAINT catmaid_history_segment;
SELECT is(reads(:'q2'), 'q q__history q__history_2', 'what is verified is');
ALTER TABLE q__history_2 VALIDATE CONSTRAINT catmaid_history_segment;
SELECT is(reads(:'q2'), 'q q__history', 'as of recent times the head alone');
SELECT is(reads(:'q1'), 'q q__history q__history_2', 'as of the time before that');
SELECT is(reads(:'q0'), 'q q__history q__history_1 q__history_2', 'as of the oldest');
SELECT is(reads('SELECT * FROM q__with_history'), 'q q__history q__history_1 q__history_2', 'without a time');
SELECT is(reads(format('SELECT * FROM q__with_history WHERE id = 3 AND %L::timestamptz <@ sys_period', :'t2')), 'q q__history', 'the other way round');
SELECT is(reads(format('SELECT * FROM q__history WHERE sys_period && tstzrange(%L, NULL)', :'t2')), 'q__history', 'a range that begins later');
SELECT is(reads(format('SELECT * FROM q__history WHERE sys_period && tstzrange(NULL, %L)', :'t2')), 'q__history q__history_1 q__history_2', 'one that does not');

-- Each instant shows what it shows without segments.
CREATE TABLE instants AS SELECT t, (SELECT array_agg(v ORDER BY id) FROM q__with_history WHERE sys_period @> t) AS vs
	FROM unnest(ARRAY[:'t0', :'t1', :'t2', now()]::timestamptz[]) t;
SELECT is((SELECT string_agg(vs[1]::text, ' ' ORDER BY t) FROM instants), '0 1 2 3', 'joined by a time from a table');

-- Times that are known when the query is executed.
SET plan_cache_mode = force_generic_plan;
PREPARE as_of(timestamptz) AS SELECT count(*), min(v) FROM q__with_history WHERE sys_period @> $1;
SELECT is(reads(format('EXECUTE as_of(%L)', :'t2'), true), 'q q__history', 'a parameter: the head is read');
SELECT is(reads(format('EXECUTE as_of(%L)', :'t0'), true), 'q q__history q__history_1 q__history_2', 'all for the oldest');
SELECT is((SELECT reads('EXECUTE as_of(now())', true)), 'q q__history', 'now()');
RESET plan_cache_mode;
SELECT is(reads('SELECT * FROM q__with_history WHERE sys_period @> now()', true), 'q q__history', 'now() in the query');
SELECT is(reads('SELECT * FROM q__with_history WHERE id = 3 AND sys_period @> now()', true), 'q q__history', 'by the key''s index');
SET enable_seqscan = off;
SELECT is(reads(format('SELECT * FROM q__with_history WHERE id = 3 AND sys_period @> (SELECT %L::timestamptz)', :'t2'), true) ~ '^q q__history', true,
	'a time from a sub-select');
SELECT is((SELECT count(*) FROM q__with_history WHERE id = 3 AND sys_period @> (SELECT :'t1'::timestamptz)), 1::bigint, 'finds its row');

SELECT * FROM finish();
