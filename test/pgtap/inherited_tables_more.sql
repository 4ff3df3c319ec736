-- Inheritance: TRUNCATE, copy_inheritance, children that come later, parents
-- that do not fit.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(32);

CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (PRIMARY KEY (id), bb int) INHERITS (a);
CREATE TABLE c (PRIMARY KEY (id), cc text) INHERITS (b);
SELECT create_history_table('c');
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	INSERT INTO a VALUES (1, 'a1'), (2, 'a2');
	INSERT INTO b VALUES (3, 'b3', 33);
	INSERT INTO c VALUES (4, 'c4', 44, 'cc4'), (5, 'c5', 55, 'cc5') $$;
CREATE FUNCTION remember_all(step text) RETURNS void LANGUAGE sql AS $$
	SELECT remember(live_table, step) FROM catmaid_history_table $$;
CREATE FUNCTION counts() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s', (SELECT count(*) FROM ONLY a__history),
		(SELECT count(*) FROM ONLY b__history), (SELECT count(*) FROM ONLY c__history)) $$;
SELECT fill();
SELECT remember_all('1');
TRUNCATE a;
SELECT remember_all('2');
SELECT is(counts(), '2 1 2', 'TRUNCATE of the parent stores each row once, in its own history');
SELECT results_eq('SELECT id, v, bb, cc FROM c__history ORDER BY id',
	$$VALUES (4, 'c4', 44, 'cc4'), (5, 'c5', 55, 'cc5')$$, 'complete');
SELECT is((SELECT count(*)::int FROM a__history h WHERE lower_inf(sys_period)), 0, 'no start is lost');
SELECT is((SELECT count(*)::int FROM a__tracking) + (SELECT count(*)::int FROM b__tracking) +
	(SELECT count(*)::int FROM c__tracking), 0, 'all tracking tables are empty');
SELECT fill();
SELECT remember_all('3');
TRUNCATE ONLY a;
SELECT remember_all('4');
SELECT is(counts(), '4 1 2', 'TRUNCATE ONLY stores the parent''s own rows');
SELECT is((SELECT count(*)::int FROM ONLY b__tracking) + (SELECT count(*)::int FROM ONLY c__tracking), 3,
	'and leaves the tracking rows of the children');
TRUNCATE b;
SELECT remember_all('5');
SELECT is(counts(), '4 2 4', 'TRUNCATE of the middle stores its child''s too');
SELECT fill();
TRUNCATE c;
SELECT remember_all('6');
SELECT is(counts(), '4 2 6', 'TRUNCATE of the child');
TRUNCATE a, b, c;
SELECT remember_all('7');
SELECT is(counts(), '6 3 6', 'TRUNCATE that names parent and children');
SELECT fill();
TRUNCATE b, ONLY a;
SELECT remember_all('8');
SELECT is(counts(), '8 4 8', 'TRUNCATE that names one with and one without ONLY');
SELECT is_empty($$SELECT h.live_table, m.* FROM catmaid_history_table h,
	LATERAL misremembered(h.live_table) m$$, 'as-of queries equal the tables as they were');

-- copy_inheritance => false.
CREATE TABLE p (id int PRIMARY KEY, v text);
CREATE TABLE k (PRIMARY KEY (id), edition_time timestamptz DEFAULT now(), txid bigint) INHERITS (p);
SELECT is(state, 'P0001', 'a parent without the child''s time column: an error')
	FROM error_of($$SELECT create_history_table('k', 'edition_time', 'txid')$$);
SELECT matches(hint, 'copy_inheritance', 'with a hint')
	FROM error_of($$SELECT create_history_table('k', 'edition_time', 'txid')$$);
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^[pk]__'
	UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid IN ('p'::regclass, 'k'::regclass)$$,
	'and nothing is made');
SELECT create_history_table('k', 'edition_time', 'txid', copy_inheritance => false);
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
	WHERE relname ~ '^[pk]__' AND relkind IN ('r', 'v')), 'k__history k__with_history',
	'copy_inheritance => false: the table alone');
SELECT is_empty($$SELECT * FROM pg_inherits WHERE inhrelid = 'k__history'::regclass$$,
	'its history inherits from nothing');
INSERT INTO p VALUES (1, 'p');
INSERT INTO k VALUES (2, 'k');
UPDATE p SET v = upper(v);
TRUNCATE p;
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY upper(sys_period)) FROM k__history), '2k 2K',
	'what comes through an untracked parent is stored');

