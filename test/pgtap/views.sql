-- X__with_history: columns, live rows, as-of queries, and what they cost.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(32);

CREATE FUNCTION plan_of(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS off, VERBOSE) ' || q LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;
CREATE TABLE doc (gone int, id int PRIMARY KEY, "select" text, gone2 int, "Mixed Case" numeric(6, 2));
ALTER TABLE doc DROP COLUMN gone, DROP COLUMN gone2;
SELECT create_history_table('doc');
SELECT is((SELECT string_agg(attname || ':' || format_type(atttypid, atttypmod), ' ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = 'doc__with_history'::regclass AND attnum > 0),
	'id:integer select:text Mixed Case:numeric(6,2) sys_period:tstzrange exec_transaction_id:bigint start_transaction_id:bigint',
	'the live columns in their order, then the three of history');
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO doc VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
COMMIT;
SELECT remember('doc', '1');
BEGIN;
SELECT now() AS t2, txid_current() AS x2 \gset
UPDATE doc SET "select" = upper("select") WHERE id < 3;
COMMIT;
SELECT remember('doc', '2');
SELECT results_eq('SELECT * FROM doc__with_history ORDER BY id, sys_period', format($$VALUES
	(1, 'a', 1::numeric(6, 2), tstzrange(%1$L, %2$L), %3$s::bigint, %4$s::bigint),
	(1, 'A', 1, tstzrange(%2$L, NULL), NULL, %3$s),
	(2, 'b', 2, tstzrange(%1$L, %2$L), %3$s, %4$s), (2, 'B', 2, tstzrange(%2$L, NULL), NULL, %3$s),
	(3, 'c', 3, tstzrange(%1$L, NULL), NULL, %4$s)$$, :'t1', :'t2', :x2, :x1),
	'live rows are [start,) and ended by no transaction, old versions as they are in history, each with who made it');
SELECT is((SELECT bool_and(lower_inc(sys_period) AND NOT upper_inc(sys_period))
	FROM doc__with_history), true, 'every bound as it should be');
-- At the very moment of a change the new version counts, not the old one.
SELECT results_eq(format('SELECT id, "select" FROM doc__with_history WHERE sys_period @> %L::timestamptz
	ORDER BY id', :'t2'), $$VALUES (1, 'A'), (2, 'B'), (3, 'c')$$, 'as of the moment of a change');
SELECT results_eq(format('SELECT id, "select" FROM doc__with_history WHERE sys_period @>
	(%L::timestamptz - interval ''1 us'') ORDER BY id', :'t2'),
	$$VALUES (1, 'a'), (2, 'b'), (3, 'c')$$, 'as of a microsecond before');
SELECT is((SELECT count(*)::int FROM doc__with_history WHERE sys_period @>
	(:'t1'::timestamptz - interval '1 us')), 0, 'as of before there was anything');

-- The last two columns cost nothing where they are not used.
SELECT unalike(plan_of('SELECT id, "select", "Mixed Case" FROM doc__with_history'), '%tracking%',
	'the live columns: no tracking table in the plan');
SELECT unalike(plan_of('SELECT count(*) FROM doc__with_history'), '%tracking%',
	'count(*): no tracking table in the plan');
SELECT unalike(plan_of('SELECT max("select") FROM doc__with_history WHERE id = 3 GROUP BY id'),
	'%tracking%', 'a condition on the key: no tracking table in the plan');
SELECT unalike(plan_of('SELECT d.id FROM doc d LEFT JOIN doc__with_history w ON w.id = d.id
	WHERE w."select" IS NULL'), '%tracking%', 'in a join: no tracking table in the plan');
SELECT alike(plan_of('SELECT sys_period FROM doc__with_history'), '%doc__tracking%',
	'(with sys_period it is in the plan, so the tests above can fail)');
-- An as-of query on history uses the index of sys_period.
INSERT INTO doc__history (id, sys_period) SELECT i, tstzrange(timestamptz '1980-01-01+0'
	+ i * interval '1 hour', timestamptz '1980-01-01+0' + (i + 1) * interval '1 hour')
	FROM generate_series(1, 20000) i;
ANALYZE doc__history;
SET enable_seqscan = off;
SELECT alike(plan_of($$SELECT id FROM doc__history WHERE sys_period @> timestamptz
	'1980-03-01+0'$$), '%doc__history_sys_period%', 'as-of queries have an index');
RESET enable_seqscan;
SELECT is((SELECT count(*)::int FROM doc__with_history
	WHERE sys_period @> timestamptz '1980-03-01 00:30:00+0'), 1, 'which finds the row');
DELETE FROM doc__history WHERE lower(sys_period) < '2000-01-01';
SELECT is_empty($$SELECT * FROM misremembered('doc')$$, 'as-of queries equal the table');

-- Unknown start; a tracking row that is not one.
DELETE FROM doc__tracking WHERE live_pk = 3;
SELECT is((SELECT sys_period::text FROM doc__with_history WHERE id = 3), '(,)',
	'a live row without its tracking row is there, from ever');
-- Composite key; time column, partitioned, parent.
CREATE TABLE comp (a int, b text, v int, PRIMARY KEY (b, a));
CREATE TABLE tim (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
CREATE TABLE part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part DEFAULT;
CREATE TABLE par (id int PRIMARY KEY, v int);
CREATE TABLE kid (PRIMARY KEY (id), w int) INHERITS (par);
SELECT create_history_table('comp'), create_history_table('part'), create_history_table('kid'),
	create_history_table('tim', 'edition_time', 'txid');
INSERT INTO comp VALUES (1, 'a', 1), (1, 'b', 2), (2, 'a', 3);
INSERT INTO part VALUES (1, 1), (2, 2);
INSERT INTO par VALUES (1, 1), (2, 2);
INSERT INTO kid VALUES (1, 1, 1), (3, 3, 3);
INSERT INTO tim VALUES (1, '2001-01-01+0', 1), (2, NULL, 2);
SELECT remember('comp', '1'), remember('part', '1'), remember('par', '1'), remember('kid', '1');
UPDATE comp SET v = -v WHERE b = 'a' AND a = 1;
UPDATE part SET v = -v WHERE id = 1;
UPDATE par SET v = -v WHERE id = 1;
SELECT unalike(plan_of('SELECT a, b, v FROM comp__with_history'), '%tracking%',
	'composite key: no tracking table in the plan');
SELECT unalike(plan_of('SELECT id, v FROM part__with_history'), '%tracking%',
	'partitioned table: no tracking table in the plan');
SELECT unalike(plan_of('SELECT id, v FROM par__with_history'), '%tracking%',
	'parent: no tracking table in the plan');
SELECT unalike(plan_of('SELECT id, v FROM kid__with_history'), '%tracking%',
	'child: no tracking table in the plan');
SELECT is((SELECT count(*)::int FROM comp__with_history), 4, 'composite key: each version once');
SELECT is((SELECT count(*)::int FROM (SELECT sys_period FROM par__with_history) s), 6,
	'parent: each version once');
SELECT is_empty($$SELECT * FROM misremembered('comp') UNION ALL SELECT * FROM misremembered('part')
	UNION ALL SELECT * FROM misremembered('par') UNION ALL SELECT * FROM misremembered('kid')$$,
	'as-of queries equal the tables');
SELECT is((SELECT string_agg(format('%s %s', lower_inf(sys_period), upper_inf(sys_period)), ', '
	ORDER BY id) FROM tim__with_history), 'f t, t t', 'time column: a NULL time is an unbounded start');

-- Only rows of the table and its children.
CREATE TABLE other_kid (PRIMARY KEY (id), z text) INHERITS (par);
INSERT INTO other_kid VALUES (7, 7, 'untracked');
SELECT is((SELECT count(*)::int FROM par__with_history WHERE id = 7), 1,
	'an untracked child''s live rows are in the parent''s view, as in the parent');
CREATE TABLE stranger (LIKE par__history);
INSERT INTO stranger (id, sys_period, exec_transaction_id) VALUES (99, tstzrange(now(), NULL), 1);
ALTER TABLE stranger INHERIT par__history;
SELECT is((SELECT count(*)::int FROM par__with_history WHERE id = 99), 0,
	'the history of something that is no child is not in it');
ALTER TABLE stranger NO INHERIT par__history;

-- Dropping and making the view.
SELECT drop_history_view_for_table('doc');
SELECT hasnt_view('doc__with_history', 'drop_history_view_for_table drops it');
SELECT lives_ok($$SELECT drop_history_view_for_table('doc')$$, 'again without an error');
SELECT create_history_view_for_table('doc');
SELECT has_view('doc__with_history', 'create_history_view_for_table makes it');
SELECT lives_ok($$SELECT create_history_view_for_table('doc')$$, 'again without an error');
SELECT is((SELECT count(*)::int FROM doc__with_history), 5, 'with the same rows');
SELECT is(get_history_view_name('doc'), 'doc__with_history', 'and the name that we say');
SELECT lives_ok($$UPDATE doc SET id = id + 10; SELECT count(*) FROM doc__with_history$$,
	'writes do not need it');

SELECT * FROM finish();
