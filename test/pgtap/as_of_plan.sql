-- As-of queries use the index on sys_period by themselves, in a session that has
-- done nothing else, and pay for it nowhere.
\ir lib/start.psql
CREATE SCHEMA hist;
CREATE EXTENSION catmaid_history SCHEMA hist;

CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END $$;

-- The k-th version ended at second k, and most had lasted for ten minutes.
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE trk (id int PRIMARY KEY, v text);
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
SELECT hist.create_history_table('tim', 'edition_time', 'txid'), hist.create_history_table('trk'),
	hist.create_history_table('chi');
CREATE VIEW version AS SELECT k % 700 AS id, repeat('v' || k, 20) AS v,
	tstzrange('2020-01-01'::timestamptz + make_interval(secs => greatest(k - 600, 0)),
		'2020-01-01'::timestamptz + make_interval(secs => k)) AS sys_period,
	k::bigint AS exec_transaction_id
	FROM generate_series(1, 60000) k;
INSERT INTO tim__history (id, v, sys_period, exec_transaction_id) SELECT * FROM version;
INSERT INTO trk__history (id, v, sys_period, exec_transaction_id) SELECT * FROM version;
INSERT INTO chi__history (id, v, sys_period, exec_transaction_id) SELECT * FROM version;
VACUUM ANALYZE tim__history, trk__history, chi__history, par__history;
CREATE ROLE t91_reader;
GRANT SELECT ON tim, tim__history, tim__with_history TO t91_reader;

\c
SET client_min_messages = warning;
SET search_path = public, tap;
SELECT plan(23);
SELECT matches(plan_of($$SELECT * FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Bitmap Index Scan on tim__history_sys_period', 'time column: the first query of a session uses the index');
SELECT matches(plan_of($$SELECT * FROM trk__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Bitmap Index Scan on trk__history_sys_period', 'tracking table: so');
SELECT matches(plan_of($$SELECT * FROM chi__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Bitmap Index Scan on chi__history_sys_period', 'child: so');
SELECT matches(plan_of($$SELECT * FROM par__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Bitmap Index Scan on chi__history_sys_period', 'parent: so');
PREPARE as_of(timestamptz) AS SELECT count(*) FROM tim__with_history WHERE sys_period @> $1;
SELECT matches(plan_of($$EXECUTE as_of('2020-01-01 10:00')$$), 'Bitmap Index Scan on tim__history_sys_period',
	'a prepared statement: so');
SELECT matches(plan_of($$SELECT * FROM tim__with_history WHERE sys_period && tstzrange('2020-01-01 10:00', '2020-01-01 10:10')$$),
	'Bitmap Index Scan on tim__history_sys_period', 'overlaps: so');
SET ROLE t91_reader;
SELECT 'read ' || count(*) AS got FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00' \gset
RESET ROLE;
SET search_path = public, tap;
SELECT is(:'got'::text, 'read 600', 'who has no rights on the extension''s schema reads the view');
SELECT is((SELECT count(*)::int FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'), 600,
	'as of then, with the index');
SET enable_bitmapscan = off;
SELECT is((SELECT count(*)::int FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'), 600,
	'and without');
RESET enable_bitmapscan;

-- Nothing of it is left in a plan.
SELECT doesnt_match(plan_of('SELECT count(*) FROM tim__with_history'), 'no_end|Filter|One-Time',
	'nothing to evaluate when all is read');
SELECT doesnt_match(plan_of($$SELECT id, v FROM trk__with_history WHERE id = 3$$), 'no_end|Filter|One-Time|tracking',
	'nor by key');
SELECT matches(plan_of($$SELECT id, v FROM trk__with_history WHERE id = 3$$), 'trk__history_live_pk_index',
	'which uses the key''s index');
SELECT matches(plan_of($$SELECT * FROM tim__with_history ORDER BY id LIMIT 5$$), 'Merge Append',
	'ordered by the key, both sides are merged');

-- Where most of history is asked for, it is read as it is.
SELECT doesnt_match(plan_of($$SELECT * FROM tim__with_history WHERE sys_period << tstzrange('2030-01-01', NULL)$$),
	'Bitmap Index Scan', 'all of history');

-- Where a few versions among many had lasted long, the more has to be read the longer
-- ago the time is; by key, then, nothing is gained by it.
CREATE TABLE lng (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT hist.create_history_table('lng', 'edition_time', 'txid') \g /dev/null
INSERT INTO lng__history (id, v, sys_period, exec_transaction_id)
	SELECT k % 20, v, CASE WHEN k % 20 = 0 THEN tstzrange('2020-01-01', upper(sys_period)) ELSE sys_period END, k
	FROM version, LATERAL (SELECT exec_transaction_id AS k) x;
VACUUM ANALYZE lng__history;
SELECT matches(plan_of($$SELECT * FROM lng__with_history WHERE sys_period @> timestamptz '2020-01-01 16:00'$$),
	'Bitmap Index Scan on lng__history_sys_period', 'a recent time: with the index');
SELECT doesnt_match(plan_of($$SELECT * FROM lng__with_history WHERE sys_period @> timestamptz '2020-01-01 01:00'$$),
	'Bitmap Index Scan on lng__history_sys_period', 'long ago: without');
SELECT doesnt_match(plan_of($$SELECT * FROM lng__with_history WHERE sys_period @> timestamptz '2020-01-01 01:00' AND id = 7$$),
	'lng__history_sys_period', 'by key, long ago: by the key alone');
SELECT doesnt_match(plan_of($$SELECT * FROM lng__with_history WHERE timestamptz '2020-01-01 01:00' <@ sys_period
	AND id = 7$$), 'lng__history_sys_period', 'the other way round, too');
SELECT matches(plan_of($$SELECT * FROM lng__with_history WHERE tstzrange('2020-01-01 16:00', NULL) && sys_period$$),
	'Bitmap Index Scan on lng__history_sys_period', 'a period up to now: with the index');

-- An owner who wants another index, where pages are not dear to fetch one by one.
SET random_page_cost = 1.1;
CREATE INDEX tim_gist ON tim__history USING gist (sys_period);
ANALYZE tim__history;
SELECT matches(plan_of($$SELECT * FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Scan (using|on).*tim_gist', 'a GiST index is used');
DROP INDEX tim__history_sys_period;
SELECT matches(plan_of($$SELECT * FROM tim__with_history WHERE sys_period @> timestamptz '2020-01-01 10:00'$$),
	'Scan (using|on).*tim_gist', 'also in place of the other');
RESET random_page_cost;

-- Other tables that have columns of these names, or no statistics.
CREATE TABLE other (sys_period tstzrange, exec_transaction_id text, note tstzrange);
INSERT INTO other SELECT sys_period, exec_transaction_id, sys_period FROM version;
CREATE INDEX ON other USING brin (sys_period);
CREATE INDEX ON other USING brin (note);
SELECT is((SELECT sum(length(plan_of(q)))::int > 0 FROM unnest(ARRAY[
	$$SELECT * FROM other WHERE sys_period @> timestamptz '2020-01-01 10:00'$$,
	$$SELECT * FROM other WHERE note @> timestamptz '2020-01-01 10:00'$$]) q), true, 'not analyzed: planned as ever');
ANALYZE other;
SELECT doesnt_match(plan_of($$SELECT * FROM other WHERE note @> timestamptz '2020-01-01 10:00'$$), 'Bitmap',
	'analyzed, too');

SELECT finish();
REVOKE ALL ON tim, tim__history, tim__with_history FROM t91_reader;
DROP ROLE t91_reader;