-- The parent first, children that are there and children that come.
CREATE TABLE top (id int PRIMARY KEY, v text);
CREATE TABLE old (PRIMARY KEY (id), o int) INHERITS (top);
SELECT create_history_table('top');
CREATE TABLE young (PRIMARY KEY (id), y int) INHERITS (top);
SELECT is((SELECT string_agg(live_table::text, ' ') FROM catmaid_live_table_triggers
	WHERE live_table IN ('top'::regclass, 'old'::regclass, 'young'::regclass) AND triggers_installed),
	'top', 'a child is tracked when it is asked for');
SELECT is((SELECT count(*)::int FROM catmaid_live_table_triggers
	WHERE live_table IN ('old'::regclass, 'young'::regclass)), 0, 'until then it is not listed');
INSERT INTO top VALUES (1, 't');
INSERT INTO old VALUES (2, 'o', 2);
INSERT INTO young VALUES (3, 'y', 3);
SELECT lives_ok($$UPDATE top SET v = upper(v); UPDATE young SET y = 4; DELETE FROM old$$,
	'writes to it go on');
SELECT is((SELECT string_agg(id::text, ' ') FROM top__history), '1', 'unrecorded');
INSERT INTO old VALUES (2, 'o', 2);
TRUNCATE top;
SELECT is((SELECT string_agg(id::text, ' ' ORDER BY sys_period) FROM top__history), '1 1',
	'by TRUNCATE of the parent too');
INSERT INTO young VALUES (3, 'y', 3);
SELECT create_history_table('young');
SELECT results_eq($$SELECT inhparent::regclass::text FROM pg_inherits
	WHERE inhrelid = 'young__history'::regclass$$, $$VALUES ('top__history')$$,
	'then its history joins the hierarchy');
UPDATE top SET v = 'from top';
DELETE FROM young;
SELECT results_eq('SELECT v, y, tableoid::regclass::text FROM young__history ORDER BY sys_period',
	$$VALUES ('y', 3, 'young__history'), ('from top', 3, 'young__history')$$, 'and it is recorded');
SELECT is((SELECT count(*)::int FROM top__history), 4, 'and seen from the parent''s');

-- Disabled and enabled one by one; NOT the parent's business.
INSERT INTO top VALUES (10, 't');
INSERT INTO young VALUES (11, 'y', 1);
SELECT disable_history_tracking_for_table('young');
UPDATE top SET v = 'half';
SELECT is((SELECT string_agg(id::text, ' ') FROM top__history WHERE id > 9), '10',
	'a disabled child is not recorded through its parent, the parent is');
SELECT enable_history_tracking_for_table('young');
SELECT disable_history_tracking_for_table('top');
UPDATE top SET v = 'other half';
SELECT is((SELECT string_agg(id || tableoid::regclass::text, ' ') FROM top__history
	WHERE id > 9 AND v = 'half'), '11young__history', 'and the other way round');
SELECT enable_history_tracking_for_table('top');
INSERT INTO top VALUES (12, 't');
SELECT disable_history_tracking_for_table('young');
TRUNCATE top;
SELECT is((SELECT string_agg(id::text, ' ' ORDER BY id) FROM top__history
	WHERE v IN ('t', 'other half') AND id > 9 AND upper(sys_period) = (SELECT
	max(upper(sys_period)) FROM top__history)), '10 12', 'TRUNCATE with a disabled child');

-- Two parents; a child without a key; a key of another kind.
CREATE TABLE p1 (id int PRIMARY KEY);
CREATE TABLE p2 (other int);
CREATE TABLE two (PRIMARY KEY (id)) INHERITS (p1, p2);
SELECT is(state, 'P0001', 'more than one parent: an error')
	FROM error_of($$SELECT create_history_table('two')$$);
CREATE TABLE keyless () INHERITS (p1);
SELECT is(state, 'P0001', 'a child has no key of its own: an error')
	FROM error_of($$SELECT create_history_table('keyless')$$);
CREATE TABLE nokey (id int);
CREATE TABLE haskey (PRIMARY KEY (id)) INHERITS (nokey);
SELECT is(state, 'P0001', 'a parent without a key: an error')
	FROM error_of($$SELECT create_history_table('haskey')$$);
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^(haskey|nokey|keyless)__'$$,
	'nothing half-made');

SELECT * FROM finish();
